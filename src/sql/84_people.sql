-- The people behind the dashboard's numbers: views for any reader of SQL, and the same as a page, in steps, and as CSV.
-- A page is found by its last row (its key), never by OFFSET: the thousandth costs what the first does.

-- What went wrong is looked for by this. A message whose way is good has no reason, so the condition names nothing that its updates
-- change, and they stay heap-only.
CREATE INDEX message_trouble ON wacta.message (enqueued_at) WHERE reason IS NOT NULL;

-- Staff type the beginning of a number, or of any word of a name. A tsvector finds words by their beginnings without another extension;
-- the words are split here, for the parser of full text drops what looks like a tag or an address.
CREATE FUNCTION wacta.name_words(name text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN array_to_tsvector(array_remove(string_to_array(wacta.plain_words(name), ' '), ''));
END
$$;
COMMENT ON FUNCTION wacta.name_words(text) IS 'The words of a name, to be searched for.';
CREATE INDEX lead_identity_beginning ON wacta.lead_identity (value text_pattern_ops) WHERE kind = 'phone';
CREATE INDEX lead_words ON wacta.lead USING gin (wacta.name_words(name));

-- Views

CREATE FUNCTION wacta.trouble_kind(status wacta.message_status, action text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN $2 = 'retry_day' AND $1 IN ('queued', 'sending', 'failed', 'expired', 'cancelled') THEN 'limited'
              WHEN $1 IN ('in_doubt', 'failed', 'suppressed', 'expired', 'cancelled') THEN $1::text END
$$;
COMMENT ON FUNCTION wacta.trouble_kind(wacta.message_status, text) IS
'What is wrong with a message of that status and the action for its error code: limited (by Meta, for this person), in_doubt, failed,
suppressed, expired, cancelled; NULL: nothing.';

CREATE VIEW wacta.daily_trouble AS
  SELECT (m.enqueued_at AT TIME ZONE c.time_zone)::date AS day, p.name AS project, t.name AS template,
         wacta.trouble_kind(m.status, r.action) AS trouble, m.reason, m.error_code, count(*) AS messages
    FROM wacta.config c CROSS JOIN wacta.message m
    LEFT JOIN wacta.project p USING (project_id)
    LEFT JOIN wacta.template t ON t.template_id = m.template_id
    LEFT JOIN wacta.error_rule r ON r.kind = 'code' AND r.code = m.error_code
   WHERE m.purpose = 'pitch' AND m.reason IS NOT NULL AND wacta.trouble_kind(m.status, r.action) IS NOT NULL
   GROUP BY 1, 2, 3, 4, 5, 6;
COMMENT ON VIEW wacta.daily_trouble IS
'Beside the funnel: interactive messages that are limited by Meta, in doubt, failed, suppressed, expired or cancelled, by day of
enqueueing, project, template and reason.';

CREATE VIEW wacta.lead_list AS
  SELECT l.lead_id, l.name, i.value AS phone, p.name AS project, l.status, l.stage, l.owner, l.source, l.consent, l.created_at, l.updated_at
    FROM wacta.lead l
    LEFT JOIN LATERAL (SELECT x.value FROM wacta.lead_identity x WHERE x.lead_id = l.lead_id AND x.kind = 'phone'
                        ORDER BY x.created_at, x.value LIMIT 1) i ON true
    LEFT JOIN wacta.project p USING (project_id)
   WHERE l.forgotten_at IS NULL;
COMMENT ON VIEW wacta.lead_list IS 'Leads with their number and project, as the dashboard lists them; those that were forgotten are left out.';

CREATE VIEW wacta.lead_history AS
  SELECT c.lead_id, c.started_at AS happened_at, 'call' AS kind, concat_ws(', ', coalesce('called ' || c.called, 'called'), c.outcome) AS what
    FROM wacta.ivr_call c WHERE c.lead_id IS NOT NULL
  UNION ALL
  SELECT m.lead_id, m.enqueued_at, 'message', concat_ws(', ', coalesce(t.name, m.purpose), m.status, m.reason)
    FROM wacta.message m LEFT JOIN wacta.template t USING (template_id)
  UNION ALL
  SELECT k.lead_id, k.clicked_at, CASE WHEN k.kind IN ('tap', 'scanner') THEN k.kind ELSE 'visit' END,
         concat_ws(', ', k.action, 'by ' || k.via, CASE WHEN k.kind NOT IN ('tap', 'scanner') THEN k.kind WHEN NOT k.effective THEN 'again' END)
    FROM wacta.click k
  UNION ALL
  SELECT r.lead_id, r.replied_at, 'reply', r.said FROM wacta.reply r
  UNION ALL
  SELECT e.lead_id, e.happened_at, 'consent', concat_ws(', ', e.event, e.reason, CASE WHEN NOT e.effective THEN 'without effect' END) FROM wacta.consent_event e
  UNION ALL
  SELECT f.lead_id, coalesce(f.closed_at, f.created_at), 'follow_up', concat_ws(', ', f.reason, f.assignee, CASE WHEN f.closed_at IS NULL THEN 'open' ELSE f.outcome END)
    FROM wacta.follow_up f
  UNION ALL
  SELECT n.lead_id, n.noted_at, 'note', n.note FROM wacta.lead_note n;
COMMENT ON VIEW wacta.lead_history IS
'All that happened to a lead: calls, messages, taps and visits, replies, consent, follow-ups, notes. With lead_id in the WHERE it reads that lead alone.';

-- Search

CREATE FUNCTION wacta.name_query(wanted text) RETURNS tsquery
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  -- nothing but letters and digits is left of a word, so that it is no operator
  SELECT string_agg(format('''%s'':*', w), ' & ')::tsquery FROM string_to_table(wacta.plain_words($1), ' ') w WHERE w <> ''
$$;
COMMENT ON FUNCTION wacta.name_query(text) IS 'A query for names in which each of these words is the beginning of one; NULL: there are no words.';

CREATE FUNCTION wacta.number_beginnings(typed text) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN $1 ~ '^\s*[+(]*[0-9][-0-9 ().]*$' THEN
           ARRAY(SELECT DISTINCT '+' || b FROM unnest(CASE WHEN btrim($1) LIKE '+%' THEN ARRAY[digits]
             ELSE ARRAY[digits, regexp_replace(digits, '^00', ''), calling || regexp_replace(digits, '^0', '')] END) b WHERE b <> '') END
    FROM (SELECT regexp_replace($1, '[^0-9]', '', 'g') AS digits, k.calling_code::text AS calling
            FROM wacta.config c JOIN wacta.country k ON k.iso = c.default_country) x
$$;
COMMENT ON FUNCTION wacta.number_beginnings(text) IS
'How E.164 numbers begin that somebody has typed the beginning of, with and without the country''s code; NULL: it is no number.';

CREATE FUNCTION wacta.find_leads(wanted text, project integer, before bigint, max integer) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  beginnings text[] := wacta.number_beginnings(wanted);
  words      tsquery := wacta.name_query(wanted);
BEGIN
  IF coalesce(btrim(wanted), '') = '' THEN
    RETURN QUERY SELECT l.lead_id FROM wacta.lead l
     WHERE (before IS NULL OR l.lead_id < before) AND (project IS NULL OR l.project_id = project) AND l.forgotten_at IS NULL
     ORDER BY l.lead_id DESC LIMIT max;
  ELSIF beginnings IS NOT NULL THEN
    RETURN QUERY SELECT l.lead_id FROM wacta.lead l
     WHERE l.lead_id IN (SELECT i.lead_id FROM unnest(beginnings) b JOIN wacta.lead_identity i
                             ON i.kind = 'phone' AND i.value ~>=~ b AND i.value ~<~ (b || ':'))       -- a colon comes after the digits
       AND (before IS NULL OR l.lead_id < before) AND (project IS NULL OR l.project_id = project) AND l.forgotten_at IS NULL
     ORDER BY l.lead_id DESC LIMIT max;
  ELSE
    RETURN QUERY SELECT l.lead_id FROM wacta.lead l
     WHERE wacta.name_words(l.name) @@ words
       AND (before IS NULL OR l.lead_id < before) AND (project IS NULL OR l.project_id = project) AND l.forgotten_at IS NULL
     ORDER BY l.lead_id DESC LIMIT max;
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.find_leads(text, integer, bigint, integer) IS
'Leads by the beginning of their number or of words of their name, or all; the newest first, those below before.';

-- What the lists have in common: a row is a person and what is to be told of them; key is where the next page begins.
CREATE TYPE wacta_http.person_row AS (key bigint, lead_id bigint, name text, phone text, project text, status text, at timestamptz, what text);
COMMENT ON TYPE wacta_http.person_row IS 'A row of a list of people: what of them, when, and the key after which the next page begins.';

CREATE TYPE wacta_http.people_filter AS (show text, q text, days integer, project text, template text);
COMMENT ON TYPE wacta_http.people_filter IS 'What of people a list shows: which number they are behind, and of what period, project and template.';

CREATE FUNCTION wacta_http.shows() RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT '{"all": "All leads", "queued": "Waiting to be sent", "sent": "Got a message", "delivered": "Message delivered", "read": "Message read",
           "clicked": "Answered", "interested": "Interested", "not_interested": "Not interested", "limited": "Limited by Meta", "in_doubt": "In doubt",
           "failed": "Failed", "suppressed": "Suppressed", "expired": "Expired", "cancelled": "Cancelled"}'::jsonb
$$;
COMMENT ON FUNCTION wacta_http.shows() IS 'The lists of people, and what they are called.';

CREATE FUNCTION wacta_http.since(days integer) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT ((wacta.now() AT TIME ZONE c.time_zone)::date - $1)::timestamp AT TIME ZONE c.time_zone FROM wacta.config c $$;
COMMENT ON FUNCTION wacta_http.since(integer) IS 'When a period begins that has today and the days before it.';

CREATE FUNCTION wacta_http.found_people(f wacta_http.people_filter, before bigint, max integer) RETURNS SETOF wacta_http.person_row
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  project integer := (SELECT p.project_id FROM wacta.project p WHERE p.name = f.project);
BEGIN
  RETURN QUERY
  SELECT v.lead_id, v.lead_id, v.name, v.phone, v.project, v.status, v.created_at, concat_ws(', ', v.stage, nullif(v.owner, ''))
    FROM wacta.find_leads(f.q, CASE WHEN f.project IS NOT NULL THEN coalesce(project, 0) END, before, max) x(lead_id),
         LATERAL (SELECT * FROM wacta.lead_list l WHERE l.lead_id = x.lead_id OFFSET 0) v
   ORDER BY v.lead_id DESC;
END
$$;
COMMENT ON FUNCTION wacta_http.found_people(wacta_http.people_filter, bigint, integer) IS 'The rows of a search, or of all leads.';

CREATE FUNCTION wacta_http.message_people(f wacta_http.people_filter, before bigint, max integer) RETURNS SETOF wacta_http.person_row
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  since    timestamptz := wacta_http.since(f.days);
  project  integer := (SELECT p.project_id FROM wacta.project p WHERE p.name = f.project);
  template integer := wacta_http.template_number(f.template);
BEGIN
  RETURN QUERY
  SELECT v.message_id, v.lead_id, v.name, v.phone, v.project, coalesce(x.trouble, v.state), v.enqueued_at, v.reason
    FROM (SELECT m.lead_id, m.message_id, wacta.trouble_kind(m.status, r.action) AS trouble
            FROM wacta.message m LEFT JOIN wacta.error_rule r ON r.kind = 'code' AND r.code = m.error_code
           WHERE (before IS NULL OR m.message_id < before) AND m.purpose = 'pitch' AND m.enqueued_at >= since
             AND (f.project IS NULL OR m.project_id = project) AND (f.template IS NULL OR m.template_id = template)
             AND CASE f.show WHEN 'sent' THEN m.accepted_at IS NOT NULL WHEN 'queued' THEN m.status IN ('queued', 'sending')
                             WHEN 'delivered' THEN m.status IN ('delivered', 'read') WHEN 'read' THEN m.status = 'read'
                             ELSE m.reason IS NOT NULL AND wacta.trouble_kind(m.status, r.action) = f.show END
           ORDER BY m.message_id DESC LIMIT max) x,
         LATERAL (SELECT * FROM wacta.message_person l WHERE (l.lead_id, l.message_id) = (x.lead_id, x.message_id) OFFSET 0) v
   ORDER BY v.message_id DESC;
END
$$;
COMMENT ON FUNCTION wacta_http.message_people(wacta_http.people_filter, bigint, integer) IS 'The rows of those whose interactive message is in a state.';

-- Each person once, by the last decision of the kind: what the cards count.
CREATE FUNCTION wacta_http.deciding_people(f wacta_http.people_filter, before bigint, max integer) RETURNS SETOF wacta_http.person_row
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  since    timestamptz := wacta_http.since(f.days);
  project  integer := (SELECT p.project_id FROM wacta.project p WHERE p.name = f.project);
  template integer := wacta_http.template_number(f.template);
BEGIN
  RETURN QUERY
  SELECT v.click_id, v.lead_id, v.name, v.phone, v.project, v.lead_status, v.clicked_at, concat_ws(', ', replace(v.action, '_', ' '), 'by ' || replace(v.via, '_', ' '))
    FROM (SELECT k.lead_id, max(k.click_id) AS click_id
            FROM wacta.click k
           WHERE k.clicked_at >= since AND k.effective AND k.kind = 'tap' AND (f.show = 'clicked' OR k.action = f.show)
             AND (f.project IS NULL OR k.project_id = project) AND (f.template IS NULL OR k.template_id = template)
           GROUP BY k.lead_id HAVING before IS NULL OR max(k.click_id) < before
           ORDER BY max(k.click_id) DESC LIMIT max) x,
         LATERAL (SELECT * FROM wacta.recent_interaction i WHERE (i.lead_id, i.click_id) = (x.lead_id, x.click_id) OFFSET 0) v
   ORDER BY v.click_id DESC;
END
$$;
COMMENT ON FUNCTION wacta_http.deciding_people(wacta_http.people_filter, bigint, integer) IS 'The rows of those who answered, or gave one of the answers.';

CREATE FUNCTION wacta_http.people_rows(f wacta_http.people_filter, before bigint, max integer) RETURNS SETOF wacta_http.person_row
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  CASE
    WHEN f.show = 'all' THEN RETURN QUERY SELECT * FROM wacta_http.found_people(f, before, max);
    WHEN f.show IN ('clicked', 'interested', 'not_interested') THEN RETURN QUERY SELECT * FROM wacta_http.deciding_people(f, before, max);
    ELSE RETURN QUERY SELECT * FROM wacta_http.message_people(f, before, max);
  END CASE;
END
$$;
COMMENT ON FUNCTION wacta_http.people_rows(wacta_http.people_filter, bigint, integer) IS 'The rows of a list of people, the newest first, those below a key.';

CREATE FUNCTION wacta_http.template_number(template text) RETURNS integer
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT t.template_id FROM wacta.template t WHERE t.name = $1 ORDER BY t.template_id LIMIT 1 $$;
COMMENT ON FUNCTION wacta_http.template_number(text) IS 'The id of a template by its name, or NULL.';

CREATE FUNCTION wacta_http.period(days text) RETURNS integer
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE WHEN $1 ~ '^[1-9][0-9]{0,2}$' THEN $1::integer ELSE 30 END $$;
COMMENT ON FUNCTION wacta_http.period(text) IS 'The days of a period as they came in a URL; 30 for what are none.';

CREATE FUNCTION wacta_http.read_filter(show text, q text, days text, project text, template text) RETURNS wacta_http.people_filter
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT (CASE WHEN wacta_http.shows() ? $1 THEN $1 ELSE 'all' END, left(btrim($2), 300), wacta_http.period($3), nullif($4, ''), nullif($5, ''))::wacta_http.people_filter
$$;
COMMENT ON FUNCTION wacta_http.read_filter(text, text, text, text, text) IS 'The filter that a request asks for; what means nothing is left out.';

-- Queries of links, ready for an attribute

CREATE FUNCTION wacta_http.query(VARIADIC pairs text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT '?' || coalesce(string_agg(pairs[n] || '=' || wacta.percent_encode(pairs[n + 1]), '&amp;' ORDER BY n), '')
    FROM generate_series(1, cardinality(pairs), 2) n WHERE pairs[n + 1] <> ''
$$;
COMMENT ON FUNCTION wacta_http.query(text[]) IS 'The query of a link from names and values in turn, as it stands in HTML; empty values are left out.';

CREATE FUNCTION wacta_http.filter_query(f wacta_http.people_filter, after bigint DEFAULT NULL) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT wacta_http.query('show', f.show, 'q', f.q, 'days', f.days::text, 'project', f.project, 'template', f.template, 'after', after::text) $$;
COMMENT ON FUNCTION wacta_http.filter_query(wacta_http.people_filter, bigint) IS 'The query of a link to a list of people.';

CREATE FUNCTION wacta_http.options(names text[], chosen text, otherwise text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT format('<option value="">%s</option>', wacta_http.html_escape($3))
         || coalesce(string_agg(format('<option%s>%s</option>', CASE WHEN o = $2 THEN ' selected' ELSE '' END, wacta_http.html_escape(o)), '' ORDER BY n), '')
    FROM unnest($1) WITH ORDINALITY t(o, n)
$$;
COMMENT ON FUNCTION wacta_http.options(text[], text, text) IS 'The options of a select, the first of them for none.';

CREATE FUNCTION wacta_http.project_names() RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT ARRAY(SELECT p.name FROM wacta.project p ORDER BY p.project_id LIMIT 200) $$;
COMMENT ON FUNCTION wacta_http.project_names() IS 'The projects to choose from.';

CREATE FUNCTION wacta_http.template_names() RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT ARRAY(SELECT t.name FROM wacta.template t WHERE t.purpose = 'pitch' GROUP BY t.name ORDER BY min(t.template_id) LIMIT 200) $$;
COMMENT ON FUNCTION wacta_http.template_names() IS 'The templates to choose from.';

-- CSV: a spreadsheet takes a cell that begins like a formula for one, and would run what a customer has written.
CREATE FUNCTION wacta_http.csv_cell(value text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN v ~ '[",\r\n]' THEN '"' || replace(v, '"', '""') || '"' ELSE v END
    FROM (SELECT CASE WHEN $1 ~ '^[[:space:]]*[=+@\t\r\n\uFF1D\uFF0B\uFF20\uFF0D-]' THEN '''' ELSE '' END || coalesce($1, '') AS v) x
$$;
COMMENT ON FUNCTION wacta_http.csv_cell(text) IS 'A cell of CSV; an apostrophe stands before what a spreadsheet would take for a formula.';

CREATE FUNCTION wacta_http.csv_row(VARIADIC cells text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  -- most cells are plain words, which need no second look
  SELECT string_agg(CASE WHEN c ~ '^[[:alnum:]][^",\r\n]*$' THEN c ELSE wacta_http.csv_cell(c) END, ',' ORDER BY n) || E'\r\n' FROM unnest($1) WITH ORDINALITY t(c, n)
$$;
COMMENT ON FUNCTION wacta_http.csv_row(text[]) IS 'A line of CSV.';
