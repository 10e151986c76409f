# How many faults of which kind have struck: those of the test's own hand, those that double and relay did to requests, and
# lookups.
package Wacta::Faults::Tally;

use strict;
use warnings;
use List::Util qw(sum0);
use Time::HiRes qw(time);

sub new
{
	my ($class, $faults) = @_;
	return bless { faults => $faults, count => {}, read => {}, crashes => [] }, $class;
}

sub add
{
	my ($self, $kind) = @_;
	return $self->{count}{$kind}++;
}

# The couriers have ended now without a chance to settle.
sub crashed
{
	my ($self) = @_;
	push @{ $self->{crashes} }, time;
	return;
}

sub crashes { return @{ $_[0]->{crashes} } }

# Counts by kind, as far as the files tell by now.
sub counts
{
	my ($self) = @_;
	my ($faults, $count) = @$self{qw(faults count)};
	$self->_read($faults->journal, sub { $count->{"answer_$1"}++ if $_[0] =~ /(?<!\\)"fault":\{"id":\d+,"do":"(\w+)"/ });
	$self->_read($faults->network->strikes, sub { $count->{"line_$1"}++ if $_[0] =~ /^\{"strike":"(\w+)"/ });
	$self->_read($faults->network->lookups, sub { $count->{$1}++ if $_[0] =~ /^(\w+)$/ });
	return $count;
}

sub total { return sum0(values %{ $_[0]->counts }) }

# The whole lines that were added since the last time.
sub _read
{
	my ($self, $file, $each) = @_;
	open my $in, '<', $file or return;
	seek $in, $self->{read}{$file} // 0, 0;
	while (defined(my $line = <$in>))
	{
		last unless $line =~ /\n\z/;
		$self->{read}{$file} = tell $in;
		$each->($line);
	}
	return;
}

# "kill_courier 3, line_slow 40"
sub text
{
	my ($self) = @_;
	my $count = $self->counts;
	return join ', ', map { "$_ $count->{$_}" } sort keys %$count;
}

1;
