-- What people write, tap and set in the chat, and what it decides: in any order, any number of times.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
\set include :abs_srcdir '/sql/include/webhooks.sql'
\i :include

-- How things stand with a person, also in the statement that changes it
CREATE FUNCTION pg_temp.now_of(lead_id bigint) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN RETURN (SELECT concat_ws(' ', l.status, l.consent, 'from', l.source, 'window', l.window_until - wacta.now()) FROM wacta.lead l WHERE l.lead_id = $1); END $$;

-- Words. A whole message, with courtesies around it, or a phrase in it
SELECT said, wacta.word_meaning(said) AS meaning FROM unnest(ARRAY['STOP', ' stop. ', 'StoP!!! 🛑🛑', 'S​T​OP', 'Ｓｔｏｐ', 'stooop', '"STOP"', 'Stop it', 'please stop', 'Pls stop now, thanks', 'stop sir', 'unsubscribe', 'Opt-Out', 'opt  out', 'stop promotions', 'REMOVE ME', 'cancel',
  'stop sending me messages', 'I told you: STOP SENDING these!', 'don''t message me', 'Don’t send me anything', 'do not contact me again', 'please remove my number from your list', 'how do I opt out?', 'Band karo', 'message band kar do', 'msg mat bhejo bhai', 'pareshan mat karo', 'roko',
  'बंद', 'बंद करो!', 'बन्द करो।', 'बँद करो', 'कृपया बंद करें', 'मैसेज मत भेजें', 'मैसेज़ मत भेजें', 'रोकें', 'संदेश मत भेजो जी', 'स्टॉप',
  'START', 'start please', 'Unstop', 'शुरू करें', 'shuru karo',
  'Interested', 'Interested ✅', 'Yes, interested', 'रुचि है', 'NOT INTERESTED ❌', 'not_interested', 'Not  interested', 'I''m not interested', 'no thanks', 'रुचि नहीं है', 'नहीं चाहिए',
  -- and what is none of these
  'do not stop', 'Please don''t stop', 'don''t stop sending the price list', 'never stop messaging', 'band mat karo', 'can you stop by tomorrow?', 'where is the bus stop', 'non-stop flight', 'nonstop', 'I started yesterday', 'restart', 'What does it cost?', 'how can I start?', 'interesting', 'are you interested in selling?',
  'yes', 'no', 'ok', 'please', '👍', '🛑', '.', '', NULL]) said;
-- the lists are the site's, in whatever form they are entered
UPDATE wacta.config SET stop_words = stop_words || '{" arrêt! ",Basta}', start_words = '{}', courtesy_words = '{}';
SELECT said, wacta.word_meaning(said) AS meaning FROM unnest('{Arrêt,BASTA.,please stop,start,stop}'::text[]) said;
UPDATE wacta.config SET stop_words = array_remove(array_remove(stop_words, 'basta'), 'arrêt'), start_words = '{start}', courtesy_words = '{please}';

-- A site with quick replies under its template, in Hindi, in words and mixed
SELECT wacta.add_template('hindi', '[{"type": "BODY", "text": "नमस्ते"}, {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "मुझे बताइए"}, {"type": "QUICK_REPLY", "text": "अभी नहीं"}]}]', language => 'hi') AS hindi \gset
SELECT wacta.add_template('turned', '[{"type": "BODY", "text": "Hello there"}, {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Not now"}, {"type": "QUICK_REPLY", "text": "Tell me"}]}]', button_actions => '{not_interested,interested}') AS turned \gset
SELECT wacta.add_template('offers', '[{"type": "BODY", "text": "Hello there"}, {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Stop promotions"}, {"type": "QUICK_REPLY", "text": "Know more"}]}]') AS offers \gset
SELECT wacta.add_template('links', '[{"type": "BODY", "text": "Hello there"}, {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Call me"}, {"type": "URL", "text": "See", "url": "https://crm.example.com/t/{{1}}", "example": ["x"]}]}]') AS links \gset
SELECT name, b AS tapped, wacta.quick_reply_action(template_id, b) AS action
  FROM wacta.template, unnest('{मुझे बताइए,अभी नहीं,Tell me,NOT NOW!,Know more,Stop promotions,Call me,See}'::text[]) b
 WHERE template_id IN (:hindi, :turned, :offers, :links) AND components::text ILIKE '%' || btrim(b, '!') || '%' ORDER BY template_id, b COLLATE "C";

