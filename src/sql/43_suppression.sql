-- Suppression lists, out and in; and numbers that are suppressed though no lead has them.

CREATE FUNCTION wacta.person_digest(value text) RETURNS bytea
LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'wacta_person_digest';
COMMENT ON FUNCTION wacta.person_digest(text) IS
'HMAC-SHA256 of a number under a key that is sealed like all others, by which it is known again; NULL: there is no such key, so there
is no such number either.';

CREATE TABLE wacta.suppressed_identity (
  digest      bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
  since       timestamptz NOT NULL,
  reason      text NOT NULL,
  evidence    jsonb NOT NULL DEFAULT '{}',
  recorded_at timestamptz NOT NULL DEFAULT wacta.now(),
  recorded_by text NOT NULL DEFAULT session_user
);
COMMENT ON TABLE wacta.suppressed_identity IS
'Numbers and user ids that no lead has and nothing may be sent to: of a list, of people who were forgotten, of those who had the number
before. Only a digest is kept, by which a lead with that number begins as one who has withdrawn consent, and takes the row over.';

-- Made when it is needed first. Whoever makes a lead meanwhile knows of no key, hence the lock: it waits for them, and those
-- who come later wait for us and then find the key.
CREATE FUNCTION wacta.need_person_key() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF EXISTS (SELECT FROM wacta.signing_key k WHERE k.purpose = 'person') THEN
    RETURN;
  ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'cannot suppress a number in a transaction of isolation level %', current_setting('transaction_isolation')
      USING ERRCODE = '25001', HINT = 'Use READ COMMITTED.';
  END IF;
  LOCK TABLE wacta.lead_identity IN SHARE ROW EXCLUSIVE MODE;
  INSERT INTO wacta.signing_key (purpose, sealed) VALUES ('person', wacta.seal(wacta.random_bytes(32))) ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION wacta.need_person_key() IS 'Makes the key of wacta.person_digest() unless there is one.';

CREATE FUNCTION wacta.identity_digest(value text) RETURNS bytea
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT wacta.person_digest((wacta.number_forms(ltrim($1, '+')))[1]));
END
$$;
COMMENT ON FUNCTION wacta.identity_digest(text) IS 'The digest of a number or a user id, the same for all forms of a number.';

