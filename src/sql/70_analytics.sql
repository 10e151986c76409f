-- What analysts and the dashboard read, over the figures of 47_figures.sql, where sent, delivered and clicked are defined. And here:
--
--   engagement  100 x clickers (people) / sent; by taps: 100 x decisions / sent
--   conversion  100 x interested (people) / sent
--
-- Where nothing was sent a rate is NULL, not zero.

INSERT INTO wacta.schedule (job, command, every, full_at) VALUES ('fold', 'SELECT wacta.fold_funnel()', '1 minute', 100000);

CREATE FUNCTION wacta.percent(part bigint, whole bigint) RETURNS numeric
LANGUAGE sql IMMUTABLE                                   -- in this form it is safe without a search_path, and put in the place of its call
RETURN pg_catalog.round(100.0 * part / nullif(whole, 0), 1);
COMMENT ON FUNCTION wacta.percent(bigint, bigint) IS '100 × part ÷ whole with one decimal; NULL where the whole is 0.';

CREATE FUNCTION wacta.figures_since(days integer) RETURNS date
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF $1 IS NULL OR $1 NOT BETWEEN 1 AND 3660 THEN
    RAISE EXCEPTION 'days must be between 1 and 3660' USING ERRCODE = '22023';
  END IF;
  RETURN (SELECT wacta.figures_day(wacta.now(), c.time_zone) - $1 FROM wacta.config c);
END
$$;
COMMENT ON FUNCTION wacta.figures_since(integer) IS 'The first day of a period: that many days before today, so that what is as old to the minute counts whole.';