-- Three people with a pitch each, sent and known by its wamid (Tata: by the id of the request, the wamid is told by a status)
SELECT wacta.upsert_lead('9876500001', 'Asha', 'Green Acres') AS asha, wacta.upsert_lead('9876500002', 'Ravi', 'Green Acres') AS ravi, wacta.upsert_lead('9876500003', 'Meera', 'Green Acres') AS meera \gset
SELECT wacta.send_interactive(:asha, 'hindi') AS a1, wacta.send_interactive(:ravi) AS r1, wacta.send_interactive(:meera, 'hindi') AS m1 \gset
UPDATE wacta.message SET status = 'accepted', wamid = CASE WHEN message_id = :m1 THEN 'wamid.m1' END;
INSERT INTO wacta.attempt (lead_id, message_id, attempt, courier, ended_at, outcome, provider_id)
VALUES (:asha, :a1, 1, 0, wacta.now(), 'answered', 'wamid.a1'), (:ravi, :r1, 1, 0, wacta.now(), 'answered', 'wamid.r1'), (:meera, :m1, 1, 0, wacta.now(), 'answered', '1084ad7a-request');
CREATE FUNCTION pg_temp.message(wamid text, ago interval, who jsonb, content jsonb) RETURNS text LANGUAGE sql AS
$$ SELECT pg_temp.came_of(pg_temp.meta(pg_temp.meta_value('messages', jsonb_build_object('metadata', '{"phone_number_id": "106540352242922"}'::jsonb,
     'messages', jsonb_build_array(who || content || jsonb_build_object('id', $1, 'timestamp', extract(epoch FROM wacta.now() - $2)::bigint::text)))))) $$;
CREATE FUNCTION pg_temp.tap(wamid text, ago interval, phone text, text_ text, context text DEFAULT NULL) RETURNS text LANGUAGE sql AS
$$ SELECT pg_temp.message($1, $2, jsonb_build_object('from', $3), jsonb_strip_nulls(jsonb_build_object('type', 'button', 'button', jsonb_build_object('text', $4, 'payload', 'internal-77'), 'context', jsonb_build_object('id', $5)))) $$;
CREATE FUNCTION pg_temp.text(wamid text, ago interval, phone text, body text) RETURNS text LANGUAGE sql AS
$$ SELECT pg_temp.message($1, $2, jsonb_build_object('from', $3), jsonb_build_object('type', 'text', 'text', jsonb_build_object('body', $4))) $$;
CREATE VIEW pg_temp.state AS SELECT pg_temp.who(lead_id) AS who, status, stage, consent, window_until FROM wacta.lead;

