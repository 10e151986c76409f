-- Work that is due by the clock: the jobs as data, run either by pg_cron, where a site has it, or by the inbox worker of the
-- database (src/inbox.c), which looks at its watch between webhooks. Nothing runs until wacta.install_schedule() says by whom.

CREATE TABLE wacta.schedule (
  job         text PRIMARY KEY CHECK (job ~ '^[a-z][a-z0-9_]{0,39}$'),
  command     text NOT NULL,
  every       interval NOT NULL CHECK (every >= '1 second' AND every <= '31 days'),
  full_at     integer CHECK (full_at > 0),
  enabled     boolean NOT NULL DEFAULT true,
  next_run_at timestamptz NOT NULL DEFAULT wacta.now(),
  started_at  timestamptz,
  ended_at    timestamptz,
  outcome     text,
  failures    integer NOT NULL DEFAULT 0
);
COMMENT ON TABLE wacta.schedule IS 'The jobs: what runs how often, and what came of it last.';
COMMENT ON COLUMN wacta.schedule.command IS 'A statement that returns one value, as the owner of the extension runs it; at most some seconds of work.';
COMMENT ON COLUMN wacta.schedule.every IS 'Under pg_cron rounded to what it can say: run wacta.install_schedule() again after a change.';
COMMENT ON COLUMN wacta.schedule.full_at IS 'A run that comes to so much has left something, and the next one follows at once; NULL: a run does all there is.';
COMMENT ON COLUMN wacta.schedule.ended_at IS 'NULL while it runs, and after a crash until its next run.';
COMMENT ON COLUMN wacta.schedule.outcome IS 'What the command returned last, or its error.';
COMMENT ON COLUMN wacta.schedule.failures IS 'In a row; the timer counts a run from its beginning.';
INSERT INTO wacta.schedule (job, command, every, full_at) VALUES
  ('process_ivr', 'SELECT count(*) FROM wacta.process_ivr(10000)', '1 minute', 10000),
  ('follow_ups', 'SELECT wacta.announce_follow_ups()', '1 minute', 1000),
  ('expiry', 'SELECT wacta.expire_messages()', '1 minute', 1000);
CREATE TRIGGER restore_replaces BEFORE INSERT ON wacta.schedule
  FOR EACH ROW EXECUTE FUNCTION wacta.replace_seeded('job');

-- What becomes of it is the events' part (and the dashboard's, which shows the call as overdue).
CREATE FUNCTION wacta.announce_follow_ups() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  now_at timestamptz := wacta.now();
  n      bigint;
BEGIN
  UPDATE wacta.follow_up f SET announced_at = now_at
   WHERE f.ctid = ANY (ARRAY(SELECT x.ctid FROM wacta.follow_up x WHERE x.closed_at IS NULL AND x.announced_at IS NULL AND x.due_at <= now_at
                              ORDER BY x.due_at LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED));
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END
$$;
COMMENT ON FUNCTION wacta.announce_follow_ups() IS
'Sets announced_at of the calls to make that are due now, each once and up to 1,000 at a time; returns how many.';

-- Running a job

