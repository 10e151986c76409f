-- The template studio over HTTP: generate, check what a model has written, show it as WhatsApp does, save, submit.

-- How it looks

CREATE FUNCTION wacta_http.styled(said text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  -- WhatsApp's own marks, at the edges of words alone; what they stand around is escaped before
  SELECT regexp_replace(regexp_replace(regexp_replace(regexp_replace(wacta_http.html_escape($1),
           '```([^`]+)```', '<code>\1</code>', 'g'),
           '(^|[^[:alnum:]*])\*([^\s*](?:[^*\n]*[^\s*])?)\*(?![[:alnum:]*])', '\1<b>\2</b>', 'g'),
           '(^|[^[:alnum:]_])_([^\s_](?:[^_\n]*[^\s_])?)_(?![[:alnum:]_])', '\1<i>\2</i>', 'g'),
           '(^|[^[:alnum:]~])~([^\s~](?:[^~\n]*[^\s~])?)~(?![[:alnum:]~])', '\1<s>\2</s>', 'g')
$$;
COMMENT ON FUNCTION wacta_http.styled(text) IS 'A text of a message as markup: *bold*, _italic_, ~struck~, ```code```.';

CREATE FUNCTION wacta_http.filled_part(part jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT wacta.fill_text($1 ->> 'text', coalesce($1 #> '{example,body_text_named_params}', $1 #> '{example,header_text_named_params}',
                                                 $1 #> '{example,body_text,0}', $1 #> '{example,header_text}', '[]'))
$$;
COMMENT ON FUNCTION wacta_http.filled_part(jsonb) IS 'The text of a header or a body with its example values.';

CREATE FUNCTION wacta_http.preview(template jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT wacta_http.render(wacta_http.asset('preview.html'), jsonb_build_object(
    'header', (SELECT format('<p class="chat_header" dir="auto">%s</p>', CASE WHEN upper(coalesce(h ->> 'format', 'TEXT')) = 'TEXT' THEN wacta_http.html_escape(wacta_http.filled_part(h))
                        ELSE '[' || wacta_http.html_escape(lower(h ->> 'format')) || ']' END) FROM wacta.template_component(parts, 'HEADER') h WHERE h IS NOT NULL),
    'body', wacta_http.styled(wacta_http.filled_part(wacta.template_component(parts, 'BODY'))),
    'footer', wacta.template_component(parts, 'FOOTER') ->> 'text',
    'buttons', (SELECT string_agg('<li>' || wacta_http.html_escape(b ->> 'text') || '</li>', '') FROM wacta.elements(wacta.template_component(parts, 'BUTTONS') -> 'buttons') b)))
    FROM (SELECT CASE WHEN jsonb_typeof($1 -> 'components') = 'array' THEN $1 -> 'components' ELSE '[]' END AS parts) p
$$;
COMMENT ON FUNCTION wacta_http.preview(jsonb) IS 'A template as WhatsApp shows it, with its example values, as markup.';

-- What is wrong with it

CREATE FUNCTION wacta_http.findings(template jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN $1 IS NULL THEN jsonb_build_array(jsonb_build_object('component', 'TEMPLATE', 'rule', 'json', 'severity', 'error',
           'message', 'there is no JSON object in this', 'fix', 'paste all of the model''s answer, from the first { to the last }', 'source', 'RFC 8259'))
         ELSE coalesce((SELECT jsonb_agg(to_jsonb(f) || jsonb_build_object('fix', r.fix, 'source', r.source) ORDER BY f.n)
                          FROM wacta.lint_template($1) WITH ORDINALITY f(component, rule, severity, message, n) LEFT JOIN wacta.template_rule r USING (rule)), '[]') END
$$;
COMMENT ON FUNCTION wacta_http.findings(jsonb) IS 'What wacta.lint_template() finds, with the fix and the source of each rule; a finding of its own for what is no JSON.';

CREATE FUNCTION wacta_http.studio_answer(template jsonb, project text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT jsonb_build_object('template', $1, 'findings', wacta_http.findings($1), 'prompt', wacta.ai_prompt(nullif($2, '')), 'preview', wacta_http.preview($1))
$$;
COMMENT ON FUNCTION wacta_http.studio_answer(jsonb, text) IS 'A template, what is wrong with it, how it looks, and the prompt for another one.';

-- The endpoints

CREATE FUNCTION wacta_api.generate_ai_template(project text DEFAULT NULL, customer_name text DEFAULT NULL, project_name text DEFAULT NULL, template text DEFAULT NULL,
                                               name text DEFAULT NULL, language text DEFAULT NULL, body text DEFAULT NULL, footer text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
  SELECT wacta_http.check_session();
  SELECT wacta_http.studio_answer(CASE WHEN $4 <> '' THEN wacta.json_in_words(left($4, 60000)) ELSE wacta.generate_template(nullif($1, ''),
    jsonb_strip_nulls(jsonb_build_object('customer_name', nullif($2, ''), 'project_name', nullif($3, ''), 'name', nullif($5, ''), 'language', nullif($6, ''),
                                         'body', nullif($7, ''), 'footer', nullif($8, '')))) END, $1)
$$;
COMMENT ON FUNCTION wacta_api.generate_ai_template(text, text, text, text, text, text, text, text) IS
$$A template for a project, and the prompt for a model that writes one
template: one to be checked, also a model's whole answer; without it one is generated. Answers with the template as the provider's API takes it;
findings: what its linter says, each with rule, severity, message, fix and source; preview: how it looks, as HTML; prompt: to take to any model.$$;

-- What the database says of a request is for whoever made it.
CREATE FUNCTION wacta_http.back_to_studio() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT wacta_http.respond(303, '{"Location": "../whatsapp-interactive/#templates"}') $$;
COMMENT ON FUNCTION wacta_http.back_to_studio() IS 'Answers with the way back to the templates of the dashboard.';

CREATE FUNCTION wacta_api.save_template(draft text, project text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  t wacta.template;
BEGIN
  PERFORM wacta_http.check_session();
  BEGIN
    t.template_id := wacta.save_template(wacta.json_in_words(left($1, 60000)), nullif($2, ''));
  EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
    RAISE SQLSTATE 'PT422' USING MESSAGE = SQLERRM;
  END;
  SELECT * INTO t FROM wacta.template x WHERE x.template_id = t.template_id;
  PERFORM wacta_http.respond(201);
  IF wacta_http.wants_page() THEN
    PERFORM wacta_http.back_to_studio();
  END IF;
  RETURN jsonb_build_object('template_id', t.template_id, 'name', t.name, 'language', t.language, 'status', t.status);
END
$$;
COMMENT ON FUNCTION wacta_api.save_template(text, text) IS
$$Save a template as a version
draft: its JSON; project: whose template it becomes once it is approved. 201 with its id and name; 422 says what the provider would refuse.$$;

CREATE FUNCTION wacta_api.submit_template(template_id text, channel text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  id bigint;
BEGIN
  PERFORM wacta_http.check_session();
  BEGIN
    id := wacta.submit_template(CASE WHEN $1 ~ '^[0-9]{1,9}$' THEN $1::integer END, nullif($2, ''));
  EXCEPTION WHEN object_not_in_prerequisite_state OR invalid_parameter_value THEN
    RAISE SQLSTATE 'PT409' USING MESSAGE = SQLERRM;
  END;
  PERFORM wacta_http.respond(202);
  IF wacta_http.wants_page() THEN
    PERFORM wacta_http.back_to_studio();
  END IF;
  RETURN jsonb_build_object('request_id', id, 'status', 'SUBMITTED');
END
$$;
COMMENT ON FUNCTION wacta_api.submit_template(text, text) IS
$$Submit a saved template to the provider
For administrators. 202: the courier sends it, the provider's webhooks tell the status; 409: it is no draft, or there is nobody to submit to.$$;

CREATE FUNCTION wacta_api.write_template(project text DEFAULT NULL, wishes text DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  id bigint;
BEGIN
  PERFORM wacta_http.check_session();
  BEGIN
    id := wacta.write_template(nullif($1, ''), nullif(left($2, 2000), ''));
  EXCEPTION WHEN object_not_in_prerequisite_state OR invalid_parameter_value THEN
    RAISE SQLSTATE 'PT409' USING MESSAGE = SQLERRM;
  END;
  PERFORM wacta_http.respond(202);
  IF wacta_http.wants_page() THEN
    PERFORM wacta_http.back_to_studio();
  END IF;
  RETURN jsonb_build_object('request_id', id, 'status', 'queued');
END
$$;
COMMENT ON FUNCTION wacta_api.write_template(text, text) IS
$$Have a model write a template
202: the model of the channel with provider openai is asked, and what it writes is saved as a draft; 409: there is no such channel.$$;
