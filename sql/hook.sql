-- Hooks and the stream of events: in the transition's transaction, with the rights of the hook's owner, and nothing of them left behind.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SET client_min_messages = warning;
CREATE ROLE regress_crm;
GRANT wacta_admin TO regress_crm;
CREATE SCHEMA crm AUTHORIZATION regress_crm;
SET ROLE regress_crm;
CREATE TABLE crm.seen (n serial, hook text, event jsonb, by text DEFAULT current_user, status text);
CREATE FUNCTION crm.note(event jsonb) RETURNS void LANGUAGE sql SET search_path = crm, pg_temp
AS $$ INSERT INTO seen (hook, event, status) SELECT 'note', event, l.status FROM wacta.lead l WHERE l.lead_id = (event ->> 'lead_id')::bigint $$;
CREATE FUNCTION crm.second(event jsonb) RETURNS void LANGUAGE sql AS $$ INSERT INTO crm.seen (hook, event) VALUES ('second', event) $$;
CREATE FUNCTION crm.break(event jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the CRM is closed' USING ERRCODE = '53400'; END $$;

-- What cannot be a hook
SELECT pg_temp.attempt(what) FROM unnest(ARRAY[
  'SELECT wacta.add_hook(''coffee'', ''crm.note(jsonb)'')',
  'SELECT wacta.add_hook(''interested'', ''crm.note(jsonb)'', ''maybe'')',
  'SELECT wacta.add_hook(''interested'', NULL)',
  'SELECT wacta.add_hook(''interested'', ''pg_catalog.pg_sleep(float8)'')',
  'SELECT wacta.add_hook(''interested'', ''pg_catalog.jsonb_array_elements(jsonb)'')',
  'SELECT wacta.add_hook(''message_read'', ''crm.note(jsonb)'')']) what;

-- They are called in the order in which they were added, see what belongs to the event, and run as their owner, whoever taps
SELECT wacta.add_hook('interested', 'crm.note(jsonb)') > 0 AS first, wacta.add_hook('interested', 'crm.second(jsonb)', 'park') > 0 AS second;
RESET ROLE;
SELECT wacta.send_interactive(wacta.upsert_lead('9876500001', 'Asha', 'Green Acres')) > 0 AS message;
SET ROLE wacta_agent;
SELECT decision FROM wacta.record_click(wacta.mint_token(pg_temp.lead(1)), 'interested', pg_temp.lead(1));
RESET ROLE;
SELECT hook, event - '{lead_id,event_id,click_id,project_id,message_id}'::text[] AS event, by, status FROM crm.seen ORDER BY n;
-- the same tap again is no event
SELECT first_time FROM wacta.record_click(wacta.mint_token(pg_temp.lead(1)), 'interested', pg_temp.lead(1));
SELECT count(*) FROM crm.seen;

-- A hook that fails fails the transition, with its own error, or is parked and tried again
SET ROLE regress_crm;
SELECT wacta.add_hook('not_interested', 'crm.break(jsonb)') > 0 AS added;
RESET ROLE;
\set VERBOSITY verbose
\set SHOW_CONTEXT never
SELECT sqlstate = '53400' AS crm_error, message FROM (SELECT split_part(a, ' ', 1) AS sqlstate, a AS message
  FROM pg_temp.attempt('SELECT wacta.record_click(wacta.mint_token(pg_temp.lead(1)), ''not_interested'', pg_temp.lead(1)); SET CONSTRAINTS ALL IMMEDIATE') a) x;
\set VERBOSITY default
SELECT wacta.record_click(wacta.mint_token(pg_temp.lead(1)), 'not_interested', pg_temp.lead(1));
SELECT status, consent FROM wacta.lead WHERE lead_id = pg_temp.lead(1);
SET ROLE regress_crm;
SELECT wacta.add_hook('not_interested', 'crm.break(jsonb)', 'park') > 0 AS changed;
SELECT event, function, on_failure, added_by FROM wacta.hook ORDER BY hook_id;
RESET ROLE;
SELECT decision FROM wacta.record_click(wacta.mint_token(pg_temp.lead(1)), 'not_interested', pg_temp.lead(1));
SELECT status, consent FROM wacta.lead WHERE lead_id = pg_temp.lead(1);
SELECT code, error, attempts, retry_at - failed_at AS after, event ->> 'event' AS event FROM wacta.hook_failure;
SELECT severity, alert, object, what FROM wacta.alert WHERE alert = 'hook_failed';
SELECT * FROM wacta.retry_hooks();
SELECT pg_temp.advance('1 minute') IS NOT NULL AS later;
SELECT * FROM wacta.retry_hooks();
SELECT attempts, retry_at - wacta.now() AS after FROM wacta.hook_failure;
SET ROLE regress_crm;
CREATE OR REPLACE FUNCTION crm.break(event jsonb) RETURNS void LANGUAGE sql AS $$ INSERT INTO crm.seen (hook, event) VALUES ('mended', event) $$;
RESET ROLE;
SELECT pg_temp.advance('10 minutes') IS NOT NULL AS later;
SELECT * FROM wacta.retry_hooks();
SELECT hook, event ->> 'event' AS event FROM crm.seen WHERE hook = 'mended';
SELECT count(*) FROM wacta.hook_failure;

-- A hook whose function is gone says so; it can be removed all the same
SET ROLE regress_crm;
SELECT pg_temp.attempt('SELECT wacta.remove_hook(''interested'', ''crm.second(jsonb)'')'), wacta.remove_hook('interested', 'crm.second(jsonb)') AS again;
RESET ROLE;
SELECT wacta.record_click(wacta.mint_token(pg_temp.lead(1)), 'interested', pg_temp.lead(1), '{"explicit": true}') IS NOT NULL AS back;
SET ROLE regress_crm;
CREATE FUNCTION crm.gone(event jsonb) RETURNS void LANGUAGE sql AS 'SELECT';
SELECT wacta.add_hook('not_interested', 'crm.gone(jsonb)', 'park') > 0 AS added, wacta.remove_hook('not_interested', 'crm.break(jsonb)') AS removed;
DROP FUNCTION crm.gone(jsonb);
RESET ROLE;
SELECT wacta.record_click(wacta.mint_token(pg_temp.lead(1)), 'not_interested', pg_temp.lead(1)) IS NOT NULL AS left_again;
SELECT code, error FROM wacta.hook_failure;
-- who is forgotten leaves no text of an error
SELECT wacta.forget(pg_temp.lead(1)) IS NOT NULL AS forgotten;
SELECT error FROM wacta.hook_failure;
SELECT wacta.remove_hook(h.hook_id) FROM wacta.hook h WHERE h.function = 'crm.gone(jsonb)';
SELECT count(*) FROM wacta.hook_failure;

-- Attacks. What would run with more rights than its owner's:
SELECT rolsuper FROM pg_roles WHERE rolname = session_user;
CREATE FUNCTION public.helper(statement jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE statement ->> 'x'; END $$;
CREATE FUNCTION public.closed(statement jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER AS 'SELECT';
CREATE FUNCTION public.lent(event jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT';
REVOKE ALL ON FUNCTION public.closed(jsonb) FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO regress_crm;
SET ROLE regress_crm;
-- a superuser's function that anybody may call, with their own rights; one that nobody may call; one that is lent
SELECT pg_temp.attempt(what) FROM unnest(ARRAY['SELECT wacta.add_hook(''opted_in'', ''public.helper(jsonb)'')', 'SELECT wacta.add_hook(''opted_in'', ''public.closed(jsonb)'')',
                                               'SELECT wacta.add_hook(''opted_in'', ''public.lent(jsonb)'')', 'SELECT wacta.add_hook_for(10, ''opted_in'', ''public.helper(jsonb)'', ''fail'')',
                                               'INSERT INTO wacta.hook (event, function, on_failure, added_by) VALUES (''opted_in'', ''public.helper(jsonb)'', ''fail'', ''x'')',
                                               'SELECT * FROM wacta.query_as(10, ''SELECT 1'')']) what;
-- through another's SECURITY DEFINER function the caller is that function's owner, not the session's user
CREATE FUNCTION crm.trick() RETURNS integer LANGUAGE sql SECURITY DEFINER AS $$ SELECT wacta.add_hook('opted_in', 'public.closed(jsonb)') $$;
RESET ROLE;
SELECT pg_temp.attempt('SELECT crm.trick()');
SET ROLE regress_crm;
-- a hook that becomes somebody, makes a superuser of its owner, reads secrets, leaves something to run or be found when it is gone, or a
-- search_path that hides pg_catalog
CREATE TABLE crm.later (x integer);
CREATE FUNCTION crm.later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO crm.seen (hook) VALUES ('later'); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON crm.later DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION crm.later();
CREATE FUNCTION crm.attack(event jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  what text;
BEGIN
  INSERT INTO crm.seen (hook, event) VALUES ('attack', jsonb_build_object('user', current_user));
  FOREACH what IN ARRAY ARRAY['SET ROLE postgres', 'RESET ROLE', 'SET SESSION AUTHORIZATION DEFAULT', 'ALTER ROLE regress_crm SUPERUSER', 'SELECT sealed FROM wacta.signing_key',
                              'INSERT INTO crm.later VALUES (1)', 'DECLARE later CURSOR WITH HOLD FOR SELECT 1', 'CREATE TEMP TABLE later (x integer)', 'PREPARE later AS SELECT 1',
                              'UPDATE wacta.lead SET consent = ''granted''', 'SELECT wacta.query_as(10, ''SELECT 1'')', 'SELECT wacta.unseal(''x'')'] LOOP
    BEGIN
      EXECUTE what;
      INSERT INTO crm.seen (hook, event) VALUES ('attack', jsonb_build_object('did', what));
    EXCEPTION WHEN others THEN
      INSERT INTO crm.seen (hook, event) VALUES ('attack', jsonb_build_object(what, SQLSTATE));
    END;
  END LOOP;
  PERFORM set_config('search_path', 'crm', false), set_config('row_security', 'off', false);
END
$$;
CREATE FUNCTION crm.concatenate(jsonb, jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'this ran as %', current_user; END $$;
CREATE OPERATOR crm.|| (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = crm.concatenate);
TRUNCATE crm.seen;
SELECT wacta.remove_hook('opted_in', 'public.lent(jsonb)'), wacta.add_hook('lead_created', 'crm.attack(jsonb)') > 0 AS attack, wacta.add_hook('assigned', 'crm.note(jsonb)') > 0 AS after_it;
RESET ROLE;
SHOW search_path;
SELECT wacta.upsert_lead('9876500002', 'Ravi', owner => 'someone') > 0 AS made;
SHOW search_path;
SELECT hook, event - '{lead_id,event_id,happened_at}'::text[] AS event FROM crm.seen ORDER BY n;
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_crm';
-- what it wrote must be checked before it ends, which it may ask for
SET ROLE regress_crm;
CREATE OR REPLACE FUNCTION crm.attack(event jsonb) RETURNS void LANGUAGE sql AS $$ SET CONSTRAINTS crm.later IMMEDIATE; INSERT INTO crm.later VALUES (1) $$;
RESET ROLE;
SELECT wacta.upsert_lead('9876500004') > 0 AS made;
SELECT by FROM crm.seen WHERE hook = 'later';
-- one that is made SECURITY INVOKER afterwards still runs as its owner
ALTER FUNCTION crm.note(jsonb) SECURITY DEFINER;
ALTER FUNCTION crm.note(jsonb) SECURITY INVOKER;
SELECT wacta.upsert_lead('9876500002', owner => 'other') > 0 AS assigned;
SELECT by FROM crm.seen ORDER BY n DESC LIMIT 1;

-- Hooks that cause one another end with an error
SET ROLE regress_crm;
SELECT wacta.remove_hook('lead_created', 'crm.attack(jsonb)'), wacta.remove_hook('assigned', 'crm.note(jsonb)');
CREATE FUNCTION crm.around(event jsonb) RETURNS void LANGUAGE sql AS
$$ UPDATE wacta.lead SET owner = owner || '.' WHERE lead_id = (event ->> 'lead_id')::bigint $$;
SELECT wacta.add_hook('assigned', 'crm.around(jsonb)') > 0 AS around;
RESET ROLE;
\set VERBOSITY terse
SELECT wacta.upsert_lead('9876500002', owner => 'third');
\set VERBOSITY default
SELECT owner FROM wacta.lead WHERE lead_id = pg_temp.lead(2);
-- or with one call that is parked, where they are to park: the transaction goes on
SET ROLE regress_crm;
SELECT wacta.add_hook('assigned', 'crm.around(jsonb)', 'park') > 0 AS parks;
RESET ROLE;
SELECT wacta.upsert_lead('9876500002', owner => 'third') > 0 AS goes_on;
SELECT owner FROM wacta.lead WHERE lead_id = pg_temp.lead(2);
SELECT code, error FROM wacta.hook_failure;
SELECT wacta.remove_hook('assigned', 'crm.around(jsonb)');

-- The stream. Nobody asked for messages and changes, so none are written; who asks gets them
SELECT event, count(*) FROM wacta.event GROUP BY 1 ORDER BY 1;
SELECT event, description, recorded FROM wacta.event_kind ORDER BY event;
SET ROLE regress_crm;
UPDATE wacta.event_kind SET recorded = true WHERE event IN ('message_queued', 'lead_changed');
UPDATE wacta.event_kind SET recorded = false WHERE event = 'lead_created';
RESET ROLE;
SELECT wacta.send_interactive(wacta.upsert_lead('9876500003', 'Meera', 'Green Acres')) > 0 AS message;
UPDATE wacta.lead SET stage = 'Visited' WHERE lead_id = pg_temp.lead(3);
SELECT event, data - 'message_id' AS data FROM wacta.event WHERE lead_id = pg_temp.lead(3) ORDER BY event_id;

-- Read in steps it is the same as at once, and the end stays the end
SELECT array_agg(event_id ORDER BY n) AS whole, (array_agg(next_position ORDER BY n DESC))[1] AS last FROM wacta.events_after() WITH ORDINALITY e(next_position, event_id, event, lead_id, happened_at, data, n) \gset
WITH RECURSIVE step AS (
  SELECT 1 AS n, e.* FROM wacta.events_after(NULL, 1) e
  UNION ALL
  SELECT s.n + 1, e.* FROM step s, LATERAL wacta.events_after(s.next_position, 1) e)
SELECT array_agg(event_id ORDER BY n) = :'whole'::bigint[] AS the_same, max(n) = cardinality(:'whole'::bigint[]) AS all_of_them FROM step;
SELECT count(*) AS after_the_end FROM wacta.events_after(:'last');
SELECT pg_temp.attempt(format('SELECT * FROM wacta.events_after(%L)', p)) FROM unnest(ARRAY['', 'x', '00000000/1/1', split_part(:'last', '/', 1) || '/999999999999/1', repeat('9', 200)]) p;
-- nothing in it says who anybody is
SELECT count(*) FROM wacta.event e WHERE e::text ~* 'asha|ravi|meera|98765';
-- what is old goes; who has not read it is told so
SELECT (wacta.events_after(NULL, 1)).next_position AS early \gset
SELECT pg_temp.advance('31 days') IS NOT NULL AS later;
SELECT wacta.trim_events(2) AS two, wacta.trim_events() > 5 AS rest, count(*) AS left FROM wacta.event;
SELECT pg_temp.attempt(format('SELECT * FROM wacta.events_after(%L)', :'early')), pg_temp.attempt(format('SELECT * FROM wacta.events_after(%L)', :'last'));

-- NOTIFY only where it is asked for (what arrives, test/t/303_crm_table.pl looks at)
SELECT tgenabled FROM pg_trigger WHERE (tgrelid, tgname) = ('wacta.event'::regclass, 'notify_event');
UPDATE wacta.config SET notify_events = true;
SELECT tgenabled FROM pg_trigger WHERE (tgrelid, tgname) = ('wacta.event'::regclass, 'notify_event');
DROP OWNED BY regress_crm CASCADE;
DROP ROLE regress_crm;
DROP FUNCTION public.helper(jsonb), public.closed(jsonb), public.lent(jsonb);
