-- What a body consists of: every shape that providers and gateways give it comes to the same items.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include

-- The items of a body: kind, id, and who else is meant. Nothing is applied here.
CREATE FUNCTION pg_temp.items(body text, type text DEFAULT 'application/json') RETURNS TABLE (kind text, item text, context text) LANGUAGE sql AS $$
  SELECT x.kind, coalesce(x.item ->> 'id', x.item ->> 'wa_id', x.item ->> 'event', left(x.item::text, 60)), nullif(concat_ws(' ', x.context ->> 'field', x.context ->> 'account', x.context ->> 'time',
         x.context #>> '{metadata,phone_number_id}', x.context #>> '{metadata,display_phone_number}', nullif(x.context ->> 'contact', '{}')), '')
    FROM wacta.inbox_items(jsonb_populate_record(NULL::wacta.inbox, jsonb_build_object('inbox_id', 1, 'provider', 'meta', 'kind', 'whatsapp', 'proved', true,
           'headers', jsonb_build_object('content-type', $2), 'body', convert_to($1, 'UTF8')))) x $$;

-- Meta's envelope, with a member as an array or as the object itself, the field at any level, and what surrounds it
CREATE TEMP TABLE shape (nr int, what text, body text);
INSERT INTO shape VALUES
  (1, 'as Meta has it', '{"object": "whatsapp_business_account", "entry": [{"id": "9", "time": 1756188050, "changes": [{"field": "messages", "value": VALUE}]}]}'),
  (2, 'objects', '{"entry": {"id": "9", "time": "1756188050", "changes": {"field": "messages", "value": VALUE}}}'),
  (3, 'value is an array', '{"entry": [{"id": "9", "changes": [{"field": "messages", "value": [VALUE]}]}]}'),
  (4, 'field above', '{"entry": [{"id": "9", "field": "messages", "changes": [{"value": VALUE}]}]}'),
  (5, 'no changes', '{"entry": [{"id": "9", "value": VALUE}]}'),
  (6, 'no value', '{"entry": [{"id": "9", "changes": [VALUE]}]}'),
  (7, 'an array of bodies', '[{"entry": [{"id": "9", "changes": [{"field": "messages", "value": VALUE}]}]}]'),
  (8, 'in data', '{"data": {"entry": [{"id": "9", "changes": [{"field": "messages", "value": VALUE}]}]}}'),
  (9, 'in event, payload, body', '{"event": {"payload": [{"body": {"entry": [{"id": "9", "changes": [{"field": "messages", "value": VALUE}]}]}}]}}'),
  (10, 'the change alone', '{"field": "messages", "value": VALUE}'),
  (11, 'the value alone', 'VALUE'),
  (12, 'the value in data', '{"data": [VALUE]}'),
  (13, 'an array of values', '[VALUE]'),
  (14, 'encoded twice', 'TEXT'),
  (15, 'encoded twice in data', '{"data": TEXT}'),
  (16, 'the value encoded twice', '{"entry": [{"id": "9", "changes": [{"field": "messages", "value": TEXT}]}]}'),
  (17, 'with a byte that is none', '{"entry": [{"id": "9", "changes": [{"field": "messages", "junk": "\u0000\ud800", "value": VALUE}]}]}');
CREATE TEMP TABLE value (nr int, json text);
INSERT INTO value VALUES
  (1, '{"statuses": [{"id": "s1", "status": "sent"}, {"id": "s2", "status": "read"}]}'),
  (2, '{"statuses": {"id": "s1", "status": "sent"}}'),
  (3, '{"contacts": [{"wa_id": "1", "profile": {"name": "A"}}], "messages": {"id": "m1", "from": "1", "type": "text"}, "businessPhoneNumber": "918060000305"}'),
  (4, '{"metadata": {"phone_number_id": "77", "display_phone_number": "1555"}, "user_preferences": [{"wa_id": "1", "value": "stop"}]}');
SELECT s.nr, s.what, v.nr AS value, string_agg(concat_ws(' ', i.kind, i.item, '<' || i.context || '>'), ', ') AS items
  FROM shape s CROSS JOIN value v CROSS JOIN LATERAL pg_temp.items(replace(replace(s.body, 'VALUE', v.json), 'TEXT', to_jsonb(v.json)::text)) i
 GROUP BY s.nr, s.what, v.nr ORDER BY v.nr, s.nr;
-- as a form, with the JSON in one of its fields
SELECT * FROM pg_temp.items('a=1&payload=%7B%22statuses%22%3A%5B%7B%22id%22%3A%22s1%22%7D%5D%7D', 'application/x-www-form-urlencoded; charset=utf-8');

-- Each message has its own contact: by its number, by its user id, and at its place only when nothing speaks against it
SELECT * FROM pg_temp.items('{"contacts": [{"wa_id": "2", "profile": {"name": "Two"}, "junk": 1}, {"wa_id": 1, "user_id": "IN.1", "profile": {"name": "One"}}, {"user_id": "IN.3", "profile": {"name": "Three"}}, {"profile": {"name": "Four"}}, {"wa_id": "5"}],
  "messages": [{"id": "of 1", "from": 1}, {"id": "of 2", "from": "+2"}, {"id": "of 3", "from_user_id": "IN.3"}, {"id": "of 4, by place", "from": "4"}, {"id": "of nobody", "from": "6", "from_user_id": "IN.6"}, {"id": "no contact left", "from": "7"}]}');
SELECT * FROM pg_temp.items('{"contacts": [{"wa_id": "1", "user_id": "IN.1", "profile": {"name": "Only"}}], "messages": [{"id": "a name, no id", "from": "9"}]}');
SELECT * FROM pg_temp.items('{"contacts": "none", "messages": [{"id": "m1", "from": "1"}]}');

-- Every field of Meta's
SELECT field, i.kind, i.item FROM unnest('{messages,message_template_status_update,message_template_quality_update,message_template_components_update,template_category_update,account_update,account_alerts,
  account_review_update,account_settings_update,business_capability_update,phone_number_quality_update,phone_number_name_update,security,flows,history,smb_app_state_sync,group_lifecycle_update,user_id_update,something_else}'::text[]) field,
  LATERAL pg_temp.items(format('{"entry": [{"id": "9", "changes": [{"field": "%s", "value": {"event": "E"}}]}]}', field)) i;
SELECT * FROM pg_temp.items('{"entry": [{"id": "9", "changes": [{"field": "smb_message_echoes", "value": {"message_echoes": [{"id": "e1", "to": "1"}]}}, {"field": "calls", "value": {"calls": [{"id": "c1", "from": "1"}]}},
  {"field": "messages", "value": {"errors": [{"code": 130429}]}}, {"field": "messages", "value": {"statuses": [{"id": "s1"}], "messages": [{"id": "m1"}], "errors": [{"code": 1}]}}, {"field": "group_lifecycle_update", "value": {"groups": [{"type": "group_create"}]}}]}]}');
