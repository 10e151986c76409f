# Bent requests at the socket of a gateway that was built with the address and
# undefined behaviour sanitizers, in front of stand-in functions.
#
#   my $fuzz = Wacta::DoorFuzz->start(seed => 42);
#   $fuzz->run(1000, time + 20);
#   $fuzz->finish;
#   $fuzz->findings;      # { what => { n => ..., bytes => ..., times => n } }
#
# Request n of a seed is always the same.  What must hold: each answer is well
# formed and carries our headers, none is a 500, the program lives and answers
# others, no sanitizer speaks, and memory does not grow with the requests.
package Wacta::DoorFuzz;

use strict;
use warnings;
use Cwd ();
use File::Basename;
use IO::Select;
use PostgreSQL::Test::Utils;
use Socket qw(SOL_SOCKET SO_LINGER);
use Time::HiRes qw(sleep time);
use Wacta::Attack;
use WactaGateway;

my $top = Cwd::realpath(dirname(__FILE__) . '/../../..');
my $BATCH = 40;			# connections at once
my $PATIENCE = 0.25;	# seconds for their answers

# What is likely to be at the edge of something.
my @pieces = ("\r\n", "\n", "\r", "\0", ' ', "\t", ':', ',', ';', '%', '%00', '%2F', '?', '#', '&', '=', '+', "\xff", "\xc3",
	"Content-Length: 5\r\n", "Content-Length: 0\r\n", "Content-Length: -1\r\n", "Content-Length: 18446744073709551617\r\n", "Transfer-Encoding: chunked\r\n",
	"0\r\n\r\n", "5\r\nhello\r\n", "ffffffff\r\n", "Expect: 100-continue\r\n", "Connection: close\r\n", "Connection: keep-alive, upgrade\r\n", "Upgrade: h2c\r\n", " HTTP/1.0\r\n", " HTTP/1.1\r\n",
	"Host: y\r\n", "Cookie: wacta_session=a.b.c\r\n", "Authorization: Bearer a.b.c\r\n", "X-Request-Id: \x01\r\n", "X-Forwarded-For: ::1\r\n", "GET / HTTP/1.1\r\n\r\n", "http://x/", '*', '{', '}', '"', "\\u0000",
	'x' x 3000, 'X: ' . 'y' x 9000 . "\r\n", "a:\r\n" x 150);

sub start
{
	my ($class, %arg) = @_;
	my $self = bless { seed => $arg{seed}, n => 0, findings => {} }, $class;
	run_or_die('make', '-s', '-C', "$top/src/gateway", 'asan');
	$self->{requests} = [ map { request_of(slurp_file($_)) } sort glob "$top/test/fuzz/corpus/*.request" ];
	$self->{node} = stub_node('doorfuzz');
	# Freed memory is kept back for a while; not for so long that a leak cannot be told from it.
	local $ENV{WACTA_GATEWAY} = "$top/src/gateway/wacta-gateway-asan";
	$self->{gateway} = WactaGateway->start($self->{node}, env => { ASAN_OPTIONS => 'quarantine_size_mb=4:detect_leaks=0' }, arguments => [ '--limit-burst', '0',
		'--max-body', '100kB', '--max-headers', '8kB', '--client-timeout', '1s', '--receive-timeout', '1s', '--no-access-log' ]);
	return $self;
}

sub run_or_die { system(@_) == 0 or die "@_ failed"; return; }
sub runs { return $_[0]->{n} }
sub findings { return $_[0]->{findings} }
sub gateway { return $_[0]->{gateway} }

# A file of the corpus as it goes over a socket: with its length.
sub request_of
{
	my ($text) = @_;
	my ($head, $body) = split /\r\n\r\n/, $text, 2;
	$body //= '';
	$head .= "\r\nContent-Length: " . length $body if $head =~ /^POST/ && $head !~ /^(?:Content-Length|Transfer-Encoding)/mi;
	return "$head\r\n\r\n$body";
}

# Request n: one to three of the corpus one behind the other, bent in some places.
sub bent
{
	my ($self, $n) = @_;
	srand($self->{seed} * 1_000_003 + $n);
	my $requests = $self->{requests};
	return $requests->[$n] if $n < @$requests;
	my $bytes = join '', map { $requests->[ rand @$requests ] } 1 .. 1 + int(rand 3) * int(rand 2);
	for (1 .. 1 + rand 5)
	{
		my $at = int rand(1 + length $bytes);
		my $kind = int rand 5;
		if    ($kind < 2) { substr $bytes, $at, 0, $pieces[ rand @pieces ] }
		elsif ($kind == 2) { substr $bytes, $at, 1, chr rand 256 if $at < length $bytes }
		elsif ($kind == 3) { substr $bytes, $at, int rand 20, '' }
		else { substr $bytes, $at, 0, substr $bytes, int rand(1 + length $bytes), int rand 200 }
	}
	return $bytes;
}

