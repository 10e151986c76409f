# A private cluster with durability on, a database with wacta and a site in it,
# and what is done with it: enqueue, drain, and the costs of that.
#
#   my $site = Bench::Site->start('drain', sink => $sink);
#   $site->set('wacta.max_in_flight' => 64);
#   my $run = $site->drain(20_000);   # { rate, cpu_us, wal, writes }
package Bench::Site;

use strict;
use warnings;
use Bench;
use File::Basename;
use File::Path qw(remove_tree);
use IPC::Open2;
use POSIX ();
use Time::HiRes qw(sleep time);

my $sql_dir = dirname(__FILE__) . '/../../sql';
my $patience = 600;
my @running;

# A server of some size, so that no checkpoint falls into a measurement: after
# one, each page's first change costs a full image of it in the WAL.
my %conf = (
	shared_preload_libraries => 'wacta',
	fsync                    => 'on',
	synchronous_commit       => 'on',
	full_page_writes         => 'on',
	shared_buffers           => '1GB',
	max_wal_size             => '16GB',
	checkpoint_timeout       => '1h',
	listen_addresses         => '',
	unix_socket_permissions  => '0700',
	timezone                 => 'UTC',
	'wacta.databases'        => 'crm',
	'wacta.allow_http'       => 'on',
	'wacta.enabled'          => 'off');

