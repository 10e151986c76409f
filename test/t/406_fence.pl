# A queue is sent by the cluster that it is bound to: copies of every kind hold
# it until wacta.unfence(), and what is no copy goes on.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Outbox;

my $double = Wacta::Double->start;
my $primary = wacta_node('primary', double => $double, init => { allows_streaming => 1 },
	conf => "wacta.poll_interval = '200ms'\nwacta.enabled = off");
outbox_prepare($primary, 'crm', $double);
outbox_enqueue($primary, 'crm', 5);

sub requests { return $double->get('stats')->{requests} }

sub restart_with
{
	my ($node, $line) = @_;
	$node->append_conf('postgresql.conf', $line);
	$node->restart;
	return;
}

# A cluster of its own made of a backup; unlike the original's, its couriers are on.
sub cluster_of
{
	my ($name, $backup, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init_from_backup($primary, $backup, %option);
	chmod 0600, $node->data_dir . '/wacta.key' or die "could not change the mode of the key: $!";
	$node->append_conf('postgresql.conf', 'wacta.enabled = on');
	$node->start;
	return $node;
}

sub status
{
	my ($node, $database, $what) = @_;
	return $node->safe_psql($database, "SELECT $what FROM wacta.courier_status() WHERE database = '$database'");
}

# holds(node, database, problem, states): the courier says why it holds, in its
# status and once in the log; woken again, it still sends nothing.
sub holds
{
	my ($node, $database, $problem, $states) = @_;
	my $before = requests();
	my $error = "held until wacta.unfence(reason) is run: the queue belongs to $problem";
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_for('courier_status() says why and what to do', sub { status($node, $database, 'last_error') =~ /^\Q$error\E.*last seen there at/ })
	  or diag(status($node, $database, 'last_error'));
	my $time = $node->safe_psql($database, 'SELECT clock_timestamp()');
	$node->safe_psql($database, 'SELECT wacta.wake()');
	wait_for('woken, it looks again', sub { status($node, $database, "last_error_at > '$time'") eq 't' });
	is(outbox_states($node, $database), $states, 'it has taken nothing');
	is(requests(), $before, 'and sent nothing');
	my @said = slurp_file($node->logfile) =~
	  /courier 0 of $database sends nothing: the queue belongs to \Q$problem\E.*\n.*HINT: .*run wacta\.unfence\(reason\)/g;
	is(scalar @said, 1, 'the log says so once, with a hint');
	return;
}

# --- What is no copy keeps its identity
my ($system, $database, $node_id) = split /\|/, $primary->safe_psql('crm', 'SELECT system_identifier, database_oid, node_id FROM wacta.fence');
sub is_bound
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($primary->safe_psql('crm', 'SELECT system_identifier, timeline_id, database_oid, node_id, wacta.fence_problem() IS NULL FROM wacta.cluster_identity()'),
		"$system|1|$database|$node_id|t", $what);
}
is_bound('a new extension is bound to its cluster');
$primary->restart;
is_bound('a restart changes nothing');
$primary->stop('immediate');
$primary->start;
is_bound('nor does recovery from a crash');
# The orphans have to go before a new postmaster may begin.
my @orphans = split /\n/, $primary->safe_psql('postgres', 'SELECT pid FROM pg_stat_activity');
$primary->kill9;
ok(defined gone_within($_, 20), 'a process has ended after the kill -9') for @orphans;
$primary->start;
is_bound('nor do a kill -9 and recovery');
restart_with($primary, q(wacta.node_id = 'db1'));
like($primary->safe_psql('crm', 'SELECT wacta.fence_problem()'), qr/^the queue belongs to node $node_id and this is node db1: /,
	'wacta.node_id is the identity where it is set');
restart_with($primary, q(wacta.node_id = ''));
is_bound('and without it the directory is');

# --- The copies are made while five messages are queued
my $dump = PostgreSQL::Test::Utils::tempdir() . '/crm';
$primary->backup('hot');
$primary->command_ok([ 'pg_dump', '-Fd', '-f', $dump, '-d', $primary->connstr('crm') ], 'pg_dump');
$primary->stop;
$primary->backup_fs_cold('cold');
$primary->start;

# --- A base backup that was started as a primary of its own: same system, same timeline
my $hot = cluster_of('hot', 'hot');
is($hot->safe_psql('crm', 'SELECT system_identifier, timeline_id FROM wacta.cluster_identity()'), "$system|1", 'a base backup is the same system on the same timeline');
holds($hot, 'crm', "node $node_id and this is node", 'queued 5');

# --- A cold copy, and one that took the place of the directory it was copied from
my $cold = cluster_of('cold', 'cold');
holds($cold, 'crm', "node $node_id and this is node", 'queued 5');
my $cold_id = $cold->safe_psql('crm', 'SELECT node_id FROM wacta.cluster_identity()');
restart_with($cold, 'wacta.enabled = off');
$cold->safe_psql('crm', q(SELECT wacta.unfence('a new server')));
$cold->stop;
my $data = $cold->data_dir;
rename $data, "$data.old" or die "could not rename the data directory: $!";
system_or_bail('cp', '-a', "$data.old", $data);
$cold->append_conf('postgresql.conf', 'wacta.enabled = on');
$cold->start;
holds($cold, 'crm', "node $cold_id and this is node", 'queued 5');

