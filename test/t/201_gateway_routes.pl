# What reaches the functions: routes, arguments, bodies, heads.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use Encode ();
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use WactaGateway;

my $node = stub_node('routes');
my $gateway = WactaGateway->start($node, arguments => [ '--max-body', '100kB', '--max-headers', '8kB' ]);

sub ask { return $gateway->request(@_) }

# What the function saw, or the answer's status if there was another one.
sub seen
{
	my $answer = ask(@_);
	return { status => $answer->{status} } unless $answer->{status} == 200;
	return decode_json($answer->{content});
}

sub agent { return { authorization => 'Bearer ' . jwt({ role => 'stub_agent' }) } }

# Each route finds its function, with and without a slash at its end.
for my $slash ('', '/')
{
	is(ask(GET => "/health$slash")->{status}, 200, "GET /health$slash");
	is(seen(GET => "/t/abc$slash")->{args}{token}, 'abc', "GET /t/abc$slash");
	is(seen(GET => "/track/12$slash?token=12:1:ab")->{args}{lead_id}, '12', "GET /track/12$slash");
	is(seen(POST => "/t/abc$slash")->{method}, 'POST', "POST /t/abc$slash");
	is(seen(GET => "/interactive-analytics$slash?days=7")->{args}{days}, '7', "analytics$slash");
	is(seen(GET => "/generate-ai-template$slash?project=p")->{args}{project}, 'p', "template$slash");
	is(seen(GET => "/whatsapp-interactive$slash")->{path}, '/whatsapp-interactive', "dashboard$slash");
	is(ask(POST => "/login$slash")->{status}, 303, "POST /login$slash");
	is_deeply(seen(GET => "/whatsapp-interactive/people$slash?show=read&q=%2B91&days=7&project=P&template=t&after=9")->{args},
		{ show => 'read', q => '+91', days => '7', project => 'P', template => 't', after => '9' }, "people$slash");
	is(seen(GET => "/whatsapp-interactive/people.csv$slash?show=sent")->{args}{show}, 'sent', "people.csv$slash");
	is_deeply(seen(POST => "/record-call$slash", { form => { lead_id => 7, result => 'done', note => 'n' } })->{args},
		{ lead_id => '7', result => 'done', note => 'n' }, "record-call$slash");
	is(seen(POST => "/whatsapp-interactive$slash", { form => { draft => '{}' } })->{args}{draft}, '{}', "a draft to check$slash");
	is(seen(POST => "/save-template$slash", { form => { draft => '{}' } })->{args}{draft}, '{}', "save-template$slash");
	is(seen(POST => "/submit-template$slash", { form => { template_id => 3 } })->{args}{template_id}, '3', "submit-template$slash");
	is(seen(POST => "/write-template$slash", { form => { wishes => 'w' } })->{args}{wishes}, 'w', "write-template$slash");
	is(seen(GET => "/login$slash?days=3")->{args}{days}, '3', "GET /login$slash is the dashboard");
	is(ask(POST => "/logout$slash")->{status}, 204, "POST /logout$slash");
	is(seen(GET => "/password$slash")->{path}, '/password', "GET /password$slash");
	is_deeply(seen(POST => "/password$slash", { form => { old_password => 'o', new_password => 'n' } })->{args}, { old_password => 'o', new_password => 'n' }, "POST /password$slash");
	is(seen(POST => "/webhook/whatsapp/integration$slash")->{path}, '/webhook/whatsapp/integration', "webhook$slash");
	is(seen(POST => "/webhook/whatsapp/integration/$_$slash")->{path}, "/webhook/whatsapp/integration/$_", "webhook/$_$slash")
	  for qw(delivery messages);
	is(seen(POST => "/webhook/ivr/smartflo$slash")->{headers}{'x-wacta-source'}, 'smartflo', "ivr$slash");
}

# Arguments: query, form and JSON; unknown ones are ignored, absent ones NULL.
is_deeply(seen(GET => '/t/abc?utm_source=x&fbclid=y&action=no%20way&lead_id')->{args},
	{ token => 'abc', action => 'no way', lead_id => '' }, 'unknown parameters are ignored');
is_deeply(seen(POST => '/t/abc?action=query&token=query', { form => { action => "body+&=\x{e4}", token => 'body', confirm => 1 } })->{args},
	{ token => 'abc', action => "body+&=\x{e4}", lead_id => undef, confirm => '1' },
	'path wins over body, body over query');
