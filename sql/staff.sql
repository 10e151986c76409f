-- The staff's door: what ends a session for good, passwords, locks and the audit. Requests are made as a front door makes them.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SET client_min_messages = warning;
DO $$ BEGIN PERFORM wacta.set_session_secret('a session secret of 32 characters and more'); END $$;
SELECT wacta.add_staff('asha', 'correct horse battery', 'Asha Rao') AS id, wacta.add_staff('ravi', 'correct horse battery', role => 'wacta_admin') AS id;

-- A request from an address, as whoever shows this token
CREATE FUNCTION pg_temp.request(token text DEFAULT NULL, peer text DEFAULT '203.0.113.5', method text DEFAULT 'POST') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  claims jsonb := coalesce(convert_from(decode(rpad(translate(split_part(token, '.', 2), '-_', '+/'), 4 * ceil(length(split_part(token, '.', 2)) / 4.0)::integer, '='), 'base64'), 'UTF8'), '{"role": "wacta_anon"}')::jsonb;
BEGIN
  PERFORM set_config('request.method', method, false), set_config('request.headers', jsonb_build_object('x-wacta-peer', peer, 'user-agent', 'Firefox')::text, false),
          set_config('request.jwt.claims', claims::text, false), set_config('response.status', '', false), set_config('response.headers', '[]', false), set_config('role', claims ->> 'role', false);
END
$$;
CREATE FUNCTION pg_temp.leave() RETURNS void LANGUAGE plpgsql AS
$$ BEGIN PERFORM set_config('role', 'none', false), set_config('request.jwt.claims', '', false), set_config('request.headers', '', false); END $$;
-- Signs in and returns the token of the cookie, or the status of the refusal.
CREATE FUNCTION pg_temp.sign_in(username text, password text, peer text DEFAULT '203.0.113.5') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  token text;
BEGIN
  PERFORM pg_temp.request(NULL, peer), wacta_api.login(username, password);
  token := substring(current_setting('response.headers') FROM 'wacta_session=([^;]+)');
  PERFORM pg_temp.leave();
  RETURN coalesce(token, current_setting('response.status'));