-- A tap: a click of its own on the message that it answers, by the template's own words, and it opens the window
SELECT pg_temp.tap('wamid.t1', '10 seconds', '919876500001', 'मुझे बताइए', 'wamid.a1') AS asha, pg_temp.tap('wamid.t2', '5 seconds', '919876500003', 'अभी नहीं', 'wamid.m1') AS meera;
SELECT * FROM pg_temp.state WHERE who IN ('Asha', 'Meera') ORDER BY who;
SELECT pg_temp.who(lead_id) AS who, action, via, effective, pg_temp.nr(message_id) AS of_message, project_id IS NOT NULL AS project, evidence FROM wacta.click ORDER BY click_id;
SELECT pg_temp.who(lead_id) AS who, purpose, status, reason FROM wacta.message WHERE lead_id IN (:asha, :meera) ORDER BY message_id;
-- again: delivered again, replayed, tapped again
SELECT pg_temp.tap('wamid.t1', '10 seconds', '919876500001', 'मुझे बताइए', 'wamid.a1') AS again, wacta.replay(1) -> 'result' AS replayed, pg_temp.tap('wamid.t3', '0', '919876500001', 'मुझे बताइए', 'wamid.a1') AS tapped_again;
SELECT count(*) AS clicks, count(*) FILTER (WHERE effective) AS effective FROM wacta.click WHERE lead_id = :asha;
SELECT count(*) AS brochures FROM wacta.message WHERE lead_id = :asha AND purpose = 'brochure';
-- the opposite tap stands; and the first again, on the old message: it is the person's own word, said after the no
SELECT pg_temp.advance('1 hour') IS NOT NULL, pg_temp.tap('wamid.t4', '0', '919876500001', 'अभी नहीं', 'wamid.a1');
SELECT * FROM pg_temp.state WHERE who = 'Asha';
SELECT pg_temp.advance('1 hour') IS NOT NULL, pg_temp.tap('wamid.t5', '0', '919876500001', 'मुझे बताइए', 'wamid.a1');
SELECT * FROM pg_temp.state WHERE who = 'Asha';
-- a tap that comes days late, from before the no, undoes nothing; it is kept as what it is
SELECT pg_temp.tap('wamid.t6', '90 minutes', '919876500001', 'अभी नहीं', 'wamid.a1') AS late_no, pg_temp.tap('wamid.t7', '6 days', '919876500003', 'मुझे बताइए', 'wamid.m1') AS late_yes;
SELECT * FROM pg_temp.state WHERE who IN ('Asha', 'Meera') ORDER BY who;
SELECT said, meaning, effective FROM wacta.reply WHERE wamid IN ('wamid.t6', 'wamid.t7') ORDER BY wamid;
SELECT pg_temp.who(lead_id) AS who, action, effective FROM wacta.click WHERE evidence ->> 'wamid' IN ('wamid.t6', 'wamid.t7') ORDER BY 1;

