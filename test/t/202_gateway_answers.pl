# What comes back: status, headers, errors, and that a GET cannot write.
use strict;
use warnings;
use IO::Select;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use WactaGateway;

my $node = stub_node('answers');
my $gateway = WactaGateway->start($node);
my $agent = { authorization => 'Bearer ' . jwt({ role => 'stub_agent' }) };

sub ask { return $gateway->request(@_) }

sub rows { return $node->safe_psql('stub', 'SELECT count(*) FROM written') }

# response.status and response.headers
is(ask(GET => '/t/status-299')->{status}, 299, 'a status of its own');
is(ask(GET => '/t/status-304')->{content} // '', '', '304 has no body');
for my $bad ('42', '600', '100', 'abc', '200x')
{
	is(ask(GET => "/t/status-$bad")->{json}{code}, 'PGRST112', "response.status \"$bad\"");
}
my $redirect = ask(GET => '/t/redirect');
is_deeply([ $redirect->{status}, @{ $redirect->{headers} }{qw(location set-cookie)} ],
	[ 303, 'https://example.org/b.pdf', [ 'a=1', 'b=2' ] ], 'a redirect with two cookies');
my $login = ask(POST => '/login/', { form => { username => 'ann', password => 'x' } });
is_deeply([ @{ $login->{headers} }{qw(content-length content-type)} ], [ 0, undef ], 'no body, no type');
is(ask(GET => '/t/headers?action=[{"X-A":"b"},{"Content-Type":"image/png"}]')->{headers}{'content-type'},
	'image/png', 'a content type of its own');

# Headers that would split or reframe the answer
for my $bad ('[{"X-A":"a\r\nSet-Cookie: evil=1"}]', '[{"X-A":"a\nb"}]', '[{"X-A":"a\u0000b"}]', '[{"X:A":"b"}]',
	'[{"X A":"b"}]', '[{"":"b"}]', '[{"Content-Length":"3"}]', '[{"transfer-encoding":"chunked"}]', '[{"Connection":"x"}]',
	'[{"A":"b","C":"d"}]', '[{"A":1}]', '[1]', '{"A":"b"}', 'nonsense', '[{"X-Good":"1"},{"A\r\nB":"c"}]')
{
	my $answer = ask(GET => '/t/headers?action=' . HTTP::Tiny->new->_uri_escape($bad));
	is($answer->{json}{code}, 'PGRST111', "refused as headers: $bad");
	ok(!grep({ exists $answer->{headers}{$_} } 'set-cookie', 'x-a', 'x-good'), 'and none of them is sent');
}

# Errors by PostgREST's table
my %status = (
	PT410 => 410, PT402 => 402, PT503 => 503, PT099 => 500, PTXYZ => 500,
	P0001 => 400, 22023 => 400, '22P02' => 400, 23505 => 409, 23503 => 409, 23514 => 400, 28000 => 403,
	42883 => 404, '42P01' => 404, 42601 => 400, 25006 => 405, '40P01' => 500, 53300 => 503, 53400 => 500, 54000 => 500,
	55000 => 500, '55P03' => 503, 57014 => 500, '57P03' => 503, '08006' => 503, '0L000' => 403, '0A000' => 400,
	XX000 => 500, P0004 => 500, F0000 => 500, HV000 => 500, '2D000' => 500, 38000 => 500);
for my $code (sort keys %status)
{
	my $answer = ask(GET => "/t/raise-$code");
	my $inner = $status{$code} >= 500 && $code !~ /^PT/;
	is($answer->{status}, $status{$code}, "$code is $status{$code}");
	is_deeply($answer->{json}, {
			code => $code, message => $inner ? $answer->{json}{message} : 'the message',
			details => $inner ? undef : 'the detail', hint => $inner ? undef : 'the hint' },
		'and ' . ($inner ? 'keeps its words to itself' : 'says why'));
	unlike($answer->{content}, qr/the message/, 'no inner message') if $inner;
}
like(ask(GET => '/t/raise-53300')->{headers}{'retry-after'}, qr/^\d+$/, '503 says when to come again');
is(ask(GET => '/t/closed')->{status}, 401, '42501 is 401 for a stranger');
is(ask(GET => '/t/closed')->{headers}{'www-authenticate'}, 'Bearer', 'who is told how to sign in');
is(ask(GET => '/t/closed', { headers => $agent })->{status}, 403, 'and 403 for others');
my $raised = ask(GET => '/t/pgrst');
is_deeply([ $raised->{status}, $raised->{headers}{'retry-after'}, @{ $raised->{json} }{qw(code message)} ],
	[ 429, '30', 'own', 'slow down' ], 'PGRST carries status and headers');
is(ask(GET => '/t/badpgrst')->{json}{code}, 'PGRST121', 'if it can be read');
my $page = ask(GET => '/t/raise-XX000', { headers => { accept => 'text/html,*/*' } });
like($page->{headers}{'content-type'}, qr{^text/html}, 'a browser gets a page');
is($page->{status}, 500, 'with the same status');

# A GET cannot write; a POST that fails leaves nothing, also when it fails last.
my $before = rows();
is(ask(GET => '/t/write-x')->{json}{code}, '25006', 'a GET that writes is refused');
is(ask(HEAD => '/t/write-x')->{status}, 405, 'a HEAD too');
is(ask(POST => '/t/raise-P0001')->{status}, 400, 'a POST that fails');
my $late = ask(POST => '/t/twice');
is_deeply([ $late->{status}, $late->{json}{code} ], [ 409, '23505' ], 'an error at the commit is the answer');
is(rows(), $before, 'nothing was written');
is(ask(POST => '/t/status-403')->{status}, 403, 'a refusal by response.status');
is(rows(), $before + 1, 'is committed');
is(ask(POST => '/t/write-y')->{status}, 200, 'a POST that writes');
is(rows(), $before + 3, 'is committed before its answer');

# Settings do not leak from one request to the next, nor does the role.
my $lone = WactaGateway->start($node, arguments => [ '--pool', '1' ]);
$lone->request(POST => '/t/redirect', { headers => $agent });
my $next = decode_json($lone->request(GET => '/t/x')->{content});
is_deeply([ $next->{role}, $next->{read_only} ], [ 'stub_anon', 'on' ], 'the next request starts afresh');

# A visit of a link is recorded as the visitor, in a call of its own that comes behind all that wait for an answer.
sub visits { return $node->safe_psql('stub', $_[0]) }

sub test_visit
{
	ask(HEAD => '/t/seen', { headers => { 'user-agent' => 'WhatsApp/2' } });
	ask($_->[0], $_->[1]) for [ POST => '/t/posted' ], [ GET => '/t/raise-22023' ], [ GET => '/health/' ];
	ask(GET => '/t/last');
	until_true(sub { visits(q(SELECT count(*) FROM visited WHERE token = 'last')) });
	is(visits(q(SELECT string_agg(token, ' ' ORDER BY token) FROM visited WHERE token IN ('seen', 'posted', 'last') OR token LIKE 'raise%')),
		'last seen', 'visits of pages are recorded, taps and errors are not');
	my $seen = decode_json(visits(q(SELECT seen FROM visited WHERE token = 'seen')));
	is_deeply([ @$seen{qw(role method path read_only)}, $seen->{headers}{'user-agent'} ],
		[ 'stub_anon', 'HEAD', '/t/{token}', 'off', 'WhatsApp/2' ], 'with what was known of them');
	return;
}

# The times at which so many slow pages that were asked for at once came, by one connection to the database.
sub ask_at_once
{
	my ($count) = @_;
	my %socket = map { ($_ => $lone->socket) } 1 .. $count;
	syswrite $_, "GET /t/sleep-0.1 HTTP/1.0\r\n\r\n" for values %socket;
	my $select = IO::Select->new(values %socket);
	my @times;
	while (@times < $count && (my @ready = $select->can_read(10)))
	{
		for my $socket (@ready)
		{
			push @times, time;
			$select->remove($socket);
		}
	}
	return @times;
}

sub test_visits_give_way
{
	visits('TRUNCATE visited');
	my @times = ask_at_once(6);
	ok(until_true(sub { visits('SELECT count(*) FROM visited') == 6 }), 'all visits are recorded');
	cmp_ok(visits('SELECT extract(epoch FROM min(at)) FROM visited'), '>', $times[-2], 'when nobody waits any more');
	return;
}

test_visit();
test_visits_give_way();

# Functions are looked up anew after they were replaced.
is($lone->request(GET => '/health/')->{status}, 200, 'before');
$node->safe_psql('stub', 'ALTER FUNCTION wacta_api.health() RENAME TO gone');
is($lone->request(GET => '/health/')->{status}, 404, 'a missing function is 404');
$node->safe_psql('stub', q(CREATE FUNCTION wacta_api.health() RETURNS text LANGUAGE sql AS $$ SELECT '{"status":"new"}' $$;
	GRANT EXECUTE ON FUNCTION wacta_api.health() TO stub_anon));
ok(until_true(sub { $lone->request(GET => '/health/')->{content} =~ /new/ }, 10), 'the new one is found');

unlike($gateway->log_text, qr/the message|the detail/, 'no message of the database in the log');
done_testing();