sub note_finding
{
	my ($self, $what, $case) = @_;
	my $finding = $self->{findings}{$what} //= { n => $case->{n}, bytes => $case->{bytes}, answer => substr($case->{answer} // '', 0, 2000), times => 0 };
	$finding->{times}++;
	return;
}

# run(count, until): so many requests more, or until the time is over.
sub run
{
	my ($self, $count, $until) = @_;
	my $end = $self->{n} + $count;
	while ($self->{n} < $end && time < $until && $self->{gateway}->is_running)
	{
		my @cases = grep { $_->{socket} } map { { n => $_, bytes => $self->bent($_), socket => connect_to($self->{gateway}) } } $self->{n} .. $self->{n} + $BATCH - 1;
		$self->{n} += $BATCH;
		send_case($_) for @cases;
		collect(@cases);
		$self->check($_) for @cases;
		$self->check_life($cases[-1]);
	}
	return;
}

# Some come in pieces, some leave at once, some of those by a reset.
sub send_case
{
	my ($case) = @_;
	my ($socket, $way) = ($case->{socket}, $case->{n} % 8);
	local $SIG{PIPE} = 'IGNORE';
	my $half = $way == 0 ? int(length($case->{bytes}) / 2) : 0;
	syswrite $socket, substr $case->{bytes}, 0, $half if $half;
	syswrite $socket, substr $case->{bytes}, $half;
	$case->{left} = $way == 1 || $way == 2;
	setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $way == 2;
	close $socket if $case->{left};
	shutdown $socket, 1 if $way == 3;
	return;
}

sub collect
{
	my %case = map { fileno $_->{socket} => $_ } grep { !$_->{left} } @_;
	my $select = IO::Select->new(map { $_->{socket} } values %case);
	my $end = time + $PATIENCE;
	$_->{answer} = '' for values %case;
	while ($select->count && (my $left = $end - time) > 0)
	{
		for my $socket ($select->can_read($left))
		{
			my $case = $case{ fileno $socket };
			next if sysread $socket, $case->{answer}, 65536, length $case->{answer};
			$case->{ended} = 1;
			$select->remove($socket);
		}
	}
	return;
}

# What came back is a row of whole answers; to a HEAD they have no body.  The
# library repeats whatever version it was told.
sub check
{
	my ($self, $case) = @_;
	my $rest = $case->{answer} // return;
	while ($rest ne '')
	{
		my ($line, $head) = $rest =~ /\A(HTTP\/1\.-?\d+ \d\d\d [ -~]*)\r\n((?:[!#-'*+.^-`|~0-9A-Za-z-]+: ?[\t -~\x80-\xff]*\r\n)*)\r\n/;
		return $self->note_finding('an answer is not well formed', $case) unless defined $line;
		$rest = substr $rest, $+[0];
		my ($status) = $line =~ / (\d\d\d) /;
		next if $status == 100;
		$self->note_finding("an answer of status $status", $case) if $status == 500;
		$self->note_finding('an answer without our headers', $case) unless $head =~ /^X-Content-Type-Options: nosniff\r$/m;
		my ($length) = $head =~ /^Content-Length: (\d+)\r$/m;
		next if !$length || $rest eq '' || $rest =~ /\AHTTP\/1\./;
		last if $case->{n} % 8 == 3 && length $rest < $length;	# to who has ended its side
		return $self->note_finding('an answer is cut off', $case) if length $rest < $length;
		$rest = substr $rest, $length;
	}
	return;
}

sub check_life
{
	my ($self, $case) = @_;
	my $gateway = $self->{gateway};
	return $self->note_finding('the gateway ended', $case) unless $gateway->is_running;
	$self->note_finding('others are not answered', $case) unless $gateway->request(GET => '/health/')->{content} eq '{"status":"ok"}';
	$self->{warm} //= resident_kb($gateway) if $self->{n} >= 10 * $BATCH;
	return;
}

# After the last request: what the program says, and how much it has grown since
# it was warm, in kB.
sub finish
{
	my ($self) = @_;
	my $gateway = $self->{gateway};
	$self->{grown} = $self->{warm} && $gateway->is_running ? resident_kb($gateway) - $self->{warm} : 0;
	my $status = $gateway->stop;
	my ($report) = $gateway->log_text =~ /((?:ERROR: \w+Sanitizer|runtime error)[^\n]*(?:\n[^\n]+){0,12})/;
	$self->note_finding("a sanitizer: $report", { n => $self->{n}, bytes => '' }) if $report;
	$self->note_finding("it ended with status $status", { n => $self->{n}, bytes => '' }) if $status;
	return;
}

# Bytes as they can be printed.
sub shown { my ($bytes) = @_; return (substr $bytes // '', 0, 3000) =~ s/([^\n -~])/sprintf '\\x%02x', ord $1/ger; }

sub grown { return $_[0]->{grown} }

1;
