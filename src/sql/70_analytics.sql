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

-- The limits that the claim keeps, as they are now: see wacta.allow().
CREATE FUNCTION wacta.explain_limits(l wacta.lead, t wacta.template, c wacta.channel, now_at timestamptz)
RETURNS TABLE (gate text, passed boolean, detail text, next_time timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  open_window boolean := coalesce(l.window_until > now_at, false);
  pair        timestamptz := wacta.pair_free_at(l.lead_id, c.channel_id, now_at, 0);
  p           wacta.portfolio := (SELECT x FROM wacta.portfolio x WHERE x.portfolio_id = c.portfolio_id);
  place       boolean := p.people_per_day IS NULL OR open_window OR p.people < p.people_per_day
                         OR EXISTS (SELECT FROM wacta.reached r WHERE r.portfolio_id = p.portfolio_id
                                       AND (r.lead_id = l.lead_id OR r.reached_at <= now_at - interval '24 hours'));
  cost        numeric := wacta.expected_cost((SELECT r.value FROM wacta.recipient(l.lead_id) r), t.template_id, open_window);
  spent       numeric := wacta.spent_on(c.channel_id, now_at);
  midnight    timestamptz := (SELECT (wacta.budget_day(now_at) + 1)::timestamp AT TIME ZONE k.time_zone FROM wacta.config k);
BEGIN
  RETURN QUERY VALUES
    ('person', pair <= now_at, CASE WHEN pair > now_at THEN 'too many messages to this person in a short time' ELSE 'no burst' END, CASE WHEN pair > now_at THEN pair END),
    ('people', place, CASE WHEN p.people_per_day IS NULL THEN 'no limit' ELSE format('%s of %s people in 24 hours', p.people, p.people_per_day) END,
     CASE WHEN NOT place THEN wacta.next_place_at(p.portfolio_id, now_at, now_at) END),
    ('budget', coalesce(cost = 0 OR spent + cost <= c.daily_budget, true),
     CASE WHEN c.daily_budget IS NULL THEN 'no limit' ELSE format('%s of %s spent today', trim_scale(spent), trim_scale(c.daily_budget)) END,
     CASE WHEN cost > 0 AND spent + cost > c.daily_budget THEN midnight END);
END
$$;
COMMENT ON FUNCTION wacta.explain_limits(wacta.lead, wacta.template, wacta.channel, timestamptz) IS
'The limits of a person, of people and of money a day that a message would meet: their verdicts and when they may open.';

CREATE FUNCTION wacta.explain_send(lead_id bigint, template text DEFAULT NULL)
RETURNS TABLE (gate text, passed boolean, detail text, next_time timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  l wacta.lead;
  t wacta.template;
  c wacta.channel;
BEGIN
  SELECT * INTO l FROM wacta.lead WHERE lead.lead_id = $1;
  IF NOT FOUND THEN
    RETURN QUERY SELECT * FROM wacta.explain_send(wacta.forwarded($1), $2);
    RETURN;
  END IF;
  SELECT * INTO t FROM wacta.template x WHERE x.template_id = wacta.pitch_template($2, l.project_id);
  SELECT * INTO c FROM wacta.channel x WHERE x.channel_id = wacta.default_channel();
  RETURN QUERY VALUES
    ('consent', l.consent <> 'withdrawn' AND (l.consent = 'granted' OR NOT (SELECT require_opt_in FROM wacta.config)), l.consent, NULL::timestamptz),
    ('recipient', (SELECT r.kind IS NOT NULL FROM wacta.recipient($1) r), (SELECT coalesce(r.kind, 'no phone number') FROM wacta.recipient($1) r), NULL),
    ('template', t.status = 'APPROVED' AND t.held_reason IS NULL, coalesce('held: ' || t.held_reason, t.status), NULL),
    ('sender', c.status = 'active' OR (c.status = 'paused' AND c.paused_until <= wacta.now()),
     coalesce(c.status || ': ' || c.status_reason, c.status), CASE WHEN c.status = 'paused' THEN c.paused_until END),
    ('fence', wacta.fence_problem() IS NULL, coalesce(wacta.fence_problem(), 'this cluster sends the queue'), NULL);
  RETURN QUERY SELECT * FROM wacta.explain_limits(l, t, c, wacta.now());
END
$$;
COMMENT ON FUNCTION wacta.explain_send(bigint, text) IS
'Every gate that a message to this person has to pass: its verdict, why, and when it may open.';
