-- Bodies of IVR providers, in every shape they come in: what each is read as, and the call and the lead it leads to.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
\set samples :abs_srcdir '/test/fixtures/samples/ivr/'
SET timezone = 'Asia/Kolkata';
SELECT count(wacta.add_ivr_source(format, format, 'Green Acres', country => CASE WHEN format IN ('twilio', 'vonage', 'plivo') THEN 'US' END))
  FROM (SELECT DISTINCT format FROM wacta.ivr_field WHERE format <> 'smartflo') f;

-- The samples, alone and one after the other
CREATE FUNCTION pg_temp.sample(file text) RETURNS text LANGUAGE sql AS $$ SELECT convert_from(pg_read_binary_file(current_setting('test.samples') || $1), 'UTF8') $$;
SET test.samples TO :'samples';
SELECT file, r.call_id, r.direction, r.caller, r.called, r.status, r.state, r.digits, r.started_at, r.duration
  FROM pg_ls_dir(:'samples') file, wacta.read_call(split_part(file, '_', 1), pg_temp.sample(file)) r ORDER BY file COLLATE "C";

-- A body as its provider sends it: read, then applied; what is shown is the call
CREATE TEMP TABLE body (nr integer GENERATED ALWAYS AS IDENTITY, what text, source text, body text);
INSERT INTO body (what, source, body) VALUES
  -- Vonage: legs of one conversation, the answer webhook as a GET, keys, a caller who hides
  ('vonage answer', 'vonage', 'to=12025550100&from=14155550101&conversation_uuid=CON-1&uuid=aaaaaaaa-0001'),
  ('vonage ringing', 'vonage', '{"from":"14155550101","to":"12025550100","uuid":"aaaaaaaa-0001","conversation_uuid":"CON-1","status":"ringing","direction":"inbound","timestamp":"2026-01-01T14:00:00.000Z"}'),
  ('vonage answered', 'vonage', '{"start_time":null,"rate":null,"from":"14155550101","to":"12025550100","uuid":"aaaaaaaa-0001","conversation_uuid":"CON-1","status":"answered","direction":"inbound","timestamp":"2026-01-01T14:00:02.000Z","network":null}'),
  ('vonage input', 'vonage', '{"speech":{"results":[]},"dtmf":{"digits":"2","timed_out":false},"from":"14155550101","to":"12025550100","uuid":"aaaaaaaa-0001","conversation_uuid":"CON-1","timestamp":"2026-01-01T14:00:09.000Z"}'),
  ('vonage agent', 'vonage', '{"from":"12025550100","to":"12025550177","uuid":"bbbbbbbb-0002","conversation_uuid":"CON-1","status":"unanswered","direction":"outbound","timestamp":"2026-01-01T14:00:20.000Z"}'),
  ('vonage completed', 'vonage', '{"end_time":"2026-01-01T14:00:30.000Z","start_time":"2026-01-01T14:00:01.000Z","duration":"29","from":"14155550101","to":"12025550100","uuid":"aaaaaaaa-0001","conversation_uuid":"CON-1","status":"completed","direction":"inbound","timestamp":"2026-01-01T14:00:30.000Z"}'),
  ('vonage older', 'vonage', '{"from":{"type":"phone","number":"14155550102"},"to":{"type":"phone","number":"12025550100"},"uuid":"cccccccc-0003","conversation_uuid":"CON-2","status":"started","direction":"inbound","timestamp":"2026-01-01T14:05:00.000Z","dtmf":"5"}'),
  ('vonage hidden', 'vonage', '{"from":"anonymous","to":"12025550100","uuid":"dddddddd-0004","conversation_uuid":"CON-3","status":"started","direction":"inbound"}'),
  ('vonage sip', 'vonage', '{"from":"sip:reception@pbx.example.com","to":"12025550100","conversation_uuid":"CON-4","status":"ringing","direction":"inbound"}'),
  ('vonage app', 'vonage', '{"from_user":"JaneDoe","to":"12025550100","conversation_uuid":"CON-5","status":"started","direction":"inbound"}'),
  -- Plivo: forms; the second leg of an outbound call has the first one's id
  ('plivo ringing', 'plivo', 'CallUUID=p-1&From=14155550111&To=12025550100&CallStatus=ringing&Direction=inbound'),
  ('plivo digits', 'plivo', 'CallUUID=p-1&From=14155550111&To=12025550100&CallStatus=in-progress&Direction=inbound&Digits=1'),
  ('plivo hangup', 'plivo', 'CallUUID=p-1&From=14155550111&To=12025550100&CallStatus=completed&Direction=inbound&Event=Hangup&Duration=34&BillDuration=60&StartTime=2026-01-01+14%3A00%3A00&EndTime=2026-01-01+14%3A00%3A34&HangupCause=NORMAL_CLEARING'),
  ('plivo outbound', 'plivo', '{"CallUUID":"p-2","ALegUUID":"p-2","ALegRequestUUID":"r-2","From":"12025550100","To":"14155550112","CallStatus":"in-progress","Direction":"outbound"}'),
  ('plivo its agent', 'plivo', 'CallUUID=p-3&ALegUUID=p-2&From=12025550100&To=12025550177&CallStatus=no-answer&Direction=outbound'),
  ('plivo sip', 'plivo', 'CallUUID=p-4&From=sip%3Aagent1%40phone.plivo.com&To=12025550100&CallStatus=ringing&Direction=inbound'),
  -- Twilio: a leg to an agent names its parent; hidden callers have numbers that spell it
  ('twilio ringing', 'twilio', 'CallSid=CA1&AccountSid=AC1&From=%2B14155550121&To=%2B12025550100&CallStatus=ringing&Direction=inbound'),
  ('twilio digits', 'twilio', 'CallSid=CA1&From=%2B14155550121&To=%2B12025550100&CallStatus=in-progress&Direction=inbound&Digits=12%23'),
  ('twilio leg', 'twilio', 'CallSid=CA2&ParentCallSid=CA1&From=%2B14155550121&To=%2B12025550177&CallStatus=in-progress&Direction=outbound-dial&Timestamp=Thu%2C+01+Jan+2026+14%3A00%3A22+%2B0000&SequenceNumber=2&CallbackSource=call-progress-events'),
  ('twilio leg over', 'twilio', 'CallSid=CA2&ParentCallSid=CA1&From=%2B14155550121&To=%2B12025550177&CallStatus=completed&CallDuration=30&Direction=outbound-dial&Timestamp=Thu%2C+01+Jan+2026+14%3A00%3A52+%2B0000'),
  ('twilio over', 'twilio', 'CallSid=CA1&From=%2B14155550121&To=%2B12025550100&CallStatus=completed&CallDuration=55&Direction=inbound&Timestamp=Thu%2C+01+Jan+2026+14%3A00%3A55+%2B0000'),
  ('twilio missed', 'twilio', 'CallSid=CA3&From=%2B14155550123&To=%2B12025550100&CallStatus=in-progress&DialCallStatus=no-answer&Direction=inbound'),
  ('twilio outbound', 'twilio', 'CallSid=CA4&From=%2B12025550100&To=%2B14155550124&CallStatus=in-progress&Direction=outbound-api'),
  ('twilio anonymous', 'twilio', 'CallSid=CA5&From=%2B266696687&To=%2B12025550100&CallStatus=ringing&Direction=inbound'),
  ('twilio client', 'twilio', 'CallSid=CA6&From=client%3Atommy&To=%2B12025550100&CallStatus=ringing&Direction=inbound'),
  -- Exotel: the passthru's GET, its digits in quotation marks, times in India's; the agent's line is busy with this call; an outbound call
  ('exotel passthru', 'exotel', 'CallSid=e1&CallFrom=09876500031&CallTo=08060000305&Direction=incoming&Created=Thu%2C+01+Jan+2026+19%3A30%3A00&DialCallDuration=0&StartTime=2026-01-01+19%3A30%3A00&EndTime=1970-01-01+05%3A30%3A00&CallType=call-attempt&digits=%221%22&From=09876500031&To=08060000305&CurrentTime=2026-01-01+19%3A30%3A12'),
  ('exotel missed', 'exotel', 'CallSid=e2&CallFrom=09876500032&CallTo=08060000305&Direction=incoming&CallType=incomplete&DialCallStatus=no-answer&digits=null'),
  ('exotel hangup', 'exotel', 'CallSid=e3&CallFrom=09876500033&CallTo=08060000305&Direction=incoming&CallType=client-hangup'),
  ('exotel outbound', 'exotel', '{"CallSid":"e4","EventType":"terminal","Status":"completed","Direction":"outbound-api","From":"08060000399","To":"09876500034","StartTime":"2026-01-01 19:30:00","EndTime":"2026-01-01 19:31:00","ConversationDuration":41}'),
  ('exotel api', 'exotel', '{"Call":{"Sid":"e5","From":"09876500035","To":"08060000305","Status":"busy","Direction":"inbound"}}'),
  -- Knowlarity: GET, JSON, an event
  ('knowlarity get', 'knowlarity', 'callid=k1&caller_id=%2B919876500041&dispnumber=%2B918060000305&call_type=incoming&start_time=2026-01-01+14%3A00%3A00.000000%2B00%3A00&type=dtmf&action=2&extension=None&resource_url='),
  ('knowlarity log', 'knowlarity', '{"callid":"k1","caller_id":"+919876500041","dispnumber":"+918060000305","call_type":"incoming","type":"missed","call_duration":"19","start_time":"2026-01-01 14:00:00+00:00","end_time":"2026-01-01 14:00:19+00:00","extension":"None"}'),
  ('knowlarity event', 'knowlarity', '{"event_type":"AGENT_ANSWER","uuid":"k2","customer_number":"+919876500042","knowlarity_number":"+918060000305","call_direction":"Inbound"}'),
  -- Ozonetel: the JSON stands in a field of a form; an event; KooKoo's GET; an outbound call
  ('ozonetel form', 'ozonetel', 'data=%7B%22monitorUCID%22%3A%22o1%22%2C%22Did%22%3A%22914400000093%22%2C%22CallerID%22%3A%2209876500051%22%2C%22StartTime%22%3A%222026-01-01+19%3A30%3A00%22%2C%22EndTime%22%3A%222026-01-01+19%3A30%3A30%22%2C%22CallDuration%22%3A%2200%3A00%3A30%22%2C%22Type%22%3A%22inbound%22%2C%22Status%22%3A%22NotAnswered%22%2C%22DialStatus%22%3A%22not_answered%22%7D'),
  ('ozonetel event', 'ozonetel', '{"eventType":"Call","eventTime":"2026-01-01 19:30:05","action":"Calling","call_type":"Inbound","ucid":"o2","monitor_ucid":"o2","caller_id":"9876500052","did":"914400000093","event_time":"2026-01-01 19:30:05"}'),
  ('kookoo new call', 'ozonetel', 'event=NewCall&cid=09876500053&called_number=914400000093&sid=o3'),
  ('kookoo digits', 'ozonetel', 'event=GotDTMF&sid=o3&data=2'),
  ('ozonetel manual', 'ozonetel', '{"monitorUCID":"o4","Did":"914400000093","CallerID":"9876500054","Type":"Manual","Status":"Answered","EndTime":"2026-01-01 19:40:00","AgentPhoneNumber":"9300000783"}'),
  -- MyOperator: after the call JSON in a field of a form, with codes; during it, flat
  ('myoperator log', 'myoperator', 'myoperator=%7B%22_ai%22%3A%22m-log%22%2C%22_cr%22%3A%229876500061%22%2C%22_cl%22%3A%22%2B919876500061%22%2C%22_st%22%3A1767276000%2C%22_et%22%3A1767276039%2C%22_dr%22%3A%2200%3A00%3A39%22%2C%22_ty%22%3A1%2C%22_su%22%3A2%2C%22_pm%22%3A%5B%7B%22ky%22%3A%22is%22%2C%22vl%22%3A%220%22%7D%2C%7B%22ky%22%3A%22ui%22%2C%22vl%22%3A%22m1%22%7D%5D%2C%22_ld%22%3A%5B%7B%22_did%22%3A%221161568087%22%2C%22_rr%22%3A%5B%5D%7D%5D%7D'),
  ('myoperator ringing', 'myoperator', '{"uid":"m1","clid":"+919876500061","clid_raw":"9876500061","rdnis":"1161568087","call_state":0,"event":1}'),
  -- Smartflo: what its customers type, and what it leaves in it
  ('smartflo integers', 'smartflo', '{"uuid":"u1","call_id":1728556244.45,"caller_id_number":9876500071,"call_to_number":918060000305,"direction":"inbound","start_stamp":"2026-01-01 19:30:00","digits_dialed":"1,2","campaign_name":"$campaign_name","customer_no_with_prefix ":919876500071}'),
  ('smartflo object', 'smartflo', '{"call_id":"s2","caller_id_number":{"number":"+919876500072"},"call_to_number":["918060000305"],"direction":"inbound","call_status":"missed","call_connected":"1","missed_agent":[{"name":"A","number":"+919300000001"}],"answered_agent_number":{"agent_number":"+919300000001"}}'),
  ('smartflo unfilled', 'smartflo', '{"call_id":"s3","caller_id_number":"$caller_id_number","customer_no_with_prefix ":"$customer_no_with_prefix","call_to_number":"+918060000305","direction":"$direction","digits_dialed":"$digits_dialed","start_stamp":"$start_stamp"}'),
  ('smartflo trigger', 'smartflo', 'trigger=answered_on_ivr&call_id=s4&caller_id_number=09876500074&call_to_number=918060000305&direction=inbound&caller_id_number='),
  ('smartflo click', 'smartflo', '{"call_id":"s5","caller_id_number":"918060000305","call_to_number":"9876500075","direction":"click_to_call","call_status":"Answered by customer"}'),
  ('acefone', 'acefone', '{"call_id":"s6","caller_id_number":"9876500076","call_to_number":"918060000305","direction":"inbound","call_status":"missed"}'),
  -- Who has no format: envelopes, lists, other names, other forms of numbers
  ('envelope', 'generic', '{"id":"evt_1","type":"call.answered","created_at":"2026-01-01T14:00:00Z","data":{"call_id":"g1","from":"+919876500081","to":"+918060000305","direction":"inbound","duration_sec":14}}'),
  ('two envelopes', 'generic', '{"event":{"name":"hangup","payload":{"callId":"g2","caller":"9876500082","called":"8060000305","direction":"incoming"}}}'),
  ('a list in an envelope', 'generic', '{"trigger":"missed","calls":[{"call_id":"g3","caller":"9876500083"},{"call_id":"g4","caller":"9876500084","direction":"in"}]}'),
  ('encoded twice', 'generic', '"{\"call_id\": \"g5\", \"caller\": \"9876500085\", \"direction\": \"inbound\"}"'),
  ('JSON in a form', 'generic', 'payload=%5B%7B%22call_id%22%3A%22g6%22%2C%22caller%22%3A%229876500086%22%7D%5D&trigger=ringing'),
  ('a quantity', 'generic', '{"call_id":"g7","caller":9.19876500087e11,"direction":"inbound"}'),
  ('a quantity as text', 'generic', 'call_id=g8&caller=9.19876500088E%2B11&direction=inbound'),
  ('a quantity with a loss', 'generic', 'call_id=g9&caller=9.19876E%2B11&direction=inbound'),
  ('a plus sign lost', 'generic', 'call_id=g10&caller=+919876500090&direction=inbound'),
  ('day first', 'generic', '{"call_id":"g11","caller":"9876500091","start_time":"02/01/2026 19:30:00 IST","direction":"inbound"}'),
  ('zone by name', 'generic', '{"call_id":"g12","caller":"9876500092","start_time":"2026-01-01 14:00:00 UTC"}'),
  ('behind a mark', 'generic', E'\uFEFF {"call_id":"g13","caller":"9876500093"}'),
  ('nothing told', 'generic', '{"call_id":"g14","caller":"None","called":null,"direction":"","status":"NULL","digits":"undefined","duration":"-"}'),
  ('restricted', 'generic', '{"call_id":"g15","caller":"Restricted","direction":"inbound"}'),
  ('no call', 'generic', '{"hello":"world","list":[1,2,{"x":"y"}]}'),
  ('deep', 'generic', repeat('{"a":', 50) || '{"caller":"9876500099"}' || repeat('}', 50)),
  ('no JSON', 'generic', '{"call_id":"g16",'),
  ('empty', 'generic', '');

