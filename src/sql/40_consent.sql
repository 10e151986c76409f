-- Consent: an append-only ledger, and the lead's row that says what it says last.

CREATE FUNCTION wacta.record_consent(lead_id bigint, event text, reason text, evidence jsonb) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  was text;
  now_is text := $2;
BEGIN
  -- this lock orders consent against enqueue and claim, which take a share lock of the same row
  SELECT l.consent INTO was FROM wacta.lead l WHERE l.lead_id = $1 FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    PERFORM wacta.raise_no_lead($1);
  END IF;
  IF was = now_is THEN
    RETURN false;
  END IF;
  INSERT INTO wacta.consent_event (lead_id, event, reason, evidence, happened_at)
  VALUES ($1, $2, $3, coalesce($4, '{}'), wacta.now());
  UPDATE wacta.lead l SET consent = now_is, updated_at = wacta.now() WHERE l.lead_id = $1;
  RETURN true;
END
$$;
COMMENT ON FUNCTION wacta.record_consent(bigint, text, text, jsonb) IS
'Writes a consent event and the lead''s state together; false when the state was so already.';

CREATE FUNCTION wacta.withdraw(lead_id bigint, reason text, evidence jsonb) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  changed boolean := wacta.record_consent($1, 'withdrawn', $2, $3);
BEGIN
  PERFORM wacta.end_pending($1, 'suppressed', 'opted_out', '{pitch,brochure,other}');
  UPDATE wacta.follow_up f SET closed_at = wacta.now(), outcome = 'opted out' WHERE f.lead_id = $1 AND f.closed_at IS NULL;
  RETURN changed;
END
$$;
COMMENT ON FUNCTION wacta.withdraw(bigint, text, jsonb) IS 'Consent withdrawn: everything pending ends, follow-ups are closed.';

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
