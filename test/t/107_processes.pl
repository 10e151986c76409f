# What lives in which process: libcurl in couriers alone, its threads without
# PostgreSQL's signals; and a server that does not preload wacta.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Outbox;

my $double = Wacta::Double->start;
my $node = wacta_node('main', double => $double);
outbox_prepare($node, 'crm', $double);
wait_for_courier($node, 'crm');
my $port = $double->port;

sub maps
{
	my ($pid) = @_;
	return scalar grep { /libcurl/ } split /\n/, slurp_file("/proc/$pid/maps");
}

SKIP:
{
	skip 'no /proc here', 6 unless -r "/proc/$$/maps";
	my ($postmaster) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	is(maps($postmaster), 0, 'the postmaster does not map libcurl');
	my $pids = $node->safe_psql('crm', q(SELECT pid FROM pg_stat_activity
		WHERE backend_type IN ('wacta launcher', 'checkpointer') ORDER BY 1));
	is(maps($_), 0, "nor does process $_") for split /\n/, $pids;
	# wacta.so is loaded in this backend, which lives as long as the query.
	is($node->safe_psql('crm', q(SELECT count(*) FROM wacta.courier_status(),
		regexp_split_to_table(pg_read_file('/proc/self/maps', 0, 1000000), E'\n') line WHERE line LIKE '%libcurl%')), '0',
		'nor does a client backend that uses wacta');
	my $courier = $node->safe_psql('crm', 'SELECT pid FROM wacta.courier_status()');
	cmp_ok(maps($courier), '>', 0, 'a courier does');

	# A lookup runs in a thread, which has the mask of the thread that made it.
	$node->append_conf('postgresql.conf', qq(wacta.allowed_hosts = 'localhost:$port, slow-name.invalid:80'));
	$node->reload;
	$node->safe_psql('crm', qq(UPDATE wacta.channel SET base_url = 'http://slow-name.invalid'));
	my %handled;
	for my $i (1 .. 20)
	{
		outbox_enqueue($node, 'crm', 20, 100 + 20 * $i);
		for (1 .. 50)
		{
			for my $task (glob "/proc/$courier/task/*")
			{
				next if $task =~ m{/$courier$} || !-r "$task/status";
				my ($mask) = eval { slurp_file("$task/status") } =~ /^SigBlk:\s+([0-9a-f]+)/m or next;
				# HUP 1, INT 2, QUIT 3, USR1 10, ALRM 14, TERM 15, URG 23
				$handled{$task} = $mask if grep { !(hex($mask) >> ($_ - 1) & 1) } 1, 2, 3, 10, 14, 15, 23;
				$handled{seen}++;
			}
		}
		last if $handled{seen};
	}
	skip 'no resolver thread was caught in the act', 1 unless delete $handled{seen};
	is_deeply(\%handled, {}, 'its threads take no signal of PostgreSQL');
}

# --- Slow lookups do not hold up an end
my $pid = $node->safe_psql('crm', 'SELECT pid FROM wacta.courier_status()');
$node->safe_psql('crm', "SELECT pg_terminate_backend($pid)");
my $took = gone_within($pid, 5);
cmp_ok($took // 9, '<', 1, 'a courier with lookups under way ends at once');

# --- Not preloaded
my $plain = PostgreSQL::Test::Cluster->new('plain');
$plain->init;
$plain->start;
$plain->safe_psql('postgres', 'CREATE EXTENSION wacta CASCADE; SELECT wacta.create_roles()');
outbox_prepare($plain, 'postgres', $double);
outbox_enqueue($plain, 'postgres', 2);
is(outbox_states($plain, 'postgres'), 'queued 2', 'without preloading messages are queued');
my ($status, $out, $error) = $plain->psql('postgres', '\set VERBOSITY verbose', on_error_stop => 0);
($status, $out, $error) = $plain->psql('postgres', 'SELECT * FROM wacta.courier_status()');
like($error, qr/"wacta" is not preloaded/, 'courier_status() says that nothing sends them');
like($error, qr/HINT:.*shared_preload_libraries/, 'and what to do');
is($plain->safe_psql('postgres', q(DO $$ BEGIN PERFORM wacta.courier_status(); EXCEPTION WHEN object_not_in_prerequisite_state
	THEN RAISE NOTICE 'caught'; END $$; SELECT 1)), '1', 'with SQLSTATE 55000');
($status, $out, $error) = $plain->psql('postgres', q(SET wacta.no_such_setting = 1));
like($error, qr/invalid configuration parameter name "wacta.no_such_setting"/, 'the prefix is reserved')
  if $plain->safe_psql('postgres', 'SHOW server_version_num') >= 150000 && $error;
done_testing();
