# What the TAP tests of wacta share: clusters with the extension preloaded, the
# double of the WABA API, the gateway, and ways to wait that never just sleep.
#
#   use Wacta;
#   my $double = Wacta::Double->start;
#   my $node = wacta_node('main', double => $double);
#   add_channel($node, 'crm', $double);
#
# Nothing here may be used outside tests.  What is started is ended by its own
# pid when the test ends, however it ends.
package Wacta;

use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wacta::Double;
use Wacta::Gateway;
use Wacta::Process;

our @EXPORT = qw(wacta_node create_database wait_for wait_for_value wait_for_courier
  free_port add_channel fixture);

# PostgreSQL's library ends its clusters in END, which a signal would skip.
$SIG{TERM} = $SIG{INT} = $SIG{HUP} = sub { die "ended by signal $_[0]\n" };

# wacta_node(name, option => value ...): a running cluster with wacta preloaded
# and the extension in its databases.
#   databases  names of databases to make ['crm']; all of them get a courier
#   double     a Wacta::Double, whose address the courier may send to
#   conf       more lines for postgresql.conf
#   init       options of PostgreSQL::Test::Cluster->init
#   start      0: initialised, not started, no databases made
sub wacta_node
{
	my ($name, %option) = @_;
	my @databases = @{ $option{databases} // ['crm'] };
	my $hosts = $option{double} ? $option{double}->host : '127.0.0.1';
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(%{ $option{init} // {} });
	$node->append_conf('postgresql.conf', join "\n",
		q(shared_preload_libraries = 'wacta'),
		q(wacta.databases = ') . join(', ', @databases) . q('),
		q(wacta.allow_http = on),
		qq(wacta.allowed_hosts = '$hosts'),
		# Of the tests' clusters many run at once, and crashes are part of some tests.
		q(restart_after_crash = on),
		q(max_worker_processes = 16),
		q(shared_buffers = 16MB),
		q(timezone = 'UTC'),
		$option{conf} // '', '');
	return $node if defined $option{start} && !$option{start};
	$node->start;
	create_database($node, $_) for @databases;
	return $node;
}

# create_database(node, name): a database with the extension, and the roles,
# which are the cluster's and so made once.
sub create_database
{
	my ($node, $name) = @_;
	$node->safe_psql('postgres', qq(CREATE DATABASE "$name"));
	$node->safe_psql($name, 'CREATE EXTENSION wacta CASCADE');
	$node->safe_psql($name, 'SELECT wacta.create_roles()');
	return $name;
}

# add_channel(node, database, double, provider => 'meta', ...): a channel that
# sends to the double, with its secrets; webhooks are accepted with them.  Without
# max_rate it sends as fast as it can.
sub add_channel
{
	my ($node, $database, $double, %arg) = @_;
	my $provider = $arg{provider} // 'meta';
	my $name = $arg{name} // $provider;
	my $url = $double->url . ($provider eq 'meta' ? '' : $arg{path} // '');
	my $sql = sprintf q(SELECT wacta.add_channel('%s', '%s', sender_id => '%s', base_url => '%s')),
	  $name, $provider, $arg{sender_id} // '106540352242922', $url;
	my $id = $node->safe_psql($database, $sql);
	my $max_rate = $arg{max_rate} // 'NULL';
	$node->safe_psql($database, "UPDATE wacta.channel SET max_rate = $max_rate WHERE channel_id = $id");
	my %secret = (
		access_token => 'test-access-token-0123456789',
		app_secret   => 'test-app-secret-0123456789',
		webhook_key  => 'test-webhook-key-0123456789',
		verify_token => 'test-verify-token-0123456789',
		%{ $arg{secrets} // {} });
	$node->safe_psql($database, "SELECT wacta.set_credential('$name', '$_', '$secret{$_}')")
	  for sort keys %secret;
	return $id;
}

# wait_for(what, sub { true when it is }, seconds): passes or fails as a test.
sub wait_for
{
	my ($what, $condition, $patience) = @_;
	my $end = time + ($patience // $PostgreSQL::Test::Utils::timeout_default);
	my $done;
	until ($done = $condition->())
	{
		last if time > $end;
		sleep 0.02;
	}
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($done, $what);
}

# wait_for_value(node, database, sql, expected, what): polls a query.
sub wait_for_value
{
	my ($node, $database, $sql, $expected, $what, $patience) = @_;
	my $got;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $done = wait_for($what,
		sub { $got = $node->safe_psql($database, $sql); $got eq $expected }, $patience);
	diag("$sql gave \"$got\", not \"$expected\"") unless $done;
	return $done;
}

# wait_for_courier(node, database, state): until its courier says it is there.
sub wait_for_courier
{
	my ($node, $database, $count) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_for_value($node, $database,
		qq(SELECT count(*) FROM wacta.courier_status() WHERE database = '$database' AND pid IS NOT NULL),
		$count // 1, "courier of $database is running");
}

# A TCP port that nothing listens on now; for programs that cannot take port 0.
sub free_port
{
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
	  or die "no free port: $!";
	return $socket->sockport;
}

# fixture(path): the bytes of a file below test/fixtures.
sub fixture
{
	my ($path) = @_;
	(my $here = __FILE__) =~ s{lib/Wacta\.pm$}{fixtures};
	open my $in, '<:raw', "$here/$path" or die "could not open $here/$path: $!";
	local $/;
	return scalar <$in>;
}

1;
