-- Taps of many people in one transaction: who is taken, and that each gets the rows and the page that wacta.record_click() and
-- wacta_api.track() would have given.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SELECT wacta.add_project('Lake View', time_zone => 'Asia/Tokyo') AS lake, wacta.add_project('Hill Top') AS hill \gset
UPDATE wacta.project SET brochure_media_id = '4711', sales_from = '12:00' WHERE project_id = :hill;
UPDATE wacta.event_kind SET recorded = true;
INSERT INTO wacta.page_text (language, name, text) VALUES ('fr', 'interested_title', 'Merci de votre intérêt');

-- Twins: of each kind of person one is attended to alone, one in company
CREATE TEMP TABLE person (n integer PRIMARY KEY, kind text, alone bigint, together bigint, id bigint, other_id bigint, accept text);
INSERT INTO person (n, kind, alone, together)
SELECT k.n, k.kind, wacta.upsert_lead('98765' || lpad(k.n::text, 5, '0'), 'Twin ' || k.n, k.project), wacta.upsert_lead('98764' || lpad(k.n::text, 5, '0'), 'Twin ' || k.n, k.project)
  FROM (VALUES (1, 'by a message', 'Green Acres'), (2, 'by a lead''s link', 'Green Acres'), (3, 'of a project without brochure', 'Lake View'), (4, 'of one with a document', 'Hill Top'),
    (5, 'of no project', NULL), (6, 'about another project', 'Lake View'), (7, 'agreed before', 'Green Acres'), (8, 'has an owner', 'Green Acres'), (9, 'has a call already', 'Green Acres'),
    (10, 'speaks French', NULL), (11, 'by a seed token', 'Green Acres'), (12, 'says so twice', 'Green Acres'), (13, 'visited before', 'Green Acres'), (14, 'without a name', 'Green Acres'),
    (21, 'has said no', 'Green Acres'), (22, 'said yes before', 'Green Acres'), (23, 'opted out', 'Green Acres'), (24, 'another pitch waits', 'Green Acres'), (25, 'is to be forgotten', 'Green Acres'),
    (26, 'says no', 'Green Acres'), (27, 'by a forged link', 'Green Acres'), (28, 'is a previewer', 'Green Acres'), (29, 'has no number', 'Green Acres'), (30, 'agreed in the future', 'Green Acres'),
    (31, 'merged', 'Green Acres'), (32, 'by a link with another word', 'Green Acres')) k(n, kind, project);
CREATE VIEW pg_temp.twin AS SELECT p.n, p.kind, true AS is_alone, p.alone AS lead_id FROM person p UNION ALL SELECT p.n, p.kind, false, p.together FROM person p;
\o /dev/null
SELECT wacta.send_interactive(t.lead_id) FROM pg_temp.twin t WHERE n IN (1, 6, 7, 8, 13, 14, 21, 22, 23, 24);
UPDATE wacta.message m SET status = 'delivered', accepted_at = wacta.now(), delivered_at = wacta.now(), project_id = CASE WHEN t.n = 6 THEN 1 ELSE m.project_id END
  FROM pg_temp.twin t WHERE t.lead_id = m.lead_id;
SELECT pg_temp.advance('1 hour');
SELECT wacta.opt_in(lead_id, 'signed a form') FROM pg_temp.twin WHERE n = 7;
UPDATE wacta.lead SET owner = 'ravi' WHERE lead_id IN (SELECT lead_id FROM pg_temp.twin WHERE n = 8);
SELECT wacta.schedule_follow_up(lead_id, 'asked for it') FROM pg_temp.twin WHERE n = 9;
SELECT wacta.record_visit(wacta.mint_token(lead_id), 'interested', evidence => '{"agent": "a phone"}') FROM pg_temp.twin WHERE n = 13;
UPDATE wacta.lead SET name = NULL WHERE lead_id IN (SELECT lead_id FROM pg_temp.twin WHERE n = 14);
SELECT wacta.record_click(wacta.mint_token(lead_id), CASE n WHEN 21 THEN 'not_interested' ELSE 'interested' END) FROM pg_temp.twin WHERE n IN (21, 22);
SELECT wacta.opt_out(lead_id) FROM pg_temp.twin WHERE n = 23;
SELECT wacta.send_interactive(lead_id) FROM pg_temp.twin WHERE n = 24;
-- whose number is gone, not whose number is unknown
DELETE FROM wacta.lead_identity WHERE lead_id IN (SELECT lead_id FROM pg_temp.twin WHERE n = 29);
SELECT pg_temp.advance('1 minute');
SELECT wacta.record_consent(lead_id, 'granted', 'opt_in', '{"said": "yes"}') FROM pg_temp.twin WHERE n = 30;
SELECT pg_temp.advance('-30 seconds');                  -- the clock was ahead

