-- Calls: each is kept, idempotent on the provider's id, read from the bodies of every provider, and processed once.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
\set samples :abs_srcdir '/test/fixtures/samples/ivr/'

-- Logged by hand: the lead is found or made, and a caller has agreed by calling
SELECT wacta.log_ivr_call('9876500001', '18001234567', project => 'Green Acres', name => 'Asha Rao') AS call;
SELECT call_id, source, provider_call_id, pg_temp.who(lead_id) AS who, caller_raw, caller, called, direction, started_at, processed_at, outcome FROM wacta.ivr_call;
SELECT l.name, l.source, l.consent, e.reason, e.evidence FROM wacta.lead l JOIN wacta.consent_event e USING (lead_id);
-- the same call again is the same call, which grows: ringing, answered, ended
SELECT wacta.log_ivr_call('9876500001', source => 'smartflo', provider_call_id => 'c1', status => 'ringing') AS a,
       wacta.log_ivr_call('+919876500001', source => 'smartflo', provider_call_id => 'c1', status => 'answered', digits => '1', duration => 7, raw => '{"x": 1}') AS b,
       wacta.log_ivr_call(NULL, source => 'smartflo', provider_call_id => 'c1', raw => '{"y": 2}') AS c, wacta.log_ivr_call('9876500001', source => 'exotel', provider_call_id => 'c1') AS another_source;
SELECT caller, status, digits, duration, raw FROM wacta.ivr_call WHERE source = 'smartflo';
-- a caller that is no number is kept, flagged, and does not stop the others; its number may come with a later event
SELECT wacta.log_ivr_call('anonymous', source => 'smartflo', provider_call_id => 'c2') AS call \gset
SELECT lead_id, caller_raw, caller FROM wacta.ivr_call WHERE call_id = :call;
-- who has said stop is not asked to be contacted by calling
SELECT wacta.opt_out(pg_temp.lead(1), 'test'), wacta.log_ivr_call('9876500001') > 0 AS called;
SELECT consent FROM wacta.lead WHERE lead_id = pg_temp.lead(1);
-- an outbound call is nobody's consent
SELECT wacta.log_ivr_call('9876500002', direction => 'outbound') > 0;
SELECT consent FROM wacta.lead WHERE lead_id = wacta.lead_by_phone('9876500002');

-- Processing: a row a call, the oldest first, one message a person
SELECT wacta.log_ivr_call('9876500003', started_at => '2025-08-26 09:00+05:30', project => 'Green Acres') > 0, wacta.log_ivr_call('9876500003', started_at => '2025-08-26 09:05+05:30') > 0,
       wacta.log_ivr_call('9876500004', started_at => '2025-08-26 08:00+05:30', project => 'Green Acres') > 0;
SELECT pg_temp.who(l.lead_id) AS who, p.lead_id IS NOT DISTINCT FROM l.lead_id AS same, p.message_id IS NOT NULL AS message, p.outcome FROM wacta.process_ivr(2) p LEFT JOIN wacta.lead l USING (lead_id);
SELECT c.caller_raw, p.outcome FROM wacta.process_ivr(100) p JOIN wacta.ivr_call c USING (call_id) ORDER BY c.started_at, c.call_id;
SELECT count(*) AS again FROM wacta.process_ivr();
SELECT count(*) AS unprocessed FROM wacta.ivr_call WHERE processed_at IS NULL;
SELECT pg_temp.who(l.lead_id) AS who, m.purpose, m.status, m.reason, count(*) FROM wacta.message m JOIN wacta.lead l USING (lead_id) GROUP BY 1, 2, 3, 4 ORDER BY 1;
-- the number of an anonymous call comes later: it is processed then, and not again
SELECT wacta.log_ivr_call('9876500005', source => 'smartflo', provider_call_id => 'c2') = :call AS same_call;
SELECT p.call_id = :call AS that_one, p.outcome FROM wacta.process_ivr() p;
SELECT wacta.log_ivr_call('9876500005', source => 'smartflo', provider_call_id => 'c2', status => 'ended') > 0, (SELECT count(*) FROM wacta.process_ivr()) AS again;
-- a person who calls again soon is not written to again; after the gap, or when the message failed, they are
SELECT wacta.log_ivr_call('9876500003') > 0;
SELECT outcome FROM wacta.process_ivr();
SELECT pg_temp.advance('13 hours');
SELECT wacta.log_ivr_call('9876500003') > 0;
SELECT outcome FROM wacta.process_ivr();
UPDATE wacta.message SET status = 'failed', reason = 'test' WHERE lead_id = wacta.lead_by_phone('9876500003');
SELECT wacta.log_ivr_call('9876500003') > 0;
SELECT outcome FROM wacta.process_ivr();
SELECT pg_temp.attempt('SELECT * FROM wacta.process_ivr(0)'), pg_temp.attempt('SELECT * FROM wacta.process_ivr(NULL)'), pg_temp.attempt('SELECT * FROM wacta.process_ivr(-1)');
-- without a sender nothing is lost: the calls stay to be processed
SELECT wacta.log_ivr_call('9876500006', project => 'Green Acres') > 0;
UPDATE wacta.channel SET is_default = false;
SELECT pg_temp.attempt('SELECT * FROM wacta.process_ivr()');
SELECT count(*) FROM wacta.ivr_call WHERE processed_at IS NULL;
UPDATE wacta.channel SET is_default = true;
SELECT outcome FROM wacta.process_ivr();

