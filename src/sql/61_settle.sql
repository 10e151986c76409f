-- What the courier calls with the answers: accepted, refused, in doubt. See 60_claim.sql on locks and on search_path.

-- Answers that are no JSON are rare: only when there is one are they read one by one, for to catch an error costs as much as to read.
CREATE FUNCTION wacta.read_answers(outcomes text[], bodies bytea[]) RETURNS jsonb[]
LANGUAGE plpgsql
AS $$
BEGIN
  RETURN ARRAY(SELECT CASE WHEN u.outcome = 'answered' THEN convert_from(u.body, 'UTF8')::jsonb END
                 FROM unnest(outcomes, bodies) WITH ORDINALITY u(outcome, body, n) ORDER BY u.n);
EXCEPTION WHEN data_exception OR program_limit_exceeded OR statement_too_complex THEN
  RETURN ARRAY(SELECT CASE WHEN u.outcome = 'answered' THEN wacta.try_jsonb(u.body) END
                 FROM unnest(outcomes, bodies) WITH ORDINALITY u(outcome, body, n) ORDER BY u.n);
END
$$;
COMMENT ON FUNCTION wacta.read_answers(text[], bytea[]) IS 'The JSON of each answer, NULL where it is none.';

CREATE FUNCTION wacta.lock_messages(leads bigint[], messages bigint[]) RETURNS bigint[]
LANGUAGE plpgsql
AS $$
BEGIN
  -- in one order: two couriers that settle at once, or a webhook between them, cannot deadlock; what is taken is updated in it, too
  PERFORM FROM (SELECT u.message FROM unnest($2) u(message) ORDER BY u.message) u
    CROSS JOIN LATERAL (SELECT FROM wacta.message q WHERE q.message_id = u.message LIMIT 1 FOR NO KEY UPDATE) q;
  RETURN ARRAY(SELECT coalesce(g.merged_into, u.lead) FROM unnest($1) WITH ORDINALITY u(lead, n)
                 LEFT JOIN wacta.merged_lead g ON g.lead_id = u.lead ORDER BY u.n);
END
$$;
COMMENT ON FUNCTION wacta.lock_messages(bigint[], bigint[]) IS
'Locks messages that are about to be settled; returns their leads, which may have been merged since the claim.';

-- Answers that the messages were taken, an array element each. The state follows the lattice: a webhook may have told more by
-- now, and that stands; a message that was put back in doubt or queued meanwhile is taken all the same, and not sent again.
CREATE TYPE wacta.taken AS (leads bigint[], messages bigint[], purposes text[], wa_ids text[]);
COMMENT ON TYPE wacta.taken IS 'Messages that the provider took, and the wa_id of each where it is not the number that was dialled.';

CREATE FUNCTION wacta.write_accepted(p_leads bigint[], p_messages bigint[], p_attempts integer[], p_http_statuses integer[], p_answers jsonb[],
                                     p_elapsed integer[], p_started timestamptz[]) RETURNS wacta.taken
LANGUAGE plpgsql
AS $$
DECLARE
  now_at timestamptz := wacta.now();
  result wacta.taken;
