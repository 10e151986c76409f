# Bad input: a server that is not the one it should be, messages that cannot be
# built, answers that are none.  Each message has a reason that says what is
# wrong, and the next one goes on.
use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wacta;
use Wacta::Outbox;
use Wacta::Process;

my $dir = PostgreSQL::Test::Utils::tempdir;

sub openssl
{
	my (@arguments) = @_;
	my $log = '';
	IPC::Run::run([ 'openssl', @arguments ], '&>', \$log) or die "openssl @arguments: $log";
	return;
}

my @new_key = qw(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes);

# A certificate that signs itself: an authority, or a server that has none.
sub self_signed
{
	my ($name) = @_;
	openssl('req', '-x509', @new_key, '-days', 2, '-subj', "/CN=$name", '-addext', 'subjectAltName=IP:127.0.0.1',
		'-keyout', "$dir/$name.key", '-out', "$dir/$name.crt");
	return;
}

# certificate(name, by whom, for which host, for how many days)
sub certificate
{
	my ($name, $authority, $host, $days) = @_;
	openssl('req', @new_key, '-subj', "/CN=$name", '-addext', "subjectAltName=$host",
		'-keyout', "$dir/$name.key", '-out', "$dir/$name.csr");
	openssl('x509', '-req', '-in', "$dir/$name.csr", '-CA', "$dir/$authority.crt", '-CAkey', "$dir/$authority.key",
		'-CAcreateserial', '-copy_extensions', 'copy', '-days', $days, '-out', "$dir/$name.crt");
	return;
}
self_signed($_) for qw(authority stranger selfish);
certificate('right',     'authority', 'IP:127.0.0.1',         2);
certificate('elsewhere', 'authority', 'DNS:api.example.com',  2);
certificate('expired',   'authority', 'IP:127.0.0.1',         -1);
certificate('unknown',   'stranger',  'IP:127.0.0.1',         2);

my $double = Wacta::Double->start;
my %tls = map {
	$_ => Wacta::Double->start(name => $_, journal => "$dir/$_.journal", arguments => [ '--tls', "$dir/$_.crt", "$dir/$_.key" ])
} qw(right elsewhere expired unknown selfish);

my $old_port = free_port();
my $old = Wacta::Process->start('old_tls', tied => 1, ready => sub { $_[0]->log_text =~ /ACCEPT/ },
	command => [ qw(openssl s_server -tls1_1 -cipher DEFAULT@SECLEVEL=0 -accept), "127.0.0.1:$old_port",
		'-cert', "$dir/right.crt", '-key', "$dir/right.key" ]);

# Takes connections and ends them at the first word.
my $hasty = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die $!;
my $hasty_pid = fork // die $!;
if ($hasty_pid == 0)
{
	while (my $socket = $hasty->accept)
	{
		sysread $socket, my $hello, 1;
		close $socket;
	}
	POSIX::_exit(0);
}
END { kill 'KILL', $hasty_pid if $hasty_pid }

# What each of them is, and what the operator is to read of it.
my %server = (
	elsewhere => [ $tls{elsewhere}->url, qr/^SSL: no alternative certificate subject name matches target host name '127\.0\.0\.1'/ ],
	expired   => [ $tls{expired}->url,   qr/^SSL certificate problem: certificate has expired/ ],
	unknown   => [ $tls{unknown}->url,   qr/^SSL certificate problem: unable to get local issuer certificate/ ],
	selfish   => [ $tls{selfish}->url,   qr/^SSL certificate problem: self.signed certificate/ ],
	old       => [ "https://127.0.0.1:$old_port", qr/^the TLS handshake failed: .*(protocol version|unsupported protocol)/ ],
	plain     => [ 'https://' . $double->host, qr/^the TLS handshake failed: ./ ],
	hasty     => [ 'https://127.0.0.1:' . $hasty->sockport, qr/^the TLS handshake failed: ./ ]);

