-- Forgetting a person: what says who they are goes from everywhere, what is counted stays, and their opt-out holds for good.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SELECT wacta.add_channel('tata', 'tata') AS channel, wacta.set_credential('tata', 'webhook_key', 'tata-webhook-key-0123') > 0 AS key;

-- Every row of the database, whatever the table, that says anything of a pattern
CREATE FUNCTION pg_temp.mentions(pattern text) RETURNS TABLE (relation text, times bigint) LANGUAGE plpgsql AS $$
BEGIN
  FOR relation IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'wacta'::regnamespace AND c.relkind = 'r' ORDER BY 1 LOOP
    EXECUTE format('SELECT count(*) FROM wacta.%I t WHERE t::text ~* $1%s', relation, CASE relation WHEN 'inbox' THEN ' OR encode(t.body, ''escape'') ~* $1' ELSE '' END)
       INTO times USING pattern;
    CONTINUE WHEN times = 0;
    RETURN NEXT;
  END LOOP;
END
$$;
CREATE FUNCTION pg_temp.whatsapp(body text) RETURNS bigint LANGUAGE sql AS
$$ SELECT wacta.ingest_webhook('tata', 'whatsapp', convert_to(body, 'UTF8'), '{"X-Wacta-Key": "tata-webhook-key-0123"}') $$;

-- Asha, who called, was sent a pitch, wrote, tapped, and was written about; and Ravi, in the same webhook as she
SELECT wacta.ingest_webhook('smartflo', 'ivr', convert_to('{"call_id": "call-9876500001-1", "caller_id_number": "+91 98765-00001", "call_to_number": "911140000000", "direction": "inbound", "customer_name": "Ashalata Rao"}', 'UTF8'),
                            '{"X-Wacta-Key": "smartflo-key-0123456789"}') AS call,
       wacta.ingest_webhook('smartflo', 'ivr', 'caller_id_number=%2B91%2098765%2000001&call_id=call-2&direction=inbound', '{"X-Wacta-Key": "smartflo-key-0123456789"}') AS form \gset
SELECT wacta.upsert_lead('9876500001', 'Ashalata Rao', 'Green Acres') AS asha, wacta.upsert_lead('9876500002', 'Ravi', 'Green Acres') AS ravi \gset
SELECT outcome FROM wacta.process_ivr();
SELECT pg_temp.message(1) AS pitch \gset
UPDATE wacta.message SET variables = '{"customer_name": "Ashalata Rao"}' WHERE message_id = :pitch;
SELECT count(*) AS claimed FROM wacta.courier_claim(0, 10);
SELECT * FROM wacta.courier_settle(ARRAY[:asha], ARRAY[:pitch], ARRAY[1], ARRAY['answered'], ARRAY[200], ARRAY[NULL::int],
  ARRAY['{"contacts": [{"input": "+919876500001", "wa_id": "919876500001"}], "messages": [{"id": "wamid.HBgMOTE5ODc2NTAwMDAx"}]}'::bytea], ARRAY[NULL::text], ARRAY[10]);
SELECT pg_temp.whatsapp('{"contacts": [{"profile": {"name": "Ashalata Rao"}, "wa_id": "919876500001"}, {"profile": {"name": "Ravi"}, "wa_id": "919876500002"}],
  "messages": [{"from": "919876500001", "from_user_id": "IN.777001", "id": "wamid.in.1", "timestamp": "1756188000", "type": "text", "text": {"body": "I am Ashalata Rao, ring me on 98765 00001"}},
               {"from": "919876500002", "id": "wamid.in.2", "timestamp": "1756188001", "type": "text", "text": {"body": "hello"}}],
  "statuses": [{"id": "wamid.HBgMOTE5ODc2NTAwMDAx", "status": "read", "timestamp": "1756188002", "recipient_id": "919876500001"},
               {"id": "wamid.nobody", "status": "read", "timestamp": "1756188003", "recipient_id": "919876500002"}]}') AS together \gset
