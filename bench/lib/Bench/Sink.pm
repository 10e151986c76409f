# The provider's end (sink.c) and the bare reference loop (loop.c) as a benchmark sees them.
#
#   my $sink = Bench::Sink->start;
#   $sink->reset(200);                        # answer after 200 ms from now on
#   my $stats = $sink->stats;                 # { requests => ..., duplicates => ... }
#   my $loop = $sink->loop(64, 20_000);       # { rate => ..., cpu_us => ... }
package Bench::Sink;

use strict;
use warnings;
use Bench;
use File::Basename;
use HTTP::Tiny;
use IPC::Open2;

my $http = HTTP::Tiny->new(keep_alive => 0);
my $programs = dirname(__FILE__) . '/../..';

# It ends when its standard input is closed, which is when we end.
sub start
{
	my ($class) = @_;
	my $pid = open2(my $out, my $in, "$programs/sink");
	my $port = <$out> // die "the sink did not start\n";
	chomp $port;
	return bless { port => $port, pid => $pid, in => $in }, $class;
}

sub host { return "127.0.0.1:$_[0]{port}" }
sub url  { return 'http://' . $_[0]->host }

sub call
{
	my ($self, $method, $path) = @_;
	my $answer = $http->request($method, $self->url . $path);
	die "$method $path: $answer->{status} $answer->{content}" unless $answer->{success};
	return $answer->{content};
}

sub reset
{
	my ($self, $delay_ms) = @_;
	$self->call('POST', '/reset?delay_ms=' . ($delay_ms // 0));
	return;
}

sub stats
{
	my ($self) = @_;
	return { map { split /=/ } split /\n/, $self->call('GET', '/stats') };
}

# When each message came, in monotonic ns, by the id in its callback data.
sub arrivals
{
	my ($self) = @_;
	return { map { split / / } split /\n/, $self->call('GET', '/arrivals') };
}

# The body of the newest message, kept: what others must post to be comparable.
sub save_sample
{
	my ($self) = @_;
	$self->{sample} = bench_dir() . '/sample.json';
	open my $out, '>', $self->{sample} or die "$self->{sample}: $!";
	print $out $self->call('GET', '/sample');
	close $out;
	return -s $self->{sample};
}

sub sample
{
	my ($self) = @_;
	open my $in, '<', $self->{sample} or die "$self->{sample}: $!";
	local $/;
	return scalar <$in>;
}

# loop(in_flight, requests): libcurl alone, with the sample's bytes.
sub loop
{
	my ($self, $in_flight, $requests) = @_;
	open my $out, '-|', "$programs/loop", $self->url . '/v24.0/106540352242922/messages',
	  $self->{sample}, $in_flight, $requests
	  or die "loop: $!";
	my %result = map { chomp; split /=/ } <$out>;
	close $out or die "the loop failed\n";
	printf "  bare loop     %6.0f requests/s, %5.1f us CPU a request\n", @result{qw(rate cpu_us)};
	return \%result;
}

1;
