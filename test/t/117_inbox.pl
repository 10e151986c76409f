# Inbox first: a webhook is answered when its bytes are stored, and applied afterwards, whatever locks, crashes or bodies
# that end the process are in the way: nothing is lost, nothing has a second effect, and none holds up the others.
#
# Bodies are calls, because one call id is one row: a row too few is a body lost, a note too many a second effect.
use strict;
use warnings;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wacta;
use Wacta::Gateway;

my $key = 'a-key-of-the-ivr-source-0123456789';
my $node = wacta_node('main', databases => [ 'crm', 'other' ], conf => "max_prepared_transactions = 5\n");
my $gateway;
my $calls = 0;

sub sql { return $node->safe_psql('crm', $_[0]) }

sub worker_runs
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_for_value($node, 'crm', q(SELECT state FROM wacta.inbox_worker_status() WHERE database = 'crm'), 'running', $what // 'the worker runs');
}

sub worker_pid { return sql(q(SELECT pid FROM wacta.inbox_worker_status() WHERE database = 'crm')) }

sub body
{
	my ($call, $number) = @_;
	return encode_json({ call_id => $call, 'customer_no_with_prefix ' => $number // '+919876500001' });
}

# The statement that a front door runs for this call.
sub receive
{
	my ($call, $number) = @_;
	return sprintf q(SELECT wacta.receive_webhook('calls', 'ivr', convert_to('%s', 'UTF8'), '{"x-wacta-key": "%s"}')), body($call, $number), $key;
}

# Stores bodies without waking anybody, as after a crash between the store and the apply.
sub store
{
	my ($prefix, $n) = @_;
	return sql(sprintf q(INSERT INTO wacta.inbox (provider, kind, body, proved)
		SELECT 'calls', 'ivr', convert_to(replace('%s', 'ID', '%s' || n), 'UTF8'), true FROM generate_series(1, %d) n),
		body('ID'), $prefix, $n);
}

sub post
{
	my ($call, $number) = @_;
	my $began = time;
	my $answer = $gateway->request(POST => '/webhook/ivr/calls/',
		{ headers => { 'content-type' => 'application/json', 'x-wacta-key' => $key }, content => body($call, $number) });
	return ($answer->{status}, time - $began);
}

# Every proved body has been applied, each call is there once, and each has left its trace once.
sub all_applied
{
	my ($prefix, $expected, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_for_value($node, 'crm', qq(SELECT count(*) FROM wacta.inbox WHERE applied_at IS NOT NULL AND convert_from(body, 'UTF8') LIKE '%"$prefix%'),
		$expected, "$what: all are applied", 60);
	is(sql(qq(SELECT count(*) FROM wacta.inbox WHERE errors <> '[]' AND convert_from(body, 'UTF8') LIKE '%"$prefix%')), '0', "$what: without errors");
	is(sql(qq(SELECT count(*) FROM wacta.ivr_call WHERE provider_call_id LIKE '$prefix%')), $expected, "$what: each is there");
	is(sql(qq(SELECT count(*) FROM trace WHERE call LIKE '$prefix%')), $expected, "$what: and once");
	return;
}

# A session that goes on while we look.
sub session
{
	my (@statements) = @_;
	return IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('crm'), map { ('-c', $_) } @statements ],
		'<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
}

sub end_sleepers
{
	my ($session) = @_;
	sql(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND pid <> pg_backend_pid()));
	eval { $session->finish };
	return;
}

# The server has been through a crash recovery since this place in its log.
sub wait_back
{
	my ($log, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_for($what, sub { slurp_file($node->logfile, $log) =~ /was terminated by signal 9.* ready to accept connections/s }, 60);
	wait_for('and lets us in', sub { my $out = ''; $node->psql('crm', 'SELECT 1', stdout => \$out) == 0 && $out eq '1' });
	return;
}

# What is done to a call that is new: a trace of it, and an end to the process that inserts it, if its id says so.  (Once for
# crash-150: a program that the server runs is in its data directory.)
sql(q(CREATE TABLE trace (call text, pid integer DEFAULT pg_backend_pid());
	CREATE FUNCTION trace() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
	  IF NEW.provider_call_id = 'crash-150' THEN
	    COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; test -e struck || { touch struck; kill -KILL $PPID; }';
	  ELSIF NEW.provider_call_id LIKE 'kill%' THEN
	    COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; kill -KILL $PPID';
	    PERFORM pg_sleep(10);
	  ELSIF NEW.provider_call_id LIKE 'end%' THEN
	    PERFORM pg_terminate_backend(pg_backend_pid());
	  ELSIF NEW.provider_call_id LIKE 'full%' AND to_regclass('public.disk_is_full') IS NOT NULL THEN
	    RAISE 'no space left on device' USING ERRCODE = 'disk_full';
	  END IF;
	  INSERT INTO public.trace VALUES (NEW.provider_call_id);
	  RETURN NULL;
	END $$;
	CREATE TRIGGER trace AFTER INSERT ON wacta.ivr_call FOR EACH ROW EXECUTE FUNCTION trace()));
sql(qq(SELECT wacta.add_ivr_source('calls', 'smartflo'); SELECT wacta.set_credential('calls', 'webhook_key', '$key')));
$gateway = Wacta::Gateway->start($node, 'crm');
worker_runs();

# --- Stored, answered, applied, as a role with no other rights
is(join(' ', (post('first-1'))[0]), '200', 'a webhook is answered');
all_applied('first-', 1, 'the first');
is(sql(q(SELECT usename, query LIKE 'wacta: %' FROM pg_stat_activity WHERE backend_type = 'wacta inbox' AND datname = 'crm')),
	'wacta_courier|t', 'which is an unprivileged role');
is(sql(q(SELECT applied_at - received_at < interval '1 second', tries, errors FROM wacta.inbox)), 't|0|[]', 'within a second');
my $id = sql(receive('ingest-1') =~ s/receive_webhook/ingest_webhook/r);
is(sql("SELECT applied_at IS NOT NULL FROM wacta.inbox WHERE inbox_id = $id"), 't', 'ingest_webhook() applies in its own transaction');
is(sql('BEGIN; ' . receive('rolled-1') . '; ROLLBACK; SELECT count(*) FROM wacta.inbox'), "3\n2", 'what is rolled back was never there');
sql(receive('worker-1'));
all_applied('worker-', 1, 'stored by SQL');
is(sql(q(SELECT pid FROM trace WHERE call = 'worker-1')), worker_pid(), 'it was the worker');
# the gateway has it applied before it answers, also while the worker does nothing
my $stopped = worker_pid();
kill 'STOP', $stopped;
is((post('gateway-1'))[0], '200', 'answered without the worker');
is(sql(q(SELECT count(*) FROM trace WHERE call = 'gateway-1')), '1', 'and applied, too');
kill 'CONT', $stopped;
all_applied('gateway-', 1, 'and the worker');

# --- A lead that somebody holds: the sender has its answer, the others go on, and this one is applied when it can be
my $holder = session('BEGIN', q(SELECT FROM wacta.lead l JOIN wacta.lead_identity i USING (lead_id) WHERE i.value = '+919876500001' FOR UPDATE OF l),
	'SELECT pg_sleep(600)');
wait_for_value($node, 'crm', q(SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND pid <> pg_backend_pid()), '1', 'a lead is locked');
# The call is of another lead's number now and then names the first: its project is new, so the lead is updated.
sql(q(UPDATE wacta.ivr_source SET project_id = wacta.project_id('Palm Residency')));
my @slow = map { post("held-$_") } 1 .. 20;
is(join(' ', grep { $_ == 200 } @slow[ map { 2 * $_ } 0 .. 19 ]), join(' ', (200) x 20), 'webhooks about it are answered');
my ($worst) = sort { $b <=> $a } @slow[ map { 2 * $_ + 1 } 0 .. 19 ];
cmp_ok($worst, '<', 0.5, sprintf 'in milliseconds: the slowest in %.0f', 1000 * $worst);
post("free-$_", '+91987651' . sprintf('%04d', $_)) for 1 .. 20;
all_applied('free-', 20, 'webhooks about others');
is(sql(q(SELECT count(*) FROM wacta.ivr_call WHERE provider_call_id LIKE 'held-%')), '0', 'those of the locked lead wait');
wait_for_value($node, 'crm', q(SELECT count(*) FILTER (WHERE retry_at IS NOT NULL), max(tries), count(DISTINCT errors -> 0 ->> 'code'), min(errors -> 0 ->> 'code')
	FROM wacta.inbox WHERE applied_at IS NULL), '20|0|1|55P03', 'their lock is no try, and no fault of theirs');
is(sql(q(SELECT pending, waiting, set_aside, oldest_pending_age > '0' FROM wacta.inbox_status WHERE provider = 'calls')), '20|0|0|t', 'and they are seen');
end_sleepers($holder);
all_applied('held-', 20, 'once it is free');

# --- A prepared transaction wakes nobody: the worker's own look finds it, or the next webhook's commit
sql('BEGIN; ' . receive('prepared-1') . q(; PREPARE TRANSACTION 'p'));
sql(q(COMMIT PREPARED 'p'));
post('prepared-2');
all_applied('prepared-', 2, 'a prepared one');

# --- The worker is killed while it applies; the server restarts; the rest is applied, and nothing twice
my $log = -s $node->logfile;
store('crash-', 300);
eval { sql('SELECT wacta.wake_inbox()') };
wait_back($log, 'the worker was killed with bodies in hand');
all_applied('crash-', 300, 'after the crash');
# --- The server dies between the store and the apply
$log = -s $node->logfile;
sql(q(SELECT pg_terminate_backend(pid) FROM wacta.inbox_worker_status()));
sql(receive("between-$_")) for 1 .. 5;
$node->stop('immediate');
$node->start;
all_applied('between-', 5, 'stored before the crash');

# --- A body that kills the server is set aside after three tries of its own, and the others go on
worker_runs();
$log = -s $node->logfile;
eval { sql(join ';', map { receive("kill-$_") } 1 .. 1) };
eval { sql(receive("beside-$_")) } for 1 .. 3;
wait_for('it is set aside', sub {
	my $out = '';
	$node->psql('crm', q(SELECT count(*) FROM wacta.inbox WHERE set_aside_at IS NOT NULL), stdout => \$out);
	$out eq '1';
}, 120);
my $crashes = () = slurp_file($node->logfile, $log) =~ /\(PID \d+\) was terminated by signal 9/g;
is($crashes, 4, 'after it has ended the process once among others and three times by itself');
wait_for('the server stays up', sub { my $out = ''; $node->psql('crm', 'SELECT 1', stdout => \$out); $out eq '1' });
is(sql(q(SELECT tries, applied_at IS NULL, errors FROM wacta.inbox WHERE set_aside_at IS NOT NULL)),
	'3|t|[{"code": "XX000", "error": "applying it ended the process that tried"}]', 'with what happened');
all_applied('beside-', sql(q(SELECT count(*) FROM wacta.inbox WHERE convert_from(body, 'UTF8') LIKE '%"beside-%')), 'what came meanwhile');
is(sql(q(SELECT severity, what FROM wacta.alert WHERE alert = 'webhook_set_aside')), 'critical|webhooks that cannot be applied: 1', 'an alert says so');
sql('ALTER TABLE wacta.ivr_call DISABLE TRIGGER trace');
like(sql(q(SELECT wacta.replay(inbox_id) FROM wacta.inbox WHERE set_aside_at IS NOT NULL)), qr/"call": 1.*"errors": \[\]|"errors": \[\].*"call": 1/,
	'when the cause is mended, wacta.replay() applies it');
sql('ALTER TABLE wacta.ivr_call ENABLE TRIGGER trace');
is(sql(q(SELECT tries, set_aside_at, errors, due_at FROM wacta.inbox WHERE convert_from(body, 'UTF8') LIKE '%"kill-%')), '0||[]|', 'and it is as any other');
is(sql(q(SELECT count(*) FROM wacta.alert WHERE alert = 'webhook_set_aside')), '0', 'and the alert is over');

# --- One that ends the process alone, as an error does that no savepoint holds
worker_runs();
sql(receive('end-1'));
sql(receive("after-$_")) for 1 .. 3;
all_applied('after-', 3, 'those behind one that ends the worker');
sql(q(DELETE FROM wacta.inbox WHERE convert_from(body, 'UTF8') LIKE '%"end-%'));

# --- A full disk is nobody's fault
worker_runs();
sql('CREATE TABLE disk_is_full ()');
sql(receive("full-$_")) for 1 .. 3;
wait_for_value($node, 'crm', q(SELECT count(*), max(tries) FROM wacta.inbox WHERE errors -> 0 ->> 'code' = '53100'), '3|0', 'they are put off');
sql('DROP TABLE disk_is_full');
all_applied('full-', 3, 'when there is room again');

# --- What waits for something that is not known yet comes again by itself, in seconds
sql(q(SELECT wacta.add_channel('tata', 'tata'); SELECT wacta.set_credential('tata', 'webhook_key', 'a-key-of-the-channel-0123456789')));
$id = sql(q(SELECT wacta.receive_webhook('tata', 'whatsapp', '{"statuses": [{"id": "wamid.early", "status": "delivered", "timestamp": "1756189000"}]}',
	'{"x-wacta-key": "a-key-of-the-channel-0123456789"}')));
wait_for_value($node, 'crm', "SELECT waiting, applied_at IS NOT NULL FROM wacta.inbox WHERE inbox_id = $id", '1|t', 'a status before its message waits');
sql(q(INSERT INTO wacta.template (name, components) VALUES ('pitch', '[{"type": "BODY", "text": "Hi"}]');
	INSERT INTO wacta.message (lead_id, purpose, channel_id, template_id, expires_at, status, attempts)
	SELECT lead_id, 'pitch', 1, 1, now() + interval '1 day', 'accepted', 1 FROM wacta.lead ORDER BY 1 LIMIT 1;
	INSERT INTO wacta.attempt (lead_id, message_id, attempt, courier, ended_at, outcome, provider_id)
	SELECT lead_id, message_id, 1, 0, now(), 'answered', 'wamid.early' FROM wacta.message));
wait_for_value($node, 'crm', 'SELECT status FROM wacta.message', 'delivered', 'and is applied when it can be');
wait_for_value($node, 'crm', "SELECT waiting, due_at FROM wacta.inbox WHERE inbox_id = $id", '0|', 'and waits no more');

# --- What proves nothing is counted, all of it, and a few are kept
my $refused = join ';', (q(SELECT wacta.receive_webhook('tata', 'whatsapp', 'x', '{"x-wacta-key": "wrong"}'))) x 250;
sql($refused);
is(sql(q(SELECT sum(refused) FROM wacta.refused_webhook WHERE provider = 'tata')), '250', 'they are counted');
is(sql(q(SELECT count(*) BETWEEN 100 AND 200 FROM wacta.inbox WHERE NOT proved)), 't', 'and a hundred an hour kept');
is(sql(q(SELECT count(*) FROM wacta.webhook_refusal)), '0', 'in memory');
$node->reload;
wait_for_value($node, 'crm', q(SELECT sum(refused) FROM wacta.webhook_refusal), '250', 'the worker stores the counts');
is(sql(q(SELECT sum(refused) FROM wacta.refused_webhook WHERE provider = 'tata')), '250', 'which are counted once');

# --- Retention: what is applied and old goes, what is not stays
sql(q(UPDATE wacta.inbox SET received_at = received_at - interval '91 days', applied_at = applied_at - interval '91 days';
	INSERT INTO wacta.inbox (provider, kind, body, proved, received_at, set_aside_at) VALUES ('calls', 'ivr', 'aside', true, now() - interval '1 year', now())));
$node->reload;
wait_for_value($node, 'crm', q(SELECT string_agg(convert_from(body, 'UTF8'), ' ') FROM wacta.inbox), 'aside', 'the old ones are deleted');
sql('TRUNCATE wacta.inbox');

# --- The worker comes and goes with what it needs, and never stands in the way
my $pid = worker_pid();
sql("SELECT pg_terminate_backend($pid)");
wait_for_value($node, 'crm', "SELECT state, pid <> $pid FROM wacta.inbox_worker_status() WHERE database = 'crm'", 'running|t', 'it is restarted');
wait_for_value($node, 'crm', q(SELECT state FROM wacta.inbox_worker_status() WHERE database = 'other'), 'running', 'that of another database runs');
my $began = time;
$node->safe_psql('postgres', 'ALTER DATABASE other RENAME TO another');
$node->safe_psql('postgres', 'ALTER DATABASE another RENAME TO other');
wait_for_value($node, 'crm', q(SELECT state FROM wacta.inbox_worker_status() WHERE database = 'other'), 'running', 'it is back after a RENAME');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE other');
$node->safe_psql('postgres', 'DROP DATABASE other');
cmp_ok(time - $began, '<', 10, 'none of which had to wait');
sql('BEGIN; DROP EXTENSION wacta CASCADE; CREATE EXTENSION wacta; SELECT wacta.create_roles(); COMMIT');
sql(qq(SELECT wacta.add_ivr_source('calls', 'smartflo'); SELECT wacta.set_credential('calls', 'webhook_key', '$key')));
sql(receive('again-1'));
wait_for_value($node, 'crm', 'SELECT applied_at IS NOT NULL FROM wacta.inbox', 't', 'an extension that was replaced has its worker');
sql('DROP EXTENSION wacta');
$node->reload;
wait_for('the worker goes with the extension', sub { $node->safe_psql('postgres', q(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'wacta inbox')) eq '0' });

# --- No worker: the request applies its own webhook
create_database($node, 'alone');
$node->safe_psql('alone', qq(SELECT wacta.add_ivr_source('calls', 'smartflo'); SELECT wacta.set_credential('calls', 'webhook_key', '$key')));
is($node->safe_psql('alone', 'SELECT wacta.inbox_is_served()'), 'f', 'a database that is not listed has no worker');
$node->safe_psql('alone', receive('sync-1'));
is($node->safe_psql('alone', 'SELECT applied_at IS NOT NULL, (SELECT count(*) FROM wacta.ivr_call) FROM wacta.inbox'), 't|1', 'its webhooks are applied where they come in');
$node->safe_psql('alone', $refused);
is($node->safe_psql('alone', q(SELECT sum(refused) FROM wacta.webhook_refusal)), '250', 'and the refused are counted');

done_testing();
