-- Prints docs/reference.md from a database that has the extension and its roles:
--
--   psql -XqAt -d crm -f docs/reference.sql > docs/reference.md
--
-- Everything but the introductions comes from the catalogs: COMMENTs, grants and settings.
-- test/t/901_docs.pl fails when the page is not what this prints.

\pset format unaligned
\pset tuples_only on
\set ON_ERROR_STOP on
SET search_path = pg_catalog, pg_temp;
SET intervalstyle = 'postgres';

CREATE TEMP VIEW routine AS
  SELECT p.oid, n.nspname AS schema, p.proname AS name,
         format('**%s.%s**`(%s)`%s', n.nspname, p.proname,
                replace(regexp_replace(pg_get_function_arguments(p.oid), '::[a-z0-9_. ]+(\[\])?', '', 'g'), 'timestamp with time zone', 'timestamptz'),
                CASE WHEN p.proargmodes && '{o,b}' OR p.prorettype = 'void'::regtype THEN ''
                     ELSE format(' → `%s`', replace(pg_get_function_result(p.oid), 'timestamp with time zone', 'timestamptz')) END) AS signature,
         replace(replace(obj_description(p.oid, 'pg_proc'), '<', '&lt;'), E'\n', E'  \n') AS comment,
         CASE WHEN p.proname ~ '^(lint_(body|footer|header|buttons?)|elements|has_emoji|variable_count|percent|examine_outbox|examine_inbox|counted_refusals|find_alerts)$' THEN 'internal'   -- parts of others
              WHEN has_function_privilege('wacta_agent', p.oid, 'EXECUTE') THEN 'agent'
              WHEN has_function_privilege('wacta_admin', p.oid, 'EXECUTE') THEN 'admin'
              WHEN has_function_privilege('wacta_courier', p.oid, 'EXECUTE') THEN 'courier'
              WHEN p.proname ~ '^(create_roles|grant_|session_jwt$|ingest_webhook$)' THEN 'owner'
              ELSE 'internal' END AS for_whom
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
   WHERE n.nspname IN ('wacta', 'wacta_api', 'wacta_http');

CREATE TEMP VIEW relation AS
  SELECT c.oid, c.relname AS name, c.relkind = 'v' AS is_view,
         replace(replace(obj_description(c.oid, 'pg_class'), '<', '&lt;'), E'\n', ' ') AS comment,
         CASE WHEN has_table_privilege('wacta_agent', c.oid, 'SELECT') THEN 'agents and administrators'
              WHEN has_any_column_privilege('wacta_admin', c.oid, 'SELECT') THEN 'administrators'
              ELSE 'the owner alone' END AS readers,
         concat_ws(', ', CASE WHEN has_table_privilege('wacta_admin', c.oid, 'INSERT') THEN 'INSERT' END,
                   CASE WHEN has_any_column_privilege('wacta_admin', c.oid, 'UPDATE') THEN 'UPDATE' END,
                   CASE WHEN has_table_privilege('wacta_admin', c.oid, 'DELETE') THEN 'DELETE' END) AS writes
    FROM pg_class c
   WHERE c.relnamespace = 'wacta'::regnamespace AND c.relkind IN ('r', 'v');

CREATE TEMP VIEW relation_column AS
  SELECT r.oid, a.attnum, format('| `%s` | %s | %s | %s |', a.attname, replace(format_type(a.atttypid, a.atttypmod), 'timestamp with time zone', 'timestamptz'),
           coalesce('`' || replace(regexp_replace(pg_get_expr(d.adbin, d.adrelid), '::[a-z0-9_. ]+(\[\])?', '', 'g'), '|', '\|') || '`', ''),
           coalesce(replace(replace(replace(col_description(r.oid, a.attnum), '<', '&lt;'), '|', '\|'), E'\n', ' '), '')) AS line
    FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum);

