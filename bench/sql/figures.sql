-- Messages of ninety days, what became of them, and what people answered. Without triggers, for ten millions are many; then all is counted.
-- Variable: messages.
SELECT wacta.add_project('Project ' || n) FROM generate_series(2, 5) n;
SELECT wacta.add_template('pitch_' || n, wacta.generate_template('Palm Residency') -> 'components') FROM generate_series(2, 6) n;
SET session_replication_role = replica;
INSERT INTO wacta.lead (lead_id, name, status, stage) SELECT n, 'Asha Rao', 'Contacted', 'Contacted' FROM generate_series(1, :messages / 2 + 1) n;
INSERT INTO wacta.message (lead_id, message_id, purpose, channel_id, template_id, project_id, status, reason, enqueued_at, due_at, expires_at, attempts, accepted_at, cost)
SELECT 1 + n / 2, 1000000000 + n, CASE WHEN n % 10 = 0 THEN 'brochure' ELSE 'pitch' END, 1, 1 + n % 6, 1 + n % 5,
       (ARRAY['read', 'read', 'read', 'delivered', 'delivered', 'sent', 'accepted', 'read', 'failed', 'suppressed'])[1 + n % 7 + n % 4]::wacta.message_status,
       CASE WHEN 1 + n % 7 + n % 4 > 8 THEN 'for the figures' END, at, at, at + interval '3 days', 1, CASE WHEN 1 + n % 7 + n % 4 < 9 THEN at END, 0.0107
  FROM generate_series(1, :messages) n, LATERAL (SELECT now() - interval '90 days' * (n / :messages::float8) AS at) t;
INSERT INTO wacta.click (lead_id, message_id, project_id, template_id, channel_id, message_at, action, via, effective, kind, clicked_at)
SELECT lead_id, message_id, project_id, template_id, channel_id, enqueued_at, CASE WHEN message_id % 3 = 0 THEN 'not_interested' ELSE 'interested' END, 'link',
       k.kind = 'tap', k.kind, least(now(), enqueued_at + interval '1 hour')
  FROM wacta.message, (VALUES ('tap'), ('view'), ('preview')) k(kind)
 WHERE message_id % 4 = 0;
RESET session_replication_role;
VACUUM ANALYZE;
SELECT wacta.rebuild_funnel();
VACUUM ANALYZE wacta.funnel, wacta.funnel_delta, wacta.audience, wacta.audience_delta;
CHECKPOINT;

-- So many taps that nobody has folded yet.
CREATE PROCEDURE tap(count integer) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. count LOOP
    INSERT INTO wacta.click (lead_id, message_id, project_id, template_id, channel_id, message_at, action, via, effective)
    SELECT m.lead_id, m.message_id, m.project_id, m.template_id, m.channel_id, m.enqueued_at, 'interested', 'link', true
      FROM wacta.message m WHERE m.message_id = 1000000000 + i;
    IF i % 100 = 0 THEN
      COMMIT;
    END IF;
  END LOOP;
END
$$;