-- An error is kept and told by wacta.alert; it must not end what else the caller does. The settings undo what the worker has for
-- its own statements.
CREATE FUNCTION wacta.run_job(job text, scheduler text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' SET plan_cache_mode = auto SET enable_seqscan = on SET enable_bitmapscan = on
SET enable_hashjoin = on SET enable_mergejoin = on SET enable_sort = on
AS $$
DECLARE
  s       wacta.schedule := (SELECT x FROM wacta.schedule x WHERE x.job = $1);
  start   timestamptz := wacta.now();
  came_of text;
  failed  boolean := false;
BEGIN
  IF s.job IS NULL THEN
    RAISE EXCEPTION 'job "%" does not exist', $1 USING ERRCODE = '22023', HINT = 'wacta.schedule lists the jobs.';
  ELSIF $2 IS NOT NULL AND NOT (s.enabled AND wacta.is_scheduler($2)) THEN
    RETURN 'not scheduled';
  ELSIF NOT pg_try_advisory_xact_lock(hashtext('wacta.schedule'), hashtext($1)) THEN
    RETURN 'running already';
  END IF;
  BEGIN
    EXECUTE s.command INTO came_of;
  EXCEPTION WHEN others OR query_canceled THEN
    failed := true;
    came_of := format('%s: %s', SQLSTATE, left(SQLERRM, 1000));
    RAISE LOG 'job "%" of wacta failed: %', $1, came_of;
  END;
  UPDATE wacta.schedule x
     SET started_at = start, ended_at = wacta.now(), outcome = came_of, failures = CASE WHEN failed THEN x.failures + ($2 IS DISTINCT FROM 'timer')::integer ELSE 0 END,
         next_run_at = CASE WHEN NOT failed AND wacta.try_integer(came_of) >= x.full_at THEN wacta.now() ELSE wacta.later_by(start, x.every) END
   WHERE x.job = $1;
  RETURN came_of;
END
$$;
COMMENT ON FUNCTION wacta.run_job(text, text) IS
'Runs a job now and returns what came of it; an error is returned and kept, not raised.
scheduler: who asks (timer, pg_cron); nothing is done when somebody else is to run the jobs. NULL: a person does.';

-- A copy that must not send must not do what leads to sending either, nor expire what the original still sends.
CREATE FUNCTION wacta.is_scheduler(scheduler text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT c.scheduler = $1 FROM wacta.config c) AND wacta.fence_problem() IS NULL;
END
$$;
COMMENT ON FUNCTION wacta.is_scheduler(text) IS 'Whether this one (timer, pg_cron) is to run the jobs, and may.';

-- Taken in a transaction of its own: a job that ends the process or the server is not tried again before its next time, and that it
-- failed is known already.
CREATE FUNCTION wacta.take_due_job(OUT job text, OUT wait_ms integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  now_at timestamptz := wacta.now();
BEGIN
  IF NOT wacta.is_scheduler('timer') THEN
    RETURN;
  END IF;
  UPDATE wacta.schedule s SET started_at = now_at, ended_at = NULL, next_run_at = wacta.later_by(now_at, s.every), failures = s.failures + 1, outcome = 'it has not ended'
   WHERE s.job = (SELECT x.job FROM wacta.schedule x WHERE x.enabled AND x.next_run_at <= now_at ORDER BY x.next_run_at, x.job LIMIT 1 FOR UPDATE SKIP LOCKED)
  RETURNING s.job INTO take_due_job.job;
  wait_ms := (SELECT ceil(extract(epoch FROM least(min(x.next_run_at) - now_at, interval '1 day')) * 1000) FROM wacta.schedule x WHERE x.enabled);
END
$$;
COMMENT ON FUNCTION wacta.take_due_job() IS
'The timer''s next job, which it is to run now, or NULL; and in how many milliseconds another one will be due, NULL: never.';

-- Who runs the jobs

-- cron.schedule() knows minutes, hours and days that divide the next larger one.
CREATE FUNCTION wacta.cron_expression(every interval) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  minutes integer := greatest(1, extract(epoch FROM every) / 60);
BEGIN
  RETURN CASE WHEN minutes = 1 THEN '* * * * *'
              WHEN minutes < 60 THEN format('*/%s * * * *', (SELECT max(m) FROM unnest('{1,2,3,4,5,6,10,12,15,20,30}'::integer[]) m WHERE m <= minutes))
              WHEN minutes < 1440 THEN format('17 */%s * * *', (SELECT max(h) FROM unnest('{1,2,3,4,6,8,12}'::integer[]) h WHERE h * 60 <= minutes))
              ELSE '17 3 * * *' END;
END
$$;
COMMENT ON FUNCTION wacta.cron_expression(interval) IS 'An interval as cron says it, not longer than it; a day or more: once a day.';

CREATE FUNCTION wacta.cron_problem() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  home text := current_setting('cron.database_name', true);
BEGIN
  RETURN CASE WHEN home IS NULL THEN 'pg_cron is not in shared_preload_libraries'
              WHEN home = current_database() AND NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
                'extension "pg_cron" does not exist in this database'
              WHEN home <> current_database() AND NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'dblink') THEN
                format('pg_cron is in database "%s", and extension "dblink", which reaches it, does not exist in this one', home)
         END;
END
$$;
COMMENT ON FUNCTION wacta.cron_problem() IS 'Why pg_cron cannot run the jobs of this database; NULL: it can.';

-- pg_cron has one database of the cluster. From another one its functions are reached as by any client of this server.
CREATE FUNCTION wacta.ask_cron(statement text) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  home text := current_setting('cron.database_name');
BEGIN
  IF home = current_database() THEN
    RETURN QUERY EXECUTE statement;
  ELSE
    RETURN QUERY EXECUTE format('SELECT answer FROM %s.dblink(%L, %L) AS t(answer text)',
      (SELECT e.extnamespace::regnamespace FROM pg_extension e WHERE e.extname = 'dblink'),
      format('host=%L port=%s dbname=%L user=%L', split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), home, current_user),
      statement);
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.ask_cron(text) IS 'Runs a statement with one column of text in the database that has pg_cron.';

CREATE FUNCTION wacta.remove_schedule() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n integer := 0;
BEGIN
  IF wacta.cron_problem() IS NULL THEN
    n := (SELECT count(*) FROM wacta.ask_cron(format('SELECT cron.unschedule(jobid)::text FROM cron.job WHERE database = %L AND command LIKE %L',
                                                     current_database(), 'SELECT wacta.run\_job(%')));
  END IF;
  UPDATE wacta.config c SET scheduler = 'off' WHERE c.scheduler <> 'off';
  RETURN n;