-- Every order of the same words ends in the same state
CREATE FUNCTION pg_temp.permuted(phone text, events text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE e text;
BEGIN
  FOREACH e IN ARRAY events LOOP
    PERFORM CASE split_part(e, ' ', 1) WHEN 'tap' THEN pg_temp.tap('wamid.' || phone || e, split_part(e, ' ', 2)::interval, phone, split_part(e, ' ', 3))
      WHEN 'prefer' THEN pg_temp.came_of(pg_temp.meta(pg_temp.meta_value('user_preferences', jsonb_build_object('user_preferences', jsonb_build_array(jsonb_build_object('wa_id', phone, 'value', split_part(e, ' ', 3),
             'category', 'marketing_messages', 'timestamp', extract(epoch FROM wacta.now() - split_part(e, ' ', 2)::interval)::bigint))))))
      ELSE pg_temp.text('wamid.' || phone || e, split_part(e, ' ', 2)::interval, phone, split_part(e, ' ', 3)) END;
  END LOOP;
  RETURN (SELECT l.consent FROM wacta.lead l WHERE l.lead_id = wacta.lead_by_phone(phone));
END $$;
WITH said(nr, events, expected) AS (VALUES
    (1, '{"word 10s stop","word 20s start","word 30s interested"}'::text[], 'withdrawn'), (2, '{"word 30s stop","word 20s start","word 40s unsubscribe"}', 'granted'),
    (3, '{"tap 10s interested","word 20s stop","tap 30s interested"}', 'granted'), (4, '{"prefer 10s stop","word 20s start","tap 30s interested"}', 'withdrawn'),
    (5, '{"prefer 10s resume","word 20s stop","prefer 30s stop"}', 'granted'), (6, '{"word 10m stop","tap 20m interested","word 30m start"}', 'withdrawn'),
    (7, '{"word 10s stop","word 20s start","word 30s stop"}', 'withdrawn'), (8, '{"prefer 10s resume","tap 20s stop","prefer 30s resume"}', 'granted'), (9, '{"word 10s start","word 10s stop","tap 10s interested"}', 'withdrawn')),
  orders AS (SELECT nr, expected, ARRAY[events[a], events[b], events[6 - a - b]] AS events, a * 10 + b AS n FROM said, generate_series(1, 3) a, generate_series(1, 3) b WHERE a <> b)
SELECT nr, expected, array_agg(DISTINCT came) AS came, count(*) FROM (SELECT nr, expected, pg_temp.permuted('9198000' || nr || '00' || n, events || events) AS came FROM orders) x GROUP BY nr, expected ORDER BY nr;

-- STOP and START. A link alone is no answer to a STOP, also to one that is told after it; a START is
SELECT wacta.upsert_lead('9876500004', 'Dev', 'Green Acres') AS dev \gset
SELECT wacta.record_click(pg_temp.token(:dev)) IS NOT NULL, pg_temp.text('wamid.d1', '5 seconds', '919876500004', 'Please STOP'), pg_temp.now_of(:dev) AS now;
SELECT pg_temp.advance('1 hour') IS NOT NULL, pg_temp.text('wamid.d2', '0', '919876500004', 'start'), pg_temp.now_of(:dev) AS now;
SELECT pg_temp.advance('1 hour') IS NOT NULL, pg_temp.text('wamid.d3', '2 hours', '919876500004', 'STOP'), pg_temp.now_of(:dev) AS now;
SELECT event, reason, evidence FROM wacta.consent_event WHERE lead_id = :dev ORDER BY event_id;
SELECT note FROM wacta.lead_note WHERE lead_id = :dev ORDER BY note_id;

-- Every type is kept in words, and decides nothing by itself
SELECT nr, pg_temp.message('wamid.k' || nr, '0', '{"from": "919876500002"}', content::jsonb) AS came
  FROM (VALUES (1, '{"type": "image", "image": {"caption": "Taj Mahal", "id": "77"}}'), (2, '{"type": "document", "document": {"filename": "plan.pdf", "caption": "stop"}}'), (3, '{"type": "audio", "audio": {"id": "78", "voice": true}}'),
    (4, '{"type": "video", "video": {}}'), (5, '{"type": "sticker", "sticker": {"id": "79"}}'), (6, '{"type": "location", "location": {"name": "Philz", "address": "101 Forest Ave", "latitude": 37.4, "longitude": -122.1}}'),
    (7, '{"type": "contacts", "contacts": [{"name": {"formatted_name": "Somebody Else"}, "phones": [{"phone": "+91 98765 09999", "wa_id": "919876509999"}]}]}'), (8, '{"type": "order", "order": {"text": "soon", "product_items": [{"quantity": 2, "product_retailer_id": "flat-3"}]}}'),
    (9, '{"type": "reaction", "reaction": {"message_id": "wamid.r1", "emoji": "👍"}}'), (10, '{"type": "reaction", "reaction": {"message_id": "wamid.r1"}}'), (11, '{"type": "unsupported", "errors": [{"code": 131051, "error_data": {"details": "Message type is currently not supported."}}]}'),
    (12, '{"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {"id": "p", "title": "Priority", "description": "x"}}}'), (13, '{"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": {"body": "Sent", "response_json": "{\"day\": 3}"}}}'),
    (14, '{"type": "request_welcome"}'), (15, '{"type": "text", "text": "wrong"}'), (16, '{"type": "something_new", "something_new": {"caption": "here"}}'), (17, '{}'),
    (18, '{"type": "text", "text": {"body": "Can I see it on Sunday?"}, "context": {"id": "wamid.r1"}, "referral": {"source_type": "ad", "source_url": "https://fb.me/x", "headline": "Chat with us", "ctwa_clid": "Aff-n8"}}')) v(nr, content) ORDER BY nr;
SELECT type, said, meaning, template, message_id IS NOT NULL AS answers, channel, ad_url, ad_click_id FROM wacta.recent_reply WHERE lead_id = :ravi ORDER BY reply_id;
SELECT note FROM wacta.lead_note WHERE lead_id = :ravi ORDER BY note_id OFFSET 8;
SELECT consent, source FROM wacta.lead WHERE lead_id = :ravi;
-- a reaction alone opens no window; a message does, by the time at which it was sent
SELECT pg_temp.message('wamid.k20', '0', '{"from": "919876500005"}', '{"type": "reaction", "reaction": {"emoji": "👍"}}'), pg_temp.now_of(pg_temp.lead(5)) AS now;
SELECT pg_temp.text('wamid.k21', '23 hours', '919876500005', 'hi'), pg_temp.now_of(pg_temp.lead(5)) AS now;
-- a clock that is ahead gives no longer one
SELECT pg_temp.text('wamid.k22', '-30 days', '919876500005', 'hi'), pg_temp.now_of(pg_temp.lead(5)) AS now;
-- without an id: the same again is the same
SELECT wacta.replay(pg_temp.tata('{"messages": {"from": "919876500005", "type": "text", "timestamp": "1756180000", "text": {"body": "no id"}}}')) -> 'result' AS again;

-- Who taps our message is the one that it was sent to, under whatever name
SELECT pg_temp.message('wamid.b1', '0', '{"from_user_id": "IN.777"}', '{"type": "button", "button": {"text": "Interested"}, "context": {"id": "wamid.r1"}}') AS by_user_id;
SELECT pg_temp.who(lead_id) AS who, kind, value FROM wacta.lead_identity WHERE value = 'IN.777';
SELECT status, consent FROM wacta.lead WHERE lead_id = :ravi;
-- who shares their own number in answer to the request for it has it from now on; anybody's card does not count
SELECT pg_temp.message('wamid.b2', '0', '{"from_user_id": "IN.888"}', '{"type": "contacts", "contacts": [{"origin": "other", "phones": [{"wa_id": "919876500009"}]}]}') AS card;
SELECT pg_temp.message('wamid.b3', '0', '{"from_user_id": "IN.888"}', '{"type": "contacts", "contacts": [{"origin": "contact_request", "phones": [{"phone": "+919876500008", "wa_id": "919876500008"}]}]}') AS own;
SELECT string_agg(kind || ' ' || value, ', ' ORDER BY kind, value) AS one_person FROM wacta.lead_identity GROUP BY lead_id HAVING bool_or(value = 'IN.888');
-- who came by an ad says so; who was known before did not
SELECT pg_temp.message('wamid.ad', '0', '{"from": "919876500010"}', '{"type": "text", "text": {"body": "Hello! Can I get more info on this?"}, "referral": {"source_type": "ad", "source_url": "https://fb.me/3cr4", "ctwa_clid": "Aff"}}'), pg_temp.now_of(pg_temp.lead(10)) AS now;

-- Another number of the business: what is written there is kept and decides, but opens no window of ours before the number is entered
CREATE FUNCTION pg_temp.elsewhere(wamid text, phone text, body text) RETURNS bigint LANGUAGE sql AS
$$ SELECT pg_temp.meta(pg_temp.meta_value('messages', jsonb_build_object('metadata', '{"phone_number_id": "999", "display_phone_number": "918060000999"}'::jsonb, 'messages', jsonb_build_array(jsonb_build_object(
     'from', $2, 'id', $1, 'timestamp', extract(epoch FROM wacta.now())::bigint::text, 'type', 'text', 'text', jsonb_build_object('body', $3)))))) $$;
SELECT pg_temp.elsewhere('wamid.e1', '919876500011', 'hello') AS waiting \gset
SELECT pg_temp.came_of(:waiting) AS stranger, pg_temp.now_of(pg_temp.lead(11)) AS now, pg_temp.came_of(pg_temp.elsewhere('wamid.e2', '919876500012', 'STOP')) AS stop, pg_temp.came_of(pg_temp.elsewhere('wamid.e3', '919876500004', 'hello')) AS our_lead;
SELECT pg_temp.who(lead_id) AS who, consent, window_until > wacta.now() + interval '23 hours 59 minutes' AS opened FROM wacta.lead WHERE lead_id IN (pg_temp.lead(12), :dev) ORDER BY 1;
SELECT wacta.add_channel('second', 'meta', '999') > 0 AS entered, wacta.replay(:waiting) -> 'result' AS replayed, pg_temp.now_of(pg_temp.lead(11)) AS now, wacta.replay(:waiting) -> 'result' AS again;
SELECT count(*) AS kept_once, min(channel) AS channel FROM wacta.recent_reply WHERE lead_id = pg_temp.lead(11);
-- a group is no conversation with us
SELECT pg_temp.message('wamid.g1', '0', '{"from": "919876500013", "group_id": "Y2Fw"}', '{"type": "text", "text": {"body": "hello all"}}') AS stranger, pg_temp.message('wamid.g2', '0', '{"from": "919876500013", "group_id": "Y2Fw"}', '{"type": "text", "text": {"body": "stop"}}') AS stop;
SELECT consent, window_until FROM wacta.lead WHERE lead_id = pg_temp.lead(13);

-- WhatsApp's own word: the person has another number, and with it another user id. Once; what comes again from before is the same person's
SELECT pg_temp.text('wamid.n0', '0', '919876500015', 'from my old phone'), pg_temp.lead(15) AS old_lead \gset
SELECT pg_temp.came_of(pg_temp.meta(pg_temp.meta_value('messages', '{"messages": [{"from": "919876500015", "id": "wamid.n1", "timestamp": "1756188100", "type": "system",
  "system": {"type": "user_changed_number", "body": "User changed from 919876500015 to 919876500016", "wa_id": "919876500016", "previous_user_id": "IN.15", "user_id": "IN.16"}}]}'))) AS came FROM generate_series(1, 2);
SELECT lead_id = :old_lead AS same_lead, string_agg(kind || ' ' || value, ', ' ORDER BY kind, value) FROM wacta.lead_identity WHERE value ~ '(IN.1[56]|7650001[56])$' GROUP BY lead_id;
SELECT pg_temp.text('wamid.n0', '0', '919876500015', 'from my old phone') AS again, pg_temp.lead(15) IS NULL AS nobody_new;
SELECT pg_temp.message('wamid.n2', '0', '{"from_user_id": "IN.17"}', '{"type": "system", "system": {"type": "user_changed_user_id", "previous_user_id": "IN.16", "user_id": "IN.17"}}') AS came;
SELECT value, lead_id = :old_lead AS same_lead FROM wacta.lead_identity WHERE value ~ '^IN.1[567]$';
SELECT pg_temp.message('wamid.n3', '0', '{"from": "919999999999"}', '{"type": "system", "system": {"type": "customer_identity_changed"}}') AS of_nobody;

-- What our staff writes in the app is noted with the lead that it is about, and is nobody's answer
SELECT pg_temp.came_of(pg_temp.meta(pg_temp.meta_value('smb_message_echoes', '{"message_echoes": [{"from": "918060000305", "to": "919876500002", "id": "wamid.o1", "timestamp": "1756188100", "type": "text", "text": {"body": "STOP by at ten"}}, {"from": "918060000305", "to": "919999999999", "id": "wamid.o2", "type": "text", "text": {"body": "private"}}]}')));
SELECT note FROM wacta.lead_note WHERE ref LIKE 'wamid.o_';
SELECT consent FROM wacta.lead WHERE lead_id = :ravi;

-- A WhatsApp call of a person opens the window, once for all of its events; a call of ours does not
SELECT pg_temp.came_of(pg_temp.meta(pg_temp.meta_value('calls', jsonb_build_object('contacts', '[{"wa_id": "919876500014", "profile": {"name": "Caller"}}]'::jsonb, 'calls', jsonb_build_array(
  jsonb_build_object('id', 'wacid.1', 'from', '919876500014', 'to', '918060000305', 'event', 'connect', 'direction', 'USER_INITIATED', 'timestamp', extract(epoch FROM wacta.now())::bigint::text),
  jsonb_build_object('id', 'wacid.1', 'from', '919876500014', 'to', '918060000305', 'event', 'terminate', 'direction', 'USER_INITIATED', 'timestamp', extract(epoch FROM wacta.now())::bigint::text),
  '{"id": "wacid.2", "from": "918060000305", "to": "919876500003", "event": "connect", "direction": "BUSINESS_INITIATED"}'::jsonb)))));
SELECT l.name, l.window_until - wacta.now() AS window, (SELECT string_agg(n.note, ', ') FROM wacta.lead_note n WHERE n.lead_id = l.lead_id) AS notes FROM wacta.lead l WHERE lead_id = pg_temp.lead(14);

-- Preferences: any kind of time; the same again has no second effect; what is neither stop nor resume is kept
CREATE FUNCTION pg_temp.prefer(preference text) RETURNS text LANGUAGE sql AS
$$ SELECT pg_temp.came_of(pg_temp.meta(pg_temp.meta_value('user_preferences', jsonb_build_object('contacts', '[{"wa_id": "919876500006"}]'::jsonb, 'user_preferences', jsonb_build_array($1::jsonb))))) $$;
CREATE FUNCTION pg_temp.consent_events(n int) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT count(*) FROM wacta.consent_event WHERE lead_id = pg_temp.lead($1)); END $$;
SELECT p, pg_temp.prefer(p) AS came, pg_temp.now_of(pg_temp.lead(6)) AS now, pg_temp.consent_events(6) AS events
  FROM unnest(ARRAY['{"wa_id": "919876500006", "category": "marketing_messages", "value": "stop", "timestamp": 1731705721}', '{"wa_id": "919876500006", "category": "marketing_messages", "value": "stop", "timestamp": 1731705721}',
    '{"wa_id": "919876500006", "category": "marketing_messages", "value": "resume", "timestamp": "1731705700"}', '{"wa_id": "919876500006", "category": "marketing_messages", "value": "resume", "timestamp": 1731705722000}',
    '{"wa_id": "919876500006", "category": "marketing_messages", "value": "stop", "timestamp": "1731705721"}', '{"value": "STOP", "timestamp": "1731705730"}', '{"wa_id": "919876500006", "category": "something", "value": "resume", "timestamp": 1731705740}',
    '{"wa_id": "919876500006", "value": "pause"}', '{"wa_id": "x", "value": "stop"}', '{}']) WITH ORDINALITY u(p, n) ORDER BY n;
