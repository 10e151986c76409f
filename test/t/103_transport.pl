# What becomes of a request, whatever the other side does to it: how each ending
# is judged, that nothing is sent twice, and that few connections are made.
use strict;
use warnings;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wacta;
use Wacta::Outbox;

my $double = Wacta::Double->start;
my $refusing = '127.0.0.1:' . free_port();
# Takes connections and never says a word: a TLS handshake there cannot end.
my $mute = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die $!;
my $mute_host = '127.0.0.1:' . $mute->sockport;
# Answers one request with whatever the test wants.
my $raw = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die $!;
my $raw_host = '127.0.0.1:' . $raw->sockport;

my $hosts = join ', ', $double->host, $refusing, $mute_host, $raw_host;
my $node = wacta_node('main', double => $double, conf => join "\n",
	qq(wacta.allowed_hosts = '$hosts'),
	q(wacta.request_timeout = '1500ms'),
	q(wacta.connect_timeout = '500ms'));
outbox_prepare($node, 'crm', $double);
wait_for_courier($node, 'crm');

my $lead = 0;

# Sends one message while the double has that fault, and gives what its attempt
# says, after "outcome status detail" has been compared.
sub ends
{
	my ($what, $fault, $expected) = @_;
	my $rule = $fault ? $double->post('faults', $fault)->{id} : undef;
	outbox_enqueue($node, 'crm', 1, $lead++);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $sql = q(SELECT concat_ws(' ', outcome, http_status, status, detail) FROM wacta.attempt
		JOIN wacta.message USING (lead_id, message_id) ORDER BY message_id DESC, attempt DESC LIMIT 1);
	wait_for_value($node, 'crm', q(SELECT count(*) FROM wacta.attempt WHERE outcome IS NULL
		UNION ALL SELECT count(*) FROM wacta.message WHERE status = 'queued' AND attempts = 0
		ORDER BY 1 DESC LIMIT 1), '0', "$what: it ends");
	like($node->safe_psql('crm', $sql), $expected, $what);
	$double->del("faults/$rule") if defined $rule;
	return;
}

sub use_url
{
	my ($url) = @_;
	$node->safe_psql('crm', "UPDATE wacta.channel SET base_url = '$url'");
	return;
}

sub requests { return $double->get('stats')->{requests} }

# --- Answered
ends('an ordinary answer', undef, qr/^answered 200 accepted/);
ends('a slow one', { do => 'late', ms => 700 }, qr/^answered 200 accepted/);
ends('one in drips', { do => 'drip', ms => 20, bytes => 100, taken => \1 }, qr/^answered 200/);
ends('an error of the provider', { do => 'error', status => 400, code => 131026 }, qr/^answered 400 failed/);
ends('an error that is a web page', { do => 'error', status => 503 }, qr/^answered 503 queued/);

sub next_due
{
	return $node->safe_psql('crm', q(SELECT round(extract(epoch FROM due_at - ended_at)) FROM wacta.message
		JOIN wacta.attempt USING (lead_id, message_id) ORDER BY message_id DESC LIMIT 1));
}
ends('429 with Retry-After', { do => 'error', status => 429, code => 80007, retry_after => 300 }, qr/^answered 429 queued/);
cmp_ok(next_due(), '>=', 299, 'seconds in Retry-After are heeded');
# The sender waits, not only the message.
is($node->safe_psql('crm', 'SELECT status FROM wacta.channel'), 'paused', 'by the whole sender');
$node->safe_psql('crm', "SELECT wacta.resume_channel('meta')");
ends('429 with a date', { do => 'error', status => 429, code => 80007, retry_after => 300, retry_after_date => \1 },
	qr/^answered 429 queued/);
cmp_ok(next_due(), '>=', 290, 'and so is a date');
$node->safe_psql('crm', "SELECT wacta.resume_channel('meta')");

my $before = requests();
ends('a redirection', { do => 'redirect', status => 307, location => $double->url . '/v24.0/1/messages' },
	qr/^answered 307/);
is(requests(), $before + 1, 'is not followed');

# --- Unknown: the request has begun to leave
ends('no answer in time', { do => 'hang' }, qr/^unknown in_doubt .*timed out/i);
ends('reset before the body is read', { do => 'reset', when => 'before_body' }, qr/^unknown in_doubt/);
ends('reset after it', { do => 'reset', when => 'after_body', taken => \1 }, qr/^unknown in_doubt/);
ends('half an answer', { do => 'partial', taken => \1, bytes => 40, end => 'close' }, qr/^unknown (200 )?in_doubt/);
ends('64 MiB', { do => 'oversized', taken => \1, bytes => 64 << 20 }, qr/^unknown (200 )?in_doubt the answer is too large/);
ends('256 MiB, packed', { do => 'bomb', taken => \1, bytes => 256 << 20 }, qr/^unknown (200 )?in_doubt the answer is too large/);

# --- A kept connection that ends without an answer: libcurl would send again
ends('a connection is kept', undef, qr/^answered 200/);
$before = requests();
ends('it is closed after the body', { do => 'close', when => 'after_body', taken => \1 },
	qr/^unknown in_doubt the kept connection ended/);
