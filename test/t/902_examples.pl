# The examples of some pages, each page in a site of its own: every ```sql block runs, in the order it is read, in one session; where a
# ```text block follows directly, it is what psql prints.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;

my $top = $ENV{WACTA_SRC} // '.';
my $node = wacta_node('examples', databases => []);

# [ line, SQL, expected output or undef ] of each block; also those indented in a list.
sub blocks_of
{
	my ($page) = @_;
	my @blocks;
	while ($page =~ /^([ ]*)```sql\n(.*?)^\1```\n(?:\n*\1```text\n(.*?)^\1```\n)?/msg)
	{
		my ($indent, $sql, $output) = ($1, $2, $3);
		my $line = 1 + (substr($page, 0, $-[0]) =~ tr/\n//);
		s/^$indent//mg for grep { defined } $sql, $output;
		push @blocks, [ $line, $sql, $output ];
	}
	return @blocks;
}

# Between blocks psql tells which one is next.
sub run_blocks
{
	my ($database, $seed, @blocks) = @_;
	my $script = "\\set QUIET on\n$seed\n" . join '', map { "\\echo -- block $_->[0]\n$_->[1]\n" } @blocks;
	my ($out, $err) = ('', '');
	my $ok = IPC::Run::run([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database) ], '<', \$script, '>', \$out, '2>', \$err);
	my %printed = $out =~ /^-- block (\d+)\n(.*?)(?=^-- block|\z)/msg;
	return ($ok, $err, \%printed);
}

# Trailing blanks and empty lines are nobody's business.
sub plain { my ($text) = @_; return join "\n", grep { /\S/ } map { s/\s+$//r } split /\n/, $text }

sub run_page
{
	my ($name, $seed) = @_;
	my @blocks = blocks_of(slurp_file("$top/docs/$name.md"));
	create_database($node, $name);
	my ($ok, $err, $printed) = run_blocks($name, $seed, @blocks);
	ok($ok, "docs/$name.md: its " . @blocks . ' examples run') or diag($err);
	is(plain($printed->{ $_->[0] } // ''), plain($_->[2]), "docs/$name.md, line $_->[0]: what it prints") for grep { defined $_->[2] } @blocks;
	return;
}

# Who keeps to a page's own promises needs no more than this: a site, and its people.
my $site = q(\\o /dev/null
SELECT wacta.add_signing_key(), wacta.add_channel('main', 'meta', '106540352242922');
SELECT wacta.add_template('project_update_template', wacta.generate_template('Palm Residency') -> 'components');
SELECT wacta.add_project('Palm Residency', template => 'project_update_template');
SELECT wacta.upsert_lead('+91987650000' || n, 'Person ' || n, 'Palm Residency') FROM generate_series(1, 5) n;
\\o);
run_page('analytics', "\\i '$top/test/lib/examples.sql'");
run_page($_, $site) for qw(scheduling policy crm);

done_testing();
