-- Figures and views. sent = accepted by the provider; clicks are taps that changed something, clickers are people.

CREATE FUNCTION wacta.percent(part bigint, whole bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT round(100.0 * $1 / nullif($2, 0), 1) $$;
COMMENT ON FUNCTION wacta.percent(bigint, bigint) IS '100 × part ÷ whole with one decimal; NULL where the whole is 0.';

CREATE FUNCTION wacta.analytics(days integer DEFAULT 30)
RETURNS TABLE (period_days integer, messages_queued bigint, messages_sent bigint, delivered bigint, read bigint, failed bigint, in_doubt bigint,
               suppressed bigint, clickers bigint, interested_clicks bigint, not_interested bigint,
               engagement_rate numeric, conversion_rate numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  since timestamptz;
BEGIN
  IF $1 IS NULL OR $1 NOT BETWEEN 1 AND 3660 THEN
    RAISE EXCEPTION 'days must be between 1 and 3660' USING ERRCODE = '22023';
  END IF;
  since := wacta.now() - make_interval(days => $1);
  RETURN QUERY
  SELECT $1, m.queued, m.sent, m.delivered, m.read, m.failed, m.in_doubt, m.suppressed, c.clickers, c.interested, c.not_interested,
         wacta.percent(c.clickers, m.sent), wacta.percent(c.interested, m.sent)
    FROM (SELECT count(*) FILTER (WHERE q.status IN ('queued', 'sending')) AS queued,
                 count(*) FILTER (WHERE q.accepted_at IS NOT NULL) AS sent,
                 count(*) FILTER (WHERE q.status IN ('delivered', 'read')) AS delivered,
                 count(*) FILTER (WHERE q.status = 'read') AS read,
                 count(*) FILTER (WHERE q.status = 'failed') AS failed,
                 count(*) FILTER (WHERE q.status = 'in_doubt') AS in_doubt,
                 count(*) FILTER (WHERE q.status = 'suppressed') AS suppressed
            FROM wacta.message q WHERE q.purpose = 'pitch' AND q.enqueued_at >= since) m,
         (SELECT count(DISTINCT k.lead_id) AS clickers,
                 count(DISTINCT k.lead_id) FILTER (WHERE k.action = 'interested') AS interested,
                 count(DISTINCT k.lead_id) FILTER (WHERE k.action = 'not_interested') AS not_interested
            FROM wacta.click k WHERE k.effective AND k.kind = 'tap' AND k.clicked_at >= since) c;
END
$$;
COMMENT ON FUNCTION wacta.analytics(integer) IS
'The figures of the interactive messages of the last days (30 by default).
messages_sent: accepted by the provider; delivered includes read; clickers, interested_clicks and not_interested count people;
engagement_rate = 100 × clickers ÷ sent, conversion_rate = 100 × interested ÷ sent; NULL where nothing was sent.';

CREATE VIEW wacta.daily_funnel AS
  SELECT (m.enqueued_at AT TIME ZONE c.time_zone)::date AS day, p.name AS project, t.name AS template,
         count(*) AS enqueued,
         count(*) FILTER (WHERE m.accepted_at IS NOT NULL) AS sent,
         count(*) FILTER (WHERE m.status IN ('delivered', 'read')) AS delivered,
         count(*) FILTER (WHERE m.status = 'read') AS read,
         count(DISTINCT m.lead_id) FILTER (WHERE k.action IS NOT NULL) AS clicked,
         count(DISTINCT m.lead_id) FILTER (WHERE k.action = 'interested') AS interested,
         count(DISTINCT m.lead_id) FILTER (WHERE k.action = 'not_interested') AS not_interested
    FROM wacta.config c
   CROSS JOIN wacta.message m
    LEFT JOIN wacta.project p USING (project_id)
    LEFT JOIN wacta.template t ON t.template_id = m.template_id
    LEFT JOIN LATERAL (SELECT x.action FROM wacta.click x WHERE (x.lead_id, x.message_id) = (m.lead_id, m.message_id) AND x.effective AND x.kind = 'tap'
                        ORDER BY x.click_id DESC LIMIT 1) k ON true
   WHERE m.purpose = 'pitch'
   GROUP BY 1, 2, 3;
COMMENT ON VIEW wacta.daily_funnel IS 'The funnel of interactive messages by day of enqueueing, project and template; clicks count people, by their last decision on the message.';

CREATE VIEW wacta.recent_ivr_call AS
  SELECT c.call_id, c.started_at, c.source, coalesce(c.caller, c.caller_raw) AS caller, c.lead_id, l.name, l.status AS lead_status, p.name AS project,
         c.status, c.digits, c.processed_at, c.outcome, c.message_id
    FROM wacta.ivr_call c LEFT JOIN wacta.lead l USING (lead_id) LEFT JOIN wacta.project p USING (project_id);
COMMENT ON VIEW wacta.recent_ivr_call IS 'Calls with their leads; ORDER BY processed_at IS NOT NULL, started_at DESC shows the unprocessed ones first.';

CREATE VIEW wacta.recent_interaction AS
  SELECT k.click_id, k.clicked_at, k.lead_id, l.name, i.value AS phone, k.action, k.via, k.kind, k.effective, l.status AS lead_status, l.stage, k.message_id, p.name AS project
    FROM wacta.click k JOIN wacta.lead l USING (lead_id)
    LEFT JOIN LATERAL (SELECT x.value FROM wacta.lead_identity x WHERE x.lead_id = k.lead_id AND x.kind = 'phone'
                        ORDER BY x.created_at, x.value LIMIT 1) i ON true
    LEFT JOIN wacta.project p ON p.project_id = k.project_id
   WHERE k.kind IN ('tap', 'scanner');
COMMENT ON VIEW wacta.recent_interaction IS 'Decisions, a scanner''s among them, with the lead as it is now.';

CREATE VIEW wacta.recent_reply AS
  SELECT r.reply_id, r.replied_at, r.lead_id, l.name, i.value AS phone, l.status AS lead_status, r.type, r.said, r.meaning, r.effective,
         r.message_id, m.enqueued_at AS message_at, t.name AS template, p.name AS project, c.name AS channel,
         r.content #>> '{referral,source_url}' AS ad_url, r.content #>> '{referral,headline}' AS ad_headline, r.content #>> '{referral,ctwa_clid}' AS ad_click_id
    FROM wacta.reply r JOIN wacta.lead l USING (lead_id)
    LEFT JOIN LATERAL (SELECT x.value FROM wacta.lead_identity x WHERE x.lead_id = r.lead_id AND x.kind = 'phone'
                        ORDER BY x.created_at, x.value LIMIT 1) i ON true
    LEFT JOIN wacta.message m ON (m.lead_id, m.message_id) = (r.lead_id, r.message_id)
    LEFT JOIN wacta.template t ON t.template_id = m.template_id
    LEFT JOIN wacta.project p ON p.project_id = coalesce(m.project_id, l.project_id)
    LEFT JOIN wacta.channel c ON c.channel_id = r.channel_id;
COMMENT ON VIEW wacta.recent_reply IS
'What people wrote or tapped in the chat, and the message that it answers. meaning IS NULL: nothing that wacta acts on, for staff to read.';

CREATE VIEW wacta.open_follow_up AS
  SELECT f.follow_up_id, f.due_at, f.due_at < wacta.now() AS overdue, f.lead_id, l.name, i.value AS phone, p.name AS project, f.assignee, f.reason
    FROM wacta.follow_up f JOIN wacta.lead l USING (lead_id)
    LEFT JOIN LATERAL (SELECT x.value FROM wacta.lead_identity x WHERE x.lead_id = f.lead_id AND x.kind = 'phone'
                        ORDER BY x.created_at, x.value LIMIT 1) i ON true
    LEFT JOIN wacta.project p USING (project_id)
   WHERE f.closed_at IS NULL;
COMMENT ON VIEW wacta.open_follow_up IS 'Calls to make.';
