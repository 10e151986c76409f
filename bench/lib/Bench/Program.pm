# Programs that listen on a port of their own on 127.0.0.1, and end with the figure.
#
#   my $port = start_gateway($site, '--pool', 8);
package Bench::Program;

use strict;
use warnings;
use Bench;
use Exporter 'import';
use File::Basename;
use IO::Socket::INET;
use Time::HiRes qw(sleep);

our @EXPORT = qw(free_port start_program start_gateway);

my $gateway = dirname(__FILE__) . '/../../../src/gateway/wacta-gateway';
my @programs;

sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "no port: $!";
	return $socket->sockport;
}

# start_program(log, port, command...): until it listens.
sub start_program
{
	my ($log, $port, @command) = @_;
	my $pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open STDOUT, '>', bench_dir() . "/$log.log" and open STDERR, '>&', \*STDOUT or die $!;
		exec @command or POSIX::_exit(127);
	}
	push @programs, $pid;
	for (1 .. 200)
	{
		return if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
		sleep 0.1;
	}
	die "$command[0] does not listen, see $log.log\n";
}

# start_gateway(site, option...): wacta-gateway before a Bench::Site; its port.
sub start_gateway
{
	my ($site, @option) = @_;
	my $port = free_port();
	start_program("gateway-$port", $port, $gateway, '--listen', "127.0.0.1:$port", '--no-access-log', '--db', "host=$site->{dir} dbname=crm user=wacta_gateway", @option);
	return $port;
}

END
{
	local $?;
	kill 'TERM', @programs if @programs;
	waitpid $_, 0 for @programs;
}

1;
