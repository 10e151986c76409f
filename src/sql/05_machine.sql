--
-- 05_machine: what the launcher and the workers offer to SQL.
--
-- The C code stands in src/wake.c, src/status.c and src/backoff.c.
--

CREATE FUNCTION wacta.wake_courier() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wacta_wake_courier';
COMMENT ON FUNCTION wacta.wake_courier() IS
'Trigger for statements that add messages: wakes the couriers of this database when the transaction commits.';
REVOKE ALL ON FUNCTION wacta.wake_courier() FROM PUBLIC;

CREATE FUNCTION wacta.wake() RETURNS void
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wacta_wake';
COMMENT ON FUNCTION wacta.wake() IS
'Wakes the couriers of this database when the transaction commits: for what makes messages due without adding any.';
REVOKE ALL ON FUNCTION wacta.wake() FROM PUBLIC;

CREATE FUNCTION wacta.wake_launcher() RETURNS void
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wacta_wake_launcher';
COMMENT ON FUNCTION wacta.wake_launcher() IS
'Has the launcher look again, when the transaction commits, for couriers that found nothing to do in this database.';
REVOKE ALL ON FUNCTION wacta.wake_launcher() FROM PUBLIC;

CREATE FUNCTION wacta.courier_status(
    OUT database name,
    OUT courier int,
    OUT pid int,
    OUT state text,
    OUT since timestamptz,
    OUT in_flight int,
    OUT claimed bigint,
    OUT accepted bigint,
    OUT failed bigint,
    OUT in_doubt bigint,
    OUT retried bigint,
    OUT restarts int,
    OUT next_start timestamptz,
    OUT last_error text,
    OUT last_error_at timestamptz
) RETURNS SETOF record
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wacta_courier_status';
COMMENT ON FUNCTION wacta.courier_status() IS
'One row for each courier of the server: what it does, what it has done since the server or its entry in wacta.databases was made, and why it does not run.
last_error is what is wrong, or was within the last ten minutes.';
REVOKE ALL ON FUNCTION wacta.courier_status() FROM PUBLIC;

CREATE FUNCTION wacta.inbox_worker_status(
    OUT database name,
    OUT pid int,
    OUT state text,
    OUT since timestamptz,
    OUT restarts int,
    OUT next_start timestamptz,
    OUT last_error text,
    OUT last_error_at timestamptz
) RETURNS SETOF record
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wacta_inbox_worker_status';
COMMENT ON FUNCTION wacta.inbox_worker_status() IS
'One row for each inbox worker of the server: what it does, and why it does not run.
last_error is what is wrong, or was within the last ten minutes.';
REVOKE ALL ON FUNCTION wacta.inbox_worker_status() FROM PUBLIC;

CREATE FUNCTION wacta.backoff(
    attempt int,
    base interval,
    cap interval,
    jitter float8,
    seed bigint
) RETURNS interval
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'wacta_backoff';
COMMENT ON FUNCTION wacta.backoff(int, interval, interval, float8, bigint) IS
'The delay after the given attempt: base doubled each time, at most cap, then shortened by up to the share jitter of it; the same seed gives the same delays.';
REVOKE ALL ON FUNCTION wacta.backoff(int, interval, interval, float8, bigint) FROM PUBLIC;

CREATE FUNCTION wacta.query_as(role oid, query text, arguments text[] DEFAULT '{}', path text DEFAULT '') RETURNS SETOF text[]
LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'wacta_query_as';
COMMENT ON FUNCTION wacta.query_as(oid, text, text[], text) IS
'Runs a statement with a role''s rights, not with those of the extension''s owner; its rows as arrays of texts. Settings that it
changes are as before afterwards.';
REVOKE ALL ON FUNCTION wacta.query_as(oid, text, text[], text) FROM PUBLIC;

CREATE FUNCTION wacta.texts_of(row_ record, columns text[]) RETURNS text[]
LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'wacta_texts_of';
COMMENT ON FUNCTION wacta.texts_of(record, text[]) IS
'Columns of a row as texts that do not depend on the session''s settings; no cast is evaluated. NULL: there is no such column.';
REVOKE ALL ON FUNCTION wacta.texts_of(record, text[]) FROM PUBLIC;

CREATE FUNCTION wacta.in_worker() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT session_user = current_setting('wacta.worker_role') $$;
COMMENT ON FUNCTION wacta.in_worker() IS
'Whether this is one of wacta''s own workers. What they record has happened outside: no hook and no CRM can refuse it.';
REVOKE ALL ON FUNCTION wacta.in_worker() FROM PUBLIC;
