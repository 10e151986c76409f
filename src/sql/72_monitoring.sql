-- What operators and their monitoring look at. Nothing here scans wacta.message or counts a queue to its end, so that it may be
-- asked every few seconds, however long queue and history are. The settings of the two functions below the views keep the plans on
-- the indexes, whatever the statistics say; JIT compilation would cost a thousand times what it saves.

CREATE FUNCTION wacta.lanes() RETURNS TABLE (channel_id integer, template_id integer, template text, first_due_at timestamptz, held_because text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT c.channel_id, t.template_id, t.name, first.due_at, t.held_because
    FROM wacta.channel c
   CROSS JOIN wacta.template_lane t
   CROSS JOIN LATERAL (SELECT q.due_at FROM wacta.queue q WHERE (q.channel_id, q.template_id) = (c.channel_id, t.template_id)
                        ORDER BY q.due_at LIMIT 1) first
$$;
COMMENT ON FUNCTION wacta.lanes() IS
'The lanes of the queue (channel and template) in which there is anything: when the first of it is due, and why it may not be sent.';

CREATE FUNCTION wacta.examine_outbox()
RETURNS TABLE (channel_id integer, channel text, state text, reason text, paused_until timestamptz, queued bigint, queued_is_more boolean,
               oldest_due_at timestamptz, oldest_due_age interval, held_templates text[], in_doubt bigint, oldest_in_doubt_at timestamptz,
               max_rate integer, rate_now integer, begun_last_second integer, spent_today numeric, daily_budget numeric,
               portfolio text, people_in_24_hours bigint, people_per_day integer, last_webhook_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
  SELECT c.channel_id, c.name AS channel,
         CASE WHEN c.status = 'paused' AND c.paused_until <= wacta.now() THEN 'active' ELSE c.status END AS state, c.status_reason AS reason, c.paused_until,
         least(q.n, 10000) AS queued, q.n > 10000 AS queued_is_more,
         lane.oldest_due_at, wacta.now() - lane.oldest_due_at AS oldest_due_age, lane.held_templates,
         coalesce(d.n, 0) AS in_doubt, d.oldest_at AS oldest_in_doubt_at,
         c.max_rate, coalesce(p.rate_now, c.max_rate) AS rate_now, p.begun AS begun_last_second,
         wacta.spent_on(c.channel_id, wacta.now()) AS spent_today,
         c.daily_budget, f.name AS portfolio, f.people - gone.n AS people_in_24_hours, f.people_per_day, w.received_at
    FROM wacta.channel c
   CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT FROM wacta.queue x WHERE x.channel_id = c.channel_id
                                                   ORDER BY x.channel_id, x.template_id, x.due_at LIMIT 10001) x) q
    LEFT JOIN (SELECT l.channel_id, min(l.first_due_at) FILTER (WHERE l.held_because IS NULL AND l.first_due_at <= wacta.now()) AS oldest_due_at,
                      array_agg(l.template ORDER BY l.template) FILTER (WHERE l.held_because IS NOT NULL) AS held_templates
                 FROM wacta.lanes() l GROUP BY l.channel_id) lane USING (channel_id)
    -- an attempt keeps its outcome when its message has been settled since, so of these only the newest are looked at
    LEFT JOIN (SELECT m.channel_id, count(*) AS n, min(a.claimed_at) AS oldest_at
                 FROM (SELECT x.lead_id, x.message_id, x.attempt, x.claimed_at FROM wacta.attempt x WHERE x.outcome IN ('unknown', 'lost')
                        ORDER BY x.message_id DESC LIMIT 10000) a
                 JOIN wacta.message m ON (m.lead_id, m.message_id, m.attempts) = (a.lead_id, a.message_id, a.attempt)
                WHERE m.status = 'in_doubt' GROUP BY m.channel_id) d USING (channel_id)
    LEFT JOIN wacta.sender_pace() p USING (channel_id)
    LEFT JOIN wacta.portfolio f USING (portfolio_id)
    -- whose 24 hours are over is taken off by the next claim
    LEFT JOIN LATERAL (SELECT count(*) AS n FROM (SELECT FROM wacta.reached r WHERE r.portfolio_id = f.portfolio_id
                                                    AND r.reached_at <= wacta.now() - interval '24 hours' LIMIT 10000) r) gone ON true
    LEFT JOIN LATERAL (SELECT i.received_at FROM wacta.inbox i WHERE i.proved AND (i.provider, i.kind) = (c.provider, 'whatsapp')
                        ORDER BY i.received_at DESC LIMIT 1) w ON true
   WHERE c.sends
