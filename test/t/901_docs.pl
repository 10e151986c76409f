# The documentation is true: its marked SQL runs, in the order it is read; the
# reference is what the catalogs say; every route and setting is in it.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;

my $top = $ENV{WACTA_SRC} // '.';
my $secrets = PostgreSQL::Test::Utils::tempdir;
chmod 0700, $secrets;
for my $name (qw(access-token app-secret verify-token webhook-key ivr-key session))
{
	append_to_file("$secrets/$name", "a secret of the tests, called $name, of some length\n");
	chmod 0600, "$secrets/$name";
}
# The host that may be sent to is one where nobody listens.
my $node = wacta_node('docs', databases => [], conf => join "\n",
	q(wacta.databases = 'crm'), q(wacta.allowed_hosts = '127.0.0.1:1'), qq(wacta.secret_dir = '$secrets'));
$node->safe_psql('postgres', 'CREATE DATABASE crm');

# The blocks of a page that follow the mark; also those indented in a list.
sub marked_blocks
{
	my ($page) = @_;
	my @blocks;
	while ($page =~ /^([ ]*)<!-- tested -->\n\1```sql\n(.*?)^\1```$/msg)
	{
		my ($indent, $sql) = ($1, $2);
		my $line = 1 + (substr($page, 0, $-[0]) =~ tr/\n//);
		$sql =~ s/^$indent//mg;
		push @blocks, [ $line, $sql ];
	}
	return @blocks;
}

for my $file (qw(README.md docs/operations.md docs/ivr.md docs/webhooks.md docs/consent.md docs/clicks.md docs/pages.md docs/policy.md docs/scheduling.md docs/crm.md
		docs/dashboard.md docs/analytics.md docs/postgrest.md))
{
	my $page = slurp_file("$top/$file");
	my @blocks = marked_blocks($page);
	my $marks = () = $page =~ /<!-- tested -->/g;
	is(scalar @blocks, $marks, "$file: each mark has its block");
	for my $block (@blocks)
	{
		my ($line, $sql) = @$block;
		my ($status, $out, $err) = $node->psql('crm', $sql, on_error_stop => 1);
		is($status, 0, "$file, line $line") or diag($err);
	}
}

# A fresh database, for what the pages above have changed must not show.
create_database($node, 'reference');
my ($status, $printed, $err) = $node->psql('reference', "\\i '$top/docs/reference.sql'", on_error_stop => 1);
is($status, 0, 'docs/reference.sql runs') or diag($err);
my $page = slurp_file("$top/docs/reference.md");
my $fresh = "$ENV{TESTDIR}/reference.md";
unlink $fresh;
append_to_file($fresh, "$printed\n");
s/\s+\z// for $page, $printed;
ok($page eq $printed, 'docs/reference.md is what docs/reference.sql prints')
  or diag("copy $fresh to docs/reference.md");

my $routes = slurp_file("$top/src/gateway/routes.c");
while ($routes =~ m{^\t\{"(/[a-z-]+)}mg)
{
	my $start = $1;
	like($page, qr/`$start\b/, "the reference has the routes below $start");
}

$node->stop;
done_testing();