# The explicit yes takes the page's own form.
for my $link ('/t/abc?confirm=yes', '/track/12?token=12:1:ab&confirm=yes', '/t/abc%3Fconfirm=yes', '/t/abc?a.confirm=yes')
{
	is(seen(POST => $link)->{args}{confirm}, undef, "no yes by a link alone: $link");
	is(seen(POST => $link, { form => { confirm => 'no.' } })->{args}{confirm}, 'no', 'but by a form');
}
is(seen(POST => '/t/abc', { json => { confirm => 'yes' } })->{args}{confirm}, 'yes', 'or by JSON');
is(ask(POST => '/send-interactive-message/', { headers => agent(), content => '{"lead_id":12}' })->{status},
	415, 'JSON must say that it is JSON');
my $json = { %{ agent() }, 'content-type' => 'application/json; charset=utf-8' };
is_deeply(seen(POST => '/send-interactive-message/',
		{ headers => $json, content => '{"lead_id":12345678901,"template":"caf\u00e9","call_id":null,"other":[1]}' })->{args},
	{ lead_id => '12345678901', template => "caf\x{e9}", call_id => undef }, 'arguments of a JSON object');
is_deeply(seen(POST => '/send-interactive-message/',
		{ headers => $json, content => '{"lead_id":true,"template":{"a":[1,"x"]},"call_id":1.5}' })->{args},
	{ lead_id => 'true', template => '{"a":[1,"x"]}', call_id => '1.5' }, 'other JSON values as text');
for my $bad ('{"lead_id":', '[1]', '"x"', '{"lead_id":"\ud800"}', '{"a":"\u0000"}', "{\"a\":\"\xff\"}")
{
	is(ask(POST => '/send-interactive-message/', { headers => $json, content => $bad })->{json}{code},
		'PGRST102', "refused as JSON: " . quotemeta $bad);
}
for my $deep ('[' x 31 . ']' x 31, '"' . '[{' x 100 . '\"{"')
{
	is(seen(POST => '/send-interactive-message/', { headers => $json, content => qq({"template":$deep}) })->{args}{template},
		decode_json("[$deep]")->[0] =~ /^ARRAY/ ? $deep : '[{' x 100 . '"{', 'depth of ' . substr $deep, 0, 40);
}
is(ask(POST => '/send-interactive-message/', { headers => $json, content => '{"template":' . '[' x 32 . ']' x 32 . '}' })->{json}{code},
	'PGRST102', 'JSON too deep');
is(ask(POST => '/send-interactive-message/', { headers => $json })->{status}, 200, 'an empty body has no arguments');
is(ask(POST => '/t/x', { headers => { 'content-type' => 'multipart/form-data; boundary=x' }, content => 'x' })->{status},
	415, 'no multipart');
is(ask(GET => '/interactive-analytics?days=null')->{content}, 'null', 'a NULL of a JSON function');

