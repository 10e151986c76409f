-- What is old goes, and stays in the figures.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
CREATE FUNCTION pg_temp.check() RETURNS text LANGUAGE sql AS
$$ SELECT coalesce((SELECT 'WRONG ' || string_agg(m::text, ' ') FROM wacta.funnel_mismatch m), 'right') $$;
CREATE FUNCTION pg_temp.lead(n integer) RETURNS bigint LANGUAGE sql AS $$ SELECT wacta.lead_by_phone('+9198765000' || $1) $$;
CREATE FUNCTION pg_temp.message(n integer) RETURNS bigint LANGUAGE sql AS $$ SELECT max(m.message_id) FROM wacta.message m WHERE m.lead_id = pg_temp.lead($1) AND m.purpose = 'pitch' $$;

-- In January twenty people, of whom one waits still and one may or may not have got it; in March ten of them once more
SET wacta.fixed_now = '2026-01-10 10:00+00';
UPDATE wacta.config SET link_ttl = '300 days';
SELECT count(wacta.send_interactive(wacta.upsert_lead('+9198765000' || n, 'Person ' || n, 'Green Acres'))) FROM generate_series(11, 30) n;
UPDATE wacta.message SET status = 'read', accepted_at = enqueued_at, cost = 0.5, attempts = 1 WHERE lead_id NOT IN (pg_temp.lead(11), pg_temp.lead(12));
UPDATE wacta.message SET status = 'in_doubt', reason = 'who knows' WHERE lead_id = pg_temp.lead(12);
INSERT INTO wacta.attempt (lead_id, message_id, attempt, courier, outcome, ended_at) SELECT lead_id, message_id, 1, 0, 'answered', wacta.now() FROM wacta.message WHERE attempts = 1;
CREATE TEMP TABLE link AS SELECT n, pg_temp.token(pg_temp.message(n)) AS yes, pg_temp.token(pg_temp.message(n), 'not_interested') AS no FROM generate_series(13, 20) n;
SELECT n, (wacta.record_click(yes, 'interested', NULL, '{"explicit": true}')).first_time FROM link WHERE n < 17;
SELECT n, (wacta.record_click(yes, 'interested', NULL, '{"explicit": true}')).first_time FROM link WHERE n = 13;
SELECT wacta.record_visit(yes, NULL, NULL, '{"method": "GET"}') FROM link WHERE n > 17;
SET wacta.fixed_now = '2026-03-20 10:00+00';
SELECT count(wacta.send_interactive(pg_temp.lead(n))) FROM generate_series(21, 30) n;
UPDATE wacta.message SET status = 'delivered', accepted_at = enqueued_at WHERE status = 'queued' AND enqueued_at > '2026-03-01';
CREATE TEMP TABLE before AS SELECT to_jsonb(f) AS f FROM wacta.figures f UNION ALL SELECT to_jsonb(a) FROM wacta.audience_now a UNION ALL SELECT to_jsonb(n) FROM wacta.analytics(90) n;
CREATE FUNCTION pg_temp.changed() RETURNS bigint LANGUAGE sql AS $$
  WITH after AS (SELECT to_jsonb(f) AS f FROM wacta.figures f UNION ALL SELECT to_jsonb(a) FROM wacta.audience_now a UNION ALL SELECT to_jsonb(n) FROM wacta.analytics(90) n)
  SELECT count(*) FROM ((SELECT f FROM before EXCEPT ALL SELECT f FROM after) UNION ALL (SELECT f FROM after EXCEPT ALL SELECT f FROM before)) d $$;
SELECT count(*), sum((f ->> 'sent')::integer) AS sent, pg_temp.check() FROM before;

-- Off by default; not what is needed yet
SELECT wacta.retain();
SELECT wacta.archive(wacta.now() - interval '6 days');
SELECT wacta.archive(NULL);
INSERT INTO wacta.frequency_cap (messages, period) VALUES (100, '80 days');
SELECT wacta.archive('2026-02-01');
DELETE FROM wacta.frequency_cap;
SELECT wacta.archive('2026-02-01', 0);
\set VERBOSITY terse
UPDATE wacta.config SET archive_after = '1 day';
\set VERBOSITY default

-- In bites; what has not ended stays, and so do decisions
SELECT * FROM wacta.archive('2026-02-01', 5);
SELECT pg_temp.changed(), pg_temp.check();
SELECT wacta.fold_funnel() > 0 AS folded, pg_temp.changed(), pg_temp.check();
UPDATE wacta.config SET archive_after = '30 days';
SELECT wacta.retain();
SELECT wacta.retain();
SELECT * FROM wacta.archive('2026-02-01');
SELECT pg_temp.changed(), pg_temp.check();
SELECT status, purpose, count(*), min(enqueued_at) FROM wacta.message GROUP BY 1, 2 ORDER BY 1, 2;
SELECT kind, effective, count(*) FROM wacta.click GROUP BY 1, 2;
SELECT count(*) AS attempts FROM wacta.attempt;
SELECT counted, state, done, number, cost FROM wacta.funnel_archive ORDER BY 1, 2, 3;
SELECT (SELECT sum(number) FROM wacta.recount_funnel() WHERE counted = 'pitch') AS there, (SELECT sum(number) FROM wacta.funnel_archive WHERE counted = 'pitch') AS archived,
       (SELECT sum(enqueued) FROM wacta.figures) AS figures;

-- Counted anew they are the same
SELECT wacta.rebuild_funnel();
SELECT pg_temp.changed(), pg_temp.check();

-- A tap on the link of an archived message: who answered before is one person still; the other one is a new one, though no message is known
SELECT (wacta.record_click(no, 'not_interested', NULL, '{"explicit": true}')).first_time FROM link WHERE n = 14;
SELECT (wacta.record_click(yes, 'interested', NULL, '{"explicit": true}')).first_time FROM link WHERE n = 20;
SELECT clickers, interested_clicks, not_interested, pg_temp.check() FROM wacta.analytics(90);
SELECT wacta.forget('+919876500013') IS NOT NULL AS forgotten;
SELECT pg_temp.check();

-- Taken back from the archive's counts, and emptied
DELETE FROM wacta.funnel_archive WHERE counted = 'interested';
SELECT pg_temp.check();
TRUNCATE wacta.funnel_archive;
SELECT pg_temp.check();
