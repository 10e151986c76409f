-- Policy as data, kept by the claim and told by explain_send(): quiet hours by the person's clock, caps, the gap, the time to live.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SET timezone = 'UTC';

CREATE FUNCTION pg_temp.at(t timestamptz) RETURNS timestamptz LANGUAGE sql AS $$ SELECT set_config('wacta.fixed_now', t::text, false)::timestamptz $$;
CREATE FUNCTION pg_temp.claimed() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM wacta.courier_claim(0, 1000) WHERE message_id IS NOT NULL $$;
CREATE FUNCTION pg_temp.end_all() RETURNS bigint LANGUAGE sql AS
$$ WITH e AS (UPDATE wacta.message SET status = 'cancelled', reason = 'test', lease_until = NULL WHERE status IN ('queued', 'sending', 'accepted') RETURNING 1) SELECT count(*) FROM e $$;
CREATE VIEW pg_temp.waiting AS SELECT m.purpose, m.status, m.reason, m.due_at FROM wacta.message m WHERE m.status IN ('queued', 'expired') ORDER BY m.message_id;
CREATE FUNCTION pg_temp.closed(lead bigint, template text DEFAULT NULL) RETURNS TABLE (gate text, detail text, next_time timestamptz) LANGUAGE sql AS
$$ SELECT gate, detail, next_time FROM wacta.explain_send($1, $2) WHERE NOT passed $$;

SELECT wacta.upsert_lead('9876500001', 'Asha', 'Green Acres') AS asha, wacta.upsert_lead('+447700900001', 'Jane', 'Green Acres') AS jane,
       wacta.upsert_lead('+14155550100', 'Sam', 'Green Acres') AS sam \gset
SELECT wacta.has_policy() AS by_default;

-- The clock of a person: their own zone, their number's country, the project's, the configured one
SELECT p.zone, p.calling_code FROM (VALUES (NULL, '+919876500001'), ('Asia/Dubai', '+919876500001'), (NULL, '+14155550100'), ('America/Los_Angeles', '+14155550100'),
  (NULL, '+3725551234'), (NULL, NULL)) v(zone, phone), LATERAL wacta.person_clock(v.zone, v.phone, 1) p;
UPDATE wacta.project SET time_zone = 'Asia/Dubai' WHERE project_id = 1;
SELECT zone FROM wacta.person_clock(NULL, '+3725551234', 1);
UPDATE wacta.project SET time_zone = NULL WHERE project_id = 1;
UPDATE wacta.config SET default_country = 'CA';
SELECT zone FROM wacta.person_clock(NULL, '+14155550100', 1);
UPDATE wacta.config SET default_country = 'IN';
SELECT pg_temp.attempt('UPDATE wacta.lead SET time_zone = ''Mars/Olympus''');

-- Across midnight, each by their own clock: it is 22:15 in India, 17:45 in London
INSERT INTO wacta.quiet_hours (quiet_from, quiet_to, note) VALUES ('21:00', '09:00', 'as TRAI has it');
SELECT pg_temp.at('2025-08-26 16:45+00');
SELECT wacta.send_interactive(:asha) > 0 AND wacta.send_interactive(:jane) > 0 AND wacta.send_brochure(:asha) > 0 AS queued;
SELECT pg_temp.claimed() AS jane_and_the_brochure_that_was_asked_for;
SELECT * FROM pg_temp.waiting;
SELECT * FROM pg_temp.closed(:asha);
SELECT * FROM pg_temp.closed(:asha, 'project_brochure');
SELECT pg_temp.at('2025-08-27 03:29:59+00'), pg_temp.claimed(), (SELECT count(*) FROM pg_temp.closed(:asha));
SELECT pg_temp.at('2025-08-27 03:30:00+00'), (SELECT count(*) FROM pg_temp.closed(:asha)), pg_temp.claimed();
SELECT pg_temp.end_all();

-- The nights in which the clock is set: New York goes from 02:00 to 03:00 on 9 March 2025, and from 02:00 back to 01:00 on 2 November
TRUNCATE wacta.quiet_hours;
INSERT INTO wacta.quiet_hours (quiet_from, quiet_to) VALUES ('23:00', '02:30');
SELECT t AS now, wacta.quiet_until('America/New_York', '1', NULL, 'pitch', t) AS utc, wacta.quiet_until('America/New_York', '1', NULL, 'pitch', t) AT TIME ZONE 'America/New_York' AS there
  FROM unnest('{2025-03-08 04:30+00,2025-03-09 04:30+00,2025-03-09 06:59:59+00,2025-03-09 07:00+00,2025-11-02 03:30+00,2025-11-02 05:59+00,2025-11-02 07:29:59+00,2025-11-02 07:30+00}'::timestamptz[]) t;
