# pg_dump and restore into a new cluster keep every row and every sequence, and no secret stands in the dump.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Site qw(%SECRET);

my $site = Wacta::Site->start('crm');
my $asha = '+919876511111';
$site->post_call($asha, 'call-1');
$site->sql('SELECT wacta.process_ivr()');
$site->wait_sql(q(SELECT count(*) FROM wacta.message WHERE status = 'read'), '1', 'a message is read');
$site->tap($asha, 'Interested');
$site->wait_sql(q(SELECT count(*) FROM wacta.message WHERE status = 'read'), '2', 'and the brochure');
$site->gateway->request(POST => '/t/' . 'x' x 60);
my $link = $site->link_of($asha, 'Interested');

# Settings that came with the extension and were changed must survive the seed of the new CREATE EXTENSION.
$site->sql(q(UPDATE wacta.config SET link_ttl = '7 days', max_attempts = 3;
	UPDATE wacta.error_rule SET action = 'fail', note = 'ours' WHERE code = 131000;
	INSERT INTO wacta.country VALUES ('XX', '999', '', 7, 7);
	UPDATE wacta.ivr_field SET path = '$.other' WHERE format = 'generic' AND field = 'digits' AND nth = 1));

# Every table and every sequence, whatever will be added: a fingerprint of each.
my $tables = q(SELECT relname FROM pg_class WHERE relnamespace = 'wacta'::regnamespace AND relkind = 'r' ORDER BY 1);
my $sequences = q(SELECT relname FROM pg_class WHERE relnamespace = 'wacta'::regnamespace AND relkind = 'S' ORDER BY 1);

sub fingerprint
{
	my ($node) = @_;
	my %print;
	for my $table (split /\n/, $node->safe_psql('crm', $tables))
	{
		$print{$table} = $node->safe_psql('crm',
			"SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') FROM wacta.$table t");
	}
	$print{$_} = $node->safe_psql('crm', "SELECT last_value || ' ' || is_called FROM wacta.$_")
	  for split /\n/, $node->safe_psql('crm', $sequences);
	return \%print;
}

# The gateway's and the courier's work is done: nothing moves between the fingerprint and the dump.
$site->gateway->stop;
$site->node->append_conf('postgresql.conf', q(wacta.databases = ''));
$site->node->reload;
wait_for_courier($site->node, 'crm', 0);
my $before = fingerprint($site->node);
cmp_ok(scalar(grep { !/^0 / } values %$before), '>', 20, 'most tables have rows');

my $dump = PostgreSQL::Test::Utils::tempdir() . '/crm.sql';
$site->node->command_ok([ 'pg_dump', '-f', $dump, '-d', $site->node->connstr('crm') ], 'pg_dump');
my $text = slurp_file($dump);
unlike($text, qr/\Q$SECRET{$_}\E/, "no $_ in the dump") for sort keys %SECRET;

my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init;
$copy->append_conf('postgresql.conf', "shared_preload_libraries = 'wacta'");
$copy->start;
$copy->safe_psql('postgres', "CREATE DATABASE crm; CREATE ROLE $_") for 'wacta_anon';
$copy->safe_psql('postgres', "CREATE ROLE $_") for qw(wacta_agent wacta_admin wacta_courier wacta_gateway);
$copy->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-q', '-f', $dump, '-d', $copy->connstr('crm') ], 'restore');
my $after = fingerprint($copy);
# The order of events is that of this cluster's transactions: the copy begins a stream of its own, and the restore is no event.
like(delete $before->{event}, qr/^[1-9]/, 'events were written');
is(delete $after->{event}, '0 ', 'and stay where they were');
# Figures are counted anew, from restored rows.
delete @$_{qw(funnel funnel_delta figures_folded audience audience_delta)} for $before, $after;
my $figures = q(SELECT string_agg(f::text, E'\n' ORDER BY f::text) FROM wacta.figures f WHERE enqueued > 0 OR raw_clicks > 0);
is($copy->safe_psql('crm', $figures), $site->sql($figures), 'the figures are the same');
is($copy->safe_psql('crm', 'SELECT count(*) FROM wacta.funnel_mismatch'), '0', 'and right');
is_deeply($after, $before, 'every other row and every sequence is the same');
like($copy->safe_psql('crm', 'SELECT wacta.fence_problem()'), qr/^the queue belongs to another cluster/, 'and the queue is the original\'s');

# What is added next collides with nothing.
is($copy->safe_psql('crm', "SELECT wacta.upsert_lead('+919876599999') > wacta.lead_by_phone('$asha')"), 't', 'the next lead has the next id');

# The key file did not come along: the sealed secrets stay closed, with a clear error, until it does.
my ($code, $out, $err) = $copy->psql('crm', "SELECT wacta.mint_link(wacta.lead_by_phone('$asha'), 'interested')");
like($err, qr/could not open the file set by "wacta.key_file"/, 'without the key file no link is signed');
unlike($err, qr/\Q$dump\E/, 'and the error names no path');
my $key = slurp_file($site->node->data_dir . '/wacta.key');
append_to_file($copy->data_dir . '/wacta.key', $key);
chmod 0600, $copy->data_dir . '/wacta.key';
my ($token) = $link =~ m{/t/(.+)};
is($copy->safe_psql('crm', "SELECT decision FROM wacta.record_click('$token')"), 'interested', 'with it an old link goes on working');

# DROP and CREATE again leave nothing behind.
$copy->safe_psql('crm', 'DROP EXTENSION wacta');
is($copy->safe_psql('crm', "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'wacta%'"), '0', 'DROP EXTENSION removes all');
$copy->safe_psql('crm', 'CREATE EXTENSION wacta');
is($copy->safe_psql('crm', 'SELECT count(*) FROM wacta.lead'), '0', 'CREATE EXTENSION again begins anew');

done_testing();
