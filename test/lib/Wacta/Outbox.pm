# Fills an outbox with simple messages, for tests of launcher and courier.
#
#   my $double = Wacta::Double->start;
#   my $node = wacta_node('main', double => $double);
#   outbox_prepare($node, 'crm', $double);
#   outbox_enqueue($node, 'crm', 100);
#   outbox_wait_empty($node, 'crm');
package Wacta::Outbox;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wacta;

our @EXPORT = qw(outbox_prepare outbox_enqueue outbox_sql outbox_sender_sql outbox_states outbox_wait_empty
  outbox_is_consistent gone_within);

my $components = '[{"type": "BODY", "text": "Hello, this is a message of a test."}]';

# outbox_prepare(node, database, double, channel option => value ...): a channel,
# and one template that both sides know.
sub outbox_prepare
{
	my ($node, $database, $double, %channel) = @_;
	add_channel($node, $database, $double, %channel);
	$node->safe_psql($database,
		qq(SELECT wacta.add_template('notice', '$components', category => 'UTILITY',
			body_values => '{}', button_actions => '{}')));
	$double->post('templates', { name => 'notice', language => 'en', category => 'UTILITY',
		components => [ { type => 'BODY', text => 'Hello, this is a message of a test.' } ] });
	return;
}

# The statement that queues messages for the leads number first .. first + count - 1.
sub outbox_sql
{
	my ($count, $first) = @_;
	$first //= 0;
	my $last = $first + $count - 1;
	return qq(SELECT count(wacta.send_interactive(wacta.upsert_lead('+9198765' || lpad(i::text, 5, '0')), 'notice'))
		FROM generate_series($first, $last) i);
}

# The statements that have what is queued next leave by that channel, which is
# made when there is a URL.
sub outbox_sender_sql
{
	my ($name, $url) = @_;
	my $make = defined $url ? qq(SELECT wacta.add_channel('$name', 'meta', sender_id => '106540352242922', base_url => '$url');
		SELECT wacta.set_credential('$name', 'access_token', 'test-access-token-0123456789');
		UPDATE wacta.channel SET max_rate = NULL WHERE name = '$name';) : '';
	return qq($make UPDATE wacta.channel SET is_default = false WHERE is_default;
		UPDATE wacta.channel SET is_default = true WHERE name = '$name';);
}

# All in one transaction, so that the courier sees them at once.
sub outbox_enqueue
{
	my ($node, $database, $count, $first) = @_;
	return $node->safe_psql($database, outbox_sql($count, $first));
}

# "accepted 10, failed 1": the states that there are.
sub outbox_states
{
	my ($node, $database) = @_;
	return $node->safe_psql($database,
		q(SELECT string_agg(status || ' ' || n, ', ' ORDER BY status)
			FROM (SELECT status, count(*) n FROM wacta.message GROUP BY status) s));
}

# Until nothing is queued and nothing is being sent.
sub outbox_wait_empty
{
	my ($node, $database, $patience) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_for_value($node, $database,
		q(SELECT count(*) FROM wacta.message WHERE status IN ('queued', 'sending')),
		'0', "outbox of $database is empty", $patience);
}

# Nothing is lost, and nothing was taken twice by the double.
sub outbox_is_consistent
{
	my ($node, $database, $double) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $balance = $node->safe_psql($database,
		q(SELECT enqueued - (queued + sending + in_doubt + accepted + sent + delivered + read
			+ failed + suppressed + expired + cancelled) FROM wacta.message_accounting));
	is($balance, '0', "the states of $database add up");
	is(scalar @{ $double->get('duplicates')->{duplicates} // [] }, 0, 'the double has taken nothing twice');
	return;
}

# gone_within(pid, seconds): how long a process that is not our child still lives.
sub gone_within
{
	my ($pid, $patience) = @_;
	my $start = time;
	while (kill 0, $pid)
	{
		return undef if time - $start > $patience;
		sleep 0.005;
	}
	return time - $start;
}

1;
