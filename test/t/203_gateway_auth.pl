# Who is asking: tokens, cookies, roles, other sites.
use strict;
use warnings;
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Utils;
use Test::More;
use WactaGateway;

my $node = stub_node('auth');
my $gateway = WactaGateway->start($node);
my $now = time;

sub bearer { return { headers => { authorization => "Bearer $_[0]" } } }

# Role, or status and code of the refusal
sub role_by
{
	my ($with, $path) = @_;
	my $answer = $gateway->request(GET => $path // '/t/x', $with);
	return "$answer->{status} $answer->{json}{code}" unless $answer->{status} == 200;
	return decode_json($answer->{content})->{role};
}

my $good = jwt({ role => 'stub_agent', exp => $now + 60 });
is(role_by({}), 'stub_anon', 'no token');
is(role_by(bearer($good)), 'stub_agent', 'a good token');
is(role_by({ headers => { authorization => "bearer   $good" } }), 'stub_agent', 'the scheme in small letters');
is(role_by(bearer(jwt({ org => 7 }))), 'stub_anon', 'a token without a role');
is(role_by({ headers => { authorization => 'Basic eDp5' } }), 'stub_anon', 'another scheme is not ours');

my %refused = (
	'expired' => jwt({ role => 'stub_agent', exp => $now - 60 }),
	'not yet valid' => jwt({ role => 'stub_agent', nbf => $now + 120 }),
	'issued in the future' => jwt({ role => 'stub_agent', iat => $now + 120 }),
	'expiry is no number' => jwt({ role => 'stub_agent', exp => 'never' }),
	'another secret' => jwt({ role => 'stub_agent' }, secret => 'b' x 32),
	'an empty secret' => jwt({ role => 'stub_agent' }, secret => ''),
	'alg none' => jwt({ role => 'stub_agent' }, header => { alg => 'none' }),
	'alg none without signature' => encode_base64url('{"alg":"none"}') . '.' . encode_base64url('{"role":"stub_agent"}') . '.',
	'alg None' => jwt({ role => 'stub_agent' }, header => { alg => 'None' }),
	'alg RS256' => jwt({ role => 'stub_agent' }, header => { alg => 'RS256' }),
	'alg HS512' => jwt({ role => 'stub_agent' }, header => { alg => 'HS512' }),
	'no alg' => jwt({ role => 'stub_agent' }, header => { typ => 'JWT' }),
	'alg a number' => jwt({ role => 'stub_agent' }, header => { alg => 256 }),
	'a critical extension' => jwt({ role => 'stub_agent' }, header => { alg => 'HS256', crit => ['b64'], b64 => JSON::PP::false }),
	'changed payload' => $good =~ s/\.[^.]+\./'.' . encode_base64url('{"role":"stub_admin"}') . '.'/er,
	'cut off' => substr($good, 0, -3),
	'claims are an array' => jwt('["stub_agent"]'),
	'claims are no JSON' => jwt('hello'),
	'two parts' => 'a.b', 'nothing' => '..', 'empty' => '', 'four parts' => "$good.x",
	'very long' => 'a' x 5000 . '.b.c');
for my $what (sort keys %refused)
{
	is(role_by(bearer($refused{$what})), '401 PGRST301', "refused: $what");
	is(role_by({ headers => { cookie => "wacta_session=$refused{$what}" } }), 'stub_anon', 'as a cookie it is none');
}
like($gateway->raw("GET /t/x HTTP/1.0\r\nAuthorization: Bearer $good\x01\r\n\r\n"), qr{^HTTP/1.0 401}, 'refused: odd characters');
is(role_by(bearer(jwt({ role => 'stub_agent', exp => $now - 10, nbf => $now + 10 }))), 'stub_agent', 'clocks may differ a little');
like($gateway->request(GET => '/t/x', bearer('a.b.c'))->{headers}{'www-authenticate'}, qr/^Bearer/, 'and says what it wants');

# Roles: only what the login may take
for my $role ('nobody', 'postgres', 'stub_gateway', 'stub_stranger', 'none', '', 'x' x 64, 'stub_agent"; RESET ROLE', "stub_agent\n")
{
	is(role_by(bearer(jwt({ role => $role }))), '403 42501', 'no such role for a token: ' . quotemeta $role);
}
is(role_by(bearer(jwt({ role => ['stub_agent'] }))), '403 42501', 'a role that is no text');
is($gateway->request(POST => '/send-interactive-message/')->{status}, 401, 'a function that strangers may not call');
is($gateway->request(POST => '/send-interactive-message/', bearer($good))->{status}, 200, 'but this role may');

my $seen = decode_json($gateway->request(GET => '/t/x', bearer(jwt({ role => 'stub_agent', sub => 'ann' })))->{content});
is_deeply($seen->{claims}, { role => 'stub_agent', sub => 'ann' }, 'request.jwt.claims');
ok(!exists $seen->{headers}{authorization}, 'the token itself goes no further');

# A webhook's bearer token is its provider's own.
for my $token ($good, 'static-secret', jwt({ role => 'stub_agent', exp => $now - 60 }), '')
{
	for my $path ('/webhook/whatsapp/integration/', '/webhook/whatsapp/integration/delivery/', '/webhook/ivr/smartflo/')
	{
		my $with = { headers => { authorization => "Bearer $token", cookie => "wacta_session=$good" } };
		my $answer = decode_json($gateway->request(POST => $path, $with)->{content});
		is_deeply([ $answer->{role}, $answer->{headers}{authorization} ], [ 'stub_anon', "Bearer $token" =~ s/ $//r ], "passed to $path");
	}
}

# The session cookie, and posts from elsewhere with it
my $cookie = { cookie => "theme=dark; wacta_session=$good" };
is(role_by({ headers => $cookie }), 'stub_agent', 'a good cookie');
is(role_by({ headers => { %$cookie, authorization => 'Bearer ' . jwt({ role => 'stub_anon' }) } }), 'stub_anon', 'a bearer token goes first');
my $host = '127.0.0.1:' . $gateway->port;
my @posts = (
	[ {}, 200 ], [ { origin => "http://$host" }, 200 ], [ { 'sec-fetch-site' => 'same-origin', origin => "http://$host" }, 200 ],
	[ { origin => 'http://evil.example' }, 403 ], [ { origin => 'null' }, 403 ], [ { origin => '' }, 403 ],
	[ { origin => "http://$host.evil.example" }, 403 ], [ { origin => 'http://127.0.0.1:1' }, 403 ],
	[ { 'sec-fetch-site' => 'cross-site' }, 403 ], [ { 'sec-fetch-site' => 'cross-site', origin => "http://$host" }, 403 ]);
for my $post (@posts)
{
	my ($headers, $status) = @$post;
	my $what = join ' ', map { "$_=$headers->{$_}" } sort keys %$headers;
	is($gateway->request(POST => '/send-interactive-message/', { headers => { %$cookie, %$headers } })->{status}, $status,
		"post with the cookie: $what");
}
like($gateway->raw("POST /t/x HTTP/1.1\r\nHost: crm.example:443\r\nOrigin: https://CRM.example\r\nCookie: wacta_session=$good\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
	qr{^HTTP/1.1 200}, 'the standard port may be spelt out');
is($gateway->request(POST => '/send-interactive-message/',
		{ headers => { origin => 'http://evil.example', authorization => "Bearer $good" } })->{status}, 200, 'a bearer token may come from anywhere');
is($gateway->request(POST => '/t/x', { headers => { origin => 'http://evil.example' } })->{status}, 200, 'a stranger too');

# Signing in and out is nobody else's, with or without a cookie.
my @session_posts = (@posts, [ { origin => 'null', 'sec-fetch-site' => 'same-origin' }, 200 ],
	[ { origin => 'null', 'sec-fetch-site' => 'none' }, 403 ], [ { origin => 'http://evil.example', 'sec-fetch-site' => 'same-origin' }, 403 ],
	[ { origin => 'http://evil.example', authorization => "Bearer $good" }, 403 ], [ { 'sec-fetch-site' => 'none' }, 200 ]);
for my $post (@session_posts)
{
	my ($headers, $status) = @$post;
	my $what = join ' ', map { "$_=$headers->{$_}" } sort keys %$headers;
	for my $case ([ '/login/', 303 ], [ '/logout/', 204 ])
	{
		my ($path, $good_status) = @$case;
		is($gateway->request(POST => $path, { headers => $headers })->{status}, $status == 200 ? $good_status : 403, "post to $path: $what");
	}
}
is($gateway->request(GET => '/login/', { headers => { 'sec-fetch-site' => 'cross-site' } })->{status}, 200, 'a link to the form may stand anywhere');

# The proxy's word for the address
sub peer
{
	my ($door, $forwarded) = @_;
	my $answer = $door->request(GET => '/t/x', { headers => { 'x-forwarded-for' => $forwarded } });
	return decode_json($answer->{content})->{headers}{'x-wacta-peer'};
}
my $behind = WactaGateway->start($node, arguments => ['--trust-proxy']);
is(peer($gateway, '1.2.3.4'), '127.0.0.1', 'without trust the socket counts');
is(peer($behind, '9.9.9.9, 1.2.3.4'), '1.2.3.4', 'with it the last that the proxy added');
is(peer($behind, [ '9.9.9.9', '2001:db8::1' ]), '2001:db8::1', 'also in several lines');
is(peer($behind, '1.2.3.4, "><script>'), '127.0.0.1', 'if it is an address');
like($behind->log_text, qr/"peer":"1\.2\.3\.4"/, 'and in the log');
is(peer($behind, '1.2.3.4, 10.0.0.1'), '10.0.0.1', 'whoever connects is trusted, and nobody else');
# Named proxies, one behind the other: the last entry that a trusted one has written
my $named = WactaGateway->start($node, arguments => [ '--trusted-proxies', '127.0.0.1, 10.0.0.0/9 2001:db8::/33' ]);
my %through = (
	'1.2.3.4' => '1.2.3.4', '1.2.3.4, 10.0.0.1' => '1.2.3.4', '6.6.6.6, 1.2.3.4, 10.127.255.255' => '1.2.3.4', '1.2.3.4, 10.128.0.0' => '10.128.0.0',
	'1.2.3.4,2001:db8:7fff::1 , 10.0.0.1' => '1.2.3.4', '1.2.3.4, 2001:db8:8000::1' => '2001:db8:8000::1', '10.0.0.2, 10.0.0.1' => '10.0.0.2', '1.2.3.4, junk, 10.0.0.1' => '10.0.0.1',
	'1.2.3.4:80' => '1.2.3.4', '[2001:DB9::1]:80' => '2001:db9::1', '[2001:db9::1' => '2001:db9::1', '::ffff:1.2.3.4' => '1.2.3.4', '1.2.3.4, ::ffff:10.0.0.1' => '1.2.3.4', '::1' => '::1',
	'' => '127.0.0.1', ' , ,' => '127.0.0.1', '1.2.3' => '127.0.0.1', '1.2.3.4/8' => '127.0.0.1', '1.2.3.4 6.6.6.6' => '6.6.6.6', 'unix:' => '127.0.0.1', '[' => '127.0.0.1', ':' => '127.0.0.1');
is(peer($named, $_), $through{$_}, "named proxies: '$_'") for sort keys %through;
is(peer($named, [ '6.6.6.6, 1.2.3.4', '10.0.0.1' ]), '1.2.3.4', 'through several lines');
my $strict = WactaGateway->start($node, arguments => [ '--trusted-proxies', '10.0.0.0/8' ]);
is(peer($strict, '1.2.3.4'), '127.0.0.1', 'who connects is no proxy');

# A new secret, read on SIGHUP
my $other = 'another secret of thirty-two characters';
WactaGateway::write_secret($gateway->{secret_file}, "too short\n");
kill 'HUP', $gateway->pid;
ok(until_true(sub { $gateway->log_text =~ /shorter than 32 bytes/ }, 10), 'a secret that cannot be used');
is(role_by(bearer($good)), 'stub_agent', 'leaves the old one in force');
WactaGateway::write_secret($gateway->{secret_file}, "$other\n");
kill 'HUP', $gateway->pid;
ok(until_true(sub { role_by(bearer(jwt({ role => 'stub_agent' }, secret => $other))) eq 'stub_agent' }, 10), 'the new secret');
is(role_by(bearer($good)), '401 PGRST301', 'ends the tokens of the old one');

# Keys as JSON
my $k = encode_base64url('s' x 32);
WactaGateway::write_secret($gateway->{secret_file}, qq({"keys":[{"kty":"oct","kid":"a","k":"$k"},{"kty":"oct","kid":"b","k":"${\encode_base64url('t' x 40)}"}]}));
kill 'HUP', $gateway->pid;
ok(until_true(sub { role_by(bearer(jwt({ role => 'stub_agent' }, secret => 't' x 40))) eq 'stub_agent' }, 10), 'a set of keys');
is(role_by(bearer(jwt({ role => 'stub_agent' }, secret => 's' x 32, header => { alg => 'HS256', kid => 'a' }))), 'stub_agent', 'chosen by kid');
is(role_by(bearer(jwt({ role => 'stub_agent' }, secret => 's' x 32, header => { alg => 'HS256', kid => 'b' }))), '401 PGRST301', 'and no other');

SKIP:
{
	my ($key, $text) = $node->basedir . '/rsa.pem';
	skip 'no openssl program', 3 unless eval { run_log([ 'openssl', 'genrsa', '-out', $key, '2048' ]) };
	my ($modulus) = `openssl rsa -in '$key' -noout -modulus` =~ /=([0-9A-F]+)/;
	WactaGateway::write_secret($gateway->{secret_file},
		sprintf '{"kty":"RSA","n":"%s","e":"AQAB"}', encode_base64url(pack 'H*', $modulus));
	kill 'HUP', $gateway->pid;
	$text = encode_base64url('{"alg":"RS256"}') . '.' . encode_base64url('{"role":"stub_agent"}');
	append_to_file($node->basedir . '/signed', $text);
	my $signature = `openssl dgst -sha256 -sign '$key' '${\$node->basedir}/signed'`;
	ok(until_true(sub { role_by(bearer("$text." . encode_base64url($signature))) eq 'stub_agent' }, 10), 'a key of RSA takes RS256');
	is(role_by(bearer(jwt({ role => 'stub_agent' }, secret => pack 'H*', $modulus))), '401 PGRST301', 'and is no shared secret');
	is(role_by(bearer("$text." . encode_base64url('x' x 256))), '401 PGRST301', 'nor is any signature good');
}

my $log = $gateway->log_text;
unlike($log, qr/eyJ|\Q$secret\E|\Q$other\E/, 'neither tokens nor secrets in the log');
done_testing();
