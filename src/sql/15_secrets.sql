-- Secrets at rest, the key ring, tokens.

CREATE FUNCTION wacta.seal(secret bytea) RETURNS bytea
LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'wacta_seal_sql';
COMMENT ON FUNCTION wacta.seal(bytea) IS 'Encrypts with pgcrypto under the key in wacta.key_file, which it makes when missing.';

CREATE FUNCTION wacta.unseal(sealed bytea) RETURNS bytea
LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'wacta_unseal_sql';
COMMENT ON FUNCTION wacta.unseal(bytea) IS 'Decrypts what wacta.seal() made. For the owner''s own functions alone.';

CREATE FUNCTION wacta.read_secret_file(name text) RETURNS text
LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'wacta_read_secret_file';
COMMENT ON FUNCTION wacta.read_secret_file(text) IS 'The content of a file in wacta.secret_dir, without its line end.';

CREATE FUNCTION wacta.hide_statement() RETURNS void
LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'wacta_hide_statement';
COMMENT ON FUNCTION wacta.hide_statement() IS 'Hides the running statement from pg_stat_activity.';

CREATE FUNCTION wacta.password_hash(password text) RETURNS text
LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'wacta_password_hash';
COMMENT ON FUNCTION wacta.password_hash(text) IS 'pgcrypto crypt() with a fresh bcrypt salt.';

CREATE FUNCTION wacta.password_matches(password text, hash text) RETURNS boolean
LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'wacta_password_matches';
COMMENT ON FUNCTION wacta.password_matches(text, text) IS 'Whether the password belongs to the hash; compared in constant time.';

CREATE FUNCTION wacta.equal_constant_time(a bytea, b bytea) RETURNS boolean
LANGUAGE C IMMUTABLE AS 'MODULE_PATHNAME', 'wacta_equal_constant_time';
COMMENT ON FUNCTION wacta.equal_constant_time(bytea, bytea) IS 'Equality in a time that depends on the lengths alone; NULL equals nothing.';

CREATE FUNCTION wacta.hmac_sha256(data bytea, key bytea) RETURNS bytea
LANGUAGE C IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'wacta_hmac_sql';
COMMENT ON FUNCTION wacta.hmac_sha256(bytea, bytea) IS 'HMAC-SHA256 (RFC 2104), 32 bytes.';

CREATE FUNCTION wacta.hmac_sha1(data bytea, key bytea) RETURNS bytea
LANGUAGE C IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'wacta_hmac_sha1';
COMMENT ON FUNCTION wacta.hmac_sha1(bytea, bytea) IS 'HMAC-SHA1 (RFC 2104), 20 bytes: for Twilio, which signs with it.';

CREATE FUNCTION wacta.random_bytes(count integer) RETURNS bytea
LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'wacta_random_bytes';
COMMENT ON FUNCTION wacta.random_bytes(integer) IS '1 to 1024 bytes from the server''s strong random source.';

CREATE TABLE wacta.signing_key (
  key_id     integer GENERATED ALWAYS AS IDENTITY (MAXVALUE 65535) PRIMARY KEY,
  purpose    text NOT NULL DEFAULT 'link' CHECK (purpose IN ('link', 'session', 'person')),
  sealed     bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT wacta.now(),
  retired_at timestamptz
);
COMMENT ON TABLE wacta.signing_key IS
'The key ring: the newest key that is not retired signs, all of them verify. Secrets are sealed.';

-- What was hidden under this key is found again under no other one.
CREATE UNIQUE INDEX one_person_key ON wacta.signing_key (purpose) WHERE purpose = 'person';

CREATE FUNCTION wacta.keyring_changed() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wacta_keyring_changed';
COMMENT ON FUNCTION wacta.keyring_changed() IS 'Trigger: every backend reads the key ring anew.';
CREATE TRIGGER keyring_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON wacta.signing_key
  FOR EACH STATEMENT EXECUTE FUNCTION wacta.keyring_changed();
-- seed_link_ttl is kept with the ring
CREATE TRIGGER keyring_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON wacta.config
  FOR EACH STATEMENT EXECUTE FUNCTION wacta.keyring_changed();

