# The dashboard at work: the people behind each number, search, pages, CSV, what came of a
# call, refusals that tell why, with JavaScript and without.
use strict;
use warnings;
use utf8;
use Encode qw(decode_utf8 encode_utf8);
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Browser;

my $hostile = q(=cmd|'/c calc'!A1 <script>alert("x")</script>);
my $rtl = "\x{645}\x{62d}\x{645}\x{62f} \x{1F3E1}";
my $node = wacta_node('main');
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
	sql(q(SELECT wacta.add_template('project_update_template', wacta.generate_template('Green Acres') -> 'components')));
	sql(q(SELECT wacta.add_project('Green Acres', template => 'project_update_template'), wacta.add_project('Palm')));
	sql(q(SELECT wacta.add_channel('main', 'meta', '1065'), wacta.pause_channel('main', 'a test')));
	sql(q(SELECT wacta.add_staff('asha', 'correct horse battery', 'Asha Rao')));
	sql(q(SELECT count(wacta.upsert_lead('+9198765' || lpad(n::text, 5, '0'), 'Person ' || n, CASE WHEN n % 2 = 0 THEN 'Palm' ELSE 'Green Acres' END)) FROM generate_series(1, 120) n));
	sql(q(SELECT wacta.upsert_lead('+919999900001', ?, 'Palm'), wacta.upsert_lead('+919999900002', ?, 'Palm'), wacta.upsert_lead('+919999900003', ?, 'Palm')),
		$hostile, $rtl, 'x' x 300);
	# ten of Green Acres got a message: four of them read it, two were limited by Meta, one failed
	sql(q(SELECT count(wacta.send_interactive(lead_id)) FROM (SELECT lead_id FROM wacta.lead WHERE name ~ '^Person [0-9]*[13579]$' ORDER BY lead_id LIMIT 10) l));
	sql(q(UPDATE wacta.message m SET status = s::wacta.message_status, accepted_at = CASE WHEN s <> 'failed' THEN wacta.now() END,
	        reason = CASE s WHEN 'failed' THEN 'a reason of <Meta>' END, error_code = CASE WHEN s = 'failed' THEN CASE WHEN n = 7 THEN 131026 ELSE 131049 END END
	      FROM (SELECT message_id, row_number() OVER (ORDER BY message_id) AS n FROM wacta.message) x,
	           LATERAL (SELECT CASE WHEN n <= 4 THEN 'read' WHEN n <= 6 THEN 'failed' WHEN n = 7 THEN 'failed' ELSE 'delivered' END AS s) y
	      WHERE x.message_id = m.message_id));
	sql(q(SELECT wacta.decide(lead_id, message_id, CASE WHEN n < 3 THEN 'interested' ELSE 'not_interested' END, 'link', true, '{}')
	      FROM (SELECT lead_id, message_id, row_number() OVER (ORDER BY message_id) AS n FROM wacta.message WHERE status = 'read') x WHERE n <= 3));
	return;
}

sub sign_in
{
	$gateway = Wacta::Gateway->start($node, 'crm');
	sql(q(UPDATE wacta.config SET base_url = ?), $gateway->url);
	my $in = $gateway->request(POST => '/login/', { form => { username => 'asha', password => 'correct horse battery' } });
	($cookie) = $in->{headers}{'set-cookie'} =~ /^(wacta_session=[^;]+)/;
	return ok($cookie, 'signed in');
}

sub get
{
	my ($path, %header) = @_;
	my $answer = $gateway->request(GET => $path, { headers => { cookie => $cookie, %header } });
	$answer->{text} = decode_utf8($answer->{content});
	return $answer;
}
sub post { my ($path, $form, %header) = @_; return $gateway->request(POST => $path, { form => $form, headers => { cookie => $cookie, %header } }); }
sub people { my ($query) = @_; return get("/whatsapp-interactive/people/?$query")->{text}; }
sub rows { my ($page) = @_; my @names = $page =~ /<th scope="row"><a href="[^"]*">(.*?)<\/a>/g; return @names; }

