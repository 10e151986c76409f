-- What is called sent, delivered, clicked: the counts of 46_funnel.sql as figures, one row for each day, project, template and channel.
--
--   sent        messages that the provider accepted
--   delivered   delivered or read (who reads has got it)
--   clicked     messages that were answered by a decision; people are counted in wacta.audience_now, taps in decisions
--   raw, human  clicks: every visit of a link; those with which a person, not a scanner, decided, repetitions among them

CREATE TABLE wacta.figures_folded (
  day            date NOT NULL,
  project_id     integer NOT NULL,
  template_id    integer NOT NULL,
  channel_id     integer NOT NULL,
  enqueued       bigint NOT NULL,
  queued         bigint NOT NULL,
  sent           bigint NOT NULL,
  delivered      bigint NOT NULL,
  read           bigint NOT NULL,
  clicked        bigint NOT NULL,
  interested     bigint NOT NULL,
  not_interested bigint NOT NULL,
  failed         bigint NOT NULL,
  in_doubt       bigint NOT NULL,
  suppressed     bigint NOT NULL,
  expired        bigint NOT NULL,
  cancelled      bigint NOT NULL,
  raw_clicks     bigint NOT NULL,
  human_clicks   bigint NOT NULL,
  decisions      bigint NOT NULL,
  cost           numeric NOT NULL,
  PRIMARY KEY (day, project_id, template_id, channel_id)
);
COMMENT ON TABLE wacta.figures_folded IS 'wacta.funnel as figures, but for what wacta.funnel_delta adds: read wacta.figures.';

CREATE VIEW wacta.figures_delta AS
  SELECT f.ctid AS place, f.day, f.project_id, f.template_id, f.channel_id,
         CASE WHEN f.counted = 'pitch' THEN f.number ELSE 0 END AS enqueued,
         CASE WHEN f.counted = 'pitch' AND f.state = 'queued' THEN f.number ELSE 0 END AS queued,
         CASE WHEN f.counted = 'pitch' AND f.done THEN f.number ELSE 0 END AS sent,
         CASE WHEN f.counted = 'pitch' AND f.state IN ('delivered', 'read') THEN f.number ELSE 0 END AS delivered,
         CASE WHEN f.counted = 'pitch' AND f.state = 'read' THEN f.number ELSE 0 END AS read,
         CASE WHEN f.counted = 'answer' THEN f.number ELSE 0 END AS clicked,
         CASE WHEN f.counted = 'answer' AND f.state = 'interested' THEN f.number ELSE 0 END AS interested,
         CASE WHEN f.counted = 'answer' AND f.state = 'not_interested' THEN f.number ELSE 0 END AS not_interested,
         CASE WHEN f.counted = 'pitch' AND f.state = 'failed' THEN f.number ELSE 0 END AS failed,
         CASE WHEN f.counted = 'pitch' AND f.state = 'in_doubt' THEN f.number ELSE 0 END AS in_doubt,
         CASE WHEN f.counted = 'pitch' AND f.state = 'suppressed' THEN f.number ELSE 0 END AS suppressed,
         CASE WHEN f.counted = 'pitch' AND f.state = 'expired' THEN f.number ELSE 0 END AS expired,
         CASE WHEN f.counted = 'pitch' AND f.state = 'cancelled' THEN f.number ELSE 0 END AS cancelled,
         CASE WHEN f.counted IN ('interested', 'not_interested') THEN f.number ELSE 0 END AS raw_clicks,
         CASE WHEN f.counted IN ('interested', 'not_interested') AND f.state = 'tap' THEN f.number ELSE 0 END AS human_clicks,
         CASE WHEN f.counted IN ('interested', 'not_interested') AND f.state = 'tap' AND f.done THEN f.number ELSE 0 END AS decisions,
         f.cost
    FROM wacta.funnel_delta f;
COMMENT ON VIEW wacta.figures_delta IS 'What each row of wacta.funnel_delta adds to which figures.';

