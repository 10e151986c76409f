# Customers' taps that come together share a transaction, and nothing else: whoever cannot be served with the others, or is the
# reason that a group fails, is served alone.
use strict;
use warnings;
use IO::Socket::INET;
use PostgreSQL::Test::BackgroundPsql;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;

my $node = wacta_node('main');
my $people = 0;
my $gateway;

sub sql { my ($sql) = @_; return $node->safe_psql('crm', $sql) }

sub new_leads { my ($count) = @_; return map { sql(sprintf q(SELECT wacta.upsert_lead('+9198765%05d', 'Asha', 'Green Acres')), ++$people) } 1 .. $count }

sub link_to { my ($lead, $action) = @_; return sql("SELECT regexp_replace(wacta.mint_link($lead, '$action'), '^https?://[^/]+', '')") }

# A tap under way.
sub tap
{
	my ($lead, %with) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $gateway->port, Timeout => 10) // die "could not connect: $!";
	my $body = $with{body} // '';
	my $path = link_to($lead, $with{action} // 'interested');
	syswrite $socket, "POST $path HTTP/1.1\r\nHost: x\r\nUser-Agent: a phone\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	  . "Content-Length: " . length($body) . "\r\n\r\n$body";
	return $socket;
}

sub whole_answer { my ($socket) = @_; local $/; return scalar <$socket> // '' }

sub status_of { my ($socket) = @_; return whole_answer($socket) =~ m{^HTTP/1\.1 (\d+)} ? $1 : 'none' }

sub statuses { return join ' ', map { status_of($_) } @_ }

# In how many transactions were the decisions of these people made?
sub transactions { return sql("SELECT count(DISTINCT xmin::text) FROM wacta.click WHERE effective AND lead_id IN (" . join(', ', @_) . ')') }

# Of how many was everything written that a yes brings, once?
sub served
{
	return sql(q{SELECT count(*) FROM wacta.lead l WHERE stage = 'Interested' AND consent = 'granted'
		AND (SELECT count(*) FROM wacta.click k WHERE k.lead_id = l.lead_id AND effective) = 1
		AND (SELECT count(*) FROM wacta.lead_note n WHERE n.lead_id = l.lead_id) = 1
		AND (SELECT count(*) FROM wacta.consent_event e WHERE e.lead_id = l.lead_id) = 1
		AND (SELECT count(*) FROM wacta.message m WHERE m.lead_id = l.lead_id AND purpose = 'brochure') = 1
		AND (SELECT count(*) FROM wacta.follow_up f WHERE f.lead_id = l.lead_id) = 1
		AND lead_id IN (} . join(', ', @_) . ')');
}

sub metric { my ($name) = @_; return $gateway->request(GET => '/metrics')->{content} =~ /^\Q$name\E (\d+)$/m ? $1 : die "no $name" }

sub wait_until_queued { my ($count) = @_; return wait_for("$count requests wait", sub { metric('wacta_gateway_pool_waiting') == $count }) }

sub blocked { return sql(q(SELECT count(*) FROM pg_stat_activity WHERE usename = 'wacta_gateway' AND wait_event_type = 'Lock')) }

sub wait_until_blocked { my ($count) = @_; return wait_for("$count sessions wait for a lock", sub { blocked() == $count }) }

# held(sql): a session that has begun a transaction with it.
sub held
{
	my ($sql) = @_;
	my $session = $node->background_psql('crm');
	$session->query_safe("BEGIN; $sql");
	return $session;
}

# So many taps, of which the first two run and the others wait until the table is let go.
sub crowd
{
	my ($table, @leads) = @_;
	my $session = held("LOCK TABLE $table IN SHARE MODE");
	my @taps = map { my $tap = tap($leads[$_]); wait_until_blocked($_ + 1); $tap } 0, 1;
	push @taps, map { tap($_) } @leads[2 .. $#leads];
	wait_until_queued(@leads - 2);
	return ($session, @taps);
}

sub start_gateway
{
	my (@arguments) = @_;
	is($gateway->stop, 0, 'the gateway ends') if $gateway;
	$gateway = Wacta::Gateway->start($node, 'crm', arguments => [ '--pool', '8', @arguments ]);
	return;
}

sub test_sharing
{
	for my $case ([ 16, 14, 3 ], [ 4, 14, 5 ], [ 1, 12, 12 ])
	{
		my ($most, $count, $expected) = @$case;
		start_gateway('--group', $most);
		my @leads = new_leads($count);
		my ($session, @taps) = $most > 1 ? crowd('wacta.event', @leads) : (held('SELECT 1'), map { tap($_) } @leads);
		$session->quit;
		is(statuses(@taps), join(' ', (200) x $count), "--group $most: $count people are answered");
		is(served(@leads), $count, 'and served');
		is(transactions(@leads), $expected, "in $expected transactions");
	}
	start_gateway();
	return;
}

# The page is the same as that of a tap alone, and each person's own.
sub test_pages
{
	my @leads = new_leads(5);
	sql("UPDATE wacta.lead SET name = 'Person ' || lead_id");
	my ($session, @taps) = crowd('wacta.event', @leads);
	$session->quit;
	my @pages = map { whole_answer($_) } @taps;
	for my $i (0 .. $#leads)
	{
		my @tokens = $pages[$i] =~ m{(?:action="/t/|name="token" value=")([^"]+)"}g;
		is(sql("SELECT string_agg(DISTINCT lead_id::text, ' ') FROM unnest('{" . join(',', @tokens) . "}'::text[]) token, wacta.examine_link(token, NULL, NULL)"),
			$leads[$i], 'whose links are the own ones');
		$pages[$i] =~ s/\Q$_\E/token/g for @tokens;
		$pages[$i] =~ s/^Date:.*?\r\n//m;
		is($pages[$i], $pages[0], 'and all else is alike');
	}
	return;
}

# Nobody waits for a lead that another holds, but whoever taps for it.
sub test_held_lead
{
	my @leads = new_leads(6);
	my $holder = held("SELECT 1 FROM wacta.lead WHERE lead_id = $leads[3] FOR UPDATE");
	my ($session, @taps) = crowd('wacta.event', @leads);
	$session->quit;
	is(statuses(@taps[0 .. 2, 4, 5]), '200 200 200 200 200', 'others are served while a lead is held');
	wait_until_blocked(1);
	is(transactions(@leads), 3, 'together');
	$holder->quit;
	is(status_of($taps[3]), 200, 'and the one for it afterwards');
	is(served(@leads), 6, 'each once');
	return;
}

# Nor does it matter that they came first.
sub test_held_leads
{
	my @held = new_leads(3);
	my @leads = new_leads(10);
	my $holder = held('SELECT 1 FROM wacta.lead WHERE lead_id IN (' . join(', ', @held) . ') FOR UPDATE');
	my @waiting = map { my $tap = tap($held[$_]); wait_until_blocked($_ + 1); $tap } 0 .. $#held;
	is(statuses(map { tap($_) } @leads), join(' ', (200) x @leads), 'people are served while three before them wait');
	is(blocked(), 3, 'who do so still');
	$holder->quit;
	is(statuses(@waiting), '200 200 200', 'and have their turn');
	is(served(@held, @leads), 13, 'each once');
	return;
}

# Those who are no first yes.
sub test_others
{
	my @leads = new_leads(6);
	is(status_of(tap($leads[2])), 200, 'one has decided before');
	is(status_of(tap($leads[3], action => 'not_interested')), 200, 'one the other way');
	sql("SELECT wacta.forget($leads[4])");
	my $session = held('LOCK TABLE wacta.event IN SHARE MODE');
	my @taps = map { my $tap = tap($leads[$_]); wait_until_blocked($_ + 1); $tap } 0, 1;
	push @taps, map { tap($_) } @leads[2 .. 4];
	push @taps, tap($leads[5], action => 'not_interested');
	wait_until_queued(4);
	$session->quit;
	is(statuses(@taps), '200 200 200 200 403 200', 'each has the answer that is its own');
	is(served(@leads[0 .. 2]), 3, 'a second yes changes nothing');
	is(sql("SELECT string_agg(consent, ' ' ORDER BY lead_id) FROM wacta.lead WHERE lead_id IN ($leads[3], $leads[5])"), 'withdrawn withdrawn', 'and a no is one');
	return;
}

sub test_one_person
{
	my ($first, $second, $lead) = new_leads(3);
	my ($session, @taps) = crowd('wacta.event', $first, $second, $lead);
	push @taps, tap($lead), tap($lead);
	wait_until_queued(3);
	$session->quit;
	is(statuses(@taps), '200 200 200 200 200', 'taps of one person are all answered');
	is(served($first, $second, $lead), 3, 'and count once');
	is(sql("SELECT count(*) FROM wacta.click WHERE lead_id = $lead"), 3, 'but each is recorded');
	return;
}

# A phone that has lost its network has tapped all the same.
sub test_hang_up
{
	my @leads = new_leads(8);
	my ($session, @taps) = crowd('wacta.event', @leads);
	close $_ for @taps[ 0, 2, 4, 6 ];
	$session->quit;
	is(statuses(@taps[ 1, 3, 5, 7 ]), '200 200 200 200', 'others are answered when some have hung up');
	wait_for('all are served', sub { served(@leads) == 8 });
	return;
}

# One whom the site's own trigger refuses.
sub test_refused_by_site
{
	my @leads = new_leads(8);
	sql(qq(CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN RAISE 'not this one' USING ERRCODE = 'PT409'; END \$\$;
		CREATE TRIGGER refuse BEFORE INSERT ON wacta.follow_up FOR EACH ROW WHEN (NEW.lead_id = $leads[4]) EXECUTE FUNCTION refuse()));
	my ($session, @taps) = crowd('wacta.event', @leads);
	$session->quit;
	is(statuses(@taps), '200 200 200 200 409 200 200 200', 'who is refused is refused alone');
	is(served(@leads), 7, 'the others are served once');
	is(sql("SELECT count(*) FROM wacta.click WHERE lead_id = $leads[4]"), 0, 'and of the refused nothing is written');
	sql('DROP FUNCTION refuse() CASCADE');
	return;
}

# A group whose connection breaks, which it does while it waits at the last table.
sub test_broken
{
	my @leads = new_leads(9);
	my ($session, @taps) = crowd('wacta.event', @leads);
	my $second = $node->background_psql('crm');
	$second->query_until(qr/asked/, "\\echo asked\nBEGIN; LOCK TABLE wacta.event IN SHARE MODE;\n\\echo got\n");
	wait_for('the next in line', sub { sql(q(SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ShareLock')) == 1 });
	$session->quit;
	is(statuses(@taps[0, 1]), '200 200', 'two are served');
	wait_for('the rest wait together', sub { blocked() == 1 && metric('wacta_gateway_pool_waiting') == 0 });
	sql(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'wacta_gateway' AND wait_event_type = 'Lock'));
	is(statuses(@taps[2 .. 8]), join(' ', (503) x 7), 'of a connection that broke each is told to try again');
	is(sql('SELECT count(*) FROM wacta.click WHERE lead_id IN (' . join(', ', @leads[2 .. 8]) . ')'), 0, 'nothing is half done');
	$second->quit;
	is(statuses(map { tap($_) } @leads[2 .. 8]), join(' ', (200) x 7), 'the second try succeeds');
	is(served(@leads), 9, 'and counts once');
	return;
}

# A group that waits too long is given up, and then each has a time of its own.
sub test_time_out
{
	start_gateway('--lock-timeout', '300ms', '--queue-timeout', '20s');
	my @leads = new_leads(2);
	my $session = held('LOCK TABLE wacta.event IN SHARE MODE');
	is(statuses(map { tap($_) } @leads), '503 503', 'who waits too long is told so');
	$session->quit;
	is(statuses(map { tap($_) } @leads), '200 200', 'and can come again');
	is(served(@leads), 2, 'each counts once');
	return;
}

sub prepare
{
	sql(q(SELECT wacta.add_signing_key(), wacta.add_channel('main', 'meta', '1065'), wacta.pause_channel('main', 'a test')));
	sql(q(SELECT wacta.add_template('project_update_template', wacta.generate_template('Green Acres') -> 'components')));
	sql(q(SELECT wacta.add_project('Green Acres', brochure_template => 'project_update_template', brochure_link => 'https://example.org/acres.pdf')));
	return;
}

prepare();
test_sharing();
test_pages();
test_held_lead();
test_held_leads();
test_others();
test_one_person();
test_hang_up();
test_refused_by_site();
test_broken();
test_time_out();
is($gateway->stop, 0, 'the gateway ends');
done_testing();