CREATE FUNCTION wacta.suppress_identity(value text, since timestamptz, reason text, evidence jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM wacta.need_person_key();
  INSERT INTO wacta.suppressed_identity (digest, since, reason, evidence) VALUES (wacta.identity_digest($1), $2, $3, $4)
  ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION wacta.suppress_identity(text, timestamptz, text, jsonb) IS 'Suppresses a number or a user id that no lead has.';

-- For who has just made the identity. The row that we try to insert waits for an import that is under way with the same number,
-- and makes one that comes later wait for us and then find our lead.
CREATE FUNCTION wacta.take_suppression(value text) RETURNS wacta.suppressed_identity
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  d bytea := wacta.identity_digest($1);
  s wacta.suppressed_identity;
BEGIN
  IF d IS NOT NULL THEN
    INSERT INTO wacta.suppressed_identity (digest, since, reason) VALUES (d, 'infinity', 'reserved') ON CONFLICT DO NOTHING;
    DELETE FROM wacta.suppressed_identity x WHERE x.digest = d RETURNING * INTO s;
  END IF;
  RETURN CASE WHEN isfinite(s.since) THEN s END;
END
$$;
COMMENT ON FUNCTION wacta.take_suppression(text) IS 'Takes the suppression of a number away, for the lead that has the number from now on; NULL when there is none.';

CREATE FUNCTION wacta.inherit_suppression(lead_id bigint, value text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  s wacta.suppressed_identity := wacta.take_suppression($2);
BEGIN
  IF s.digest IS NOT NULL THEN
    PERFORM wacta.withdraw($1, s.reason, '{"kind": "import"}' || s.evidence, greatest(s.since, wacta.last_word_at($1)));
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.inherit_suppression(bigint, text) IS 'A lead with a number that is suppressed has withdrawn consent.';

CREATE FUNCTION wacta.copy_suppression(from_number text, to_number text, to_lead bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  s wacta.suppressed_identity;
BEGIN
  SELECT * INTO s FROM wacta.suppressed_identity x WHERE x.digest = wacta.identity_digest($1);
  IF s.digest IS NOT NULL AND to_lead IS NOT NULL THEN
    PERFORM wacta.withdraw(to_lead, s.reason, '{"kind": "import"}' || s.evidence, greatest(s.since, wacta.last_word_at(to_lead)));
  ELSIF s.digest IS NOT NULL AND to_number IS NOT NULL THEN
    PERFORM wacta.suppress_identity($2, s.since, s.reason, s.evidence);
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.copy_suppression(text, text, bigint) IS 'What holds for a number holds for the one that its owner has now.';

-- Lists

CREATE FUNCTION wacta.export_suppression(hashed boolean DEFAULT false) RETURNS TABLE (kind text, value text, since timestamptz, reason text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
  SELECT s.kind, CASE WHEN $1 THEN encode(sha256(convert_to(ltrim(s.value, '+'), 'UTF8')), 'hex') ELSE s.value END, s.since, s.reason
    FROM wacta.suppression s WHERE s.kind IN ('phone', 'wa_id', 'user_id')
   ORDER BY 1, 2
$$;
COMMENT ON FUNCTION wacta.export_suppression(boolean) IS
'The people to whom nothing may be sent, a row for each number and user id; hashed: the SHA-256 of the digits with the country code, in
hexadecimal, as advertising platforms take it. Numbers that no lead has are not among them: only their digests are kept here.';

-- A number in any form, or a user id, as an identity's value.
CREATE FUNCTION wacta.read_identity(value text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(wacta.read_number($1), substring(btrim($1) FROM '^[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}$')) $$;
COMMENT ON FUNCTION wacta.read_identity(text) IS 'The E.164 number or the user id that a text is, or NULL.';

-- The leads of identities, an array element each, with a snapshot of its own.
CREATE FUNCTION wacta.leads_of(identities text[]) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(
    SELECT (SELECT i.lead_id
              FROM unnest(wacta.number_forms(ltrim(u.value, '+'))) form
             CROSS JOIN LATERAL (VALUES ('phone', '+' || form), ('wa_id', form), ('user_id', form)) k(kind, value)
             CROSS JOIN LATERAL (SELECT x.lead_id FROM wacta.lead_identity x WHERE (x.kind, x.value) = (k.kind, k.value) LIMIT 1) i LIMIT 1)
      FROM unnest($1) WITH ORDINALITY u(value, n) ORDER BY u.n);
END
$$;
COMMENT ON FUNCTION wacta.leads_of(text[]) IS 'The lead that has each of these numbers or user ids, NULL for one that nobody has.';

-- Withdraws those who have not yet; returns who that was. In the order in which all others lock leads.
CREATE FUNCTION wacta.withdraw_all(leads bigint[], reason text, evidence jsonb) RETURNS bigint[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM FROM wacta.lead l WHERE l.lead_id = ANY ($1) ORDER BY l.lead_id FOR NO KEY UPDATE;
  RETURN ARRAY(
    SELECT l.lead_id FROM (SELECT x.lead_id FROM wacta.lead x WHERE x.lead_id = ANY ($1) AND x.consent <> 'withdrawn' ORDER BY x.lead_id) l
     WHERE wacta.withdraw(l.lead_id, $2, $3));
END
$$;
COMMENT ON FUNCTION wacta.withdraw_all(bigint[], text, jsonb) IS 'Withdraws the consent of many people; returns those who had not withdrawn it before.';

-- First the digests, then the leads: who is made a lead meanwhile is either seen here, or finds the digest.
CREATE FUNCTION wacta.import_suppression(numbers text[], reason text DEFAULT 'suppression list', evidence jsonb DEFAULT '{}')
RETURNS TABLE (number text, outcome text, lead_id bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  why     jsonb := '{"kind": "import"}' || coalesce($3, '{}');
  people  text[] := ARRAY(SELECT wacta.read_identity(u.value) FROM unnest($1) WITH ORDINALITY u(value, n) ORDER BY u.n);
  digests bytea[];
  fresh   bytea[];
  leads   bigint[];
  changed bigint[];
BEGIN
  PERFORM wacta.need_person_key();
  digests := ARRAY(SELECT wacta.identity_digest(u.value) FROM unnest(people) WITH ORDINALITY u(value, n) ORDER BY u.n);
  WITH added AS (
    INSERT INTO wacta.suppressed_identity (digest, since, reason, evidence)
    SELECT DISTINCT u.digest, wacta.now(), coalesce($2, 'suppression list'), why FROM unnest(digests) u(digest) WHERE u.digest IS NOT NULL ORDER BY 1
    ON CONFLICT DO NOTHING RETURNING digest
  )
  SELECT array_agg(a.digest) INTO fresh FROM added a;
  leads := wacta.leads_of(people);
  DELETE FROM wacta.suppressed_identity s USING unnest(digests, leads) u(digest, lead) WHERE s.digest = u.digest AND u.lead IS NOT NULL;
  changed := wacta.withdraw_all(leads, coalesce($2, 'suppression list'), why);
  RETURN QUERY
  SELECT u.number,
         CASE WHEN u.digest IS NULL THEN 'unreadable'
              WHEN row_number() OVER (PARTITION BY coalesce(u.lead::text, u.digest::text) ORDER BY u.n) > 1 THEN 'already'
              WHEN c.lead IS NOT NULL THEN 'lead' WHEN u.lead IS NULL AND f.digest IS NOT NULL THEN 'new' ELSE 'already' END,
         u.lead
    FROM unnest($1, digests, leads) WITH ORDINALITY u(number, digest, lead, n)
    LEFT JOIN unnest(fresh) f(digest) ON f.digest = u.digest
    LEFT JOIN unnest(changed) c(lead) ON c.lead = u.lead
   ORDER BY u.n;
END
$$;
COMMENT ON FUNCTION wacta.import_suppression(text[], text, jsonb) IS
'Suppresses the numbers of a list, in any form, and user ids; all of them or none. A row for each: lead (a lead, whose consent is
withdrawn by this), new (nobody''s yet: whoever is entered with it begins so), already, unreadable. The same list again changes nothing.';
