-- The figures, kept as they change: how many messages and clicks there are in each state, and how many people have answered.
--
-- Each row of wacta.message and wacta.click counts in one bucket, which its own columns name. What a statement changes goes into
-- wacta.funnel_delta, in the same transaction, as one row for each bucket that it touched. Rows are only ever added there, so nobody
-- waits for anybody's counter; wacta.fold_funnel() adds them up later. The sum of both is exact in any snapshot, and that of a
-- recount from the rows: see wacta.recount_funnel().
--
-- A row counts on the day on which it began, in the time zone of wacta.config: a message on the day it was enqueued, with all that
-- has become of it since; a click on the day of the click; a person on the day of their last decision.

CREATE TABLE wacta.funnel (
  day         date NOT NULL,
  project_id  integer NOT NULL,
  template_id integer NOT NULL,
  channel_id  integer NOT NULL,
  counted     text NOT NULL,
  state       text NOT NULL,
  done        boolean NOT NULL,
  number      bigint NOT NULL,
  cost        numeric NOT NULL,
  PRIMARY KEY (day, project_id, template_id, channel_id, counted, state, done)
);
COMMENT ON TABLE wacta.funnel IS 'Counts of messages and clicks, but for what wacta.funnel_delta adds: read wacta.funnel_now.';
COMMENT ON COLUMN wacta.funnel.project_id IS '0: none, as for the template and the channel.';
COMMENT ON COLUMN wacta.funnel.counted IS
'Messages by their purpose (pitch, brochure, other); answer: messages with a decision; clicks by their action (interested, not_interested).';
COMMENT ON COLUMN wacta.funnel.state IS 'The status of messages, sending being queued as well; the decision of answers; the kind of clicks.';
COMMENT ON COLUMN wacta.funnel.done IS 'Messages: accepted by the provider. Clicks: they changed something.';

CREATE TABLE wacta.funnel_delta (LIKE wacta.funnel);
COMMENT ON TABLE wacta.funnel_delta IS 'What has been counted and not been folded into wacta.funnel.';

CREATE VIEW wacta.funnel_now AS
  SELECT f.day, f.project_id, f.template_id, f.channel_id, f.counted, f.state, f.done, sum(f.number)::bigint AS number, sum(f.cost) AS cost
    FROM (SELECT * FROM wacta.funnel UNION ALL SELECT * FROM wacta.funnel_delta) f
   GROUP BY f.day, f.project_id, f.template_id, f.channel_id, f.counted, f.state, f.done
  HAVING sum(f.number) <> 0;
COMMENT ON VIEW wacta.funnel_now IS 'How many messages and clicks there are in each state, as of this moment; archived ones among them.';

-- What is archived is counted out as it is deleted, and in here.
CREATE TABLE wacta.funnel_archive (LIKE wacta.funnel INCLUDING INDEXES);
COMMENT ON TABLE wacta.funnel_archive IS 'Counts of the rows that wacta.archive() has taken away.';

CREATE FUNCTION wacta.count_archived() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO wacta.funnel_delta
    SELECT NEW.day, NEW.project_id, NEW.template_id, NEW.channel_id, NEW.counted, NEW.state, NEW.done, NEW.number, NEW.cost;
  END IF;
  IF TG_OP <> 'INSERT' THEN
    INSERT INTO wacta.funnel_delta
    SELECT OLD.day, OLD.project_id, OLD.template_id, OLD.channel_id, OLD.counted, OLD.state, OLD.done, -OLD.number, -OLD.cost;
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.count_archived() IS 'Trigger: what is archived stays in the figures.';
CREATE TRIGGER count_archived AFTER INSERT OR UPDATE OR DELETE ON wacta.funnel_archive
  FOR EACH ROW EXECUTE FUNCTION wacta.count_archived();

-- People cannot be summed over days: who decides on three of them is one. Each is counted on the day of the last decision, and moves
-- there with the next; so of any days that reach to today the sum is exact.
CREATE TABLE wacta.audience (
  day            date NOT NULL,
  scope          text NOT NULL CHECK (scope IN ('all', 'project', 'template')),
  scope_id       integer NOT NULL,
  clickers       bigint NOT NULL,
  interested     bigint NOT NULL,
  not_interested bigint NOT NULL,
  PRIMARY KEY (day, scope, scope_id)
);
COMMENT ON TABLE wacta.audience IS 'Counts of people by the day of their last decision, but for what wacta.audience_delta adds: read wacta.audience_now.';
COMMENT ON COLUMN wacta.audience.scope IS 'all: over everything; project, template: the last decision on this one.';
CREATE TABLE wacta.audience_delta (LIKE wacta.audience);
COMMENT ON TABLE wacta.audience_delta IS 'What has been counted and not been folded into wacta.audience.';