SELECT b.nr, b.what, r.call_id, r.direction AS way, r.caller, r.caller_raw, r.called, r.status, r.state, r.digits, r.started_at, r.duration AS secs
  FROM body b LEFT JOIN LATERAL wacta.read_call(b.source, b.body) r ON true ORDER BY b.nr, r.call_id;

-- Reading has changed nothing; applying makes one call of each id, with its lead
SELECT count(*) FROM wacta.ivr_call;
CREATE FUNCTION pg_temp.post(source text, body text) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_object_agg(said, n) FROM (SELECT said, count(*) AS n FROM wacta.body_calls($1, wacta.call_body(convert_to($2, 'UTF8'))) b,
    LATERAL (SELECT wacta.apply_ivr($1, b.call, b.fields, wacta.now()) AS said OFFSET 0) s GROUP BY 1) t
$$;
SELECT said, count(*) FROM (SELECT pg_temp.post(source, body) AS said FROM (SELECT * FROM body ORDER BY nr) b) s GROUP BY 1 ORDER BY 1::text;
SELECT c.source, c.provider_call_id AS id, c.direction AS way, c.caller, c.caller_raw, c.called, c.called_number, c.status, c.state, c.answered, c.digits, c.started_at, c.duration AS secs, l.consent
  FROM wacta.ivr_call c LEFT JOIN wacta.lead l USING (lead_id) ORDER BY c.call_id;
