-- Every function of the extension is called as every role, and every table is read and written as every role. All comes from the
-- catalog, so that what is added later is tried as well.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SET client_min_messages = error;
\o /dev/null
SELECT wacta.set_session_secret('a session secret of 32 characters and more'), wacta.add_staff('asha', 'correct horse battery');
SELECT wacta.send_interactive(wacta.upsert_lead('9876500001', 'Asha', 'Green Acres'));
SELECT wacta.log_ivr_call('9876500001', provider_call_id => 'c1', source => 'smartflo');
SELECT wacta.schedule_follow_up(pg_temp.lead(1), 'to call back');
SELECT wacta.ingest_webhook('meta', 'whatsapp', '{}', '{}');
SELECT wacta.record_click(pg_temp.token(pg_temp.message(1)));
\o
CREATE TABLE public.site_lead (id integer PRIMARY KEY, mobile text);
ALTER TABLE public.site_lead OWNER TO wacta_admin;
CREATE FUNCTION pg_temp.hook(jsonb) RETURNS void LANGUAGE sql AS 'SELECT';
CREATE ROLE regress_stranger;
CREATE ROLE regress_monitor;
SELECT wacta.grant_monitor('regress_monitor');
CREATE TEMP VIEW role AS
  SELECT rolname, rolname::regrole AS oid FROM unnest('{wacta_anon,wacta_agent,wacta_admin,wacta_courier,wacta_gateway,regress_monitor,regress_stranger}'::name[]) rolname;
CREATE TEMP VIEW member AS
  SELECT d.classid, d.objid FROM pg_depend d WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'wacta');

-- What a function is called with: nothing at first, i.e. its defaults, and NULL where it has none; then something for each argument,
-- by its name or its type, so that it comes further than to its first check.
CREATE TEMP TABLE sample (name text, type text, value text);
INSERT INTO sample VALUES
  ('lead_id', 'bigint', pg_temp.lead(1)), ('lead_id', 'text', pg_temp.lead(1)), ('lead', 'text', pg_temp.lead(1)), ('for_lead', 'bigint', pg_temp.lead(1)), ('leads', 'bigint[]', format('{%s}', pg_temp.lead(1))),
  ('id', 'bigint', pg_temp.message(1)), ('message_id', 'bigint', pg_temp.message(1)), ('person', 'text', '9876500001'), ('phone', 'text', '9876500001'), ('caller', 'text', '9876500002'), ('numbers', 'text[]', '{9876500003}'), ('raw', 'text', '9876500001'),
  ('typed', 'text', '98765'), ('digits', 'text', '9876500001'), ('country', 'text', 'IN'), ('action', 'text', 'interested'), ('for_action', 'text', 'interested'), ('token', 'text', pg_temp.token(pg_temp.message(1))), ('method', 'text', 'round_robin'),
  ('provider', 'text', 'meta'), ('channel', 'text', 'main'), ('owner', 'text', 'asha'), ('project', 'text', 'Green Acres'), ('template', 'text', 'project_update_template'), ('brochure_template', 'text', 'project_brochure'), ('project', 'integer', '1'),
  ('template', 'jsonb', wacta.generate_template('Green Acres')), ('draft', 'text', wacta.generate_template('Green Acres')), ('language', 'text', 'en'), ('template_id', 'text', '1'), ('components', 'jsonb', '[{"type": "BODY", "text": "Hello there"}]'),
  ('days', 'text', '30'), ('time_zone', 'text', 'Asia/Kolkata'), ('source', 'text', 'smartflo'), ('format', 'text', 'smartflo'), ('show', 'text', 'sent'), ('verdict', 'text', 'failed'), ('moment', 'text', 'created'), ('scheduler', 'text', 'timer'),
  ('username', 'text', 'asha'), ('password', 'text', 'another good password'), ('new_password', 'text', 'another good password'), ('old_password', 'text', 'correct horse battery'), ('members', 'text[]', '{asha}'), ('secret', 'text', repeat('x', 32)),
  ('result', 'text', 'no_answer'), ('outcome', 'text', 'done'), ('job', 'text', 'follow_ups'), ('kind', 'text', 'whatsapp'), ('role', 'text', 'wacta_agent'), ('event', 'text', 'lead_created'), ('after', 'text', NULL), ('brochure_link', 'text', 'https://cdn.example.com/x.pdf'), ('base_url', 'text', 'https://graph.example.com'), ('status', 'text', NULL), ('discard_queue', 'boolean', 'false'), ('before', 'timestamp with time zone', '2025-01-01'),
  ('relation', 'regclass', 'site_lead'), ('mapping', 'jsonb', '{"phone": "mobile"}'), ('function', 'regprocedure', 'pg_temp.hook(jsonb)'), ('addresses', 'cidr[]', '{192.0.2.0/24}'),
  (NULL, 'text', 'x'), (NULL, 'bigint', '1'), (NULL, 'integer', '1'), (NULL, 'boolean', 'true'), (NULL, 'jsonb', '{}'), (NULL, 'bytea', 'x'), (NULL, 'timestamp with time zone', '2025-08-27'), (NULL, 'text[]', '{x}'), (NULL, 'integer[]', '{1}'), (NULL, 'bigint[]', '{1}');
