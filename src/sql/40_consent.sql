-- Consent: an append-only ledger, and the lead's row that says what it comes to.

-- Whoever says of what kind the evidence is (call, click, word, button, preference, provider, staff, import) is believed. (This and
-- the next one have no search_path: then PostgreSQL puts them in the place of the call.)
CREATE FUNCTION wacta.evidence_kind(reason text, evidence jsonb) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE
    WHEN $2 ->> 'kind' IN ('call', 'click', 'word', 'button', 'preference', 'provider', 'staff', 'import', 'merge', 'erasure') THEN $2 ->> 'kind'
    WHEN $1 = 'call' THEN 'call'
    WHEN $2 ->> 'via' IN ('word', 'button') THEN $2 ->> 'via'
    WHEN $2 ->> 'via' = 'link' THEN 'click'
    WHEN $2 ? 'code' THEN 'provider'
    WHEN $2 ->> 'category' = 'marketing_messages' THEN 'preference'
    WHEN $2 ? 'said' THEN 'word'
    ELSE 'staff' END
$$;
COMMENT ON FUNCTION wacta.evidence_kind(text, jsonb) IS 'The kind of a consent event''s evidence: what it says itself, or what shows in it.';

-- Whether a word counts, given when the last one happened that speaks against it. Of two words of the same second the no counts,
-- whichever comes first. A call or a list is no explicit yes, which alone brings a withdrawn consent back.
CREATE FUNCTION wacta.counts(l wacta.lead, event text, explicit boolean, happened_at timestamptz, last_at timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN event = 'withdrawn' THEN coalesce(happened_at >= last_at, true)
              WHEN l.forgotten_at IS NOT NULL OR (l.consent = 'withdrawn' AND NOT explicit) THEN false
              ELSE coalesce(happened_at > last_at, true) END
$$;
COMMENT ON FUNCTION wacta.counts(wacta.lead, text, boolean, timestamptz, timestamptz) IS
'Whether a consent event changes what a person''s consent is, given when the last one that speaks against it happened.';

CREATE FUNCTION wacta.last_word_at(lead_id bigint) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT e.happened_at FROM wacta.consent_event e WHERE e.lead_id = $1 AND e.effective ORDER BY e.event_id DESC LIMIT 1);
END
$$;
COMMENT ON FUNCTION wacta.last_word_at(bigint) IS 'When the person said what their consent is now; NULL: they never said anything.';

-- A yes that comes late does not undo a no that was said since. A no counts whenever it comes, unless the person has said yes since
-- by the same clock, the provider's: in words, by a quick reply, or in WhatsApp's settings.
CREATE FUNCTION wacta.contrary_word_at(l wacta.lead, event text) RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN (SELECT max(e.happened_at) FROM wacta.consent_event e
           WHERE e.lead_id = l.lead_id AND e.effective
             AND CASE WHEN l.consent = $2 THEN e.event = $2              -- the newest of those that say the same stands
                      WHEN $2 = 'granted' THEN e.event = 'withdrawn'
                      ELSE e.event = 'granted' AND e.kind IN ('word', 'button', 'preference') END);
END
$$;
COMMENT ON FUNCTION wacta.contrary_word_at(wacta.lead, text) IS 'Before which time a consent event of this kind would change nothing; NULL: it counts whenever it happened.';

CREATE FUNCTION wacta.lead_ids(lead_id bigint) RETURNS bigint[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT $1 || ARRAY(SELECT m.lead_id FROM wacta.merged_lead m WHERE m.merged_into = $1));
END
$$;
COMMENT ON FUNCTION wacta.lead_ids(bigint) IS 'The ids under which a person''s words stand in the ledger: the lead''s, and those of leads that were merged into it.';

-- The one way into the ledger, for words, taps, preferences, staff and lists alike. The lock orders consent against enqueue and
-- claim, which lock the same row. Without a time it is said here and now, and so after all that is known. A provider repeats
-- itself for days: the same evidence with the time that it names is recorded once.
CREATE FUNCTION wacta.keep_word(l wacta.lead, event text, reason text, evidence jsonb, happened_at timestamptz) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
  what    text := wacta.evidence_kind($3, $4);
  last_at timestamptz := wacta.contrary_word_at(l, $2);
  at      timestamptz := CASE WHEN $5 IS NOT NULL THEN least($5, wacta.now()) END;    -- a provider's clock may be ahead
  matters boolean;
