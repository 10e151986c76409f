# The pages that people see: what they say, what they must not let through, and
# in Chromium, how the tap and the dashboard work with JavaScript and without.
use strict;
use warnings;
use utf8;
use Digest::SHA qw(sha256_base64);
use Encode qw(decode_utf8 encode_utf8);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wacta;
use Wacta::Browser;

my $hostile = q(<script>alert("x")</script>'&<img src=x onerror=alert(1)>);
my $long = 'Wolfeschlegelsteinhausenbergerdorff' x 8;
my $rtl = "\x{645}\x{62d}\x{645}\x{62f} \x{1F3E1}";
my $node = wacta_node('main');

sub sql
{
	my ($query, @values) = @_;
	$query =~ s/\?/quoted(shift @values)/ge;
	return $node->safe_psql('crm', encode_utf8($query));
}

sub quoted { my ($value) = @_; return 'NULL' unless defined $value; $value =~ s/'/''/g; return "'$value'"; }

# page(role, call, values...): the answer of a function as a front door gets it.
sub page
{
	my ($role, $call, @values) = @_;
	$call =~ s/\?/quoted(shift @values)/ge;
	my $out = $node->safe_psql('crm', encode_utf8(qq(
		BEGIN;
		SET LOCAL ROLE $role;
		SET LOCAL "request.method" = 'GET';
		SET LOCAL "request.jwt.claims" = '{"sub": "asha"}';
		SELECT encode(wacta_api.$call, 'hex');
		SELECT current_setting('response.status');
		SELECT current_setting('response.headers');
		COMMIT;)));
	my ($hex, $status, $headers) = split /\n/, $out, 3;
	my %header = map { my ($key, $value) = %$_; (lc $key => $value) } @{ decode_json($headers) };
	my $body = pack 'H*', $hex;
	return { status => $status, header => \%header, headers => $headers, bytes => length $body, body => decode_utf8($body) };
}

sub token { my ($id, $action) = @_; return sql("SELECT regexp_replace(wacta.mint_link($id, '$action'), '.*/t/', '')"); }

# What holds for each page, whatever it says.
sub is_sound
{
	my ($page, $what, %but) = @_;
	my $body = $page->{body};
	my $policy = $page->{header}{'content-security-policy'} // '';
	subtest "$what is sound" => sub {
		like($page->{header}{'content-type'}, qr{^text/html; charset=utf-8$}, 'HTML in UTF-8');
		is($page->{header}{'cache-control'}, 'no-store', 'is not kept');
		is($page->{header}{'referrer-policy'}, 'same-origin', 'tells no other site its address');
		cmp_ok($page->{bytes}, '<', $but{bytes} // 15_000, 'small');
		my ($style) = $body =~ m{<style>(.*?)</style>}s;
		like($policy, qr/style-src \Q'sha256-@{[ sha256_base64(encode_utf8($style)) ]}='\E/, 'policy allows its style');
		my @scripts = $body =~ m{<script>(.*?)</script>}sg;
		is(scalar @scripts, $but{scripts} // 0, 'scripts');
		is(scalar(() = $body =~ /<script/g), scalar @scripts, 'no script with attributes or without an end');
		like($policy, qr/script-src \Q'sha256-@{[ sha256_base64(encode_utf8($_)) ]}='\E/, 'policy allows its script') for @scripts;
		unlike($policy, qr/unsafe|\*|script-src (?!'sha256)/, 'and nothing else');
		like($policy, qr/default-src 'none'.*form-action 'self'; base-uri 'none'; frame-ancestors 'none'/, 'everything is closed by default');
		(my $markup = $body) =~ s{<script>.*?</script>}{}s;
		(my $tags = $markup) =~ s/="[^"]*"/=/g;
		unlike($tags, qr/<[^>]*\s(?:style|on[a-z]+)\s*=/i, 'no inline style and no handler, which the policy would block');
		my @urls = grep { !/^data:image\/svg\+xml,/ } $markup =~ /(?:src|href|action)="([^"]*)"/g;
		is_deeply([ grep { m{^(?:[a-z]+:)?//} && $_ ne ($but{link} // '') } @urls ], [], 'nothing of another site');
		unlike($style, qr/url\(|\@import/, 'nor in the style');
		like($body, qr/^<!doctype html>\s*<html lang="en">/, 'says its language');
		is(scalar(() = $body =~ /<h1/g), 1, 'one first heading');
		is(scalar(() = $body =~ /<main/g), 1, 'one main part');
	};
	return;
}

sub prepare
{
	sql(q(SELECT wacta.add_signing_key()));
	sql(q(SELECT wacta.set_session_secret('a secret of tests, thirty-two characters long')));
	sql(q(UPDATE wacta.config SET brand = 'Bop & Sons <Realty>'));
	sql(q(SELECT wacta.add_template('project_update_template', wacta.generate_template('Green Acres') -> 'components')));
	sql(q(SELECT wacta.add_project('Green Acres', 'Bop Realty', 'https://example.com/b.pdf')));
	sql(q(SELECT wacta.add_project(?)), $hostile);
	sql(q(SELECT wacta.add_channel('main', 'meta', '1065'), wacta.pause_channel('main', 'a test')));
	sql(q(SELECT wacta.add_staff('asha', 'correct horse battery', 'Asha Rao')));
	my $n = 0;
	for my $lead ([ 'Asha Rao', 'Green Acres' ], [ $hostile, $hostile ], [ $long, 'Green Acres' ], [ $rtl, 'Green Acres' ])
	{
		sql('SELECT wacta.upsert_lead(?, ?, ?)', '+9198765000' . ++$n . '0', @$lead);
		sql("SELECT wacta.log_ivr_call(?, '918060000305', 'manual', ?)", "+9198765000${n}0", "call$n");
	}
	sql(q(SELECT wacta.log_ivr_call(?, '918060000305', 'manual', 'hidden', status => ?)), $hostile, $hostile);
	return;
}

# --- Customers' pages
sub test_tap
{
	my $yes = token(1, 'interested');
	my $confirm = page('wacta_anon', 'track_page(?)', $yes);
	is($confirm->{status}, 200, 'a link opens');
	is_sound($confirm, 'the page of a link', scripts => 1);
	like($confirm->{body}, qr{<form method="post".*<button type="submit">Yes, I am interested}s, 'with a real button');
	like($confirm->{body}, qr{Bop &amp; Sons &lt;Realty&gt;.*<h1><bdi>Green Acres</bdi>}s, 'brand and project');
	is(sql('SELECT count(*) FROM wacta.click'), 0, 'looking changes nothing');

	my $done = page('wacta_anon', 'track(?)', $yes);
	is_sound($done, 'the page after Interested', link => 'https://example.com/b.pdf');
	like($done->{body}, qr/brochure is on its way.*One of us will call you.*Download the brochure/s, 'promises what is under way');
	like($done->{body}, qr/role="status"/, 'read aloud');
	is(page('wacta_anon', 'track(?)', $yes)->{bytes}, $done->{bytes}, 'the same tap again: the same page');

	sql(q(UPDATE wacta.message SET status = 'failed', reason = 'a test' WHERE purpose = 'brochure'));
	sql(q(SELECT wacta.close_follow_up(1, 'called')));
	unlike(page('wacta_anon', 'track(?)', $yes)->{body}, qr/on its way|will call/, 'a brochure that failed is not promised, nor a call that was made');
	return;
}

sub test_no_brochure
{
	my $page = page('wacta_anon', 'track(?)', token(2, 'interested'));
	is_sound($page, 'the page of a project with a hostile name');
	unlike($page->{body}, qr/brochure/i, 'a project without a brochure promises none');
	like($page->{body}, qr/&lt;script&gt;alert\(&quot;x&quot;\)/, 'the name is shown as text');
	return;
}

sub test_change_of_mind
{
	my $no = page('wacta_anon', 'track(?)', token(3, 'not_interested'));
	is_sound($no, 'the page after Not interested');
	like($no->{body}, qr/write START/, 'tells the way back');
	like($no->{body}, qr/you agree that we write to you/, 'with what the button means');
	my ($to, $token) = $no->{body} =~ m{<form method="post" action="/t/([^"]+)">\s*<input type="hidden" name="token" value="\1">} ? ($1, $1) : ();
	ok($token, 'and a button to a path of its own');
	is(sql('SELECT consent FROM wacta.lead WHERE lead_id = 3'), 'withdrawn', 'consent is withdrawn');
	my $asked = page('wacta_anon', 'track(?)', token(3, 'interested'));
	is_sound($asked, 'the page that asks again');
	like($asked->{body}, qr/May we contact you again/, 'an old link alone asks first');
	is(sql('SELECT consent FROM wacta.lead WHERE lead_id = 3'), 'withdrawn', 'and changes no consent');
	like(page('wacta_anon', 'track(?, confirm => ?)', $token, 'yes')->{body}, qr/Thank you for your interest/, 'the button is a yes');
	is(sql('SELECT consent FROM wacta.lead WHERE lead_id = 3'), 'granted', 'that gives it back');

	my $seed = sql('SELECT wacta.mint_token(3)');
	my $page = page('wacta_anon', 'track(?, ?, ?)', $seed, 'not_interested', 3);
	like($page->{body}, qr{<form method="post">\s*<input type="hidden" name="token" value="\Q$seed\E">}, 'a seed token stays at its address');
	return;
}

sub test_refusals
{
	my $good = token(1, 'interested');
	(my $tampered = $good) =~ s/(.)$/$1 eq 'A' ? 'B' : 'A'/e;
	substr($tampered, 20, 1) = substr($tampered, 20, 1) eq 'A' ? 'B' : 'A';
	my %refused = (
		tampered       => [ $tampered ],
		malformed      => [ '<script>' ],
		missing        => [ undef ],
		expired        => [ sql(q(SELECT wacta.mint_signed(1, NULL, 'interested', now() - interval '2 h', now() - interval '1 h'))) ],
		'wrong action' => [ $good, 'not_interested' ],
		'wrong lead'   => [ sql('SELECT wacta.mint_token(1)'), 'interested', 2 ]);
	my $first = page('wacta_anon', 'track_page(?)', '');
	is($first->{status}, 403, 'a bad link is refused');
	is_sound($first, 'the page of a bad link');
	for my $why (sort keys %refused)
	{
		my @arg = (@{ $refused{$why} }, undef, undef)[0 .. 2];
		for my $function (qw(track_page track))
		{
			my $page = page('wacta_anon', "$function(?, ?, ?)", @arg);
			ok($page->{status} == 403 && $page->{body} eq $first->{body} && $page->{headers} eq $first->{headers},
				"$function: $why is the same page");
		}
	}
	return;
}

# --- Staff
sub test_sign_in
{
	my $door = page('wacta_anon', 'dashboard()');
	is($door->{status}, 401, 'a stranger gets the sign-in form');
	is_sound($door, 'the sign-in form');
	my $wrong;
	$wrong = page('wacta_anon', 'login(?, ?)', 'asha', "wrong $_") for 1 .. 5;
	is($wrong->{status}, 403, 'a wrong password');
	is_sound($wrong, 'its page');
	is(page('wacta_anon', 'login(?, ?)', 'nobody', 'x')->{body}, $wrong->{body}, 'an unknown name looks the same');
	is(page('wacta_anon', 'login(?, ?)', 'asha', 'correct horse battery')->{body}, $wrong->{body}, 'after five, the right one does not help');
	sql(q(UPDATE wacta.staff SET locked_until = now() - interval '1 s'));
	my $in = page('wacta_anon', 'login(?, ?)', 'asha', 'correct horse battery');
	is($in->{status}, 303, 'later it does');
	like($in->{header}{'set-cookie'}, qr/^wacta_session=[\w.-]+; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Strict$/, 'with a closed cookie');
	sql(q(UPDATE wacta.config SET base_url = 'https://example.com'));
	like(page('wacta_anon', 'login(?, ?)', 'asha', 'correct horse battery')->{header}{'set-cookie'}, qr/; Secure$/, 'sent over https alone where the site is');
	sql(q(UPDATE wacta.config SET base_url = DEFAULT));
	return;
}

sub test_dashboard
{
	my $page = page('wacta_agent', 'dashboard()');
	is($page->{status}, 200, 'staff see the dashboard');
	is_sound($page, 'the dashboard', scripts => 1, bytes => 90_000);
	like($page->{body}, qr/Asha Rao/, 'says who is signed in');
	like($page->{body}, qr/&lt;script&gt;alert\(&quot;x&quot;\)&lt;\/script&gt;/, 'a hostile name is text');
	unlike($page->{body}, qr/<img/, 'and no markup');
	like($page->{body}, qr/\Q<bdi>$rtl<\/bdi>\E/, 'a name keeps its direction to itself');
	like($page->{body}, qr{<form method="post" action="\.\./send-interactive-message/" data-act>}, 'unprocessed calls can be sent to');
	like($page->{body}, qr/Messages sent.*Interested.*Not interested.*Engagement rate.*Conversion rate/s, 'five cards');
	is(page('wacta_agent', 'dashboard(?)', $_)->{status}, 200, 'days => ' . ($_ // 'NULL')) for undef, '7', '90', '0', "7'; --", '99999999999';
	like(page('wacta_agent', 'dashboard(?)', '7')->{body}, qr/The last 7 days.*<a href="\?days=7" aria-current="page">/s, 'another period');
	sql(q(CREATE DATABASE "empty"));
	is($node->safe_psql('empty', q(CREATE EXTENSION wacta CASCADE; SELECT wacta.create_roles(); SET ROLE wacta_agent;
		SELECT length(convert_from(wacta_api.dashboard(), 'UTF8')) > 1000)), 't', 'a database with nothing in it has one, too');
	return;
}

# Each list reads by an index, however much there is behind it.
sub test_plans
{
	sql(q(
		INSERT INTO wacta.ivr_call (source, lead_id, caller, processed_at, outcome, started_at, received_at)
		  SELECT 'bulk', 1, '+919876500010', CASE WHEN n % 50 > 0 THEN now() END, CASE WHEN n % 50 > 0 THEN 'queued' END, t, t
		    FROM generate_series(1, 20000) n, LATERAL (SELECT now() - n * interval '1 min' AS t) x;
		INSERT INTO wacta.click (lead_id, action, via, effective, clicked_at) SELECT 1, 'interested', 'link', false, now() - n * interval '1 min' FROM generate_series(1, 20000) n;
		INSERT INTO wacta.follow_up (lead_id, due_at, reason) SELECT 1, now() + n * interval '1 min', 'bulk' FROM generate_series(1, 20000) n;
		INSERT INTO wacta.message (lead_id, purpose, channel_id, expires_at, enqueued_at, status, accepted_at)
		  SELECT 1, 'pitch', 1, now(), now() - n * interval '1 h', 'accepted', now() FROM generate_series(1, 20000) n;
		INSERT INTO wacta.inbox (provider, kind, body, proved, received_at) SELECT 'meta', 'whatsapp', '', true, now() - n * interval '1 min' FROM generate_series(1, 20000) n));
	$node->safe_psql('crm', 'VACUUM ANALYZE');
	my %read = map { split /\|/ } split /\n/, $node->safe_psql('crm', q(
		BEGIN;
		SELECT wacta_http.calls('UTC'), wacta_http.interactions('UTC'), wacta_http.follow_ups('UTC'), wacta_http.health_rows() \g /dev/null
		SELECT relname, pg_stat_get_xact_tuples_returned(c.oid) || ' ' || (pg_stat_get_xact_tuples_fetched(c.oid) < 1000)::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		 WHERE nspname = 'wacta' AND relname IN ('ivr_call', 'click', 'follow_up', 'message', 'inbox')
		 ORDER BY relname;
		COMMIT));
	is($read{$_}, '0 true', "the lists read the first rows of $_, by an index") for sort keys %read;
	my $begin = time;
	is(page('wacta_agent', 'dashboard()')->{status}, 200, sprintf 'the dashboard takes %.0f ms with that behind it', 1000 * (time - $begin));
	cmp_ok(time - $begin, '<', 2, 'soon enough on any machine');
	return;
}

# --- In Chromium
my ($gateway, $browser);

sub tap_in_browser
{
	my ($id, $action, %option) = @_;
	$browser = Wacta::Browser->start(width => 390, height => 844, %option);
	$browser->go("$gateway->{url}/t/" . token($id, $action));
	return;
}

sub is_quiet
{
	my ($what) = @_;
	is_deeply([ $browser->complaints ], [], "$what: no violation of the policy, no script error");
	is_deeply([ grep { !/^(?:\Q$gateway->{url}\E|data:|about:)/ } $browser->requested ], [], "$what: nothing from another site");
	ok($browser->value('document.documentElement.scrollWidth <= innerWidth'), "$what: fits the width");
	return;
}

sub test_browser_tap
{
	tap_in_browser(1, 'interested');
	ok($browser->until('document.querySelector("h1").textContent.startsWith("Thank you for your interest")'), 'the page posts itself');
	is_quiet('a tap');
	is(sql(q(SELECT status FROM wacta.lead WHERE lead_id = 1)), 'Interested', 'and the lead is interested');

	tap_in_browser(4, 'not_interested', script => 0, dark => 1);
	is($browser->value('document.querySelector("button").textContent'), 'No, I am not interested', 'without JavaScript there is a button');
	is(sql(q(SELECT status FROM wacta.lead WHERE lead_id = 4)), 'New', 'and nothing has happened');
	$browser->click('button');
	ok($browser->until('document.querySelector("h1").textContent === "Thank you for telling us"'), 'until it is tapped');
	is(sql(q(SELECT status FROM wacta.lead WHERE lead_id = 4)), 'Not Interested', 'then it counts');
	is_quiet('a tap without JavaScript');
	$browser->click('summary');
	$browser->click('details button');
	ok($browser->until('document.querySelector("h1").textContent.startsWith("Thank you for your interest")'), 'a change of mind');
	is(sql(q(SELECT consent FROM wacta.lead WHERE lead_id = 4)), 'granted', 'is an explicit yes');
	return;
}

# A browser's own GET is the tap; its reload says the same, and the page's other button still means it.
sub test_browser_direct
{
	my $lead = sql(q(SELECT wacta.upsert_lead('+919876500050', 'Direct', 'Green Acres')));
	sql(q(UPDATE wacta.config SET click_mode = 'direct'));
	tap_in_browser($lead, 'interested');
	ok($browser->until('document.querySelector("h1").textContent.startsWith("Thank you for your interest")'), 'in click_mode direct opening the link is the tap');
	is_quiet('a direct tap');
	$browser->value('window.old = 1');
	$browser->command('Page.reload');
	ok($browser->until('window.old === undefined && document.querySelector("h1")?.textContent.startsWith("Thank you for your interest")'), 'a reload is the same page');
	is(sql("SELECT string_agg(kind || CASE WHEN effective THEN '!' ELSE '' END, ' ' ORDER BY click_id) FROM wacta.click WHERE lead_id = $lead"),
		'tap! tap', 'both are a person\'s, the first has an effect');
	$browser->click('summary');
	$browser->click('details button');
	ok($browser->until('document.querySelector("h1").textContent === "Thank you for telling us"'), 'the other button');
	is(sql("SELECT status || ', ' || consent FROM wacta.lead WHERE lead_id = $lead"), 'Not Interested, withdrawn', 'is the answer that stands');
	is(sql("SELECT string_agg(DISTINCT kind, ' ') FROM wacta.click WHERE lead_id = $lead"), 'tap', 'and of a person, however soon');
	sql(q(UPDATE wacta.config SET click_mode = DEFAULT));
	return;
}

sub sign_in
{
	$browser = Wacta::Browser->start(@_);
	$browser->go("$gateway->{url}/whatsapp-interactive/");
	$browser->until('document.activeElement?.name === "username"');
	$browser->type('asha');
	$browser->key('Tab');
	$browser->type('correct horse battery');
	$browser->key('Enter');
	return ok($browser->until('document.getElementById("figures") !== null'), 'signed in by keyboard');
}

sub test_browser_dashboard
{
	sign_in(width => 390, height => 844, dark => 1);
	is_quiet('the dashboard on a phone');
	$browser->value('window.marker = 1');
	my $call = sql(q(SELECT call_id FROM wacta.ivr_call WHERE provider_call_id = 'call1'));
	$browser->value("document.querySelector('[data-key=call$call] button').focus()");
	sql(q(SELECT wacta.log_ivr_call('+919876511111', '918060000305', 'manual', 'new', name => ?)), "New $hostile");
	# a page that comes back into view looks at once
	$browser->value('document.dispatchEvent(new Event("visibilitychange"))');
	ok($browser->until('document.getElementById("calls").textContent.includes("New <script>")'), 'a new call appears');
	is($browser->value('window.marker'), 1, 'in the same page');
	is($browser->value('document.activeElement.closest("li").dataset.key'), "call$call", 'and the focus stays');
	$browser->key('Enter');
	ok($browser->until("document.querySelector('[data-key=call$call] .tag')?.textContent === 'queued'"), 'a message is sent by keyboard');
	is(sql("SELECT outcome FROM wacta.ivr_call WHERE call_id = $call"), 'queued', 'and the call is processed');
	is($browser->value('document.activeElement.dataset.key'), "call$call", 'the focus is still at its row');

	sql(q(SELECT wacta.opt_out(3, 'a test')));
	$browser->click('[data-key=call' . sql(q(SELECT call_id FROM wacta.ivr_call WHERE provider_call_id = 'call3')) . '] button');
	ok($browser->until('document.getElementById("calls").textContent.includes("asked not to be messaged")'), 'a refusal tells why');
	sql(q(UPDATE wacta.template SET status = 'PAUSED'));
	my $last = sql(q(SELECT call_id FROM wacta.ivr_call WHERE provider_call_id = 'call4'));
	$browser->click("[data-key=call$last] button");
	ok($browser->until("document.querySelector('[data-key=call$last] [data-keep]').textContent.startsWith('Not done: ')"), 'so does an error');
	sql(q(UPDATE wacta.template SET status = 'APPROVED'));

	$browser->value('document.querySelector("#studio [name=customer_name]").value = "Meera"');
	$browser->click('#studio form button');
	ok($browser->until('document.getElementById("template_json").value.includes("Meera") && document.getElementById("preview").textContent.includes("Hi Meera")'), 'a template is generated');
	is($browser->value('window.marker'), 1, 'all in the same page');
	is_quiet('the dashboard at work');

	$browser->command('Network.clearBrowserCookies');
	$browser->value('document.dispatchEvent(new Event("visibilitychange"))');
	ok($browser->until('document.getElementById("live").textContent.startsWith("You have been signed out")'), 'the end of a session is told');
	return;
}

sub test_browser_plain
{
	sign_in(width => 1280, height => 900, script => 0);
	is_quiet('the dashboard on a desk without JavaScript');
	$browser->go("$gateway->{url}/t/" . token(2, 'not_interested'));
	$browser->click('button');
	ok($browser->until('document.querySelector("h1")?.textContent === "Thank you for telling us"'), 'whoever is signed in may try a customer\'s link');
	$browser->go("$gateway->{url}/whatsapp-interactive/");
	$browser->click('.who button');
	ok($browser->until('document.querySelector("h1")?.textContent === "Sign in"'), 'sign out');
	return;
}

sub test_browser
{
	Wacta::Browser::program() or skip 'there is no chromium', 1;
	$gateway = Wacta::Gateway->start($node, 'crm');
	sql(q(UPDATE wacta.config SET base_url = ?), $gateway->url);
	test_browser_tap();
	test_browser_direct();
	test_browser_dashboard();
	test_browser_plain();
	undef $browser;
	return;
}

prepare();
test_tap();
test_no_brochure();
test_change_of_mind();
test_refusals();
test_sign_in();
test_dashboard();
SKIP: { test_browser(); }
test_plans();
done_testing();
