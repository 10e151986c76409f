# What the two figures of a click share: people with links, of whom each turn takes some
# that have not tapped.
#
#   my $click = Bench::Click->start('click', people => 100_000);
#   my $tps = $click->pgbench('click_record', people => 2000, clients => 8);
package Bench::Click;

use strict;
use warnings;
use Bench::Site;
use File::Basename;

my $sql_dir = dirname(__FILE__) . '/../../sql';

sub start
{
	my ($class, $name, %arg) = @_;
	my $self = bless { site => Bench::Site->start($name, conf => { max_connections => 200 }), used => 0, people => $arg{people} }, $class;
	print "  $arg{people} people get their links\n";
	$self->{site}->script('click.sql', people => $arg{people});
	return $self;
}

sub site { return $_[0]->{site} }

# The next so many links: the number of the one before the first.
sub take
{
	my ($self, $people) = @_;
	my $base = $self->{used};
	$self->{used} += $people;
	die "no links are left\n" if $self->{used} > $self->{people};
	return $base;
}

# Transactions a second of a script, each for a person of its own; checked by the clicks that are there.
sub pgbench
{
	my ($self, $script, %arg) = @_;
	my $clients = $arg{clients};
	my $share = int($arg{people} / $clients);
	my $base = $self->take($share * $clients);
	my $before = $self->clicks;
	my $out = $self->{site}->output('pgbench', '-n', '-M', 'prepared', '-c', $clients, '-j', $clients > 1 ? 2 : 1, '-t', $share, '-f', "$sql_dir/$script.pgbench",
		'-D', 'i=0', '-D', "base=$base", '-D', "share=$share", '-h', $self->{site}{dir}, '-U', 'postgres', 'crm');
	my ($tps) = $out =~ /^tps = ([\d.]+)/m or die "pgbench said: $out\n";
	die "not every tap counted\n" if $self->clicks - $before != $share * $clients;
	return $tps;
}

sub clicks { return $_[0]->{site}->sql(q(SELECT count(*) FROM wacta.click WHERE effective)) }

1;
