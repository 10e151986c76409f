# The front door under attack.  While each attack goes on, customers tap: they
# are answered about as fast as when nobody attacks, the gateway's memory stays
# bounded, and in the end the tables agree with every answer that was given.
use strict;
use warnings;
use IO::Select;
use POSIX qw(WNOHANG);
use PostgreSQL::Test::BackgroundPsql;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wacta;
use Wacta::Attack;

my $MANY = 10_000;		# idle connections
my $HUGE = 1 << 30;		# bytes of a body
my $RECEIVE = 2;		# seconds that a request may take to arrive

my $node = wacta_node('attack', conf => "max_connections = 40\n");
my (@tokens, %answers);
my ($gateway, $idle, $start_kb);

sub sql { return $node->safe_psql('crm', $_[0]) }

sub prepare
{
	sql(q(SELECT wacta.add_signing_key();
		SELECT wacta.add_channel('main', 'meta', '1065'), wacta.pause_channel('main', 'a test');
		SELECT wacta.add_project('Green Acres', 'Bop Realty', 'https://example.com/b.pdf');
		INSERT INTO wacta.lead (name, project_id) SELECT 'Customer ' || n, 1 FROM generate_series(1, 2000) n;
		INSERT INTO wacta.lead_identity (kind, value, lead_id) SELECT 'phone', '+91' || 9000000000 + lead_id, lead_id FROM wacta.lead));
	@tokens = map { [ split /\|/ ] } split /\n/,
	  sql(q(SELECT lead_id, regexp_replace(wacta.mint_link(lead_id, 'interested'), '.*/t/', '') FROM wacta.lead ORDER BY 1));
	$gateway = Wacta::Gateway->start($node, 'crm', arguments => [ '--trusted-proxies', '127.0.0.1', '--pool', '8',
		'--receive-timeout', "${RECEIVE}s", '--request-timeout', '3s', '--queue-timeout', '2s', '--lock-timeout', '2s' ]);
	return;
}

