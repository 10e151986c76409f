-- The figures: whatever happens to messages and clicks, they are those of a recount.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SET wacta.fixed_now = '2026-11-22 10:00+00';
CREATE FUNCTION pg_temp.check() RETURNS text LANGUAGE sql AS
$$ SELECT coalesce((SELECT 'WRONG ' || string_agg(m::text, ' ') FROM wacta.funnel_mismatch m),
                   'right: ' || (SELECT count(*) FROM wacta.funnel_now) || ' buckets, ' || (SELECT coalesce(sum(clickers), 0) FROM wacta.audience_now WHERE scope = 'all') || ' people') $$;
SELECT pg_temp.check() AS nothing;

-- A campaign to six people, with its answers
SELECT count(*) FROM (SELECT wacta.upsert_lead('+9198765000' || n, 'Person ' || n, 'Green Acres') FROM generate_series(11, 16) n) u;
SELECT outcome, count(*) FROM wacta.send_campaign('project_update_template') GROUP BY 1;
SELECT pg_temp.check() AS enqueued;
SELECT counted, state, done, number FROM wacta.funnel_now;
CREATE FUNCTION pg_temp.pitch_of(n integer) RETURNS bigint LANGUAGE sql AS
$$ SELECT m.message_id FROM wacta.message m WHERE m.lead_id = wacta.lead_by_phone('+9198765000' || $1) AND m.purpose = 'pitch' ORDER BY 1 LIMIT 1 $$;
SELECT count(*) AS claimed FROM wacta.courier_claim(1, 10);
SELECT pg_temp.check() AS claimed;
SELECT wacta.courier_settle(array_agg(m.lead_id), array_agg(m.message_id), array_agg(1), array_agg('answered'::text), array_agg(CASE WHEN m.message_id = pg_temp.pitch_of(16) THEN 400 ELSE 200 END), array_agg(NULL::integer),
  array_agg(convert_to(CASE WHEN m.message_id = pg_temp.pitch_of(16) THEN '{"error": {"code": 131026}}' ELSE '{"messages": [{"id": "wamid.' || m.message_id || '"}]}' END, 'UTF8')), array_agg(NULL::text), array_agg(10)) FROM wacta.message m;
SELECT pg_temp.check() AS settled;
SELECT counted, state, done, number FROM wacta.funnel_now ORDER BY 2;

-- Statuses by webhook, taps by links: the first says yes, the second no, the third both, the fourth is a scanner's
SELECT wacta.ingest_webhook('meta', 'whatsapp', b, jsonb_build_object('x-hub-signature-256', 'sha256=' || encode(hmac(b, 'meta-app-secret', 'sha256'), 'hex'))) > 0 AS taken
  FROM (SELECT convert_to(jsonb_build_object('entry', jsonb_build_array(jsonb_build_object('changes', jsonb_build_array(jsonb_build_object('field', 'messages', 'value', jsonb_build_object('statuses',
    (SELECT jsonb_agg(jsonb_build_object('id', 'wamid.' || pg_temp.pitch_of(n), 'status', CASE WHEN n < 14 THEN 'read' ELSE 'delivered' END, 'timestamp', '1795341600')) FROM generate_series(11, 15) n)))))))::text, 'UTF8') AS b) x;
