-- Statuses: what the provider says of messages that it has taken. They form a lattice: any order, repetition or batch of the
-- same statuses ends in the same rows.

-- How high a state stands: the highest one counts. failed stands below delivered and read, for a late "failed" does not undo
-- what the person has seen. (Neither STRICT nor with a search_path: then PostgreSQL puts it in the place of the call.)
CREATE FUNCTION wacta.rank(status wacta.message_status) RETURNS integer
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE status WHEN 'read' THEN 6 WHEN 'delivered' THEN 5 WHEN 'failed' THEN 4 WHEN 'sent' THEN 3
                     WHEN 'accepted' THEN 2 ELSE 1 END
$$;
COMMENT ON FUNCTION wacta.rank(wacta.message_status) IS 'The height of a state in the lattice of statuses.';

-- A regular expression would cost several times as much, and this is asked twice a status.
CREATE FUNCTION wacta.is_number(value text) RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$ SELECT length(value) BETWEEN 1 AND 18 AND translate(value, '0123456789', '') = '' $$;
COMMENT ON FUNCTION wacta.is_number(text) IS 'Whether a text is 1 to 18 decimal digits.';

-- What one status says, its message looked up: by our id, which it echoes, or by the id that the provider's answer gave.
CREATE TYPE wacta.told AS (
  n           integer,
  message_id  bigint,
  status      wacta.message_status,
  happened_at timestamptz,
  wamid       text,
  pricing     jsonb
);
COMMENT ON TYPE wacta.told IS
'A status as a webhook tells it. status NULL: one that is not kept (deleted, enqueued); message_id NULL: of no message we know.';