# Each number of the page leads to as many people as it says.
sub test_numbers
{
	my $page = get('/whatsapp-interactive/')->{text};
	my %shown = $page =~ m{<dt>([^<]+)</dt><dd class="number"><a href="[^"]*">([^<]+)</a>}g;
	is_deeply(\%shown, { 'Messages sent' => 7, 'Interested' => 2, 'Not interested' => 1, 'Engagement rate' => '42.9 %', 'Conversion rate' => '28.6 %' }, 'the cards');
	my %behind;
	while ($page =~ m{<dt>(?:Messages sent|Interested|Not interested)</dt><dd class="number"><a href="\.\./whatsapp-interactive/people/([^"]*)">(\d+)</a>}g)
	{
		my ($query, $number) = ($1, $2);
		$query =~ s/&amp;/&/g;
		is(scalar(rows(get("/whatsapp-interactive/people/$query")->{text})), $number, "people behind $query");
	}
	like($page, qr{<dd class="soft">▲ from 0 on the 30 days before</dd><dd><svg class="spark"}, 'each with its trend');
	is(scalar(() = $page =~ /<polyline/g), 5, 'and a line');
	like($page, qr{2 limited by Meta</a> <span class="soft"><bdi>2 × a reason of &lt;Meta&gt; \(code 131049\)</bdi>}, 'limited by Meta, with the reason');
	like($page, qr{1 failed</a> <span class="soft"><bdi>1 × a reason of &lt;Meta&gt; \(code 131026\)}, 'failed, with the reason');
	is(scalar(rows(people("show=$_->[0]"))), $_->[1], "$_->[0]: $_->[1]") for [ limited => 2 ], [ failed => 1 ], [ delivered => 7 ], [ read => 4 ], [ clicked => 3 ], [ queued => 0 ];
	like($page, qr{<svg class="bars" viewBox="0 0 310 100"}, 'a bar for each day');
	my $palm = get('/whatsapp-interactive/?project=Palm')->{text};
	like($palm, qr{<dt>Messages sent</dt><dd class="number"><a href="[^"]*project=Palm">0</a>}, 'a project alone');
	like(get('/whatsapp-interactive/?project=Green%20Acres&template=project_update_template')->{text}, qr{<dt>Interested</dt><dd class="number"><a [^>]*>2</a>}, 'a project and a template');
	like(get('/whatsapp-interactive/?template=nothing')->{text}, qr{<dt>Messages sent</dt><dd class="number"><a [^>]*>0</a>}, 'a template that is not there');
	return;
}

sub test_pages
{
	my ($query, @names, $pages) = ('show=all');
	for (1 .. 5)
	{
		my $page = people($query);
		push @names, rows($page);
		$pages++;
		last unless $page =~ m{<a class="page" rel="next" href="\?([^"]+)">};
		$query = $1 =~ s/&amp;/&/gr;
	}
	is($pages, 3, 'three pages');
	my %seen = map { ($_ => 1) } @names;
	is(scalar @names, 123, 'of all leads');
	is(scalar keys %seen, 123, 'each of them once');
	return;
}

