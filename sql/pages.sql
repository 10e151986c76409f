-- The customers' pages: each in each language, small, harmless whatever a name holds, and the choice of a call.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SELECT wacta.add_template('hindi_update', wacta.generate_template('Green Acres') -> 'components', language => 'hi') \g /dev/null
SELECT wacta.upsert_lead('9876500001', 'Asha', 'Green Acres') AS asha, wacta.upsert_lead('9876500002', 'Vikram', 'Green Acres') AS vikram \gset
SELECT pg_temp.token(wacta.send_interactive(:asha)) AS yes, pg_temp.token(wacta.send_interactive(:vikram, 'hindi_update')) AS ha \gset
SELECT wacta.mint_signed(:asha, NULL, 'interested', wacta.now(), NULL) AS plain, wacta.mint_signed(:asha, NULL, 'not_interested', wacta.now(), NULL) AS no \gset

CREATE FUNCTION pg_temp.visitor(accept text DEFAULT NULL) RETURNS void LANGUAGE sql AS
$$ SELECT set_config('request.method', 'POST', false), set_config('request.headers', jsonb_strip_nulls(jsonb_build_object('accept-language', accept))::text, false) $$;
CREATE FUNCTION pg_temp.told(page bytea) RETURNS TABLE (lang text, h1 text, status text, small boolean, complete boolean) LANGUAGE sql AS $$
  SELECT (regexp_match(h, '<html lang="([^"]*"[^>]*)>'))[1], regexp_replace((regexp_match(h, '<h1>(.*?)</h1>'))[1], '<.*?>', '', 'g'), regexp_replace((regexp_match(h, 'role="status".*?>(.*?)</p>'))[1], '<.*?>', '', 'g'),
         octet_length($1) < 15000, h !~ '\{\{|\{project\}|\{time\}|<(h1|p|button|summary|legend)></' FROM (SELECT convert_from($1, 'UTF8') AS h) x
$$;

-- Every page in both languages
SELECT name, count(*) FROM wacta.page_text GROUP BY name HAVING count(*) <> 2;
UPDATE wacta.config SET click_mode = 'confirm';
CREATE FUNCTION pg_temp.all_pages(lead bigint, token text) RETURNS TABLE (page text, lang text, h1 text, status text, small boolean, complete boolean) LANGUAGE sql AS $$
  SELECT p, t.* FROM unnest('{confirm,interested,not_interested,ask_again,refused}'::text[]) WITH ORDINALITY u(p, nr),
         LATERAL pg_temp.told(wacta_http.click_page(200, p, CASE WHEN p <> 'refused' THEN $2 END, 'interested', CASE WHEN p <> 'refused' THEN $1 END)) t ORDER BY nr
$$;
SELECT pg_temp.visitor('en-IN,hi;q=0.5');
SELECT * FROM pg_temp.all_pages(:asha, :'plain');
SELECT pg_temp.visitor('hi-IN,hi;q=0.9,en;q=0.8');
SELECT * FROM pg_temp.all_pages(:asha, :'plain');

