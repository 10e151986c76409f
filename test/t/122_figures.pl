# The kept figures are at every moment those of a recount: while sessions queue, tap, change their mind, roll back, merge and forget,
# while messages are sent and told of, while others fold, and after the server was killed in the midst of it.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Site;

my $site = Wacta::Site->start('crm');
my $node = $site->node;
my $people = 120;
$site->double->post('settings', { webhooks => { attempts => 12, retry_ms => 100 } });
$site->sql(q(UPDATE wacta.channel SET max_rate = NULL; UPDATE wacta.config SET time_zone = 'Pacific/Auckland', pair_interval = NULL;
	SELECT wacta.add_project('Second', template => 'project_update_template')));

# Errors are part of it: they undo what was counted in their subtransaction, and nothing else.
$site->sql(<<"SQL");
CREATE FUNCTION person() RETURNS bigint LANGUAGE sql AS
\$\$ SELECT wacta.upsert_lead('+9198765' || (10000 + floor(random() * $people)::integer), 'Asha', (ARRAY['Palm Residency', 'Second'])[1 + floor(random() * 2)::integer]) \$\$;
CREATE FUNCTION token() RETURNS text LANGUAGE sql AS
\$\$ SELECT wacta.mint_token((SELECT lead_id FROM wacta.message WHERE message_id >= (SELECT max(message_id) - floor(random() * 400)::integer FROM wacta.message) LIMIT 1)) \$\$;
CREATE PROCEDURE act(what text) LANGUAGE plpgsql AS \$\$
DECLARE
  yes text := (ARRAY['interested', 'not_interested'])[1 + floor(random() * 2)::integer];
BEGIN
  BEGIN
    CASE what
      WHEN 'queue' THEN PERFORM wacta.send_interactive(person());
      WHEN 'tap' THEN PERFORM wacta.record_click(token(), yes, NULL, jsonb_build_object('explicit', true));
      WHEN 'scan' THEN PERFORM wacta.record_click(t, 'interested', NULL, '{"agent": "S"}'), wacta.record_click(t, 'not_interested', NULL, '{"agent": "S"}') FROM token() t;
      WHEN 'visit' THEN PERFORM wacta.record_visit(token(), yes, NULL, '{"method": "GET"}');
      WHEN 'merge' THEN PERFORM wacta.merge_leads(person(), person());
      WHEN 'forget' THEN PERFORM wacta.forget(person());
      WHEN 'delete' THEN DELETE FROM wacta.message WHERE message_id = (SELECT max(message_id) - 300 FROM wacta.message);
    END CASE;
    IF random() < 0.2 THEN
      RAISE EXCEPTION 'undone';
    END IF;
  EXCEPTION WHEN others THEN NULL;
  END;
  IF random() < 0.1 THEN
    ROLLBACK;
  END IF;
END \$\$;
SELECT count(wacta.send_interactive(person())) FROM generate_series(1, 100);
SQL

my %weight = (queue => 6, tap => 12, scan => 2, visit => 3, merge => 1, forget => 1, delete => 1);
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/$_", "CALL act('$_');\n") for keys %weight;
append_to_file("$dir/fold", "SELECT wacta.fold_funnel(50);\n");

sub start_load
{
	my ($out, $err) = ('', '');
	my @scripts = map { ('-f', "$dir/$_\@" . ($weight{$_} // 3)) } sort(keys %weight), 'fold';
	return { err => \$err, run => IPC::Run::start([ 'pgbench', '-n', '-c', 6, '-j', 2, '-T', 60, @scripts, $node->connstr('crm') ], '<', \undef, '>', \$out, '2>', \$err) };
}

# One statement, so one snapshot. The figures once more by what they mean, and every bucket.
my $same = <<'SQL';
WITH since AS (SELECT (now() AT TIME ZONE 'Pacific/Auckland')::date - 30 AS day)
SELECT (SELECT (a.messages_sent, a.messages_queued, a.delivered, a.read, a.failed, a.suppressed, a.clickers, a.interested_clicks, a.not_interested, a.raw_clicks, a.human_clicks) FROM wacta.analytics(30) a)
   IS NOT DISTINCT FROM
   (SELECT (count(*) FILTER (WHERE accepted_at IS NOT NULL), count(*) FILTER (WHERE status IN ('queued', 'sending')), count(*) FILTER (WHERE status IN ('delivered', 'read')),
            count(*) FILTER (WHERE status = 'read'), count(*) FILTER (WHERE status = 'failed'), count(*) FILTER (WHERE status = 'suppressed'),
            (SELECT count(DISTINCT lead_id) FROM wacta.click k WHERE effective AND kind = 'tap' AND (clicked_at AT TIME ZONE 'Pacific/Auckland')::date >= day),
            (SELECT count(DISTINCT lead_id) FROM wacta.click k WHERE effective AND kind = 'tap' AND action = 'interested' AND (clicked_at AT TIME ZONE 'Pacific/Auckland')::date >= day),
            (SELECT count(DISTINCT lead_id) FROM wacta.click k WHERE effective AND kind = 'tap' AND action = 'not_interested' AND (clicked_at AT TIME ZONE 'Pacific/Auckland')::date >= day),
            (SELECT count(*) FROM wacta.click), (SELECT count(*) FROM wacta.click WHERE kind = 'tap'))
       FROM wacta.message m WHERE purpose = 'pitch' AND (enqueued_at AT TIME ZONE 'Pacific/Auckland')::date >= day GROUP BY day)
   AND NOT EXISTS (SELECT FROM wacta.funnel_mismatch)
  FROM since
SQL

sub look
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($site->sql($same), 't', $what)
	  or diag($site->sql('SELECT m FROM wacta.funnel_mismatch m'), "\n", $site->sql('SELECT to_json(a) FROM wacta.analytics() a'));
	return;
}

# So much has happened since; else there would have been nothing to miss.
my $done = 'SELECT (SELECT count(*) FROM wacta.click) + (SELECT count(*) FROM wacta.message)';

sub run_load
{
	my ($kill) = @_;
	my $load = start_load();
	my $began = $site->sql($done);
	for my $round (1 .. 8)
	{
		my $wanted = $began + 60 * $round;
		wait_for("$wanted messages and clicks", sub { $site->sql($done) >= $wanted });
		look("while they are at work, $round");
	}
	$load->{run}->pump_nb;
	is(${ $load->{err} } =~ s/^.*(?:\(|version).*\n//gmr, '', 'nobody has given up');
	$kill->();
	eval { $load->{run}->kill_kill };
	return;
}

sub kill_server
{
	my $log = -s $node->logfile;
	my $pid;
	wait_for('somebody is at work', sub { $pid = $site->sql(q(SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL act%' AND xact_start IS NOT NULL LIMIT 1)) });
	kill 'KILL', $pid or die "could not kill $pid: $!";
	wait_for('the server has come back', sub { slurp_file($node->logfile, $log) =~ /was terminated by signal 9.* ready to accept connections/s });
	return;
}

run_load(\&kill_server);
look('after a kill -9');
run_load(sub { });
look('at the end');
cmp_ok($site->sql(q(SELECT count(*) FROM wacta.funnel_now WHERE state IN ('delivered', 'read', 'tap', 'scanner', 'view', 'interested', 'not_interested'))), '>=', 8, 'all of it was counted');
$site->wait_sql(q(SELECT count(*) = 0 FROM wacta.funnel_delta), 't', 'the worker of the inbox folds what is left');
look('when all is folded');

done_testing();