BEGIN
  IF $5 IS NOT NULL AND EXISTS (SELECT FROM wacta.consent_event e
                                 WHERE e.lead_id = ANY (wacta.lead_ids(l.lead_id)) AND e.event = $2 AND e.evidence = coalesce($4, '{}')) THEN
    RETURN false;
  END IF;
  matters := wacta.counts(l, $2, $3 <> 'call' AND what <> 'import', coalesce(at, 'infinity'), last_at);
  INSERT INTO wacta.consent_event (lead_id, event, kind, reason, evidence, happened_at, effective)
  VALUES (l.lead_id, $2, what, $3, coalesce($4, '{}'), coalesce(at, greatest(wacta.now(), last_at)), matters);
  RETURN matters AND l.consent <> $2;
END
$$;
COMMENT ON FUNCTION wacta.keep_word(wacta.lead, text, text, jsonb, timestamptz) IS
'Writes a consent event of a lead that the caller has locked; true: that makes it the lead''s consent, which is for the caller to write.';

CREATE FUNCTION wacta.record_consent(lead_id bigint, event text, reason text, evidence jsonb, happened_at timestamptz DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  l wacta.lead := wacta.lock_lead($1);
BEGIN
  IF NOT wacta.keep_word(l, $2, $3, $4, $5) THEN
    RETURN false;
  END IF;
  UPDATE wacta.lead x SET consent = $2, updated_at = wacta.now() WHERE x.lead_id = l.lead_id;
  RETURN true;
END
$$;
COMMENT ON FUNCTION wacta.record_consent(bigint, text, text, jsonb, timestamptz) IS
'Writes a consent event (granted, withdrawn) and what the person''s consent is by it, together; false when that does not change.
happened_at: when the person said so, by default now. A word that comes too late to count is kept and changes nothing.';

CREATE FUNCTION wacta.suppress_pending(lead_id bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM wacta.end_pending($1, 'suppressed', 'opted_out', '{pitch,brochure,other}');
  UPDATE wacta.follow_up f SET closed_at = wacta.now(), outcome = 'opted out' WHERE f.lead_id = $1 AND f.closed_at IS NULL;
END
$$;
COMMENT ON FUNCTION wacta.suppress_pending(bigint) IS 'Ends all that is queued for a person, and closes their follow-ups.';

CREATE FUNCTION wacta.withdraw(lead_id bigint, reason text, evidence jsonb, happened_at timestamptz DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  l       wacta.lead := wacta.lock_lead($1);
  changed boolean := wacta.record_consent(l.lead_id, 'withdrawn', $2, $3, $4);
BEGIN
  IF changed OR l.consent = 'withdrawn' THEN
    PERFORM wacta.suppress_pending(l.lead_id);
  END IF;
  RETURN changed;
END
$$;
COMMENT ON FUNCTION wacta.withdraw(bigint, text, jsonb, timestamptz) IS
'Consent withdrawn: everything pending ends, follow-ups are closed; unless the person has agreed since.';

-- Evidence comes as JSON or as a sentence.
CREATE FUNCTION wacta.evidence(value text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN jsonb_typeof(j) = 'object' THEN j ELSE jsonb_build_object('statement', $1, 'by', session_user) END
    FROM (SELECT wacta.try_jsonb(convert_to($1, 'UTF8')) AS j) parsed
$$;
COMMENT ON FUNCTION wacta.evidence(text) IS 'Evidence as JSON: an object as it is, anything else as a statement of the session''s user.';

CREATE FUNCTION wacta.opt_out(lead_id bigint, reason text DEFAULT 'asked for it') RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  changed boolean := wacta.withdraw($1, coalesce($2, 'asked for it'), wacta.evidence(coalesce($2, '')));
BEGIN
  IF changed THEN
    PERFORM wacta.add_note($1, format('Opted out: %s', coalesce($2, 'asked for it')));
  END IF;
  RETURN changed;
END
$$;
COMMENT ON FUNCTION wacta.opt_out(bigint, text) IS
'Withdraws a person''s consent: all that is queued for them is suppressed, follow-ups are closed, no request for them begins once
this has committed. False when it was withdrawn already.';

CREATE FUNCTION wacta.opt_in(lead_id bigint, evidence text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  changed boolean;
BEGIN
  IF coalesce(btrim(evidence), '') IN ('', '{}') THEN
    RAISE EXCEPTION 'consent needs evidence' USING ERRCODE = '22023', HINT = 'Say how the person agreed: a sentence, or a JSON object.';
  END IF;
  changed := wacta.record_consent($1, 'granted', 'opt_in', wacta.evidence($2));
  IF changed THEN
    PERFORM wacta.add_note($1, 'Opted in');
  END IF;
  RETURN changed;
END
$$;
COMMENT ON FUNCTION wacta.opt_in(bigint, text) IS
'Records a person''s consent with its evidence (a sentence or a JSON object). False when it was granted already.';
