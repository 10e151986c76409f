# Webhooks as providers send them, through the gateway: what is taken, what is refused and as what, and that no key is left behind.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha1_base64 hmac_sha256_hex);
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wacta;
use Wacta::Site qw(%SECRET);

my $site = Wacta::Site->start('crm', conf => <<'CONF');
log_statement = 'all'
log_min_duration_statement = 0
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_min_messages = debug1
CONF
my $node = $site->node;
# Of a length and shape that a grep finds nowhere by chance; some with characters that a URL must encode
my %KEY = (
	tata => 'tataKeyOfTheTest/0123456789+abcdef==', tata_next => 'tataNextKeyOfTheTest0123456789abcdef', d360 => 'd360KeyOfTheTest0123456789abcdef',
	exotel => 'exotelKeyOfTheTest0123456789abcdef', twilio => 'twilioKeyOfTheTest0123456789abcdef', twilio_token => 'twilioTokenOfTheTest0123456789ab',
	app_next => 'nextAppSecretOfTheTest0123456789ab', verify_next => 'nextVerifyTokenOfTheTest01234567');
$site->sql(qq(
	SELECT wacta.add_channel('tata', 'tata'), wacta.add_channel('d360', '360dialog');
	SELECT wacta.add_ivr_source('exotel', 'exotel'), wacta.add_ivr_source('twilio', 'twilio');
	SELECT wacta.set_credential('tata', 'webhook_key', '$KEY{tata}'), wacta.set_credential('d360', 'webhook_key', '$KEY{d360}'),
	       wacta.set_credential('exotel', 'webhook_key', '$KEY{exotel}'), wacta.set_credential('twilio', 'webhook_key', '$KEY{twilio}'),
	       wacta.set_credential('twilio', 'app_secret', '$KEY{twilio_token}');
	SELECT wacta.set_webhook_access('tata', header => 'X-Tata-Hook');));
# Behind two proxies of its own, of which this test is the nearer
my $gateway = Wacta::Gateway->start($node, 'crm', name => 'front', secret => '',
	arguments => [ '--jwt-secret-file', "$site->{secret_dir}/session", '--trusted-proxies', '127.0.0.1, 10.1.0.0/16' ]);
my $META = '/webhook/whatsapp/integration/';

sub encoded { return $_[0] =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger }

