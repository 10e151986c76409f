-- What must hold of whatever comes in, body by body: for a world of Wacta::Inbound.  A finding is a line
-- "what: more of it"; the same "what" is the same finding, whatever the body.
CREATE TABLE test.body (n bigint PRIMARY KEY, provider text, kind text, body bytea);

-- A person and their messages that no body names: nothing of it may be written.
SELECT setval('wacta.lead_or_message_id', 7777777776);
SELECT wacta.upsert_lead('+919000000999', 'Sentinel', 'Green Acres') AS sentinel;
SELECT wacta.send_interactive(wacta.lead_by_phone('+919000000999')), wacta.schedule_follow_up(wacta.lead_by_phone('+919000000999'), 'to be called');
CREATE TABLE test.written (name text);
CREATE FUNCTION test.written() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO test.written VALUES (TG_TABLE_NAME); RETURN NULL; END $$;
DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'lead_id'
               WHERE c.relnamespace = 'wacta'::regnamespace AND c.relkind = 'r' LOOP
    EXECUTE format('CREATE TRIGGER written AFTER INSERT OR UPDATE ON wacta.%I FOR EACH ROW WHEN (NEW.lead_id = %s) EXECUTE FUNCTION test.written()', name, wacta.lead_by_phone('+919000000999'));
    EXECUTE format('CREATE TRIGGER gone AFTER DELETE ON wacta.%I FOR EACH ROW WHEN (OLD.lead_id = %s) EXECUTE FUNCTION test.written()', name, wacta.lead_by_phone('+919000000999'));
  END LOOP;
END
$$;

-- Words without which nobody's consent may change, but when two people turn out to be one, or one has the number
-- of another; an escape may spell any of them.
CREATE FUNCTION test.may_change_consent(body bytea) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM unnest((SELECT stop_words || stop_phrases || start_words || interested_words || not_interested_words FROM wacta.config) || '{131050,resume,stop,interested,\\u}'::text[]) word
                  WHERE position(encode(convert_to(word, 'UTF8'), 'escape') IN lower(encode($1, 'escape'))) > 0)
$$;

-- What the inbox says of one that was proved.
CREATE FUNCTION test.faults(b test.body, id bigint) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  i wacta.inbox;
  e jsonb;
BEGIN
  SELECT * INTO i FROM wacta.inbox WHERE inbox_id = id;
  IF i.inbox_id IS NULL THEN
    RETURN NEXT 'not stored';
  ELSIF NOT i.proved THEN
    IF NOT (b.kind = 'ivr' AND NOT EXISTS (SELECT FROM wacta.ivr_source s WHERE s.source = b.provider)) THEN
      RETURN NEXT 'not proved: ' || i.reason;
    END IF;
    RETURN;
  END IF;
  IF i.body IS DISTINCT FROM b.body THEN
    RETURN NEXT 'not stored as it came';
  ELSIF i.applied_at IS NULL THEN
    RETURN NEXT 'not applied';
  END IF;
  -- an item that is refused is one that some function did not expect
  FOR e IN SELECT * FROM jsonb_array_elements(i.errors) LOOP
    RETURN NEXT format('error %s of a %s: %s', e ->> 'code', e ->> 'kind', e ->> 'error');
  END LOOP;
END
$$;

-- Takes a body for good and tells what is wrong.
CREATE FUNCTION test.examine(nr bigint) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  b       test.body;
  began   numeric;
  id      bigint;
  newest  bigint := coalesce(pg_sequence_last_value('wacta.consent_event_event_id_seq'), 0);
  seconds numeric;
BEGIN
  SELECT * INTO b FROM test.body WHERE n = nr;
  began := test.cpu_seconds();
  BEGIN
    id := wacta.ingest_webhook(b.provider, b.kind, b.body, test.proof(b.provider, b.body));
  EXCEPTION WHEN others THEN
    RETURN NEXT format('raised %s: %s', SQLSTATE, SQLERRM);
    RETURN;
  END;
  seconds := test.cpu_seconds() - began;
  IF seconds > 1 + octet_length(b.body) / 1e6 THEN
    RETURN NEXT format('slow: %s s for %s bytes', round(seconds, 2), octet_length(b.body));
  END IF;
  RETURN QUERY SELECT * FROM test.faults(b, id);
  RETURN QUERY SELECT 'somebody else''s row was written: ' || name FROM test.written;
  DELETE FROM test.written;
  IF pg_sequence_last_value('wacta.consent_event_event_id_seq') > newest AND NOT test.may_change_consent(b.body) THEN
    RETURN QUERY SELECT format('consent was %s by %s without a word of it: %s', c.event, c.kind, to_jsonb(c))
      FROM wacta.consent_event c WHERE c.event_id > newest AND c.kind NOT IN ('merge', 'import') AND NOT (b.kind = 'ivr' AND c.event = 'granted');
  END IF;
END
$$;

-- The tables whose lines are not the same.
CREATE FUNCTION test.tables_of(once text, again text) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(DISTINCT split_part(line, ' ', 2), ' ' ORDER BY split_part(line, ' ', 2)) FROM (
    (SELECT regexp_split_to_table(once, E'\n') AS line EXCEPT ALL SELECT regexp_split_to_table(again, E'\n'))
    UNION ALL (SELECT regexp_split_to_table(again, E'\n') EXCEPT ALL SELECT regexp_split_to_table(once, E'\n'))) x
$$;

-- Takes a body and gives everything back: a second application changes nothing, and only what webhooks are about changes at all.
CREATE FUNCTION test.examine_again(nr bigint) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  b      test.body;
  id     bigint;
  once   text;
  again  text;
  found  text[];
BEGIN
  SELECT * INTO b FROM test.body WHERE n = nr;
  id := wacta.ingest_webhook(b.provider, b.kind, b.body, test.proof(b.provider, b.body));
  found := ARRAY(SELECT * FROM test.faults(b, id));
  once := (SELECT string_agg(c, E'\n') FROM test.changes() c);
  IF (SELECT proved FROM wacta.inbox WHERE inbox_id = id) THEN
    PERFORM wacta.replay(id);
    again := (SELECT string_agg(c, E'\n') FROM test.changes() c);
  ELSE
    again := once;
  END IF;
  IF again IS DISTINCT FROM once THEN
    found := found || format(E'a replay has changed %s: from\n%s\nto\n%s', test.tables_of(once, again), once, again);
  END IF;
  IF once ~ '(^|\n). (config|credential|staff|signing_key|ivr_source|ivr_field|project|price|error_rule|country) ' THEN
    found := found || format(E'a setting has changed: %s', once);
  END IF;
  RAISE SQLSTATE 'TEST0';
EXCEPTION
  WHEN SQLSTATE 'TEST0' THEN
    PERFORM setval('wacta.lead_or_message_id', 100000);
    RETURN QUERY SELECT unnest(found);
  WHEN others THEN
    RETURN NEXT format('raised %s: %s', SQLSTATE, SQLERRM);
END
$$;

-- What waits is tried again some times and then given up: nothing is tried for ever, and nothing fails. The clock goes ten days on.
CREATE PROCEDURE test.wait_for_all() LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := wacta.now();
BEGIN
  FOR step IN 1 .. 30 LOOP
    PERFORM set_config('wacta.fixed_now', (began + step * interval '8 hours')::text, false);
    FOR turn IN 1 .. 10000 LOOP
      EXIT WHEN wacta.replay_waiting() = 0;
      COMMIT;
      ASSERT turn < 10000, 'what waits is tried for ever';
    END LOOP;
  END LOOP;
  PERFORM set_config('wacta.fixed_now', began::text, false);
END
$$;