-- flattened, without a field
SELECT * FROM pg_temp.items('[{"event": "PAUSED", "message_template_name": "pitch"}, {"event": "ACCOUNT_RESTRICTION", "restriction_info": []}, {"id": "s1", "status": "sent", "recipient_id": "1"}, {"id": "m1", "from": "1", "type": "text"}, {"x": 1}]');

-- What has the wrong type costs itself alone, and is told as other
SELECT body, string_agg(concat_ws(' ', i.kind, i.item), ', ') AS items
  FROM unnest(ARRAY['[]', '{}', '[[], [[[{"statuses": [{"id": "s1"}]}]]]]', '{"entry": []}', '{"entry": null}', '{"entry": 5}', '{"entry": ["x", null, 3, [], [[]], {"changes": "x"}, {"changes": [null, "x", {"field": 7, "value": "x"}, {"value": null}]}]}',
    '{"statuses": "x"}', '{"statuses": [17, "x", null, []]}', '{"messages": [17, "x", null, {"id": "m1"}]}', '{"messages": null, "statuses": null}', '"entry"', '["statuses", "messages"]', '{"data": {"data": {"data": "{\"statuses\": [{\"id\": \"s1\"}]}"}}}',
    '{"field": {"a": 1}, "value": {"statuses": [{"id": "s1"}]}}']) WITH ORDINALITY b(body, n), LATERAL pg_temp.items(body) i GROUP BY n, body ORDER BY n;

