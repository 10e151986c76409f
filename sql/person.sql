-- One person under several names, words that come late, items that wait, and settings that would break an opt-out.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include

-- A message as Tata sends it: from a phone, a business-scoped user id, or both; sent some time before now
SELECT wacta.add_channel('tata', 'tata') AS channel, wacta.set_credential('tata', 'webhook_key', 'tata-webhook-key-0123') > 0 AS key;
CREATE FUNCTION pg_temp.apply(wamid text, said text, phone text, user_id text DEFAULT NULL, ago interval DEFAULT '0') RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  id bigint := wacta.ingest_webhook('tata', 'whatsapp', convert_to(jsonb_build_object('messages', jsonb_strip_nulls(jsonb_build_object(
    'from', phone, 'from_user_id', user_id, 'id', wamid, 'timestamp', extract(epoch FROM wacta.now() - ago)::bigint, 'type', 'text',
    'text', jsonb_build_object('body', said))))::text, 'UTF8'), '{"X-Wacta-Key": "tata-webhook-key-0123"}');
BEGIN
  RETURN (SELECT i.result FROM wacta.inbox i WHERE i.inbox_id = id);
END
$$;

-- Known by user id first, by phone and user id later: one person, and a STOP under the user id alone holds for the phone
SELECT pg_temp.apply('wamid.1', 'hello', NULL, 'IN.4711'), pg_temp.apply('wamid.2', 'hello again', '919876500001', 'IN.4711');
SELECT kind, value, lead_id = pg_temp.lead(1) AS of_the_phone FROM wacta.lead_identity WHERE value IN ('IN.4711', '+919876500001') ORDER BY kind;
SELECT pg_temp.apply('wamid.3', 'STOP', NULL, 'IN.4711');
SELECT consent FROM wacta.lead WHERE lead_id = pg_temp.lead(1);
SELECT wacta.send_interactive(pg_temp.lead(1)) AS pitch \gset
SELECT status, reason FROM wacta.message WHERE message_id = :pitch;

-- Withdrawn under the user id before the two were known to be one: the opt-out goes with the id
SELECT pg_temp.apply('wamid.4', 'stop', NULL, 'IN.4712'), wacta.upsert_lead('9876500002', 'Ravi') > 0 AS ravi;
SELECT pg_temp.apply('wamid.5', 'hello', '919876500002', 'IN.4712');
SELECT l.consent, e.reason FROM wacta.lead l JOIN wacta.consent_event e USING (lead_id) WHERE l.lead_id = pg_temp.lead(2);

-- The wa_id that the provider gives for a number is that person too: who answers from it is not somebody new
SELECT wacta.upsert_lead('+5511987654321', 'Bruna') AS bruna \gset
SELECT wacta.send_interactive(:bruna) AS pitch \gset
SELECT count(*) FROM wacta.courier_claim(0, 10);
SELECT wacta.courier_settle(ARRAY[:bruna], ARRAY[:pitch], ARRAY[1], ARRAY['answered'], ARRAY[200], ARRAY[NULL::int],
  ARRAY['{"contacts": [{"input": "+5511987654321", "wa_id": "551187654321"}], "messages": [{"id": "wamid.out"}]}'::bytea], ARRAY[NULL::text], ARRAY[10]);
SELECT pg_temp.apply('wamid.6', 'STOP', '551187654321');
SELECT consent FROM wacta.lead WHERE lead_id = :bruna;

-- Webhooks are repeated for days. A START that is older than the STOP brings nothing back; a newer one does
SELECT pg_temp.apply('wamid.7', 'START', '551187654321', ago => '4 minutes'), (SELECT consent FROM wacta.lead WHERE lead_id = :bruna) AS before;
SELECT consent AS after_an_old_start FROM wacta.lead WHERE lead_id = :bruna;
SELECT pg_temp.advance('1 minute') IS NOT NULL AS later, pg_temp.apply('wamid.8', 'START', '551187654321');
SELECT consent AS after_a_new_start FROM wacta.lead WHERE lead_id = :bruna;

-- A status that comes before its message waits, is tried again ever more rarely, and is applied when it can be
SELECT wacta.ingest_webhook('tata', 'whatsapp', '{"statuses": [{"id": "wamid.early", "status": "delivered", "timestamp": "1756189000"}]}',
                            '{"X-Wacta-Key": "tata-webhook-key-0123"}') AS early \gset
SELECT waiting, replays, result FROM wacta.inbox WHERE inbox_id = :early;
SELECT wacta.courier_reap() AS reaped, pg_temp.advance('11 seconds') IS NOT NULL AS later;
SELECT wacta.courier_reap() AS reaped;
SELECT waiting, replays FROM wacta.inbox WHERE inbox_id = :early;
UPDATE wacta.attempt SET provider_id = 'wamid.early' WHERE message_id = :pitch;
SELECT wacta.courier_reap() AS reaped, pg_temp.advance('41 seconds') IS NOT NULL AS later;
SELECT wacta.courier_reap() AS reaped;
SELECT waiting, replays, result FROM wacta.inbox WHERE inbox_id = :early;
SELECT status FROM wacta.message WHERE message_id = :pitch;

-- The answer to an attempt stands: a second settle does not overwrite it, but what was only thought lost is told after all
SELECT wacta.courier_settle(ARRAY[:bruna], ARRAY[:pitch], ARRAY[1], ARRAY['unknown'], ARRAY[NULL::int], ARRAY[NULL::int], ARRAY[NULL::bytea], ARRAY['reset'], ARRAY[10]);
SELECT outcome, detail FROM wacta.attempt WHERE message_id = :pitch;
UPDATE wacta.attempt SET outcome = 'lost', http_status = NULL WHERE message_id = :pitch;
SELECT wacta.courier_settle(ARRAY[:bruna], ARRAY[:pitch], ARRAY[1], ARRAY['answered'], ARRAY[200], ARRAY[NULL::int], ARRAY['{"messages": [{"id": "wamid.early"}]}'::bytea], ARRAY[NULL::text], ARRAY[10]);
SELECT outcome, http_status FROM wacta.attempt WHERE message_id = :pitch;

-- Settings that would make an opt-out or a settle fail are refused when they are made
SELECT pg_temp.attempt('UPDATE wacta.config SET ' || setting) FROM unnest(ARRAY['time_zone = ''Asia/Calcuttta''', 'retry_cap = ''1 month''', 'retry_base = ''0''',
  'retry_base = ''2 hours''', 'lease = ''0''', 'message_ttl = ''-1 day''', 'base_url = ''crm.example.com''', 'link_ttl = ''0''', 'link_ttl = ''100 years''']) setting;
SELECT pg_temp.attempt($$UPDATE wacta.project SET time_zone = 'Mars/Olympus'$$), pg_temp.attempt($$SELECT wacta.add_ivr_source('x', time_zone => 'nowhere')$$);

-- One row must not stop the claims or the settles of all others: an id that no token can carry, a value that looks like a
-- placeholder, an answer for a lead that was erased meanwhile
SELECT pg_temp.attempt('INSERT INTO wacta.lead (lead_id) VALUES (0)');
UPDATE wacta.project SET brochure_file_name = chr(1) || 'link signed x' || chr(1);
SELECT wacta.document_object(p) FROM wacta.project p;
SELECT wacta.courier_settle(ARRAY[4711::bigint], ARRAY[4711::bigint], ARRAY[1], ARRAY['answered'], ARRAY[200], ARRAY[NULL::int],
  ARRAY['{"contacts": [{"wa_id": "919876500088"}], "messages": [{"id": "wamid.erased"}]}'::bytea], ARRAY[NULL::text], ARRAY[10]);
