-- Limits on what is sent: to one person, by one sender in a second (08_pace), to how many people a day, for how much money.
-- Over a limit means later, never failed. All of them are checked by the claim, in its transaction, so that they hold with
-- several couriers and over a restart.

-- Source: Meta, whatsapp/about-the-platform: one message each 6 seconds to one person; up to 45 at once, borrowed from the future.
CREATE FUNCTION wacta.pair_free_at(lead_id bigint, channel_id integer, now_at timestamptz, ahead integer) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c    wacta.config := (SELECT k FROM wacta.config k);
  free timestamptz := '-infinity';
  at   timestamptz;
BEGIN
  IF c.pair_interval IS NULL THEN
    RETURN now_at;
  END IF;
  -- when the last one borrowed would have been in its turn: all of them count, for a debt is carried on as long as it is not paid back
  FOR at IN
    SELECT a.claimed_at FROM wacta.attempt a JOIN wacta.message m ON (m.lead_id, m.message_id) = (a.lead_id, a.message_id)
     WHERE a.lead_id = $1 AND m.channel_id = $2 AND a.outcome IS DISTINCT FROM 'not_sent'
     ORDER BY a.claimed_at
  LOOP
    free := greatest(free, at) + c.pair_interval;
  END LOOP;
  free := CASE WHEN ahead > 0 THEN greatest(free, now_at) + ahead * c.pair_interval ELSE free END;
  RETURN greatest(now_at, free - (c.pair_burst - 1) * c.pair_interval);
END
$$;
COMMENT ON FUNCTION wacta.pair_free_at(bigint, integer, timestamptz, integer) IS
'When this sender may send to this person again, with so many messages ahead; now_at: at once.';

-- What a message is going to cost: the price of the longest calling code that fits. Free form is free of charge, and so is what
-- is useful (UTILITY) while the service window is open.
CREATE FUNCTION wacta.expected_cost(phone text, template_id integer, in_window boolean DEFAULT false) RETURNS numeric
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT CASE WHEN in_window AND t.category = 'UTILITY' THEN 0 ELSE p.price END FROM wacta.template t JOIN wacta.price p ON p.category = t.category
           WHERE t.template_id = $2 AND coalesce(ltrim($1, '+'), '') LIKE p.calling_code || '%'
           ORDER BY length(p.calling_code) DESC LIMIT 1);
END
$$;
COMMENT ON FUNCTION wacta.expected_cost(text, integer, boolean) IS 'The price of a template message to this number by wacta.price; NULL: none is set.';

-- People who were last reached more than 24 hours ago make room. A few thousand at a time; the rest next time.
CREATE FUNCTION wacta.forget_reached(portfolio_id integer, now_at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n integer;
BEGIN
  DELETE FROM wacta.reached r
   WHERE r.ctid = ANY (ARRAY(SELECT x.ctid FROM wacta.reached x WHERE x.portfolio_id = $1 AND x.reached_at <= now_at - interval '24 hours' LIMIT 5000));
  GET DIAGNOSTICS n = ROW_COUNT;
  IF n > 0 THEN
    UPDATE wacta.portfolio p SET people = p.people - n WHERE p.portfolio_id = $1;
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.forget_reached(integer, timestamptz) IS 'Forgets people of a portfolio whose 24 hours are over.';

-- When somebody's 24 hours end, but later the longer a message has waited: a queue that is far over the limit is not gone
-- through again and again.
CREATE FUNCTION wacta.next_place_at(portfolio_id integer, enqueued_at timestamptz, now_at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN greatest((SELECT r.reached_at + interval '24 hours' FROM wacta.reached r WHERE r.portfolio_id = $1 ORDER BY r.reached_at LIMIT 1),
                  now_at + greatest(interval '1 minute', least(interval '6 hours', (now_at - enqueued_at) / 4)));
END
$$;
COMMENT ON FUNCTION wacta.next_place_at(integer, timestamptz, timestamptz) IS 'When a portfolio at its limit may have room for one more person.';

CREATE FUNCTION wacta.budget_day(at timestamptz) RETURNS date
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT (at AT TIME ZONE c.time_zone)::date FROM wacta.config c);
END
$$;
COMMENT ON FUNCTION wacta.budget_day(timestamptz) IS 'The day of the budget, in the time zone of wacta.config.';

CREATE FUNCTION wacta.add_spend(channel_id integer, courier integer, at timestamptz, amount numeric) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO wacta.spend AS s (channel_id, day, courier, amount) VALUES ($1, wacta.budget_day($3), $2, $4)
  ON CONFLICT ON CONSTRAINT spend_pkey DO UPDATE SET amount = s.amount + excluded.amount;
END
$$;
COMMENT ON FUNCTION wacta.add_spend(integer, integer, timestamptz, numeric) IS 'Adds to, or with a negative amount takes from, what a sender has spent on that day.';

CREATE FUNCTION wacta.spent_on(channel_id integer, at timestamptz) RETURNS numeric
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT coalesce(sum(s.amount), 0) FROM wacta.spend s WHERE (s.channel_id, s.day) = ($1, wacta.budget_day($2)));
END
$$;
COMMENT ON FUNCTION wacta.spent_on(integer, timestamptz) IS 'What a sender has spent on that day.';

