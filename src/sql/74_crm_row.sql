-- The rows of attached tables and their leads: read, pulled, pushed. See 73_crm_table.sql.

-- Reading a row

CREATE FUNCTION wacta.table_owner(relation regclass) RETURNS oid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT c.relowner FROM pg_class c WHERE c.oid = $1);
END
$$;
COMMENT ON FUNCTION wacta.table_owner(regclass) IS 'The owner of a table; NULL: the table is gone.';

-- By its name and schema, for what else is called so in another schema could be anybody's.
CREATE FUNCTION wacta.equality(relation regclass, name text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN coalesce((
    SELECT format('OPERATOR(%I.%s)', o.oprnamespace::regnamespace::name, o.oprname)
      FROM pg_attribute a JOIN pg_opclass c ON c.opcintype = a.atttypid AND c.opcdefault JOIN pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
      JOIN pg_amop p ON (p.amopfamily, p.amoplefttype, p.amoprighttype, p.amopstrategy) = (c.opcfamily, c.opcintype, c.opcintype, 3) JOIN pg_operator o ON o.oid = p.amopopr
     WHERE a.attrelid = $1 AND a.attname = $2), 'OPERATOR(pg_catalog.=)');
END
$$;
COMMENT ON FUNCTION wacta.equality(regclass, text) IS 'SQL for the operator by which a column of a key is compared.';

CREATE FUNCTION wacta.key_condition(t wacta.lead_table, first integer DEFAULT 1) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT string_agg(format('t0.%I %s $%s::%s', k, wacta.equality(t.relation, k), n + first - 1, wacta.column_type(t.relation, k)), ' AND ' ORDER BY n) FROM unnest(t.key) WITH ORDINALITY u(k, n));
END
$$;
COMMENT ON FUNCTION wacta.key_condition(wacta.lead_table, integer) IS 'SQL for the condition that a row t0 has the key in the parameters from the first.';

CREATE FUNCTION wacta.read_row(t wacta.lead_table, key text[]) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT q FROM wacta.query_as(wacta.table_owner(t.relation), format('SELECT %s FROM %s t0 WHERE %s', array_to_string(t.expressions, ', '), t.relation, wacta.key_condition(t)), key) q);
END
$$;
COMMENT ON FUNCTION wacta.read_row(wacta.lead_table, text[]) IS 'The texts of a row''s fields, in their order; NULL: there is no such row.';

