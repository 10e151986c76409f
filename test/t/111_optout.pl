# What is withdrawn is not sent any more: no request for a person begins after
# their opt-out has committed, none of a sender that is paused, of a template that
# is held, of a message that is cancelled.  Connections take long to stand here,
# so that most of what is claimed has not begun when it is withdrawn.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time clock_gettime CLOCK_MONOTONIC CLOCK_REALTIME);
use Wacta;
use Wacta::Outbox;

my $messages = 4500;
my $sessions = 4;       # a power of two
my $opt_outs = 500;    # of each session

my $dir = PostgreSQL::Test::Utils::tempdir;
IPC::Run::run([ 'openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1',
	'-nodes', '-days', '2', '-subj', '/CN=wacta test', '-addext', 'subjectAltName=IP:127.0.0.1',
	'-keyout', "$dir/server.key", '-out', "$dir/server.crt" ], '2>', '/dev/null') or die 'openssl failed';
append_to_file("$dir/settings", encode_json({ server => { http2 => JSON::PP::false, requests_per_connection => 1, accept_ms => 200 } }));

# Perl without an SSL module cannot ask the double, so curl does.
{
	package TlsDouble;
	use parent -norequire, 'Wacta::Double';

	sub call
	{
		my ($self, $method, $path, $body) = @_;
		my @command = ('curl', '-sS', '--fail-with-body', '--cacert', "$dir/server.crt", '-X', $method, "$self->{url}/_double/$path");
		push @command, '-d', JSON::PP::encode_json($body) if defined $body;
		my ($out, $err) = ('', '');
		IPC::Run::run(\@command, '>', \$out, '2>', \$err) or die "$method $path: $err $out";
		return JSON::PP::decode_json($out);
	}
}
my $double = TlsDouble->start(journal => "$dir/journal",
	arguments => [ '--tls', "$dir/server.crt", "$dir/server.key", '--settings', "$dir/settings" ]);
my $node = wacta_node('main', double => $double, conf => join "\n",
	qq(wacta.ca_file = '$dir/server.crt'),
	'wacta.allow_http = off',
	'wacta.couriers_per_database = 2',
	'wacta.max_in_flight = 40',
	'max_prepared_transactions = 1',
	'wal_level = replica',
	'max_wal_senders = 1',
	'track_commit_timestamp = on');
outbox_prepare($node, 'crm', $double);
wait_for_courier($node, 'crm', 2);
$double->post('reset');    # its longest turn was its start

# What the test needs itself: when something was withdrawn as a whole, and what arrived.
$node->safe_psql('crm', q(
	CREATE SCHEMA test;
	CREATE TABLE test.merged (lead_id bigint, since xid DEFAULT pg_current_xact_id()::xid);
	CREATE TABLE test.withdrawn (what text, since xid DEFAULT pg_current_xact_id()::xid, until timestamptz);
	CREATE TABLE test.arrival (phone text, at timestamptz)));

sub sql { return $node->safe_psql('crm', $_[0]) }

# A session of its own that runs one statement.
sub start_session
{
	my ($statement) = @_;
	my %session = (out => '', err => '');
	$session{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('crm'), '-c', $statement ],
		'<', '/dev/null', '>', \$session{out}, '2>', \$session{err});
	return \%session;
}