CREATE FUNCTION wacta.read_statuses(items jsonb[]) RETURNS wacta.told[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN ARRAY(
    SELECT (u.n, coalesce(e.message_id, p.message_id),
            CASE lower(u.item ->> 'status') WHEN 'played' THEN 'read' WHEN 'sent' THEN 'sent' WHEN 'delivered' THEN 'delivered'
                                            WHEN 'read' THEN 'read' WHEN 'failed' THEN 'failed' END,
            coalesce(CASE WHEN length(s.at) = 10 AND wacta.is_number(s.at) THEN to_timestamp(s.at::float8) ELSE wacta.try_timestamptz(s.at) END, wacta.now()),
            left(u.item ->> 'id', 300), CASE WHEN jsonb_typeof(u.item -> 'pricing') = 'object' THEN u.item -> 'pricing' END)::wacta.told
      FROM unnest(items) WITH ORDINALITY u(item, n)
     CROSS JOIN LATERAL (SELECT coalesce(u.item ->> 'biz_opaque_callback_data', u.item ->> 'custom_callback_data') AS echo, u.item ->> 'timestamp' AS at) s
      LEFT JOIN LATERAL (SELECT m.message_id FROM wacta.message m
                          WHERE m.message_id = CASE WHEN starts_with(s.echo, 'wacta:outbox:') AND wacta.is_number(substr(s.echo, 14))
                                                    THEN substr(s.echo, 14)::bigint END LIMIT 1) e ON true
      LEFT JOIN LATERAL (SELECT a.message_id FROM wacta.attempt a
                          WHERE hashtext(a.provider_id) IN (hashtext(u.item ->> 'id'), hashtext(u.item ->> 'gs_id'))
                            AND a.provider_id IN (u.item ->> 'id', u.item ->> 'gs_id') AND e.message_id IS NULL LIMIT 1) p ON true
     ORDER BY u.n);
END
$$;
COMMENT ON FUNCTION wacta.read_statuses(jsonb[]) IS 'What statuses of the provider say, with the messages they are about.';

CREATE FUNCTION wacta.apply_statuses(items jsonb[]) RETURNS text[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  told   wacta.told[] := wacta.read_statuses(items);
  failed wacta.told;
BEGIN
  IF EXISTS (SELECT FROM unnest(told) t WHERE t.status = 'failed') THEN        -- rare: each by itself, so the order is made by locks
    -- a failure may end a person's consent: people before their messages, as a tap or an opt-out locks them
    PERFORM FROM wacta.lead l WHERE l.lead_id IN (SELECT m.lead_id FROM unnest(told) t JOIN wacta.message m USING (message_id) WHERE t.status = 'failed')
      ORDER BY l.lead_id FOR NO KEY UPDATE;
    PERFORM FROM wacta.message m WHERE m.message_id IN (SELECT t.message_id FROM unnest(told) t) ORDER BY m.message_id FOR NO KEY UPDATE;
    FOREACH failed IN ARRAY ARRAY(SELECT t FROM unnest(told) t WHERE t.status = 'failed' AND t.message_id IS NOT NULL ORDER BY t.n) LOOP
      PERFORM wacta.apply_failure(failed, items[failed.n]);
    END LOOP;
  END IF;
  PERFORM wacta.write_statuses(told);
  IF EXISTS (SELECT FROM unnest(items) i WHERE i ? 'recipient_user_id') THEN
    PERFORM wacta.link_user_ids(array_agg(m.lead_id), array_agg(items[t.n] ->> 'recipient_user_id'))
       FROM unnest(told) t JOIN wacta.message m USING (message_id) WHERE items[t.n] ? 'recipient_user_id';
  END IF;
  RETURN ARRAY(SELECT CASE WHEN t.status IS NULL THEN 'other status' WHEN t.message_id IS NULL THEN 'waiting' ELSE 'status' END
                 FROM unnest(told) t ORDER BY t.n);
END
$$;
COMMENT ON FUNCTION wacta.apply_statuses(jsonb[]) IS 'Applies statuses of the provider to their messages; says of each: status, other status, or waiting.';

-- All that is told of one message is one update of it. What depends on the row is taken from the row that is updated, never from
-- a look before: when another webhook or the courier is faster, PostgreSQL works it out again with what they have written. The
-- messages come in the order in which the courier settles them, so that the two wait for each other and never in a circle.
CREATE FUNCTION wacta.write_statuses(told wacta.told[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  leads    bigint[];
  messages bigint[];
  purposes text[];
  renamed  bigint[];
BEGIN
  WITH changed AS (
    UPDATE wacta.message m
       SET status       = CASE WHEN t.top > wacta.rank(m.status) THEN t.status ELSE m.status END,
           reason       = CASE WHEN greatest(t.top, wacta.rank(m.status)) = wacta.rank('failed') THEN m.reason END,
           error_code   = CASE WHEN greatest(t.top, wacta.rank(m.status)) = wacta.rank('failed') THEN m.error_code END,
           lease_until  = NULL,
           wamid        = coalesce(m.wamid, t.wamid),
           accepted_at  = least(m.accepted_at, t.first_at),
           sent_at      = least(m.sent_at, t.sent_at),
           delivered_at = least(m.delivered_at, t.delivered_at),
           read_at      = least(m.read_at, t.read_at),
           pricing      = greatest(m.pricing, t.pricing)
      FROM (SELECT u.message_id, max(u.status) AS status, wacta.rank(max(u.status)) AS top, max(u.wamid) AS wamid, min(u.happened_at) AS first_at,
                   min(u.happened_at) FILTER (WHERE u.status = 'sent') AS sent_at,
                   min(u.happened_at) FILTER (WHERE u.status = 'delivered') AS delivered_at,
                   min(u.happened_at) FILTER (WHERE u.status = 'read') AS read_at,
                   (array_agg(u.pricing ORDER BY u.pricing DESC NULLS LAST))[1] AS pricing
              FROM unnest(told) u
             WHERE u.status <> 'failed' AND u.message_id IS NOT NULL
             GROUP BY u.message_id ORDER BY u.message_id) t
     WHERE m.message_id = t.message_id
    RETURNING m.lead_id, m.message_id, m.purpose, m.provider_request_id)
  SELECT array_agg(c.lead_id), array_agg(c.message_id), array_agg(c.purpose), array_agg(c.message_id) FILTER (WHERE c.provider_request_id IS NOT NULL)
    INTO leads, messages, purposes, renamed FROM changed c;
  PERFORM wacta.on_taken(leads, messages, purposes), wacta.note_wamids(renamed);
END
$$;
COMMENT ON FUNCTION wacta.write_statuses(wacta.told[]) IS
'Writes sent, delivered and read into their messages: times are the earliest told, the state is the highest.';

-- What comes later may name the message by its wamid alone: a status, or a reply to it.
CREATE FUNCTION wacta.note_wamids(messages bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF messages IS NOT NULL THEN
    UPDATE wacta.attempt a SET provider_id = m.wamid
      FROM wacta.message m
     WHERE m.message_id = ANY (messages) AND (a.lead_id, a.message_id, a.attempt) = (m.lead_id, m.message_id, m.attempts) AND a.provider_id <> m.wamid;
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.note_wamids(bigint[]) IS 'Lets messages be found by their wamid where the provider''s answer gave another id.';

CREATE FUNCTION wacta.apply_failure(told wacta.told, item jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  m     wacta.message;
  e     record;
  first boolean;
BEGIN
  SELECT * INTO m FROM wacta.message q WHERE q.message_id = told.message_id;
  SELECT * INTO e FROM wacta.answer_error(item);
  e.detail := wacta.without_secret(e.detail, m.channel_id);
  -- of several failures the earliest is told, so that their order does not matter
  first := (m.failed_at, coalesce(m.error_code, 0)) > (told.happened_at, coalesce(e.code, 0)) IS NOT FALSE;
  UPDATE wacta.message q
     SET status      = CASE WHEN wacta.rank(q.status) < wacta.rank('failed') THEN 'failed' ELSE q.status END,
         reason      = CASE WHEN wacta.rank(q.status) <= wacta.rank('failed') THEN CASE WHEN first THEN coalesce(e.detail, 'failed at the provider') ELSE q.reason END END,
         error_code  = CASE WHEN wacta.rank(q.status) <= wacta.rank('failed') THEN CASE WHEN first THEN e.code ELSE q.error_code END END,
         lease_until = NULL,
         wamid       = coalesce(q.wamid, told.wamid),
         accepted_at = least(q.accepted_at, told.happened_at),
         failed_at   = least(q.failed_at, told.happened_at),
         failures    = ARRAY(SELECT DISTINCT c FROM unnest(q.failures || coalesce(e.code, 0)) c ORDER BY c),
         pricing     = greatest(q.pricing, told.pricing)
   WHERE (q.lead_id, q.message_id) = (m.lead_id, m.message_id);
  IF m.provider_request_id IS NOT NULL THEN
    PERFORM wacta.note_wamids(ARRAY[m.message_id]);
  END IF;
  PERFORM wacta.follow_failure(m, e.code, e.detail, told.happened_at, coalesce(e.code, 0) = ANY (coalesce(m.failures, '{}')));
END
$$;
COMMENT ON FUNCTION wacta.apply_failure(wacta.told, jsonb) IS 'Applies a failure told by webhook to its message, which is locked, with what it means for others.';

-- Once for each code of a message: a repetition or a replay comes after somebody has mended it, or has changed their mind. The
-- message itself is not sent again: its failure came after it had been accepted.
CREATE FUNCTION wacta.follow_failure(m wacta.message, code integer, detail text, happened_at timestamptz, again boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  rule record := wacta.error_action(code, NULL, 0);
BEGIN
  IF rule.action = 'hold_template' THEN
    PERFORM wacta.hold_template(m.template_id, detail, code, again);
  ELSIF NOT again THEN
    CASE rule.action
      WHEN 'suppress' THEN PERFORM wacta.withdraw(m.lead_id, 'stopped at WhatsApp', jsonb_build_object('code', code, 'message', m.message_id), happened_at);
      WHEN 'stop_sender' THEN PERFORM wacta.hold_channel(m.channel_id, true, NULL, detail);
      WHEN 'pause_sender' THEN PERFORM wacta.hold_channel(m.channel_id, false, wacta.now() + coalesce(rule.wait, interval '1 hour'), detail);
      WHEN 'throttle_sender' THEN PERFORM wacta.slow_sender(m.channel_id);
      ELSE NULL;
    END CASE;
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.follow_failure(wacta.message, integer, text, timestamptz, boolean) IS 'What a failure told by webhook means for the person, the template or the sender.';