-- Not as constants: a strict function of NULL would be simplified away, and nobody would be asked for a right.
CREATE FUNCTION pg_temp.call_of(f oid, with_samples boolean) RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN count(a.nr) = 0 THEN format('SELECT %s()', f::regproc) ELSE
           format('SELECT %s(%s) FROM (SELECT %s OFFSET 0) v', f::regproc, string_agg(format('%sa%s', CASE WHEN a.nr = a.pronargs AND a.provariadic <> 0 THEN 'VARIADIC ' END, a.nr), ', ' ORDER BY a.nr),
                  string_agg(format('%L::%s AS a%s', s.value, format_type(a.type, NULL), a.nr), ', ' ORDER BY a.nr)) END
    FROM (SELECT p.pronargs, p.provariadic, u.type, u.nr, regexp_replace(p.proargnames[u.nr], '^p_', '') AS name FROM pg_proc p, unnest(p.proargtypes::oid[]) WITH ORDINALITY u(type, nr)
           WHERE p.oid = f AND ($2 OR u.nr <= p.pronargs - p.pronargdefaults)) a
    LEFT JOIN LATERAL (SELECT s.value FROM sample s WHERE $2 AND coalesce(s.name = a.name, true) AND s.type = format_type(a.type, NULL) ORDER BY s.name IS NULL LIMIT 1) s ON true
$$;

-- Runs a statement as a role and takes back what it did; its SQLSTATE and message, and the rows it wrote, whatever became of them.
CREATE FUNCTION pg_temp.writes() RETURNS TABLE (relname name, n bigint) LANGUAGE sql AS
$$ SELECT c.relname, pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid) + pg_stat_get_xact_tuples_deleted(c.oid) FROM pg_class c WHERE c.relnamespace = 'wacta'::regnamespace AND c.relkind = 'r' $$;
CREATE FUNCTION pg_temp.try(role name, statement text, OUT code text, OUT message text) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('role', role, true);
  EXECUTE statement;
  RAISE SQLSTATE 'ZZ000';
EXCEPTION WHEN others THEN
  -- the role is what it was before, like all else
  code := CASE SQLSTATE WHEN 'ZZ000' THEN 'ok' ELSE SQLSTATE END;
  message := SQLERRM;
END
$$;

-- The calls

CREATE TEMP TABLE call AS
  SELECT r.rolname, p.oid::regprocedure AS f, p.proname, n AS samples, pg_temp.call_of(p.oid, n) AS statement,
         has_schema_privilege(r.oid, p.pronamespace, 'USAGE') AND has_function_privilege(r.oid, p.oid, 'EXECUTE') AS may, NULL::text AS code, NULL::text AS message, NULL::text[] AS wrote
    FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid CROSS JOIN role r CROSS JOIN (VALUES (false), (true)) v(n);
DO $$
DECLARE
  c      record;
  before jsonb;
  came   record;
BEGIN
  FOR c IN SELECT ctid, * FROM call LOOP
    before := (SELECT jsonb_object_agg(w.relname, w.n) FROM pg_temp.writes() w);
    came := pg_temp.try(c.rolname, c.statement);
    UPDATE call SET code = came.code, message = came.message, wrote = (SELECT array_agg(w.relname ORDER BY w.relname) FROM pg_temp.writes() w WHERE w.n > (before ->> w.relname)::bigint) WHERE ctid = c.ctid;
  END LOOP;
