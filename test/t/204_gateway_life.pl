# Start, waits, outages, stop; the log and the settings.
use strict;
use warnings;
use JSON::PP;
use Socket qw(SOL_SOCKET SO_LINGER);
use IO::Socket::UNIX;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use WactaGateway;

my $node = stub_node('life');

# begin(gateway, request): sends it and returns the socket, to be read later.
sub begin
{
	my ($gateway, $request) = @_;
	my $socket = $gateway->socket;
	syswrite $socket, $request;
	return $socket;
}

sub busy { return $node->safe_psql('stub', q(SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep')) }

sub get { return "GET $_[0] HTTP/1.1\r\nHost: x\r\n\r\n" }

sub post_form
{
	my ($path, $form) = @_;
	return "POST $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " . length($form) . "\r\n\r\n$form";
}

# Help and refusals
my ($out, $err);
IPC::Run::run([ gateway_program(), '--help' ], '>', \$out, '2>', \$err);
like($out, qr/--jwt-secret-file FILE.*WACTA|WACTA.*--jwt-secret-file FILE/s, '--help teaches flags and environment');
my $short = $node->basedir . '/short';
WactaGateway::write_secret($short, 'short');
my $open = $node->basedir . '/open';
WactaGateway::write_secret($open, 'x' x 40);
chmod 0644, $open;
my $conf = $node->basedir . '/conf';
append_to_file($conf, "# a comment\n\nqueue-timeout = 250ms\nno-such = 1\n");
for my $case (
	[ [ '--nonsense', '1' ], qr/no such setting/ ], [ ['--pool'], qr/needs a value/ ], [ [ '--pool', '0' ], qr/positive/ ],
	[ ['--pool=8x'], qr/positive/ ], [ ['stray'], qr/begin with/ ], [ [ '--db', 'host=x password=y' ], qr/no password/ ],
	[ [ '--db', 'postgres://u:p@h/d' ], qr/no password/ ], [ [ '--db', 'nonsense' ], qr/not a connection string/ ],
	[ [ '--jwt-secret-file', $short ], qr/shorter than 32/ ], [ [ '--jwt-secret-file', $open ], qr/everybody/ ],
	[ [ '--jwt-secret-file', '/no/such' ], qr/could not open/ ], [ [ '--listen', 'nowhere' ], qr/host:port/ ],
	[ [ '--config', $conf ], qr/"no-such": there is no such setting/ ], [ ['--trust-proxy=maybe'], qr/on or off/ ],
	(map { [ [ '--trusted-proxies', $_ ], qr/list of addresses/ ] } '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/8x', '::/129', 'proxy.example', '10.0.0.1 and', '127.0.0.1:80'),
	[ [ '--config', '/no/such' ], qr/No such file/ ])
{
	my ($arguments, $why) = @$case;
	my $good = IPC::Run::run([ gateway_program(), @$arguments ], '>', \$out, '2>', \$err, IPC::Run::timeout(20));
	ok(!$good, "refused: @$arguments");
	like($err, $why, 'for the right reason');
	unlike($err, qr/password=y|u:p/, 'and without repeating a secret');
}

# Flags win over the environment, that over the file.
my $file = $node->basedir . '/gateway.conf';
append_to_file($file, "anon-role = stub_agent\npool = 1\naccess-log = off\n");
my $set = WactaGateway->start($node, env => { WACTA_GATEWAY_CONFIG => $file, WACTA_GATEWAY_ACCESS_LOG => 'on' });
is(decode_json($set->request(GET => '/t/x')->{content})->{role}, 'stub_anon', 'a flag over the file');
ok(until_true(sub { $set->log_text =~ /"route":"\/t\/\{token\}"/ }, 5), 'the environment over the file');
is($node->safe_psql('stub', q(SELECT count(*) FROM pg_stat_activity WHERE usename = 'stub_gateway')), 1, 'the file over the default');
$set->stop;

# The log: patterns, never targets.
my $gateway = WactaGateway->start($node, arguments => [ '--pool', '2', '--queue-timeout', '400ms', '--queue', '3',
	'--request-timeout', '3s', '--statement-timeout', '10s' ]);
$gateway->request(GET => '/t/SECRETTOKEN?token=SECRETQUERY');
$gateway->request(GET => '/no/SECRETPATH');
$gateway->request(POST => '/webhook/ivr/smartflo/SECRETKEY/?key=SECRETQUERY', { content => 'SECRETBODY' });
$gateway->request(GET => '/t/raise-XX000?action=SECRETQUERY');
ok(until_true(sub { () = $gateway->log_text =~ /"status"/g; $gateway->log_text =~ /"status":500/ }, 5), 'requests are logged');
unlike($gateway->log_text, qr/SECRET/, 'without what is secret in them');
my @lines = map { eval { decode_json($_) } } grep { /^\{/ } split /\n/, $gateway->log_text;
is_deeply([ map { $_->{route} } @lines ], [ '/t/{token}', undef, '/webhook/ivr/{source}', '/t/{token}' ], 'as lines of JSON with the route');
is_deeply([ map { $_->{status} } @lines ], [ 200, 404, 200, 500 ], 'the status');
ok(!grep({ $_->{ms} <= 0 || $_->{peer} ne '127.0.0.1' } @lines), 'time and peer');

# All connections busy: some wait, too many are refused, those in time are served.
my @sleepers = map { begin($gateway, get('/t/sleep-1.5')) } 1 .. 2;
ok(until_true(sub { busy() == 2 }, 10), 'two requests take both connections');
my $began = time;
my $late = $gateway->request(GET => '/health/');
is($late->{status}, 503, 'a third waits in vain');
like($late->{headers}{'retry-after'}, qr/^\d+$/, 'and is told when to come again');
cmp_ok(time - $began, '>', 0.35, 'not before its time');
my @waiting = map { begin($gateway, get('/health/')) } 1 .. 3;
sleep 0.1;
$began = time;
is($gateway->request(GET => '/health/')->{status}, 503, 'a full queue refuses');
cmp_ok(time - $began, '<', 0.3, 'at once');
is($gateway->request(GET => '/nowhere')->{status}, 404, 'what needs no database is answered meanwhile');
like($gateway->drain($_, 5), qr{^HTTP/1.1 200}, 'those that run finish') for splice @sleepers;
like($gateway->drain($_), qr{^HTTP/1.1 503}, 'those that waited too long were refused') for @waiting;
is($gateway->request(GET => '/health/')->{status}, 200, 'and all is well again');

# Passwords take long to check: two at once, whoever sends them, and a few that wait.
my $wide = WactaGateway->start($node, arguments => [ '--pool', '4' ]);
my @logins = map { begin($wide, post_form('/login/', 'username=sleep-1.5')) } 1 .. 2;
ok(until_true(sub { busy() == 2 }, 10), 'two logins are under way');
my @queued = map { begin($wide, post_form('/login/', 'username=ann')) } 1 .. 16;
sleep 0.2;
$began = time;
my $third = $wide->request(POST => '/login/', { form => { username => 'ann' }, headers => { accept => 'text/html' } });
is_deeply([ $third->{status}, $third->{headers}{'retry-after'} ], [ 429, 2 ], 'beyond them they are refused');
like($third->{content}, qr/try again/, 'with a page that says so');
cmp_ok(time - $began, '<', 1, 'at once');
is($wide->request(GET => $_)->{status}, 200, "while $_ is answered") for '/health/', '/login/';
like($wide->drain($_, 5), qr{^HTTP/1.1 303}, 'those that had begun end') for @logins, @queued;
is($wide->request(POST => '/login/', { form => { username => 'ann' } })->{status}, 303, 'and others may begin');
$wide->stop;

# Bodies that wait are held in memory, but not without bound.
my $narrow = WactaGateway->start($node, arguments => [ '--pool', '1', '--max-held', '1MB' ]);
my $sleeper = begin($narrow, get('/t/sleep-1.5'));
ok(until_true(sub { busy() == 1 }, 10), 'the connection is taken');
my @held = map { begin($narrow, post_form('/webhook/ivr/x/', 'x' x 400_000)) } 1 .. 2;
sleep 0.2;
my $refused = $narrow->request(POST => '/webhook/ivr/x/', { content => 'x' x 400_000 });
is_deeply([ $refused->{status}, $refused->{json}{code}, @{ $refused->{headers} }{qw(retry-after connection)} ],
	[ 503, '53200', 2, 'close' ], 'a body for which there is no room is refused');
is($narrow->request(GET => '/nowhere')->{status}, 404, 'others are answered');
like($narrow->drain($_, 5), qr{^HTTP/1.1 200}, 'those that waited are served') for @held;
is($narrow->request(POST => '/webhook/ivr/x/', { content => 'x' x 400_000 })->{status}, 200, 'and there is room again');
$narrow->stop;

# A database that does not answer
is($gateway->request(GET => '/t/sleep-4')->{status}, 504, 'too slow a call is given up');
is($gateway->request(GET => '/health/')->{status}, 200, 'its connection is made anew');

ok(until_true(sub { busy() == 0 }, 10), 'what was given up on ends');

# A client that leaves does not take its request along.
my $gone = begin($gateway, "POST /t/sleep-0.5 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
ok(until_true(sub { busy() == 1 }, 10), 'a request is under way');
my $rows = $node->safe_psql('stub', 'SELECT count(*) FROM written');
setsockopt $gone, SOL_SOCKET(), SO_LINGER(), pack 'ii', 1, 0;
close $gone;
ok(until_true(sub { $node->safe_psql('stub', 'SELECT count(*) FROM written') > $rows }, 10), 'what the client asked for is done');
is($gateway->request(GET => '/health/')->{status}, 200, 'and nothing is the worse for it');

# A connection that dies, and a server that restarts
is($gateway->request(POST => '/t/die')->{status}, 503, 'the connection dies under a call');
is($gateway->request(GET => '/health/')->{status}, 200, 'the other one serves');
$node->stop('fast');
is($gateway->request(GET => '/health/')->{status}, 503, 'no database, no answer');
$node->start;
ok(until_true(sub { $gateway->request(GET => '/health/')->{status} == 200 }, 15), 'it comes back by itself');
is(scalar(() = $gateway->log_text =~ /no connection to the database/g) <= 3 ? 1 : 0, 1, 'an outage is a line, not a flood');
$node->stop('immediate');
$node->start;
ok(until_true(sub { $gateway->request(GET => '/health/')->{status} == 200 }, 15), 'also after a crash');
ok(until_true(sub { $node->safe_psql('stub', q(SELECT count(*) FROM pg_stat_activity WHERE usename = 'stub_gateway')) == 2 }, 15), 'with all its connections');

# The end: what has begun is finished, nothing new is taken.
my $kept = begin($gateway, get('/health/'));
like($gateway->drain($kept, 0.5), qr{^HTTP/1.1 200}, 'a connection that is kept');
my $last = begin($gateway, "POST /t/sleep-1.5 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
ok(until_true(sub { busy() == 1 }, 10), 'a request is under way');
kill 'TERM', $gateway->pid;
sleep 0.15;
ok(!defined IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $gateway->port, Timeout => 2), 'no new connection');
syswrite $kept, get('/health/');
like($gateway->drain($kept), qr{^HTTP/1.1 200.*Connection: close}s, 'a kept connection is served once more and closed');
my $answer = $gateway->drain($last, 5);
like($answer, qr{^HTTP/1.1 200.*Connection: close}s, 'what has begun is finished');
is($gateway->stop, 0, 'and the program ends with 0');

# Unless it takes too long
my $hasty = WactaGateway->start($node, arguments => [ '--stop-timeout', '200ms' ]);
my $long = begin($hasty, get('/t/sleep-3'));
ok(until_true(sub { busy() == 1 }, 10), 'a long request is under way');
is($hasty->stop >> 8, 1, 'then it gives up and says so');
like($hasty->log_text, qr/gave up on 1 request/, 'in the log');

# Starting before the database
$node->stop;
my $early = WactaGateway->start($node);
is($early->request(GET => '/nowhere')->{status}, 404, 'it starts without the database');
$node->start;
ok(until_true(sub { $early->request(GET => '/health/')->{status} == 200 }, 15), 'and finds it later');
is($early->stop, 0, 'and ends');

# A socket file
my $path = $node->basedir . '/gateway.sock';
my $local = Wacta::Process->start('gateway-unix',
	command => [ gateway_program(), '--listen', "unix:$path", '--anon-role', 'stub_anon',
		'--db', sprintf('host=%s port=%d dbname=stub user=stub_gateway', $node->host, $node->port) ],
	ready => sub { $_[0]->log_text =~ /listening on unix:/ });
my $socket = IO::Socket::UNIX->new(Peer => $path);
syswrite $socket, get('/t/x');
like(WactaGateway->drain($socket), qr{^HTTP/1.1 200}, 'behind a socket file');
is($local->stop, 0, 'which ends as well');
done_testing();
