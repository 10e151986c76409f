# The whole journey as people see it, in one browser: staff write a template, submit it and send it; a customer taps; the dashboard
# shows it. All that lies between goes its real way: courier, provider's double, webhooks, gateway.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Browser;
use Wacta::Model;
use Wacta::Site qw(%SECRET);

Wacta::Browser::program() or plan skip_all => 'there is no chromium';

my $phone = '+919876511111';
my $site = Wacta::Site->start('crm');
my ($staff, $customer) = map { Wacta::Browser->start(@$_) } [ width => 1280, height => 900 ], [ width => 390, height => 844 ];
my $good = $site->sql(q(SELECT jsonb_set(wacta.generate_template('Palm Residency'), '{components,0,text}', '"Hello {{1}}, the first flats of *{{2}}* are ready for you to see."')));
my $model = Wacta::Model->start($good =~ s/"Interested"/"Interested \\u2705"/r, $good);

sub prepare
{
	$site->sql(q(UPDATE wacta.channel SET account_id = '102290129340398'));
	$site->sql(q(UPDATE wacta.project SET sales_days = '{1,2,3,4,5,6,7}', sales_from = '00:00', sales_to = '23:59:59'));
	$site->sql(q(SELECT wacta.add_staff('asha', wacta.read_secret_file('password'), 'Asha Rao', 'wacta_admin')));
	$site->double->post('settings', { templates => { review_ms => 300 } });
	return;
}

# What a person sees when they come back to the tab: it refreshes at once, where it would in ten seconds.
sub staff_sees
{
	my ($expression, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($staff->until("document.dispatchEvent(new Event('visibilitychange')), $expression"), $what);
}

# By keyboard alone: Tab until the element has the focus, from wherever one is.
sub reach
{
	my ($selector) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for (1 .. 150)
	{
		return pass("$selector is reached by Tab") if $staff->value("document.activeElement.matches('$selector')");
		$staff->key('Tab');
	}
	return fail("$selector is reached by Tab");
}

sub press
{
	my ($selector) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	reach($selector);
	$staff->key('Enter');
	return;
}

sub sign_in
{
	$staff->go($site->gateway->url . '/whatsapp-interactive/');
	is($staff->value('document.querySelector("h1").textContent'), 'Sign in', 'a stranger is asked who they are');
	$staff->type('asha');
	$staff->key('Tab');
	$staff->type($SECRET{password});
	$staff->key('Enter');
	ok($staff->until('document.querySelector("#figures") !== null'), 'and signs in');
	$staff->value('window.marker = 1');
	return;
}

# Asked, mended once, a draft; what is only a draft is sent to nobody.
sub test_model
{
	ok($staff->value('document.querySelector("form[action$=write-template\\\\/]") === null'), 'without a model there is nobody to write');
	$model->attach($site, 'sk-TheModelsTokenOfTheTest0123456789');
	$staff->go($site->gateway->url . '/whatsapp-interactive/');
	$staff->value('window.marker = 1');
	reach('#studio [name=wishes]');
	$staff->type('Say that the first flats are ready');
	$staff->key('Enter');
	ok($staff->until('document.querySelector("#studio [data-keep]").textContent === "Asked"'), 'a model is asked');
	staff_sees('document.querySelector("#templates li .name").textContent.includes("project_update_template_2")', 'what it wrote is a draft');
	is(scalar(my @asked = $model->asked), 2, 'after it had mended what WhatsApp would have refused');
	is($site->sql(q(SELECT (wacta.send_interactive(wacta.upsert_lead('+919876500000', 'Ravi'), 'project_update_template_2') IS NOT NULL)::text)), 'true', 'one is queued');
	is($site->sql(q(SELECT DISTINCT gate FROM wacta.explain_send(wacta.lead_by_phone('+919876500000'), 'project_update_template_2') WHERE NOT passed AND gate LIKE 'template%')),
		'template', 'but not sent with a draft');
	return;
}

sub test_review
{
	press('#templates [data-act] button');
	staff_sees('document.querySelector("#templates li .tag").textContent === "approved"', 'submitted, reviewed, and approved by webhook');
	$site->wait_sql(q(SELECT status FROM wacta.message WHERE lead_id = wacta.lead_by_phone('+919876500000')), 'read', 'what waited for it is sent');
	like($site->double->inbox('919876500000')->[0]{rendered}{body}, qr/first flats of/, 'with what the model wrote');
	return;
}

sub test_send
{
	is($site->post_call($phone, 'call-1')->{status}, 200, 'a customer calls');
	ok($staff->until('document.querySelector("#calls form") !== null', 20), 'the call shows by itself');
	press('#calls form button');
	ok($staff->until('document.querySelector("#calls [data-keep]")?.textContent === "Queued" || document.querySelector("#calls form") === null'), 'and is answered by one key');
	$site->wait_sql(qq(SELECT status FROM wacta.message WHERE lead_id = wacta.lead_by_phone('$phone')), 'read', 'the message is read');
	return;
}

sub test_tap
{
	$customer->go($site->gateway->url . $site->link_of($phone, 'Interested'));
	ok($customer->until('document.querySelector("h1").textContent.includes("Thank you for your interest")'), 'the customer taps');
	$customer->click('button[value=tomorrow]');
	ok($customer->until('document.querySelector("button[value=tomorrow]")?.getAttribute("aria-pressed") === "true"'), 'and wants to be called tomorrow');
	$site->wait_sql(q(SELECT status FROM wacta.message WHERE purpose = 'brochure'), 'read', 'the brochure is there');
	return;
}

sub test_dashboard
{
	my $card = '[...document.querySelectorAll(".cards div")].find(c => c.querySelector("dt").textContent === "Interested").querySelector(".number").textContent';
	staff_sees("$card === '1'", 'the card counts them');
	like($staff->value('[...document.querySelectorAll(".funnel li")].map(l => l.textContent.replace(/\s+/g, " ").trim()).join("; ")'), qr/Sent2 100 %; .*Answered1 50 %; Interested1 50 %$/, 'and the funnel');
	staff_sees('document.querySelector("#interactions li .tag")?.textContent === "Interested"', 'the answer is in the list');
	staff_sees('document.querySelector("#follow_ups li [value=done]") !== null', 'and the call to make');
	press('#follow_ups li [value=done]');
	staff_sees('document.querySelector("#follow_ups li [value=done]") === null', 'which is done');
	is($site->sql('SELECT result FROM wacta.follow_up'), 'done', 'and noted');
	is($staff->value('window.marker'), 1, 'all in the same page');
	return;
}

prepare();
sign_in();
test_model();
test_review();
test_send();
test_tap();
test_dashboard();
for my $browser ($staff, $customer)
{
	is_deeply([ $browser->complaints ], [], 'no violation of the policy, no script error');
	is_deeply([ grep { !/^(?:\Q${\ $site->gateway->url}\E|data:|about:)/ } $browser->requested ], [], 'nothing from another site');
}
done_testing();