CREATE VIEW wacta.figures AS
  SELECT x.day, x.project_id, x.template_id, x.channel_id,
         sum(x.enqueued)::bigint AS enqueued, sum(x.queued)::bigint AS queued, sum(x.sent)::bigint AS sent, sum(x.delivered)::bigint AS delivered,
         sum(x.read)::bigint AS read, sum(x.clicked)::bigint AS clicked, sum(x.interested)::bigint AS interested,
         sum(x.not_interested)::bigint AS not_interested, sum(x.failed)::bigint AS failed, sum(x.in_doubt)::bigint AS in_doubt,
         sum(x.suppressed)::bigint AS suppressed, sum(x.expired)::bigint AS expired, sum(x.cancelled)::bigint AS cancelled,
         sum(x.raw_clicks)::bigint AS raw_clicks, sum(x.human_clicks)::bigint AS human_clicks, sum(x.decisions)::bigint AS decisions,
         sum(x.cost) AS cost
    FROM (SELECT * FROM wacta.figures_folded
          UNION ALL
          SELECT f.day, f.project_id, f.template_id, f.channel_id,
                 f.enqueued, f.queued, f.sent, f.delivered, f.read, f.clicked, f.interested, f.not_interested, f.failed, f.in_doubt, f.suppressed,
                 f.expired, f.cancelled, f.raw_clicks, f.human_clicks, f.decisions, f.cost
            FROM wacta.figures_delta f) x
   GROUP BY x.day, x.project_id, x.template_id, x.channel_id
  HAVING sum(x.enqueued) <> 0 OR sum(x.clicked) <> 0 OR sum(x.raw_clicks) <> 0 OR sum(x.cost) <> 0;
COMMENT ON VIEW wacta.figures IS
'The figures of a day, project, template and channel, by their ids (0: none). Messages, and those answered (clicked, interested, not_interested),
by the day they were enqueued; raw_clicks, human_clicks and decisions by the day of the click; cost of all messages that were sent.';

