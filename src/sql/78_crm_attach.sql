-- Attaching a table of a CRM, loading what is there, and detaching it without a trace.

-- All ways to other tables that a mapping has.
CREATE FUNCTION wacta.vias(mapping jsonb) RETURNS TABLE (via jsonb, step integer, relation regclass)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT v.via, s.step, (v.via -> s.step - 1 ->> 'table')::regclass
    FROM (SELECT DISTINCT q AS via FROM jsonb_path_query($1, '$.**.via') q) v, generate_series(1, jsonb_array_length(v.via)) s(step)
$$;
COMMENT ON FUNCTION wacta.vias(jsonb) IS 'The steps to other tables that a mapping has.';

CREATE FUNCTION wacta.source_columns(source jsonb) RETURNS SETOF text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  CASE
    WHEN jsonb_typeof(source) = 'array' THEN RETURN QUERY SELECT c FROM jsonb_array_elements(source) e, wacta.source_columns(e) c;
    WHEN jsonb_typeof(source) = 'string' THEN RETURN QUERY SELECT source #>> '{}';
    WHEN source ? 'sources' THEN RETURN QUERY SELECT wacta.source_columns(source -> 'sources');
    WHEN source ? 'via' THEN RETURN QUERY SELECT j.value FROM jsonb_each_text(source #> '{via,0,on}') j;
    WHEN source ? 'parts' THEN RETURN QUERY SELECT jsonb_array_elements_text(source -> 'parts');
    WHEN source ? 'column' THEN RETURN QUERY SELECT source ->> 'column';
    ELSE RETURN;
  END CASE;
END
$$;
COMMENT ON FUNCTION wacta.source_columns(jsonb) IS 'The columns of the attached table that a field is read from.';

CREATE FUNCTION wacta.drop_row_triggers(table_id integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  t record;
BEGIN
  FOR t IN SELECT x.tgrelid::regclass AS relation, x.tgname FROM pg_trigger x
            WHERE x.tgfoid IN ('wacta.pull_changed()'::regprocedure, 'wacta.pull_linked()'::regprocedure) AND x.tgparentid = 0
              AND split_part(encode(x.tgargs, 'escape'), '\000', 1) = $1::text LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, t.relation);
  END LOOP;
END
$$;
COMMENT ON FUNCTION wacta.drop_row_triggers(integer) IS 'Drops the triggers of an attached table.';

CREATE FUNCTION wacta.create_row_triggers(t wacta.lead_table) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  watched text := (SELECT string_agg(format('OLD.%1$I::text IS DISTINCT FROM NEW.%1$I::text', c.name), ' OR ')
                     FROM (SELECT unnest(t.key) UNION SELECT wacta.source_columns(f.value) FROM jsonb_each(t.mapping - 'on_failure') f) c(name));
  v record;
BEGIN
  EXECUTE format('CREATE TRIGGER wacta_pull AFTER INSERT OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION wacta.pull_changed(%L)', t.relation, t.table_id);
  EXECUTE format('CREATE TRIGGER wacta_pull_update AFTER UPDATE ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION wacta.pull_changed(%L)', t.relation, watched, t.table_id);
  EXECUTE format('CREATE TRIGGER wacta_pull_truncate AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION wacta.pull_changed(%L)', t.relation, t.table_id);
  FOR v IN SELECT x.*, row_number() OVER () AS n FROM wacta.vias(t.mapping) x LOOP
    EXECUTE format('CREATE TRIGGER %I AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION wacta.pull_linked(%L, %L, %L)',
                   format('wacta_pull_%s_%s', t.table_id, v.n), v.relation, t.table_id, v.step, v.via);
  END LOOP;
END
$$;
COMMENT ON FUNCTION wacta.create_row_triggers(wacta.lead_table) IS 'Makes the triggers of an attached table, on it and on those that it is read through.';

CREATE FUNCTION wacta.check_attachable(caller oid, relation regclass) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c pg_class;
BEGIN
  SELECT * INTO c FROM pg_class x WHERE x.oid = relation;
  IF c.relkind IS NULL OR c.relkind NOT IN ('r', 'p') OR c.relpersistence = 't' OR c.relispartition
     OR c.relnamespace::regnamespace::text ~ '^(wacta|wacta_api|wacta_http|pg_catalog|information_schema|pg_toast)$' THEN
    RAISE EXCEPTION '% cannot be attached', coalesce(relation::text, 'NULL') USING ERRCODE = '42809', HINT = 'Attach a table of your own: no view, no partition, no temporary table.';
  ELSIF NOT pg_has_role(caller, c.relowner, 'USAGE') THEN
    RAISE EXCEPTION 'must be owner of table %', relation USING ERRCODE = '42501', HINT = 'wacta reads and writes it with the owner''s rights, so only the owner can attach it.';
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.check_attachable(oid, regclass) IS 'An error when a table cannot be attached, or not by this role.';

CREATE FUNCTION wacta.attach_lead_table_for(caller oid, relation regclass, mapping jsonb, load boolean) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  owner  oid := wacta.table_owner(relation);
  checked jsonb;
  t      wacta.lead_table;
BEGIN
  PERFORM wacta.check_attachable(caller, relation);
  checked := wacta.check_mapping(owner, relation, mapping);
  PERFORM wacta.check_attachable(caller, v.relation) FROM wacta.vias(checked) v;
  DELETE FROM wacta.lead_table x WHERE wacta.table_owner(x.relation) IS NULL;          -- dropped meanwhile
  INSERT INTO wacta.lead_table AS x (relation, mapping, key, fields, expressions, attached_by)
  SELECT $2, checked, wacta.check_key(relation, $3 -> 'key'), array_agg(e.field ORDER BY e.field, e.n), array_agg(e.expression ORDER BY e.field, e.n), pg_get_userbyid(caller)
    FROM (SELECT f.key AS field, u.expression, u.n FROM jsonb_each(checked - 'on_failure') f,
                 unnest(wacta.field_expressions($2, f.key, coalesce(f.value -> 'sources', f.value))) WITH ORDINALITY u(expression, n)) e
  ON CONFLICT ON CONSTRAINT lead_table_relation_key DO UPDATE
    SET mapping = excluded.mapping, key = excluded.key, fields = excluded.fields, expressions = excluded.expressions, attached_by = excluded.attached_by, attached_at = excluded.attached_at
  RETURNING * INTO t;
  PERFORM wacta.drop_row_triggers(t.table_id), wacta.create_row_triggers(t);
  PERFORM wacta.load_rows(t) WHERE load;
  RETURN (SELECT count(*) FROM wacta.lead_row r WHERE r.table_id = t.table_id AND r.lead_id IS NOT NULL);
END
$$;
COMMENT ON FUNCTION wacta.attach_lead_table_for(oid, regclass, jsonb, boolean) IS 'Does the work of wacta.attach_lead_table() for who called it.';

CREATE FUNCTION wacta.attach_lead_table(relation regclass, mapping jsonb, load boolean DEFAULT true) RETURNS bigint
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wacta_call_with_caller';
COMMENT ON FUNCTION wacta.attach_lead_table(regclass, jsonb, boolean) IS
'Binds the rows of an existing table to leads, both ways; again with another mapping replaces it. Returns how many rows are bound.
load: the rows that are there at once; else by wacta.load_lead_table(), in parts. Only the table''s owner can; docs/crm.md has the mapping.';

-- (Plans are kept, and were made when the tables that fill here were empty: without the setting they would read all of them each time.)
CREATE FUNCTION wacta.load_rows(t wacta.lead_table, after text[] DEFAULT NULL, max integer DEFAULT NULL) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
AS $$
DECLARE
  names text := (SELECT string_agg(format('t0.%I', k), ', ' ORDER BY n) FROM unnest(t.key) WITH ORDINALITY u(k, n));
  since text := (SELECT string_agg(format('$%s::%s', n, wacta.column_type(t.relation, k)), ', ' ORDER BY n) FROM unnest(t.key) WITH ORDINALITY u(k, n));
  sql   text := format('SELECT %s FROM %s t0%s ORDER BY %s%s', names, t.relation, format(' WHERE (%s) > (%s)', names, since) || left(after::text, 0), names, ' LIMIT ' || max);
  n     integer := 0;
  key   text[];
BEGIN
  FOR key IN SELECT q FROM wacta.query_as(wacta.table_owner(t.relation), sql, coalesce(after, '{}')) q LOOP
    PERFORM wacta.pull_or_park(t, key);
    n := n + 1;
    IF n % 10000 = 0 THEN
      RAISE NOTICE '% rows of % are read', n, t.relation;
    END IF;
  END LOOP;
  RETURN key;
END
$$;
COMMENT ON FUNCTION wacta.load_rows(wacta.lead_table, text[], integer) IS 'Pulls rows in the order of their key; returns the last key, NULL when there was none.';

CREATE FUNCTION wacta.lead_table_of(caller oid, relation regclass) RETURNS wacta.lead_table
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  t wacta.lead_table;
BEGIN
  PERFORM wacta.check_attachable(caller, relation);
  SELECT * INTO t FROM wacta.lead_table x WHERE x.relation = $2;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'table % is not attached', relation USING ERRCODE = '55000', HINT = 'wacta.lead_table lists those that are.';
  END IF;
  RETURN t;
END
$$;
COMMENT ON FUNCTION wacta.lead_table_of(oid, regclass) IS 'An attached table; an error when it is none, or not the caller''s.';

CREATE FUNCTION wacta.load_lead_table_for(caller oid, relation regclass, after text[], max integer) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN wacta.load_rows(wacta.lead_table_of(caller, relation), after, max);
END
$$;
COMMENT ON FUNCTION wacta.load_lead_table_for(oid, regclass, text[], integer) IS 'Does the work of wacta.load_lead_table() for who called it.';

CREATE FUNCTION wacta.load_lead_table(relation regclass, after text[] DEFAULT NULL, max integer DEFAULT 10000) RETURNS text[]
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wacta_call_with_caller';
COMMENT ON FUNCTION wacta.load_lead_table(regclass, text[], integer) IS
'Binds the next rows of an attached table, in the order of its key, and returns the key of the last one, to go on after; NULL: all are
read. A large table is bound in many transactions by it, and nobody waits long.';

CREATE FUNCTION wacta.detach_lead_table_for(caller oid, relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  t wacta.lead_table := wacta.lead_table_of(caller, relation);
BEGIN
  PERFORM wacta.drop_row_triggers(t.table_id);
  DELETE FROM wacta.lead_table x WHERE x.table_id = t.table_id;
END
$$;
COMMENT ON FUNCTION wacta.detach_lead_table_for(oid, regclass) IS 'Does the work of wacta.detach_lead_table() for who called it.';

CREATE FUNCTION wacta.detach_lead_table(relation regclass) RETURNS void
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wacta_call_with_caller';
COMMENT ON FUNCTION wacta.detach_lead_table(regclass) IS
'Ends what wacta.attach_lead_table() began: triggers and bindings go, the rows and their leads stay as they are.';

CREATE FUNCTION wacta.sync_row(t wacta.lead_table, r wacta.lead_row) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM wacta.pull_row(t, r.key);
  RETURN NOT EXISTS (SELECT FROM wacta.lead_row x WHERE (x.table_id, x.key) = (r.table_id, r.key) AND x.state IN ('busy', 'failed'));
EXCEPTION
  WHEN serialization_failure OR deadlock_detected THEN RAISE;
  WHEN others THEN
    PERFORM wacta.note_row_failure(t, r.key, 'failed', SQLERRM);
    RETURN false;
END
$$;
COMMENT ON FUNCTION wacta.sync_row(wacta.lead_table, wacta.lead_row) IS 'Tries again to bring a row and its lead into line; false when that failed.';

CREATE FUNCTION wacta.sync_lead_tables(max integer DEFAULT 1000) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n integer;
BEGIN
  DELETE FROM wacta.lead_table t WHERE wacta.table_owner(t.relation) IS NULL;
  SELECT count(*) FILTER (WHERE wacta.sync_row(t, r)) INTO n
    FROM (SELECT * FROM wacta.lead_row x WHERE x.state IN ('busy', 'failed') ORDER BY x.since LIMIT $1) r JOIN wacta.lead_table t USING (table_id);
  RETURN n;
END
$$;
COMMENT ON FUNCTION wacta.sync_lead_tables(integer) IS
'Tries again what could not be written or read in attached tables, and forgets tables that were dropped; returns how many rows agree now.';

INSERT INTO wacta.schedule (job, command, every, full_at) VALUES
  ('crm_rows', 'SELECT wacta.sync_lead_tables()', '1 minute', 1000),
  ('assignment', 'SELECT wacta.assign_leads()', '1 minute', 1000);
