-- The states of a message: what may become what, and that provider's statuses end in the same row in whatever order they come.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include

-- Queued with the project's template and the default channel
SELECT wacta.upsert_lead('9876500001', 'Asha Rao', 'Green Acres') AS asha, wacta.upsert_lead('9876500002', 'Vikram') AS vikram \gset
SELECT wacta.send_interactive(:asha) AS a, wacta.send_interactive(:vikram) AS b, wacta.send_interactive(:vikram, 'project_brochure') AS c \gset
SELECT CASE m.message_id WHEN :a THEN 'a' WHEN :b THEN 'b' WHEN :c THEN 'c' END AS message, pg_temp.who(m.lead_id) AS who, m.purpose, t.name AS template, p.name AS project, m.status, m.due_at, m.expires_at, m.attempts FROM wacta.message m LEFT JOIN wacta.template t USING (template_id) LEFT JOIN wacta.project p ON p.project_id = m.project_id ORDER BY 1;
SELECT pg_temp.attempt('SELECT wacta.send_interactive(4711)'), pg_temp.attempt('SELECT wacta.send_interactive(NULL)'), pg_temp.attempt('SELECT wacta.send_interactive(pg_temp.lead(1), ''no_such_template'')'), replace(pg_temp.attempt('SELECT wacta.send_brochure(pg_temp.lead(2))'), :'vikram', 'HIS ID') AS attempt, pg_temp.attempt('SELECT wacta.send_brochure(4711)');
SELECT pg_temp.attempt('SELECT * FROM wacta.send_campaign(''no_such_template'')'), pg_temp.attempt('SELECT * FROM wacta.send_campaign(''project_update_template'', ''Nowhere'')'), (SELECT count(*) FROM wacta.send_campaign('project_update_template', leads => '{}')) AS nobody;
SELECT wacta.cancel_message(:a), wacta.cancel_message(:a) AS again, wacta.cancel_message(4711) AS unknown, wacta.cancel_message(:asha) AS a_lead;
SELECT status, reason FROM wacta.message WHERE message_id = :a;

-- Rows that contradict themselves cannot exist
SELECT pg_temp.attempt('UPDATE wacta.message SET status = ''sending'''), pg_temp.attempt('UPDATE wacta.message SET status = ''failed'' WHERE message_id = pg_temp.message(2)'), pg_temp.attempt('UPDATE wacta.message SET lease_until = wacta.now()'), pg_temp.attempt('UPDATE wacta.message SET status = ''lost''');

-- The lattice. For each set of four statuses below, every order of them, and every order with one of them told twice, ends in one and the same row.
CREATE TEMP TABLE told (what text, nr int, status wacta.message_status, at int, code int, detail text, pricing jsonb);
INSERT INTO told VALUES
  ('delivered', 1, 'sent', 10, NULL, NULL, '{"billable": true, "category": "marketing"}'), ('delivered', 2, 'delivered', 20, NULL, NULL, '{"billable": true, "category": "utility"}'), ('delivered', 3, 'read', 30, NULL, NULL, NULL), ('delivered', 4, 'sent', 11, NULL, NULL, NULL),
  ('failed twice', 1, 'sent', 10, NULL, NULL, NULL), ('failed twice', 2, 'failed', 20, 131026, 'undeliverable', NULL), ('failed twice', 3, 'failed', 20, 131047, 're-engagement', NULL), ('failed twice', 4, 'failed', 25, 131000, 'something', NULL),
  ('failed, then seen', 1, 'failed', 15, 131026, 'undeliverable', NULL), ('failed, then seen', 2, 'delivered', 20, NULL, NULL, NULL), ('failed, then seen', 3, 'failed', 12, 131047, 're-engagement', NULL), ('failed, then seen', 4, 'sent', 10, NULL, NULL, NULL),
  ('read alone', 1, 'read', 30, NULL, NULL, NULL), ('read alone', 2, 'read', 29, NULL, NULL, NULL), ('read alone', 3, 'read', 31, NULL, NULL, NULL), ('read alone', 4, 'failed', 28, NULL, NULL, NULL);
CREATE TEMP TABLE told_in_order AS
  SELECT nextval('wacta.lead_or_message_id') AS message_id, s.what, f.start, ARRAY[a, b, c, d] || twice AS nrs
    FROM (SELECT DISTINCT what FROM told) s, unnest('{accepted,in_doubt,sending,queued}'::wacta.message_status[]) f(start),
         generate_series(1, 4) a, generate_series(1, 4) b, generate_series(1, 4) c, generate_series(1, 4) d, LATERAL (SELECT '{}'::int[] UNION ALL SELECT ARRAY[x] FROM generate_series(1, 4) x) t(twice)
   WHERE a <> ALL (ARRAY[b, c, d]) AND b <> ALL (ARRAY[c, d]) AND c <> d;
INSERT INTO wacta.message (lead_id, message_id, purpose, channel_id, expires_at, status, reason, lease_until, wamid)
SELECT :asha, message_id, 'pitch', 1, wacta.now(), start, CASE start WHEN 'in_doubt' THEN 'time-out' END, CASE start WHEN 'sending' THEN wacta.now() END, 'wamid.1' FROM told_in_order;
DO $$
DECLARE
  asha bigint := pg_temp.lead(1);
  o record;
  t told;
BEGIN
  FOR o IN SELECT r.message_id, r.what, n.nr FROM told_in_order r, unnest(r.nrs) WITH ORDINALITY n(nr, place) ORDER BY r.message_id, n.place LOOP
    SELECT * INTO t FROM told x WHERE (x.what, x.nr) = (o.what, o.nr);
    PERFORM wacta.apply_statuses(ARRAY[jsonb_build_object('id', 'wamid.1', 'status', t.status, 'timestamp', 1756188000 + t.at, 'pricing', t.pricing,
      'biz_opaque_callback_data', 'wacta:outbox:' || o.message_id, 'errors', jsonb_build_array(jsonb_build_object('code', t.code, 'title', t.detail)))]);
  END LOOP;
END
$$;
SELECT what, count(*) AS orders, count(DISTINCT to_jsonb(m) - 'message_id') AS rows FROM told_in_order JOIN wacta.message m USING (message_id) GROUP BY 1 ORDER BY 1;
SELECT DISTINCT what, m.status, m.reason, m.error_code AS code, m.accepted_at, m.sent_at, m.delivered_at, m.read_at, m.failed_at, m.pricing FROM told_in_order JOIN wacta.message m USING (message_id) ORDER BY 1;
DELETE FROM wacta.message WHERE message_id IN (SELECT message_id FROM told_in_order);
-- a status of a message that is not there is nobody's
SELECT wacta.apply_statuses(ARRAY['{"status": "read", "biz_opaque_callback_data": "wacta:outbox:4711"}'::jsonb]), (SELECT count(*) FROM wacta.message WHERE status = 'read') AS read;

-- Each message is in exactly one state, always
SELECT * FROM wacta.message_accounting \gx
