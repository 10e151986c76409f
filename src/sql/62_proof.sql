-- Who sent it: what proves a webhook, and what of its headers is kept.
--
-- Meta and Twilio sign what they send; the others show a key. Wherever a secret is compared, it is with all of those that are
-- valid and in constant time, so that neither the answer nor its time tells how near a guess was or which secret it met.
-- Most of this is PL/pgSQL for its plans, which a session keeps: it runs for every request, also for a stranger's.

CREATE FUNCTION wacta.header(headers jsonb, name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
  IF $1 ? $2 AND jsonb_typeof($1) = 'object' THEN        -- as front doors write it
    RETURN $1 ->> $2;
  END IF;
  RETURN (SELECT h.value FROM jsonb_each_text(CASE WHEN jsonb_typeof($1) = 'object' THEN $1 ELSE '{}' END) h WHERE lower(h.key) = $2 LIMIT 1);
END
$$;
COMMENT ON FUNCTION wacta.header(jsonb, text) IS 'A header by its lower-case name, or NULL.';

-- A key travels in headers that are made for it, in one that the site has named, and in what proxies tell of the URL.
CREATE FUNCTION wacta.public_headers(headers jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT coalesce(jsonb_object_agg(lower(h.key), h.value), '{}')
      FROM jsonb_each(CASE WHEN jsonb_typeof($1) = 'object' THEN $1 ELSE '{}' END) h
     WHERE lower(h.key) !~ '(auth|cookie|key|token|secret|passw|credential|referer|path|ur[il])'
       AND lower(h.key) NOT IN (SELECT lower(c.webhook_header) FROM wacta.channel c WHERE c.webhook_header IS NOT NULL UNION ALL
                                SELECT lower(s.webhook_header) FROM wacta.ivr_source s WHERE s.webhook_header IS NOT NULL));
END
$$;
COMMENT ON FUNCTION wacta.public_headers(jsonb) IS 'Headers with lower-case names, without those that carry a secret.';

CREATE FUNCTION wacta.peer_address(headers jsonb) RETURNS inet
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  peer inet;
BEGIN
  peer := btrim(wacta.header(headers, 'x-wacta-peer'));
  RETURN CASE WHEN peer <<= '::ffff:0:0/96' THEN '0.0.0.0'::inet + (peer - '::ffff:0:0'::inet) ELSE peer END;
EXCEPTION WHEN invalid_text_representation THEN
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.peer_address(jsonb) IS 'Where a request came from, as the front door tells; NULL when it does not. IPv4 mapped into IPv6 is IPv4.';

-- The password of basic authentication is the key, whoever the user is; without a password the user is.
CREATE FUNCTION wacta.basic_key(credentials bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN colon BETWEEN 1 AND octet_length($1) - 1 THEN substring($1 FROM colon + 1) ELSE rtrim($1, ':') END
    FROM (SELECT position(':'::bytea IN $1) AS colon) c
$$;
COMMENT ON FUNCTION wacta.basic_key(bytea) IS 'The key in the decoded credentials of basic authentication.';

-- As it stands, behind the name of a scheme, or as basic authentication has it.
CREATE FUNCTION wacta.shown_keys(headers jsonb, further_header text) RETURNS SETOF bytea
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  WITH shown AS MATERIALIZED (
    SELECT btrim(h.value, E' \t') AS value FROM jsonb_each_text(CASE WHEN jsonb_typeof($1) = 'object' THEN $1 ELSE '{}' END) h
     WHERE lower(h.key) IN ('x-wacta-key', 'x-api-key', 'authorization', lower($2)) AND btrim(h.value, E' \t') <> '')
  SELECT convert_to(s.value, 'UTF8') FROM shown s
  UNION ALL
  SELECT convert_to(m[1], 'UTF8') FROM shown s, regexp_match(s.value, '^(?:bearer|token|apikey|key)\s+(\S+)$', 'i') m WHERE m IS NOT NULL
  UNION ALL
  SELECT wacta.basic_key(decode(m[1], 'base64'))
    FROM shown s, regexp_match(s.value, '^basic\s+((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$', 'i') m WHERE m IS NOT NULL;
END
$$;
COMMENT ON FUNCTION wacta.shown_keys(jsonb, text) IS
'What a request may mean as its key, in a header made for one or in the further one. The front door puts a key in the path or the query into X-Wacta-Key.';

-- The valid secrets of one kind of all who may send such a webhook, and how theirs must come; for functions of the owner alone.
CREATE FUNCTION wacta.webhook_secrets(provider text, webhook text, kind text, headers jsonb) RETURNS TABLE (secret bytea, header text, admitted boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  WITH peer AS MATERIALIZED (SELECT wacta.peer_address($4) AS address),
       owner AS (SELECT c.channel_id, NULL AS source, c.webhook_header AS header, c.webhook_addresses AS addresses
                   FROM wacta.channel c WHERE $2 <> 'ivr' AND c.provider = $1
                 UNION ALL
                 SELECT NULL, s.source, s.webhook_header, s.webhook_addresses FROM wacta.ivr_source s WHERE $2 = 'ivr' AND s.source = $1)
  SELECT wacta.unseal(c.sealed), o.header, o.addresses IS NULL OR coalesce(p.address <<= ANY (o.addresses), false)
    FROM peer p, owner o JOIN wacta.credential c ON c.channel_id = o.channel_id OR c.source = o.source
   WHERE c.kind = $3 AND c.retired_at IS NULL;
END
$$;
COMMENT ON FUNCTION wacta.webhook_secrets(text, text, text, jsonb) IS
'The secrets that may prove a webhook, with the header that each may come in and whether the request comes from an address of its owner.';

-- Every secret is compared with every key that is shown: the aggregate does not stop at the first that fits.
CREATE FUNCTION wacta.key_proof(provider text, webhook text, headers jsonb, OUT shown boolean, OUT genuine boolean, OUT admitted boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT count(key) > 0 OR EXISTS (SELECT FROM wacta.shown_keys($3, NULL)),
         coalesce(bool_or(equal), false), coalesce(bool_or(equal AND s.admitted), false)
    INTO shown, genuine, admitted
    FROM wacta.webhook_secrets($1, $2, 'webhook_key', $3) s
    LEFT JOIN LATERAL wacta.shown_keys($3, s.header) key ON true
   CROSS JOIN LATERAL (SELECT wacta.equal_constant_time(s.secret, key) AS equal) e;
END
$$;
COMMENT ON FUNCTION wacta.key_proof(text, text, jsonb) IS
'Whether a request shows a key, whether it is a valid one, and whether one whose owner sends from this address.';

-- Senders of one app have its secret in common, and the body may have megabytes: one HMAC for each secret.
CREATE FUNCTION wacta.meta_proof(body bytea, headers jsonb, OUT shown boolean, OUT genuine boolean, OUT admitted boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  WITH signature AS (SELECT decode(substring(lower(value) FROM '^\s*sha256=([0-9a-f]{64})\s*$'), 'hex') AS mac
                       FROM wacta.header($2, 'x-hub-signature-256') value WHERE value IS NOT NULL),
       app AS MATERIALIZED (SELECT s.secret, bool_or(s.admitted) AS admitted FROM wacta.webhook_secrets('meta', 'whatsapp', 'app_secret', $2) s GROUP BY 1)
  SELECT EXISTS (SELECT FROM signature), coalesce(bool_or(equal), false), coalesce(bool_or(equal AND a.admitted), false)
    INTO shown, genuine, admitted
    FROM signature s, app a, LATERAL (SELECT wacta.equal_constant_time(wacta.hmac_sha256($1, a.secret), s.mac) AS equal OFFSET 0) e
   WHERE s.mac IS NOT NULL;
END
$$;
COMMENT ON FUNCTION wacta.meta_proof(bytea, jsonb) IS
'Whether a request is signed (X-Hub-Signature-256), whether with the secret of an app of ours, and whether from an address of its senders.';

-- https://www.twilio.com/docs/usage/security: the URL as it was entered at Twilio, its query included; then the fields of a form
-- in the order of their names, each name followed by its value.
CREATE FUNCTION wacta.twilio_signature(url text, form text, token bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT wacta.hmac_sha1(convert_to($1 || coalesce(string_agg(name || value, '' ORDER BY name COLLATE "C", value COLLATE "C"), ''), 'UTF8'), $3)
    FROM (SELECT DISTINCT wacta.percent_decode(split_part(pair, '=', 1)) AS name, wacta.percent_decode(substr(pair, strpos(pair || '=', '=') + 1)) AS value
            FROM string_to_table($2, '&') pair WHERE pair <> '') field
$$;
COMMENT ON FUNCTION wacta.twilio_signature(text, text, bytea) IS 'What X-Twilio-Signature must be for a URL, the form posted to it (NULL for a GET), and an auth token.';

-- The front door makes a body of a query too, and the URL may have been entered without the slash at its end: each is tried. It
-- knows no URL with a key in it, which proves itself by that. Anyone can send megabytes, so only what can be a call's is read.
CREATE FUNCTION wacta.twilio_signatures(source text, body bytea, token bytea) RETURNS SETOF bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT wacta.twilio_signature(signed.url, signed.form, $3)
    FROM wacta.config c, encode($2, 'escape') fields, unnest(ARRAY['', '/']) slash, LATERAL (SELECT c.base_url || '/webhook/ivr/' || $1 || slash AS url) entered,
         LATERAL (VALUES (entered.url, fields), (entered.url || '?' || fields, NULL)) signed(url, form)
   WHERE octet_length($2) <= 65536
$$;
COMMENT ON FUNCTION wacta.twilio_signatures(text, bytea, bytea) IS 'What Twilio''s signature of a call may be, by the URL of its source.';

CREATE FUNCTION wacta.twilio_proof(source text, body bytea, headers jsonb, OUT shown boolean, OUT genuine boolean, OUT admitted boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT wacta.header($3, 'x-twilio-signature') IS NOT NULL, coalesce(bool_or(equal), false), coalesce(bool_or(equal AND s.admitted), false)
    INTO shown, genuine, admitted
    FROM wacta.ivr_source i, wacta.webhook_secrets($1, 'ivr', 'app_secret', $3) s, wacta.twilio_signatures($1, $2, s.secret) mac,
         LATERAL (SELECT wacta.equal_constant_time(convert_to(encode(mac, 'base64'), 'UTF8'), convert_to(btrim(wacta.header($3, 'x-twilio-signature')), 'UTF8')) AS equal) e
   WHERE i.source = $1 AND i.format = 'twilio' AND wacta.header($3, 'x-twilio-signature') IS NOT NULL;
END
$$;
COMMENT ON FUNCTION wacta.twilio_proof(text, bytea, jsonb) IS
'Whether a request is signed (X-Twilio-Signature), whether with the auth token of the source (its app_secret), and whether from its addresses.';

-- The best of what a request brings decides. No row would mean that nothing was asked for, and is a refusal.
CREATE FUNCTION wacta.unproved(provider text, kind text, body bytea, headers jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  verdict text;
BEGIN
  SELECT CASE WHEN p.admitted THEN 'proved'
              WHEN p.genuine THEN CASE WHEN wacta.peer_address(headers) IS NULL THEN 'no address' ELSE 'wrong address' END
              WHEN p.shown THEN 'wrong ' || p.what ELSE 'no ' || p.what END
    INTO verdict
    FROM (SELECT 'signature' AS what, m.* FROM wacta.meta_proof($3, $4) m WHERE $2 <> 'ivr' AND $1 = 'meta'
          UNION ALL
          SELECT 'key', k.* FROM wacta.key_proof($1, $2, $4) k WHERE $2 = 'ivr' OR $1 <> 'meta'
          UNION ALL
          SELECT 'signature', t.* FROM wacta.twilio_proof($1, $3, $4) t WHERE $2 = 'ivr') p
   ORDER BY p.admitted DESC, p.genuine DESC, p.shown DESC, p.what LIMIT 1;
  RETURN nullif(coalesce(verdict, 'no key'), 'proved');
END
$$;
COMMENT ON FUNCTION wacta.unproved(text, text, bytea, jsonb) IS
'Why a webhook is not believed, or NULL when it is proved: no signature, wrong signature, no key, wrong key, or, though the secret is
right, wrong address or no address (the sender has a list of addresses, and the front door told another or none).';

-- One path serves all providers of WhatsApp: whose key it shows, sent it; who signs is Meta. A refusal is put down to the provider
-- that it looks like, so that an alert can name it; what shows nothing is a stranger's.
CREATE FUNCTION wacta.webhook_provider(headers jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    WITH candidate AS (SELECT c.provider, k.* FROM (SELECT DISTINCT x.provider FROM wacta.channel x WHERE x.provider <> 'meta') c,
                              wacta.key_proof(c.provider, 'whatsapp', $1) k)
    SELECT coalesce((SELECT c.provider FROM candidate c WHERE c.genuine ORDER BY c.admitted DESC, c.provider LIMIT 1),
                    CASE WHEN wacta.header($1, 'x-hub-signature-256') IS NOT NULL OR wacta.header($1, 'x-hub-signature') IS NOT NULL THEN 'meta' END,
                    (SELECT min(c.provider) FROM candidate c WHERE c.shown HAVING count(*) = 1), 'unknown'));
END
$$;
COMMENT ON FUNCTION wacta.webhook_provider(jsonb) IS 'Which provider of WhatsApp a request comes from, by what it shows of a proof.';

CREATE FUNCTION wacta.is_verify_token(token text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(bool_or(wacta.equal_constant_time(wacta.unseal(c.sealed), convert_to($1, 'UTF8'))), false)
    FROM wacta.credential c WHERE c.kind = 'verify_token' AND c.retired_at IS NULL
$$;
COMMENT ON FUNCTION wacta.is_verify_token(text) IS 'Whether a token is one of the valid verify tokens that we gave to Meta.';
