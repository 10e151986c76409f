# The jobs of wacta.schedule, run by the timer of wacta where there is no pg_cron and by pg_cron where it is, in its own database and
# from another one; never by both, through crashes and errors.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;

my $scheduler = q(SELECT scheduler FROM wacta.config);
my $site = q(SELECT wacta.add_signing_key(); SELECT wacta.add_channel('main', 'tata');
	SELECT wacta.add_template('pitch', jsonb_build_array(jsonb_build_object('type', 'BODY', 'text', 'Hello there'))));

sub outcome
{
	my ($job) = @_;
	return "SELECT outcome FROM wacta.schedule WHERE job = '$job' AND ended_at IS NOT NULL";
}

# A server whose timer looks after "crm".
my $node = wacta_node('main', databases => ['crm']);
sub sql { return $node->safe_psql('crm', $_[0]) }
sub is_sql { my ($sql, $expected, $what) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return wait_for_value($node, 'crm', $sql, $expected, $what) }

sql($site);
is_sql(q(SELECT state FROM wacta.inbox_worker_status() WHERE database = 'crm'), 'running', 'the worker runs');
sql(q(SELECT wacta.log_ivr_call('9876500001')));
is(sql(q(SELECT count(*) FROM wacta.schedule WHERE started_at IS NOT NULL)), '0', 'nothing runs by itself');

# The timer begins when its transaction has committed, and goes through all that is due.
my ($status, $out, $err) = $node->psql('crm', q(SELECT count(*) >= 3 FROM wacta.install_schedule()));
is($out, 't', 'the schedule is installed');
like($err, qr/NOTICE:  the timer of wacta runs the jobs: pg_cron is not in shared_preload_libraries/, 'and says by whom it is run');
unlike($err, qr/WARNING/, 'the timer runs');
is_sql(q(SELECT outcome FROM wacta.ivr_call), 'queued', 'a call is processed');
is_sql(q(SELECT count(*) FROM wacta.schedule WHERE enabled AND (ended_at IS NULL OR failures > 0)), '0', 'all jobs have run, without an error');

# An error is told and does not hold up the others; the webhooks' worker goes on.
my $pid = sql(q(SELECT pid FROM wacta.inbox_worker_status() WHERE database = 'crm'));
sql(q(INSERT INTO wacta.schedule (job, command, every) VALUES ('broken', 'SELECT 1 / 0', '1 second'), ('slow', 'SELECT pg_sleep(0.2)', '1 second');
	SELECT count(*) FROM wacta.install_schedule('timer')));
is_sql(q(SELECT object FROM wacta.alert WHERE alert = 'job_failed'), 'broken', 'a job that fails is told');
is_sql(q(SELECT failures > 1 FROM wacta.schedule WHERE job = 'broken'), 't', 'it is tried again at its time');
is_sql(q(SELECT count(*) FROM wacta.schedule WHERE job = 'slow' AND ended_at > started_at AND failures = 0), '1', 'another one is not held up');
is(sql(q(SELECT pid FROM wacta.inbox_worker_status() WHERE database = 'crm')), $pid, 'by the same worker');
sql(q(DELETE FROM wacta.schedule WHERE job = 'broken'));

# A job that ends its process has moved on before it began.
sql(q(INSERT INTO wacta.schedule (job, command, every) VALUES ('deadly', 'SELECT pg_terminate_backend(pg_backend_pid())', '1 hour');
	SELECT count(*) FROM wacta.install_schedule('timer')));
is_sql("SELECT pid <> $pid FROM wacta.inbox_worker_status() WHERE database = 'crm' AND state = 'running'", 't', 'a job that ends the worker: it is back');
is_sql(q(SELECT failures || ' ' || outcome || ' ' || (next_run_at > now() + interval '50 minutes') FROM wacta.schedule WHERE job = 'deadly'), '1 it has not ended true',
	'the job is known as failed and waits for its next time');
sql(q(DELETE FROM wacta.schedule WHERE job = 'deadly'));
sql(q(UPDATE wacta.schedule SET outcome = NULL));
is_sql(q(SELECT outcome IS NOT NULL FROM wacta.schedule WHERE job = 'slow'), 't', 'the others go on');

# A crash of the server
$node->stop('immediate');
$node->start;
sql(q(UPDATE wacta.schedule SET outcome = NULL));
is_sql(q(SELECT outcome IS NOT NULL FROM wacta.schedule WHERE job = 'slow'), 't', 'after a crash the timer goes on');

