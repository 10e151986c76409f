# Statuses come in any order, again and again, alone and in batches, before the courier has settled its request and
# after: whatever way a set of them comes, it ends in the same rows.  Small sets come in every order there is, larger
# ones in orders drawn at random; at last several sessions send a large set at once.
#
# The same sets and orders in each run, so that what fails is what has changed; SEED=n draws others.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wacta;
use Wacta::Inbound;

my $seed = $ENV{SEED} || 1;
srand $seed;
note("SEED=$seed");

my $json = JSON::PP->new->canonical;
my %sent = (
	meta => [ [ '+919876500001', 'wamid.one' ], [ '+919876500001', 'wamid.two' ], [ '+919876500002', 'wamid.three' ] ],
	tata => [ [ '+919876500001', 'request-one' ], [ '+919876500002', 'request-two' ] ]);
my $inbound = Wacta::Inbound->start('lattice', worlds => [qw(meta tata)], sent => \%sent, unanswered => 1);

sub pick { return $_[ rand @_ ] }

sub shuffle { return map { $_->[0] } sort { $a->[1] <=> $b->[1] } map { [ $_, rand ] } @_ }

sub permutations
{
	my ($first, @rest) = @_;
	return [] unless defined $first;
	return map { my @of = @$_; map { [ @of[ 0 .. $_ - 1 ], $first, @of[ $_ .. $#of ] ] } 0 .. @of } permutations(@rest);
}

# --- Statuses as they come
my @errors = (
	{ code => 131026, title => 'Message undeliverable' },
	{ code => 131050, title => 'stopped', error_data => { details => 'This recipient has chosen to stop.' } },
	{ code => 132015, title => 'Template is paused' }, { code => 132001, title => 'no template' },
	{ code => 131049, message => 'healthy ecosystem' }, { code => 130429, title => 'Rate limit hit' }, { code => 131048, title => 'Spam rate limit hit' },
	{ code => 368, title => 'Temporarily blocked' }, { code => 999999, title => 'unlisted' }, { title => 'no code' });
my @pricing = ({ billable => JSON::PP::true, pricing_model => 'PMP', category => 'marketing' }, { billable => JSON::PP::false, category => 'service', type => 'free' });

sub status_of
{
	my ($world, $n) = @_;
	my $status = pick(qw(sent sent delivered delivered read read failed failed played deleted in_orbit));
	my $at = 1754300000 + pick(0, 1, 1, 60, 3600);
	my %event = (status => $status, timestamp => pick("$at", $at, "${at}000", $at * 1000), recipient_id => substr $sent{$world}[$n][0], 1);
	# one code has one text for one message, and another for the next
	$event{errors} = [ map { $_->{title} ? { %$_, title => "$_->{title} ($n)" } : $_ } pick(@errors), rand() < 0.1 ? pick(@errors) : () ]
	  if $status eq 'failed' && rand() < 0.95;
	# the provider tells a person's stop once, whoever repeats it
	$event{timestamp} = 1754300777 if grep { ($_->{code} // 0) == 131050 } @{ $event{errors} // [] };
	$event{pricing} = pick(@pricing) if rand() < 0.3;
	my $echo = 'wacta:outbox:' . (4711 + $n);
	my $known = pick(qw(both both echo id));
	$event{id} = $world eq 'tata' ? "wamid.of.$n" : $sent{$world}[$n][1] if $known ne 'echo';
	$event{ $world eq 'tata' ? 'custom_callback_data' : 'biz_opaque_callback_data' } = $echo if $known ne 'id';
	return \%event;
}

# The parts of a plan: one body each, or several statuses in one, some of them again.
sub make_plan
{
	my ($order, $repeat) = @_;
	my @order = map { $repeat && $_ ne 'settle' && rand() < 0.4 ? ($_, $_) : $_ } @$order;
	@order = shuffle(@order) if $repeat;
	my @plan;
	for my $part (@order)
	{
		if ($part eq 'settle') { push @plan, 'settle' }
		elsif ($repeat && @plan && ref $plan[-1] && rand() < 0.5) { push @{ $plan[-1] }, $part }
		else { push @plan, [$part] }
	}
	return \@plan;
}

# Each status that is kept names a message that is known in the end: by our echo, by the id in the answer, or by the id
# that came with an echo.
sub all_are_known
{
	my ($world, $events) = @_;
	return 1 if $world eq 'meta';
	my @kept = grep { $_->{status} !~ /^(deleted|in_orbit)$/ } @$events;
	my %told = map { $_->{id} => 1 } grep { defined $_->{id} && $_->{custom_callback_data} } @kept;
	return !grep { !$_->{custom_callback_data} && !$told{ $_->{id} } } @kept;
}

sub same_end
{
	my ($world, $what, $events, @plans) = @_;
	my @ends = split /\f\n/, $inbound->run($world, sprintf "SELECT format(E'%%s of such: %%s\\n%%s\\f', times, plan, outcome)
		FROM test.plays('%s', \$json\$%s\$json\$, \$json\$%s\$json\$);\n", $world, $json->encode($events), $json->encode(\@plans));
	my $right = $ends[0] !~ /\nerror: / && (!all_are_known($world, $events) || $ends[0] =~ /\nwaits: false\n/);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(@ends == 1 && $right, $what) or diag(map { substr("$_\n", 0, 2000) } $json->encode($events), $right ? difference(@ends[ 0, 1 ]) : $ends[0]);
	return;
}

# What the two first ends have apart, a line each.
sub difference
{
	my @ends = map { [ split /\n/ ] } @_;
	my @lines = map { { map { $_ => 1 } @$_ } } @ends;
	return map { my $other = $lines[ 1 - $_ ]; my ($title, @of) = @{ $ends[$_] }; ($title, map { "    $_" } grep { !$other->{$_} } @of) } 0, 1;
}

my $start = time;
my $plans = 0;
for my $world (qw(meta tata))
{
	my $messages = @{ $sent{$world} };
	for my $n (1 .. 6)
	{
		my $size = $n <= 2 ? 4 : 3;    # and the settling: every order of five and of four
		my @events = map { status_of($world, $n % 2 ? 0 : int rand $messages) } 1 .. $size;
		my @plans = ((map { make_plan($_) } permutations('settle', 0 .. $#events)), map { make_plan([ 'settle', 0 .. $#events ], 1) } 1 .. 20);
		$plans += @plans;
		same_end($world, "$world, set $n: $size statuses in every order", \@events, @plans);
	}
	for my $n (1 .. 4)
	{
		my @events = map { status_of($world, int rand $messages) } 1 .. 12;
		my @plans = map { make_plan([ shuffle('settle', 0 .. $#events) ], $_ % 4) } 1 .. 30;
		$plans += @plans;
		same_end($world, "$world, set $n: 12 statuses in many orders", \@events, @plans);
	}
}
note(sprintf '%d plans in %.1f s', $plans, time - $start);

# --- A crowd: four sessions send the statuses of many messages, in batches and again, while the courier settles
my $crowd = Wacta::Inbound->start('crowd', worlds => [qw(calm crowd)], unanswered => 1,
	sent => { map { $_ => [ map { [ sprintf('+9198765%05d', int $_ / 2), "wamid.$_" ] } 0 .. 199 ] } qw(calm crowd) });
$sent{meta} = $crowd->{sent}{calm};
my @events = map { my $n = $_; map { status_of('meta', $n) } 1 .. 1 + int rand 4 } 0 .. 199;

# The statements of a session: its statuses in bodies of up to 40, the settling between them.
sub session_sql
{
	my (@numbers) = @_;
	my @bodies;
	push @bodies, [ splice @numbers, 0, 1 + int rand 40 ] while @numbers;
	return map { sprintf "SELECT wacta.ingest_webhook('meta', 'whatsapp', b, test.proof('meta', b)) FROM test.body_of('meta', \$json\$%s\$json\$) b;\n",
		$json->encode([ @events[@$_] ]) } @bodies;
}

my @sessions = map { join '', session_sql(shuffle(grep { rand() < 0.5 } 0 .. $#events)) } 1 .. 3;
push @sessions, join '', session_sql(shuffle(0 .. $#events)), "SELECT test.settle();\n";
$start = time;
$crowd->run('calm', join '', "SELECT test.settle();\n", session_sql(0 .. $#events));
$crowd->run_together('crowd', @sessions);
note(sprintf '%d statuses, four sessions, %.1f s', scalar @events, time - $start);
$crowd->run($_, "SELECT test.replay_until_none_waits();\n") for qw(calm crowd);
my ($calm, $crowded) = map { $crowd->run($_, "SELECT 'waits: ' || count(*) FROM wacta.inbox WHERE waiting > 0; SELECT DISTINCT 'error: ' || errors::text FROM wacta.inbox WHERE errors <> '[]'; SELECT * FROM test.lasting_changes();\n") } qw(calm crowd);
ok($calm eq $crowded, 'sessions at once end in the same rows') or diag(join "\n", difference("one by one\n$calm", "in a crowd\n$crowded"));
like($calm, qr/^waits: 0\n(?!error)/, 'nothing waits, nothing was refused');

done_testing();
