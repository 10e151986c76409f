# The template studio over HTTP and in Chromium, and the dashboard by keyboard, narrow and wide,
# light and dark, with hostile names. SHOTS=directory keeps the pictures of docs/dashboard.md.
use strict;
use warnings;
use utf8;
use Encode qw(encode_utf8 decode_utf8);
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Browser;

my $node = wacta_node('main');
my %hostile = (script => q(<script>alert("x")</script><img src=x onerror=alert(1)>), 'right to left' => "\x{202e}\x{645}\x{62d}\x{645}\x{62f}",
	emoji => "\x{1F3E1}" x 20, long => 'W' x 300);
my ($gateway, $cookie, $browser);

sub quoted { my ($value) = @_; $value =~ s/'/''/g; return "'$value'"; }
sub sql
{
	my ($query, @values) = @_;
	$query =~ s/\?/quoted(shift @values)/ge;
	return decode_utf8($node->safe_psql('crm', encode_utf8($query)));
}

sub prepare
{
	sql(q(SELECT wacta.add_signing_key()));
	sql(q(SELECT wacta.set_session_secret('a secret of tests, thirty-two characters long')));
	sql(q(UPDATE wacta.config SET base_url = 'https://crm.example.com', brand = 'Bop Realty'));
	sql(q(SELECT wacta.add_template('project_update_template', wacta.generate_template('Green Acres') -> 'components')));
	sql(q(SELECT wacta.add_project('Green Acres', 'Bop Realty', template => 'project_update_template')));
	sql(q(SELECT wacta.add_channel('main', 'meta', '1065'), wacta.pause_channel('main', 'a test')));
	sql(q(UPDATE wacta.channel SET account_id = '1'));
	sql(q(SELECT wacta.add_staff('asha', 'correct horse battery', 'Asha Rao', 'wacta_admin'), wacta.add_staff('ravi', 'correct horse battery', 'Ravi')));
	sql(q(SELECT wacta.upsert_lead('+91987650000' || n, (ARRAY['Meera Iyer','John Khan','Fatima Sharma','Ravi Rao','Anil Gupta'])[n], 'Green Acres') FROM generate_series(1, 5) n));
	my $n = 5;
	sql("SELECT wacta.upsert_lead('+91987650000" . ++$n . "', ?, 'Green Acres')", $hostile{$_}) for sort keys %hostile;
	sql(q(INSERT INTO wacta.message (lead_id, purpose, channel_id, template_id, project_id, expires_at, enqueued_at, status, accepted_at, reason, error_code)
	      SELECT l.lead_id, 'pitch', 1, 1, 1, t, t, s, CASE WHEN s <> 'failed' THEN t END, CASE s WHEN 'failed' THEN 'not delivered to maintain healthy ecosystem engagement' END, CASE s WHEN 'failed' THEN 131049 END
	        FROM generate_series(0, 400) n, LATERAL (SELECT wacta.now() - (n * n % 60) * interval '1 day' AS t, (ARRAY['read', 'delivered', 'read', 'accepted', 'failed'])[1 + n % 5]::wacta.message_status AS s) x,
	             LATERAL (SELECT lead_id FROM wacta.lead ORDER BY lead_id OFFSET n % 9 LIMIT 1) l));
	sql(q(SELECT wacta.decide(lead_id, NULL, CASE WHEN lead_id % 3 = 0 THEN 'not_interested' ELSE 'interested' END, 'link', true, '{}') FROM wacta.lead));
	sql("SELECT wacta.log_ivr_call('+91987650000$_', '918060000305', 'manual', 'call$_')") for 1 .. 9;
	$gateway = Wacta::Gateway->start($node, 'crm');
	return;
}

sub cookie_of
{
	my ($name) = @_;
	my $in = $gateway->request(POST => '/login/', { form => { username => $name, password => 'correct horse battery' } });
	return $in->{headers}{'set-cookie'} =~ /^(wacta_session=[^;]+)/ ? $1 : die 'not signed in';
}
sub post { my ($path, $form, %header) = @_; return $gateway->request(POST => $path, { form => $form, headers => { cookie => $cookie, %header } }); }

my $original = <<'END';
Sure! Here is your template:
```json
{"name": "project_update_template", "language": "en", "category": "MARKETING", "components": [
 {"type": "BODY", "text": "Hi {{1}},\nWe shared *{{2}}* <b>.", "example": {"body_text": [["Asha", "Green_Acres"]]}},
 {"type": "FOOTER", "text": "Bop Realty"},
 {"type": "BUTTONS", "buttons": [
  {"type": "URL", "text": "👍 Interested", "url": "https://crm.example.com/track/{{1}}/?token={{2}}", "example": ["https://crm.example.com/track/1/"]},
  {"type": "URL", "text": "👎 Not Interested", "url": "https://crm.example.com/track/{{1}}/?token={{2}}", "example": ["https://crm.example.com/track/1/"]}]}]}
```
END

sub test_endpoints
{
	$cookie = cookie_of('ravi');
	my $answer = post('/generate-ai-template/', { template => $original })->{json};
	my %rule = map { ($_->{rule} => $_) } @{ $answer->{findings} };
	ok($rule{$_}, "the original's own template breaks $_") for qw(url_variable_count button_plain);
	is_deeply([ grep { my $f = $_; grep { !length($f->{$_} // '') } qw(component rule severity message fix source) } @{ $answer->{findings} } ], [], 'each finding has its rule, severity, message, fix and source');
	like($answer->{preview}, qr{Hi Asha,\nWe shared <b>Green_Acres</b> &lt;b&gt;\.}, 'the preview has the examples, bold, and no markup of the template');
	is(post('/generate-ai-template/', { template => 'I cannot do that.' })->{json}{findings}[0]{rule}, 'json', 'what is no JSON is said to be none');
	is(post('/generate-ai-template/', { template => $_ })->{status}, 200, "no error: $_") for '{}', '{"components": 7}', '{"components": [7, null, {"type": "BUTTONS", "buttons": {}}]}', '{"components": [{"type": "BODY", "text": {}}]}';
	my $good = post('/generate-ai-template/', { project => 'Green Acres', customer_name => 'Meera' });
	is_deeply($good->{json}{findings}, [ grep { $_->{severity} ne 'error' } @{ $good->{json}{findings} } ], 'what is generated breaks no rule');
	is($good->{content}, post('/generate-ai-template/', { project => 'Green Acres', customer_name => 'Meera' })->{content}, 'and is the same each time');
	my $draft = encode_json($good->{json}{template});
	is(post('/save-template/', { draft => $original })->{status}, 422, 'what WhatsApp would refuse is not saved');
	is(post('/save-template/', { draft => $draft, project => 'Nowhere' })->{status}, 422, 'nor for a project that is not there');
	my $saved = post('/save-template/', { draft => $draft, project => 'Green Acres' });
	is($saved->{status}, 201, 'a version is saved');
	is($saved->{json}{name}, 'project_update_template_2', 'under its own name');
	is(post('/submit-template/', { template_id => $saved->{json}{template_id} })->{status}, 403, 'an agent may not submit it');
	$cookie = cookie_of('asha');
	my $submitted = post('/submit-template/', { template_id => $saved->{json}{template_id} });
	is($submitted->{status}, 202, 'an administrator may');
	is(sql("SELECT status FROM wacta.template WHERE template_id = $saved->{json}{template_id}"), 'SUBMITTED', 'and it is');
	is(post('/submit-template/', { template_id => $saved->{json}{template_id} })->{status}, 409, 'once');
	is(post('/write-template/', { wishes => 'short' })->{status}, 409, 'without a model nobody writes');
	is(post('/save-template/', { draft => $draft }, accept => 'text/html')->{status}, 303, 'a form without JavaScript comes back');
	return;
}

sub picture
{
	my ($name, $selector, $scale) = (@_, 0.6);
	my $directory = $ENV{SHOTS} or return;
	my $at = $browser->value("(function () { const r = document.querySelector('$selector').getBoundingClientRect(); return { x: r.x + scrollX, y: r.y + scrollY, width: r.width, height: Math.min(r.height, 1500), scale: $scale }; })()");
	my $got = $browser->command('Page.captureScreenshot', { format => 'png', captureBeyondViewport => JSON::PP::true, clip => $at });
	open my $out, '>:raw', "$directory/$name.png" or die "$name: $!";
	print $out decode_base64($got->{data});
	close $out;
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

# What a person with a screen reader or a keyboard needs, of each page: names for all that can be used, no number used twice.
sub is_accessible
{
	my ($what) = @_;
	my $found = $browser->value(q{(function () {
		const bad = [], name = e => (e.getAttribute('aria-label') || (e.getAttribute('aria-labelledby') || '').split(' ').map(i => document.getElementById(i)?.textContent || '').join('') ||
			[...(e.labels || [])].map(l => l.textContent).join('') || e.textContent).trim();
		document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, [role=region], svg[role=img]').forEach(e => { if (!name(e)) bad.push('no name: ' + e.outerHTML.slice(0, 120)); });
		const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
		ids.filter((x, i) => ids.indexOf(x) !== i).forEach(x => bad.push('twice: ' + x));
		document.querySelectorAll('[aria-labelledby], [aria-describedby]').forEach(e => ((e.getAttribute('aria-labelledby') || '') + ' ' + (e.getAttribute('aria-describedby') || '')).trim().split(/\s+/).forEach(i => { if (!document.getElementById(i)) bad.push('nothing is ' + i); }));
		let last = 1;
		document.querySelectorAll('h1, h2, h3').forEach(h => { const n = +h.tagName[1]; if (n > last + 1) bad.push('heading skips: ' + h.textContent); last = n; });
		return bad; })()});
	is_deeply($found, [], "$what: everything has a name, ids are used once, headings go down step by step");
	return;
}

sub open_dashboard
{
	my (%option) = @_;
	$browser = Wacta::Browser->start(%option);
	my ($name, $value) = split /=/, $cookie, 2;
	$browser->command('Network.setCookie', { name => $name, value => $value, url => $gateway->url });
	$browser->go("$gateway->{url}/whatsapp-interactive/");
	return;
}

sub test_looks
{
	for my $look ([ 'phone-light', width => 390, height => 844 ], [ 'phone-dark', width => 390, height => 844, dark => 1 ], [ 'desk-light', width => 1280, height => 900 ], [ 'desk-dark', width => 1280, height => 900, dark => 1 ])
	{
		my ($name, %option) = @$look;
		open_dashboard(%option);
		is_quiet($name);
		is_accessible($name);
		picture("dashboard-$name", '#figures');
		picture("lists-$name", '#main > .columns');
		picture("studio-$name", '#studio');
		$browser->go("$gateway->{url}/whatsapp-interactive/people/");
		is_quiet("the list of people, $name");
		is_accessible("the list of people, $name");
		is($browser->value('document.querySelectorAll("main img, main script").length'), 0, 'hostile names are text');
		picture("people-$name", 'section');
	}
	return;
}

sub test_studio
{
	open_dashboard(width => 1280, height => 900);
	$browser->value('window.marker = 1; document.getElementById("template_json").focus(); document.getElementById("template_json").select()');
	$browser->type($original);
	ok($browser->until('document.getElementById("findings").textContent.includes("url_variable_count")'), 'what is pasted is checked by itself');
	is($browser->value('document.querySelector("#preview b")?.textContent'), 'Green_Acres', 'and shown');
	picture('findings', '#studio', 0.45);
	$browser->click('#checker [formaction]');
	ok($browser->until('document.getElementById("studio_status").textContent.startsWith("Not saved: ")'), 'it cannot be saved');
	$browser->click('#generator button');
	ok($browser->until('document.getElementById("studio_status").textContent === "Generated."'), 'one is generated');
	$browser->click('#checker [formaction]');
	ok($browser->until('document.getElementById("studio_status").textContent.startsWith("Saved as project_update_template_4")'), 'saved as the next version');
	ok($browser->until('document.querySelector("#templates .name").textContent.includes("project_update_template_4")'), 'and listed');
	$browser->click('#templates [data-act] button');
	ok($browser->until('document.querySelector("#templates .tag").textContent === "submitted"'), 'submitted');
	$browser->click('[data-copy=template_prompt]');
	ok($browser->until('document.getElementById("studio_status").textContent === "Copied."'), 'the prompt is copied');
	is($browser->value('window.marker'), 1, 'all in the same page');
	is_quiet('the studio at work');
	return;
}

# By keyboard alone: the first call to make is done with, and the people behind a card are opened.
sub test_keyboard
{
	open_dashboard(width => 390, height => 844);
	$browser->key('Tab');
	is($browser->value('document.activeElement.className'), 'skip', 'the first key leads to the way past the head');
	my $first = $browser->value('document.querySelector("#follow_ups li").dataset.key');
	for (1 .. 80)
	{
		last if $browser->value('document.activeElement.value === "done"');
		$browser->key('Tab');
	}
	is($browser->value('document.activeElement.closest("li").dataset.key'), $first, 'tabs reach the first call to make');
	$browser->key('Enter');
	ok($browser->until("document.querySelector('[data-key=$first]') === null"), 'which is done by Enter');
	is(sql(q(SELECT count(*) FROM wacta.follow_up WHERE result = 'done')), 1, 'and recorded');
	$browser->value('document.querySelector(".cards .good a").focus()');
	$browser->key('Enter');
	ok($browser->until('document.querySelector("h2")?.textContent === "Interested"'), 'a card opens its people');
	is_quiet('by keyboard');
	return;
}

sub test_plain
{
	open_dashboard(width => 390, height => 844, script => 0);
	$browser->click('#checker .two button');
	ok($browser->until('location.hash === "#studio" && document.getElementById("findings") !== null'), 'without JavaScript a draft is checked');
	$browser->value('document.querySelector("#find [name=q]").focus()');
	$browser->type('fatima');
	$browser->key('Enter');
	ok($browser->until('document.querySelectorAll(".people tbody th").length === 1'), 'a person is found');
	$browser->click('.people tbody a');
	ok($browser->until('document.getElementById("about") !== null'), 'and told about');
	$browser->value('window.old = 1');
	$browser->click('#follow_ups [value=no_answer]');
	ok($browser->until('window.old === undefined && location.search.startsWith("?lead=")'), 'what came of a call is recorded');
	is(sql(q(SELECT count(*) FROM wacta.follow_up WHERE result = 'no_answer')), 1, 'once');
	is_quiet('without JavaScript');
	return;
}

prepare();
test_endpoints();
SKIP:
{
	Wacta::Browser::program() or skip 'there is no chromium', 1;
	sql(q(UPDATE wacta.config SET base_url = 'https://crm.example.com'));
	test_looks();
	test_studio();
	test_keyboard();
	test_plain();
	undef $browser;
}
done_testing();