CREATE VIEW wacta.audience_now AS
  SELECT a.day, a.scope, a.scope_id, sum(a.clickers)::bigint AS clickers, sum(a.interested)::bigint AS interested, sum(a.not_interested)::bigint AS not_interested
    FROM (SELECT * FROM wacta.audience UNION ALL SELECT * FROM wacta.audience_delta) a
   GROUP BY a.day, a.scope, a.scope_id
  HAVING sum(a.clickers) <> 0 OR sum(a.interested) <> 0 OR sum(a.not_interested) <> 0;
COMMENT ON VIEW wacta.audience_now IS
'How many people decided last on each day. From a day until today the sums are people, each counted once; between two days in the past
they are those who have not decided again since.';

-- Counting. A bucket is the same expression here and in the recount, hence these two, which the planner puts in place of their calls.

CREATE FUNCTION wacta.message_state(status wacta.message_status) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$ SELECT CASE $1 WHEN 'sending' THEN 'queued' ELSE $1::text END $$;
COMMENT ON FUNCTION wacta.message_state(wacta.message_status) IS 'The state in which a message is counted.';

CREATE FUNCTION wacta.figures_day(at timestamptz, zone text) RETURNS date
LANGUAGE sql STABLE
RETURN ($1 AT TIME ZONE $2)::date;
COMMENT ON FUNCTION wacta.figures_day(timestamptz, text) IS 'The day on which something counts.';

CREATE FUNCTION wacta.check_snapshot(question text) RETURNS void
LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'wacta_check_snapshot';
COMMENT ON FUNCTION wacta.check_snapshot(text) IS
'A serialization failure where a query has another answer now than by the snapshot of a transaction that keeps one (REPEATABLE READ).';

-- In C (src/funnel.c), for the courier waits for it. A claim moves nothing: queued and sending are one state here.
CREATE FUNCTION wacta.count_messages() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wacta_count_messages';
COMMENT ON FUNCTION wacta.count_messages() IS 'Trigger: counts what a statement does to messages.';
CREATE TRIGGER count_messages AFTER INSERT ON wacta.message
  REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION wacta.count_messages();
CREATE TRIGGER count_moved_message AFTER UPDATE ON wacta.message FOR EACH ROW
  WHEN ((OLD.status <> NEW.status AND (OLD.status <> 'queued' OR NEW.status <> 'sending')) OR (OLD.accepted_at IS NULL) <> (NEW.accepted_at IS NULL)
        OR (NEW.accepted_at IS NOT NULL AND OLD.cost IS DISTINCT FROM NEW.cost) OR OLD.enqueued_at <> NEW.enqueued_at OR OLD.purpose <> NEW.purpose
        OR OLD.channel_id <> NEW.channel_id OR OLD.template_id IS DISTINCT FROM NEW.template_id OR OLD.project_id IS DISTINCT FROM NEW.project_id)
  EXECUTE FUNCTION wacta.count_messages();
CREATE TRIGGER count_moved_messages AFTER UPDATE ON wacta.message FOR EACH STATEMENT EXECUTE FUNCTION wacta.count_messages();
CREATE TRIGGER discount_messages AFTER DELETE ON wacta.message
  REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION wacta.count_messages();

-- What people have decided: neither a repetition, nor a scanner's. A message is answered by the last decision on it, on the day it was
-- enqueued; so each step of its funnel is part of the one before.
CREATE VIEW wacta.decision AS
  SELECT k.lead_id, k.click_id, k.message_id, k.action, wacta.figures_day(k.clicked_at, c.time_zone) AS day, wacta.figures_day(k.message_at, c.time_zone) AS message_day,
         coalesce(k.project_id, 0) AS project_id, coalesce(k.template_id, 0) AS template_id, coalesce(k.channel_id, 0) AS channel_id
    FROM wacta.click k CROSS JOIN wacta.config c
   WHERE k.effective AND k.kind = 'tap';
COMMENT ON VIEW wacta.decision IS 'The clicks by which people decided something; ids are 0 where there is none.';

