# A program that a test runs beside the cluster: started with its output in a
# log, waited for until it is ready, and ended by its own pid, whatever becomes
# of the test.
package Wacta::Process;

use strict;
use warnings;
use POSIX ();
use Time::HiRes qw(sleep time);
use PostgreSQL::Test::Utils ();

my @running;

# start(class, name, command => [...], env => {...}, ready => sub { true when it is }, tied => 1)
# Output and errors go to <test>_<name>.log beside the logs of the cluster.
sub start
{
	my ($class, $name, %arg) = @_;
	my $test = $PostgreSQL::Test::Utils::test_logfile // "$name.log";
	$test =~ s{.*/regress_log_}{};
	my $log = "$PostgreSQL::Test::Utils::log_path/${test}_$name.log";
	my $self = bless { name => $name, log => $log, owner => $$, arg => \%arg }, $class;
	push @running, $self;
	return $self->_launch;
}

sub _launch
{
	my ($self) = @_;
	my %arg = %{ $self->{arg} };
	# A former process of that name, or a former run, may have written there.
	$self->{from} = -s $self->{log} // 0;
	# A tied program ends when its standard input does: also when we are killed.
	pipe my $read, $self->{stdin} or die "could not make a pipe: $!" if $arg{tied};
	my $pid = fork // die "could not fork: $!";
	if ($pid == 0)
	{
		open STDIN, '<&', $read if $arg{tied};
		$self->_exec(%arg);
		POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	$self->_wait_ready($arg{ready}) if $arg{ready};
	return $self;
}

# again(arguments): after it has ended, the same program with these arguments more.
sub again
{
	my ($self, @more) = @_;
	push @{ $self->{arg}{command} }, @more;
	return $self->_launch;
}

sub _exec
{
	my ($self, %arg) = @_;
	@ENV{ keys %{ $arg{env} } } = values %{ $arg{env} } if $arg{env};
	$SIG{PIPE} = 'DEFAULT';
	open STDIN, '<', '/dev/null' unless $arg{tied};
	open STDOUT, '>>', $self->{log} or return;
	open STDERR, '>&', \*STDOUT;
	exec { $arg{command}[0] } @{ $arg{command} };
}

sub _wait_ready
{
	my ($self, $ready) = @_;
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;
	until (eval { $ready->($self) })
	{
		die "$self->{name} ended before it was ready:\n" . $self->log_text unless $self->is_running;
		die "$self->{name} was not ready in time:\n" . $self->log_text if time > $end;
		sleep 0.02;
	}
}

sub pid { return $_[0]->{pid} }

sub log_text
{
	my ($self) = @_;
	open my $in, '<', $self->{log} or return '';
	seek $in, $self->{from}, 0;
	local $/;
	return scalar(<$in>) // '';
}

sub is_running
{
	my ($self) = @_;
	return 0 unless $self->{pid};
	return 1 if waitpid($self->{pid}, POSIX::WNOHANG()) == 0;
	$self->{status} = $?;
	$self->{pid} = undef;
	return 0;
}

# stop(signal, seconds): ends it, at last with SIGKILL; returns the wait status.
sub stop
{
	my ($self, $signal, $patience) = @_;
	return $self->{status} unless $self->is_running;
	kill $signal // 'TERM', $self->{pid};
	my $end = time + ($patience // 10);
	while ($self->is_running)
	{
		kill 'KILL', $self->{pid} if time > $end;
		sleep 0.02;
	}
	return $self->{status};
}

END
{
	my $status = $?;
	for my $process (@running)
	{
		$process->stop('TERM', 5) if $process->{owner} == $$;
	}
	$? = $status;
}

1;