-- The samples: bodies as providers send them
SELECT wacta.add_ivr_source(format, format, 'Green Acres', country => CASE format WHEN 'twilio' THEN 'US' END) AS path FROM unnest('{exotel,knowlarity,ozonetel,twilio}'::text[]) format;
SELECT wacta.add_ivr_source('acefone', 'smartflo'), count(wacta.set_credential(source, 'webhook_key', 'smartflo-key-0123456789')) FROM wacta.ivr_source WHERE source <> 'smartflo';
SELECT wacta.set_credential('acefone', 'webhook_key', 'smartflo-key-0123456789') > 0;
CREATE TEMP TABLE received AS
  SELECT file, wacta.ingest_webhook(split_part(file, '_', 1), 'ivr', pg_read_binary_file(:'samples' || file), '{"x-wacta-key": "smartflo-key-0123456789"}') AS inbox_id
    FROM (SELECT f AS file FROM pg_ls_dir(:'samples') f ORDER BY f COLLATE "C") s;
SELECT file, proved, items, result, nullif(errors, '[]') AS errors FROM received JOIN wacta.inbox USING (inbox_id) ORDER BY file COLLATE "C";
SET timezone = 'UTC';
SELECT source, provider_call_id AS id, caller, called, direction, status, state, digits, started_at, duration FROM wacta.ivr_call WHERE raw ?| '{call_id,CallSid,callid,monitorUCID,CallStatus}' ORDER BY call_id;
SET timezone = 'Asia/Kolkata';
SELECT count(*) AS calls, (SELECT count(*) FROM wacta.lead) AS leads FROM wacta.ivr_call \gset before_
SELECT count(wacta.replay(inbox_id)) FROM received;
-- also of the body without a call id: it came at the same time
SELECT count(*) - :before_calls AS calls, (SELECT count(*) FROM wacta.lead) - :before_leads AS leads FROM wacta.ivr_call;

-- Bodies that are not what they seem: JSON behind blanks, lists, forms with odd encodings; a bad one costs itself alone
CREATE FUNCTION pg_temp.post(body bytea) RETURNS jsonb LANGUAGE sql AS
$$ SELECT wacta.replay(wacta.ingest_webhook('smartflo', 'ivr', $1, '{"x-wacta-key": "smartflo-key-0123456789"}')) $$;
SELECT what, r -> 'result' AS result, nullif(r -> 'errors', '[]') AS errors FROM (VALUES
  (1, 'JSON behind blanks', E' \n\t{"call_id": "b1", "caller_id_number": 9876500011}'::bytea), (2, 'a list', convert_to('[{"call_id": "b2", "caller_id_number": "9876500012"}, 17, {"call_id": "b3", "caller_id_number": "9876500013"}]', 'UTF8')),
  (3, 'a form', 'call_id=b4&caller_id_number=%2B919876500014&x=%zz&&=&y'), (4, 'a form that is not UTF-8', 'call_id=b5&caller_id_number=9876500015&name=%ff%fe'), (5, 'bytes that are not UTF-8', '\xff00fe'),
  (6, 'empty', ''), (7, 'nothing of use', 'hello'), (8, 'empty object', '{}'), (9, 'nested', convert_to('{"call_id": {"a": 1}, "caller_id_number": ["9876500016"], "duration": "1e9", "start_stamp": "never"}', 'UTF8'))) v(nr, what, body),
  LATERAL (SELECT pg_temp.post(body) AS r) s ORDER BY nr;
SELECT provider_call_id, caller_raw, caller, duration, started_at FROM wacta.ivr_call WHERE provider_call_id LIKE 'b_' OR caller = '+919876500016' ORDER BY call_id;

-- Times of providers
SET timezone = 'UTC';
SELECT value, wacta.try_timestamptz(value, 'Asia/Kolkata') AS read FROM unnest(ARRAY['1756188045', '1756188045123', '1756188045.5', '2025-08-26 11:30:45', '2025-08-26T11:30:45', '2025-08-26 11:30:45+00:00', '2025-08-26T06:00:45Z',
  '2025-08-26 11:30:45.123456+05:30', 'Tue, 26 Aug 2025 11:30:45', 'yesterday', 'infinity', 'now', 'epoch', '', '2025-13-45', '99999999999999', '$start_stamp', '0000-00-00 00:00:00']) value;
SELECT pg_temp.attempt('SELECT wacta.add_ivr_source(''x'', ''unheard-of'')'), pg_temp.attempt('SELECT wacta.add_ivr_source(''x'', NULL)'), pg_temp.attempt('SELECT wacta.add_ivr_source(''UPPER'')'), pg_temp.attempt('SELECT wacta.add_ivr_source(''smartflo'')');
