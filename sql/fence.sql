-- The fence: what the queue is bound to, why it is held, and how that is lifted.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SET timezone = 'UTC';
SET wacta.fixed_now = '2025-08-26 06:00:00+00';
-- it was installed before the clock was pinned
UPDATE wacta.fence SET bound_at = wacta.now(), last_seen_at = wacta.now();
-- The problem, without what differs from cluster to cluster
CREATE FUNCTION pg_temp.problem() RETURNS text LANGUAGE sql AS
$$ SELECT replace(wacta.fence_problem(), i.node_id, '<this node>') FROM wacta.cluster_identity() i $$;
CREATE FUNCTION pg_temp.claimed() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM wacta.courier_claim(0, 10) $$;

-- What this cluster is, and that a new extension is bound to it
SELECT i.system_identifier = s.system_identifier AS system, i.timeline_id = c.timeline_id AS timeline, d.datname = current_database() AS database, i.node_id ~ '^[0-9a-f]{16}$' AS node
  FROM wacta.cluster_identity() i JOIN pg_database d ON d.oid = i.database_oid, pg_control_system() s, pg_control_checkpoint() c;
SELECT i = (f.system_identifier, f.timeline_id, f.database_oid, f.node_id) AS bound, f.bound_at, f.last_seen_at FROM wacta.fence f, wacta.cluster_identity() i;
SELECT wacta.fence_problem(), wacta.fence_heartbeat(), wacta.is_failover();
-- the node's name is short and plain
ALTER SYSTEM SET wacta.node_id = 'db 1';
ALTER SYSTEM SET wacta.node_id = 'größe';
SELECT repeat('x', 65) AS long \gset
ALTER SYSTEM SET wacta.node_id = :'long';
ALTER SYSTEM SET wacta.failover = 'perhaps';
SHOW wacta.failover;

-- The heartbeat: noted every ten seconds, not at each claim
SELECT pg_temp.advance('9 seconds') \g /dev/null
SELECT pg_temp.claimed();
SELECT last_seen_at FROM wacta.fence;
SELECT pg_temp.advance('1 second') \g /dev/null
SELECT pg_temp.claimed();
SELECT last_seen_at, bound_at FROM wacta.fence;

-- Each mismatch has its own words; the first one that differs is told
BEGIN;
UPDATE wacta.fence SET node_id = 'elsewhere';
SELECT pg_temp.problem();
UPDATE wacta.fence SET timeline_id = 7;
SELECT pg_temp.problem();
UPDATE wacta.fence SET installation = 1;
SELECT pg_temp.problem();
UPDATE wacta.fence SET database_oid = 1;
SELECT pg_temp.problem();
UPDATE wacta.fence SET system_identifier = 42;
SELECT pg_temp.problem();
DELETE FROM wacta.fence;
SELECT pg_temp.problem();
SELECT wacta.unfence('the row was lost');
SELECT pg_temp.problem(), count(*) FROM wacta.fence;
SELECT problem, old_identity FROM wacta.fence_event;
ROLLBACK;
-- a restored row takes the place of the seeded one
BEGIN;
INSERT INTO wacta.fence VALUES (true, 42, 1, 1, 1, 'elsewhere', '2025-08-01', '2025-08-02');
SELECT count(*), pg_temp.problem() FROM wacta.fence;
ROLLBACK;

-- Held: nothing is claimed, what waits goes on waiting, and the heartbeat stands still
SELECT wacta.send_interactive(wacta.upsert_lead('9876500001', 'Asha', 'Green Acres')) AS asha, wacta.send_interactive(wacta.upsert_lead('9876500002', 'Vikram', 'Green Acres')) AS vikram \gset
UPDATE wacta.fence SET timeline_id = 7, node_id = 'elsewhere';
SELECT pg_temp.claimed();
SELECT pg_temp.advance('1 minute') \g /dev/null
SELECT pg_temp.claimed(), wacta.is_failover();
SELECT last_seen_at FROM wacta.fence;
SELECT status, attempts, reason FROM wacta.message;

-- Lifting it needs a reason, and is remembered
SELECT pg_temp.attempt(format('SELECT wacta.unfence(%L)', r)) FROM unnest(ARRAY[NULL, '', ' ']) r;
SELECT pg_temp.claimed();
SET ROLE wacta_admin;
SELECT wacta.unfence('db1 is off');
RESET ROLE;
SELECT wacta.fence_problem();
SELECT pg_temp.claimed();
SELECT happened_at, recorded_by = session_user AS by_us, reason, replace(problem, i.node_id, '<this node>') AS problem, discarded, old_identity ->> 'node_id' AS old_node, old_identity -> 'timeline_id' AS old_timeline,
       new_identity ->> 'node_id' = i.node_id AS new_node, new_identity -> 'timeline_id' AS new_timeline FROM wacta.fence_event, wacta.cluster_identity() i;
SELECT pg_temp.attempt(s) FROM unnest('{UPDATE wacta.fence_event SET reason = NULL,DELETE FROM wacta.fence_event,TRUNCATE wacta.fence_event}'::text[]) s;
-- once more: there is nothing to lift, and nothing to discard on the original
SELECT wacta.unfence('db1 is off');
SELECT pg_temp.attempt($$SELECT wacta.unfence('by mistake', discard_queue => true)$$);
SELECT count(*) FROM wacta.fence_event;

-- A copy to test with: what is queued is cancelled, what was being sent is not
SELECT wacta.send_interactive(wacta.upsert_lead('9876500003', 'Meera', 'Green Acres')) AS meera \gset
UPDATE wacta.fence SET system_identifier = 42;
SELECT wacta.unfence('a copy to test with', discard_queue => true);
SELECT pg_temp.who(lead_id) AS who, status, reason FROM wacta.message ORDER BY message_id;
SELECT reason, discarded FROM wacta.fence_event ORDER BY event_id DESC LIMIT 1;
SELECT pg_temp.claimed();

-- Who may: administrators look and lift, agents and couriers do neither
SELECT r AS role, has_function_privilege(r, 'wacta.unfence(text, boolean)', 'EXECUTE') AS unfence, has_function_privilege(r, 'wacta.fence_problem()', 'EXECUTE') AS look,
       has_table_privilege(r, 'wacta.fence', 'SELECT') AS reads, has_table_privilege(r, 'wacta.fence', 'UPDATE') OR has_table_privilege(r, 'wacta.fence_event', 'INSERT') AS writes
  FROM unnest('{wacta_anon,wacta_agent,wacta_admin,wacta_courier,wacta_gateway}'::text[]) r;