SELECT decision, first_time FROM wacta.record_click(pg_temp.token(pg_temp.pitch_of(11)), 'interested');
SELECT decision, first_time FROM wacta.record_click(pg_temp.token(pg_temp.pitch_of(11)), 'interested');
SELECT decision, first_time FROM wacta.record_click(pg_temp.token(pg_temp.pitch_of(12), 'not_interested'), 'not_interested');
SELECT decision FROM wacta.record_click(pg_temp.token(pg_temp.pitch_of(13)), 'interested');
SET wacta.fixed_now = '2026-11-23 10:00+00';
SELECT decision FROM wacta.record_click(pg_temp.token(pg_temp.pitch_of(13), 'not_interested'), 'not_interested');
SELECT wacta.record_visit(pg_temp.token(pg_temp.pitch_of(14)), 'interested', NULL, '{"method": "GET", "agent": "Mozilla/5.0"}') IS NOT NULL AS visit;
SELECT decision FROM wacta.record_click(pg_temp.token(pg_temp.pitch_of(14)), 'interested', NULL, '{"agent": "S", "network": "192.0.2.0"}');
SELECT pg_temp.check() AS before_the_scanner;
SELECT decision FROM wacta.record_click(pg_temp.token(pg_temp.pitch_of(14), 'not_interested'), 'not_interested', NULL, '{"agent": "S", "network": "192.0.2.0"}');
SELECT pg_temp.check() AS clicked;
SELECT day, counted, state, done, number FROM wacta.funnel_now WHERE counted IN ('interested', 'not_interested') ORDER BY 1, 2, 3, 4;
SELECT * FROM wacta.audience_now ORDER BY day, scope, scope_id;

-- A person whose last yes was on another day than the last decision, and who says yes again
SELECT decision, first_time FROM wacta.record_click(pg_temp.token(pg_temp.pitch_of(13)), 'interested', NULL, '{"explicit": true}');
SELECT pg_temp.check() AS yes_again;

-- Folding changes nothing; nor does doing it again
CREATE TEMP TABLE before AS SELECT * FROM wacta.funnel_now;
SELECT wacta.fold_funnel(3) AS a_few;
SELECT pg_temp.check() AS folded_in_part;
SELECT wacta.fold_funnel() > 0 AS the_rest;
SELECT (SELECT count(*) FROM wacta.funnel_delta) + (SELECT count(*) FROM wacta.audience_delta) AS left_over, pg_temp.check();
SELECT wacta.fold_funnel() AS nothing, (SELECT count(*) FROM (TABLE before EXCEPT TABLE wacta.funnel_now) x) AS differences;

-- Merge, forget, settle, cancel, reassign, delete, truncate, another zone
SELECT wacta.merge_leads(wacta.lead_by_phone('+919876500011'), wacta.lead_by_phone('+919876500013')) IS NOT NULL AS merged;
SELECT pg_temp.check() AS merged;
SELECT wacta.forget('+919876500012') IS NOT NULL AS forgotten;
SELECT pg_temp.check() AS forgotten;
SELECT wacta.cancel_message(message_id) FROM wacta.message WHERE status = 'queued' ORDER BY 1;
UPDATE wacta.message SET status = 'in_doubt', reason = 'who knows', accepted_at = NULL WHERE message_id = pg_temp.pitch_of(15);
SELECT wacta.settle(pg_temp.pitch_of(15), 'accepted', 'they called');
SELECT pg_temp.check() AS settled;
UPDATE wacta.message SET cost = 0.5;
UPDATE wacta.message SET enqueued_at = enqueued_at - interval '3 days' WHERE message_id = pg_temp.pitch_of(15);
SELECT pg_temp.check() AS moved, (SELECT sum(cost) FROM wacta.funnel_now) AS cost;
DELETE FROM wacta.click WHERE click_id = (SELECT max(click_id) FROM wacta.click WHERE effective AND kind = 'tap');
DELETE FROM wacta.message WHERE message_id = pg_temp.pitch_of(16);
SELECT pg_temp.check() AS deleted;
UPDATE wacta.config SET time_zone = 'America/New_York';
SELECT pg_temp.check() AS elsewhere, (SELECT array_agg(DISTINCT day ORDER BY day) FROM wacta.funnel_now) AS days;
TRUNCATE wacta.message CASCADE;
SELECT pg_temp.check() AS truncated;

-- What was done with triggers off is seen, and mended
ALTER TABLE wacta.click DISABLE TRIGGER USER;
DELETE FROM wacta.click WHERE kind = 'view';
ALTER TABLE wacta.click ENABLE TRIGGER USER;
SELECT counted, state, kept, there FROM wacta.funnel_mismatch;
SELECT wacta.rebuild_funnel();
SELECT pg_temp.check() AS mended;

