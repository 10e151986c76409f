# The queue, played at random: applications, operators and people do what they may
# do at any time, three couriers claim, settle, fail and start anew, and the rules
# of docs/architecture.md must hold at every moment.  WACTA_SEED repeats a game,
# as far as the sessions' turns can be repeated.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;

my $seed = $ENV{WACTA_SEED} // 113;
my $seconds = 12;
my $node = wacta_node('main', databases => [ 'crm', 'days' ],
	conf => "wacta.enabled = off\nmax_prepared_transactions = 4");
note("seed $seed");

sub sql { return $node->safe_psql('crm', $_[0]) }

# As the courier pins them for itself.
sub fill
{
	my ($database, $people) = @_;
	$node->safe_psql($database, "ALTER DATABASE $database SET $_")
	  for map({ "$_ = off" } qw(enable_seqscan enable_bitmapscan enable_hashjoin enable_mergejoin jit)),
		'plan_cache_mode = force_generic_plan';
	$node->safe_psql($database, fixture('queue_play.sql'));
	$node->safe_psql($database, <<~"SQL");
		SELECT wacta.add_signing_key(), wacta.add_channel('first', 'tata');
		SELECT wacta.add_template(n, '[{"type": "BODY", "text": "Hello there"}]') FROM unnest('{one,two}'::text[]) n;
		SELECT wacta.upsert_lead('+9198765' || lpad(n::text, 5, '0')) FROM generate_series(1, $people) n;
		UPDATE wacta.channel SET max_rate = NULL;
		SQL
	return;
}

my @sessions;

sub begin
{
	my ($what) = @_;
	my $err = '';
	push @sessions, { what => $what, err => \$err, run => IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('crm'), '-c', $what ],
		'<', '/dev/null', '>', '/dev/null', '2>', \$err) };
	return;
}

sub all_end_well
{
	my ($what) = @_;
	my @failed = grep { !$_->{run}->finish } @sessions;
	diag("$_->{what}: ${ $_->{err} }") for @failed;
	@sessions = ();
	return is(scalar @failed, 0, $what);
}

