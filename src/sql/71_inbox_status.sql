-- What operators and their monitoring look at of the inbox. As in 72_monitoring.sql, nothing here reads a table to its end, so that it may
-- be asked every few seconds.

-- Up to 10,000 of those that are due, and of those that were set aside.
CREATE FUNCTION wacta.inbox_backlog()
RETURNS TABLE (provider text, kind text, pending bigint, oldest_pending_at timestamptz, waiting bigint, set_aside bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT i.provider, i.kind, count(*) FILTER (WHERE i.pending), min(i.received_at) FILTER (WHERE i.pending),
         count(*) FILTER (WHERE i.waiting), count(*) FILTER (WHERE i.set_aside)
    FROM ((SELECT x.provider, x.kind, x.received_at, x.applied_at IS NULL AS pending, x.applied_at IS NOT NULL AS waiting, false AS set_aside
             FROM wacta.inbox x WHERE x.due_at IS NOT NULL ORDER BY x.due_at LIMIT 10000)
          UNION ALL
          (SELECT x.provider, x.kind, x.received_at, false, false, true
             FROM wacta.inbox x WHERE x.set_aside_at IS NOT NULL ORDER BY x.set_aside_at LIMIT 10000)) i GROUP BY 1, 2
$$;
COMMENT ON FUNCTION wacta.inbox_backlog() IS 'What in the inbox is still to be applied, waits, or was set aside, for each source.';

CREATE FUNCTION wacta.examine_inbox()
RETURNS TABLE (provider text, kind text, last_received_at timestamptz, last_applied_at timestamptz,
               pending bigint, oldest_pending_age interval, waiting bigint, set_aside bigint, refused_this_hour bigint, refused_last_hour bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
  SELECT coalesce(s.provider, r.provider), s.kind, last.received_at, applied.applied_at,
         coalesce(b.pending, 0), wacta.now() - b.oldest_pending_at, coalesce(b.waiting, 0), coalesce(b.set_aside, 0),
         coalesce(r.this_hour, 0), coalesce(r.last_hour, 0)
    FROM wacta.inbox_sources() s
    LEFT JOIN wacta.inbox_backlog() b USING (provider, kind)
    LEFT JOIN LATERAL (SELECT i.received_at FROM wacta.inbox i WHERE i.proved AND (i.provider, i.kind) = (s.provider, s.kind)
                        ORDER BY i.received_at DESC LIMIT 1) last ON true
    LEFT JOIN LATERAL (SELECT max(n.applied_at) AS applied_at
                         FROM (SELECT i.applied_at FROM wacta.inbox i WHERE i.proved AND (i.provider, i.kind) = (s.provider, s.kind)
                                ORDER BY i.received_at DESC LIMIT 1000) n) applied ON true
    FULL JOIN (SELECT w.provider,
                      (sum(w.refused) FILTER (WHERE w.hour = date_trunc('hour', wacta.now(), 'UTC')))::bigint AS this_hour,
                      (sum(w.refused) FILTER (WHERE w.hour < date_trunc('hour', wacta.now(), 'UTC')))::bigint AS last_hour
                 FROM wacta.refused_webhook w WHERE w.hour >= date_trunc('hour', wacta.now(), 'UTC') - interval '1 hour' GROUP BY 1) r ON r.provider = s.provider
$$;
COMMENT ON FUNCTION wacta.examine_inbox() IS 'The rows of the view wacta.inbox_status.';
CREATE VIEW wacta.inbox_status AS SELECT * FROM wacta.examine_inbox();
COMMENT ON VIEW wacta.inbox_status IS
'A row for each source of webhooks: when the last proved one came and the last was applied (among the 1,000 newest), what is still to be
applied and how old it is, what waits for something that is not known yet, what was set aside (up to 10,000 each), and how many proved
nothing. Such of strangers are under the provider unknown.';

CREATE FUNCTION wacta.inbox_alerts() RETURNS TABLE (severity text, alert text, object text, since timestamptz, what text, what_to_do text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT 'critical', 'webhook_set_aside', b.provider, NULL::timestamptz,
         format('webhooks that cannot be applied: %s', b.set_aside), 'See their errors in wacta.inbox, mend the cause, then run wacta.replay().'
    FROM wacta.inbox_backlog() b WHERE b.set_aside > 0
  UNION ALL
  SELECT 'warning', 'webhooks_late', b.provider, b.oldest_pending_at, format('webhooks have not been applied for ten minutes: %s', b.pending),
         'See wacta.inbox_worker_status(), and look for a session that holds leads or messages locked.'
    FROM wacta.inbox_backlog() b WHERE b.oldest_pending_at < wacta.now() - interval '10 minutes'
  UNION ALL
  SELECT 'warning', 'webhook_errors', f.provider, min(f.applied_at), format('webhooks of the last day with items that failed: %s', count(*)),
         'See their errors in wacta.inbox, mend the cause, then run wacta.replay().'
    FROM (SELECT i.provider, i.applied_at FROM wacta.inbox i WHERE i.errors <> '[]' AND i.applied_at > wacta.now() - interval '1 day' LIMIT 10000) f
   GROUP BY f.provider;
  IF pg_is_in_recovery() THEN                            -- workers run on the primary
    RETURN;
  END IF;
  RETURN QUERY
  SELECT v.severity, v.alert, '', v.since, v.what, v.what_to_do
    FROM wacta.inbox_worker_status() s
   CROSS JOIN LATERAL (VALUES
     ('critical', 'inbox_down', s.since, concat_ws(': ', 'the inbox worker is ' || s.state, s.last_error), 'Mend what it says; it is started again by itself.',
      s.state IN ('absent', 'backoff') OR (s.state <> 'running' AND s.since < wacta.now() - interval '1 minute')),
     ('warning', 'inbox_worker_errors', s.last_error_at, s.last_error, 'The server''s log has more; a lock that is held for long goes by itself.',
      s.state = 'running' AND s.last_error IS NOT NULL)
     ) v(severity, alert, since, what, what_to_do, holds)
   WHERE s.database = current_database() AND v.holds;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
  RETURN;                                                -- wacta is not preloaded: wacta.courier_alerts() says so
END
$$;
COMMENT ON FUNCTION wacta.inbox_alerts() IS 'The rows of wacta.alert that tell of the inbox and its worker.';