SET timezone = 'Pacific/Auckland';
SELECT pg_temp.prefer('{"wa_id": "919876500006", "category": "marketing_messages", "value": "stop", "timestamp": 1731705721}') AS in_another_time_zone, pg_temp.consent_events(6) AS events;
RESET timezone;
-- Gupshup's
SELECT pg_temp.came_of(pg_temp.tata('{"app": "DemoApp", "timestamp": 1756188045000, "version": 2, "type": "user-event", "payload": {"phone": "919876500007", "type": "opted-out"}}')), pg_temp.now_of(pg_temp.lead(7)) AS now;
SELECT pg_temp.came_of(pg_temp.tata('{"app": "DemoApp", "timestamp": 1756188046000, "version": 2, "type": "message", "payload": {"id": "ABEG7", "source": "919876500007", "type": "quick_reply", "payload": {"text": "Interested", "type": "button"}, "sender": {"name": "Gopal"}, "context": {"id": "x", "gsId": "1084ad7a-request"}}}')),
       pg_temp.now_of(pg_temp.lead(7)) AS gopal;

-- Nobody but the owner writes replies; agents read them
SET ROLE wacta_agent;
SELECT count(*) > 20 AS read FROM wacta.recent_reply;
SELECT pg_temp.attempt('DELETE FROM wacta.reply');
RESET ROLE;
