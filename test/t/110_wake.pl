# What makes a courier look at the outbox again: with a poll of a minute, what
# arrives sooner was not found by chance.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wacta;
use Wacta::Outbox;

my $double = Wacta::Double->start;
my $node = wacta_node('main', double => $double, init => { allows_streaming => 1 },
	conf => "wacta.poll_interval = '60s'\nwacta.max_in_flight = 16");
outbox_prepare($node, 'crm', $double);
wait_for_courier($node, 'crm');
wait_for_value($node, 'crm', q(SELECT state FROM wacta.courier_status()), 'idle', 'the courier is idle');

# --- Messages that fail when they are claimed stand before a good one
$node->safe_psql('crm', q(SELECT wacta.add_template('doomed', '[{"type": "BODY", "text": "This one was rejected."}]',
	category => 'UTILITY', body_values => '{}', button_actions => '{}')));
my $start = time;
$node->safe_psql('crm', q(BEGIN;
	SELECT count(wacta.send_interactive(wacta.upsert_lead('+9198766' || lpad(i::text, 5, '0')), 'doomed'))
		FROM generate_series(1, 500) i;
	UPDATE wacta.template SET status = 'REJECTED' WHERE name = 'doomed';
	UPDATE wacta.message SET due_at = now() - interval '1 minute';) . outbox_sql(1, 0) . '; COMMIT');
wait_for_value($node, 'crm', q(SELECT count(*) FROM wacta.message WHERE status = 'accepted'), '1', 'the good one is delivered');
my $took = time - $start;
note(sprintf 'it took %.1f s', $took);
cmp_ok($took, '<', 5, 'without a pause at each round');
# their template has a lane of its own in the queue: the good one need not be the last
wait_for_value($node, 'crm', q(SELECT count(*) FROM wacta.queue), '0', 'all have left');
is(outbox_states($node, 'crm'), 'accepted 1, failed 500', 'and the others have failed');

# --- A message that is due again by an UPDATE
$node->safe_psql('crm', 'BEGIN; ' . outbox_sql(1, 1)
	. q(; UPDATE wacta.message SET due_at = now() + interval '1 hour' WHERE status = 'queued'; COMMIT));
$node->safe_psql('crm', q(BEGIN; UPDATE wacta.message SET due_at = now() WHERE status = 'queued'; SELECT wacta.wake(); ROLLBACK));
is(outbox_states($node, 'crm'), 'queued 1, accepted 1, failed 500', 'it waits');
$node->safe_psql('crm', q(BEGIN; UPDATE wacta.message SET due_at = now() WHERE status = 'queued'; SELECT wacta.wake(); COMMIT));
outbox_wait_empty($node, 'crm', 5);
is(outbox_states($node, 'crm'), 'accepted 2, failed 500', 'wacta.wake() had it looked for');

# --- Woken while the courier itself commits: the wait for a synchronous standby
# resets its latch.  There is none, so each of its commits lasts until it is told
# not to wait; a reload would have it look again anyway.
$node->append_conf('postgresql.conf', q(synchronous_standby_names = 'nobody'));
$node->reload;
wait_for_value($node, 'crm', 'SHOW synchronous_standby_names', 'nobody', 'commits wait for a standby');
$node->safe_psql('crm', 'CHECKPOINT');    # the checkpointer has seen the setting, too
my $in_commit = q(FROM pg_stat_activity WHERE backend_type = 'wacta courier' AND wait_event = 'SyncRep');
my $enqueue = sub { $node->safe_psql('crm', 'SET synchronous_commit = local; ' . outbox_sql(1, $_[0])) };
$enqueue->(2);
wait_for_value($node, 'crm', "SELECT count(*) $in_commit", '1', 'the courier commits a claim');
$enqueue->(3);
wait_for('a message that was queued meanwhile is not forgotten', sub {
	$node->safe_psql('crm', "SET synchronous_commit = local; SELECT pg_cancel_backend(pid) $in_commit");
	return $node->safe_psql('crm', q(SELECT count(*) FROM wacta.message WHERE status = 'accepted')) == 4;
}, 15);
$node->append_conf('postgresql.conf', q(synchronous_standby_names = ''));
$node->reload;
outbox_wait_empty($node, 'crm');
outbox_is_consistent($node, 'crm', $double);

# --- In a server that does not preload wacta it does nothing
my $plain = PostgreSQL::Test::Cluster->new('plain');
$plain->init;
$plain->start;
$plain->safe_psql('postgres', 'CREATE EXTENSION wacta CASCADE');
is($plain->safe_psql('postgres', 'SELECT wacta.wake()'), '', 'wacta.wake() without preloading');
done_testing();
