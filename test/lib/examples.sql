-- The site of the examples in docs/analytics.md: two projects, eight people, three days of messages and what came of them.
\o /dev/null
SELECT wacta.add_signing_key();
SELECT wacta.add_channel('main', 'meta', '106540352242922');
SELECT wacta.add_template('project_update', wacta.generate_template('Green Acres') -> 'components');
SELECT wacta.add_template('project_update_2', wacta.generate_template('Green Acres') -> 'components');
SELECT wacta.add_project('Green Acres', template => 'project_update'), wacta.add_project('Palm Residency', template => 'project_update_2');

CREATE FUNCTION pg_temp.send(n integer, project text, cost numeric) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  id bigint := wacta.send_interactive(wacta.upsert_lead('+9198765000' || n, (ARRAY['Asha Rao', 'Ravi Iyer', 'Meera Das', 'Imran Khan', 'Divya Nair', 'Tom Peter', 'Leela Sen', 'Arjun Pal'])[n - 10], project));
BEGIN
  UPDATE wacta.message SET status = 'delivered', accepted_at = wacta.now(), attempts = 1, cost = send.cost WHERE message_id = id;
  RETURN id;
END
$$;
CREATE FUNCTION pg_temp.token(n integer, decision text) RETURNS text LANGUAGE sql AS $$
  SELECT split_part(wacta.mint_link(max(m.message_id), $2), '/t/', 2) FROM wacta.message m WHERE m.lead_id = wacta.lead_by_phone('+9198765000' || $1) $$;
CREATE FUNCTION pg_temp.tap(n integer, decision text) RETURNS void LANGUAGE sql AS $$
  SELECT wacta.record_click(pg_temp.token($1, $2), $2, NULL, '{"explicit": true}') $$;

SET wacta.fixed_now = '2026-03-14 10:00+05:30';
SELECT pg_temp.send(n, 'Green Acres', 0.80) FROM generate_series(11, 14) n;
UPDATE wacta.message SET status = 'failed', reason = 'the number is not on WhatsApp', error_code = 131026, accepted_at = NULL, cost = NULL WHERE lead_id = wacta.lead_by_phone('+919876500014');
UPDATE wacta.message SET status = 'read' WHERE lead_id IN (wacta.lead_by_phone('+919876500011'), wacta.lead_by_phone('+919876500012'));
SELECT wacta.record_visit(pg_temp.token(11, 'interested'), 'interested', NULL, '{"agent": "WhatsApp/2.24"}');
SELECT pg_temp.tap(11, 'interested'), pg_temp.tap(11, 'interested'), pg_temp.tap(12, 'not_interested');
SET wacta.fixed_now = '2026-03-15 10:00+05:30';
SELECT pg_temp.send(n, 'Palm Residency', 0.80) FROM generate_series(15, 17) n;
SELECT pg_temp.tap(15, 'interested');
SET wacta.fixed_now = '2026-03-16 10:00+05:30';
SELECT pg_temp.send(18, 'Palm Residency', 0.75), pg_temp.send(11, 'Palm Residency', 0.75);
SELECT pg_temp.tap(12, 'interested');
\o
