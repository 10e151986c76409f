# What the tests of the front door under attack share: good customers, whose taps
# are timed, and those who mean no good, all of them on the loopback.
#
#   my $customer = Wacta::Attack::Customer->new($gateway, '198.51.100.1');
#   my $answer = $customer->tap($token);           # { status, head, body, ms }
#   my $crowd = hold_connections($gateway, 10_000); # until $crowd->release
package Wacta::Attack;

use strict;
use warnings;
use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use IPC::Open2;
use Time::HiRes qw(time);

our @EXPORT = qw(connect_to read_answer read_answers resident_kb hold_connections flood_body median);

sub connect_to
{
	my ($gateway) = @_;
	return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $gateway->port, Timeout => 10);
}

# read_answer(socket, \buffer, seconds): the next whole answer, undef when the
# other side ends or is silent first.
sub read_answer
{
	my ($socket, $buffer, $patience) = @_;
	my $end = time + ($patience // 10);
	my $select = IO::Select->new($socket);
	while (1)
	{
		if ($$buffer =~ /^(HTTP\/1\.[01] (\d+).*?\r\n)\r\n/s)
		{
			my ($head, $status, $from) = ($1, $2, $+[0]);
			my ($length) = $head =~ /^Content-Length: (\d+)\r/mi;
			$length //= 0;
			if (length $$buffer >= $from + $length)
			{
				my $body = substr $$buffer, $from, $length;
				$$buffer = substr $$buffer, $from + $length;
				return { status => $status, head => $head, body => $body };
			}
		}
		my $left = $end - time;
		return undef if $left <= 0 || !$select->can_read($left);
		sysread($socket, $$buffer, 65536, length $$buffer) or return undef;
	}
}

# All answers that come until the other side ends or is silent.
sub read_answers
{
	my ($socket, $patience) = @_;
	my ($buffer, @answers) = ('');
	while (my $answer = read_answer($socket, \$buffer, $patience))
	{
		push @answers, $answer;
	}
	return @answers;
}

sub resident_kb
{
	my ($gateway) = @_;
	open my $in, '<', '/proc/' . $gateway->pid . '/status' or return 0;
	local $/;
	return <$in> =~ /^VmRSS:\s+(\d+)/m ? $1 : 0;
}

sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[ @sorted / 2 ]; }

# hold_connections(gateway, count): as many as the machine allows, in a process
# of its own whose limit of descriptors is raised; every second one has begun a
# request.  {count} tells how many there are.
my $holder = <<'PERL';
	use Socket;
	my ($port, $count) = @ARGV;
	my $address = sockaddr_in($port, INADDR_LOOPBACK);
	my @held;
	while (@held < $count)
	{
		socket my $socket, PF_INET, SOCK_STREAM, 0 or last;
		connect $socket, $address or last;
		syswrite $socket, "GET /health/ HTTP/1.1\r\nHost: x\r\n" if @held % 2;
		push @held, $socket;
	}
	$| = 1;
	print scalar @held, "\n";
	<STDIN>;
PERL

sub hold_connections
{
	my ($gateway, $count) = @_;
	my $pid = open2(my $out, my $in, 'sh', '-c', 'ulimit -n "$(ulimit -Hn)"; exec "$@"', 'sh',
		$^X, '-e', $holder, $gateway->port, $count);
	chomp(my $held = <$out> // 0);
	return bless { pid => $pid, in => $in, out => $out, count => $held }, 'Wacta::Attack::Crowd';
}

# flood_body(gateway, head, block, bytes): a process that sends a body as fast as
# it can; its exit tells nothing, for it may be cut off.
sub flood_body
{
	my ($gateway, $head, $block, $bytes) = @_;
	my $pid = fork // die "could not fork: $!";
	return $pid if $pid;
	local $SIG{PIPE} = 'IGNORE';
	my $socket = connect_to($gateway);
	syswrite $socket, $head if $socket;
	while ($socket && $bytes > 0)
	{
		my $sent = syswrite $socket, $block or last;
		$bytes -= $sent;
	}
	require POSIX;
	POSIX::_exit(0);
}

package Wacta::Attack::Crowd;

sub release
{
	my ($self) = @_;
	close $self->{in};
	waitpid $self->{pid}, 0;
	return;
}

package Wacta::Attack::Customer;

use Time::HiRes qw(time);

# new(gateway, address): a browser with one kept-alive connection, seen by the
# gateway at that address when it trusts 127.0.0.1 as a proxy.
sub new
{
	my ($class, $gateway, $address) = @_;
	return bless { gateway => $gateway, address => $address, buffer => '' }, $class;
}

# tap(token): undef status when no answer came.
sub tap
{
	my ($self, $token) = @_;
	my $began = time;
	$self->send($token);
	my $answer = $self->receive // {};
	$answer->{ms} = 1000 * (time - $began);
	return $answer;
}

sub send
{
	my ($self, $token) = @_;
	local $SIG{PIPE} = 'IGNORE';
	$self->{socket} //= Wacta::Attack::connect_to($self->{gateway}) or return;
	return syswrite $self->{socket}, "POST /t/$token HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: Mozilla/5.0 (Linux; Android 14)\r\n"
	  . "X-Forwarded-For: $self->{address}\r\nContent-Length: 0\r\n\r\n";
}

sub receive
{
	my ($self, $patience) = @_;
	my $answer = $self->{socket} && Wacta::Attack::read_answer($self->{socket}, \$self->{buffer}, $patience // 45);
	if (!$answer || $answer->{head} =~ /^Connection: close\r/mi)
	{
		$self->{socket} = undef;
		$self->{buffer} = '';
	}
	return $answer;
}

1;