is(requests(), $before + 1, 'the request was sent once');
ends('a connection is kept', undef, qr/^answered 200/);
$before = requests();
ends('it is reset after the body', { do => 'reset', when => 'after_body', taken => \1 }, qr/^unknown in_doubt/);
is(requests(), $before + 1, 'the request was sent once');

# --- Certainly not sent
use_url("http://$refusing");
ends('nobody listens', undef, qr/^not_sent queued .*connect/i);
use_url("https://$mute_host");
my $start = time;
ends('no TLS handshake', undef, qr/^not_sent queued/);
cmp_ok(time - $start, '<', 1.4, 'within the time for a connection');
use_url('https://' . $double->host);
ends('no TLS there', undef, qr/^not_sent queued/);
use_url('http://no-such-host.invalid');
ends('a host that is not allowed', undef,
	qr/^not_sent queued host "no-such-host.invalid" with port 80 is not in wacta.allowed_hosts/);
$node->append_conf('postgresql.conf', qq(wacta.allowed_hosts = '$hosts, no-such-host.invalid:80'));
$node->reload;
use_url('http://no-such-host.invalid');
ends('a name that does not exist', undef, qr/^not_sent queued .*resolve/i);

# --- Answers that are none
sub raw_answer
{
	my ($what, $answer, $expected) = @_;
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		my $socket = $raw->accept;
		sysread $socket, my $request, 65536;
		syswrite $socket, $answer;
		select undef, undef, undef, 0.2;
		close $socket;
		POSIX::_exit(0);
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ends($what, undef, $expected);
	kill 'KILL', $pid;
	waitpid $pid, 0;
	return;
}
use_url("http://$raw_host");
my $ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n";
raw_answer('100 headers', $ok . "x: y\r\n" x 95 . "\r\n{}", qr/^unknown 200 in_doubt the answer could not be understood/);
raw_answer('1,000 headers', $ok . "x: y\r\n" x 1000 . "\r\n{}", qr/^unknown (200 )?in_doubt the answer is too large/);
raw_answer('a header of 200 kB', $ok . 'x: ' . 'y' x 200_000 . "\r\n\r\n{}", qr/^unknown|^answered 200/);
raw_answer('not HTTP', "+OK ready\r\n", qr/^unknown in_doubt/);
raw_answer('a body that is too short', "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", qr/^unknown 200 in_doubt/);
raw_answer('bytes that are no text', "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\x00\x01\x80", qr/^unknown 200 in_doubt the answer could not be understood/);
use_url($double->url);

# --- Many at once, over connections that are kept
sub stats_after
{
	my ($count, $first) = @_;
	my $began = time;
	outbox_enqueue($node, 'crm', $count, $first);
	outbox_wait_empty_of_new();
	my $stats = $double->get('stats');
	note(sprintf '%d messages in %.2f s, %d at most at once, %d connections opened',
		$count, time - $began, $stats->{max_in_flight}, $stats->{connections}{opened});
	return $stats;
}

# Those that are to be tried again stay queued.
sub outbox_wait_empty_of_new
{
	return wait_for_value($node, 'crm', q(SELECT count(*) FROM wacta.message
		WHERE status = 'sending' OR (status = 'queued' AND attempts = 0)), '0', 'all are settled');
}
$double->post('reset');
$double->post('faults', { do => 'late', ms => 300 });
my $stats = stats_after(40, 1000);
is($stats->{max_in_flight}, 40, '40 are in flight at once');
is($stats->{connections}{opened}, 40, 'over 40 connections');
$stats = stats_after(40, 1100);
is($stats->{requests}, 80, 'and 40 more');
is($stats->{connections}{opened}, 40, 'over the same ones');

$node->append_conf('postgresql.conf', 'wacta.max_in_flight = 8');
$node->reload;
wait_for_value($node, 'crm', 'SHOW wacta.max_in_flight', '8', 'reloaded');
$double->post('reset');
$double->post('faults', { do => 'late', ms => 300 });
$stats = stats_after(24, 1200);
is($stats->{max_in_flight}, 8, 'wacta.max_in_flight takes effect at a reload');
is($stats->{connections}{opened}, 8, 'with as many connections');

# --- One slow answer holds up nobody
$double->del('faults');
$double->post('reset');
$double->post('faults', { do => 'late', ms => 1200, match => { to => '+919876502000' } });
outbox_enqueue($node, 'crm', 31, 2000);
$start = time;
wait_for_value($node, 'crm', q(SELECT count(*) FROM wacta.message m JOIN wacta.lead_identity i USING (lead_id)
	WHERE i.value BETWEEN '+919876502001' AND '+919876502030' AND m.status = 'accepted'), '30', 'thirty are settled');
cmp_ok(time - $start, '<', 1, 'before the slow one is answered');
outbox_wait_empty_of_new();

outbox_is_consistent($node, 'crm', $double);
my @secret = grep { /test-access-token/ } split /\n/, slurp_file($node->logfile);
is_deeply(\@secret, [], 'the access token is not in the log');
done_testing();