END
$$;
COMMENT ON FUNCTION wacta.remove_schedule() IS 'Nobody runs the jobs any more; returns how many were taken from pg_cron.';

CREATE FUNCTION wacta.choose_scheduler(scheduler text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  problem text := wacta.cron_problem();
BEGIN
  IF scheduler IS NOT NULL AND scheduler NOT IN ('pg_cron', 'timer') THEN
    RAISE EXCEPTION 'invalid scheduler: "%"', scheduler USING ERRCODE = '22023', HINT = 'Schedulers are pg_cron and timer.';
  ELSIF scheduler = 'pg_cron' AND problem IS NOT NULL THEN
    RAISE EXCEPTION 'pg_cron cannot run the jobs: %', problem USING ERRCODE = '55000', HINT = 'Mend what it says, or run wacta.install_schedule(''timer'').';
  ELSIF coalesce(scheduler, 'pg_cron') = 'pg_cron' AND problem IS NULL THEN
    RETURN 'pg_cron';
  ELSIF scheduler IS NULL THEN
    RAISE NOTICE 'the timer of wacta runs the jobs: %', problem;
  END IF;
  IF NOT wacta.inbox_is_served() THEN
    RAISE WARNING 'the timer does not run' USING HINT = 'Add wacta to shared_preload_libraries and this database to wacta.databases; see wacta.inbox_worker_status().';
  END IF;
  RETURN 'timer';
END
$$;
COMMENT ON FUNCTION wacta.choose_scheduler(text) IS 'Who is to run the jobs, the one wanted or the one that can; an error when the one wanted cannot.';

CREATE FUNCTION wacta.install_schedule(scheduler text DEFAULT NULL) RETURNS TABLE (job text, run_by text, schedule text, command text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  chosen text := wacta.choose_scheduler(scheduler);
  s      wacta.schedule;
BEGIN
  PERFORM wacta.remove_schedule();
  UPDATE wacta.config c SET scheduler = chosen;
  UPDATE wacta.schedule x SET failures = 0, next_run_at = CASE chosen WHEN 'timer' THEN wacta.now() ELSE wacta.later_by(wacta.now(), x.every) END;
  run_by := chosen;
  FOR s IN SELECT * FROM wacta.schedule x WHERE x.enabled ORDER BY x.job LOOP
    job := s.job;
    command := CASE chosen WHEN 'timer' THEN s.command ELSE format('SELECT wacta.run_job(%L, %L)', s.job, chosen) END;
    schedule := CASE chosen WHEN 'timer' THEN 'every ' || s.every ELSE wacta.cron_expression(s.every) END;
    IF chosen = 'pg_cron' THEN
      PERFORM wacta.ask_cron(format('SELECT cron.schedule_in_database(%L, %L, %L, %L, %L)::text',
        format('wacta %s in %s', s.job, current_database()), schedule, command, current_database(), current_setting('wacta.worker_role')));
    END IF;
    RETURN NEXT;
  END LOOP;
  PERFORM wacta.wake_inbox();
END
$$;
COMMENT ON FUNCTION wacta.install_schedule(text) IS
'Has the jobs of wacta.schedule run: by pg_cron where it is, else by the timer of wacta, or by the one named (pg_cron, timer); a row a job.
It may be run again, and wacta.remove_schedule() undoes it. The jobs run as wacta.worker_role.';

CREATE FUNCTION wacta.job_alerts() RETURNS TABLE (severity text, alert text, object text, since timestamptz, what text, what_to_do text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'warning', 'job_failed', s.job, s.ended_at, format('failures in a row: %s; the last: %s', s.failures, s.outcome),
         format('Mend what it says; wacta.run_job(%L) tries it at once.', s.job)
    FROM wacta.schedule s
   WHERE s.failures > CASE WHEN s.ended_at IS NULL AND s.started_at > wacta.now() - interval '1 minute' THEN 1 ELSE 0 END     -- one runs just now
  UNION ALL
  SELECT 'warning', 'job_late', s.job, s.next_run_at, 'it is due, and has not run for ten minutes',
         CASE c.scheduler WHEN 'timer' THEN 'Look at wacta.inbox_worker_status().' ELSE 'Look at cron.job_run_details; run wacta.install_schedule() again.' END
    FROM wacta.schedule s, wacta.config c
   WHERE c.scheduler <> 'off' AND s.enabled AND s.next_run_at < wacta.now() - interval '10 minutes'
$$;
COMMENT ON FUNCTION wacta.job_alerts() IS 'The rows of wacta.alert that tell of the jobs.';
