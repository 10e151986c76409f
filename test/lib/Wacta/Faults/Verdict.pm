# What must hold after the faults.  The ledger of the clients and the journal of the double are loaded into tables beside
# wacta's own, and each check is a query for what contradicts it.
package Wacta::Faults::Verdict;

use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;

my $TABLES = <<'END';
CREATE SCHEMA faults;
CREATE TABLE faults.ledger (kind text, phone text, message_id bigint, at double precision);
-- in the order of arrival at the double; decided_us: after which time it was known what is answered
CREATE TABLE faults.request (seq bigint, message_id bigint, arrived timestamptz, decided_us bigint, outcome text, taken boolean, fault text);
CREATE TABLE faults.crash (at double precision);
END

my $VIEWS = <<'END';
CREATE INDEX ON faults.ledger (message_id);
CREATE INDEX ON faults.ledger (phone);
CREATE INDEX ON faults.request (message_id);
-- a message and all that is known of its requests
CREATE TABLE faults.message AS
  SELECT m.message_id, m.lead_id, m.status::text, m.attempts, m.lease_until,
         (SELECT i.value FROM wacta.lead_identity i WHERE i.lead_id = m.lead_id AND i.kind = 'phone') AS phone,
         (SELECT count(*) FROM faults.request r WHERE r.message_id = m.message_id) AS requests,
         (SELECT count(*) FROM faults.request r WHERE r.message_id = m.message_id AND r.taken) AS taken,
         EXISTS (SELECT FROM faults.request r WHERE r.message_id = m.message_id AND r.fault = 'fail_later') AS told_to_fail
    FROM wacta.message m;
CREATE INDEX ON faults.message (message_id);
-- an attempt, and whether the message can have been taken by it, as far as wacta knows
CREATE TABLE faults.attempt AS
  SELECT a.*, coalesce(a.outcome = 'not_sent' OR (a.outcome = 'answered' AND a.http_status NOT BETWEEN 200 AND 299), false) AS surely_not_taken,
         lead(a.claimed_at) OVER (PARTITION BY a.message_id ORDER BY a.attempt) AS next_claim,
         a.attempt = m.attempts AS is_last
    FROM wacta.attempt a JOIN faults.message m USING (lead_id, message_id);
CREATE INDEX ON faults.attempt (message_id);
ANALYZE;
END

