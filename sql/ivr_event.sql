-- Ringing, answered, hang-up: any order, repetition and mixture of the events of a call ends in the same row, with the same caller.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SET timezone = 'Asia/Kolkata';
SELECT count(wacta.add_ivr_source(format, format, country => CASE WHEN format IN ('twilio', 'vonage', 'plivo') THEN 'US' END))
  FROM unnest('{exotel,knowlarity,ozonetel,twilio,vonage,plivo,generic}'::text[]) format;
CREATE TEMP TABLE event (call text, source text, body text);
INSERT INTO event VALUES
  ('vonage', 'vonage', '{"from":"14155550101","to":"12025550100","uuid":"a1","conversation_uuid":"CON-1","status":"ringing","direction":"inbound","timestamp":"2026-01-01T14:00:00.000Z"}'),
  ('vonage', 'vonage', '{"from":"14155550101","to":"12025550100","uuid":"a1","conversation_uuid":"CON-1","status":"answered","direction":"inbound","timestamp":"2026-01-01T14:00:02.000Z"}'),
  ('vonage', 'vonage', '{"dtmf":{"digits":"2"},"from":"14155550101","to":"12025550100","uuid":"a1","conversation_uuid":"CON-1","timestamp":"2026-01-01T14:00:09.000Z"}'),
  ('vonage', 'vonage', '{"from":"12025550100","to":"12025550177","uuid":"b2","conversation_uuid":"CON-1","status":"unanswered","direction":"outbound","timestamp":"2026-01-01T14:00:20.000Z"}'),
  ('vonage', 'vonage', '{"duration":"29","start_time":"2026-01-01T14:00:01.000Z","from":"14155550101","to":"12025550100","uuid":"a1","conversation_uuid":"CON-1","status":"completed","direction":"inbound"}'),
  ('twilio', 'twilio', 'CallSid=CA1&From=%2B14155550121&To=%2B12025550100&CallStatus=ringing&Direction=inbound'),
  ('twilio', 'twilio', 'CallSid=CA1&CallStatus=in-progress&Digits=1'),
  ('twilio', 'twilio', 'CallSid=CA2&ParentCallSid=CA1&From=%2B14155550121&To=%2B12025550177&CallStatus=no-answer&Direction=outbound-dial'),
  ('twilio', 'twilio', 'CallSid=CA3&ParentCallSid=CA1&From=%2B14155550121&To=%2B12025550178&CallStatus=completed&Direction=outbound-dial&CallDuration=30'),
  ('twilio', 'twilio', 'CallSid=CA1&CallDuration=50&CallStatus=completed&Digits=3'),
  ('plivo outbound', 'plivo', 'CallUUID=p2&ALegUUID=p2&From=12025550100&To=14155550112&CallStatus=ringing&Direction=outbound'),
  ('plivo outbound', 'plivo', 'CallUUID=p2&ALegUUID=p2&From=12025550100&To=14155550112&CallStatus=completed&Direction=outbound&Duration=20'),
  ('plivo outbound', 'plivo', 'CallUUID=p3&ALegUUID=p2&From=12025550100&To=12025550177&CallStatus=no-answer&Direction=outbound'),
  ('smartflo', 'smartflo', '{"call_id":"s1","caller_id_number":"9876500001","call_to_number":"+911240000984","start_stamp":"2026-01-01 19:30:00"}'),
  ('smartflo', 'smartflo', '{"call_id":"s1","caller_id_number":"09876500001","call_to_number":"911240000984","direction":"inbound","trigger":"answered on IVR","start_stamp":"2026-01-01 19:30:00"}'),
  ('smartflo', 'smartflo', '{"call_id":"s1","customer_no_with_prefix ":"+919876500001","call_to_number":"911240000984","direction":"inbound","digits_dialed":"2"}'),
  ('smartflo', 'smartflo', '{"call_id":"s1","caller_id_number":"$caller_id_number","direction":"inbound","call_status":"missed","end_stamp":"2026-01-01 19:31:00","duration":60}'),
  ('smartflo click', 'smartflo', '{"call_id":"s2","call_to_number":"9876500002","caller_id_number":"918060000305"}'),
  ('smartflo click', 'smartflo', '{"call_id":"s2","call_to_number":"9876500002","caller_id_number":"918060000305","direction":"clicktocall","call_status":"answered"}'),
  ('smartflo click', 'smartflo', '{"call_id":"s2","call_status":"queued"}'),
  ('hidden, then known', 'generic', '{"call_id":"g1","caller":"anonymous","direction":"inbound","status":"ringing"}'),
  ('hidden, then known', 'generic', '{"call_id":"g1","caller":"9876500003"}'),
  ('hidden, then known', 'generic', '{"call_id":"g1","status":"busy"}'),
  ('without an id', 'generic', '{"caller":"9876500004","direction":"in","start_time":"2026-01-01 19:30:00","status":"ringing"}'),
  ('without an id', 'generic', '{"caller":"+919876500004","direction":"in","start_time":"2026-01-01T14:00:00Z","status":"answered","digits":"1"}'),
  ('without an id', 'generic', '{"caller":"09876500004","start_time":"1767276000","status":"hangup","duration":12}'),
  ('exotel', 'exotel', 'CallSid=e1&CallFrom=09876500005&CallTo=08060000305&Direction=incoming&EventType=Dial&Status=busy&CurrentTime=2026-01-01+19%3A30%3A09'),
  ('exotel', 'exotel', 'CallSid=e1&CallFrom=09876500005&CallTo=08060000305&Direction=incoming&CallType=call-attempt&digits=%221%22&StartTime=2026-01-01+19%3A30%3A00'),
  ('exotel', 'exotel', 'CallSid=e1&CallFrom=09876500005&CallTo=08060000305&Direction=incoming&CallType=completed&DialCallStatus=completed&DialCallDuration=17');