# One line to undo
sql(q(SELECT wacta.remove_schedule()));
is_sql(q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'wacta inbox' AND state = 'active'), '0', 'no job runs any more');
sql(q(UPDATE wacta.schedule SET started_at = NULL, next_run_at = now()));
sql(q(SELECT wacta.log_ivr_call('9876500003')));     # wakes nobody; the look at the schedule is what is counted on
sql(q(SELECT wacta.wake_inbox()));
is_sql(q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'wacta inbox' AND state_change > now() - interval '10 seconds'), '1', 'the worker has looked');
is(sql(q(SELECT count(*) FROM wacta.schedule WHERE started_at IS NOT NULL)), '0', 'and runs nothing');

# pg_cron, from here on
SKIP:
{
	my $share = $node->config_data('--sharedir');
	skip 'pg_cron is not installed', 1 unless -e "$share/extension/pg_cron.control";
	$node->append_conf('postgresql.conf', q(
shared_preload_libraries = 'wacta,pg_cron'
cron.database_name = 'crm'
cron.use_background_workers = on
max_worker_processes = 20
));
	$node->restart;
	sql(q(DELETE FROM wacta.schedule WHERE job = 'slow'));
	($status, $out, $err) = $node->psql('crm', q(SELECT * FROM wacta.install_schedule('pg_cron')));
	like($err, qr/ERROR:  pg_cron cannot run the jobs: extension "pg_cron" does not exist in this database\n.*HINT:  .*install_schedule\('timer'\)/s, 'an error with a hint');
	is(sql($scheduler), 'off', 'which changes nothing');

	sql(q(CREATE EXTENSION pg_cron; CREATE EXTENSION dblink));
	my $jobs = q(SELECT string_agg(jobname || ' ' || schedule || ' ' || username || ' ' || database, ', ' ORDER BY jobname) FROM cron.job WHERE jobname ~ 'expiry|process_ivr');
	my $expected = 'wacta expiry in crm * * * * * wacta_courier crm, wacta process_ivr in crm * * * * * wacta_courier crm';
	is(sql(q(SELECT string_agg(DISTINCT run_by, ',') FROM wacta.install_schedule())), 'pg_cron', 'pg_cron is chosen where it is');
	is(sql($jobs), $expected, 'its jobs');
	my $count = sql('SELECT count(*) FROM cron.job');
	is(sql(q(SELECT count(*) FROM wacta.install_schedule())), $count, 'again');
	is(sql('SELECT count(*) FROM cron.job'), $count, 'gives no second ones');
	# pg_cron knows minutes: what it runs is run here at once, as its user
	is(sql(q(UPDATE cron.job SET schedule = '* * * * *'; SET ROLE wacta_courier; ) . sql(q(SELECT command FROM cron.job WHERE jobname LIKE '%process_ivr%'))), '1', 'its command processes the call');
	is_sql(q(SELECT count(*) FROM wacta.schedule WHERE failures > 0), '0', 'without an error');
	sql(q(UPDATE wacta.schedule SET next_run_at = now() - interval '1 hour', started_at = NULL WHERE job = 'expiry'; SELECT wacta.wake_inbox()));
	is(sql(q(SELECT coalesce((wacta.take_due_job()).job, 'none'))), 'none', 'the timer is off');
	is(sql(q(SELECT wacta.run_job('expiry', 'timer'))), 'not scheduled', 'and could do nothing');
	is(sql('SELECT wacta.remove_schedule()'), $count, 'one line takes them away');
	is(sql('SELECT count(*) FROM cron.job'), '0', 'all of them');
	is(sql($scheduler), 'off', 'and nobody runs them');

	# From another database
	$node->safe_psql('postgres', q(CREATE DATABASE other));
	$node->safe_psql('other', q(CREATE EXTENSION wacta CASCADE; SELECT wacta.create_roles()));
	($status, $out, $err) = $node->psql('other', q(SELECT * FROM wacta.install_schedule('pg_cron')));
	like($err, qr/pg_cron is in database "crm", and extension "dblink", which reaches it, does not exist in this one/, 'without dblink: why not');
	$node->safe_psql('other', q(CREATE EXTENSION dblink));
	ok($node->safe_psql('other', q(SELECT count(*) FROM wacta.install_schedule('pg_cron'))) > 0, 'with it');
	is(sql($jobs), $expected =~ s/crm/other/gr, 'the jobs are in the other database');
	sql(q(SELECT count(*) FROM wacta.install_schedule('pg_cron')));
	ok($node->safe_psql('other', 'SELECT wacta.remove_schedule()') > 0, 'and are taken away from there');
	is(sql($jobs), $expected, 'those of this one stay');

	# It is really pg_cron that runs them. It knows full minutes, and the start of the server, which is sooner.
	sql(q(UPDATE wacta.schedule SET ended_at = NULL, outcome = NULL; UPDATE cron.job SET schedule = '@reboot'));
	$node->restart;
	is_sql(outcome('expiry') . ' AND failures = 0', '0', 'pg_cron runs a job');
	is_sql(outcome('process_ivr') . ' AND failures = 0', '0', 'and another');
}

done_testing();
