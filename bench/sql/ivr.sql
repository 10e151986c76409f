-- Calls that are not processed yet, each of a person of its own. Variables: calls (how many).
INSERT INTO wacta.lead (lead_id, name, project_id, consent) SELECT n, 'Asha Rao', 1, 'granted' FROM generate_series(1, :calls) n;
INSERT INTO wacta.lead_identity (kind, value, lead_id) SELECT 'phone', '+' || 919800000000 + n, n FROM generate_series(1, :calls) n;
SELECT setval('wacta.lead_or_message_id', :calls);

CREATE FUNCTION fill(calls integer) RETURNS void LANGUAGE sql AS $$
  INSERT INTO wacta.ivr_call (source, provider_call_id, lead_id, told, caller, progress, started_at)
  SELECT 'manual', 'call ' || n, n, jsonb_build_object('direction', '[3, "inbound"]'::jsonb, 'customer', jsonb_build_array(113, '+' || 919800000000 + n)),
         '+' || 919800000000 + n, 4, now() - (calls - n) * interval '1 ms'
    FROM generate_series(1, calls) n
$$;

CREATE PROCEDURE prepare() LANGUAGE plpgsql AS $$
DECLARE
  calls integer := (SELECT count(*) FROM wacta.lead);
BEGIN
  TRUNCATE wacta.message, wacta.ivr_call;
  PERFORM fill(calls);
  ANALYZE wacta.ivr_call;
  COMMIT;
END
$$;

CREATE FUNCTION process_by_hand() RETURNS void LANGUAGE sql AS $$
  WITH sent AS (
    INSERT INTO wacta.message (lead_id, purpose, channel_id, template_id, project_id, expires_at)
    SELECT lead_id, 'pitch', 1, 1, 1, now() + interval '3 days' FROM wacta.ivr_call WHERE processed_at IS NULL ORDER BY started_at
    RETURNING lead_id, message_id)
  UPDATE wacta.ivr_call c SET processed_at = now(), outcome = 'queued', message_id = s.message_id FROM sent s WHERE c.lead_id = s.lead_id
$$;

CREATE FUNCTION left_out() RETURNS bigint LANGUAGE sql AS $$
  SELECT nullif(count(*) FILTER (WHERE c.outcome IS DISTINCT FROM 'queued' OR m.message_id IS NULL OR q.message_id IS NULL), 0)
    FROM wacta.ivr_call c LEFT JOIN wacta.message m USING (lead_id, message_id) LEFT JOIN wacta.queue q USING (lead_id, message_id)
$$;
