# The main path: at commit the courier wakes, claims, sends, settles.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Outbox;

my $double = Wacta::Double->start;
my $second_double = Wacta::Double->start(name => 'second_double');
my %double_of = ('crm' => $double, 'Second DB' => $second_double);
my $hosts = join ', ', map { $_->host } values %double_of;
# A poll of a minute: what arrives sooner was woken by its commit.
my $node = wacta_node('main', double => $double, databases => [ sort keys %double_of ],
	conf => join "\n",
	q(wacta.poll_interval = '60s'),
	q(wacta.databases = 'crm, "Second DB"'),
	qq(wacta.allowed_hosts = '$hosts'),
	'track_commit_timestamp = on');
for my $database (sort keys %double_of)
{
	outbox_prepare($node, $database, $double_of{$database});
	wait_for_courier($node, $database);
	wait_for_value($node, $database,
		q(SELECT state FROM wacta.courier_status() WHERE database = current_database()),
		'idle', "courier of $database is idle");
}

# --- One message
outbox_enqueue($node, 'crm', 1);
outbox_wait_empty($node, 'crm');
is(outbox_states($node, 'crm'), 'accepted 1', 'a message is delivered');
my ($entry) = @{ $double->journal(limit => 1) };
is($entry->{status}, 200, 'the double answered 200');
like($entry->{path}, qr{/106540352242922/messages$}, 'at the sender\'s path');
is($node->safe_psql('crm', q(SELECT outcome || ' ' || http_status FROM wacta.attempt)),
	'answered 200', 'the attempt says so');

# --- The time from commit to request: both clocks are this machine's
my @latency;
for my $i (1 .. 20)
{
	my $before = $double->get('stats')->{requests};
	my $xid = $node->safe_psql('crm', 'BEGIN; ' . outbox_sql(1, 100 + $i)
		. '; SELECT pg_current_xact_id(); COMMIT') =~ s/.*\n//sr;
	$double->wait_until(count => $before + 1) or last;
	my $arrival = $double->journal->[-1]{at};
	push @latency, $node->safe_psql('crm', qq(SELECT
		1000 * extract(epoch FROM '$arrival'::timestamptz - pg_xact_commit_timestamp('$xid'::xid))));
}
is(scalar @latency, 20, 'each message arrives');
@latency = sort { $a <=> $b } @latency;
note(sprintf 'commit to request: median %.1f ms, worst %.1f ms', $latency[10], $latency[-1]);
cmp_ok($latency[10], '<', 50, 'a commit wakes the courier at once');

# --- Rolled back: nothing leaves
my $count = $double->get('stats')->{requests};
$node->safe_psql('crm', 'BEGIN; ' . outbox_sql(3, 200) . '; ROLLBACK');

# --- Another database has a courier of its own
outbox_enqueue($node, 'Second DB', 5);
outbox_wait_empty($node, 'Second DB');
is(outbox_states($node, 'Second DB'), 'accepted 5', 'the second database delivers as well');
is($second_double->get('stats')->{requests}, 5, 'to its own address');
is($double->get('stats')->{requests}, $count, 'what was rolled back did not leave');

# --- Due later
$node->safe_psql('crm', 'BEGIN; ' . outbox_sql(1, 300)
	. q(; UPDATE wacta.message SET due_at = now() + interval '700 ms' WHERE status = 'queued'; COMMIT));
outbox_wait_empty($node, 'crm', 5);
cmp_ok($node->safe_psql('crm', q(SELECT extract(epoch FROM max(claimed_at - due_at))
	FROM wacta.attempt JOIN wacta.message USING (lead_id, message_id) WHERE due_at > enqueued_at + interval '0.5 s')),
	'<', 0.3, 'a message that is due later leaves when it is due');

# --- Status
is($node->safe_psql('crm', q(SELECT string_agg(database || ' ' || state || ' ' || accepted, ', ' ORDER BY database)
	FROM wacta.courier_status())), 'Second DB idle 5, crm idle 22', 'courier_status() counts');
outbox_is_consistent($node, $_, $double_of{$_}) for sort keys %double_of;

done_testing();
