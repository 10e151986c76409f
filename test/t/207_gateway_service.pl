# The gateway as a service: figures, sockets passed in, states told, settings read
# again, and what its own answers and log lines hold.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Socket qw(SOCK_DGRAM);
use Test::More;
use Time::HiRes qw(sleep);
use WactaGateway;

my $top = $ENV{WACTA_SRC} // '.';
my $node = stub_node('service');
my $db = sprintf 'host=%s port=%d dbname=stub user=stub_gateway', $node->host, $node->port;

# figures(gateway, path): those of /metrics, by name and labels
sub figures
{
	my ($gateway) = @_;
	my %value;
	for (split /\n/, $gateway->request(GET => '/metrics')->{content})
	{
		$value{$1} = $2 if /^([^#]\S*) (\S+)$/;
	}
	return \%value;
}

sub log_lines { return map { eval { decode_json($_) } // () } grep { /^\{/ } split /\n/, $_[0]->log_text }

# --- Figures
my $gateway = WactaGateway->start($node, arguments => [ '--max-headers', '4kB', '--pool', '3' ]);
$gateway->request(GET => '/t/SECRET?token=SECRET', { headers => { 'X-Request-Id' => 'seen-42' } });
$gateway->request(GET => '/t/raise-XX000');
$gateway->request(GET => '/nowhere/SECRET');
$gateway->raw("NONSENSE SECRET\r\n\r\n");
my $answer = $gateway->request(GET => '/metrics');
is_deeply([ $answer->{status}, @{ $answer->{headers} }{qw(content-type cache-control x-content-type-options)} ],
	[ 200, 'text/plain; version=0.0.4; charset=utf-8', 'no-store', 'nosniff' ], '/metrics in the text format');
unlike($answer->{content}, qr/SECRET|seen-42/, 'holds nothing that a client sent');
my @lines = split /\n/, $answer->{content};
is_deeply([ grep { !/^(# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [0-9.e+-]+)$/ } @lines ], [], 'every line is a sample or tells of one');
my %type = map { /^# TYPE (\w+) (counter|gauge|histogram)$/ } @lines;
my %help = map { /^# HELP (\w+) (.+)$/ } @lines;
is_deeply([ sort keys %help ], [ sort keys %type ], 'each has help and type');
is_deeply([ grep { !$type{$_} && !$type{ s/_(bucket|sum|count)$//r } } map { /^(\w+)[{ ]/ } grep { !/^#/ } @lines ], [], 'and no sample is without');
is_deeply([ grep { $type{$_} eq 'counter' && !/_total$/ } keys %type ], [], 'counters are called so');
my $now = figures($gateway);
is($now->{'wacta_gateway_requests_total{route="/t/{token}",code="2xx"}'}, 1, 'requests by route and class');
is($now->{'wacta_gateway_requests_total{route="/t/{token}",code="5xx"}'}, 1, 'of status');
is($now->{'wacta_gateway_requests_total{route="none",code="4xx"}'}, 2, 'those without a route, and those that the library refused');
is($now->{'wacta_gateway_request_duration_seconds_count{route="/t/{token}"}'}, 2, 'a histogram');
is($now->{'wacta_gateway_request_duration_seconds_bucket{route="/t/{token}",le="+Inf"}'}, 2, 'that holds all');
my @buckets = map { $now->{$_} } sort { ($a =~ /le="([\d.]+)/)[0] <=> ($b =~ /le="([\d.]+)/)[0] } grep { m{bucket.*/t/.*le="\d} } keys %$now;
is_deeply(\@buckets, [ sort { $a <=> $b } @buckets ], 'and never falls');
is_deeply([ @$now{qw(wacta_gateway_database_up wacta_gateway_pool_size wacta_gateway_pool_connects_total wacta_gateway_requests_in_flight)} ], [ 1, 3, 3, 1 ], 'the pool');
my @open = map { $gateway->socket } 1 .. 5;
ok(until_true(sub { figures($gateway)->{wacta_gateway_connections} == 6 }, 5), 'connections that are open, with the one that asks');
close $_ for splice @open;
ok(until_true(sub { figures($gateway)->{wacta_gateway_connections} == 1 }, 5), 'and no more when they are closed');
my $sleeper = $gateway->socket;
syswrite $sleeper, "GET /t/sleep-0.5 HTTP/1.1\r\nHost: x\r\n\r\n";
ok(until_true(sub { figures($gateway)->{'wacta_gateway_pool_connections{state="busy"}'} == 1 }, 5), 'a call that runs');

# Who may read them: programs of this machine that speak for nobody else.
is($gateway->request(GET => '/metrics/', { headers => { $_ => '203.0.113.7' } })->{status}, 404, "not through a proxy that says so by $_")
  for 'X-Forwarded-For', 'Forwarded', 'X-Real-IP', 'Via';
is($gateway->request(HEAD => '/metrics')->{content} // '', '', 'HEAD');
is_deeply([ @{ $gateway->request(POST => '/metrics') }{qw(status)}, $gateway->request(OPTIONS => '/metrics')->{headers}{allow} ], [ 405, 'OPTIONS, GET, HEAD' ], 'nothing else');

# The rules for alerts know these figures, and the handbook knows the rules.
my $rules = slurp_file("$top/deploy/prometheus/wacta-gateway-alerts.yml");
my $handbook = slurp_file("$top/docs/gateway.md");
my @names = $rules =~ /alert: (\w+)/g;
cmp_ok(scalar @names, '>=', 8, 'rules for alerts');
is_deeply([ grep { !$type{ s/_(bucket|sum|count)$//r } } $rules =~ /\b((?:wacta_gateway|process)_\w+)/g ], [], 'are about figures that there are');
is_deeply([ grep { $handbook !~ /^### $_$/m || $rules !~ /docs\/gateway\.md#\L$_\E"/ } @names ], [], 'and have their sections');

# --- Answers of our own
for my $case ([ 404 => "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" ], [ 405 => "DELETE /t/x HTTP/1.1\r\nHost: x\r\n\r\n" ],
	[ 404 => "GET /nowhere HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n" ], [ 500 => "GET /t/raise-XX000 HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n" ],
	[ 400 => "NONSENSE\r\n\r\n" ], [ 400 => "GET /t/x HTTP/1.1\r\nno colon\r\n\r\n" ], [ 501 => "TRACE /t/x HTTP/1.1\r\n\r\n" ],
	[ 431 => "GET /t/x HTTP/1.1\r\nX: " . 'x' x 9000 . "\r\n\r\n" ], [ 413 => "POST /t/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n" . 'x' x 65536 ])
{
	my ($status, $request) = @$case;
	my $reply = $gateway->raw($request);
	my $what = "$status for " . substr($request, 0, 24) =~ s/[\r\n]+/ /gr;
	like($reply, qr{^HTTP/1.1 $status }, $what);
	is(scalar(() = $reply =~ m{^(?:X-Content-Type-Options: nosniff|X-Frame-Options: DENY|Referrer-Policy: no-referrer|Cache-Control: no-store|Content-Security-Policy: default-src 'none';.*)\r$}mg), 5, 'is safe for browsers');
	unlike($reply, qr/Strict-Transport-Security|SECRET/, 'and says no more than it should');
}
my @log = log_lines($gateway);
is(scalar(grep { $_->{status} =~ /^4(13|31)$/ && !defined $_->{route} } @log), 2, 'what the library refused is in the log');
is_deeply([ map { ($_->{id} // '') =~ /^([0-9a-f]{16}|seen-42)$/ ? () : $_ } grep { defined $_->{method} } @log ], [], 'every request has an id');
is(scalar(grep { $_->{id} eq 'seen-42' } grep { defined $_->{id} } @log), 1, 'its own, if it came with one');
my %seen;
is_deeply([ grep { defined $_->{id} && $seen{ $_->{id} }++ } @log ], [], 'no id comes twice');
unlike($gateway->log_text, qr/SECRET/, 'nothing secret is in the log');
is($gateway->request(GET => '/health', { headers => { 'X-Request-Id' => 'a-1' } })->{headers}{'x-request-id'}, 'a-1', 'an id that came goes back');
like($gateway->request(GET => '/health', { headers => { 'X-Request-Id' => 'a"b' } })->{headers}{'x-request-id'}, qr/^[0-9a-f]{16}$/, 'one that could do harm does not');
like($gateway->request(GET => '/t/raise-XX000')->{headers}{'x-request-id'}, qr/^[0-9a-f]{16}$/, 'an error has one to ask about');
is(decode_json($gateway->request(GET => '/t/x', { headers => { 'X-Request-Id' => 'a-2' } })->{content})->{headers}{'x-request-id'}, 'a-2', 'functions know it');
is($gateway->stop, 0, 'it ends');

# --- An address of its own for the figures
my $apart = WactaGateway->start($node, arguments => [ '--metrics-listen', '127.0.0.1:0', '--hsts' ]);
ok(until_true(sub { $apart->log_text =~ m{^listening on http://127\.0\.0\.1:(\d+)/metrics$}m }, 5), 'where they are told is told');
my ($port) = $apart->log_text =~ m{:(\d+)/metrics};
my $other = bless { %$apart, url => "http://127.0.0.1:$port", owner => 0 }, ref $apart;
is($apart->request(GET => '/metrics')->{status}, 404, 'then not where customers are');
is($other->request(GET => '/metrics', { headers => { 'X-Forwarded-For' => '203.0.113.7' } })->{status}, 200, 'but there, to whoever asks');
is($other->request(GET => $_)->{status}, 404, "and nothing else: $_") for '/health/', '/t/x';
like($apart->raw($_), qr/^Strict-Transport-Security: max-age=\d+\r$/m, 'https for good, where the site has it so')
  for "GET /health/ HTTP/1.1\r\nHost: x\r\n\r\n", "NONSENSE\r\n\r\n";
is($apart->stop, 0, 'it ends');

# --- Sockets passed in, states told
my $told_at = $node->basedir . '/notify';
my $told = IO::Socket::UNIX->new(Local => $told_at, Type => SOCK_DGRAM) // die "could not listen at $told_at: $!";

sub next_state
{
	my $bits = '';
	vec($bits, fileno $told, 1) = 1;
	return 'nothing' unless select $bits, undef, undef, 10;
	$told->recv(my $state, 1000);
	return $state =~ s/\d{3,}/N/r;
}

my @listeners;
{
	local $^F = 255;    # or they were closed on exec
	@listeners = map { IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) } 1 .. 2;
}
my ($taken, $taken_metrics) = map { $_->sockport } @listeners;
my $config = $node->basedir . '/reload.conf';

sub write_config
{
	open my $out, '>', $config or die "could not write $config: $!";
	print $out "db = $db\nanon-role = stub_anon\n", @_;
	close $out;
	return;
}

write_config("access-log = off\n");
my $service = Wacta::Process->start('service',
	command => [ 'perl', '-MPOSIX', '-e', 'my ($n, $m) = splice @ARGV, 0, 2; POSIX::dup2($n, 60); POSIX::dup2($m, 4); POSIX::dup2(60, 3); POSIX::close($_) for 5 .. 63; $ENV{LISTEN_PID} = $$; exec @ARGV',
		map({ $_->fileno } @listeners), gateway_program(), '--config', $config ],
	env => { LISTEN_FDS => 2, LISTEN_FDNAMES => 'wacta-gateway.socket:metrics', NOTIFY_SOCKET => $told_at, WATCHDOG_USEC => 200_000 });
is(next_state(), 'READY=1', 'it says that it is ready');
my $served = bless { %$service, url => "http://127.0.0.1:$taken", port => $taken, owner => 0 }, 'WactaGateway';
is($served->request(GET => '/health/')->{status}, 200, 'and answers on the socket that was passed');
is((bless { %$served, url => "http://127.0.0.1:$taken_metrics" }, 'WactaGateway')->request(GET => '/metrics')->{status}, 200, 'with the figures on the one of that name');
is(next_state(), 'WATCHDOG=1', 'it says that it lives');

# Settings are read again; those that cannot change are told, and so are mistakes.
sub reload_tells
{
	my ($expected, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $before = length $service->log_text;
	kill 'HUP', $service->pid;
	return ok(until_true(sub { substr($service->log_text, $before) =~ /$expected.*read again/s }, 10), $what);
}

my $state = 'WATCHDOG=1';
write_config("access-log = on\npool = 5\n");
reload_tells(qr/"pool" changes at the next start/, 'a setting that takes a restart');
$state = next_state() while $state eq 'WATCHDOG=1';
is($state, "RELOADING=1\nMONOTONIC_USEC=N", 'systemd is told of the reload');
$served->request(GET => '/t/logged');
ok(until_true(sub { $service->log_text =~ m{"route":"/t/} }, 5), 'another has changed');
write_config("access-log = off\nnonsense = 1\n");
reload_tells(qr/"nonsense": there is no such setting.*stay as they were/s, 'a mistake changes nothing');
is($served->request(GET => '/health/')->{status}, 200, 'and does no harm');
is($service->stop, 0, 'it ends');
$state = next_state() until $state =~ /STOPPING|nothing/;
is($state, 'STOPPING=1', 'and says so first');
my $late = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $taken, Timeout => 5);
ok(defined $late, 'who comes meanwhile is not turned away: the socket is still there');

# --- Trying without starting
my ($out, $err);
ok(IPC::Run::run([ gateway_program(), '--check', '--db', $db, '--anon-role', 'stub_anon' ], '>', \$out, '2>', \$err, IPC::Run::timeout(20)), '--check: all is well');
like($out, qr/^database: stub on stub_gateway .*\nrole of strangers: stub_anon\nhealth: \{"status"/s, 'and what was tried');
for my $case ([ [ '--db', "$db port=1" ], qr/database:.*pg_hba/s ], [ [ '--db', $db, '--anon-role', 'stub_stranger' ], qr/role of strangers:.*member/s ],
	[ [ '--db', $db =~ s/dbname=stub/dbname=postgres/r, '--anon-role', 'stub_anon' ], qr/health:.*extension/s ])
{
	ok(!IPC::Run::run([ gateway_program(), '--check', @{ $case->[0] } ], '>', \$out, '2>', \$err, IPC::Run::timeout(20)), '--check: a fault');
	like($err, $case->[1], 'with what to do about it');
}

# --- What is shipped
my $example = "$top/deploy/wacta-gateway.conf";
IPC::Run::run([ gateway_program(), '--check', '--config', $example ], '>', \$out, '2>', \$err, IPC::Run::timeout(20));
unlike($err, qr/no such setting|must|could not be read|No such file.*conf/, 'the example of a configuration has no mistake');
SKIP:
{
	skip 'no systemd-analyze here', 3 unless -x '/usr/bin/systemd-analyze';
	my @units = glob "$top/deploy/systemd/*";
	IPC::Run::run([ 'systemd-analyze', 'verify', '--man=no', @units ], '>', \$out, '2>&1', '<', '/dev/null', IPC::Run::timeout(30));
	is(join("\n", grep { !/(?:wacta-gateway|postgrest) is not executable/ } split /\n/, $out), '', 'the units have no mistake');
	IPC::Run::run([ 'systemd-analyze', 'security', '--offline=yes', '--threshold=20', glob "$top/deploy/systemd/*.service" ], '>', \$out, '2>&1', '<', '/dev/null', IPC::Run::timeout(30));
	like($out, qr/exposure level for $_\.service: [01]\.\d OK/, "and little is left to $_") for 'wacta-gateway', 'wacta-postgrest';
}
done_testing();
