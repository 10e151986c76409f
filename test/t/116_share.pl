# A sender whose provider never answers leaves room for the others.
use strict;
use warnings;
use Test::More;
use Wacta;
use Wacta::Double;
use Wacta::Outbox;

my $good = Wacta::Double->start(name => 'good');
my $bad = Wacta::Double->start(name => 'bad');
my $node = wacta_node('main', double => $good, conf => join "\n",
	'wacta.allowed_hosts = \'' . join(', ', map { $_->host } $good, $bad) . '\'',
	q(wacta.max_in_flight = 16),
	q(wacta.request_timeout = '60s'));
outbox_prepare($node, 'crm', $good, name => 'good');
add_channel($node, 'crm', $bad, name => 'bad');
$bad->post('templates', { name => 'notice', language => 'en', category => 'UTILITY',
	components => [ { type => 'BODY', text => 'Hello, this is a message of a test.' } ] });
$bad->post('faults', { do => 'hang' });
wait_for_courier($node, 'crm');

# Queues so many messages at the sender.
sub enqueue_at
{
	my ($name, $count, $first) = @_;
	$node->safe_psql('crm', 'BEGIN; UPDATE wacta.channel SET is_default = false;'
		. "UPDATE wacta.channel SET is_default = true WHERE name = '$name'; " . outbox_sql($count, $first) . '; COMMIT');
	return;
}

# The bad one's queue is older and would fill all slots.
enqueue_at('bad', 100, 0);
ok($bad->wait_until(count => 14), 'the one that hangs has most of the slots');
enqueue_at('good', 200, 1000);
ok($good->wait_until(count => 200, taken => 'true'), 'the other one sends all the same');
is($bad->get('stats')->{in_flight}, 14, 'the one that hangs has no more than its share');

done_testing();
