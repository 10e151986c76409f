# Bodies of every kind of wrongness, down the whole inbound path: nothing crashes, nothing is answered 5xx, nothing is
# stuck, nobody else is concerned, and none takes long.  `make fuzz` does the same for as long as it is let.
#
# The same bodies in each run, so that what fails is what has changed; SEED=n sends others, and make fuzz does by itself.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use Wacta;
use Wacta::Fuzz;

my $RUNS = 4000;
my $SECONDS = 25;

my $seed = $ENV{SEED} || 1;
my $fuzz = Wacta::Fuzz->start(seed => $seed);
$fuzz->replay_corpus;
my $start = time;
$fuzz->run($RUNS, $start + $SECONDS);
note(sprintf 'SEED=%d: %d bodies, %d of them by HTTP as well, in %.0f s', $seed, $fuzz->runs, $fuzz->posted, time - $start);
$fuzz->finish;
cmp_ok($fuzz->runs, '>', 500, 'bodies were sent');

my $findings = $fuzz->findings;
is(join("\n", map { "$_ ($findings->{$_}{times} times)" } sort keys %$findings), '', 'nothing was wrong');
for my $finding (values %$findings)
{
	diag(sprintf "%s: %s, %s, body %s: %s\n%.1500s", map { $_ // '' } @$finding{qw(function provider kind n what body)});
}
done_testing();
