# TLS: certificates are checked, and where the server has HTTP/2 the requests
# share a few connections.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wacta;
use Wacta::Outbox;

# A certificate for 127.0.0.1 that signs itself, and another that nobody presents.
my $dir = PostgreSQL::Test::Utils::tempdir;
for my $name ('server', 'stranger')
{
	IPC::Run::run([ 'openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1',
		'-nodes', '-days', '2', '-subj', '/CN=wacta test', '-addext', 'subjectAltName=IP:127.0.0.1',
		'-keyout', "$dir/$name.key", '-out', "$dir/$name.crt" ], '2>', '/dev/null')
	  or die 'openssl failed';
}

# Perl without an SSL module cannot ask the double, so curl does.
{
	package TlsDouble;
	use parent -norequire, 'Wacta::Double';

	sub call
	{
		my ($self, $method, $path, $body) = @_;
		my @command = ('curl', '-sS', '--fail-with-body', '--cacert', "$dir/server.crt", '-X', $method, "$self->{url}/_double/$path");
		push @command, '-d', JSON::PP::encode_json($body) if defined $body;
		my ($out, $err) = ('', '');
		IPC::Run::run(\@command, '>', \$out, '2>', \$err) or die "$method $path: $err $out";
		return JSON::PP::decode_json($out);
	}
}
my $double = TlsDouble->start(arguments => [ '--tls', "$dir/server.crt", "$dir/server.key" ]);
my $node = wacta_node('main', double => $double, conf => join "\n",
	qq(wacta.ca_file = '$dir/server.crt'),
	'wacta.allow_http = off');
outbox_prepare($node, 'crm', $double);
wait_for_courier($node, 'crm');

sub settled
{
	my ($what) = @_;
	return wait_for_value($node, 'crm', q(SELECT count(*) FROM wacta.message
		WHERE status = 'sending' OR (status = 'queued' AND attempts = 0)), '0', $what);
}

# --- Many streams, few connections
$double->post('faults', { do => 'late', ms => 300 });
my $start = time;
outbox_enqueue($node, 'crm', 60);
settled('60 messages are settled');
my $took = time - $start;
my $stats = $double->get('stats');
note(sprintf '60 requests in %.2f s, %d at once at most, %d connections', $took,
	$stats->{max_in_flight}, $stats->{connections}{opened});
is(outbox_states($node, 'crm'), 'accepted 60', 'all accepted');
is($stats->{max_in_flight}, 60, 'all in flight at once');
cmp_ok($stats->{connections}{opened}, '<=', 2, 'over one connection, or two');
is_deeply([ do { my %h; grep { !$h{$_}++ } map { $_->{http} } @{ $double->journal } } ], ['2.0'], 'in HTTP/2');

# More than a connection takes at once (100 streams): the rest has another one.
$node->append_conf('postgresql.conf', 'wacta.max_in_flight = 300');
$node->reload;
wait_for_value($node, 'crm', 'SHOW wacta.max_in_flight', '300', 'reloaded');
outbox_enqueue($node, 'crm', 250, 100);
settled('250 more are settled');
$stats = $double->get('stats');
note(sprintf '250 requests, %d at once at most, %d connections', $stats->{max_in_flight}, $stats->{connections}{opened});
is(outbox_states($node, 'crm'), 'accepted 310', 'all accepted');

# --- A stream that is reset, a connection that is: never sent twice
$double->del('faults');
my $before = $double->get('stats')->{requests};
$double->post('faults', { do => 'reset', when => 'after_body', scope => 'stream', taken => \1, times => 1 });
outbox_enqueue($node, 'crm', 1, 500);
settled('a stream is reset');
$double->post('faults', { do => 'reset', when => 'after_body', taken => \1, times => 1 });
outbox_enqueue($node, 'crm', 1, 501);
settled('a connection is reset');
is(outbox_states($node, 'crm'), 'in_doubt 2, accepted 310', 'both are in doubt');
is($double->get('stats')->{requests}, $before + 2, 'and were sent once');
outbox_enqueue($node, 'crm', 1, 502);
settled('the next has a new connection');
is(outbox_states($node, 'crm'), 'in_doubt 2, accepted 311', 'and is accepted');
outbox_is_consistent($node, 'crm', $double);

# --- Who the other side is
sub last_attempt
{
	return $node->safe_psql('crm', q(SELECT concat_ws(' ', outcome, detail) FROM wacta.attempt
		ORDER BY message_id DESC, attempt DESC LIMIT 1));
}
$node->append_conf('postgresql.conf', qq(wacta.ca_file = '$dir/stranger.crt'));
$node->reload;
wait_for_value($node, 'crm', 'SHOW wacta.ca_file', "$dir/stranger.crt", 'reloaded');
$before = $double->get('stats')->{requests};
outbox_enqueue($node, 'crm', 1, 600);
settled('the certificate is nobody\'s we trust');
like(last_attempt(), qr/^not_sent .*certificate/i, 'nothing was sent');
is($double->get('stats')->{requests}, $before, 'the double says so too');

my $host = $double->host =~ s/127\.0\.0\.1/localhost/r;
$node->append_conf('postgresql.conf', qq(wacta.ca_file = '$dir/server.crt'\nwacta.allowed_hosts = '$host'));
$node->reload;
wait_for_value($node, 'crm', 'SHOW wacta.allowed_hosts', $host, 'reloaded');
$node->safe_psql('crm', "UPDATE wacta.channel SET base_url = 'https://$host'");
outbox_enqueue($node, 'crm', 1, 601);
settled('the certificate is for another name');
like(last_attempt(), qr/^not_sent /, 'nothing was sent');

$node->safe_psql('crm', "UPDATE wacta.channel SET base_url = 'http://$host'");
outbox_enqueue($node, 'crm', 1, 602);
settled('there is no TLS');
like(last_attempt(), qr/^not_sent the URL of the channel must begin with https/, 'plain HTTP needs wacta.allow_http');

done_testing();