my $hosts = join ', ', map { s{^\w+://}{}r } $double->url, $tls{right}->url, map { $_->[0] } values %server;
my $node = wacta_node('main', double => $double, conf => join "\n",
	qq(wacta.allowed_hosts = '$hosts'), qq(wacta.ca_file = '$dir/authority.crt'));
outbox_prepare($node, 'crm', $double);
wait_for_courier($node, 'crm');

sub sql { my ($sql) = @_; return $node->safe_psql('crm', $sql) }

sub journal_size { return -s "$dir/$_[0].journal" // 0 }

# --- Who the other side is: nothing leaves before that is certain
sql("UPDATE wacta.config SET retry_base = '200 milliseconds', retry_cap = '500 milliseconds'");
my $lead = 0;
sql(join ' ', 'BEGIN;', (map { outbox_sender_sql($_, $server{$_}[0]) . outbox_sql(1, $lead++) . ';' } sort keys %server),
	outbox_sender_sql('meta'), outbox_sql(1, $lead++), '; COMMIT');
wait_for_value($node, 'crm', q(SELECT count(*) FROM wacta.message WHERE status = 'accepted'), '1', 'what goes to a good server is sent');
wait_for_value($node, 'crm', q(SELECT count(DISTINCT lead_id) FROM wacta.attempt WHERE outcome = 'not_sent' AND attempt >= 2),
	scalar keys %server, 'what does not is tried again');
for my $name (sort keys %server)
{
	my $of = "FROM wacta.message m JOIN wacta.channel c USING (channel_id) WHERE c.name = '$name'";
	like(sql("SELECT m.reason $of"), $server{$name}[1], "$name: the reason says what is wrong");
	is(sql("SELECT string_agg(DISTINCT a.outcome, ' ') FROM wacta.attempt a WHERE a.ended_at IS NOT NULL AND a.lead_id = (SELECT m.lead_id $of)"),
		'not_sent', "$name: nothing was sent");
	is(sql("SELECT m.status IN ('queued', 'sending') $of"), 't', "$name: the message waits");
	is(journal_size($name), 0, "$name: no request has come") if $tls{$name};
}
is(scalar @{ $double->journal }, 1, 'none to the one without TLS but its own');

# Perl without an SSL module cannot tell it the template, so curl does.
my $template = encode_json({ name => 'notice', language => 'en', category => 'UTILITY',
	components => [ { type => 'BODY', text => 'Hello, this is a message of a test.' } ] });
IPC::Run::run([ 'curl', '-sS', '--fail', '--cacert', "$dir/authority.crt", '-d', $template, $tls{right}->url . '/_double/templates' ], '>', \my $out)
  or die 'the double has not taken the template';
sql(sprintf q(UPDATE wacta.channel SET base_url = '%s' WHERE name <> 'meta'), $tls{right}->url);
wait_for_value($node, 'crm', q(SELECT count(*) FROM wacta.message WHERE status = 'accepted'), 1 + keys %server,
	'with the right server all of them arrive');

# --- One message that fails by itself, before others of the same claim
sql(q(UPDATE wacta.config SET retry_base = DEFAULT, retry_cap = DEFAULT; SELECT wacta.add_signing_key()));

# The template is known to both sides; what is not given is as of a plain one.
sub template
{
	my ($name, %arg) = @_;
	my $components = [ @{ $arg{before} // [] }, { type => 'BODY', text => $arg{text} // 'Hello, this is a message of a test.',
			$arg{example} ? (example => { body_text => [ $arg{example} ] }) : () }, @{ $arg{after} // [] } ];
	sql(sprintf q(SELECT wacta.add_template('%s', $json$%s$json$, category => 'UTILITY', purpose => '%s', body_values => '%s', button_actions => '%s')),
		$name, encode_json($components), $arg{purpose} // 'pitch', $arg{values} // '{}', $arg{actions} // '{}');
	$double->post('templates', { name => $name, language => 'en', category => 'UTILITY', components => $components });
	return;
}
sub number { return sprintf '+9198765%05d', $_[0] }

# Sends one bad message and three good ones in one transaction, the bad one
# first; the good ones must not have waited for anything.
sub spoils_nothing
{
	my ($what, $bad, $status, $reason) = @_;
	my $first = $lead;
	my $good = $first + 1;
	$lead += 4;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	sql(join ' ', 'BEGIN;', $bad->($first), ';', outbox_sender_sql('meta'), outbox_sql(3, $good), '; COMMIT');
	my $id = sql(sprintf q(SELECT max(message_id) FROM wacta.message JOIN wacta.lead_identity i USING (lead_id) WHERE i.value = '%s'), number($first));
	wait_for_value($node, 'crm', sprintf(q(SELECT count(*) FROM wacta.message JOIN wacta.lead_identity i USING (lead_id)
		WHERE i.value BETWEEN '%s' AND '%s' AND status = 'accepted' AND attempts = 1), number($good), number($good + 2)), '3', "$what: the next ones are sent");
	wait_for_value($node, 'crm', "SELECT status FROM wacta.message WHERE message_id = $id", $status, "$what: it is $status");
	like(sql("SELECT reason FROM wacta.message WHERE message_id = $id"), $reason, "$what: the reason");
	is(sql(q(SELECT count(*) FROM wacta.template WHERE held_reason IS NOT NULL)), '0', "$what: no template is held");
	is(sql(q(SELECT count(*) FROM wacta.channel WHERE status <> 'active')), '0', "$what: nor a sender");
	return $id;
}

# The statement that queues a message for a lead with that number.
sub enqueue
{
	my ($purpose, $template, $variables, $project) = @_;
	my $id = defined $template ? "(SELECT template_id FROM wacta.template WHERE name = '$template')" : 'NULL';
	my $of = defined $project ? ", project => '$project'" : '';
	return sub { sprintf q(SELECT wacta.enqueue(wacta.upsert_lead('%s'%s), '%s', %s, $json$%s$json$)), number($_[0]), $of, $purpose, $id, $variables // '{}' };
}

my $button = { type => 'BUTTONS', buttons => [ { type => 'URL', text => 'Go', url => 'https://crm.example.com/t/{{1}}', example => ['https://crm.example.com/t/x'] } ] };
template('brochure', purpose => 'brochure', before => [ { type => 'HEADER', format => 'DOCUMENT', example => { header_handle => ['4::aW'] } } ]);
template('no_action',  after => [$button]);
template('odd_action', after => [$button], actions => '{explode}');
template('greeting', text => 'Hello {{1}}, ' . 'there is news for you today, ' x 30 . 'from {{2}} as ever.', example => [ 'Asha', 'Bop' ], values => '{customer_name,place}');
sql(q(SELECT wacta.add_project('Bare'), wacta.add_project('Far', brochure_link => 'https://cdn.example.com/' || repeat('x', 60000));
	SELECT wacta.add_template('refused', '[{"type": "BODY", "text": "Hello there"}]', status => 'REJECTED')));

spoils_nothing('a brochure that there is not', enqueue('brochure', 'brochure', undef, 'Bare'), 'failed', qr/^the project has no brochure$/);
spoils_nothing('a brochure without its template', enqueue('brochure', undef, undef, 'Far'), 'failed', qr/^the service window is closed and the project has no brochure template$/);
spoils_nothing('a link that is too long', enqueue('brochure', 'brochure', undef, 'Far'), 'failed', qr/^the request is too large$/);
spoils_nothing('no template', enqueue('other', undef), 'failed', qr/^the message has no template$/);
spoils_nothing('a template that was refused', enqueue('pitch', 'refused'), 'failed', qr/^template "refused" is REJECTED$/);
spoils_nothing('a button without its action', enqueue('pitch', 'no_action'), 'failed', qr/^invalid action: ""$/);
spoils_nothing('a button with an unknown one', enqueue('pitch', 'odd_action'), 'failed', qr/^invalid action: "explode"$/);
for my $length (200, 100_000)
{
	my $place = encode_json({ place => 'x' x $length });
	spoils_nothing("a value of $length characters", enqueue('pitch', 'greeting', $place), 'failed',
		qr/^the text of template "greeting" has \d+ characters with its values, and WhatsApp takes 1,024$/);
}
my $named = spoils_nothing('a name of 900 characters', sub {
		sprintf q(SELECT wacta.enqueue(wacta.upsert_lead('%s', repeat('Asha ', 180)), 'pitch', template_id, '{"place": "Pune"}')
			FROM wacta.template WHERE name = 'greeting'), number($_[0]) }, 'accepted', qr/^$/);
my $text = $double->journal(callback => "wacta:outbox:$named")->[0]{rendered}{body} // '';
like($text, qr/^Hello (Asha )+.*\x{2026}, there is news .* from Pune as ever\.$/, 'is cut');
cmp_ok(length $text, '<=', 1024, 'so that the text may be sent');

# --- Answers that are none, and hosts that are not to be had
sub meets
{
	my ($fault) = @_;
	return sub {
		$double->post('faults', { %$fault, match => { to => number($_[0]) } });
		return outbox_sql(1, $_[0]);
	};
}
sub leaves_by
{
	my ($name, $url) = @_;
	return sub { return outbox_sender_sql($name, $url) . outbox_sql(1, $_[0]) };
}

spoils_nothing('JSON that ends too early', meets({ do => 'malformed' }), 'in_doubt', qr/^the answer could not be understood$/);
spoils_nothing('JSON that is something else', meets({ do => 'malformed', body => '{"messages": "yes"}' }), 'in_doubt', qr/^the answer could not be understood$/);
spoils_nothing('a page that says 200', meets({ do => 'error', status => 200 }), 'in_doubt', qr/^the answer could not be understood$/);
spoils_nothing('an empty 200', meets({ do => 'malformed', body => '' }), 'in_doubt', qr/^the answer could not be understood$/);
spoils_nothing('16 MiB', meets({ do => 'oversized', bytes => 16 << 20 }), 'in_doubt', qr/^the answer is too large$/);
spoils_nothing('256 MiB, packed', meets({ do => 'bomb', bytes => 256 << 20 }), 'in_doubt', qr/^the answer is too large$/);
for my $status (301, 302, 303, 307, 308)
{
	my $requests = $double->get('stats')->{requests};
	spoils_nothing("a redirection by $status", meets({ do => 'redirect', status => $status, location => $double->url . '/v24.0/1/messages' }),
		'failed', qr/^HTTP status $status/);
	is($double->get('stats')->{requests}, $requests + 4, 'is not followed');
}
spoils_nothing('a host off the list', leaves_by('strange', 'https://api.example.net:8443'), 'queued',
	qr/^host "api\.example\.net" with port 8443 is not in wacta\.allowed_hosts$/);
spoils_nothing('a port off the list', leaves_by('other_port', 'http://127.0.0.1:1'), 'queued', qr/^host "127\.0\.0\.1" with port 1 is not in wacta\.allowed_hosts$/);
spoils_nothing('one that looks like it', leaves_by('alike', $double->url =~ s/127\.0\.0\.1/127.0.0.1.example.net/r), 'queued',
	qr/^host "127\.0\.0\.1\.example\.net" with port \d+ is not in wacta\.allowed_hosts$/);

outbox_is_consistent($node, 'crm', $double);
done_testing();
