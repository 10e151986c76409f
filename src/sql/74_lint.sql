-- What the provider would refuse in a template, before it is asked. The rules are rows (their texts, how grave they are, where they
-- are written down); the conditions are below, a function a component, each of which returns the names of the rules that are broken.

CREATE TABLE wacta.template_rule (
  rule     text PRIMARY KEY CHECK (rule ~ '^[a-z0-9_]+$'),
  severity text NOT NULL CHECK (severity IN ('error', 'warning', 'off')),
  message  text NOT NULL,
  fix      text NOT NULL,
  source   text NOT NULL
);
COMMENT ON TABLE wacta.template_rule IS 'The rules of wacta.lint_template(): where vendors contradict each other, a site sets the severity itself.';
COMMENT ON COLUMN wacta.template_rule.severity IS 'error: the provider refuses it, and so does wacta.add_template(); warning: it may be refused or looks bad; off: not looked at.';
COMMENT ON COLUMN wacta.template_rule.source IS 'Where the rule is from; MD: Meta''s documentation, business-messaging/whatsapp.';

INSERT INTO wacta.template_rule (rule, severity, message, fix, source) VALUES
  ('name', 'error', 'a name has 1 to 512 lower-case letters, digits and underscores', 'write it like project_update', 'MD templates/overview'),
  ('name_deleted', 'warning', 'the name of a deleted template is blocked for about four weeks', 'take another name, as project_update_2', 'subcode 2388023'),
  ('language', 'error', 'a language is required', 'give a code such as en, en_US or hi', 'MD templates/overview'),
  ('category', 'error', 'a category is MARKETING, UTILITY or AUTHENTICATION', 'take MARKETING for an offer', 'MD templates/overview'),
  ('category_missing', 'warning', 'without a category the provider takes no template', 'add "category": "MARKETING"', 'MD templates/overview'),
  ('parameter_format', 'error', 'parameter_format is positional or named', 'leave it out for {{1}}, {{2}}', 'MD templates/overview'),
  ('named_parameters', 'warning', 'wacta fills variables by their number', 'write {{1}} in place of {{name}}', 'wacta'),
  ('time_to_live', 'error', 'message_send_ttl_seconds is out of the category''s range',
   'AUTHENTICATION 30 to 900, UTILITY 30 to 43200 or -1, MARKETING 43200 to 2592000', 'MD ttl'),
  ('same_wording', 'warning', 'another template has the same body and footer', 'change some words', 'MD template review'),
  ('type', 'error', 'a component is HEADER, BODY, FOOTER or BUTTONS', 'name its type', 'MD components'),
  ('component_once', 'error', 'HEADER, FOOTER and BUTTONS stand once at most', 'join them into one', 'MD components'),
  ('body_once', 'error', 'a template has exactly one BODY component', 'write one BODY with a text', 'MD components'),

  ('format', 'error', 'a header''s format is TEXT, IMAGE, VIDEO, GIF, DOCUMENT or LOCATION', 'take one of these', 'MD components'),
  ('gif', 'warning', 'a GIF header is for the Marketing Messages API alone', 'take VIDEO or IMAGE', 'MD components'),
  ('location', 'error', 'a LOCATION header is for UTILITY and MARKETING', 'take another header', 'MD components'),
  ('header_length', 'error', 'a text header has 1 to 60 characters', 'shorten it', 'MD components'),
  ('header_plain', 'error', 'a header takes no emoji, formatting character or line break', 'leave these out', 'subcode 2388047'),
  ('header_one_variable', 'error', 'a header takes one variable, {{1}}', 'move the others into the body', 'MD components'),
  ('header_example', 'error', 'a header with a variable needs an example value', 'add "example": {"header_text": ["..."]}', 'MD components'),
  ('media_example', 'error', 'a media header needs an example file',
   'add "example": {"header_handle": ["..."]}, with the handle that the Resumable Upload API gives', 'MD components'),

  ('body_length', 'error', 'a body has 1 to 1024 characters', 'shorten it', 'MD components'),
  ('body_filled', 'warning', 'with its example values the body has more than 1024 characters', 'leave room for long names', 'error 132005'),
  ('body_emoji', 'warning', 'the number of emoji in a body may be limited', 'keep to ten', 'MD components'),
  ('variable_at_edge', 'error', 'a variable may stand neither at the start nor at the end of the body', 'put words before and after it', 'subcode 2388299'),
  ('variable_before_stop', 'warning', 'punctuation alone after the last variable may count as the end of the body', 'end with words',
   'support.maqsam.com, against MD components'),
  ('adjacent_variables', 'error', 'two variables follow each other', 'put words between them', 'rejection INVALID_FORMAT'),
  ('variable_numbers', 'error', 'variables are numbered from {{1}} without a gap', 'number them 1, 2, 3', 'MD components'),
  ('variable_form', 'error', 'a positional variable is written {{1}}', 'write numbers, or set parameter_format to named', 'MD components'),
  ('variable_name', 'error', 'a named variable has lower-case letters, digits and underscores, no #, $ or %', 'write it like {{customer_name}}', 'MD components'),
  ('body_example', 'error', 'each variable of the body needs an example value',
   'add "example": {"body_text": [["Asha", "Green Acres"]]}, for named ones {"body_text_named_params": [{"param_name": ..., "example": ...}]}', 'MD components'),
  ('ratio', 'warning', 'there are few words for so many variables', 'write 2n + 1 words or more around n variables', 'subcode 2388293; support.maqsam.com'),

  ('footer_length', 'error', 'a footer has 1 to 60 characters', 'shorten it', 'MD components'),
  ('footer_variables', 'error', 'a footer takes no variables', 'write the text itself', 'subcode 2388073'),
  ('footer_plain', 'error', 'a footer takes no emoji and no line break', 'leave these out', 'subcode 2388073'),

  ('button_count', 'error', 'there are 1 to 10 buttons', 'leave some out', 'MD components'),
  ('button_type', 'error', 'a button has a type: QUICK_REPLY, URL, PHONE_NUMBER, COPY_CODE or another of Meta''s', 'add "type": "URL"', 'MD components'),
  ('button_length', 'error', 'a button''s text has 1 to 25 characters', 'shorten it', 'MD components'),
  ('button_plain', 'error', 'a button''s text takes no emoji, variable, line break or formatting character', 'write plain words: Interested', 'subcode 2388060'),
  ('url_count', 'error', 'there are at most 2 URL buttons', 'leave the others out', 'MD components'),
  ('phone_count', 'error', 'there is at most 1 phone button', 'leave the others out', 'MD components'),
  ('copy_code_count', 'error', 'there is at most 1 copy code button', 'leave the others out', 'MD components'),
  ('quick_replies_together', 'error', 'quick replies stand together', 'put them all first or all last', 'MD components'),
  ('more_than_three', 'warning', 'of more than 3 buttons 2 are shown, the others behind "See all options"', 'keep to three', 'MD components'),
  ('not_on_desktop', 'warning', '4 buttons or more, or quick replies beside other buttons, cannot be seen on a desktop', 'keep to three of one kind', 'MD components'),
  ('phone_number', 'error', 'a phone button has a number of at most 20 characters', 'write it like +919876543210', 'MD components'),
  ('copy_code_length', 'error', 'a code to copy has 1 to 15 characters, as the button''s example', 'shorten it', 'MD components'),
  ('url_absolute', 'error', 'a URL begins with https:// and a host; a variable cannot be the whole of it', 'begin with your own domain', 'MD components'),
  ('url_secure', 'warning', 'a URL that begins with http:// or leads to no public host fails the review', 'use https and a public name', 'Twilio''s documentation'),
  ('url_shortened', 'warning', 'links through wa.me or a shortener are often rejected', 'use your own domain', 'reports of users'),
  ('url_length', 'error', 'a URL has at most 2000 characters', 'shorten it', 'MD components'),
  ('url_variable_count', 'error', 'a URL takes one variable', 'sign all that is needed into one token', 'MD components'),
  ('url_variable_last', 'error', 'the variable stands at the very end of the URL', 'put {{1}} last', 'MD components'),
  ('url_variable_form', 'error', 'the variable of a URL has a number and not a name', 'write {{1}}', 'MD components'),
  ('url_example', 'error', 'a URL with a variable needs an example', 'add "example": ["https://crm.example.com/t/abc"]', 'MD components');
