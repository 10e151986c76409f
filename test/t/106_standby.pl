# On a standby nothing is sent; at its promotion it starts, and what the old
# primary had in flight is in doubt.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Outbox;

my $double = Wacta::Double->start;
my $primary = wacta_node('primary', double => $double, init => { allows_streaming => 1 },
	conf => 'wacta.failover = continue');
outbox_prepare($primary, 'crm', $double);
wait_for_courier($primary, 'crm');
outbox_enqueue($primary, 'crm', 3);
outbox_wait_empty($primary, 'crm');

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
# The test library's copy gives files the mode of the umask.
chmod 0600, $standby->data_dir . '/wacta.key' or die "could not change the mode of the key: $!";
$standby->start;
$double->post('faults', { do => 'late', ms => 15000 });
outbox_enqueue($primary, 'crm', 2, 10);
wait_for_value($primary, 'crm', 'SELECT in_flight FROM wacta.courier_status()', '2', 'two are in flight');
$primary->wait_for_catchup($standby);

is($standby->safe_psql('crm', q(SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'wacta%')), '0',
	'neither launcher nor courier on a standby');
is($standby->safe_psql('crm', 'SELECT count(*) FROM wacta.courier_status()'), '0', 'courier_status() is empty there');
my $requests = $double->get('stats')->{requests};

$primary->stop('immediate');
$double->del('faults');
$standby->promote;
wait_for_courier($standby, 'crm');
wait_for_value($standby, 'crm', q(SELECT count(*) FROM wacta.message WHERE status = 'in_doubt'), '2',
	'what the old primary was sending is in doubt');
is($double->get('stats')->{requests}, $requests, 'and was not sent again');
outbox_enqueue($standby, 'crm', 2, 20);
outbox_wait_empty($standby, 'crm');
is(outbox_states($standby, 'crm'), 'in_doubt 2, accepted 5', 'the new primary sends');
outbox_is_consistent($standby, 'crm', $double);
done_testing();