-- Folding. One at a time, and only what is committed; who reads meanwhile sees all of it in one place or the other. Rows of the deltas
-- are never updated, so they stay where they are.
CREATE FUNCTION wacta.fold_figures(places tid[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO wacta.figures_folded AS k
  SELECT f.day, f.project_id, f.template_id, f.channel_id,
         sum(f.enqueued), sum(f.queued), sum(f.sent), sum(f.delivered), sum(f.read), sum(f.clicked), sum(f.interested), sum(f.not_interested),
         sum(f.failed), sum(f.in_doubt), sum(f.suppressed), sum(f.expired), sum(f.cancelled), sum(f.raw_clicks), sum(f.human_clicks),
         sum(f.decisions), sum(f.cost)
    FROM wacta.figures_delta f WHERE f.place = ANY (places)
   GROUP BY f.day, f.project_id, f.template_id, f.channel_id
  ON CONFLICT (day, project_id, template_id, channel_id) DO UPDATE SET
    enqueued = k.enqueued + excluded.enqueued, queued = k.queued + excluded.queued, sent = k.sent + excluded.sent,
    delivered = k.delivered + excluded.delivered, read = k.read + excluded.read, clicked = k.clicked + excluded.clicked,
    interested = k.interested + excluded.interested, not_interested = k.not_interested + excluded.not_interested,
    failed = k.failed + excluded.failed, in_doubt = k.in_doubt + excluded.in_doubt, suppressed = k.suppressed + excluded.suppressed,
    expired = k.expired + excluded.expired, cancelled = k.cancelled + excluded.cancelled, raw_clicks = k.raw_clicks + excluded.raw_clicks,
    human_clicks = k.human_clicks + excluded.human_clicks, decisions = k.decisions + excluded.decisions, cost = k.cost + excluded.cost;
END
$$;
COMMENT ON FUNCTION wacta.fold_figures(tid[]) IS 'Adds these rows of wacta.funnel_delta to wacta.figures_folded.';

CREATE FUNCTION wacta.fold_funnel(max integer DEFAULT 100000) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  places tid[];
  people bigint;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('wacta.fold_funnel')) THEN
    RETURN 0;
  END IF;
  places := ARRAY(SELECT d.ctid FROM wacta.funnel_delta d LIMIT max);
  PERFORM wacta.fold_figures(places);
  WITH gone AS (
    DELETE FROM wacta.funnel_delta d WHERE d.ctid = ANY (places) RETURNING d.*
  )
  INSERT INTO wacta.funnel AS f
  SELECT g.day, g.project_id, g.template_id, g.channel_id, g.counted, g.state, g.done, sum(g.number), sum(g.cost) FROM gone g GROUP BY 1, 2, 3, 4, 5, 6, 7
  ON CONFLICT (day, project_id, template_id, channel_id, counted, state, done)
  DO UPDATE SET number = f.number + excluded.number, cost = f.cost + excluded.cost;
  WITH gone AS (
    DELETE FROM wacta.audience_delta d WHERE d.ctid = ANY (ARRAY(SELECT x.ctid FROM wacta.audience_delta x LIMIT max)) RETURNING d.*
  ), added AS (
    INSERT INTO wacta.audience AS a
    SELECT g.day, g.scope, g.scope_id, sum(g.clickers), sum(g.interested), sum(g.not_interested) FROM gone g GROUP BY 1, 2, 3
    ON CONFLICT (day, scope, scope_id)
    DO UPDATE SET clickers = a.clickers + excluded.clickers, interested = a.interested + excluded.interested, not_interested = a.not_interested + excluded.not_interested)
  SELECT count(*) INTO people FROM gone;
  RETURN cardinality(places) + people;
END
$$;
COMMENT ON FUNCTION wacta.fold_funnel(integer) IS
'Adds up to max rows (NULL: all) of wacta.funnel_delta and of wacta.audience_delta to wacta.funnel, wacta.figures_folded and wacta.audience;
returns how many. The figures are the same before and after. Another session at it: 0.';

-- Counting anew

CREATE FUNCTION wacta.rebuild_funnel() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  LOCK TABLE wacta.message, wacta.click IN SHARE ROW EXCLUSIVE MODE;
  PERFORM pg_advisory_xact_lock(hashtext('wacta.fold_funnel'));
  PERFORM wacta.check_snapshot('SELECT md5(string_agg(f.counts, '';'' ORDER BY f.counts))
                                  FROM (SELECT n::text AS counts FROM wacta.funnel_now n UNION ALL SELECT a::text FROM wacta.audience_now a) f');
  DELETE FROM wacta.funnel;
  DELETE FROM wacta.figures_folded;
  DELETE FROM wacta.funnel_delta;
  DELETE FROM wacta.audience;
  DELETE FROM wacta.audience_delta;
  INSERT INTO wacta.funnel_delta SELECT * FROM wacta.recount_funnel() UNION ALL SELECT * FROM wacta.funnel_archive;
  INSERT INTO wacta.audience_delta SELECT * FROM wacta.recount_audience();
  PERFORM wacta.fold_funnel(NULL);
END
$$;
COMMENT ON FUNCTION wacta.rebuild_funnel() IS
'Counts all messages and clicks anew: for a database that was filled with triggers switched off, and after a change of the time zone.
What was archived counts on the day on which it did.';

CREATE FUNCTION wacta.figures_outdated() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM wacta.rebuild_funnel();
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.figures_outdated() IS 'Trigger: another time zone has other days, and an emptied table no rows.';
CREATE TRIGGER figures_outdated AFTER TRUNCATE ON wacta.message FOR EACH STATEMENT EXECUTE FUNCTION wacta.figures_outdated();
CREATE TRIGGER figures_outdated AFTER TRUNCATE ON wacta.funnel_archive FOR EACH STATEMENT EXECUTE FUNCTION wacta.figures_outdated();
CREATE TRIGGER figures_outdated AFTER TRUNCATE ON wacta.click FOR EACH STATEMENT EXECUTE FUNCTION wacta.figures_outdated();
-- (INSERT: a restored row takes the place of the seeded one)
CREATE TRIGGER figures_outdated AFTER INSERT ON wacta.config FOR EACH ROW EXECUTE FUNCTION wacta.figures_outdated();
CREATE TRIGGER figures_outdated_by_zone AFTER UPDATE OF time_zone ON wacta.config
  FOR EACH ROW WHEN (NEW.time_zone <> OLD.time_zone) EXECUTE FUNCTION wacta.figures_outdated();
