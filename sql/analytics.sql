-- The figures: people and messages counted once, rates that are NULL and not an error where nothing was sent, days in the site's zone.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include

-- Nothing yet
SELECT * FROM wacta.analytics() \gx
SELECT count(*) FROM wacta.daily_funnel;
SELECT wacta.percent(1, 3), wacta.percent(0, 5), wacta.percent(5, 0), wacta.percent(NULL, 5), wacta.percent(2, 3);

-- Ten people: 1 to 8 accepted, 1 to 5 delivered, 1 to 3 read, 9 failed, 10 suppressed; an eleventh waits. 1 and 2 are interested (1 twice), 3 is not, 4 changed their mind.
SELECT count(wacta.upsert_lead('98765' || lpad(n::text, 5, '0'), 'Person ' || n, 'Green Acres')) FROM generate_series(1, 11) n;
SELECT wacta.opt_out(pg_temp.lead(10), 'test');
SELECT count(*) FILTER (WHERE outcome = 'queued') AS queued FROM wacta.send_campaign('project_update_template');
UPDATE wacta.message SET status = CASE WHEN n <= 3 THEN 'read' WHEN n <= 5 THEN 'delivered' WHEN n <= 8 THEN 'accepted' WHEN n = 9 THEN 'failed' ELSE status::text END::wacta.message_status,
       reason = CASE WHEN n = 9 THEN 'test' ELSE reason END, accepted_at = CASE WHEN n <= 8 THEN enqueued_at END
  FROM generate_series(1, 11) n WHERE lead_id = pg_temp.lead(n);
SELECT n, wacta.record_click(pg_temp.token(pg_temp.message(n), action)) FROM (VALUES (1, 'interested'), (1, 'interested'), (2, 'interested'), (3, 'not_interested'), (4, 'interested'), (4, 'not_interested')) v(n, action);
SELECT * FROM wacta.analytics() \gx
SELECT * FROM wacta.daily_funnel;
SELECT day, enqueued, sent FROM wacta.daily_funnel;

-- The period: what is older than it does not count
SELECT pg_temp.advance('10 days');
SELECT messages_sent, interested_clicks, engagement_rate FROM wacta.analytics(9);
SELECT messages_sent, interested_clicks, engagement_rate FROM wacta.analytics(11);
SELECT pg_temp.attempt('SELECT * FROM wacta.analytics(0)'), pg_temp.attempt('SELECT * FROM wacta.analytics(NULL)'), pg_temp.attempt('SELECT * FROM wacta.analytics(3661)');
-- a message just before midnight counts for the day it was there
SET wacta.fixed_now = '2025-09-10 18:29:59+00';
SELECT wacta.send_interactive(pg_temp.lead(5)) > 0, pg_temp.advance('1 second') IS NOT NULL, wacta.send_interactive(pg_temp.lead(6)) > 0;
SELECT day, enqueued FROM wacta.daily_funnel ORDER BY day;

-- The views of the dashboard
SELECT name, phone, action, effective, lead_status, project FROM wacta.recent_interaction ORDER BY clicked_at, lead_id, effective DESC, action;
SELECT due_at, overdue, name, phone, project, reason FROM wacta.open_follow_up ORDER BY lead_id;
SELECT wacta.log_ivr_call('9876500001') > 0, wacta.log_ivr_call('anonymous') > 0;
SELECT caller, name, lead_status, project, processed_at, outcome FROM wacta.recent_ivr_call ORDER BY call_id;
-- a person with two numbers is one row
INSERT INTO wacta.lead_identity (kind, value, lead_id, created_at) VALUES ('phone', '+919876599999', pg_temp.lead(1), wacta.now());
SELECT count(*) FROM wacta.recent_interaction WHERE lead_id = pg_temp.lead(1);
SELECT count(*) FROM wacta.open_follow_up WHERE lead_id = pg_temp.lead(1);
