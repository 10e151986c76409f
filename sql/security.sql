-- The guard over the catalog: what every function, table and role of the extension must satisfy, whatever is added.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include

CREATE VIEW pg_temp.func AS
  SELECT p.oid, p.pronamespace::regnamespace || '.' || p.proname AS name, p.oid::regprocedure::text AS signature, l.lanname, p.prosecdef, p.proconfig, p.proacl, p.proowner, p.prosqlbody IS NOT NULL AS is_parsed
    FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
   WHERE p.oid IN (SELECT objid FROM pg_depend WHERE classid = 'pg_proc'::regclass AND deptype = 'e' AND refclassid = 'pg_extension'::regclass
                      AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'wacta'));
CREATE VIEW pg_temp.rel AS
  SELECT c.oid, c.relname, c.relkind, c.relacl, c.relowner FROM pg_class c WHERE c.relnamespace::regnamespace::text IN ('wacta', 'wacta_api', 'wacta_http') AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f');

-- Each list below must be empty. No function in a schema of ours that the extension does not own, and the other way round
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace::regnamespace::text IN ('wacta', 'wacta_api', 'wacta_http') EXCEPT SELECT oid FROM pg_temp.func;
SELECT signature FROM pg_temp.func WHERE name !~ '^wacta(_api|_http)?\.';
-- a function that is not in C, nor was parsed when it was made, has a pinned search_path, and pg_temp stands last in it; but for those that the courier's functions
-- call for each batch or each message, and customers' taps by the dozen: they have their caller's, and nobody but the owner may call them
SELECT signature, proconfig FROM pg_temp.func
 WHERE lanname <> 'c' AND NOT is_parsed AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)
   AND NOT (name = ANY ('{wacta.room_for,wacta.due_lanes,wacta.fence_is_fresh,wacta.read_answers,wacta.settle_accepted,wacta.write_accepted,wacta.lock_messages,wacta.claim_lane,wacta.plan_kind,wacta.allow,wacta.time_gates,wacta.place_free_at,wacta.budget_free_at,wacta.count_against_limits,wacta.try_jsonb,wacta.on_taken,wacta.rank,wacta.is_number,wacta.evidence_kind,wacta.counts,wacta.message_state,
                       wacta.inert_kind,wacta.examine_link,wacta.decide,wacta.decision_note,wacta.on_interested,wacta.mark_scanner,wacta.click_changed,
                       wacta.lock_lead,wacta.write_note,wacta.write_message,wacta.plan_follow_up,wacta.keep_word,wacta.contrary_word_at,wacta.end_pending,wacta.enqueue,wacta.refusal,wacta.recipient,wacta.default_channel,wacta.keep_queue,
                       wacta.time_zone,wacta.next_sales_time,wacta.evening,wacta.call_time,wacta.call_wishes,wacta.grants_wish,wacta.header,wacta.peer_address,
                       wacta_http.visit,wacta_http.is_prefetch,wacta_http.respond,wacta_http.csp_hash,wacta_http.document,wacta_http.page,wacta_http.click_page,wacta_http.page_texts,
                       wacta_http.known_language,wacta_http.other_answer,wacta_http.other_button,wacta_http.fill_page,wacta_http.brochure_comes,wacta_http.blank_page,wacta_http.page_language,wacta_http.promised_call,wacta_http.interested_parts,wacta_http.promises,wacta_http.call_promise,wacta_http.wishes}')
            AND proconfig IS NULL AND NOT prosecdef AND NOT EXISTS (SELECT FROM aclexplode(proacl) a WHERE a.grantee <> proowner));
-- only these languages
SELECT DISTINCT lanname FROM pg_temp.func WHERE lanname NOT IN ('c', 'sql', 'plpgsql');
-- nothing may be executed by PUBLIC
SELECT signature FROM pg_temp.func WHERE proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0);
-- no table, view or sequence is open to PUBLIC
SELECT relname, a.privilege_type FROM pg_temp.rel, aclexplode(relacl) a WHERE a.grantee = 0;
SELECT c.relname, a.attname FROM pg_temp.rel c JOIN pg_attribute a ON a.attrelid = c.oid, aclexplode(a.attacl) x WHERE x.grantee = 0;
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'wacta%' AND (nspacl IS NULL OR EXISTS (SELECT FROM aclexplode(nspacl) WHERE grantee = 0));
-- nobody may grant on what they were granted
SELECT signature FROM pg_temp.func, aclexplode(proacl) a WHERE a.is_grantable AND a.grantee <> proowner;
SELECT relname FROM pg_temp.rel, aclexplode(relacl) a WHERE a.is_grantable AND a.grantee <> relowner;
-- every table and every sequence is dumped, but for the queue, which the restored messages fill, the figures, which they and the clicks are counted into, sessions, which no restore may bring back, a language's texts, put together from the page_text, and the events, whose order is this cluster's
SELECT relname, relkind FROM pg_temp.rel
 WHERE relkind IN ('r', 'p', 'S') AND oid <> ALL (SELECT unnest(extconfig) FROM pg_extension WHERE extname = 'wacta') ORDER BY 1;