sub finish_session
{
	my ($session, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($session->{run}->finish && $session->{err} eq '', $what) or diag($session->{err});
	return;
}

# Opts out people whose message is claimed just now, each in a transaction; one in four by finding that they are the same person as
# somebody who had opted out before.
sub opt_out_sql
{
	my ($n) = @_;
	return qq(DO \$\$
		DECLARE
			lead bigint;
			other bigint;
			done integer := 0;
		BEGIN
			WHILE done < $opt_outs LOOP
				SELECT m.lead_id INTO lead FROM wacta.message m JOIN wacta.lead l USING (lead_id)
				 WHERE m.status = 'sending' AND hashint8(m.lead_id) & ($sessions - 1) = $n AND l.consent <> 'withdrawn' ORDER BY random() LIMIT 1;
				IF FOUND AND done % 4 = 0 THEN
					other := wacta.upsert_lead('+9196' || lpad(lead::text, 8, '0'));
					PERFORM wacta.opt_out(other, 'before the merge');
					COMMIT;
					INSERT INTO test.merged SELECT wacta.merge_leads(other, lead);
					done := done + 1;
				ELSIF FOUND AND wacta.opt_out(lead, 'race') THEN
					done := done + 1;
				ELSE
					EXIT WHEN NOT EXISTS (SELECT FROM wacta.message WHERE status IN ('queued', 'sending'));
				END IF;
				COMMIT;
				PERFORM pg_sleep(0.01);
			END LOOP;
		END \$\$);
}

# Cancels messages that are about to be claimed.
my $cancel_sql = q(DO $$
	DECLARE
		id bigint;
	BEGIN
		WHILE EXISTS (SELECT FROM wacta.message WHERE status = 'queued') LOOP
			SELECT message_id INTO id FROM wacta.message WHERE status = 'queued' ORDER BY enqueued_at, message_id OFFSET 20 LIMIT 1;
			PERFORM wacta.cancel_message(id, 'race') WHERE id IS NOT NULL;
			COMMIT;
			PERFORM pg_sleep(0.05);
		END LOOP;
	END $$);

sub claimed_now { return q(SELECT count(*) FROM wacta.message WHERE status = 'sending') }

sub wait_for_claims
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_for('messages are claimed', sub { sql(claimed_now()) > 40 });
}

# Withdraws something for all messages, waits until nothing is claimed any more,
# and takes that back.
sub withdraw_for_a_while
{
	my ($what, $withdraw, $restore) = @_;
	wait_for_claims();
	sql("BEGIN; INSERT INTO test.withdrawn (what) VALUES ('$what'); $withdraw; COMMIT");
	wait_for_value($node, 'crm', claimed_now(), '0', "$what: what was claimed is back in the queue");
	sql("BEGIN; UPDATE test.withdrawn SET until = clock_timestamp() WHERE until IS NULL; $restore; COMMIT");
	return;
}

# The journal's clock is the system's monotonic one.
sub load_arrivals
{
	my $offset = clock_gettime(CLOCK_REALTIME) - clock_gettime(CLOCK_MONOTONIC);
	open my $in, '<', "$dir/journal" or die $!;
	open my $out, '>', "$dir/arrivals" or die $!;
	while (<$in>)
	{
		my ($ns) = /"mono_ns":"(\d+)"/ or next;
		my ($to) = /"to":"(\+\d+)"/ or next;
		printf $out "INSERT INTO test.arrival VALUES ('%s', to_timestamp(%.6f));\n", $to, $ns / 1e9 + $offset;
	}
	close $out;
	return sql("BEGIN;\n" . slurp_file("$dir/arrivals") . 'COMMIT');
}

# Stops a courier in the middle of sending, for an opt-out to wait for it: the
# session that waits.  Most of the time a courier is not sending, or holds what the
# session waits for otherwise.
sub opt_out_that_waits
{
	my ($courier) = @_;
	for my $try (1 .. 200)
	{
		kill 'STOP', $courier;
		my $session = start_session(q(SELECT wacta.opt_out(min(lead_id), 'waited') FROM wacta.lead WHERE consent <> 'withdrawn'));
		my $end = time + 3;
		while ($session->{err} . $session->{out} eq '' && time < $end)
		{
			$session->{run}->pump_nb;
			sleep 0.005;
		}
		return $session if $session->{err} =~ /commit waits for courier/;
		kill 'CONT', $courier;
		$session->{run}->finish;
		sql(outbox_sql(50));
	}
	return undef;
}