CREATE FUNCTION wacta.count_clicks(before wacta.click[], after wacta.click[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO wacta.funnel_delta
  SELECT wacta.figures_day(k.clicked_at, c.time_zone), coalesce(k.project_id, 0), coalesce(k.template_id, 0), coalesce(k.channel_id, 0), k.action, k.kind, k.effective, sum(k.sign), 0
    FROM (SELECT 1 AS sign, a.* FROM unnest(after) a UNION ALL SELECT -1, b.* FROM unnest(before) b) k CROSS JOIN wacta.config c
   GROUP BY 1, 2, 3, 4, 5, 6, 7
  HAVING sum(k.sign) <> 0;
END
$$;
COMMENT ON FUNCTION wacta.count_clicks(wacta.click[], wacta.click[]) IS 'Counts what a statement has changed of wacta.click.';

-- What there is of these people now, against what there was before. Decisions are made under the lock of the lead, so nobody else
-- changes them meanwhile.
CREATE FUNCTION wacta.count_decisions(before wacta.click[], after wacta.click[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  people bigint[] := ARRAY(SELECT k.lead_id FROM unnest(before || after) k WHERE k.effective AND k.kind = 'tap');
BEGIN
  IF people = '{}' THEN
    RETURN;
  END IF;
  WITH seen AS MATERIALIZED (
    SELECT d.*, true AS is, NOT EXISTS (SELECT FROM unnest(after) a WHERE (a.lead_id, a.click_id) = (d.lead_id, d.click_id)) AS was
      FROM wacta.decision d WHERE d.lead_id = ANY (people)
    UNION ALL
    SELECT b.lead_id, b.click_id, b.message_id, b.action, wacta.figures_day(b.clicked_at, c.time_zone), wacta.figures_day(b.message_at, c.time_zone),
           coalesce(b.project_id, 0), coalesce(b.template_id, 0), coalesce(b.channel_id, 0), false, true
      FROM unnest(before) b CROSS JOIN wacta.config c WHERE b.effective AND b.kind = 'tap'
  ), moved AS (
    INSERT INTO wacta.audience_delta
    SELECT m.day, p.scope, p.scope_id, coalesce(sum(m.sign) FILTER (WHERE m.what = 1), 0), coalesce(sum(m.sign) FILTER (WHERE m.what = 2), 0), coalesce(sum(m.sign) FILTER (WHERE m.what = 3), 0)
      FROM (SELECT s.lead_id, o.scope, o.scope_id,
                   max(s.day) FILTER (WHERE s.is) AS last, max(s.day) FILTER (WHERE s.was) AS old_last,
                   max(s.day) FILTER (WHERE s.is AND s.action = 'interested') AS yes, max(s.day) FILTER (WHERE s.was AND s.action = 'interested') AS old_yes,
                   max(s.day) FILTER (WHERE s.is AND s.action <> 'interested') AS no, max(s.day) FILTER (WHERE s.was AND s.action <> 'interested') AS old_no
              FROM seen s CROSS JOIN LATERAL (VALUES ('all', 0), ('project', s.project_id), ('template', s.template_id)) o(scope, scope_id)
             GROUP BY s.lead_id, o.scope, o.scope_id) p
     CROSS JOIN LATERAL (VALUES (1, 1, p.last), (1, -1, p.old_last), (2, 1, p.yes), (2, -1, p.old_yes), (3, 1, p.no), (3, -1, p.old_no)) m(what, sign, day)
     WHERE m.day IS NOT NULL
     GROUP BY m.day, p.scope, p.scope_id
    HAVING sum(m.sign) FILTER (WHERE m.what = 1) <> 0 OR sum(m.sign) FILTER (WHERE m.what = 2) <> 0 OR sum(m.sign) FILTER (WHERE m.what = 3) <> 0
  )
  INSERT INTO wacta.funnel_delta
  SELECT a.message_day, a.project_id, a.template_id, a.channel_id, 'answer', a.action, true, sum(a.sign), 0
    FROM ((SELECT DISTINCT ON (s.lead_id, s.message_id) 1 AS sign, s.* FROM seen s WHERE s.is AND s.message_day IS NOT NULL ORDER BY s.lead_id, s.message_id, s.click_id DESC)
          UNION ALL
          (SELECT DISTINCT ON (s.lead_id, s.message_id) -1, s.* FROM seen s WHERE s.was AND s.message_day IS NOT NULL ORDER BY s.lead_id, s.message_id, s.click_id DESC)) a
   GROUP BY 1, 2, 3, 4, 6
  HAVING sum(a.sign) <> 0;
END
$$;
COMMENT ON FUNCTION wacta.count_decisions(wacta.click[], wacta.click[]) IS
'Counts the people whose decisions have changed, and the messages that they answer, by what there is now and was before.';

-- Nearly every decision is a person's first. Nothing is to be counted out then, so what it adds needs no look at what there was; and
-- a tap waits for this.
CREATE FUNCTION wacta.count_first_decisions(after wacta.click[]) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  zone text := (SELECT c.time_zone FROM wacta.config c);
BEGIN
  IF EXISTS (SELECT FROM unnest(after) k WHERE NOT k.effective OR k.kind <> 'tap'
                 OR EXISTS (SELECT FROM wacta.click c WHERE c.lead_id = k.lead_id AND c.click_id <> k.click_id AND c.effective)) THEN
    RETURN false;
  END IF;
  INSERT INTO wacta.audience_delta (day, scope, scope_id, clickers, interested, not_interested)
  SELECT wacta.figures_day(k.clicked_at, zone), s.scope, s.scope_id, count(*), count(*) FILTER (WHERE k.action = 'interested'), count(*) FILTER (WHERE k.action <> 'interested')
    FROM unnest(after) k CROSS JOIN LATERAL (VALUES ('all', 0), ('project', coalesce(k.project_id, 0)), ('template', coalesce(k.template_id, 0))) s(scope, scope_id)
   GROUP BY 1, 2, 3;
  INSERT INTO wacta.funnel_delta (day, project_id, template_id, channel_id, counted, state, done, number, cost)
  SELECT f.day, coalesce(k.project_id, 0), coalesce(k.template_id, 0), coalesce(k.channel_id, 0), f.counted, f.state, true, count(*), 0
    FROM unnest(after) k
   CROSS JOIN LATERAL (VALUES (wacta.figures_day(k.clicked_at, zone), k.action, k.kind), (wacta.figures_day(k.message_at, zone), 'answer', k.action)) f(day, counted, state)
   WHERE f.day IS NOT NULL                               -- a decision on no message answers none
   GROUP BY 1, 2, 3, 4, 5, 6;
  RETURN true;
END
$$;
COMMENT ON FUNCTION wacta.count_first_decisions(wacta.click[]) IS
'Counts clicks that a statement has inserted, if each is the first decision of a person; false: not all are, and nothing was counted.';

-- What is too much to be held in memory, a restore above all, is counted anew.
CREATE FUNCTION wacta.click_changed() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
  most   integer := 10000;
  before wacta.click[];
  after  wacta.click[];
BEGIN
  PERFORM wacta.check_snapshot('SELECT c.time_zone FROM wacta.config c');
  IF TG_OP <> 'INSERT' THEN
    before := ARRAY(SELECT k::wacta.click FROM before_rows k LIMIT most);
  END IF;
  IF TG_OP <> 'DELETE' THEN
    after := ARRAY(SELECT k::wacta.click FROM after_rows k LIMIT most);
  END IF;
  IF most IN (cardinality(before), cardinality(after)) THEN
    PERFORM wacta.rebuild_funnel();
  ELSIF before IS NULL AND wacta.count_first_decisions(after) THEN
    RETURN NULL;
  ELSE
    PERFORM wacta.count_clicks(before, after);
    PERFORM wacta.count_decisions(before, after);
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.click_changed() IS 'Trigger: counts clicks.';
CREATE TRIGGER click_inserted AFTER INSERT ON wacta.click
  REFERENCING NEW TABLE AS after_rows FOR EACH STATEMENT EXECUTE FUNCTION wacta.click_changed();
CREATE TRIGGER click_updated AFTER UPDATE ON wacta.click
  REFERENCING NEW TABLE AS after_rows OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION wacta.click_changed();
CREATE TRIGGER click_deleted AFTER DELETE ON wacta.click
  REFERENCING OLD TABLE AS before_rows FOR EACH STATEMENT EXECUTE FUNCTION wacta.click_changed();

-- Recounting

CREATE FUNCTION wacta.recount_funnel() RETURNS SETOF wacta.funnel
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT wacta.figures_day(m.enqueued_at, c.time_zone), coalesce(m.project_id, 0), coalesce(m.template_id, 0), m.channel_id, m.purpose,
         wacta.message_state(m.status), m.accepted_at IS NOT NULL, count(*), coalesce(sum(m.cost) FILTER (WHERE m.accepted_at IS NOT NULL), 0)
    FROM wacta.message m CROSS JOIN wacta.config c GROUP BY 1, 2, 3, 4, 5, 6, 7
  UNION ALL
  SELECT wacta.figures_day(k.clicked_at, c.time_zone), coalesce(k.project_id, 0), coalesce(k.template_id, 0), coalesce(k.channel_id, 0), k.action, k.kind, k.effective, count(*), 0
    FROM wacta.click k CROSS JOIN wacta.config c GROUP BY 1, 2, 3, 4, 5, 6, 7
  UNION ALL
  SELECT a.message_day, a.project_id, a.template_id, a.channel_id, 'answer', a.action, true, count(*), 0
    FROM (SELECT DISTINCT ON (d.lead_id, d.message_id) d.* FROM wacta.decision d WHERE d.message_day IS NOT NULL ORDER BY d.lead_id, d.message_id, d.click_id DESC) a
   GROUP BY 1, 2, 3, 4, 6
$$;
COMMENT ON FUNCTION wacta.recount_funnel() IS
'The counts of wacta.funnel_now from the rows themselves, without those that were archived: for tests, and to rebuild.';

CREATE FUNCTION wacta.recount_audience() RETURNS SETOF wacta.audience
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT m.day, p.scope, p.scope_id, count(*) FILTER (WHERE m.what = 1), count(*) FILTER (WHERE m.what = 2), count(*) FILTER (WHERE m.what = 3)
    FROM (SELECT d.lead_id, o.scope, o.scope_id, max(d.day) AS last, max(d.day) FILTER (WHERE d.action = 'interested') AS yes, max(d.day) FILTER (WHERE d.action <> 'interested') AS no
            FROM wacta.decision d CROSS JOIN LATERAL (VALUES ('all', 0), ('project', d.project_id), ('template', d.template_id)) o(scope, scope_id)
           GROUP BY d.lead_id, o.scope, o.scope_id) p
   CROSS JOIN LATERAL (VALUES (1, p.last), (2, p.yes), (3, p.no)) m(what, day)
   WHERE m.day IS NOT NULL
   GROUP BY m.day, p.scope, p.scope_id
$$;
COMMENT ON FUNCTION wacta.recount_audience() IS 'The counts of wacta.audience_now from the clicks themselves.';

CREATE VIEW wacta.funnel_mismatch AS
  SELECT f.day, f.project_id, f.template_id, f.channel_id, f.counted, f.state, f.done, sum(f.kept)::bigint AS kept, sum(f.there)::bigint AS there
    FROM (SELECT n.day, n.project_id, n.template_id, n.channel_id, n.counted, n.state, n.done, n.number AS kept, 0 AS there, n.cost FROM wacta.funnel_now n
          UNION ALL SELECT r.day, r.project_id, r.template_id, r.channel_id, r.counted, r.state, r.done, 0, r.number, -r.cost FROM wacta.recount_funnel() r
          UNION ALL SELECT a.day, a.project_id, a.template_id, a.channel_id, a.counted, a.state, a.done, 0, a.number, -a.cost FROM wacta.funnel_archive a) f
   GROUP BY f.day, f.project_id, f.template_id, f.channel_id, f.counted, f.state, f.done
  HAVING sum(f.kept) <> sum(f.there) OR sum(f.cost) <> 0
  UNION ALL
  SELECT p.day, p.scope_id, 0, 0, p.scope, 'people', true, sum(p.kept)::bigint, sum(p.there)::bigint
    FROM (SELECT n.day, n.scope, n.scope_id, n.clickers AS kept, 0 AS there, n.interested, n.not_interested FROM wacta.audience_now n
          UNION ALL SELECT r.day, r.scope, r.scope_id, 0, r.clickers, -r.interested, -r.not_interested FROM wacta.recount_audience() r) p
   GROUP BY p.day, p.scope, p.scope_id
  HAVING sum(p.kept) <> sum(p.there) OR sum(p.interested) <> 0 OR sum(p.not_interested) <> 0;
COMMENT ON VIEW wacta.funnel_mismatch IS 'Where the counts are not those of the rows: empty. It reads every message; wacta.rebuild_funnel() is the remedy.';