-- and whole: no table's rows are left out by a condition
SELECT c FROM pg_extension, unnest(extcondition) c WHERE extname = 'wacta' AND c <> '';
-- everything has a comment
SELECT signature FROM pg_temp.func WHERE obj_description(oid, 'pg_proc') IS NULL;
SELECT relname FROM pg_temp.rel WHERE relkind <> 'S' AND obj_description(oid, 'pg_class') IS NULL;
SELECT t.oid::regtype FROM pg_type t WHERE t.typnamespace::regnamespace::text LIKE 'wacta%' AND t.typtype IN ('d', 'e') AND obj_description(t.oid, 'pg_type') IS NULL;
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'wacta%' AND obj_description(oid, 'pg_namespace') IS NULL;
-- every foreign key has an index that begins with its columns, on the referring side
SELECT conrelid::regclass, conname FROM pg_constraint k
 WHERE contype = 'f' AND connamespace = 'wacta'::regnamespace
   AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = k.conrelid AND i.indpred IS NULL AND (i.indkey::int2[])[0:array_length(k.conkey, 1) - 1] @> k.conkey)
   -- parents of which no row is ever deleted
   AND k.confrelid <> ALL ('{wacta.channel,wacta.template,wacta.project}'::regclass[]);

-- The installed script takes nothing over: no OR REPLACE, no IF NOT EXISTS, but in the text of a function that runs later
SELECT setting || '/extension/wacta--' || extversion || '.sql' AS script FROM pg_config, pg_extension WHERE pg_config.name = 'SHAREDIR' AND extname = 'wacta' \gset
SELECT line FROM regexp_split_to_table(pg_read_file(:'script'), '\n') line WHERE line ~* '^\s*CREATE\s+(OR\s+REPLACE|.*IF\s+NOT\s+EXISTS)';

-- What runs with its owner's rights: this list, and no function more
SELECT name FROM pg_temp.func WHERE prosecdef ORDER BY name COLLATE "C";

-- Whom each role may call, directly
SELECT r AS role, name FROM unnest('{wacta_anon,wacta_agent,wacta_admin,wacta_courier,wacta_gateway}'::text[]) WITH ORDINALITY u(r, n), pg_temp.func f
 WHERE EXISTS (SELECT FROM aclexplode(f.proacl) a WHERE a.grantee = r::regrole)
   -- an administrator has all that an agent has: only what is more
   AND NOT (r = 'wacta_admin' AND EXISTS (SELECT FROM aclexplode(f.proacl) a WHERE a.grantee = 'wacta_agent'::regrole)) ORDER BY n, name COLLATE "C";
SELECT count(*) AS agents_but_not_admins FROM pg_temp.func f WHERE has_function_privilege('wacta_agent', f.oid, 'EXECUTE') AND NOT has_function_privilege('wacta_admin', f.oid, 'EXECUTE');
-- and which tables they may touch
SELECT r AS role, relname, string_agg(DISTINCT privilege_type || coalesce(' (' || columns || ')', ''), ', ' ORDER BY privilege_type || coalesce(' (' || columns || ')', '')) AS may
  FROM unnest('{wacta_anon,wacta_agent,wacta_admin,wacta_courier,wacta_gateway}'::text[]) WITH ORDINALITY u(r, n),
       LATERAL (SELECT c.relname, a.privilege_type, NULL AS columns FROM pg_temp.rel c, aclexplode(c.relacl) a WHERE a.grantee = r::regrole
                UNION ALL
                SELECT c.relname, a.privilege_type, string_agg(t.attname, ' ' ORDER BY t.attname) FROM pg_temp.rel c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
                 WHERE a.grantee = r::regrole GROUP BY 1, 2) g
 GROUP BY n, r, relname ORDER BY n, relname;

