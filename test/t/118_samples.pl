# Every body that we have of a provider, and the rows that it must lead to; then the
# same body in other words, which must lead to the same rows.
#
# The rows stand in test/fixtures/samples.expected: what came of the body in the
# inbox, and a line for each row that is new (+) or changed (~).  EXPECTED=FILE
# writes them as they are, to be read before they are believed.
use strict;
use warnings;
use Digest::MD5 qw(md5_hex);
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Inbound qw(samples);
use Wacta::Json;
use Wacta::Variants;

my @samples = samples();
my $inbound = Wacta::Inbound->start('samples');

# --- The rows of each body
my %expected = fixture('samples.expected') =~ /^== (\S+)\n(.*?)\n(?=\n|\z)/msg;
is_deeply([ sort keys %expected ], [ map { $_->{file} } @samples ], 'each sample has its expectation');

my %of_world;
push @{ $of_world{ $_->{world} } }, $_ for @samples;
for my $world (sort keys %of_world)
{
	my @of = @{ $of_world{$world} };
	my @outcomes = $inbound->outcomes($world, map { [ $_->{provider}, $_->{kind}, 0, $_->{body} ] } @of);
	$_->{outcome} = shift @outcomes for @of;
	is($_->{outcome}, $expected{ $_->{file} }, $_->{file}) for @of;
}
write_expected($ENV{EXPECTED}) if $ENV{EXPECTED};

sub write_expected
{
	my ($file) = @_;
	open my $out, '>', $file or die "could not write $file: $!";
	print $out join "\n", map { "== $_->{file}\n$_->{outcome}\n" } @samples;
	close $out;
	return;
}

# --- The same in other words.  What is said of the inbox may differ, as in the number of its bodies; what is not the
# same news is left out, and why.
my %other_news = (
	'ivr/twilio_02_digits.form' => { 'as JSON' => 'what tells a call without an id from others is its body' },
	map { ("whatsapp/bindambc__$_.json" => { 'from 360dialog' => 'it has no sender of that account' }) } qw(accountRestricted phoneNumberNameUpdate verifiedAccount));

# The lines of rows. Evidence is kept as it came, with other keys and other forms of a time, and what has no id goes by a hash of it;
# the same from another provider comes to another of our channels.
sub rows
{
	return join "\n", map { s/, "x_later": \{[^}]*\}//r =~ s/("timestamp": )"?(\d{10})(000)?"?/$1$2/r =~ s/\b[0-9a-f]{64}\b/hash/gr =~ s/"channel_id": \d+/"channel_id": N/r }
	  grep { /^[-+~]/ } split /\n/, $_[0] // 'nothing';
}

# The lines of one and not of the other, nothing when there are none.
sub difference
{
	my ($got, $wanted) = map { rows($_) } @_;
	return '' if $got eq $wanted;
	my ($there, $here) = map { my %line = map { $_ => 1 } split /\n/; \%line } $wanted, $got;
	return join "\n", (map { "  missing: $_" } grep { !$here->{$_} } sort keys %$there), map { "  besides: $_" } grep { !$there->{$_} } sort keys %$here;
}

sub check_variants
{
	my ($world, @cases) = @_;
	my @outcomes = $inbound->outcomes($world, map { [ $_->{provider}, $_->{kind}, $_->{again}, @{ $_->{bodies} } ] } @cases);
	my %differs;
	for my $case (@cases)
	{
		my $outcome = shift @outcomes;
		my $wrong = $outcome =~ /errors/ ? $outcome : difference($outcome, $case->{outcome}) || next;
		push @{ $differs{ $case->{name} } }, "$case->{file}: " . ($outcome =~ /(.*)/)[0] . "\n$wrong";
	}
	for my $name (sort { $a cmp $b } keys %{ { map { $_->{name} => 1 } @cases } })
	{
		ok(!$differs{$name}, "$world: $name") or diag(join "\n", grep { defined } @{ $differs{$name} }[ 0 .. 5 ]);
	}
	return;
}

for my $world (sort keys %of_world)
{
	my @cases;
	for my $sample (@{ $of_world{$world} })
	{
		my @variants = grep { !$other_news{ $sample->{file} }{ $_->{name} } } variants(@$sample{qw(kind provider body)});
		push @cases, map { { %$sample, %$_ } } @variants, { name => 'replayed', again => 1, bodies => [ $sample->{body} ] };
	}
	check_variants($world, @cases);
}

# --- All of a provider in one body, as if they had come one after the other, the statuses first
for my $world (qw(meta tata))
{
	my @bodies = sort { ($b =~ /"statuses"/) <=> ($a =~ /"statuses"/) } grep { eval { read_json($_) } } map { $_->{body} } @{ $of_world{$world} };
	my @entries = map { my $tree = read_json($_); $world eq 'meta' ? @{ member($tree, 'entry')->[1] } : $tree } @bodies;
	my $together = $world eq 'meta' ? [ object => [ [ '"entry"', [ array => \@entries ] ] ] ] : [ array => \@entries ];
	my ($single, $batch) = map { rows($_) } $inbound->outcomes($world, [ $world, 'whatsapp', 0, @bodies ], [ $world, 'whatsapp', 0, print_json($together) ]);
	is(difference($batch, $single), '', "$world: all of them in one body");
}

# --- By HTTP each of them is answered 200 and kept as it came, even the one that is no JSON
for my $world (sort keys %of_world)
{
	my $gateway = Wacta::Gateway->start($inbound->node, $world, name => "gateway_$world");
	my @of = @{ $of_world{$world} };
	my @answers = map { $inbound->post($gateway, @$_{qw(provider kind body)}) } @of;
	is(join(' ', map { $_->{status} } grep { $_->{status} != 200 } @answers), '', "$world: each is answered 200");
	my %kept = map { $_ => 1 } split /\n/, $inbound->sql($world, q(SELECT DISTINCT md5(body) FROM wacta.inbox WHERE proved));
	is(join(' ', map { $_->{file} } grep { !$kept{ md5_hex($_->{body}) } } @of), '', "$world: and kept byte by byte");
	wait_for_value($inbound->node, $world, 'SELECT count(*) FROM wacta.inbox WHERE applied_at IS NULL', '0', "$world: and applied");
	$gateway->stop;
}

done_testing();