sub test_search
{
	is(scalar(rows(people("q=$_->[0]"))), $_->[1], "a search for $_->[0] finds $_->[1]")
	  for [ 'person%2012' => 2 ], [ 'PERS+77' => 1 ], [ '77' => 0 ], [ '98765+00007' => 1 ], [ '09876500007' => 1 ], [ '%2B91987650000' => 9 ], [ '00919876500007' => 1 ],
	  [ 'alert' => 1 ], [ "%27%27%5C%20%26%7C!%3A*()" => 0 ], [ "%D9%85%D8%AD" => 1 ], [ '%20' => 50 ], [ "x'%20or%201=1" => 0 ];
	like(people('q=alert'), qr{<bdi>=cmd\|&#39;/c calc&#39;!A1 &lt;script&gt;alert\(&quot;x&quot;\)&lt;/script&gt;</bdi>}, 'a hostile name is text');
	like(people('q=%22%3E%3Cscript%3E'), qr{value="&quot;&gt;&lt;script&gt;"}, 'what was searched for as well');
	is(scalar(rows(people('q=person&project=Palm&show=all'))), 50, 'in a project');
	return;
}

sub test_csv
{
	my $csv = get('/whatsapp-interactive/people.csv?show=all');
	is($csv->{headers}{'content-type'}, 'text/csv; charset=utf-8; header=present', 'CSV');
	like($csv->{headers}{'content-disposition'}, qr/^attachment; filename="people-all-\d{4}-\d\d-\d\d\.csv"$/, 'as a file');
	is(scalar(() = $csv->{text} =~ /\r\n/g), 124, 'all of them, and the heading');
	like($csv->{text}, qr{^\d+,"'=cmd\|'/c calc'!A1 <script>alert\(""x""\)</script>",'\+919999900001,Palm,New,}m, 'no cell is a formula');
	is(scalar(grep { /(?:^|,)"?[=+@-]/ } split /\r\n/, $csv->{text}), 0, 'none at all');
	is(scalar(() = get('/whatsapp-interactive/people.csv?show=interested')->{text} =~ /\r\n/g), 3, 'of one list');
	return;
}

sub test_calls
{
	my $lead = sql(q(SELECT lead_id FROM wacta.follow_up WHERE closed_at IS NULL ORDER BY lead_id LIMIT 1));
	my $page = get('/whatsapp-interactive/')->{text};
	like($page, qr{<form class="two" method="post" action="\.\./record-call/" data-act>\s*<input type="hidden" name="lead_id" value="$lead">}, 'a call to make has its buttons');
	my $again = post('/record-call/', { lead_id => $lead, result => 'no_answer' });
	is($again->{status}, 200, 'no answer');
	like($again->{content}, qr/"next_at": "20/, 'is called again');
	my $done = post('/record-call/', { lead_id => $lead, result => 'done', note => 'They visit on Sunday' });
	like($done->{content}, qr/"next_at": null/, 'done is the end of it');
	is(sql("SELECT result || ': ' || outcome FROM wacta.follow_up WHERE lead_id = $lead"), 'done: They visit on Sunday', 'with the note');
	is(post('/record-call/', { lead_id => $lead, result => 'done' })->{status}, 409, 'there is nothing left to record');
	is(post('/record-call/', { lead_id => $lead, result => 'flying' })->{status}, 409, 'nor a result that is none');
	is(post('/record-call/', { lead_id => 0, result => 'done' })->{status}, 404, 'nor for nobody');
	return;
}

sub test_refusal
{
	my $lead = sql(q(SELECT lead_id FROM wacta.lead WHERE name = 'Person 100'));
	sql("SELECT wacta.opt_out($lead, 'a test')");
	my $refused = post('/send-interactive-message/', { lead_id => $lead });
	is($refused->{status}, 409, 'a refusal');
	like($refused->{content}, qr/"gate": "consent", "detail": "withdrawn"/, 'tells what is in the way');
	my $plain = post('/send-interactive-message/', { lead_id => $lead }, accept => 'text/html,application/xhtml+xml');
	is($plain->{status}, 303, 'a browser without JavaScript is led back');
	is($plain->{headers}{location}, "../whatsapp-interactive/?lead=$lead", 'to the dashboard');
	like(get("/whatsapp-interactive/?lead=$lead")->{text}, qr{Last message: suppressed.*asked not to be messaged.*<b>consent</b> <bdi>withdrawn</bdi>}s, 'which tells about the lead');
	return;
}

sub test_history
{
	my $lead = sql(q(SELECT lead_id FROM wacta.follow_up WHERE result = 'done'));
	my $page = get("/whatsapp-interactive/?lead=$lead")->{text};
	like($page, qr{<p class="name">$_->[0]</p>\s*<p class="soft"><bdi>[^<]*$_->[1]}, "the history of a person: $_->[0]")
	  for [ 'Message', 'project_update_template, read' ], [ 'Tap', 'interested, by link' ], [ 'Consent', 'granted, interested' ], [ 'Follow-up', 'They visit on Sunday' ], [ 'Note', q(\[\d{4}-) ];
	like(get('/whatsapp-interactive/')->{text}, qr{<a href="../whatsapp-interactive/\?lead=$lead"><bdi>Person}, 'is one tap away from the list of answers');
	is(sql("SELECT count(*) FROM wacta.lead_history WHERE lead_id = $lead AND kind IN ('message', 'tap', 'follow_up')"), 3, 'each once');
	return;
}

sub test_etag
{
	my $page = get('/whatsapp-interactive/people/?show=all');
	is($page->{headers}{etag}, undef, 'lists are not polled');
	my $first = get('/whatsapp-interactive/');
	like($first->{headers}{etag}, qr/^"[0-9a-f]{32}"$/, 'the dashboard has an ETag');
	my $second = get('/whatsapp-interactive/', 'if-none-match' => $first->{headers}{etag});
	is("$second->{status} $second->{content}", '304 ', 'what is known is not sent again');
	sql(q(SELECT wacta.log_ivr_call('+919876511111', '918060000305', 'manual', 'etag')));
	is(get('/whatsapp-interactive/', 'if-none-match' => $first->{headers}{etag})->{status}, 200, 'what has changed is');
	return;
}

sub test_strangers
{
	my %nobody = (cookie => 'wacta_session=none');
	is(get("/whatsapp-interactive/$_", %nobody)->{status}, 303, "$_ is for staff: the way to sign in") for 'people/', 'people.csv';
	isnt(post('/record-call/', { lead_id => 1, result => 'done' }, %nobody)->{status}, 200, 'as is recording');
	return;
}

prepare();
sign_in();
test_numbers();
test_pages();
test_search();
test_csv();
test_calls();
test_history();
test_refusal();
test_etag();
test_strangers();
done_testing();
