-- Applying a body: each item in a savepoint of its own, so that one bad item costs itself alone.

CREATE FUNCTION wacta.apply_inbox(inbox_id bigint) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  i       wacta.inbox;
  item    record;
  said    text;
  n       integer := 0;
  later   integer := 0;
  faults  jsonb := '[]';
  counts  jsonb;
BEGIN
  SELECT * INTO i FROM wacta.inbox WHERE inbox.inbox_id = $1 FOR NO KEY UPDATE;
  -- in the order in which the courier settles them: a batch and a settle wait for each other, and never in a circle
  IF i.kind <> 'ivr' THEN
    PERFORM FROM wacta.message m
      WHERE m.message_id IN (SELECT r[1]::bigint FROM regexp_matches(encode(i.body, 'escape'), 'wacta:outbox:([0-9]{1,18})', 'g') r)
      ORDER BY m.lead_id, m.message_id FOR NO KEY UPDATE;
  END IF;
  FOR item IN SELECT * FROM wacta.inbox_items(i) LOOP
    n := n + 1;
    BEGIN
      said := wacta.apply_item(i, item.kind, item.item, item.value);
      later := later + (said = 'waiting')::integer;
      counts := coalesce(counts, '{}') || jsonb_build_object(said, coalesce((counts ->> said)::integer, 0) + 1);
    EXCEPTION
      -- a deadlock, a full disk or a cancelled statement is not the item's fault: the whole request is to be sent again
      WHEN deadlock_detected OR serialization_failure OR lock_not_available OR query_canceled OR admin_shutdown
        OR insufficient_resources OR system_error THEN
        RAISE;
      WHEN others THEN
        faults := faults || jsonb_build_object('item', n, 'kind', item.kind, 'code', SQLSTATE, 'error', SQLERRM);
    END;
  END LOOP;
  UPDATE wacta.inbox x SET applied_at = wacta.now(), items = n, waiting = later, errors = faults, result = counts
   WHERE x.inbox_id = $1;
  RETURN jsonb_build_object('items', n, 'waiting', later, 'errors', faults, 'result', counts);
END
$$;
COMMENT ON FUNCTION wacta.apply_inbox(bigint) IS 'Reads a stored body and applies each of its items in a savepoint of its own.';
