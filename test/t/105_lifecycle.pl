# Couriers come and go with what they need: database, extension, role, settings,
# free workers, a launcher.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wacta;
use Wacta::Outbox;

my $double = Wacta::Double->start;
my $node = wacta_node('main', double => $double, conf => 'max_worker_processes = 4');
outbox_prepare($node, 'crm', $double);
wait_for_courier($node, 'crm');

# courier_status() is there in every database with the extension; this one stays.
create_database($node, 'watch');
$node->append_conf('postgresql.conf', q(log_statement = 'none'));
$node->reload;

sub status_of
{
	my ($database, $column) = @_;
	return $node->safe_psql('watch',
		"SELECT $column FROM wacta.courier_status() WHERE database = '$database' AND courier = 0");
}

sub becomes
{
	my ($database, $state, $patience) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_for_value($node, 'watch',
		"SELECT state FROM wacta.courier_status() WHERE database = '$database' AND courier = 0",
		$state, "courier of $database is $state", $patience);
}

sub set
{
	my ($line) = @_;
	$node->append_conf('postgresql.conf', $line);
	$node->reload;
	return;
}

# --- The extension
my $pid = status_of('crm', 'pid');
$node->safe_psql('crm', 'BEGIN; DROP EXTENSION wacta; ROLLBACK');
is(status_of('crm', 'pid'), $pid, 'DROP EXTENSION that is rolled back changes nothing');
# The courier meets the lock of a DROP that is not decided and does not wait for it.
my $dropper = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('crm'), '-c', 'BEGIN', '-c', 'DROP EXTENSION wacta',
		'-c', 'SELECT pg_sleep(1)', '-c', 'ROLLBACK' ], '<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
wait_for_value($node, 'watch', q(SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'
	AND pid <> pg_backend_pid()), '1', 'DROP EXTENSION is under way');
set(q(wacta.poll_interval = '50ms'));
sleep 0.3;
is($node->safe_psql('watch', q(SELECT count(*) FROM pg_locks WHERE NOT granted)), '0', 'nobody waits for it');
$dropper->finish;
is(status_of('crm', 'pid'), $pid, 'and the courier has stayed');
set(q(wacta.poll_interval = '5s'));

$node->safe_psql('crm', 'DROP EXTENSION wacta');
set(q(wacta.poll_interval = '1s'));
becomes('crm', 'absent');
like(status_of('crm', 'last_error'), qr/extension "wacta" (does not exist|was dropped)/, 'and says why');
$node->safe_psql('crm', 'BEGIN; CREATE EXTENSION wacta CASCADE; ROLLBACK');
becomes('crm', 'absent');
my $start = time;
$node->safe_psql('crm', 'CREATE EXTENSION wacta CASCADE; SELECT wacta.create_roles()');
becomes('crm', 'idle');
cmp_ok(time - $start, '<', 5, 'CREATE EXTENSION wakes the launcher at commit');
outbox_prepare($node, 'crm', $double);
outbox_enqueue($node, 'crm', 3);
outbox_wait_empty($node, 'crm');
is(outbox_states($node, 'crm'), 'accepted 3', 'the new extension delivers');
# Dropped and made again before the courier can look: it must not go on with the old plans.
$node->safe_psql('crm', 'BEGIN; DROP EXTENSION wacta; CREATE EXTENSION wacta; SELECT wacta.create_roles(); COMMIT');
outbox_prepare($node, 'crm', $double);
outbox_enqueue($node, 'crm', 2, 10);
outbox_wait_empty($node, 'crm');
is(outbox_states($node, 'crm'), 'accepted 2', 'and so does one that replaced it in one transaction');

# --- The role
set(q(wacta.worker_role = 'no_such_role'));
becomes('crm', 'absent');
is(status_of('crm', 'last_error'), 'role "no_such_role" does not exist', 'the role is missing');
# Whoever runs the tests is the cluster's superuser, whatever the name.
my $superuser = $node->safe_psql('watch', 'SELECT current_user');
set(qq(wacta.worker_role = '$superuser'));
wait_for_value($node, 'watch', q(SELECT last_error FROM wacta.courier_status() WHERE database = 'crm'),
	qq(role "$superuser" is a superuser, which a worker must not be), 'a superuser is refused');
