-- The dashboard as a whole: health, all about one person, and the page that has the parts of 85_dashboard.sql.

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
  (SELECT c.state = 'active', 'Sender ' || c.channel, concat_ws('; ', concat_ws(': ', c.state, c.reason), c.rate_now || ' messages a second at most',
          c.people_in_24_hours || ' of ' || c.people_per_day || ' people in 24 hours', round(c.spent_today, 2) || ' of ' || c.daily_budget || ' spent today')
     FROM wacta.examine_outbox() c ORDER BY c.channel_id LIMIT 10)
  UNION ALL
  (SELECT false, 'Template ' || t.name, concat_ws('; ', lower(t.status), 'held: ' || t.held_reason)
     FROM wacta.template t WHERE t.status NOT IN ('APPROVED', 'DRAFT', 'SUBMITTED', 'PENDING') OR t.held_reason IS NOT NULL ORDER BY t.template_id DESC LIMIT 10)
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

CREATE FUNCTION wacta_http.finding_rows(findings jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT wacta_http.or_empty((SELECT string_agg(format('<li><div><p class="name">%s</p><p class="soft">%s (%s)</p></div>%s</li>',
      wacta_http.html_escape((f ->> 'component') || ': ' || (f ->> 'message')), wacta_http.html_escape('Rule ' || (f ->> 'rule')), wacta_http.html_escape(f ->> 'source'),
      wacta_http.tag(f ->> 'severity', CASE f ->> 'severity' WHEN 'error' THEN 'bad' ELSE '' END)), '' ORDER BY n)
    FROM jsonb_array_elements($1) WITH ORDINALITY t(f, n)), 'None: WhatsApp accepts a template like this.')
$$;
COMMENT ON FUNCTION wacta_http.finding_rows(jsonb) IS 'The findings of the studio as rows.';

CREATE FUNCTION wacta_http.may_submit() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = current_setting('role') AND has_function_privilege(r.oid, 'wacta_api.submit_template(text, text)', 'EXECUTE'))
$$;
COMMENT ON FUNCTION wacta_http.may_submit() IS 'Whether the request''s role may submit templates.';

CREATE FUNCTION wacta_http.template_rows() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT wacta_http.or_empty(string_agg(wacta_http.row('template' || t.template_id, wacta_http.html_escape(t.name || ' (' || t.language || ')'),
           wacta_http.dots(wacta_http.isolated(lower(t.category)), wacta_http.isolated(t.status_reason), wacta_http.isolated('held: ' || t.held_reason), wacta_http.isolated('for ' || p.name))
             || format('</p><details><summary>How it looks</summary><div class="chat">%s</div></details><p>', wacta_http.preview(jsonb_build_object('components', t.components))),
           wacta_http.tag(lower(t.status), CASE t.verdict WHEN 'send' THEN 'good' WHEN 'fail' THEN 'bad' ELSE '' END)
             || CASE WHEN t.status = 'DRAFT' AND wacta_http.may_submit() THEN wacta_http.render(wacta_http.asset('studio_submit.html'), jsonb_build_object('template_id', t.template_id, 'name', t.name)) ELSE '' END),
           E'\n' ORDER BY t.template_id DESC), 'No template yet.')
    FROM (SELECT * FROM wacta.template ORDER BY template_id DESC LIMIT 20) t LEFT JOIN wacta.project p ON p.project_id = t.for_project
$$;
COMMENT ON FUNCTION wacta_http.template_rows() IS 'The newest templates with their status; drafts can be submitted by who may.';

CREATE FUNCTION wacta_http.written_rows() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(wacta_http.row('written' || r.request_id, 'Asked a model', wacta_http.dots(wacta_http.isolated(r.details ->> 'project'), wacta_http.isolated(r.reason), wacta_http.isolated(r.details ->> 'problems')),
           wacta_http.tag(r.status, CASE r.status WHEN 'failed' THEN 'bad' WHEN 'done' THEN 'good' ELSE '' END)), E'\n' ORDER BY r.request_id DESC)
    FROM (SELECT * FROM wacta.outbound_request x WHERE x.kind = 'write_template' ORDER BY x.request_id DESC LIMIT 5) r
