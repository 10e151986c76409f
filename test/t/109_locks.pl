# Somebody else's open transaction, or an answer that cannot be settled: the
# others' messages go on, the courier does not end, and nothing comes into doubt.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wacta;
use Wacta::Outbox;

my $double = Wacta::Double->start;
my $node = wacta_node('main', double => $double);
outbox_prepare($node, 'crm', $double);
wait_for_courier($node, 'crm');

my $next_lead = 0;

sub status_of
{
	my ($column) = @_;
	return $node->safe_psql('crm', "SELECT $column FROM wacta.courier_status()");
}

sub settings
{
	$node->append_conf('postgresql.conf', $_) for @_;
	$node->reload;
	return;
}

# The id of a new message; the lead's number counts up.
sub enqueue
{
	$node->safe_psql('crm', outbox_sql(1, $next_lead++));
	return $node->safe_psql('crm', 'SELECT max(message_id) FROM wacta.message');
}

sub state_of
{
	my ($message) = @_;
	return "SELECT status || ' ' || attempts FROM wacta.message WHERE message_id = $message";
}

# hold(statement ...): an application's transaction that stays open until let_go().
sub hold
{
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('crm'),
			map { ('-c', $_) } 'BEGIN', @_, 'SELECT pg_sleep(50)' ], '<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_for_value($node, 'crm', q(SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(50)'), '1',
		'an application has an open transaction');
	return $session;
}