CREATE FUNCTION wacta.analytics(days integer DEFAULT 30)
RETURNS TABLE (period_days integer, messages_queued bigint, messages_sent bigint, delivered bigint, read bigint, failed bigint, in_doubt bigint,
               suppressed bigint, clickers bigint, interested_clicks bigint, not_interested bigint,
               engagement_rate numeric, conversion_rate numeric,
               raw_clicks bigint, human_clicks bigint, decisions bigint, engagement_by_taps numeric, cost numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  since date := wacta.figures_since($1);
BEGIN
  RETURN QUERY
  SELECT $1, f.queued, f.sent, f.delivered, f.read, f.failed, f.in_doubt, f.suppressed, a.clickers, a.interested, a.not_interested,
         wacta.percent(a.clickers, f.sent), wacta.percent(a.interested, f.sent), f.raw_clicks, f.human_clicks, f.decisions, wacta.percent(f.decisions, f.sent), f.cost
    FROM (SELECT coalesce(sum(x.queued), 0)::bigint AS queued, coalesce(sum(x.sent), 0)::bigint AS sent, coalesce(sum(x.delivered), 0)::bigint AS delivered,
                 coalesce(sum(x.read), 0)::bigint AS read, coalesce(sum(x.failed), 0)::bigint AS failed, coalesce(sum(x.in_doubt), 0)::bigint AS in_doubt,
                 coalesce(sum(x.suppressed), 0)::bigint AS suppressed, coalesce(sum(x.raw_clicks), 0)::bigint AS raw_clicks,
                 coalesce(sum(x.human_clicks), 0)::bigint AS human_clicks, coalesce(sum(x.decisions), 0)::bigint AS decisions, coalesce(sum(x.cost), 0) AS cost
            FROM wacta.figures x WHERE x.day >= since) f,
         (SELECT coalesce(sum(p.clickers), 0)::bigint AS clickers, coalesce(sum(p.interested), 0)::bigint AS interested, coalesce(sum(p.not_interested), 0)::bigint AS not_interested
            FROM wacta.audience_now p WHERE p.scope = 'all' AND p.day >= since) a;
END
$$;
COMMENT ON FUNCTION wacta.analytics(integer) IS
'The figures of the interactive messages of the last days (30 by default): today and as many days before it, in the time zone of wacta.config.
messages_sent: accepted by the provider; delivered includes read; clickers, interested_clicks and not_interested count people; raw_clicks: every
visit; human_clicks: decisions by people, decisions: those that changed something; engagement_rate = 100 × clickers ÷ sent,
engagement_by_taps = 100 × decisions ÷ sent, conversion_rate = 100 × interested ÷ sent; NULL where nothing was sent.';

CREATE VIEW wacta.daily_funnel AS
  SELECT f.day, p.name AS project, t.name AS template, sum(f.enqueued)::bigint AS enqueued, sum(f.sent)::bigint AS sent, sum(f.delivered)::bigint AS delivered,
         sum(f.read)::bigint AS read, sum(f.clicked)::bigint AS clicked, sum(f.interested)::bigint AS interested, sum(f.not_interested)::bigint AS not_interested
    FROM wacta.figures f
    LEFT JOIN wacta.project p ON p.project_id = f.project_id
    LEFT JOIN wacta.template t ON t.template_id = f.template_id
   WHERE f.enqueued > 0 OR f.clicked > 0
   GROUP BY f.day, p.name, t.name;
COMMENT ON VIEW wacta.daily_funnel IS
'The funnel of interactive messages by day of enqueueing, project and template: each step is part of the one before. clicked, interested and
not_interested: messages by the last decision on them.';

-- (OFFSET 0: read once a template, not once a row)
CREATE VIEW wacta.daily_figures AS
  SELECT f.day, p.name AS project, t.template, t.variant, c.name AS channel,
         f.enqueued, f.queued, f.sent, f.delivered, f.read, f.clicked, f.interested, f.not_interested, f.failed, f.in_doubt, f.suppressed, f.expired, f.cancelled,
         f.raw_clicks, f.human_clicks, f.decisions, f.cost, f.cost / nullif(f.interested, 0) AS cost_per_interested,
         wacta.percent(f.clicked, f.sent) AS engagement_rate, wacta.percent(f.interested, f.sent) AS conversion_rate
    FROM wacta.figures f
    LEFT JOIN wacta.project p ON p.project_id = f.project_id
    LEFT JOIN (SELECT x.template_id, regexp_replace(x.name, '_[0-9]{1,4}$', '') AS template,
                      x.language || ' version ' || coalesce(substring(x.name FROM '_([0-9]{1,4})$'), '1') AS variant
                 FROM wacta.template x OFFSET 0) t ON t.template_id = f.template_id
    LEFT JOIN wacta.channel c ON c.channel_id = f.channel_id;
COMMENT ON VIEW wacta.daily_figures IS
'wacta.figures with names: by day, project, template, variant (language and version) and channel. WHERE day >= ... reads that much and no more.';

-- The people behind a number: WHERE day, project, state and so on are those of the figure.
CREATE VIEW wacta.message_person AS
  SELECT (m.enqueued_at AT TIME ZONE c.time_zone)::date AS day, m.message_id, m.enqueued_at, m.lead_id, l.name, i.value AS phone, m.purpose, p.name AS project, t.name AS template,
         h.name AS channel, CASE m.status WHEN 'sending' THEN 'queued' ELSE m.status::text END AS state, m.accepted_at IS NOT NULL AS sent, m.status IN ('delivered', 'read') AS delivered, m.reason, m.error_code,
         k.action AS decision, k.clicked_at AS decided_at, CASE WHEN m.accepted_at IS NOT NULL THEN m.cost END AS cost
    FROM wacta.config c
   CROSS JOIN wacta.message m
    JOIN wacta.lead l USING (lead_id)
    LEFT JOIN LATERAL (SELECT x.value FROM wacta.lead_identity x WHERE x.lead_id = m.lead_id AND x.kind = 'phone' ORDER BY x.created_at, x.value LIMIT 1) i ON true
    LEFT JOIN LATERAL (SELECT x.action, x.clicked_at FROM wacta.click x WHERE (x.lead_id, x.message_id) = (m.lead_id, m.message_id) AND x.effective AND x.kind = 'tap'
                        ORDER BY x.click_id DESC LIMIT 1) k ON true
    LEFT JOIN wacta.project p ON p.project_id = m.project_id
    LEFT JOIN wacta.template t ON t.template_id = m.template_id
    LEFT JOIN wacta.channel h ON h.channel_id = m.channel_id;
COMMENT ON VIEW wacta.message_person IS
'The people behind the figures of messages, a row a message: its person, state, decision and cost. With enqueued_at in the WHERE it reads that time alone.';

CREATE VIEW wacta.click_person AS
  SELECT (k.clicked_at AT TIME ZONE c.time_zone)::date AS day, k.click_id, k.clicked_at, k.lead_id, l.name, i.value AS phone, p.name AS project, t.name AS template, h.name AS channel,
         k.action, k.kind, k.effective, k.via, l.status AS lead_status, k.message_id
    FROM wacta.config c
   CROSS JOIN wacta.click k
    JOIN wacta.lead l USING (lead_id)
    LEFT JOIN LATERAL (SELECT x.value FROM wacta.lead_identity x WHERE x.lead_id = k.lead_id AND x.kind = 'phone' ORDER BY x.created_at, x.value LIMIT 1) i ON true
    LEFT JOIN wacta.project p ON p.project_id = k.project_id
    LEFT JOIN wacta.template t ON t.template_id = k.template_id
    LEFT JOIN wacta.channel h ON h.channel_id = k.channel_id;
COMMENT ON VIEW wacta.click_person IS
'The people behind the figures of clicks, a row a visit or decision; kind and effective tell them apart. With clicked_at in the WHERE it reads that time alone.';

CREATE VIEW wacta.daily_people AS
  SELECT a.day, a.scope, CASE a.scope WHEN 'project' THEN p.name WHEN 'template' THEN t.name END AS name, a.clickers, a.interested, a.not_interested
    FROM wacta.audience_now a
    LEFT JOIN wacta.project p ON a.scope = 'project' AND p.project_id = a.scope_id
    LEFT JOIN wacta.template t ON a.scope = 'template' AND t.template_id = a.scope_id;
COMMENT ON VIEW wacta.daily_people IS
'People by the day of their last decision: over all, on a project, with a template. The sum from a day until today counts each person once.';

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
