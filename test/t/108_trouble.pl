# Trouble in the database: a row that is locked, a function that fails, a session
# that dies while it holds the database free.
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

sub session
{
	my (@statements) = @_;
	return IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('crm'), map { ('-c', $_) } @statements ],
		'<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
}

sub status_of
{
	my ($column) = @_;
	return $node->safe_psql('crm', "SELECT $column FROM wacta.courier_status() WHERE courier = 0");
}

# --- Somebody holds one message while its answer comes
$double->post('faults', { do => 'late', ms => 700 });
outbox_enqueue($node, 'crm', 6);
wait_for_value($node, 'crm', 'SELECT in_flight FROM wacta.courier_status()', '6', 'six are in flight');
my $pid = status_of('pid');
my $holder = session('BEGIN', 'SELECT FROM wacta.message ORDER BY message_id LIMIT 1 FOR UPDATE', 'SELECT pg_sleep(6)', 'COMMIT');
my $start = time;
wait_for_value($node, 'crm', q(SELECT count(*) FROM wacta.message WHERE status = 'accepted'), '5',
	'five are settled while one is locked');
cmp_ok(time - $start, '<', 6, 'they do not wait for the lock');
$holder->finish;
outbox_wait_empty($node, 'crm');
is(outbox_states($node, 'crm'), 'accepted 6', 'the sixth is settled when it can be');
is(status_of('pid'), $pid, 'the courier went on');
$double->del('faults');

# --- The claim fails: three times, then the launcher's backoff
$node->safe_psql('crm', q(ALTER FUNCTION wacta.courier_claim(integer, integer, integer[]) RENAME TO courier_claim_away));
outbox_enqueue($node, 'crm', 2, 10);
wait_for_value($node, 'crm', q(SELECT state FROM wacta.courier_status()), 'backoff', 'the courier gives up for now');
like(status_of('last_error'), qr/function wacta.courier_claim\(integer, integer, integer\[\]\) does not exist/, 'and tells why');
$node->safe_psql('crm', q(ALTER FUNCTION wacta.courier_claim_away(integer, integer, integer[]) RENAME TO courier_claim));
outbox_wait_empty($node, 'crm');
is(outbox_states($node, 'crm'), 'accepted 8', 'it comes back by itself');

# --- A channel that cannot be used concerns its own messages
$node->safe_psql('crm', q(DELETE FROM wacta.credential WHERE kind = 'access_token'; UPDATE wacta.channel SET name = name));
outbox_enqueue($node, 'crm', 1, 20);
wait_for_value($node, 'crm', q(SELECT outcome || ': ' || detail FROM wacta.attempt ORDER BY message_id DESC LIMIT 1),
	'not_sent: channel "meta" has no access token', 'without its token nothing is sent');
is(status_of('state'), 'idle', 'the courier is well');

# --- A session that holds the database free and dies
create_database($node, 'other');
my $renamer = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('other'), '-c', 'BEGIN',
		'-c', 'ALTER DATABASE crm RENAME TO crm2', '-c', 'SELECT pg_sleep(60)' ],
	'<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
wait_for_value($node, 'other', q(SELECT state FROM wacta.courier_status()), 'suspended', 'the courier keeps away');
$node->safe_psql('other', q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%'));
wait_for_value($node, 'other', q(SELECT state FROM wacta.courier_status()), 'idle', 'it returns when that session ends');
eval { $renamer->finish };

# --- Several couriers in one database
$node->safe_psql('crm', q(SELECT wacta.set_credential('meta', 'access_token', 'another-token')));
$node->append_conf('postgresql.conf', 'wacta.couriers_per_database = 3');
$node->reload;
wait_for_courier($node, 'crm', 3);
$double->post('faults', { do => 'late', ms => 100 });
$double->post('reset');
for my $i (0 .. 4)
{
	outbox_enqueue($node, 'crm', 40, 1000 + 40 * $i);
}
wait_for_value($node, 'crm', q(SELECT count(*) FROM wacta.message WHERE status = 'sending' OR (status = 'queued' AND attempts = 0)),
	'0', 'all are settled');
is($node->safe_psql('crm', q(SELECT count(*) FROM wacta.message WHERE status = 'accepted')), '208', 'by three couriers');
note('claimed by each: ' . $node->safe_psql('crm',
	q(SELECT string_agg(courier || ': ' || claimed, ', ' ORDER BY courier) FROM wacta.courier_status() WHERE database = 'crm')));
outbox_is_consistent($node, 'crm', $double);
$node->append_conf('postgresql.conf', 'wacta.couriers_per_database = 1');
$node->reload;
wait_for_courier($node, 'crm', 1);
done_testing();
