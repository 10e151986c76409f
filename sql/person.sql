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

-- WhatsApp writes some numbers in another form than the telephone does: also before it has told us so
SELECT d, wacta.number_forms(d) FROM unnest('{525512345678,5215512345678,541112345678,5491112345678,5511987654321,551187654321,551133334444,919876500001,14155550100}'::text[]) d;
SELECT wacta.upsert_lead('+525512345678', 'Marisol') AS marisol, wacta.upsert_lead('+5491123456789', 'Diego') AS diego \gset
SELECT pg_temp.apply('wamid.mx', 'STOP', '5215512345678'), pg_temp.apply('wamid.ar', 'STOP', '541123456789');
SELECT name, consent FROM wacta.lead WHERE lead_id IN (:marisol, :diego) ORDER BY name;
SELECT kind, value FROM wacta.lead_identity WHERE lead_id = :marisol ORDER BY value;
SELECT wacta.upsert_lead('+5215512345678') = :marisol AS the_same, wacta.lead_by_phone('+52 1 55 1234 5678') = :marisol AS found;

-- Two leads that are one: all that is the other's goes along, its id and its links go on working
SELECT wacta.upsert_lead('9876500031', 'Kiran', 'Green Acres') AS kiran \gset
SELECT pg_temp.apply('wamid.k1', 'hello', NULL, 'IN.31');
SELECT lead_id AS other FROM wacta.lead_identity WHERE value = 'IN.31' \gset
SELECT wacta.send_interactive(:other, 'project_update_template') AS theirs, wacta.mint_link(:other, 'interested') AS link, wacta.mint_token(:other) AS seed \gset
SELECT wacta.schedule_follow_up(:kiran, 'theirs') > 0, wacta.schedule_follow_up(:other, 'the other''s') > 0, wacta.log_ivr_call('9876500031') > 0;
SELECT wacta.add_note(:other, 'once', 'ref.1'), wacta.add_note(:kiran, 'once', 'ref.1');
SELECT count(*) AS leads FROM wacta.lead \gset
SELECT pg_temp.apply('wamid.k2', 'it is me', '919876500031', 'IN.31');
SELECT :leads - count(*) AS fewer, bool_or(lead_id = :other) AS still_there FROM wacta.lead;
SELECT kind, value FROM wacta.lead_identity WHERE lead_id = :kiran ORDER BY kind;
SELECT replace(note, :'other', '(the other)') AS note FROM wacta.lead_note WHERE lead_id = :kiran ORDER BY note_id;
SELECT reason, outcome FROM wacta.follow_up WHERE lead_id = :kiran ORDER BY follow_up_id;
SELECT m.lead_id = :kiran AS moved, m.status, q.lead_id = :kiran AS queued_for_them FROM wacta.message m JOIN wacta.queue q USING (message_id) WHERE message_id = :theirs;
SELECT count(*) AS left_behind FROM (SELECT lead_id FROM wacta.message UNION ALL SELECT lead_id FROM wacta.attempt UNION ALL SELECT lead_id FROM wacta.queue UNION ALL SELECT lead_id FROM wacta.click
  UNION ALL SELECT lead_id FROM wacta.lead_note UNION ALL SELECT lead_id FROM wacta.follow_up UNION ALL SELECT lead_id FROM wacta.ivr_call UNION ALL SELECT lead_id FROM wacta.lead_identity) x WHERE lead_id = :other;
-- by its id as before: notes, messages, links of both forms, opt-outs
SELECT wacta.add_note(:other, 'noted under the old id'), wacta.send_interactive(:other) > 0 AS sent, wacta.living_lead(:other) = :kiran AS forwarded;
SELECT gate, passed FROM wacta.explain_send(:other) WHERE gate = 'recipient';
SELECT decision, first_time, page FROM wacta.record_click(split_part(:'link', '/t/', 2));
SELECT decision, first_time, page FROM wacta.record_click(:'seed', 'not_interested', :other);
SELECT status, consent FROM wacta.lead WHERE lead_id = :kiran;
SELECT wacta.opt_in(:other, 'on the phone'), (SELECT consent FROM wacta.lead WHERE lead_id = :kiran);
SELECT wacta.opt_out(:other, 'changed their mind');
SELECT consent FROM wacta.lead WHERE lead_id = :kiran;
SELECT count(*) AS disagree FROM wacta.consent_mismatch;
SELECT pg_temp.attempt('SELECT wacta.merge_leads(0, -1)'), pg_temp.attempt(format('SELECT wacta.merge_leads(%s, 0)', :kiran)), wacta.merge_leads(:kiran, :other) = :kiran AS nothing_to_do;

