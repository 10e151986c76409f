-- What tests of the inbound path look at: every row of the domain, and which of them a webhook has added, changed
-- or removed.  For a database with the extension; Wacta::Inbound fills it and calls the functions.
CREATE SCHEMA test;

-- The rows of all tables but those that follow from others (the queue, the rollup) and the inbox itself.
DO $$
DECLARE
  branches text := (
    SELECT string_agg(format('SELECT %L AS name, (%s) AS key, to_jsonb(t) AS data FROM wacta.%I t', c.relname,
                             (SELECT string_agg(format('t.%I::text', a.attname), $s$ || ' ' || $s$ ORDER BY a.attnum) FROM pg_attribute a
                               WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey)), c.relname), ' UNION ALL ')
      FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
     WHERE c.relnamespace = 'wacta'::regnamespace AND c.relkind = 'r' AND c.relname NOT IN ('inbox', 'queue', 'event', 'event_horizon', 'funnel', 'figures_folded', 'audience'));
BEGIN
  EXECUTE 'CREATE VIEW test.state AS ' || branches;
END
$$;

-- Messages that the courier has claimed, the first of them 4711, and the answers that the provider will give it.
CREATE TABLE test.answer (lead_id bigint, message_id bigint, attempt integer, body bytea);
CREATE FUNCTION test.send(channel text, phones text[], answers jsonb[]) RETURNS bigint LANGUAGE sql AS $$
  UPDATE wacta.channel SET is_default = false WHERE is_default;
  UPDATE wacta.channel SET is_default = true WHERE name = $1;
  SELECT wacta.upsert_lead(p, project => 'Green Acres') FROM unnest(phones) p;
  SELECT setval('wacta.lead_or_message_id', 4710);
  SELECT wacta.send_interactive(wacta.lead_by_phone(p)) FROM unnest(phones) WITH ORDINALITY u(p, n) ORDER BY n;
  INSERT INTO test.answer SELECT lead_id, message_id, attempt, convert_to(answers[message_id - 4710]::text, 'UTF8') FROM wacta.courier_claim(0, 10000);
  SELECT count(*) FROM test.answer;
$$;
CREATE FUNCTION test.settle() RETURNS bigint LANGUAGE sql AS $$
  SELECT count(s) FROM (SELECT array_agg(lead_id) AS l, array_agg(message_id) AS m, array_agg(attempt) AS a, array_agg('answered'::text) AS o, array_agg(200) AS h,
                               array_agg(NULL::integer) AS r, array_agg(body) AS b, array_agg(NULL::text) AS e, array_agg(1) AS ms
                          FROM (SELECT * FROM test.answer ORDER BY lead_id, message_id) w) x, LATERAL wacta.courier_settle(l, m, a, o, h, r, b, e, ms) s
   WHERE l IS NOT NULL
$$;

-- As it is before the webhooks.  The ids that come are told by their size from those that are there.
CREATE TABLE test.before (name text, key text, data jsonb, PRIMARY KEY (name, key));
CREATE FUNCTION test.remember() RETURNS bigint LANGUAGE sql AS $$
  DELETE FROM test.before;
  INSERT INTO test.before SELECT * FROM test.state;
  SELECT setval('wacta.lead_or_message_id', 100000);
$$;

-- Whose a row is, by what the person is known as; ids say nothing to a reader and change from run to run.
CREATE FUNCTION test.person(lead_id bigint) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT coalesce((SELECT min(i.kind || ' ' || i.value) FROM wacta.lead_identity i WHERE i.lead_id = $1), 'a lead without identity') $$;

CREATE FUNCTION test.line(sign text, name text, data jsonb, changed jsonb) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT regexp_replace(format('%s %s%s %s', sign, name, ' of ' || test.person((data ->> 'lead_id')::bigint),
           coalesce((SELECT jsonb_object_agg(k, v) FROM jsonb_each(changed) e(k, v)
                      WHERE k NOT IN ('lead_id', 'call_id', 'note_id', 'click_id', 'event_id', 'follow_up_id', 'reply_id', 'held_by', 'fingerprint', 'raw', 'content', 'detail', 'told', 'heard_at', 'progress',
                                      'revision',
                                      'created_at', 'updated_at', 'received_at', 'recorded_by', 'author')
                        AND (sign = '~' OR v NOT IN ('null', '{}', '[]'))), '{}')), '\m10[0-9]{4}\M', 'N', 'g')
$$;

-- The difference from before, a line a row: + is new, ~ has new values, - is gone.
CREATE FUNCTION test.changes() RETURNS SETOF text LANGUAGE sql STABLE AS $$
  SELECT line FROM (
    SELECT CASE WHEN b.key IS NULL THEN test.line('+', s.name, s.data, s.data)
                WHEN s.key IS NULL THEN test.line('-', b.name, b.data, b.data)
                ELSE test.line('~', s.name, s.data, (SELECT jsonb_object_agg(k, s.data -> k) FROM jsonb_object_keys(s.data) k WHERE s.data -> k IS DISTINCT FROM b.data -> k))
           END AS line
      FROM test.state s FULL JOIN test.before b USING (name, key) WHERE s.data IS DISTINCT FROM b.data) c
   WHERE line !~ '^~ .* \{\}$' ORDER BY line COLLATE "C"
$$;

-- Seconds of the processor that this session has had: others at work on the machine do not matter.
CREATE FUNCTION test.cpu_seconds() RETURNS numeric LANGUAGE sql AS $$
  SELECT (s[14]::numeric + s[15]::numeric) / 100 FROM (SELECT regexp_split_to_array(pg_read_file('/proc/self/stat'), ' ') AS s) x
