# The staff's pages on a phone and on a desk, light and dark, before an accessibility checker: nothing is cut off, too small for a
# thumb, or not to be read.
use strict;
use warnings;
use utf8;
use Encode qw(encode_utf8);
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Browser;

Wacta::Browser::program() or plan skip_all => 'there is no chromium';

my $hostile = q(<script>alert("x")</script>);
my $node = wacta_node('main');
my ($gateway, $browser);

sub sql
{
	my ($query, @values) = @_;
	$query =~ s/\?/"'" . (shift @values) =~ s{'}{''}gr . "'"/ge;
	return $node->safe_psql('crm', encode_utf8($query));
}

# Something in each list, and long and odd names among it.
sub prepare
{
	sql(q(SELECT wacta.add_signing_key(), wacta.set_session_secret('a secret of tests, thirty-two characters long')));
	sql(q(SELECT wacta.add_template('project_update_template', wacta.generate_template('Green Acres') -> 'components')));
	sql(q(SELECT wacta.add_project('Green Acres', template => 'project_update_template'), wacta.add_channel('main', 'meta', '1065'), wacta.pause_channel('main', 'a test')));
	sql(q(SELECT wacta.add_staff('asha', 'correct horse battery', 'Asha Rao')));
	for my $name ('Asha Rao', $hostile, "\x{202e}\x{645}\x{62d}\x{645}\x{62f} \x{1F3E1}", 'x' x 300)
	{
		sql(q(WITH l AS (SELECT wacta.upsert_lead('+9199999' || lpad((SELECT count(*) FROM wacta.lead)::text, 5, '0'), ?, 'Green Acres') AS id)
			SELECT wacta.send_interactive(id) FROM l), $name);
	}
	sql(q(UPDATE wacta.message SET status = 'read', accepted_at = wacta.now(), read_at = wacta.now()));
	sql(q(SELECT wacta.decide(lead_id, message_id, CASE WHEN message_id % 2 = 0 THEN 'interested' ELSE 'not_interested' END, 'link', true, '{}') FROM wacta.message));
	sql(q(SELECT wacta.log_ivr_call('+919876511111', '918060000305', 'manual', 'one')));
	$gateway = Wacta::Gateway->start($node, 'crm');
	sql(q(UPDATE wacta.config SET base_url = ?, brand = 'Bop Realty'), $gateway->url);
	$browser = Wacta::Browser->start(width => 390, height => 844);
	return;
}

sub is_good
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($browser->value('document.documentElement.scrollWidth <= innerWidth'), "$what: fits the width");
	is($browser->value(q{[].filter.call(document.querySelectorAll('button, input:not([type=hidden]), select, summary'), function (e) {
		var r = e.getBoundingClientRect(); return r.height > 0 && r.height < 44; }).map(function (e) { return e.outerHTML.slice(0, 60); }).join(' ')}),
		'', "$what: nothing to press is too small for a thumb") if $browser->value('innerWidth < 800');
	is($browser->findings, '', "$what: no serious finding of the accessibility checker") if $browser->has_checker;
	is_deeply([ $browser->complaints ], [], "$what: no violation of the policy, no script error");
	return;
}

sub sign_in
{
	$browser->go($gateway->url . '/whatsapp-interactive/');
	is_good('the sign-in');
	$browser->type('asha');
	$browser->key('Tab');
	$browser->type('correct horse battery');
	$browser->key('Enter');
	return ok($browser->until('document.querySelector("#figures") !== null'), 'signed in by keyboard');
}

my %page = (
	'the dashboard' => '',
	'a person' => '?lead=' ,
	'the people' => 'people/?show=all',
	'nobody' => 'people/?q=nobody',
	'the studio' => '?for_project=Green%20Acres&customer_name=Asha#studio',
	'the password' => '../password/');

sub walk
{
	my ($look, @look) = @_;
	$browser->look(@look);
	for my $what (sort keys %page)
	{
		my $lead = $page{$what} =~ /lead=$/ ? sql('SELECT min(lead_id) FROM wacta.lead') : '';
		$browser->go($gateway->url . "/whatsapp-interactive/$page{$what}$lead");
		is_good("$what, $look");
	}
	return;
}

prepare();
diag 'no accessibility checker: npm ci in test/axe brings it' unless Wacta::Browser->has_checker;
sign_in();
walk('phone, light', 390, 844, 0);
walk('phone, dark', 390, 844, 1);
walk('desk, light', 1280, 900, 0);
walk('desk, dark', 1280, 900, 1);
done_testing();
