-- Request bodies in the provider's own shape (Meta Cloud API, Tata Omni, 360dialog), and what their answers mean.

CREATE FUNCTION wacta.parameter_text(value text, fallback text) RETURNS text
LANGUAGE C IMMUTABLE AS 'MODULE_PATHNAME', 'wacta_parameter_text';
COMMENT ON FUNCTION wacta.parameter_text(text, text) IS 'A value made fit for a template''s parameter; the fallback when nothing is left.';

CREATE FUNCTION wacta.fill_request(form text, lead_id bigint, message_id bigint, recipient text, customer_name text, now timestamptz, expires timestamptz) RETURNS text
LANGUAGE C STABLE AS 'MODULE_PATHNAME', 'wacta_fill_request';
COMMENT ON FUNCTION wacta.fill_request(text, bigint, bigint, text, text, timestamptz, timestamptz) IS
'The body of one message''s request: the form of its kind with what is its own, its signed links among it.';

-- In a form, what is one message's own stands between two control characters, which every other value is rid of; src/request.c fills it.
CREATE FUNCTION wacta.placeholder(name text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN chr(1) || $1 || chr(1);
END
$$;
COMMENT ON FUNCTION wacta.placeholder(text) IS 'A placeholder in a form: to, customer_name <room>, message_id, link signed <action>, link seed <action>.';

CREATE FUNCTION wacta.template_value(name text, variables jsonb, p wacta.project, room integer) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT CASE WHEN $2 ->> $1 IS NOT NULL OR $1 <> 'customer_name'
                THEN wacta.parameter_text(coalesce($2 ->> $1, CASE $1 WHEN 'project_name' THEN p.name END),
                                          CASE $1 WHEN 'customer_name' THEN 'there' ELSE (SELECT wacta.parameter_text(c.brand, 'wacta') FROM wacta.config c) END)
                ELSE wacta.placeholder('customer_name ' || room) END);
END
$$;
COMMENT ON FUNCTION wacta.template_value(text, jsonb, wacta.project, integer) IS
'What fills one variable of a template''s body; room: how long the customer''s name may be.';

CREATE FUNCTION wacta.template_component(components jsonb, type text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT c FROM jsonb_array_elements($1) c WHERE upper(c ->> 'type') = $2 LIMIT 1);
END
$$;
COMMENT ON FUNCTION wacta.template_component(jsonb, text) IS 'The component of a type (HEADER, BODY, FOOTER, BUTTONS), or NULL.';

CREATE FUNCTION wacta.variable_count(value text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT coalesce(max((v)[1]::integer), 0) FROM regexp_matches(coalesce($1, ''), '\{\{\s*([0-9]{1,3})\s*\}\}', 'g') v);
END
$$;
COMMENT ON FUNCTION wacta.variable_count(text) IS 'The highest n of the variables {{n}} in a text.';