-- What they tap
CREATE FUNCTION pg_temp.link(n integer, lead bigint) RETURNS text LANGUAGE sql AS $$
  SELECT CASE $1 WHEN 11 THEN wacta.mint_token($2) WHEN 27 THEN 'junk'
                 ELSE pg_temp.token(coalesce((SELECT min(m.message_id) FROM wacta.message m WHERE m.lead_id = $2), $2), CASE $1 WHEN 26 THEN 'not_interested' ELSE 'interested' END) END $$;
CREATE TEMP TABLE tap AS
  SELECT t.*, pg_temp.link(t.n, t.lead_id) AS token, CASE t.n WHEN 11 THEN 'Interested' WHEN 12 THEN 'interested' WHEN 32 THEN 'not_interested' END AS action,
         jsonb_strip_nulls(jsonb_build_object('host', 'crm.example.com', 'user-agent', CASE t.n WHEN 28 THEN 'WhatsApp/2.23' ELSE 'a phone' END, 'x-wacta-peer', '203.0.113.' || t.n,
           'accept-language', CASE t.n WHEN 10 THEN 'fr' END)) AS headers
    FROM pg_temp.twin t;
SELECT wacta.merge_leads(wacta.upsert_lead('98763' || lpad(is_alone::integer::text, 5, '0'), 'Twin 31', 'Green Acres'), lead_id) FROM tap WHERE n = 31;
UPDATE tap SET lead_id = wacta.living_lead(lead_id) WHERE n = 31;
SELECT wacta.forget(lead_id) FROM tap WHERE n = 25;
\o

-- One by one
CREATE TEMP TABLE answer (n integer, is_alone boolean, status text, headers text, body text);
CREATE FUNCTION pg_temp.tap_alone(t tap) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('request.method', 'POST', false), set_config('request.headers', t.headers::text, false);
  RETURN convert_from(wacta_api.track(t.token, t.action), 'UTF8');
END
$$;
INSERT INTO answer SELECT t.n, true, current_setting('response.status'), current_setting('response.headers'), a.body FROM tap t CROSS JOIN LATERAL (SELECT pg_temp.tap_alone(t) AS body OFFSET 0) a WHERE t.is_alone ORDER BY t.n;

-- Together, one of them twice; the request's own settings are another's
SELECT set_config('request.method', 'GET', false), set_config('request.headers', '{}', false);
CREATE FUNCTION pg_temp.tap_together() RETURNS SETOF answer LANGUAGE sql AS $$
  SELECT t.n, false, m.status, m.response_headers, convert_from(m.body, 'UTF8')
    FROM (SELECT array_agg(x.token ORDER BY x.n) || min(x.token) FILTER (WHERE x.n = 1) AS tokens, array_agg(x.action ORDER BY x.n) || NULL::text AS actions,
                 array_agg(x.headers ORDER BY x.n) || '{}'::jsonb AS headers, array_agg(NULL::text) || NULL::text AS leads FROM tap x WHERE NOT x.is_alone) a
   CROSS JOIN LATERAL wacta_http.track_many(a.tokens, a.actions, a.leads, a.headers) m
    LEFT JOIN (SELECT x.n, row_number() OVER (ORDER BY x.n) AS nth FROM tap x WHERE NOT x.is_alone) t USING (nth) $$;
INSERT INTO answer SELECT * FROM pg_temp.tap_together();
-- who was taken: the others have to be attended to alone, and nothing has happened to them
SELECT p.n, p.kind, a.n IS NOT NULL AS taken FROM person p LEFT JOIN answer a ON a.n = p.n AND NOT a.is_alone ORDER BY p.n;
SELECT count(*) AS of_nobody FROM answer WHERE n IS NULL;

-- All rows of those who were taken, but for what numbers them: none differs between the twins
CREATE VIEW pg_temp.trace AS
  SELECT 'click' AS of, k.lead_id, k.click_id AS nr, to_jsonb(k) AS row FROM wacta.click k
  UNION ALL SELECT 'consent', e.lead_id, e.event_id, to_jsonb(e) FROM wacta.consent_event e
  UNION ALL SELECT 'lead', l.lead_id, 0, to_jsonb(l) FROM wacta.lead l
  UNION ALL SELECT 'note', n.lead_id, n.note_id, to_jsonb(n) FROM wacta.lead_note n
  UNION ALL SELECT 'message', m.lead_id, m.message_id, to_jsonb(m) FROM wacta.message m
  UNION ALL SELECT 'queue', q.lead_id, q.message_id, to_jsonb(q) FROM wacta.queue q
  UNION ALL SELECT 'call', f.lead_id, f.follow_up_id, to_jsonb(f) FROM wacta.follow_up f
  UNION ALL SELECT 'event', e.lead_id, e.event_id, to_jsonb(e) || jsonb_build_object('data', e.data - '{click_id,message_id,follow_up_id}'::text[]) FROM wacta.event e;
