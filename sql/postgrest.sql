-- PostgREST's rules for the functions that it exposes, over the catalog and over the gateway's table of routes, which has to agree; and the
-- page that it makes of the comments. Each list must be empty unless it says what it shows.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set routes_c :abs_srcdir '/src/gateway/routes.c'
\set source_dir :abs_srcdir '/src'

CREATE VIEW pg_temp.exposed AS
  SELECT p.oid, p.proname AS name, p.prokind, p.provolatile, p.pronargs, p.pronargdefaults, p.proretset, p.proargnames AS names, p.proargmodes, p.proargtypes::oid[] AS types, p.prorettype, p.prosrc,
         t.typname AS returns, t.typnamespace::regnamespace::text AS returns_in, obj_description(p.oid) AS comment, pg_get_function_arguments(p.oid) AS arguments
    FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype WHERE p.pronamespace = 'wacta_api'::regnamespace;

-- The gateway's table: a function's name and arguments, and by which route and method it is reached.
CREATE TEMP VIEW called AS
  SELECT m[1] AS constant, m[2] AS name, m[3] AS input, CASE WHEN m[4] = 'NULL' THEN '{}' ELSE ('{' || m[4] || '}')::text[] END AS names
    FROM regexp_matches(pg_read_file(:'routes_c'), '\[FN_(\w+)\] = \{\s+"(\w+)",\s+"SELECT wacta_api[^{}]*(INPUT_\w+)[^{}]*\{([^}]*)\}', 'g') m;
CREATE TEMP VIEW route AS
  SELECT m[1] AS pattern, m[2] AS get, m[3] AS post, m[4] AS flags
    FROM regexp_matches(pg_read_file(:'routes_c'), '\t\{"(/[^"]+)", (?:FN\((\w+)\)|NULL), (?:FN\((\w+)\)|NULL), ([^}]+)\}', 'g') m;
SELECT (SELECT count(*) > 15 FROM called) AND (SELECT count(*) > 15 FROM route) AS table_is_read;

-- A plain function, of one value, all arguments named, or a single one without a name that takes raw bytes
SELECT name FROM pg_temp.exposed WHERE prokind <> 'f' OR proretset OR proargmodes IS NOT NULL;
SELECT name, arguments FROM pg_temp.exposed
 WHERE NOT (pronargs = 0 OR (names IS NULL AND types = ARRAY['bytea'::regtype::oid]) OR (cardinality(names) = pronargs AND '' <> ALL (names)));
-- no two of a name: PostgREST finds the media type's handler by the name alone
SELECT name, count(*) FROM pg_temp.exposed GROUP BY name HAVING count(*) > 1;
-- named arguments are text, so that what is wrong in a link is ours to answer
SELECT name, arguments FROM pg_temp.exposed, unnest(types) t WHERE names IS NOT NULL AND t <> 'text'::regtype;
-- none has a name that means something to PostgREST, nor a dot, of which it would take the last part
SELECT name, n FROM pg_temp.exposed, unnest(names) n
 WHERE n IN ('select', 'columns', 'order', 'limit', 'offset', 'and', 'or', 'not', 'on_conflict') OR n !~ '^[a-z][a-z_]*$';
-- customers and providers leave out what they like
SELECT e.name, e.arguments FROM pg_temp.exposed e JOIN called c USING (name) JOIN route r ON c.constant IN (r.get, r.post)
 WHERE r.flags ~ 'LINK|WEBHOOK|SESSION' AND e.names IS NOT NULL AND pronargs <> pronargdefaults;

-- What the gateway calls is there with the same arguments, and nothing else is; only nginx has to tell the method of a visit
SELECT c.name, c.names, e.names FROM called c FULL JOIN pg_temp.exposed e USING (name)
 WHERE c.name IS NULL OR e.name IS NULL OR CASE c.input WHEN 'INPUT_RAW' THEN e.names IS NOT NULL OR e.arguments <> 'bytea'
                                                ELSE c.names <> array_remove(coalesce(e.names, '{}'), CASE WHEN name = 'track_visit' THEN 'method' END) END;
