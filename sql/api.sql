-- What HTTP exposes, called as the roles that the front door becomes: answers, headers, pages, and errors as PTxyz.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SELECT wacta.upsert_lead('9876500001', 'Asha <b>Rao</b>', 'Green Acres') AS asha \gset
SELECT wacta.send_interactive(:asha) AS message \gset
SELECT wacta.mint_signed(:asha, :message, 'interested', wacta.now(), NULL) AS yes, wacta.mint_signed(:asha, :message, 'not_interested', wacta.now(), NULL) AS no, wacta.mint_token(:asha) AS seed \gset
DO $$ BEGIN PERFORM wacta.set_session_secret('a session secret of 32 characters and more'), wacta.add_staff('asha', 'correct horse battery'); END $$;

-- A request as the gateway or PostgREST makes it; what is said of a page is its status, its type, and which page it is.
CREATE FUNCTION pg_temp.request(role text, headers jsonb DEFAULT '{}', method text DEFAULT 'POST') RETURNS void LANGUAGE sql AS
$$ SELECT set_config('request.method', $3, false), set_config('request.headers', $2::text, false), set_config('response.status', '', false), set_config('response.headers', '', false), set_config('role', $1, false) $$;
CREATE FUNCTION pg_temp.page(body bytea) RETURNS TABLE (status text, type text, page text) LANGUAGE sql SECURITY DEFINER AS $$
  SELECT current_setting('response.status'), (SELECT h ->> 'Content-Type' FROM jsonb_array_elements(current_setting('response.headers')::jsonb) h WHERE h ? 'Content-Type'),
         -- the page of which every fixed part stands in the body
         (SELECT string_agg(name, ', ') FROM unnest('{confirm,interested,not_interested,ask_again,refused,login,dashboard}'::text[]) name
           WHERE (SELECT bool_and(position(piece IN convert_from($1, 'UTF8')) > 0) FROM regexp_split_to_table(wacta_http.asset(name || '.html'), '\{\{[:{]?[a-z_]+\}\}\}?') piece))
$$;
CREATE FUNCTION pg_temp.header(name text) RETURNS text LANGUAGE sql AS
$$ SELECT h ->> $1 FROM jsonb_array_elements(current_setting('response.headers')::jsonb) h WHERE h ? $1 $$;

-- The customer's page. A GET changes nothing, whatever it is called with
SELECT pg_temp.request('wacta_anon', method => 'GET');
BEGIN;
SELECT p.* FROM pg_temp.page(wacta_api.track_page(:'yes')) p;
SELECT name, pg_temp.header(name) ~ pattern AS as_it_should FROM (VALUES ('Cache-Control', '^no-store$'), ('X-Content-Type-Options', '^nosniff$'), ('Referrer-Policy', '^(no-referrer|same-origin)$'), ('X-Frame-Options', '^DENY$'), ('X-Robots-Tag', 'noindex'),
  ('Content-Security-Policy', '^default-src ''none''; style-src ''sha256-[A-Za-z0-9+/=]{44}''; script-src ''sha256-[A-Za-z0-9+/=]{44}''; .*base-uri ''none''; frame-ancestors ''none''')) v(name, pattern);
COMMIT;
SELECT what, p.* FROM (VALUES (1, 'not interested', :'no', NULL, NULL), (2, 'seed', :'seed', 'interested', NULL), (3, 'seed with its lead', :'seed', 'interested', :'asha'), (4, 'in the words of the old system', :'seed', 'Not Interested', :'asha'),
    (5, 'nothing', NULL, NULL, NULL), (6, 'empty', '', '', ''), (7, 'junk', 'junk', NULL, NULL), (8, 'no action', :'seed', NULL, NULL), (9, 'unknown action', :'seed', 'delete', NULL), (10, 'another lead', :'seed', 'interested', :'message'),
    (11, 'no lead at all', :'seed', 'interested', '1; DROP TABLE'), (12, 'another action', :'yes', 'not_interested', NULL)) v(nr, what, token, action, lead),
  LATERAL (SELECT * FROM pg_temp.page(wacta_api.track_page(token, action, lead))) p ORDER BY nr;
RESET role;
SELECT status, consent, (SELECT count(*) FROM wacta.click) AS clicks, (SELECT count(*) FROM wacta.token_refusal) AS refusals FROM wacta.lead;