-- an end that comes twice is at its first time, and what is shown again is quiet again
UPDATE wacta.quiet_hours SET quiet_to = '01:30';
SELECT t AS now, wacta.quiet_until('America/New_York', '1', NULL, 'pitch', t) AS utc
  FROM unnest('{2025-11-02 04:00+00,2025-11-02 05:30+00,2025-11-02 05:59:59+00,2025-11-02 06:00+00,2025-11-02 06:30+00}'::timestamptz[]) t;
-- what the clock shows decides, whatever zones do: at 02:00, at midnight, by half an hour, never
CREATE FUNCTION pg_temp.shown_quiet(t timestamptz, zone text) RETURNS boolean LANGUAGE sql AS
$$ SELECT bool_or((t AT TIME ZONE zone) >= d + q.quiet_from AND (t AT TIME ZONE zone) < d + q.quiet_to + CASE WHEN q.quiet_to <= q.quiet_from THEN interval '1 day' ELSE '0' END
                  AND extract(isodow FROM d)::int = ANY (q.days))
     FROM wacta.quiet_hours q, unnest(ARRAY[(t AT TIME ZONE zone)::date, (t AT TIME ZONE zone)::date - 1]) d $$;
TRUNCATE wacta.quiet_hours;
INSERT INTO wacta.quiet_hours (quiet_from, quiet_to, days) VALUES ('22:15', '02:30', '{5,6,7}'), ('23:40', '00:20', '{4}'), ('00:00', '00:45', '{7}'), ('02:30', '03:10', '{7}'), ('23:30', '24:00', '{6}');
SELECT zone, count(*) AS minutes, count(*) FILTER (WHERE quiet) AS quiet,
       count(*) FILTER (WHERE quiet <> (free > t)) AS wrong_now, count(*) FILTER (WHERE pg_temp.shown_quiet(free, zone)) AS wrong_then,
       count(*) FILTER (WHERE quiet AND NOT pg_temp.shown_quiet(free - interval '1 second', zone)) AS too_late
  FROM (SELECT z.zone, t, pg_temp.shown_quiet(t, z.zone) AS quiet, wacta.quiet_until(z.zone, NULL, NULL, 'pitch', t) AS free
          FROM (VALUES ('America/New_York', '2025-11-01 12:00+00'::timestamptz), ('America/New_York', '2025-03-08 12:00+00'), ('Europe/London', '2025-10-25 12:00+00'),
                       ('Australia/Lord_Howe', '2025-10-04 03:00+00'), ('Africa/Cairo', '2025-04-24 12:00+00'), ('Asia/Kathmandu', '2025-10-25 00:00+00')) z(zone, day),
               generate_series(z.day, z.day + interval '30 hours', '7 minutes') t) x
 GROUP BY zone, t > '2025-07-01' ORDER BY 1, t > '2025-07-01';
-- whole days; rows that follow one another; hours that never end
TRUNCATE wacta.quiet_hours;
INSERT INTO wacta.quiet_hours (quiet_from, quiet_to, days) VALUES ('00:00', '24:00', '{7}'), ('21:00', '09:00', '{1,2,3,4,5,6,7}');
SELECT to_char(wacta.quiet_until('Asia/Kolkata', '91', NULL, 'pitch', '2025-08-30 22:00+05:30') AT TIME ZONE 'Asia/Kolkata', 'Dy YYYY-MM-DD HH24:MI') AS after_sunday;
INSERT INTO wacta.quiet_hours (quiet_from, quiet_to) VALUES ('00:00', '00:00');
SELECT wacta.quiet_until('Asia/Kolkata', '91', NULL, 'pitch', wacta.now()) AS never;
SELECT pg_temp.at('2025-08-27 06:00+00'), wacta.send_interactive(:asha) > 0, pg_temp.claimed();
SELECT * FROM pg_temp.closed(:asha);
SELECT status, reason FROM pg_temp.waiting;
SELECT pg_temp.end_all();
-- for one country (all numbers with its calling code), one project, one purpose
TRUNCATE wacta.quiet_hours;
INSERT INTO wacta.quiet_hours (quiet_from, quiet_to, country, purposes) VALUES ('00:00', '24:00', 'CA', '{brochure}'), ('00:00', '24:00', 'GB', '{pitch}');
SELECT l.name, m.purpose, wacta.quiet_until('UTC', (SELECT calling_code FROM wacta.person_clock(NULL, (wacta.recipient(l.lead_id)).value, 1)), 1, m.purpose, wacta.now()) > wacta.now() AS quiet
  FROM wacta.lead l, unnest('{pitch,brochure}'::text[]) m(purpose) ORDER BY 1, 2 DESC;
