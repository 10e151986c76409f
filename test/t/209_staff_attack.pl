# Those who want to come in by the staff's door: guesses in a burst, forged and
# stolen tokens, other sites' forms, and input that wants to be markup, a header or
# a path.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256);
use IPC::Run ();
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wacta;
use Wacta::Attack;

my $PASSWORD = 'correct horse battery staple';
my $SECRET = 'a secret of tests, thirty-two characters long';
my $MARKUP = q("'><script>alert(1)</script><img src=x onerror=alert(1)>);
my $BREAK = "x\r\nSet-Cookie: evil=1\r\nX-Evil: 1\r\n\r\n<h1>evil</h1>";

my $node = wacta_node('staff', conf => "max_connections = 100\n");
my ($gateway, $cookie);

sub sql { return $node->safe_psql('crm', $_[0]) }

sub prepare
{
	sql(q(SELECT wacta.add_signing_key();
		SELECT wacta.add_channel('main', 'meta', '1065'), wacta.pause_channel('main', 'a test');
		SELECT wacta.add_project('Green Acres', 'Bop Realty')));
	sql("SELECT wacta.add_staff('asha', '$PASSWORD', 'Asha Rao'), wacta.add_staff('ravi', '$PASSWORD'), wacta.add_staff('locked', '$PASSWORD')");
	sql('SELECT wacta.upsert_lead(?, ?, ?)' =~ s/\?/\$q\$+919876500010\$q\$/r =~ s/\?/\$q\$$MARKUP\$q\$/r =~ s/\?/\$q\$Green Acres\$q\$/r);
	sql("SELECT wacta.log_ivr_call('+919876500010', '918060000305', 'manual', 'c1', status => \$q\$$MARKUP\$q\$)");
	$gateway = Wacta::Gateway->start($node, 'crm', secret => $SECRET, arguments => [ '--trusted-proxies', '127.0.0.1', '--pool', '8', '--limit-rate', '1' ]);
	my $in = sign_in('asha', $PASSWORD);
	is($in->{status}, 303, 'staff sign in');
	$cookie = cookie_of($in);
	return;
}

# Each from an address of its own, unless it is told.
my $address = 0;
sub ask
{
	my ($method, $path, $with) = @_;
	my %headers = ('x-forwarded-for' => '203.0.' . int(++$address / 200) . '.' . ($address % 200 + 1), %{ $with->{headers} // {} });
	return $gateway->request($method, $path, { %{ $with // {} }, headers => \%headers });
}

sub sign_in { my ($user, $password, %headers) = @_; return ask(POST => '/login/', { form => { username => $user, password => $password }, headers => \%headers }); }

sub cookie_of { return ($_[0]{headers}{'set-cookie'} // '') =~ /^(wacta_session=[^;]+)/ ? $1 : undef; }

sub jwt
{
	my ($claims, %arg) = @_;
	my $json = JSON::PP->new->canonical;
	my $text = join '.', map { encode_base64url(ref $_ ? $json->encode($_) : $_) } $arg{header} // { alg => 'HS256', typ => 'JWT' }, $claims;
	return "$text." . encode_base64url(hmac_sha256($text, $arg{secret} // $SECRET));
}

# --- Guessing

# As PostgREST would have it: sign-ins in as many connections, which begin to count
# when this transaction ends.
sub burst
{
	my ($user, @passwords) = @_;
	my $holder = $node->background_psql('crm');
	$holder->query_safe("BEGIN; SELECT FROM wacta.staff WHERE username = '$user' FOR UPDATE");
	my @guesses;
	for my $password (@passwords)
	{
		my $guess = { out => '' };
		$guess->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('crm'), '-c',
			"SET ROLE wacta_anon; BEGIN; SELECT FROM wacta_api.login('$user', '$password'); SELECT current_setting('response.status'); COMMIT" ], '<', \undef, '>', \$guess->{out});
		push @guesses, $guess;
		# In this order they will be served, the last is the last.
		wait_until_waiting(scalar @guesses) if @guesses == 5 || @guesses == @passwords || @guesses == @passwords - 1;
	}
	$holder->query_safe('COMMIT');
	$holder->quit;
	$_->{run}->finish for @guesses;
	return map { $_->{out} =~ /(\d{3})/ ? $1 : "none: $_->{out}" } @guesses;
}

sub wait_until_waiting
{
	my ($count) = @_;
	return wait_for_value($node, 'crm', q(SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'), $count, "$count sign-ins are under way at once");
}

sub test_burst
{
	my @answers = burst('ravi', (map { "wrong $_" } 1 .. 49), $PASSWORD);
	is(join(' ', @answers), join(' ', (403) x 50), 'the right password behind 49 wrong ones does not get in');
	is(sql(q(SELECT failures, locked_until > wacta.now() FROM wacta.staff WHERE username = 'ravi')), '5|t', 'and no more than five guesses counted');
	is(sign_in('ravi', $PASSWORD)->{status}, 403, 'nor does it get in a moment later');
	sql(q(UPDATE wacta.staff SET locked_until = now() - interval '1 s' WHERE username = 'ravi'));
	@answers = burst('ravi', (map { "wrong $_" } 1 .. 5), $PASSWORD);
	is(join(' ', @answers), join(' ', (403) x 6), 'after the lock one guess, and it is locked again');
	is(sql(q(SELECT failures, locked_until > wacta.now() + interval '40 s' FROM wacta.staff WHERE username = 'ravi')), '6|t', 'for longer');
	sql(q(UPDATE wacta.staff SET locked_until = now() - interval '1 s' WHERE username = 'ravi'));
	is(sign_in('ravi', $PASSWORD)->{status}, 303, 'later the right one does');
	is(sql(q(SELECT failures, locked_until IS NULL FROM wacta.staff WHERE username = 'ravi')), '0|t', 'and all is forgiven');
	return;
}

# Over HTTP, in parallel
sub test_burst_at_the_door
{
	my @sockets = map { connect_to($gateway) } 1 .. 40;
	my $n = 0;
	for my $socket (@sockets)
	{
		my $form = 'username=locked&password=wrong' . ++$n;
		syswrite $socket, "POST /login/ HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.$n\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " . length($form) . "\r\n\r\n$form";
	}
	my %count;
	for my $socket (@sockets)
	{
		my $answer = read_answer($socket, \my $buffer, 20);
		$count{ $answer->{status} // 'none' }++;
	}
	note(join ', ', map { "$_: $count{$_}" } sort keys %count);
	is(join(' ', grep { !/^(?:403|429|503)$/ } keys %count), '', 'a burst at the door: nobody gets in');
	cmp_ok(sql(q(SELECT failures FROM wacta.staff WHERE username = 'locked')), '<=', 5, 'and no more than five guesses counted');
	sign_in('locked', "wrong $_") for 1 .. 5;
	is(sign_in('locked', $PASSWORD)->{status}, 403, 'the right password while it is locked');
	return;
}

# A name that nobody has, one that is locked and one that is neither cost the
# same: a hash.  Without it there would be a factor of fifty.
sub test_timing
{
	my %least = map { split /\|/ } split /\n/, sql(q(
		CREATE TEMP TABLE took (username text, ms float8);
		DO $$ DECLARE
			began timestamptz;
			one text;
		BEGIN
			FOR i IN 1 .. 7 LOOP
				UPDATE wacta.staff SET failures = 0 WHERE username = 'asha';
				FOREACH one IN ARRAY ARRAY['asha', 'nobody', 'locked'] LOOP
					began := clock_timestamp();
					PERFORM wacta_http.sign_in(one, 'wrong');
					INSERT INTO took VALUES (one, extract(epoch FROM clock_timestamp() - began) * 1000);
				END LOOP;
			END LOOP;
		END $$;
		SELECT username, min(ms) FROM took GROUP BY 1));
	note(join ', ', map { sprintf '%s %.1f ms', $_, $least{$_} } sort keys %least);
	for my $user ('nobody', 'locked')
	{
		my $ratio = $least{$user} / $least{asha};
		ok($ratio > 0.5 && $ratio < 2, "time does not tell $user from a name that exists");
	}
	my %answer = map { $_ => sign_in($_, 'wrong') } 'asha', 'nobody', 'locked';
	is($answer{$_}{content}, $answer{asha}{content}, "nor does the page tell $_") for 'nobody', 'locked';
	sql(q(UPDATE wacta.staff SET failures = 0));
	return;
}

# --- Sessions

sub figures { my (%headers) = @_; return ask(GET => '/interactive-analytics/', { headers => \%headers })->{status}; }

sub test_sessions
{
	is(figures(cookie => $cookie), 200, 'the cookie opens');
	my $in = sign_in('asha', $PASSWORD, cookie => 'wacta_session=chosen.by.another');
	unlike($in->{headers}{'set-cookie'}, qr/chosen/, 'a session that somebody else has chosen is not taken over');
	is(figures(cookie => 'wacta_session=chosen.by.another'), 401, 'nor does it open');
	is(ask(GET => '/whatsapp-interactive/?wacta_session=' . $cookie =~ s/.*=//r)->{status}, 401, 'nor does one in the address');
	my $out = ask(POST => '/logout/', { headers => { cookie => $cookie } });
	like($out->{headers}{'set-cookie'}, qr/^wacta_session=; Path=\/; Max-Age=0; HttpOnly; SameSite=Strict/, 'sign-out takes it away');
	is(figures(cookie => $cookie), 401, 'whoever has copied it is out, too');
	$cookie = cookie_of($in);
	is(figures(cookie => $cookie), 200, 'a session of the same account elsewhere is not');
	like($in->{headers}{'set-cookie'}, qr/; Path=\/; Max-Age=[1-9]\d*; HttpOnly; SameSite=Strict$/, 'closed to scripts and other sites');
	sql(q(UPDATE wacta.config SET base_url = 'https://crm.example'));
	like(sign_in('asha', $PASSWORD)->{headers}{'set-cookie'}, qr/; Secure$/, 'and to plain HTTP, where the site has https');
	sql(q(UPDATE wacta.config SET base_url = DEFAULT));

	is(figures(cookie => $cookie, authorization => 'Bearer ' . jwt({ role => 'wacta_anon' })), 401, 'of cookie and header the header counts');
	is(figures(cookie => $cookie, authorization => 'Bearer x.y.z'), 401, 'also when it is bad');
	is(figures(cookie => 'wacta_session=x.y.z', authorization => 'Bearer ' . jwt({ role => 'wacta_agent' })), 200, 'and when the cookie is');
	is(figures(cookie => "wacta_session=x.y.z; $cookie"), 401, 'of two cookies the first');
	sql(q(UPDATE wacta.staff SET disabled_at = now() WHERE username = 'asha'));
	is(figures(cookie => $cookie), 401, 'an account that is disabled is out at once');
	sql(q(UPDATE wacta.staff SET disabled_at = NULL WHERE username = 'asha'));
	is(figures(cookie => $cookie), 401, 'and stays out when it is not any more');
	$cookie = cookie_of(sign_in('asha', $PASSWORD));
	is(figures(cookie => $cookie), 200, 'until it signs in again');
	return;
}

sub test_forged_tokens
{
	my $now = time;
	my $agent = { role => 'wacta_agent' };
	my $good = jwt($agent);
	my %bad = (
		'alg none' => [ jwt($agent, header => { alg => 'none' }), 401 ], 'alg none, no signature' => [ jwt($agent, header => { alg => 'none' }) =~ s/[^.]*$//r, 401 ],
		'alg nOnE' => [ jwt($agent, header => { alg => 'nOnE' }), 401 ], 'alg RS256 by our secret' => [ jwt($agent, header => { alg => 'RS256' }), 401 ],
		'alg HS384' => [ jwt($agent, header => { alg => 'HS384' }), 401 ], 'alg in a list' => [ jwt($agent, header => { alg => ['HS256'] }), 401 ],
		'a key in its head' => [ jwt($agent, header => { alg => 'HS256', jwk => { kty => 'oct', k => encode_base64url('k' x 32) } }, secret => 'k' x 32), 401 ],
		'a key by its name' => [ jwt($agent, header => { alg => 'HS256', kid => '../../dev/null' }, secret => ''), 401 ],
		'another secret' => [ jwt($agent, secret => 'x' x 32), 401 ], 'no signature' => [ $good =~ s/[^.]*$//r, 401 ], 'other claims' => [ $good =~ s/\.[^.]+\./'.' . encode_base64url('{"role":"wacta_admin"}') . '.'/er, 401 ],
		'expired' => [ jwt({ %$agent, exp => $now - 60 }), 401 ], 'not yet valid' => [ jwt({ %$agent, nbf => $now + 600 }), 401 ], 'expiry as text' => [ jwt({ %$agent, exp => "$now" }), 401 ],
		'the owner' => [ jwt({ role => 'postgres' }), 403 ], 'the login' => [ jwt({ role => 'wacta_gateway' }), 403 ], 'the courier' => [ jwt({ role => 'wacta_courier' }), 403 ],
		'role none' => [ jwt({ role => 'none' }), 403 ], 'role in capitals' => [ jwt({ role => 'WACTA_AGENT' }), 403 ], 'a role and more' => [ jwt({ role => "wacta_agent'; RESET ROLE; --" }), 403 ],
		'two roles' => [ jwt('{"role":"wacta_anon","role":"wacta_agent"}'), 401 ], 'no role' => [ jwt({ sub => 'asha' }), 401 ], 'nothing signed' => [ '..', 401 ]);
	is(figures(authorization => "Bearer $good"), 200, 'a token that holds');
	is(ask(GET => '/interactive-analytics/', { headers => { authorization => "Bearer $good" } })->{headers}{'cache-control'}, 'no-store', 'opens what nobody keeps');
	for my $what (sort keys %bad)
	{
		my ($token, $status) = @{ $bad{$what} };
		is(figures(authorization => "Bearer $token"), $status, "forged: $what");
		like(figures(cookie => "wacta_session=$token"), qr/^40[13]$/, 'nor does it hold as a cookie');
	}
	return;
}

# --- Other sites

sub test_other_sites
{
	my $host = '127.0.0.1:' . $gateway->port;
	my @from = (
		[ 'another site' => { origin => 'http://evil.example' }, 403 ], [ 'a sandbox' => { origin => 'null' }, 403 ], [ 'another port' => { origin => 'http://127.0.0.1:1' }, 403 ],
		[ 'a name that begins like ours' => { origin => "http://$host.evil.example" }, 403 ], [ 'ours as its user' => { origin => "http://$host\@evil.example" }, 403 ],
		[ 'no Origin, but cross-site' => { 'sec-fetch-site' => 'cross-site' }, 403 ], [ 'our name, but cross-site' => { 'sec-fetch-site' => 'cross-site', origin => "http://$host" }, 403 ],
		[ 'an empty Origin' => { origin => '' }, 403 ], [ 'a path in it' => { origin => "http://evil.example/http://$host" }, 403 ],
		[ 'ourselves' => { 'sec-fetch-site' => 'same-origin', origin => "http://$host" }, 202 ]);
	for my $case (@from)
	{
		my ($what, $headers, $status) = @$case;
		my $before = sql('SELECT count(*) FROM wacta.message');
		my $form = { form => { lead_id => 1, template => 'none' }, headers => { cookie => $cookie, %$headers } };
		my $sent = ask(POST => '/send-interactive-message/', $form);
		$status == 403 ? is($sent->{status}, 403, "a form from $what") : isnt($sent->{status}, 403, "a form from $what");
		is(sql('SELECT count(*) FROM wacta.message'), $before, 'and nothing is sent') if $status == 403;
		$sent = ask(POST => '/login/', { form => { username => 'asha', password => $PASSWORD }, headers => $headers });
		is($sent->{status}, $status == 403 ? 403 : 303, "a sign-in from $what");
		ok(!$sent->{headers}{'set-cookie'}, 'gives no session') if $status == 403;
	}
	for my $type ('text/plain', 'multipart/form-data; boundary=x', 'application/x-www-form-urlencodedx', 'text/html', '')
	{
		my $sent = ask(POST => '/send-interactive-message/', { content => '{"lead_id":"1"}', headers => { cookie => $cookie, 'content-type' => $type } });
		is($sent->{status}, 415, "a form of type '$type', which needs no leave of ours");
	}
	for my $trick ({ 'x-http-method-override' => 'POST' }, { 'x-method-override' => 'POST' })
	{
		is(ask(GET => '/send-interactive-message/?lead_id=1&_method=POST', { headers => { cookie => $cookie, %$trick } })->{status}, 405, 'a GET stays a GET');
	}
	my $answer = ask(OPTIONS => '/send-interactive-message/', { headers => { origin => 'http://evil.example', 'access-control-request-method' => 'POST' } });
	is(join(' ', grep { /^access-control/ } keys %{ $answer->{headers} }), '', 'no other site may read what we say');
	return;
}

# --- Input that comes back

my @echoes = map { my $path = $_; map { [ $_, $path ] } 'GET', 'POST' } qw(/t/%s /t/x?token=%s /t/x?action=%s /track/%s /track/1?token=%s /track/1?token=x&action=%s /login/?next=%s /login/?username=%s
	/whatsapp-interactive/?days=%s /interactive-analytics/?days=%s /generate-ai-template/?project=%s /generate-ai-template/?customer_name=%s /send-interactive-message/?lead_id=%s&template=%s
	/webhook/whatsapp/integration/?hub.mode=subscribe&hub.challenge=%s /webhook/ivr/%s /webhook/ivr/x/%s /health/?%s /%s /metrics?%s);

sub escaped { return join '', map { sprintf '%%%02X', ord } split //, $_[0] }

sub test_echoes
{
	my (%wrong, $pages);
	for my $echo (@echoes)
	{
		for my $input ($MARKUP, $BREAK, "../../../../etc/passwd", "//evil.example/", "javascript:alert(1)", "\0\xff\xfe", "%00%0d%0aX-Evil:1")
		{
			my ($method, $path) = ($echo->[0], $echo->[1] =~ s/%s/escaped($input)/ger);
			for my $who ({}, { cookie => $cookie })
			{
				my $answer = ask($method, $path, { form => { username => $input, password => $input, token => $input, project => $input, lead_id => $input }, headers => { %$who, accept => 'text/html', 'x-request-id' => '<script>' } });
				my ($headers, $type) = ($answer->{headers}, $answer->{headers}{'content-type'} // '');
				my @said;
				push @said, 'an error of ours' if $answer->{status} >= 500;
				push @said, 'markup comes back' if $type =~ /html/ && $answer->{content} =~ /<script>alert|<img|<h1>evil/;
				push @said, 'a header comes back' if $headers->{'x-evil'} || ($headers->{'set-cookie'} // '') =~ /evil/ || join(' ', %$headers) =~ /<script>/;
				push @said, 'it leads elsewhere' if defined $headers->{location} && $headers->{location} ne '../whatsapp-interactive/';
				push @said, 'a file' if $answer->{content} =~ /root:.*:0:0:/;
				push @said, 'a type may be guessed' unless ($headers->{'x-content-type-options'} // '') eq 'nosniff';
				push @said, 'it may be kept' if $answer->{status} != 204 && ($headers->{'cache-control'} // '') ne 'no-store';
				push @said, "markup with the policy '" . ($headers->{'content-security-policy'} // '') . q(') if $type =~ /html/ && !is_strict($headers->{'content-security-policy'});
				$pages++ if $type =~ /html/;
				$wrong{"$_: $method $echo->[1]"}++ for @said;
			}
		}
	}
	diag("$_ ($wrong{$_} times)") for sort keys %wrong;
	is_deeply([ sort keys %wrong ], [], "input that comes back is text ($pages pages)");
	return;
}

# Everything closed, and what is open is named by its hash.
sub is_strict
{
	my ($policy) = @_;
	return defined $policy && $policy =~ /default-src 'none'/ && $policy =~ /frame-ancestors 'none'/ && $policy =~ /base-uri 'none'/ && $policy !~ /unsafe|\*|https?:/;
}

sub test_pages
{
	my $token = sql(q(SELECT regexp_replace(wacta.mint_link(1, 'interested'), '.*/t/', '')));
	my %pages = (
		'a link' => [ GET => "/t/$token" ], 'a tap' => [ POST => "/t/$token" ], 'a bad link' => [ GET => '/t/x' ], 'sign-in' => [ GET => '/login/' ], 'a wrong password' => [ POST => '/login/', { form => { username => 'ravi', password => 'x' } } ],
		'the dashboard' => [ GET => '/whatsapp-interactive/', { headers => { cookie => $cookie } } ], 'no method' => [ PUT => '/login/' ], 'too large' => [ POST => '/login/', { content => 'x' x 70_000 } ], 'no form' => [ POST => '/login/', { content => 'x', headers => { 'content-type' => 'text/plain' } } ],
		'another site' => [ POST => '/login/', { headers => { origin => 'http://evil.example' } } ]);
	for my $what (sort keys %pages)
	{
		my ($method, $path, $with) = @{ $pages{$what} };
		my $answer = ask($method, $path, { %{ $with // {} }, headers => { accept => 'text/html', %{ $with->{headers} // {} } } });
		like($answer->{headers}{'content-type'}, qr{^text/html}, "$what ($answer->{status}) is a page");
		ok(is_strict($answer->{headers}{'content-security-policy'}), 'with a strict policy');
		is($answer->{headers}{'x-frame-options'}, 'DENY', 'in no frame');
		like($answer->{headers}{'referrer-policy'}, qr/^(?:no-referrer|same-origin)$/, 'it tells no other site its address');
		is($answer->{headers}{'cache-control'}, 'no-store', 'and is not kept');
		unlike($answer->{content}, qr/<script>alert|<img/, 'names are text');
	}
	return;
}

# --- Limits: who is refused again and again is refused at once, by address.
sub test_limits
{
	my $from = sub { return { headers => { 'x-forwarded-for' => $_[0] } } };
	my $guess = sub { return ask(POST => '/login/', { form => { username => 'nobody', password => 'x' }, %{ $from->($_[0]) } })->{status}; };
	my $tries = 0;
	$tries++ while $tries < 200 && $guess->('192.0.2.66') != 429;
	note("a 429 after $tries wrong passwords");
	ok($tries >= 10 && $tries < 200, 'wrong passwords come to an end');
	my $limited = ask(GET => '/login/', $from->('192.0.2.66'));
	is($limited->{status}, 429, 'that address waits');
	cmp_ok($limited->{headers}{'retry-after'}, '>', 0, 'and is told how long');
	is(ask(GET => '/interactive-analytics/', { headers => { 'x-forwarded-for' => '192.0.2.66', cookie => $cookie } })->{status}, 200, 'who is signed in does not');
	is(ask(GET => '/health/', $from->('192.0.2.66'))->{status}, 200, 'nor does monitoring');
	is(ask(GET => '/login/', $from->('192.0.2.67'))->{status}, 401, 'nor does the next address');
	is(ask(GET => '/login/', $from->('192.0.2.66, 10.9.8.7'))->{status}, 401, 'what a client says of itself in front of the proxy counts for nothing');
	is(ask(GET => '/login/', $from->('10.9.8.7, 192.0.2.66'))->{status}, 429, 'either way');
	$tries = 0;
	$tries++ while $tries < 200 && $guess->("2001:db8:1:2::$tries") != 429;
	cmp_ok($tries, '<', 200, 'all of one /64 are one');
	is(ask(GET => '/login/', $from->('2001:db8:1:3::1'))->{status}, 401, 'the next is another');
	return;
}

prepare();
test_burst();
test_burst_at_the_door();
test_timing();
test_sessions();
test_forged_tokens();
test_other_sites();
test_echoes();
test_pages();
test_limits();
is($gateway->stop, 0, 'the gateway ends in good order');
my $log = $gateway->log_text . slurp_file($node->logfile);
unlike($log, qr/\Q$_\E/, 'no secret in the logs') for $PASSWORD, $SECRET, $cookie =~ s/.*=//r, 'eyJ';
done_testing();