-- The tap
SELECT pg_temp.request('wacta_anon', '{"user-agent": "Mozilla/5.0 (test)", "x-wacta-peer": "203.0.113.77"}');
SELECT wacta_api.track(:'yes') AS page \gset
SELECT p.* FROM pg_temp.page(wacta_api.track(:'yes')) p;
SELECT position('href="https://cdn.example.com/green-acres.pdf"' IN convert_from(:'page', 'UTF8')) > 0 AS offers_the_brochure, convert_from(:'page', 'UTF8') LIKE '%<b>Rao%' AS raw_markup;
SELECT p.* FROM pg_temp.page(wacta_api.track(:'no')) p;
SELECT p.* FROM pg_temp.page(wacta_api.track(:'yes')) p;
SELECT p.* FROM pg_temp.page(wacta_api.track(:'yes', confirm => 'no')) p;
SELECT p.* FROM pg_temp.page(wacta_api.track(:'yes', confirm => 'yes')) p;
SELECT p.* FROM pg_temp.page(wacta_api.track('junk')) p;
SELECT p.* FROM pg_temp.page(wacta_api.track(:'seed', 'interested', '99999999999999999999')) p;
RESET role;
SELECT action, via, effective, evidence FROM wacta.click ORDER BY click_id;
SELECT reason, action, lead_id FROM wacta.token_refusal ORDER BY refusal_id;
-- click_mode confirm: no script; and what the site or a customer wrote is never markup
UPDATE wacta.config SET click_mode = 'confirm', brand = '<i>"Bop" & ''Co''</i>';
SELECT pg_temp.request('wacta_anon', method => 'GET');
SELECT convert_from(wacta_api.track_page(:'seed', 'interested'), 'UTF8') LIKE '%<script%' AS script, pg_temp.header('Content-Security-Policy') LIKE '%script-src%' AS script_allowed;
RESET role;
UPDATE wacta.lead SET project_id = NULL;
SELECT pg_temp.request('wacta_anon', method => 'GET');
SELECT convert_from(wacta_api.track_page(:'seed', 'interested'), 'UTF8') LIKE '%<i>%' AS raw_markup;
RESET role;
SELECT wacta_http.html_escape('<a href="x" id=''y''>&</a>'), wacta_http.render('a {{x}} {{{y}}} {{z}} {{x}}', '{"x": "<{{y}}>", "y": "<b>{{x}}</b>"}');
UPDATE wacta.lead SET project_id = (SELECT project_id FROM wacta.project WHERE name = 'Green Acres');

-- Staff: a message to a lead
CREATE FUNCTION pg_temp.named(answer jsonb) RETURNS jsonb LANGUAGE sql AS
$$ SELECT $1 || jsonb_build_object('lead_id', pg_temp.who(($1 ->> 'lead_id')::bigint), 'message_id', pg_temp.nr(($1 ->> 'message_id')::bigint)) $$;
SELECT pg_temp.request('wacta_agent');
SELECT pg_temp.named(wacta_api.send_interactive_message(:'asha')) AS answer, current_setting('response.status') AS status;
SELECT wacta_api.interactive_analytics() ->> 'period_days' AS days, wacta_api.interactive_analytics('7') ->> 'period_days' AS seven;
SELECT string_agg(k, ' ' ORDER BY k) AS keys FROM jsonb_object_keys(wacta_api.interactive_analytics()) k;
SELECT pg_temp.attempt(s) FROM unnest(ARRAY['SELECT wacta_api.send_interactive_message(''4711'')', 'SELECT wacta_api.send_interactive_message(''x'')', 'SELECT wacta_api.send_interactive_message(NULL)', 'SELECT wacta_api.send_interactive_message('''')', format('SELECT wacta_api.send_interactive_message(%L, ''no_such_template'')', :'asha'),
  'SELECT wacta_api.interactive_analytics(''0'')', 'SELECT wacta_api.interactive_analytics(''abc'')', 'SELECT wacta_api.interactive_analytics(''99999999999'')', 'SELECT wacta_api.interactive_analytics('''')', 'SELECT wacta_api.interactive_analytics(NULL)']) s;
SELECT wacta_api.generate_ai_template('Green Acres', 'Meera') #>> '{template,components,0,example,body_text,0,0}' AS example, wacta_api.generate_ai_template('') -> 'findings' AS findings, wacta_api.generate_ai_template('Green Acres') ->> 'prompt' LIKE '%project_update_template%' AS prompt;
RESET role;
SELECT wacta.log_ivr_call('9876500002', project => 'Green Acres') AS call \gset
SELECT wacta.lead_by_phone('9876500002') AS lead \gset
SELECT wacta.opt_out(:asha, 'test');
SELECT pg_temp.request('wacta_agent');
SELECT pg_temp.named(wacta_api.send_interactive_message(:'asha')) AS answer, current_setting('response.status') AS status;
SELECT pg_temp.named(wacta_api.send_interactive_message(:'lead', call_id => :'call')) AS answer, current_setting('response.status') AS status;
RESET role;
SELECT processed_at IS NOT NULL AS processed, outcome, message_id IS NOT NULL AS message FROM wacta.ivr_call;

