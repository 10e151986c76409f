-- What comes in by webhook: proof, raw bytes kept, each item by itself, replay.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
\set include :abs_srcdir '/sql/include/webhooks.sql'
\i :include
\set samples :abs_srcdir '/test/fixtures/samples/whatsapp/'
SET timezone = 'UTC';
SELECT wacta.upsert_lead('9876500001', 'Asha Rao', 'Green Acres') AS asha \gset
SELECT wacta.send_interactive(:asha) AS first \gset

-- Proof. Whatever is not proved is kept as a sample and never applied
CREATE TEMP TABLE proof (nr int, provider text, kind text, body bytea, headers jsonb);
INSERT INTO proof
SELECT n, p, k, b, h FROM (SELECT convert_to(pg_temp.said('wamid.proof', 'STOP'), 'UTF8') AS b) body, LATERAL (VALUES
  (1, 'meta', 'whatsapp', '{}'::jsonb), (2, 'meta', 'whatsapp', NULL), (3, 'meta', 'whatsapp', '[]'), (4, 'meta', 'whatsapp', pg_temp.signed(b, 'another secret')),
  (5, 'meta', 'whatsapp', pg_temp.signed(b || ' ')), (6, 'meta', 'whatsapp', '{"X-Hub-Signature-256": "sha256="}'), (7, 'meta', 'whatsapp', '{"X-Hub-Signature-256": null}'),
  (8, 'meta', 'whatsapp', '{"X-Wacta-Key": "tata-webhook-key-0123"}'), (9, 'tata', 'whatsapp', pg_temp.signed(b)), (10, 'tata', 'whatsapp', '{"X-Wacta-Key": "wrong"}'),
  (11, 'tata', 'whatsapp', '{"X-Wacta-Key": ""}'), (12, 'tata', 'whatsapp', '{"X-Wacta-Key": "smartflo-key-0123456789"}'), (13, 'smartflo', 'ivr', '{"X-Wacta-Key": "tata-webhook-key-0123"}'),
  (14, 'smartflo', 'ivr', '{}'), (15, 'nobody', 'ivr', '{"X-Wacta-Key": "smartflo-key-0123456789"}'), (16, 'unknown', 'whatsapp', '{"X-Wacta-Key": "tata-webhook-key-0123"}'),
  (17, '360dialog', 'whatsapp', '{"X-Wacta-Key": "tata-webhook-key-0123"}'), (18, 'tata', 'whatsapp', '{"Authorization": "Basic %%%"}'), (19, 'tata', 'whatsapp', '{"Authorization": "Basic dGF0YTp3cm9uZw=="}'),
  (20, 'meta', 'whatsapp', '{"X-Hub-Signature": "sha1=0123"}')) v(n, p, k, h);
SELECT count(wacta.ingest_webhook(provider, kind, body, headers)) FROM (SELECT * FROM proof ORDER BY nr) p;
SELECT p.nr, p.provider, i.proved, i.reason, i.applied_at IS NOT NULL AS applied, i.items FROM proof p JOIN wacta.inbox i ON i.inbox_id = p.nr ORDER BY nr;
SELECT consent FROM wacta.lead WHERE lead_id = :asha;
SELECT pg_temp.attempt('SELECT wacta.replay(1)'), pg_temp.attempt('SELECT wacta.replay(4711)'), pg_temp.attempt('SELECT wacta.replay(NULL)');
-- a sample has 2,000 bytes at most
SELECT wacta.ingest_webhook('meta', 'whatsapp', convert_to(repeat('x', 100000), 'UTF8'), '{}') > 0;
SELECT max(octet_length(body)) FROM wacta.inbox;
-- and at most 100 of them are kept an hour; the sender is told the same
TRUNCATE wacta.inbox, wacta.webhook_refusal RESTART IDENTITY;
SELECT count(wacta.ingest_webhook('meta', 'whatsapp', 'x', '{}')) AS kept, count(*) AS came FROM generate_series(1, 120);
SELECT wacta.ingest_webhook('meta', 'whatsapp', 'x', '{}') IS NULL AS not_kept, pg_temp.meta(pg_temp.said('wamid.flood', 'hello')) > 0 AS what_is_proved_is_kept;
SELECT pg_temp.advance('1 hour') IS NOT NULL, wacta.ingest_webhook('meta', 'whatsapp', 'x', '{}') > 0 AS kept_again;
-- with a few of its headers, cut to a length
TRUNCATE wacta.inbox RESTART IDENTITY;
SELECT wacta.ingest_webhook('tata', repeat('k', 5000), 'x', jsonb_build_object('User-Agent', repeat('u', 5000), 'Content-Type', repeat('c', 5000), 'X-Wacta-Peer', '203.0.113.9', 'X-Wacta-Key', 'wrong',
  'Accept', '*/*', 'X-Junk', repeat('j', 5000), 'Host', 'crm.example.com')) > 0;
SELECT key, left(value, 11) AS value, length(value), length(kind) AS kind FROM wacta.inbox, jsonb_each_text(headers) ORDER BY 1;
TRUNCATE wacta.inbox RESTART IDENTITY;
SET wacta.fixed_now = '2025-08-26 11:30:45+05:30';