# What is shown, and the query for what would contradict it.  A message is known by its phone as well as by its id: the id of
# a transaction that was lost in a crash is given out again.
my @CHECKS = (
	'each message that was acknowledged exists' =>
	  q(SELECT l.message_id FROM faults.ledger l WHERE l.kind = 'enqueued'
	       AND NOT EXISTS (SELECT FROM faults.message m WHERE (m.message_id, m.phone) = (l.message_id, l.phone))),
	'none exists whose transaction did not get to its commit' =>
	  q(SELECT m.message_id FROM faults.message m JOIN faults.ledger l USING (phone) WHERE l.kind = 'void'),
	'each one that exists was enqueued by somebody' =>
	  q(SELECT m.message_id FROM faults.message m
	     WHERE NOT EXISTS (SELECT FROM faults.ledger l WHERE l.kind IN ('enqueued', 'unknown') AND (l.message_id, l.phone) = (m.message_id, m.phone))),
	'and once' =>
	  q(SELECT phone FROM faults.message GROUP BY phone HAVING count(*) > 1),
	'the states add up to what was enqueued' =>
	  q(SELECT 'sum' FROM wacta.message_accounting WHERE enqueued <> in_doubt + accepted + sent + delivered + read + failed + suppressed + expired + cancelled
	        OR enqueued <> (SELECT count(*) FROM faults.ledger l WHERE l.kind = 'enqueued' OR (l.kind = 'unknown'
	                          AND EXISTS (SELECT FROM faults.message m WHERE (m.message_id, m.phone) = (l.message_id, l.phone))))),
	'nothing is queued, sending, or held by a lease' =>
	  q(SELECT message_id FROM faults.message WHERE status IN ('queued', 'sending') OR lease_until IS NOT NULL),
	'each webhook that was stored is applied, within a minute' =>
	  q(SELECT inbox_id FROM wacta.inbox WHERE set_aside_at IS NOT NULL OR (due_at < wacta.now() - interval '1 minute')),
	'each attempt has ended' =>
	  q(SELECT message_id FROM faults.attempt WHERE outcome IS NULL OR ended_at IS NULL),
	'each attempt is counted in its message' =>
	  q(SELECT message_id FROM faults.message m LEFT JOIN faults.attempt a USING (message_id)
	     GROUP BY message_id, m.attempts HAVING count(a.attempt) <> m.attempts OR coalesce(max(a.attempt), 0) <> m.attempts),
	'the messages in doubt, and they alone, are listed' =>
	  q((SELECT message_id FROM faults.message WHERE status = 'in_doubt' EXCEPT SELECT message_id FROM wacta.message_in_doubt)
	    UNION ALL (SELECT message_id FROM wacta.message_in_doubt EXCEPT SELECT message_id FROM faults.message WHERE status = 'in_doubt')),
	'none was taken twice' =>
	  q(SELECT message_id FROM faults.message WHERE taken > 1),
	'none was requested again after it had been taken' =>
	  q(SELECT r.message_id FROM faults.request r JOIN faults.request t ON t.message_id = r.message_id AND t.taken AND t.seq < r.seq),
	'none was tried again but after an attempt that is known not to have been taken' =>
	  q(SELECT message_id FROM faults.attempt WHERE NOT is_last AND NOT surely_not_taken),
	'an attempt that was not sent has come to nobody' =>
	  q(SELECT m.message_id FROM faults.message m
	     WHERE m.requests > (SELECT count(*) FROM faults.attempt a WHERE a.message_id = m.message_id AND a.outcome IS DISTINCT FROM 'not_sent')),
	'none is in doubt that is known not to have been taken' =>
	  q(SELECT message_id FROM faults.message m JOIN faults.attempt a USING (message_id) WHERE m.status = 'in_doubt' AND a.is_last AND a.surely_not_taken),
	'what is accepted or more was taken' =>
	  q(SELECT message_id FROM faults.message WHERE status IN ('accepted', 'sent', 'delivered', 'read') AND taken = 0),
	'what has ended otherwise was not' =>
	  q(SELECT message_id FROM faults.message WHERE status IN ('failed', 'suppressed', 'expired', 'cancelled') AND taken > 0
	       AND NOT (status = 'failed' AND told_to_fail)),
	'the double has taken nothing that is not ours' =>
	  q(SELECT r.message_id FROM faults.request r WHERE r.message_id IS NOT NULL
	       AND NOT EXISTS (SELECT FROM faults.message m WHERE m.message_id = r.message_id)),
	'what was cancelled stays so' =>
	  q(SELECT message_id FROM faults.ledger l JOIN faults.message m USING (message_id) WHERE l.kind = 'cancelled' AND m.status <> 'cancelled'),
	'no attempt was begun after an opt-out was acknowledged' =>
	  q(SELECT m.message_id FROM faults.ledger l JOIN faults.message m USING (phone) JOIN faults.attempt a ON a.message_id = m.message_id
	     WHERE l.kind = 'opted_out' AND a.claimed_at > to_timestamp(l.at)));

# Where the couriers were when they were ended: by the attempts that were lost.
my $STEPS = <<'END';
SELECT step || ': ' || count(*) FROM (
  SELECT CASE WHEN r.seq IS NULL THEN 'claimed, no request has come'
              WHEN r.outcome = 'answered' AND extract(epoch FROM r.arrived) + r.decided_us / 1e6 < c.at THEN 'answered, not settled'
              ELSE 'request under way' END AS step
    FROM faults.attempt a
    LEFT JOIN LATERAL (SELECT min(c.at) AS at FROM faults.crash c WHERE c.at > extract(epoch FROM a.claimed_at)) c ON true
    LEFT JOIN LATERAL (SELECT * FROM faults.request r
                        WHERE r.message_id = a.message_id AND r.arrived > a.claimed_at - interval '10 ms'
                          AND r.arrived < coalesce(a.next_claim, 'infinity') ORDER BY r.seq LIMIT 1) r ON true
   WHERE a.outcome = 'lost') s GROUP BY step ORDER BY step
END

sub new
{
	my ($class, $faults) = @_;
	return bless { faults => $faults, node => $faults->site->node }, $class;
}

