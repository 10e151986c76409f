# What an answer leads to: each action of wacta.error_rule, told by the answer and
# told by webhook; Retry-After; a code that nobody knows; messages that wait too long.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Outbox;

my $dir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$dir/app_secret", 'test-app-secret-0123456789');
my $double = Wacta::Double->start(app_secret_file => "$dir/app_secret");
my $node = wacta_node('main', double => $double);
outbox_prepare($node, 'crm', $double);
my $gateway = Wacta::Gateway->start($node, 'crm');
$double->post('settings', { webhooks => { url => $gateway->url . '/webhook/whatsapp/integration/', statuses => [] } });
wait_for_courier($node, 'crm');

sub sql { my ($sql) = @_; return $node->safe_psql('crm', $sql) }

my $lead = 0;
my %number;						# of a case

# The statements that queue the message of a case: its own person, sender and template.
sub queue_case
{
	my ($name, $rate) = @_;
	$number{$name} = sprintf '+9198765%05d', $lead++;
	my $text = 'Hello, this is a message of a test.';
	$double->post('templates', { name => $name, language => 'en', category => 'UTILITY', components => [ { type => 'BODY', text => $text } ] });
	return outbox_sender_sql($name, $double->url) . sprintf q(
		SELECT wacta.add_template('%1$s', '[{"type": "BODY", "text": "%2$s"}]', category => 'UTILITY', body_values => '{}', button_actions => '{}');
		UPDATE wacta.channel SET max_rate = %3$s WHERE name = '%1$s';
		SELECT wacta.send_interactive(wacta.upsert_lead('%4$s'), '%1$s');), $name, $text, $rate // 'NULL', $number{$name};
}

# One row for a case, by its sender's name.
sub told
{
	my ($what, $name) = @_;
	return sql(qq(SELECT $what FROM wacta.channel c JOIN wacta.message m USING (channel_id) JOIN wacta.template t USING (template_id)
		JOIN wacta.lead l USING (lead_id) LEFT JOIN wacta.attempt a ON (a.lead_id, a.message_id, a.attempt) = (m.lead_id, m.message_id, m.attempts)
		WHERE c.name = '$name'));
}

