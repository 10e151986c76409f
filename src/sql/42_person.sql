-- One person under several names, and what must hold under each of them.

-- A phone and a business-scoped user id that come together are one person, whoever was known under the id before. What that one
-- had withdrawn stays withdrawn: an opt-out must hold under either name.
CREATE FUNCTION wacta.link_user_id(lead_id bigint, user_id text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  other bigint;
BEGIN
  INSERT INTO wacta.lead_identity (kind, value, lead_id) VALUES ('user_id', $2, $1) ON CONFLICT DO NOTHING;
  SELECT i.lead_id INTO other FROM wacta.lead_identity i WHERE (i.kind, i.value) = ('user_id', $2);
  IF other = $1 THEN
    RETURN;
  END IF;
  UPDATE wacta.lead_identity i SET lead_id = $1 WHERE (i.kind, i.value) = ('user_id', $2);
  PERFORM wacta.add_note($1, format('Is the same person as lead %s', other));
  IF (SELECT l.consent FROM wacta.lead l WHERE l.lead_id = other) = 'withdrawn' THEN
    PERFORM wacta.withdraw($1, 'withdrawn under another identity', jsonb_build_object('lead', other));
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.link_user_id(bigint, text) IS 'Gives a business-scoped user id to a lead; an opt-out under that id goes with it.';

-- The person behind a message or a preference: by user id, by wa_id, by phone; made when unknown.
CREATE FUNCTION wacta.inbound_lead(wa_id text, user_id text, name text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  digits text := ltrim(wa_id, '+');
  phone  text := wacta.check_e164('+' || digits);
  person text := left(user_id, 200);
  id     bigint := (SELECT i.lead_id FROM wacta.lead_identity i WHERE (i.kind, i.value) = ('wa_id', digits));
BEGIN
  IF id IS NULL AND phone IS NOT NULL THEN
    id := wacta.find_or_create_lead('phone', phone, NULL, NULL, 'whatsapp');
  ELSIF id IS NULL AND person IS NOT NULL THEN
    id := wacta.find_or_create_lead('user_id', person, NULL, NULL, 'whatsapp');
  END IF;
  IF id IS NOT NULL AND person IS NOT NULL THEN
    PERFORM wacta.link_user_id(id, person);
  END IF;
  UPDATE wacta.lead l SET name = wacta.clean_name($3) WHERE l.lead_id = id AND l.name IS NULL AND wacta.clean_name($3) IS NOT NULL;
  RETURN id;
END
$$;
COMMENT ON FUNCTION wacta.inbound_lead(text, text, text) IS 'The lead that wrote to us, made when it is not known yet.';

-- The provider's word comes again, on a replay or a repetition, maybe after the person has changed their mind.
CREATE FUNCTION wacta.withdraw_once(lead_id bigint, evidence jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM wacta.consent_event e WHERE e.lead_id = $1 AND e.event = 'withdrawn' AND e.evidence = $2) THEN
    PERFORM wacta.withdraw($1, 'stopped at WhatsApp', $2);
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.withdraw_once(bigint, jsonb) IS 'Withdraws consent by the provider''s word, unless the same word was recorded before.';