$$;
COMMENT ON FUNCTION wacta.examine_outbox() IS 'The rows of the view wacta.outbox_status.';
CREATE VIEW wacta.outbox_status AS SELECT * FROM wacta.examine_outbox();
COMMENT ON VIEW wacta.outbox_status IS
'A row for each sender: its state, what waits and for how long, its rate, and how much of its limits is used. Cheap at any length of
the queue: queued is counted to 10,000 (queued_is_more), oldest_due_at is that of what may be sent, in doubt are those among the
10,000 newest attempts that ended so, last_webhook_at is the provider''s last proved one.';

CREATE FUNCTION wacta.key_problem() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM wacta.unseal(s.sealed)
     FROM (SELECT (SELECT c.sealed FROM wacta.credential c WHERE c.retired_at IS NULL ORDER BY c.credential_id DESC LIMIT 1)
           UNION ALL SELECT (SELECT k.sealed FROM wacta.signing_key k WHERE k.retired_at IS NULL ORDER BY k.key_id DESC LIMIT 1)) s(sealed);
  RETURN NULL;
EXCEPTION WHEN others THEN
  RETURN SQLERRM;
END
$$;
COMMENT ON FUNCTION wacta.key_problem() IS 'Why the secrets cannot be read (the key file is gone, or not private, or another one); NULL: they can.';

-- The parts of wacta.find_alerts()