\qecho '# wacta: reference'
\qecho
\qecho 'Printed by [reference.sql](reference.sql) from the comments, grants and settings of the extension; edit those, not this page.'
\qecho
\qecho '- [Functions for applications and staff](#functions-for-applications-and-staff)'
\qecho '- [Functions for administrators](#functions-for-administrators)'
\qecho '- [Functions for the owner](#functions-for-the-owner)'
\qecho '- [HTTP](#http)'
\qecho '- [Settings of the server](#settings-of-the-server)'
\qecho '- [Settings of a database](#settings-of-a-database)'
\qecho '- [Views](#views)'
\qecho '- [Tables](#tables)'
\qecho '- [What the courier calls](#what-the-courier-calls)'
\qecho '- [Inside](#inside)'
\qecho
\qecho '## Functions for applications and staff'
\qecho
\qecho 'Role `wacta_agent`, and any role that is a member of it or was given to `wacta.grant_agent()`.'
\qecho
SELECT signature || E'  \n' || comment || E'\n' FROM routine WHERE schema = 'wacta' AND for_whom = 'agent' ORDER BY oid;
\qecho '## Functions for administrators'
\qecho
\qecho 'Role `wacta_admin`, which may also call everything above.'
\qecho
SELECT signature || E'  \n' || comment || E'\n' FROM routine WHERE schema = 'wacta' AND for_whom = 'admin' ORDER BY oid;
\qecho '## Functions for the owner'
\qecho
\qecho 'Granted to nobody: the role that ran CREATE EXTENSION calls them.'
\qecho
SELECT signature || E'  \n' || comment || E'\n' FROM routine WHERE schema = 'wacta' AND for_whom = 'owner' ORDER BY oid;
\qecho '## HTTP'
\qecho
\qecho 'One function an endpoint and method. A path may end in a slash or not; parameters that no function knows are ignored.'
\qecho 'Arguments come from the path, the query and, with POST, a form or a JSON object; `confirm` only from the last two. `bytea`'
\qecho 'is the raw body.'
\qecho
\qecho '| request | function | who may | |'
\qecho '| --- | --- | --- | --- |'
SELECT format('| %s | `%s` | %s | %s |', route,
         regexp_replace(r.name || '(' || pg_get_function_identity_arguments(r.oid) || ')', ' text', '', 'g'),
         CASE WHEN has_function_privilege('wacta_anon', r.oid, 'EXECUTE') THEN 'anyone'
              WHEN has_function_privilege('wacta_agent', r.oid, 'EXECUTE') THEN 'agents' ELSE 'administrators' END || proof,
         replace(btrim(split_part(r.comment, E'\n', 1)), '|', '\|'))
  FROM (VALUES
    (1, 'GET `/t/<token>`, GET `/track/<lead_id>/?token=…&action=…`', 'track_page', ', with a token'),
    (2, 'POST to the same', 'track', ', with a token'),
    (3, 'POST `/send-interactive-message/`', 'send_interactive_message', ''),
    (4, 'GET, POST `/generate-ai-template/`', 'generate_ai_template', ''),
    (5, 'GET `/interactive-analytics/`', 'interactive_analytics', ''),
    (6, 'GET `/webhook/whatsapp/integration/`', 'webhook_challenge', ', with the verify token'),
    (7, 'POST `/webhook/whatsapp/integration/`, `…/delivery/`, `…/messages/`', 'webhook_whatsapp', ', with a signature or key'),
    (8, 'POST, GET `/webhook/ivr/<source>/`', 'webhook_ivr', ', with the key or a signature'),
    (9, 'GET, POST `/whatsapp-interactive/`, GET `/login/`', 'dashboard', '; others get the sign-in page'),
    (20, 'GET `/whatsapp-interactive/people/`', 'people', '; others are led to the sign-in page'),
    (21, 'GET `/whatsapp-interactive/people.csv`', 'people_csv', '; others are led to the sign-in page'),
    (22, 'POST `/record-call/`', 'record_call', ''),
    (23, 'POST `/save-template/`', 'save_template', ''),
    (24, 'POST `/submit-template/`', 'submit_template', ''),
    (25, 'POST `/write-template/`', 'write_template', ''),
    (10, 'POST `/login/`', 'login', ''),
    (11, 'POST `/logout/`', 'logout', ''),
    (26, 'GET `/password/`', 'password_page', '; others get the sign-in page'),
    (27, 'POST `/password/`', 'change_password', ''),
    (12, 'GET `/health/`', 'health', '')) AS h (nr, route, name, proof)
  JOIN routine r ON r.schema = 'wacta_api' AND r.name = h.name
 ORDER BY nr;
