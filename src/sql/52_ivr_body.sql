-- Reading the bodies of IVR providers. What each of them calls things is data: wacta.ivr_field and wacta.ivr_word (53_ivr_format.sql).
--
-- A body is turned into JSON, taken out of whatever it is wrapped in, and read by the paths of its format. Nothing here is an error:
-- what cannot be read is not told.

CREATE TABLE wacta.ivr_field (
  format text NOT NULL CHECK (format ~ '^[a-z0-9_-]{1,64}$'),
  field  text NOT NULL CHECK (field IN ('call_id', 'parent_id', 'customer', 'caller', 'called', 'direction', 'status', 'digits',
                                        'started_at', 'ended_at', 'event_at', 'duration')),
  nth    smallint NOT NULL DEFAULT 1,
  path   jsonpath NOT NULL,
  PRIMARY KEY (format, field, nth),
  -- a variable has no value here, and a path that does not begin at the body says the same of every call
  CONSTRAINT path_from_body CHECK (path::text ~ '\$' AND regexp_replace(path::text, '"([^"\\]|\\.)*"', '""', 'g') !~ '\$""')
);
COMMENT ON TABLE wacta.ivr_field IS
'Where the bodies of a format hold what: the first of a field''s paths (nth) that leads to a value counts; of status and digits, all.
customer is the customer''s number whatever the direction; without it the caller of an inbound call, or the called number of an
outbound one, is the customer. An event with a parent_id that is not its call_id is about a leg of that call: its numbers are the
staff''s.';
COMMENT ON COLUMN wacta.ivr_field.path IS 'An SQL/JSON path into the body, whose keys have no spaces at their ends: $.customer.phone.';
CREATE TRIGGER restore_replaces BEFORE INSERT ON wacta.ivr_field
  FOR EACH ROW EXECUTE FUNCTION wacta.replace_seeded('format', 'field', 'nth');

CREATE TABLE wacta.ivr_word (
  format    text NOT NULL DEFAULT '*',
  field     text NOT NULL DEFAULT 'status' CHECK (field IN ('status', 'direction')),
  word      text NOT NULL CHECK (word ~ '^[a-z0-9]+( [a-z0-9]+)*$'),
  direction text NOT NULL DEFAULT '*' CHECK (direction IN ('*', 'inbound', 'outbound')),
  meaning   text NOT NULL CHECK (CASE field WHEN 'direction' THEN meaning IN ('inbound', 'outbound')
                                 ELSE meaning IN ('received', 'ringing', 'connected', 'answered', 'missed', 'completed') END),
  PRIMARY KEY (format, field, word, direction, meaning)
);
COMMENT ON TABLE wacta.ivr_word IS
'What the words of providers for status and direction mean. Words are in lower case, with a space for each run of other characters;
in a longer phrase the longest word counts. A word may have several meanings at once, as answered and completed.';
COMMENT ON COLUMN wacta.ivr_word.format IS 'The format that has the word; *: any. Its own words come before those of any.';
COMMENT ON COLUMN wacta.ivr_word.direction IS 'Where a word means something else for a leg that goes out: the direction told by the same event; *: any.';
CREATE TRIGGER restore_replaces BEFORE INSERT ON wacta.ivr_word
  FOR EACH ROW EXECUTE FUNCTION wacta.replace_seeded('format', 'field', 'word', 'direction', 'meaning');

-- Forms

CREATE FUNCTION wacta.percent_decode(value text) RETURNS text
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'wacta_percent_decode';
COMMENT ON FUNCTION wacta.percent_decode(text) IS 'Percent-decoding of a form''s value; what is not valid UTF-8 stays as it came.';

-- A key that comes twice, as one of the URL's that the form has, too: the one with a value counts.
CREATE FUNCTION wacta.form_to_jsonb(form text) RETURNS jsonb
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(jsonb_object_agg(key, value ORDER BY value <> ''), '{}')
    FROM string_to_table($1, '&') pair,
         LATERAL (SELECT wacta.percent_decode(split_part(pair, '=', 1)) AS key, wacta.percent_decode(substr(pair, strpos(pair || '=', '=') + 1)) AS value) d
   WHERE pair <> ''
