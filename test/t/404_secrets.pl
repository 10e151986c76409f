# No secret reaches a log, an error, pg_stat_activity or the gateway's log, though the server logs all that it can.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Site qw(%SECRET);

my $site = Wacta::Site->start('crm', conf => <<'CONF');
log_statement = 'all'
log_min_duration_statement = 0
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_min_messages = debug1
log_error_verbosity = verbose
CONF
my $node = $site->node;
my $asha = '+919876511111';

# --- The whole journey, with failures on the way
$site->post_call($asha, 'call-1');
$site->sql('SELECT wacta.process_ivr()');
$site->wait_sql(q(SELECT count(*) FROM wacta.message WHERE status = 'read'), '1', 'a message is read');
my ($token) = $site->link_of($asha, 'Interested') =~ m{/t/(.+)};
$site->tap($asha, 'Interested');
$site->gateway->request(POST => '/t/' . $token =~ s/^./B/r);
$site->gateway->request(POST => "/webhook/ivr/smartflo/?key=$SECRET{ivr_key}", { content => '{}' });
$site->gateway->request(POST => '/webhook/ivr/smartflo/', { headers => { 'x-wacta-key' => "wrong$SECRET{ivr_key}" }, content => '{}' });
my $login = $site->gateway->request(POST => '/login/', { form => { username => 'asha', password => $SECRET{password} } });
is($login->{status}, 303, 'sign-in');
my ($cookie) = $login->{headers}{'set-cookie'} =~ /wacta_session=([^;]+)/;
is($site->gateway->request(GET => '/whatsapp-interactive/', { headers => { cookie => "wacta_session=$cookie" } })->{status}, 200, 'the dashboard');
my $challenge = $site->gateway->request(GET =>
	"/webhook/whatsapp/integration/?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=$SECRET{verify_token}");
is($challenge->{content}, '1158201444', 'the challenge is answered');

# --- Secrets in statements: simple, extended, failing
my %typed = map { $_ => "typedSecret_${_}_0123456789abcdef" } qw(simple error session staff key);
$site->sql("SELECT wacta.set_credential('main', 'access_token', '$typed{simple}')");
$node->psql('crm', "SELECT wacta.set_credential('nobody', 'access_token', '$typed{error}')");
$site->sql("SELECT wacta.set_session_secret('$typed{session}')");
$site->sql("SELECT wacta.add_staff('ravi', '$typed{staff}')");
$site->sql("SELECT wacta.add_signing_key('$typed{key}')");
# While a statement with a secret runs, pg_stat_activity does not show it: another session looks, held up by our lock.
my ($in, $out, $err) = ("BEGIN; LOCK TABLE wacta.credential;\n\\echo locked\n", '', '');
my $locker = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('crm') ], '<', \$in, '>', \$out, '2>', \$err,
	IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
$locker->pump until $out =~ /locked/;
my $waiter = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('crm'), '-c',
	"SELECT wacta.set_credential('main', 'app_secret', '$typed{simple}', true)" ], '<', \undef, '>', \my $out2, '2>', \my $err2);
$site->wait_sql(q(SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%hidden by wacta%'), '1',
	'pg_stat_activity shows that something is hidden');
is($site->sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%' || 'typed' || 'Secret%'"), '0', 'and not what');
$in .= "ROLLBACK;\n\\q\n";
$locker->finish;
$waiter->finish;

# --- At rest
is($site->sql("SELECT count(*) FROM wacta.credential WHERE position(convert_to(wacta.read_secret_file('access_token'), 'UTF8') IN sealed) > 0"), '0', 'sealed');
is(sprintf('%04o', (stat $node->data_dir . '/wacta.key')[2] & 07777), '0600', 'the key file is private');
is($site->sql(q(SELECT count(*) FROM wacta.inbox WHERE headers::text ~* 'key|authorization|cookie')), '0', 'no key among the stored headers');

# --- grep
$node->stop;
my $key = slurp_file($node->data_dir . '/wacta.key') =~ s/\s+//gr;
my %needle = (%SECRET, %typed, 'link token' => $token, 'session cookie' => $cookie, 'key file' => $key);
my %log = (server => slurp_file($node->logfile), gateway => $site->gateway->log_text);
# A log that says nothing would pass as well.
like($log{server}, qr/hidden by wacta/, 'the server has logged and hidden');
like($log{server}, qr/LOG: .*wacta\.process_ivr/, 'and shows what is no secret');
like($log{gateway}, qr{"route":"/t/}, 'the gateway has logged');
for my $where (sort keys %log)
{
	ok(index($log{$where}, $needle{$_}) < 0, "no $_ in the log of the $where") for sort keys %needle;
}

done_testing();
