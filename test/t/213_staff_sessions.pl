# Sessions of the staff through the gateway: what ends one ends it for good, behind
# every front door, with the copies of its token; one's own password; the audit.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256);
use IPC::Run ();
use JSON::PP;
use MIME::Base64 qw(decode_base64url encode_base64url);
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Browser;

my $PASSWORD = 'correct horse battery staple';
my $NEW = 'a sentence is easy to keep in mind';
my $SECRET = 'a secret of tests, thirty-two characters long';

# The server may log what it likes: passwords and tokens are not in it.
my $node = wacta_node('sessions', conf => "log_statement = 'all'\nlog_parameter_max_length = -1\nlog_min_error_statement = info\n");
my $gateway = Wacta::Gateway->start($node, 'crm', secret => $SECRET, arguments => [ '--trusted-proxies', '127.0.0.1' ]);
# Another front door with the same secret
my $other_door = Wacta::Gateway->start($node, 'crm', secret => $SECRET, name => 'other', arguments => [ '--trusted-proxies', '127.0.0.1' ]);

sub sql { return $node->safe_psql('crm', $_[0]) }

sub ask
{
	my ($door, $method, $path, %with) = @_;
	my $headers = { 'x-forwarded-for' => $with{from} // '203.0.113.5', 'user-agent' => 'Firefox', $with{cookie} ? (cookie => $with{cookie}) : (), $with{token} ? (authorization => "Bearer $with{token}") : () };
	return $door->request($method, $path, { headers => $headers, $with{form} ? (form => $with{form}) : () });
}

sub cookie_of { return ($_[0]{headers}{'set-cookie'} // '') =~ /^(wacta_session=[^;]+)/ ? $1 : undef; }

sub sign_in
{
	my ($user, $password, %with) = @_;
	my $answer = ask($gateway, POST => '/login/', form => { username => $user, password => $password }, %with);
	return cookie_of($answer) // $answer->{status};
}

# What the doors say to a session: figures and dashboard, of each.
sub opens
{
	my (%with) = @_;
	my %status = map { $_ => 1 } map { my $door = $_; map { ask($door, GET => $_, %with)->{status} } '/interactive-analytics/', '/whatsapp-interactive/', '/password/' } $gateway, $other_door;
	return join ' ', sort keys %status;
}

sub jwt
{
	my ($claims) = @_;
	my $text = join '.', map { encode_base64url(encode_json($_)) } { alg => 'HS256', typ => 'JWT' }, $claims;
	return "$text." . encode_base64url(hmac_sha256($text, $SECRET));
}

sql("SELECT wacta.add_signing_key(), wacta.add_staff('asha', '$PASSWORD', 'Asha Rao'), wacta.add_staff('ravi', '$PASSWORD', role => 'wacta_admin')");

# --- Signing out

my ($one, $two, $ravi) = (sign_in('asha', $PASSWORD), sign_in('asha', $PASSWORD), sign_in('ravi', $PASSWORD));
is(opens(cookie => $_), 200, 'signed in') for $one, $two, $ravi;
my ($token) = $one =~ /=(.*)/;
my $claims = decode_json(decode_base64url((split /\./, $token)[1]));
is_deeply([ @$claims{qw(iss sub role)}, $claims->{exp} - $claims->{iat} ], [ qw(wacta asha wacta_agent), 12 * 3600 ], 'what the token says');
is(sql("SELECT count(*) FROM wacta.staff_session WHERE session_id = '$claims->{jti}'"), 1, 'and which session it is of');
my $get = $gateway->request(GET => '/logout/', { headers => { cookie => $one } });
is($get->{status}, 405, 'a link cannot sign anybody out');
my $elsewhere = $gateway->request(POST => '/logout/', { headers => { cookie => $one, origin => 'http://evil.example' } });
is($elsewhere->{status}, 403, 'nor can another site');
is(opens(cookie => $one), 200, 'the session goes on');
is(ask($other_door, POST => '/logout/', cookie => $one)->{status}, 303, 'signing out, at the other door');
is(opens(cookie => $one), 401, 'ends the session at both');
is(opens(token => $token), 401, 'also for who shows its token as a program does');
is(opens(cookie => $two), 200, 'and no other session');
is(ask($gateway, POST => '/logout/', cookie => $one)->{status}, 303, 'again it is nothing');
is($gateway->request(POST => '/send-interactive-message/', { headers => { cookie => $one }, form => { lead_id => 1 } })->{status}, 401, 'nothing can be done with it either');

# Who signs in once more leaves no session behind that nobody has a cookie of.
my $third = sign_in('asha', $PASSWORD);
my $fourth = sign_in('asha', $PASSWORD, cookie => $third);
is(opens(cookie => $third), 401, 'a session that another one replaces is over');
is(opens(cookie => $fourth), 200, 'the other one is not');
is(sign_in('asha', 'wrong', cookie => $fourth), 403, 'a sign-in that fails');
is(opens(cookie => $fourth), 200, 'replaces nothing');

# --- What others do to the account

sub ends
{
	my ($what, $change, $undo) = @_;
	my $cookie = sign_in('asha', $PASSWORD);
	is(opens(cookie => $cookie), 200, "$what: before");
	sql($change);
	is(opens(cookie => $cookie), 401, 'after it the session is over');
	sql($undo);
	is(opens(cookie => $cookie), 401, 'and stays so');
	is(opens(cookie => $ravi), 200, 'others stay');
	return;
}

my $again = "SELECT wacta.set_staff_password('asha', '$PASSWORD')";
ends('another password', "SET ROLE wacta_admin; SELECT wacta.set_staff_password('asha', '$NEW')", $again);
ends('disabled', "SET ROLE wacta_admin; UPDATE wacta.staff SET disabled_at = now() WHERE username = 'asha'", "UPDATE wacta.staff SET disabled_at = NULL WHERE username = 'asha'");
ends('an agent no more', "UPDATE wacta.staff SET role = 'wacta_admin' WHERE username = 'asha'", "UPDATE wacta.staff SET role = 'wacta_agent' WHERE username = 'asha'");
ends('signed out everywhere', "SET ROLE wacta_admin; SELECT wacta.end_sessions('asha')", 'SELECT 1');
ends('the account deleted', "DELETE FROM wacta.staff WHERE username = 'asha'", "SELECT wacta.add_staff('asha', '$PASSWORD', 'Asha Rao')");

# A sign-in that was under way when the account changed does not come through behind it.
sub behind
{
	my ($what, $change) = @_;
	my $holder = $node->background_psql('crm');
	$holder->query_safe("BEGIN; $change");
	my $answer;
	my $run = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('crm'), '-c',
		"SET ROLE wacta_anon; BEGIN; SELECT FROM wacta_api.login('asha', '$PASSWORD'); SELECT current_setting('response.status'); COMMIT" ], '<', \undef, '>', \$answer);
	wait_for_value($node, 'crm', q(SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'), 1, 'a sign-in waits');
	$holder->query_safe('COMMIT');
	$holder->quit;
	$run->finish;
	like($answer, qr/403/, "a sign-in behind a change: $what");
	is(sql(q(SELECT count(*) FROM wacta.staff_session JOIN wacta.staff USING (staff_id) WHERE username = 'asha')), 0, 'begins no session');
	return;
}

behind('disabled', "UPDATE wacta.staff SET disabled_at = now() WHERE username = 'asha'");
sql("UPDATE wacta.staff SET disabled_at = NULL, failures = 0 WHERE username = 'asha'");
behind('another password', "SELECT wacta.set_staff_password('asha', '$NEW')");
sql($again);

# --- Tokens of other systems

my $now = time;
is(opens(token => jwt({ role => 'wacta_agent', sub => 'crm', iss => 'https://sso.example', jti => '1', iat => $now, exp => $now + 600 })), '200', 'a token of another system has no session of ours');
is(opens(token => jwt({ role => 'wacta_agent' })), '200', 'nor needs one');
is(opens(token => jwt({ role => 'wacta_agent', sub => 'asha', iat => $now - 60 })), '401', 'one for an account that has changed since is over');
is(opens(token => jwt({ role => 'wacta_agent', sub => 'asha', iat => $now + 5 })), '200', 'and a later one is good');

# --- One's own password

($one, $two) = (sign_in('asha', $PASSWORD), sign_in('asha', $PASSWORD));
sub change { my ($cookie, $old, $new) = @_; return ask($gateway, POST => '/password/', cookie => $cookie, form => { old_password => $old, new_password => $new }); }
my $page = ask($gateway, GET => '/password/', cookie => $one);
like($page->{content}, qr{<form method="post" action="../password/">}, 'the form');
like($page->{headers}{'content-security-policy'}, qr/default-src 'none'/, 'under a strict policy');
like(ask($gateway, GET => '/password/')->{content}, qr/action="..\/login\/"/, 'a stranger is asked to sign in');
is(change(undef, $PASSWORD, $NEW)->{status}, 401, 'and changes nothing');
is($gateway->request(POST => '/password/', { headers => { cookie => $one, origin => 'http://evil.example' }, form => { old_password => $PASSWORD, new_password => $NEW } })->{status}, 403, 'nor does another site');
is(change($one, $PASSWORD, 'short')->{status}, 400, 'too short');
is(change($one, 'wrong', $NEW)->{status}, 403, 'not the old one');
is(opens(cookie => $two), 200, 'nothing has happened');
my $changed = change($one, $PASSWORD, $NEW);
is($changed->{status}, 303, 'the old one and a new one');
is(opens(cookie => cookie_of($changed)), 200, 'who has changed it stays in');
is(opens(cookie => $_), 401, 'all other sessions are over') for $one, $two;
is(sign_in('asha', $PASSWORD), 403, 'the old password opens nothing');
like(sign_in('asha', $NEW), qr/^wacta_session=/, 'the new one does');
# Who finds a session open has five guesses at the password, not as many as they like.
my $found = cookie_of($changed);
change($found, "guess $_", 'a password of their own') for 1 .. 5;
is(change($found, $NEW, 'a password of their own')->{status}, 403, 'guesses at the old password lock');

# --- The same in a browser, whose cookie no test hands around

sub fill { my ($browser, @texts) = @_; $browser->type(shift @texts), $browser->key(@texts ? 'Tab' : 'Enter') while @texts; return; }

SKIP:
{
	skip 'no Chromium', 7 unless Wacta::Browser->program;
	sql(q(UPDATE wacta.config SET base_url = ') . $gateway->url . q('));
	my $browser = Wacta::Browser->start(width => 390, height => 844);
	$browser->go($gateway->url . '/whatsapp-interactive/');
	$browser->until('document.activeElement?.name === "username"');
	fill($browser, 'ravi', $PASSWORD);
	ok($browser->until('document.getElementById("figures") !== null'), 'signed in');
	$browser->click('a[href="../password/"]');
	ok($browser->until('document.activeElement?.name === "old_password"'), 'to the form');
	fill($browser, 'wrong', $NEW);
	ok($browser->until('document.querySelector("[role=alert]").textContent.startsWith("That is not your password")'), 'a wrong password');
	$browser->until('document.activeElement?.name === "old_password"');
	fill($browser, $PASSWORD, $NEW);
	ok($browser->until('document.getElementById("figures") !== null'), 'changed, and still in');
	is(opens(cookie => $ravi), 401, 'elsewhere it is over');
	$browser->click('form.who button');
	ok($browser->until('document.activeElement?.name === "username"'), 'signed out');
	is_deeply([ $browser->complaints ], [], 'and nothing against the policy');
}

# --- Locks: who fails from everywhere locks themselves out

sql("UPDATE wacta.staff SET failures = 0, locked_until = NULL; UPDATE wacta.staff_network SET failures = 0, locked_until = NULL");
sign_in('asha', 'wrong', from => "198.51.$_.1") for 1 .. 8;
is(sql(q(SELECT failures, locked_until > wacta.now() FROM wacta.staff WHERE username = 'asha')), '5|t', 'guesses from everywhere lock the account');
is(sign_in('asha', $NEW, from => '198.51.100.9'), 403, 'everywhere');
like(sign_in('asha', $NEW), qr/^wacta_session=/, 'but where its owner has signed in before');

# --- The audit

is(sql(q(SELECT string_agg(DISTINCT event, ' ' ORDER BY event) FROM wacta.staff_event)),
	'disabled enabled locked password_changed refused role_changed sessions_ended signed_in signed_out wrong_password', 'what has happened');
sign_in('a password typed as a name', $PASSWORD, from => '192.0.2.9');
is(sql(q(SELECT event, username IS NULL, host(peer), agent FROM wacta.staff_event ORDER BY event_id DESC LIMIT 1)), 'unknown_name|t|192.0.2.9|Firefox', 'a name that nobody has is not kept');
is(sql(q(SELECT event, username, actor, host(peer) FROM wacta.staff_event WHERE event = 'password_changed' AND username = 'asha' ORDER BY event_id DESC LIMIT 1)), 'password_changed|asha|asha|203.0.113.5', 'who changed what from where');
my $kept = sql(q(SELECT string_agg(to_jsonb(e)::text, E'\n') FROM wacta.staff_event e)) . sql(q(SELECT string_agg(to_jsonb(s)::text, E'\n') FROM wacta.staff_session s));
unlike($kept, qr/\Q$_\E/, 'no password and no token in the tables') for $PASSWORD, $NEW, 'typed as', 'guess', 'eyJ';
is($_->stop, 0, 'the doors end in good order') for $gateway, $other_door;
# What these tests themselves have typed to psql is not the question: how the doors' statements are logged is.
my $log = join "\n", $gateway->log_text, $other_door->log_text, grep { !/statement: / } split /\n/, slurp_file($node->logfile);
like($log, qr/hidden by wacta/, 'the server logs all statements and hides these');
unlike($log, qr/\Q$_\E/, 'no password and no token in the logs') for $NEW, 'guess 3', 'typed as', 'eyJ';
done_testing();
