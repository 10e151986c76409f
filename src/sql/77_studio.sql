-- The way of a template: written or pasted, saved as a version, submitted to the provider, approved by a webhook (68_account.sql).
-- A provider knows a template by its name, and one that is edited cannot be sent while it is in review. So a version is a template of
-- its own, project_update, project_update_2, ..., and the one before is sent until the next is approved.

CREATE FUNCTION wacta.version_name(wanted text, p_language text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  base text := regexp_replace(left(wanted, 500), '_[0-9]{1,4}$', '');
  n    integer := (SELECT max(coalesce(substring(t.name FROM '_([0-9]{1,4})$')::integer, 1)) FROM wacta.template t
                    WHERE t.language = p_language AND regexp_replace(t.name, '_[0-9]{1,4}$', '') = base);
BEGIN
  RETURN CASE WHEN n IS NULL THEN wanted ELSE base || '_' || n + 1 END;
END
$$;
COMMENT ON FUNCTION wacta.version_name(text, text) IS 'The name of the next version of a template: the name itself when it is free, else name_2, name_3, ...';

CREATE FUNCTION wacta.url_actions(components jsonb) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(array_agg(coalesce(replace(wacta.word_meaning(b ->> 'text'), 'stop', 'not_interested'), CASE n WHEN 1 THEN 'interested' ELSE 'not_interested' END) ORDER BY n),
                  '{interested,not_interested}')
    FROM (SELECT e.b, row_number() OVER (ORDER BY e.nr) AS n
            FROM wacta.elements(wacta.template_component($1, 'BUTTONS') -> 'buttons') WITH ORDINALITY e(b, nr)
           WHERE upper(e.b ->> 'type') = 'URL' AND e.b ->> 'url' LIKE '%{{%') u
$$;
COMMENT ON FUNCTION wacta.url_actions(jsonb) IS 'The action of each URL button with a variable: by its text, or else the first is interested and the others are not.';

CREATE FUNCTION wacta.known_project(project text) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  id integer := (SELECT p.project_id FROM wacta.project p WHERE p.name = project);
BEGIN
  IF project IS NOT NULL AND id IS NULL THEN
    RAISE EXCEPTION 'project "%" does not exist', project USING ERRCODE = '22023', HINT = 'Add it with wacta.add_project().';
  END IF;
  RETURN id;
END
$$;
COMMENT ON FUNCTION wacta.known_project(text) IS 'The project of a name, NULL for NULL; an error when there is none.';

-- Locked against another save, so that each gets a name of its own.
CREATE FUNCTION wacta.save_template(template jsonb, project text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  id       integer;
  known    integer := wacta.known_project(project);
  language text := coalesce(template ->> 'language', '');
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('wacta.save_template'));
  id := wacta.add_template(CASE WHEN template ->> 'name' IS NOT NULL THEN wacta.version_name(template ->> 'name', language) END, template -> 'components', language,
                           upper(coalesce(template ->> 'category', 'MARKETING')), button_actions => wacta.url_actions(template -> 'components'), status => 'DRAFT');
  UPDATE wacta.template t SET for_project = known WHERE t.template_id = id;
  RETURN id;
END
$$;
COMMENT ON FUNCTION wacta.save_template(jsonb, text) IS
'Saves a template as a draft and returns its id
A name that is taken becomes that of the next version. An error says what the provider would refuse. Once approved it becomes the
template of the project, if one is named.';

CREATE FUNCTION wacta.submit_template(template_id integer, channel text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  t  wacta.template;
  c  wacta.channel;
  id bigint;
BEGIN
  SELECT * INTO c FROM wacta.channel x WHERE CASE WHEN channel IS NULL THEN x.is_default ELSE x.name = channel END;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no channel to submit to' USING ERRCODE = '22023', HINT = 'Name one of wacta.channel, or add one with wacta.add_channel().';
  ELSIF NOT c.sends OR (c.provider = 'meta' AND c.account_id IS NULL) THEN
    RAISE EXCEPTION 'channel "%" takes no templates', c.name USING ERRCODE = '55000',
      HINT = 'A channel of provider "meta" needs account_id, the id of the WhatsApp Business Account.';
  END IF;
  UPDATE wacta.template x SET status = 'SUBMITTED', status_reason = NULL WHERE x.template_id = $1 AND x.status IN ('DRAFT', 'REJECTED') AND x.provider_id IS NULL RETURNING * INTO t;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'template % is no draft', $1 USING ERRCODE = '55000', HINT = 'Save the change as a version with wacta.save_template(), and submit that.';
  END IF;
  INSERT INTO wacta.outbound_request (kind, channel_id, template_id, body)
  VALUES ('submit_template', c.channel_id, $1, jsonb_build_object('name', t.name, 'language', t.language, 'category', t.category, 'components', t.components)
          || CASE c.provider WHEN 'tata' THEN '{"allowCategoryChange": true}' ELSE '{"allow_category_change": true}' END::jsonb)
  RETURNING request_id INTO id;
  RETURN id;
END
$$;
COMMENT ON FUNCTION wacta.submit_template(integer, text) IS
'Submits a draft to the provider for review
Returns the id in wacta.outbound_request. The courier sends it; the answer and the provider''s webhooks set the template''s status
(PENDING, APPROVED, REJECTED with its reason, ...), and nothing is sent with it until it is APPROVED.';

CREATE FUNCTION wacta.template_submitted(r wacta.outbound_request, done boolean, reason text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE wacta.template t
     SET provider_id = coalesce(t.provider_id, r.answer ->> 'id'),
         status = CASE WHEN done THEN upper(coalesce(r.answer ->> 'status', 'PENDING')) ELSE 'DRAFT' END,
         status_reason = CASE WHEN NOT done THEN concat_ws(': ', coalesce(r.answer #>> '{error,error_user_title}', 'not submitted'), reason) END,
         category = CASE WHEN upper(r.answer ->> 'category') IN ('MARKETING', 'UTILITY', 'AUTHENTICATION') THEN upper(r.answer ->> 'category') ELSE t.category END
   WHERE t.template_id = r.template_id AND t.status = 'SUBMITTED';         -- else a webhook was faster, and knows better
END
$$;
COMMENT ON FUNCTION wacta.template_submitted(wacta.outbound_request, boolean, text) IS 'What the provider answered to a template.';

CREATE FUNCTION wacta.adopt_template() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE wacta.project p SET template_id = NEW.template_id WHERE p.project_id = NEW.for_project;
  UPDATE wacta.template t SET for_project = NULL WHERE t.template_id = NEW.template_id;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.adopt_template() IS 'Trigger: a template that was written for a project becomes its template when it is approved.';
CREATE TRIGGER adopt_template AFTER UPDATE OF status ON wacta.template
  FOR EACH ROW WHEN (NEW.status = 'APPROVED' AND OLD.status <> 'APPROVED' AND NEW.for_project IS NOT NULL) EXECUTE FUNCTION wacta.adopt_template();

-- "Write it for me": any endpoint that speaks OpenAI's chat completions, as a channel of its own.

CREATE FUNCTION wacta.ask_model(channel_id integer, details jsonb, messages jsonb) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
  INSERT INTO wacta.outbound_request (kind, channel_id, details, body)
  SELECT 'write_template', c.channel_id, $2, jsonb_build_object('model', c.account_id, 'messages', $3) FROM wacta.channel c WHERE c.channel_id = $1
  RETURNING request_id
$$;
COMMENT ON FUNCTION wacta.ask_model(integer, jsonb, jsonb) IS 'Queues a chat completion.';

CREATE FUNCTION wacta.write_template(project text DEFAULT NULL, wishes text DEFAULT NULL, channel text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c integer := (SELECT x.channel_id FROM wacta.channel x WHERE x.provider = 'openai' AND (channel IS NULL OR x.name = channel) ORDER BY x.channel_id LIMIT 1);
BEGIN
  IF c IS NULL THEN
    RAISE EXCEPTION 'there is no model to ask' USING ERRCODE = '55000',
      HINT = 'Add one with wacta.add_channel(NAME, ''openai'', base_url => ''https://.../v1'', account_id => MODEL), or take wacta.ai_prompt() to a model yourself.';
  END IF;
  PERFORM wacta.known_project(project);
  RETURN wacta.ask_model(c, jsonb_build_object('project', project, 'round', 1), jsonb_build_array(
    jsonb_build_object('role', 'system', 'content', wacta.ai_prompt(project)),
    jsonb_build_object('role', 'user', 'content', coalesce(nullif(left(wishes, 4000), ''), 'Write the template.'))));
END
$$;
COMMENT ON FUNCTION wacta.write_template(text, text, text) IS
'Has a model write a template for a project
Returns the id in wacta.outbound_request; its details tell the draft that was saved, or what was wrong. The answer is linted, and the
model is asked once to mend what the provider would refuse. wishes: what it should say, in your words.';

-- Models put JSON into a fence, and words around it.
CREATE FUNCTION wacta.json_in_words(said text) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT wacta.try_jsonb(convert_to(substring($1 FROM '\{.*\}'), 'UTF8')) $$;
COMMENT ON FUNCTION wacta.json_in_words(text) IS 'The JSON object in a model''s answer, or NULL.';

CREATE FUNCTION wacta.template_written(r wacta.outbound_request) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  said     text := r.answer #>> '{choices,0,message,content}';
  template jsonb := wacta.json_in_words(said);
  problems text := (SELECT string_agg(format('%s: %s', f.component, f.message), E'\n') FROM wacta.lint_template(coalesce(template, '{}')) f WHERE f.severity = 'error');
BEGIN
  IF problems IS NULL THEN
    UPDATE wacta.outbound_request x SET template_id = wacta.save_template(template, r.details ->> 'project'), details = x.details || jsonb_build_object('template', template)
     WHERE x.request_id = r.request_id;
    RETURN;
  END IF;
  UPDATE wacta.outbound_request x
     SET details = x.details || jsonb_build_object('template', template, 'problems', problems), status = 'failed', reason = 'the model wrote what the provider would refuse'
   WHERE x.request_id = r.request_id;
  IF r.details ->> 'round' = '1' THEN
    PERFORM wacta.ask_model(r.channel_id, r.details || jsonb_build_object('round', 2, 'first', r.request_id), (r.body -> 'messages') || jsonb_build_array(
      jsonb_build_object('role', 'assistant', 'content', coalesce(said, '')),
      jsonb_build_object('role', 'user', 'content', E'WhatsApp would refuse this. Mend it and output the whole JSON again:\n' || problems)));
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.template_written(wacta.outbound_request) IS 'Lints what a model wrote, saves it as a draft or has it mended once.';