-- Proved: the key in a header, as bearer, as the password of basic authentication; the older secret while it is being replaced
SELECT wacta.set_credential('tata', 'webhook_key', 'the-next-key-of-tata', keep_old => true) > 0 AS set;
SELECT h ->> 'how' AS how, wacta.unproved('tata', 'whatsapp', '{}', h - 'how') IS NULL AS proved FROM jsonb_array_elements($$[
  {"how": "header", "x-wacta-key": "tata-webhook-key-0123"}, {"how": "api key", "X-Api-Key": "tata-webhook-key-0123"}, {"how": "bearer", "Authorization": "Bearer tata-webhook-key-0123"},
  {"how": "basic", "AUTHORIZATION": "Basic dGF0YTp0YXRhLXdlYmhvb2sta2V5LTAxMjM="}, {"how": "next key", "x-wacta-key": "the-next-key-of-tata"}]$$) h;
SELECT wacta.set_credential('tata', 'webhook_key', 'tata-webhook-key-0123') > 0 AS set;
SELECT wacta.unproved('tata', 'whatsapp', '{}', '{"x-wacta-key": "the-next-key-of-tata"}') AS retired;
SELECT wacta.unproved('meta', 'whatsapp', '{}', jsonb_build_object('x-hub-signature-256', upper(pg_temp.signed('{}') ->> 'X-Hub-Signature-256'))) IS NULL AS upper_case_hex;

-- No secret is kept with the headers
SELECT wacta.ingest_webhook('tata', 'whatsapp', '{}', '{"X-Wacta-Key": "tata-webhook-key-0123", "Authorization": "Bearer tata-webhook-key-0123",
  "Cookie": "wacta_session=x", "X-Api-Key": "k", "ApiKey": "k", "Proxy-Authorization": "p", "X-Auth-Token": "t", "X-My-Secret": "s", "Content-Type": "application/json", "User-Agent": "tata", "X-Wacta-Peer": "203.0.113.9"}') > 0;
SELECT headers FROM wacta.inbox;
SELECT count(*) AS secrets_in_inbox FROM wacta.inbox i WHERE i::text LIKE '%tata-webhook-key%';