$node->safe_psql('crm', 'CREATE ROLE sender');
set(q(wacta.worker_role = 'sender'));
# From PostgreSQL 17 on it need not be able to log in, but it has no rights either.
wait_for_value($node, 'watch', q(SELECT last_error IN ('role "sender" is not permitted to log in', 'permission denied for schema wacta')
	FROM wacta.courier_status() WHERE database = 'crm'), 't', 'a role without rights is refused');
$node->safe_psql('crm', q(ALTER ROLE sender LOGIN; SELECT wacta.grant_courier('sender')));
$node->reload;
becomes('crm', 'idle');
is($node->safe_psql('watch', q(SELECT usename FROM pg_stat_activity WHERE backend_type = 'wacta courier')), 'sender',
	'a role of the site\'s own will do');
set(q(wacta.worker_role = 'wacta_courier'));
wait_for_value($node, 'watch', q(SELECT usename FROM pg_stat_activity WHERE backend_type = 'wacta courier'), 'wacta_courier',
	'a change of the role takes effect at a reload');

# --- Off
set('wacta.enabled = off');
becomes('crm', 'disabled');
outbox_enqueue($node, 'crm', 2, 20);
sleep 0.3;
is(outbox_states($node, 'crm'), 'queued 2, accepted 2', 'wacta.enabled = off: nothing is claimed');
set('wacta.enabled = on');
outbox_wait_empty($node, 'crm');
is(outbox_states($node, 'crm'), 'accepted 4', 'on again: it is');

# --- Settings, and workers that are not there.  Of four workers one is the
# launcher and one is PostgreSQL's own for logical replication.
set(q(wacta.databases = 'crm, watch, nowhere'));
becomes('nowhere', 'absent');
is(status_of('nowhere', 'last_error'), 'database "nowhere" does not exist', 'a database that does not exist');
becomes('watch', 'backoff');
like(status_of('watch', 'last_error'), qr/^no background worker is free/, 'no worker is left for the second');
my @said = slurp_file($node->logfile) =~ /(could not start a courier .*)\n.*(HINT:.*)/g;
is_deeply(\@said, [ 'could not start a courier for database "watch": no background worker is free',
	'HINT:  You might need to increase "max_worker_processes".' ],
	'the log says so once, and at no restart before');
is(status_of('crm', 'state'), 'idle', 'the first goes on');
set(q(wacta.databases = 'watch'));
becomes('watch', 'idle', 70);
is($node->safe_psql('watch', q(SELECT string_agg(database, ', ') FROM wacta.courier_status())), 'watch',
	'what is listed no more has gone');
set(q(wacta.databases = 'crm'));
becomes('crm', 'idle', 70);

# --- A launcher that ends: couriers and what they have in flight live on
$double->post('faults', { do => 'late', ms => 1500 });
outbox_enqueue($node, 'crm', 1, 30);
wait_for_value($node, 'watch', q(SELECT in_flight FROM wacta.courier_status()), '1', 'a request is in flight');
$pid = status_of('crm', 'pid');
my $launcher = $node->safe_psql('watch', q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'wacta launcher'));
$node->safe_psql('watch', "SELECT pg_terminate_backend($launcher)");
outbox_wait_empty($node, 'crm');
is(outbox_states($node, 'crm'), 'accepted 5', 'its answer was read');
wait_for_value($node, 'watch', q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'wacta launcher'), '1',
	'the launcher is back');
is(status_of('crm', 'pid'), $pid, 'and has adopted the courier');

# --- kill -9 of a courier: the server restarts, the message is in doubt, none is sent twice
outbox_enqueue($node, 'crm', 4, 40);
wait_for_value($node, 'watch', q(SELECT in_flight FROM wacta.courier_status()), '4', 'requests are in flight');
kill 'KILL', $pid;
wait_for('the server has restarted', sub {
	my ($status, $out) = $node->psql('watch', q(SELECT pid FROM wacta.courier_status() WHERE pid IS NOT NULL));
	return defined $out && $out =~ /^\d+$/ && $out ne $pid;
});
wait_for_value($node, 'crm', q(SELECT count(*) FROM wacta.message WHERE status = 'in_doubt'), '4', 'four are in doubt');
$double->del('faults');
outbox_enqueue($node, 'crm', 1, 50);
outbox_wait_empty($node, 'crm');
is(outbox_states($node, 'crm'), 'in_doubt 4, accepted 6', 'and work goes on');

my @alarming = grep { /PANIC|TRAP|could not exchange|segfault|signal 11/ } split /\n/, slurp_file($node->logfile);
is_deeply(\@alarming, [], 'nothing alarming in the log');
done_testing();