END
$$;
SELECT count(DISTINCT f) > 700 AS functions, count(DISTINCT rolname) AS roles, count(*) FILTER (WHERE may) > 400 AS allowed, count(*) FILTER (WHERE NOT may) > 7000 AS refused, count(*) FILTER (WHERE code IS NULL) AS not_tried FROM call;
-- Who may not is refused before anything is done: at the schema or at the function itself, and nothing was written
SELECT rolname, f, code, message FROM call WHERE NOT may AND (code <> '42501' OR message NOT IN ('permission denied for schema wacta', 'permission denied for schema wacta_api', 'permission denied for schema wacta_http', 'permission denied for function ' || proname));
SELECT rolname, f, wrote FROM call WHERE NOT may AND wrote IS NOT NULL;
-- Who may gets through: no right is missing inside, nothing that the function needs is missing, and there is no error of ours
SELECT rolname, f, samples, code, message FROM call WHERE may AND code ~ '^(42501|42883|42P01|42703|42804|42702|40001|XX)';
-- but refusals of our own; and most calls with something do something
SELECT rolname, count(*) FILTER (WHERE code = 'ok') > count(*) / 2 AS most FROM call WHERE may AND samples GROUP BY 1 ORDER BY 1;
-- What the calls of those who are not administrators write: no setting, no sender, no secret, no account but its own password and what signing in counts
SELECT rolname, string_agg(DISTINCT t, ' ' ORDER BY t) AS writes FROM call, unnest(wrote) t WHERE rolname <> 'wacta_admin' GROUP BY 1 ORDER BY 1;

-- Tables, views and sequences: each column read, written at its default and to itself; all rows deleted, and written anew

CREATE TEMP TABLE touch AS
  SELECT r.rolname, c.oid::regclass AS relation, c.relname, c.relkind, o.act, format(o.statement, c.oid::regclass, quote_ident(t.attname)) AS statement,
         has_schema_privilege(r.oid, c.relnamespace, 'USAGE') AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(r.oid, c.oid, 'USAGE')
           WHEN o.act IN ('DELETE', 'TRUNCATE') THEN has_table_privilege(r.oid, c.oid, o.act) ELSE has_column_privilege(r.oid, c.oid, t.attnum, o.act) END AS may, NULL::text AS code, NULL::text AS message
    FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind IN ('r', 'v', 'S') CROSS JOIN role r
    CROSS JOIN (VALUES ('SELECT', 'SELECT count(%2$s) FROM %1$s'), ('INSERT', 'INSERT INTO %1$s (%2$s) VALUES (DEFAULT)'), ('UPDATE', 'UPDATE %1$s SET %2$s = DEFAULT WHERE false'), ('UPDATE', 'UPDATE %1$s SET %2$s = %2$s'),
                       ('DELETE', 'DELETE FROM %1$s'), ('INSERT', 'WITH gone AS (DELETE FROM %1$s RETURNING *) INSERT INTO %1$s OVERRIDING SYSTEM VALUE SELECT * FROM gone'), ('TRUNCATE', 'TRUNCATE %1$s'), ('USAGE', 'SELECT nextval(''%1$s'')')) o(act, statement)
    LEFT JOIN pg_attribute t ON c.relkind <> 'S' AND t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped AND o.act IN ('SELECT', 'INSERT', 'UPDATE')
   WHERE (c.relkind = 'S') = (o.act = 'USAGE') AND (c.relkind <> 'v' OR o.act = 'SELECT')
     -- by whoever may all of it: a column to itself, all rows anew
     AND (o.statement NOT LIKE '%gone%' OR t.attnum = 1 AND has_table_privilege(r.oid, c.oid, 'SELECT') AND has_table_privilege(r.oid, c.oid, 'INSERT') AND has_table_privilege(r.oid, c.oid, 'DELETE'))
     AND (o.statement NOT LIKE '%= %2$s' OR has_column_privilege(r.oid, c.oid, t.attnum, 'SELECT') AND has_column_privilege(r.oid, c.oid, t.attnum, 'UPDATE'));
UPDATE touch SET (code, message) = (SELECT t.code, t.message FROM pg_temp.try(rolname, statement) t);
SELECT count(DISTINCT relation) > 100 AS relations, count(*) FILTER (WHERE may) > 1500 AS allowed, count(*) FILTER (WHERE NOT may) > 10000 AS refused, count(*) FILTER (WHERE code IS NULL) AS not_tried FROM touch;
-- exactly what is granted; and where that is so, nothing behind the table or the view asks for more
SELECT rolname, statement, code, message FROM touch
 WHERE may <> (code <> '42501') OR code ~ '^(42883|42P01|42703|42804|40001|XX)' OR (NOT may AND message !~ ('^permission denied for (schema wacta|(table|view|sequence) ' || relname || ')$'));
-- no view can be written, by whomever
SELECT DISTINCT a.grantee::regrole, c.relname, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'wacta'::regnamespace AND c.relkind = 'v' AND a.grantee <> c.relowner AND a.privilege_type <> 'SELECT';
DROP TABLE public.site_lead;
DROP OWNED BY regress_monitor;
DROP ROLE regress_monitor, regress_stranger;
