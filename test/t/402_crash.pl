# kill -9 at each step of a message's way: nothing is lost, nothing is sent twice, the states add up.
#
# A courier that is killed takes the whole cluster through crash recovery, so each case is a crash of the server too.
# The steps are held open by locks of ours: credential (read after the claim, before the request) and attempt (written by
# the settle).
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Outbox;
use Wacta::Site;

my $site = Wacta::Site->start('crm', conf => "wacta.request_timeout = '20s'\n");
my $node = $site->node;
my $double = $site->double;
$double->post('settings', { webhooks => { attempts => 12, retry_ms => 100 } });
my $number = 9876530000;

# A message for a new person; returns its id.
sub enqueue
{
	my $phone = '+91' . ++$number;
	return $site->sql("SELECT wacta.send_interactive(wacta.upsert_lead('$phone', 'Asha', 'Palm Residency'))");
}

sub courier_pid
{
	return $site->sql('SELECT pid FROM wacta.courier_status() WHERE pid IS NOT NULL');
}

# Another session takes a lock, and kills the courier with SIGKILL as soon as that waits for it: a courier waits no longer
# than 200 ms.  The session itself ends with the server's crash.
sub lock_to_kill
{
	my ($lock) = @_;
	my $log = -s $node->logfile;
	my ($in, $out, $err) = (<<"SQL", '', '');
BEGIN;
LOCK TABLE $lock;
\\echo locked
DO \$\$
DECLARE
  courier integer;
BEGIN
  FOR i IN 1..30000 LOOP
    PERFORM pg_stat_clear_snapshot();
    SELECT pid INTO courier FROM pg_stat_activity WHERE backend_type = 'wacta courier' AND wait_event_type = 'Lock';
    IF FOUND THEN
      EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', 'kill -KILL ' || courier);
      EXIT;
    END IF;
    PERFORM pg_sleep(0.001);
  END LOOP;
END
\$\$;
SQL
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('crm') ], '<', \$in, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	$session->pump until $out =~ /locked/;
	return { session => $session, log => $log };
}

