-- Limits that the claim keeps: to one person, people a day, money a day. Over the limit means later, with the reason.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SET timezone = 'UTC';
SET wacta.fixed_now = '2025-08-26 06:00:00+00';
UPDATE wacta.config SET message_ttl = '30 days';

CREATE FUNCTION pg_temp.claimed(courier int DEFAULT 0) RETURNS bigint LANGUAGE sql AS
$$ SELECT count(*) FROM wacta.courier_claim($1, 1000) WHERE message_id IS NOT NULL $$;
CREATE FUNCTION pg_temp.accept_all() RETURNS bigint LANGUAGE sql AS $$
  SELECT count(s.*) FROM (SELECT array_agg(lead_id) l, array_agg(message_id) m, array_agg(attempts) a, count(*)::int n FROM wacta.message WHERE status = 'sending') x,
    LATERAL wacta.courier_settle(l, m, a, array_fill('answered'::text, ARRAY[n]), array_fill(200, ARRAY[n]), array_fill(NULL::int, ARRAY[n]),
      ARRAY(SELECT convert_to('{"messages": [{"id": "wamid.' || i || '"}]}', 'UTF8') FROM unnest(m) i), array_fill(NULL::text, ARRAY[n]), array_fill(5, ARRAY[n])) s
$$;
CREATE VIEW pg_temp.waiting AS
  SELECT reason, count(*), min(due_at) - wacta.now() AS soonest, max(due_at) - wacta.now() AS latest FROM wacta.message WHERE status = 'queued' GROUP BY 1 ORDER BY 1;
-- the queue has exactly the queued messages
CREATE VIEW pg_temp.amiss AS
  SELECT message_id, due_at, channel_id, coalesce(template_id, 0) AS template_id, lead_id, expires_at FROM wacta.message WHERE status = 'queued'
  EXCEPT SELECT message_id, due_at, channel_id, template_id, lead_id, expires_at FROM wacta.queue;
CREATE FUNCTION pg_temp.end_all() RETURNS void LANGUAGE sql AS $$ UPDATE wacta.message SET status = 'cancelled', reason = 'test', lease_until = NULL WHERE status IN ('queued', 'sending') $$;
SELECT wacta.upsert_lead('9876500001', 'Asha', 'Green Acres') AS asha, wacta.upsert_lead('9876500002', 'Vikram', 'Green Acres') AS vikram \gset

-- One person: bursts, then one each interval; others are not held up
UPDATE wacta.config SET pair_burst = 3;
SELECT count(wacta.send_interactive(:asha)) FROM generate_series(1, 6);
SELECT wacta.send_interactive(:vikram) > 0;
SELECT pg_temp.claimed() AS three_and_the_other, pg_temp.claimed() AS none;
SELECT * FROM pg_temp.waiting;
DO $$ BEGIN PERFORM pg_temp.advance('6 seconds'); END $$;
SELECT pg_temp.claimed() AS one_more;
SELECT lead_id = :asha AS hers, count(*) FROM wacta.message WHERE status = 'sending' GROUP BY 1;
DO $$ BEGIN PERFORM pg_temp.advance('12 seconds'); END $$;
SELECT pg_temp.claimed(1) AS another_courier_counts_too;
SELECT * FROM pg_temp.waiting;
SELECT gate, passed, next_time - wacta.now() AS opens FROM wacta.explain_send(:asha) WHERE gate = 'person';
-- what was certainly not sent does not count
UPDATE wacta.attempt SET outcome = 'not_sent', ended_at = wacta.now();
SELECT wacta.pair_free_at(:asha, 1, wacta.now(), 0) - wacta.now() AS at_once, wacta.pair_free_at(:asha, 1, wacta.now(), 3) - wacta.now() AS behind_three;
UPDATE wacta.config SET pair_interval = NULL;
SELECT wacta.pair_free_at(:asha, 1, wacta.now(), 99) - wacta.now() AS no_limit;
UPDATE wacta.config SET pair_interval = DEFAULT, pair_burst = DEFAULT;
SELECT pg_temp.end_all();
SELECT * FROM pg_temp.amiss;

