# A sender's rate is kept in every second, with two couriers and over a restart;
# a provider that says "too fast" halves it, and it comes back.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wacta;
use Wacta::Outbox;

my $rate = 80;    # what a channel has by default
my $double = Wacta::Double->start;
my $node = wacta_node('main', double => $double, conf => join "\n",
	'wacta.couriers_per_database = 2', q(wacta.poll_interval = '60s'));
outbox_prepare($node, 'crm', $double, max_rate => $rate);
wait_for_courier($node, 'crm', 2);
$double->post('reset');    # its longest turn was its start

sub sql { return $node->safe_psql('crm', $_[0]) }
sub rate_now { return sql('SELECT rate_now FROM wacta.sender_pace()') }

# The most that any window of so many seconds holds.
sub most_within
{
	my ($seconds, @times) = @_;
	my ($most, $first) = (0, 0);
	@times = sort { $a <=> $b } @times;
	for my $last (0 .. $#times)
	{
		$first++ while $times[$last] - $times[$first] > $seconds;
		$most = $last - $first + 1 if $last - $first + 1 > $most;
	}
	return $most;
}

# By the moment a request was let through, exactly; and by the double's clock, which
# may note one two turns of its loop late.
sub rate_is_kept
{
	my ($what, $rate) = @_;
	my @begun = split /\n/, sql('SELECT extract(epoch FROM started_at) FROM wacta.attempt WHERE started_at IS NOT NULL');
	my @arrived = map { $_->{mono_ns} / 1e9 } @{ $double->journal };
	my $jitter = 0.1 + 2 * $double->get('stats')->{lag_ms} / 1000;
	my $most = most_within(0.9999, @begun);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	note(sprintf '%s: %d begun, at most %d in a second; at most %d arrived in %.3f s',
		$what, scalar @begun, $most, most_within(1 - $jitter, @arrived), 1 - $jitter);
	cmp_ok($most, '<=', $rate, "$what: no second has more than $rate");
	cmp_ok(most_within(1 - $jitter, @arrived), '<=', $rate, "$what: nor at the double");
	return;
}

# --- Two couriers, one rate
sql(outbox_sql(400));
my $start = time;
outbox_wait_empty($node, 'crm');
my $took = time - $start;
rate_is_kept('two couriers', $rate);
note(sprintf '400 took %.1f s', $took);
cmp_ok($took, '<', 7, 'and the rate is used');
cmp_ok(sql('SELECT count(DISTINCT courier) FROM wacta.attempt'), '>=', 1, 'by any courier');

# --- A restart in the middle: the new server does not know what the old one has begun
sql(outbox_sql(240, 1000));
wait_for('some have left', sub { $double->get('stats')->{requests} > 450 });
$node->restart;
wait_for_courier($node, 'crm', 2);
outbox_wait_empty($node, 'crm');
rate_is_kept('over a restart', $rate);

# --- And a courier that is ended
sql(outbox_sql(240, 2000));
wait_for('some have left', sub { $double->get('stats')->{requests} > 700 });
sql('SELECT pg_terminate_backend(pid) FROM wacta.courier_status()');
outbox_wait_empty($node, 'crm');
rate_is_kept('couriers that are ended', $rate);

# --- The provider says that we are too fast: many times, which is one slower
is(rate_now(), $rate, 'the rate is the full one');
$double->post('faults', { do => 'error', code => 130429, status => 429, times => 10 });
sql(outbox_sql(200, 3000));
wait_for('the sender is slowed down', sub { rate_now() < $rate });
my $slowed = rate_now();
cmp_ok($slowed, '>=', $rate / 2, 'a burst of refusals halves it once');
cmp_ok($slowed, '<', $rate / 2 + 15, 'to half of it');
is(sql('SELECT status FROM wacta.channel'), 'active', 'it goes on sending');
wait_for('it gets faster again', sub { rate_now() > $slowed + 5 });
outbox_wait_empty($node, 'crm', 60);
wait_for_value($node, 'crm', 'SELECT rate_now FROM wacta.sender_pace()', $rate, 'and comes back to the full rate', 30);
rate_is_kept('slowed down', $rate);

# --- Without a limit there is none
sql('UPDATE wacta.channel SET max_rate = NULL');
$start = time;
sql(outbox_sql(300, 4000));
outbox_wait_empty($node, 'crm');
cmp_ok(time - $start, '<', 3, 'a channel without a limit sends as fast as it can');

is(rate_now(), '', 'and has no pace');

# --- By hand: who is no courier uses its turns at once
is(sql('SELECT granted, wait_ms FROM wacta.take_turns(77, 0, NULL, 5000)'), '5000|', 'no limit: all that is wanted');
is(sql('SELECT granted, wait_ms > 900 FROM wacta.take_turns(77, 0, 10, 25)'), '10|t', 'a limit: that, and the time to the next turn');
is(sql('SELECT granted FROM wacta.take_turns(77, 1, 10, 1)'), '0', 'no more in this second');
is(sql('SELECT granted FROM wacta.take_turns(78, 1, 10, 1)'), '1', 'another sender has turns of its own');
is(sql('SELECT wacta.turn_wait() IS NULL'), 't', 'no refusal, no wait');
is(sql('BEGIN; SELECT granted FROM wacta.take_turns(77, 1, 10, 1); SELECT wacta.turn_wait() BETWEEN 1 AND 1030; COMMIT'),
	"0\nt", 'a refusal says how long');
is(sql('SELECT wacta.slow_sender(77), wacta.slow_sender(77), wacta.slow_sender(79)'), '5|5|', 'slowed once in a second');

outbox_is_consistent($node, 'crm', $double);
done_testing();
