-- One person under several names, and what must hold under each of them.

-- Gives a lead one more name. The unique key of the identity decides between two sessions; whoever had the name before is the
-- same person.
CREATE FUNCTION wacta.add_identity(lead_id bigint, kind text, value text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  owner bigint;
BEGIN
  LOOP
    SELECT i.lead_id INTO owner FROM wacta.lead_identity i WHERE (i.kind, i.value) = ($2, $3);
    IF FOUND THEN
      RETURN CASE WHEN owner = $1 THEN owner ELSE wacta.merge_leads($1, owner) END;
    END IF;
    INSERT INTO wacta.lead_identity (kind, value, lead_id)
    SELECT $2, $3, l.lead_id FROM wacta.lock_lead($1) l WHERE l.forgotten_at IS NULL
    ON CONFLICT DO NOTHING RETURNING lead_identity.lead_id INTO owner;
    IF FOUND THEN
      PERFORM wacta.inherit_suppression(owner, $3);
      RETURN owner;
    ELSIF EXISTS (SELECT FROM wacta.lead l WHERE l.lead_id = wacta.living_lead($1) AND l.forgotten_at IS NOT NULL) THEN
      RETURN $1;                                         -- what an answer still tells of somebody forgotten is not kept
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION wacta.add_identity(bigint, text, text) IS
'Gives a lead one more identity, and merges with it whoever had that before; returns the lead that both are.';

CREATE FUNCTION wacta.link_user_id(lead_id bigint, user_id text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT wacta.add_identity($1, 'user_id', left($2, 200)) $$;
COMMENT ON FUNCTION wacta.link_user_id(bigint, text) IS
'A lead and a business-scoped user id that came together are one person; returns its lead. An opt-out under either holds for both.';

-- For a whole webhook or a batch of answers at once: only what is not known yet costs more than a look.
CREATE FUNCTION wacta.link_user_ids(leads bigint[], user_ids text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM wacta.link_user_id(u.lead, u.user_id)
     FROM (SELECT DISTINCT u.lead, u.user_id FROM unnest($1, $2) u(lead, user_id) WHERE u.user_id <> '' ORDER BY 1, 2) u
    WHERE NOT EXISTS (SELECT FROM wacta.lead_identity i WHERE (i.kind, i.value, i.lead_id) = ('user_id', left(u.user_id, 200), u.lead));
END
$$;
COMMENT ON FUNCTION wacta.link_user_ids(bigint[], text[]) IS 'Links leads to the business-scoped user ids that came with them, an array element each.';

-- The courier's answers wait behind this, so it waits for nobody: a lead that is in hand learns its wa_id from the next answer.
CREATE FUNCTION wacta.add_wa_ids(leads bigint[], wa_ids text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  added wacta.lead_identity;
BEGIN
  FOR added IN
    INSERT INTO wacta.lead_identity (kind, value, lead_id)
    SELECT 'wa_id', left(u.wa_id, 200), l.lead_id
      FROM unnest($1, $2) u(lead, wa_id)
     CROSS JOIN LATERAL (SELECT x.lead_id FROM wacta.lead x WHERE x.lead_id = u.lead AND x.forgotten_at IS NULL FOR KEY SHARE SKIP LOCKED) l
     WHERE u.wa_id ~ '^[0-9]+$' AND NOT EXISTS (SELECT FROM wacta.lead_identity i WHERE (i.kind, i.value, i.lead_id) = ('phone', '+' || u.wa_id, u.lead))
    ON CONFLICT DO NOTHING RETURNING *
  LOOP
    PERFORM wacta.inherit_suppression(added.lead_id, added.value);
  END LOOP;
END
$$;
COMMENT ON FUNCTION wacta.add_wa_ids(bigint[], text[]) IS
'Notes under which wa_id the provider knows whom we dialled: who answers from it is this person.';

-- The person behind a message or a preference: by number, by user id; made when unknown. Locked, so that nobody merges or forgets
-- them while we write what they said.
CREATE FUNCTION wacta.inbound_lead(wa_id text, user_id text, name text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  digits text := left(ltrim(wa_id, '+'), 200);
  phone  text := wacta.read_number('+' || digits);
  person text := nullif(left(user_id, 200), '');
  id     bigint := (SELECT i.lead_id FROM wacta.lead_identity i WHERE (i.kind, i.value) = ('wa_id', digits));
  other  bigint := (SELECT i.lead_id FROM wacta.lead_identity i WHERE (i.kind, i.value) = ('phone', phone));
  clean  text := wacta.clean_name($3);
BEGIN
  IF id <> other THEN                                    -- two numbers of one account, each entered by itself
    id := wacta.merge_leads(id, other);
  ELSIF id IS NULL AND phone IS NOT NULL THEN
    id := wacta.find_or_create_lead('phone', phone, NULL, NULL, 'whatsapp');
  ELSIF id IS NULL AND person IS NOT NULL THEN
    id := wacta.find_or_create_lead('user_id', person, NULL, NULL, 'whatsapp');
  ELSIF id IS NULL AND digits ~ '^[0-9]{5,20}$' THEN     -- no number by wacta.country, but who wrote from it exists
    id := wacta.find_or_create_lead('wa_id', digits, NULL, NULL, 'whatsapp');
  ELSIF id IS NULL THEN
    RETURN NULL;
  END IF;
  id := CASE WHEN phone <> '+' || digits THEN wacta.add_identity(id, 'wa_id', digits) ELSE id END;
  id := CASE WHEN person IS NOT NULL THEN wacta.add_identity(id, 'user_id', person) ELSE id END;
  id := (wacta.lock_lead(id)).lead_id;
  UPDATE wacta.lead x SET name = clean WHERE x.lead_id = id AND x.name IS NULL AND clean IS NOT NULL;
  RETURN id;
END
$$;
COMMENT ON FUNCTION wacta.inbound_lead(text, text, text) IS 'The lead that wrote to us, made when it is not known yet, and locked.';

-- Merging

-- What is one person's own tables. The rows of a message go with it as they are, also while it is being sent: the courier finds
-- it again by wacta.merged_lead.
CREATE FUNCTION wacta.move_rows(from_lead bigint, to_lead bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE wacta.lead_identity i SET lead_id = $2 WHERE i.lead_id = $1;
  UPDATE wacta.lead_note n SET lead_id = $2
   WHERE n.lead_id = $1 AND NOT EXISTS (SELECT FROM wacta.lead_note x WHERE x.lead_id = $2 AND x.ref = n.ref);
  UPDATE wacta.reply r SET lead_id = $2
   WHERE r.lead_id = $1 AND NOT EXISTS (SELECT FROM wacta.reply x WHERE x.lead_id = $2 AND x.wamid = r.wamid);
  IF EXISTS (SELECT FROM wacta.follow_up f WHERE f.lead_id = $2 AND f.closed_at IS NULL) THEN          -- one open call a person
    UPDATE wacta.follow_up f SET closed_at = wacta.now(), outcome = 'merged' WHERE f.lead_id = $1 AND f.closed_at IS NULL;
  END IF;
  UPDATE wacta.follow_up f SET lead_id = $2 WHERE f.lead_id = $1;
  PERFORM FROM wacta.message m WHERE m.lead_id = $1 ORDER BY m.message_id FOR UPDATE;      -- as all lock them
  UPDATE wacta.message m SET lead_id = $2 WHERE m.lead_id = $1;
  UPDATE wacta.attempt a SET lead_id = $2 WHERE a.lead_id = $1;
  DELETE FROM wacta.click k USING wacta.click x                                  -- visits of the same hour are one
   WHERE k.lead_id = $1 AND k.kind NOT IN ('tap', 'scanner') AND x.lead_id = $2 AND (x.action, x.kind) = (k.action, k.kind)
     AND date_bin('1 hour', x.clicked_at, '2000-01-01 00:00+00') = date_bin('1 hour', k.clicked_at, '2000-01-01 00:00+00');
  UPDATE wacta.click k SET lead_id = $2 WHERE k.lead_id = $1;
  UPDATE wacta.ivr_call c SET lead_id = $2 WHERE c.lead_id = $1;
  PERFORM wacta.move_reached($1, $2);
  UPDATE wacta.merged_lead g SET merged_into = $2 WHERE g.merged_into = $1;
END
$$;
COMMENT ON FUNCTION wacta.move_rows(bigint, bigint) IS 'Gives all that was one lead''s to another one, but for its words in the ledger.';

-- Two people reached who are one are one person of the portfolio's limit.
CREATE FUNCTION wacta.move_reached(from_lead bigint, to_lead bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  WITH twice AS (
    DELETE FROM wacta.reached r USING wacta.reached x
     WHERE r.lead_id = $1 AND x.lead_id = $2 AND r.portfolio_id = x.portfolio_id
    RETURNING r.portfolio_id, r.reached_at
  ), newest AS (
    UPDATE wacta.reached x SET reached_at = greatest(x.reached_at, t.reached_at) FROM twice t
     WHERE (x.portfolio_id, x.lead_id) = (t.portfolio_id, $2)
  )
  UPDATE wacta.portfolio p SET people = p.people - 1 FROM twice t WHERE p.portfolio_id = t.portfolio_id;
  UPDATE wacta.reached r SET lead_id = $2 WHERE r.lead_id = $1;
END
$$;
COMMENT ON FUNCTION wacta.move_reached(bigint, bigint) IS 'Merges the places that two leads take in the limits of people a day.';

-- Status and stage of whoever decided last; without a decision, of whoever has got further than New.
CREATE FUNCTION wacta.merge_row(kept wacta.lead, gone wacta.lead) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  kept_at timestamptz := (SELECT max(k.clicked_at) FROM wacta.click k WHERE k.lead_id = kept.lead_id AND k.effective);
  gone_at timestamptz := (SELECT max(k.clicked_at) FROM wacta.click k WHERE k.lead_id = gone.lead_id AND k.effective);
  theirs  boolean := coalesce(gone_at > kept_at, gone_at IS NOT NULL OR (kept_at IS NULL AND kept.status = 'New'));
BEGIN
  UPDATE wacta.lead l
     SET name = coalesce(kept.name, gone.name), project_id = coalesce(kept.project_id, gone.project_id),
         owner = coalesce(kept.owner, gone.owner), source = coalesce(kept.source, gone.source), time_zone = coalesce(kept.time_zone, gone.time_zone),
         status = CASE WHEN theirs THEN gone.status ELSE kept.status END, stage = CASE WHEN theirs THEN gone.stage ELSE kept.stage END,
         window_until = greatest(kept.window_until, gone.window_until), created_at = least(kept.created_at, gone.created_at), updated_at = wacta.now()
   WHERE l.lead_id = kept.lead_id;
END
$$;
COMMENT ON FUNCTION wacta.merge_row(wacta.lead, wacta.lead) IS 'What the row of a lead is after another one became part of it.';

-- An opt-out of either holds for both, whenever it was; else the yes of either. The ledger keeps both their words where they
-- were written, and says why it goes on here.
CREATE FUNCTION wacta.merge_consent(kept wacta.lead, gone wacta.lead) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  e   wacta.consent_event;
  why jsonb;
BEGIN
  SELECT * INTO e FROM wacta.consent_event x WHERE x.lead_id = gone.lead_id AND x.effective ORDER BY x.event_id DESC LIMIT 1;
  why := jsonb_build_object('kind', 'merge', 'lead', e.lead_id, 'event', e.event_id);
  IF gone.consent = 'withdrawn' THEN
    PERFORM wacta.withdraw(kept.lead_id, 'withdrawn under another identity', why, greatest(e.happened_at, wacta.last_word_at(kept.lead_id)));
  ELSIF gone.consent = 'granted' AND kept.consent <> 'withdrawn' THEN
    PERFORM wacta.record_consent(kept.lead_id, 'granted', 'granted under another identity', why, e.happened_at);
  ELSIF kept.consent = 'withdrawn' THEN
    PERFORM wacta.suppress_pending(kept.lead_id);
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.merge_consent(wacta.lead, wacta.lead) IS 'What two people who are one have agreed to: nothing, when either has withdrawn.';

-- Locks in the order of all others: calls, then leads, the lower id first; messages after them. The duplicate is locked against
-- rows that refer to it, too, so none is left behind.
CREATE FUNCTION wacta.merge_leads(lead_id bigint, duplicate bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  kept_id bigint := wacta.living_lead($1);
  gone_id bigint := wacta.living_lead($2);
  kept    wacta.lead;
  gone    wacta.lead;
BEGIN
  IF kept_id = gone_id THEN
    RETURN (wacta.lock_lead(kept_id)).lead_id;
  END IF;
  PERFORM FROM wacta.ivr_call c WHERE c.lead_id = gone_id ORDER BY c.call_id FOR NO KEY UPDATE;
  PERFORM FROM wacta.lead l WHERE l.lead_id IN (kept_id, gone_id) ORDER BY l.lead_id FOR UPDATE;
  SELECT * INTO kept FROM wacta.lead l WHERE l.lead_id = kept_id;
  SELECT * INTO gone FROM wacta.lead l WHERE l.lead_id = gone_id;
  IF kept.lead_id IS NULL OR gone.lead_id IS NULL THEN   -- no such lead, or merged while we waited
    RETURN wacta.merge_leads(CASE WHEN kept.lead_id IS NULL THEN wacta.forwarded(kept_id) ELSE kept_id END,
                             CASE WHEN gone.lead_id IS NULL THEN wacta.forwarded(gone_id) ELSE gone_id END);
  ELSIF kept.forgotten_at IS NOT NULL OR gone.forgotten_at IS NOT NULL THEN
    RAISE EXCEPTION 'cannot merge a person who was forgotten' USING ERRCODE = '55000';
  END IF;
  PERFORM wacta.merge_row(kept, gone), wacta.move_rows(gone_id, kept_id);
  INSERT INTO wacta.merged_lead (lead_id, merged_into) VALUES (gone_id, kept_id);
  DELETE FROM wacta.lead l WHERE l.lead_id = gone_id;
  PERFORM wacta.merge_consent(kept, gone), wacta.add_note(kept_id, format('Is the same person as lead %s', gone_id));
  RETURN kept_id;
END
$$;
COMMENT ON FUNCTION wacta.merge_leads(bigint, bigint) IS
'Makes two leads one: all that is the duplicate''s becomes the first one''s, and its id goes on working. Returns the lead.
When either has withdrawn consent, the person has. In a message of numbers that came together it happens by itself.';

-- A new number

CREATE FUNCTION wacta.lead_known_as(digits text, user_id text) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(wacta.lead_by_number($1), (SELECT i.lead_id FROM wacta.lead_identity i WHERE (i.kind, i.value) = ('user_id', $2)))
$$;
COMMENT ON FUNCTION wacta.lead_known_as(text, text) IS 'The lead with this number (digits with the country code) or this user id, or NULL.';

-- The names under which a lead is known by a number or a user id, and no longer: the number may be somebody else's by now. Who has
-- withdrawn consent stays suppressed under it all the same.
CREATE FUNCTION wacta.drop_identity(l wacta.lead, number text, user_id text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  gone wacta.lead_identity;
BEGIN
  FOR gone IN
    DELETE FROM wacta.lead_identity i
     WHERE i.lead_id = l.lead_id
       AND ((i.kind IN ('phone', 'wa_id') AND ltrim(i.value, '+') = ANY (wacta.number_forms($2))) OR (i.kind, i.value) = ('user_id', $3))
    RETURNING i.*
  LOOP
    IF l.consent = 'withdrawn' THEN
      PERFORM wacta.suppress_identity(gone.value, wacta.now(), 'withdrawn by who had it before', '{}');
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION wacta.drop_identity(wacta.lead, text, text) IS 'Takes a number or a user id from a person who has another one now.';

-- WhatsApp tells of it by a message from the old number; a user id changes with the number. ref: the message's id, by which a
-- repetition is known, for the old number may be a stranger's by then.
CREATE FUNCTION wacta.change_number(was_wa_id text, wa_id text, was_user_id text DEFAULT NULL, user_id text DEFAULT NULL, ref text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  old_number text := ltrim($1, '+');
  new_number text := ltrim(wacta.read_number('+' || ltrim($2, '+')), '+');
  id         bigint := wacta.lead_known_as(old_number, $3);
  known      bigint := wacta.lead_known_as(new_number, $4);
  l          wacta.lead;
BEGIN
  IF id IS NULL OR EXISTS (SELECT FROM wacta.lead_note n WHERE n.lead_id = known AND n.ref = left($5, 300)) THEN
    PERFORM wacta.copy_suppression(old_number, new_number, known) WHERE id IS NULL;
    RETURN known;
  END IF;
  id := CASE WHEN new_number IS NOT NULL THEN wacta.add_identity(id, 'phone', '+' || new_number) ELSE id END;
  id := CASE WHEN $4 <> '' THEN wacta.link_user_id(id, $4) ELSE id END;
  l := wacta.lock_lead(id);
  PERFORM wacta.drop_identity(l, nullif(old_number, new_number), nullif($3, $4)),
          wacta.add_note(id, format('Has a new number: %s, before: %s', coalesce(new_number, $4), coalesce(old_number, $3)), left($5, 300));
  RETURN id;
END
$$;
COMMENT ON FUNCTION wacta.change_number(text, text, text, text, text) IS
'A person has a new number or user id in place of the old one: they keep their history, nothing more is sent to the old one.
Returns the lead; NULL when neither is known.';