sub _sql { my ($self, $sql) = @_; return $self->{node}->safe_psql('crm', $sql) }

# check(): loads what the others know, and compares.
sub check
{
	my ($self) = @_;
	$self->_load;
	my @check = @CHECKS;
	while (my ($what, $sql) = splice @check, 0, 2)
	{
		my ($found, $some) = split /\|/, $self->_sql(
			"SELECT count(*), array_to_string((array_agg(x::text))[1:5], ' ') FROM ($sql) x"), 2;
		is($found, 0, $what) or $self->_explain($some);
	}
	$self->_check_log;
	return;
}

# Only a line that is whole is an entry: of a double that was killed the last one may be torn.
sub _request
{
	my ($line) = @_;
	my ($seq) = $line =~ /^\{"seq":(\d+),.*\}\n\z/ or return;
	my %field = $line =~ /(?<!\\)"(at|callback|outcome|fault|taken|decided_us)":(?:\{"id":\d+,"do":)?"?([^",}]*)/g;
	my ($message) = ($field{callback} // '') =~ /^wacta:outbox:(\d+)/ or return;
	my $fault = $field{fault} eq 'null' ? '\N' : $field{fault};
	return join("\t", $seq, $message, @field{qw(at decided_us outcome taken)}, $fault) . "\n";
}

sub _load
{
	my ($self) = @_;
	my $faults = $self->{faults};
	$self->_sql($TABLES);
	open my $in, '<', $faults->journal or die $!;
	open my $out, '>', "$faults->{tmp}/requests" or die $!;
	while (my $line = <$in>) { print $out _request($line) // () }
	close $out or die $!;
	append_to_file("$faults->{tmp}/crashes", join '', map { "$_\n" } $faults->tally->crashes);
	$self->_sql("\\copy faults.ledger FROM '" . $faults->ledger . "'");
	$self->_sql("\\copy faults.crash FROM '$faults->{tmp}/crashes'");
	$self->_sql("\\copy faults.request FROM '$faults->{tmp}/requests'");
	$self->_sql($VIEWS);
	return;
}

# All that is known of the first that contradict.
sub _explain
{
	my ($self, $some) = @_;
	for my $id (grep { /^\d+$/ } $some =~ /\((\d+)\)/g)
	{
		diag("message $id: " . $self->_sql("SELECT to_json(m) FROM wacta.message m WHERE message_id = $id"));
		diag('  ' . $self->_sql("SELECT string_agg(to_json(a)::text, E'\n  ' ORDER BY attempt) FROM faults.attempt a WHERE message_id = $id"));
		diag('  ' . $self->_sql("SELECT string_agg(to_json(r)::text, E'\n  ' ORDER BY seq) FROM faults.request r WHERE message_id = $id"));
		diag('  ' . $self->_sql("SELECT string_agg(to_json(l)::text, E'\n  ') FROM faults.ledger l WHERE message_id = $id"));
	}
	return;
}

sub _check_log
{
	my ($self) = @_;
	open my $in, '<', $self->{node}->logfile or die $!;
	my @alarming = grep { /PANIC|TRAP:|signal (?:6|11)\b|segfault/ } <$in>;
	is(join('', @alarming[ 0 .. ($#alarming < 4 ? $#alarming : 4) ]), '', 'the server has not crashed by itself');
	return;
}

# facts(): lines that tell what the run was.
sub facts
{
	my ($self) = @_;
	my $states = $self->_sql(q(SELECT string_agg(status || ' ' || n, ', ' ORDER BY status)
		FROM (SELECT status, count(*) AS n FROM faults.message GROUP BY status) s));
	my $ledger = $self->_sql(q(SELECT string_agg(kind || ' ' || n, ', ' ORDER BY kind)
		FROM (SELECT kind, count(*) AS n FROM faults.ledger GROUP BY kind) s));
	my $outcomes = $self->_sql(q(SELECT string_agg(outcome || ' ' || n, ', ' ORDER BY outcome)
		FROM (SELECT outcome, count(*) AS n FROM faults.attempt GROUP BY outcome) s));
	return ("ledger: $ledger", "states: $states", "attempts: $outcomes",
		'couriers ended while a message was: ' . join ', ', split /\n/, $self->_sql($STEPS));
}

1;
