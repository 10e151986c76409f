-- Applying a body: its items one by one in savepoints, so that a bad one costs itself alone; its statuses, of which there may be a
-- thousand, all in one.

CREATE FUNCTION wacta.mend_json(body bytea) RETURNS bytea
LANGUAGE C IMMUTABLE STRICT AS 'MODULE_PATHNAME', 'wacta_mend_json';
COMMENT ON FUNCTION wacta.mend_json(bytea) IS
'JSON in which what jsonb cannot store (bytes that are no UTF-8, \u0000, half a surrogate pair, huge numbers) is replaced.';

CREATE FUNCTION wacta.read_json(body bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN convert_from(body, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded OR statement_too_complex THEN
  RETURN wacta.try_jsonb(wacta.mend_json(body));
END
$$;
COMMENT ON FUNCTION wacta.read_json(bytea) IS
'A body as JSON, NULL when it is none. One strange character does not cost the whole body: see wacta.mend_json().';

-- Says what each of them was. They succeed together or not at all.
CREATE FUNCTION wacta.apply_items(i wacta.inbox, kind text, items jsonb[], contexts jsonb[]) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF kind = 'status' THEN
    RETURN wacta.apply_statuses(items);
  END IF;
  RETURN ARRAY(SELECT wacta.apply_item(i, kind, u.item, u.context) FROM unnest(items, contexts) WITH ORDINALITY u(item, context, n) ORDER BY u.n);
END
$$;
COMMENT ON FUNCTION wacta.apply_items(wacta.inbox, text, jsonb[], jsonb[]) IS 'Applies items of one kind; says what each was, or waiting.';

CREATE FUNCTION wacta.item_error(number integer, kind text, code text, message text) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT jsonb_build_array(jsonb_build_object('item', $1, 'kind', $2, 'code', $3, 'error', left($4, 500))) $$;
COMMENT ON FUNCTION wacta.item_error(integer, text, text, text) IS 'What wacta.inbox.errors says of an item that could not be applied.';

-- In one savepoint; when that fails, each of them in one of its own.
CREATE FUNCTION wacta.try_items(i wacta.inbox, kind text, numbers integer[], items jsonb[], contexts jsonb[],
                                OUT said text[], OUT errors jsonb)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  one record;
BEGIN
  errors := '[]';
  BEGIN
    said := wacta.apply_items(i, kind, items, contexts);
    RETURN;
  EXCEPTION
    -- a deadlock, a full disk or a cancelled statement is not the item's fault: the whole body is to be tried again
    WHEN deadlock_detected OR serialization_failure OR lock_not_available OR query_canceled OR admin_shutdown
      OR insufficient_resources OR system_error THEN
      RAISE;
    WHEN others THEN
      IF cardinality(items) = 1 THEN
        errors := wacta.item_error(numbers[1], kind, SQLSTATE, SQLERRM);
        RETURN;
      END IF;
  END;
  FOR n IN 1 .. cardinality(items) LOOP
    one := wacta.try_items(i, kind, numbers[n:n], items[n:n], contexts[n:n]);
    said := said || one.said;
    errors := errors || one.errors;
  END LOOP;
END
$$;
COMMENT ON FUNCTION wacta.try_items(wacta.inbox, text, integer[], jsonb[], jsonb[]) IS
'Applies items of one kind; says what those were that succeeded, and the errors of the others.';

-- The plans of all that is called from here are for few items and for many, and are made once.
CREATE FUNCTION wacta.apply_inbox(inbox_id bigint) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
  i     wacta.inbox;
  batch record;
  done  record;
  n     integer := 0;
  said  text[] := '{}';
  faults jsonb := '[]';
  counts jsonb;
BEGIN
  SELECT * INTO i FROM wacta.inbox WHERE inbox.inbox_id = $1 FOR NO KEY UPDATE;
  FOR batch IN
    SELECT x.kind, array_agg(x.n::integer) AS numbers, array_agg(x.item) AS items, array_agg(x.context) AS contexts
      FROM wacta.inbox_items(i) WITH ORDINALITY x(kind, item, context, n)
     GROUP BY x.kind, CASE WHEN x.kind <> 'status' THEN x.n END
     ORDER BY x.kind <> 'status', min(x.n)
  LOOP
    i.body := '';                                        -- has been read: megabytes that would be copied by each call
    n := n + cardinality(batch.items);
    done := wacta.try_items(i, batch.kind, batch.numbers, batch.items, batch.contexts);
    said := said || done.said;
    faults := faults || done.errors;
  END LOOP;
  SELECT jsonb_object_agg(w.word, w.times) INTO counts FROM (SELECT word, count(*) AS times FROM unnest(said) word GROUP BY word) w;
  UPDATE wacta.inbox x
     SET applied_at = wacta.now(), items = n, waiting = coalesce((counts ->> 'waiting')::integer, 0), errors = faults, result = counts
   WHERE x.inbox_id = $1
  RETURNING jsonb_build_object('items', x.items, 'waiting', x.waiting, 'errors', x.errors, 'result', x.result) INTO counts;
  RETURN counts;
END
$$;
COMMENT ON FUNCTION wacta.apply_inbox(bigint) IS 'Reads a stored body and applies its items; returns what came of them.';
