-- The way of a template: saved, submitted through the outbox, answered; and the model that writes one.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SET wacta.fixed_now = '2026-11-22 10:00+00';

-- What the courier does: claim, then settle with an answer
CREATE FUNCTION pg_temp.claim() RETURNS TABLE (lead bigint, request bigint, attempt integer, channel integer, url text, body jsonb) LANGUAGE sql AS
$$ SELECT c.lead_id, c.message_id, c.attempt, c.channel_id, (wacta.courier_channel(c.channel_id)).url, c.body::jsonb FROM wacta.courier_claim(1, 10) c WHERE c.message_id IS NOT NULL $$;
CREATE FUNCTION pg_temp.settle(request bigint, attempt integer, status integer, answer text) RETURNS text LANGUAGE sql AS
$$ SELECT s::text FROM wacta.courier_settle('{0}', ARRAY[$1], ARRAY[$2], CASE WHEN $3 IS NULL THEN '{unknown}'::text[] ELSE '{answered}' END, ARRAY[$3], '{NULL}',
     ARRAY[convert_to($4, 'UTF8')], ARRAY[CASE WHEN $3 IS NULL THEN 'reset' END], '{10}') s $$;

-- Saved under the name of the next version; with the actions that its buttons' texts mean
SELECT wacta.save_template(wacta.generate_template('Green Acres'), 'Green Acres') AS second_version;
SELECT wacta.save_template(jsonb_set(jsonb_set(wacta.generate_template('Green Acres'), '{components,2,buttons,0,text}', '"Not Interested"'), '{components,2,buttons,1,text}', '"Interested"')) AS other_order;
SELECT template_id, name, status, button_actions, for_project FROM wacta.template WHERE status = 'DRAFT' ORDER BY 1;
SELECT pg_temp.attempt('SELECT wacta.save_template(''{"language": "en"}'')'), pg_temp.attempt('SELECT wacta.save_template(''{}'', ''No such project'')'), pg_temp.attempt('SELECT wacta.save_template(NULL)');
-- A draft is not sent
SELECT wacta.pitch_template(NULL, (SELECT project_id FROM wacta.project)) AS still_the_first;

-- Submitted, once
SELECT wacta.submit_template(3) AS request;
SELECT pg_temp.attempt('SELECT wacta.submit_template(3)'), pg_temp.attempt('SELECT wacta.submit_template(99)'), pg_temp.attempt('SELECT wacta.submit_template(4, ''nobody'')');
SELECT lead, request, attempt, channel, url, body - 'components' AS body, body -> 'components' = (SELECT components FROM wacta.template WHERE template_id = 3) AS components FROM pg_temp.claim();
SELECT count(*) AS claimed_again FROM pg_temp.claim();
-- No answer: again later; it was taken, so the name is there
SELECT pg_temp.settle(1, 1, NULL, NULL);
SELECT status, reason, unsure, due_at > wacta.now() AS later FROM wacta.outbound_request;
SELECT wacta.courier_wait() BETWEEN 1 AND 60000 AS later;
SET wacta.fixed_now = '2026-11-22 10:05+00';
SELECT request, attempt FROM pg_temp.claim();
SELECT pg_temp.settle(1, 1, 200, '{}') AS of_an_attempt_that_is_over;
SELECT pg_temp.settle(1, 2, 400, '{"error": {"message": "Invalid parameter", "code": 100, "error_subcode": 2388024, "error_user_title": "Content in this language already exists", "error_user_msg": "There is already English content."}}');
SELECT r.status AS request, t.status, t.status_reason FROM wacta.outbound_request r JOIN wacta.template t USING (template_id);
-- Approved by a webhook: the project's template from now on
SELECT wacta.ingest_webhook('meta', 'whatsapp', b, jsonb_build_object('x-hub-signature-256', 'sha256=' || encode(hmac(b, 'meta-app-secret', 'sha256'), 'hex'))) > 0 AS taken
  FROM (SELECT convert_to('{"object":"whatsapp_business_account","entry":[{"id":"102290129340398","time":1795341700,"changes":[{"field":"message_template_status_update","value":{"event":"APPROVED","message_template_id":777,"message_template_name":"project_update_template_2","message_template_language":"en","reason":"NONE"}}]}]}', 'UTF8') AS b) x;
SELECT t.status, t.provider_id, t.for_project, p.template_id = t.template_id AS adopted FROM wacta.template t, wacta.project p WHERE t.template_id = 3;