-- Webhooks
SELECT pg_temp.request('wacta_anon');
SELECT convert_from(wacta_api.webhook_challenge('subscribe', '1158201444', 'meta-verify-token'), 'UTF8') AS answer, current_setting('response.status') AS status, pg_temp.header('Content-Type') AS type;
SELECT pg_temp.attempt(s) FROM unnest(ARRAY['SELECT wacta_api.webhook_challenge(''subscribe'', ''1'', ''wrong'')', 'SELECT wacta_api.webhook_challenge(''unsubscribe'', ''1'', ''meta-verify-token'')', 'SELECT wacta_api.webhook_challenge(NULL, NULL, NULL)', 'SELECT wacta_api.webhook_challenge(''subscribe'', NULL, ''meta-verify-token'')',
  'SELECT wacta_api.webhook_challenge(''subscribe'', ''1'', NULL)', 'SELECT wacta_api.webhook_challenge(''subscribe'', ''1'', '''')']) s;
SELECT wacta_api.webhook_whatsapp('{}') AS answer, current_setting('response.status') AS status;
SELECT pg_temp.request('wacta_anon', jsonb_build_object('x-hub-signature-256', 'sha256=' || encode(public.hmac('{"entry": []}', 'meta-app-secret', 'sha256'), 'hex')));
SELECT wacta_api.webhook_whatsapp('{"entry": []}') AS answer, current_setting('response.status') AS status;
SELECT wacta_api.webhook_whatsapp('{"entry": [] }') AS answer, current_setting('response.status') AS status;
SELECT pg_temp.attempt('SELECT wacta_api.webhook_ivr(''{}'')');
SELECT pg_temp.request('wacta_anon', '{"x-wacta-source": "smartflo", "x-wacta-key": "smartflo-key-0123456789"}');
SELECT convert_from(wacta_api.webhook_ivr('{"call_id": "w1", "customer_no_with_prefix ": "+919876500003"}'), 'UTF8') AS answer, current_setting('response.status') AS status;
SELECT pg_temp.request('wacta_anon', '{"x-wacta-source": "smartflo", "x-wacta-key": "wrong"}');
SELECT convert_from(wacta_api.webhook_ivr('{"call_id": "w2", "customer_no_with_prefix ": "+919876500003"}'), 'UTF8') AS answer, current_setting('response.status') AS status;
RESET role;
SELECT provider, kind, proved, reason, items FROM wacta.inbox ORDER BY inbox_id;
-- one refusal too many to keep is a refusal all the same
SELECT count(wacta.receive_webhook('unknown', 'whatsapp', '', '{}')) AS kept FROM generate_series(1, 100);
SELECT pg_temp.request('wacta_anon');
SELECT wacta_api.webhook_whatsapp('{"entry": ["another"]}') AS answer, current_setting('response.status') AS status;
RESET role;
SELECT count(*) AS kept FROM wacta.inbox WHERE body <> '' AND body = '{"entry": ["another"]}';
SELECT source, provider_call_id, caller FROM wacta.ivr_call WHERE source = 'smartflo';

-- Sessions: the dashboard asks to sign in; the fifth failure locks the account for half a minute, also for the right password, the sixth for a minute
SELECT pg_temp.request('wacta_anon', method => 'GET');
SELECT * FROM pg_temp.page(wacta_api.dashboard());
SELECT wacta_api.login('asha', 'correct horse battery') = '' AS empty_body, current_setting('response.status') AS status, pg_temp.header('Location') AS location,
       regexp_replace(pg_temp.header('Set-Cookie'), '=eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43};', '=JWT;') AS cookie;
SELECT wacta_api.logout() = '' AS empty_body, current_setting('response.status') AS status, pg_temp.header('Set-Cookie') AS cookie;
SELECT what, p.status, p.page FROM (VALUES (1, 'wrong', 'asha', 'wrong'), (2, 'unknown name', 'nobody', 'correct horse battery'), (3, 'nothing', NULL, NULL), (4, 'no password', 'asha', NULL), (5, 'empty', 'asha', ''), (6, 'wrong', 'asha', 'wrong'), (7, 'wrong', 'asha', 'wrong')) v(nr, what, username, password),
  LATERAL (SELECT * FROM pg_temp.page(wacta_api.login(username, password))) p ORDER BY nr;
SELECT status FROM pg_temp.page(wacta_api.login('asha', 'correct horse battery'));
RESET role;
SELECT failures, locked_until - wacta.now() AS locked_for FROM wacta.staff;
SELECT pg_temp.advance('30 seconds');
SELECT status FROM pg_temp.page(wacta_api.login('asha', 'wrong'));
SELECT failures, locked_until - wacta.now() AS locked_for FROM wacta.staff;
SELECT pg_temp.advance('60 seconds');
SELECT pg_temp.request('wacta_anon');
SELECT wacta_api.login('asha', 'correct horse battery') = '' AS empty_body, current_setting('response.status') AS status;
RESET role;
SELECT failures, locked_until FROM wacta.staff;
-- each further failure locks for twice as long, a quarter of an hour at most; what is tried during a lock neither counts nor extends it
CREATE FUNCTION pg_temp.fail() RETURNS TABLE (nr int, locked_for interval) LANGUAGE plpgsql AS $$
BEGIN
  FOR n IN 1..11 LOOP
    PERFORM wacta_http.sign_in('asha', 'wrong');
    SELECT s.failures, s.locked_until - wacta.now() INTO nr, locked_for FROM wacta.staff s;
    RETURN NEXT;
    IF nr >= 5 THEN
      PERFORM pg_temp.advance(locked_for - interval '1 second'), wacta_http.sign_in('asha', 'wrong'), pg_temp.advance('1 second');
    END IF;
  END LOOP;
END
$$;
SELECT * FROM pg_temp.fail();
SELECT wacta_http.sign_in('asha', 'correct horse battery') IS NOT NULL AS then_the_right_one;
SELECT failures, locked_until FROM wacta.staff;
-- no session for a role that is none of staff's any more
UPDATE wacta.staff SET role = 'wacta_anon';
SELECT wacta_http.sign_in('asha', 'correct horse battery') IS NULL AS refused;
UPDATE wacta.staff SET role = 'wacta_agent', failures = 0, locked_until = NULL;

-- A session ends with its account: another password, another role, disabled. Tokens that name no account of ours live as long as they say
CREATE FUNCTION pg_temp.as_session(username text, role text, age interval) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  answer text;
  asha   bigint := pg_temp.lead(1);
BEGIN
  PERFORM pg_temp.request('wacta_agent'), set_config('request.jwt.claims', jsonb_build_object('sub', $1, 'role', $2, 'iat', extract(epoch FROM wacta.now() - $3)::bigint)::text, false);
  -- every function of the staff's tells the same
  SELECT string_agg(DISTINCT pg_temp.attempt('SELECT ' || call), ', ') INTO answer
    FROM unnest(ARRAY['wacta_api.interactive_analytics()', 'wacta_api.generate_ai_template()', format('wacta_api.send_interactive_message(%L)', asha)]) call;
  answer := answer || ', ' || (SELECT p.status || ' ' || p.page FROM pg_temp.page(wacta_api.dashboard()) p);
  PERFORM set_config('role', 'none', false), set_config('request.jwt.claims', '', false);
  RETURN answer;
END
$$;
SELECT pg_temp.as_session('asha', 'wacta_agent', '0') AS asha, pg_temp.as_session('a program', 'wacta_agent', '1 year') AS a_program, pg_temp.as_session('asha', 'wacta_admin', '0') AS with_another_role;
SELECT pg_temp.advance('1 hour');
SELECT wacta.add_staff('asha', 'another good password') AS id;
SELECT pg_temp.as_session('asha', 'wacta_agent', '1 minute') AS with_the_old_password, pg_temp.as_session('asha', 'wacta_agent', '0') AS with_the_new_one;
UPDATE wacta.staff SET disabled_at = wacta.now();
SELECT pg_temp.as_session('asha', 'wacta_agent', '0') AS disabled;
SELECT pg_temp.request('wacta_anon');
SELECT status FROM pg_temp.page(wacta_api.login('asha', 'another good password'));
SELECT pg_temp.request('wacta_agent', method => 'GET');
SELECT status, type, page FROM pg_temp.page(wacta_api.dashboard());
SELECT wacta_api.health() - 'version' AS health;
RESET role;
