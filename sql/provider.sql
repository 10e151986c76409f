-- Request bodies in the provider's own shape, built without a network; and what prevents one.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SELECT wacta.add_channel('tata', 'tata'), wacta.add_channel('d360', '360dialog');
SELECT wacta.upsert_lead('9876500001', 'Asha Rao', 'Green Acres') AS asha \gset
SELECT wacta.send_interactive(:asha) AS pitch, wacta.send_brochure(:asha) AS brochure \gset
-- The request, but for the ids in it: the echo of its own message, and the tokens, are shown by name
CREATE FUNCTION pg_temp.request(message bigint) RETURNS jsonb LANGUAGE sql AS $$
  SELECT regexp_replace(replace(r.body::text, '"wacta:outbox:' || $1 || '"', '"wacta:outbox:ITS ID"'), '"[A-Za-z0-9_-]{60}"', '"A TOKEN"', 'g')::jsonb
    FROM wacta.message m, wacta.build_request(m) r WHERE m.message_id = $1
$$;
CREATE FUNCTION pg_temp.body(message bigint) RETURNS text LANGUAGE sql AS
$$ SELECT coalesce(jsonb_pretty(pg_temp.request($1)), 'problem: ' || r.problem) FROM wacta.message m, wacta.build_request(m) r WHERE m.message_id = $1 $$;

-- Meta: the template with its two links, the brochure as a template with a document, and as a plain document while the window is open
SELECT pg_temp.body(:pitch);
SELECT pg_temp.body(:brochure);
UPDATE wacta.lead SET window_until = wacta.now() + interval '1 minute';
SELECT pg_temp.body(:brochure);
UPDATE wacta.lead SET window_until = wacta.now();
SELECT pg_temp.body(:brochure) LIKE '%"type": "template"%' AS closed_again;
UPDATE wacta.project SET brochure_media_id = '1166846181421424';
SELECT r.body #> '{template,components,0}' AS by_media_id FROM wacta.message m, wacta.build_request(m) r WHERE m.message_id = :brochure;
UPDATE wacta.project SET brochure_media_id = NULL;

-- Tata: its own envelope. The channel decides, at the time of sending
UPDATE wacta.message SET channel_id = (SELECT channel_id FROM wacta.channel WHERE name = 'tata') WHERE message_id = :pitch;
SELECT r - 'template' AS envelope, r #>> '{template,name}' AS template, jsonb_array_length(r #> '{template,components}') AS components FROM pg_temp.request(:pitch) r;
UPDATE wacta.message SET channel_id = (SELECT channel_id FROM wacta.channel WHERE name = 'd360') WHERE message_id = :brochure;
SELECT pg_temp.request(:brochure) - 'template' AS envelope;
UPDATE wacta.message SET channel_id = 1;
SELECT name, wacta.channel_url(c) AS url, auth_header, auth_prefix FROM wacta.channel c ORDER BY channel_id;

-- The links in it are the customer's: each button's token says its own action, and nothing has to be escaped in a URL
SELECT b ->> 'index' AS button, t.reason, t.lead_id = :asha AS hers, t.message_id = :pitch AS of_this_message, t.action, b #>> '{parameters,0,text}' ~ '^[A-Za-z0-9_-]{60}$' AS url_safe
  FROM wacta.message m, wacta.build_request(m) r, jsonb_array_elements(r.body #> '{template,components}') b, wacta.token_check(b #>> '{parameters,0,text}') t
 WHERE m.message_id = :pitch AND b ->> 'type' = 'button';
-- a template whose URL is in the seed format gets the seed format, whatever the default is; buttons without a variable have no parameter, yet count
SELECT wacta.add_template('seed_style', '[{"type": "BODY", "text": "Are you interested in {{1}} now?", "example": {"body_text": [["x"]]}}, {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Stop"},
  {"type": "URL", "text": "Site", "url": "https://crm.example.com"}, {"type": "URL", "text": "Interested", "url": "https://crm.example.com/track/{{1}}", "example": ["https://crm.example.com/track/1"]}]}]',
  body_values => '{project_name}', button_actions => '{interested}') AS seed_style;