# --- A commit waits for a courier that is sending; it can be cancelled, and does go on
sql(outbox_sql(500));
my $courier = sql('SELECT min(pid) FROM wacta.courier_status()');
my $withdrawals = q(SELECT count(*) FROM wacta.consent_event WHERE event = 'withdrawn');
my $session = opt_out_that_waits($courier);
ok($session, 'an opt-out waits for a courier that is sending');
is(sql(q(SELECT wait_event_type FROM pg_stat_activity WHERE query LIKE '%''waited''%' AND pid <> pg_backend_pid())), 'Extension', 'and is seen to wait');
my $before = sql($withdrawals);
sql(q(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%''waited''%' AND pid <> pg_backend_pid()));
ok(!$session->{run}->finish && $session->{err} =~ /canceling statement/, 'it can be cancelled');
kill 'CONT', $courier;
is(sql($withdrawals), $before, 'and then nobody has opted out');
$session = opt_out_that_waits($courier);
$before = sql($withdrawals);
kill 'CONT', $courier;
ok($session->{run}->finish, 'it goes on when the courier does');
is(sql($withdrawals), $before + 1, 'and then somebody has');
outbox_wait_empty($node, 'crm', 60);

# --- A busy queue, and people who want none of it
sql(outbox_sql($messages, 10000));
my @running = map { start_session(opt_out_sql($_)) } 0 .. $sessions - 1;
push @running, start_session($cancel_sql);

# One is prepared first
wait_for_claims();
sql(q(BEGIN;
	SELECT count(wacta.opt_out(lead_id, 'prepared')) FROM (SELECT lead_id FROM wacta.message JOIN wacta.lead l USING (lead_id)
		WHERE message.status = 'sending' AND l.consent <> 'withdrawn' LIMIT 20) m;
	PREPARE TRANSACTION 'race'));
sql(q(COMMIT PREPARED 'race'));

for my $round (1 .. 3)
{
	withdraw_for_a_while('the sender', q(SELECT wacta.pause_channel('meta', 'race')), q(SELECT wacta.resume_channel('meta')));
	withdraw_for_a_while('the template', q(UPDATE wacta.template SET held_reason = 'race'), q(UPDATE wacta.template SET held_reason = NULL));
}

# More of them at once than are held back one by one
wait_for_claims();
sql(q(SELECT count(wacta.opt_out(lead_id, 'bulk')) FROM (SELECT lead_id FROM wacta.message
	WHERE status IN ('queued', 'sending') ORDER BY status DESC LIMIT 1100) m));

finish_session($_, 'a session did what it should') for @running;
outbox_wait_empty($node, 'crm', 60);
note(outbox_states($node, 'crm'));
note(sql(q(SELECT string_agg(format('%s: %s', n, reason), ', ' ORDER BY n) FROM
	(SELECT count(*) n, reason FROM wacta.consent_event GROUP BY reason) r)));

# --- A commit that takes long: it waits for a standby that is not there, and the
# couriers, which do not, see what was and go on claiming
sql(q(ALTER ROLE wacta_courier SET synchronous_commit = local));
sql(q(SELECT pg_terminate_backend(pid) FROM wacta.courier_status()));
wait_for_courier($node, 'crm', 2);
sub wait_for_standby
{
	$node->append_conf('postgresql.conf', "synchronous_standby_names = '$_[0]'");
	$node->reload;
	return wait_for_value($node, 'crm', 'SHOW synchronous_standby_names', $_[0], "standbys: '$_[0]'");
}
sql(outbox_sql(300, 20000));
wait_for_claims();
wait_for_standby('nobody');
$node->safe_psql('crm', 'CHECKPOINT');    # the checkpointer has seen the setting, too
my $long = start_session(q(BEGIN; INSERT INTO test.withdrawn (what) VALUES ('the template');
	UPDATE wacta.template SET held_reason = 'race'; COMMIT));
# (the server's own workers may have something to commit as well)
wait_for_value($node, 'crm', q(SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'client backend'), '1', 'a commit waits');
my $since = sql('SELECT clock_timestamp()');
is(sql('SELECT count(*) FROM wacta.template WHERE held_reason IS NOT NULL'), '0', 'nobody sees it yet');
wait_for_value($node, 'crm', qq(SELECT count(*) > 100 FROM wacta.attempt WHERE claimed_at > '$since' AND detail LIKE 'held back: %'),
	't', 'what is claimed nevertheless is held back');
wait_for_standby('');
finish_session($long, 'the commit ends');
wait_for_value($node, 'crm', claimed_now(), '0', 'nothing is claimed any more');
sql(q(BEGIN; UPDATE test.withdrawn SET until = clock_timestamp() WHERE until IS NULL; UPDATE wacta.template SET held_reason = NULL; COMMIT));
outbox_wait_empty($node, 'crm', 60);
load_arrivals();

# --- The judgment, by our own rows
my $withdrawn = q(wacta.consent_event e JOIN wacta.attempt a USING (lead_id) WHERE e.event = 'withdrawn' AND e.reason <> 'before the merge');
cmp_ok(sql('SELECT count(*) FROM wacta.consent_event'), '>', $sessions * $opt_outs * 0.75, 'many have opted out');
is(sql("SELECT count(*) FROM $withdrawn AND a.started_at > pg_xact_commit_timestamp(e.xmin)"),
	'0', 'no request began after its opt-out had committed');
cmp_ok(sql("SELECT count(*) FROM $withdrawn AND a.detail LIKE 'held back: %'"), '>', 200, 'and that was close');
is(sql('SELECT count(*) FROM test.merged g JOIN wacta.attempt a USING (lead_id) WHERE a.started_at > pg_xact_commit_timestamp(g.since)'),
	'0', 'nor after they were found to be somebody who had');
cmp_ok(sql(q(SELECT count(*) FROM test.merged g JOIN wacta.attempt a USING (lead_id) WHERE a.detail LIKE 'held back: %')), '>', 20, 'and that was close');
for my $what ('the sender', 'the template')
{
	is(sql("SELECT count(*) FROM wacta.attempt a JOIN test.withdrawn w
		ON a.started_at > pg_xact_commit_timestamp(w.since) AND a.started_at < w.until WHERE what = '$what'"),
		'0', "$what: no request began while it was withdrawn");
}
is(sql(q(SELECT count(*) FROM wacta.message m JOIN wacta.attempt a USING (lead_id, message_id)
	WHERE m.status = 'cancelled' AND a.started_at IS NOT NULL)), '0', 'no message was sent that was cancelled');
cmp_ok(sql(q(SELECT count(*) FROM wacta.message WHERE status = 'cancelled')), '>', 10, 'some were');

# --- By the double's clock: it may note an arrival two turns of its loop later than the kernel has it
my $allowance = 2 * $double->get('stats')->{lag_ms} . ' ms';
note("allowed to the double: $allowance");
my $late = q(test.arrival r JOIN wacta.lead_identity i ON i.value = r.phone JOIN (SELECT lead_id, since AS xact FROM test.merged
	UNION ALL SELECT lead_id, xmin FROM wacta.consent_event WHERE reason <> 'before the merge') e USING (lead_id));
note('the latest arrival after an opt-out: ' . sql("SELECT max(r.at - pg_xact_commit_timestamp(e.xact)) FROM $late"));
is(sql("SELECT count(*) FROM $late WHERE r.at > pg_xact_commit_timestamp(e.xact) + interval '$allowance'"),
	'0', 'nothing arrived after an opt-out');
is(sql("SELECT count(*) FROM test.arrival r JOIN test.withdrawn w
	ON r.at > pg_xact_commit_timestamp(w.since) + interval '$allowance' AND r.at < w.until"), '0', 'nor while all was withdrawn');

# --- And nobody else lost anything
is(sql(q(SELECT count(*) FROM wacta.message m WHERE m.status NOT IN ('accepted', 'suppressed', 'cancelled'))), '0', 'all have ended well');
is(sql(q(SELECT count(*) FROM wacta.message m JOIN wacta.lead l USING (lead_id) WHERE m.status = 'suppressed' AND l.consent <> 'withdrawn')),
	'0', 'only who opted out was left out');
is(sql(q(SELECT count(*) FROM wacta.message m WHERE m.status = 'accepted' AND NOT EXISTS (SELECT FROM wacta.attempt a
	WHERE (a.lead_id, a.message_id) = (m.lead_id, m.message_id) AND a.started_at IS NOT NULL))), '0', 'each request says when it began');
is(scalar @{ $double->get('duplicates')->{duplicates} }, 0, 'the double has taken nothing twice');

done_testing();