-- Doing it: the wrong role is refused (42501); the right one gets through, to the error of a bad argument at most
CREATE FUNCTION pg_temp.as_role(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  answer text;
BEGIN
  PERFORM set_config('role', role, true);
  answer := pg_temp.attempt(statement);
  PERFORM set_config('role', 'none', true);
  RETURN CASE WHEN answer LIKE '42501%' THEN 'refused' ELSE split_part(answer, ' ', 1) END;
END
$$;
SELECT wacta.send_interactive(wacta.upsert_lead('9876500001', 'Asha', 'Green Acres')) > 0 AS message;
SELECT what, pg_temp.as_role('wacta_anon', what) AS anon, pg_temp.as_role('wacta_agent', what) AS agent, pg_temp.as_role('wacta_admin', what) AS admin,
       pg_temp.as_role('wacta_courier', what) AS courier, pg_temp.as_role('wacta_gateway', what) AS gateway
  FROM unnest(ARRAY[
    'SELECT * FROM wacta.lead', 'SELECT * FROM wacta.credential', 'SELECT sealed FROM wacta.credential', 'SELECT kind FROM wacta.credential', 'SELECT * FROM wacta.signing_key', 'SELECT key_id FROM wacta.signing_key',
    'SELECT password_hash FROM wacta.staff', 'SELECT username FROM wacta.staff', 'SELECT * FROM wacta.inbox', 'SELECT * FROM wacta.message', 'SELECT * FROM wacta.open_follow_up', 'SELECT * FROM wacta.daily_funnel',
    'SELECT * FROM wacta.message_in_doubt', 'SELECT * FROM wacta.suppression', 'SELECT * FROM wacta.recent_interaction', 'SELECT * FROM wacta.recent_ivr_call', 'SELECT * FROM wacta.message_accounting',
    'INSERT INTO wacta.message (lead_id, purpose, channel_id, expires_at) VALUES (pg_temp.lead(1), ''pitch'', 1, now())', 'UPDATE wacta.lead SET consent = ''granted''', 'UPDATE wacta.lead SET owner = ''ravi''', 'UPDATE wacta.message SET status = ''queued''',
    'DELETE FROM wacta.lead_note', 'INSERT INTO wacta.consent_event (lead_id, event, reason) VALUES (pg_temp.lead(1), ''granted'', ''x'')', 'UPDATE wacta.config SET brand = brand',
    'UPDATE wacta.channel SET display_phone = NULL', 'UPDATE wacta.channel SET base_url = ''https://evil.example''', 'UPDATE wacta.error_rule SET note = note', 'INSERT INTO wacta.error_rule VALUES (131049, ''fail'')', 'DELETE FROM wacta.token_refusal',
    'SELECT nextval(''wacta.lead_or_message_id'')', 'SELECT wacta.unseal(''\x00'')', 'SELECT wacta.seal(''x'')', 'SELECT * FROM wacta.secrets(1, NULL, ''access_token'')', 'SELECT wacta.read_secret_file(''x'')',
    'SELECT wacta.session_jwt(''{}'')', 'SELECT wacta.mint_signed(pg_temp.lead(1), NULL, ''interested'', wacta.now(), NULL)', 'SELECT wacta.enqueue(pg_temp.lead(1), ''other'', NULL)', 'SELECT wacta.decide(pg_temp.lead(1), NULL, ''interested'', ''x'', true, ''{}'')',
    'SELECT wacta.find_or_create_lead(''phone'', ''+919876500009'', NULL, NULL, NULL)', 'SELECT wacta.grant_admin(''wacta_anon'')', 'SELECT wacta.create_roles()', 'SELECT wacta.password_hash(''x'')', 'SELECT wacta.hmac_sha256(''a'', ''b'')',
    'SELECT * FROM wacta.verify_token(wacta.mint_token(pg_temp.lead(1)), pg_temp.lead(1))', 'SELECT wacta.mint_link(pg_temp.lead(1), ''interested'')', 'SELECT wacta.normalize_phone(''9876500001'')', 'SELECT wacta.lead_by_phone(''9876500001'')', 'SELECT wacta.upsert_lead(''9876500001'')',
    'SELECT wacta.upsert_lead(''9876500077'', ''New'', ''New Project'', owner => ''ravi'')', 'SELECT wacta.add_note(pg_temp.lead(1), ''x'')', 'SELECT wacta.log_ivr_call(''9876500001'')', 'SELECT * FROM wacta.process_ivr()', 'SELECT wacta.send_interactive(pg_temp.lead(1))', 'SELECT wacta.send_brochure(pg_temp.lead(1))',
    'SELECT * FROM wacta.send_campaign(''project_update_template'')', 'SELECT wacta.cancel_message(pg_temp.message(1))', 'SELECT * FROM wacta.explain_send(pg_temp.lead(1))', 'SELECT wacta.record_click(''x'')', 'SELECT wacta.opt_out(pg_temp.lead(1))', 'SELECT wacta.opt_in(pg_temp.lead(1), ''x'')',
    'SELECT wacta.schedule_follow_up(pg_temp.lead(1), ''x'')', 'SELECT wacta.close_follow_up(pg_temp.lead(1), ''x'')', 'SELECT wacta.generate_template(''Green Acres'')', 'SELECT * FROM wacta.lint_template(wacta.generate_template())', 'SELECT wacta.ai_prompt()', 'SELECT * FROM wacta.analytics()', 'SELECT * FROM wacta.courier_status()',
    'SELECT wacta.add_channel(format(''c%s'', clock_timestamp()), ''tata'')', 'SELECT wacta.pause_channel(''main'', ''x'')', 'SELECT wacta.resume_channel(''main'')', 'SELECT wacta.set_credential(''main'', ''access_token'', ''x'')', 'SELECT wacta.set_credential_file(''main'', ''access_token'', ''x'')', 'SELECT wacta.add_signing_key()',
    'SELECT wacta.retire_signing_key(1)', 'SELECT wacta.set_session_secret(repeat(''x'', 32))', 'SELECT wacta.add_project(format(''p%s'', session_user))', 'SELECT wacta.add_template(''t'', ''[{"type": "BODY", "text": "Hello there"}]'')', 'SELECT wacta.add_staff(''asha'', ''a long password'')',
    'SELECT wacta.settle(pg_temp.message(1), ''failed'', ''x'')', 'SELECT wacta.ingest_webhook(''meta'', ''whatsapp'', ''{}'')', 'SELECT wacta.replay(1)', 'SELECT * FROM wacta.examine_token(''x'', NULL, NULL)', 'SELECT * FROM wacta.token_check(''x'')',
    'SELECT wacta.courier_start(0)', 'SELECT * FROM wacta.courier_claim(0, 1)', 'SELECT * FROM wacta.courier_channel(1)', 'SELECT wacta.courier_wait()', 'SELECT wacta.courier_reap()', 'SELECT * FROM wacta.courier_settle(''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'')',
    'SELECT wacta_api.track_page(''x'')', 'SELECT wacta_api.track(''x'')', 'SELECT wacta_api.send_interactive_message(pg_temp.lead(1)::text)', 'SELECT wacta_api.generate_ai_template()', 'SELECT wacta_api.interactive_analytics()', 'SELECT wacta_api.webhook_challenge()', 'SELECT wacta_api.webhook_whatsapp(''{}'')',
    'SELECT wacta_api.webhook_ivr(''{}'')', 'SELECT wacta_api.login()', 'SELECT wacta_api.logout()', 'SELECT wacta_api.dashboard()', 'SELECT wacta_api.health()', 'SELECT wacta_http.sign_in(''a'', ''b'')', 'SELECT wacta_http.page(200, ''a'', ''b'')',
    'SET wacta.fixed_now = ''2000-01-01''', 'SHOW wacta.key_file', 'SHOW wacta.secret_dir', 'SET wacta.key_file = ''x''', 'CREATE TABLE wacta.squat ()', 'CREATE FUNCTION wacta_api.squat() RETURNS int LANGUAGE sql AS ''SELECT 1'''
  ]) WITH ORDINALITY w(what, n) ORDER BY n;

-- A role that was given nothing can do nothing
CREATE ROLE regress_wacta_nobody;
SELECT count(*) FROM pg_temp.func WHERE has_function_privilege('regress_wacta_nobody', oid, 'EXECUTE');
SELECT count(*) FROM pg_temp.rel WHERE has_any_column_privilege('regress_wacta_nobody', oid, 'SELECT, INSERT, UPDATE, REFERENCES') AND relkind <> 'S';
SELECT pg_temp.as_role('regress_wacta_nobody', 'SELECT * FROM wacta.lead'), pg_temp.as_role('regress_wacta_nobody', 'SELECT wacta.now()');
-- grant_agent() gives a site's own role what wacta_agent has
SELECT wacta.grant_agent('regress_wacta_nobody');
SELECT count(*) FROM pg_temp.func WHERE has_function_privilege('regress_wacta_nobody', oid, 'EXECUTE') <> has_function_privilege('wacta_agent', oid, 'EXECUTE');
DROP OWNED BY regress_wacta_nobody;
DROP ROLE regress_wacta_nobody;

-- A hostile object in the caller's path or temporary schema is not taken for ours
SELECT pg_temp.lead(1) AS asha \gset
CREATE TEMP TABLE lead (lead_id bigint, consent text);
CREATE TEMP TABLE config (only_row boolean, base_url text);
CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'infinity'::timestamptz $$;
CREATE FUNCTION pg_temp.format(text, text) RETURNS text LANGUAGE sql AS $$ SELECT 'hostile'::text $$;
CREATE FUNCTION pg_temp.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'hostile'::text $$;
SET search_path = pg_temp, public;
SELECT wacta.opt_out(:asha), wacta.opt_in(:asha, 'x'), wacta.word_meaning('STOP'), wacta.mint_link(:asha, 'interested') LIKE 'https://crm.example.com/t/%' AS link;
SELECT note FROM wacta.lead_note WHERE note LIKE '%hostile%';
