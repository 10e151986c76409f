# What the benchmarks share: options, repeats, medians, and the lines they print.
#
#   use Bench;
#   my $o = options(messages => [ 20_000, 100_000 ], repeats => [ 3, 5 ]);
#   my @pairs = interleave($o->{repeats}, \&reference, \&ours);
#   report('drain, 0 ms', 'messages/s', \@pairs, reference => 'bare loop', bar => 0.35);
#
# Each figure is a ratio of two things measured in turn in the same run, because
# the speed of a shared machine moves from minute to minute, and by far more than
# what is to be shown.
package Bench;

use strict;
use warnings;
use Exporter 'import';
use Getopt::Long;

our @EXPORT = qw(options interleave median quantile report note_result bench_dir);

$| = 1;
# The END blocks of Bench::Site and Bench::Sink end what was started.
$SIG{TERM} = $SIG{INT} = $SIG{HUP} = sub { die "ended by signal $_[0]\n" };

# Where clusters and results go; bench/all sets it.
sub bench_dir
{
	return $ENV{WACTA_BENCH_DIR} // die "run this by: make bench BENCH=...\n";
}

# options(name => [ quick, full ], ...): sizes, each of which --name=N changes.
# Those of other figures are left alone, for bench/all gives the same to all.
sub options
{
	my (%size) = @_;
	my %value;
	my $full;
	GetOptions('full' => \$full, map { ("$_=i" => \$value{$_}) } qw(messages repeats pause chunk batch snapshot queued sent tokens))
	  or exit 2;
	$value{$_} //= $size{$_}[ $full ? 1 : 0 ] for keys %size;
	return \%value;
}

# interleave(repeats, reference, ours): both in turn; [ reference, ours ] a repeat.
sub interleave
{
	my ($repeats, $reference, $ours) = @_;
	return map { [ $reference->(), $ours->() ] } 1 .. $repeats;
}

sub quantile
{
	my ($share, @values) = @_;
	@values = sort { $a <=> $b } @values;
	return $values[ int($share * $#values + 0.5) ];
}

sub median
{
	my @values = sort { $a <=> $b } @_;
	return ($values[ $#values / 2 ] + $values[ @values / 2 ]) / 2;
}

# report(figure, unit, pairs, reference => name, bar => least ratio): prints the
# medians, and the median, least and greatest of the repeats' ratios.
sub report
{
	my ($figure, $unit, $pairs, %arg) = @_;
	my @ratio = sort { $a <=> $b } map { $_->[1] / $_->[0] } @$pairs;
	my $ratio = median(@ratio);
	note_result(
		figure    => $figure,
		ours      => sprintf('%.0f %s', median(map { $_->[1] } @$pairs), $unit),
		reference => sprintf('%s: %.0f %s', $arg{reference}, median(map { $_->[0] } @$pairs), $unit),
		ratio     => sprintf('%.2f (%.2f to %.2f)', $ratio, $ratio[0], $ratio[-1]),
		bar       => $arg{bar} ? "at least $arg{bar}" : '',
		reached   => $arg{bar} ? ($ratio >= $arg{bar} ? 'yes' : 'no') : '');
	return $ratio;
}

# One row of the final table, which bench/all prints.
sub note_result
{
	my (%row) = @_;
	my @cells = map { $row{$_} // '' } qw(figure ours reference ratio bar reached);
	print '  = ', join(' | ', grep { length } @cells), "\n";
	open my $out, '>>', bench_dir() . '/results' or die "results: $!";
	print $out '| ', join(' | ', @cells), " |\n";
	return;
}

1;