sub ask
{
	my ($method, $path, $headers, $content) = @_;
	return $gateway->request($method => $path, { headers => $headers // {}, content => $content });
}

# What is told to whom: the status, and whether it has been kept as proved, by whom, or why not.
sub verdict
{
	my $answer = ask(@_);
	my $row = $site->sql(q(SELECT concat_ws(' ', provider, coalesce(reason, 'proved')) FROM wacta.inbox ORDER BY inbox_id DESC LIMIT 1));
	return "$answer->{status} $row";
}

sub signature { my ($body, $secret) = @_; return 'sha256=' . hmac_sha256_hex($body, $secret // $SECRET{app_secret}) }

sub message
{
	my ($id, $text) = @_;
	return encode_json({ object => 'whatsapp_business_account', entry => [ { id => '1', changes => [ { field => 'messages', value => {
		messaging_product => 'whatsapp', metadata => { phone_number_id => '106540352242922' }, contacts => [ { wa_id => '919876543210', profile => { name => 'Asha' } } ],
		messages => [ { from => '919876543210', id => $id, timestamp => time() =~ s/\..*//r, type => 'text', text => { body => $text } } ] } } ] } ] });
}

# --- Meta's challenge
sub challenge
{
	my ($query, $path) = @_;
	my $answer = ask(GET => ($path // $META) . "?$query");
	return "$answer->{status} " . ($answer->{status} == 200 ? $answer->{content} : '');
}
my $hub = 'hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=';
is(challenge($hub . $SECRET{verify_token}), '200 1158201444', 'the challenge');
like(ask(GET => "$META?$hub$SECRET{verify_token}")->{headers}{'content-type'}, qr{^text/plain}, 'bare, as plain text');
is(challenge("hub.verify_token=$SECRET{verify_token}&hub.challenge=a%26b%3C&utm_source=x&hub.mode=subscribe", '/webhook/whatsapp/integration'), '200 a&b<', 'in any order, decoded');
is(challenge($_), '403 ', 'refused: ' . $_ =~ s/$SECRET{verify_token}/TOKEN/r)
  for $hub, "${hub}wrong", $hub . substr($SECRET{verify_token}, 1), "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=$SECRET{verify_token}",
  "hub.challenge=1&hub.verify_token=$SECRET{verify_token}", "hub.mode=subscribe&hub.verify_token=$SECRET{verify_token}", '';
my $old = $site->sql(q(SELECT credential_id FROM wacta.credential_list WHERE (owner, kind) = ('main', 'verify_token')));
$site->sql("SELECT wacta.set_credential('main', 'verify_token', '$KEY{verify_next}', keep_old => true)");
is(challenge($hub . $_), '200 1158201444', 'while it is being replaced') for $SECRET{verify_token}, $KEY{verify_next};
$site->sql("SELECT wacta.retire_credential($old)");
is(challenge($hub . $SECRET{verify_token}), '403 ', 'the former is retired');
is(challenge($hub . $KEY{verify_next}), '200 1158201444', 'the next stands');

# --- Meta's signature, over the bytes
my $hello = message('wamid.hello', "hello \x{928}");
is(verdict(POST => $META, { 'X-Hub-Signature-256' => signature($hello) }, $hello), '200 meta proved', 'signed');
is(verdict(POST => $META, { 'x-hub-signature-256' => uc(signature($hello)), 'Content-Type' => 'text/plain' }, $hello), '200 meta proved', 'in capitals');
is(verdict(POST => $META . $_, { 'X-Hub-Signature-256' => signature($hello) }, $hello), '200 meta proved', "at $_") for 'delivery/', 'messages';
my $junk = "\xff\x00{not json";
is(verdict(POST => $META, { 'X-Hub-Signature-256' => signature($junk) }, $junk), '200 meta proved', 'any bytes: the sender has done its part');
is(verdict(POST => $META, { 'X-Hub-Signature-256' => signature('') }, ''), '200 meta proved', 'no bytes at all');
$site->wait_sql(q(SELECT count(*) FROM wacta.inbox WHERE proved AND applied_at IS NULL), '0', 'all of them are applied');
my $stop = message('wamid.stop', 'STOP');
my %refused = (
	'no signature' => [ {}, '403 unknown no key' ],
	'SHA-1 alone' => [ { 'X-Hub-Signature' => 'sha1=' . Digest::SHA::hmac_sha1_hex($stop, $SECRET{app_secret}) }, '403 meta no signature' ],
	'another secret' => [ { 'X-Hub-Signature-256' => signature($stop, 'other') }, '403 meta wrong signature' ],
	'of another body' => [ { 'X-Hub-Signature-256' => signature($hello) }, '403 meta wrong signature' ],
	'of the same text' => [ { 'X-Hub-Signature-256' => signature("$stop\n") }, '403 meta wrong signature' ],
	'twice' => [ { 'X-Hub-Signature-256' => [ signature($stop), signature($stop) ] }, '403 meta wrong signature' ],
	'a key of a call' => [ { 'X-Wacta-Key' => $SECRET{ivr_key} }, '403 unknown wrong key' ],
	'a signature and a wrong key' => [ { 'X-Wacta-Key' => 'wrong', 'X-Hub-Signature-256' => 'sha256=00' }, '403 meta wrong signature' ]);
is(verdict(POST => $META, $refused{$_}[0], $stop), $refused{$_}[1], "refused: $_") for sort keys %refused;
$site->sql("SELECT wacta.set_credential('main', 'app_secret', '$KEY{app_next}', keep_old => true)");
is(verdict(POST => $META, { 'X-Hub-Signature-256' => signature($hello, $_) }, $hello), '200 meta proved', 'while it is being replaced') for $SECRET{app_secret}, $KEY{app_next};
is($site->sql(q(SELECT consent FROM wacta.lead JOIN wacta.lead_identity USING (lead_id) WHERE value = '+919876543210' AND kind = 'phone')), 'unknown', 'nothing of what was refused was applied');
is($site->sql(q(SELECT count(*) FROM wacta.inbox WHERE NOT proved AND applied_at IS NOT NULL)), '0', 'not one');

# --- A key: in a header, in the path, in the query, by basic authentication
my $path_key = encoded($KEY{tata});
my @shown = (
	[ { 'X-Wacta-Key' => $KEY{tata} }, $META ], [ { 'X-Api-Key' => $KEY{tata} }, $META ], [ { 'X-Tata-Hook' => $KEY{tata} }, $META ], [ { Authorization => $KEY{tata} }, $META ],
	[ { Authorization => "Bearer $KEY{tata}" }, $META ], [ { Authorization => 'Basic ' . encode_base64("tata:$KEY{tata}", '') }, $META ],
	[ {}, "$META$path_key/" ], [ {}, "$META$path_key" ], [ {}, "${META}delivery/$path_key/" ], [ {}, "$META?key=$path_key" ], [ {}, "${META}messages?a=b&key=$path_key" ],
	[ { 'X-Hub-Signature-256' => 'sha256=' . '0' x 64 }, "$META$path_key/" ]);
is(verdict(POST => $_->[1], $_->[0], '{}'), '200 tata proved', 'a key in ' . (join(' ', sort keys %{ $_->[0] }) || $_->[1] =~ s/\Q$path_key\E/KEY/r)) for @shown;
is(verdict(POST => "$META$_", {}, '{}'), '200 360dialog proved', 'a link that was encoded as a whole: ' . s/$KEY{d360}/KEY/r) for "$KEY{d360}%2F", "%3Fkey%3D$KEY{d360}", "delivery%2F$KEY{d360}%2F";
is(verdict(POST => "$META$path_key/x/", {}, '{}') =~ s/ .*//r, '404', 'but no more segments than one');
is(verdict(POST => $META . substr($path_key, 1), {}, '{}'), '403 unknown wrong key', 'a wrong key in the path');
is(verdict(POST => $META, { 'X-Some-Header' => $KEY{tata} }, '{}'), '403 unknown no key', 'a header that is none of ours');
is(verdict(POST => "/webhook/ivr/smartflo/$path_key/", {}, '{}'), '403 smartflo wrong key', 'a key of another kind of sender');
$old = $site->sql(q(SELECT credential_id FROM wacta.credential_list WHERE owner = 'tata'));
$site->sql("SELECT wacta.set_credential('tata', 'webhook_key', '$KEY{tata_next}', keep_old => true)");
is(verdict(POST => $META . encoded($_), {}, '{}'), '200 tata proved', 'while it is being replaced') for $KEY{tata}, $KEY{tata_next};
$site->sql("SELECT wacta.retire_credential($old)");
is(verdict(POST => "$META$path_key/", {}, '{}'), '403 unknown wrong key', 'the former is retired');

# --- Addresses: the right key from the wrong one is refused as everything is, and audited as what it was
$site->sql(q(SELECT wacta.set_webhook_access('tata', '{203.0.113.0/24,2001:db8::/32}'), wacta.set_webhook_access('smartflo', '{203.0.113.7}')));
sub from { my ($forwarded, $key) = @_; return { 'X-Forwarded-For' => $forwarded, 'X-Wacta-Key' => $key // $KEY{tata_next} } }
for my $case ([ '203.0.113.9', '200 tata proved' ], [ '2001:db8::7', '200 tata proved' ], [ '::ffff:203.0.113.9', '200 tata proved' ], [ '203.0.113.9:4711', '200 tata proved' ], [ '[2001:db8::7]:4711', '200 tata proved' ],
	[ '203.0.113.9, 10.1.2.3', '200 tata proved' ], [ [ '203.0.113.9', '10.1.2.3, 127.0.0.1' ], '200 tata proved' ], [ '203.0.113.9,,10.1.2.3,', '200 tata proved' ],
	[ '198.51.100.9', '403 tata wrong address' ], [ '203.0.113.9, 198.51.100.9', '403 tata wrong address' ], [ '203.0.113.9, 10.2.2.3', '403 tata wrong address' ],
	[ '203.0.113.9, junk, 10.1.2.3', '403 tata wrong address' ], [ '', '403 tata wrong address' ])
{
	is(verdict(POST => $META, from($case->[0]), '{}'), $case->[1], 'from ' . (ref $case->[0] ? join '; ', @{ $case->[0] } : $case->[0]));
}
is(verdict(POST => $META, from('203.0.113.9', 'wrong'), '{}'), '403 unknown wrong key', 'the right address proves nothing');
is(verdict(POST => '/webhook/ivr/smartflo/', from('203.0.113.7', $SECRET{ivr_key}), '{}'), '200 smartflo proved', 'a call from its address');
is(verdict(POST => '/webhook/ivr/smartflo/', from('203.0.113.8', $SECRET{ivr_key}), '{}'), '403 smartflo wrong address', 'and from another');
is(verdict(POST => $META, { 'X-Wacta-Peer' => '203.0.113.9', 'X-Wacta-Key' => $KEY{tata_next} }, '{}'), '403 tata wrong address', 'nobody tells his own address');
$site->{gateway}->request(POST => $META, { headers => from('203.0.113.9'), content => '{}' });
is($site->sql(q(SELECT reason FROM wacta.inbox ORDER BY inbox_id DESC LIMIT 1)), 'wrong address', 'and no proxy, where none is trusted');
$site->sql(q(SELECT wacta.set_webhook_access('tata'), wacta.set_webhook_access('smartflo')));
my @refusals = map { ask(POST => @$_) } [ $META, {}, $stop ], [ $META, { 'X-Hub-Signature-256' => 'sha256=00' }, $stop ], [ $META, { 'X-Wacta-Key' => 'wrong' }, '{}' ],
  [ '/webhook/ivr/smartflo/', {}, '{}' ], [ '/webhook/ivr/exotel/wrong/', {}, '{}' ], [ '/webhook/ivr/twilio/', { 'X-Twilio-Signature' => 'wrong' }, '' ];
$site->sql(q(SELECT wacta.set_webhook_access('d360', '{203.0.113.9}')));
push @refusals, ask(POST => $META, { 'X-Wacta-Key' => $KEY{d360} }, '{}');
my %told = map { delete $_->{headers}{date}; my $h = $_->{headers}; join("\n", $_->{status}, $_->{content}, map { "$_: $h->{$_}" } sort keys %$h) => 1 } @refusals;
is(scalar keys %told, 1, 'all refusals look alike') or diag join "\n\n", keys %told;

# --- Calls: by GET, form, JSON, anything
sub taken { my ($id, $expected, $what) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $site->wait_sql("SELECT concat_ws(' ', source, caller, digits) FROM wacta.ivr_call WHERE provider_call_id = '$id'", $expected, $what) }
my $fields = 'CallFrom=09876500011&CallTo=01141112222&Direction=incoming&digits=1';
is(verdict(GET => "/webhook/ivr/exotel/?CallSid=get-1&$fields&key=$KEY{exotel}"), '200 exotel proved', 'a GET with its key in the query');
is($site->sql(q(SELECT convert_from(body, 'UTF8') FROM wacta.inbox ORDER BY inbox_id DESC LIMIT 1)), "CallSid=get-1&$fields", 'is stored as a form, without it');
is(verdict(GET => "/webhook/ivr/exotel/$KEY{exotel}?CallSid=get-2&$fields&key=5"), '200 exotel proved', 'a GET with its key in the path');
is($site->sql(q(SELECT convert_from(body, 'UTF8') FROM wacta.inbox ORDER BY inbox_id DESC LIMIT 1)), "CallSid=get-2&$fields&key=5", 'for which "key" is a field like others');
is(verdict(POST => "/webhook/ivr/exotel/$KEY{exotel}?CallSid=query-1&$fields", {}, ''), '200 exotel proved', 'a POST that says it all in its query');
is(verdict(POST => '/webhook/ivr/exotel/', { 'X-Api-Key' => $KEY{exotel}, 'Content-Type' => 'application/x-www-form-urlencoded' }, "CallSid=form-1&$fields"), '200 exotel proved', 'a form');
my $json = encode_json({ CallSid => 'json-1', CallFrom => '09876500011', CallTo => '01141112222', Direction => 'incoming' });
is(verdict(POST => "/webhook/ivr/exotel%2F$KEY{exotel}%2F", { 'Content-Type' => $_ }, $json =~ s/json-1/"json " . length $_/er), '200 exotel proved', 'a JSON body as ' . ($_ || 'nothing'))
  for 'application/json; charset=utf-8', 'text/plain', '';
is(verdict(POST => "/webhook/ivr/exotel/$KEY{exotel}/", { 'Content-Type' => 'multipart/form-data; boundary=b' }, qq(--b\r\nContent-Disposition: form-data; name="CallSid"\r\n\r\nm\r\n--b--\r\n)),
	'200 exotel proved', 'multipart is taken, whatever can be made of it');
taken($_, $_ eq 'json 31' ? 'exotel +919876500011' : 'exotel +919876500011 1', "the call $_") for qw(get-1 get-2 query-1 form-1), 'json 31';
is(verdict(GET => "/webhook/ivr/exotel/?CallSid=get-3&$fields"), '403 exotel no key', 'a GET without a key');
is(ask(GET => "/webhook/ivr/nobody/?key=$KEY{exotel}")->{status}, 404, 'no such source');
my $before = $site->sql('SELECT count(*) FROM wacta.inbox');
for my $case ([ HEAD => "/webhook/ivr/exotel/$KEY{exotel}?CallSid=head-1", 'OPTIONS, GET, POST' ], [ PUT => "/webhook/ivr/exotel/$KEY{exotel}", 'OPTIONS, GET, POST' ],
	[ GET => "${META}delivery/", 'OPTIONS, POST' ], [ DELETE => $META, 'OPTIONS, GET, HEAD, POST' ])
{
	my $answer = ask(@$case[ 0, 1 ]);
	is("$answer->{status} $answer->{headers}{allow}", "405 $case->[2]", "$case->[0] is not taken");
}
is(ask(OPTIONS => "/webhook/ivr/exotel/$KEY{exotel}")->{status}, 204, 'OPTIONS tells what is');
is($site->sql('SELECT count(*) FROM wacta.inbox'), $before, 'and nothing came of any of it');

# Twilio's own proof, and an answer that it can read
$site->sql(q(UPDATE wacta.config SET base_url = 'https://crm.example.com'));
my $data = 'https://crm.example.com/webhook/ivr/twilio/CallSidCA1CallStatuscompletedFrom+919876500012To+911141112222';
my $form = { 'Content-Type' => 'application/x-www-form-urlencoded' };
my $twilio = ask(POST => '/webhook/ivr/twilio/', { %$form, 'X-Twilio-Signature' => hmac_sha1_base64($data, $KEY{twilio_token}) . '=' },
	'To=%2B911141112222&From=%2B919876500012&CallStatus=completed&CallSid=CA1');
is_deeply([ @$twilio{qw(status content)}, $twilio->{headers}{'content-type'} ], [ 200, '<?xml version="1.0" encoding="UTF-8"?><Response/>', 'text/xml; charset=utf-8' ], 'Twilio: signed, and answered in TwiML');
is(verdict(POST => '/webhook/ivr/twilio/', { %$form, 'X-Twilio-Signature' => hmac_sha1_base64($data, 'other') . '=' }, 'CallSid=CA1'), '403 twilio wrong signature', 'or refused');
is(verdict(POST => "/webhook/ivr/twilio/$KEY{twilio}/", $form, 'CallSid=CA2&From=%2B919876500012'), '200 twilio proved', 'or by a key');
is(ask(POST => "/webhook/ivr/exotel/$KEY{exotel}/", {}, $json)->{json}{status}, 'ok', 'others are answered in JSON');

# --- A thousand updates in 3 MB are one request
my @statuses = map { { id => 'wamid.' . 'x' x 40 . $_, status => 'delivered', timestamp => '1756188050', recipient_id => '919876543210', filler => 'f' x 2900 } } 1 .. 1000;
my $large = encode_json({ object => 'whatsapp_business_account', entry => [ { id => '1', changes => [ { field => 'messages', value => { statuses => \@statuses } } ] } ] });
cmp_ok(length $large, '>', 3_000_000, 'a body of 3 MB');
$before = $site->sql('SELECT count(*) FROM wacta.inbox');
my $began = time;
is(ask(POST => $META, { 'X-Hub-Signature-256' => signature($large) }, $large)->{status}, 200, 'is taken');
my $took = time - $began;
note sprintf 'in %.0f ms', 1000 * $took;
cmp_ok($took, '<', 5, 'before the sender loses patience');
is($site->sql('SELECT count(*) FROM wacta.inbox') - $before, 1, 'as one');
$site->wait_sql(q(SELECT items FROM wacta.inbox ORDER BY inbox_id DESC LIMIT 1), '1000', 'with all that it holds');
is($site->sql(q(SELECT octet_length(body) FROM wacta.inbox ORDER BY inbox_id DESC LIMIT 1)), length $large, 'and every byte');
is(ask(POST => $META, { 'X-Hub-Signature-256' => signature($large) }, $large . ' ' x (4 * 1024 * 1024 - length $large))->{status}, 403, 'a body of the largest size is looked at');
is(ask(POST => $META, {}, ' ' x (4 * 1024 * 1024 + 1))->{status}, 413, 'a larger one is not');

# --- No key is left behind: not with what is stored, nor in the logs
my @stored = split /\n/, $site->sql(q(SELECT headers::text || ' ' || encode(body, 'escape') || ' ' || coalesce(reason, '') || ' ' || errors::text FROM wacta.inbox));
cmp_ok(scalar @stored, '>', 60, 'all of that is stored');
$node->stop;
my %log = (server => slurp_file($node->logfile), gateway => $gateway->log_text, inbox => join "\n", @stored);
like($log{gateway}, qr{"method":"GET","route":"/webhook/ivr/\{source\}","status":200}, 'the gateway logs the route');
like($log{server}, qr/hidden by wacta/, 'the server logs what it may');
my %needle = (%KEY, %SECRET, map({ ("$_ encoded" => encoded($KEY{$_})) } keys %KEY), basic => encode_base64("tata:$KEY{tata}", ''));
for my $where (sort keys %log)
{
	is(join(' ', grep { index($log{$where}, $needle{$_}) >= 0 } sort keys %needle), '', "no key in what the $where keeps");
}
done_testing();