-- A trigger of the site's own runs statements in the midst of others, some of them undone: each sum belongs to who has made it
CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    UPDATE wacta.message SET status = 'delivered' WHERE lead_id <> NEW.lead_id;
    RAISE EXCEPTION 'undone';
  EXCEPTION WHEN raise_exception THEN NULL;
  END;
  UPDATE wacta.message SET status = 'read' WHERE lead_id <> NEW.lead_id AND status <> 'read' AND message_id % 2 = 0;
  BEGIN
    UPDATE wacta.message SET status = 'cancelled', reason = 'meddled with' WHERE lead_id <> NEW.lead_id AND message_id % 2 = 1;
  EXCEPTION WHEN raise_exception THEN NULL;
  END;
  RETURN NULL;
END $$;
SELECT count(*) FROM (SELECT wacta.upsert_lead('+9198765001' || n, 'Person ' || n, 'Green Acres') FROM generate_series(11, 16) n) u;
SELECT outcome, count(*) FROM wacta.send_campaign('project_update_template') GROUP BY 1 ORDER BY 1;
CREATE TRIGGER aa_meddle AFTER UPDATE ON wacta.message FOR EACH ROW WHEN (NEW.status = 'accepted' AND OLD.status <> 'accepted') EXECUTE FUNCTION public.meddle();
CREATE TRIGGER zz_meddle AFTER UPDATE ON wacta.message FOR EACH ROW WHEN (NEW.status = 'accepted' AND OLD.status <> 'accepted') EXECUTE FUNCTION public.meddle();
UPDATE wacta.message SET status = 'accepted', accepted_at = enqueued_at WHERE status = 'queued';
SELECT pg_temp.check() AS meddled_with;
BEGIN;
SAVEPOINT s;
UPDATE wacta.message SET status = 'accepted', accepted_at = enqueued_at WHERE status <> 'accepted';
SELECT pg_temp.check() AS meddled_with;
ROLLBACK TO s;
SELECT pg_temp.check() AS undone;
UPDATE wacta.message SET status = 'accepted', accepted_at = enqueued_at WHERE status <> 'accepted';
COMMIT;
SELECT pg_temp.check() AS done;
DROP FUNCTION public.meddle CASCADE;

-- Much at once is counted anew
INSERT INTO wacta.click (lead_id, message_id, message_at, action, via, effective) SELECT lead_id, message_id, enqueued_at, 'interested', 'link', n % 500 = 0
  FROM wacta.message, generate_series(1, 2000) n;
SELECT pg_temp.check() AS many;
DELETE FROM wacta.click;
SELECT pg_temp.check() AS none;

-- Many messages by one statement, of many days and states: more than stay in memory
INSERT INTO wacta.message (lead_id, purpose, channel_id, template_id, project_id, expires_at, enqueued_at, status, accepted_at, reason, cost)
SELECT l.lead_id, CASE WHEN n % 7 = 0 THEN 'brochure' ELSE 'pitch' END, 1, CASE WHEN n % 3 > 0 THEN 1 END, CASE WHEN n % 5 > 0 THEN l.project_id END, t, t, s,
       CASE WHEN s <> 'failed' THEN t END, CASE s WHEN 'failed' THEN 'a test' END, n % 3
  FROM generate_series(1, 100000) n, LATERAL (SELECT wacta.now() - (n % 57) * interval '1 day' AS t, (ARRAY['read', 'delivered', 'accepted', 'failed'])[1 + n % 4]::wacta.message_status AS s) x,
       LATERAL (SELECT * FROM wacta.lead ORDER BY lead_id OFFSET n % 5 LIMIT 1) l;
SELECT pg_temp.check() AS a_hundred_thousand;
DELETE FROM wacta.message;
SELECT pg_temp.check() AS none;
