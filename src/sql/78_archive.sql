-- Retention: what is old is deleted in small bites, and stays in the figures. See docs/analytics.md on what is kept for ever, and why.
--
-- Webhooks, refused tokens and events have retentions of their own (63_inbox.sql, 76_event.sql) and count nowhere.

-- What a policy still looks back on must be there.
CREATE FUNCTION wacta.archive_horizon() RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT wacta.now() - greatest(interval '7 days', c.message_ttl, c.message_gap, c.pitch_gap, (SELECT max(f.period) FROM wacta.frequency_cap f)) FROM wacta.config c);
END
$$;
COMMENT ON FUNCTION wacta.archive_horizon() IS 'The latest time up to which wacta.archive() may go: a week ago, or further back where a cap or a gap looks further.';

CREATE FUNCTION wacta.archive_messages(before timestamptz, max integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n bigint;
BEGIN
  WITH gone AS (
    DELETE FROM wacta.message m
     WHERE m.ctid = ANY (ARRAY(SELECT x.ctid FROM wacta.message x
                                WHERE x.enqueued_at < before AND x.status NOT IN ('queued', 'sending', 'in_doubt') LIMIT max FOR UPDATE SKIP LOCKED))
    RETURNING m.*
  ), kept AS (
    INSERT INTO wacta.funnel_archive AS a
    SELECT wacta.figures_day(g.enqueued_at, c.time_zone), coalesce(g.project_id, 0), coalesce(g.template_id, 0), g.channel_id, g.purpose,
           wacta.message_state(g.status), g.accepted_at IS NOT NULL, count(*), coalesce(sum(g.cost) FILTER (WHERE g.accepted_at IS NOT NULL), 0)
      FROM gone g CROSS JOIN wacta.config c GROUP BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (day, project_id, template_id, channel_id, counted, state, done) DO UPDATE SET number = a.number + excluded.number, cost = a.cost + excluded.cost
  )
  SELECT count(*) INTO n FROM gone;
  RETURN n;
END
$$;
COMMENT ON FUNCTION wacta.archive_messages(timestamptz, integer) IS 'Deletes up to max messages that have ended and were enqueued before then, with their attempts; they stay in the figures.';

-- A decision is never old: the next tap is compared with it, people are counted by it, and consent rests on it.
CREATE FUNCTION wacta.archive_clicks(before timestamptz, max integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n bigint;
BEGIN
  WITH gone AS (
    DELETE FROM wacta.click k
     WHERE k.ctid = ANY (ARRAY(SELECT x.ctid FROM wacta.click x WHERE NOT x.effective AND x.clicked_at < before ORDER BY x.clicked_at LIMIT max FOR UPDATE SKIP LOCKED))
    RETURNING k.*
  ), kept AS (
    INSERT INTO wacta.funnel_archive AS a
    SELECT wacta.figures_day(g.clicked_at, c.time_zone), coalesce(g.project_id, 0), coalesce(g.template_id, 0), coalesce(g.channel_id, 0), g.action, g.kind, g.effective, count(*), 0
      FROM gone g CROSS JOIN wacta.config c GROUP BY 1, 2, 3, 4, 5, 6, 7
    ON CONFLICT (day, project_id, template_id, channel_id, counted, state, done) DO UPDATE SET number = a.number + excluded.number
  )
  SELECT count(*) INTO n FROM gone;
  RETURN n;
END
$$;
COMMENT ON FUNCTION wacta.archive_clicks(timestamptz, integer) IS
'Deletes up to max visits, repetitions and other clicks that changed nothing, from before then; they stay in the figures.';

CREATE FUNCTION wacta.archive(before timestamptz, max integer DEFAULT 10000, OUT messages bigint, OUT clicks bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF before IS NULL OR before > wacta.archive_horizon() THEN
    RAISE EXCEPTION 'cannot archive what is later than %', wacta.archive_horizon() USING ERRCODE = '22023',
      HINT = 'A week is always kept, and what caps and gaps between messages look back on.';
  ELSIF max IS NULL OR max NOT BETWEEN 1 AND 100000 THEN
    RAISE EXCEPTION 'max must be between 1 and 100000' USING ERRCODE = '22023';
  END IF;
  messages := wacta.archive_messages(before, max);
  -- fewer than would have all clicks counted anew
  clicks := wacta.archive_clicks(before, least(max, 5000));
END
$$;
COMMENT ON FUNCTION wacta.archive(timestamptz, integer) IS
'Takes away messages that have ended, with their attempts, and clicks that changed nothing, from before a time: up to max of each at once.
The figures stay as they are. Call it, each time in a transaction of its own, until it says 0 and 0; or set wacta.config.archive_after.';

CREATE FUNCTION wacta.retain(max integer DEFAULT 5000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  before timestamptz := (SELECT least(wacta.now() - c.archive_after, wacta.archive_horizon()) FROM wacta.config c WHERE c.archive_after IS NOT NULL);
BEGIN
  IF before IS NULL THEN
    RETURN 0;
  END IF;
  RETURN (SELECT greatest(a.messages, a.clicks) FROM wacta.archive(before, max) a);
END
$$;
COMMENT ON FUNCTION wacta.retain(integer) IS 'Archives up to max messages and clicks that are older than wacta.config.archive_after; returns how many of one kind at most. NULL: none.';
INSERT INTO wacta.schedule (job, command, every, full_at) VALUES ('retention', 'SELECT wacta.retain()', '1 hour', 5000);
