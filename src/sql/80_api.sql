-- What HTTP exposes, by PostgREST's conventions: text arguments, response.status, response.headers, a domain named after the media type.
-- Each function is SECURITY DEFINER, for the web roles have no right on any table.

CREATE DOMAIN wacta_http."*/*" AS bytea;
COMMENT ON DOMAIN wacta_http."*/*" IS 'A body of any media type; Content-Type comes in response.headers.';
CREATE DOMAIN wacta_http."text/html" AS text;
COMMENT ON DOMAIN wacta_http."text/html" IS 'A page.';

CREATE FUNCTION wacta_http.request(name text) RETURNS text
LANGUAGE sql STABLE
RETURN nullif(current_setting('request.' || $1, true), '');
COMMENT ON FUNCTION wacta_http.request(text) IS 'A part of the request (method, path, headers, cookies, jwt.claims), or NULL outside of one.';

CREATE FUNCTION wacta_http.request_headers() RETURNS jsonb
LANGUAGE sql STABLE
RETURN coalesce(wacta_http.request('headers')::jsonb, '{}');
COMMENT ON FUNCTION wacta_http.request_headers() IS 'The request''s headers, lower-case names.';

CREATE FUNCTION wacta_http.respond(status integer, headers jsonb DEFAULT '{}') RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  PERFORM set_config('response.status', status::text, true);
  PERFORM set_config('response.headers', (SELECT jsonb_agg(jsonb_build_object(key, value)) FROM jsonb_each_text(
    jsonb_build_object('Cache-Control', 'no-store', 'X-Content-Type-Options', 'nosniff', 'Referrer-Policy', 'no-referrer') || headers))::text, true);
END
$$;
COMMENT ON FUNCTION wacta_http.respond(integer, jsonb) IS 'Sets the status and the headers of the answer.';

CREATE FUNCTION wacta_http.html_escape(value text) RETURNS text
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wacta_html_escape';
COMMENT ON FUNCTION wacta_http.html_escape(text) IS 'Text as it may stand in HTML, in attributes too.';

CREATE FUNCTION wacta_http.render(template text, vars jsonb, texts jsonb DEFAULT '{}') RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'wacta_render';
COMMENT ON FUNCTION wacta_http.render(text, jsonb, jsonb) IS
'Fills a page: {{name}} by a value, escaped, {{{name}}} by markup that we made ourselves, {{:name}} by the text of that name in texts, escaped,
with the project''s name in the place of {project}. One pass: a value is never read for names.';

