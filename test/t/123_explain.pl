# What explain_send() says is what the claim does: for seeded people, settings and moments, a message is claimed now exactly if all gates
# are passed; else at the latest next time, and not a second before; and never where a gate that is not passed has none.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;

my $seed = $ENV{SEED} || 20261122;
my $cases = $ENV{CASES} || 400;
my $node = wacta_node('main', databases => []);
$node->safe_psql('postgres', 'CREATE DATABASE crm');
$node->safe_psql('crm', 'CREATE EXTENSION wacta CASCADE');

# The site: two projects, two templates, a sender with a portfolio, prices; people in four countries.
$node->safe_psql('crm', <<'SQL');
SELECT wacta.add_signing_key();
SELECT wacta.add_template('one', '[{"type": "BODY", "text": "Hello there"}]'), wacta.add_template('two', '[{"type": "BODY", "text": "Hello again"}]', category => 'UTILITY'),
       wacta.add_template('brochure', '[{"type": "HEADER", "format": "DOCUMENT", "example": {"header_handle": ["4::aW"]}}, {"type": "BODY", "text": "Here it is"}]', purpose => 'brochure');
SELECT wacta.add_project('East', brochure_link => 'https://example.com/e.pdf', template => 'one', brochure_template => 'brochure', time_zone => 'Asia/Dubai'),
       wacta.add_project('West', brochure_link => 'https://example.com/w.pdf', template => 'two', brochure_template => 'brochure');
SELECT wacta.add_channel('main', 'meta', '106540352242922');
INSERT INTO wacta.portfolio (name) VALUES ('ours');
UPDATE wacta.channel SET max_rate = NULL, portfolio_id = 1;
INSERT INTO wacta.price VALUES ('', 'MARKETING', 1), ('1', 'MARKETING', 3), ('91', 'UTILITY', 0.5);
SELECT wacta.upsert_lead(p || lpad(i::text, 4, '0'), 'P', CASE i % 3 WHEN 0 THEN 'East' WHEN 1 THEN 'West' END)
  FROM unnest('{+91987650,+1415555,+4477009001,+372555}'::text[]) p, generate_series(1, 6) i;
WITH l AS (INSERT INTO wacta.lead (name, project_id) SELECT 'without a number', 2 FROM generate_series(1, 2) RETURNING lead_id)
INSERT INTO wacta.lead_identity (kind, value, lead_id) SELECT 'user_id', 'IN.' || lead_id, lead_id FROM (SELECT * FROM l LIMIT 1) x;

CREATE FUNCTION pick(VARIADIC choices text[]) RETURNS text LANGUAGE sql AS $$ SELECT choices[1 + floor(random() * cardinality(choices))::int] $$;
CREATE FUNCTION chance(p float) RETURNS boolean LANGUAGE sql AS $$ SELECT random() < p $$;
CREATE FUNCTION set_clock(t timestamptz) RETURNS void LANGUAGE sql AS $$ SELECT set_config('wacta.fixed_now', t::text, false) $$;