SELECT count(*) AS leads, count(DISTINCT c.caller) AS callers, bool_and(c.caller IS NOT NULL) AS no_lead_without_number FROM wacta.ivr_call c WHERE lead_id IS NOT NULL;

-- A trigger known only by the URL, a source whose calls are all inbound
SELECT wacta.add_ivr_source('missed-calls', 'smartflo', status => 'missed', direction => 'inbound');
SELECT state, status, direction FROM wacta.read_call('missed-calls', '{"call_id":"t1","caller_id_number":"9876500001","call_to_number":"918060000305"}');
-- but the body knows better
SELECT state, status, direction FROM wacta.read_call('missed-calls', '{"call_id":"t1","caller_id_number":"918060000305","call_to_number":"9876500001","direction":"clicktocall","call_status":"answered"}');
SELECT pg_temp.attempt($$SELECT wacta.add_ivr_source('x', status => 'splendid')$$), pg_temp.attempt($$SELECT wacta.add_ivr_source('x', direction => 'sideways')$$),
       pg_temp.attempt($$SELECT * FROM wacta.read_call('nobody', '{}')$$);

-- A format of one's own is rows; a bad path is refused when it is entered
INSERT INTO wacta.ivr_field (format, field, path) VALUES ('acme', 'call_id', '$.Ref'), ('acme', 'customer', '$.Parties[*] ? (@.role == "customer").tel'),
  ('acme', 'called', '$.Parties[*] ? (@.role == "line").tel'), ('acme', 'status', '$.What'), ('acme', 'digits', '$.Menu[*].key');