-- Whose language: the message's, else the browser's, else the site's
CREATE FUNCTION pg_temp.lang(accept text, token text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_temp.visitor(accept); RETURN left((SELECT t.lang FROM pg_temp.told(wacta_api.track_page(token)) t), 2); END $$;
SELECT left(accept, 20) AS accept, pg_temp.lang(accept, :'yes') AS english_message, pg_temp.lang(accept, :'ha') AS hindi_message, pg_temp.lang(accept, :'plain') AS no_message, pg_temp.lang(accept, 'junk') AS refused
  FROM unnest(ARRAY[NULL, 'hi', 'hi_IN', 'fr, hi;q=0.3', 'en;q=0.2, hi;q=0.9', 'hi;q=0, en', '*', 'q=;;,,', repeat('hi-', 500), '<script>']) accept;
UPDATE wacta.config SET page_language = 'hi';
SELECT pg_temp.visitor('fr');
SELECT (pg_temp.told(wacta_api.track_page(:'plain'))).lang AS no_message, (pg_temp.told(wacta_api.track_page('junk'))).lang AS refused;
UPDATE wacta.config SET page_language = DEFAULT;

-- One more language, right to left: what it lacks is in English, and what it says is text
INSERT INTO wacta.page_text VALUES ('ur', 'direction', 'rtl'), ('ur', 'refused_title', '<b>x</b> {project} "y"');
SELECT pg_temp.visitor('ur-PK');
SELECT * FROM pg_temp.told(wacta_api.track_page('junk'));
SELECT convert_from(wacta_api.track_page('junk'), 'UTF8') LIKE '%<b>%' AS markup;
-- a restore brings the site's own texts back over the seeded ones
INSERT INTO wacta.page_text VALUES ('en', 'refused_more', 'Call us.');
SELECT text FROM wacta.page_text WHERE (language, name) = ('en', 'refused_more');
SELECT pg_temp.attempt(format('INSERT INTO wacta.page_text VALUES (%L, ''x'', ''y'')', l)) FROM unnest('{EN,e,hi_IN,"en <b>"}'::text[]) l;

-- Names that are none
CREATE FUNCTION pg_temp.as_named(name text) RETURNS TABLE (length integer, small boolean, harmless boolean, shown boolean) LANGUAGE plpgsql AS $$
DECLARE
  page text;
BEGIN
  UPDATE wacta.project SET name = left(as_named.name, 200);
  UPDATE wacta.config SET brand = as_named.name;
  page := convert_from(wacta_http.click_page(200, 'interested', current_setting('test.token'), 'interested', current_setting('test.lead')::bigint), 'UTF8');
  RETURN QUERY SELECT length(as_named.name), octet_length(page) < 15000, page !~ '<(script|img|b|i)\M' AND page !~ '<details.*<details', position(wacta_http.html_escape(left(as_named.name, 200)) IN page) > 0;
END
$$;
SELECT set_config('test.token', :'plain', false), set_config('test.lead', :'asha', false) \g /dev/null
SELECT pg_temp.visitor();
SELECT t.* FROM unnest(ARRAY['<script>alert("x")</script>', '"><img src=x onerror=alert(1)>', E'\u202Egnp.exe \u05E9\u05DC\u05D5\u05DD', E'\U0001F468\u200D\U0001F469\u200D\U0001F467', repeat(E'\u0905', 300), '{project} {time} {{{other}}} {{:call}}', '''"&<>']) n, LATERAL pg_temp.as_named(n) t;
UPDATE wacta.project SET name = 'Green Acres';
UPDATE wacta.config SET brand = 'Bop Realty', brand_color = '#c01c28', brand_logo = 'data:image/png;base64,' || repeat('A', 5900);
SELECT convert_from(page, 'UTF8') ~ '<img src="data:image/png;base64,A+" alt=""' AS logo, convert_from(page, 'UTF8') ~ '\.sheet\{border-color:#c01c28\}' AS color, octet_length(page) < 15000 AS small FROM wacta_api.track_page(:'plain') page;
SELECT pg_temp.attempt(format('UPDATE wacta.config SET %s = %L', c, v)) FROM (VALUES ('brand_color', 'red;}'), ('brand_color', '#12345'), ('brand_logo', 'https://example.com/x.png'), ('brand_logo', 'data:image/png;base64,"><script>'), ('brand_logo', 'data:image/png;base64,' || repeat('A', 6000))) x(c, v);

-- When to call. It is a Tuesday, 11:30; the hours are 10 to 19, Monday to Saturday
CREATE FUNCTION pg_temp.choose(token text, wish text DEFAULT NULL) RETURNS TABLE (offered text, chosen text, promise text) LANGUAGE sql AS $$
  SELECT (SELECT string_agg(m[1], ' ') FROM regexp_matches(h, 'name="call_at" value="([a-z]+)"', 'g') m), (regexp_match(h, 'value="([a-z]+)" aria-pressed="true"'))[1], (regexp_match(h, '<p>(One of us.*?)</p>'))[1]
    FROM (SELECT convert_from(wacta_api.track($1, call_at => $2), 'UTF8') AS h) x
$$;
SELECT pg_temp.visitor();
SELECT * FROM pg_temp.choose(:'yes');
SELECT * FROM pg_temp.choose(:'yes', 'evening');
SELECT due_at, wish FROM wacta.follow_up;
-- whatever zone the session is in
SET timezone = 'UTC';
SELECT * FROM pg_temp.choose(:'yes', 'tomorrow');
SET timezone = 'Asia/Kolkata';
SELECT due_at, wish FROM wacta.follow_up;
SELECT * FROM pg_temp.choose(:'yes', 'now');
SELECT * FROM pg_temp.choose(:'yes', 'never'), pg_temp.choose(:'yes', '') also;
SELECT due_at, wish FROM wacta.follow_up;
SELECT note FROM wacta.lead_note WHERE lead_id = :asha AND note LIKE '%called%';
CREATE FUNCTION pg_temp.offered(at text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('wacta.fixed_now', at || '+05:30', false); RETURN (SELECT string_agg(wish || ' ' || call_at, ', ') FROM wacta.call_wishes((SELECT project_id FROM wacta.project))); END $$;
SELECT at, pg_temp.offered(at) FROM unnest('{2025-08-26 02:00,2025-08-26 09:00,2025-08-26 18:00,2025-08-26 20:00,2025-08-30 12:00,2025-08-31 12:00}'::text[]) at;
-- on a Saturday tomorrow is a Monday
SET wacta.fixed_now = '2025-08-30 12:00+05:30';
SELECT * FROM pg_temp.choose(:'yes', 'tomorrow');
-- the choice is an interested person's alone: not without consent, nor by a link that is refused
SELECT (pg_temp.told(wacta_api.track(:'no', call_at => 'now'))).h1;
SELECT * FROM pg_temp.choose(:'yes', 'now'), pg_temp.choose('junk', 'now') refused;
SELECT closed_at IS NULL AS open, wish FROM wacta.follow_up;