-- Often in a night in which the clock is set in New York or London.
CREATE FUNCTION some_moment(after timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
  zone text := pick('America/New_York', 'Europe/London');
  t    timestamptz := date_trunc('day', after, zone) + make_interval(days => 35 + (random() * 10)::int);
BEGIN
  IF chance(0.4) THEN
    WHILE extract(hour FROM (t AT TIME ZONE zone) - ((t - interval '1 day') AT TIME ZONE zone)) + 24 * extract(day FROM (t AT TIME ZONE zone) - ((t - interval '1 day') AT TIME ZONE zone)) = 24 LOOP
      t := t + interval '1 day';
    END LOOP;
    t := t - interval '1 day';
  END IF;
  RETURN t + make_interval(mins => (random() * CASE WHEN chance(0.5) THEN 300 ELSE 1440 END)::int, secs => (random() * 59)::int);
END $$;

CREATE FUNCTION some_policy() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM wacta.quiet_hours;
  DELETE FROM wacta.frequency_cap;
  INSERT INTO wacta.quiet_hours (quiet_from, quiet_to, days, purposes, country, project_id)
  SELECT make_time((random() * 23)::int, (random() * 3)::int * 15, 0), make_time((random() * 23)::int, (random() * 3)::int * 15, 0),
         pick('{1,2,3,4,5,6,7}', '{6,7}', '{1,3,5,7}')::int[], pick('{pitch,other}', '{pitch,brochure,other}', '{brochure}')::text[],
         pick(NULL, NULL, 'US', 'IN', 'GB'), pick(NULL, NULL, '1', '2')::int
    FROM generate_series(1, greatest(0, (random() * 5)::int - 2));
  INSERT INTO wacta.frequency_cap (messages, period, purposes)
  SELECT 1 + (random() * 3)::int, make_interval(hours => 1 + (random() * 40)::int), pick('{pitch,other}', '{pitch,brochure,other}', '{brochure}')::text[]
    FROM generate_series(1, greatest(0, (random() * 4)::int - 2));
  UPDATE wacta.config SET message_gap = CASE WHEN chance(0.25) THEN make_interval(mins => 1 + (random() * 300)::int) END, message_ttl = make_interval(hours => pick('1', '72', '300')::int),
    pair_interval = CASE WHEN chance(0.5) THEN make_interval(secs => 1 + (random() * 3600)::int) END, pair_burst = 1 + (random() * 3)::int, require_opt_in = chance(0.05);
  UPDATE wacta.portfolio SET people_per_day = CASE WHEN chance(0.3) THEN 1 + (random() * 4)::int END;
  UPDATE wacta.channel SET status = CASE WHEN chance(0.1) THEN 'paused' WHEN chance(0.03) THEN 'stopped' ELSE 'active' END,
    daily_budget = CASE WHEN chance(0.2) THEN round((random() * 6)::numeric, 1) END, paused_until = CASE WHEN chance(0.8) THEN wacta.now() + make_interval(mins => (random() * 900)::int - 100) END;
  UPDATE wacta.template SET status = CASE WHEN chance(0.1) THEN pick('FLAGGED', 'PENDING', 'PAUSED', 'REJECTED') ELSE 'APPROVED' END, held_reason = CASE WHEN chance(0.03) THEN 'test' END;
  UPDATE wacta.fence SET last_seen_at = wacta.now(), node_id = CASE WHEN chance(0.03) THEN 'another' ELSE (wacta.cluster_identity()).node_id END;
END $$;

-- What may have happened to a person and to the sender before, as the limits of that time let it happen.
CREATE FUNCTION some_past(lead bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  now_at timestamptz := wacta.now();
  at     timestamptz;
BEGIN
  TRUNCATE wacta.message, wacta.reached, wacta.spend;
  UPDATE wacta.lead SET consent = CASE WHEN chance(0.05) THEN 'withdrawn' ELSE pick('granted', 'unknown') END, time_zone = pick(NULL, NULL, NULL, 'Pacific/Apia', 'America/Los_Angeles'),
    window_until = CASE WHEN chance(0.2) THEN now_at + interval '90 days' END WHERE lead_id = some_past.lead;
  FOR at IN SELECT now_at - make_interval(secs => (random() ^ 3 * 200000)::int) FROM generate_series(1, (random() * 6)::int) ORDER BY 1 LOOP
    CONTINUE WHEN wacta.pair_free_at(some_past.lead, 1, at, 0) > at;
    WITH m AS (INSERT INTO wacta.message (lead_id, purpose, channel_id, template_id, status, reason, attempts, expires_at)
               VALUES (some_past.lead, pick('pitch', 'pitch', 'brochure', 'other'), 1, 1, pick('accepted', 'delivered', 'read', 'failed', 'in_doubt')::wacta.message_status, 'test', 1, at) RETURNING message_id)
    INSERT INTO wacta.attempt (lead_id, message_id, attempt, courier, claimed_at, ended_at, outcome) SELECT some_past.lead, message_id, 1, 0, at, at, 'answered' FROM m;
  END LOOP;
  INSERT INTO wacta.reached SELECT 1, CASE WHEN chance(0.2) THEN some_past.lead ELSE - n END, now_at - make_interval(mins => (random() * 1500)::int) FROM generate_series(1, (random() * 5)::int) n ON CONFLICT DO NOTHING;
  UPDATE wacta.portfolio SET people = (SELECT count(*) FROM wacta.reached);
  INSERT INTO wacta.spend SELECT 1, wacta.budget_day(now_at), 0, round((random() * 5)::numeric, 1);
END $$;

-- Whether a claim at that moment takes the message; nothing is changed by it.
CREATE FUNCTION would_claim(message bigint, at timestamptz) RETURNS boolean LANGUAGE plpgsql STRICT AS $$
DECLARE
  taken boolean;
BEGIN
  PERFORM set_clock(at);
  UPDATE wacta.fence SET last_seen_at = at - interval '1 minute';
  taken := coalesce((SELECT bool_or(c.message_id = message) FROM wacta.courier_claim(0, 100) c), false);
  RAISE EXCEPTION USING ERRCODE = 'P0777', MESSAGE = taken;
EXCEPTION WHEN SQLSTATE 'P0777' THEN
  RETURN SQLERRM::boolean;
END $$;

CREATE TABLE seen (n int, now_at timestamptz, lead bigint, template text, message bigint, gates jsonb, passed boolean, next_at timestamptz, verdict text);
CREATE PROCEDURE run(cases int, seed float) LANGUAGE plpgsql AS $$
DECLARE
  now_at timestamptz := '2026-01-01 00:00+00';
  s      seen;
  c      wacta.config;
BEGIN
  PERFORM setseed(seed);
  FOR i IN 1 .. cases LOOP
    now_at := some_moment(now_at);
    PERFORM set_clock(now_at);
    PERFORM some_policy();
    s := NULL;
    s.n := i;
    s.now_at := now_at;
    s.lead := (SELECT lead_id FROM wacta.lead ORDER BY random() LIMIT 1);
    PERFORM some_past(s.lead);
    s.template := pick('one', 'two', 'brochure');
    s.message := wacta.enqueue(s.lead, CASE s.template WHEN 'brochure' THEN 'brochure' ELSE 'pitch' END, wacta.template_id(s.template));
    SELECT jsonb_agg(e), bool_and(e.passed), CASE WHEN bool_and(e.passed OR e.next_time IS NOT NULL OR e.gate = 'time_to_live') THEN max(e.next_time) END
      INTO s.gates, s.passed, s.next_at FROM wacta.explain_send(s.lead, s.template) e;
    SELECT * INTO c FROM wacta.config;
    s.verdict := concat_ws(', ',
      CASE WHEN would_claim(s.message, now_at) <> s.passed THEN 'now' END,
      CASE WHEN s.next_at <= now_at + c.message_ttl AND NOT would_claim(s.message, s.next_at) THEN 'then' END,
      CASE WHEN s.next_at > now_at + c.message_ttl AND would_claim(s.message, s.next_at) THEN 'too late' END,
      CASE WHEN s.next_at - interval '1 second' >= now_at AND would_claim(s.message, s.next_at - interval '1 second') THEN 'before' END,
      CASE WHEN (s.next_at > now_at + c.message_ttl) IS TRUE <> EXISTS (SELECT FROM jsonb_to_recordset(s.gates) g(gate text, passed boolean) WHERE gate = 'time_to_live' AND NOT g.passed) AND s.next_at IS NOT NULL THEN 'ttl' END);
    INSERT INTO seen VALUES (s.*);
    COMMIT;
  END LOOP;
END $$;
SQL

$node->safe_psql('crm', sprintf 'CALL run(%d, %.6f)', $cases, ($seed % 999983) / 999983);
is($node->safe_psql('crm', q(SELECT count(*) FROM seen WHERE verdict <> '')), '0', "explain_send and the claim agree in all of $cases cases, seed $seed")
  or diag($node->safe_psql('crm', q(SELECT n, now_at, verdict, template, next_at, lead,
	(SELECT string_agg(g ->> 'gate' || ' ' || (g ->> 'detail') || ' ' || coalesce(g ->> 'next_time', '-'), '; ') FROM jsonb_array_elements(gates) g WHERE NOT (g ->> 'passed')::boolean) FROM seen WHERE verdict <> '' ORDER BY n LIMIT 10)));

# The cases were not all of one kind.
my %seen = map { split /\|/ } split /\n/, $node->safe_psql('crm', q(
	SELECT g ->> 'gate', count(*) FROM seen, jsonb_array_elements(gates) g WHERE NOT (g ->> 'passed')::boolean GROUP BY 1
	UNION ALL SELECT 'all passed', count(*) FROM seen WHERE passed UNION ALL SELECT 'opens later', count(*) FROM seen WHERE next_at IS NOT NULL));
diag(join ', ', map { "$_: $seen{$_}" } sort keys %seen);
for my $gate (qw(consent recipient template request sender fence quiet_hours cap gap person people budget time_to_live), 'all passed', 'opens later')
{
	cmp_ok($seen{$gate} // 0, '>', $cases / 400, "cases of: $gate");
}
$node->stop;
done_testing();