SELECT wacta.send_interactive(:asha, 'seed_style') AS id \gset
SELECT replace((pg_temp.request(:id) #> '{template,components}')::text, format('"%s/?token=%s&', :asha, wacta.percent_encode(wacta.mint_token(:asha))), '"HER ID/?token=HER TOKEN&') AS components;

-- Hostile names and variables stay values: one line, never empty, no structure of their own
SELECT what, r.body #>> '{template,components,0,parameters,0,text}' AS customer_name, r.body #>> '{template,components,0,parameters,1,text}' AS project_name
  FROM (VALUES (1, 'quotes', 'O"Brien \ <script>', NULL), (2, 'braces', '{{1}} {{2}}', NULL), (3, 'lines and tabs', E'Asha\n\tRao', NULL), (4, 'runs of spaces', 'Asha      Rao', NULL), (5, 'blank', E' \n ', NULL), (6, 'empty', '', NULL),
               (7, 'unicode', 'आशा 🌸', NULL), (8, 'JSON', '"}],"to":"+911234567890"', NULL), (9, 'a number', '12', '{"customer_name": 12, "project_name": {"a": 1}}'::jsonb), (10, 'null', 'x', '{"customer_name": null}')) v(nr, what, name, variables),
       LATERAL (SELECT m.* FROM wacta.message m WHERE m.message_id = :pitch) base,
       LATERAL (SELECT wacta.build_request(ROW(base.lead_id, base.message_id, base.purpose, base.channel_id, base.template_id, base.project_id, coalesce(v.variables, jsonb_build_object('customer_name', v.name)), base.status, base.reason, base.enqueued_at,
         base.due_at, base.expires_at, base.attempts, base.claimed_by, base.lease_until, base.wamid, base.provider_request_id, base.accepted_at, base.sent_at, base.delivered_at, base.read_at, base.failed_at, base.error_code, base.pricing, base.cost, base.failures)::wacta.message) AS q) b,
       LATERAL (SELECT (b.q).body) r ORDER BY nr;
-- without a name, without a project
SELECT wacta.send_interactive(wacta.upsert_lead('9876500002')) AS id \gset
SELECT r.body #> '{template,components,0}' AS body FROM wacta.message m, wacta.build_request(m) r WHERE m.message_id = :id;
-- a person known by a business-scoped user id alone
SELECT wacta.inbound_lead(NULL, 'IN.13491208655302741918', 'Meera') AS lead \gset
SELECT wacta.send_interactive(:lead) AS id \gset
SELECT pg_temp.request(:id) - 'template' AS envelope;

-- A body has at most 1,024 characters with its values in it. A name that is too long for the rest is cut, by UTF-16 units, and never within a character
SELECT wacta.add_template('long_text', jsonb_build_array(jsonb_build_object('type', 'BODY', 'text', 'Hello {{1}}, ' || repeat('news of it ', 82) || 'for {{2}}, dear {{1}}, today', 'example', '{"body_text": [["Asha", "Green Acres"]]}'::jsonb))) AS long_text \gset
SELECT wacta.room_for_name(t.components #>> '{0,text}', t, '{}', p) AS room FROM wacta.template t, wacta.project p WHERE t.name = 'long_text' AND p.name = 'Green Acres';
SELECT wacta.send_interactive(:asha, 'long_text') AS long \gset
SELECT what, length(r.sent) AS characters, wacta.utf16_length(r.sent) AS units, wacta.utf16_length(replace(replace(t.components #>> '{0,text}', '{{1}}', r.sent), '{{2}}', r.project)) AS body, right(r.sent, 3) AS ends
  FROM (VALUES (1, 'short', 'Asha Rao'), (2, 'fits', repeat('x', 42)), (3, 'one too many', repeat('x', 43)), (4, 'emoji that fit', repeat('😀', 21)), (5, 'and that do not', repeat('😀', 22)),
               (6, 'three bytes each', repeat('आ', 300)), (7, 'quotes', repeat('"', 300))) v(nr, what, name),
       wacta.template t, LATERAL (SELECT m.* FROM wacta.message m WHERE m.message_id = :long) m,
       LATERAL wacta.plan_request(m.channel_id, m.template_id, m.project_id, m.purpose, m.variables, false, 'phone', 'granted') plan,
       LATERAL (SELECT wacta.fill_request(plan.form, m.lead_id, m.message_id, '+919876500001', v.name, wacta.now(), NULL)::jsonb #> '{template,components,0,parameters}' AS q OFFSET 0) f,
       LATERAL (SELECT f.q #>> '{0,text}' AS sent, f.q #>> '{1,text}' AS project) r
 WHERE t.template_id = :long_text ORDER BY nr;

-- What prevents a request is told, and costs that message alone: the others in the same claim are sent
SELECT wacta.upsert_lead('9876500003', project => 'No Brochure') AS poor, wacta.upsert_lead('9876500004', project => 'Green Acres') AS lead \gset
CREATE TEMP TABLE poison (what text, id bigint);
INSERT INTO poison SELECT 'no brochure', wacta.enqueue(:poor, 'brochure', NULL);
INSERT INTO poison SELECT 'window closed, no template', wacta.enqueue(:lead, 'brochure', NULL);
INSERT INTO poison SELECT 'no template', wacta.enqueue(:lead, 'other', NULL);
INSERT INTO poison SELECT 'template not approved', wacta.enqueue(:lead, 'pitch', wacta.add_template('rejected', '[{"type": "BODY", "text": "Hello there"}]', status => 'REJECTED'));
INSERT INTO poison SELECT 'an action that links do not know', wacta.enqueue(:lead, 'pitch', wacta.add_template('odd_action', '[{"type": "BODY", "text": "Hello there"}, {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Go", "url": "https://crm.example.com/t/{{1}}", "example": ["https://crm.example.com/t/x"]}]}]', button_actions => '{explode}'));
INSERT INTO poison SELECT 'too few actions', wacta.enqueue(:lead, 'pitch', wacta.add_template('no_action', '[{"type": "BODY", "text": "Hello there"}, {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Go", "url": "https://crm.example.com/t/{{1}}", "example": ["https://crm.example.com/t/x"]}]}]', button_actions => '{}'));
INSERT INTO poison SELECT 'too long a text', wacta.enqueue(:lead, 'pitch', (SELECT template_id FROM wacta.template WHERE name = 'project_update_template'), jsonb_build_object('customer_name', repeat('x', 70000)));
INSERT INTO poison SELECT 'too large', wacta.enqueue(wacta.upsert_lead('9876500005', project => 'Long Link'), 'brochure', (SELECT template_id FROM wacta.template WHERE name = 'project_brochure'))
  FROM wacta.add_project('Long Link', brochure_link => 'https://cdn.example.com/' || repeat('x', 70000));
INSERT INTO poison SELECT 'good', wacta.send_interactive(:lead);
SELECT what, c.message_id IS NOT NULL AS claimed FROM poison LEFT JOIN wacta.courier_claim(0, 100) c ON c.message_id = id ORDER BY id;
SELECT what, status, reason, failed_at = wacta.now() AS failed_now, attempts FROM poison JOIN wacta.message m ON m.message_id = id ORDER BY id;
-- and a site without any key to sign links with
UPDATE wacta.signing_key SET retired_at = wacta.now();
SELECT pg_temp.body(:pitch);

-- Setting up a sender
SELECT pg_temp.attempt(s) FROM unnest(ARRAY[$$SELECT wacta.add_channel('x', 'unheard-of')$$, $$SELECT wacta.add_channel('x', NULL)$$, $$SELECT wacta.add_channel('x', 'meta')$$, $$SELECT wacta.add_channel('main', 'tata')$$, $$SELECT wacta.add_channel('x', 'tata', base_url => 'ftp://x')$$,
  $$SELECT wacta.add_channel('x', 'tata', base_url => 'https://user:pw@x')$$, $$SELECT wacta.add_channel('x', 'tata', base_url => 'https://x/?a=b')$$, $$SELECT wacta.add_channel('x', 'meta', 'a/../b')$$, $$SELECT wacta.add_channel('y', 'tata', base_url => 'https://x.example.com/')$$,
  $$SELECT wacta.set_credential('nobody', 'access_token', 'x')$$, $$SELECT wacta.set_credential('main', 'password', 'x')$$, $$SELECT wacta.set_credential('main', NULL, 'x')$$, $$SELECT wacta.set_credential('main', 'access_token', '')$$, $$SELECT wacta.set_credential('main', 'access_token', NULL)$$,
  $$SELECT wacta.set_credential('main', 'access_token', E'x\r\nX-Injected: 1')$$, $$SELECT wacta.set_credential('main', 'webhook_key', 'short')$$]) s;
