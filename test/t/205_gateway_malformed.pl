# What no browser sends: the program must stay up, answer others and keep its
# memory.  Loopback only, bounded in number.
use strict;
use warnings;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(sleep time);
use WactaGateway;

my $node = stub_node('malformed');
my $gateway = WactaGateway->start($node, arguments => [ '--max-body', '100kB', '--max-headers', '8kB', '--client-timeout', '1s' ]);

sub well
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($gateway->request(GET => '/health/')->{content}, '{"status":"ok"}', "well after: $what");
}

sub resident
{
	my ($kb) = slurp_file('/proc/' . $gateway->pid . '/status') =~ /VmRSS:\s+(\d+)/;
	return $kb;
}

# A request that could be read in two ways is refused and ends the connection,
# so that nothing can hide behind it.
my $hidden = "GET /t/HIDDEN HTTP/1.1\r\nHost: x\r\n\r\n";
my $post = "POST /webhook/ivr/x/ HTTP/1.1\r\nHost: x\r\n";
my %smuggled = (
	'both lengths' => "${post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n$hidden",
	'two lengths' => "${post}Content-Length: 0\r\nContent-Length: " . length($hidden) . "\r\n\r\n$hidden",
	'length with a sign' => "${post}Content-Length: +0\r\n\r\n$hidden",
	'length in hex' => "${post}Content-Length: 0x0\r\n\r\n$hidden",
	'lengths in a list' => "${post}Content-Length: 0, 0\r\n\r\n$hidden",
	'negative length' => "${post}Content-Length: -1\r\n\r\n$hidden",
	'huge length' => "${post}Content-Length: 99999999999999999999999\r\n\r\n$hidden",
	'another coding' => "${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n$hidden",
	'coding in disguise' => "${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n$hidden",
	'GET with a body' => "GET /health/ HTTP/1.1\r\nHost: x\r\nContent-Length: " . length($hidden) . "\r\n\r\n$hidden",
	'GET in chunks' => "GET /health/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n$hidden",
	'length with a space' => "${post}Content-Length : " . length($hidden) . "\r\n\r\n$hidden",
	'length with a tab' => "${post}Content-Length\t: " . length($hidden) . "\r\n\r\n$hidden",
	'coding with a space' => "${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n$hidden",
	'a name in quotes' => "GET /health/ HTTP/1.1\r\nHost: x\r\n\"X\": 1\r\n\r\n$hidden",
	'a name that is no ASCII' => "GET /health/ HTTP/1.1\r\nHost: x\r\nX\xa0: 1\r\n\r\n$hidden",
	'no name' => "GET /health/ HTTP/1.1\r\nHost: x\r\n: 1\r\n\r\n$hidden",
	'too many lines' => "GET /health/ HTTP/1.1\r\n" . "a:\r\n" x 101 . "\r\n$hidden",
	'two hosts' => "GET /health/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n$hidden");