-- Called for one message after the other, by one courier at a time: see wacta.courier_claim().
CREATE FUNCTION wacta.take_allowance(c wacta.channel, courier integer, lead_id bigint, message_id bigint, in_window boolean, cost numeric, enqueued_at timestamptz,
                                     now_at timestamptz, OUT later timestamptz, OUT why text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  people_limit integer := (SELECT p.people_per_day FROM wacta.portfolio p WHERE p.portfolio_id = c.portfolio_id);
BEGIN
  IF cost > 0 AND cost + wacta.spent_on(c.channel_id, now_at) > c.daily_budget THEN
    why := 'the sender''s budget of the day is used up';
    later := (SELECT (wacta.budget_day(now_at) + 1)::timestamp AT TIME ZONE k.time_zone FROM wacta.config k) + make_interval(secs => (message_id % 60000) / 1000.0);
    RETURN;
  END IF;
  IF people_limit IS NOT NULL AND NOT in_window THEN
    -- a row there is counted in people, also one that is over and not forgotten yet
    UPDATE wacta.reached r SET reached_at = now_at WHERE (r.portfolio_id, r.lead_id) = (c.portfolio_id, $3);
    IF NOT FOUND THEN
      UPDATE wacta.portfolio p SET people = p.people + 1 WHERE p.portfolio_id = c.portfolio_id AND p.people < people_limit;
      IF NOT FOUND THEN
        why := format('%s people were reached in 24 hours', people_limit);
        later := wacta.next_place_at(c.portfolio_id, $7, now_at);
        RETURN;
      END IF;
      INSERT INTO wacta.reached (portfolio_id, lead_id, reached_at) VALUES (c.portfolio_id, $3, now_at);
    END IF;
  END IF;
  IF cost > 0 AND c.daily_budget IS NOT NULL THEN        -- else the claim adds it up
    PERFORM wacta.add_spend(c.channel_id, $2, now_at, cost);
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.take_allowance(wacta.channel, integer, bigint, bigint, boolean, numeric, timestamptz, timestamptz) IS
'Counts a message that is about to be sent against its sender''s limits of people and money, or says when to try again, and why.';

-- A request that the provider did not take costs nothing. The person stays counted: that is on the safe side.
CREATE FUNCTION wacta.refund(m wacta.message) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF m.cost > 0 THEN
    PERFORM wacta.add_spend(m.channel_id, m.claimed_by, a.claimed_at, - m.cost)
       FROM wacta.attempt a WHERE (a.lead_id, a.message_id, a.attempt) = (m.lead_id, m.message_id, m.attempts);
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.refund(wacta.message) IS 'Takes the cost of a message that was not taken from what its sender has spent.';

-- For after a limit was raised: what had been put off until midnight or for hours need not wait for that.
CREATE FUNCTION wacta.send_now(channel text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  now_at timestamptz := wacta.now();
  n      bigint;
BEGIN
  IF $1 IS NOT NULL AND NOT EXISTS (SELECT FROM wacta.channel c WHERE c.name = $1) THEN
    RAISE EXCEPTION 'channel "%" does not exist', $1 USING ERRCODE = '22023';
  END IF;
  UPDATE wacta.message m SET due_at = now_at
    FROM wacta.queue q JOIN wacta.channel c USING (channel_id)
   WHERE (m.lead_id, m.message_id) = (q.lead_id, q.message_id) AND m.status = 'queued' AND q.due_at > now_at AND c.name = coalesce($1, c.name);
  GET DIAGNOSTICS n = ROW_COUNT;
  PERFORM wacta.wake();
  RETURN n;
END
$$;
COMMENT ON FUNCTION wacta.send_now(text) IS
'Makes all that is queued for later due now, at one sender or at all, and returns how many messages that were: after a limit was
raised, or what had failed was mended. The limits that are left still hold.';