-- People in any 24 hours, over all senders of a portfolio, outside of their service windows
INSERT INTO wacta.portfolio (name, people_per_day) VALUES ('ours', 3);
UPDATE wacta.channel SET portfolio_id = 1;
DO $$ BEGIN PERFORM pg_temp.advance('1 hour'); END $$;
CREATE TEMP TABLE person AS SELECT n, wacta.upsert_lead('98765100' || lpad(n::text, 2, '0'), 'P' || n, 'Green Acres') AS lead FROM generate_series(1, 6) n;
SELECT count(wacta.send_interactive(lead)) FROM person WHERE n <= 2;
SELECT pg_temp.claimed() AS two, pg_temp.accept_all();
DO $$ BEGIN PERFORM pg_temp.advance('1 hour'); END $$;
SELECT count(wacta.send_interactive(lead)) FROM person;
SELECT pg_temp.claimed() AS the_two_again_and_one_new;
SELECT people FROM wacta.portfolio;
SELECT reason, count(*), min(due_at) - wacta.now() AS soonest FROM wacta.message WHERE status = 'queued' GROUP BY 1;
SELECT pg_temp.accept_all();
SELECT n, gate, passed, detail, next_time - wacta.now() AS opens FROM person, wacta.explain_send(lead) WHERE gate = 'people' AND n IN (1, 4) ORDER BY n;
-- who must not get a message takes no place
UPDATE wacta.portfolio SET people_per_day = 4;
SELECT wacta.upsert_lead('9876510077', 'Opted out') AS lead \gset
SELECT wacta.opt_out(:lead, 'test');
INSERT INTO wacta.message (lead_id, purpose, channel_id, template_id, expires_at) SELECT :lead, 'pitch', 1, template_id, wacta.now() + interval '1 day' FROM wacta.template WHERE name = 'project_update_template';
SELECT pg_temp.claimed();
SELECT people FROM wacta.portfolio;
UPDATE wacta.portfolio SET people_per_day = 3;
-- an open window is not counted
UPDATE wacta.lead SET window_until = wacta.now() + interval '30 hours' WHERE lead_id = (SELECT lead FROM person WHERE n = 4);
SELECT wacta.send_interactive(lead) > 0 FROM person WHERE n = 4;
SELECT pg_temp.claimed() AS in_the_window;
SELECT people, pg_temp.accept_all() FROM wacta.portfolio;
-- places come free 24 hours after the last message, one by one; two couriers count together
DO $$ BEGIN PERFORM pg_temp.advance('23 hours 59 minutes'); END $$;
SELECT pg_temp.claimed(0) + pg_temp.claimed(1) AS too_early;
DO $$ BEGIN PERFORM pg_temp.advance('1 hour'); END $$;
SELECT pg_temp.claimed(0) + pg_temp.claimed(1) AS places;
SELECT people, (SELECT count(*) FROM wacta.reached) AS reached FROM wacta.portfolio;
SELECT * FROM pg_temp.amiss;
-- no limit, no account
UPDATE wacta.portfolio SET people_per_day = NULL;
SELECT pg_temp.end_all();
SELECT count(wacta.send_interactive(lead)) FROM person;
SELECT pg_temp.claimed() AS all_six;
SELECT pg_temp.end_all();
UPDATE wacta.channel SET portfolio_id = NULL;