CREATE FUNCTION wacta.add_signing_key(secret bytea DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  id integer;
BEGIN
  PERFORM wacta.hide_statement();
  IF octet_length(secret) NOT BETWEEN 1 AND 1024 THEN
    RAISE EXCEPTION 'a signing key must have 1 to 1024 bytes' USING ERRCODE = '22023',
      HINT = 'Without an argument a random key of 32 bytes is made.';
  END IF;
  INSERT INTO wacta.signing_key (sealed)
  VALUES (wacta.seal(coalesce(secret, wacta.random_bytes(32)))) RETURNING key_id INTO id;
  RETURN id;
END
$$;
COMMENT ON FUNCTION wacta.add_signing_key(bytea) IS
'Adds a key to the ring (32 random bytes by default), which signs from now on; returns its id.
Links made before go on working until their key is retired. To keep the links of an older system, add its secret first.';

CREATE FUNCTION wacta.retire_signing_key(key_id integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF EXISTS (SELECT FROM wacta.signing_key k WHERE k.key_id = retire_signing_key.key_id AND k.purpose = 'person') THEN
    RAISE EXCEPTION 'cannot retire the key of suppressed numbers' USING ERRCODE = '55000', HINT = 'They are known again by this key alone.';
  END IF;
  UPDATE wacta.signing_key k SET retired_at = coalesce(k.retired_at, wacta.now()) WHERE k.key_id = retire_signing_key.key_id;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'signing key % does not exist', key_id USING ERRCODE = '22023';
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.retire_signing_key(integer) IS 'Retires a key: links signed with it are refused from now on.';

CREATE FUNCTION wacta.set_session_secret(secret text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM wacta.hide_statement();
  IF coalesce(length(secret), 0) < 32 THEN
    RAISE EXCEPTION 'the session secret must have at least 32 characters' USING ERRCODE = '22023',
      HINT = 'It is the secret that the front door verifies JWTs with (RFC 7518 section 3.2).';
  END IF;
  UPDATE wacta.signing_key SET retired_at = wacta.now() WHERE purpose = 'session' AND retired_at IS NULL;
  INSERT INTO wacta.signing_key (purpose, sealed) VALUES ('session', wacta.seal(convert_to(secret, 'UTF8')));
END
$$;
COMMENT ON FUNCTION wacta.set_session_secret(text) IS
'Sets the secret that staff sessions (JWT, HS256) are signed with; the gateway or PostgREST has the same in a file.';

CREATE FUNCTION wacta.set_session_secret_file(file text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT wacta.set_session_secret(wacta.read_secret_file(file)) $$;
COMMENT ON FUNCTION wacta.set_session_secret_file(text) IS 'As set_session_secret, with the secret from a file in wacta.secret_dir.';

-- Tokens

CREATE FUNCTION wacta.token_check(token text, OUT reason text, OUT form text, OUT lead_id bigint, OUT message_id bigint,
                                  OUT action text, OUT issued_at timestamptz, OUT expires_at timestamptz, OUT key_id integer)
LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'wacta_token_check';
COMMENT ON FUNCTION wacta.token_check(text) IS
'What a token says and why it is refused (reason; NULL: it is good). Never raises an error for a bad token.';

CREATE FUNCTION wacta.mint_token(lead_id bigint, issued_at timestamptz DEFAULT wacta.now()) RETURNS text
LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'wacta_mint_seed';
COMMENT ON FUNCTION wacta.mint_token(bigint, timestamptz) IS
'A token in the seed format: <lead_id>:<unix time>:<first 12 hex digits of HMAC-SHA256(key, "lead_id:unix time")>.';

CREATE FUNCTION wacta.mint_signed(lead_id bigint, message_id bigint, action text, issued_at timestamptz, expires_at timestamptz,
                                  key_id integer DEFAULT NULL) RETURNS text
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wacta_mint_signed';
COMMENT ON FUNCTION wacta.mint_signed(bigint, bigint, text, timestamptz, timestamptz, integer) IS
'A token of 60 URL-safe characters that signs lead, message, action and expiry; see src/token.c for its layout.';

CREATE FUNCTION wacta.session_jwt(claims text) RETURNS text
LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'wacta_session_jwt';
COMMENT ON FUNCTION wacta.session_jwt(text) IS 'A JWT signed with HS256 under the session secret.';

-- All that can be wrong with a token, the lead and the action included; the domain audits the reason.
CREATE FUNCTION wacta.examine_token(token text, for_action text, for_lead bigint, OUT reason text, OUT lead_id bigint,
                                    OUT message_id bigint, OUT action text, OUT issued_at timestamptz)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  t      record;
  wanted text := replace(lower(btrim(for_action)), ' ', '_');    -- older links say "Not Interested"
BEGIN
  IF token IS NULL THEN
    reason := 'malformed';
    RETURN;
  END IF;
  t := wacta.token_check(token);
  reason := CASE
    WHEN t.reason IS NOT NULL THEN t.reason
    WHEN for_lead <> t.lead_id THEN 'wrong_lead'
    WHEN wanted <> t.action THEN 'wrong_action'
  END;
  IF reason IS NULL THEN
    lead_id := wacta.living_lead(t.lead_id); message_id := t.message_id; action := coalesce(t.action, wanted); issued_at := t.issued_at;
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.examine_token(text, text, bigint) IS
'What a good token says, or the reason for its refusal: malformed, foreign, tampered, retired_key, expired, wrong_lead, wrong_action.';

CREATE FUNCTION wacta.verify_token(token text, INOUT lead_id bigint DEFAULT NULL, OUT issued_at timestamptz)
LANGUAGE C STABLE SECURITY DEFINER AS 'MODULE_PATHNAME', 'wacta_verify_token';
COMMENT ON FUNCTION wacta.verify_token(text, bigint) IS
'The lead and the time of issue that a token of either form proves; with lead_id it must be that lead''s.
Every refusal is the same error (28000). wacta.examine_token() tells an administrator the reason.';