-- what is reached by a GET writes nothing
SELECT r.pattern, e.name FROM route r JOIN called c ON c.constant = r.get JOIN pg_temp.exposed e USING (name) WHERE e.provolatile = 'v' AND r.flags !~ 'GET_WRITES';
-- and what is reached by a POST alone may write: PostgREST would run it in a transaction that only reads
SELECT r.pattern, e.name FROM route r JOIN called c ON c.constant = r.post JOIN pg_temp.exposed e USING (name) WHERE e.provolatile <> 'v' AND r.post IS DISTINCT FROM r.get;

-- Answers: JSON, nothing, or a domain named after the media type, in a schema that the web roles may use and PostgREST does not expose
SELECT name, returns FROM pg_temp.exposed WHERE NOT (returns IN ('jsonb', 'void') OR (returns_in = 'wacta_http' AND returns IN ('*/*', 'text/html')));
SELECT r.rolname, t.typname FROM pg_roles r, pg_type t
 WHERE r.rolname IN ('wacta_anon', 'wacta_agent', 'wacta_admin') AND t.typnamespace = 'wacta_http'::regnamespace AND t.typtype = 'd'
   AND NOT (has_schema_privilege(r.rolname, 'wacta_http', 'USAGE') AND has_type_privilege(r.rolname, t.oid, 'USAGE'));
-- those that are there
SELECT typname, format_type(typbasetype, NULL) AS base FROM pg_type WHERE typnamespace = 'wacta_http'::regnamespace AND typtype = 'd' ORDER BY 1;
-- a page carries its charset, since PostgREST gives none
SELECT proname FROM pg_proc WHERE pronamespace::regnamespace::text IN ('wacta_api', 'wacta_http') AND prosrc ~ '''Content-Type'', ''text/' AND prosrc !~ 'charset=utf-8';

-- No SQLSTATE 40001: PostgREST 12 to 14 retries it for ever. Not in SQL, not in C, and nothing runs SERIALIZABLE
SELECT p.oid::regprocedure FROM pg_proc p
 WHERE p.pronamespace::regnamespace::text IN ('wacta', 'wacta_api', 'wacta_http') AND p.prosrc ~* 'raise[^;]*(40001|serialization_failure)|errcode[^;]*(40001|serialization)|isolation level (repeatable|serializable)';
SELECT f FROM pg_ls_dir(:'source_dir') f WHERE f ~ '\.[ch]$' AND pg_read_file(:'source_dir' || '/' || f) ~ 'T_R_SERIALIZATION_FAILURE|SQLSTATE\(''4''|XACT_(SERIALIZABLE|REPEATABLE_READ)';
-- What the exposed functions raise has an HTTP status of its own
SELECT name, m[1] FROM pg_temp.exposed, regexp_matches(prosrc, 'RAISE(?! SQLSTATE ''PT[45]\d\d'')\s+([^;]*)', 'g') m;
-- settings of a request outlive it as empty strings: they are read through wacta_http.request()
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace::regnamespace::text IN ('wacta', 'wacta_api', 'wacta_http') AND p.prosrc ~ 'current_setting\(''request\.';

-- The first line of a comment is the summary of the page that PostgREST makes, what follows its description
SELECT name FROM pg_temp.exposed WHERE comment IS NULL OR comment !~ E'^[A-Z][^\n]{3,70}[^.\n]\n[^\n]';
-- The page
\pset format unaligned
\pset tuples_only on
SELECT obj_description('wacta_api'::regnamespace);
SELECT E'\n' || concat_ws(', ', CASE WHEN provolatile = 'v' THEN 'POST' ELSE 'GET, POST' END) || ' /rpc/' || name || '   ' || split_part(comment, E'\n', 1) || E'\n    '
       || replace(substr(comment, strpos(comment, E'\n') + 1), E'\n', E'\n    ')
       || coalesce(E'\n    takes ' || nullif(regexp_replace(regexp_replace(arguments, ' text| DEFAULT NULL::text|::text', '', 'g'), ' DEFAULT ', ' = ', 'g'), ''), '') || E'\n    for '
       || (SELECT string_agg(r, ', ' ORDER BY n) FROM unnest('{wacta_anon,wacta_agent,wacta_admin}'::text[]) WITH ORDINALITY x(r, n) WHERE has_function_privilege(r, e.oid, 'EXECUTE'))
  FROM pg_temp.exposed e ORDER BY name COLLATE "C";