-- Merged while it is being sent: the answer finds its message, and what had not begun is claimed again for the person as they are now
SELECT wacta.upsert_lead('9876500032', 'Leela') AS leela \gset
SELECT pg_temp.apply('wamid.l1', 'hi', NULL, 'IN.32');
SELECT lead_id AS other FROM wacta.lead_identity WHERE value = 'IN.32' \gset
SELECT wacta.send_interactive(:other) AS first, wacta.send_interactive(:other) AS second \gset
SELECT count(*) FROM wacta.courier_claim(0, 10) WHERE lead_id = :other;
SELECT wacta.merge_leads(:leela, :other) = :leela AS merged;
SELECT * FROM wacta.courier_settle(ARRAY[:other, :other], ARRAY[:first, :second], ARRAY[1, 1], ARRAY['answered', 'not_sent'], ARRAY[200, NULL], ARRAY[NULL, 0]::int[],
  ARRAY['{"contacts": [{"input": "+919876500032", "wa_id": "919876500099"}], "messages": [{"id": "wamid.l2"}]}', NULL]::bytea[], ARRAY[NULL, 'held back'], ARRAY[10, 10]);
SELECT lead_id = :leela AS hers, status, wamid FROM wacta.message WHERE message_id IN (:first, :second) ORDER BY message_id;
SELECT lead_id = :leela AS hers, outcome FROM wacta.attempt WHERE message_id IN (:first, :second) ORDER BY message_id;
-- the wa_id that the answer told is hers; whoever was entered with it is she
SELECT wacta.upsert_lead('9876500098', 'L. M.') <> :leela AS entered;
INSERT INTO wacta.lead_identity (kind, value, lead_id) VALUES ('wa_id', '919876500098', :leela);
SELECT pg_temp.apply('wamid.l3', 'STOP', '919876500098');
SELECT consent FROM wacta.lead WHERE lead_id = :leela;
SELECT count(*) AS leads_of_the_two FROM wacta.lead WHERE name IN ('Leela', 'L. M.');

-- Three in a row: the first id leads to the last lead, and the ledger says whose word it was
SELECT wacta.upsert_lead('9876500034') AS a, wacta.upsert_lead('9876500035') AS b, wacta.upsert_lead('9876500036') AS c \gset
SELECT wacta.opt_out(:a, 'enough') AS withdrawn, wacta.opt_in(:c, 'yes') AS granted;
SELECT wacta.merge_leads(:b, :a) = :b, wacta.merge_leads(:c, :b) = :c;
SELECT wacta.living_lead(:a) = :c AS forwarded;
SELECT l.consent, e.event, e.kind, e.evidence ? 'event' AS refers, e.effective FROM wacta.lead l JOIN wacta.consent_event e USING (lead_id) WHERE l.lead_id = :c ORDER BY e.event_id;
SELECT count(*) AS disagree FROM wacta.consent_mismatch;

-- A new number: nothing more goes to the old one, which may be somebody else's; the person and their history stay
SELECT wacta.upsert_lead('9876500041', 'Nila', 'Green Acres') AS nila, wacta.upsert_lead('9876500042', 'Nila S.') > 0 AS known_by_the_new_one \gset
SELECT wacta.send_interactive(:nila) AS theirs \gset
SELECT wacta.change_number('919876500041', '919876500042', 'IN.41', 'IN.42', 'wamid.n1') = :nila AS hers;
SELECT wacta.change_number('919876500041', '919876500042', 'IN.41', 'IN.42', 'wamid.n1') = :nila AS again;
SELECT kind, value FROM wacta.lead_identity WHERE lead_id = :nila ORDER BY kind;
SELECT body::jsonb ->> 'to' AS sent_to FROM wacta.courier_claim(0, 10) WHERE message_id = :theirs;
SELECT wacta.lead_by_phone('9876500041') AS nobody, wacta.upsert_lead('9876500041', 'Stranger') <> :nila AS a_stranger;
SELECT consent FROM wacta.lead WHERE lead_id = pg_temp.lead(41);
-- repeated after the stranger came: not theirs
SELECT wacta.change_number('919876500041', '919876500042', NULL, NULL, 'wamid.n1') = :nila AS again, pg_temp.lead(41) <> :nila AS still_the_strangers;
-- who has withdrawn consent has done so under the new number, and to be safe the old one stays suppressed
SELECT wacta.upsert_lead('9876500043', 'Omar') AS omar \gset
SELECT wacta.opt_out(:omar), wacta.change_number('919876500043', '919876500044', NULL, NULL, 'wamid.o1') = :omar AS his;
SELECT wacta.upsert_lead('9876500043', 'Somebody') <> :omar AS somebody, (SELECT consent FROM wacta.lead WHERE lead_id = pg_temp.lead(44)) AS his_new_number;
SELECT l.consent, e.reason FROM wacta.lead l JOIN wacta.consent_event e USING (lead_id) WHERE l.lead_id = pg_temp.lead(43);
-- a number that is on a list and no lead's
SELECT outcome FROM wacta.import_suppression('{9876500045}');
SELECT wacta.change_number('919876500045', '919876500046') IS NULL AS nobody;
SELECT wacta.upsert_lead('9876500046') > 0 AS entered;
SELECT consent FROM wacta.lead WHERE lead_id = pg_temp.lead(46);
SELECT wacta.change_number('919876500047', '919876500048') IS NULL AS unknown, wacta.change_number(NULL, 'x') IS NULL AS nonsense;

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
