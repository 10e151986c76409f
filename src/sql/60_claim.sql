-- What the courier calls to claim messages, and to recover those of a former incarnation. It runs as an unprivileged role that can
-- do nothing but this and 61_settle.sql. Functions in both without a search_path of their own have that of the ones the courier
-- calls: to set it anew for each batch costs more than it guards, since nobody but the owner may call them.

-- Whatever these functions find locked they leave for the next time: an application that holds a lead or a message must not
-- stop the deliveries of all the others.

-- An attempt that nobody will hear of again is lost; its message is in doubt, unless a webhook has told more by now.
CREATE FUNCTION wacta.lose_attempts(attempts tid[], why text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n bigint;
BEGIN
  WITH lost AS (
    UPDATE wacta.attempt a SET ended_at = wacta.now(), outcome = 'lost'
     WHERE a.ctid = ANY ($1) AND a.ended_at IS NULL
    RETURNING a.lead_id, a.message_id, a.attempt)
  UPDATE wacta.message m SET status = 'in_doubt', reason = why, lease_until = NULL
    FROM lost CROSS JOIN LATERAL (SELECT x.ctid FROM wacta.message x
                                   WHERE x.lead_id = lost.lead_id AND x.message_id = lost.message_id AND x.attempts = lost.attempt LIMIT 1) x
   WHERE m.ctid = x.ctid AND m.status = 'sending';
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END
$$;
COMMENT ON FUNCTION wacta.lose_attempts(tid[], text) IS 'Ends attempts, whose messages are locked, as lost; returns how many messages are in doubt by that.';

CREATE FUNCTION wacta.courier_start(p_courier integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM wacta.reap_requests(p_courier);
  -- what this courier's former incarnation had in hand: whether it went out, nobody here knows
  RETURN wacta.lose_attempts(ARRAY(
    SELECT a.ctid FROM wacta.attempt a
     CROSS JOIN LATERAL (SELECT FROM wacta.message x WHERE x.lead_id = a.lead_id AND x.message_id = a.message_id
                          LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) m
     WHERE a.courier = p_courier AND a.ended_at IS NULL), 'the courier ended before the answer came');
END
$$;
COMMENT ON FUNCTION wacta.courier_start(integer) IS 'Marks as in doubt what a former incarnation of this courier left unanswered; returns how many.';

-- Attempts that are over leave the index of open ones behind, as messages do that of the queue: see wacta.lane_mark().
CREATE FUNCTION wacta.reap_leases() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  before timestamptz := wacta.now() - (SELECT c.lease FROM wacta.config c);
  first  timestamptz;
BEGIN
  SELECT o.claimed_at INTO first
    FROM (SELECT wacta.note_lane(0, 0, f.claimed_at, before), f.claimed_at
            FROM (SELECT) one
            LEFT JOIN LATERAL (SELECT a.claimed_at FROM wacta.attempt a
                                WHERE a.ended_at IS NULL AND a.claimed_at >= wacta.lane_mark(0, 0) AND a.claimed_at < before
                                ORDER BY a.claimed_at LIMIT 1) f ON true
          OFFSET 0) o;
  IF first IS NULL THEN
    RETURN 0;
  END IF;
  RETURN wacta.lose_attempts(ARRAY(
    SELECT a.ctid FROM wacta.attempt a
     CROSS JOIN LATERAL (SELECT x.lease_until, x.attempts FROM wacta.message x WHERE x.lead_id = a.lead_id AND x.message_id = a.message_id
                          LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) m
     WHERE a.ended_at IS NULL AND a.claimed_at >= first AND a.claimed_at < before
       AND (m.lease_until < wacta.now() OR m.lease_until IS NULL OR m.attempts > a.attempt)
     LIMIT 1000), 'no answer within the lease');
END
$$;
COMMENT ON FUNCTION wacta.reap_leases() IS 'Ends up to 1,000 attempts whose lease has run out; returns how many messages are in doubt by that.';

-- What it had waited for, as far as that is known: sender, template, its own last answer.
CREATE FUNCTION wacta.expiry_reason(m wacta.message) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN concat_ws('; ', 'not sent in time',
    (SELECT concat_ws(': ', 'the sender is ' || c.status, c.status_reason) FROM wacta.channel c WHERE c.channel_id = m.channel_id AND c.status <> 'active'),
    (SELECT concat_ws(': ', CASE WHEN t.held_reason IS NULL THEN 'the template is ' || t.status ELSE 'the template is held' END, t.held_reason)
       FROM wacta.template t WHERE t.template_id = m.template_id AND (t.held_reason IS NOT NULL OR t.verdict <> 'send')),
    'last: ' || m.reason);
END
$$;
COMMENT ON FUNCTION wacta.expiry_reason(wacta.message) IS 'Why a queued message that expires now was not sent in time.';

CREATE FUNCTION wacta.expire_messages() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  now_at  timestamptz := wacta.now();                    -- a constant can be looked up in an index, a volatile function cannot
  expired bigint;
BEGIN
  UPDATE wacta.message m SET status = 'expired', reason = wacta.expiry_reason(m)
   WHERE m.status = 'queued' AND m.ctid = ANY (ARRAY(
    SELECT x.ctid FROM (SELECT d.lead_id, d.message_id FROM wacta.queue d WHERE d.expires_at < now_at ORDER BY d.expires_at) q
     CROSS JOIN LATERAL (SELECT x.ctid FROM wacta.message x
                          WHERE x.lead_id = q.lead_id AND x.message_id = q.message_id AND x.status = 'queued'
                          LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) x
     LIMIT 1000));
  GET DIAGNOSTICS expired = ROW_COUNT;
  RETURN expired;
END
$$;
COMMENT ON FUNCTION wacta.expire_messages() IS 'Expires up to 1,000 queued messages that are past their time; returns how many.';

CREATE FUNCTION wacta.courier_reap() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  ended bigint := wacta.reap_leases() + wacta.expire_messages();
BEGIN
  UPDATE wacta.channel c SET status = 'active', status_reason = NULL, paused_until = NULL
   WHERE c.channel_id = ANY (ARRAY(SELECT p.channel_id FROM wacta.channel p WHERE p.status = 'paused' AND p.paused_until <= wacta.now()
                                      FOR NO KEY UPDATE SKIP LOCKED));
  PERFORM wacta.reap_requests();
  IF NOT wacta.inbox_is_served() THEN                    -- there is no room for another worker
    PERFORM wacta.replay_waiting(), wacta.inbox_tend();
  END IF;
  RETURN ended;
END
$$;
COMMENT ON FUNCTION wacta.courier_reap() IS
'Expired leases become in doubt, messages past their time expire (1,000 of each at most; returns how many), pauses end. Where
no inbox worker serves the database, what waits in the inbox is tried again, and the inbox is tended.';

CREATE FUNCTION wacta.lane_mark(channel_id integer, template_id integer) RETURNS timestamptz
LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'wacta_lane_mark';
COMMENT ON FUNCTION wacta.lane_mark(integer, integer) IS 'Where a look at a lane of the queue is to begin: what was due before has left.';

CREATE FUNCTION wacta.note_lane(channel_id integer, template_id integer, first timestamptz, looked_at timestamptz) RETURNS void
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wacta_note_lane';
COMMENT ON FUNCTION wacta.note_lane(integer, integer, timestamptz, timestamptz) IS
'Takes note of the first row that a look at a lane has found, NULL: none until looked_at; for the statement that looked.';

-- What is gone fails its messages at the claim; what is held, in review or paused keeps them.
CREATE VIEW wacta.template_lane AS
  SELECT 0 AS template_id, NULL AS name, 'brochure' AS purpose, NULL AS held_because, NULL AS version
  UNION ALL
  SELECT t.template_id, t.name, t.purpose, coalesce(t.held_reason, CASE WHEN t.verdict = 'wait' THEN 'its status is ' || t.status END), (t.xmin, t.ctid)::text
    FROM wacta.template t;
COMMENT ON VIEW wacta.template_lane IS 'The templates whose messages may be queued, with 0 for none: why they are not to be looked at (NULL: they are), and their row''s version.';

-- A lane is the messages of one channel with one template. One that may not be sent from (the channel is paused, the template
-- held) is left out here, so that its queue costs nothing, however long it is. Brochures come first: a person waits for them.
CREATE FUNCTION wacta.due_lanes(now_at timestamptz)
RETURNS TABLE (channel wacta.channel, template_id integer, limited boolean, version text)
LANGUAGE plpgsql
AS $$
BEGIN
  RETURN QUERY
  SELECT lane.ch, lane.template_id,
         (lane.ch).daily_budget IS NOT NULL
           OR EXISTS (SELECT FROM wacta.portfolio p WHERE p.portfolio_id = (lane.ch).portfolio_id AND p.people_per_day IS NOT NULL),
         -- of all rows that a form is made from, but for the project's
         concat_ws(' ', lane.version, (SELECT (c.xmin, c.ctid) FROM wacta.config c), (SELECT array_agg((s.xmin, s.ctid)) FROM wacta.signing_key s))
    FROM (SELECT ch, t.template_id, t.purpose, first.due_at, concat_ws(' ', ch.channel_id, ch.revision, t.template_id, t.version) AS version,
                 wacta.note_lane(ch.channel_id, t.template_id, first.due_at, now_at)
            FROM wacta.channel ch
           CROSS JOIN wacta.template_lane t
            LEFT JOIN LATERAL (SELECT q.due_at FROM wacta.queue q
                                WHERE (q.channel_id, q.template_id) = (ch.channel_id, t.template_id)
                                  AND q.due_at >= wacta.lane_mark(ch.channel_id, t.template_id) AND q.due_at <= now_at
                                ORDER BY q.due_at LIMIT 1) first ON true
           WHERE t.held_because IS NULL AND (ch.status = 'active' OR (ch.status = 'paused' AND ch.paused_until <= now_at))
          OFFSET 0) lane
   WHERE lane.due_at IS NOT NULL
   ORDER BY lane.purpose = 'brochure' DESC, lane.due_at;
END
$$;
COMMENT ON FUNCTION wacta.due_lanes(timestamptz) IS
'The lanes of the queue in which something is due and may be sent, in the order in which to serve them: whether the sender has a
limit of people or money, and the version of what its forms are made from.';

-- A queue that is far over the limit of people is not gone through again and again: the longer a message has waited, the later it
-- looks again. What the policy keeps beyond its time need not be looked at again at all.
CREATE FUNCTION wacta.allow(c wacta.channel, courier integer, m wacta.candidate, policed boolean, paired boolean, limited boolean,
                            enqueued_at timestamptz, expires_at timestamptz, now_at timestamptz, OUT verdict wacta.message_status, OUT later timestamptz, OUT why text)
LANGUAGE plpgsql
AS $$
DECLARE
  gate text;
BEGIN
  SELECT g.gate, CASE WHEN policed THEN wacta.outside_quiet_hours(m, g.open_at) ELSE g.open_at END AS opens, g.why INTO gate, later, why
    FROM wacta.time_gates(c, m, policed, paired, limited, false, now_at) g WHERE g.open_at > now_at ORDER BY opens DESC LIMIT 1;
  IF gate IS NULL THEN
    verdict := 'sending';
    IF limited THEN
      PERFORM wacta.count_against_limits(c, courier, m, now_at);
    END IF;
  ELSIF gate IN ('quiet_hours', 'cap', 'gap') AND later > expires_at THEN
    verdict := 'expired';
    why := 'not sent in time; ' || why;
  ELSE
    verdict := 'queued';
    later := CASE WHEN gate = 'people' THEN greatest(later, now_at + greatest(interval '1 minute', least(interval '6 hours', (now_at - enqueued_at) / 4)))
                  WHEN isfinite(later) THEN later ELSE wacta.later_by(now_at, '1 day') END;
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.allow(wacta.channel, integer, wacta.candidate, boolean, boolean, boolean, timestamptz, timestamptz, timestamptz) IS
'What wacta.time_gates() lets become of a message: sending (and it is counted), queued for later, or expired when that is too late, and why.';

-- A mark goes by due_at, so it cannot pass the first of many that are due at one moment: they are spread over the second after it.
CREATE FUNCTION wacta.is_crowded(channel_id integer, template_id integer, now_at timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN EXISTS (SELECT FROM wacta.queue q WHERE q.channel_id = $1 AND q.template_id = $2 AND q.due_at > now_at ORDER BY q.due_at OFFSET 500 LIMIT 1);
END
$$;
COMMENT ON FUNCTION wacta.is_crowded(integer, integer, timestamptz) IS 'Whether hundreds of messages of a lane wait for later.';

-- Two statements: the first locks, the second sees, with a snapshot of its own, the newest version of all that is locked, and
-- every attempt that another courier committed before. The lead's lock is the promise that no claim succeeds after an opt-out
-- has committed, and it serves one courier at a time. SKIP LOCKED on both rows means that a claim never waits and never
-- deadlocks. What is the same for many messages (may they be sent, the form of their request) is decided once a kind, not once
-- a message.
CREATE FUNCTION wacta.claim_lane(p_courier integer, p_channel wacta.channel, p_template integer, limited boolean, version text, p_max integer, now_at timestamptz)
RETURNS TABLE (lead_id bigint, message_id bigint, attempt integer, channel_id integer, channel_revision bigint, body text, template_id integer)
LANGUAGE plpgsql
AS $$
DECLARE
  c        wacta.config := (SELECT k FROM wacta.config k);
  channel  integer := p_channel.channel_id;
  priced   boolean := EXISTS (SELECT FROM wacta.price);
  policed  boolean := wacta.has_policy();
  crowded  boolean := (limited OR policed) AND wacta.is_crowded(channel, p_template, now_at);
  -- fewer than a burst in this time are within the limit, whenever they were
  paired_since timestamptz := coalesce(now_at - c.pair_burst * c.pair_interval, 'infinity');
  queue_tids   tid[];
  message_tids tid[];
  lead_tids    tid[];
BEGIN
  SELECT array_agg(locked.queue_tid), array_agg(locked.message_tid), array_agg(locked.lead_tid) INTO queue_tids, message_tids, lead_tids
    FROM (SELECT q.ctid AS queue_tid, m.ctid AS message_tid, l.ctid AS lead_tid
            FROM (SELECT d.ctid, d.lead_id, d.message_id FROM wacta.queue d
                   WHERE d.channel_id = channel AND d.template_id = p_template AND d.due_at >= wacta.lane_mark(channel, p_template) AND d.due_at <= now_at
                   ORDER BY d.due_at) q
           CROSS JOIN LATERAL (SELECT x.ctid FROM wacta.message x WHERE x.message_id = q.message_id AND x.lead_id = q.lead_id AND x.status = 'queued'
                                LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) m
           CROSS JOIN LATERAL (SELECT x.ctid FROM wacta.lead x WHERE x.lead_id = q.lead_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) l
           LIMIT p_max) locked;
  RETURN QUERY
  WITH picked AS MATERIALIZED (
    SELECT u.queue_tid, u.tid, m.lead_id, m.message_id, m.project_id, m.purpose, m.variables::text AS variables, m.enqueued_at, m.expires_at, m.expires_at < now_at AS expired,
           l.name, l.consent, l.time_zone, coalesce(l.window_until > now_at, false) AS in_window, i.kind, i.value, p.recent
      FROM unnest(queue_tids, message_tids, lead_tids) u(queue_tid, tid, lead_tid)
      -- who had the message before us may have put it off: then its place in the queue is another one now
      JOIN wacta.queue d ON d.ctid = u.queue_tid
      JOIN wacta.message m ON m.ctid = u.tid AND m.message_id = d.message_id AND m.status = 'queued'
      JOIN wacta.lead l ON l.ctid = u.lead_tid
      LEFT JOIN LATERAL (SELECT x.kind, x.value FROM wacta.lead_identity x
                          WHERE x.lead_id = m.lead_id AND x.kind IN ('phone', 'user_id') ORDER BY x.kind, x.created_at LIMIT 1) i ON true
     CROSS JOIN LATERAL (SELECT count(*) AS recent FROM wacta.attempt x WHERE x.lead_id = m.lead_id AND x.claimed_at > paired_since) p
  ), kinds AS MATERIALIZED (
    SELECT k.*, plan.*
      FROM (SELECT DISTINCT p.project_id, p.purpose, p.variables, p.in_window, p.kind, p.consent FROM picked p) k,
           LATERAL wacta.plan_kind(version, channel, nullif(p_template, 0), k.project_id, k.purpose, k.variables::jsonb, k.in_window, k.kind, k.consent) plan
  ), judged AS MATERIALIZED (
    SELECT p.*, k.form, CASE WHEN p.expired AND k.status <> 'suppressed' THEN 'expired' ELSE k.status END AS verdict,
           CASE WHEN p.expired AND k.status <> 'suppressed' THEN NULL ELSE k.reason END AS why,
           row_number() OVER (PARTITION BY p.lead_id ORDER BY p.message_id) - 1 AS ahead,
           CASE WHEN priced AND NOT (p.in_window AND p.purpose = 'brochure') THEN wacta.expected_cost(p.value, nullif(p_template, 0), p.in_window) END AS cost
      FROM picked p JOIN kinds k
        ON (p.purpose, p.in_window, p.consent, p.variables) = (k.purpose, k.in_window, k.consent, k.variables)
           AND (p.project_id, p.kind) IS NOT DISTINCT FROM (k.project_id, k.kind)
  ), allowed AS MATERIALIZED (
    SELECT j.queue_tid, j.tid, j.form, j.value, j.name, j.cost, coalesce((a.said).verdict, j.verdict) AS verdict, coalesce((a.said).why, j.why) AS why,
           (a.said).later + CASE WHEN crowded THEN make_interval(secs => j.message_id % 1000000 / 1e6) ELSE interval '0' END AS later
      FROM judged j
      -- asked only where it matters, for it counts what it allows
      LEFT JOIN LATERAL (SELECT wacta.allow(p_channel, p_courier,
                                  ROW(j.lead_id, j.message_id, j.purpose, j.project_id, CASE WHEN j.kind = 'phone' THEN j.value END, j.time_zone, j.in_window, j.cost, j.ahead)::wacta.candidate,
                                  policed, j.recent + j.ahead >= c.pair_burst, limited, j.enqueued_at, j.expires_at, now_at) AS said
                          WHERE j.verdict = 'sending' AND (limited OR policed OR j.recent + j.ahead >= c.pair_burst)
                         OFFSET 0) a ON true
  ), changed AS (
    UPDATE wacta.message q
       SET status = j.verdict, reason = coalesce(j.why, CASE WHEN j.verdict = 'expired' THEN wacta.expiry_reason(q) ELSE q.reason END),
           attempts = q.attempts + (j.verdict = 'sending')::integer,
           claimed_by = CASE WHEN j.verdict = 'sending' THEN p_courier ELSE q.claimed_by END,
           lease_until = CASE WHEN j.verdict = 'sending' THEN now_at + c.lease END,
           failed_at = CASE WHEN j.verdict = 'failed' THEN now_at END,
           due_at = CASE WHEN j.verdict = 'queued' THEN coalesce(j.later, now_at + interval '1 minute') ELSE q.due_at END,
           cost = CASE WHEN j.verdict = 'sending' THEN j.cost END
      FROM allowed j
     WHERE q.ctid = j.tid
    RETURNING q.lead_id, q.message_id, q.attempts, q.status, q.cost, j.form, j.value, j.name, j.queue_tid
  ), left_queue AS (
    DELETE FROM wacta.queue q WHERE q.ctid = ANY (ARRAY(SELECT u.queue_tid FROM changed u WHERE u.status = 'sending'))
  ), spent AS (
    INSERT INTO wacta.spend AS s (channel_id, day, courier, amount)
    SELECT channel, wacta.budget_day(now_at), p_courier, sum(u.cost) FROM changed u
     WHERE priced AND p_channel.daily_budget IS NULL AND u.status = 'sending'
    HAVING sum(u.cost) > 0
    ON CONFLICT ON CONSTRAINT spend_pkey DO UPDATE SET amount = s.amount + excluded.amount
  ), begun AS (
    INSERT INTO wacta.attempt (lead_id, message_id, attempt, courier, claimed_at)
    SELECT u.lead_id, u.message_id, u.attempts, p_courier, now_at FROM changed u WHERE u.status = 'sending'
  )
  SELECT u.lead_id, u.message_id, u.attempts, channel, p_channel.revision,
         wacta.fill_request(u.form, u.lead_id, u.message_id, u.value, wacta.parameter_text(u.name, 'there'), now_at, now_at + c.link_ttl), nullif(p_template, 0)
    FROM changed u WHERE u.status = 'sending'
  UNION ALL                                              -- something was done though nothing of it is to be sent: look again
  SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE EXISTS (SELECT FROM changed u WHERE u.status <> 'sending');
END
$$;
COMMENT ON FUNCTION wacta.claim_lane(integer, wacta.channel, integer, boolean, text, integer, timestamptz) IS
'Takes up to p_max due messages of a lane: see wacta.courier_claim().';

-- With several senders each finds a share of the slots free, so that one whose provider hangs does not take them all.
CREATE FUNCTION wacta.room_for(channel_id integer, room integer, busy integer[]) RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  others integer[] := ARRAY(SELECT ch.channel_id FROM wacta.channel ch WHERE ch.status = 'active' AND ch.channel_id <> $1);
  share  integer := (room + cardinality(busy)) / (4 * (1 + cardinality(others)));
BEGIN
  IF others = '{}' THEN
    RETURN room;
  END IF;
  RETURN room - (SELECT sum(greatest(0, share - cardinality(array_positions(busy, o)))) FROM unnest(others) o);
END
$$;
COMMENT ON FUNCTION wacta.room_for(integer, integer, integer[]) IS
'How many of the free slots a sender may take, given the senders of the messages that are under way.';

-- The courier's settings (pin_settings() in courier.c) keep the plans of all this on the indexes, whatever the statistics say of
-- tables that were just filled or emptied.
CREATE FUNCTION wacta.courier_claim(p_courier integer, p_max integer, p_busy integer[] DEFAULT '{}')
RETURNS TABLE (lead_id bigint, message_id bigint, attempt integer, channel_id integer, channel_revision bigint, body text, template_id integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  now_at timestamptz := wacta.now();
  room   integer := p_max;
  turns  integer;
  n      integer;
  lane   record;
  sender wacta.channel;
BEGIN
  IF NOT wacta.fence_is_fresh() AND wacta.fence_heartbeat() IS NOT NULL THEN            -- another cluster's queue
    RETURN;
  END IF;
  FOR lane IN SELECT * FROM wacta.due_lanes(now_at) LOOP
    EXIT WHEN room <= 0;
    sender := lane.channel;
    -- one courier at a time counts people and money; another one comes again
    IF lane.limited THEN
      IF NOT pg_try_advisory_xact_lock(hashtext('wacta.limits'), 0) THEN
        RETURN QUERY SELECT NULL::bigint, NULL::bigint, NULL::integer, NULL::integer, NULL::bigint, NULL::text, NULL::integer;
        CONTINUE;
      END IF;
      PERFORM wacta.forget_reached(sender.portfolio_id, now_at);
    END IF;
    turns := wacta.room_for(sender.channel_id, room, p_busy);
    CONTINUE WHEN turns <= 0;
    turns := (SELECT t.granted FROM wacta.take_turns(sender.channel_id, p_courier, sender.max_rate, turns) t);
    CONTINUE WHEN turns <= 0;
    RETURN QUERY SELECT * FROM wacta.claim_lane(p_courier, sender, lane.template_id, lane.limited, lane.version, turns, now_at);
    GET DIAGNOSTICS n = ROW_COUNT;
    room := room - n;
    p_busy := p_busy || array_fill(sender.channel_id, ARRAY[n]);
  END LOOP;
  IF room > 0 THEN
    RETURN QUERY SELECT * FROM wacta.claim_requests(p_courier, room, now_at);
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.courier_claim(integer, integer, integer[]) IS
'Takes up to p_max due messages, records their attempts, and returns the requests to send after this has committed.
p_busy: the channel of each message that this courier has under way.
Messages that must not or cannot be sent are settled here; a row of NULLs tells that there were some.';

CREATE FUNCTION wacta.courier_channel(p_channel_id integer, OUT revision bigint, OUT url text, OUT headers text[])
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c     wacta.channel;
  token bytea;
BEGIN
  SELECT * INTO c FROM wacta.channel WHERE channel.channel_id = abs(p_channel_id);
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT s INTO token FROM wacta.secrets(c.channel_id, NULL, 'access_token') s LIMIT 1;
  IF token IS NULL THEN
    RAISE EXCEPTION 'channel "%" has no access token', c.name USING ERRCODE = '55000',
      HINT = 'Set one with wacta.set_credential_file().';
  END IF;
  revision := c.revision;
  url := CASE WHEN p_channel_id > 0 THEN wacta.channel_url(c) ELSE wacta.management_url(c) END;
  headers := ARRAY['Content-Type: application/json', c.auth_header || ': ' || c.auth_prefix || convert_from(token, 'UTF8')];
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION wacta.courier_channel(integer) IS 'URL and headers of a channel''s requests, the access token among them; with a minus, of those to its management API.';

CREATE FUNCTION wacta.courier_wait() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  now_at timestamptz := wacta.now();
BEGIN
  RETURN least(wacta.request_wait(now_at), (
    SELECT CASE WHEN min(due) <= now_at THEN coalesce(wacta.turn_wait(), 0)
                ELSE least(86400000, ceil(extract(epoch FROM min(due) - now_at) * 1000), wacta.turn_wait())::integer END
      FROM wacta.channel ch
     CROSS JOIN wacta.template_lane t
     CROSS JOIN LATERAL (SELECT q.due_at FROM wacta.queue q
                          WHERE (q.channel_id, q.template_id) = (ch.channel_id, t.template_id) AND q.due_at >= wacta.lane_mark(ch.channel_id, t.template_id)
                          ORDER BY q.due_at LIMIT 1) first
     CROSS JOIN LATERAL (SELECT greatest(first.due_at, CASE WHEN ch.status = 'paused' THEN ch.paused_until END) AS due) d
     WHERE t.held_because IS NULL AND (ch.status = 'active' OR (ch.status = 'paused' AND ch.paused_until IS NOT NULL))
    HAVING count(*) > 0));
END
$$;
COMMENT ON FUNCTION wacta.courier_wait() IS 'Milliseconds until the next queued message that may be sent is due and its sender has a turn, or another request is due; NULL when there is none.';