INSERT INTO wacta.ivr_field VALUES ('acme', 'call_id', 2, '$.Reference');
INSERT INTO wacta.ivr_word (format, word, meaning) VALUES ('acme', 'rang off', 'missed');
SELECT wacta.add_ivr_source('acme', 'acme');
SELECT * FROM wacta.read_call('acme', '{"Reference ":"a1","Parties":[{"role":"line","tel":"8060000305"},{"role":"customer","tel":"9876500001"}],"What":"RANG_OFF","Menu":[{"key":3},{"key":1}]}') \gx
SELECT statement, pg_temp.attempt('INSERT INTO wacta.ivr_field (format, field, path) ' || statement) FROM unnest(ARRAY[
  $$VALUES ('acme', 'caller', '$.from.')$$, $$VALUES ('acme', 'caller', 'from')$$, $$VALUES ('acme', 'caller', '$.a ? (@.b = 1)')$$, $$VALUES ('acme', 'caller', '"from"')$$,
  $$VALUES ('acme', 'caller', '$.a ? (@ == $x)')$$, $$VALUES ('acme', 'shoe_size', '$.a')$$, $$VALUES ('Acme', 'caller', '$.a')$$, $$VALUES ('acme', 'caller', NULL)$$,
  $$VALUES ('acme', 'caller', '$.a ? (@ like_regex "^[0-9]+$")')$$]) statement;
SELECT pg_temp.attempt($$INSERT INTO wacta.ivr_word (word, meaning) VALUES ('Rang off', 'missed')$$), pg_temp.attempt($$INSERT INTO wacta.ivr_word (word, meaning) VALUES ('splendid', 'inbound')$$);