BEGIN
  WITH a AS MATERIALIZED (
    SELECT u.*, left(u.answer #>> '{messages,0,id}', 300) AS wamid, left(u.answer ->> 'id', 300) AS request_id,
           u.answer #>> '{contacts,0,wa_id}' AS wa_id, ltrim(u.answer #>> '{contacts,0,input}', '+') AS dialled
      FROM unnest(p_leads, p_messages, p_attempts, p_http_statuses, p_answers, p_elapsed, p_started)
           u(lead, message, attempt, http_status, answer, elapsed_ms, started_at)
     ORDER BY u.message
  ), changed AS (
    UPDATE wacta.message q
       SET status = CASE WHEN below THEN 'accepted' ELSE q.status END,
           reason = CASE WHEN below THEN nullif(a.answer #>> '{messages,0,message_status}', 'accepted') ELSE q.reason END,
           error_code = CASE WHEN below THEN NULL ELSE q.error_code END,
           lease_until = NULL,
           wamid = coalesce(q.wamid, a.wamid),
           provider_request_id = coalesce(q.provider_request_id, a.request_id),
           accepted_at = least(q.accepted_at, now_at)
      FROM (SELECT a.*, o.ctid AS tid, o.status NOT IN ('accepted', 'sent', 'delivered', 'read', 'failed') AS below
              FROM a CROSS JOIN LATERAL (SELECT x.ctid, x.status FROM wacta.message x
                                          WHERE x.message_id = a.message AND x.lead_id = a.lead AND x.attempts = a.attempt LIMIT 1) o) a
     WHERE q.ctid = a.tid
    RETURNING q.lead_id, q.message_id, q.purpose, CASE WHEN a.wa_id IS DISTINCT FROM a.dialled THEN a.wa_id END AS wa_id
  ), ended AS (                  -- what ended an attempt once stands, but for a guess
    UPDATE wacta.attempt t
       SET ended_at = now_at, outcome = 'answered', http_status = a.http_status, elapsed_ms = a.elapsed_ms, started_at = a.started_at,
           -- Tata's answer has no wamid, but a webhook may have been faster
           provider_id = coalesce(a.wamid, CASE WHEN a.wamid IS NULL THEN (SELECT m.wamid FROM wacta.message m WHERE m.message_id = a.message) END, a.request_id)
      FROM (SELECT a.*, o.ctid AS tid
              FROM a CROSS JOIN LATERAL (SELECT x.ctid FROM wacta.attempt x
                                          WHERE x.lead_id = a.lead AND x.message_id = a.message AND x.attempt = a.attempt
                                            AND coalesce(x.outcome, 'lost') = 'lost' LIMIT 1) o
             WHERE (SELECT count(*) >= 0 FROM changed)) a         -- behind the messages, which are the locks of their attempts
     WHERE t.ctid = a.tid
  )
  SELECT array_agg(q.lead_id), array_agg(q.message_id), array_agg(q.purpose), array_agg(q.wa_id) INTO result FROM changed q;
  RETURN result;
END
$$;
COMMENT ON FUNCTION wacta.write_accepted(bigint[], bigint[], integer[], integer[], jsonb[], integer[], timestamptz[]) IS
'Writes answers that took their messages into messages and attempts; returns the messages that these attempts are the last of.';

CREATE FUNCTION wacta.settle_accepted(p_leads bigint[], p_messages bigint[], p_attempts integer[], p_http_statuses integer[], p_answers jsonb[],
                                      p_elapsed integer[], p_started timestamptz[]) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  t wacta.taken := wacta.write_accepted($1, $2, $3, $4, $5, $6, $7);
BEGIN
  IF coalesce(cardinality(t.leads), 0) < cardinality(p_leads) THEN
    -- somebody had a message in hand, and what we looked for was no longer its newest version: with the locks, look again
    p_leads := wacta.lock_messages(p_leads, p_messages);
    t := wacta.write_accepted(p_leads, $2, $3, $4, $5, $6, $7);
  END IF;
  IF array_remove(t.wa_ids, NULL) <> '{}' THEN
    PERFORM wacta.add_wa_ids(t.leads, t.wa_ids);
  END IF;
  PERFORM wacta.on_taken(t.leads, t.messages, t.purposes);
  RETURN coalesce(cardinality(t.leads), 0);
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
  rule    record;
  verdict text;
BEGIN
  SELECT * INTO e FROM wacta.answer_error(answer);
  e.detail := wacta.without_secret(e.detail, m.channel_id);
  rule := wacta.error_action(e.code, p_http_status, m.attempts);
  verdict := CASE
    WHEN p_outcome = 'not_sent' THEN 'retry'
    WHEN p_outcome = 'unknown' THEN 'in_doubt'
    WHEN p_http_status BETWEEN 200 AND 299 AND e.code IS NULL THEN 'in_doubt'   -- taken or not: the answer does not say
    WHEN p_http_status BETWEEN 300 AND 399 THEN 'fail'
    ELSE rule.action END;
  p_error := coalesce(p_error, CASE WHEN verdict = 'in_doubt' AND p_outcome = 'answered' THEN
                                 CASE WHEN p_http_status < 300 THEN 'the answer could not be understood' ELSE 'HTTP status ' || p_http_status END END);
  UPDATE wacta.attempt a
     SET ended_at = wacta.now(), outcome = CASE verdict WHEN 'in_doubt' THEN 'unknown' ELSE p_outcome END, http_status = p_http_status, error_code = e.code,
         detail = left(coalesce(e.detail, p_error), 500), elapsed_ms = p_elapsed_ms, started_at = p_started_at
   WHERE (a.lead_id, a.message_id, a.attempt) = (m.lead_id, m.message_id, m.attempts)
     AND (a.ended_at IS NULL OR a.outcome = 'lost');     -- what ended an attempt once stands, but for a guess
  IF m.status NOT IN ('sending', 'in_doubt') THEN        -- a webhook or an operator was faster, and knows better
    RETURN CASE WHEN verdict = 'retry' THEN 'accepted' ELSE verdict END;
  ELSIF verdict = 'in_doubt' THEN
    UPDATE wacta.message q SET status = 'in_doubt', lease_until = NULL,
           reason = left(coalesce(e.detail, p_error, 'no answer'), 500)
     WHERE (q.lead_id, q.message_id) = (m.lead_id, m.message_id);
  ELSE
    PERFORM wacta.refund(m);
    verdict := wacta.on_refused(m, p_outcome, verdict, e.code, coalesce(e.detail, p_error, 'HTTP status ' || p_http_status), p_retry_after,
                                CASE WHEN p_outcome = 'answered' THEN rule.wait END);
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

-- Of several reasons always the same one is told, whatever their order; what somebody has written by hand stays.
CREATE FUNCTION wacta.hold_template(template_id integer, why text, code integer, again boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  because text := concat_ws(' ', why, '(code ' || code || ')');
  held    wacta.template;
BEGIN
  SELECT * INTO held FROM wacta.template t WHERE t.template_id = $1 FOR NO KEY UPDATE;
  IF (held.held_reason IS NULL AND NOT again) OR (held.held_reason LIKE '%(code %)' AND held.held_reason COLLATE "C" > because) THEN
    UPDATE wacta.template t SET held_reason = because WHERE t.template_id = $1;
    RAISE LOG 'template "%" of wacta is held now: %', held.name, why
      USING HINT = 'Mend what it says, then set held_reason of wacta.template to NULL.';
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.hold_template(integer, text, integer, boolean) IS
'Holds a template: nothing is sent with it until somebody has mended it. again: this was told before, so one that was mended stays so.';

CREATE FUNCTION wacta.on_refused(m wacta.message, p_outcome text, action text, code integer, detail text, retry_after integer,
                                 rule_wait interval) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c     wacta.config := (SELECT k FROM wacta.config k);
  delay interval := CASE
    WHEN rule_wait IS NOT NULL THEN rule_wait
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
      PERFORM wacta.hold_template(m.template_id, detail, code);
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
COMMENT ON FUNCTION wacta.on_refused(wacta.message, text, text, integer, text, integer, interval) IS
'The provider refused the message, or it was certainly not sent: later again, or failed, by wacta.error_rule.';

-- Requests that are no messages (76_outbound.sql) are those of lead 0: they are few, and settled apart.
CREATE FUNCTION wacta.settle_mixed(p_lead bigint[], p_message bigint[], p_attempt integer[], p_outcome text[], p_http_status integer[],
  p_retry_after integer[], p_body bytea[], p_error text[], p_elapsed_ms integer[], p_started_at timestamptz[],
  OUT accepted integer, OUT failed integer, OUT in_doubt integer, OUT retried integer)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  o record;
  m record;
BEGIN
  SELECT s.* INTO o
    FROM (SELECT array_agg(u.message) AS requests, array_agg(u.attempt) AS attempts, array_agg(u.outcome) AS outcomes, array_agg(u.http_status) AS statuses,
                 array_agg(u.retry_after) AS retries, array_agg(u.body) AS bodies, array_agg(u.error) AS errors
            FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) u(lead, message, attempt, outcome, http_status, retry_after, body, error) WHERE u.lead = 0) a,
         LATERAL wacta.settle_requests(a.requests, a.attempts, a.outcomes, a.statuses, a.retries, wacta.read_answers(a.outcomes, a.bodies), a.errors) s;
  SELECT s.* INTO m
    FROM (SELECT array_agg(u.lead) AS leads, array_agg(u.message) AS messages, array_agg(u.attempt) AS attempts, array_agg(u.outcome) AS outcomes,
                 array_agg(u.http_status) AS statuses, array_agg(u.retry_after) AS retries, array_agg(u.body) AS bodies, array_agg(u.error) AS errors,
                 array_agg(u.elapsed_ms) AS elapsed, array_agg(u.started_at) AS started
            FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) u(lead, message, attempt, outcome, http_status, retry_after, body, error, elapsed_ms, started_at)
           WHERE u.lead <> 0 HAVING count(*) > 0) a,
         LATERAL wacta.courier_settle(a.leads, a.messages, a.attempts, a.outcomes, a.statuses, a.retries, a.bodies, a.errors, a.elapsed, a.started) s;
  accepted := o.accepted + coalesce(m.accepted, 0);
  failed := o.failed + coalesce(m.failed, 0);
  in_doubt := coalesce(m.in_doubt, 0);
  retried := o.retried + coalesce(m.retried, 0);
END
$$;
COMMENT ON FUNCTION wacta.settle_mixed(bigint[], bigint[], integer[], text[], integer[], integer[], bytea[], text[], integer[], timestamptz[]) IS
'Settles messages and other requests that have finished together.';

CREATE FUNCTION wacta.courier_settle(p_lead bigint[], p_message bigint[], p_attempt integer[], p_outcome text[], p_http_status integer[],
  p_retry_after integer[], p_body bytea[], p_error text[], p_elapsed_ms integer[], p_started_at timestamptz[] DEFAULT NULL)
RETURNS TABLE (accepted integer, failed integer, in_doubt integer, retried integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  answers jsonb[] := wacta.read_answers(p_outcome, p_body);
  taken   boolean[] := ARRAY(SELECT coalesce(u.http_status BETWEEN 200 AND 299 AND (u.answer #> '{messages,0,id}' IS NOT NULL OR u.answer ? 'id')
                                             AND NOT u.answer ?| '{error,errors}', false)      -- an id, and no error
                               FROM unnest(p_http_status, answers) WITH ORDINALITY u(http_status, answer, n) ORDER BY u.n);
  m       wacta.message;
  r       record;
  verdict text;
BEGIN
  IF 0 = ANY (p_lead) THEN
    RETURN QUERY SELECT * FROM wacta.settle_mixed($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);
    RETURN;
  END IF;
  IF false = ANY (taken) THEN
    p_lead := wacta.lock_messages(p_lead, p_message);
  END IF;
  accepted := 0; failed := 0; in_doubt := 0; retried := 0;
  IF NOT false = ANY (taken) THEN
    accepted := wacta.settle_accepted(p_lead, p_message, p_attempt, p_http_status, answers, p_elapsed_ms, p_started_at);
    RETURN NEXT;
    RETURN;
  ELSIF true = ANY (taken) THEN
    SELECT wacta.settle_accepted(array_agg(u.lead), array_agg(u.message), array_agg(u.attempt), array_agg(u.http_status), array_agg(u.answer),
                                 array_agg(u.elapsed_ms), array_agg(u.started_at)) INTO accepted
      FROM unnest(p_lead, p_message, p_attempt, p_http_status, answers, p_elapsed_ms, p_started_at, taken)
           u(lead, message, attempt, http_status, answer, elapsed_ms, started_at, taken)
     WHERE u.taken;
  END IF;
  FOR r IN
    SELECT * FROM unnest(p_lead, p_message, p_attempt, p_outcome, p_http_status, p_retry_after, answers, p_error, p_elapsed_ms, p_started_at, taken)
        AS u(lead, message, attempt, outcome, http_status, retry_after, answer, error, elapsed_ms, started_at, taken)
     WHERE NOT u.taken ORDER BY message
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
