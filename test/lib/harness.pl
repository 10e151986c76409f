# Runs TAP files, two at once, and counts every test in them.
# harness.pl SUMMARY FILE...; SUMMARY receives "passed failed skipped".
#
# A file that must run alone says so in a comment: "# wacta: serial" among its
# first ten lines.  For a file that fails, its own output and the ends of its
# logs are printed: CI keeps nothing else.

use strict;
use warnings;
use File::Basename;
use TAP::Harness;
use Time::HiRes qw(time);

my $timeout = 600;
my ($summary, @files) = @ARGV;
my $logs = "$ENV{TESTDIR}/tmp_check/log";
my ($passed, $failed, $skipped, %began) = (0, 0, 0);
mkdir "$ENV{TESTDIR}/tmp_check/tap";

sub slurp
{
	my ($file) = @_;
	open my $in, '<', $file or return '';
	local $/;
	return scalar <$in>;
}

sub is_serial
{
	my ($file) = @_;
	my @head = split /\n/, slurp($file);
	return grep { /^# wacta: serial/ } @head[ 0 .. ($#head < 9 ? $#head : 9) ];
}

sub show_tail
{
	my ($title, $file, $lines) = @_;
	my @all = split /^/, slurp($file);
	return unless @all;
	my $from = @all > $lines ? @all - $lines : 0;
	print "---- $title: $file (last $lines lines)\n", @all[ $from .. $#all ], "\n";
}

sub show_failure
{
	my ($file) = @_;
	my $name = basename($file, '.pl');
	show_tail('output', "$ENV{PERL_TEST_HARNESS_DUMP_TAP}/$file", 60);
	show_tail('test log', "$logs/regress_log_$name", 80);
	show_tail('server log', $_, 60) for glob "$logs/${name}_*.log";
}

# A crash, a wrong plan or a time-out counts as one more failed test.
sub report
{
	my ($result, $parser) = @_;
	my ($file, $title) = ref $result ? @$result : ($result, $result);
	my $bad = $parser->failed;
	$bad = 1 if !$bad && $parser->has_problems;
	my $good = $parser->passed;
	my $skips = $parser->skipped;
	$skips = 1 if defined $parser->skip_all;
	$passed  += $good - $parser->skipped;
	$failed  += $bad;
	$skipped += $skips;
	printf "%-28s %3d passed, %d failed%s, %.1f s%s\n", basename($title), $good - $parser->skipped,
	  $bad, ($skips ? ", $skips skipped" : ''), time - $parser->start_time,
	  ($parser->wait >> 8) == 124 ? " (timed out after $timeout s)" : '';
	show_failure($file) if $bad;
}

sub run_files
{
	my ($jobs, @list) = @_;
	return unless @list;
	my $harness = TAP::Harness->new({
		verbosity => -3,
		jobs      => $jobs,
		merge     => 1,
		exec      => [ 'timeout', '--foreground', '-k', '20', $timeout, $^X ],
	});
	$harness->callback(after_test => \&report);
	$harness->runtests(@list);
}

$| = 1;
$ENV{PERL_TEST_HARNESS_DUMP_TAP} = "$ENV{TESTDIR}/tmp_check/tap";
run_files(2, grep { !is_serial($_) } @files);
run_files(1, grep { is_serial($_) } @files);
open my $out, '>', $summary or die "could not write $summary: $!";
print $out "$passed $failed $skipped\n";