\qecho
\qecho 'A key of a webhook is shown in the header `X-Wacta-Key`, `X-Api-Key` or one of the site''s own, as `?key=…`, as one more segment'
\qecho 'at the end of the path, as the password of basic authentication, or as a bearer token: see [webhooks.md](webhooks.md). Staff show a session cookie (from `/login/`) or a JWT'
\qecho '(`Authorization: Bearer`, HS256 or RS256, claim `role`).'
\qecho
\qecho 'An error is JSON, `{"code", "message", "details", "hint"}`; `code` is the SQLSTATE. `PTxyz` is HTTP status xyz.'
\qecho
\qecho 'Limits of the gateway: a form or JSON has at most 64 kB and JSON 32 levels (413, 400), a webhook `--max-body` (413), a head'
\qecho '`--max-headers` (431) and 100 lines (400). An address of which too much was refused gets 429, and so do sign-ins beyond 18 at once.'
\qecho 'A request for which there is no connection, or a body for which there is no memory, gets 503. 429 and 503 come with `Retry-After`.'
\qecho 'POST `/login/` and `/logout/` from another site, and any POST from there with a session cookie, get 403. GET `/metrics` is the gateway''s'
\qecho 'own, without a function: figures for Prometheus. [gateway.md](gateway.md) has the rest.'
\qecho
\qecho '## Settings of the server'
\qecho
\qecho 'In `postgresql.conf` or by ALTER SYSTEM. *reload*: `SELECT pg_reload_conf()` is enough; *restart*: the server must be restarted.'
\qecho
\qecho '| setting | default | takes effect | |'
\qecho '| --- | --- | --- | --- |'
SELECT format('| `%s` | %s | %s | %s |', name,
         coalesce(nullif(format('`%s`', CASE unit WHEN 'ms' THEN regexp_replace(boot_val, '000$', 's') ELSE boot_val END), '``'), 'empty'),
         CASE context WHEN 'postmaster' THEN 'restart' WHEN 'sighup' THEN 'reload' ELSE 'at once' END,
         concat_ws(' ', short_desc, extra_desc, CASE WHEN vartype = 'integer' THEN format('%s to %s%s.', min_val, max_val, CASE unit WHEN 'ms' THEN ' ms' END) END))
  FROM pg_settings
 WHERE name LIKE 'wacta.%' AND name <> 'wacta.fixed_now' ORDER BY name <> 'wacta.databases', name;
\qecho
\qecho '`wacta.fixed_now` pins the clock in tests and has no place on a live server.'
\qecho
\qecho '## Settings of a database'
\qecho
\qecho '`UPDATE wacta.config SET …` as an administrator. The table has one row.'
\qecho
\qecho '| column | type | default | |'
\qecho '| --- | --- | --- | --- |'
SELECT line FROM relation_column c WHERE c.oid = 'wacta.config'::regclass AND attnum > 1 ORDER BY attnum;
\qecho
\qecho '## Views'
\qecho
SELECT format(E'**wacta.%s**: %s  \nColumns: %s.\n', name, comment,
              (SELECT string_agg('`' || attname || '`', ', ' ORDER BY attnum) FROM pg_attribute a WHERE a.attrelid = r.oid AND attnum > 0))
  FROM relation r WHERE is_view ORDER BY name;
\qecho '## Tables'
\qecho
\qecho 'Applications read them and change them by the functions above; what an administrator may write by hand is said with the table.'
\qecho
SELECT format(E'### wacta.%s\n\n%s Read by %s.%s\n\n| column | type | default | |\n| --- | --- | --- | --- |\n%s\n', name, comment, readers,
              ' Administrators may ' || nullif(writes, '') || '.', (SELECT string_agg(line, E'\n' ORDER BY attnum) FROM relation_column c WHERE c.oid = r.oid))
  FROM relation r WHERE NOT is_view AND name <> 'config' ORDER BY r.oid;
\qecho '## What the courier calls'
\qecho
\qecho 'Role `wacta_courier`, which may do nothing else.'
\qecho
SELECT signature || E'  \n' || comment || E'\n' FROM routine WHERE schema = 'wacta' AND for_whom = 'courier' ORDER BY oid;
\qecho '## Inside'
\qecho
\qecho 'For those who work on wacta. They are not meant to be called from outside, and may change without notice.'
\qecho
SELECT format('- `%s.%s`: %s', schema, name, replace(comment, E'  \n', ' ')) FROM routine
 WHERE for_whom = 'internal' AND schema <> 'wacta_api' ORDER BY oid;
