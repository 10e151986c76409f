-- Reading the bodies of IVR providers: which of their words mean what.

-- How providers name things. The first key that has a value wins; keys are compared without spaces at their ends.
CREATE TABLE wacta.ivr_field (
  format text NOT NULL,
  field  text NOT NULL CHECK (field IN ('call_id', 'customer', 'caller', 'called', 'direction', 'status', 'digits', 'started_at', 'duration')),
  keys   text[] NOT NULL,
  PRIMARY KEY (format, field)
);
COMMENT ON TABLE wacta.ivr_field IS
'Which keys of a provider''s body hold what. customer is the customer''s number whatever the direction; without it the caller
of an inbound call, or the called number of an outbound one, is the customer.';
INSERT INTO wacta.ivr_field VALUES
  ('smartflo', 'call_id', '{call_id,uuid}'), ('smartflo', 'customer', '{customer_no_with_prefix,customer_number_with_prefix,customer_number}'),
  ('smartflo', 'caller', '{caller_id_number}'), ('smartflo', 'called', '{call_to_number}'), ('smartflo', 'direction', '{direction}'),
  ('smartflo', 'status', '{call_status,status}'), ('smartflo', 'digits', '{digits_dialed}'),
  ('smartflo', 'started_at', '{start_stamp}'), ('smartflo', 'duration', '{duration,billsec}'),
  ('exotel', 'call_id', '{CallSid}'), ('exotel', 'caller', '{CallFrom,From}'), ('exotel', 'called', '{CallTo,To}'),
  ('exotel', 'direction', '{Direction}'), ('exotel', 'status', '{DialCallStatus,Status,CallType}'), ('exotel', 'digits', '{digits}'),
  ('exotel', 'started_at', '{StartTime,CurrentTime}'), ('exotel', 'duration', '{DialCallDuration}'),
  ('knowlarity', 'call_id', '{callid,uuid}'), ('knowlarity', 'caller', '{caller_id,customer_number}'),
  ('knowlarity', 'called', '{dispnumber,knowlarity_number}'), ('knowlarity', 'direction', '{call_type}'), ('knowlarity', 'status', '{type,call_status}'),
  ('knowlarity', 'digits', '{action}'), ('knowlarity', 'started_at', '{start_time}'), ('knowlarity', 'duration', '{call_duration}'),
  ('ozonetel', 'call_id', '{monitorUCID,ucid}'), ('ozonetel', 'caller', '{CallerID,caller_id}'), ('ozonetel', 'called', '{Did,did}'),
  ('ozonetel', 'direction', '{Type}'), ('ozonetel', 'status', '{Status,DialStatus}'), ('ozonetel', 'started_at', '{StartTime}'),
  ('twilio', 'call_id', '{CallSid}'), ('twilio', 'caller', '{From,Caller}'), ('twilio', 'called', '{To,Called}'),
  ('twilio', 'direction', '{Direction}'), ('twilio', 'status', '{CallStatus}'), ('twilio', 'digits', '{Digits}'),
  ('twilio', 'started_at', '{Timestamp}'), ('twilio', 'duration', '{CallDuration}'),
  ('generic', 'call_id', '{call_id,callid,CallSid,uuid,id}'), ('generic', 'customer', '{customer,customer_number}'),
  ('generic', 'caller', '{caller,caller_id,caller_id_number,from,From,phone}'), ('generic', 'called', '{called,to,To,did}'),
  ('generic', 'direction', '{direction}'), ('generic', 'status', '{status,call_status}'), ('generic', 'digits', '{digits,dtmf}'),
  ('generic', 'started_at', '{started_at,start_time,timestamp}'), ('generic', 'duration', '{duration}');
CREATE TRIGGER restore_replaces BEFORE INSERT ON wacta.ivr_field
  FOR EACH ROW EXECUTE FUNCTION wacta.replace_seeded('format', 'field');

CREATE FUNCTION wacta.form_to_jsonb(form text) RETURNS jsonb
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(jsonb_object_agg(wacta.percent_decode(split_part(pair, '=', 1)),
                                   wacta.percent_decode(CASE WHEN strpos(pair, '=') > 0 THEN substr(pair, strpos(pair, '=') + 1) ELSE '' END)), '{}')
    FROM regexp_split_to_table($1, '&') pair WHERE pair <> ''
