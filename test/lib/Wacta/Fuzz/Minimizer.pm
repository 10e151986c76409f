# Makes a body that was wrong as small as it can be and still be wrong in the same way:
# first by its structure, then by its bytes.
package Wacta::Fuzz::Minimizer;

use strict;
use warnings;
no warnings 'recursion';
use Time::HiRes qw(time);
use Wacta::Json;

my $patience = 30;    # seconds for one body

sub new { my ($class, $fuzz) = @_; return bless { fuzz => $fuzz }, $class }

# The candidates that are still wrong, in their order.
sub wrong
{
	my ($self, $finding, @bodies) = @_;
	my $world = $finding->{function} eq 'examine' ? 'meta' : 'still';
	my @found = $self->{fuzz}->examine($world, $finding->{function}, map { { %$finding, body => $_ } } @bodies);
	my $signature = Wacta::Fuzz::signature($finding->{what});
	return map { $bodies[$_] } grep { grep { Wacta::Fuzz::signature($_) eq $signature } @{ $found[$_] // [] } } 0 .. $#bodies;
}

sub minimize
{
	my ($self, $finding) = @_;
	my $end = time + $patience;
	my $body = $finding->{body};
	return unless $self->wrong($finding, $body);    # it was not the body alone
	while (time < $end)
	{
		my @smaller = sort { length $a <=> length $b } grep { length $_ < length $body } _without_a_part($body), _without_bytes($body);
		my $found;
		while (@smaller && time < $end && !defined $found)
		{
			($found) = $self->wrong($finding, splice @smaller, 0, 50);
		}
		return $body unless defined $found;
		$body = $found;
	}
	return $body;
}

# The body without each of its members or elements, and each of its parts by itself.
sub _without_a_part
{
	my ($body) = @_;
	my $tree = eval { read_json($body) } or return;
	my @bodies;
	visit($tree, sub {
		my ($node) = @_;
		return if @bodies > 400;
		if ($node->[0] eq 'token') { push @bodies, _instead($tree, $node, 'token', '""') if length $node->[1] > 2; return }
		push @bodies, _instead($tree, $node, token => 'null');
		my @parts = @{ $node->[1] };
		for my $n (0 .. $#parts)
		{
			push @bodies, _instead($tree, $node, $node->[0], [ @parts[ grep { $_ != $n } 0 .. $#parts ] ]);
			last if @bodies > 400;
		}
	});
	return @bodies;
}

sub _instead
{
	my ($tree, $node, @other) = @_;
	my @was = @$node;
	@$node = @other;
	my $body = print_json($tree);
	@$node = @was;
	return $body;
}

# The body without each of its halves, quarters and so on.
sub _without_bytes
{
	my ($body) = @_;
	my @bodies;
	for (my $size = int(length($body) / 2); $size >= 1 && @bodies < 600; $size = int($size / 2))
	{
		for (my $at = 0; $at + $size <= length $body && @bodies < 600; $at += $size)
		{
			my $without = $body;
			substr $without, $at, $size, '';
			push @bodies, $without;
		}
	}
	return @bodies;
}

1;