-- Gupshup, version 2
SELECT i.kind, i.item, i.context FROM unnest(ARRAY[
  '{"app": "DemoApp", "timestamp": 1580227766370, "version": 2, "type": "message", "payload": {"id": "ABEG1", "source": "919876500001", "type": "text", "payload": {"text": "Hi"}, "sender": {"phone": "919876500001", "name": "Andy"}}}',
  '{"app": "DemoApp", "timestamp": 1584541505908, "version": 2, "type": "user-event", "payload": {"phone": "919876500001", "type": "opted-out"}}',
  '{"app": "DemoApp", "timestamp": 1580142086287, "version": 2, "type": "user-event", "payload": {"phone": "callbackSetPhone", "type": "sandbox-start"}}',
  '{"app": "DemoApp", "timestamp": 1636986446609, "version": 2, "type": "account-event", "payload": {"type": "status-event", "status": "ACCOUNT_DISABLED"}}',
  '{"app": "DemoApp", "timestamp": 1636986446609, "version": 2, "type": "billing-event", "payload": {"deductions": {}}}',
  '{"type": "message", "payload": {"payload": 5}}', '{"type": "message-event", "payload": {}}']) b, LATERAL pg_temp.items(b) i;
SELECT jsonb_pretty(wacta.gupshup_status('{"id": "gBEG", "gsId": "ee4a68a0", "type": "delivered", "destination": "919800000010", "payload": {"ts": 1580546677}}', '1580546677791')) AS delivered,
       jsonb_pretty(wacta.gupshup_status('{"id": "ee4a68a0", "type": "enqueued", "destination": "919800000010", "payload": {"whatsappMessageId": "gBEG"}}', '1580546677791')) AS enqueued,
       jsonb_pretty(wacta.gupshup_status('{"id": "ee4a68a0", "type": "failed", "destination": "919800000010", "payload": {"code": 1002, "reason": "Number Does Not Exists On WhatsApp"}}', '1580546677791')) AS failed;
SELECT type, wacta.gupshup_content(type, content::jsonb) AS content FROM (VALUES ('text', '{"text": "Hi"}'), ('quick_reply', '{"text": "Interested", "type": "button", "postbackText": "yes"}'), ('button_reply', '{"title": "First", "id": "qr1", "reply": "First 1"}'),
  ('list_reply', '{"title": "Row 1", "id": "list1", "postbackText": "row1", "description": "first"}'), ('image', '{"url": "https://x/1", "caption": "Look"}'), ('file', '{"name": "plan.pdf", "url": "https://x/2"}'), ('location', '{"latitude": "1", "longitude": "2"}'),
  (NULL, '{}')) v(type, content);
SELECT wacta.gupshup_template(p::jsonb) FROM unnest(ARRAY['{"id": "4d", "status": "rejected", "elementName": "abcd", "languageCode": "en_US", "rejectedReason": "INVALID_FORMAT"}', '{"type": "status-update", "status": "paused", "elementName": "abcd", "languageCode": "en_US", "description": "for 3 hours"}',
  '{"type": "category-update", "elementName": "abcd", "languageCode": "en_US", "category": {"old": "UTILITY", "new": "MARKETING"}}', '{"type": "quality-update", "elementName": "abcd", "languageCode": "en_US", "quality": "low"}']) p;

-- A context is of no more than a few hundred bytes, whatever the value is made of: a thousand items do not cost a thousand times the body
SELECT count(*), max(pg_column_size(x.context)) < 1000 AS small
  FROM wacta.value_items('messages', (SELECT jsonb_build_object('metadata', jsonb_build_object('phone_number_id', repeat('7', 100000), 'x', repeat('x', 100000)),
         'contacts', jsonb_build_array(jsonb_build_object('wa_id', '1', 'profile', jsonb_build_object('name', repeat('n', 100000)), 'x', repeat('x', 100000))),
         'messages', jsonb_agg(jsonb_build_object('id', n, 'from', '1')))  FROM generate_series(1, 100) n), repeat('a', 100000), repeat('t', 100000)) x;