-- Statuses: by our echo, by the wamid, by the provider's id of the request; any order ends in the same row
SELECT count(*) FROM wacta.courier_claim(0, 10);
SELECT m.accepted FROM wacta.courier_settle(ARRAY[:asha], ARRAY[:first], '{1}', '{answered}', '{200}', '{NULL}', ARRAY['{"messages": [{"id": "wamid.one"}]}'::bytea], '{NULL}', '{1}') m;
CREATE FUNCTION pg_temp.status(state text, at int, extra jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS
$$ SELECT pg_temp.meta_value('messages', jsonb_build_object('statuses', jsonb_build_array(jsonb_build_object('id', 'wamid.one', 'status', $1, 'timestamp', $2::text, 'recipient_id', '919876500001') || $3))) $$;
SELECT wacta.replay(pg_temp.meta(pg_temp.status('delivered', 1756188060, jsonb_build_object('id', 'wamid.other', 'biz_opaque_callback_data', 'wacta:outbox:' || :first))));
SELECT wacta.replay(pg_temp.meta(pg_temp.status('sent', 1756188050)));
SELECT status, wamid, accepted_at, sent_at, delivered_at, read_at FROM wacta.message WHERE message_id = :first;
SELECT wacta.replay(pg_temp.tata(format('{"statuses": [{"id": "wamid.one", "status": "read", "timestamp": "1756188070", "custom_callback_data": "wacta:outbox:%s"}]}', :first))) -> 'result' AS tata;
SELECT wacta.replay(pg_temp.meta(pg_temp.status('failed', 1756188040, '{"errors": [{"code": 131026, "title": "x"}]}'))) -> 'result' AS late_failure;
SELECT status, reason, error_code, sent_at, delivered_at, read_at, failed_at FROM wacta.message WHERE message_id = :first;
-- an id that is not ours waits until it is known
SELECT pg_temp.meta(pg_temp.status('sent', 1756188050, '{"id": "wamid.unknown"}')) AS waiting \gset
SELECT items, waiting, result FROM wacta.inbox WHERE inbox_id = :waiting;
SELECT wacta.send_interactive(:asha) AS id \gset
INSERT INTO wacta.attempt (lead_id, message_id, attempt, courier, ended_at, outcome, provider_id) VALUES (:asha, :id, 0, 0, wacta.now(), 'answered', 'wamid.unknown');
SELECT wacta.replay(:waiting);
SELECT status FROM wacta.message WHERE message_id = :id;
-- echoes that are not ours, or too long for a number, belong to nobody
SELECT quote_literal(e) AS echo, wacta.replay(pg_temp.meta(pg_temp.status('read', 1756188050, jsonb_build_object('id', 'wamid.x', 'biz_opaque_callback_data', replace(e, 'ID', :'first'))))) -> 'result' AS result
  FROM unnest('{wacta:outbox:,wacta:outbox:99999999999999999999999,wacta:outbox:-ID,other:ID,"wacta:outbox:ID "}'::text[]) e;
-- nor does the id of a lead, which is never a message's too
SELECT wacta.replay(pg_temp.meta(pg_temp.status('read', 1756188050, jsonb_build_object('id', 'wamid.x', 'biz_opaque_callback_data', 'wacta:outbox:' || :asha)))) -> 'result' AS result;

-- Failures with consequences: a person who stopped, a template that needs care
SELECT wacta.send_interactive(:asha) AS id \gset
SELECT pg_temp.meta(pg_temp.status('failed', 1756188080, jsonb_build_object('biz_opaque_callback_data', 'wacta:outbox:' || :id, 'errors', '[{"code": 132015, "title": "Template is paused"}]'::jsonb))) > 0;
SELECT status, reason, error_code FROM wacta.message WHERE message_id = :id;
SELECT name, held_reason FROM wacta.template ORDER BY 1;
SELECT pg_temp.meta(pg_temp.status('failed', 1756188090, jsonb_build_object('biz_opaque_callback_data', 'wacta:outbox:' || :id, 'errors', '[{"code": 131050, "title": "stopped"}]'::jsonb))) > 0;
SELECT status, reason, error_code FROM wacta.message WHERE message_id = :id;
SELECT consent FROM wacta.lead WHERE lead_id = :asha;
UPDATE wacta.template SET held_reason = NULL;

-- One bad item costs itself alone; what is no JSON is kept and told; nothing of it is an error to the sender
SELECT pg_temp.meta(pg_temp.meta_value('messages', '{"statuses": [17, {"id": "wamid.one", "status": "read"}, {"id": "wamid.one", "status": "sent", "timestamp": "yesterday"}, {"id": "wamid.one", "status": "read", "timestamp": "99999999999999999999"}, {"id": 5, "status": {}}, null],
  "messages": [{"from": {}, "id": "a"}, {"from": "919876500001", "id": "wamid.in5", "type": "text", "text": "a string"}, "text"], "contacts": "none"}')) > 0;
SELECT items, waiting, result, errors FROM wacta.inbox ORDER BY inbox_id DESC LIMIT 1;
SELECT what, items, waiting, result, errors
  FROM (VALUES (1, 'empty', ''::bytea), (2, 'not JSON', 'hello'), (3, 'not UTF-8', '\xff00fe'), (4, 'cut off', '{"entry": [{"changes": [{'), (5, 'a number', '42'), (6, 'null', 'null'),
               (7, 'empty object', '{}'), (8, 'empty array', '[]'), (9, 'NUL', convert_to('{"a": "\u0000"}', 'UTF8')), (10, 'entry is a text', '{"entry": "x"}'), (11, 'value is a text', '{"entry": [{"changes": [{"field": "messages", "value": "x"}]}]}'),
               (12, 'deep', convert_to(repeat('[', 20000), 'UTF8')), (13, 'list of lists', '[[[{"entry": []}]]]')) v(nr, what, body),
       LATERAL (SELECT wacta.replay(wacta.ingest_webhook('meta', 'whatsapp', body, pg_temp.signed(body))) AS r) s,
       LATERAL jsonb_to_record(r) AS x(items int, waiting int, result jsonb, errors jsonb) ORDER BY nr;

-- The samples: bodies as providers send them. Each is read without an error, and again without a second effect
CREATE TEMP TABLE sample AS SELECT f AS file, pg_read_binary_file(:'samples' || f) AS body FROM pg_ls_dir(:'samples') f;
CREATE TEMP TABLE received AS
  SELECT file, CASE WHEN file ~ '^(tataomni|gupshup)' THEN wacta.ingest_webhook('tata', 'whatsapp', body, '{"x-wacta-key": "tata-webhook-key-0123"}')
                    ELSE wacta.ingest_webhook('meta', 'whatsapp', body, pg_temp.signed(body)) END AS inbox_id
    FROM (SELECT * FROM sample ORDER BY file COLLATE "C") s;
SELECT file, proved, items, waiting, result, nullif(errors, '[]') AS errors FROM received JOIN wacta.inbox USING (inbox_id) ORDER BY file COLLATE "C";
SELECT i.kind, i.value, l.name, l.consent, (SELECT count(*) FROM wacta.lead_note n WHERE n.lead_id = l.lead_id) AS notes
  FROM wacta.lead l JOIN wacta.lead_identity i USING (lead_id) WHERE i.value NOT IN ('+919876500001', '+919812345678') ORDER BY i.kind, i.value;
SELECT (SELECT count(*) FROM wacta.lead) AS leads, (SELECT count(*) FROM wacta.lead_note) AS notes, (SELECT count(*) FROM wacta.click) AS clicks, (SELECT count(*) FROM wacta.consent_event) AS events \gset before_
SELECT count(wacta.replay(inbox_id)) > 50 AS replayed FROM wacta.inbox WHERE proved;
SELECT count(*) - :before_leads AS leads, (SELECT count(*) FROM wacta.lead_note) - :before_notes AS notes, (SELECT count(*) FROM wacta.click) - :before_clicks AS clicks,
       (SELECT count(*) FROM wacta.consent_event) - :before_events AS events FROM wacta.lead;