CREATE VIEW pg_temp.twins_trace AS
  SELECT t.n, t.is_alone, c.of, regexp_replace((c.row - '{lead_id,click_id,message_id,follow_up_id,note_id,event_id,xid}'::text[])::text, '(lead|"duplicate":) [0-9]+', '\1') AS row, count(*)
    FROM tap t JOIN pg_temp.trace c USING (lead_id) WHERE t.n < 20 GROUP BY 1, 2, 3, 4;
SELECT n, is_alone, of, row FROM (SELECT n, of, row, count FROM pg_temp.twins_trace WHERE is_alone EXCEPT SELECT n, of, row, count FROM pg_temp.twins_trace WHERE NOT is_alone) x, LATERAL (SELECT true AS is_alone) y
UNION ALL
SELECT n, is_alone, of, row FROM (SELECT n, of, row, count FROM pg_temp.twins_trace WHERE NOT is_alone EXCEPT SELECT n, of, row, count FROM pg_temp.twins_trace WHERE is_alone) x, LATERAL (SELECT false AS is_alone) y
ORDER BY 1, 3, 2;
SELECT of, count(*) FROM pg_temp.twins_trace GROUP BY 1 ORDER BY 1;
SELECT * FROM wacta.funnel_mismatch;
SELECT * FROM wacta.consent_mismatch;
SELECT k.action, k.kind, count(*) FROM wacta.click k JOIN tap t USING (lead_id) WHERE t.n > 20 AND NOT t.is_alone GROUP BY 1, 2;

-- The same answers, but for the tokens in them, each of which is good for its own lead
CREATE VIEW pg_temp.told AS
  SELECT a.n, a.is_alone, a.status, (SELECT jsonb_object_agg(k, v) FROM jsonb_array_elements(a.headers::jsonb) o, jsonb_each(o) h(k, v)) AS headers,
         regexp_replace(a.body, 'AQ[A-Za-z0-9_-]{58}|[0-9]+:[0-9]+:[0-9a-f]{12}', '*', 'g') AS body FROM answer a;
SELECT t.n FROM pg_temp.told a JOIN pg_temp.told t USING (n) WHERE a.is_alone AND NOT t.is_alone AND (a.status, a.headers, a.body) IS DISTINCT FROM (t.status, t.headers, t.body);
SELECT t.n, count(*) AS tokens, bool_and((wacta.examine_token(m[1], NULL, NULL)).lead_id = t.lead_id) AS its_own
  FROM answer a JOIN tap t USING (n, is_alone), regexp_matches(a.body, '(AQ[A-Za-z0-9_-]{58}|[0-9]+:[0-9]+:[0-9a-f]{12})', 'g') m WHERE NOT a.is_alone GROUP BY 1 ORDER BY 1;
SELECT a.n, substring(a.body FROM '<h1>(.*)</h1>') AS title FROM answer a WHERE a.n IN (5, 6, 10) AND NOT a.is_alone ORDER BY 1;

-- Blanks are filled wherever they are, and no value brings one
SELECT convert_from(wacta_http.fill_page(wacta_http.render('{{a}} {{{b}}} {{:c}}', jsonb_build_object('a', E'\x01t', 'b', E'\x01t', 'project', E'P\x01o'), '{"c": "{project}"}'), 'T', 'O'), 'UTF8');
SELECT wacta_http.fill_page(E'a \x01t b \x01o c \x01x d \x01', '<t>', NULL) = 'a &lt;t&gt; b  c  d ', wacta_http.fill_page('', 'x', 'y') = '';

-- Once more, and the opposite: now all are for wacta.record_click()
SELECT count(*) FROM pg_temp.tap_together();
SELECT * FROM wacta.record_clicks('{}', '{}', '{}', '{}');
SELECT * FROM wacta.record_clicks(ARRAY[NULL, ''], ARRAY[NULL, NULL]::text[], ARRAY[NULL, NULL]::bigint[], ARRAY[NULL, NULL]::jsonb[]);
-- an explicit yes is another matter
SELECT count(*) FROM wacta.record_clicks(ARRAY[pg_temp.token(pg_temp.lead(24))], '{NULL}', '{NULL}', '{"{\"explicit\": true}"}');
-- without a channel the note is record_click()'s to write
SELECT wacta.upsert_lead('9876500099', 'Zoya', 'Green Acres') AS zoya \gset
BEGIN;
UPDATE wacta.channel SET is_default = false;
SELECT count(*) FROM wacta.record_clicks(ARRAY[pg_temp.token(:zoya)], '{NULL}', '{NULL}', '{"{}"}');
ROLLBACK;
SELECT nth, pg_temp.who(lead_id) AS who, project_id, template_id FROM wacta.record_clicks(ARRAY['junk', pg_temp.token(:zoya)], '{NULL,NULL}', '{NULL,NULL}', '{"{}","{}"}');