CREATE FUNCTION wacta.utf16_length(value text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN length($1) + (octet_length(c) - length(c)) / 3
    FROM (SELECT regexp_replace($1, '[\u0001-\uffff]', '', 'g') AS c) beyond;
END
$$;
COMMENT ON FUNCTION wacta.utf16_length(text) IS 'The length in UTF-16 code units: characters beyond U+FFFF, such as most emoji, count twice.';

-- Source: Meta, whatsapp/message-templates/components: a body has 1,024 characters at most, with its values in it. A longer one
-- is refused by a code (132005) that says the same of a bad translation, and so holds the template for everybody: one long value
-- must not get as far as that. The values that are the same for all messages of a kind are counted here, and what they leave is
-- shared by the name, wherever it stands. A name that is longer is cut when the form is filled, rather than the message failed:
-- what needs so many characters is a remark in the wrong field, and the message is as good without its end.
-- Whether Meta counts characters or UTF-16 units is not written anywhere; there are never fewer of the latter.
CREATE FUNCTION wacta.room_for_name(body text, t wacta.template, variables jsonb, p wacta.project) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  fixed integer := wacta.utf16_length(regexp_replace(coalesce(body, ''), '\{\{\s*[0-9]{1,3}\s*\}\}', '', 'g'));
  names integer;
BEGIN
  SELECT fixed + coalesce(sum(wacta.utf16_length(v)) FILTER (WHERE v NOT LIKE chr(1) || '%'), 0), count(*) FILTER (WHERE v LIKE chr(1) || '%') INTO fixed, names
    FROM regexp_matches(body, '\{\{\s*([0-9]{1,3})\s*\}\}', 'g') n, wacta.template_value(coalesce(t.body_values[n[1]::integer], 'brand'), variables, p, 0) v;
  IF fixed + names * length('there') > 1024 THEN
    RAISE EXCEPTION 'the text of template "%" has % characters with its values, and WhatsApp takes 1,024', t.name, fixed + names * length('there')
      USING ERRCODE = '22001';
  END IF;
  RETURN coalesce((1024 - fixed) / nullif(names, 0), 0);
END
$$;
COMMENT ON FUNCTION wacta.room_for_name(text, wacta.template, jsonb, wacta.project) IS
'How long the customer''s name may be in a template''s body, in UTF-16 code units, 0 when it is not in it; an error when the body is
too long in any case.';

CREATE FUNCTION wacta.body_parameters(t wacta.template, variables jsonb, p wacta.project) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  body text := wacta.template_component(t.components, 'BODY') ->> 'text';
  room integer := wacta.room_for_name(body, t, variables, p);
BEGIN
  RETURN (
    SELECT jsonb_build_object('type', 'body', 'parameters',
             jsonb_agg(jsonb_build_object('type', 'text', 'text', wacta.template_value(coalesce(t.body_values[n], 'brand'), variables, p, room)) ORDER BY n))
      FROM generate_series(1, wacta.variable_count(body)) n
    HAVING count(*) > 0);
END
$$;
COMMENT ON FUNCTION wacta.body_parameters(wacta.template, jsonb, wacta.project) IS 'The body component of a template message, or NULL when it has no variable.';

CREATE FUNCTION wacta.check_action(action text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- signs for nobody, only to see that it could: a form that cannot be filled must not get as far as the courier
  PERFORM wacta.mint_signed(1, NULL, coalesce(action, ''), wacta.now(), wacta.now() + (SELECT c.link_ttl FROM wacta.config c));
  RETURN action;
END
$$;
COMMENT ON FUNCTION wacta.check_action(text) IS 'The action itself when a link can be signed for it now; else the error that signing would give.';

-- index counts among all buttons from 0; only URL buttons with a variable have a parameter, which the provider appends to the
-- URL's fixed part as it is, hence a token of unreserved characters.
CREATE FUNCTION wacta.button_parameters(t wacta.template) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT jsonb_build_object('type', 'button', 'sub_type', 'url', 'index', (n - 1)::text, 'parameters',
           jsonb_build_array(jsonb_build_object('type', 'text', 'text',
             wacta.placeholder(format('link %s %s', CASE WHEN url LIKE '%/track/{{1}}' THEN 'seed' ELSE 'signed' END,
                                      wacta.check_action(t.button_actions[nth]))))))
    FROM (SELECT b ->> 'url' AS url, n, row_number() OVER (ORDER BY n) AS nth
            FROM jsonb_array_elements(wacta.template_component(t.components, 'BUTTONS') -> 'buttons') WITH ORDINALITY e(b, n)
           WHERE upper(b ->> 'type') = 'URL' AND b ->> 'url' LIKE '%{{%') buttons
   ORDER BY n;
END
$$;
COMMENT ON FUNCTION wacta.button_parameters(wacta.template) IS 'The button components of a template message.';

CREATE FUNCTION wacta.document_object(p wacta.project) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN jsonb_build_object('filename', translate(p.brochure_file_name, chr(1), ''))
         || CASE WHEN p.brochure_media_id IS NOT NULL THEN jsonb_build_object('id', translate(p.brochure_media_id, chr(1), ''))
                 ELSE jsonb_build_object('link', translate(p.brochure_link, chr(1), '')) END;
END
$$;
COMMENT ON FUNCTION wacta.document_object(wacta.project) IS 'A project''s brochure as WhatsApp''s document object.';

CREATE FUNCTION wacta.template_object(t wacta.template, variables jsonb, p wacta.project) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT jsonb_build_object('name', t.name, 'language', jsonb_build_object('code', translate(t.language, chr(1), ''), 'policy', 'deterministic'),
             'components', coalesce(jsonb_agg(part ORDER BY nr), '[]'))
      FROM (SELECT 1 AS nr, jsonb_build_object('type', 'header', 'parameters',
                              jsonb_build_array(jsonb_build_object('type', 'document', 'document', wacta.document_object(p)))) AS part
             WHERE upper(wacta.template_component(t.components, 'HEADER') ->> 'format') = 'DOCUMENT'
            UNION ALL SELECT 2, b FROM wacta.body_parameters(t, variables, p) b WHERE b IS NOT NULL
            UNION ALL SELECT 2 + n, b FROM wacta.button_parameters(t) WITH ORDINALITY x(b, n)) parts);
END
$$;
COMMENT ON FUNCTION wacta.template_object(wacta.template, jsonb, wacta.project) IS 'The template object of a message''s form.';

-- What a request is about, apart from the provider: template or document. problem: why it cannot be built.
CREATE FUNCTION wacta.message_content(template_id integer, project_id integer, purpose text, variables jsonb, in_window boolean,
                                      OUT content jsonb, OUT problem text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  t wacta.template;
  p wacta.project;
BEGIN
  SELECT * INTO t FROM wacta.template x WHERE x.template_id = $1;
  SELECT * INTO p FROM wacta.project x WHERE x.project_id = $2;
  IF purpose = 'brochure' AND p.brochure_link IS NULL AND p.brochure_media_id IS NULL THEN
    problem := 'the project has no brochure';
  ELSIF purpose = 'brochure' AND in_window THEN           -- free form is allowed while the window is open
    content := jsonb_build_object('type', 'document', 'document', wacta.document_object(p));
  ELSIF t.template_id IS NULL THEN
    problem := CASE purpose WHEN 'brochure' THEN 'the service window is closed and the project has no brochure template'
                            ELSE 'the message has no template' END;
  ELSIF t.verdict <> 'send' THEN
    problem := format('template "%s" is %s', t.name, t.status);
  ELSE
    content := jsonb_build_object('type', 'template', 'template', wacta.template_object(t, variables, p));
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.message_content(integer, integer, text, jsonb, boolean) IS
'The type and content of a message as WhatsApp has them, or the problem that prevents it. Chosen at send time.';

CREATE FUNCTION wacta.envelope(provider text, recipient_kind text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- to: the number with its plus sign; recipient: the business-scoped user id where no number is known
  RETURN (
    SELECT jsonb_build_object(CASE $2 WHEN 'phone' THEN 'to' ELSE 'recipient' END, wacta.placeholder('to'), 'recipient_type', 'individual')
           || CASE $1 WHEN 'tata' THEN jsonb_build_object('source', 'external', 'metaData', jsonb_build_object('custom_callback_data', echo))
                      ELSE jsonb_build_object('messaging_product', 'whatsapp', 'biz_opaque_callback_data', echo) END
      FROM (SELECT 'wacta:outbox:' || wacta.placeholder('message_id') AS echo) e);
END
$$;
COMMENT ON FUNCTION wacta.envelope(text, text) IS 'What stands around the content of a request at this provider.';

-- All that is the same for the messages of a kind: what is to become of them, why, and the form of their requests.
CREATE FUNCTION wacta.plan_request(channel_id integer, template_id integer, project_id integer, purpose text, variables jsonb, in_window boolean,
                                   recipient_kind text, consent text, OUT status wacta.message_status, OUT reason text, OUT form text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c record;
BEGIN
  reason := wacta.refusal(consent, recipient_kind);
  IF reason IS NOT NULL THEN
    status := 'suppressed';
    RETURN;
  END IF;
  SELECT * INTO c FROM wacta.message_content($2, $3, $4, $5, $6);
  reason := c.problem;
  IF reason IS NULL THEN
    form := (c.content || wacta.envelope((SELECT ch.provider FROM wacta.channel ch WHERE ch.channel_id = $1), recipient_kind))::text;
    reason := CASE WHEN octet_length(form) > 50000 THEN 'the request is too large' END;
  END IF;
  status := CASE WHEN reason IS NULL THEN 'sending' ELSE 'failed' END;
EXCEPTION
  -- what the site has to repair (no signing key, no key file, the wrong one) is no fault of the message: it waits
  WHEN object_not_in_prerequisite_state OR config_file_error OR insufficient_resources OR system_error OR external_routine_invocation_exception THEN
    status := 'queued';
    reason := SQLERRM;
  WHEN others THEN                  -- whatever is wrong with one kind of message must not stop the others
    status := 'failed';
    reason := SQLERRM;
END
$$;
COMMENT ON FUNCTION wacta.plan_request(integer, integer, integer, text, jsonb, boolean, text, text) IS
'What is to become of messages of this kind now: sending (with the form of their requests), suppressed, failed, or queued until
the site is repaired, and why.';

CREATE FUNCTION wacta.recall(key text) RETURNS text
LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'wacta_recall';
COMMENT ON FUNCTION wacta.recall(text) IS 'What this session has memorized under the key, or NULL.';

CREATE FUNCTION wacta.memorize(key text, value text) RETURNS void
LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'wacta_memorize';
COMMENT ON FUNCTION wacta.memorize(text, text) IS 'Keeps a value in the memory of this session; a later one may take its place.';

-- As plan_request, which is not asked again while nothing has changed.
CREATE FUNCTION wacta.plan_kind(version text, channel_id integer, template_id integer, project_id integer, purpose text, variables jsonb, in_window boolean,
                                recipient_kind text, consent text, OUT status wacta.message_status, OUT reason text, OUT form text)
LANGUAGE plpgsql
AS $$
DECLARE
  key text := (SELECT concat_ws(' ', version, $4, (SELECT (p.xmin, p.ctid) FROM wacta.project p WHERE p.project_id = $4), purpose, in_window, recipient_kind, consent, variables));
BEGIN
  form := wacta.recall(key);
  IF form IS NOT NULL THEN
    status := 'sending';
    RETURN;
  END IF;
  SELECT * INTO status, reason, form FROM wacta.plan_request($2, $3, $4, $5, $6, $7, $8, $9);
  IF status = 'sending' THEN
    PERFORM wacta.memorize(key, form);
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.plan_kind(text, integer, integer, integer, text, jsonb, boolean, text, text) IS
'What is to become of messages of this kind: see wacta.plan_request(), whose answer it remembers.';

-- Whom the provider is to send to: the phone, or the business-scoped user id where no number is known.
CREATE FUNCTION wacta.recipient(lead_id bigint, OUT kind text, OUT value text)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  SELECT i.kind, i.value INTO kind, value FROM wacta.lead_identity i
   WHERE i.lead_id = $1 AND i.kind IN ('phone', 'user_id') ORDER BY i.kind, i.created_at LIMIT 1;
END
$$;
COMMENT ON FUNCTION wacta.recipient(bigint) IS 'How a person is reached: by phone, or by user id; NULL: not at all.';

CREATE FUNCTION wacta.build_request(m wacta.message, OUT body jsonb, OUT problem text, OUT later boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  l    wacta.lead;
  r    record;
  plan record;
BEGIN
  SELECT * INTO l FROM wacta.lead x WHERE x.lead_id = m.lead_id;
  SELECT * INTO r FROM wacta.recipient(m.lead_id);
  SELECT * INTO plan FROM wacta.plan_request(m.channel_id, m.template_id, m.project_id, m.purpose, m.variables,
                                             coalesce(l.window_until > wacta.now(), false), r.kind, l.consent);
  problem := plan.reason;
  later := plan.status = 'queued';
  body := wacta.fill_request(plan.form, m.lead_id, m.message_id, r.value, wacta.parameter_text(l.name, 'there'), wacta.now(),
                             wacta.now() + (SELECT c.link_ttl FROM wacta.config c))::jsonb;
END
$$;
COMMENT ON FUNCTION wacta.build_request(wacta.message) IS
'The JSON body of the request for a message, in its provider''s own shape, or the problem that prevents it (later: the site''s
to repair, the message waits). Needs no network.';

CREATE FUNCTION wacta.channel_url(c wacta.channel) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN c.base_url || CASE c.provider WHEN 'meta' THEN format('/%s/%s/messages', c.api_version, c.sender_id)
                                       WHEN 'tata' THEN '/whatsapp-cloud/messages' WHEN 'openai' THEN '/chat/completions' ELSE '/messages' END;
END
$$;
COMMENT ON FUNCTION wacta.channel_url(wacta.channel) IS 'Where a channel''s messages are posted to, to a model''s its questions.';

-- What an answer leads to that is no acceptance. Source: Meta, business-messaging/whatsapp/support/error-codes; RFC 9110 for the
-- statuses: a 504 says that nobody knows what became of the request behind the gateway.
CREATE TABLE wacta.error_rule (
  code   integer,
  action text NOT NULL CHECK (action IN ('retry', 'retry_pair', 'retry_day', 'throttle_sender', 'pause_sender', 'stop_sender', 'hold_template', 'suppress', 'fail', 'in_doubt')),
  note   text,
  kind   text NOT NULL DEFAULT 'code' CHECK (kind IN ('code', 'http')),
  wait   interval CHECK (wait >= '0' AND wait <= '7 days'),
  PRIMARY KEY (kind, code)
);
COMMENT ON TABLE wacta.error_rule IS
'What to do when the provider answers with an error code, or without one, with an HTTP status.
A code that is not listed is retried a few times (wacta.config.unlisted_tries), then it fails the message.';
COMMENT ON COLUMN wacta.error_rule.kind IS 'code: the provider''s error code; http: the HTTP status of an answer without a code.';
COMMENT ON COLUMN wacta.error_rule.wait IS 'How long to wait; NULL: as the action says. The provider''s Retry-After counts when it is longer.';
COMMENT ON COLUMN wacta.error_rule.action IS
'retry: with backoff; retry_pair: 4^n seconds; retry_day: after 24 hours;
throttle_sender: the sender slows down, and waits as long as Retry-After says; pause_sender: an hour; stop_sender: until resumed;
hold_template: fail and hold the template; suppress: the person opted out at WhatsApp; fail: for good;
in_doubt: the message may have been taken.';
INSERT INTO wacta.error_rule (code, action, note)
SELECT code, action, note FROM (VALUES
  ('throttle_sender', 'the sender is over a limit', '{4,80007,130429}'::integer[]),
  ('retry', 'temporary', '{1,2,131000,131016,131057,133004,134101,131053}'),
  ('retry_pair', 'too many messages to this person in a short time', '{131056}'),
  ('retry_day', 'limited by Meta for this person today', '{131049,130472}'),
  ('pause_sender', 'the sender is limited or being registered', '{131048,131064,133016,133008,133009,133015}'),
  ('stop_sender', 'the account or its token needs a person', '{0,3,10,190,131005,33,368,131031,131037,131042,131045,133000,133005,133006,133010,134011}'),
  ('hold_template', 'the template needs a person', '{132000,132001,132005,132007,132012,132015,132016,132018,132068,132069,131063,134100}'),
  ('suppress', 'the person stopped marketing messages at WhatsApp', '{131050}'),
  ('fail', 'this message or person', '{100,131008,131009,131021,131026,131030,131047,131051,131052,131055,131062,130403,130497,135000}')
) AS t(action, note, codes), unnest(codes) AS code;
INSERT INTO wacta.error_rule (code, action, note) SELECT code, 'stop_sender', 'permission' FROM generate_series(200, 299) code;
INSERT INTO wacta.error_rule (kind, code, action, note) VALUES
  ('http', 401, 'stop_sender', 'the token is refused'), ('http', 403, 'stop_sender', 'not allowed'),
  ('http', 408, 'retry', 'the request did not arrive whole'), ('http', 425, 'retry', 'too early'), ('http', 429, 'throttle_sender', 'too many requests'),
  ('http', 500, 'retry', 'the provider failed'), ('http', 502, 'retry', 'no provider behind the gateway'), ('http', 503, 'retry', 'not in service'),
  ('http', 504, 'in_doubt', 'the gateway waited in vain for the provider''s answer');
CREATE TRIGGER restore_replaces BEFORE INSERT ON wacta.error_rule
  FOR EACH ROW EXECUTE FUNCTION wacta.replace_seeded('kind', 'code');

CREATE FUNCTION wacta.error_action(code integer, http_status integer, attempts integer, OUT action text, OUT wait interval)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT r.action, r.wait INTO action, wait FROM wacta.error_rule r
   WHERE (r.kind, r.code) = (CASE WHEN $1 IS NULL THEN 'http' ELSE 'code' END, coalesce($1, $2));
  action := coalesce(action, CASE
    WHEN $1 IS NOT NULL THEN CASE WHEN $3 < (SELECT c.unlisted_tries FROM wacta.config c) THEN 'retry' ELSE 'fail' END
    WHEN $2 >= 500 THEN 'retry'
    ELSE 'fail' END);
END
$$;
COMMENT ON FUNCTION wacta.error_action(integer, integer, integer) IS 'The action for a code, or for an HTTP status that came without one, and how long to wait.';

CREATE FUNCTION wacta.try_integer(value text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN $1 ~ '^-?[0-9]{1,9}$' THEN $1::integer END;
END
$$;
COMMENT ON FUNCTION wacta.try_integer(text) IS 'The integer that the text is, or NULL.';

-- The error in an answer, in either provider's envelope.
CREATE FUNCTION wacta.answer_error(answer jsonb, OUT code integer, OUT detail text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT wacta.try_integer(coalesce(e ->> 'code', $1 ->> 'code')),
         left(coalesce(e #>> '{error_data,details}', e ->> 'error_user_msg', e ->> 'details', e ->> 'message', e ->> 'title', $1 ->> 'message',
                       CASE WHEN jsonb_typeof(e) = 'string' THEN e #>> '{}' END), 500)
    FROM (SELECT CASE jsonb_typeof(coalesce($1 -> 'error', $1 -> 'errors')) WHEN 'array' THEN coalesce($1 -> 'error', $1 -> 'errors') -> 0
                      ELSE coalesce($1 -> 'error', $1 -> 'errors') END AS e) error
$$;
COMMENT ON FUNCTION wacta.answer_error(jsonb) IS 'Code and explanation of a provider''s error answer.';

-- A provider may quote the token that it did not like; its words go into our tables and logs.
CREATE FUNCTION wacta.without_secret(detail text, channel_id integer) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF detail IS NOT NULL AND EXISTS (SELECT FROM wacta.secrets($2, NULL, 'access_token') s
                                     WHERE strpos(detail, left(convert_from(s, 'UTF8'), 12)) > 0) THEN
    RETURN '(hidden: it quotes a credential)';
  END IF;
  RETURN detail;
EXCEPTION WHEN others THEN          -- no key file: what cannot be compared is not shown, and the message is settled all the same
  RETURN '(hidden: the secrets cannot be read)';
END
$$;
COMMENT ON FUNCTION wacta.without_secret(text, integer) IS 'A provider''s words, unless they quote the channel''s access token.';
