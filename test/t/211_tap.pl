# A customer's link through the real gateway, in all three click modes: who decides by it, who is recorded and decides nothing, and
# that a refused one never says why.
use strict;
use warnings;
use MIME::Base64 qw(encode_base64url decode_base64url);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wacta;

my $node = wacta_node('main');
my $gateway;
my $phone = 'Mozilla/5.0 (Linux; Android 14; SM-A155F; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/128.0.0.0 Mobile Safari/537.36';
my @person = ($phone, "$phone WA4A/2.26.30.97", "$phone WhatsApp/2.24.1.78", 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) [WAiOS/2.26.31]', 'curl/8.5.0');
my %inert = (
	head     => [ map { [ 'HEAD', $_ ] } {}, { 'user-agent' => $phone } ],
	prefetch => [ map { [ 'GET', { 'user-agent' => $phone, @$_ } ] }
		  [ 'sec-purpose' => 'prefetch;prerender' ], [ purpose => 'prefetch' ], [ 'x-moz' => 'prefetch' ], [ 'x-purpose' => 'preview' ],
		  [ 'sec-fetch-dest' => 'image' ], [ 'sec-fetch-dest' => 'empty' ] ],
	preview => [ map { my $agent = $_; map { [ $_, { 'user-agent' => $agent } ] } 'GET', 'POST' }
		  'WhatsApp/2.23.20.0 A', 'WhatsApp/2', 'facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)', 'Twitterbot/1.0',
		  'TelegramBot (like TwitterBot)', 'Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)', 'Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)',
		  'LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)', 'Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5',
		  'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)', 'Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)',
		  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) WhatsApp/0.2.4240 Chrome/53.0.2785.143 Electron/1.4.12 Safari/537.36' ]);
# a POST of a previewer is in %inert; that of a prefetching browser as well
push @{ $inert{prefetch} }, [ 'POST', { 'user-agent' => $phone, 'sec-purpose' => 'prefetch' } ];

sub sql { my ($sql) = @_; return $node->safe_psql('crm', $sql) }

my $people = 0;

# A lead of its own for each case.
sub lead
{
	return sql(sprintf q(SELECT wacta.upsert_lead('+9198765%05d', 'Asha', 'Green Acres')), ++$people);
}

sub link_to { my ($lead, $action) = @_; return sql("SELECT regexp_replace(wacta.mint_link($lead, '$action'), '^https?://[^/]+', '')") }

sub ask { my ($method, $path, $headers, %with) = @_; return $gateway->request($method, $path, { headers => $headers // {}, %with }) }

sub state_of { return sql("SELECT status || ', ' || consent FROM wacta.lead WHERE lead_id = $_[0]") }

sub clicks
{
	my ($lead) = @_;
	return sql(qq(SELECT string_agg(action || ' ' || kind || CASE WHEN effective THEN '!' ELSE '' END, ', ' ORDER BY click_id)
		FROM wacta.click WHERE lead_id = $lead));
}

# Clicks come a moment after the answer where it is no tap that is answered.
sub has_clicks
{
	my ($lead, $expected, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $got;
	return wait_for($what, sub { ($got = clicks($lead)) eq $expected }) || diag "got: $got\nexpected: $expected";
}

sub heading { my ($answer) = @_; return $answer->{content} =~ m{<h1>(.*?)</h1>}s ? $1 =~ s/<[^>]*>//gr : '' }

my $thanks = 'Thank you for your interest in Green Acres';

# In each mode a person's POST decides and what previews links does not, however it asks.
sub test_people
{
	my ($mode) = @_;
	for my $agent (@person)
	{
		my $lead = lead();
		my $answer = ask(POST => link_to($lead, 'interested'), { 'user-agent' => $agent });
		is(heading($answer), $thanks, "$mode: a POST decides, by $agent");
		is(clicks($lead), 'interested tap!', 'and is a tap');
	}
	return;
}

sub test_inert
{
	my ($mode) = @_;
	for my $kind (sort keys %inert)
	{
		my $lead = lead();
		for my $request (@{ $inert{$kind} })
		{
			my $answer = ask($request->[0], link_to($lead, 'not_interested'), $request->[1]);
			is($answer->{status}, 200, "$mode: $request->[0] by " . ($request->[1]{'user-agent'} // 'nobody') . " is answered");
			is(heading($answer), 'Green Acres', 'with the page that asks') unless $request->[0] eq 'HEAD';
			ok(!exists $answer->{headers}{'x-accel-redirect'}, 'and no word between the front door and the page');
		}
		has_clicks($lead, "not_interested $kind", "recorded once, as $kind");
		is(state_of($lead), 'New, unknown', 'and nothing is changed');
	}
	return;
}

sub test_view
{
	my ($mode, $script) = @_;
	my $lead = lead();
	my $link = link_to($lead, 'interested');
	my $answer = ask(GET => $link, { 'user-agent' => $phone, 'sec-fetch-dest' => 'document' });
	is(heading($answer), 'Green Acres', "$mode: a GET is answered with the page that asks");
	is(scalar(() = $answer->{content} =~ /<script>/g), $script, 'with as much script as the mode says');
	ask(GET => $link, { 'user-agent' => $_ }) for ($phone) x 20, map { "browser $_" } 1 .. 10;
	has_clicks($lead, 'interested view', 'a loop of visits is one record');
	is(state_of($lead), 'New, unknown', 'that changes nothing');
	is(heading(ask(POST => $link, { 'user-agent' => $phone })), $thanks, 'the tap does');
	has_clicks($lead, 'interested view, interested tap!', 'and is a record of its own');
	return;
}

sub test_direct
{
	for my $agent (@person)
	{
		my $lead = lead();
		my $link = link_to($lead, 'interested');
		my $page = ask(GET => $link, { 'user-agent' => $agent, 'sec-fetch-dest' => 'document' });
		is($page->{status}, 200, "direct: a GET decides, by $agent");
		is(heading($page), $thanks, 'and is answered as the tap that it is');
		is(clicks($lead), 'interested tap!', 'recorded before the answer');
		is_deeply([ ask(GET => $link, { 'user-agent' => $agent })->{content}, ask(POST => $link, { 'user-agent' => $agent })->{content} ],
			[ ($page->{content}) x 2 ], 'a reload, or the POST, is the same page');
		is(clicks($lead), 'interested tap!, interested tap, interested tap', 'without another effect');
		is(sql("SELECT count(*) FROM wacta.lead_note WHERE lead_id = $lead"), '1', 'nor another note');
	}
	return;
}

# The other button of the page, an old link, and the explicit yes.
sub test_change_of_mind
{
	my ($mode, $method) = @_;
	my $lead = lead();
	my $yes = link_to($lead, 'interested');
	my $page = ask($method => $yes, { 'user-agent' => $phone });
	my ($to, $token) = $page->{content} =~ m{<form method="post" action="(/t/[^"]+)">\s*<input type="hidden" name="token" value="([^"]+)"};
	my $no = ask(POST => $to, { 'user-agent' => $phone }, form => { token => $token, action => 'not_interested' });
	is(heading($no), 'Thank you for telling us', "$mode: the other button");
	is(state_of($lead), 'Not Interested, withdrawn', 'is a no');
	is(heading(ask($method => $yes, { 'user-agent' => $phone })), 'Green Acres', 'an old link asks');
	like(state_of($lead), qr/withdrawn/, 'and brings no consent back');
	ask(POST => $yes, { 'user-agent' => $phone }, form => { confirm => 'yes' });
	is(state_of($lead), 'Interested, granted', 'the explicit yes does');
	return;
}

sub test_scanner
{
	my ($mode, $method) = @_;
	my $lead = lead();
	ask($method => link_to($lead, $_), { 'user-agent' => 'Mozilla/5.0 (sandbox)' }) for 'interested', 'not_interested';
	is(clicks($lead), 'interested scanner!, not_interested scanner!', "$mode: both buttons at once are a scanner's");
	is(state_of($lead), 'Not Interested, withdrawn', 'whose newest decision stands');
	is(sql("SELECT count(*) FROM wacta.lead_note WHERE lead_id = $lead AND note LIKE '%scanner%'"), '1', 'told in the log');
	$lead = lead();
	ask($method => link_to($lead, $_->[0]), { 'user-agent' => $_->[1] }) for [ 'interested', 'a phone' ], [ 'not_interested', 'a desk' ];
	is(clicks($lead), 'interested tap!, not_interested tap!', 'two visitors are not');
	return;
}

# Every refusal: what is sent, and the reason in the audit.
sub refusals
{
	my ($good, $gone, $other) = (lead(), lead(), lead());
	my $retired = link_to($good, 'interested');
	my $key = sql(q(SELECT max(key_id) FROM wacta.signing_key WHERE purpose = 'link'));
	sql("SELECT wacta.add_signing_key(), wacta.retire_signing_key($key)");
	my $token = link_to($good, 'interested') =~ s{^/t/}{}r;
	my $forgotten = link_to($gone, 'interested');
	sql("SELECT wacta.forget($gone)");
	my $seed = sql("SELECT wacta.mint_token($good)");
	my $tampered = $token;
	substr($tampered, 40, 1) = substr($tampered, 40, 1) eq 'A' ? 'B' : 'A';
	return (
		malformed    => [ '/t/nonsense' ],
		empty        => [ "/track/$good/?token=&action=interested" ],
		tampered     => [ "/t/$tampered" ],
		expired      => [ '/t/' . sql("SELECT wacta.mint_signed($good, NULL, 'interested', now() - interval '2 h', now() - interval '1 h')") ],
		wrong_lead   => [ "/track/$other/?token=$seed&action=interested" ],
		wrong_action => [ "/t/$token?action=not_interested", "/track/$good/?token=$seed&action=buy", "/track/$good/?token=$seed" ],
		no_such_lead => [ '/t/' . sql(q(SELECT wacta.mint_signed(987654321, NULL, 'interested', now(), NULL))) ],
		forgotten    => [ $forgotten ],
		retired_key  => [ $retired ],
		foreign      => [ '/t/' . encode_base64url("\1\xff\xff" . substr decode_base64url($token), 3) ]);
}

sub test_refusals
{
	my ($mode) = @_;
	my %refused = refusals();
	my $first;
	sql('DELETE FROM wacta.token_refusal');
	for my $reason (sort keys %refused)
	{
		for my $path (@{ $refused{$reason} })
		{
			for my $method (qw(GET POST))
			{
				my $answer = ask($method => $path, { 'user-agent' => $phone });
				my %head = %{ $answer->{headers} };
				delete $head{date};
				$first //= { status => 403, head => \%head, content => $answer->{content} };
				is_deeply({ status => $answer->{status}, head => \%head, content => $answer->{content} }, $first,
					"$mode: $reason is refused as all are, by $method $path");
			}
		}
	}
	my %count = map { ($_ => 2 * @{ $refused{$_} }) } keys %refused;
	wait_for_value($node, 'crm', q(SELECT string_agg(reason || ' ' || n, ', ' ORDER BY reason COLLATE "C") FROM (SELECT reason, count(*) AS n FROM wacta.token_refusal GROUP BY 1) r),
		join(', ', map { "$_ $count{$_}" } sort keys %count), 'the audit alone tells them apart');
	return;
}

# Links as they come back from chats, mails and proxies.
sub test_mangled
{
	my $seed = sub { my ($lead) = @_; return sql("SELECT wacta.mint_token($lead)") };
	my %form = (
		'as made'                      => sub { "/track/$_[0]/?token=$_[1]&action=interested" },
		'colons encoded'               => sub { "/track/$_[0]/?token=" . ($_[1] =~ s/:/%3A/gr) . '&action=interested' },
		'colons encoded twice'         => sub { "/track/$_[0]/?token=" . ($_[1] =~ s/:/%253a/gr) . '&action=interested' },
		'copied from HTML'             => sub { "/track/$_[0]/?token=$_[1]&amp;action=interested&amp;utm_source=x" },
		'copied from HTML twice'       => sub { "/track/$_[0]/?token=$_[1]&amp;amp;action=interested" },
		'in brackets, in a sentence'   => sub { "/track/$_[0]/?action=interested&token=$_[1]).&fbclid=1" },
		'encoded whole'                => sub { "/track/$_[0]%2F%3Ftoken%3D$_[1]%26action%3Dinterested" },
		'in the words of the old site' => sub { "/track/$_[0]?token=$_[1]&action=Interested!" });
	for my $how (sort keys %form)
	{
		my $lead = lead();
		my $path = $form{$how}->($lead, $seed->($lead));
		is(heading(ask(GET => $path)), 'Green Acres', "a link $how is understood by GET");
		is(heading(ask(POST => $path)), $thanks, 'and by POST');
	}
	my $lead = lead();
	my $token = $seed->($lead);
	is(heading(ask(POST => "/track/$lead/", {}, form => { token => $token, action => 'interested' })), $thanks, 'a token in the form alone');
	is(heading(ask(POST => "/track/$lead", {}, json => { token => $token, action => 'interested' })), $thanks, 'or in JSON');
	my $link = link_to($lead, 'interested');
	is(heading(ask(POST => "$link$_")), $thanks, "what follows a link is left out: $_") for qw{. .) , ; ! */ %22 %E2%80%9D};
	is(ask(POST => "${link}A")->{status}, 403, 'but nothing that could be its own');
	is(ask(GET => $link, {}, content => 'x=y')->{status}, 400, 'a GET with a body is no request');
	return;
}

sub test_negotiation
{
	my $lead = lead();
	my $link = link_to($lead, 'interested');
	my $plain = ask(GET => $link);
	like($plain->{headers}{'cache-control'}, qr/no-store/, 'no page is kept');
	for my $headers ({ 'if-none-match' => '*' }, { 'if-modified-since' => 'Sun, 06 Nov 2044 08:49:37 GMT' }, { range => 'bytes=0-9' },
		map { { accept => $_ } } '*/*', 'image/*', 'application/json', 'text/html;q=0.1', '')
	{
		my $answer = ask(GET => $link, $headers);
		is_deeply([ @$answer{qw(status content)}, $answer->{headers}{'content-type'} ], [ 200, $plain->{content}, 'text/html; charset=utf-8' ],
			'the same page for ' . join ' ', %$headers);
	}
	my $head = ask(HEAD => $link);
	is($head->{headers}{'content-length'}, length $plain->{content}, 'HEAD tells the length of what GET would send');
	return;
}

# The record of a visit is nobody's to wait for; what it waits for itself, it gives up.
sub test_no_waiting
{
	my $lead = lead();
	my $link = link_to($lead, 'interested');
	my $session = $node->background_psql('crm');
	$session->query_safe('BEGIN; LOCK TABLE wacta.click');
	my $begin = time;
	is(ask(GET => $link)->{status}, 200, 'a page is answered while nothing can be recorded') for 1 .. 20;
	cmp_ok(time - $begin, '<', 5, sprintf 'at once: 20 took %.2f s', time - $begin);
	wait_for_value($node, 'crm', q(SELECT count(*) FROM pg_stat_activity WHERE usename = 'wacta_gateway' AND state <> 'idle'), '0', 'and nothing of it goes on waiting');
	$session->quit;
	ask(GET => $link);
	has_clicks($lead, 'interested view', 'later visits are recorded again');
	return;
}

# A gateway that is told to stop finishes the records as well.
sub test_stop
{
	my $lead = lead();
	sql(q(CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NEW; END $$;
		CREATE TRIGGER slowly BEFORE INSERT ON wacta.click FOR EACH ROW EXECUTE FUNCTION slowly()));
	is(ask(GET => link_to($lead, 'interested'))->{status}, 200, 'a page is answered');
	is($gateway->stop, 0, 'the gateway stops');
	is(clicks($lead), 'interested view', 'and has recorded the visit');
	return;
}

sub prepare
{
	sql(q(SELECT wacta.add_signing_key(), wacta.add_channel('main', 'meta', '1065'), wacta.pause_channel('main', 'a test')));
	sql(q(SELECT wacta.add_template('project_update_template', wacta.generate_template('Green Acres') -> 'components')));
	sql(q(SELECT wacta.add_project('Green Acres')));
	$gateway = Wacta::Gateway->start($node, 'crm', arguments => [ '--pool', '4' ]);
	return;
}

prepare();
for my $mode (qw(auto confirm direct))
{
	sql("UPDATE wacta.config SET click_mode = '$mode'");
	test_people($mode);
	test_inert($mode);
	$mode eq 'direct' ? test_direct() : test_view($mode, $mode eq 'auto' ? 1 : 0);
	test_change_of_mind($mode, $_) for 'POST', $mode eq 'direct' ? 'GET' : ();
	test_scanner($mode, $_) for 'POST', $mode eq 'direct' ? 'GET' : ();
	test_refusals($mode);
}
sql(q(UPDATE wacta.config SET click_mode = 'auto'));
test_mangled();
test_negotiation();
test_no_waiting();
test_stop();
done_testing();
