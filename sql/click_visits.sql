-- Visits and taps by links: what is recorded as what, who never decides, scanners, and what an hour of visits may leave behind.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SELECT wacta.upsert_lead('9876500001', 'Asha Rao', 'Green Acres') AS asha, wacta.upsert_lead('9876500002', 'Vikram Shah', 'Green Acres') AS vikram \gset
SELECT wacta.send_interactive(:asha) AS message \gset
SELECT pg_temp.token(:message) AS yes, pg_temp.token(:message, 'not_interested') AS no, wacta.mint_token(:vikram) AS vikrams \gset
CREATE VIEW pg_temp.clicks AS
  SELECT pg_temp.who(k.lead_id) AS who, pg_temp.nr(k.message_id) AS of_message, p.name AS project, k.action, k.kind, k.effective, k.evidence ->> 'agent' AS agent, to_char(k.clicked_at, 'HH24:MI:SS') AS at
    FROM wacta.click k LEFT JOIN wacta.project p USING (project_id) ORDER BY k.click_id;

-- Agents: whole names, not words in them; a person in WhatsApp's own browser is a person
SELECT coalesce(wacta.inert_kind(jsonb_build_object('agent', agent)), 'a person') AS is, agent FROM (VALUES
  (1, 'WhatsApp/2.23.20.0 A'), (2, 'WhatsApp/2.16.16/i'), (3, 'WhatsApp/2'), (4, 'WhatsApp'),
  (5, 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) WhatsApp/0.2.4240 Chrome/53.0.2785.143 Electron/1.4.12 Safari/537.36'),
  (6, 'Mozilla/5.0 (Linux; Android 14; SM-A155F; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/128.0.0.0 Mobile Safari/537.36 WA4A/2.26.30.97'),
  (7, 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [WAiOS/2.26.31]'),
  (8, 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 WhatsApp/2.25.37.77'),
  (9, 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/470.0]'),
  (10, 'facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)'),
  (11, 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0'),
  (12, 'Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)'), (13, 'TelegramBot (like TwitterBot)'), (14, 'curl/8.5.0'), (15, ''), (16, NULL)) v(nr, agent) ORDER BY nr;
-- the site's own, and a seeded one switched off
INSERT INTO wacta.preview_agent (pattern, note) VALUES ('curl/%', 'our own checks');
UPDATE wacta.preview_agent SET is_person = true WHERE pattern = '%twitterbot%';
SELECT agent, coalesce(wacta.inert_kind(jsonb_build_object('agent', agent)), 'a person') AS is FROM unnest('{curl/8.5.0,libcurl/8.5.0,Twitterbot/1.0}'::text[]) agent;
SELECT pg_temp.attempt(format('INSERT INTO wacta.preview_agent VALUES (%L)', pattern)) FROM unnest(ARRAY['%', '%%a%', 'Curl/%', 'curl\']) pattern;
-- a restore brings the site's rows back over the seeded ones
INSERT INTO wacta.preview_agent VALUES ('%twitterbot%', false, 'as dumped');
SELECT * FROM wacta.preview_agent WHERE pattern LIKE '%twitter%';

-- What is known of a visit
SELECT headers, wacta_http.is_prefetch(headers, 'GET') AS by_get, wacta_http.is_prefetch(headers, 'POST') AS by_post FROM (VALUES
  (1, '{}'::jsonb), (2, '{"purpose": "prefetch"}'), (3, '{"sec-purpose": "prefetch;prerender"}'), (4, '{"x-moz": "Prefetch"}'), (5, '{"x-purpose": "preview"}'), (6, '{"purpose": "none"}'),
  (7, '{"sec-fetch-dest": "document"}'), (8, '{"sec-fetch-dest": "iframe"}'), (9, '{"sec-fetch-dest": "empty"}')) v(nr, headers) ORDER BY nr;
SELECT peer, wacta_http.network(wacta.peer_address(jsonb_build_object('x-wacta-peer', peer))) FROM unnest('{203.0.113.77,::ffff:203.0.113.77,2001:db8:7:8::9,::1,nonsense,""}'::text[]) peer;
SELECT part, wacta_http.link_part(part) FROM unnest(ARRAY['12:34:ab', '12%3A34%3aab', '(12:34:ab).', E'12:34:ab\u201D \n', '"12:34:ab"*', ' Not Interested ', '<ab_-', 'a.b', '...', '']) part;

-- One visit of each kind an hour; what is recorded is the first
SELECT wacta.record_visit(:'yes', evidence => evidence) FROM (VALUES
  ('{"method": "GET", "agent": "a phone"}'::jsonb), ('{"method": "GET", "agent": "another"}'), ('{"method": "HEAD", "agent": "a phone"}'), ('{"method": "HEAD", "agent": "WhatsApp/2"}'),
  ('{"method": "GET", "agent": "a phone", "purpose": "prefetch"}'), ('{"method": "GET", "agent": "WhatsApp/2.23.20.0 A"}'), ('{"method": "GET", "agent": "Slackbot 1.0"}'), ('{}')) v(evidence);
SELECT wacta.record_visit(:'no', evidence => '{"agent": "a phone"}'), wacta.record_visit(:'vikrams', 'interested', :vikram), wacta.record_visit(:'vikrams', 'interested', :asha), wacta.record_visit('junk');
SELECT pg_temp.advance('1 hour'), wacta.record_visit(:'yes', evidence => '{"agent": "the next hour"}');
SELECT * FROM pg_temp.clicks;
SELECT reason FROM wacta.token_refusal ORDER BY refusal_id;
SELECT status, consent FROM wacta.lead WHERE lead_id = :asha;
SELECT pg_temp.attempt(format('INSERT INTO wacta.click (lead_id, action, via, effective, kind) VALUES (%s, ''interested'', ''link'', true, %L)', :asha, kind)) FROM unnest('{view,guess}'::text[]) kind;

-- Neither does the POST of a previewer decide
SELECT * FROM wacta.record_click(:'yes', evidence => '{"method": "POST", "agent": "facebookexternalhit/1.1"}');
SELECT status, consent FROM wacta.lead WHERE lead_id = :asha;

-- A click_mode in which a fetch is the tap keeps no view beside it
UPDATE wacta.config SET click_mode = 'direct';
SELECT pg_temp.advance('1 hour'), wacta.record_visit(:'yes', evidence => '{"agent": "a phone"}'), wacta.record_visit(:'yes', evidence => '{"agent": "Slackbot 1.0"}'), wacta.record_visit('junk');
SELECT kind, at FROM pg_temp.clicks OFFSET 7;

-- and asks the front door for it: not for what never decides, nor for a refused token
CREATE FUNCTION pg_temp.tap_asked(token text, method text, headers jsonb) RETURNS text LANGUAGE sql AS $$
  SELECT set_config('request.method', $2, false), set_config('request.headers', $3::text, false), set_config('response.headers', '[]', false), length(wacta_api.track_page($1));
  SELECT string_agg(h ->> 'X-Accel-Redirect', ', ') FROM jsonb_array_elements(current_setting('response.headers')::jsonb) h
$$;
SELECT pg_temp.tap_asked(:'yes', 'GET', '{"user-agent": "a phone", "sec-fetch-dest": "document"}') AS person, pg_temp.tap_asked(:'yes', 'HEAD', '{"user-agent": "a phone"}') AS head,
       pg_temp.tap_asked(:'yes', 'GET', '{"user-agent": "a phone", "sec-purpose": "prefetch"}') AS prefetch, pg_temp.tap_asked(:'yes', 'GET', '{"user-agent": "WhatsApp/2.23.20.0 A"}') AS preview,
       pg_temp.tap_asked('junk', 'GET', '{"user-agent": "a phone"}') AS refused;
UPDATE wacta.config SET click_mode = 'auto';
SELECT pg_temp.tap_asked(:'yes', 'GET', '{"user-agent": "a phone"}') AS in_auto;

-- Both buttons within seconds from one visitor are a scanner's; what it did last stands
TRUNCATE wacta.click;
CREATE FUNCTION pg_temp.tap(token text, agent text, network text DEFAULT '203.0.113.0', seconds integer DEFAULT 0) RETURNS text LANGUAGE sql AS $$
  SELECT pg_temp.advance(make_interval(secs => $4));
  SELECT page FROM wacta.record_click($1, evidence => jsonb_strip_nulls(jsonb_build_object('agent', $2, 'network', $3)))
$$;
SELECT pg_temp.tap(:'yes', 'sandbox'), pg_temp.tap(:'no', 'sandbox', seconds => 4);
SELECT action, kind, effective FROM pg_temp.clicks;
SELECT status, consent FROM wacta.lead WHERE lead_id = :asha;
SELECT regexp_replace(note, '^\[.*?\] ', '') AS note FROM wacta.lead_note WHERE lead_id = :asha ORDER BY note_id;
-- what goes on is marked, and told once
SELECT pg_temp.tap(:'yes', 'sandbox', seconds => 1), pg_temp.tap(:'yes', 'sandbox', seconds => 1);
SELECT action, kind, effective FROM pg_temp.clicks;
SELECT count(*) FROM wacta.lead_note WHERE lead_id = :asha AND note LIKE '%scanner%';
-- nobody else is one: too late, another agent, another network, no visitor known, no window
TRUNCATE wacta.click;
SELECT pg_temp.advance('1 hour'), pg_temp.tap(:'yes', 'a phone'), pg_temp.tap(:'no', 'a phone', seconds => 5), pg_temp.tap(:'yes', 'a desk', seconds => 1), pg_temp.tap(:'no', 'a desk', '198.51.100.0'),
       pg_temp.tap(:'yes', NULL, NULL), pg_temp.tap(:'no', NULL, NULL);
-- nor is who presses the page's own button
SELECT pg_temp.tap(:'yes', 'quick', seconds => 3600);
SELECT page FROM wacta.record_click(:'no', evidence => '{"agent": "quick", "network": "203.0.113.0", "explicit": true}');
SELECT pg_temp.tap(:'yes', 'quick');
UPDATE wacta.config SET scanner_window = '0';
SELECT pg_temp.advance('1 hour'), pg_temp.tap(:'yes', 'sandbox'), pg_temp.tap(:'no', 'sandbox');
UPDATE wacta.config SET scanner_window = DEFAULT;
SELECT kind, count(*) FROM wacta.click GROUP BY kind;

-- A loop of taps leaves twenty repetitions an hour, and goes on being answered
TRUNCATE wacta.click;
SELECT page, count(*) FROM generate_series(1, 40) n, LATERAL pg_temp.tap(:'no', 'loop ' || n) page GROUP BY page;
SELECT kind, effective, count(*) FROM wacta.click GROUP BY 1, 2 ORDER BY 1, 2;
SELECT pg_temp.tap(:'yes', 'a phone'), pg_temp.tap(:'yes', 'a phone', seconds => 3600);
SELECT kind, effective, count(*) FROM wacta.click GROUP BY 1, 2 ORDER BY 1, 2;

-- Figures and lists: people who tapped; a scanner is listed, a visit is not
TRUNCATE wacta.click;
SELECT wacta.record_visit(:'yes', evidence => '{"agent": "a phone"}'), pg_temp.advance('1 hour'), pg_temp.tap(:'yes', 'sandbox'), pg_temp.tap(:'no', 'sandbox');
SELECT clickers, interested_clicks, not_interested FROM wacta.analytics();
SELECT action, kind FROM wacta.recent_interaction ORDER BY click_id;
SELECT wacta.record_click(:'vikrams', 'interested', evidence => '{"agent": "a phone"}');
SELECT clickers, interested_clicks, not_interested FROM wacta.analytics();
SELECT wacta.record_click(:'vikrams', 'interested', evidence => '{"agent": "a phone"}');
SELECT wacta_api.interactive_analytics() -> 'clicks' AS clicks;

-- Two leads who are one: of their visits in one hour one stays; forgotten, where they came from goes
SELECT wacta.record_visit(:'yes', evidence => '{"agent": "a phone"}'), wacta.record_visit(:'vikrams', 'interested'), wacta.record_visit(:'vikrams', 'not_interested');
SELECT wacta.merge_leads(:asha, :vikram) = :asha AS merged, wacta.record_visit(:'vikrams', 'interested') AS by_the_old_link;
SELECT who, action, kind, effective, agent FROM pg_temp.clicks;
SELECT wacta.forget(:asha) IS NOT NULL AS erased;
SELECT action, kind, effective, evidence FROM wacta.click ORDER BY click_id;
SELECT wacta.record_visit(:'yes', evidence => '{"agent": "a phone"}'), count(*) FROM wacta.click;

-- No function behind a GET writes, in any mode
SELECT wacta.upsert_lead('9876500003', 'Meera', 'Green Acres') AS meera \gset
SELECT pg_temp.token(:meera) AS token \gset
SELECT set_config('request.method', 'GET', false), set_config('request.headers', '{"user-agent": "a phone"}', false), set_config('test.token', :'token', false) \g /dev/null
CREATE FUNCTION pg_temp.run_gets() RETURNS TABLE (function text, came_to text) LANGUAGE plpgsql AS $$
BEGIN
  FOR function IN SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'wacta_api'::regnamespace AND p.provolatile <> 'v' ORDER BY 1 LOOP
    came_to := pg_temp.attempt(format('SELECT wacta_api.%I(%s)', function, CASE function WHEN 'track_page' THEN quote_literal(current_setting('test.token')) WHEN 'webhook_challenge' THEN '''subscribe'', ''1'', ''x''' END));
    RETURN NEXT;
  END LOOP;
END
$$;
SELECT wacta.set_credential('main', 'verify_token', 'x') \g /dev/null
SELECT pg_temp.run_gets() \g /dev/null
BEGIN READ ONLY; SET LOCAL ROLE wacta_agent; SELECT * FROM pg_temp.run_gets() WHERE function <> 'webhook_challenge'; COMMIT;
UPDATE wacta.config SET click_mode = 'direct';
BEGIN READ ONLY; SET LOCAL ROLE wacta_anon; SELECT * FROM pg_temp.run_gets() WHERE function IN ('track_page', 'webhook_challenge'); COMMIT;
