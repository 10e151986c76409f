# From a call to a tap: the whole journey over HTTP, for both decisions, with Meta and with Tata.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Site;

for my $provider ('meta', 'tata')
{
	my $site = Wacta::Site->start("crm_$provider", provider => $provider);
	my ($asha, $ravi) = ('+919876511111', '+919876522222');

	# --- Two calls come in, one of them twice
	is($site->post_call($asha, 'call-1')->{status}, 200, "$provider: a call is taken");
	is($site->post_call($asha, 'call-1')->{status}, 200, 'its second delivery as well');
	is($site->post_call($ravi, 'call-2')->{status}, 200, 'and another call');
	is($site->sql('SELECT count(*) FROM wacta.ivr_call'), '2', 'they are two calls');
	is($site->sql('SELECT count(*) FROM wacta.lead'), '2', 'of two leads');
	is($site->sql('SELECT string_agg(outcome, \' \') FROM wacta.process_ivr()'), 'queued queued', 'process_ivr queues a message each');
	is($site->sql('SELECT count(*) FROM wacta.process_ivr()'), '0', 'and none the second time');

	# --- The template leaves, and the provider's webhooks come back
	$site->wait_sql(q(SELECT count(*) FROM wacta.message WHERE status = 'read'), '2', 'sent, delivered and read are told by webhook');
	$site->wait_sql('SELECT count(*) FROM wacta.message WHERE wamid IS NOT NULL AND sent_at IS NOT NULL AND delivered_at IS NOT NULL',
		'2', 'with their times and the wamid');
	is($site->sql('SELECT count(*) FROM wacta.inbox WHERE NOT proved OR errors <> \'[]\''), '0', 'every webhook was proved and applied');

	# --- Interested
	my $page = $site->tap($asha, 'Interested');
	is($page->{status}, 200, 'Interested: a page answers');
	like($page->{content}, qr/Thank you/, 'which says thank you');
	$site->wait_sql(q(SELECT status FROM wacta.message WHERE purpose = 'brochure'), 'read', 'the brochure arrives');
	is($site->sql("SELECT status || ', ' || stage || ', ' || consent FROM wacta.lead WHERE lead_id = wacta.lead_by_phone('$asha')"),
		'Interested, Interested, granted', 'the lead is interested');
	is($site->sql("SELECT count(*) FROM wacta.follow_up WHERE closed_at IS NULL"), '1', 'a follow-up call is scheduled');
	like($site->sql("SELECT string_agg(note, E'\\n' ORDER BY note_id) FROM wacta.lead_note WHERE lead_id = wacta.lead_by_phone('$asha')"),
		qr/^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] Clicked 'Interested' via WhatsApp\n\[.{19}\] Brochure sent automatically$/, 'the notes say so');
	$site->tap($asha, 'Interested');
	is($site->sql("SELECT count(*) FROM wacta.message WHERE purpose = 'brochure'"), '1', 'the same tap again has no second effect');

	# --- Not interested, and a campaign after it
	is($site->tap($ravi, 'Not Interested')->{status}, 200, 'Not interested: a page answers');
	is($site->sql("SELECT status || ', ' || stage || ', ' || consent FROM wacta.lead WHERE lead_id = wacta.lead_by_phone('$ravi')"),
		'Not Interested, Cold, withdrawn', 'the lead is cold and opted out');
	is($site->sql("SELECT string_agg(outcome, ', ' ORDER BY lead_id) FROM wacta.send_campaign('project_update_template')"),
		'queued, opted_out', 'a further campaign skips them with the reason');
	$site->wait_sql(q(SELECT count(*) FROM wacta.message WHERE status IN ('queued', 'sending')), '0', 'the campaign is sent');
	is(scalar @{ $site->double->journal(to => $ravi) }, 1, 'the double saw one request for them in all');
	is($site->double->get('stats')->{refused}, 0, 'the double had nothing to refuse');

	# --- What GET and HEAD do
	my $link = $site->link_of($asha, 'Not Interested');
	is($site->gateway->request(HEAD => $link)->{status}, 200, 'HEAD of the other link');
	is($site->gateway->request(GET => $link, { headers => { 'user-agent' => 'WhatsApp/2.22.20.72 A' } })->{status}, 200, 'GET of it');
	is($site->sql("SELECT status FROM wacta.lead WHERE lead_id = wacta.lead_by_phone('$asha')"), 'Interested', 'change nothing');
	is($site->gateway->request(POST => $link =~ s/.$/!/r)->{status}, 403, 'a spoilt link is refused');
	is($site->sql('SELECT count(*) FROM wacta.token_refusal'), '1', 'and audited');

	# --- A quick reply and a word, through the same transition
	$site->double->post('inbound', { from => $asha, text => ' Stop. ', provider => $provider });
	$site->wait_sql("SELECT consent FROM wacta.lead WHERE lead_id = wacta.lead_by_phone('$asha')", 'withdrawn', 'STOP opts out');
	$site->node->stop;
}

done_testing();
