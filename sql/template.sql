-- Templates: what we generate the provider takes; what it would refuse, the linter says; the prompt for a model that writes one.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include

-- Generated: the same input gives the same output, and the linter finds nothing in it
SELECT jsonb_pretty(wacta.generate_template('Green Acres'));
SELECT count(*) AS findings, wacta.generate_template('Green Acres') = wacta.generate_template('Green Acres') AS same FROM wacta.lint_template(wacta.generate_template('Green Acres'));
SELECT wacta.generate_template('Green Acres', '{"name": "summer_offer", "language": "hi", "category": "UTILITY", "footer": "Call us", "body": "Namaste {{1}}, know more about {{2}} today", "customer_name": "आशा", "project_name": "Blue Hills"}') AS with_variables;
SELECT count(*) AS findings FROM wacta.lint_template(wacta.generate_template('Green Acres', '{"name": "summer_offer", "language": "hi", "footer": "Call us", "body": "Namaste {{1}}, know more about {{2}} today"}'));
SELECT wacta.generate_template() #> '{components,1}' AS footer_without_project, wacta.generate_template('No such project') #>> '{components,0,example,body_text,0,1}' AS project;
UPDATE wacta.config SET link_style = 'seed';
SELECT b ->> 'url' AS url, b -> 'example' AS example FROM jsonb_array_elements(wacta.generate_template('Green Acres') #> '{components,2,buttons}') b;
SELECT count(*) AS findings FROM wacta.lint_template(wacta.generate_template('Green Acres'));
UPDATE wacta.config SET link_style = 'signed';

-- The template of the system that wacta replaces, and why Meta refuses it
SELECT * FROM wacta.lint_template($${"name": "project_update_template", "language": "en", "components": [
  {"type": "BODY", "text": "Hi {{1}},\nWe shared details about *{{2}}*.\nAre you interested in this project?"},
  {"type": "FOOTER", "text": "Bop Realty"},
  {"type": "BUTTONS", "buttons": [
    {"type": "URL", "text": "Interested ✅", "url": "https://crm-1z7t.onrender.com/track/{{lead_id}}?token={{token}}&action=interested"},
    {"type": "URL", "text": "Not Interested ❌", "url": "https://crm-1z7t.onrender.com/track/{{lead_id}}?token={{token}}&action=not_interested"}]}]}$$);

-- Each rule, once
CREATE FUNCTION pg_temp.with_part(part jsonb) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_object('name', 'a_name', 'language', 'en', 'components', CASE WHEN $1 ->> 'type' = 'BODY' THEN jsonb_build_array($1) ELSE jsonb_build_array('{"type": "BODY", "text": "Hello there"}'::jsonb, $1) END, 'category', 'UTILITY') $$;
SELECT what, coalesce(string_agg(f.component || ' ' || f.rule || CASE f.severity WHEN 'error' THEN '' ELSE ' (' || f.severity || ')' END, ', '), 'nothing') AS findings FROM (VALUES
  (1, 'no name', '{"language": "en", "components": [{"type": "BODY", "text": "Hello"}]}'::jsonb), (2, 'bad name', '{"name": "Bad Name", "language": "en", "components": [{"type": "BODY", "text": "Hello"}]}'), (3, 'no language', '{"name": "a", "components": [{"type": "BODY", "text": "Hello"}]}'),
  (4, 'language English', '{"name": "a", "language": "English", "components": [{"type": "BODY", "text": "Hello"}]}'), (5, 'no components', '{"name": "a", "language": "en"}'), (6, 'components is an object', '{"name": "a", "language": "en", "components": {}}'), (7, 'null', 'null'), (8, 'a text', '"x"'), (9, 'a list', '[]'),
  (10, 'two bodies', pg_temp.with_part('{"type": "body", "text": "Hello"}')), (11, 'unknown component', pg_temp.with_part('{"type": "CAROUSEL"}')), (12, 'component without a type', pg_temp.with_part('{"text": "x"}')), (13, 'component is a text', pg_temp.with_part('"x"')),
  (20, 'body empty', pg_temp.with_part('{"type": "BODY", "text": ""}')), (21, 'body too long', pg_temp.with_part(jsonb_build_object('type', 'BODY', 'text', repeat('x', 1025)))), (22, 'variable at the start', pg_temp.with_part('{"type": "BODY", "text": "{{1}} is the name of it all", "example": {"body_text": [["a"]]}}')),
  (23, 'variable at the end', pg_temp.with_part('{"type": "BODY", "text": "It all has the name {{1}}.", "example": {"body_text": [["a"]]}}')), (24, 'adjacent variables', pg_temp.with_part('{"type": "BODY", "text": "We all know {{1}} {{2}} in the end", "example": {"body_text": [["a", "b"]]}}')),
  (25, 'gap in the numbers', pg_temp.with_part('{"type": "BODY", "text": "We all know {{1}} and we know {{3}} in the end", "example": {"body_text": [["a", "b", "c"]]}}')), (26, 'named variable', pg_temp.with_part('{"type": "BODY", "text": "We know {{name}} here"}')), (27, 'no example', pg_temp.with_part('{"type": "BODY", "text": "We all know {{1}} here, do we"}')),
  (28, 'too few words', pg_temp.with_part('{"type": "BODY", "text": "a {{1}} b", "example": {"body_text": [["a"]]}}')),
  (30, 'footer too long', pg_temp.with_part(jsonb_build_object('type', 'FOOTER', 'text', repeat('x', 61)))), (31, 'footer with a variable', pg_temp.with_part('{"type": "FOOTER", "text": "by {{1}}"}')), (32, 'footer with emoji', pg_temp.with_part('{"type": "FOOTER", "text": "us 🌸"}')), (33, 'footer empty', pg_temp.with_part('{"type": "FOOTER"}')),
  (40, 'header format', pg_temp.with_part('{"type": "HEADER", "format": "HOLOGRAM"}')), (41, 'header too long', pg_temp.with_part(jsonb_build_object('type', 'HEADER', 'format', 'TEXT', 'text', repeat('x', 61)))), (42, 'header with asterisk', pg_temp.with_part('{"type": "HEADER", "format": "TEXT", "text": "*Hi*"}')),
  (43, 'header with two variables', pg_temp.with_part('{"type": "HEADER", "format": "TEXT", "text": "Hi {{1}} and {{2}}"}')), (44, 'document header', pg_temp.with_part('{"type": "HEADER", "format": "DOCUMENT"}')),
  (45, 'image header with a link for an example', pg_temp.with_part('{"type": "HEADER", "format": "image", "example": {"header_url": ["https://a.b/c.png"]}}')), (46, 'media header with an empty example', pg_temp.with_part('{"type": "HEADER", "format": "VIDEO", "example": {"header_handle": []}}')),
  (47, 'media header with an example', pg_temp.with_part('{"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["4::aW"]}}')), (48, 'location header', pg_temp.with_part('{"type": "HEADER", "format": "LOCATION"}')),
  (50, 'button without text', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY"}]}')), (51, 'button too long', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "abcdefghijklmnopqrstuvwxyz"}]}')), (52, 'relative URL', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Go", "url": "/t/1"}]}')),
  (53, 'URL all variable', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Go", "url": "{{1}}", "example": ["x"]}]}')), (54, 'variable in the middle', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Go", "url": "https://a.b/{{1}}/x", "example": ["x"]}]}')),
  (55, 'no buttons', pg_temp.with_part('{"type": "BUTTONS", "buttons": []}')), (56, 'eleven buttons', pg_temp.with_part(jsonb_build_object('type', 'BUTTONS', 'buttons', (SELECT jsonb_agg(jsonb_build_object('type', 'QUICK_REPLY', 'text', n::text)) FROM generate_series(1, 11) n)))),
  (57, 'three URLs', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "URL", "text": "A", "url": "https://a.b"}, {"type": "URL", "text": "B", "url": "https://a.b"}, {"type": "URL", "text": "C", "url": "https://a.b"}]}')),
  (58, 'quick replies apart', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "A"}, {"type": "URL", "text": "B", "url": "https://a.b"}, {"type": "QUICK_REPLY", "text": "C"}]}')), (59, 'buttons is a text', pg_temp.with_part('{"type": "BUTTONS", "buttons": "x"}')),
  (60, 'a good one', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Interested"}, {"type": "QUICK_REPLY", "text": "Not interested"}]}')),
  (61, 'category OFFERS', '{"name": "a", "language": "en", "category": "OFFERS", "components": [{"type": "BODY", "text": "Hello"}]}'), (62, 'parameter format', pg_temp.with_part('{"type": "BODY", "text": "Hello"}') || '{"parameter_format": "free"}'),
  (63, 'time to live', pg_temp.with_part('{"type": "BODY", "text": "Hello"}') || '{"message_send_ttl_seconds": 50000}'), (64, 'time to live in words', pg_temp.with_part('{"type": "BODY", "text": "Hello"}') || '{"message_send_ttl_seconds": "a day"}'), (65, 'a good time to live', pg_temp.with_part('{"type": "BODY", "text": "Hello"}') || '{"message_send_ttl_seconds": -1}'),
  (66, 'named and good, but for us', pg_temp.with_part('{"type": "BODY", "text": "Dear {{name}}, we know you", "example": {"body_text_named_params": [{"param_name": "name", "example": "Asha"}]}}') || '{"parameter_format": "named"}'),
  (67, 'named badly', pg_temp.with_part('{"type": "BODY", "text": "Dear {{#Name}}, we know you"}') || '{"parameter_format": "named"}'), (68, 'the words of another one', pg_temp.with_part('{"type": "BODY", "text": "Hi {{1}}, here is the brochure of {{2}} for you.", "example": {"body_text": [["Asha", "Green Acres"]]}}')),
  (69, 'full stop after the variable', pg_temp.with_part('{"type": "BODY", "text": "Your own order number is {{1}}.", "example": {"body_text": [["1"]]}}')), (70, 'braces that do not match', pg_temp.with_part('{"type": "BODY", "text": "Your {{1} is here today"}')),
  (71, 'an empty example', pg_temp.with_part('{"type": "BODY", "text": "Your order {{1}} is here", "example": {"body_text": [[""]]}}')), (72, 'a flat example', pg_temp.with_part('{"type": "BODY", "text": "Your order {{1}} is here", "example": {"body_text": ["1"]}}')),
  (73, 'long with its values', pg_temp.with_part(jsonb_build_object('type', 'BODY', 'text', 'Dear {{1}}, ' || repeat('x ', 500), 'example', jsonb_build_object('body_text', jsonb_build_array(jsonb_build_array(repeat('A', 100))))))), (74, 'many emoji', pg_temp.with_part(jsonb_build_object('type', 'BODY', 'text', 'Hi ' || repeat('🌸', 11)))),
  (75, 'header variable without example', pg_temp.with_part('{"type": "HEADER", "text": "Hi {{1}}"}')), (76, 'header variable with example', pg_temp.with_part('{"type": "HEADER", "text": "Hi {{1}}", "example": {"header_text": ["Asha"]}}')), (77, 'gif', pg_temp.with_part('{"type": "HEADER", "format": "GIF", "example": {"header_handle": ["4::aW"]}}')),
  (78, 'location to authenticate', pg_temp.with_part('{"type": "HEADER", "format": "LOCATION"}') || '{"category": "AUTHENTICATION"}'), (79, 'two footers', jsonb_set(pg_temp.with_part('{"type": "FOOTER", "text": "us"}'), '{components,2}', '{"type": "FOOTER", "text": "us"}')),
  (80, 'telephone', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+919876543210"}]}')), (81, 'telephone without a number', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "PHONE_NUMBER", "text": "Call"}, {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "call me"}]}')),
  (82, 'a code to copy', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "COPY_CODE", "example": "SAVE10"}]}')), (83, 'codes to copy', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "COPY_CODE", "example": "SAVE10SAVE10SAVE10"}, {"type": "COPY_CODE"}]}')),
  (84, 'a button without a type', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"text": "Go"}]}')), (85, 'no secure URL', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Go", "url": "http://crm.example.com/t/1"}]}')), (86, 'no public host', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Go", "url": "https://192.168.1.2/t"}, {"type": "URL", "text": "Go", "url": "https://crm/t"}]}')),
  (87, 'shortened', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Go", "url": "https://wa.me/919876543210"}]}')), (88, 'a long URL', pg_temp.with_part(jsonb_build_object('type', 'BUTTONS', 'buttons', jsonb_build_array(jsonb_build_object('type', 'URL', 'text', 'Go', 'url', 'https://a.example.com/' || repeat('x', 2000)))))),
  (89, 'button in italics', pg_temp.with_part('{"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "_Yes_"}, {"type": "QUICK_REPLY", "text": "Yes {{1}}"}]}'))) v(nr, what, template)
  LEFT JOIN LATERAL wacta.lint_template(template) f ON true GROUP BY nr, what ORDER BY nr;

-- Every rule that is broken has a row, and every row a case above or in the original's template
SELECT rule FROM wacta.template_rule r WHERE NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'wacta'::regnamespace AND p.prosrc LIKE '%''' || r.rule || '''%');
SELECT DISTINCT m[1] AS no_rule FROM pg_proc p, regexp_matches(p.prosrc, '^\s*\(''([a-z_]+)'', ', 'gn') m WHERE p.pronamespace = 'wacta'::regnamespace AND p.proname LIKE 'lint\_%' AND m[1] NOT IN (SELECT rule FROM wacta.template_rule);
-- A site that knows better
UPDATE wacta.template_rule SET severity = 'off' WHERE rule = 'body_once';
SELECT count(*) AS findings FROM wacta.lint_template('{"name": "a", "language": "en", "category": "UTILITY", "components": []}');
UPDATE wacta.template_rule SET severity = 'error' WHERE rule = 'body_once';
-- The name of a deleted one
UPDATE wacta.template SET status = 'DELETED' WHERE name = 'project_brochure';
SELECT component, rule, severity, message FROM wacta.lint_template('{"name": "project_brochure", "language": "en", "category": "UTILITY", "components": [{"type": "BODY", "text": "Hello"}]}');
UPDATE wacta.template SET status = 'APPROVED' WHERE name = 'project_brochure';

-- A template that would be refused is not taken; one that is there is replaced
SELECT wacta.add_template('Bad Name', '[]');
SELECT wacta.add_template('project_update_template', '[{"type": "BODY", "text": "Hello there"}]') AS same_id;
SELECT template_id, name, language, category, purpose, status, lint, components FROM wacta.template WHERE name = 'project_update_template';
SELECT pg_temp.attempt('SELECT wacta.add_template(''a'', NULL)'), pg_temp.attempt('SELECT wacta.add_template(''a'', ''{}'')'), pg_temp.attempt('SELECT wacta.add_template(''a'', ''[{"type": "BODY", "text": "Hello"}]'', category => ''OTHER'')'), pg_temp.attempt('SELECT wacta.add_template(NULL, ''[{"type": "BODY", "text": "Hello"}]'')');

-- The prompt asks for what the provider takes
SELECT wacta.ai_prompt('Green Acres');
