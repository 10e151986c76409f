# The customers' pages as people meet them, in Chromium: on a phone and on a desk, light and dark, in English and Hindi, without
# JavaScript, by keyboard alone, with hostile names, and before an accessibility checker.
use strict;
use warnings;
use utf8;
use Encode qw(encode_utf8);
use JSON::PP ();
use MIME::Base64 qw(decode_base64);
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Browser;

Wacta::Browser::program() or plan skip_all => 'there is no chromium';

my $hostile = q(<script>alert("x")</script>'&<img src=x onerror=alert(1)>);
my $rtl = "\x{202e}\x{645}\x{62d}\x{645}\x{62f} \x{1F3E1}";
my $node = wacta_node('main');
my ($gateway, $browser);
my $people = 0;

sub sql { my ($sql) = @_; return $node->safe_psql('crm', encode_utf8($sql)) }

# The link of a person of their own: to a project, of a message in a language.
sub link_of
{
	my ($action, %with) = @_;
	my $project = ($with{project} // 'Green Acres') =~ s/'/''/gr;
	my $lead = sql(sprintf q(SELECT wacta.upsert_lead('+9198765%05d', 'Asha', '%s')), ++$people, $project);
	my $id = $with{template} ? sql("SELECT wacta.send_interactive($lead, '$with{template}')") : $lead;
	return ($lead, $gateway->url . sql("SELECT regexp_replace(wacta.mint_link($id, '$action'), '^https?://[^/]+', '')"));
}

sub heading { return $browser->value('document.querySelector("h1").textContent') }

sub has_heading
{
	my ($text, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($browser->until(sprintf 'document.querySelector("h1")?.textContent.includes("%s")', $text), $what);
}

# What holds for each page. A checker needs JavaScript, so it looks at what came without it, too.
sub is_good
{
	my ($what, $without_checker) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($browser->value('document.documentElement.scrollWidth <= innerWidth'), "$what: fits the width");
	ok($browser->value('document.querySelectorAll("h1").length === 1 && document.querySelectorAll("main, header").length === 2 && document.title !== ""'),
		"$what: a title, a heading, landmarks");
	is($browser->value(q{[].filter.call(document.querySelectorAll('button, a.button, summary'), function (e) { var r = e.getBoundingClientRect(); return r.height > 0 && r.height < 44; }).length}),
		0, "$what: nothing to tap is too small for a thumb");
	is($browser->findings, '', "$what: no serious finding of the accessibility checker") if $browser->has_checker && !$without_checker;
	is_deeply([ $browser->complaints ], [], "$what: no violation of the policy, no script error");
	is_deeply([ grep { !/^(?:\Q$gateway->{url}\E|data:|about:)/ } $browser->requested ], [], "$what: nothing from another site");
	return;
}

# For docs/images, when WACTA_SCREENSHOTS names a directory.
sub keep_picture
{
	my ($name) = @_;
	my $dir = $ENV{WACTA_SCREENSHOTS} or return;
	my $height = $browser->value('document.documentElement.scrollHeight');
	my $picture = $browser->command('Page.captureScreenshot', { format => 'png', captureBeyondViewport => JSON::PP::true,
		clip => { x => 0, y => 0, width => $browser->value('innerWidth'), height => $height, scale => 1 } });
	open my $out, '>:raw', "$dir/$name.png" or die "$dir/$name.png: $!";
	print $out decode_base64($picture->{data});
	close $out or die "$name: $!";
	return;
}

sub prepare
{
	sql(q(SELECT wacta.add_signing_key(), wacta.add_channel('main', 'meta', '1065'), wacta.pause_channel('main', 'a test')));
	sql(q(SELECT wacta.add_template('project_update_template', wacta.generate_template('Green Acres') -> 'components'),
		wacta.add_template('hindi_update', wacta.generate_template('Green Acres') -> 'components', language => 'hi')));
	sql(q(SELECT wacta.add_project('Green Acres', 'Bop Realty', 'https://example.com/b.pdf')));
	sql(q(UPDATE wacta.project SET sales_days = '{1,2,3,4,5,6,7}', sales_from = '00:00', sales_to = '23:59:59'));
	sql(sprintf q(SELECT wacta.add_project('%s'), wacta.add_project('%s'), wacta.add_project('%s')), $hostile =~ s/'/''/gr, $rtl, "\x{1F3E1}" . 'W' x 199);
	sql(q(UPDATE wacta.config SET brand = 'Bop Realty', click_mode = 'confirm'));
	$gateway = Wacta::Gateway->start($node, 'crm');
	sql(sprintf q(UPDATE wacta.config SET base_url = '%s'), $gateway->url);
	return;
}

# Every page, one after the other, as one person sees them.
sub walk
{
	my ($look, $language, %option) = @_;
	my $hindi = $language eq 'hi';
	my ($lead, $link) = link_of('interested', $hindi ? (template => 'hindi_update') : ());
	my ($thanks, $bye, $dead) = $hindi ? ('धन्यवाद', 'बताने के लिए', 'यह लिंक') : ('Thank you for your interest', 'Thank you for telling us', 'does not work any more');
	$browser = Wacta::Browser->start(%option);
	$browser->command('Network.setExtraHTTPHeaders', { headers => { 'Accept-Language' => "$language,en;q=0.5" } });
	my $seen = sub { my ($page) = @_; is_good("$page, $look, $language", $option{unchecked}); keep_picture("$page-$look-$language") };
	$browser->go($link);
	is($browser->value('document.documentElement.lang'), $language, 'the language of the message');
	$seen->('confirm');
	$browser->click('form button');
	has_heading($thanks, "$look, $language: the tap");
	$seen->('interested');
	$browser->click('button[value=tomorrow]');
	ok($browser->until('document.querySelector("button[value=tomorrow]").getAttribute("aria-pressed") === "true"'), 'a call tomorrow');
	is(sql("SELECT wish || ' ' || (due_at > now()) FROM wacta.follow_up WHERE lead_id = $lead"), 'tomorrow true', 'is scheduled');
	$seen->('call');
	$browser->click('summary');
	$browser->click('details button');
	has_heading($bye, 'a change of mind');
	is(sql("SELECT consent FROM wacta.lead WHERE lead_id = $lead"), 'withdrawn', 'counts');
	$seen->('not_interested');
	$browser->go($link);
	$browser->click('form button');
	ok($browser->until('document.querySelector(".ask_again") !== null'), 'an old link asks again');
	$seen->('ask_again');
	$browser->go("$gateway->{url}/t/nonsense");
	has_heading($dead, 'a bad link');
	# the status is the browser's to complain of
	$browser->{complaints} = [];
	$seen->('refused');
	return;
}

sub test_without_script
{
	my ($lead, $link) = link_of('not_interested');
	$browser = Wacta::Browser->start(width => 320, height => 568, script => 0);
	$browser->go($link);
	$browser->click('form button');
	has_heading('Thank you for telling us', 'without JavaScript: a no');
	$browser->click('summary');
	$browser->click('details button');
	has_heading('Thank you for your interest', 'and the way back');
	$browser->click('button[value=now]');
	ok($browser->until('document.querySelector("main").textContent.includes("will call you shortly")'), 'and a call');
	is_good('without JavaScript on the smallest phone');
	return;
}

# Tab and Enter reach everything, and it is seen where one is.
sub test_keyboard
{
	my ($lead, $link) = link_of('interested');
	$browser = Wacta::Browser->start(width => 390, height => 844);
	my $focus = sub { $browser->value('document.activeElement.getAttribute("value") || document.activeElement.tagName') };
	$browser->go($link);
	$browser->key('Tab');
	is($focus->(), 'BUTTON', 'the first thing is the answer');
	isnt($browser->value('getComputedStyle(document.activeElement).outlineStyle'), 'none', 'and seen to have the focus');
	$browser->key('Enter');
	has_heading('Thank you for your interest', 'by keyboard');
	my @order;
	while (@order < 6 && (!@order || $order[-1] ne 'SUMMARY'))
	{
		$browser->key('Tab');
		push @order, $focus->();
	}
	like("@order", qr/^A (?:now )(?:evening )?tomorrow SUMMARY$/, 'brochure, times of a call, change of mind');
	$browser->key('Enter');
	$browser->key('Tab');
	$browser->key('Enter');
	has_heading('Thank you for telling us', 'a change of mind by keyboard');
	return;
}

sub test_names
{
	$browser = Wacta::Browser->start(width => 360, height => 640);
	for my $name ($hostile, $rtl, "\x{1F3E1}" . 'W' x 199)
	{
		my ($lead, $link) = link_of('interested', project => $name);
		$browser->go($link);
		$browser->click('form button');
		ok($browser->until('document.querySelector(".interested") !== null'), 'a page with an odd name');
		ok(index($browser->value('document.querySelector("h1").textContent'), $name) >= 0, 'shows it as it is');
		is_good('an odd name', 1);
	}
	return;
}

# One tap is enough where the mode says so, and it is told in the page's language meanwhile.
sub test_auto
{
	sql(q(UPDATE wacta.config SET click_mode = 'auto'));
	my ($lead, $link) = link_of('interested', template => 'hindi_update');
	$browser = Wacta::Browser->start(width => 390, height => 844);
	$browser->go($link);
	has_heading('धन्यवाद', 'the page posts itself, in Hindi');
	is_good('a page that came by itself');
	return;
}

prepare();
diag 'no accessibility checker: npm ci in test/axe brings it' unless Wacta::Browser->has_checker;
walk('phone', 'en', width => 390, height => 844);
walk('dark', 'hi', width => 390, height => 844, dark => 1);
# the same markup and colours as on the phone
walk('desk', 'en', width => 1280, height => 900, dark => 1, unchecked => 1);
test_without_script();
test_keyboard();
test_names();
test_auto();
undef $browser;
$gateway->stop;
done_testing();