for my $what (sort keys %smuggled)
{
	my $answer = $gateway->raw($smuggled{$what});
	like($answer, qr{^HTTP/1.1 4\d\d}, "refused: $what");
	cmp_ok(scalar(() = $answer =~ m{HTTP/1.1 \d}g), '<', 2, 'and nothing behind it is answered');
}
# Of the sizes of chunks the library has a mind of its own, so they end the connection.
for my $chunks ("5\r\nhello\r\n0\r\n\r\n", "5 ;a=b\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "0\r\nX-Trailer: x\r\n\r\n")
{
	my $answer = $gateway->raw("${post}Transfer-Encoding: chunked\r\n\r\n$chunks$hidden");
	like($answer, qr{^HTTP/1.1 200.*\r\nConnection: close\r\n}s, 'a body in chunks: ' . $chunks =~ s/\r\n/ /gr);
	unlike($answer, qr/HIDDEN|x-trailer/, 'nothing behind it is answered, and trailers are no headers');
}
well('smuggling');

# Heads and bodies that are broken off, out of order, too long, or nonsense
my @broken = (
	'', "\r\n", "\r\n\r\n\r\n", "\0" x 100, "\xff" x 3000, 'GET', "GET\r\n\r\n", "GET /health/\r\n\r\n", "GET  /health/  HTTP/1.1\r\n\r\n",
	"GET /health/ HTTP/9.9\r\n\r\n", "GET /health/ HTTP/1.1\r\nno colon\r\n\r\n", "GET /health/ HTTP/1.1\r\n: x\r\n\r\n",
	"GET /health/ HTTP/1.1\r\n folded\r\n\r\n", "GET /health/ HTTP/1.1\nHost: x\n\n", "GET /health/ HTTP/1.1\r\nX: a\r\n b\r\n\tc\r\n\r\n",
	"FOO /health/ HTTP/1.1\r\n\r\n", "TRACE /health/ HTTP/1.1\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\n\r\n", "OPTIONS * HTTP/1.1\r\n\r\n",
	"GET http://[::1 HTTP/1.1\r\n\r\n", "GET http:// HTTP/1.1\r\n\r\n", "GET //[]?#% HTTP/1.1\r\n\r\n", "GET /t/%%%%2%f%0 HTTP/1.1\r\n\r\n",
	'GET /' . 'a' x 20000 . " HTTP/1.1\r\n\r\n", "GET /t/x?" . '&=' x 2000 . " HTTP/1.1\r\n\r\n", "GET /t/x?" . 'a.' x 1500 . "token=1 HTTP/1.1\r\n\r\n",
	"GET /health/ HTTP/1.1\r\n" . "A: b\r\n" x 1300 . "\r\n", "GET /health/ HTTP/1.1\r\nCookie: " . ';=;' x 1000 . "\r\n\r\n",
	"GET /health/ HTTP/1.1\r\nAuthorization: Bearer " . '.' x 3000 . "\r\n\r\n",
	"${post}Transfer-Encoding: chunked\r\n\r\nzz\r\n", "${post}Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
	"${post}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx", "${post}Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\nx",
	"${post}Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", "${post}Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n",
	"${post}Content-Length: 10\r\nExpect: 100-continue\r\n\r\n", "${post}Content-Length: 10\r\nExpect: something\r\n\r\n",
	"${post}Content-Length: 10\r\n\r\nshort", "POST /t/x HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 3000\r\n\r\n" . '[' x 3000,
	"POST /t/x HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 6\r\n\r\n%&=%=\0");
push @broken, "GET /health/ HTTP/1.1\r\n" . "a:\r\n" x 4000 . "\r\n";
my $before = resident();
for my $request (@broken)
{
	my $socket = $gateway->socket;
	local $SIG{PIPE} = 'IGNORE';
	syswrite $socket, $request;
	shutdown $socket, 1;
	$gateway->drain($socket, 0.3);
}
# What the library refuses on a connection that has had an answer is told as well as on a fresh one.
for my $case ([ "GET / H1\r\n\r\n", 400 ], [ 'GET / HTTP/1.1\r\nX: ' . 'x' x 20000 . "\r\n\r\n", 431 ])
{
	my ($request, $status) = @$case;
	my $socket = $gateway->socket;
	syswrite $socket, "GET /health/ HTTP/1.1\r\nHost: x\r\n\r\n";
	like($gateway->drain($socket, 0.3), qr{^HTTP/1.1 200}, 'an answer');
	syswrite $socket, $request;
	like($gateway->drain($socket, 0.3), qr{^HTTP/1.1 $status [ \w]+\r\nX-Content-Type-Options: nosniff\r\n}, "then a refusal, $status");
}
well('broken requests');

# The same, cut and changed at random; the seed is in the name of the test.
my $seed = $ENV{WACTA_SEED} // 20260901;
srand $seed;
my @corpus = (@broken, values %smuggled, map { "GET $_ HTTP/1.1\r\nHost: x\r\nCookie: wacta_session=a.b.c\r\n\r\n" } '/t/a?token=b', '/track/1%3Ftoken=2', '/webhook/ivr/a/k?key=b&c=d');
for my $round (1 .. 400)
{
	my $request = $corpus[ rand @corpus ] . (rand() < 0.3 ? $corpus[ rand @corpus ] : '');
	for (1 .. 1 + rand 4)
	{
		my $at = int rand(1 + length $request);
		substr($request, $at, int rand 4, join '', map { chr rand 256 } 1 .. rand 4) if $at < length $request;
	}
	my $socket = $gateway->socket;
	local $SIG{PIPE} = 'IGNORE';
	syswrite $socket, $request;
	# Half of them leave at once, half of those by a reset.
	setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if rand() < 0.25;
	$gateway->drain($socket, 0.02) if rand() < 0.5;
}
well("400 random changes, seed $seed");

# Clients that leave while their call runs, at every moment
for my $round (1 .. 60)
{
	my $socket = $gateway->socket;
	syswrite $socket, "POST /t/sleep-0.01 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" x (1 + $round % 3);
	sleep $round * 0.0003;
	setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $round % 2;
	close $socket;
}
ok(until_true(sub { $node->safe_psql('stub', q(SELECT count(*) FROM pg_stat_activity WHERE usename = 'stub_gateway' AND state = 'active')) == 0 }, 20),
	'their calls end');
well('clients that left');

# Many idle and slow clients do not keep others from being served.
my @idle = map { $gateway->socket } 1 .. 300;
syswrite $_, "GET /health/ HT" for @idle[ 0 .. 99 ];
syswrite $_, "${post}Content-Length: 1000\r\n\r\nx" for @idle[ 100 .. 199 ];
my $began = time;
well('300 idle and slow clients');
cmp_ok(time - $began, '<', 2, 'and fast');
ok(until_true(sub { !grep { $gateway->drain($_, 0.01) eq '' && !eof_of($_) } @idle[ 0, 99, 100, 199, 200, 299 ] }, 15), 'who are dropped in time');

# Who sends just enough to stay is not kept for ever.
my $patient = WactaGateway->start($node, arguments => [ '--client-timeout', '10s', '--receive-timeout', '1s' ]);
for my $start ('GET /health/ HTTP/1.1', "${post}Content-Length: 100000\r\n\r\n")
{
	my $trickle = $patient->socket;
	my $began_at = time;
	local $SIG{PIPE} = 'IGNORE';
	syswrite $trickle, $start;
	my $told = '';
	until ($told ne '' || time - $began_at > 8)
	{
		last unless syswrite $trickle, 'x';
		$told = $patient->drain($trickle, 0.1);
	}
	like($told, qr{^HTTP/1.1 408 .*\r\nConnection: close\r\n}s, 'a trickle is cut off');
	cmp_ok(time - $began_at, '>', 0.9, 'and not too early');
}
my $kept = $patient->socket;
for my $round (1 .. 3)
{
	syswrite $kept, "GET /health/ HTTP/1.1\r\nHost: x\r\n\r\n";
	like($patient->drain($kept, 0.6), qr{^HTTP/1.1 200}, 'a connection that is used again and again is not');
}

# A body of 200 MB into a limit of 100 kB
my $socket = $gateway->socket;
my $sent = 0;
{
	local $SIG{PIPE} = 'IGNORE';
	syswrite $socket, "${post}Content-Length: 209715200\r\n\r\n";
	my $block = 'x' x 65536;
	for (1 .. 3200)
	{
		my $wrote = syswrite $socket, $block;
		last unless $wrote;
		$sent += $wrote;
	}
}
like($gateway->drain($socket, 5), qr{^HTTP/1.1 413|^$}, "a huge body is refused ($sent bytes went out)");
well('a huge body');

# A line without end in a chunked body, of which the library would keep all
$socket = $gateway->socket;
$sent = 0;
{
	local $SIG{PIPE} = 'IGNORE';
	syswrite $socket, "${post}Transfer-Encoding: chunked\r\n\r\n";
	my $block = '0' x 65536;
	for (1 .. 800)
	{
		my $wrote = syswrite $socket, $block;
		last unless $wrote;
		$sent += $wrote;
	}
}
cmp_ok($sent, '<', 20_000_000, "a line without end is cut off ($sent bytes went out)");
well('a line without end');
# A sanitizer keeps what was freed for a while.
cmp_ok(resident(), '<', $before + ($ENV{WACTA_GATEWAY} ? 400_000 : 40_000), 'memory stays within bounds');
unlike($gateway->log_text, qr/Sanitizer|runtime error/, 'and no sanitizer complains');

# Bodies on their way are held as well, and those who send them must not fill the memory together.
my $small = WactaGateway->start($node, arguments => [ '--max-body', '100kB', '--max-headers', '8kB', '--max-held', '4MB' ]);
my @senders = map { $small->socket } 1 .. 150;
{
	local $SIG{PIPE} = 'IGNORE';
	syswrite $_, "${post}Content-Length: 100000\r\n\r\n" . 'x' x 90000 for @senders;
}
is($small->request(GET => '/health/')->{status}, 200, 'a small request is answered in the crush');
is($small->request(POST => '/webhook/ivr/x/', { content => 'x' })->{status}, 503, 'a body is not');
my @answers = map { $small->drain($_, 0.01) } @senders;
my @cut = grep { $_ ne '' } @answers;
cmp_ok(scalar @cut, '>=', 150 - 2 * 4096 / 90, 'those are cut off for whom there is no room');
ok(!grep({ !m{^HTTP/1.1 503 .*\r\nRetry-After: 2\r\n}s } @cut), 'and told to come again');
my @last = (grep { $answers[$_] eq '' } 0 .. $#senders)[ 0, 1 ];
syswrite $senders[$_], 'x' x 10000 for @last;
like($small->drain($senders[$_]), qr{^HTTP/1.1 503 .*"53200"}s, 'who has sent all of it as well') for @last;
close $_ for @senders;
ok(until_true(sub { $small->request(POST => '/webhook/ivr/x/', { content => 'x' })->{status} == 200 }, 10), 'then there is room again');
like($small->log_text, qr/bytes held/, 'the shortage is in the log');
is(scalar(() = $small->log_text =~ /bytes held/g), 1, 'once');
is($small->stop, 0, 'and it ends in good order');
unlike($small->log_text, qr/Sanitizer|runtime error/, 'with no complaint of a sanitizer');
is($gateway->stop, 0, 'it ends in good order');
unlike($gateway->log_text, qr/Sanitizer|runtime error|HIDDEN/, 'to the last');
done_testing();

sub eof_of
{
	my ($handle) = @_;
	my $bits = '';
	vec($bits, fileno $handle, 1) = 1;
	return select($bits, undef, undef, 0) && !sysread($handle, my $byte, 1);
}