CREATE FUNCTION pg_temp.apply(source text, body text) RETURNS void LANGUAGE sql AS $$
  SELECT count(wacta.apply_ivr($1, b.call, b.fields, wacta.now())) FROM wacta.body_calls($1, wacta.call_body(convert_to($2, 'UTF8'))) b
$$;
-- The row without what is this row's own; its lead by the number. raw is the union of the bodies, of which the last one's keys stand.
CREATE FUNCTION pg_temp.row_of(call wacta.ivr_call) RETURNS jsonb LANGUAGE sql AS
$$ SELECT (to_jsonb($1) - '{call_id,lead_id,raw}'::text[]) || jsonb_build_object('lead', (SELECT value FROM wacta.lead_identity i WHERE i.lead_id = $1.lead_id AND kind = 'phone')) $$;
CREATE FUNCTION pg_temp.orders(n integer) RETURNS SETOF integer[] LANGUAGE sql AS $$
  WITH RECURSIVE o AS (SELECT '{}'::integer[] AS picked UNION ALL SELECT picked || i FROM o, generate_series(1, $1) i WHERE i <> ALL (picked))
  SELECT picked FROM o WHERE cardinality(picked) = $1
$$;
-- Each order of the events, then once more all of them, then the first again: how many different rows come out
CREATE FUNCTION pg_temp.outcomes(which text) RETURNS TABLE (orders bigint, rows bigint, calls bigint, ends text) LANGUAGE plpgsql AS $$
DECLARE
  events event[] := ARRAY(SELECT e FROM event e WHERE e.call = which ORDER BY body);
  o      integer[];
  i      integer;
BEGIN
  CREATE TEMP TABLE outcome (picked integer[], was jsonb);
  FOR o IN SELECT * FROM pg_temp.orders(cardinality(events)) LOOP
    FOREACH i IN ARRAY o || o || o[1] LOOP
      PERFORM pg_temp.apply(events[i].source, events[i].body);
    END LOOP;
    INSERT INTO outcome SELECT o, pg_temp.row_of(c) FROM wacta.ivr_call c;
    DELETE FROM wacta.ivr_call;
  END LOOP;
  RETURN QUERY SELECT count(DISTINCT picked), count(DISTINCT was), count(*) / count(DISTINCT picked),
                      min(concat_ws(' ', was ->> 'caller', was ->> 'direction', was ->> 'called_number', was ->> 'state', was ->> 'status', was ->> 'digits',
                                    (was ->> 'started_at')::timestamptz, was ->> 'duration')) FROM outcome;
  DROP TABLE outcome;
END
$$;
SELECT which, o.* FROM (SELECT DISTINCT call COLLATE "C" AS which FROM event) e, pg_temp.outcomes(which) o ORDER BY 1;
-- who called agrees by it, whichever event said that it was a call of theirs; who was called does not
SELECT i.value, l.consent FROM wacta.lead l JOIN wacta.lead_identity i USING (lead_id) ORDER BY 1;
SELECT count(*) AS events, count(DISTINCT lead_id) AS people FROM wacta.consent_event;

-- A provider's second attempt: the same bytes, ten seconds later, are the same call also where the body names none; days later they are another
SELECT pg_temp.apply('generic', '{"caller":"9876500007"}');
SELECT pg_temp.advance('10 seconds');
SELECT pg_temp.apply('generic', '{"caller":"9876500007"}'), pg_temp.apply('generic', 'caller=9876500007&x=1');
SELECT pg_temp.advance('3 days');
SELECT pg_temp.apply('generic', '{"caller":"9876500007"}');
SELECT count(*) AS calls, count(DISTINCT lead_id) AS people FROM wacta.ivr_call;
-- a replay finds the calls of its time, whenever it is
SELECT wacta.ingest_webhook('smartflo', 'ivr', convert_to('[{"caller_id_number":"9876500008"},{"digits_dialed":"1"},{"no":"call"}]', 'UTF8'), '{"x-wacta-key": "smartflo-key-0123456789"}') AS inbox \gset
SELECT pg_temp.advance('1 day');
SELECT wacta.replay(:inbox) -> 'result' AS result, (SELECT count(*) FROM wacta.ivr_call WHERE source = 'smartflo') AS calls;
-- two sources are two providers, whose ids say nothing of each other
SELECT pg_temp.apply('generic', '{"call_id":"same","caller":"9876500009"}'), pg_temp.apply('exotel', 'CallSid=same&CallFrom=09876500009');
SELECT count(*) FROM wacta.ivr_call WHERE provider_call_id = 'same';