-- Money a day, by the price of the longest calling code; midnight is the site's
INSERT INTO wacta.price VALUES ('', 'MARKETING', 1), ('91', 'MARKETING', 0.25), ('9198765', 'MARKETING', 0.5), ('91', 'UTILITY', 0.1);
SELECT n AS phone, wacta.expected_cost(n, t.template_id) FROM unnest('{+919876500001,+919999900001,+14155550100,NULL}'::text[]) n, wacta.template t WHERE t.name = 'project_update_template';
SELECT wacta.expected_cost('+919876500001', NULL) AS free_form;
UPDATE wacta.channel SET daily_budget = 2;
SELECT wacta.now() AT TIME ZONE time_zone AS local_time FROM wacta.config;
SELECT count(wacta.send_interactive(lead)) FROM person;
SELECT pg_temp.claimed() AS four_of_six;
SELECT amount AS spent FROM wacta.spend;
SELECT reason, count(*), date_trunc('second', min(due_at)) AT TIME ZONE (SELECT time_zone FROM wacta.config) AS soonest FROM wacta.message WHERE status = 'queued' GROUP BY 1;
SELECT status, cost, count(*) FROM wacta.message WHERE lead_id IN (SELECT lead FROM person) AND status IN ('queued', 'sending') GROUP BY 1, 2 ORDER BY 1;
SELECT gate, passed, detail, next_time AT TIME ZONE (SELECT time_zone FROM wacta.config) AS opens FROM wacta.explain_send(:vikram) WHERE gate = 'budget';
-- what the provider refused has cost nothing
SELECT s.failed FROM (SELECT * FROM wacta.message WHERE status = 'sending' LIMIT 1) m, LATERAL wacta.courier_settle(ARRAY[m.lead_id], ARRAY[m.message_id], ARRAY[m.attempts], '{answered}', '{400}', '{NULL}', ARRAY['{"error": {"code": 131026}}'::bytea], '{NULL}', '{3}') s;
SELECT amount AS spent FROM wacta.spend;
SELECT pg_temp.accept_all(), pg_temp.claimed() AS still_later;
DO $$ BEGIN PERFORM pg_temp.advance('1 day'); END $$;
SELECT pg_temp.claimed() AS next_day;
SELECT count(*), sum(amount) AS spent FROM wacta.spend;
SELECT * FROM pg_temp.amiss;

-- A limit that was raised: what was put off goes now
UPDATE wacta.channel SET daily_budget = 0.5;
SELECT count(wacta.send_interactive(lead)) FROM person;
SELECT pg_temp.claimed() AS none_for_what_is_left;
UPDATE wacta.channel SET daily_budget = 100;
SELECT wacta.send_now('main'), pg_temp.attempt('SELECT wacta.send_now(''nobody'')');
SELECT pg_temp.claimed() AS all_six;
SELECT * FROM pg_temp.amiss;

-- How long to wait is a rule's, too
SELECT pg_temp.end_all();
UPDATE wacta.channel SET daily_budget = NULL;
UPDATE wacta.error_rule SET wait = '42 minutes' WHERE (kind, code) = ('code', 131049);
SELECT wacta.send_interactive(:vikram) > 0;
SELECT pg_temp.claimed();
SELECT s.retried FROM (SELECT * FROM wacta.message WHERE status = 'sending' LIMIT 1) m, LATERAL wacta.courier_settle(ARRAY[m.lead_id], ARRAY[m.message_id], ARRAY[m.attempts], '{answered}', '{400}', '{NULL}', ARRAY['{"error": {"code": 131049}}'::bytea], '{NULL}', '{3}') s;
SELECT * FROM pg_temp.waiting;
-- a gateway that waited in vain: nobody knows
SELECT pg_temp.end_all();
SELECT wacta.send_interactive(:vikram) > 0;
SELECT pg_temp.claimed();
SELECT s.in_doubt FROM (SELECT * FROM wacta.message WHERE status = 'sending' LIMIT 1) m, LATERAL wacta.courier_settle(ARRAY[m.lead_id], ARRAY[m.message_id], ARRAY[m.attempts], '{answered}', '{504}', '{NULL}', ARRAY['<html>'::bytea], '{NULL}', '{3}') s;
SELECT reason FROM wacta.message_in_doubt;
-- a queue that was lost is made anew
DELETE FROM wacta.queue;
SELECT count(wacta.send_interactive(lead)) FROM person;
DELETE FROM wacta.queue;
SELECT wacta.rebuild_queue();
SELECT * FROM pg_temp.amiss;
SELECT pg_temp.claimed();
-- what is no number is no price and no budget: it would make every sum one that is none
SELECT pg_temp.attempt(what) FROM unnest(ARRAY['INSERT INTO wacta.price (calling_code, category, price) VALUES (''99'', ''MARKETING'', ''NaN'')',
                                               'UPDATE wacta.channel SET daily_budget = ''NaN''']) what;