$$;
COMMENT ON FUNCTION wacta_http.written_rows() IS 'What was last asked of a model, and what came of it.';

CREATE FUNCTION wacta_http.studio(draft text, project text, customer_name text, project_name text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  names  text[] := wacta_http.project_names();
  chosen text := coalesce(nullif(project, ''), names[1]);
  made   jsonb := wacta_api.generate_ai_template(chosen, customer_name, project_name, draft);
BEGIN
  RETURN jsonb_build_object('draft', coalesce(nullif(draft, ''), jsonb_pretty(made -> 'template')), 'prompt', made ->> 'prompt', 'preview', made ->> 'preview',
    'studio_projects', wacta_http.options(names, chosen, '(no project)'), 'customer_name', coalesce(nullif(customer_name, ''), 'Asha'), 'project_name', project_name,
    'findings', wacta_http.finding_rows(made -> 'findings'), 'templates', wacta_http.template_rows() || coalesce(wacta_http.written_rows(), ''),
    'write', CASE WHEN EXISTS (SELECT FROM wacta.channel c WHERE c.provider = 'openai') THEN
               wacta_http.render(wacta_http.asset('studio_write.html'), jsonb_build_object('studio_projects', wacta_http.options(names, chosen, '(no project)'))) END);
END
$$;
COMMENT ON FUNCTION wacta_http.studio(text, text, text, text) IS 'What the template studio shows: a draft, or a template generated for the project.';

CREATE FUNCTION wacta_http.user_name() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce((SELECT s.name FROM wacta.staff s WHERE s.username = claims ->> 'sub'), claims ->> 'sub')
    FROM (SELECT wacta_http.request('jwt.claims')::jsonb AS claims) c
$$;
COMMENT ON FUNCTION wacta_http.user_name() IS 'Who is signed in.';

-- The page asks for itself every few seconds: what it has already is not sent again.
CREATE FUNCTION wacta_http.unless_known(body bytea) RETURNS bytea
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  tag   text := format('"%s"', left(encode(sha256(body), 'hex'), 32));
  known boolean := coalesce(strpos(wacta_http.request_headers() ->> 'if-none-match', tag) > 0, false);
BEGIN
  PERFORM set_config('response.headers', (current_setting('response.headers')::jsonb || jsonb_build_array(jsonb_build_object('ETag', tag)))::text, true);
  IF known THEN
    PERFORM set_config('response.status', '304', true);
  END IF;
  RETURN CASE WHEN known THEN ''::bytea ELSE body END;
END
$$;
COMMENT ON FUNCTION wacta_http.unless_known(bytea) IS 'Answers 304 to who has this body already, else gives it an ETag.';

-- A lead to whom something was to be sent: its last message, and what stands in its way.
CREATE FUNCTION wacta_http.history(lead bigint, zone text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(wacta_http.row('past' || h.n, upper(left(h.kind, 1)) || replace(substr(h.kind, 2), '_', '-'), wacta_http.dots(wacta_http.isolated(h.what), wacta_http.moment(h.happened_at, $2)), NULL),
                    E'\n' ORDER BY h.n)
    FROM (SELECT row_number() OVER (ORDER BY x.happened_at DESC, x.kind, x.what) AS n, x.* FROM wacta.lead_history x WHERE x.lead_id = $1 ORDER BY 1 LIMIT 200) h
$$;
COMMENT ON FUNCTION wacta_http.history(bigint, text) IS 'The rows of what happened to a lead, the newest 200 first.';

CREATE FUNCTION wacta_http.about(lead bigint, zone text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  l wacta.lead_list;
  m wacta.message_person;
BEGIN
  SELECT * INTO l FROM wacta.lead_list x WHERE x.lead_id = lead;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  SELECT * INTO m FROM wacta.message_person x WHERE x.lead_id = lead ORDER BY x.message_id DESC LIMIT 1;
  RETURN wacta_http.render(wacta_http.asset('dashboard_about.html'), jsonb_build_object('lead_id', lead, 'name', coalesce(wacta_http.isolated(l.name), 'Lead ' || lead), 'phone', wacta_http.phone_link(l.phone),
    'detail', wacta_http.dots(wacta_http.isolated(l.project), wacta_http.isolated(l.status), wacta_http.isolated(l.stage), 'consent ' || l.consent),
    'message', coalesce(format('Last message: %s, %s', wacta_http.html_escape(replace(m.state, '_', ' ')), wacta_http.moment(m.enqueued_at, zone)), 'No message yet'),
    'reason', ': ' || coalesce(wacta_http.reasons() ->> m.reason, m.reason),
    'gates', wacta_http.or_empty((SELECT string_agg(format('<li><b>%s</b> %s</li>', wacta_http.html_escape(replace(g ->> 'gate', '_', ' ')), wacta_http.isolated(g ->> 'detail')), '')
                                    FROM jsonb_array_elements(wacta_http.closed_gates(lead, NULL)) g), 'Nothing: a message sent now would leave at once.'),
    'history', wacta_http.or_empty(wacta_http.history(lead, zone), 'Nothing yet.')));
END
$$;
COMMENT ON FUNCTION wacta_http.about(bigint, text) IS 'One lead: last message, what stands in the way of the next, and all that happened.';

CREATE FUNCTION wacta_http.filter_fields(f wacta_http.people_filter) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT jsonb_build_object('days', $1.days, 'project_options', wacta_http.options(wacta_http.project_names(), $1.project, 'All projects'),
                            'template_options', wacta_http.options(wacta_http.template_names(), $1.template, 'All templates'))
$$;
COMMENT ON FUNCTION wacta_http.filter_fields(wacta_http.people_filter) IS 'The fields of a filter, as it is.';

CREATE FUNCTION wacta_http.dashboard_parts(f wacta_http.people_filter, lead bigint, zone text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  a jsonb := wacta_http.figures(f);
  s jsonb := (SELECT jsonb_agg(to_jsonb(x)) FROM wacta_http.series(f) x);
BEGIN
  RETURN wacta_http.filter_fields(f) || jsonb_build_object('ranges', wacta_http.ranges(f), 'cards', wacta_http.cards(f, a, s), 'chart', wacta_http.chart(s),
    'funnel', wacta_http.funnel(f, a), 'beside', wacta_http.beside(f, a), 'calls', wacta_http.calls(zone), 'follow_ups', wacta_http.follow_ups(zone),
    'interactions', wacta_http.interactions(zone), 'health', wacta_http.health_rows(), 'about', wacta_http.about(lead, zone));
END
$$;
COMMENT ON FUNCTION wacta_http.dashboard_parts(wacta_http.people_filter, bigint, text) IS 'What the dashboard shows.';

CREATE FUNCTION wacta_api.dashboard(days text DEFAULT '30', project text DEFAULT NULL, template text DEFAULT NULL, lead text DEFAULT NULL,
                                    draft text DEFAULT NULL, for_project text DEFAULT NULL, customer_name text DEFAULT NULL, project_name text DEFAULT NULL) RETURNS wacta_http."*/*"
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
  c wacta.config := (SELECT k FROM wacta.config k);
  f wacta_http.people_filter := wacta_http.read_filter(NULL, NULL, $1, $2, $3);
BEGIN
  IF NOT wacta_http.is_staff() THEN
    RETURN wacta_http.login_page(401, NULL);
  END IF;
  RETURN wacta_http.unless_known(wacta_http.document(200, c.brand || ' · WhatsApp', wacta_http.asset('style.css') || wacta_http.asset('dashboard.css'),
    wacta_http.render(wacta_http.asset('dashboard.html'), wacta_http.studio($5, $6, $7, $8) || wacta_http.dashboard_parts(f, wacta_http.lead_number($4), c.time_zone)
      || jsonb_build_object('brand', c.brand, 'user', wacta_http.user_name(), 'reasons', wacta_http.reasons(),
                            'reload', wacta_http.query('days', f.days::text, 'project', f.project, 'template', f.template))),
    wacta_http.asset('dashboard.js'), '{}'));
END
$$;
COMMENT ON FUNCTION wacta_api.dashboard(text, text, text, text, text, text, text, text) IS
$$The dashboard
For signed-in staff; anyone else gets the sign-in form. Of the last days (30), of one project or template if they are named; lead: a lead to tell about;
draft: a template for the studio to check; for_project, customer_name, project_name: what it generates one for.$$;