SELECT decision FROM wacta.record_click(pg_temp.token(:pitch), evidence => '{"network": "203.0.113.0", "agent": "Ashalata''s phone"}');
SELECT decision FROM wacta.record_click('no-token', lead_id => :asha, evidence => '{"network": "203.0.113.0"}');
SELECT pg_temp.whatsapp('{"messages": {"from": "919876500001", "id": "wamid.in.3", "timestamp": "1756188010", "type": "text", "text": {"body": "STOP"}}}') > 0 AS stopped;
SELECT wacta.add_note(:asha, 'Ashalata Rao, 9876500001, wants no calls before ten') AS noted, wacta.opt_out(:asha, 'Ashalata Rao of 98765 00001 rang up') AS again;
INSERT INTO wacta.follow_up (lead_id, due_at, reason, closed_at, outcome) VALUES (:asha, wacta.now(), 'call Ashalata', wacta.now(), 'Ashalata was not at home');
SELECT * FROM pg_temp.mentions('98765.?00001|ashalata|IN\.777001|203\.0\.113|HBgMOTE5ODc2NTAwMDAx');
CREATE TEMPORARY TABLE figures AS SELECT a::text AS analytics, m::text AS accounting FROM wacta.analytics() a, wacta.message_accounting m;

-- Forgotten
SELECT wacta.forget('098765 00001') - 'lead_id' AS forgotten;
SELECT * FROM pg_temp.mentions('98765.?00001|ashalata|IN\.777001|203\.0\.113|HBgMOTE5ODc2NTAwMDAx|wamid\.in\.1');
SELECT lead_id = :asha AS hers, erased_at, erased_by = session_user AS by_me FROM wacta.erasure;
-- what is counted is counted as before
SELECT f.analytics = a::text AS analytics, f.accounting = m::text AS accounting FROM figures f, wacta.analytics() a, wacta.message_accounting m;
-- the ledger proves when and how, and by whom it was recorded
SELECT event, kind, reason, evidence, effective FROM wacta.consent_event WHERE lead_id = :asha ORDER BY event_id;
SELECT count(*) AS disagree FROM wacta.consent_mismatch;
-- the others' parts of a webhook are left, and what of them waits can still be applied
SELECT convert_from(body, 'UTF8')::jsonb AS rest, waiting FROM wacta.inbox WHERE inbox_id = :together;
SELECT convert_from(body, 'UTF8') AS rest_of_the_form FROM wacta.inbox WHERE inbox_id = :form;
SELECT wacta.replay(:together) -> 'errors' AS errors, wacta.replay(:call) -> 'errors' AS of_the_call;
SELECT count(*) AS notes_for_ravi FROM wacta.lead_note WHERE lead_id = :ravi;

-- Nothing is sent: by the old id, to the number entered again, or by a link in their hands
SELECT wacta.send_interactive(:asha) AS message \gset
SELECT status, reason FROM wacta.message WHERE message_id = :message;
SELECT decision, page FROM wacta.record_click(pg_temp.token(:pitch));
SELECT reason FROM wacta.token_refusal ORDER BY refusal_id DESC LIMIT 1;
SELECT wacta.opt_in(:asha, 'staff by mistake') AS by_mistake, (SELECT consent FROM wacta.lead WHERE lead_id = :asha);
SELECT pg_temp.attempt(format('SELECT wacta.merge_leads(%s, %s)', :ravi, :asha));
-- they call again: a new lead, who is called back and gets no advertising until they say so
SELECT wacta.log_ivr_call('9876500001', provider_call_id => 'call-3') > 0 AS called, pg_temp.lead(1) <> :asha AS a_new_lead;
SELECT outcome FROM wacta.process_ivr();
SELECT gate, passed, detail FROM wacta.explain_send(pg_temp.lead(1)) WHERE gate = 'consent';
SELECT e.kind, e.reason, e.happened_at FROM wacta.consent_event e WHERE e.lead_id = pg_temp.lead(1) ORDER BY event_id;
SELECT wacta.opt_in(pg_temp.lead(1), 'asked for the brochure on the phone') AS explicit_yes, (SELECT count(*) FROM wacta.suppressed_identity WHERE reason = 'forgotten') AS other_names_left;

