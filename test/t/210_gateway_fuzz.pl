# Bent requests at the socket of the gateway, built with sanitizers: it lives,
# answers in good form, and does not grow.  `make fuzz` does the same for as long
# as it is let.
#
# The same requests in each run, so that what fails is what has changed; SEED=n
# sends others, and make fuzz does by itself.
use strict;
use warnings;
use Test::More;
use Time::HiRes qw(time);
use Wacta::DoorFuzz;

my $RUNS = 2000;
my $SECONDS = 12;

my $seed = $ENV{SEED} || 1;
my $fuzz = Wacta::DoorFuzz->start(seed => $seed);
my $start = time;
$fuzz->run($RUNS, $start + $SECONDS);
$fuzz->finish;
note(sprintf 'SEED=%d: %d requests in %.0f s, %d kB more than when it was warm', $seed, $fuzz->runs, time - $start, $fuzz->grown);
cmp_ok($fuzz->runs, '>', 300, 'requests were sent');
cmp_ok($fuzz->grown, '<', 60_000, 'memory does not grow with them');

my $findings = $fuzz->findings;
is(join("\n", map { "$_ ($findings->{$_}{times} times)" } sort keys %$findings), '', 'nothing was wrong');
for my $finding (values %$findings)
{
	diag(sprintf "request %d of SEED=%d:\n%s\nanswer:\n%s", $finding->{n}, $seed, Wacta::DoorFuzz::shown($finding->{bytes}), Wacta::DoorFuzz::shown($finding->{answer}));
}
done_testing();