CREATE TRIGGER restore_replaces BEFORE INSERT ON wacta.template_rule
  FOR EACH ROW EXECUTE FUNCTION wacta.replace_seeded('rule');

CREATE FUNCTION wacta.count_emoji(value text) RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT count(*) FROM regexp_matches(coalesce($1, ''), '[\u203C\u2049\u2190-\u21FF\u2300-\u27BF\u2B00-\u2BFF\u3030\uFE0F\u20E3\U0001F000-\U0001FAFF]\uFE0F?', 'g')
$$;
COMMENT ON FUNCTION wacta.count_emoji(text) IS 'How many emoji and pictographic symbols a text has.';

CREATE FUNCTION wacta.is_plain(value text, formatting text DEFAULT '') RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce($1, '') !~ ('[\r\n\t' || $2 || ']') AND wacta.count_emoji($1) = 0 $$;
COMMENT ON FUNCTION wacta.is_plain(text, text) IS 'Whether a text has no emoji, no line break and none of these formatting characters.';

CREATE FUNCTION wacta.example_values(example jsonb) RETURNS integer
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT count(*)::integer FROM wacta.elements($1) e WHERE coalesce(e #>> '{}', '') <> '' $$;
COMMENT ON FUNCTION wacta.example_values(jsonb) IS 'How many of the values in a list are not empty.';

CREATE FUNCTION wacta.lint_head(t jsonb) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  ttl text := t ->> 'message_send_ttl_seconds';
  category text := upper(coalesce(t ->> 'category', 'MARKETING'));
BEGIN
  RETURN QUERY
  SELECT rule FROM (VALUES
    ('name', coalesce(t ->> 'name', '') !~ '^[a-z0-9_]+$' OR length(t ->> 'name') > 512),
    ('name_deleted', EXISTS (SELECT FROM wacta.template x WHERE (x.name, x.language) = (t ->> 'name', t ->> 'language') AND x.status IN ('DELETED', 'PENDING_DELETION'))),
    ('language', coalesce(t ->> 'language', '') !~ '^[a-z]{2,3}(_[A-Z]{2,3})?$'),
    ('category', category NOT IN ('MARKETING', 'UTILITY', 'AUTHENTICATION')),
    ('category_missing', t ->> 'category' IS NULL),
    ('parameter_format', upper(coalesce(t ->> 'parameter_format', 'positional')) NOT IN ('POSITIONAL', 'NAMED')),
    ('named_parameters', upper(t ->> 'parameter_format') = 'NAMED'),
    ('time_to_live', ttl IS NOT NULL AND NOT coalesce(ttl ~ '^(-1|[0-9]{1,9})$' AND CASE category
       WHEN 'AUTHENTICATION' THEN ttl::integer BETWEEN 30 AND 900 WHEN 'UTILITY' THEN ttl::integer BETWEEN 30 AND 43200 OR ttl = '-1'
       ELSE ttl::integer BETWEEN 43200 AND 2592000 END, false))) r(rule, broken)
   WHERE broken;
END
$$;
COMMENT ON FUNCTION wacta.lint_head(jsonb) IS 'The rules that a template''s name, language, category and so on break.';

CREATE FUNCTION wacta.lint_header(part jsonb, category text) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  format text := upper(coalesce(part ->> 'format', 'TEXT'));
  said   text := part ->> 'text';
BEGIN
  RETURN QUERY
  SELECT rule FROM (VALUES
    ('format', format NOT IN ('TEXT', 'IMAGE', 'VIDEO', 'GIF', 'DOCUMENT', 'LOCATION')),
    ('gif', format = 'GIF'),
    ('location', format = 'LOCATION' AND upper(category) = 'AUTHENTICATION'),
    ('header_length', format = 'TEXT' AND coalesce(length(said), 0) NOT BETWEEN 1 AND 60),
    ('header_plain', NOT wacta.is_plain(said, '*_~`')),
    ('header_one_variable', (SELECT count(*) FROM regexp_matches(said, '\{\{', 'g')) > 1),
    ('header_example', said LIKE '%{{%' AND wacta.example_values(part #> '{example,header_text}') = 0
                       AND part #> '{example,header_text_named_params,0}' IS NULL),
    ('media_example', format IN ('IMAGE', 'VIDEO', 'GIF', 'DOCUMENT') AND wacta.example_values(part #> '{example,header_handle}') = 0)) r(rule, broken)
   WHERE broken;
END
$$;
COMMENT ON FUNCTION wacta.lint_header(jsonb, text) IS 'The rules that a HEADER breaks.';

-- The variables of a text, in the order in which they stand.
CREATE FUNCTION wacta.variable_names(value text) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT ARRAY(SELECT btrim(v[1]) FROM regexp_matches(coalesce($1, ''), '\{\{([^{}]*)\}\}', 'g') v) $$;
COMMENT ON FUNCTION wacta.variable_names(text) IS 'The names or numbers in the double braces of a text.';

CREATE FUNCTION wacta.fill_text(said text, examples jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT string_agg(CASE WHEN n = 1 THEN part ELSE coalesce(v.value, '{{' || split_part(part, '}}', 1) || '}}') || substr(part, strpos(part, '}}') + 2) END, '' ORDER BY n)
    FROM regexp_split_to_table(said, '\{\{(?=[^{}]*\}\})') WITH ORDINALITY t(part, n)
    LEFT JOIN (SELECT coalesce(e ->> 'param_name', nr::text) AS name, coalesce(e ->> 'example', e #>> '{}') AS value
                 FROM wacta.elements(examples) WITH ORDINALITY x(e, nr)) v ON n > 1 AND v.name = btrim(split_part(part, '}}', 1))
$$;
COMMENT ON FUNCTION wacta.fill_text(text, jsonb) IS 'A text with values for its variables: ["a", "b"] by number, or [{"param_name": ..., "example": ...}] by name.';

CREATE FUNCTION wacta.lint_body(part jsonb, named boolean) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  said      text := coalesce(part ->> 'text', '');
  names     text[] := wacta.variable_names(said);
  n         integer := CASE WHEN named THEN (SELECT count(DISTINCT v) FROM unnest(names) v) ELSE wacta.variable_count(said) END;
  examples  jsonb := CASE WHEN named THEN part #> '{example,body_text_named_params}' ELSE part #> '{example,body_text,0}' END;
  words     text[] := regexp_split_to_array(btrim(regexp_replace(said, '\{\{[^}]*\}\}', ' ', 'g')), '\s+');
BEGIN
  RETURN QUERY
  SELECT rule FROM (VALUES
    ('body_length', length(said) NOT BETWEEN 1 AND 1024),
    ('body_filled', length(said) <= 1024 AND length(wacta.fill_text(said, examples)) > 1024),
    ('body_emoji', wacta.count_emoji(said) > 10),
    ('variable_at_edge', said ~ '^\s*\{\{' OR said ~ '\}\}\s*$'),
    ('variable_before_stop', said ~ '\}\}[\s[:punct:]]*[[:punct:]][\s[:punct:]]*$' AND said !~ '\}\}\s*$'),
    ('adjacent_variables', said ~ '\}\}\s*\{\{'),
    ('variable_numbers', NOT named AND EXISTS (SELECT FROM generate_series(1, n) i WHERE i::text <> ALL (names))),
    ('variable_form', NOT named AND (EXISTS (SELECT FROM unnest(names) v WHERE v !~ '^[1-9][0-9]{0,2}$')
                                     OR regexp_replace(said, '\{\{[^{}]*\}\}', '', 'g') ~ '\{\{|\}\}')),
    ('variable_name', named AND EXISTS (SELECT FROM unnest(names) v WHERE v !~ '^[a-z0-9_]+$')),
    ('body_example', n > 0 AND wacta.example_values(examples) < n),
    ('ratio', n > 0 AND array_length(words, 1) < 2 * n + 1)) r(rule, broken)
   WHERE broken;
END
$$;
COMMENT ON FUNCTION wacta.lint_body(jsonb, boolean) IS 'The rules that a BODY breaks; named: its variables have names and not numbers.';

CREATE FUNCTION wacta.lint_footer(part jsonb) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT rule FROM (VALUES
    ('footer_length', coalesce(length(part ->> 'text'), 0) NOT BETWEEN 1 AND 60),
    ('footer_variables', part ->> 'text' LIKE '%{{%'),
    ('footer_plain', NOT wacta.is_plain(part ->> 'text'))) r(rule, broken)
   WHERE broken;
END
$$;
COMMENT ON FUNCTION wacta.lint_footer(jsonb) IS 'The rules that a FOOTER breaks.';

CREATE FUNCTION wacta.lint_url(url text, example jsonb) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  host text := lower((regexp_match(url, '^https?://(?:[^/@]*@)?([^/:?#{}\s]+)', 'i'))[1]);
BEGIN
  RETURN QUERY
  SELECT rule FROM (VALUES
    ('url_absolute', host IS NULL),
    ('url_secure', host IS NOT NULL AND (url !~* '^https:' OR host !~ '\.[a-z][a-z0-9-]*$' OR host ~ '\.(local|internal|test|localhost)$')),
    ('url_shortened', host = ANY ('{wa.me,api.whatsapp.com,bit.ly,tinyurl.com,t.co,goo.gl,is.gd,ow.ly,rebrand.ly,cutt.ly,rb.gy}')),
    ('url_length', length(url) > 2000),
    ('url_variable_count', (SELECT count(*) FROM regexp_matches(url, '\{\{', 'g')) > 1),
    ('url_variable_last', url LIKE '%{{%' AND url NOT LIKE '%}}'),
    ('url_variable_form', url LIKE '%{{%' AND url !~ '\{\{1\}\}'),
    ('url_example', url LIKE '%{{%' AND wacta.example_values(example) = 0)) r(rule, broken)
   WHERE broken;
END
$$;
COMMENT ON FUNCTION wacta.lint_url(text, jsonb) IS 'The rules that the URL of a button breaks.';

CREATE FUNCTION wacta.lint_button(b jsonb) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  type text := upper(coalesce(b ->> 'type', ''));
BEGIN
  RETURN QUERY
  SELECT rule FROM (VALUES
    ('button_type', type !~ '^[A-Z_]+$'),
    -- the provider writes this one's text itself
    ('button_length', type <> 'COPY_CODE' AND coalesce(length(b ->> 'text'), 0) NOT BETWEEN 1 AND 25),
    ('button_plain', NOT wacta.is_plain(b ->> 'text', '*_~`{}')),
    ('phone_number', type = 'PHONE_NUMBER' AND coalesce(b ->> 'phone_number', '') !~ '^\+?[0-9][0-9 ()-]{3,18}$'),
    ('copy_code_length', type = 'COPY_CODE' AND coalesce(length(coalesce(b #>> '{example,0}', b ->> 'example')), 0) NOT BETWEEN 1 AND 15)) r(rule, broken)
   WHERE broken;
  IF type = 'URL' THEN
    RETURN QUERY SELECT * FROM wacta.lint_url(coalesce(b ->> 'url', ''), b -> 'example');
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.lint_button(jsonb) IS 'The rules that one button breaks.';

CREATE FUNCTION wacta.lint_buttons(buttons jsonb) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  types text[] := ARRAY(SELECT upper(coalesce(e ->> 'type', '')) FROM wacta.elements(buttons) e);
  total integer := cardinality(types);
  quick integer := cardinality(array_positions(types, 'QUICK_REPLY'));
BEGIN
  RETURN QUERY
  SELECT rule FROM (VALUES
    ('button_count', total NOT BETWEEN 1 AND 10),
    ('url_count', cardinality(array_positions(types, 'URL')) > 2),
    ('phone_count', cardinality(array_positions(types, 'PHONE_NUMBER')) > 1),
    ('copy_code_count', cardinality(array_positions(types, 'COPY_CODE')) > 1),
    -- together: as far from the first to the last as there are
    ('quick_replies_together', (SELECT max(p) - min(p) + 1 FROM unnest(array_positions(types, 'QUICK_REPLY')) p) > quick),
    ('more_than_three', total > 3),
    ('not_on_desktop', total > 3 OR quick NOT IN (0, total))) r(rule, broken)
   WHERE broken;
END
$$;
COMMENT ON FUNCTION wacta.lint_buttons(jsonb) IS 'The rules that the buttons break together.';

CREATE FUNCTION wacta.lint_parts(parts jsonb) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  types text[] := ARRAY(SELECT upper(coalesce(e ->> 'type', '')) FROM jsonb_array_elements(parts) e);
BEGIN
  RETURN QUERY
  SELECT rule FROM (VALUES
    ('body_once', cardinality(array_positions(types, 'BODY')) <> 1),
    ('component_once', EXISTS (SELECT FROM unnest(types) t WHERE t IN ('HEADER', 'FOOTER', 'BUTTONS') GROUP BY t HAVING count(*) > 1)),
    ('type', EXISTS (SELECT FROM unnest(types) t WHERE t NOT IN ('HEADER', 'BODY', 'FOOTER', 'BUTTONS')))) r(rule, broken)
   WHERE broken;
END
$$;
COMMENT ON FUNCTION wacta.lint_parts(jsonb) IS 'The rules that the components break together.';

-- Meta compares the words, not the template: the same under another name is refused.
CREATE FUNCTION wacta.same_wording(t jsonb, parts jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN EXISTS (
    SELECT FROM wacta.template x
     WHERE x.language = t ->> 'language' AND x.name <> t ->> 'name' AND x.status NOT IN ('REJECTED', 'DELETED')
       AND (wacta.template_component(x.components, 'BODY') ->> 'text', coalesce(wacta.template_component(x.components, 'FOOTER') ->> 'text', ''))
         = (wacta.template_component(parts, 'BODY') ->> 'text', coalesce(wacta.template_component(parts, 'FOOTER') ->> 'text', '')));
END
$$;
COMMENT ON FUNCTION wacta.same_wording(jsonb, jsonb) IS 'Whether another template that stands has the same body and footer.';

-- component, in the template's own order: names first, then each part, then what concerns several.
CREATE FUNCTION wacta.broken_rules(t jsonb) RETURNS TABLE (component text, rule text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  parts jsonb := CASE WHEN jsonb_typeof(t -> 'components') = 'array' THEN t -> 'components' ELSE '[]' END;
  part  jsonb;
BEGIN
  RETURN QUERY SELECT CASE WHEN r ~ '^(name|language|category)(_|$)' THEN upper(split_part(r, '_', 1)) ELSE 'TEMPLATE' END, r FROM wacta.lint_head(t) r;
  RETURN QUERY SELECT CASE r WHEN 'body_once' THEN 'BODY' ELSE 'COMPONENTS' END, r FROM wacta.lint_parts(parts) r;
  IF wacta.same_wording(t, parts) THEN
    RETURN QUERY VALUES ('BODY', 'same_wording');
  END IF;
  FOR part IN SELECT * FROM jsonb_array_elements(parts) LOOP
    CASE upper(part ->> 'type')
      WHEN 'HEADER' THEN RETURN QUERY SELECT 'HEADER', wacta.lint_header(part, t ->> 'category');
      WHEN 'BODY' THEN RETURN QUERY SELECT 'BODY', wacta.lint_body(part, coalesce(upper(t ->> 'parameter_format') = 'NAMED', false));
      WHEN 'FOOTER' THEN RETURN QUERY SELECT 'FOOTER', wacta.lint_footer(part);
      WHEN 'BUTTONS' THEN
        RETURN QUERY SELECT format('BUTTONS[%s]', b.nr - 1), wacta.lint_button(b.button) FROM wacta.elements(part -> 'buttons') WITH ORDINALITY b(button, nr);
        RETURN QUERY SELECT 'BUTTONS', wacta.lint_buttons(part -> 'buttons');
      ELSE NULL;                                         -- lint_parts() has told
    END CASE;
  END LOOP;
END
$$;
COMMENT ON FUNCTION wacta.broken_rules(jsonb) IS 'The rules that a template breaks, by component.';

CREATE FUNCTION wacta.lint_template(template jsonb, provider text DEFAULT 'meta')
RETURNS TABLE (component text, rule text, severity text, message text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT b.component, b.rule, r.severity, format('%s: %s', r.message, r.fix)
    FROM wacta.broken_rules($1) WITH ORDINALITY b(component, rule, nr) JOIN wacta.template_rule r USING (rule)
   WHERE r.severity <> 'off'
   ORDER BY b.nr;
END
$$;
COMMENT ON FUNCTION wacta.lint_template(jsonb, text) IS
'What the provider would refuse in a template
A row for each rule that it breaks: component, rule, severity (error, warning), and a message that says what to do. wacta.template_rule
has the rules with their sources. All providers hand templates on to Meta, so its rules are those of all.';