CREATE FUNCTION wacta_http.csp_hash(script text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$ BEGIN RETURN '''sha256-' || encode(sha256(convert_to($1, 'UTF8')), 'base64') || ''''; END $$;
COMMENT ON FUNCTION wacta_http.csp_hash(text) IS 'A Content-Security-Policy source that allows exactly this inline script or style.';

-- A whole page: the frame of web/page.html around a body, with a policy that allows nothing but our own style and script.
CREATE FUNCTION wacta_http.document(status integer, title text, style text, body text, script text, headers jsonb, language text DEFAULT 'en', direction text DEFAULT 'ltr') RETURNS bytea
LANGUAGE plpgsql
AS $$
BEGIN
  PERFORM wacta_http.respond(status, jsonb_build_object(
    'Content-Type', 'text/html; charset=utf-8', 'X-Robots-Tag', 'noindex', 'X-Frame-Options', 'DENY',
    -- not no-referrer: with that a browser hides the Origin of our own forms, and the front door refuses them
    'Referrer-Policy', 'same-origin',
    'Content-Security-Policy', format('default-src ''none''; style-src %s; %simg-src data:; form-action ''self''; base-uri ''none''; frame-ancestors ''none''',
      wacta_http.csp_hash(style), CASE WHEN script IS NOT NULL THEN 'script-src ' || wacta_http.csp_hash(script) || '; connect-src ''self''; ' END)) || headers);
  RETURN convert_to(wacta_http.render(wacta_http.asset('page.html'), jsonb_build_object('title', title, 'style', style, 'body', body,
    'language', language, 'direction', CASE WHEN direction = 'rtl' THEN ' dir="rtl"' END, 'script', coalesce('<script>' || script || '</script>', ''))), 'UTF8');
END
$$;
COMMENT ON FUNCTION wacta_http.document(integer, text, text, text, text, jsonb, text, text) IS
'Answers with a page; its CSP allows exactly the inline style and script that it has.';

CREATE FUNCTION wacta_http.page(status integer, title text, body text, script text DEFAULT NULL, headers jsonb DEFAULT '{}', language text DEFAULT 'en',
                                direction text DEFAULT 'ltr') RETURNS bytea
LANGUAGE plpgsql
AS $$
BEGIN
  RETURN (
    SELECT wacta_http.document($1, $2, wacta_http.asset('style.css') || coalesce(format('.sheet{border-color:%s}', c.brand_color), ''),
      wacta_http.render(wacta_http.asset('customer.html'), jsonb_build_object('content', $3, 'brand', c.brand,
        'logo', '<img src="' || c.brand_logo || '" alt="" height="40">')), $4, $5, $6, $7)
      FROM wacta.config c);
END
$$;
COMMENT ON FUNCTION wacta_http.page(integer, text, text, text, jsonb, text, text) IS 'Answers with a page of one column under the brand: the customers'' pages, the sign-in form.';

CREATE FUNCTION wacta_http.lead_number(value text) RETURNS bigint
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN $1 ~ '^[0-9]{1,18}$' THEN $1::bigint WHEN coalesce($1, '') <> '' THEN 0 END;
COMMENT ON FUNCTION wacta_http.lead_number(text) IS 'A lead id as it came in a URL; what is none becomes 0, which belongs to nobody.';

-- Staff

CREATE FUNCTION wacta_http.closed_gates(lead bigint, template text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN coalesce((SELECT jsonb_agg(jsonb_build_object('gate', g.gate, 'detail', g.detail, 'next_time', g.next_time))
                     FROM wacta.explain_send(lead, template) g WHERE NOT g.passed), '[]');
EXCEPTION WHEN object_not_in_prerequisite_state OR invalid_parameter_value THEN
  RETURN jsonb_build_array(jsonb_build_object('gate', 'setup', 'detail', SQLERRM));     -- no sender, no template
END
$$;
COMMENT ON FUNCTION wacta_http.closed_gates(bigint, text) IS 'What stands in the way of a message to a lead, by wacta.explain_send().';

-- A form without JavaScript wants to come back to its page; a program wants the answer.
CREATE FUNCTION wacta_http.wants_page() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(wacta_http.request_headers() ->> 'accept' LIKE '%text/html%', false) $$;
COMMENT ON FUNCTION wacta_http.wants_page() IS 'Whether the request is a browser''s own, which shows what it gets.';

CREATE FUNCTION wacta_http.back_to_dashboard(lead bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT wacta_http.respond(303, jsonb_build_object('Location', '../whatsapp-interactive/?lead=' || $1)) $$;
COMMENT ON FUNCTION wacta_http.back_to_dashboard(bigint) IS 'Answers with the way back to the dashboard, which tells about the lead.';

CREATE FUNCTION wacta_api.send_interactive_message(lead_id text, template text DEFAULT NULL, call_id text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  m wacta.message;
BEGIN
  PERFORM wacta_http.check_session();
  m.lead_id := wacta.living_lead(wacta_http.lead_number($1));
  IF NOT EXISTS (SELECT FROM wacta.lead l WHERE l.lead_id = m.lead_id) THEN
    RAISE SQLSTATE 'PT404' USING MESSAGE = 'there is no such lead';
  END IF;
  BEGIN
    m.message_id := wacta.send_interactive(m.lead_id, nullif($2, ''));
  EXCEPTION WHEN object_not_in_prerequisite_state OR invalid_parameter_value THEN
    IF wacta_http.wants_page() THEN
      PERFORM wacta_http.back_to_dashboard(m.lead_id);
      RETURN NULL;
    END IF;
    RAISE SQLSTATE 'PT409' USING MESSAGE = SQLERRM;
  END;
  SELECT * INTO m FROM wacta.message q WHERE (q.lead_id, q.message_id) = (m.lead_id, m.message_id);
  UPDATE wacta.ivr_call c SET processed_at = wacta.now(), outcome = coalesce(m.reason, 'queued'), message_id = m.message_id
   WHERE c.call_id = wacta_http.lead_number($3) AND c.lead_id = m.lead_id AND c.processed_at IS NULL;
  -- a refusal is kept in the history, hence a status and not an error
  PERFORM wacta_http.respond(CASE WHEN m.status = 'queued' THEN 202 ELSE 409 END);
  IF wacta_http.wants_page() THEN
    PERFORM wacta_http.back_to_dashboard(m.lead_id);
  END IF;
  RETURN jsonb_build_object('message_id', m.message_id, 'lead_id', m.lead_id, 'status', m.status, 'reason', m.reason)
         || CASE WHEN m.status = 'queued' THEN '{}' ELSE jsonb_build_object('gates', wacta_http.closed_gates(m.lead_id, nullif($2, ''))) END;
END
$$;
COMMENT ON FUNCTION wacta_api.send_interactive_message(text, text, text) IS
$$Send the interactive message to a lead
202 with the message's id when it is queued; 409 with the reason when this person must not get it, and with what stands in the way (gates).$$;

CREATE FUNCTION wacta_api.record_call(lead_id text, result text, note text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lead bigint := wacta.living_lead(wacta_http.lead_number($1));
  due  timestamptz;
BEGIN
  PERFORM wacta_http.check_session();
  IF NOT EXISTS (SELECT FROM wacta.lead l WHERE l.lead_id = lead) THEN
    RAISE SQLSTATE 'PT404' USING MESSAGE = 'there is no such lead';
  END IF;
  BEGIN
    due := wacta.record_call(lead, $2, NULL, nullif(left($3, 2000), ''));
  EXCEPTION WHEN object_not_in_prerequisite_state OR invalid_parameter_value THEN
    RAISE SQLSTATE 'PT409' USING MESSAGE = SQLERRM;
  END;
  PERFORM wacta_http.respond(200);
  IF wacta_http.wants_page() THEN
    PERFORM wacta_http.back_to_dashboard(lead);
  END IF;
  RETURN jsonb_build_object('lead_id', lead, 'result', $2, 'next_at', due);
END
$$;
COMMENT ON FUNCTION wacta_api.record_call(text, text, text) IS
$$Record what came of a call to a lead
result: done, no_answer, busy, call_back and so on (wacta.follow_up_result). next_at: when the call is to be made again, null when it is not.
409 when the lead has no open follow-up.$$;

CREATE FUNCTION wacta_api.interactive_analytics(days text DEFAULT '30') RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  wanted text := coalesce(nullif($1, ''), '30');
BEGIN
  PERFORM wacta_http.check_session();
  IF wanted !~ '^[0-9]{1,4}$' OR wanted::integer NOT BETWEEN 1 AND 3660 THEN
    RAISE SQLSTATE 'PT400' USING MESSAGE = 'days must be between 1 and 3660';
  END IF;
  RETURN (SELECT to_jsonb(a) || jsonb_build_object('total_sent', a.messages_sent, 'total_clicks', a.decisions,
                                                   'clicks', jsonb_build_object('raw', a.raw_clicks, 'human', a.human_clicks, 'decisions', a.decisions, 'unique', a.clickers))
            FROM wacta.analytics(wanted::integer) a);
END
$$;
COMMENT ON FUNCTION wacta_api.interactive_analytics(text) IS
$$The figures of the interactive messages
Of the last days (30 by default), as wacta.analytics() has them: sent, delivered, read, clickers, interested, not interested, engagement and
conversion rate. clicks: raw (every visit of a link), human (decisions by people), decisions (those that changed something), unique (people).
total_sent is messages_sent, and total_clicks is clicks.decisions.$$;

-- Webhooks

CREATE FUNCTION wacta_api.webhook_challenge(mode text DEFAULT NULL, challenge text DEFAULT NULL, verify_token text DEFAULT NULL) RETURNS wacta_http."*/*"
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF $1 IS DISTINCT FROM 'subscribe' OR $2 IS NULL OR NOT wacta.is_verify_token($3) THEN
    RAISE SQLSTATE 'PT403' USING MESSAGE = 'the verify token is not ours';
  END IF;
  PERFORM wacta_http.respond(200, '{"Content-Type": "text/plain; charset=utf-8"}');
  RETURN convert_to($2, 'UTF8');
END
$$;
COMMENT ON FUNCTION wacta_api.webhook_challenge(text, text, text) IS
$$The verification of a webhook's URL
Meta's hub.mode, hub.challenge and hub.verify_token; answers the bare challenge. Any valid verify_token of a channel will do.$$;

CREATE FUNCTION wacta_http.webhook_answer(inbox_id bigint) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  i wacta.inbox;
BEGIN
  SELECT * INTO i FROM wacta.inbox WHERE inbox.inbox_id = $1;
  PERFORM set_config('response.webhook', CASE WHEN i.proved THEN $1::text ELSE '' END, false);      -- for apply_received(), beyond the commit
  PERFORM wacta_http.respond(CASE WHEN i.proved THEN 200 ELSE 403 END);     -- no row: one refusal too many to keep
  -- whatever a proved body holds, the sender has done its part: 200
  RETURN CASE WHEN i.proved THEN jsonb_build_object('status', 'ok', 'items', i.items) ELSE jsonb_build_object('status', 'refused') END;
END
$$;
COMMENT ON FUNCTION wacta_http.webhook_answer(bigint) IS 'Answers a webhook: 200 when it was proved, else 403.';

-- A front door that can calls this in a transaction after the one that stored the webhook, so that who sent it finds its effect once
-- it has the answer. Nobody waits long: what is locked, the inbox worker applies later.
CREATE FUNCTION wacta_http.apply_received() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
AS $$
BEGIN
  PERFORM wacta.apply_at_once(nullif(current_setting('response.webhook', true), '')::bigint);
END
$$;
COMMENT ON FUNCTION wacta_http.apply_received() IS 'Applies the webhook that this connection has just stored, unless somebody else has or something is in the way.';

-- PostgREST hands raw bytes over as application/octet-stream alone; the proxy before it tells what the sender called them.
CREATE FUNCTION wacta_http.webhook_headers() RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  h jsonb := wacta_http.request_headers();
BEGIN
  RETURN CASE WHEN h ? 'x-wacta-content-type' THEN h || jsonb_build_object('content-type', h -> 'x-wacta-content-type') ELSE h END;
END
$$;
COMMENT ON FUNCTION wacta_http.webhook_headers() IS 'A webhook''s headers, with the media type that its sender gave.';

CREATE FUNCTION wacta_api.webhook_whatsapp(bytea) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  headers jsonb := wacta_http.webhook_headers();
BEGIN
  RETURN wacta_http.webhook_answer(wacta.receive_webhook(wacta.webhook_provider(headers), 'whatsapp', $1, headers));
END
$$;
COMMENT ON FUNCTION wacta_api.webhook_whatsapp(bytea) IS
$$Webhooks of the WhatsApp providers
Statuses, messages, preferences and template events. Meta signs the body (X-Hub-Signature-256); Tata, 360dialog and Gupshup show a key
(X-Wacta-Key). 200 for what is proved, whatever it holds; else 403.$$;

-- What answers a voice URL, Twilio and Plivo obey, and take JSON for a fault. This one gives them nothing to do.
CREATE FUNCTION wacta_http.call_answer(format text, answer jsonb) RETURNS bytea
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  proved       boolean := answer ->> 'status' = 'ok';
  instructions boolean := proved AND format IN ('twilio', 'plivo');
BEGIN
  PERFORM wacta_http.respond(CASE WHEN proved THEN 200 ELSE 403 END, jsonb_build_object('Content-Type',
    CASE WHEN instructions THEN 'text/xml; charset=utf-8' ELSE 'application/json; charset=utf-8' END));
  RETURN convert_to(CASE WHEN instructions THEN '<?xml version="1.0" encoding="UTF-8"?><Response/>' ELSE answer::text END, 'UTF8');
END
$$;
COMMENT ON FUNCTION wacta_http.call_answer(text, jsonb) IS 'The answer to an IVR provider, in the language that it expects.';

CREATE FUNCTION wacta_api.webhook_ivr(bytea) RETURNS wacta_http."*/*"
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  headers jsonb := wacta_http.webhook_headers();
  src     wacta.ivr_source;
BEGIN
  SELECT * INTO src FROM wacta.ivr_source s WHERE s.source = wacta.header(headers, 'x-wacta-source');
  IF NOT FOUND THEN
    RAISE SQLSTATE 'PT404' USING MESSAGE = 'there is no such IVR source';
  END IF;
  RETURN wacta_http.call_answer(src.format, wacta_http.webhook_answer(wacta.receive_webhook(src.source, 'ivr', $1, headers)));
END
$$;
COMMENT ON FUNCTION wacta_api.webhook_ivr(bytea) IS
$$Calls from an IVR provider
JSON or form, proved by the source's key (X-Wacta-Key, basic authentication, ?key=, or a header of the source's own) or by Twilio's
signature. The source is named in X-Wacta-Source; a GET comes as the form that its query is. Twilio and Plivo are answered in XML.$$;

CREATE FUNCTION wacta_api.health() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT jsonb_build_object('status', 'ok', 'version', (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'wacta')) $$;
COMMENT ON FUNCTION wacta_api.health() IS
$$Whether the database answers
Says nothing about customers or load.$$;