# --- A dump in another cluster, restored while a courier waits to be let in
my $restored = wacta_node('restored', double => $double, databases => [],
	conf => "wacta.databases = 'crm'\nwacta.poll_interval = '200ms'");
append_to_file($restored->data_dir . '/wacta.key', slurp_file($primary->data_dir . '/wacta.key'));
chmod 0600, $restored->data_dir . '/wacta.key' or die "could not change the mode of the key: $!";
$restored->safe_psql('postgres', "CREATE ROLE $_") for qw(wacta_anon wacta_agent wacta_admin wacta_gateway);
$restored->safe_psql('postgres', 'CREATE ROLE wacta_courier LOGIN');
$restored->safe_psql('postgres', 'CREATE DATABASE crm');
$restored->command_ok([ 'pg_restore', '-d', $restored->connstr('crm'), $dump ], 'restore into another cluster');
$restored->restart;
holds($restored, 'crm', "another cluster, with system identifier $system", 'queued 5');

# Its own dump, restored over the same database.
restart_with($restored, 'wacta.enabled = off');
$restored->safe_psql('crm', q(SELECT wacta.unfence('the original is gone')));
$restored->command_ok([ 'pg_dump', '-Fc', '-f', "$dump.own", '-d', $restored->connstr('crm') ], 'pg_dump of the restored');
$restored->command_ok([ 'pg_restore', '--clean', '--if-exists', '-d', $restored->connstr('crm'), "$dump.own" ], 'restore in place');
restart_with($restored, 'wacta.enabled = on');
holds($restored, 'crm', 'a former installation of the extension', 'queued 5');

# --- The original goes on, beside copies of its database in the same cluster
$primary->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE crm');
$primary->safe_psql('postgres', 'CREATE DATABASE dumped');
$primary->command_ok([ 'pg_restore', '-d', $primary->connstr('dumped'), $dump ], 'restore into another database');
restart_with($primary, "wacta.databases = 'crm, copy, dumped'\nwacta.enabled = on");
outbox_wait_empty($primary, 'crm');
is(outbox_states($primary, 'crm'), 'accepted 5', 'the original sends its queue');
is(requests(), 5, 'each message once');
holds($primary, $_, "another database of this cluster, with OID $database", 'queued 5') for qw(copy dumped);
is(requests(), 5, 'of all the copies none was sent');

# --- Lifting it
$hot->safe_psql('crm', q(SELECT wacta.unfence('a drill')));
outbox_wait_empty($hot, 'crm');
is(outbox_states($hot, 'crm'), 'accepted 5', 'unfence() lets a copy send at once');
is(requests(), 10, 'what the original has sent as well: the fence was the only reason that it did not');
is($hot->safe_psql('crm', q(SELECT reason, old_identity ->> 'node_id', discarded FROM wacta.fence_event)), "a drill|$node_id|0", 'with a note of it');
$hot->restart;
outbox_enqueue($hot, 'crm', 1, 10);
outbox_wait_empty($hot, 'crm');
is(requests(), 11, 'and for good');

$cold->safe_psql('crm', q(SELECT wacta.unfence('to test with', discard_queue => true)));
outbox_enqueue($cold, 'crm', 1, 10);
outbox_wait_empty($cold, 'crm');
is(outbox_states($cold, 'crm'), 'accepted 1, cancelled 5', 'or it sends only what is new');
is(requests(), 12, 'that is, one');
$_->stop for $hot, $cold, $restored;

# --- A standby is promoted
restart_with($primary, "wacta.databases = 'crm'\nwacta.enabled = off");
$primary->backup('base');
my $standby = cluster_of('standby', 'base', has_streaming => 1);
outbox_enqueue($primary, 'crm', 5, 20);
$primary->wait_for_catchup($standby);
is($standby->safe_psql('crm', 'SELECT timeline_id FROM wacta.cluster_identity()'), '1', 'a standby is on the timeline that it replays');
$primary->stop;
$standby->promote;
holds($standby, 'crm', 'timeline 1 and this is timeline 2', 'queued 5, accepted 5');
$standby->append_conf('postgresql.conf', 'wacta.failover = continue');
$standby->reload;
outbox_wait_empty($standby, 'crm');
is(outbox_states($standby, 'crm'), 'accepted 10', 'wacta.failover = continue: it goes on by itself');
is(requests(), 17, 'each message is requested once');
is($standby->safe_psql('crm', q(SELECT reason, recorded_by, new_identity ->> 'timeline_id' FROM wacta.fence_event)), 'failover|wacta_courier|2',
	'with a note of it');
# To go on after a promotion is no leave to send from a copy.
$standby->stop;
$standby->backup_fs_cold('promoted');
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($standby, 'promoted');
chmod 0600, $copy->data_dir . '/wacta.key';
$copy->start;
outbox_enqueue($copy, 'crm', 1, 30);
holds($copy, 'crm', 'node ', 'queued 1, accepted 10');

done_testing();
