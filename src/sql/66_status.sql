-- Statuses: what the provider says of a message that it has taken.

CREATE FUNCTION wacta.apply_provider_status(s jsonb) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  echo  text := substring(coalesce(s ->> 'biz_opaque_callback_data', s ->> 'custom_callback_data') FROM '^wacta:outbox:([0-9]{1,18})$');
  state text := lower(s ->> 'status');
  m     wacta.message;
  e     record;
BEGIN
  IF state IS NULL OR state NOT IN ('sent', 'delivered', 'read', 'failed', 'played') THEN
    RETURN 'other status';
  END IF;
  IF echo IS NOT NULL THEN
    SELECT * INTO m FROM wacta.message q WHERE q.message_id = echo::bigint;
  END IF;
  IF m.message_id IS NULL THEN
    SELECT q.* INTO m FROM wacta.attempt a JOIN wacta.message q USING (lead_id, message_id) 
     WHERE hashtext(a.provider_id) IN (hashtext(s ->> 'id'), hashtext(s ->> 'gs_id')) AND a.provider_id IN (s ->> 'id', s ->> 'gs_id') LIMIT 1;
  END IF;
  IF m.message_id IS NULL THEN
    RETURN 'waiting';
  END IF;
  SELECT * INTO e FROM wacta.answer_error(s);
  e.detail := wacta.without_secret(e.detail, m.channel_id);
  PERFORM wacta.apply_status(m.lead_id, m.message_id, CASE state WHEN 'played' THEN 'read' ELSE state END::wacta.message_status,
            coalesce(wacta.try_timestamptz(s ->> 'timestamp'), wacta.now()), left(s ->> 'id', 300), e.code, e.detail, s -> 'pricing');
  IF state = 'failed' THEN
    PERFORM wacta.apply_failure(m, e.code, e.detail);
  ELSE
    PERFORM wacta.on_taken(ARRAY[m.lead_id], ARRAY[m.message_id], ARRAY[m.purpose]);
  END IF;
  RETURN 'status';
END
$$;
COMMENT ON FUNCTION wacta.apply_provider_status(jsonb) IS 'Applies a status of the provider to its message, found by the id that it echoes, or by the wamid.';

-- Consequences beyond the message. The message itself is not sent again: its failure came after it had been accepted.
CREATE FUNCTION wacta.apply_failure(m wacta.message, code integer, detail text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  rule record := wacta.error_action(code, NULL, 0);
BEGIN
  CASE rule.action
    WHEN 'suppress' THEN
      PERFORM wacta.withdraw_once(m.lead_id, jsonb_build_object('code', code, 'message', m.message_id));
    WHEN 'hold_template' THEN
      PERFORM wacta.hold_template(m.template_id, detail, code);
    -- the sender's own trouble counts when it is told for the first time, not on a replay after it was mended
    WHEN 'stop_sender' THEN
      IF m.failed_at IS NULL THEN
        PERFORM wacta.hold_channel(m.channel_id, true, NULL, detail);
      END IF;
    WHEN 'pause_sender' THEN
      IF m.failed_at IS NULL THEN
        PERFORM wacta.hold_channel(m.channel_id, false, wacta.now() + coalesce(rule.wait, interval '1 hour'), detail);
      END IF;
    WHEN 'throttle_sender' THEN
      IF m.failed_at IS NULL THEN
        PERFORM wacta.slow_sender(m.channel_id);
      END IF;
    ELSE NULL;
  END CASE;
END
$$;
COMMENT ON FUNCTION wacta.apply_failure(wacta.message, integer, text) IS 'What a failure told by webhook means for the person, the template or the sender.';