$$;

-- What proves a body, and what came of it.
CREATE FUNCTION test.proof(provider text, body bytea) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN $1 = 'meta' THEN jsonb_build_object('X-Hub-Signature-256', 'sha256=' || encode(wacta.hmac_sha256($2, 'test-app-secret-0123456789'), 'hex'))
              ELSE '{"X-Wacta-Key": "test-webhook-key-0123456789"}'::jsonb END
$$;
CREATE FUNCTION test.inbox_line(id bigint) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT format('%s %s %s %s', CASE WHEN proved THEN CASE WHEN applied_at IS NULL THEN 'pending' ELSE 'applied' END ELSE 'unproved' END,
                items || ' items', waiting || ' waiting', coalesce(result, '{}')) || CASE WHEN errors <> '[]' THEN ' errors ' || errors::text ELSE '' END
    FROM wacta.inbox WHERE inbox_id = $1
$$;

-- What these bodies lead to, one after the other: lines of the inbox, then those of the rows.  Nothing of it stays.
CREATE FUNCTION test.outcome(provider text, kind text, bodies bytea[], again boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  ids   bigint[];
  lines text;
BEGIN
  ids := ARRAY(SELECT wacta.ingest_webhook($1, $2, b, test.proof($1, b)) FROM unnest(bodies) b);
  IF again THEN
    PERFORM wacta.replay(id) FROM unnest(ids) id;
  END IF;
  lines := (SELECT string_agg(test.inbox_line(id), E'\n') FROM unnest(ids) id) || coalesce((SELECT E'\n' || string_agg(c, E'\n') FROM test.changes() c), '');
  RAISE SQLSTATE 'TEST0' USING MESSAGE = lines;
EXCEPTION WHEN SQLSTATE 'TEST0' THEN
  PERFORM setval('wacta.lead_or_message_id', 100000);
  RETURN lines;
END
$$;

-- A plan is a list of bodies, each a list of the numbers of events (statuses) in it; "settle" stands for the courier, which
-- settles what it has sent with the provider's answer then.  What each plan ends in is told once, with the first plan that did.
CREATE FUNCTION test.body_of(provider text, statuses jsonb) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT convert_to(CASE WHEN $1 = 'tata' THEN jsonb_build_object('statuses', $2)
    ELSE jsonb_build_object('entry', jsonb_build_array(jsonb_build_object('id', '102290129340398', 'changes', jsonb_build_array(
           jsonb_build_object('field', 'messages', 'value', jsonb_build_object('messaging_product', 'whatsapp', 'statuses', $2)))))) END::text, 'UTF8')
$$;

-- What waits is applied when it can be; nothing can be left once all has come.
CREATE FUNCTION test.replay_until_none_waits() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  n bigint;
BEGIN
  FOR round IN 1 .. 3 LOOP
    PERFORM wacta.replay(i.inbox_id) FROM (SELECT inbox_id FROM wacta.inbox WHERE waiting > 0 ORDER BY inbox_id) i;
    SELECT count(*) INTO n FROM wacta.inbox WHERE waiting > 0;
    EXIT WHEN n = 0;
  END LOOP;
  RETURN n;
END
$$;

-- But for when we heard of it, until when the sender waits from then on, and which of several reasons it was told last.
CREATE FUNCTION test.lasting_changes() RETURNS SETOF text LANGUAGE sql STABLE AS
$$ SELECT regexp_replace(c, '"(recorded_at|paused_until|status_reason)": "[^"]*"', '"\1": ""', 'g') FROM test.changes() c $$;

-- The clock goes on from body to body.
CREATE FUNCTION test.play(provider text, events jsonb, plan jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  began text := wacta.now();
  part  jsonb;
  body  bytea;
  lines text;
BEGIN
  FOR part IN SELECT * FROM jsonb_array_elements(plan) LOOP
    IF part = '"settle"' THEN
      PERFORM set_config('wacta.fixed_now', began, true);
      PERFORM test.settle();
    ELSE
      PERFORM set_config('wacta.fixed_now', (wacta.now() + interval '1 second')::text, true);
      body := test.body_of($1, (SELECT jsonb_agg(events -> n::integer ORDER BY o) FROM jsonb_array_elements_text(part) WITH ORDINALITY p(n, o)));
      PERFORM wacta.ingest_webhook($1, 'whatsapp', body, test.proof($1, body));
    END IF;
  END LOOP;
  lines := 'waits: ' || (test.replay_until_none_waits() > 0);
  lines := lines
    || coalesce((SELECT E'\nerror: ' || string_agg(errors::text, E'\nerror: ' ORDER BY inbox_id) FROM wacta.inbox WHERE errors <> '[]'), '')
    || coalesce((SELECT E'\n' || string_agg(c, E'\n') FROM test.lasting_changes() c), '');
  RAISE SQLSTATE 'TEST0' USING MESSAGE = lines;
EXCEPTION WHEN SQLSTATE 'TEST0' THEN
  RETURN lines;
END
$$;
CREATE FUNCTION test.plays(provider text, events jsonb, plans jsonb) RETURNS TABLE (times bigint, plan jsonb, outcome text) LANGUAGE sql AS $$
  SELECT count(*), (array_agg(p ORDER BY n))[1], o
    FROM jsonb_array_elements(plans) WITH ORDINALITY x(p, n), LATERAL test.play($1, $2, p) o GROUP BY o ORDER BY count(*) DESC
$$;