END
$$;
-- What every function of wacta_api that is the staff's says to this token (some lead to the sign-in form), in a transaction that may not write, as a GET has it.
CREATE FUNCTION pg_temp.opens(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  f       regprocedure;
  answer  text;
  answers text[];
BEGIN
  PERFORM pg_temp.request(token, method => 'GET');
  SET LOCAL transaction_read_only = on;
  FOR f IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'wacta_api'::regnamespace AND has_function_privilege(p.oid, 'EXECUTE')
              AND p.proname <> ALL ('{login,logout,health,track,track_page,track_visit,webhook_challenge,webhook_whatsapp,webhook_ivr}') LOOP
    PERFORM set_config('response.status', '', false);
    answer := pg_temp.attempt(format('SELECT %s(%s)', f::regproc, (SELECT string_agg('NULL', ', ') FROM pg_proc p, generate_series(1, p.pronargs) WHERE p.oid = f)));
    answers := answers || CASE WHEN answer LIKE 'PT401%' OR (answer = 'ok' AND current_setting('response.status') IN ('401', '303')) THEN 'over' ELSE 'open' END;
  END LOOP;
  -- rolls back to what the caller's transaction may
  RAISE SQLSTATE 'ZZ000' USING MESSAGE = (SELECT string_agg(DISTINCT x, ' and ') FROM unnest(answers) x);
EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
  PERFORM pg_temp.leave();
  RETURN SQLERRM;
END
$$;
CREATE FUNCTION pg_temp.audit() RETURNS TABLE (event text, username text, actor text, peer inet, agent text) LANGUAGE plpgsql AS $$
BEGIN
  RETURN QUERY WITH gone AS (DELETE FROM wacta.staff_event e RETURNING e.*)
    SELECT g.event, g.username, CASE WHEN g.actor = session_user THEN 'the owner' ELSE g.actor END, g.peer, g.agent FROM gone g ORDER BY g.event_id;
END
$$;

-- Each session is one of its own. Signing out ends this one, for good, whoever has a copy of the token, and no other one
SELECT pg_temp.sign_in('asha', 'correct horse battery') AS one, pg_temp.sign_in('asha', 'correct horse battery', '198.51.100.7') AS two \gset
SELECT username, began_at = wacta.now() AS now, expires_at - began_at AS lasts, peer, agent FROM wacta.staff_session JOIN wacta.staff USING (staff_id) ORDER BY peer;
SELECT pg_temp.opens(:'one') AS one, pg_temp.opens(:'two') AS two;
SELECT pg_temp.request(:'one'), wacta_api.logout() = '' AS empty_body, current_setting('response.status') AS status, current_setting('response.headers') LIKE '%wacta_session=;%Max-Age=0;%' AS clears;
SELECT pg_temp.leave();
SELECT pg_temp.opens(:'one') AS one, pg_temp.opens(:'two') AS two;
-- again it is nothing, and so it is for a stranger
SELECT pg_temp.request(:'one'), wacta_api.logout() = '' AS empty_body, current_setting('response.status') AS status;
SELECT pg_temp.request(), wacta_api.logout() = '' AS empty_body, current_setting('response.status') AS status;
SELECT pg_temp.leave();
SELECT * FROM pg_temp.audit();

-- It ends at its time, whether or not anyone has looked at the token's
SELECT pg_temp.advance('12 hours');
SELECT pg_temp.opens(:'two') AS two;
SELECT pg_temp.advance('-1 minute');
SELECT pg_temp.opens(:'two') AS two;

-- Another password by an administrator, a role taken away, an account disabled, everywhere signed out: all sessions end, and do not come back
CREATE FUNCTION pg_temp.after(change text) RETURNS TABLE (before text, during text, after text) LANGUAGE plpgsql AS $$
DECLARE
  token text := pg_temp.sign_in('asha', 'correct horse battery');
  other text := pg_temp.sign_in('ravi', 'correct horse battery');
BEGIN
  before := pg_temp.opens(token);
  PERFORM pg_temp.request(other);
  EXECUTE change;
  PERFORM pg_temp.leave();
  during := pg_temp.opens(token);
  UPDATE wacta.staff SET role = 'wacta_agent', disabled_at = NULL, password_hash = wacta.password_hash('correct horse battery') WHERE username = 'asha';
  after := concat_ws(', others ', pg_temp.opens(token), pg_temp.opens(other));
  RETURN NEXT;
END
$$;
SELECT a.* FROM pg_temp.after($$SELECT wacta.set_staff_password('asha', 'another good password')$$) a;
SELECT a.* FROM pg_temp.after($$SELECT wacta.add_staff('asha', 'another good password')$$) a;
SELECT a.* FROM pg_temp.after($$UPDATE wacta.staff SET disabled_at = wacta.now() WHERE username = 'asha'$$) a;
SELECT a.* FROM pg_temp.after($$SELECT wacta.end_sessions('asha')$$) a;
SELECT a.* FROM pg_temp.after($$SELECT set_config('role', 'none', false); UPDATE wacta.staff SET role = 'wacta_admin' WHERE username = 'asha'$$) a;
SELECT * FROM pg_temp.audit() WHERE event <> 'signed_in';
SELECT pg_temp.attempt($$SELECT wacta.set_staff_password('nobody', 'another good password')$$), pg_temp.attempt($$SELECT wacta.end_sessions('nobody')$$),
       pg_temp.attempt($$SELECT wacta.set_staff_password('asha', 'short')$$), pg_temp.attempt($$SELECT wacta.set_staff_password('asha', NULL)$$);

-- Tokens of other systems go on working: with a jti of their own, without, and with the name of an account until it changes
CREATE FUNCTION pg_temp.foreign_token(claims jsonb) RETURNS text LANGUAGE sql AS
$$ SELECT wacta.session_jwt((jsonb_build_object('role', 'wacta_agent', 'iat', extract(epoch FROM wacta.now() - interval '5 seconds')::bigint) || $1)::text) $$;
SELECT pg_temp.advance('10 seconds');
SELECT claims, pg_temp.opens(pg_temp.foreign_token(claims)) FROM (VALUES ('{}'::jsonb), ('{"sub": "crm", "iss": "https://sso.example", "jti": "7f"}'), ('{"sub": "asha"}'),
  ('{"iss": "wacta"}'), ('{"iss": "wacta", "jti": "invented"}'), ('{"iss": "wacta", "jti": null}'), ('{"sub": "asha", "role": "wacta_admin"}')) v(claims);
UPDATE wacta.staff SET disabled_at = wacta.now() WHERE username = 'asha';
UPDATE wacta.staff SET disabled_at = NULL WHERE username = 'asha';
SELECT pg_temp.opens(pg_temp.foreign_token('{"sub": "asha"}')) AS asha, pg_temp.opens(pg_temp.foreign_token('{"sub": "crm"}')) AS crm;

-- One's own password, by the old one
SELECT pg_temp.sign_in('asha', 'correct horse battery') AS one, pg_temp.sign_in('asha', 'correct horse battery') AS two \gset
CREATE FUNCTION pg_temp.change(token text, old text, new text) RETURNS TABLE (status text, says text, token_ text) LANGUAGE plpgsql AS $$
DECLARE
  body text;
BEGIN
  PERFORM pg_temp.request(token);
  body := convert_from(wacta_api.change_password(old, new), 'UTF8');
  RETURN QUERY SELECT current_setting('response.status'), substring(body FROM 'role="alert">([^<]*)'), substring(current_setting('response.headers') FROM 'wacta_session=([^;]+)');
  PERFORM pg_temp.leave();
END
$$;
SELECT c.status, c.says FROM (VALUES ('correct horse battery', 'short'), ('correct horse battery', NULL), ('correct horse battery', repeat('x', 73)), ('correct horse battery', 'correct horse battery'),
  ('wrong', 'another good password'), (NULL, 'another good password')) v(old, new), LATERAL (SELECT * FROM pg_temp.change(:'one', old, new)) c;
SELECT pg_temp.opens(:'one') AS one, pg_temp.opens(:'two') AS two;
SELECT status, says, token_ AS three FROM pg_temp.change(:'one', 'correct horse battery', 'another good password') \gset
SELECT :'status' AS status, pg_temp.opens(:'one') AS one, pg_temp.opens(:'two') AS two, pg_temp.opens(:'three') AS the_new_one;
SELECT pg_temp.sign_in('asha', 'correct horse battery') AS with_the_old_one, length(pg_temp.sign_in('asha', 'another good password')) > 100 AS with_the_new_one;
SELECT pg_temp.attempt(format('SELECT pg_temp.change(%L, %L, %L)', :'one', 'another good password', 'a third password')) AS with_an_ended_session;
RESET role;
SELECT status, says FROM pg_temp.change(pg_temp.foreign_token('{"sub": "crm"}'), 'another good password', 'a third password');
SELECT status, says FROM pg_temp.change(pg_temp.foreign_token('{}'), 'another good password', 'a third password');
-- guesses at it lock, too
SELECT status, says FROM generate_series(1, 5) n, LATERAL (SELECT * FROM pg_temp.change(:'three', 'wrong ' || n, 'a third password')) c;
SELECT status, says FROM pg_temp.change(:'three', 'another good password', 'a third password');
SELECT pg_temp.request(:'three', method => 'GET'), substring(convert_from(wacta_api.password_page(), 'UTF8') FROM '<h1>.*</h1>') AS page;
SELECT pg_temp.request(), substring(convert_from(wacta_api.password_page(), 'UTF8') FROM '<h1>.*</h1>') AS page, pg_temp.attempt('SELECT wacta_api.change_password()');
SELECT pg_temp.leave();
SELECT pg_temp.advance('1 hour');
SELECT event, username, actor, count(*) FROM pg_temp.audit() GROUP BY 1, 2, 3 ORDER BY 1, 2;

-- Whoever locks an account from elsewhere does not lock its owner out where they have signed in before; there they lock themselves out
UPDATE wacta.staff SET failures = 0, locked_until = NULL;
DELETE FROM wacta.staff_network;
SELECT length(pg_temp.sign_in('asha', 'another good password', '192.0.2.1')) > 100 AS at_the_office;
SELECT count(pg_temp.sign_in('asha', 'wrong', '198.51.100.' || n)) AS from_everywhere FROM generate_series(1, 40) n;
SELECT failures, locked_until - wacta.now() AS locked_for FROM wacta.staff WHERE username = 'asha';
SELECT length(pg_temp.sign_in('asha', 'another good password', '192.0.2.200')) > 100 AS at_the_office, pg_temp.sign_in('asha', 'another good password', '203.0.113.1') AS on_the_way;
SELECT n, pg_temp.sign_in('asha', 'wrong', '192.0.2.77') AS at_the_office FROM generate_series(1, 5) n;
SELECT network, failures, locked_until - wacta.now() AS locked_for FROM wacta.staff_network;
SELECT pg_temp.sign_in('asha', 'another good password', '192.0.2.1') AS at_the_office;
SELECT pg_temp.advance('30 seconds');
SELECT length(pg_temp.sign_in('asha', 'another good password', '192.0.2.1')) > 100 AS at_the_office, length(pg_temp.sign_in('asha', 'another good password', '203.0.113.1')) > 100 AS on_the_way;
SELECT network, failures, locked_until FROM wacta.staff_network ORDER BY 1;
SELECT failures, locked_until FROM wacta.staff WHERE username = 'asha';

-- The audit: every attempt, and no name that nobody has, no password, no token
TRUNCATE wacta.staff_event;
SELECT pg_temp.sign_in('asha', 'wrong-password'), pg_temp.sign_in('another good password', 'asha'), pg_temp.sign_in(NULL, NULL), length(pg_temp.sign_in('asha', 'another good password')) > 100 AS signed_in;
UPDATE wacta.staff SET disabled_at = wacta.now() WHERE username = 'asha';
SELECT pg_temp.sign_in('asha', 'another good password') AS disabled;
SELECT count(*) FROM wacta.staff_event WHERE to_jsonb(staff_event)::text ~ 'wrong-|eyJ|horse|another good';
SELECT * FROM pg_temp.audit();
-- a flood of failures is cut off, and hides neither failures of another kind nor a sign-in
INSERT INTO wacta.staff_event (event) SELECT 'unknown_name' FROM generate_series(1, 59);
SELECT pg_temp.sign_in('nobody', 'x'), pg_temp.sign_in('nobody', 'x'), pg_temp.sign_in('ravi', 'x'), length(pg_temp.sign_in('ravi', 'correct horse battery')) > 100 AS signed_in;
SELECT event, count(*) FROM wacta.staff_event GROUP BY 1 ORDER BY 1;
SELECT pg_temp.advance('61 seconds');
SELECT pg_temp.sign_in('nobody', 'x');
SELECT event, count(*) FROM wacta.staff_event GROUP BY 1 ORDER BY 1;
-- it is kept for as long as the configuration says, sessions for as long as they last
SELECT pg_temp.advance('179 days');
SELECT pg_temp.sign_in('nobody', 'x');
SELECT wacta.inbox_tend() AS more;
SELECT (SELECT count(*) FROM wacta.staff_event) AS events, (SELECT count(*) FROM wacta.staff_session) AS sessions, (SELECT count(*) FROM wacta.staff_network) AS networks;
SELECT pg_temp.advance('1 day 1 second');
INSERT INTO wacta.staff_event (event, happened_at) SELECT 'unknown_name', '2025-01-01' FROM generate_series(1, 500);
SELECT wacta.inbox_tend() AS more;
SELECT wacta.inbox_tend() AS more;
SELECT event, count(*) FROM wacta.staff_event GROUP BY 1;