$$;
COMMENT ON FUNCTION wacta.form_to_jsonb(text) IS 'An application/x-www-form-urlencoded body as a JSON object.';

CREATE FUNCTION wacta.call_body(body bytea) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF encode(substr(body, 1, 64), 'escape') ~ '^(\\357\\273\\277)?\s*["{[]' THEN      -- JSON, maybe behind a byte order mark
    RETURN wacta.read_json(CASE WHEN substr(body, 1, 3) = '\xefbbbf' THEN substr(body, 4) ELSE body END);
  END IF;
  RETURN wacta.form_to_jsonb(convert_from(body, 'UTF8'));
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.call_body(bytea) IS 'The body of an IVR webhook, JSON or a form, as JSON; NULL when it is neither.';

-- Values

CREATE FUNCTION wacta.trim_keys(body jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF EXISTS (SELECT FROM jsonb_object_keys(body) k WHERE k <> btrim(k, E' \t\r\n\u00A0')) THEN
    RETURN (SELECT jsonb_object_agg(trimmed, value ORDER BY key = trimmed) FROM jsonb_each(body), LATERAL btrim(key, E' \t\r\n\u00A0') trimmed);
  END IF;
  RETURN body;
END
$$;
COMMENT ON FUNCTION wacta.trim_keys(jsonb) IS 'An object whose keys have no spaces at their ends: some providers'' have.';

-- "$name" is a variable that the provider did not fill; Exotel sends digits in quotation marks.
CREATE FUNCTION wacta.told_text(value text) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  value := left(btrim(value, E' \t\r\n\u00A0"'''), 300);
  RETURN CASE WHEN lower(value) NOT IN ('', 'null', 'none', 'nil', 'undefined', 'nan', 'n/a', '-') AND value !~ '\$\{?[A-Za-z_]|^\{\{.*\}\}$' THEN value END;
END
$$;
COMMENT ON FUNCTION wacta.told_text(text) IS 'A value without what surrounds it, or NULL for one of the ways to say nothing.';

-- Where a number is expected some send an object that has it, or a list.
CREATE FUNCTION wacta.told_values(value jsonb) RETURNS SETOF text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp ROWS 1
AS $$
BEGIN
  CASE jsonb_typeof(value)
    WHEN 'array' THEN
      RETURN QUERY SELECT wacta.told_text(e #>> '{}') FROM jsonb_array_elements(value) e WHERE jsonb_typeof(e) NOT IN ('object', 'array') LIMIT 20;
    WHEN 'object' THEN
      RETURN QUERY SELECT wacta.told_text(value ->> k) FROM unnest('{number,phone,phone_number,e164,value,digits,id}'::text[]) k
                    WHERE jsonb_typeof(value -> k) IN ('string', 'number');
    ELSE
      RETURN NEXT wacta.told_text(value #>> '{}');
  END CASE;
END
$$;
COMMENT ON FUNCTION wacta.told_values(jsonb) IS 'The texts in a value of a body: a scalar''s, a list''s, or of an object that holds a number.';

CREATE FUNCTION wacta.call_fields(format text, body jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT coalesce(jsonb_object_agg(v.field, v.told), '{}')
            FROM (SELECT f.field, jsonb_agg(t.text ORDER BY f.nth, q.n, t.n) AS told
                    FROM wacta.ivr_field f, jsonb_path_query(body, f.path, '{}', true) WITH ORDINALITY q(value, n), wacta.told_values(q.value) WITH ORDINALITY t(text, n)
                   WHERE f.format = call_fields.format AND t.text IS NOT NULL GROUP BY f.field) v);
END
$$;
COMMENT ON FUNCTION wacta.call_fields(text, jsonb) IS 'What a body tells, by the paths of a format: each field with its values, the first of which counts most.';

-- Envelopes

CREATE FUNCTION wacta.inner_json(value jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN jsonb_typeof(value) = 'string' AND value #>> '{}' ~ '^\s*[{[]' THEN wacta.read_json(convert_to(value #>> '{}', 'UTF8')) ELSE value END;
END
$$;
COMMENT ON FUNCTION wacta.inner_json(jsonb) IS 'The JSON that a JSON string holds, or the value itself.';

-- A call is where its numbers are, or at least its id. What surrounds it (an event's name, a trigger of the URL) goes with it.
CREATE FUNCTION wacta.calls_within(format text, body jsonb, around jsonb, depth integer) RETURNS TABLE (call jsonb, fields jsonb, worth integer)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp ROWS 1
AS $$
BEGIN
  call := wacta.inner_json(body);
  worth := -1;
  IF jsonb_typeof(call) = 'array' AND depth > 0 THEN
    RETURN QUERY SELECT w.* FROM jsonb_array_elements(call) WITH ORDINALITY e(e, n), wacta.calls_within(format, e, around, depth - 1) w ORDER BY n;
    RETURN;
  ELSIF jsonb_typeof(call) = 'object' THEN
    call := around || wacta.trim_keys(call);
    fields := wacta.call_fields(format, call);
    worth := CASE WHEN fields ?| '{customer,caller,called}' THEN 2 WHEN fields ?| '{call_id,parent_id}' THEN 1 ELSE 0 END;
    IF worth < 2 AND depth > 0 THEN
      RETURN QUERY SELECT * FROM wacta.calls_inside(format, call, worth, depth - 1);
      IF FOUND THEN
        RETURN;
      END IF;
    END IF;
  END IF;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION wacta.calls_within(text, jsonb, jsonb, integer) IS
'The calls in a body, however deep: lists, envelopes, JSON in a field of a form. worth: 2 where there is a number, 1 where there is a call id.';

CREATE FUNCTION wacta.calls_inside(format text, envelope jsonb, beyond integer, depth integer) RETURNS TABLE (call jsonb, fields jsonb, worth integer)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp ROWS 1
AS $$
DECLARE
  around jsonb := wacta.small_scalars(envelope);
BEGIN
  RETURN QUERY
    WITH inside AS MATERIALIZED (
      SELECT w.*, max(w.worth) OVER () AS best
        FROM jsonb_each(envelope) m, LATERAL (SELECT wacta.inner_json(m.value) AS part OFFSET 0) i, wacta.calls_within(format, i.part, around, depth) w
       WHERE jsonb_typeof(i.part) IN ('object', 'array')
    )
    SELECT i.call, i.fields, i.worth FROM inside i WHERE i.worth = i.best AND i.worth > beyond;
END
$$;
COMMENT ON FUNCTION wacta.calls_inside(text, jsonb, integer, integer) IS 'The calls in the parts of an object that say more than the object itself.';

-- They are copied to each call of a list, so there must be few of them.
CREATE FUNCTION wacta.small_scalars(body jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT coalesce(jsonb_object_agg(s.key, s.value), '{}')
    FROM (SELECT key, value FROM jsonb_each($1) WHERE jsonb_typeof(value) NOT IN ('object', 'array') AND length(value::text) < 300 LIMIT 50) s
$$;
COMMENT ON FUNCTION wacta.small_scalars(jsonb) IS 'The scalars of an object.';

CREATE FUNCTION wacta.body_calls(source text, body jsonb) RETURNS TABLE (call jsonb, fields jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp ROWS 1
AS $$
BEGIN
  RETURN QUERY SELECT w.call, w.fields
                 FROM wacta.calls_within(coalesce((SELECT s.format FROM wacta.ivr_source s WHERE s.source = $1), 'generic'), body, '{}', 4) w;
END
$$;
COMMENT ON FUNCTION wacta.body_calls(text, jsonb) IS 'The calls in a body that came to a source, each with what the paths of the source''s format led to.';

-- Words

CREATE FUNCTION wacta.word_meanings(format text, field text, value text, direction text) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  phrase text := ' ' || regexp_replace(lower(value), '[^a-z0-9]+', ' ', 'g') || ' ';
BEGIN
  RETURN (
    WITH known AS MATERIALIZED (
      SELECT w.meaning, rank() OVER (ORDER BY length(w.word) DESC, w.format = '*', w.direction = '*') AS place
        FROM wacta.ivr_word w
       WHERE w.format IN ($1, '*') AND w.field = $2 AND w.direction IN (coalesce($4, '*'), '*') AND strpos(phrase, ' ' || w.word || ' ') > 0
    )
    SELECT array_agg(DISTINCT k.meaning) FROM known k WHERE k.place = 1);
END
$$;
COMMENT ON FUNCTION wacta.word_meanings(text, text, text, text) IS 'What a provider''s word or phrase means, by wacta.ivr_word; NULL when it is none of those.';

CREATE FUNCTION wacta.read_direction(format text, value text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (wacta.word_meanings(format, 'direction', value, NULL))[1];
END
$$;
COMMENT ON FUNCTION wacta.read_direction(text, text) IS 'inbound, outbound (click-to-call and dialers, too), or NULL when the provider does not say.';

-- The word of the furthest state is the one to show; so is the first of those that mean nothing.
CREATE FUNCTION wacta.read_state(format text, words text[], direction text, OUT progress integer, OUT answered boolean, OUT word text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT max(s.progress), bool_or(s.answered), (array_agg(s.word ORDER BY s.progress DESC NULLS LAST, s.answered IS NULL, s.n))[1]
    INTO progress, answered, word
    FROM (SELECT w.word, w.n, max(v.progress) AS progress, bool_or(v.answered) AS answered
            FROM unnest(words) WITH ORDINALITY w(word, n)
            LEFT JOIN LATERAL unnest(wacta.word_meanings($1, 'status', w.word, $3)) m(meaning) ON true
            LEFT JOIN (VALUES ('received', 1, NULL), ('ringing', 2, NULL), ('connected', 3, NULL), ('answered', 3, true), ('missed', 4, false),
                              ('completed', 4, NULL)) v(meaning, progress, answered) USING (meaning)
           WHERE w.word IS NOT NULL GROUP BY w.word, w.n) s;
END
$$;
COMMENT ON FUNCTION wacta.read_state(text, text[], text) IS 'How far a call has come, and whether it was answered, by the words of one event; and which of them to show.';

-- Times: local without a zone, with the day first, as in India; a zone by name; 1970 where nothing is known.
CREATE FUNCTION wacta.call_time(value text, zone text) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, DMY'
AS $$
DECLARE
  t timestamptz := wacta.try_timestamptz(regexp_replace(regexp_replace(value, '\s*(UTC|GMT)$', '+00:00', 'i'), '\s*IST$', '+05:30', 'i'), zone);
BEGIN
  RETURN CASE WHEN t > '2000-01-02 UTC' AND t < wacta.now() + interval '10 years' THEN t END;
END
$$;
COMMENT ON FUNCTION wacta.call_time(text, text) IS 'A time in a provider''s body; NULL when it is none, or cannot be a call''s.';

CREATE FUNCTION wacta.call_duration(value text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN value ~ '^[0-9]{1,7}(\.[0-9]+)?$' THEN trunc(value::numeric)::integer
              WHEN value ~ '^[0-9]{1,3}:[0-5][0-9](:[0-5][0-9])?$' THEN extract(epoch FROM (CASE WHEN value ~ ':.*:' THEN value ELSE '0:' || value END)::interval) END;
END
$$;
COMMENT ON FUNCTION wacta.call_duration(text) IS 'Seconds, from 17, 17.5, 00:17 or 00:00:17.';

-- Events

-- Who is who. A direction that is not told follows from which of the two numbers is the customer's, where the body says so: a call to
-- the customer is no word of theirs, and must not pass for one.
CREATE FUNCTION wacta.call_parties(src wacta.ivr_source, fields jsonb, OUT direction text, OUT customer text, OUT line text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  caller    text := fields #>> '{caller,0}';
  called    text := fields #>> '{called,0}';
  e164      text := wacta.call_number(fields #>> '{customer,0}', src.country);
  to_them   boolean := e164 = wacta.call_number(called, src.country);       -- NULL: it does not say
  from_them boolean := CASE WHEN to_them THEN false ELSE e164 = wacta.call_number(caller, src.country) END;
BEGIN
  customer := fields #>> '{customer,0}';
  direction := coalesce(wacta.read_direction(src.format, fields #>> '{direction,0}'),
                        CASE WHEN to_them THEN 'outbound' WHEN from_them THEN 'inbound' END, src.direction);
  line := CASE WHEN to_them OR (customer IS NULL AND direction = 'outbound') THEN caller ELSE called END;
  customer := coalesce(customer, CASE direction WHEN 'outbound' THEN called ELSE caller END);
END
$$;
COMMENT ON FUNCTION wacta.call_parties(wacta.ivr_source, jsonb) IS 'The direction of a call, the customer''s number and ours, by the fields of its body.';

CREATE FUNCTION wacta.call_source(source text) RETURNS wacta.ivr_source
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  src wacta.ivr_source;
BEGIN
  SELECT * INTO src FROM wacta.ivr_source s WHERE s.source = $1;
  src.source := $1;
  src.format := coalesce(src.format, 'generic');
  src.time_zone := coalesce(src.time_zone, (SELECT p.time_zone FROM wacta.project p WHERE p.project_id = src.project_id), (SELECT c.time_zone FROM wacta.config c));
  RETURN src;
END
$$;
COMMENT ON FUNCTION wacta.call_source(text) IS 'A source of calls with its format and time zone; one that is not entered is read as generic.';

-- What is told of a leg is true of the call only as far as it was answered or missed.
CREATE FUNCTION wacta.read_event(src wacta.ivr_source, fields jsonb) RETURNS wacta.ivr_call
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  e     wacta.ivr_call;
  p     record := wacta.call_parties(src, fields);
  said  record := wacta.read_state(src.format, ARRAY(SELECT jsonb_array_elements_text(fields -> 'status')), p.direction);
  leg   boolean := coalesce(fields #>> '{parent_id,0}' <> fields #>> '{call_id,0}', false);
BEGIN
  IF said.progress IS NULL AND src.status IS NOT NULL THEN             -- the URL says what the body does not
    said := wacta.read_state(src.format, ARRAY[src.status, said.word], p.direction);
  END IF;
  e.source := src.source;
  e.provider_call_id := coalesce(fields #>> '{parent_id,0}', fields #>> '{call_id,0}');
  e.progress := said.progress;
  e.answered := said.answered;
  e.digits := (SELECT wacta.join_digits(NULL, string_agg(d, ',')) FROM jsonb_array_elements_text(fields -> 'digits') v, regexp_split_to_table(v, '[,;|\s]+') d
                WHERE d <> '');
  e.told := '{}';
  IF leg THEN
    e.progress := least(said.progress, 3);
    RETURN e;
  END IF;
  e.started_at := wacta.call_time(coalesce(fields #>> '{started_at,0}', fields #>> '{event_at,0}'), src.time_zone);
  e.duration := wacta.call_duration(fields #>> '{duration,0}');
  IF wacta.call_time(fields #>> '{ended_at,0}', src.time_zone) IS NOT NULL THEN
    e.progress := 4;
  END IF;
  e.caller := wacta.call_number(p.customer, src.country);
  e.told := wacta.weigh(e, p.customer, fields ? 'customer', p.line, p.direction, said.word);
  RETURN e;
END
$$;
COMMENT ON FUNCTION wacta.read_event(wacta.ivr_source, jsonb) IS 'What the fields of a body tell of a call, as far as they tell anything.';

-- A body without a call id. Two events with the same caller and the same start are of one call: nobody starts two at once. Where
-- the body does not tell them either, the same bytes again within minutes are the provider's second attempt, and later they are another
-- call: received_at is that of the webhook, so a replay finds its own.
CREATE FUNCTION wacta.call_identity(e wacta.ivr_call, fields jsonb, body jsonb, received_at timestamptz) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  digest text := left(encode(sha256(convert_to(body::text, 'UTF8')), 'hex'), 32);
  slot   bigint := floor(extract(epoch FROM received_at) / 300);
BEGIN
  IF e.provider_call_id IS NOT NULL THEN
    RETURN e.provider_call_id;
  ELSIF fields ? 'started_at' AND e.started_at IS NOT NULL AND e.told ? 'customer' THEN
    RETURN format('%s at %s', coalesce(e.caller, e.told #>> '{customer,1}'), to_char(e.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'));
  END IF;
  RETURN coalesce((SELECT c.provider_call_id FROM wacta.ivr_call c
                    WHERE c.source = e.source AND c.provider_call_id = ANY (ARRAY(SELECT format('body %s %s', digest, slot + n) FROM generate_series(-1, 1) n))
                    ORDER BY 1 LIMIT 1), format('body %s %s', digest, slot));
END
$$;
COMMENT ON FUNCTION wacta.call_identity(wacta.ivr_call, jsonb, jsonb, timestamptz) IS
'The provider''s call id, or where there is none what stands for it: caller and start, or the body within five minutes.';

CREATE FUNCTION wacta.apply_ivr(source text, call jsonb, fields jsonb, received_at timestamptz) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  e wacta.ivr_call;
BEGIN
  IF coalesce(fields, '{}') = '{}' THEN
    RETURN 'other';
  END IF;
  e := wacta.read_event(wacta.call_source(source), fields);
  e.provider_call_id := wacta.call_identity(e, fields, call, received_at);
  e.received_at := received_at;
  e.raw := call;
  PERFORM wacta.log_call(e, NULL, NULL, false);
  RETURN 'call';
END
$$;
COMMENT ON FUNCTION wacta.apply_ivr(text, jsonb, jsonb, timestamptz) IS
'Logs what a provider tells of a call, as wacta.body_calls() has found it; says whether it told of one: call or other.';

CREATE FUNCTION wacta.read_call(source text, body text)
RETURNS TABLE (call_id text, direction text, caller text, caller_raw text, called text, status text, state text, digits text, started_at timestamptz,
               duration integer, fields jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  src  wacta.ivr_source := wacta.call_source(source);
  e    wacta.ivr_call;
BEGIN
  IF NOT EXISTS (SELECT FROM wacta.ivr_source s WHERE s.source = $1) THEN
    RAISE EXCEPTION 'there is no IVR source "%"', source USING ERRCODE = '22023', HINT = 'Add it with wacta.add_ivr_source().';
  END IF;
  FOR fields IN SELECT b.fields FROM wacta.body_calls(source, wacta.call_body(convert_to(body, 'UTF8'))) b WHERE b.fields IS NOT NULL LOOP
    e := wacta.read_event(src, fields);
    RETURN QUERY SELECT e.provider_call_id, e.told #>> '{direction,1}', e.caller, e.told #>> '{customer,1}',
      e.told #>> '{called,1}', e.told #>> '{status,1}', wacta.call_state(e.progress, e.answered), e.digits, e.started_at, e.duration, read_call.fields;
  END LOOP;
END
$$;
COMMENT ON FUNCTION wacta.read_call(text, text) IS
'What a body (JSON or a form) would be read as if it came to a source: a row for each call in it. Changes nothing: for who writes a mapping.
fields: what the paths of wacta.ivr_field led to.';
