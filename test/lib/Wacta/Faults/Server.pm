# The cluster of a fault test, which may be down at any time: questions may have no answer, and starting takes patience.
package Wacta::Faults::Server;

use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);

sub new
{
	my ($class, $node, $database) = @_;
	return bless { node => $node, database => $database }, $class;
}

# ask(sql): what psql prints, or undef when the server did not do it.
sub ask
{
	my ($self, $sql) = @_;
	my ($out, $err) = ('', '');
	local $ENV{PGOPTIONS} = '-c statement_timeout=10s';
	my @command = ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $self->{node}->connstr($self->{database}), '-c', $sql);
	IPC::Run::run(\@command, '<', \undef, '>', \$out, '2>', \$err) or return undef;
	chomp $out;
	return $out;
}

# pick(sql): the process id that the query gives, or undef.
sub pick
{
	my ($self, $sql) = @_;
	my $pid = $self->ask($sql) // '';
	return $pid =~ /^(\d+)$/ ? $1 : undef;
}

# All couriers are there, and recovery is over.
sub is_back
{
	my ($self) = @_;
	return ($self->ask(q(SELECT count(*) FROM wacta.courier_status() WHERE pid IS NOT NULL)) // '') eq '2';
}

sub is_drained
{
	my ($self) = @_;
	# a webhook may have moved a message on whose courier was killed: that attempt is open until its lease runs out
	return ($self->ask(q(SELECT queued + sending + (SELECT count(*) FROM wacta.attempt WHERE ended_at IS NULL)
	                       FROM wacta.message_accounting)) // '') eq '0';
}

sub _pg_ctl
{
	my ($self, @arg) = @_;
	my $node = $self->{node};
	return system_log('pg_ctl', '-D', $node->data_dir, '-s', '-w', '-l', $node->logfile, @arg) == 0;
}

# What the former server left behind may still be there for a moment.
sub start
{
	my ($self) = @_;
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;
	until ($self->_pg_ctl('start'))
	{
		die 'the server could not be started' if time > $end;
		sleep 0.05;
	}
	$self->{node}->_update_pid(1);
	return 1;
}

sub restart
{
	my ($self, $mode) = @_;
	my $done = $self->_pg_ctl('-m', $mode, 'restart');
	$self->start unless $done || $self->_pg_ctl('status');
	$self->{node}->_update_pid(1);
	return $done;
}

sub kill_postmaster
{
	my ($self) = @_;
	my ($pid) = slurp_file($self->{node}->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	kill 'KILL', $pid or return 0;
	sleep 0.01 while kill 0, $pid;
	return 1;
}

# The program by which a session kills the first courier that waits for its lock.
my $KILLER = <<'SQL';
DO $$
DECLARE
  courier integer;
BEGIN
  FOR i IN 1..2000 LOOP
    PERFORM pg_stat_clear_snapshot();
    SELECT pid INTO courier FROM pg_stat_activity WHERE backend_type = 'wacta courier' AND wait_event_type = 'Lock';
    IF FOUND THEN
      EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', 'kill -KILL ' || courier);
      EXIT;
    END IF;
    PERFORM pg_sleep(0.001);
  END LOOP;
END
$$;
COMMIT;
SQL

# kill_at_lock(lock, statement): true when a courier was killed while it waited for the lock; the statement makes it go there.
sub kill_at_lock
{
	my ($self, $lock, $lure) = @_;
	my ($in, $out, $err) = ("BEGIN;\nLOCK TABLE $lock;\nSELECT 'locked';\n$KILLER", '', '');
	my $from = -s $self->{node}->logfile;
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $self->{node}->connstr($self->{database}) ],
		'<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	eval { $session->pump until $out =~ /locked/; 1 } and defined $lure and $self->ask($lure);
	eval { $session->finish };
	return $self->_killed_since($from);
}

# The postmaster needs a moment to notice, a session that found no courier has ended by itself.
sub _killed_since
{
	my ($self, $from) = @_;
	my $end = time + 0.5;
	do
	{
		return 1 if slurp_file($self->{node}->logfile, $from) =~ /wacta courier.* was terminated by signal 9/;
		sleep 0.02;
	} while (time < $end);
	return 0;
}

1;
