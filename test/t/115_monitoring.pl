# What monitoring is built from: the queries for postgres_exporter run as the role
# that they ask for and give what they name; each alert has its rule, each rule its
# section in the handbook; and what goes wrong with couriers is seen, and seen no
# longer when it is over.
use strict;
use warnings;
use CPAN::Meta::YAML;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Outbox;

my $top = $ENV{WACTA_SRC} // '.';
my $double = Wacta::Double->start;
my $node = wacta_node('main', double => $double, conf => q(wacta.poll_interval = '200ms'));
outbox_prepare($node, 'crm', $double);
wait_for_courier($node, 'crm');

sub sql { return $node->safe_psql('crm', $_[0]) }

sub yaml
{
	my ($file) = @_;
	my $read = CPAN::Meta::YAML->read_string(slurp_file("$top/deploy/prometheus/$file"));
	return $read->[0];
}

# A session that goes on while we look.
sub session
{
	my (@statements) = @_;
	return IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('crm'), map { ('-c', $_) } @statements ],
		'<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
}

sub alerts_are
{
	my ($expected, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_for_value($node, 'crm', q(SELECT string_agg(alert, ' ' ORDER BY alert) FROM wacta.alert), $expected, $what);
}

# --- A site where all is well has no alert
sql('SELECT wacta.add_signing_key()');
alerts_are('', 'all is well');
wait_for_value($node, 'crm', 'SELECT last_error FROM wacta.courier_status()', '', 'what kept the courier from starting is forgotten');

# --- The queries, as the login of a monitoring system
sql(q(CREATE ROLE wacta_monitor LOGIN; SELECT wacta.grant_monitor('wacta_monitor')));
sql(q(SELECT wacta.pause_channel('meta', 'a test')) . ';' . outbox_sql(1));
sql(q(UPDATE wacta.message SET due_at = wacta.now() - interval '2 hours' WHERE status = 'queued'));
sql(q(SELECT wacta.ingest_webhook('nobody', 'whatsapp', '{}')));
my %metric;
my $queries = yaml('wacta-queries.yaml');
for my $name (sort keys %$queries)
{
	my $entry = $queries->{$name};
	my %usage = map { my ($column) = keys %$_; ($column => $_->{$column}{usage}) } @{ $entry->{metrics} };
	my $json = $node->safe_psql('crm', "SET ROLE wacta_monitor; SELECT coalesce(json_agg(row_to_json(q)), '[]') FROM ($entry->{query}) q");
	my $rows = JSON::PP->new->allow_nonref->decode($json);
	cmp_ok(scalar @$rows, '>', 0, "$name has rows");
	is_deeply([ sort keys %{ $rows->[0] } ], [ sort keys %usage ], "$name: its columns are those that are named");
	my @odd = grep { $usage{$_} !~ /^(LABEL|GAUGE|COUNTER)$/ } sort keys %usage;
	push @odd, grep { $usage{$_} ne 'LABEL' && defined $rows->[0]{$_} && $rows->[0]{$_} !~ /^-?(Infinity|[0-9.e+-]+)$/ } sort keys %usage;
	is("@odd", '', "$name: labels, gauges and counters");
	$metric{"${name}_$_"} = 1 for grep { $usage{$_} ne 'LABEL' } keys %usage;
}
alerts_are('channel_paused', 'the sender is paused');
sql(q(SELECT wacta.resume_channel('meta')));
outbox_wait_empty($node, 'crm');
alerts_are('', 'and resumed');

# --- Alerts, rules and the handbook agree
my $source = sql(q(SELECT string_agg(prosrc, ' ') FROM pg_proc WHERE pronamespace = 'wacta'::regnamespace AND proname LIKE '%\_alerts'));
my %alert = map { $_ => 1 } $source =~ /'(?:critical|warning)',\s*'(\w+)'/g;
cmp_ok(scalar keys %alert, '>=', 18, 'the alerts: ' . join(' ', sort keys %alert));
my $handbook = slurp_file("$top/docs/operations.md");
my %ruled;
for my $rule (map { @{ $_->{rules} } } @{ yaml('wacta-alerts.yml')->{groups} })
{
	my $name = $rule->{alert};
	my @unknown = grep { !$metric{$_} } $rule->{expr} =~ /\b(wacta_\w+)/g;
	is("@unknown", '', "$name: its metrics exist");
	ok($handbook =~ /^### $name$/m, "$name: it has its section");
	is($rule->{annotations}{runbook}, 'docs/operations.md#' . lc $name, "$name: its runbook is that section");
	$ruled{$1} = $name if $rule->{expr} =~ /alert="(\w+)"/;
	is($name, 'Wacta' . join('', map { ucfirst } split /_/, $1), "$name: it is called as its alert") if $rule->{expr} =~ /alert="(\w+)"/;
}
is(join(' ', sort keys %ruled), join(' ', sort keys %alert), 'each alert has its rule');

# --- Somebody holds a message locked: nothing leaves; then something, but this one is late
sql(q(SELECT wacta.pause_channel('meta', 'a test')) . ';' . outbox_sql(1, 1));
sql(q(UPDATE wacta.message SET due_at = wacta.now() - interval '2 hours' WHERE status = 'queued'));
my $holder = session('BEGIN', q(SELECT FROM wacta.message WHERE status = 'queued' FOR UPDATE), 'SELECT pg_sleep(60)');
wait_for_value($node, 'crm', q(SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'), '1', 'a message is locked');
sql(q(SELECT wacta.resume_channel('meta')));
alerts_are('queue_stuck', 'nothing leaves');
$double->post('faults', { do => 'late', ms => 60000 });
outbox_enqueue($node, 'crm', 1, 2);
alerts_are('queue_late', 'something leaves, but late');

# --- What the courier does is seen in pg_stat_activity
is(sql(q(SELECT state, query, wait_event_type, backend_xmin IS NULL FROM pg_stat_activity WHERE backend_type = 'wacta courier')),
	'active|wacta: sending 1|Extension|t', 'the courier says what it does');
like(sql(q(SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'wacta courier')), qr/^(Extension|WactaCourierTransfer)$/,
	'and what it waits for');
sql(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'));
eval { $holder->finish };
alerts_are('', 'the lock has gone, and so has the alert');

# --- A courier that fails
$double->del('faults');
sql('ALTER FUNCTION wacta.courier_claim(integer, integer, integer[]) RENAME TO courier_claim_away');
alerts_are('courier_down', 'it gives up for now');
like(sql(q(SELECT object || ' ' || what FROM wacta.alert WHERE alert = 'courier_down')),
	qr/^courier 0 it is backoff: .*courier_claim.* does not exist/, 'and says why');
sql('ALTER FUNCTION wacta.courier_claim_away(integer, integer, integer[]) RENAME TO courier_claim');
wait_for_value($node, 'crm', 'SELECT state, last_error FROM wacta.courier_status()', 'idle|', 'it is well again, and what was wrong is forgotten');
alerts_are('', 'and so is the alert');

# --- Sending is switched off
$node->append_conf('postgresql.conf', 'wacta.enabled = off');
$node->reload;
alerts_are('sending_disabled', 'it is switched off');
$node->append_conf('postgresql.conf', 'wacta.enabled = on');
$node->reload;
alerts_are('', 'and on');

# --- The key file is gone
my $key = $node->data_dir . '/wacta.key';
rename $key, "$key.away" or die "could not rename the key file: $!";
alerts_are('key_unreadable', 'the secrets cannot be read');
rename "$key.away", $key or die "could not rename the key file: $!";
alerts_are('', 'and can');

# --- Nobody is to send
create_database($node, 'other');
is($node->safe_psql('other', q(SELECT severity, alert FROM wacta.alert)), 'critical|no_courier', 'a database that is not listed');
my $bare = wacta_node('bare', start => 0, conf => q(shared_preload_libraries = ''));
$bare->start;
$bare->safe_psql('postgres', 'CREATE EXTENSION wacta CASCADE');
is($bare->safe_psql('postgres', q(SELECT alert, what FROM wacta.alert)),
	'no_courier|there are no couriers because "wacta" is not preloaded', 'a server that does not preload the library');

done_testing();