# Keeps what a lead's tap was answered; "none" when the connection ended.
sub note_answer { my ($lead, $answer) = @_; push @{ $answers{$lead} }, $answer && $answer->{status} // 'none'; return; }

# tap_for_a_while(count, between): customers of one carrier tap one after the
# other; between two of them the attack may go on.  Returns the times.
sub tap_for_a_while
{
	my ($count, $between) = @_;
	my $customer = Wacta::Attack::Customer->new($gateway, '198.51.100.7');
	my @times;
	for my $n (1 .. $count)
	{
		my ($lead, $token) = @{ shift @tokens };
		my $answer = $customer->tap($token);
		note_answer($lead, $answer);
		push @times, $answer->{ms} if ($answer->{status} // 0) == 200;
		$between->() if $between;
	}
	return @times;
}

# served(attack, count, between): all taps are answered, and not much later than
# without the attack.  A tap takes a few milliseconds; the machine may be busy.
sub served
{
	my ($what, $count, $between) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @times = tap_for_a_while($count, $between);
	my ($median, $worst) = (median(@times, 0), (sort { $b <=> $a } @times, 0)[0]);
	note(sprintf '%s: median %.1f ms, worst %.1f ms; idle median %.1f ms; resident %d kB',
		$what, $median, $worst, $idle // $median, resident_kb($gateway));
	is(scalar @times, $count, "$what: every tap is answered");
	cmp_ok($median, '<', 10 * ($idle // $median) + 100, "$what: as fast as usual");
	cmp_ok($worst, '<', 1000, "$what: nobody waits long");
	return $median;
}

sub bounded
{
	my ($what, $more_kb) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return cmp_ok(resident_kb($gateway) - $start_kb, '<', $more_kb, "$what: memory stays bounded");
}

sub test_idle_connections
{
	my $crowd = hold_connections($gateway, $MANY);
	note("only $crowd->{count} connections: this machine allows no more descriptors") if $crowd->{count} < $MANY;
	cmp_ok($crowd->{count}, '>', 500, "$crowd->{count} idle connections");
	wait_for('all of them are accepted', sub { gateway_sockets() > $crowd->{count} });
	served('idle connections', 40);
	note(sprintf '%.1f kB for each of %d connections', (resident_kb($gateway) - $start_kb) / $crowd->{count}, $crowd->{count});
	bounded('idle connections', 8 * $crowd->{count});
	$crowd->release;
	wait_for('they are gone', sub { gateway_sockets() < 100 });
	served('afterwards', 10);
	return;
}

sub gateway_sockets
{
	opendir my $dir, '/proc/' . $gateway->pid . '/fd' or return 0;
	return scalar(() = readdir $dir);
}

# Slow clients: a head and a body byte by byte, heads and trailers line by line,
# chunks of one byte.  None may stay longer than a request may take.
my $post = "POST /webhook/ivr/x/ HTTP/1.1\r\nHost: x\r\n";
my @slow = (
	[ "GET /health/ HTTP/1.1\r\nX: ", 'x' ],
	[ "${post}Content-Length: 100000\r\n\r\n", 'x' ],
	[ "GET /health/ HTTP/1.1\r\n", "X: y\r\n" ],
	[ "${post}Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n" ],
	[ "${post}Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n" ]);

sub test_slow_clients
{
	my @clients = map { { socket => connect_to($gateway), drip => $_->[1], kind => $_->[0], began => time, first => $_->[0] } } (@slow) x 60;
	local $SIG{PIPE} = 'IGNORE';
	syswrite $_->{socket}, $_->{first} for @clients;
	my $drip = sub {
		for my $client (grep { !$_->{ended} } @clients)
		{
			my $select = IO::Select->new($client->{socket});
			$client->{ended} = time - $client->{began}
			  if $select->can_read(0) || !syswrite $client->{socket}, $client->{drip};
		}
		sleep 0.02;
	};
	served('slow clients', 40, $drip);
	my $end = time + $RECEIVE + 4;
	$drip->() while time < $end && grep { !$_->{ended} } @clients;
	for my $kind (map { $_->[0] } @slow)
	{
		my @of_kind = grep { $_->{kind} eq $kind } @clients;
		my @kept = grep { !$_->{ended} } @of_kind;
		is(scalar @kept, 0, 'none stays who drips after: ' . $kind =~ s/\r\n/ /gr);
		cmp_ok((sort { $a <=> $b } map { $_->{ended} // 99 } @of_kind)[0], '>', $RECEIVE - 0.5, 'and none is cut off too early');
	}
	return;
}

# More slow clients than there may be: room for others is made in time.
sub test_more_than_may_be
{
	my $small = Wacta::Gateway->start($node, 'crm', name => 'small', secret => '',
		arguments => [ '--max-connections', '100', '--receive-timeout', '8s', '--trusted-proxies', '127.0.0.1' ]);
	my @slow = map { connect_to($small) } 1 .. 200;
	local $SIG{PIPE} = 'IGNORE';
	syswrite $_, "GET /health/ HTTP/1.1\r\n" for @slow;
	my $customer = Wacta::Attack::Customer->new($small, '198.51.100.7');
	my ($lead, $token) = @{ shift @tokens };
	my $began = time;
	$customer->send($token);
	until (IO::Select->new($customer->{socket})->can_read(0.05) || time > $began + 20)
	{
		@slow = grep { syswrite $_, "X: y\r\n" } @slow;
	}
	my $answer = $customer->receive(1);
	note_answer($lead, $answer);
	is($answer->{status}, 200, sprintf 'twice as many slow clients as there may be: a customer is served after %.1f s', time - $began);
	cmp_ok(time - $began, '<', 5, 'which is before the time that a request may take');
	is($small->stop, 0, 'it ends in good order');
	return;
}

# A client that asks for much and reads nothing
sub test_no_reader
{
	my @sockets = map { connect_to($gateway) } 1 .. 8;
	my ($lead, $token) = @{ $tokens[0] };
	$_->blocking(0) for @sockets;
	my $requests = "GET /t/$token HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n" x 500;
	syswrite $_, $requests for @sockets;
	served('clients that read nothing', 20);
	bounded('clients that read nothing', 80_000);
	close $_ for @sockets;
	return;
}

# Requests one behind the other are answered in order, each by itself.
sub test_pipelining
{
	my @mine = splice @tokens, 0, 30;
	my $socket = connect_to($gateway);
	syswrite $socket, join '', map { "POST /t/$_->[1] HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" } @mine;
	my @statuses = map { $_->{status} } read_answers($socket, 1);
	is("@statuses", join(' ', ('200 404') x @mine), 'pipelined requests are answered in their order');
	note_answer($mine[$_][0], { status => $statuses[ 2 * $_ ] }) for 0 .. $#mine;

	my ($lead, $yes) = @{ shift @tokens };
	my $no = sql("SELECT regexp_replace(wacta.mint_link($lead, 'not_interested'), '.*/t/', '')");
	$socket = connect_to($gateway);
	syswrite $socket, join '', map { "POST /t/$_ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" } $yes, $no;
	is(join(' ', map { $_->{status} } read_answers($socket, 0.5)), '200 200', 'both buttons in one write');
	is(sql("SELECT status FROM wacta.lead WHERE lead_id = $lead"), 'Not Interested', 'the last one stands');
	return;
}

# A tap hidden in a request that can be read in two ways is made by nobody.
sub test_smuggling
{
	my @hidden;
	my $between = sub {
		for my $first ("${post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "${post}Content-Length: 0\r\nContent-Length: 400\r\n\r\n",
			"${post}Transfer-Encoding: xchunked\r\n\r\n", "${post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "${post}Content-Length: 0\r\nTransfer-Encoding : chunked\r\n\r\n",
			"GET /health/ HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\n", "GET /health/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			"${post}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "${post}Transfer-Encoding: chunked\r\n\r\n1;\n\r\nx\r\n0\r\n\r\n", "${post}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
			"${post}X: a\rContent-Length: 9\r\n\r\n", "${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", "${post}Content-Length: 5\r\n 0\r\n\r\nhello",
			"${post}Content-Length: 0\r\nX\0: 1\r\n\r\n")
		{
			my ($lead, $token) = @{ shift @tokens };
			my $socket = connect_to($gateway);
			local $SIG{PIPE} = 'IGNORE';
			syswrite $socket, "${first}POST /t/$token HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
			push @hidden, [ $lead, $socket, $first ];
		}
	};
	served('requests that can be read in two ways', 5, $between);
	read_answers($_->[1], 0.05) for @hidden;
	my $ids = join ',', map { $_->[0] } @hidden;
	my @found = split /\n/, sql("SELECT lead_id FROM wacta.click WHERE lead_id IN ($ids)");
	my %first = map { $_->[0] => $_->[2] } @hidden;
	is_deeply([ map { $first{$_} =~ s/\r\n/ /gr } @found ], [], 'nothing that is hidden in a request is done');
	return;
}

sub test_malformed
{
	my @broken = ("\0" x 100, "\xff" x 20_000, "GET\r\n\r\n", "GET /health/ HTTP/9.9\r\n\r\n", "GET /health/ HTTP/1.1\r\nno colon\r\n\r\n",
		'GET /' . 'a' x 20_000 . " HTTP/1.1\r\n\r\n", "GET /health/ HTTP/1.1\r\n" . "A: b\r\n" x 3000 . "\r\n", "${post}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
		"POST /t/x HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n" . '[' x 60_000,
		"POST /t/x HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000\r\n\r\n" . '&a' x 30_000);
	my $turn = 0;
	my @sockets;
	served('malformed requests', 40, sub {
		local $SIG{PIPE} = 'IGNORE';
		for (1 .. 10)
		{
			my $socket = connect_to($gateway) or next;
			syswrite $socket, $broken[ $turn++ % @broken ];
			push @sockets, $socket;
			shift @sockets if @sockets > 100;
		}
	});
	bounded('malformed requests', 80_000);
	return;
}

# Bodies of a gigabyte, in both framings, and a line of that length
sub test_huge_bodies
{
	my $block = 'x' x 65536;
	my $chunk = "10000\r\n$block\r\n";
	my @pids = (
		flood_body($gateway, "${post}Content-Length: $HUGE\r\n\r\n", $block, $HUGE),
		flood_body($gateway, "${post}Transfer-Encoding: chunked\r\n\r\n", $chunk, $HUGE),
		flood_body($gateway, "GET /t/", $block, $HUGE));
	my $most = 0;
	my $look = sub { my $kb = resident_kb($gateway); $most = $kb if $kb > $most; };
	served('bodies of 1 GB', 40, $look);
	my $end = time + 20;
	while (@pids && time < $end)
	{
		$look->();
		@pids = grep { waitpid($_, WNOHANG) == 0 } @pids;
		sleep 0.01;
	}
	is(scalar @pids, 0, 'their senders are done with');
	kill 'KILL', @pids;
	cmp_ok($most - $start_kb, '<', 100_000, "memory stays bounded meanwhile ($most kB)");
	return;
}

# Somebody else's transaction holds a lead; its owner taps and taps.
sub test_locked_lead
{
	my ($lead, $token) = @{ shift @tokens };
	my $holder = $node->background_psql('crm');
	$holder->query_safe("BEGIN; SELECT FROM wacta.lead WHERE lead_id = $lead FOR UPDATE");
	my @impatient = map { Wacta::Attack::Customer->new($gateway, '203.0.113.5') } 1 .. 20;
	$_->send($token) for @impatient;
	wait_for('the taps wait for the lock', sub { sql(q(SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock')) > 0 });
	served('a lead that is locked', 20);
	$holder->query_safe('ROLLBACK');
	$holder->quit;
	note_answer($lead, $_->receive) for @impatient;
	my $statuses = join ' ', sort @{ $answers{$lead} };
	like($statuses, qr/200/, "its owner is answered ($statuses)");
	return;
}

sub backends { return split /\n/, sql(q(SELECT pid FROM pg_stat_activity WHERE usename = 'wacta_gateway' ORDER BY pid)) }

# One backend that stands still keeps nobody else waiting; when all of them do,
# whoever is answered at all is answered truly.
sub test_stalled_database
{
	my @backends = backends();
	kill 'STOP', $backends[0];
	my @victims = map { Wacta::Attack::Customer->new($gateway, '203.0.113.6') } 1 .. 8;
	my @leads = splice @tokens, 0, 8;
	$victims[$_]->send($leads[$_][1]) for 0 .. $#victims;
	my @times = tap_for_a_while(20);
	kill 'CONT', $backends[0];
	note_answer($leads[$_][0], $victims[$_]->receive) for 0 .. $#victims;
	cmp_ok(scalar @times, '>=', 19, 'one backend stands still: the others serve');
	cmp_ok(median(@times), '<', 10 * $idle + 100, 'as fast as usual');

	@backends = backends();
	kill 'STOP', @backends;
	@victims = map { Wacta::Attack::Customer->new($gateway, '203.0.113.6') } 1 .. 40;
	@leads = splice @tokens, 0, 40;
	$victims[$_]->send($leads[$_][1]) for 0 .. $#victims;
	my $began = time;
	my $answer = Wacta::Attack::Customer->new($gateway, '198.51.100.7')->tap($leads[0][1]);
	is($answer->{status}, 503, 'nobody is kept waiting for a database that stands still');
	like($answer->{head}, qr/^Retry-After: \d+\r/m, 'and is told to come again');
	cmp_ok(time - $began, '<', 3, 'in time');
	my $nowhere = $gateway->request(GET => '/nowhere');
	is($nowhere->{status}, 404, 'what needs no database is answered');
	sleep 1.2;		# beyond the time that a request may take
	kill 'CONT', @backends;
	note_answer($leads[$_][0], $victims[$_]->receive) for 0 .. $#victims;
	my @statuses = sort map { $answers{ $_->[0] }[0] } @leads;
	is_deeply([ grep { !/^50[34]$/ } @statuses ], [], "all others too: @statuses");
	wait_for('then it serves again', sub { $gateway->request(GET => '/health/')->{status} == 200 });
	return;
}

# The database goes away under a storm of taps, at once and in good order.
sub test_restarted_database
{
	for my $mode ('immediate', 'fast')
	{
		my $stop = 0;
		my @customers = map { Wacta::Attack::Customer->new($gateway, '198.51.100.8') } 1 .. 12;
		my @leads = map { undef } @customers;
		my $step = sub {
			for my $i (0 .. $#customers)
			{
				note_answer($leads[$i][0], $customers[$i]->receive) if $leads[$i];
				$leads[$i] = shift @tokens;
				$customers[$i]->send($leads[$i][1]);
			}
		};
		$step->() for 1 .. 3;
		$node->stop($mode);
		$step->() for 1 .. 2;
		$node->start;
		wait_for("after an end that was $mode it serves again", sub { $gateway->request(GET => '/health/')->{status} == 200 });
		$step->() for 1 .. 3;
		for my $i (0 .. $#customers)
		{
			note_answer($leads[$i][0], $customers[$i]->receive);
		}
	}
	my %count;
	$count{$_}++ for map { @$_ } values %answers;
	note(join ', ', map { "$_: $count{$_}" } sort keys %count);
	ok($count{503}, 'some were refused');
	ok(!$count{500}, 'and nobody was told of an error of ours');
	return;
}

# What the tables say of each lead: all of a tap, or nothing.
sub test_accounts
{
	my $ids = join ',', keys %answers;
	my @rows = map { [ split /\|/ ] } split /\n/, sql(qq(
		SELECT l.lead_id, count(*) FILTER (WHERE k.effective) AS taps, l.status,
		       (SELECT count(*) FROM wacta.consent_event e WHERE e.lead_id = l.lead_id AND e.event = 'granted'),
		       (SELECT count(*) FROM wacta.follow_up f WHERE f.lead_id = l.lead_id),
		       (SELECT count(*) FROM wacta.message m WHERE m.lead_id = l.lead_id AND m.purpose = 'brochure')
		  FROM wacta.lead l LEFT JOIN wacta.click k USING (lead_id)
		 WHERE l.lead_id IN ($ids) GROUP BY l.lead_id));
	my (@half, @lost);
	for my $row (@rows)
	{
		my ($lead, $taps, $status, @parts) = @$row;
		my $whole = $taps == 1 && $status eq 'Interested' && !grep { $_ != 1 } @parts;
		my $nothing = $taps == 0 && $status eq 'New' && !grep { $_ != 0 } @parts;
		push @half, "@$row" unless $whole || $nothing;
		push @lost, "@$row" if $nothing && grep { $_ eq '200' } @{ $answers{$lead} };
	}
	is(scalar @rows, scalar keys %answers, scalar(@rows) . ' leads were tapped for');
	is_deeply(\@half, [], 'nothing is half done');
	is_deeply(\@lost, [], 'and what was answered is there');
	return;
}

prepare();
$start_kb = resident_kb($gateway);
$idle = served('idle', 60);
test_idle_connections();
test_slow_clients();
test_more_than_may_be();
test_no_reader();
test_pipelining();
test_smuggling();
test_malformed();
test_huge_bodies();
test_locked_lead();
test_stalled_database();
test_restarted_database();
test_accounts();
bounded('in the end', 120_000);
is($gateway->stop, 0, 'the gateway ends in good order');
unlike($gateway->log_text, qr/Sanitizer|runtime error/, 'without a complaint');
done_testing();