# start(name, sink => Bench::Sink, conf => { name => value }, channels => 1)
sub start
{
	my ($class, $name, %arg) = @_;
	my $sink = $arg{sink};
	my $self = bless { dir => bench_dir() . "/$name", sink => $sink }, $class;
	$self->init(%conf, $sink ? ('wacta.allowed_hosts' => $sink->host) : (), %{ $arg{conf} // {} });
	push @running, $self;
	system("pg_ctl -D '$self->{dir}' -l '$self->{dir}.log' -w start >/dev/null") == 0
	  or die "the server did not start, see $self->{dir}.log\n";
	$self->sql('CREATE DATABASE crm', 'postgres');
	$self->script('site.sql', url => $sink ? $sink->url : 'https://graph.facebook.com', channels => $arg{channels} // 1);
	return $self;
}

# A new data directory with these settings, which holds the socket as well.
sub init
{
	my ($self, %setting) = @_;
	remove_tree($self->{dir});
	system("initdb -D '$self->{dir}' -U postgres -A trust -E UTF8 --no-locale >'$self->{dir}.initdb.log' 2>&1") == 0
	  or die "initdb failed, see $self->{dir}.initdb.log\n";
	$setting{unix_socket_directories} = $self->{dir};
	open my $out, '>>', "$self->{dir}/postgresql.conf" or die "postgresql.conf: $!";
	print $out "$_ = '$setting{$_}'\n" for sort keys %setting;
	close $out;
	return;
}

# The tables fill from nothing here, and what was planned for empty ones reads them from
# end to end: autovacuum sees to that within a minute, which is longer than a turn.
sub analyze
{
	my ($self, $database) = @_;
	return $self->sql('ANALYZE', $database);
}

sub stop
{
	my ($self) = @_;
	@running = grep { $_ != $self } @running;
	system("pg_ctl -D '$self->{dir}' -m immediate -w stop >/dev/null 2>&1");
	remove_tree($self->{dir});
	return;
}

END
{
	local $?;
	my @left = @running;		# stop() takes each out of the list
	$_->stop for @left;
}

# ---- SQL ----

sub conninfo { return "host=$_[0]{dir} user=postgres dbname=crm" }

sub psql
{
	my ($self, $database, @arguments) = @_;
	return ('psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-h', $self->{dir}, '-U', 'postgres', '-d', $database // 'crm',
		@arguments);
}

sub sql
{
	my ($self, $statement, $database) = @_;
	return $self->output($self->psql($database, '-c', $statement));
}

# script(file, name => value ...): a file of SQL with its variables; database => other than crm.
sub script
{
	my ($self, $file, %variable) = @_;
	return $self->output($self->script_command($file, %variable));
}

sub script_command
{
	my ($self, $file, %variable) = @_;
	my $database = delete $variable{database};
	$file = "$sql_dir/$file" unless $file =~ m{^/};
	return $self->psql($database, '-f', $file, map { ('-v', "$_=$variable{$_}") } sort keys %variable);
}

sub output
{
	my ($self, @command) = @_;
	my $out = $self->run(@command);
	my $text = do { local $/; <$out> };
	close $out or die "psql failed\n";
	chomp $text;
	return $text;
}

sub run
{
	my ($self, @command) = @_;
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	open my $out, '-|', @command or die "psql: $!";
	return $out;
}

# set(name => value ...): settings of the server, read again at once.
sub set
{
	my ($self, %setting) = @_;
	$self->output($self->psql(undef, (map { ('-c', "ALTER SYSTEM SET $_ = '$setting{$_}'") } sort keys %setting),
			'-c', 'SELECT pg_reload_conf()'));
	return;
}

# ---- Couriers ----

sub courier_pids
{
	my ($self) = @_;
	return split /\n/, $self->sql('SELECT pid FROM wacta.courier_status() WHERE pid IS NOT NULL');
}

# Until there are as many couriers.
sub wait_for_couriers
{
	my ($self, $count) = @_;
	my $end = time + 60;
	until ($self->courier_pids == $count)
	{
		die "the couriers did not start\n" if time > $end;
		sleep 0.05;
	}
	return;
}

# New processes, so that none is ahead by what it has learnt or behind by what it has grown.
sub fresh_couriers
{
	my ($self, $count) = @_;
	$self->set('wacta.databases' => '');
	$self->wait_for_couriers(0);
	$self->set('wacta.databases' => 'crm', 'wacta.couriers_per_database' => $count);
	$self->wait_for_couriers($count);
	return;
}

# Microseconds of CPU that processes have used, in user and kernel mode.
sub cpu_us
{
	my (@pids) = @_;
	my $ticks = 0;
	for my $pid (@pids)
	{
		open my $in, '<', "/proc/$pid/stat" or next;
		my @field = split / /, <$in> =~ s/.*\) //r;
		$ticks += $field[11] + $field[12];
	}
	return $ticks * 1e6 / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# ---- Messages ----

# enqueue(count, senders): to as many people, whom nobody has written to yet.
sub enqueue
{
	my ($self, $count, $senders) = @_;
	$self->sql(sprintf 'CALL enqueue(%d, %d)', $count, $senders // 1);
	return;
}

# Rows inserted, updated and deleted in all tables of wacta, and the WAL's position.
sub counters
{
	my ($self) = @_;
	my ($rows, $hot, $wal) = split /\|/, $self->sql(
		q(SELECT sum(n_tup_ins + n_tup_upd + n_tup_del), sum(n_tup_hot_upd), pg_current_wal_insert_lsn() - '0/0'
			FROM pg_stat_user_tables WHERE schemaname = 'wacta'));
	return { rows => $rows, hot => $hot, wal => $wal };
}

# send_some(count, each): lets the couriers go until so many more are accepted, and
# calls each 50 times a second meanwhile.  Returns the seconds that it took.  It asks by
# short statements: a snapshot held all the while would keep old row versions.
sub send_some
{
	my ($self, $count, $each) = @_;
	my $pid = open2(my $out, my $in, $self->psql);
	my $accepted = sub {
		print $in "SELECT coalesce(sum(accepted), 0) FROM wacta.courier_status();\n";
		$in->flush;
		return scalar(<$out>) // die "psql failed\n";
	};
	my $target = $accepted->() + $count;
	my $began = time;
	$self->set('wacta.enabled' => 'on');
	while ($accepted->() < $target)
	{
		die "not drained in $patience s: " . $self->sql('SELECT to_json(a) FROM wacta.message_accounting a') . "\n"
		  if time - $began > $patience;
		$each->();
		sleep 0.02;
	}
	my $took = time - $began;
	close $in;
	waitpid $pid, 0;
	$self->set('wacta.enabled' => 'off');
	return $took;
}

# drain(count, delay_ms, senders): enqueues, switches the couriers on, and waits until all
# is accepted.  What came to the sink and the accounts must agree.
sub drain
{
	my ($self, $count, $delay_ms, $senders) = @_;
	$self->enqueue($count, $senders);
	$self->{sink}->reset($delay_ms);
	my @pids = $self->courier_pids;
	my $before = $self->counters;
	my $cpu = cpu_us(@pids);
	my $took = $self->send_some($count, sub { });
	$cpu = cpu_us(@pids) - $cpu;
	my $after = $self->counters;
	$self->verify($count);
	my %run = (rate => $count / $took, cpu_us => $cpu / $count,
		map { ($_ => ($after->{$_} - $before->{$_}) / $count) } keys %$before);
	printf "  wacta         %6.0f messages/s, %5.1f us CPU, %.0f bytes of WAL, %.1f row writes (%.1f HOT) a message\n",
	  @run{qw(rate cpu_us wal rows hot)};
	return \%run;
}

# Until every message is accepted, at most half a minute: verify() says what is wrong then.
sub wait_for_quiet
{
	my ($self) = @_;
	for (1 .. 600)
	{
		return if $self->sql('SELECT enqueued = accepted FROM wacta.message_accounting') eq 't';
		sleep 0.05;
	}
	return;
}

# Each message went out once, and nothing is missing from the accounts.
sub verify
{
	my ($self, $count) = @_;
	my $stats = $self->{sink}->stats;
	die "$count messages, but $stats->{requests} requests for $stats->{distinct} of them\n"
	  unless $stats->{requests} == $count && $stats->{distinct} == $count;
	my $account = $self->sql('SELECT to_json(a) FROM wacta.message_accounting a');
	die "the accounts do not add up: $account\n"
	  unless $self->sql('SELECT enqueued = accepted FROM wacta.message_accounting') eq 't';
	return;
}

1;