-- Refused: a draft again, with the provider's words; and submitted anew
SELECT wacta.submit_template(4) AS request;
SELECT request, attempt FROM pg_temp.claim();
SELECT pg_temp.settle(2, 1, 400, '{"error": {"message": "Invalid parameter", "code": 100, "error_subcode": 2388299, "error_user_title": "Variables can''t be at the start or end", "error_user_msg": "This template has too few words."}}');
SELECT r.status AS request, r.reason, t.status, t.status_reason FROM wacta.outbound_request r JOIN wacta.template t USING (template_id) WHERE request_id = 2;
SELECT wacta.submit_template(4) AS request;
SELECT request, attempt FROM pg_temp.claim();
SELECT pg_temp.settle(3, 1, 200, '{"id": "1689556908129832", "status": "PENDING", "category": "UTILITY"}');
SELECT status, status_reason, provider_id, category FROM wacta.template WHERE template_id = 4;

-- A courier that ended leaves it to the next; five attempts are enough
UPDATE wacta.template SET status = 'DRAFT', provider_id = NULL WHERE template_id = 4;
SELECT wacta.submit_template(4) AS request;
SELECT request, attempt FROM pg_temp.claim();
SELECT wacta.courier_start(1);
SELECT request, attempt FROM pg_temp.claim();
SET wacta.fixed_now = '2026-11-22 12:00+00';
SELECT wacta.courier_reap();
SELECT status, unsure FROM wacta.outbound_request WHERE request_id = 4;
SELECT request, attempt, pg_temp.settle(request, attempt, 503, 'busy') FROM pg_temp.claim();
SET wacta.fixed_now = '2026-11-22 13:00+00';
SELECT request, attempt, pg_temp.settle(request, attempt, 503, 'busy') FROM pg_temp.claim();
SET wacta.fixed_now = '2026-11-22 14:00+00';
SELECT request, attempt, pg_temp.settle(request, attempt, 503, 'busy') FROM pg_temp.claim();
SELECT r.status AS request, r.reason, t.status, t.status_reason FROM wacta.outbound_request r JOIN wacta.template t USING (template_id) WHERE request_id = 4;

-- A model
SELECT pg_temp.attempt('SELECT wacta.write_template(''Green Acres'')'), pg_temp.attempt('SELECT wacta.add_channel(''model'', ''openai'', base_url => ''https://models.example.com/v1'')');
SELECT wacta.add_channel('model', 'openai', base_url => 'https://models.example.com/v1', account_id => 'small-1') AS channel;
SELECT wacta.set_credential('model', 'access_token', 'sk-model') IS NOT NULL AS secret;
SELECT name, sends, is_default, status FROM wacta.channel ORDER BY channel_id;
SELECT pg_temp.attempt('UPDATE wacta.channel SET is_default = (name = ''model'')'), pg_temp.attempt('SELECT wacta.submit_template(4, ''model'')'), pg_temp.attempt('SELECT wacta.write_template(''No such project'')');
SELECT wacta.write_template('Green Acres', 'Short and friendly') AS request;
SELECT channel, url, body ->> 'model' AS model, m ->> 'role' AS role, CASE m ->> 'role' WHEN 'system' THEN (m ->> 'content' = wacta.ai_prompt('Green Acres'))::text ELSE m ->> 'content' END AS content FROM pg_temp.claim(), jsonb_array_elements(body -> 'messages') m;
SELECT pg_temp.settle(5, 1, 200, jsonb_build_object('choices', jsonb_build_array(jsonb_build_object('message', jsonb_build_object('role', 'assistant', 'content',
  E'Here it is:\n```json\n' || jsonb_set(wacta.generate_template('Green Acres'), '{components,2,buttons,0,text}', '"Interested ✅"')::text || E'\n```'))))::text);
SELECT request_id, status, reason, details ->> 'problems' AS problems FROM wacta.outbound_request WHERE kind = 'write_template' ORDER BY 1;
SELECT request, m ->> 'role' AS role, left(m ->> 'content', 100) AS content FROM pg_temp.claim(), jsonb_array_elements(body -> 'messages') m WHERE m ->> 'role' <> 'system';
SELECT pg_temp.settle(6, 1, 200, jsonb_build_object('choices', jsonb_build_array(jsonb_build_object('message', jsonb_build_object('content', wacta.generate_template('Green Acres')::text))))::text);
SELECT r.request_id, r.status, t.name, t.status AS template, t.for_project FROM wacta.outbound_request r JOIN wacta.template t USING (template_id) WHERE kind = 'write_template';
-- It is mended once, not for ever
SELECT wacta.write_template() AS request;
SELECT request, pg_temp.settle(request, attempt, 200, '{"choices": [{"message": {"content": "I am sorry."}}]}') FROM pg_temp.claim();
SELECT request, pg_temp.settle(request, attempt, 200, '{"choices": []}') FROM pg_temp.claim();
SELECT request_id, status, reason FROM wacta.outbound_request WHERE request_id > 6 ORDER BY 1;
SELECT pg_temp.settle(0, 1, 200, '{}') AS of_nothing;
