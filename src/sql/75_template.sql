-- Templates: generate one that the provider accepts, lint any, and the prompt for a model that writes one.

CREATE FUNCTION wacta.generate_template(project text DEFAULT NULL, variables jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c     wacta.config := (SELECT k FROM wacta.config k);
  p     wacta.project;
  path  text := CASE c.link_style WHEN 'seed' THEN '/track/{{1}}' ELSE '/t/{{1}}' END;
  example text := CASE c.link_style WHEN 'seed' THEN '12345/' ELSE repeat('A', 60) END;
BEGIN
  SELECT * INTO p FROM wacta.project x WHERE x.name = generate_template.project;
  RETURN jsonb_build_object(
    'name', coalesce(variables ->> 'name', 'project_update_template'),
    'language', coalesce(variables ->> 'language', 'en'),
    'category', coalesce(variables ->> 'category', 'MARKETING'),
    'components', jsonb_build_array(
      jsonb_build_object('type', 'BODY',
        'text', coalesce(variables ->> 'body', E'Hi {{1}},\nWe shared details about *{{2}}*.\nAre you interested in this project?'),
        'example', jsonb_build_object('body_text', jsonb_build_array(jsonb_build_array(
           coalesce(variables ->> 'customer_name', 'Asha'), coalesce(variables ->> 'project_name', p.name, generate_template.project, 'Green Acres'))))),
      jsonb_build_object('type', 'FOOTER', 'text', left(coalesce(variables ->> 'footer', p.footer, c.brand), 60)),
      -- one variable at the very end of the URL, no emoji in a button: what Meta accepts
      jsonb_build_object('type', 'BUTTONS', 'buttons', jsonb_build_array(
        jsonb_build_object('type', 'URL', 'text', 'Interested', 'url', c.base_url || path, 'example', jsonb_build_array(c.base_url || replace(path, '{{1}}', example))),
        jsonb_build_object('type', 'URL', 'text', 'Not Interested', 'url', c.base_url || path, 'example', jsonb_build_array(c.base_url || replace(path, '{{1}}', example)))))));
END
$$;
COMMENT ON FUNCTION wacta.generate_template(text, jsonb) IS
'A template for a project as the provider''s template API takes it; the same input gives the same output.
variables may set name, language, category, body, footer, customer_name and project_name.';

CREATE FUNCTION wacta.lint_template(template jsonb, provider text DEFAULT 'meta')
RETURNS TABLE (component text, rule text, severity text, message text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  parts jsonb := CASE WHEN jsonb_typeof($1 -> 'components') = 'array' THEN $1 -> 'components' ELSE '[]' END;
  part  jsonb;
BEGIN
  IF coalesce($1 ->> 'name', '') !~ '^[a-z0-9_]+$' OR length($1 ->> 'name') > 512 THEN
    RETURN QUERY VALUES ('NAME', 'name', 'error', 'a name has 1 to 512 lower-case letters, digits and underscores');
  END IF;
  IF coalesce($1 ->> 'language', '') !~ '^[a-z]{2,3}(_[A-Z]{2})?$' THEN
    RETURN QUERY VALUES ('LANGUAGE', 'language', 'error', 'a language is required: a code such as en, en_US or hi');
  END IF;
  IF (SELECT count(*) FROM jsonb_array_elements(parts) p WHERE upper(p ->> 'type') = 'BODY') <> 1 THEN
    RETURN QUERY VALUES ('BODY', 'body_once', 'error', 'a template has exactly one BODY component');
  END IF;
  FOR part IN SELECT * FROM jsonb_array_elements(parts) LOOP
    CASE upper(part ->> 'type')
      WHEN 'BODY' THEN RETURN QUERY SELECT 'BODY', * FROM wacta.lint_body(part);
      WHEN 'FOOTER' THEN RETURN QUERY SELECT 'FOOTER', * FROM wacta.lint_footer(part ->> 'text');
      WHEN 'HEADER' THEN RETURN QUERY SELECT 'HEADER', * FROM wacta.lint_header(part);
      WHEN 'BUTTONS' THEN RETURN QUERY SELECT format('BUTTONS[%s]', b.nr - 1), r.rule, r.severity, r.message
          FROM wacta.elements(part -> 'buttons') WITH ORDINALITY AS b(button, nr), wacta.lint_button(b.button) r;
        RETURN QUERY SELECT 'BUTTONS', * FROM wacta.lint_buttons(part -> 'buttons');
      ELSE RETURN QUERY VALUES (coalesce(part ->> 'type', 'COMPONENT'), 'type', 'error', 'a component is HEADER, BODY, FOOTER or BUTTONS');
    END CASE;
  END LOOP;
END
$$;
COMMENT ON FUNCTION wacta.lint_template(jsonb, text) IS
'What the provider would refuse in a template, a row a finding: component, rule, severity (error, warning), message.
Source of the rules: Meta, business-messaging/whatsapp/templates/components.';

CREATE FUNCTION wacta.has_emoji(value text) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce($1 ~ '[\u2190-\u21FF\u2300-\u27BF\u2B00-\u2BFF\uFE0F\u20E3\U0001F000-\U0001FAFF]', false) $$;
COMMENT ON FUNCTION wacta.has_emoji(text) IS 'Whether the text has an emoji or a pictographic symbol.';

CREATE FUNCTION wacta.lint_body(part jsonb) RETURNS TABLE (rule text, severity text, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  WITH b AS (SELECT coalesce($1 ->> 'text', '') AS t, wacta.variable_count($1 ->> 'text') AS n)
  SELECT 'length', 'error', 'the body has 1 to 1024 characters' FROM b WHERE length(t) NOT BETWEEN 1 AND 1024
  UNION ALL SELECT 'variable_at_edge', 'error', 'a variable may stand neither at the start nor at the end of the body (subcode 2388299)'
    FROM b WHERE t ~ '^\s*\{\{' OR t ~ '\}\}[\s[:punct:]]*$'
  UNION ALL SELECT 'adjacent_variables', 'error', 'two variables need words between them' FROM b WHERE t ~ '\}\}\s*\{\{'
  UNION ALL SELECT 'variable_numbers', 'error', 'variables are numbered from {{1}} without a gap'
    FROM b WHERE EXISTS (SELECT FROM generate_series(1, n) i WHERE t !~ ('\{\{\s*' || i || '\s*\}\}'))
  UNION ALL SELECT 'variable_form', 'error', 'a positional variable is written {{1}}'
    FROM b WHERE regexp_replace(t, '\{\{\s*[0-9]+\s*\}\}', '', 'g') ~ '\{\{'
  UNION ALL SELECT 'example', 'error', 'each variable needs an example value: example.body_text [["a", "b"]]'
    FROM b WHERE n > 0 AND coalesce(jsonb_array_length(CASE jsonb_typeof($1 #> '{example,body_text,0}') WHEN 'array' THEN $1 #> '{example,body_text,0}' END), 0) < n
  UNION ALL SELECT 'ratio', 'warning', 'too few words for so many variables (subcode 2388293)'
    FROM b WHERE n > 0 AND array_length(regexp_split_to_array(btrim(regexp_replace(t, '\{\{[^}]*\}\}', ' ', 'g')), '\s+'), 1) < 2 * n + 1
$$;
COMMENT ON FUNCTION wacta.lint_body(jsonb) IS 'The findings of a BODY component.';

CREATE FUNCTION wacta.lint_footer(t text) RETURNS TABLE (rule text, severity text, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'length', 'error', 'the footer has 1 to 60 characters' WHERE coalesce(length($1), 0) NOT BETWEEN 1 AND 60
  UNION ALL SELECT 'no_variables', 'error', 'the footer takes no variables (subcode 2388073)' WHERE $1 LIKE '%{{%'
  UNION ALL SELECT 'plain_text', 'error', 'the footer takes no emoji and no line break (subcode 2388073)' WHERE $1 ~ '[\r\n]' OR wacta.has_emoji($1)
$$;
COMMENT ON FUNCTION wacta.lint_footer(text) IS 'The findings of a FOOTER component.';

CREATE FUNCTION wacta.lint_header(part jsonb) RETURNS TABLE (rule text, severity text, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'format', 'error', 'a header''s format is TEXT, IMAGE, VIDEO, GIF, DOCUMENT or LOCATION'
   WHERE coalesce(upper($1 ->> 'format'), 'TEXT') NOT IN ('TEXT', 'IMAGE', 'VIDEO', 'GIF', 'DOCUMENT', 'LOCATION')
  UNION ALL SELECT 'length', 'error', 'a text header has 1 to 60 characters'
   WHERE coalesce(upper($1 ->> 'format'), 'TEXT') = 'TEXT' AND coalesce(length($1 ->> 'text'), 0) NOT BETWEEN 1 AND 60
  UNION ALL SELECT 'plain_text', 'error', 'a header takes no emoji, asterisk or line break (subcode 2388047)'
   WHERE $1 ->> 'text' ~ '[\r\n*_~]' OR wacta.has_emoji($1 ->> 'text')
  UNION ALL SELECT 'example', 'error', 'a media header needs an example: example.header_handle ["…"], from the Resumable Upload API'
   WHERE upper($1 ->> 'format') IN ('IMAGE', 'VIDEO', 'GIF', 'DOCUMENT') AND coalesce($1 #>> '{example,header_handle,0}', '') = ''
  UNION ALL SELECT 'one_variable', 'error', 'a header takes one variable' WHERE wacta.variable_count($1 ->> 'text') > 1
$$;
COMMENT ON FUNCTION wacta.lint_header(jsonb) IS 'The findings of a HEADER component.';

CREATE FUNCTION wacta.lint_button(b jsonb) RETURNS TABLE (rule text, severity text, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'text_length', 'error', 'a button''s text has 1 to 25 characters' WHERE coalesce(length($1 ->> 'text'), 0) NOT BETWEEN 1 AND 25
  UNION ALL SELECT 'text_plain', 'error', 'a button''s text takes no emoji, variable, line break or formatting character (subcode 2388060)'
   WHERE $1 ->> 'text' ~ '[\r\n*_~`]|\{\{' OR wacta.has_emoji($1 ->> 'text')
  UNION ALL SELECT 'url_variable_count', 'error', 'a URL takes one variable; sign all that is needed into one token'
   WHERE (SELECT count(*) FROM regexp_matches($1 ->> 'url', '\{\{', 'g')) > 1
  UNION ALL SELECT 'url_variable_last', 'error', 'the variable stands at the very end of the URL' WHERE $1 ->> 'url' LIKE '%{{%' AND $1 ->> 'url' NOT LIKE '%}}'
  UNION ALL SELECT 'url_variable_form', 'error', 'the variable of a URL is written {{1}}'
   WHERE $1 ->> 'url' LIKE '%{{%' AND $1 ->> 'url' !~ '\{\{1\}\}'
  UNION ALL SELECT 'url_absolute', 'error', 'a URL begins with https:// and a host; the whole URL must not be the variable'
   WHERE upper($1 ->> 'type') = 'URL' AND coalesce($1 ->> 'url', '') !~ '^https?://[^/{}\s]+'
  UNION ALL SELECT 'url_length', 'error', 'a URL has at most 2000 characters' WHERE length($1 ->> 'url') > 2000
  UNION ALL SELECT 'url_example', 'error', 'a URL with a variable needs an example' WHERE $1 ->> 'url' LIKE '%{{%' AND coalesce($1 -> 'example', '[]') IN ('[]', 'null', '""')
$$;
COMMENT ON FUNCTION wacta.lint_button(jsonb) IS 'The findings of one button.';

CREATE FUNCTION wacta.lint_buttons(buttons jsonb) RETURNS TABLE (rule text, severity text, message text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  WITH b AS (SELECT upper(e ->> 'type') AS type, n FROM wacta.elements($1) WITH ORDINALITY x(e, n))
  SELECT 'count', 'error', 'there are 1 to 10 buttons' FROM b HAVING count(*) NOT BETWEEN 1 AND 10
  UNION ALL SELECT 'url_count', 'error', 'there are at most 2 URL buttons' FROM b WHERE type = 'URL' HAVING count(*) > 2
  UNION ALL SELECT 'phone_count', 'error', 'there is at most 1 phone button' FROM b WHERE type = 'PHONE_NUMBER' HAVING count(*) > 1
  UNION ALL SELECT 'quick_replies_together', 'error', 'quick replies stand together'
    FROM (SELECT type = 'QUICK_REPLY' AS qr, lag(type = 'QUICK_REPLY') OVER (ORDER BY n) AS before FROM b) t
   WHERE qr IS DISTINCT FROM before AND qr HAVING count(*) > 1
  UNION ALL SELECT 'more_than_three', 'warning', 'of more than 3 buttons only 2 are shown at once' FROM b HAVING count(*) > 3
$$;
COMMENT ON FUNCTION wacta.lint_buttons(jsonb) IS 'The findings of the buttons together.';

CREATE FUNCTION wacta.ai_prompt(project text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  t jsonb := wacta.generate_template($1);
BEGIN
  RETURN format($prompt$You are an assistant that generates WhatsApp Business API message templates for Tata WABA integration.
Always output a valid JSON payload for the WhatsApp API.
The template must include:

Template name: %s
Language: %s
Body Variables:
{{1}} → Customer name
{{2}} → Project name
The body must neither begin nor end with a variable.

Footer: "%s"
Buttons (text of at most 25 characters, no emoji):
Button 1 → "Interested"
URL: %s
Action: when clicked → mark lead as Interested + trigger brochure flow

Button 2 → "Not Interested"
URL: %s
Action: when clicked → mark lead as Not Interested + stop follow-up messages

Each URL has exactly one variable, {{1}}, at its very end: the signed token of the lead and the action.
Seed token format: <lead_id>:<timestamp>:<hash>
hash = HMAC_SHA256(secret, lead_id:timestamp)[:12]

Give an example value for each variable.
Output: Valid WhatsApp interactive template JSON only, no explanation.$prompt$,
    t ->> 'name', t ->> 'language', t #>> '{components,1,text}', t #>> '{components,2,buttons,0,url}', t #>> '{components,2,buttons,1,url}');
END
$$;
COMMENT ON FUNCTION wacta.ai_prompt(text) IS 'A system prompt that makes any model write a template for the project; lint its answer with wacta.lint_template().';
