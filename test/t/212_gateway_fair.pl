# Nobody takes what belongs to all: limits on what is refused, by address, and
# shares of the connections to the database.  src/gateway/test has the arithmetic.
use strict;
use warnings;
use PostgreSQL::Test::BackgroundPsql;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use WactaGateway;

my $node = stub_node('fair');

sub from { return { headers => { 'X-Forwarded-For' => $_[0], %{ $_[1] // {} } } } }

# statuses(gateway, count, method, path, with): of so many requests, as a text
# such as "200 x 3, 429 x 2".
sub statuses
{
	my ($gateway, $count, @request) = @_;
	my @runs;
	for (1 .. $count)
	{
		my $status = $gateway->request(@request)->{status};
		push @runs, [ $status, 0 ] unless @runs && $runs[-1][0] == $status;
		$runs[-1][1]++;
	}
	return join ', ', map { "$_->[0] x $_->[1]" } @runs;
}

# --- Limits: 20 points, one back in a second
my @few = ('--limit-burst', 20, '--limit-rate', 1, '--limit-login', 10);
my $gateway = WactaGateway->start($node, arguments => [ '--trusted-proxies', '127.0.0.1', @few ]);
is(statuses($gateway, 100, GET => '/t/x', from('203.0.113.1')), '200 x 100', 'what is good costs nothing');
like(statuses($gateway, 25, GET => '/nowhere', from('203.0.113.1')), qr/^404 x 2[0-2], 429 x [345]$/, 'what is refused costs a point');
my $limited = $gateway->request(GET => '/login/', from('203.0.113.1', { accept => 'text/html' }));
is($limited->{status}, 429, 'then strangers are not answered');
like($limited->{headers}{'retry-after'}, qr/^[1-5]$/, 'for some seconds');
like($limited->{content}, qr/try again/, 'with a page that says so');
is($gateway->request(GET => '/t/x', from('203.0.113.1'))->{status}, 200, 'save for a good link: others share the address');
is($gateway->request(POST => '/t/status-403', from('203.0.113.1'))->{status}, 429, 'but not a bad one');
is($gateway->request(GET => '/login/', from('::ffff:203.0.113.1'))->{status}, 429, 'an address has one bucket, however it is written');
is($gateway->request(GET => '/login/', from('203.0.113.2'))->{status}, 200, 'others are served');
is($gateway->request(GET => '/health/', from('203.0.113.1'))->{status}, 200, 'who watches over us is always answered');
my $signed_in = { authorization => 'Bearer ' . jwt({ role => 'stub_agent' }) };
is($gateway->request(GET => '/interactive-analytics/', from('203.0.113.1', $signed_in))->{status}, 200, 'and who is signed in');
is($gateway->request(GET => '/t/x', from('203.0.113.1', { authorization => 'Bearer x' }))->{status}, 401, 'a token that does not hold is refused');
is($gateway->request(GET => '/login/', from('203.0.113.1', { authorization => 'Basic eDp5', cookie => 'wacta_session=x' }))->{status}, 429, 'and one that is none helps nobody');
ok(until_true(sub { $gateway->request(GET => '/login/', from('203.0.113.1'))->{status} == 200 }, 15), 'time heals');
my ($limited_total) = $gateway->request(GET => '/metrics')->{content} =~ /^wacta_gateway_limited_total (\d+)$/m;
cmp_ok($limited_total, '>=', 6, 'it is counted');

is($gateway->request(POST => '/t/raise-PT409', from('203.0.113.3'))->{status}, 409, 'a conflict') for 1 .. 25;
is($gateway->request(GET => '/t/x', from('203.0.113.3'))->{status}, 200, 'is nobody\'s fault');
is($gateway->request(POST => '/login/', { %{ from('203.0.113.4') }, form => { username => 'raise-PT401' } })->{status}, $_, 'a sign-in that fails costs much') for 401, 401, 429;
is($gateway->request(POST => '/login/', { %{ from('203.0.113.5') }, form => { username => 'ann' } })->{status}, 303, 'one that succeeds is free') for 1 .. 5;

# Of an IPv6 address the first half counts: who has one has 2^64 of them.
statuses($gateway, 12, GET => '/nowhere', from("2001:db8:1:1::$_")) for 1, 2;
is($gateway->request(GET => '/login/', from('2001:db8:1:1:ffff::9'))->{status}, 429, 'a neighbour in the same network');
is($gateway->request(GET => '/t/x', from('2001:db8:1:2::1'))->{status}, 200, 'another network');

is($gateway->stop, 0, 'it ends');

# Behind a proxy that nobody has named clients cannot be told apart.
my $unnamed = WactaGateway->start($node, arguments => \@few);
is(statuses($unnamed, 50, GET => '/nowhere', from('203.0.113.1')), '404 x 50', 'so they are not limited');
is(scalar(() = $unnamed->log_text =~ /trusted-proxies does not name/g), 1, 'and the log says so, once');
$unnamed->raw("NONSENSE\r\n\r\n") for 1 .. 22;
is($unnamed->request(GET => '/login/')->{status}, 429, 'what cannot be read counts as well');
is($unnamed->stop, 0, 'it ends');

# The defaults, and none
my $standard = WactaGateway->start($node, arguments => [ '--pool', '2' ]);
is(statuses($standard, 500, GET => '/t/status-403'), '403 x 500', 'some hundred refusals are nothing');
is($standard->stop, 0, 'it ends');
my $free = WactaGateway->start($node, arguments => [ '--limit-burst', 0, '--limit-request', 5 ]);
is(statuses($free, 300, GET => '/nowhere'), '404 x 300', 'no limit');
is($free->stop, 0, 'it ends');
my $priced = WactaGateway->start($node, arguments => [ @few, '--limit-request', 5 ]);
is(statuses($priced, 5, GET => '/login/'), '200 x 4, 429 x 1', 'a price on good requests');
is(statuses($priced, 8, GET => '/t/x', { headers => $signed_in }), '200 x 8', 'save for those who are signed in');
is($priced->stop, 0, 'it ends');

# --- Shares of the pool
sub calls_that_wait { return $node->safe_psql('stub', "SELECT count(*) FROM pg_stat_activity WHERE usename = 'stub_gateway' AND wait_event_type = '$_[0]'") }

sub begin
{
	my ($on, $path, $body, $head) = @_;
	my $socket = $on->socket;
	syswrite $socket, "POST $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" . ($head // '') . "Content-Length: " . length($body // '') . "\r\n\r\n" . ($body // '');
	return $socket;
}

sub is_served
{
	my ($on, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $began = time;
	is($on->request(GET => $_)->{status}, 200, "$what: $_") for '/login/', '/health/', '/whatsapp-interactive/';
	return cmp_ok(time - $began, '<', 1, "$what: at once");
}

my $shared = WactaGateway->start($node, arguments => [ '--pool', 4, '--queue', 32 ]);
my $lead = 'AQADAQAAAAAAAAAA';    # how all links of one lead begin, but for their action
my @taps = map { begin($shared, '/t/sleep-0.6') } 1 .. 12;
ok(until_true(sub { calls_that_wait('Timeout') == 1 }, 5), 'of the taps of one lead one runs');
is_served($shared, 'others are served');
is($shared->request(POST => '/t/y')->{status}, 200, 'taps, too');
my @told = map { ($shared->drain($_, 0.2) =~ m{^HTTP/1.1 (\d+)})[0] // '' } @taps;
is(scalar(grep { $_ eq '503' } @told), 3, 'of the rest some wait, and more are refused');
is(calls_that_wait('Timeout'), 1, 'still one runs');
like($shared->drain($_, 15), qr{^HTTP/1.1 200}, 'those that wait have their turn') for @taps[grep { $told[$_] eq '' } 0 .. $#taps];

my $locker = $node->background_psql('stub');
$locker->query_safe('BEGIN; LOCK TABLE written IN EXCLUSIVE MODE');
my @hooks = map { begin($shared, '/webhook/ivr/x/', "call $_") } 1 .. 10;
ok(until_true(sub { calls_that_wait('Lock') >= 2 }, 10), 'webhooks wait for a lock');
is_served($shared, 'half of the pool is left');
my @signed = map { begin($shared, "/t/" . substr($lead, 0, 4) . $_ . substr($lead, 5) . 'x' x 44) } qw(Q g w);
sleep 0.3;
is(calls_that_wait('Lock'), 3, 'taps of one lead by links of several actions are one lead\'s');
is_served($shared, 'and there is still one');
$locker->query_safe('COMMIT');
$locker->quit;
like($shared->drain($_, 5), qr{^HTTP/1.1 200}, 'those that waited are served') for @hooks, @signed;
is($shared->stop, 0, 'it ends');

# Of an address that is limited all links together have one connection.
my $narrow = WactaGateway->start($node, arguments => [ '--trusted-proxies', '127.0.0.1', @few, '--pool', 4 ]);
statuses($narrow, 21, GET => '/nowhere', from('203.0.113.1'));
my @flood = map { begin($narrow, "/t/sleep-0.0$_", '', "X-Forwarded-For: 203.0.113.1\r\n") } 10 .. 40;
is($narrow->request(POST => '/t/x', from('203.0.113.2'))->{status}, 200, 'others do not notice');
my %flooded;
$flooded{$_}++ for map { $narrow->drain($_, 10) =~ m{^HTTP/1.1 (\d+)} } @flood;
is_deeply(\%flooded, { 200 => 17, 429 => 14 }, 'one runs, some wait, the rest is refused');
is($narrow->stop, 0, 'it ends');
done_testing();
