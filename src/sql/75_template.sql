-- Templates: generate one that the provider accepts, and the prompt for a model that writes one.

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