sub let_go
{
	my ($session) = @_;
	$node->safe_psql('crm', q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(50)'));
	eval { $session->finish };
	return;
}

# New messages are delivered, and soon.
sub others_are_delivered
{
	my ($what) = @_;
	my $id = $node->safe_psql('crm', 'SELECT max(message_id) FROM wacta.message');
	outbox_enqueue($node, 'crm', 5, $next_lead);
	$next_lead += 5;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_for_value($node, 'crm', "SELECT count(*) FROM wacta.message WHERE message_id > $id AND status = 'accepted'",
		'5', "$what: others are delivered", 5);
}

sub restart_courier
{
	my $old = status_of('pid');
	$node->safe_psql('crm', "SELECT pg_terminate_backend($old)");
	gone_within($old, 5);
	return wait_for_courier($node, 'crm');
}

# --- A lead and its queued message, whose time runs out meanwhile
settings('wacta.enabled = off');
wait_for_value($node, 'crm', q(SELECT state FROM wacta.courier_status()), 'disabled', 'the courier is idle');
my $held = enqueue();
my $expired = enqueue();
$node->safe_psql('crm', "UPDATE wacta.message SET expires_at = now() - interval '1 second' WHERE message_id = $expired");
my $holder = hold(
	"SELECT FROM wacta.lead WHERE lead_id = (SELECT lead_id FROM wacta.message WHERE message_id = $held) FOR UPDATE",
	"UPDATE wacta.message SET variables = variables WHERE message_id IN ($held, $expired)");
# A new courier reaps at once.
restart_courier();
settings('wacta.enabled = on');
my $pid = status_of('pid');
others_are_delivered('a lead and queued messages are held');
sleep 2;
others_are_delivered('still held');
is(status_of('pid'), $pid, 'the courier has not ended');
let_go($holder);
wait_for_value($node, 'crm', state_of($held), 'accepted 1', 'then the lead gets its message');
wait_for_value($node, 'crm', state_of($expired), 'expired 0', 'and the other one has expired', 15);

# --- A message whose answer comes meanwhile: longer than three tries
$double->post('faults', { do => 'late', ms => 500 });
$held = enqueue();
wait_for_value($node, 'crm', state_of($held), 'sending 1', 'a request is in flight');
$holder = hold("SELECT FROM wacta.message WHERE message_id = $held FOR UPDATE");
sleep 0.6;
$double->del('faults');
my $start = time;
do { others_are_delivered('a message is held whose answer has come'); sleep 1 } while time - $start < 4;
is($node->safe_psql('crm', state_of($held)), 'sending 1', 'it is not settled yet');
let_go($holder);
wait_for_value($node, 'crm', state_of($held), 'accepted 1', 'but as soon as it can be', 6);
is(status_of('pid'), $pid, 'by the same courier');

# --- A table: nothing can be claimed, for longer than the courier would bear an error
$holder = hold('LOCK TABLE wacta.attempt IN SHARE MODE');
$held = enqueue();
$start = time;
sleep 0.5 while time - $start < 10;
is(status_of('pid'), $pid, 'a lock is no reason to give up');
let_go($holder);
wait_for_value($node, 'crm', state_of($held), 'accepted 1', 'and work goes on when it is gone', 3);
is($node->safe_psql('crm', q(SELECT count(*) FROM wacta.message WHERE status = 'in_doubt')), '0', 'nothing is in doubt');
my @said = slurp_file($node->logfile) =~ /(could not exchange messages with the outbox: canceling .*)/g;
cmp_ok(scalar @said, '<', 6, 'the log is not filled with it') or diag(join "\n", @said);

# --- What a former courier had in flight is locked: the next one starts all the same
$double->post('faults', { do => 'late', ms => 15000 });
$held = enqueue();
wait_for_value($node, 'crm', 'SELECT in_flight FROM wacta.courier_status()', '1', 'a request is in flight');
$holder = hold("SELECT FROM wacta.message WHERE message_id = $held FOR UPDATE");
$double->del('faults');
restart_courier();
others_are_delivered('an orphan is held');
is($node->safe_psql('crm', state_of($held)), 'sending 1', 'the orphan is left for later');
let_go($holder);
restart_courier();
wait_for_value($node, 'crm', state_of($held), 'in_doubt 1', 'and found then');

# --- Reaping fails: nothing else does
$node->safe_psql('crm', 'ALTER FUNCTION wacta.courier_reap() RENAME TO courier_reap_away');
restart_courier();
$pid = status_of('pid');
wait_for_value($node, 'crm', 'SELECT last_error FROM wacta.courier_status()', 'function wacta.courier_reap() does not exist',
	'the courier tells what is wrong');
others_are_delivered('reaping fails');
is(status_of('pid'), $pid, 'and it lives on');
$node->safe_psql('crm', 'ALTER FUNCTION wacta.courier_reap_away() RENAME TO courier_reap');

# --- One answer that cannot be settled is let go after three tries
$node->safe_psql('crm', q(
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''this one cannot be settled''; END'));
$double->post('faults', { do => 'late', ms => 500 });
$held = enqueue();
$node->safe_psql('crm', "CREATE TRIGGER refuse BEFORE UPDATE ON wacta.attempt FOR EACH ROW
	WHEN (NEW.message_id = $held) EXECUTE FUNCTION refuse()");
$double->del('faults');
wait_for('it is let go', sub { slurp_file($node->logfile) =~ /could not settle message $held .*: this one cannot be settled/ }, 10);
others_are_delivered('one was let go');
is(status_of('pid'), $pid, 'the courier has not ended for one');
is($node->safe_psql('crm', state_of($held)), 'sending 1', 'its lease will end');

# --- None can be settled: it must not go on to send
$node->safe_psql('crm', q(DROP TRIGGER refuse ON wacta.attempt;
	CREATE TRIGGER refuse BEFORE UPDATE ON wacta.attempt FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION refuse()));
# A batch is on its way when the first answers fail, and a second one after a pause.
my $before = $double->get('stats')->{requests};
for (1 .. 40)
{
	enqueue();
	last if status_of('state') eq 'backoff';
	sleep 0.5;
}
wait_for_value($node, 'crm', 'SELECT state FROM wacta.courier_status()', 'backoff', 'the courier gives up for now');
cmp_ok($double->get('stats')->{requests} - $before, '<', 20, 'and has not sent on and on');
$node->safe_psql('crm', 'DROP TRIGGER refuse ON wacta.attempt');
wait_for_courier($node, 'crm');
outbox_wait_empty($node, 'crm');
outbox_is_consistent($node, 'crm', $double);
done_testing();