$$;
COMMENT ON FUNCTION wacta.form_to_jsonb(text) IS 'An application/x-www-form-urlencoded body as a JSON object.';

CREATE FUNCTION wacta.percent_decode(value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  spaced text := replace(value, '+', ' ');
  bytes  bytea := '';
  part   text;
BEGIN
  IF strpos(spaced, '%') = 0 THEN
    RETURN spaced;
  END IF;
  FOR part IN SELECT (regexp_matches(spaced, '%[0-9A-Fa-f]{2}|[^%]+|%', 'g'))[1] LOOP
    bytes := bytes || CASE WHEN part ~ '^%[0-9A-Fa-f]{2}$' THEN decode(substr(part, 2), 'hex') ELSE convert_to(part, 'UTF8') END;
  END LOOP;
  RETURN convert_from(bytes, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
  RETURN value;
END
$$;
COMMENT ON FUNCTION wacta.percent_decode(text) IS 'Percent-decoding of a form''s value; what is not valid UTF-8 stays as it came.';

-- The value of a field: the first of its keys that has one. "$name" is a variable the provider did not fill.
CREATE FUNCTION wacta.ivr_value(body jsonb, format text, field text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT btrim(e.value, E' \t\r\n')
    FROM wacta.ivr_field f, unnest(f.keys) WITH ORDINALITY k(key, n), jsonb_each_text($1) e
   WHERE f.format = $2 AND f.field = $3 AND btrim(e.key) = k.key
     AND btrim(e.value, E' \t\r\n') NOT IN ('', 'null', 'None') AND e.value NOT LIKE '$%'
   ORDER BY k.n LIMIT 1
$$;
COMMENT ON FUNCTION wacta.ivr_value(jsonb, text, text) IS 'What a provider''s body says of a field, by wacta.ivr_field; NULL when nothing.';

CREATE FUNCTION wacta.ivr_direction(value text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN value ~* '^(in|incoming)' THEN 'inbound' WHEN value IS NOT NULL THEN 'outbound' END
$$;
COMMENT ON FUNCTION wacta.ivr_direction(text) IS 'inbound, outbound (click-to-call and dialers too), or NULL when the provider does not say.';

CREATE FUNCTION wacta.apply_ivr(source text, body jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  src  wacta.ivr_source;
  f    text;
  customer text;
  way  text;
BEGIN
  SELECT * INTO src FROM wacta.ivr_source s WHERE s.source = $1;
  f := coalesce(src.format, 'generic');
  customer := wacta.ivr_value($2, f, 'customer');
  -- a call to the customer is no word of theirs: it must not pass for one where the body does not name its direction
  way := coalesce(wacta.ivr_direction(wacta.ivr_value($2, f, 'direction')),
    CASE WHEN wacta.normalize_phone(customer, src.country) = wacta.normalize_phone(wacta.ivr_value($2, f, 'called'), src.country) THEN 'outbound' END);
  RETURN wacta.log_ivr_call(
    caller => coalesce(customer,
                       CASE WHEN way = 'outbound' THEN wacta.ivr_value($2, f, 'called') ELSE wacta.ivr_value($2, f, 'caller') END),
    called => CASE WHEN way = 'outbound' THEN wacta.ivr_value($2, f, 'caller') ELSE wacta.ivr_value($2, f, 'called') END,
    source => $1, provider_call_id => left(wacta.ivr_value($2, f, 'call_id'), 300),
    started_at => wacta.try_timestamptz(wacta.ivr_value($2, f, 'started_at'), coalesce(src.time_zone, wacta.time_zone(src.project_id))),
    direction => way, status => left(wacta.ivr_value($2, f, 'status'), 100), digits => left(wacta.ivr_value($2, f, 'digits'), 100),
    duration => (substring(wacta.ivr_value($2, f, 'duration') FROM '^[0-9]{1,7}'))::integer, raw => $2);
END
$$;
COMMENT ON FUNCTION wacta.apply_ivr(text, jsonb) IS 'Logs the call that a provider''s body tells of; returns its id.';