CREATE FUNCTION wacta.meaning(t wacta.lead_table, field text, value text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF value IS NULL OR value = '' THEN
    RETURN NULL;
  ELSIF t.mapping -> field ? 'words' THEN
    RETURN (SELECT w.key FROM jsonb_each(t.mapping -> field -> 'words') w WHERE w.value ? $3 ORDER BY w.key LIMIT 1);
  END IF;
  RETURN CASE WHEN field <> 'status' OR value IN ('New', 'Contacted', 'Interested', 'Not Interested') THEN value END;
END
$$;
COMMENT ON FUNCTION wacta.meaning(wacta.lead_table, text, text) IS 'What a value of a field means for a lead; NULL: nothing.';

-- Pull: from the row to the lead

CREATE FUNCTION wacta.stage_of(status text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT CASE $1 WHEN 'Not Interested' THEN 'Cold' ELSE $1 END $$;
COMMENT ON FUNCTION wacta.stage_of(text) IS 'The stage that goes with a status.';

-- Who is known already has said more than the CRM knows: a row that is bound to them brings what they lack, and its opt-out.
CREATE FUNCTION wacta.pull_fields(t wacta.lead_table, l wacta.lead, value jsonb, is_first boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  x wacta.lead := l;
BEGIN
  x.name := coalesce(wacta.clean_name(wacta.meaning(t, 'name', value ->> 'name')), l.name);
  x.project_id := coalesce(wacta.project_of_row(t, value), l.project_id);
  x.owner := coalesce(wacta.meaning(t, 'owner', value ->> 'owner'), CASE WHEN is_first OR NOT value ? 'owner' THEN l.owner END);
  IF NOT is_first OR l.status = 'New' THEN
    x.status := coalesce(wacta.meaning(t, 'status', value ->> 'status'), l.status);
    x.stage := coalesce(wacta.meaning(t, 'stage', value ->> 'stage'), CASE WHEN x.status <> l.status THEN wacta.stage_of(x.status) END, l.stage);
  END IF;
  IF x IS DISTINCT FROM l THEN
    UPDATE wacta.lead y SET name = x.name, project_id = x.project_id, owner = x.owner, status = x.status, stage = x.stage, updated_at = wacta.now()
     WHERE y.lead_id = l.lead_id;
    PERFORM wacta.end_pending(l.lead_id, 'cancelled', 'not interested, says the CRM', '{pitch}') WHERE x.status = 'Not Interested' AND l.status <> x.status;
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.pull_fields(wacta.lead_table, wacta.lead, jsonb, boolean) IS 'Takes what has changed in a row over into its lead; is_first: the row has just been bound to it.';

CREATE FUNCTION wacta.pull_consent(t wacta.lead_table, l wacta.lead, key text[], value text, is_first boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  meaning  text := wacta.meaning(t, 'opt_out', value);
  evidence jsonb := jsonb_build_object('kind', 'staff', 'table', t.relation::text, 'key', to_jsonb(key), 'by', session_user);
BEGIN
  IF meaning = 'withdrawn' AND l.consent <> 'withdrawn' THEN
    PERFORM wacta.withdraw(l.lead_id, 'opted out in the CRM', evidence), wacta.add_note(l.lead_id, 'Opted out in the CRM');
  ELSIF meaning = 'granted' AND l.consent = 'withdrawn' AND NOT is_first THEN
    PERFORM wacta.record_consent(l.lead_id, 'granted', 'opt_in', evidence), wacta.add_note(l.lead_id, 'Opted in, in the CRM');
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.pull_consent(wacta.lead_table, wacta.lead, text[], text, boolean) IS
'Takes an opt-out of a row over, and that it was taken back by hand, which is a word of staff; that a new row has none says nothing.';

CREATE FUNCTION wacta.hashes(value jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT coalesce(jsonb_object_agg(e.key, hashtext(e.value)), '{}') FROM jsonb_each_text($1) e);
END
$$;
COMMENT ON FUNCTION wacta.hashes(jsonb) IS 'A hash of each value of an object.';

CREATE FUNCTION wacta.project_of_row(t wacta.lead_table, value jsonb) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN wacta.project_id(left(wacta.clean_name(wacta.meaning($1, 'project', $2 ->> 'project')), 200));
END
$$;
COMMENT ON FUNCTION wacta.project_of_row(wacta.lead_table, jsonb) IS 'The project that a row names, made when it is a new one.';

-- A name or a project are given when the lead is made, so that it is assigned by them.
CREATE FUNCTION wacta.lead_of_row(t wacta.lead_table, phone text, value jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT coalesce(wacta.lead_by_number(ltrim($2, '+')),
      wacta.find_or_create_lead('phone', $2, wacta.clean_name(wacta.meaning($1, 'name', $3 ->> 'name')),
                                wacta.project_of_row($1, $3), $1.relation::text)));
END
$$;
COMMENT ON FUNCTION wacta.lead_of_row(wacta.lead_table, text, jsonb) IS 'The lead with a row''s phone, made when there is none.';

-- One statement may give a row the key that another one had: then each key is looked at anew, for nobody knows whose it was.
CREATE FUNCTION wacta.move_row(t wacta.lead_table, key text[], old_key text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF wacta.read_row(t, old_key) IS NULL AND NOT EXISTS (SELECT FROM wacta.lead_row r WHERE (r.table_id, r.key) = (t.table_id, $2)) THEN
    UPDATE wacta.lead_row r SET key = $2 WHERE (r.table_id, r.key) = (t.table_id, old_key);
  ELSE
    PERFORM wacta.pull_row(t, old_key);
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.move_row(wacta.lead_table, text[], text[]) IS 'A row has another key: what is bound to it goes along.';

CREATE FUNCTION wacta.pull_row(t wacta.lead_table, key text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  texts   text[] := wacta.read_row(t, key);
  r       wacta.lead_row;
  value   jsonb;
  phones  text[];
  phone   text;
  l       wacta.lead;
  changed jsonb;
BEGIN
  SELECT * INTO r FROM wacta.lead_row x WHERE (x.table_id, x.key) = (t.table_id, $2);
  IF texts IS NULL THEN
    DELETE FROM wacta.lead_row x WHERE (x.table_id, x.key) = (t.table_id, $2);
    RETURN;
  ELSIF r.state = 'forgotten' THEN
    RETURN;                                              -- whoever it was is not to be known here again
  END IF;
  phones := ARRAY(SELECT u.text FROM unnest(texts, t.fields) WITH ORDINALITY u(text, field, n) WHERE u.field = 'phone' AND btrim(u.text) <> '' ORDER BY u.n);
  phone := (SELECT p FROM (SELECT wacta.read_number(u.text) AS p, n FROM unnest(phones) WITH ORDINALITY u(text, n)) x WHERE p IS NOT NULL ORDER BY n LIMIT 1);
  value := (SELECT coalesce(jsonb_object_agg(u.field, u.text) FILTER (WHERE u.field <> 'phone'), '{}') FROM unnest(texts, t.fields) u(text, field)) || jsonb_build_object('phone', phone);
  IF phone IS NULL THEN
    INSERT INTO wacta.lead_row (table_id, key, state) VALUES (t.table_id, $2, CASE phones WHEN '{}' THEN 'no_phone' ELSE 'bad_phone' END)
    ON CONFLICT ON CONSTRAINT lead_row_pkey DO UPDATE SET lead_id = NULL, state = excluded.state, error = NULL, seen = '{}', since = excluded.since;
    RETURN;
  END IF;
  IF r.lead_id IS NULL OR r.seen -> 'phone' IS DISTINCT FROM to_jsonb(hashtext(phone)) THEN
    r.lead_id := wacta.lead_of_row(t, phone, value);
    r.seen := NULL;
  END IF;
  l := wacta.lock_lead(r.lead_id);
  IF r.seen IS NOT NULL THEN                             -- again: whoever held the lead may have passed over this row
    SELECT x.seen, x.state INTO r.seen, r.state FROM wacta.lead_row x WHERE (x.table_id, x.key) = (t.table_id, $2);
  END IF;
  changed := (SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') FROM jsonb_each(value) e
               WHERE r.seen IS NULL OR r.seen -> e.key IS DISTINCT FROM to_jsonb(hashtext(e.value #>> '{}')));
  INSERT INTO wacta.lead_row (table_id, key, lead_id, seen) VALUES (t.table_id, $2, l.lead_id, wacta.hashes(value))
  ON CONFLICT ON CONSTRAINT lead_row_pkey DO UPDATE SET lead_id = excluded.lead_id, state = 'bound', error = NULL, seen = excluded.seen, since = excluded.since
   WHERE (lead_row.lead_id, lead_row.state, lead_row.seen) IS DISTINCT FROM (excluded.lead_id, 'bound', excluded.seen);
  IF changed <> '{}' THEN
    PERFORM wacta.pull_fields(t, l, changed, r.seen IS NULL), wacta.pull_consent(t, l, $2, changed ->> 'opt_out', r.seen IS NULL);
  END IF;
  IF r.seen IS NULL OR r.state IN ('busy', 'failed') THEN
    PERFORM wacta.push_row(t, $2, wacta.lock_lead(l.lead_id), '{status,stage,opt_out,owner,name,project}');
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.pull_row(wacta.lead_table, text[]) IS
'Binds a row to the lead with its phone, and takes over what has changed in it since both agreed. A row that is bound first then gets
what its lead has.';

CREATE FUNCTION wacta.note_row_failure(t wacta.lead_table, key text[], state text, error text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
  INSERT INTO wacta.lead_row (table_id, key, state, error) VALUES (t.table_id, $2, $3, left($4, 500))
  ON CONFLICT ON CONSTRAINT lead_row_pkey DO UPDATE SET state = excluded.state, error = excluded.error, since = excluded.since
$$;
COMMENT ON FUNCTION wacta.note_row_failure(wacta.lead_table, text[], text, text) IS 'Notes that a row and its lead differ, to try again later.';

-- What goes wrong at wacta does not stop the CRM, nor what goes wrong at the CRM a customer's tap, unless the mapping says so.
CREATE FUNCTION wacta.pull_or_park(t wacta.lead_table, key text[], old_key text[] DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM wacta.move_row(t, key, old_key) WHERE old_key <> key;
  PERFORM wacta.pull_row(t, key);
EXCEPTION
  WHEN serialization_failure OR deadlock_detected THEN RAISE;
  WHEN others THEN
    IF t.mapping ->> 'on_failure' = 'fail' AND NOT wacta.in_worker() THEN
      RAISE;
    END IF;
    PERFORM wacta.note_row_failure(t, key, 'failed', SQLERRM);
END
$$;
COMMENT ON FUNCTION wacta.pull_or_park(wacta.lead_table, text[], text[]) IS
'Pulls a row, which may have had another key, in a savepoint; an error is noted, or raised where the mapping says fail.';

CREATE FUNCTION wacta.pull_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
AS $$
DECLARE
  t       wacta.lead_table;
  old_key text[];
  new_key text[];
BEGIN
  SELECT * INTO t FROM wacta.lead_table x WHERE x.table_id = TG_ARGV[0]::integer;
  IF NOT FOUND OR pg_trigger_depth() > 20 THEN           -- a trigger of the CRM may undo for ever what a push writes
    RETURN NULL;
  END IF;
  IF TG_OP = 'TRUNCATE' THEN
    DELETE FROM wacta.lead_row r WHERE r.table_id = t.table_id;
    RETURN NULL;
  ELSIF TG_OP <> 'INSERT' THEN
    old_key := wacta.texts_of(OLD, t.key);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    new_key := wacta.texts_of(NEW, t.key);
  END IF;
  IF TG_OP = 'DELETE' THEN
    DELETE FROM wacta.lead_row r WHERE (r.table_id, r.key) = (t.table_id, old_key);
  END IF;
  PERFORM wacta.pull_or_park(t, new_key, old_key) WHERE new_key IS NOT NULL;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.pull_changed() IS 'Trigger on an attached table: what changes in a row changes its lead; a row that goes leaves its lead as it is.';

-- Compared with the texts that the columns have in this session, so it is one of them. A value goes through its type's output function,
-- never through a cast, which could be its owner's code.
CREATE FUNCTION wacta.link_of(names text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT format('SELECT ARRAY[%s]', string_agg(format('format(''%%s'', ($1).%I)', n), ', ')) FROM unnest($1) n $$;
COMMENT ON FUNCTION wacta.link_of(text[]) IS 'SQL for the texts of columns of the row in the first parameter.';

-- The rows of the attached table that a row of a table on the way belongs to, also when it no longer does.
CREATE FUNCTION wacta.pull_linked() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
AS $$
DECLARE
  t     wacta.lead_table;
  step  integer := TG_ARGV[1];
  via   jsonb := TG_ARGV[2];
  names text[] := ARRAY(SELECT o.key FROM jsonb_each_text(via -> step - 1 -> 'on') o ORDER BY o.key);
  sql   text;
  link  text[];
BEGIN
  SELECT * INTO t FROM wacta.lead_table x WHERE x.table_id = TG_ARGV[0]::integer;
  IF NOT FOUND OR pg_trigger_depth() > 20 THEN
    RETURN NULL;
  END IF;
  sql := format('SELECT DISTINCT %s FROM %s t0%s WHERE %s', (SELECT string_agg(format('t0.%I', k), ', ' ORDER BY n) FROM unnest(t.key) WITH ORDINALITY u(k, n)),
                t.relation, wacta.via_from(t.relation, via, step - 1),
                (SELECT string_agg(format('t%s.%I::text = $%s', step - 1, via -> step - 1 -> 'on' ->> n.name, n.n), ' AND ') FROM unnest(names) WITH ORDINALITY n(name, n)));
  IF TG_OP <> 'INSERT' THEN
    EXECUTE wacta.link_of(names) INTO link USING OLD;
    PERFORM wacta.pull_or_park(t, q) FROM wacta.query_as(wacta.table_owner(t.relation), sql, link) q;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    EXECUTE wacta.link_of(names) INTO link USING NEW;
    PERFORM wacta.pull_or_park(t, q) FROM wacta.query_as(wacta.table_owner(t.relation), sql, link) q;
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.pull_linked() IS 'Trigger on a table that an attached one is read through: the rows that it belongs to are read again.';

-- Push: from the lead to its rows

CREATE FUNCTION wacta.outgoing(t wacta.lead_table, l wacta.lead, fields text[]) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT coalesce(jsonb_object_agg(v.field, CASE WHEN m ? 'words' THEN m -> 'words' -> v.value -> 0 ELSE to_jsonb(v.value) END), '{}')
      FROM (VALUES ('status', l.status), ('stage', l.stage), ('opt_out', l.consent), ('owner', l.owner), ('name', l.name),
                   ('project', (SELECT p.name FROM wacta.project p WHERE p.project_id = l.project_id))) v(field, value)
     CROSS JOIN LATERAL (SELECT t.mapping -> v.field AS m) m
     WHERE v.field = ANY ($3) AND m ->> 'direction' IN ('out', 'both') AND (NOT m ? 'words' OR m -> 'words' ? v.value));
END
$$;
COMMENT ON FUNCTION wacta.outgoing(wacta.lead_table, wacta.lead, text[]) IS 'What is to stand in a row, by field; a value that has no word there is left out.';

-- Triggers of the CRM find what they name where its sessions do.
CREATE FUNCTION wacta.table_path(relation regclass) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT format('pg_catalog, %I, public, pg_temp', n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1);
END
$$;
COMMENT ON FUNCTION wacta.table_path(regclass) IS 'The search_path with which a table is written: its own schema and public.';

-- Who holds the row is not waited for: they hold it before their lead, and we the lead before the row. They, or the schedule, go on.
CREATE FUNCTION wacta.push_row(t wacta.lead_table, key text[], l wacta.lead, fields text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  value  jsonb := wacta.outgoing(t, l, fields);
  names  text[] := ARRAY(SELECT e.key FROM jsonb_each(value) e ORDER BY e.key);
  was    jsonb := (SELECT r.seen FROM wacta.lead_row r WHERE (r.table_id, r.key) = (t.table_id, $2));
  found  text;
  set    text;
  differ text;
BEGIN
  IF names = '{}' OR wacta.table_owner(t.relation) IS NULL THEN
    RETURN;
  END IF;
  SELECT string_agg(format('%I = $%s::%s', c.name, c.n, c.type), ', '), string_agg(format('t0.%I::text IS DISTINCT FROM ($%s::%s)::text', c.name, c.n, c.type), ' OR ') INTO set, differ
    FROM (SELECT t.mapping -> u.f ->> 'column' AS name, u.n + cardinality(t.key) AS n, wacta.column_type(t.relation, t.mapping -> u.f ->> 'column') AS type
            FROM unnest(names) WITH ORDINALITY u(f, n)) c;
  -- before it is written, for the trigger that this fires looks at it
  UPDATE wacta.lead_row r SET seen = was || wacta.hashes(value) WHERE (r.table_id, r.key) = (t.table_id, $2) AND was <> was || wacta.hashes(value);
  SELECT q[1] INTO found
    FROM wacta.query_as(wacta.table_owner(t.relation),
      format('WITH row AS MATERIALIZED (SELECT %2$s AS differs FROM %1$s t0 WHERE %3$s FOR NO KEY UPDATE SKIP LOCKED),
                   written AS (UPDATE %1$s t0 SET %4$s WHERE %3$s AND (SELECT differs FROM row))
              SELECT count(*) FROM row', t.relation, differ, wacta.key_condition(t), set),
      $2 || ARRAY(SELECT value ->> n FROM unnest(names) WITH ORDINALITY u(n, i) ORDER BY i), wacta.table_path(t.relation)) q;
  IF found = '0' THEN
    UPDATE wacta.lead_row r SET seen = was, state = 'busy', error = NULL, since = wacta.now() WHERE (r.table_id, r.key) = (t.table_id, $2);
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.push_row(wacta.lead_table, text[], wacta.lead, text[]) IS 'Writes these fields of a lead into one of its rows, where they differ.';

CREATE FUNCTION wacta.push_or_park(t wacta.lead_table, key text[], l wacta.lead, fields text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM wacta.push_row(t, key, l, fields);
EXCEPTION
  WHEN serialization_failure OR deadlock_detected THEN RAISE;
  WHEN others THEN
    IF t.mapping ->> 'on_failure' = 'fail' AND NOT wacta.in_worker() THEN
      RAISE;
    END IF;
    PERFORM wacta.note_row_failure(t, key, 'failed', SQLERRM);
END
$$;
COMMENT ON FUNCTION wacta.push_or_park(wacta.lead_table, text[], wacta.lead, text[]) IS 'Pushes in a savepoint; an error is noted, or raised where the mapping says fail.';

CREATE FUNCTION wacta.push_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off
AS $$
DECLARE
  changed text[] := array_remove(ARRAY[CASE WHEN OLD.status <> NEW.status THEN 'status' END, CASE WHEN OLD.stage <> NEW.stage THEN 'stage' END,
    CASE WHEN OLD.consent <> NEW.consent THEN 'opt_out' END, CASE WHEN OLD.owner IS DISTINCT FROM NEW.owner THEN 'owner' END,
    CASE WHEN OLD.name IS DISTINCT FROM NEW.name THEN 'name' END, CASE WHEN OLD.project_id IS DISTINCT FROM NEW.project_id THEN 'project' END], NULL);
BEGIN
  PERFORM wacta.push_or_park(t, r.key, NEW, changed)
     FROM wacta.lead_row r JOIN wacta.lead_table t USING (table_id) WHERE r.lead_id = NEW.lead_id AND r.state <> 'forgotten' AND pg_trigger_depth() <= 20;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.push_changed() IS 'Trigger: what changes in a lead is written into its rows of attached tables.';
CREATE TRIGGER push_changed AFTER UPDATE ON wacta.lead FOR EACH ROW
  WHEN ((OLD.status, OLD.stage, OLD.consent, OLD.owner, OLD.name, OLD.project_id) IS DISTINCT FROM (NEW.status, NEW.stage, NEW.consent, NEW.owner, NEW.name, NEW.project_id)
        AND NEW.forgotten_at IS NULL)
  EXECUTE FUNCTION wacta.push_changed();

CREATE FUNCTION wacta.push_merged() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  r wacta.lead_row;
BEGIN
  FOR r IN UPDATE wacta.lead_row x SET lead_id = NEW.merged_into WHERE x.lead_id = NEW.lead_id RETURNING x.* LOOP
    PERFORM wacta.push_or_park(t, r.key, l, '{status,stage,opt_out,owner}') FROM wacta.lead_table t, wacta.lead l WHERE t.table_id = r.table_id AND l.lead_id = NEW.merged_into;
  END LOOP;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.push_merged() IS 'Trigger: the rows of a lead that is merged into another one are bound to that.';
CREATE TRIGGER push_merged AFTER INSERT ON wacta.merged_lead FOR EACH ROW EXECUTE FUNCTION wacta.push_merged();

CREATE FUNCTION wacta.unbind_forgotten() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE wacta.lead_row r SET lead_id = NULL, state = 'forgotten', error = NULL, seen = '{}', since = wacta.now() WHERE r.lead_id = NEW.lead_id;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.unbind_forgotten() IS 'Trigger: the rows of a person who was forgotten stay apart; erasing them is the CRM''s own task.';
CREATE TRIGGER unbind_forgotten AFTER UPDATE ON wacta.lead FOR EACH ROW
  WHEN (OLD.forgotten_at IS NULL AND NEW.forgotten_at IS NOT NULL) EXECUTE FUNCTION wacta.unbind_forgotten();

CREATE FUNCTION wacta.arm_push() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  attached boolean := EXISTS (SELECT FROM wacta.lead_table);
BEGIN
  PERFORM wacta.set_trigger('wacta.lead', 'push_changed', attached), wacta.set_trigger('wacta.lead', 'unbind_forgotten', attached),
          wacta.set_trigger('wacta.merged_lead', 'push_merged', attached);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.arm_push() IS 'Trigger: leads are pushed while a table is attached.';
ALTER TABLE wacta.lead DISABLE TRIGGER push_changed, DISABLE TRIGGER unbind_forgotten;
ALTER TABLE wacta.merged_lead DISABLE TRIGGER push_merged;
CREATE TRIGGER arm_push AFTER INSERT OR DELETE ON wacta.lead_table FOR EACH STATEMENT EXECUTE FUNCTION wacta.arm_push();