UPDATE wacta.quiet_hours SET country = NULL, project_id = 1;
SELECT wacta.quiet_until('UTC', NULL, p, 'pitch', wacta.now()) > wacta.now() AS quiet FROM unnest('{1,NULL}'::int[]) p;
TRUNCATE wacta.quiet_hours;

-- Caps: any period, all rows; what did not reach the person does not count
INSERT INTO wacta.frequency_cap (messages, period) VALUES (2, '1 day'), (3, '7 days');
SELECT pg_temp.at('2025-09-01 06:00+00'), wacta.send_interactive(:asha) > 0, pg_temp.claimed();
SELECT pg_temp.at('2025-09-01 07:00+00'), wacta.send_interactive(:asha) > 0, wacta.send_interactive(:asha) > 0, pg_temp.claimed() AS one_at_a_time;
SELECT reason, due_at FROM pg_temp.waiting;
SELECT pg_temp.at('2025-09-01 07:01+00'), pg_temp.claimed();
SELECT reason, due_at FROM pg_temp.waiting;
SELECT * FROM pg_temp.closed(:asha);
SELECT wacta.send_brochure(:asha) > 0, pg_temp.claimed() AS brochure;
SELECT pg_temp.at('2025-09-02 05:59:59+00'), pg_temp.claimed(), pg_temp.at('2025-09-02 06:00+00'), pg_temp.claimed();
-- three in seven days: that is beyond the time to live
SELECT pg_temp.at('2025-09-03 06:00+00'), wacta.send_interactive(:asha) > 0, pg_temp.claimed();
SELECT * FROM pg_temp.closed(:asha);
SELECT status, reason FROM pg_temp.waiting;
UPDATE wacta.message SET status = 'failed', reason = 'undeliverable', lease_until = NULL WHERE status = 'sending' AND lead_id = :asha AND message_id = (SELECT max(message_id) FROM wacta.message WHERE status = 'sending' AND purpose = 'pitch');
SELECT wacta.send_interactive(:asha) > 0, pg_temp.claimed() AS it_did_not_reach_her;
SELECT pg_temp.end_all();
TRUNCATE wacta.frequency_cap;

-- The gap, over projects, templates and purposes; another person is not concerned
UPDATE wacta.config SET message_gap = '90 minutes';
SELECT wacta.add_template('other_offer', '[{"type": "BODY", "text": "Hello there"}]') > 0;
SELECT pg_temp.at('2025-09-20 06:00+00'), wacta.send_interactive(:asha) > 0, wacta.send_interactive(:asha, 'other_offer') > 0, wacta.send_interactive(:jane, 'other_offer') > 0, pg_temp.claimed() AS one_each;
SELECT reason, due_at FROM pg_temp.waiting;
SELECT * FROM pg_temp.closed(:asha);
SELECT pg_temp.at('2025-09-20 07:29:59+00'), pg_temp.claimed(), pg_temp.at('2025-09-20 07:30+00'), pg_temp.claimed();
-- a gap that ends in quiet hours ends with them
INSERT INTO wacta.quiet_hours (quiet_from, quiet_to) VALUES ('14:00', '09:00');
SELECT pg_temp.at('2025-09-20 07:45+00'), wacta.send_interactive(:asha) > 0, pg_temp.claimed();
SELECT reason, due_at FROM pg_temp.waiting;
SELECT * FROM pg_temp.closed(:asha);
-- when the policy goes, what waits for it goes now
TRUNCATE wacta.quiet_hours;
UPDATE wacta.config SET message_gap = NULL;
SELECT wacta.send_now() AS woken, pg_temp.claimed();

-- Many that wait for one moment are spread over the second after it
SELECT pg_temp.end_all() > 0 AS ended;
INSERT INTO wacta.quiet_hours (quiet_from, quiet_to) VALUES ('09:00', '18:00');
SELECT count(wacta.send_interactive(:asha)) FROM generate_series(1, 1200);
SELECT pg_temp.claimed(), pg_temp.claimed();
SELECT count(*), count(DISTINCT due_at) > 150 AS spread, min(due_at), max(due_at) < '2025-09-20 12:30:01+00' AS within_a_second FROM pg_temp.waiting WHERE status = 'queued';

SELECT pg_temp.attempt(format('INSERT INTO wacta.quiet_hours (quiet_from, quiet_to, days) VALUES (''1:00'', ''2:00'', ''%s'')', d)) FROM unnest('{"{}","{8}"}'::text[]) d;
SELECT pg_temp.attempt('INSERT INTO wacta.frequency_cap (messages, period) VALUES (0, ''1 day'')'), pg_temp.attempt('UPDATE wacta.config SET message_gap = ''0''');
