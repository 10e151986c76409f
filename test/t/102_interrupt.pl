# A reply that takes 15 seconds is in flight, and nothing waits for it: no
# snapshot, no DROP DATABASE, no pg_terminate_backend(), no shutdown.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wacta;
use Wacta::Outbox;

my $double = Wacta::Double->start;
my $node = wacta_node('main', double => $double, conf => "log_lock_waits = on");
outbox_prepare($node, 'crm', $double);
wait_for_courier($node, 'crm');
$double->post('faults', { do => 'late', ms => 15000 });

my $next_lead = 0;

# One more message, until the double has it and the courier waits for the answer.
sub send_one
{
	my ($database) = @_;
	outbox_enqueue($node, $database, 1, $next_lead++);
	wait_for_value($node, $database,
		q(SELECT in_flight FROM wacta.courier_status() WHERE database = current_database()),
		'1', "a request of $database is in flight");
	return;
}

# How long the code takes, in seconds.
sub seconds
{
	my ($code) = @_;
	my $start = time;
	$code->();
	return time - $start;
}

# Commands that copy or flush files may take their time on a busy disk, though less than the reply that is in flight.
sub quick
{
	my ($what, $code, $limit) = @_;
	$limit //= 1;
	my $took = seconds($code);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	note(sprintf '%s took %.2f s', $what, $took);
	return cmp_ok($took, '<', $limit, "$what is not held up");
}

sub courier_pid
{
	my ($database) = @_;
	return $node->safe_psql($database,
		q(SELECT pid FROM wacta.courier_status() WHERE database = current_database()));
}

# --- What it holds while it waits: nothing
send_one('crm');
is($node->safe_psql('crm', q(SELECT backend_xmin IS NULL, backend_xid IS NULL, xact_start IS NULL,
		wait_event_type, query FROM pg_stat_activity WHERE backend_type = 'wacta courier')),
	't|t|t|Extension|wacta: sending 1', 'no snapshot and no transaction while a request is in flight');
is($node->safe_psql('crm', q(SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE backend_type = 'wacta courier')), '0', 'and no lock');

# --- Commands that every process must answer, and a database that is none of its own
$node->safe_psql('postgres', 'CREATE DATABASE other');
quick('DROP DATABASE of another database', sub { $node->safe_psql('postgres', 'DROP DATABASE other') });
quick('CHECKPOINT', sub { $node->safe_psql('postgres', 'CHECKPOINT') }, 10);
quick('a reload of the settings', sub {
	$node->append_conf('postgresql.conf', 'wacta.max_in_flight = 3');
	$node->reload;
	wait_for_value($node, 'crm', 'SHOW wacta.max_in_flight', '3', 'reloaded');
});
my $pid = courier_pid('crm');
is($node->safe_psql('crm', 'SELECT in_flight FROM wacta.courier_status()'), '1', 'still in flight');

# --- Terminated
quick('pg_terminate_backend()', sub {
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	ok(defined gone_within($pid, 5), 'the courier has ended');
});
wait_for_courier($node, 'crm');
wait_for_value($node, 'crm', q(SELECT string_agg(status || ': ' || reason, ', ') FROM wacta.message),
	'in_doubt: the courier ended before the answer came', 'its message is in doubt');

# --- Cancelled: nothing to cancel, and it lives on
send_one('crm');
$pid = courier_pid('crm');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
outbox_enqueue($node, 'crm', 1, $next_lead++);
wait_for_value($node, 'crm', 'SELECT in_flight FROM wacta.courier_status()', '2', 'a second request leaves');
is(courier_pid('crm'), $pid, 'pg_cancel_backend() does not end a courier');

# --- Commands that need this database free, all of which fail or finish at once
quick('CREATE DATABASE from it as a template', sub {
	$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE crm');
}, 10);
is($node->safe_psql('copy', q(SELECT count(*) FROM wacta.message)), '3', 'the copy has the outbox');
wait_for_courier($node, 'crm');

send_one('crm');
quick('ALTER DATABASE RENAME, rolled back', sub {
	$node->safe_psql('postgres', 'BEGIN; ALTER DATABASE crm RENAME TO crm2; ROLLBACK');
});
wait_for_courier($node, 'crm');

send_one('crm');
mkdir $node->basedir . '/space' or die "could not make a directory: $!";
$node->safe_psql('postgres', "CREATE TABLESPACE space LOCATION '" . $node->basedir . "/space'");
quick('ALTER DATABASE SET TABLESPACE', sub {
	$node->safe_psql('postgres', 'ALTER DATABASE crm SET TABLESPACE space');
}, 10);
wait_for_courier($node, 'crm');

send_one('crm');
quick('ALTER DATABASE RENAME', sub {
	$node->safe_psql('postgres', 'ALTER DATABASE crm RENAME TO crm2');
});
wait_for_value($node, 'crm2', q(SELECT state FROM wacta.courier_status() WHERE database = 'crm'),
	'absent', 'no courier for a name that has gone');
$node->safe_psql('postgres', 'ALTER DATABASE crm2 RENAME TO crm');
wait_for_courier($node, 'crm');

# --- A role that may not drop the database cannot have its courier stopped
$node->safe_psql('postgres', 'CREATE ROLE nobody');
$pid = courier_pid('crm');
my ($status, $out, $error) = $node->psql('postgres', 'SET ROLE nobody; DROP DATABASE crm');
like($error, qr/must be owner of database crm/, 'a stranger is refused');
is(courier_pid('crm'), $pid, 'and the courier is left alone');

# --- Somebody else is in the way: the command fails, the courier comes back
my $session = IPC::Run::start([ 'psql', '-XAt', '-d', $node->connstr('crm'), '-c', 'SELECT pg_sleep(6.5)' ],
	'<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
wait_for_value($node, 'postgres', q(SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'),
	'1', 'another session is in the database');
($status, $out, $error) = $node->psql('postgres', 'DROP DATABASE crm');
like($error, qr/is being accessed by other users/, 'DROP DATABASE fails for another session');
wait_for_courier($node, 'crm');
$session->finish;

# --- Its own database
send_one('crm');
$pid = courier_pid('crm');
quick('DROP DATABASE of its own database', sub { $node->safe_psql('postgres', 'DROP DATABASE crm') });
ok(!kill(0, $pid), 'its courier is gone');
create_database($node, 'crm');
outbox_prepare($node, 'crm', $double);
wait_for_courier($node, 'crm');
ok(1, 'a database of that name gets a courier again');
send_one('crm');
quick('DROP DATABASE WITH (FORCE)', sub { $node->safe_psql('postgres', 'DROP DATABASE crm WITH (FORCE)') });

# --- Shutdown
create_database($node, 'crm');
outbox_prepare($node, 'crm', $double);
wait_for_courier($node, 'crm');
send_one('crm');
# The checkpoint is not what is measured.
$node->safe_psql('postgres', 'CHECKPOINT');
quick('a fast shutdown', sub { $node->stop('fast') });
$node->start;
wait_for_courier($node, 'crm');
wait_for_value($node, 'crm', q(SELECT string_agg(status::text, ', ') FROM wacta.message), 'in_doubt',
	'after the restart its message is in doubt');
my @alarming = grep { /PANIC|TRAP|could not exchange/ } split /\n/, slurp_file($node->logfile);
is_deeply(\@alarming, [], 'nothing alarming in the log');

done_testing();
