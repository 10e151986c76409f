-- What the courier calls: claim, settle, recover. It runs as an unprivileged role that can do nothing but this.

-- Whatever these functions find locked they leave for the next time: an application that holds a lead or a message must not
-- stop the deliveries of all the others.

CREATE FUNCTION wacta.put_in_doubt(rows_ tid[], why text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n bigint;
BEGIN
  WITH lost AS (
    UPDATE wacta.message m SET status = 'in_doubt', reason = why, lease_until = NULL
     WHERE m.ctid = ANY (rows_) AND m.status = 'sending'
    RETURNING m.lead_id, m.message_id, m.attempts)
  UPDATE wacta.attempt a SET ended_at = wacta.now(), outcome = 'lost' FROM lost
   WHERE (a.lead_id, a.message_id, a.attempt) = (lost.lead_id, lost.message_id, lost.attempts);
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END
$$;
COMMENT ON FUNCTION wacta.put_in_doubt(tid[], text) IS 'Marks locked messages as in doubt and their attempts as lost; returns how many.';

CREATE FUNCTION wacta.courier_start(p_courier integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
  -- what this courier's former incarnation had in hand: whether it went out, nobody here knows
  SELECT wacta.put_in_doubt(ARRAY(SELECT m.ctid FROM wacta.message m WHERE m.status = 'sending' AND m.claimed_by = p_courier
                                     FOR NO KEY UPDATE SKIP LOCKED), 'the courier ended before the answer came')
$$;
COMMENT ON FUNCTION wacta.courier_start(integer) IS 'Marks as in doubt what a former incarnation of this courier left unanswered; returns how many.';

CREATE FUNCTION wacta.forget_refusals() RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
  -- in small bites: this runs every few seconds
  DELETE FROM wacta.inbox WHERE inbox_id = ANY (ARRAY(
    SELECT i.inbox_id FROM wacta.inbox i, wacta.config c
     WHERE NOT i.proved AND i.received_at < wacta.now() - c.refusal_retention ORDER BY i.received_at LIMIT 500));
  DELETE FROM wacta.token_refusal WHERE refusal_id = ANY (ARRAY(
    SELECT r.refusal_id FROM wacta.token_refusal r, wacta.config c
     WHERE r.refused_at < wacta.now() - c.refusal_retention ORDER BY r.refused_at LIMIT 500));
$$;
COMMENT ON FUNCTION wacta.forget_refusals() IS 'Deletes refused tokens and unproved webhooks that are older than refusal_retention.';

CREATE FUNCTION wacta.courier_reap() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  lost    bigint;
  expired bigint;
BEGIN
  lost := wacta.put_in_doubt(ARRAY(SELECT m.ctid FROM wacta.message m WHERE m.status = 'sending' AND m.lease_until < wacta.now()
                                    LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED), 'no answer within the lease');
  UPDATE wacta.message m SET status = 'expired', reason = coalesce('not sent in time; last: ' || m.reason, 'not sent in time')
   WHERE m.status = 'queued' AND m.ctid = ANY (ARRAY(
         SELECT x.ctid FROM wacta.message x WHERE x.status = 'queued' AND x.expires_at < wacta.now()
          LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED));
  GET DIAGNOSTICS expired = ROW_COUNT;
  UPDATE wacta.channel c SET status = 'active', status_reason = NULL, paused_until = NULL
   WHERE c.channel_id = ANY (ARRAY(SELECT p.channel_id FROM wacta.channel p WHERE p.status = 'paused' AND p.paused_until <= wacta.now()
                                      FOR NO KEY UPDATE SKIP LOCKED));
  PERFORM wacta.replay_waiting(), wacta.forget_refusals();
  RETURN lost + expired;
END
$$;
COMMENT ON FUNCTION wacta.courier_reap() IS
'Expired leases become in doubt, messages past their time expire (1,000 of each at most; returns how many), pauses end, what
waits in the inbox is tried again.';

-- Two statements: the first locks, the second sees the newest version of what it locked. The lead's share lock is the promise
-- that no claim succeeds after an opt-out has committed; SKIP LOCKED on both means that a claim never waits and never deadlocks.
-- What is the same for many messages (may they be sent, the form of their request) is decided once a kind, not once a message.
-- The settings keep the plan on the index of due messages, whatever the statistics say of a table that was just filled; their
-- price on what has to be scanned must not call for JIT compilation.
CREATE FUNCTION wacta.courier_claim(p_courier integer, p_max integer)
RETURNS TABLE (lead_id bigint, message_id bigint, attempt integer, channel_id integer, channel_revision bigint, body text, template_id integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  now_at timestamptz := wacta.now();
  c      wacta.config := (SELECT k FROM wacta.config k);
  sender record;
  turns  integer;
  rows_  tid[] := '{}';
BEGIN
  FOR sender IN SELECT x.channel_id, x.max_rate FROM wacta.channel x
             WHERE x.status = 'active' OR (x.status = 'paused' AND x.paused_until <= now_at) ORDER BY random() LOOP
    turns := (SELECT t.granted FROM wacta.take_turns(sender.channel_id, p_courier, sender.max_rate, p_max - cardinality(rows_)) t);
    CONTINUE WHEN turns = 0;
    rows_ := rows_ || ARRAY(SELECT q.ctid FROM wacta.message q JOIN wacta.lead l ON l.lead_id = q.lead_id
                  WHERE q.status = 'queued' AND q.due_at <= now_at AND q.channel_id = sender.channel_id
                    -- a template that is paused or in review holds its messages; one that is gone fails them, below
                    AND NOT EXISTS (SELECT FROM wacta.template t WHERE t.template_id = q.template_id
                                       AND (t.held_reason IS NOT NULL OR t.status NOT IN ('APPROVED', 'FLAGGED', 'REJECTED', 'DISABLED', 'DELETED')))
                  ORDER BY q.due_at LIMIT turns
                    FOR NO KEY UPDATE OF q SKIP LOCKED FOR SHARE OF l SKIP LOCKED);
  END LOOP;
  IF rows_ = '{}' THEN
    RETURN;
  END IF;
  RETURN QUERY
  WITH picked AS MATERIALIZED (
    SELECT q.ctid AS tid, q.lead_id, q.message_id, q.channel_id, q.template_id, q.project_id, q.purpose, q.variables::text AS variables, q.expires_at,
           l.name, l.consent, coalesce(l.window_until > now_at, false) AS in_window, i.kind, i.value
      FROM wacta.message q JOIN wacta.lead l ON l.lead_id = q.lead_id
      LEFT JOIN LATERAL (SELECT x.kind, x.value FROM wacta.lead_identity x
                          WHERE x.lead_id = q.lead_id AND x.kind IN ('phone', 'user_id') ORDER BY x.kind, x.created_at LIMIT 1) i ON true
     WHERE q.ctid = ANY (rows_) AND q.status = 'queued'
  ), kinds AS MATERIALIZED (
    SELECT k.*, plan.status, plan.reason, plan.form
      FROM (SELECT DISTINCT p.channel_id, p.template_id, p.project_id, p.purpose, p.variables, p.in_window, p.kind, p.consent FROM picked p) k,
           LATERAL wacta.plan_request(k.channel_id, k.template_id, k.project_id, k.purpose, k.variables::jsonb, k.in_window, k.kind, k.consent) plan
  ), judged AS MATERIALIZED (
    SELECT p.*, k.form, CASE WHEN p.expires_at < now_at AND k.status <> 'suppressed' THEN 'expired' ELSE k.status END AS verdict,
           CASE WHEN p.expires_at < now_at AND k.status <> 'suppressed' THEN 'not sent in time' ELSE k.reason END AS why
      FROM picked p JOIN kinds k
        ON (p.channel_id, p.purpose, p.in_window, p.consent) = (k.channel_id, k.purpose, k.in_window, k.consent) AND p.variables = k.variables
           AND (p.template_id, p.project_id, p.kind) IS NOT DISTINCT FROM (k.template_id, k.project_id, k.kind)
  ), changed AS (
    UPDATE wacta.message q
       SET status = j.verdict, reason = coalesce(j.why, q.reason),
           attempts = q.attempts + (j.verdict = 'sending')::integer,
           claimed_by = CASE WHEN j.verdict = 'sending' THEN p_courier ELSE q.claimed_by END,
           lease_until = CASE WHEN j.verdict = 'sending' THEN now_at + c.lease END,
           failed_at = CASE WHEN j.verdict = 'failed' THEN now_at END,
           due_at = CASE WHEN j.verdict = 'queued' THEN now_at + interval '1 minute' ELSE q.due_at END
      FROM judged j
     WHERE q.ctid = j.tid
    RETURNING q.lead_id, q.message_id, q.attempts, q.channel_id, q.template_id, q.status, j.form, j.value, j.name
  ), begun AS (
    INSERT INTO wacta.attempt (lead_id, message_id, attempt, courier, claimed_at)
    SELECT u.lead_id, u.message_id, u.attempts, p_courier, now_at FROM changed u WHERE u.status = 'sending'
  )
  SELECT u.lead_id, u.message_id, u.attempts, u.channel_id, ch.revision,
         wacta.fill_request(u.form, u.lead_id, u.message_id, u.value, wacta.parameter_text(u.name, 'there'), now_at, now_at + c.link_ttl), u.template_id
    FROM changed u JOIN wacta.channel ch ON ch.channel_id = u.channel_id
   WHERE u.status = 'sending'
  UNION ALL                                              -- something was done though nothing of it is to be sent: look again
  SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE EXISTS (SELECT FROM changed u WHERE u.status <> 'sending');
END
$$;
COMMENT ON FUNCTION wacta.courier_claim(integer, integer) IS
'Takes up to p_max due messages, records their attempts, and returns the requests to send after this has committed.
Messages that must not or cannot be sent are settled here; a last row of NULLs tells that there were some.';

CREATE FUNCTION wacta.courier_channel(p_channel_id integer, OUT revision bigint, OUT url text, OUT headers text[])
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c     wacta.channel;
  token bytea;
BEGIN
  SELECT * INTO c FROM wacta.channel WHERE channel.channel_id = p_channel_id;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT s INTO token FROM wacta.secrets(p_channel_id, NULL, 'access_token') s LIMIT 1;
  IF token IS NULL THEN
    RAISE EXCEPTION 'channel "%" has no access token', c.name USING ERRCODE = '55000',
      HINT = 'Set one with wacta.set_credential_file().';
  END IF;
  revision := c.revision;
  url := wacta.channel_url(c);
  headers := ARRAY['Content-Type: application/json', c.auth_header || ': ' || c.auth_prefix || convert_from(token, 'UTF8')];
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION wacta.courier_channel(integer) IS 'URL and headers of a channel''s requests, the access token among them.';

CREATE FUNCTION wacta.courier_wait() RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN due <= wacta.now() THEN coalesce(wacta.turn_wait(), 0)
              ELSE least(86400000, ceil(extract(epoch FROM due - wacta.now()) * 1000), wacta.turn_wait())::integer END
    FROM (SELECT (SELECT q.due_at FROM wacta.message q WHERE q.status = 'queued' ORDER BY q.due_at LIMIT 1) AS due) next
   WHERE due IS NOT NULL
$$;
COMMENT ON FUNCTION wacta.courier_wait() IS
'Milliseconds until the next queued message is due and its sender has a turn; NULL when none is queued.';

-- Whether an answer says that the message was taken: it gives an id, and no error.
CREATE FUNCTION wacta.is_taken(http_status integer, answer jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN http_status BETWEEN 200 AND 299 AND (answer #> '{messages,0,id}' IS NOT NULL OR answer ? 'id') AND NOT answer ?| '{error,errors}';
END
$$;
COMMENT ON FUNCTION wacta.is_taken(integer, jsonb) IS 'Whether the provider''s answer says that it took the message.';

-- Answers that the messages were taken, an array element each. The state follows the lattice: a webhook may have told more by
-- now, and that stands; a message that was put back in doubt or queued meanwhile is taken all the same, and not sent again.
CREATE FUNCTION wacta.settle_accepted(leads bigint[], messages bigint[], attempts integer[], http_statuses integer[], answers jsonb[], elapsed integer[], started timestamptz[]) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  now_at timestamptz := wacta.now();
  taken  wacta.message[];
BEGIN
  WITH a AS MATERIALIZED (
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7) u(lead, message, attempt, http_status, answer, elapsed_ms, started_at)
  ), ended AS (
    UPDATE wacta.attempt t SET ended_at = now_at, outcome = 'answered', http_status = a.http_status, elapsed_ms = a.elapsed_ms, started_at = a.started_at
      FROM a WHERE (t.lead_id, t.message_id, t.attempt) = (a.lead, a.message, a.attempt) AND (t.ended_at IS NULL OR t.outcome = 'lost')
  ), named AS (                                          -- who answers from this wa_id is this person, whatever number we dialled
    INSERT INTO wacta.lead_identity (kind, value, lead_id)
    SELECT 'wa_id', w, a.lead
      FROM a JOIN wacta.message o ON (o.lead_id, o.message_id) = (a.lead, a.message), left(a.answer #>> '{contacts,0,wa_id}', 200) w
     WHERE w ~ '^[0-9]+$' AND NOT EXISTS (SELECT FROM wacta.lead_identity i WHERE i.kind = 'phone' AND i.value = '+' || w)
    ON CONFLICT DO NOTHING
  ), changed AS (
    UPDATE wacta.message q
       SET status = CASE WHEN below THEN 'accepted' ELSE q.status END,
           reason = CASE WHEN below THEN nullif(a.answer #>> '{messages,0,message_status}', 'accepted') ELSE q.reason END,
           error_code = CASE WHEN below THEN NULL ELSE q.error_code END,
           lease_until = NULL,
           wamid = coalesce(q.wamid, left(a.answer #>> '{messages,0,id}', 300)),
           provider_request_id = coalesce(q.provider_request_id, left(a.answer ->> 'id', 300)),
           accepted_at = least(q.accepted_at, now_at)
      FROM (SELECT a.*, o.ctid AS tid, o.status NOT IN ('accepted', 'sent', 'delivered', 'read', 'failed') AS below
              FROM a JOIN wacta.message o ON (o.lead_id, o.message_id, o.attempts) = (a.lead, a.message, a.attempt)) a
     WHERE q.ctid = a.tid
    RETURNING q)
  SELECT coalesce(array_agg(q), '{}') INTO taken FROM changed;
  PERFORM wacta.on_taken(taken);
  RETURN cardinality(taken);
END
$$;
COMMENT ON FUNCTION wacta.settle_accepted(bigint[], bigint[], integer[], integer[], jsonb[], integer[], timestamptz[]) IS
'Settles attempts that the provider answered by taking the message; returns how many.';

-- Any other answer, and what is none.
CREATE FUNCTION wacta.settle_attempt(m wacta.message, p_outcome text, p_http_status integer, p_retry_after integer, answer jsonb,
                                     p_error text, p_elapsed_ms integer, p_started_at timestamptz) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  e       record;
  verdict text;
BEGIN
  SELECT * INTO e FROM wacta.answer_error(answer);
  e.detail := wacta.without_secret(e.detail, m.channel_id);
  verdict := CASE
    WHEN p_outcome = 'not_sent' THEN 'retry'
    WHEN p_outcome = 'unknown' THEN 'in_doubt'
    WHEN p_http_status BETWEEN 200 AND 299 AND e.code IS NULL THEN 'in_doubt'   -- taken or not: the answer does not say
    WHEN p_http_status BETWEEN 300 AND 399 THEN 'fail'
    ELSE wacta.error_action(e.code, p_http_status, m.attempts) END;
  UPDATE wacta.attempt a
     SET ended_at = wacta.now(), outcome = p_outcome, http_status = p_http_status, error_code = e.code,
         detail = left(coalesce(e.detail, p_error), 500), elapsed_ms = p_elapsed_ms, started_at = p_started_at
   WHERE (a.lead_id, a.message_id, a.attempt) = (m.lead_id, m.message_id, m.attempts)
     AND (a.ended_at IS NULL OR a.outcome = 'lost');     -- what ended an attempt once stands, but for a guess
  IF m.status NOT IN ('sending', 'in_doubt') THEN        -- a webhook or an operator was faster, and knows better
    RETURN CASE WHEN verdict = 'retry' THEN 'accepted' ELSE verdict END;
  ELSIF verdict = 'in_doubt' THEN
    UPDATE wacta.message q SET status = 'in_doubt', lease_until = NULL,
           reason = left(coalesce(p_error, 'the answer could not be understood'), 500)
     WHERE (q.lead_id, q.message_id) = (m.lead_id, m.message_id);
  ELSE
    verdict := wacta.on_refused(m, p_outcome, verdict, e.code, coalesce(e.detail, p_error, 'HTTP status ' || p_http_status), p_retry_after);
  END IF;
  RETURN verdict;
END
$$;
COMMENT ON FUNCTION wacta.settle_attempt(wacta.message, text, integer, integer, jsonb, text, integer, timestamptz) IS
'Settles an attempt that the provider did not answer by taking the message; returns in_doubt, fail or retry.';

-- The sender waits; its queue is kept, not burnt.
CREATE FUNCTION wacta.hold_channel(channel_id integer, stop boolean, until timestamptz, why text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE wacta.channel c SET status = CASE WHEN stop THEN 'stopped' ELSE 'paused' END, status_reason = why, paused_until = CASE WHEN NOT stop THEN until END
   WHERE c.channel_id = $1
     AND (c.status = 'active' OR (c.status = 'paused' AND c.paused_until IS NOT NULL AND (stop OR c.paused_until < until)));
  IF FOUND THEN
    RAISE LOG 'channel % of wacta is % now: %', $1, CASE WHEN stop THEN 'stopped' ELSE 'paused until ' || until END, why
      USING HINT = CASE WHEN stop THEN 'Mend what it says, then run wacta.resume_channel().' ELSE 'It goes on by itself.' END;
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.hold_channel(integer, boolean, timestamptz, text) IS 'Stops a sender until it is resumed, or pauses it until the time given.';

CREATE FUNCTION wacta.on_refused(m wacta.message, p_outcome text, action text, code integer, detail text, retry_after integer) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c     wacta.config := (SELECT k FROM wacta.config k);
  delay interval := CASE
    WHEN p_outcome = 'not_sent' AND retry_after = 0 THEN interval '0'       -- held back: the next claim decides
    WHEN action IN ('retry', 'throttle_sender') THEN wacta.backoff(m.attempts, c.retry_base, c.retry_cap, 0.2, m.message_id)
    WHEN action = 'retry_pair' THEN make_interval(secs => least(4 ^ m.attempts, 3600))
    WHEN action = 'retry_day' THEN interval '24 hours'
    WHEN action = 'pause_sender' THEN interval '1 hour'
    ELSE interval '0' END;
  due   timestamptz := wacta.now() + greatest(delay, make_interval(secs => least(coalesce(retry_after, 0), 86400)));
  -- only what the provider says of this message uses up its attempts; a network or a sender that is down ends by expires_at
  over  boolean := action IN ('fail', 'hold_template', 'suppress')
                   OR (action IN ('retry', 'retry_pair', 'retry_day') AND p_outcome = 'answered' AND m.attempts >= c.max_attempts);
BEGIN
  CASE action
    WHEN 'hold_template' THEN
      UPDATE wacta.template t SET held_reason = format('%s (code %s)', detail, code) WHERE t.template_id = m.template_id;
    WHEN 'suppress' THEN
      PERFORM wacta.withdraw(m.lead_id, 'stopped at WhatsApp', jsonb_build_object('code', code, 'message', m.message_id));
    WHEN 'stop_sender' THEN PERFORM wacta.hold_channel(m.channel_id, true, NULL, detail);
    WHEN 'throttle_sender' THEN
      IF wacta.slow_sender(m.channel_id) IS NULL OR retry_after > 0 THEN
        PERFORM wacta.hold_channel(m.channel_id, false, due, detail);
      END IF;
    WHEN 'pause_sender' THEN PERFORM wacta.hold_channel(m.channel_id, false, due, detail);
    ELSE NULL;
  END CASE;
  UPDATE wacta.message q
     SET status = CASE WHEN over THEN 'failed' ELSE 'queued' END::wacta.message_status, lease_until = NULL,
         failed_at = CASE WHEN over THEN wacta.now() END, error_code = code, reason = left(detail, 500), due_at = due
   WHERE (q.lead_id, q.message_id) = (m.lead_id, m.message_id);
  RETURN CASE WHEN over THEN 'fail' ELSE 'retry' END;
END
$$;
COMMENT ON FUNCTION wacta.on_refused(wacta.message, text, text, integer, text, integer) IS
'The provider refused the message, or it was certainly not sent: later again, or failed, by wacta.error_rule.';

CREATE FUNCTION wacta.courier_settle(p_lead bigint[], p_message bigint[], p_attempt integer[], p_outcome text[], p_http_status integer[],
  p_retry_after integer[], p_body bytea[], p_error text[], p_elapsed_ms integer[], p_started_at timestamptz[] DEFAULT NULL)
RETURNS TABLE (accepted integer, failed integer, in_doubt integer, retried integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  answers jsonb[] := ARRAY(SELECT CASE WHEN u.outcome = 'answered' THEN wacta.try_jsonb(u.body) END
                             FROM unnest(p_outcome, p_body) WITH ORDINALITY u(outcome, body, n) ORDER BY u.n);
  m       wacta.message;
  r       record;
  verdict text;
BEGIN
  -- In one order: two couriers that settle at once, or a webhook between them, cannot deadlock.
  PERFORM FROM wacta.message q JOIN unnest(p_lead, p_message) u(lead, message) ON (q.lead_id, q.message_id) = (u.lead, u.message)
    ORDER BY q.lead_id, q.message_id FOR NO KEY UPDATE OF q;
  SELECT wacta.settle_accepted(array_agg(u.lead), array_agg(u.message), array_agg(u.attempt), array_agg(u.http_status), array_agg(u.answer),
                               array_agg(u.elapsed_ms), array_agg(u.started_at)) INTO accepted
    FROM unnest(p_lead, p_message, p_attempt, p_http_status, answers, p_elapsed_ms, p_started_at)
      u(lead, message, attempt, http_status, answer, elapsed_ms, started_at)
   WHERE wacta.is_taken(u.http_status, u.answer);
  failed := 0; in_doubt := 0; retried := 0;
  FOR r IN
    SELECT * FROM unnest(p_lead, p_message, p_attempt, p_outcome, p_http_status, p_retry_after, answers, p_error, p_elapsed_ms, p_started_at)
        AS u(lead, message, attempt, outcome, http_status, retry_after, answer, error, elapsed_ms, started_at)
     WHERE wacta.is_taken(u.http_status, u.answer) IS NOT TRUE ORDER BY lead, message
  LOOP
    -- the attempt is the fence: a courier that comes late cannot overwrite its successor
    SELECT * INTO m FROM wacta.message q WHERE (q.lead_id, q.message_id, q.attempts) = (r.lead, r.message, r.attempt);
    CONTINUE WHEN NOT FOUND;
    verdict := wacta.settle_attempt(m, r.outcome, r.http_status, r.retry_after, r.answer, r.error, r.elapsed_ms, r.started_at);
    accepted := accepted + (verdict = 'accepted')::integer;
    failed := failed + (verdict = 'fail')::integer;
    in_doubt := in_doubt + (verdict = 'in_doubt')::integer;
    retried := retried + (verdict = 'retry')::integer;
  END LOOP;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION wacta.courier_settle(bigint[], bigint[], integer[], text[], integer[], integer[], bytea[], text[], integer[], timestamptz[]) IS
'Settles finished requests, an array element each, in one transaction; returns how many of each verdict.';