CREATE FUNCTION wacta.courier_alerts() RETURNS TABLE (severity text, alert text, object text, since timestamptz, what text, what_to_do text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF pg_is_in_recovery() THEN                            -- couriers run on the primary
    RETURN;
  END IF;
  IF NOT EXISTS (SELECT FROM wacta.courier_status() s WHERE s.database = current_database()) THEN
    RETURN QUERY SELECT 'critical', 'no_courier', '', NULL::timestamptz, 'no courier is to run in this database', 'Add the database to wacta.databases and reload.';
  END IF;
  RETURN QUERY
  SELECT v.severity, v.alert, 'courier ' || s.courier, v.since, v.what, v.what_to_do
    FROM wacta.courier_status() s
   CROSS JOIN LATERAL (VALUES
     ('critical', 'courier_down', s.since, concat_ws(': ', 'it is ' || s.state, s.last_error), 'Mend what it says; it is started again by itself.',
      s.state IN ('absent', 'backoff') OR (s.state IN ('waiting', 'starting', 'stopping', 'suspended') AND s.since < wacta.now() - interval '1 minute')),
     ('warning', 'courier_errors', s.last_error_at, s.last_error, 'The server''s log has more; a lock that is held for long goes by itself.',
      s.state IN ('idle', 'sending') AND s.last_error IS NOT NULL AND wacta.fence_problem() IS NULL),
     ('warning', 'sending_disabled', s.since, 'wacta.enabled is off', 'Turn it on and reload, when that is what you want.', s.state = 'disabled')
     ) v(severity, alert, since, what, what_to_do, holds)
   WHERE s.database = current_database() AND v.holds;
EXCEPTION WHEN object_not_in_prerequisite_state THEN
  RETURN QUERY SELECT 'critical', 'no_courier', '', NULL::timestamptz, SQLERRM, 'Add wacta to shared_preload_libraries and restart the server.';
END
$$;
COMMENT ON FUNCTION wacta.courier_alerts() IS 'The rows of wacta.alert that tell of couriers.';

CREATE FUNCTION wacta.site_alerts() RETURNS TABLE (severity text, alert text, object text, since timestamptz, what text, what_to_do text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'critical', 'fence_holds', '', (SELECT f.last_seen_at FROM wacta.fence f), p.problem,
         'Make sure that nobody else sends this queue, then run wacta.unfence(reason).'
    FROM wacta.fence_problem() p(problem) WHERE p.problem IS NOT NULL
  UNION ALL
  SELECT 'critical', 'key_unreadable', '', NULL, p.problem, 'Restore the key file, owned by the server''s user, mode 0600.'
    FROM wacta.key_problem() p(problem) WHERE p.problem IS NOT NULL
  UNION ALL
  SELECT 'critical', 'no_signing_key', '', NULL, 'there is no signing key for links, and messages with links wait', 'Run wacta.add_signing_key().'
   WHERE EXISTS (SELECT FROM wacta.channel) AND NOT EXISTS (SELECT FROM wacta.signing_key k WHERE k.purpose = 'link' AND k.retired_at IS NULL)
  UNION ALL
  SELECT 'warning', 'template_held', format('%s (%s)', t.name, t.language), h.first_due_at, coalesce(t.held_reason, 'its status is ' || t.status),
         'Mend it at the provider, then set its held_reason to NULL, or its status to APPROVED.'
    FROM wacta.template t
    LEFT JOIN (SELECT l.template_id, min(l.first_due_at) AS first_due_at FROM wacta.lanes() l WHERE l.held_because IS NOT NULL GROUP BY 1) h USING (template_id)
   WHERE t.held_reason IS NOT NULL OR h.template_id IS NOT NULL
  UNION ALL
  SELECT 'warning', 'webhooks_refused', r.provider, r.hour, format('refused in this hour and the last: %s (%s); and none was proved', r.n, r.reasons),
         'Compare the secret in the provider''s panel with yours.'
    FROM (SELECT x.provider, min(x.hour) AS hour, sum(x.refused) AS n, string_agg(DISTINCT x.reason, ', ') AS reasons
            -- what strangers send to paths that are none of ours does not count
            FROM wacta.refused_webhook x WHERE x.hour >= date_trunc('hour', wacta.now(), 'UTC') - interval '1 hour' AND x.provider <> 'unknown' GROUP BY 1) r
   WHERE NOT EXISTS (SELECT FROM wacta.inbox_sources() s, LATERAL (SELECT FROM wacta.inbox i
                       WHERE i.proved AND (i.provider, i.kind) = (s.provider, s.kind) AND i.received_at >= r.hour LIMIT 1) i WHERE s.provider = r.provider)
  UNION ALL
  SELECT 'warning', 'account_event', coalesce(c.name, t.name, e.account_id, ''), e.told_at, format('the provider says %s: %s', e.field, e.event),
         'Read wacta.account_event and the provider''s panel; see to it, then run wacta.acknowledge_event(' || e.event_id || ').'
    FROM (SELECT * FROM wacta.account_event x WHERE x.alert AND x.acknowledged_at IS NULL ORDER BY x.told_at LIMIT 100) e
    LEFT JOIN wacta.channel c USING (channel_id) LEFT JOIN wacta.template t ON t.template_id = e.template_id
  UNION ALL
  SELECT 'warning', 'calls_wait', '', c.started_at, 'calls have been waiting for ten minutes', 'Run wacta.install_schedule(), or call wacta.process_ivr() every minute.'
    FROM (SELECT x.started_at FROM wacta.ivr_call x WHERE x.processed_at IS NULL AND x.waits_until IS NULL ORDER BY x.started_at LIMIT 1) c
   WHERE c.started_at < wacta.now() - interval '10 minutes'
$$;
COMMENT ON FUNCTION wacta.site_alerts() IS 'The rows of wacta.alert that tell of the whole database: fence, keys, templates, webhooks, the account, calls.';

-- What is over the budget of the day is put off to the minute after midnight.
CREATE FUNCTION wacta.waits_for_budget(channel_id integer) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  midnight timestamptz := (SELECT ((wacta.now() AT TIME ZONE k.time_zone)::date + 1)::timestamp AT TIME ZONE k.time_zone FROM wacta.config k);
BEGIN
  RETURN EXISTS (SELECT FROM wacta.lanes() l
                  CROSS JOIN LATERAL (SELECT FROM wacta.queue q WHERE (q.channel_id, q.template_id) = (l.channel_id, l.template_id)
                                         AND q.due_at >= midnight AND q.due_at < midnight + interval '1 minute' LIMIT 1) q
                  WHERE l.channel_id = $1);
END
$$;
COMMENT ON FUNCTION wacta.waits_for_budget(integer) IS 'Whether messages of a sender wait for the budget of the next day.';

CREATE FUNCTION wacta.sender_alerts() RETURNS TABLE (severity text, alert text, object text, since timestamptz, what text, what_to_do text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  WITH site AS MATERIALIZED (
    SELECT wacta.fence_problem() IS NULL AND NOT EXISTS (SELECT FROM wacta.courier_alerts() a WHERE a.alert <> 'courier_errors') AS may_send
  ), outbox AS MATERIALIZED (
    SELECT o.*, o.state = 'active' AND s.may_send AS may_send,
           CASE WHEN s.may_send THEN o.begun_last_second > 0
                                     OR EXISTS (SELECT FROM wacta.courier_status() c WHERE c.database = current_database() AND c.in_flight > 0) END AS busy
      FROM wacta.examine_outbox() o, site s)
  SELECT 'critical', 'no_access_token', o.channel, NULL::timestamptz, 'the channel has no access token, and its messages wait', 'Set one with wacta.set_credential_file().'
    FROM outbox o
   WHERE NOT EXISTS (SELECT FROM wacta.credential c WHERE c.channel_id = o.channel_id AND c.kind = 'access_token' AND c.retired_at IS NULL)
  UNION ALL
  SELECT 'critical', 'channel_stopped', o.channel, NULL, coalesce(o.reason, 'the channel is stopped'), 'Mend what it says, then run wacta.resume_channel().'
    FROM outbox o WHERE o.state = 'stopped'
  UNION ALL
  SELECT 'warning', 'channel_paused', o.channel, o.oldest_due_at, coalesce(o.reason, 'the channel is paused') || ', and messages have been due for an hour',
         'Run wacta.resume_channel(), or wait until paused_until.'
    FROM outbox o WHERE o.state = 'paused' AND o.oldest_due_age > interval '1 hour'
  UNION ALL
  SELECT 'critical', 'queue_stuck', o.channel, o.oldest_due_at, 'messages have been due for ten minutes, and nothing leaves',
         'Look for a session that holds messages or leads locked, and into the server''s log.'
    FROM outbox o WHERE o.may_send AND o.busy IS NOT TRUE AND o.oldest_due_age > interval '10 minutes'
  UNION ALL
  SELECT 'warning', 'queue_late', o.channel, o.oldest_due_at, 'messages leave, but the oldest has been due for more than an hour',
         'Compare max_rate with what is queued; look for a session that holds leads locked.'
    FROM outbox o WHERE o.may_send AND o.busy AND o.oldest_due_age > interval '1 hour'
  UNION ALL
  SELECT 'warning', 'in_doubt', o.channel, o.oldest_in_doubt_at, format('in doubt: %s, the oldest for more than an hour', o.in_doubt),
         'Look them up at the provider, then run wacta.settle().'
    FROM outbox o WHERE o.oldest_in_doubt_at < wacta.now() - interval '1 hour'
  UNION ALL
  SELECT DISTINCT 'warning', 'people_limit', o.portfolio, NULL::timestamptz, format('%s people were reached in 24 hours, and messages wait', o.people_per_day),
         'Wait, or have the limit raised at Meta and then in people_per_day.'
    FROM outbox o WHERE o.people_in_24_hours >= o.people_per_day AND o.queued > 0
  UNION ALL
  SELECT 'warning', 'budget_used', o.channel, NULL, format('%s of %s are spent today, and messages wait', round(o.spent_today, 2), round(o.daily_budget, 2)),
         'Wait for midnight, or raise daily_budget for the messages to come.'
    FROM outbox o
   WHERE o.spent_today + (SELECT max(p.price) FROM wacta.price p) > o.daily_budget AND wacta.waits_for_budget(o.channel_id)
$$;
COMMENT ON FUNCTION wacta.sender_alerts() IS 'The rows of wacta.alert that tell of senders and their limits.';

CREATE FUNCTION wacta.crm_alerts() RETURNS TABLE (severity text, alert text, object text, since timestamptz, what text, what_to_do text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY
  SELECT 'warning', 'hook_failed', format('%s on %s', h.function, h.event), f.failed_at, 'calls of a hook failed and wait: ' || coalesce(f.error, f.code),
         'Mend the function; wacta.retry_hooks() calls it again. Delete from wacta.hook_failure what is not to be called any more.'
    FROM wacta.hook h
   CROSS JOIN LATERAL (SELECT x.failed_at, x.error, x.code FROM wacta.hook_failure x WHERE x.hook_id = h.hook_id ORDER BY x.failure_id LIMIT 1) f
  UNION ALL
  SELECT 'warning', 'crm_row_failed', t.relation::text, r.since, 'a row and its lead differ: ' || coalesce(r.error, 'somebody held the row locked'),
         'Mend what it says, then run wacta.sync_lead_tables(); wacta.lead_row_problem lists the rows.'
    FROM (SELECT * FROM wacta.lead_row x WHERE x.state IN ('busy', 'failed') ORDER BY x.since LIMIT 1) r JOIN wacta.lead_table t USING (table_id);
END
$$;
COMMENT ON FUNCTION wacta.crm_alerts() IS 'The rows of wacta.alert that tell of what a site has added: hooks, and tables of a CRM.';

CREATE FUNCTION wacta.find_alerts() RETURNS TABLE (severity text, alert text, object text, since timestamptz, what text, what_to_do text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
AS $$
  SELECT * FROM wacta.courier_alerts() UNION ALL SELECT * FROM wacta.inbox_alerts() UNION ALL SELECT * FROM wacta.site_alerts() UNION ALL SELECT * FROM wacta.job_alerts() UNION ALL SELECT * FROM wacta.sender_alerts()
  UNION ALL SELECT * FROM wacta.crm_alerts()
$$;
COMMENT ON FUNCTION wacta.find_alerts() IS 'The rows of the view wacta.alert.';
CREATE VIEW wacta.alert AS SELECT * FROM wacta.find_alerts();
COMMENT ON VIEW wacta.alert IS
'What an operator must act on now, a row each; no row: all is well. since is NULL where it is not known. docs/operations.md has a
section for each.';