# Rows of a query that looks for what is wrong; there must be none.
sub none
{
	my ($what, $sql, $database) = @_;
	my @rows = split /\n/, $node->safe_psql($database // 'crm', "$sql LIMIT 5");
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(scalar @rows, 0, $what) or diag(join "\n", @rows);
	return;
}

# --- Many sessions at once
fill('crm', 60);
sql(<<~'SQL');
	SELECT wacta.add_channel('second', 'tata'), wacta.add_channel('third', 'tata');
	UPDATE wacta.channel SET max_rate = NULL;
	INSERT INTO wacta.portfolio (name, people_per_day) VALUES ('few', 15);
	UPDATE wacta.channel SET portfolio_id = 1 WHERE name = 'third';
	UPDATE wacta.config SET lease = '1 second', retry_base = '100 ms', retry_cap = '1 second', pair_burst = 3, pair_interval = '2 seconds';
	SQL

sub until_then { return "clock_timestamp() + interval '$_[0] seconds'" }
my $turn = 0;
sub random_seed { return sprintf '%.6f', (($seed * 7919 + 104729 * ++$turn) % 999983) / 999983 }

begin("CALL play.courier($_, @{[ random_seed() ]}, @{[ until_then($seconds) ]}, false)") for 0 .. 2;
begin("CALL play.application(@{[ random_seed() ]}, @{[ until_then($seconds) ]})") for 1 .. 3;
begin("CALL play.person(@{[ random_seed() ]}, @{[ until_then($seconds) ]})");
begin("CALL play.observer('4 seconds', @{[ until_then($seconds) ]})");
for my $n (1 .. 4)
{
	sql("BEGIN; SELECT play.enqueue(clock_timestamp(), 2); PREPARE TRANSACTION 'p$n'");
	sql('SELECT pg_sleep(1.5)');
	sql(($n == 3 ? 'ROLLBACK' : 'COMMIT') . " PREPARED 'p$n'");
}
all_end_well('all sessions have played to the end');
note(sql(q(SELECT count(*) || ' claims, ' || (SELECT count(*) FROM wacta.message) || ' messages' FROM play.claim)));
cmp_ok(sql('SELECT count(*) FROM play.claim'), '>', 100, 'much was claimed');

# --- Afterwards the queue runs empty
sql(q(UPDATE wacta.template SET held_reason = NULL; SELECT wacta.resume_channel('second')));
begin("CALL play.courier($_, @{[ random_seed() ]}, @{[ until_then(3) ]}, true)") for 0 .. 1;
all_end_well('and have settled what was left');
none('at every moment the rules held', 'SELECT fault FROM play.fault');
none('and do so now', 'SELECT * FROM play.faults()');
none('nothing that is due is left', q(SELECT message_id, due_at, channel_id, template_id FROM wacta.queue WHERE due_at < clock_timestamp() - interval '2.5 seconds'));
none('nobody was sent something while they had said stop',
	'SELECT c.* FROM play.claim c JOIN play.stop s USING (lead_id) WHERE c.claimed_at > s.since AND c.ended_at < s.until');
none('no person had more than the limit of a pair', q(SELECT * FROM play.over_pair_limit('1 second')));
cmp_ok(sql(q(SELECT count(DISTINCT lead_id) FROM play.claim c JOIN wacta.channel USING (channel_id) WHERE portfolio_id = 1)), '<=', 15,
	'no more people than the portfolio may reach');

# --- Limits over days
fill('days', 60);
$node->safe_psql('days', <<~'SQL');
	INSERT INTO wacta.portfolio (name, people_per_day) VALUES ('few', 25);
	INSERT INTO wacta.price VALUES ('', 'MARKETING', 1);
	UPDATE wacta.channel SET portfolio_id = 1, daily_budget = 40;
	UPDATE wacta.config SET pair_burst = 3, pair_interval = '6 seconds';
	SQL

sub days
{
	my ($steps) = @_;
	return $node->safe_psql('days', 'SELECT play.days(' . random_seed() . ", $steps)");
}

days(600);
note($node->safe_psql('days', q(SELECT count(*) || ' claims in ' || max(claimed_at) - min(claimed_at) FROM play.claim)));
cmp_ok($node->safe_psql('days', 'SELECT count(*) FROM play.claim'), '>', 200, 'days have passed');
none('the rules held', 'SELECT * FROM play.faults()', 'days');
none('no 24 hours had more people than the portfolio may reach', 'SELECT * FROM play.over_people_limit()', 'days');
none('no day cost more than its budget, and the books are right', 'SELECT * FROM play.over_budget()', 'days');
none('no person had more than the limit of a pair', q(SELECT * FROM play.over_pair_limit('0')), 'days');

# Who was reached long ago is forgotten bit by bit, and may be written to before.
$node->safe_psql('days', <<~'SQL');
	UPDATE wacta.channel SET daily_budget = NULL;
	DELETE FROM wacta.reached;
	INSERT INTO wacta.reached SELECT 1, n, '2026-01-01 00:00+00'::timestamptz + (20000 - n) * interval '1 second' FROM generate_series(1, 20000) n;
	UPDATE wacta.portfolio SET people = 20000, people_per_day = 20000;
	SQL
ok(eval { days(20); 1 }, 'a claim meets people of whom many are to be forgotten') or diag((split /\n/, $@)[0]);
none('and counts them', 'SELECT * FROM play.faults()', 'days');

# A sender without limits has books all the same, for the day on which it gets one.
$node->safe_psql('days', 'UPDATE wacta.channel SET portfolio_id = NULL');
days(100);
none('the books of a sender without limits are right', 'SELECT * FROM play.over_budget()', 'days');

done_testing();
