-- The list of people behind a number, as a page and as CSV.

CREATE FUNCTION wacta_http.person_rows(rows wacta_http.person_row[], zone text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(format('<tr><th scope="row"><a href="../../whatsapp-interactive/?lead=%s">%s</a></th><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>', r.lead_id,
           coalesce(wacta_http.isolated(r.name), wacta_http.isolated(r.phone), 'Lead ' || r.lead_id), coalesce(wacta_http.phone_link(r.phone), ''), coalesce(wacta_http.isolated(r.project), ''),
           coalesce(wacta_http.isolated(replace(r.status, '_', ' ')), ''), wacta_http.moment(r.at, $2),
           coalesce(wacta_http.isolated(coalesce(wacta_http.reasons() ->> r.what, r.what)), '')), E'\n' ORDER BY n)
    FROM unnest($1) WITH ORDINALITY r(key, lead_id, name, phone, project, status, at, what, n)
$$;
COMMENT ON FUNCTION wacta_http.person_rows(wacta_http.person_row[], text) IS 'The rows of a list of people as markup.';

CREATE FUNCTION wacta_http.show_options(chosen text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(format('<option value="%s"%s>%s</option>', s, CASE WHEN s = $1 THEN ' selected' ELSE '' END, wacta_http.shows() ->> s), '' ORDER BY n)
    FROM unnest('{all,queued,sent,delivered,read,clicked,interested,not_interested,limited,in_doubt,failed,suppressed,expired,cancelled}'::text[]) WITH ORDINALITY t(s, n)
$$;
COMMENT ON FUNCTION wacta_http.show_options(text) IS 'The lists of people to choose from.';

CREATE FUNCTION wacta_api.people(show text DEFAULT 'all', q text DEFAULT NULL, days text DEFAULT '30', project text DEFAULT NULL, template text DEFAULT NULL,
                                 after text DEFAULT NULL) RETURNS wacta_http."*/*"
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
  page_size CONSTANT integer := 50;
  c    wacta.config := (SELECT k FROM wacta.config k);
  f    wacta_http.people_filter := wacta_http.read_filter($1, $2, $3, $4, $5);
  rows wacta_http.person_row[];
BEGIN
  IF NOT wacta_http.is_staff() THEN
    PERFORM wacta_http.respond(303, '{"Location": "../../whatsapp-interactive/"}');
    RETURN ''::bytea;
  END IF;
  -- one more than is shown tells whether there is a next page
  rows := ARRAY(SELECT r FROM wacta_http.people_rows(f, CASE WHEN $6 ~ '^[0-9]{1,18}$' THEN $6::bigint END, page_size + 1) r);
  RETURN wacta_http.document(200, (wacta_http.shows() ->> f.show) || ' · ' || c.brand, wacta_http.asset('style.css') || wacta_http.asset('dashboard.css'),
    wacta_http.render(wacta_http.asset('people.html'), wacta_http.filter_fields(f) || jsonb_build_object('brand', c.brand, 'user', wacta_http.user_name(),
      'title', wacta_http.shows() ->> f.show, 'q', f.q, 'show_options', wacta_http.show_options(f.show),
      'rows', coalesce(wacta_http.person_rows(rows[1:page_size], c.time_zone), '<tr><td colspan="6" class="soft">Nobody.</td></tr>'),
      'csv', '../people.csv' || wacta_http.filter_query(f),
      'first', CASE WHEN $6 <> '' THEN format('<a class="page" href="%s">First page</a>', wacta_http.filter_query(f)) END,
      'next', CASE WHEN cardinality(rows) > page_size THEN format('<a class="page" rel="next" href="%s">Next page</a>', wacta_http.filter_query(f, rows[page_size].key)) END)),
    NULL, '{}');
END
$$;
COMMENT ON FUNCTION wacta_api.people(text, text, text, text, text, text) IS
$$The people behind a number of the dashboard
For signed-in staff. show: all (leads), sent, delivered, read, clicked, interested, not_interested, queued, limited, in_doubt, failed, suppressed,
expired, cancelled; q: the beginning of a number or of words of a name, of all leads; after: where the page before ended.$$;

CREATE FUNCTION wacta_api.people_csv(show text DEFAULT 'all', q text DEFAULT NULL, days text DEFAULT '30', project text DEFAULT NULL, template text DEFAULT NULL)
RETURNS wacta_http."*/*"
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
  f wacta_http.people_filter := wacta_http.read_filter($1, $2, $3, $4, $5);
BEGIN
  IF NOT wacta_http.is_staff() THEN
    PERFORM wacta_http.respond(303, '{"Location": "../../whatsapp-interactive/"}');
    RETURN ''::bytea;
  END IF;
  PERFORM wacta_http.respond(200, jsonb_build_object('Content-Type', 'text/csv; charset=utf-8; header=present',
    'Content-Disposition', format('attachment; filename="people-%s-%s.csv"', f.show, to_char(wacta.now() AT TIME ZONE (SELECT c.time_zone FROM wacta.config c), 'YYYY-MM-DD'))));
  RETURN convert_to('lead_id,name,phone,project,status,at,what' || E'\r\n' || coalesce((
    SELECT string_agg(wacta_http.csv_row(r.lead_id::text, r.name, r.phone, r.project, r.status, to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), r.what), '' ORDER BY r.key DESC)
      FROM wacta_http.people_rows(f, NULL, 100000) r), ''), 'UTF8');
END
$$;
COMMENT ON FUNCTION wacta_api.people_csv(text, text, text, text, text) IS
$$The people behind a number as CSV
Filtered as the page is, the newest 100,000. An apostrophe stands before a cell that a spreadsheet would take for a formula.$$;
