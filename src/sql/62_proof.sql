-- Who sent it: what proves a webhook, and what of its headers is kept.

CREATE FUNCTION wacta.public_headers(headers jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(jsonb_object_agg(lower(key), value) FILTER (WHERE lower(key) !~ '(authorization|cookie|key|token|secret)'), '{}')
    FROM jsonb_each(CASE WHEN jsonb_typeof($1) = 'object' THEN $1 ELSE '{}' END)
$$;
COMMENT ON FUNCTION wacta.public_headers(jsonb) IS 'Headers with lower-case names, without those that carry a secret.';

CREATE FUNCTION wacta.header(headers jsonb, name text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT value FROM jsonb_each_text(CASE WHEN jsonb_typeof($1) = 'object' THEN $1 ELSE '{}' END) WHERE lower(key) = $2 LIMIT 1 $$;
COMMENT ON FUNCTION wacta.header(jsonb, text) IS 'A header by its lower-case name, or NULL.';

-- What a sender without signatures shows: the key header, a bearer token, or the password of basic authentication.
CREATE FUNCTION wacta.shown_key(headers jsonb) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  key  text := coalesce(wacta.header(headers, 'x-wacta-key'), wacta.header(headers, 'x-api-key'));
  auth text := wacta.header(headers, 'authorization');
BEGIN
  IF key IS NULL AND auth ~* '^bearer ' THEN
    key := substr(auth, 8);
  ELSIF key IS NULL AND auth ~* '^basic ' THEN
    key := regexp_replace(convert_from(decode(substr(auth, 7), 'base64'), 'UTF8'), '^[^:]*:', '');
  END IF;
  RETURN convert_to(key, 'UTF8');
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.shown_key(jsonb) IS 'The secret that a request shows in its headers, or NULL.';

-- Why a webhook is not believed; NULL: it is proved.
CREATE FUNCTION wacta.unproved(provider text, kind text, body bytea, headers jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  signature text := wacta.header(headers, 'x-hub-signature-256');
  shown     bytea := wacta.shown_key(headers);
BEGIN
  IF kind = 'ivr' THEN
    RETURN CASE WHEN shown IS NULL THEN 'no key'
                WHEN EXISTS (SELECT FROM wacta.secrets(NULL, provider, 'webhook_key') s WHERE wacta.equal_constant_time(s, shown)) THEN NULL
                ELSE 'wrong key' END;
  ELSIF provider = 'meta' THEN        -- HMAC-SHA256 of the raw bytes under the app secret
    RETURN CASE WHEN signature IS NULL THEN 'no signature'
                WHEN EXISTS (SELECT FROM wacta.channel c, wacta.secrets(c.channel_id, NULL, 'app_secret') s
                              WHERE c.provider = 'meta'
                                AND wacta.equal_constant_time(convert_to('sha256=' || encode(wacta.hmac_sha256(body, s), 'hex'), 'UTF8'),
                                                              convert_to(lower(signature), 'UTF8'))) THEN NULL
                ELSE 'wrong signature' END;
  END IF;
  RETURN CASE WHEN shown IS NULL THEN 'no key'
              WHEN EXISTS (SELECT FROM wacta.channel c, wacta.secrets(c.channel_id, NULL, 'webhook_key') s
                            WHERE c.provider = unproved.provider AND wacta.equal_constant_time(s, shown)) THEN NULL
              ELSE 'wrong key' END;
END
$$;
COMMENT ON FUNCTION wacta.unproved(text, text, bytea, jsonb) IS
'Why a webhook is not believed (no signature, wrong signature, no key, wrong key), or NULL when it is proved.';