# waits(case, from, to, what): how many seconds, but for the time that settling took.
sub waits
{
	my ($name, $from, $to, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $wait = told('round(extract(epoch FROM m.due_at - a.ended_at), 2)', $name);
	ok($wait >= $from && $wait < $to + 1, "$name: $what") or diag("it waits for $wait s, not $from to $to");
	return;
}

# --- The table of errors.  The effect: state of message, sender and template, consent.
my $BACKOFF = [ 8, 10 ];		# ten seconds, or up to a fifth less
my %effect = (
	retry           => [ 'queued active free unknown',  $BACKOFF ],
	throttle_sender => [ 'queued active free unknown',  $BACKOFF ],
	retry_pair      => [ 'queued active free unknown',  [ 4, 4 ] ],
	retry_day       => [ 'queued active free unknown',  [ 86400, 86400 ] ],
	pause_sender    => [ 'queued paused free unknown',  [ 3600, 3600 ] ],
	stop_sender     => [ 'queued stopped free unknown', [ 0, 0 ] ],
	hold_template   => [ 'failed active held unknown' ],
	suppress        => [ 'failed active free withdrawn' ],
	fail            => [ 'failed active free unknown' ],
	in_doubt        => [ 'in_doubt active free unknown' ]);
my $state = q(concat_ws(' ', m.status, c.status, CASE WHEN t.held_reason IS NULL THEN 'free' ELSE 'held' END, l.consent));

# The lowest code of each action, and each HTTP status that has a rule.
my %rule = map { my ($kind, $code, $action) = split /\|/; ("${kind}_$code" => { kind => $kind, code => $code, action => $action }) }
  split /\n/, sql(q(SELECT kind, min(code), action FROM wacta.error_rule WHERE kind = 'code' GROUP BY kind, action
	UNION ALL SELECT kind, code, action FROM wacta.error_rule WHERE kind = 'http'));
is_deeply([ grep { !$effect{$_} } map { $_->{action} } values %rule ], [], 'every action is known here');

sub fault_of
{
	my ($r) = @_;
	return $r->{kind} eq 'http' ? { status => $r->{code} + 0 } : { status => 400, code => $r->{code} + 0, details => "words of $r->{code}" };
}
my $queue = join ' ', map { queue_case($_, $rule{$_}{action} eq 'throttle_sender' ? 80 : undef) } sort keys %rule;
$double->post('faults', [ map { { do => 'error', %{ fault_of($rule{$_}) }, match => { to => $number{$_} } } } sort keys %rule ]);
sql("BEGIN; $queue COMMIT");
wait_for_value($node, 'crm', 'SELECT count(*) FROM wacta.attempt WHERE ended_at IS NOT NULL', scalar keys %rule, 'each of them is answered');
for my $name (sort keys %rule)
{
	my ($effect, $wait) = @{ $effect{ $rule{$name}{action} } };
	my $code = $rule{$name}{code};
	is(told($state, $name), $effect, "$name: $rule{$name}{action}");
	waits($name, $wait->[0], $wait->[1], 'and when it is due again') if $wait;
	like(told('m.reason', $name), $rule{$name}{kind} eq 'code' ? qr/^words of $code$/ : qr/^HTTP status $code$/, "$name: the reason");
	is(told("coalesce(c.paused_until = m.due_at, c.status <> 'paused')", $name), 't', "$name: a sender that is paused goes on by itself, with the message");
	is(sql(sprintf q(SELECT s.rate_now FROM wacta.sender_pace() s JOIN wacta.channel USING (channel_id) WHERE name = '%s' AND s.slowed_at IS NOT NULL), $name) ne '', 1,
		"$name: the sender slows down") if $rule{$name}{action} eq 'throttle_sender';
}

# What an operator has to know is in the log.
my $log = slurp_file($node->logfile);
for my $name (grep { $rule{$_}{action} =~ /^(stop|pause)_sender$/ } sort keys %rule)
{
	my $is = $rule{$name}{action} eq 'stop_sender' ? 'stopped' : 'paused until \S+ \S+';
	my $id = told('c.channel_id', $name);
	like($log, qr/LOG:  channel $id of wacta is $is now: \S/, "$name: the log says so");
}

# --- The same, told by webhook: the message has failed for good, since it had been accepted
my %later = (retry => 131053, throttle_sender => 130429, retry_pair => 131056, retry_day => 131049, pause_sender => 131048,
	stop_sender => 131042, hold_template => 132015, suppress => 131050, fail => 131047);
is(sql(sprintf q(SELECT count(*) FROM wacta.error_rule WHERE kind = 'code' AND (code, action) IN (%s)), join ', ', map { "($later{$_}, '$_')" } sort keys %later),
	scalar keys %later, 'the codes told by webhook are of these actions');
$queue = join ' ', map { queue_case("later_$_") } sort keys %later;
$double->post('faults', [ map { { do => 'fail_later', code => $later{$_}, details => "words of $_", match => { to => $number{"later_$_"} } } } sort keys %later ]);
sql("BEGIN; $queue COMMIT");
wait_for_value($node, 'crm', q(SELECT count(*) FROM wacta.message m JOIN wacta.channel c USING (channel_id) WHERE c.name LIKE 'later%' AND m.failed_at IS NOT NULL),
	scalar keys %later, 'each of them is told to have failed');
for my $action (sort keys %later)
{
	my $effect = $effect{$action}[0] =~ s/^\w+/failed/r;
	is(told($state, "later_$action"), $effect, "$action, by webhook");
	is(told(q(m.error_code || ' ' || m.reason), "later_$action"), "$later{$action} words of $action", 'with code and reason');
	is(told('m.attempts', "later_$action"), '1', 'it is not sent again');
}
$log = slurp_file($node->logfile);
like($log, qr/LOG:  channel \d+ of wacta is stopped now: words of stop_sender/,        'the log says that a sender is stopped');
like($log, qr/LOG:  channel \d+ of wacta is paused until \S+ \S+ now: words of pause_sender/, 'and that one is paused');

like($log, qr/LOG:  template "$_" of wacta is held now: words of /, "$_: the log says that it is held")
  for 'later_hold_template', grep { $rule{$_}{action} eq 'hold_template' } sort keys %rule;

# --- Retry-After: what is to be understood is heeded, up to a day
my %after = (
	seconds  => [ { retry_after => 120 },                        120,   121 ],
	date     => [ { retry_after_date => 120 },                   117,   121 ],
	week     => [ { retry_after => 604800 },                     86400, 86400 ],
	century  => [ { retry_after => 3_155_760_000 },              86400, 86400 ],
	beyond   => [ { retry_after => '99999999999999999999999' },  @$BACKOFF ],
	far_date => [ { headers => { 'retry-after' => 'Fri, 31 Dec 9999 23:59:59 GMT' } }, 86400, 86400 ],
	none     => [ {},                                            @$BACKOFF ],
	zero     => [ { retry_after => 0 },                          @$BACKOFF ],
	negative => [ { retry_after => -5 },                         @$BACKOFF ],
	past     => [ { retry_after_date => -100 },                  @$BACKOFF ],
	words    => [ { retry_after => 'soon' },                     @$BACKOFF ],
	numbers  => [ { retry_after => '0x7fffffff' },               @$BACKOFF ],
	short    => [ { retry_after => 2 },                          @$BACKOFF ]);
my @after = map { my $status = $_; map { [ $status, $_, "after_${status}_$_" ] } sort keys %after } 429, 503;
$queue = join ' ', map { queue_case($_->[2], 80) } @after;
$double->post('faults', [ map { { do => 'error', status => $_->[0], %{ $after{ $_->[1] }[0] }, match => { to => $number{ $_->[2] } } } } @after ]);
sql("BEGIN; $queue COMMIT");
wait_for_value($node, 'crm', q(SELECT count(*) FROM wacta.attempt JOIN wacta.message USING (lead_id, message_id) JOIN wacta.channel USING (channel_id)
	WHERE name LIKE 'after%' AND http_status IS NOT NULL), scalar @after, 'each of them is answered');
for my $case (@after)
{
	my ($status, $what, $name) = @$case;
	my (undef, $from, $to) = @{ $after{$what} };
	waits($name, $from, $to, 'how long it waits');
	my $paused = $status == 429 && ($from > 10 || $what eq 'short');
	is(told('c.status', $name), $paused ? 'paused' : 'active', $paused ? "$name: so does its sender" : "$name: not its sender");
}

# --- A code that nobody knows
sql("UPDATE wacta.config SET retry_base = '200 milliseconds', retry_cap = '500 milliseconds'");
$queue = queue_case('unknown');
$double->post('faults', { do => 'error', status => 400, code => 999_999, details => 'words that are new', match => { to => $number{unknown} } });
sql($queue);
wait_for_value($node, 'crm', q(SELECT m.status FROM wacta.message m JOIN wacta.channel c USING (channel_id) WHERE c.name = 'unknown'), 'failed', 'an unknown code fails at last');
is(scalar @{ $double->journal(to => $number{unknown}) }, 3, 'after three requests');
is(told(q(concat_ws(' ', m.attempts, m.error_code, m.reason, c.status, t.held_reason)), 'unknown'), '3 999999 words that are new active', 'with code and reason, and nobody else is held');

# --- Too old
sql("UPDATE wacta.config SET message_ttl = '1500 milliseconds'");
my %old = (tried => undef, paused => q(SELECT wacta.pause_channel('old_paused', 'the office is closed');), held => q(UPDATE wacta.template SET held_reason = 'to be reworded' WHERE name = 'old_held';));
$queue = join ' ', map { queue_case("old_$_") . ($old{$_} // '') } sort keys %old;
$double->post('faults', { do => 'error', status => 503, match => { to => $number{old_tried} } });
sql("BEGIN; $queue COMMIT");
wait_for_value($node, 'crm', q(SELECT count(*) FROM wacta.message m JOIN wacta.channel c USING (channel_id) WHERE c.name LIKE 'old%' AND m.status = 'expired'), scalar keys %old,
	'what waits too long expires');
like(told('m.reason', 'old_tried'), qr/^not sent in time; last: HTTP status 503$/, 'the reason names the last answer');
like(told('m.reason', 'old_paused'), qr/^not sent in time; the sender is paused: the office is closed$/, 'or what the sender waited for');
like(told('m.reason', 'old_held'), qr/^not sent in time; the template is held: to be reworded$/, 'or the template');
cmp_ok(scalar @{ $double->journal(to => $number{old_tried}) }, '>=', 2, 'one of them after several requests');
is(scalar @{ $double->journal(to => $number{"old_$_"}) }, 0, "$_: not one request") for qw(paused held);

outbox_is_consistent($node, 'crm', $double);
done_testing();