# Mangled links still arrive.
for my $link ('/track/12%3Ftoken=12:1:ab%26action=interested',
	'/track/12%2F%3Ftoken%3D12:1:ab%26action%3Dinterested', '/track%2F12%3Ftoken%3D12:1:ab%26action%3Dinterested?fbclid=1',
	'/track/12?token=12%3A1%3Aab&action=interested.', '/track/12/?token=12:1:ab)&action=interested).',
	'http://other.example/track/12?token=12:1:ab&action=interested', '/track/12?token=12:1:ab&action=interested#top')
{
	my $raw = $gateway->raw("GET $link HTTP/1.0\r\n\r\n");
	my ($body) = $raw =~ /\r\n\r\n(.*)/s;
	is_deeply((eval { decode_json($body)->{args} } // $raw),
		{ lead_id => '12', token => '12:1:ab', action => 'interested' }, "understood: $link");
}
is(seen(GET => '/t/abc.)')->{args}{token}, 'abc', 'what surrounded a link is cut off');
is(seen(GET => '/t/abc%3Faction=x')->{args}{action}, 'x', 'an encoded question mark begins the query');
is(seen(GET => '/t/a%ffb%00c%zz')->{args}{token}, "a\x{fffd}b\x{fffd}c%zz", 'what is no text is replaced');
is(seen(GET => '/t/%F0%9F%99%82%ED%A0%80')->{args}{token}, "\x{1f642}\x{fffd}\x{fffd}\x{fffd}", 'as PostgreSQL defines it');

# The subscription check of the WhatsApp webhook.
my $hub = ask(GET => '/webhook/whatsapp/integration/?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=v');
is_deeply([ @$hub{qw(status content)}, $hub->{headers}{'content-type'} ], [ 200, '1158201444', 'text/plain' ],
	'of a dotted name the last part counts');

# Raw bodies arrive byte for byte.
my $all = join '', map { chr } 0 .. 255;
for my $body ($all, $all x 300, '', '{"a": 1,"a":2, "s":"\u0000"}')
{
	for my $type ('application/json', 'text/plain', 'image/x-nothing')
	{
		my $answer = seen(POST => '/webhook/whatsapp/integration/', { headers => { 'content-type' => $type }, content => $body });
		is($answer->{args}{sha256}, sha256_hex($body), length($body) . " bytes of $type");
	}
}
my $chunked = $gateway->raw("POST /webhook/whatsapp/integration/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
	"5\r\nhello\r\n", "3\r\n", "abc\r\n0\r\n\r\n");
like($chunked, qr/${\sha256_hex('helloabc')}/, 'a chunked body');

# A webhook's secret may come in three ways, and stays out of everything else.
my $key = 'k-3f9ac1';
my $ivr = seen(POST => "/webhook/ivr/smartflo/?key=$key&x=1", { content => 'a=1', headers => { 'content-type' => 'text/plain' } });
is_deeply([ $ivr->{headers}{'x-wacta-key'}, $ivr->{args}{body}, $ivr->{path} ], [ $key, 'a=1', '/webhook/ivr/{source}' ], 'key in the query');
is(seen(POST => "/webhook/ivr/smartflo/$key/")->{headers}{'x-wacta-key'}, $key, 'key in the path');
is(seen(POST => "/webhook/whatsapp/integration/delivery/$key")->{headers}{'x-wacta-key'}, $key, 'key in a webhook path');
is(seen(POST => "/webhook/ivr/smartflo/pathkey/?key=querykey", { headers => { 'X-Wacta-Key' => $key } })->{headers}{'x-wacta-key'},
	$key, 'a header goes before both');
my $get = seen(GET => "/webhook/ivr/smartflo/?caller=%2B91&key=$key&b=2");
is_deeply([ $get->{args}{body}, $get->{headers}{'x-wacta-key'}, $get->{headers}{'content-type'}, $get->{method}, $get->{read_only} ],
	[ 'caller=%2B91&b=2', $key, 'application/x-www-form-urlencoded', 'POST', 'off' ], 'an IVR GET is a POST of its query');
for my $odd ('a/b+c==', 'a b&c=d#e', "\x{e9}%41", '/x', '.')
{
	my $encoded = join '', map { sprintf '%%%02X', $_ } unpack 'C*', Encode::encode('UTF-8', $odd);
	is(seen(POST => "/webhook/ivr/smartflo/$encoded/")->{headers}{'x-wacta-key'}, $odd, "a key in the path may be any text: $encoded");
}
is(seen(POST => $_)->{headers}{'x-wacta-key'}, $key, "encoded as a whole: $_")
  for "/webhook/ivr/smartflo%2F$key%2F", "/webhook/ivr/smartflo/$key%2F", "/webhook/ivr/smartflo%3Fkey%3D$key", "/webhook/ivr/smartflo/%3Fkey%3D$key%26a%3Db", "/webhook%2Fwhatsapp%2Fintegration%2F$key";
is(seen(GET => "/webhook/ivr/smartflo/$key?key=5&a=b")->{args}{body}, 'key=5&a=b', 'with a key in the path "key" is a field');
is(seen(POST => "/webhook/ivr/smartflo/$key?a=b", { content => '' })->{args}{body}, 'a=b', 'a POST without a body says all in its query');
is(seen(POST => "/webhook/ivr/smartflo/$key?a=b", { content => 'c' })->{args}{body}, 'c', 'one with a body does not');
is(seen(POST => "/webhook/whatsapp/integration/$key?a=b", { content => '' })->{args}{length}, 0, 'nor do messages');
is(seen(GET => "/webhook/ivr/smartflo/?&&a=1&&&&key=$key&&b=2&&")->{args}{body}, 'a=1&b=2', 'without empty pairs');

# The head: lower-case names, joined lines, nothing of ours from outside.
my $head = seen(GET => '/t/x', { headers => {
	'X-Test' => [ 'one', 'two' ], 'X-Wacta-Peer' => '6.6.6.6', 'X-Wacta-Source' => 'forged',
	'X-Forwarded-For' => '1.2.3.4', cookie => 'a=1; b="x=y"; c' } });
is($head->{headers}{'x-test'}, 'one, two', 'lines of one name are a list');
is($head->{headers}{'x-wacta-peer'}, '127.0.0.1', 'the peer is the socket\'s');
like($gateway->raw("GET /t/x HTTP/1.0\r\nX-Raw: \xe9\r\n\r\n"), qr/"x-raw":"\xef\xbf\xbd"/, 'what is no UTF-8 is replaced');
ok(!exists $head->{headers}{'x-wacta-source'}, 'x-wacta-* from outside is dropped');
ok(!exists $head->{headers}{cookie}, 'cookies are apart');
is_deeply($head->{cookies}, { a => '1', b => '"x=y"' }, 'request.cookies');
is_deeply([ @$head{qw(role method path read_only)} ], [ 'stub_anon', 'GET', '/t/{token}', 'on' ], 'settings of a GET');

# Methods.
my $page = ask(GET => '/t/bytes');
my $heads = ask(HEAD => '/t/bytes');
is_deeply([ $heads->{status}, $heads->{headers}{'content-length'}, $heads->{content} // '' ],
	[ 200, length $page->{content}, '' ], 'HEAD is GET without its body');
is($page->{content}, "\x00\xff\x0d\x0a\x80", 'a body of any bytes');
is(ask(HEAD => '/webhook/ivr/smartflo/')->{status}, 405, 'HEAD never writes');
my $options = ask(OPTIONS => '/t/x');
is_deeply([ $options->{status}, $options->{headers}{allow} ], [ 204, 'OPTIONS, GET, HEAD, POST' ], 'OPTIONS');
my @refusals = (
	[ DELETE => '/t/x',     405, 'OPTIONS, GET, HEAD, POST' ],
	[ PUT    => '/health/', 405, 'OPTIONS, GET, HEAD' ],
	[ GET    => '/logout/', 405, 'OPTIONS, POST' ],
	[ POST   => '/health/', 405, 'OPTIONS, GET, HEAD' ],
	map { [ GET => $_, 404, undef ] } '/', '/t', '/t/', '/t//', '/t/a/b', '/health/x', '/Health', '//health',
	'/webhook/ivr', '/webhook/ivr/a/b/c', '/' . 'a/' x 50);
for my $case (@refusals)
{
	my ($method, $path, $status, $allow) = @$case;
	my $answer = ask($method => $path);
	is_deeply([ $answer->{status}, $answer->{headers}{allow}, $answer->{headers}{'content-type'} ],
		[ $status, $allow, 'application/json; charset=utf-8' ], "$method " . substr($path, 0, 30) . " is $status");
}

# Sizes.
is(ask(POST => '/webhook/ivr/x/', { content => 'x' x 102400 })->{status}, 200, 'a body of the largest size');
is(ask(POST => '/webhook/ivr/x/', { content => 'x' x 102401 })->{status}, 413, 'one byte more is refused');
like($gateway->raw("POST /webhook/ivr/x/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
		map({ "8000\r\n" . 'x' x 32768 . "\r\n" } 1 .. 4), "0\r\n\r\n"), qr{^HTTP/1.1 413}, 'also in chunks');
my $form = { 'content-type' => 'application/x-www-form-urlencoded' };
for my $path ('/t/x', '/login/', '/generate-ai-template/')
{
	my $answer = ask(POST => $path, { headers => { %$form, %{ agent() } }, content => '&' x 65530 . 'days=3' });
	unlike($answer->{status}, qr/^4/, "a form of the largest size: $path");
	$answer = ask(POST => $path, { headers => { %$form, %{ agent() } }, content => '&' x 65531 . 'days=3' });
	is_deeply([ $answer->{status}, $answer->{json}{code}, $answer->{headers}{connection} ], [ 413, '54000', 'close' ], 'one byte more is refused');
}
is(ask(POST => '/send-interactive-message/', { headers => $json, content => '{"template":"' . 'x' x 65536 . '"}' })->{status}, 413, 'JSON too large');
like($gateway->raw("GET /health/ HTTP/1.1\r\nX: " . 'x' x 9000 . "\r\n\r\n"), qr{^HTTP/1.1 4}, 'a head too large');

# Several requests on one connection.
my $answers = $gateway->raw("GET /health/ HTTP/1.1\r\nHost: x\r\n\r\n" x 3 . "GET /t/last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
is(scalar(() = $answers =~ m{HTTP/1.1 200}g), 4, 'pipelined requests are answered one after the other');
like($answers, qr/last/, 'to the last');

is($node->safe_psql('stub', q(SELECT count(*) FROM written WHERE what = 'ivr' AND id < 0)), 0, 'the database is well');
done_testing();
