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
AS $$ SELECT coalesce('<a href="../whatsapp-interactive/?lead=' || $3 || '">' || wacta_http.isolated($1) || '</a>', wacta_http.phone_link($2), 'Lead ' || $3) $$;
COMMENT ON FUNCTION wacta_http.person(text, text, bigint) IS 'How a lead is called in a list: by name, which leads to all about them, by number, by id.';

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

CREATE FUNCTION wacta_http.figures_of(f wacta_http.people_filter, since date) RETURNS SETOF wacta.figures
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  project  integer := (SELECT p.project_id FROM wacta.project p WHERE p.name = f.project);
  template integer := wacta_http.template_number(f.template);
BEGIN
  RETURN QUERY SELECT * FROM wacta.figures x
   WHERE x.day >= since AND (f.project IS NULL OR x.project_id = project) AND (f.template IS NULL OR x.template_id = template);
END
$$;
COMMENT ON FUNCTION wacta_http.figures_of(wacta_http.people_filter, date) IS 'The rows of wacta.figures from a day on, of one project or template if they are named.';

-- People are counted on the day of their last decision, as the cards count them; for a project and a template at once, which have no
-- such count, those that answered the messages of the day.
CREATE FUNCTION wacta_http.people_by_day(f wacta_http.people_filter, since date) RETURNS TABLE (day date, clicked bigint, interested bigint, not_interested bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  wanted    text := CASE WHEN f.project IS NOT NULL THEN 'project' WHEN f.template IS NOT NULL THEN 'template' ELSE 'all' END;
  wanted_id integer := CASE wanted WHEN 'all' THEN 0 WHEN 'project' THEN (SELECT p.project_id FROM wacta.project p WHERE p.name = f.project)
                                   ELSE wacta_http.template_number(f.template) END;
BEGIN
  IF f.project IS NOT NULL AND f.template IS NOT NULL THEN
    RETURN QUERY SELECT x.day, x.clicked, x.interested, x.not_interested FROM wacta_http.figures_of(f, since) x;
  ELSE
    RETURN QUERY SELECT a.day, a.clickers, a.interested, a.not_interested FROM wacta.audience_now a
     WHERE a.day >= since AND (a.scope, a.scope_id) = (wanted, wanted_id);
  END IF;
END
$$;
COMMENT ON FUNCTION wacta_http.people_by_day(wacta_http.people_filter, date) IS 'Who decided on each day, of one project or template if they are named.';

-- One row a day, the days of the period and as many before it: what the chart shows and the trends compare.
CREATE FUNCTION wacta_http.series(f wacta_http.people_filter) RETURNS TABLE (day date, current boolean, sent bigint, clicked bigint, interested bigint, not_interested bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT s.first + n, n > $1.days, coalesce(sum(v.sent), 0)::bigint, coalesce(sum(v.clicked), 0)::bigint,
         coalesce(sum(v.interested), 0)::bigint, coalesce(sum(v.not_interested), 0)::bigint
    FROM (SELECT wacta.figures_since(2 * $1.days + 1) AS first) s
   CROSS JOIN generate_series(0, 2 * $1.days + 1) n
    LEFT JOIN (SELECT x.day, x.sent, 0 AS clicked, 0 AS interested, 0 AS not_interested FROM wacta_http.figures_of($1, wacta.figures_since(2 * $1.days + 1)) x
               UNION ALL
               SELECT p.day, 0, p.clicked, p.interested, p.not_interested FROM wacta_http.people_by_day($1, wacta.figures_since(2 * $1.days + 1)) p) v ON v.day = s.first + n
   GROUP BY s.first, n ORDER BY n
$$;
COMMENT ON FUNCTION wacta_http.series(wacta_http.people_filter) IS 'The figures of each day of a period, and of as many days before it (current: no).';

CREATE FUNCTION wacta_http.filtered_figures(f wacta_http.people_filter) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  since    timestamptz := wacta_http.since(f.days);
  project  integer := (SELECT p.project_id FROM wacta.project p WHERE p.name = f.project);
  template integer := wacta_http.template_number(f.template);
BEGIN
  RETURN (SELECT to_jsonb(m) || to_jsonb(k)
                 || jsonb_build_object('engagement_rate', wacta.percent(clickers, messages_sent), 'conversion_rate', wacta.percent(interested_clicks, messages_sent))
    FROM (SELECT coalesce(sum(x.queued), 0)::bigint AS messages_queued, coalesce(sum(x.sent), 0)::bigint AS messages_sent,
                 coalesce(sum(x.delivered), 0)::bigint AS delivered, coalesce(sum(x.read), 0)::bigint AS read
            FROM wacta_http.figures_of(f, wacta.figures_since(f.days)) x) m,
         -- people are counted here: they cannot be summed over projects and templates
         (SELECT count(DISTINCT c.lead_id) AS clickers, count(DISTINCT c.lead_id) FILTER (WHERE c.action = 'interested') AS interested_clicks,
                 count(DISTINCT c.lead_id) FILTER (WHERE c.action = 'not_interested') AS not_interested
            FROM wacta.click c WHERE c.effective AND c.kind = 'tap' AND c.clicked_at >= since
             AND (f.project IS NULL OR c.project_id = project) AND (f.template IS NULL OR c.template_id = template)) k);
END
$$;
COMMENT ON FUNCTION wacta_http.filtered_figures(wacta_http.people_filter) IS 'What wacta.analytics() tells, for one project or template.';

CREATE FUNCTION wacta_http.figures(f wacta_http.people_filter) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF f.project IS NULL AND f.template IS NULL THEN
    RETURN (SELECT to_jsonb(a) FROM wacta.analytics(f.days) a);
  END IF;
  RETURN wacta_http.filtered_figures(f);
END
$$;
COMMENT ON FUNCTION wacta_http.figures(wacta_http.people_filter) IS 'The figures of a period, of all or of one project or template.';

CREATE FUNCTION wacta_http.people_link(f wacta_http.people_filter, show text, words text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT format('<a href="../whatsapp-interactive/people/%s">%s</a>',
                wacta_http.query('show', $2, 'days', $1.days::text, 'project', $1.project, 'template', $1.template), wacta_http.html_escape($3))
$$;
COMMENT ON FUNCTION wacta_http.people_link(wacta_http.people_filter, text, text) IS 'A link to the people behind a number.';

-- Line and bars are drawn here: a few rectangles need no library, no script and no second request, and a screen reader gets a table.
CREATE FUNCTION wacta_http.spark_line(amounts numeric[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT format('<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true"><polyline points="%s"/></svg>',
                string_agg(round(100.0 * (n - 1) / greatest(cardinality($1) - 1, 1), 1) || ',' || round(22 - 20 * coalesce(v, 0) / greatest(top, 1), 1), ' ' ORDER BY n))
    FROM unnest($1) WITH ORDINALITY t(v, n), (SELECT max(x) AS top FROM unnest($1) x) m
$$;
COMMENT ON FUNCTION wacta_http.spark_line(numeric[]) IS 'A line of amounts, without axes.';

CREATE FUNCTION wacta_http.trend(amount numeric, before numeric, days integer, unit text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN $1 IS NULL OR $2 IS NULL OR ($1 = 0 AND $2 = 0) THEN 'nothing to compare'
              WHEN $1 = $2 THEN 'as in the ' || $3 || ' days before'
              ELSE CASE WHEN $1 > $2 THEN '▲ ' ELSE '▼ ' END
                   || CASE WHEN $4 = '%' THEN abs(round($1 - $2, 1)) || ' points' WHEN $2 = 0 THEN 'from 0' ELSE round(100 * abs($1 - $2) / $2) || ' %' END
                   || ' on the ' || $3 || ' days before' END
$$;
COMMENT ON FUNCTION wacta_http.trend(numeric, numeric, integer, text) IS 'How an amount compares with that of the period before, in words; unit: % for a rate.';

CREATE FUNCTION wacta_http.card(f wacta_http.people_filter, n integer, a jsonb, s jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT format('<div class="%s"><dt>%s</dt><dd class="number">%s</dd><dd class="soft">%s</dd><dd class="soft">%s</dd><dd>%s</dd></div>', tone, label,
           wacta_http.people_link($1, show, CASE WHEN unit = '%' THEN coalesce(($3 ->> field) || ' %', '–') ELSE wacta_http.figure(($3 ->> field)::numeric) END),
           meaning, wacta_http.trend(CASE WHEN unit = '%' THEN wacta.percent(now_part, now_sent) ELSE now_part END,
                                     CASE WHEN unit = '%' THEN wacta.percent(was_part, was_sent) ELSE was_part END, $1.days, unit),
           wacta_http.spark_line(line))
    FROM (VALUES
      (1, '', 'Messages sent', 'messages_sent', 'taken by WhatsApp', 'sent', 'sent', ''),
      (2, 'good', 'Interested', 'interested_clicks', 'people who said yes', 'interested', 'interested', ''),
      (3, '', 'Not interested', 'not_interested', 'people who said no', 'not_interested', 'not_interested', ''),
      (4, '', 'Engagement rate', 'engagement_rate', 'people who answered ÷ sent', 'clicked', 'clicked', '%'),
      (5, '', 'Conversion rate', 'conversion_rate', 'interested ÷ sent', 'interested', 'interested', '%')) c(nr, tone, label, field, meaning, show, part, unit),
      LATERAL (SELECT sum((d ->> part)::bigint) FILTER (WHERE (d ->> 'current')::boolean)::bigint AS now_part, sum((d ->> 'sent')::bigint) FILTER (WHERE (d ->> 'current')::boolean)::bigint AS now_sent,
                      sum((d ->> part)::bigint) FILTER (WHERE NOT (d ->> 'current')::boolean)::bigint AS was_part, sum((d ->> 'sent')::bigint) FILTER (WHERE NOT (d ->> 'current')::boolean)::bigint AS was_sent,
                      array_agg(CASE WHEN unit = '%' THEN coalesce(wacta.percent((d ->> part)::bigint, (d ->> 'sent')::bigint), 0) ELSE (d ->> part)::numeric END ORDER BY i)
                        FILTER (WHERE (d ->> 'current')::boolean) AS line
                 FROM jsonb_array_elements($4) WITH ORDINALITY e(d, i)) days
   WHERE nr = $2
$$;
COMMENT ON FUNCTION wacta_http.card(wacta_http.people_filter, integer, jsonb, jsonb) IS
'A card: a figure of wacta.analytics() as a link to its people, its trend and line by the rows of wacta_http.series().';

CREATE FUNCTION wacta_http.cards(f wacta_http.people_filter, a jsonb, s jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT string_agg(wacta_http.card($1, n, $2, $3), '' ORDER BY n) FROM generate_series(1, 5) n $$;
COMMENT ON FUNCTION wacta_http.cards(wacta_http.people_filter, jsonb, jsonb) IS 'The cards of the dashboard.';

CREATE FUNCTION wacta_http.bars(s jsonb, field text, label text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT format('<figure><figcaption>%s <span class="soft">up to %s a day</span></figcaption><svg class="bars" viewBox="0 0 %s 100" preserveAspectRatio="none" role="img" aria-label="%s by day; the table has the numbers">%s</svg></figure>',
           $3, wacta_http.figure(max(v)), 10 * count(*), $3,
           string_agg(format('<rect x="%s" y="%s" width="8" height="%s"><title>%s: %s</title></rect>', 10 * (n - 1) + 1, round(100 - h, 1), round(h, 1), day, wacta_http.figure(v)), '' ORDER BY n))
    FROM (SELECT row_number() OVER (ORDER BY i) AS n, to_char((d ->> 'day')::date, 'FMDD Mon') AS day, (d ->> $2)::numeric AS v,
                 100 * (d ->> $2)::numeric / greatest(max((d ->> $2)::numeric) OVER (), 1) AS h
            FROM jsonb_array_elements($1) WITH ORDINALITY e(d, i) WHERE (d ->> 'current')::boolean) x
$$;
COMMENT ON FUNCTION wacta_http.bars(jsonb, text, text) IS 'A bar for each day.';

CREATE FUNCTION wacta_http.chart(s jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT wacta_http.bars($1, 'sent', 'Messages sent') || wacta_http.bars($1, 'interested', 'Interested') || wacta_http.render(wacta_http.asset('dashboard_days.html'),
    jsonb_build_object('rows', (SELECT string_agg(format('<tr><th scope="row">%s</th><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>', to_char((d ->> 'day')::date, 'FMDD Mon YYYY'),
      wacta_http.figure((d ->> 'sent')::numeric), wacta_http.figure((d ->> 'clicked')::numeric), wacta_http.figure((d ->> 'interested')::numeric),
      wacta_http.figure((d ->> 'not_interested')::numeric)), '' ORDER BY i DESC)
      FROM jsonb_array_elements($1) WITH ORDINALITY e(d, i) WHERE (d ->> 'current')::boolean)))
$$;
COMMENT ON FUNCTION wacta_http.chart(jsonb) IS 'The chart by day, and the same as a table.';

CREATE FUNCTION wacta_http.funnel(f wacta_http.people_filter, a jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  -- queued: all that were on their way out, those still waiting included
  WITH step AS (
    SELECT n, label, show, coalesce(CASE WHEN n = 1 THEN ($2 ->> 'messages_sent')::bigint + ($2 ->> 'messages_queued')::bigint
                                         ELSE ($2 ->> field)::bigint END, 0) AS value
      FROM (VALUES (1, 'Queued', '', 'queued'), (2, 'Sent', 'messages_sent', 'sent'), (3, 'Delivered', 'delivered', 'delivered'), (4, 'Read', 'read', 'read'),
                   (5, 'Answered', 'clickers', 'clicked'), (6, 'Interested', 'interested_clicks', 'interested')) s(n, label, field, show))
  SELECT string_agg(format('<li><span>%s</span><svg aria-hidden="true"><rect width="%s%%" height="100%%"/></svg><b>%s <span>%s</span></b></li>',
           CASE WHEN n = 1 THEN label ELSE wacta_http.people_link($1, show, label) END, least(100, round(100.0 * value / greatest(top, 1), 1)), wacta_http.figure(value),
           CASE WHEN n > 1 AND top > 0 THEN round(100.0 * value / top) || ' %' END), '' ORDER BY n)
    FROM step, (SELECT value AS top FROM step WHERE n = 1) first
$$;
COMMENT ON FUNCTION wacta_http.funnel(wacta_http.people_filter, jsonb) IS 'queued → sent → delivered → read → answered → interested, from a row of wacta.analytics().';

CREATE FUNCTION wacta_http.trouble_tally(f wacta_http.people_filter) RETURNS TABLE (trouble text, reason text, error_code integer, messages bigint)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  since    timestamptz := wacta_http.since(f.days);
  project  integer := (SELECT p.project_id FROM wacta.project p WHERE p.name = f.project);
  template integer := wacta_http.template_number(f.template);
BEGIN
  RETURN QUERY
  SELECT k.kind, m.reason, m.error_code, sum(m.n)::bigint
    FROM (SELECT q.status, q.reason, q.error_code, count(*) AS n FROM wacta.message q
           WHERE q.purpose = 'pitch' AND q.reason IS NOT NULL AND q.enqueued_at >= since
             AND (f.project IS NULL OR q.project_id = project) AND (f.template IS NULL OR q.template_id = template)
           GROUP BY q.status, q.reason, q.error_code) m
    LEFT JOIN wacta.error_rule r ON r.kind = 'code' AND r.code = m.error_code
   CROSS JOIN LATERAL (SELECT wacta.trouble_kind(m.status, r.action) AS kind) k
   WHERE k.kind IS NOT NULL
   GROUP BY 1, 2, 3;
END
$$;
COMMENT ON FUNCTION wacta_http.trouble_tally(wacta_http.people_filter) IS 'What wacta.daily_trouble has of a period, over all its days.';

CREATE FUNCTION wacta_http.beside(f wacta_http.people_filter, a jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  WITH tally AS MATERIALIZED (SELECT * FROM wacta_http.trouble_tally($1)),
       kind AS (SELECT s.n, s.show, s.label, s.tone, coalesce(sum(t.messages), 0) AS value,
                       (SELECT string_agg(concat_ws(' ', wacta_http.figure(x.messages), '×', coalesce(wacta_http.reasons() ->> x.reason, left(x.reason, 120)), '(code ' || x.error_code || ')'), '; ')
                          FROM (SELECT * FROM tally y WHERE y.trouble = s.show ORDER BY y.messages DESC, y.reason LIMIT 3) x) AS reasons
                  FROM (VALUES (2, 'limited', 'limited by Meta', 'bad'), (3, 'in_doubt', 'in doubt', 'bad'), (4, 'failed', 'failed', 'bad'),
                               (5, 'suppressed', 'suppressed', ''), (6, 'expired', 'expired', '')) s(n, show, label, tone)
                  LEFT JOIN tally t ON t.trouble = s.show GROUP BY s.n, s.show, s.label, s.tone
                UNION ALL SELECT 1, 'queued', 'waiting', '', coalesce(($2 ->> 'messages_queued')::bigint, 0), NULL)
  SELECT string_agg(format('<li>%s <span class="soft">%s</span></li>', replace(wacta_http.people_link($1, show, wacta_http.figure(value) || ' ' || label),
                      '<a ', format('<a class="tag %s" ', CASE WHEN value > 0 THEN tone ELSE '' END)), coalesce(wacta_http.isolated(reasons), '')), '' ORDER BY n)
    FROM kind
$$;
COMMENT ON FUNCTION wacta_http.beside(wacta_http.people_filter, jsonb) IS 'What stands beside the funnel: waiting, limited by Meta, in doubt, failed, suppressed, expired, with their most frequent reasons.';

CREATE FUNCTION wacta_http.ranges(f wacta_http.people_filter) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(format('<a href="%s"%s>%s days</a>', wacta_http.query('days', d::text, 'project', $1.project, 'template', $1.template),
                           CASE WHEN d = $1.days THEN ' aria-current="page"' ELSE '' END, d), '' ORDER BY d)
    FROM unnest(ARRAY[7, 30, 90]) d
$$;
COMMENT ON FUNCTION wacta_http.ranges(wacta_http.people_filter) IS 'The links to other periods.';

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
    SELECT string_agg(wacta_http.row('call' || v.call_id, CASE WHEN v.name <> '' OR v.caller <> '' THEN wacta_http.person(v.name, left(v.caller, 40), v.lead_id) ELSE 'Hidden number' END,
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
           wacta_http.dots(CASE WHEN v.overdue THEN wacta_http.tag(wacta_http.duration(wacta.now() - v.due_at) || ' overdue', 'bad')
                                ELSE format('<span class="tag good">%s</span>', wacta_http.moment(v.due_at, $1)) END,
             CASE WHEN v.name IS NOT NULL THEN wacta_http.phone_link(v.phone) END, wacta_http.isolated(v.project), wacta_http.isolated(v.reason), wacta_http.isolated(v.assignee)),
           wacta_http.render(wacta_http.asset('dashboard_call.html'), jsonb_build_object('lead_id', v.lead_id, 'name', coalesce(v.name, v.phone)))), E'\n' ORDER BY v.due_at, v.follow_up_id),
         'Nobody is waiting for a call.')
    FROM (SELECT f.lead_id, f.follow_up_id FROM wacta.follow_up f WHERE f.closed_at IS NULL ORDER BY f.due_at LIMIT 50) first,
         LATERAL (SELECT * FROM wacta.open_follow_up o WHERE (o.lead_id, o.follow_up_id) = (first.lead_id, first.follow_up_id) OFFSET 0) v
$$;
COMMENT ON FUNCTION wacta_http.follow_ups(text) IS 'The rows of open follow-ups, the longest due first, with what came of the call.';
