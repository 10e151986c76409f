# A person who went the whole way (call, pitch, tap, brochure, message, STOP) and was forgotten is in no dump of the database, in
# whatever form; the figures are as before, and the number stays suppressed when it is entered again.
use strict;
use warnings;
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Site;

my $site = Wacta::Site->start('crm');
my ($asha, $ravi) = ('+919876512345', '+919876554321');
my $name = 'Ashalata Deshpande';

# Messages of several people in one webhook, stored and applied as the gateway would have it.
sub wrote
{
	my ($time, @said) = @_;
	my (@contacts, @messages);
	for (@said)
	{
		my ($number, $who, $text) = @$_;
		$number =~ s/^\+//;
		my $id = 'wamid.' . encode_base64("$number$time", '');
		push @contacts, { profile => { name => $who }, wa_id => $number };
		push @messages, { from => $number, id => $id, timestamp => "$time", type => 'text', text => { body => $text } };
	}
	my $body = encode_json({ object => 'whatsapp_business_account', entry => [ { id => '1', changes => [ { field => 'messages',
		value => { messaging_product => 'whatsapp', metadata => { phone_number_id => '106540352242922' }, contacts => \@contacts, messages => \@messages } } ] } ] });
	$site->sql("INSERT INTO wacta.inbox (provider, kind, body, proved) VALUES ('meta', 'whatsapp', '\\x" . unpack('H*', $body) . "', true);
		SELECT wacta.replay(max(inbox_id)) FROM wacta.inbox");
}

$site->post_call($asha, 'call-of-asha');
$site->post_call($ravi, 'call-of-ravi');
$site->wait_sql('SELECT count(*) FROM wacta.ivr_call', '2', 'both have called');
$site->sql("SELECT wacta.upsert_lead('$asha', '$name')");
$site->sql('SELECT wacta.process_ivr()');
$site->wait_sql(q(SELECT count(*) FROM wacta.message WHERE status = 'read'), '2', 'both have read the pitch');
$site->tap($asha, 'Interested');
$site->wait_sql(q(SELECT count(*) FROM wacta.message WHERE status = 'read'), '3', 'and she has the brochure');
wrote(1756188000, [ $ravi, 'Ravi', 'hello' ], [ $asha, $name, "I am $name, ring me on 98765 12345" ]);
wrote(1756188060, [ $asha, $name, 'STOP' ]);
$site->sql("SELECT wacta.add_note(wacta.lead_by_phone('$asha'), 'Her husband is at 0 98765-12345, too')");
my $ashas_lead = $site->sql("SELECT wacta.lead_by_phone('$asha')");
is($site->sql("SELECT consent FROM wacta.lead WHERE lead_id = $ashas_lead"), 'withdrawn', 'she has withdrawn consent');

# Nothing moves while we look.
$site->wait_sql('SELECT count(*) FROM wacta.inbox WHERE applied_at IS NULL', '0', 'all webhooks are applied');
$site->gateway->stop;
$site->node->append_conf('postgresql.conf', q(wacta.databases = ''));
$site->node->reload;
wait_for_courier($site->node, 'crm', 0);

# The data of a dump, and all that is hidden in it as hexadecimal (bytea) or base64 (the provider's ids).
sub dump_text
{
	my $file = PostgreSQL::Test::Utils::tempdir() . '/data.sql';
	$site->node->command_ok([ 'pg_dump', '--data-only', '-f', $file, '-d', $site->node->connstr('crm') ], 'pg_dump --data-only');
	my $text = slurp_file($file);
	my @hidden = map { pack 'H*', $_ } $text =~ /\\\\x((?:[0-9a-f]{2})+)/g;
	return join "\n", $text, @hidden, map { decode_base64($_) } map { /wamid\.([A-Za-z0-9+\/=]{12,})/g } $text, @hidden;
}

# Her number in any form, and her name.
my %trace = (
	'the number' => qr/98765[-. ()%0-9A-F]{0,6}12345/,
	'the name'   => qr/ashalata|deshpande/i);
my $figures = 'SELECT a::text || m::text FROM wacta.analytics() a, wacta.message_accounting m';
my $before = $site->sql($figures);

my $text = dump_text();
ok($text =~ $trace{$_}, "before: $_ is in the dump") for sort keys %trace;
ok($text =~ qr/9876554321/, 'and so is the other person');

my $counts = $site->sql("SELECT wacta.forget('98765 12345')");
note $counts;
$text = dump_text();
ok($text !~ $trace{$_}, "afterwards: $_ is not") for sort keys %trace;
ok($text =~ qr/9876554321/, 'the other person still is');
is($site->sql($figures), $before, 'the figures are the same');
is($site->sql("SELECT string_agg(kind, ' ' ORDER BY event_id) FROM wacta.consent_event WHERE lead_id = $ashas_lead"),
	'call click word erasure', 'the ledger proves what she had said');

# The number again: a call, an entry, the old id.
$site->sql("SELECT wacta.send_interactive($ashas_lead)");
is($site->sql("SELECT status || ' ' || reason FROM wacta.message WHERE lead_id = $ashas_lead ORDER BY message_id DESC LIMIT 1"),
	'suppressed opted_out', 'nothing is sent by the old id');
my $again = $site->sql("SELECT wacta.upsert_lead('$asha')");
isnt($again, $ashas_lead, 'entered again she is a new lead');
is($site->sql("SELECT passed FROM wacta.explain_send($again) WHERE gate = 'consent'"), 'f', 'to whom nothing may be sent');

done_testing();
