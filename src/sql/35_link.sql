-- Links: whole URLs in the configured style, for a message's buttons and for anyone who needs one.

CREATE FUNCTION wacta.percent_encode(value text) RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'wacta_percent_encode';
COMMENT ON FUNCTION wacta.percent_encode(text) IS 'Percent-encoding of all but unreserved characters (RFC 3986 section 2.3).';

-- The part of a link behind its fixed beginning: /t/ or /track/
CREATE FUNCTION wacta.link_suffix(lead_id bigint, message_id bigint, action text, style text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE style
    WHEN 'seed' THEN format('%s/?token=%s&action=%s', $1, wacta.percent_encode(wacta.mint_token($1)), wacta.percent_encode($3))
    ELSE wacta.mint_signed($1, $2, $3, wacta.now(), wacta.now() + (SELECT link_ttl FROM wacta.config))
  END
$$;
COMMENT ON FUNCTION wacta.link_suffix(bigint, bigint, text, text) IS 'What a link adds to BASE/t/ (signed) or BASE/track/ (seed).';

-- VOLATILE, so that it sees the lead or message that the same statement has just made.
CREATE FUNCTION wacta.mint_link(id bigint, action text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c       wacta.config := (SELECT k FROM wacta.config k);
  lead    bigint := (SELECT m.lead_id FROM wacta.message m WHERE m.message_id = id);
  message bigint := CASE WHEN lead IS NOT NULL THEN id END;
BEGIN
  IF lead IS NULL THEN
    lead := (SELECT l.lead_id FROM wacta.lead l WHERE l.lead_id = wacta.living_lead(id));
  ELSIF EXISTS (SELECT FROM wacta.lead l WHERE l.lead_id = id) THEN      -- only ids that the site chose itself can collide
    RAISE EXCEPTION '% is a message and a lead', id USING ERRCODE = '22023', HINT = 'Sign for a message of that lead.';
  END IF;
  IF lead IS NULL THEN
    RAISE EXCEPTION 'there is no message or lead %', id USING ERRCODE = '22023';
  END IF;
  RETURN c.base_url || CASE c.link_style WHEN 'seed' THEN '/track/' ELSE '/t/' END
         || wacta.link_suffix(lead, message, action, c.link_style);
END
$$;
COMMENT ON FUNCTION wacta.mint_link(bigint, text) IS
'A link for a message or a lead and an action, in the configured style; leads and messages never have the same id.';