-- Again, and who is nobody
SELECT wacta.forget(:asha) - 'lead_id' AS again;
SELECT wacta.forget('9876500088') AS nobody;
SELECT wacta.upsert_lead('9876500088') > 0 AS entered;
SELECT consent FROM wacta.lead WHERE lead_id = pg_temp.lead(88);
SELECT pg_temp.attempt('SELECT wacta.forget(0)'), pg_temp.attempt('SELECT wacta.forget(''nonsense'')'), pg_temp.attempt('SELECT wacta.forget(NULL::text)');

-- While a message is being sent: what had not begun is held back; what the provider answers and tells is not kept
SELECT wacta.upsert_lead('9876500003', 'Meera') AS meera \gset
SELECT wacta.send_interactive(:meera, 'project_update_template') AS first, wacta.send_interactive(:meera, 'project_update_template') AS second, wacta.send_interactive(:meera, 'project_update_template') AS third \gset
SELECT count(*) AS claimed FROM wacta.courier_claim(0, 2);
SELECT wacta.forget(:meera) - 'lead_id' AS forgotten;
SELECT status, reason FROM wacta.message WHERE lead_id = :meera ORDER BY message_id;
SELECT * FROM wacta.courier_settle(ARRAY[:meera, :meera], ARRAY[:first, :second], ARRAY[1, 1], ARRAY['answered', 'unknown'], ARRAY[200, NULL], ARRAY[NULL, NULL]::int[],
  ARRAY['{"contacts": [{"input": "+919876500003", "wa_id": "919876500009"}], "messages": [{"id": "wamid.late"}]}', NULL]::bytea[], ARRAY[NULL, 'reset while sending to 919876500003'], ARRAY[10, 10]);
SELECT pg_temp.whatsapp(format('{"statuses": [{"id": "wamid.late", "status": "delivered", "timestamp": "1756189000", "custom_callback_data": "wacta:outbox:%s"}]}', :first)) > 0 AS told;
SELECT status, reason, wamid, variables FROM wacta.message WHERE lead_id = :meera ORDER BY message_id;
SELECT outcome, detail, provider_id FROM wacta.attempt WHERE lead_id = :meera ORDER BY message_id;
SELECT count(*) AS identities FROM wacta.lead_identity WHERE lead_id = :meera;

-- Merged before: the words of both leads go
SELECT wacta.upsert_lead('9876500005', 'Kavita') AS kavita, wacta.upsert_lead('9876500006', 'Kavita D.') AS other \gset
SELECT wacta.opt_out(:other, 'Kavita Desai said so'), wacta.merge_leads(:kavita, :other) = :kavita AS merged;
SELECT wacta.forget(:other) - 'lead_id' AS forgotten;
SELECT * FROM pg_temp.mentions('kavita|desai');
SELECT wacta.upsert_lead('9876500006') > 0 AS entered;
SELECT consent FROM wacta.lead WHERE lead_id = pg_temp.lead(6);

-- A number is found however it is written, and not within another one; hostile names break nothing
SELECT said, said ~ wacta.mention_pattern('{+919876500001,IN.4711,"unknown / A.* (आशा)"}') AS mentioned FROM unnest(ARRAY['+919876500001', '9876500001', '09876500001', '0091 98765 00001', '(98765) 000-01',
  'tel:+91-98765-00001', '%2B91%2098765%2000001', '"from":919876500001,', 'a9876500001b', '19876500001', '98765000012', '1756919876500001', 'IN.4711', 'IN.47110', 'XIN.4711', 'INx4711', 'unknown / A.* (आशा)', 'unknown / Amit']) said;
SELECT wacta.without_person(j, '98765') FROM (VALUES ('{"a": [{"n": 98765}, {"b": {"c": "98765"}, "d": 1}, "98765", 2]}'::jsonb), ('{"98765": 1}'), ('[]'), ('"98765"'), ('null')) v(j);
SELECT wacta.upsert_lead('who knows', E'A\\.*(?<!x)[') AS hostile \gset
SELECT wacta.forget(:hostile) - 'lead_id' AS forgotten;
