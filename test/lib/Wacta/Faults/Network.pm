# The network of a fault test: a relay between couriers and the double that cuts, swallows and refuses (test/torture/proxy.js),
# and a resolver that is slow or fails (test/torture/resolver.c).
#
#   my $network = Wacta::Faults::Network->start($seed);       # before the server, which must inherit the resolver
#   $network->relay_to($double->port);
#   $network->chance(cut_after => 0.02);
#   $network->mode('blackhole');
package Wacta::Faults::Network;

use strict;
use warnings;
use File::Basename;
use File::Spec;
use IO::Handle;
use JSON::PP;
use PostgreSQL::Test::Utils ();
use Wacta::Process;

my $dir = File::Spec->rel2abs(dirname(__FILE__) . '/../../../torture');
my $NAMES = 6;           # of each kind: libcurl remembers a name for a minute

sub start
{
	my ($class, $seed) = @_;
	my $self = bless { seed => $seed, next_name => 0 }, $class;
	$self->{proxy} = Wacta::Process->start('proxy', command => [ 'node', "$dir/proxy.js" ], tied => 1,
		ready => sub { ($self->{port}) = $_[0]->log_text =~ /^\{"port":(\d+)\}/m });
	$self->{proxy}{stdin}->autoflush(1);
	$self->_preload_resolver;
	return $self;
}

sub _preload_resolver
{
	my ($self) = @_;
	my $tmp = PostgreSQL::Test::Utils::tempdir();
	$self->{lookups} = "$tmp/lookups";
	system($ENV{CC} // 'cc', '-shared', '-fPIC', '-o', "$tmp/resolver.so", "$dir/resolver.c", '-ldl') == 0
	  or die 'could not compile the resolver';
	@ENV{qw(FAULTS_LOOKUPS LD_PRELOAD)} = ($self->{lookups}, "$tmp/resolver.so");
	return;
}

sub _order
{
	my ($self, %order) = @_;
	print { $self->{proxy}{stdin} } encode_json(\%order) . "\n" or die "the proxy has gone: $!";
	return;
}

sub relay_to { my ($self, $port) = @_; return $self->_order(target => $port + 0) }
sub mode     { my ($self, $mode) = @_; return $self->_order(mode => $mode) }

# chance(what => share of the requests, ...): none by default.
sub chance
{
	my ($self, %share) = @_;
	return $self->_order(chance => \%share, seed => $self->{seed});
}

# The file of faults that struck, a line each, as Wacta::Faults::Tally reads it.
sub strikes { my ($self) = @_; return $self->{proxy}{log} }
sub lookups { my ($self) = @_; return $self->{lookups} }

sub _names { my ($kind) = @_; return map { "$kind-$_.faults.test" } 1 .. $NAMES }

# What wacta.allowed_hosts must list.
sub hosts
{
	my ($self) = @_;
	return join ', ', map { "$_:$self->{port}" } '127.0.0.1', map { _names($_) } qw(slow250 slow900 fail);
}

sub url { my ($self) = @_; return "http://127.0.0.1:$self->{port}" }

# The URL by a name whose lookup goes wrong in that way, another one each time.
sub url_of
{
	my ($self, $kind) = @_;
	my @name = _names($kind);
	return sprintf 'http://%s:%d', $name[ $self->{next_name}++ % @name ], $self->{port};
}

1;