# The server has come back from its crash recovery, and with it a courier.  Its log is asked: a connection may still come
# in between the end of a process and the postmaster's notice of it.
sub wait_back
{
	my ($log, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_for($what, sub { slurp_file($node->logfile, $log) =~ /was terminated by signal 9.* ready to accept connections/s });
	wait_for_courier($node, 'crm');
	return;
}

sub wait_killed
{
	my ($killer, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	eval { $killer->{session}->finish };
	wait_back($killer->{log}, $what);
	return;
}

sub kill_server_by
{
	my ($pid, $what) = @_;
	my $log = -s $node->logfile;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	kill 'KILL', $pid or die "could not kill $pid: $!";
	wait_back($log, $what);
	return;
}

sub requests_of { my ($message) = @_; return scalar @{ $double->journal(callback => "wacta:outbox:$message") } }

sub balance { my ($what) = @_; outbox_is_consistent($node, 'crm', $double); note $what; return }

# --- Between claim and send: the request never left, but nobody can know that, so it is in doubt and not sent by itself
my $killer = lock_to_kill('wacta.credential IN ACCESS EXCLUSIVE MODE');
my $message = enqueue();
wait_killed($killer, 'killed between claim and send');
$site->wait_sql("SELECT status FROM wacta.message WHERE message_id = $message", 'in_doubt', 'it is in doubt');
is($site->sql("SELECT count(*) FROM wacta.message_in_doubt WHERE message_id = $message AND age >= '0'"), '1', 'and listed');
is($site->sql("SELECT outcome FROM wacta.attempt WHERE message_id = $message"), 'lost', 'its attempt says lost');
is(requests_of($message), 0, 'no request left');
balance('claim/send');
is($site->sql("SELECT wacta.settle($message, 'resend', 'the provider has no trace of it')"), 'queued', 'an operator has it sent again');
$site->wait_sql("SELECT status FROM wacta.message WHERE message_id = $message", 'read', 'and it arrives');
is(requests_of($message), 1, 'once');

# --- While the request is under way: the provider has taken it, and its webhook settles it
$double->post('faults', { do => 'late', ms => 15000, times => 1 });
$message = enqueue();
ok($double->wait_until(count => 1, callback => "wacta:outbox:$message"), 'the request is taken, its answer is late');
# Its webhooks come at once, so that the state is the provider's word before the crash or after it.
kill_server_by(courier_pid(), 'killed while sending');
$site->wait_sql("SELECT status FROM wacta.message WHERE message_id = $message", 'read', 'the webhook settles it');
is(requests_of($message), 1, 'it was not sent again');
balance('sending');

# --- The same without any webhook: in doubt, until the status that echoes our id comes after all
$double->post('webhook-rules', { match => { status => '*' }, lose => JSON::PP::true() });
$double->post('faults', { do => 'late', ms => 15000, times => 1 });
$message = enqueue();
ok($double->wait_until(count => 1, callback => "wacta:outbox:$message"), 'another request is taken, no webhook comes');
kill_server_by(courier_pid(), 'killed while sending');
$site->wait_sql("SELECT status FROM wacta.message WHERE message_id = $message", 'in_doubt', 'it is in doubt');
$double->del('webhook-rules');
$double->post('statuses', { callback => "wacta:outbox:$message", status => 'delivered' });
$site->wait_sql("SELECT status FROM wacta.message WHERE message_id = $message", 'delivered', 'a late status settles it');
is(requests_of($message), 1, 'it was not sent again');

# --- Between the answer and the settle
$double->post('webhook-rules', { match => { status => '*' }, lose => JSON::PP::true() });
$double->post('faults', { do => 'delay', ms => 1500, times => 1 });
$message = enqueue();
ok($double->wait_until(count => 1, callback => "wacta:outbox:$message"), 'the request is at the double');
wait_killed(lock_to_kill('wacta.attempt IN SHARE MODE'), 'killed between answer and settle');
$site->wait_sql("SELECT status FROM wacta.message WHERE message_id = $message", 'in_doubt', 'it is in doubt');
$double->del('webhook-rules');
$double->post('statuses', { callback => "wacta:outbox:$message", status => 'sent' });
$site->wait_sql("SELECT status FROM wacta.message WHERE message_id = $message", 'sent', 'its status settles it');
is(requests_of($message), 1, 'it was not sent again');
balance('settle');

# --- A backend in the middle of its transaction: what it had queued never was
my ($in, $out, $err) = ("BEGIN;\nSELECT wacta.send_interactive(wacta.upsert_lead('+919876540000')) > 0;\nSELECT 'pid', pg_backend_pid();\n", '', '');
my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('crm') ], '<', \$in, '>', \$out, '2>', \$err,
	IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
$session->pump until $out =~ /pid\|(\d+)/;
my ($backend) = $out =~ /pid\|(\d+)/;
my $before = $double->get('stats')->{requests};
kill_server_by($backend, 'a backend killed in its transaction');
eval { $session->kill_kill };
is($site->sql("SELECT count(*) FROM wacta.lead_identity WHERE value = '+919876540000'"), '0', 'its lead and message never were');

# --- The postmaster itself: all that had committed is there and leaves after the start
$site->sql("UPDATE wacta.channel SET status = 'paused'");
my @queued = map { enqueue() } 1 .. 20;
kill 'KILL', $site->sql('SELECT pg_ctl.pid FROM (SELECT ' . (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0] . ' AS pid) pg_ctl');
$node->{_pid} = undef;
wait_for('the postmaster is gone', sub { !-S $node->host . '/.s.PGSQL.' . $node->port || !eval { $node->psql('postgres', 'SELECT 1') == 0 } });   # psql may break off its input
wait_for('its processes are gone', sub { system('pg_ctl', '-D', $node->data_dir, '-s', '-l', $node->logfile, 'start') == 0 });
$node->_update_pid(1);
wait_for_courier($node, 'crm');
is($site->sql("SELECT count(*) FROM wacta.message WHERE status = 'queued'"), '20', 'after the postmaster was killed all are queued');
$site->sql("SELECT wacta.resume_channel('main')");
$site->wait_sql(q(SELECT count(*) FROM wacta.message WHERE status = 'read' AND message_id >= ) . $queued[0], '20', 'and all arrive');
is($double->get('stats')->{requests}, $before + 20, 'each in one request');
balance('postmaster');

# --- The network: refused is retried, reset after the body is in doubt
$site->sql("UPDATE wacta.config SET retry_base = '100 ms'");
my $port = $double->port;
$double->post('faults', { do => 'reset', when => 'after_body', taken => JSON::PP::false(), times => 1 });
$message = enqueue();
$site->wait_sql("SELECT status FROM wacta.message WHERE message_id = $message", 'in_doubt', 'a reset after the body is in doubt');
$double->post('faults', { do => 'error', status => 503, times => 1 });
$message = enqueue();
$site->wait_sql("SELECT status FROM wacta.message WHERE message_id = $message", 'read', 'a 503 is retried');
is($site->sql("SELECT string_agg(http_status::text, ' ' ORDER BY attempt) FROM wacta.attempt WHERE message_id = $message"), '503 200', 'by a second attempt');
$double->stop;
$message = enqueue();
$site->wait_sql("SELECT outcome FROM wacta.attempt WHERE message_id = $message AND attempt = 1", 'not_sent', 'a refused connection is certainly not sent');
$site->wait_sql("SELECT status IN ('queued', 'sending') FROM wacta.message WHERE message_id = $message", 't', 'and will be tried again');

done_testing();
