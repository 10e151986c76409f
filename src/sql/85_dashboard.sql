-- The staff's dashboard: one page, rendered here from web/dashboard*, made live by web/dashboard.js.
-- Every list is bounded and read by an index; every value goes through render(), which escapes it.

-- Words

CREATE FUNCTION wacta_http.reasons() RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT '{"queued": "queued", "recently_messaged": "got a message recently", "no_number": "no readable number",
           "no_phone": "no phone number", "opted_out": "asked not to be messaged", "no_opt_in": "has not agreed to messages",
           "no_message": "no message, by a rule", "interested": "interested, by a key", "not_interested": "not interested, by a key",
           "opt_out": "opted out, by a key"}'::jsonb
$$;
COMMENT ON FUNCTION wacta_http.reasons() IS 'What people read instead of the codes of outcomes and refusals.';

CREATE FUNCTION wacta_http.figure(value numeric) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(to_char($1, 'FM999,999,999,990'), '–') $$;
COMMENT ON FUNCTION wacta_http.figure(numeric) IS 'A count as it is shown.';

CREATE FUNCTION wacta_http.moment(at timestamptz, zone text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT format('<time datetime="%s">%s</time>', to_char($1 AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
           CASE there::date - today WHEN 0 THEN 'today' WHEN -1 THEN 'yesterday' WHEN 1 THEN 'tomorrow'
                ELSE to_char(there, CASE WHEN abs(there::date - today) < 180 THEN 'FMDD Mon' ELSE 'FMDD Mon YYYY' END) END
           || to_char(there, ' HH24:MI'))
    FROM (SELECT $1 AT TIME ZONE $2 AS there, (wacta.now() AT TIME ZONE $2)::date AS today) t WHERE $1 IS NOT NULL
$$;
COMMENT ON FUNCTION wacta_http.moment(timestamptz, text) IS 'A time element in the zone: today 14:05, 3 Nov 09:30.';

CREATE FUNCTION wacta_http.duration(length interval) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN s < 60 THEN 'less than a minute' WHEN s < 7200 THEN (s / 60)::integer || ' min'
              WHEN s < 172800 THEN (s / 3600)::integer || ' h' ELSE (s / 86400)::integer || ' days' END
    FROM (SELECT floor(extract(epoch FROM $1)) AS s) t
$$;
COMMENT ON FUNCTION wacta_http.duration(interval) IS 'A length of time in one unit.';

CREATE FUNCTION wacta_http.isolated(value text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT '<bdi>' || wacta_http.html_escape(left($1, 300)) || '</bdi>' WHERE $1 <> '' $$;
COMMENT ON FUNCTION wacta_http.isolated(text) IS 'A foreign text as markup whose direction stays its own.';

CREATE FUNCTION wacta_http.phone_link(phone text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN $1 ~ '^\+[0-9]{4,15}$' THEN format('<a href="tel:%1$s">%1$s</a>', $1) ELSE wacta_http.isolated($1) END
$$;
COMMENT ON FUNCTION wacta_http.phone_link(text) IS 'A number to call by a tap; what is not E.164 as plain text.';

CREATE FUNCTION wacta_http.tag(words text, tone text DEFAULT '') RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT format('<span class="tag %s">%s</span>', $2, wacta_http.html_escape($1)) $$;
COMMENT ON FUNCTION wacta_http.tag(text, text) IS 'A small label; tone: good, bad or nothing.';

CREATE FUNCTION wacta_http.dots(VARIADIC parts text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT string_agg(p, ' · ' ORDER BY n) FROM unnest($1) WITH ORDINALITY t(p, n) WHERE p <> '' $$;
COMMENT ON FUNCTION wacta_http.dots(text[]) IS 'The parts that are there, with dots between them.';

CREATE FUNCTION wacta_http.person(name text, phone text, lead_id bigint) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(wacta_http.isolated($1), wacta_http.phone_link($2), 'Lead ' || $3) $$;
COMMENT ON FUNCTION wacta_http.person(text, text, bigint) IS 'How a lead is called in a list: by name, by number, by id.';

CREATE FUNCTION wacta_http.row(key text, name text, detail text, act text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT wacta_http.render(wacta_http.asset('dashboard_row.html'), jsonb_build_object('key', $1, 'name', $2, 'detail', $3, 'act', $4))
$$;
COMMENT ON FUNCTION wacta_http.row(text, text, text, text) IS 'One row of a list; name, detail and act are markup.';

CREATE FUNCTION wacta_http.or_empty(rows text, otherwise text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce($1, '<li class="soft">' || wacta_http.html_escape($2) || '</li>') $$;
COMMENT ON FUNCTION wacta_http.or_empty(text, text) IS 'The rows of a list, or a line that says why there are none.';

-- Figures

CREATE FUNCTION wacta_http.cards(a jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(format('<div class="%s"><dt>%s</dt><dd class="number">%s</dd><dd class="soft">%s</dd></div>', tone, label, value, meaning), '' ORDER BY n)
    FROM (VALUES
      (1, '', 'Messages sent', wacta_http.figure(($1 ->> 'messages_sent')::numeric), 'taken by WhatsApp'),
      (2, 'good', 'Interested', wacta_http.figure(($1 ->> 'interested_clicks')::numeric), 'people who said yes'),
      (3, '', 'Not interested', wacta_http.figure(($1 ->> 'not_interested')::numeric), 'people who said no'),
      (4, '', 'Engagement rate', coalesce(($1 ->> 'engagement_rate') || ' %', '–'), 'people who answered ÷ sent'),
      (5, '', 'Conversion rate', coalesce(($1 ->> 'conversion_rate') || ' %', '–'), 'interested ÷ sent')) c(n, tone, label, value, meaning)
$$;
COMMENT ON FUNCTION wacta_http.cards(jsonb) IS 'The cards of the dashboard, from a row of wacta.analytics().';

CREATE FUNCTION wacta_http.funnel(a jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  -- queued: all that were on their way out, those still waiting included
  WITH step AS (
    SELECT n, label, coalesce(CASE WHEN n = 1 THEN ($1 ->> 'messages_sent')::bigint + ($1 ->> 'messages_queued')::bigint
                                   ELSE ($1 ->> field)::bigint END, 0) AS value
      FROM (VALUES (1, 'Queued', ''), (2, 'Sent', 'messages_sent'), (3, 'Delivered', 'delivered'), (4, 'Read', 'read'),
                   (5, 'Answered', 'clickers'), (6, 'Interested', 'interested_clicks')) s(n, label, field))
  SELECT string_agg(format('<li><span>%s</span><svg aria-hidden="true"><rect width="%s%%" height="100%%"/></svg><b>%s <span>%s</span></b></li>',
           label, least(100, round(100.0 * value / greatest(top, 1), 1)), wacta_http.figure(value),
           CASE WHEN n > 1 AND top > 0 THEN round(100.0 * value / top) || ' %' END), '' ORDER BY n)
    FROM step, (SELECT value AS top FROM step WHERE n = 1) first
$$;
COMMENT ON FUNCTION wacta_http.funnel(jsonb) IS 'queued → sent → delivered → read → answered → interested, from a row of wacta.analytics().';

CREATE FUNCTION wacta_http.beside(a jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(wacta_http.tag(wacta_http.figure(value) || ' ' || label, CASE WHEN value > 0 THEN tone ELSE '' END), '' ORDER BY n)
    FROM (VALUES (1, 'waiting', '', ($1 ->> 'messages_queued')::bigint), (2, 'in doubt', 'bad', ($1 ->> 'in_doubt')::bigint),
                 (3, 'failed', 'bad', ($1 ->> 'failed')::bigint), (4, 'suppressed', '', ($1 ->> 'suppressed')::bigint)) b(n, label, tone, value)
$$;
COMMENT ON FUNCTION wacta_http.beside(jsonb) IS 'What stands beside the funnel: waiting, in doubt, failed, suppressed.';

CREATE FUNCTION wacta_http.ranges(days integer) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(format('<a href="?days=%1$s"%2$s>%1$s days</a>', d, CASE WHEN d = $1 THEN ' aria-current="page"' ELSE '' END), '' ORDER BY d)
    FROM unnest(ARRAY[7, 30, 90]) d
$$;
COMMENT ON FUNCTION wacta_http.ranges(integer) IS 'The links to other periods.';

-- Lists: the keys of the newest few by an index first, then what is to be told of each of them; OFFSET 0 keeps the two apart
-- where the planner would rather read all.

CREATE FUNCTION wacta_http.call_act(c wacta.recent_ivr_call) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN c.processed_at IS NULL AND c.lead_id IS NOT NULL THEN wacta_http.render(wacta_http.asset('dashboard_send.html'),
      jsonb_build_object('lead_id', c.lead_id, 'call_id', c.call_id, 'name', coalesce(c.name, c.caller)))
    WHEN c.processed_at IS NULL THEN wacta_http.tag('no readable number')
    ELSE wacta_http.tag(coalesce(wacta_http.reasons() ->> c.outcome, c.outcome), CASE WHEN c.outcome = 'queued' THEN 'good' ELSE '' END) END
$$;
COMMENT ON FUNCTION wacta_http.call_act(wacta.recent_ivr_call) IS 'What can be done about a call, or what was done.';

CREATE FUNCTION wacta_http.calls(zone text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  ids bigint[] := ARRAY(SELECT c.call_id FROM wacta.ivr_call c WHERE c.processed_at IS NULL ORDER BY c.started_at DESC, c.call_id DESC LIMIT 20);
BEGIN
  -- few unprocessed ones leave room for the newest of the others
  ids := ids || ARRAY(SELECT c.call_id FROM wacta.ivr_call c WHERE c.processed_at IS NOT NULL
                       ORDER BY c.received_at DESC LIMIT 20 - cardinality(ids));
  RETURN wacta_http.or_empty((
    SELECT string_agg(wacta_http.row('call' || v.call_id, coalesce(wacta_http.isolated(v.name), wacta_http.phone_link(left(v.caller, 40)), 'Hidden number'),
             wacta_http.dots(CASE WHEN v.name IS NOT NULL THEN wacta_http.phone_link(left(v.caller, 40)) END, wacta_http.moment(v.started_at, zone), wacta_http.isolated(v.project),
               wacta_http.isolated(v.status), 'pressed ' || wacta_http.isolated(v.digits)), wacta_http.call_act(v)), E'\n' ORDER BY i.n)
      FROM unnest(ids) WITH ORDINALITY i(call_id, n), LATERAL (SELECT * FROM wacta.recent_ivr_call r WHERE r.call_id = i.call_id OFFSET 0) v),
    'No calls yet. They appear here as your IVR provider reports them.');
END
$$;
COMMENT ON FUNCTION wacta_http.calls(text) IS 'The rows of recent calls, the unprocessed ones first.';

CREATE FUNCTION wacta_http.interactions(zone text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT wacta_http.or_empty(string_agg(wacta_http.row('tap' || v.click_id, wacta_http.person(v.name, v.phone, v.lead_id),
           wacta_http.dots(CASE WHEN v.name IS NOT NULL THEN wacta_http.phone_link(v.phone) END, wacta_http.moment(v.clicked_at, $1), wacta_http.isolated(v.project),
             CASE v.via WHEN 'link' THEN 'by the link' ELSE 'by ' || wacta_http.isolated(replace(v.via, '_', ' ')) END,
             CASE WHEN NOT v.effective THEN 'again' END, CASE v.kind WHEN 'scanner' THEN 'a scanner' END, 'now ' || wacta_http.isolated(v.lead_status)),
           CASE v.action WHEN 'interested' THEN wacta_http.tag('Interested', 'good') ELSE wacta_http.tag(replace(initcap(v.action), '_', ' ')) END), E'\n' ORDER BY v.clicked_at DESC, v.click_id DESC),
         'No answers yet.')
    FROM (SELECT c.lead_id, c.click_id FROM wacta.click c WHERE c.kind IN ('tap', 'scanner') ORDER BY c.clicked_at DESC LIMIT 20) newest,
         LATERAL (SELECT * FROM wacta.recent_interaction r WHERE (r.lead_id, r.click_id) = (newest.lead_id, newest.click_id) OFFSET 0) v
$$;
COMMENT ON FUNCTION wacta_http.interactions(text) IS 'The rows of recent taps.';

CREATE FUNCTION wacta_http.follow_ups(zone text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT wacta_http.or_empty(string_agg(wacta_http.row('call_to_make' || v.follow_up_id, wacta_http.person(v.name, v.phone, v.lead_id),
           wacta_http.dots(CASE WHEN v.name IS NOT NULL THEN wacta_http.phone_link(v.phone) END, wacta_http.isolated(v.project), wacta_http.isolated(v.reason), wacta_http.isolated(v.assignee)),
           CASE WHEN v.overdue THEN wacta_http.tag(wacta_http.duration(wacta.now() - v.due_at) || ' overdue', 'bad')
                ELSE format('<span class="tag good">%s</span>', wacta_http.moment(v.due_at, $1)) END), E'\n' ORDER BY v.due_at, v.follow_up_id),
         'Nobody is waiting for a call.')
    FROM (SELECT f.lead_id, f.follow_up_id FROM wacta.follow_up f WHERE f.closed_at IS NULL ORDER BY f.due_at LIMIT 50) first,
         LATERAL (SELECT * FROM wacta.open_follow_up o WHERE (o.lead_id, o.follow_up_id) = (first.lead_id, first.follow_up_id) OFFSET 0) v
$$;
COMMENT ON FUNCTION wacta_http.follow_ups(text) IS 'The rows of open follow-ups, the longest due first.';

-- Health

CREATE FUNCTION wacta_http.courier_health() RETURNS TABLE (good boolean, name text, detail text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT s.pid IS NOT NULL AND s.state <> 'disabled', format('Courier %s', s.courier),
         concat_ws('; ', s.state, s.in_flight || ' under way', nullif(s.restarts, 0) || ' restarts', CASE WHEN s.last_error_at > wacta.now() - interval '1 hour'
                        THEN format('last error %s ago: %s', wacta_http.duration(wacta.now() - s.last_error_at), left(s.last_error, 200)) END)
    FROM wacta.courier_status() s WHERE s.database = current_database();
  IF NOT FOUND THEN
    RETURN QUERY VALUES (false, 'Courier', 'none: this database is not named in wacta.databases');
  END IF;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
  RETURN QUERY VALUES (false, 'Courier', 'none: the server was started without wacta in shared_preload_libraries');
END
$$;
COMMENT ON FUNCTION wacta_http.courier_health() IS 'Whether this database''s couriers run.';

CREATE FUNCTION wacta_http.health_facts() RETURNS TABLE (good boolean, name text, detail text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT * FROM wacta_http.courier_health()
  UNION ALL
  SELECT q.waits IS NULL OR q.waits < interval '5 minutes', 'Queue',
         coalesce('the oldest message has been due for ' || wacta_http.duration(q.waits), 'nothing is waiting')
    FROM (SELECT wacta.now() - min(m.due_at) AS waits FROM wacta.queue m WHERE m.due_at <= wacta.now()) q
  UNION ALL
  SELECT false, 'Messages in doubt', CASE WHEN count(*) > 99 THEN '100 or more' ELSE count(*)::text END || ': a status from WhatsApp or wacta.settle() decides'
    FROM (SELECT FROM wacta.message_in_doubt LIMIT 100) d HAVING count(*) > 0
  UNION ALL
  SELECT coalesce(bool_and(i.proved), true), 'Webhooks', coalesce('the last one ' || wacta_http.duration(wacta.now() - max(i.received_at)) || ' ago', 'none yet')
         || CASE WHEN NOT bool_and(i.proved) THEN format('; refused %s of the last %s', sum((NOT i.proved)::integer), count(*)) ELSE '' END
    FROM (SELECT x.received_at, x.proved FROM wacta.inbox x ORDER BY x.inbox_id DESC LIMIT 100) i
  UNION ALL
  (SELECT c.status = 'active', 'Sender ' || c.name, concat_ws(': ', c.status, c.status_reason) FROM wacta.channel c ORDER BY c.is_default DESC, c.channel_id LIMIT 10)
  UNION ALL
  (SELECT false, 'Template ' || t.name, concat_ws('; ', lower(t.status), 'held: ' || t.held_reason)
     FROM wacta.template t WHERE t.status <> 'APPROVED' OR t.held_reason IS NOT NULL ORDER BY t.template_id DESC LIMIT 10)
$$;
COMMENT ON FUNCTION wacta_http.health_facts() IS 'What keeps messages flowing, and whether it is well: couriers, queue, webhooks, senders, templates.';

CREATE FUNCTION wacta_http.health_rows() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(wacta_http.row('health ' || h.name, wacta_http.isolated(h.name), wacta_http.isolated(h.detail),
           CASE WHEN h.good THEN wacta_http.tag('OK', 'good') ELSE wacta_http.tag('Look here', 'bad') END), E'\n' ORDER BY n)
    FROM wacta_http.health_facts() WITH ORDINALITY h(good, name, detail, n)
$$;
COMMENT ON FUNCTION wacta_http.health_rows() IS 'The rows of the health list.';

-- The page

CREATE FUNCTION wacta_http.studio() RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  names text[] := ARRAY(SELECT p.name FROM wacta.project p ORDER BY p.project_id LIMIT 200);
  made  jsonb := wacta_api.generate_ai_template(names[1]);
BEGIN
  RETURN jsonb_build_object('template', jsonb_pretty(made -> 'template'), 'prompt', made ->> 'prompt',
    'projects', coalesce((SELECT string_agg(format('<option>%s</option>', wacta_http.html_escape(x)), '' ORDER BY n)
                            FROM unnest(names) WITH ORDINALITY t(x, n)), '<option value="">(no project yet)</option>'),
    'findings', wacta_http.or_empty((SELECT string_agg('<li>' || wacta_http.html_escape(format('%s: %s (%s)', f ->> 'component', f ->> 'message', f ->> 'severity')) || '</li>', '')
                                       FROM jsonb_array_elements(made -> 'findings') f), 'None: WhatsApp accepts a template like this.'));
END
$$;
COMMENT ON FUNCTION wacta_http.studio() IS 'What the template generator shows before anyone has asked it.';

CREATE FUNCTION wacta_http.user_name() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce((SELECT s.name FROM wacta.staff s WHERE s.username = claims ->> 'sub'), claims ->> 'sub')
    FROM (SELECT wacta_http.request('jwt.claims')::jsonb AS claims) c
$$;
COMMENT ON FUNCTION wacta_http.user_name() IS 'Who is signed in.';

CREATE FUNCTION wacta_api.dashboard(days text DEFAULT '30') RETURNS wacta_http."*/*"
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c      wacta.config := (SELECT k FROM wacta.config k);
  period integer := CASE WHEN $1 ~ '^[1-9][0-9]{0,2}$' THEN $1::integer ELSE 30 END;
  a      jsonb;
BEGIN
  IF NOT wacta_http.is_staff() THEN
    RETURN wacta_http.login_page(401, NULL);
  END IF;
  a := (SELECT to_jsonb(x) FROM wacta.analytics(period) x);
  RETURN wacta_http.document(200, c.brand || ' · WhatsApp', wacta_http.asset('style.css') || wacta_http.asset('dashboard.css'),
    wacta_http.render(wacta_http.asset('dashboard.html'), wacta_http.studio() || jsonb_build_object(
      'brand', c.brand, 'user', wacta_http.user_name(), 'days', period, 'reasons', wacta_http.reasons(),
      'ranges', wacta_http.ranges(period), 'cards', wacta_http.cards(a), 'funnel', wacta_http.funnel(a), 'beside', wacta_http.beside(a),
      'calls', wacta_http.calls(c.time_zone), 'follow_ups', wacta_http.follow_ups(c.time_zone),
      'interactions', wacta_http.interactions(c.time_zone), 'health', wacta_http.health_rows())),
    wacta_http.asset('dashboard.js'), '{}');
END
$$;
COMMENT ON FUNCTION wacta_api.dashboard(text) IS
$$The dashboard
For signed-in staff; anyone else gets the sign-in form.$$;
