-- What people write or tap in the chat, and what they set there.

-- What a text or a button says: interested, not_interested, stop, start, or NULL.
CREATE FUNCTION wacta.word_meaning(said text, is_button boolean) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN word = ANY (c.stop_words) THEN 'stop' WHEN word = ANY (c.start_words) THEN 'start'
              WHEN is_button AND word IN ('interested', 'not interested') THEN replace(word, ' ', '_') END
    FROM wacta.config c, LATERAL (SELECT btrim(regexp_replace(lower(replace($1, '_', ' ')), '[[:space:][:punct:]\u2190-\u21FF\u2300-\u27BF\u2B00-\u2BFF\uFE0F\u20E3\U0001F000-\U0001FAFF]+', ' ', 'g')) AS word) w
$$;
COMMENT ON FUNCTION wacta.word_meaning(text, boolean) IS 'What a person said: stop, start, interested, not_interested, or NULL for anything else.';

CREATE FUNCTION wacta.apply_inbound(m jsonb, value jsonb) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  contact jsonb := coalesce(CASE WHEN jsonb_typeof(value -> 'contacts') = 'array' THEN value #> '{contacts,0}' ELSE value -> 'contacts' END, '{}');
  lead    bigint := wacta.inbound_lead(coalesce(m ->> 'from', contact ->> 'wa_id'), coalesce(m ->> 'from_user_id', contact ->> 'user_id'), contact #>> '{profile,name}');
  button  text := coalesce(m #>> '{button,text}', m #>> '{interactive,button_reply,title}', m #>> '{interactive,list_reply,title}');
  said    text := left(coalesce(button, m #>> '{text,body}', format('(%s)', coalesce(m ->> 'type', 'message'))), 4096);
  at      timestamptz := coalesce(wacta.try_timestamptz(m ->> 'timestamp'), wacta.now());
  replied bigint;
BEGIN
  IF lead IS NULL THEN
    RETURN 'waiting';
  END IF;
  IF NOT wacta.add_note(lead, format('%s: %s', CASE WHEN button IS NULL THEN 'Wrote' ELSE 'Tapped' END, said), left(m ->> 'id', 300), at) THEN
    RETURN 'repeated';
  END IF;
  -- a message or a quick reply opens the customer service window; a tap on a link does not
  UPDATE wacta.lead l SET window_until = greatest(l.window_until, at + interval '24 hours') WHERE l.lead_id = lead;
  SELECT q.message_id INTO replied FROM wacta.message q WHERE q.lead_id = lead AND q.wamid = m #>> '{context,id}';
  PERFORM FROM wacta.lead l WHERE l.lead_id = lead FOR NO KEY UPDATE;
  CASE wacta.word_meaning(said, button IS NOT NULL)
    WHEN 'stop' THEN PERFORM wacta.decide(lead, replied, 'not_interested', 'word', true, jsonb_build_object('said', said, 'wamid', m ->> 'id'));
    WHEN 'start' THEN
      -- webhooks are repeated for days: a START that is older than the person's STOP brings nothing back
      IF NOT EXISTS (SELECT FROM wacta.consent_event e WHERE e.lead_id = lead AND e.event = 'withdrawn' AND e.happened_at > at) THEN
        PERFORM wacta.opt_in(lead, jsonb_build_object('said', said, 'wamid', m ->> 'id')::text);
      END IF;
    WHEN 'interested' THEN PERFORM wacta.decide(lead, replied, 'interested', 'button', false, jsonb_build_object('said', said, 'wamid', m ->> 'id'));
    WHEN 'not_interested' THEN PERFORM wacta.decide(lead, replied, 'not_interested', 'button', true, jsonb_build_object('said', said, 'wamid', m ->> 'id'));
    ELSE NULL;
  END CASE;
  RETURN 'message';
END
$$;
COMMENT ON FUNCTION wacta.apply_inbound(jsonb, jsonb) IS
'Applies a message of a person: noted once, opens the window; stop and start words and our buttons have their effect.';

CREATE FUNCTION wacta.apply_preference(p jsonb) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lead bigint := wacta.inbound_lead(p ->> 'wa_id', p ->> 'user_id', NULL);
BEGIN
  PERFORM FROM wacta.lead l WHERE l.lead_id = lead FOR NO KEY UPDATE;
  IF lead IS NULL THEN
    RETURN 'waiting';
  ELSIF p ->> 'value' = 'stop' THEN
    PERFORM wacta.withdraw_once(lead, p);
  -- an older resume than the person's last word brings nothing back
  ELSIF p ->> 'value' = 'resume' AND NOT EXISTS (
      SELECT FROM wacta.consent_event e
       WHERE e.lead_id = lead AND (e.evidence = p OR e.happened_at > wacta.try_timestamptz(p ->> 'timestamp'))) THEN
    PERFORM wacta.record_consent(lead, 'granted', 'resumed at WhatsApp', p);
  END IF;
  RETURN 'preference';
END
$$;
COMMENT ON FUNCTION wacta.apply_preference(jsonb) IS 'Applies a user_preferences event: stop withdraws consent, resume grants it.';
