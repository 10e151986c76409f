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

CREATE FUNCTION wacta.place_free_at(p wacta.portfolio, lead_id bigint, in_window boolean, now_at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql
AS $$
BEGIN
  IF in_window OR p.people < p.people_per_day OR p.people_per_day IS NULL
     OR EXISTS (SELECT FROM wacta.reached r WHERE (r.lead_id, r.portfolio_id) = ($2, p.portfolio_id) AND r.reached_at > now_at - interval '24 hours') THEN
    RETURN now_at;
  END IF;
  -- whose 24 hours are over makes room, forgotten or not
  RETURN (SELECT greatest(now_at, r.reached_at + interval '24 hours') FROM wacta.reached r
           WHERE r.portfolio_id = p.portfolio_id ORDER BY r.reached_at OFFSET p.people - p.people_per_day LIMIT 1);
END
$$;
COMMENT ON FUNCTION wacta.place_free_at(wacta.portfolio, bigint, boolean, timestamptz) IS
'When a portfolio may reach this person, by its limit of people in 24 hours; now_at: at once.';

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

CREATE FUNCTION wacta.budget_free_at(c wacta.channel, cost numeric, now_at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql
AS $$
BEGIN
  IF cost > c.daily_budget THEN
    RETURN 'infinity';
  ELSIF cost > 0 AND wacta.spent_on(c.channel_id, now_at) + cost > c.daily_budget THEN
    RETURN (SELECT (wacta.budget_day(now_at) + 1)::timestamp AT TIME ZONE k.time_zone FROM wacta.config k);
  END IF;
  RETURN now_at;
END
$$;
COMMENT ON FUNCTION wacta.budget_free_at(wacta.channel, numeric, timestamptz) IS
'When a sender''s budget pays for a message that costs so much; now_at: at once; infinity: on no day.';

-- What decides, both for the claim and for who asks why a message waits.

CREATE TYPE wacta.candidate AS
  (lead_id bigint, message_id bigint, purpose text, project_id integer, phone text, time_zone text, in_window boolean, cost numeric, ahead integer);
COMMENT ON TYPE wacta.candidate IS
'A message that might be sent: to whom and what, the person''s number and time zone, its cost, and how many to the same person go before it.';

-- Volatile, to see what the same statement has counted.
CREATE FUNCTION wacta.time_gates(c wacta.channel, m wacta.candidate, policed boolean, paired boolean, limited boolean, tell boolean, now_at timestamptz)
RETURNS TABLE (gate text, open_at timestamptz, why text, detail text)
LANGUAGE plpgsql
AS $$
DECLARE
  clock record;
  p     wacta.portfolio;
BEGIN
  IF policed OR tell THEN
    clock := wacta.person_clock(m.time_zone, m.phone, m.project_id);
    gate := 'quiet_hours';
    open_at := wacta.quiet_until(clock.zone, clock.calling_code, m.project_id, m.purpose, now_at);
    why := CASE WHEN open_at > now_at THEN concat_ws(' ', 'quiet hours', to_char(nullif(open_at, 'infinity') AT TIME ZONE clock.zone, '"until" YYYY-MM-DD HH24:MI'),
                                                     '(' || clock.zone || ')') END;
    detail := CASE WHEN tell THEN coalesce(why, format('%s there (%s)', to_char(now_at AT TIME ZONE clock.zone, 'Dy HH24:MI'), clock.zone)) END;
    RETURN NEXT;
    gate := 'cap';
    SELECT f.free_at, 'the frequency cap of ' || f.detail, coalesce(f.detail, 'no cap is reached') INTO open_at, why, detail
      FROM wacta.cap_free_at(m.lead_id, m.message_id, m.purpose, now_at) f;
    RETURN NEXT;
    gate := 'gap';
    open_at := wacta.gap_free_at(m.lead_id, m.message_id, m.purpose, now_at);
    why := 'another message has just gone to this person';
    IF open_at <= now_at AND m.ahead > 0 AND wacta.is_rationed(m.purpose) THEN       -- once that has gone, it is known when
      open_at := now_at + interval '1 minute';
      why := 'another message goes to this person first';
    END IF;
    detail := CASE WHEN open_at > now_at THEN why WHEN tell THEN coalesce('none within ' || (SELECT k.message_gap FROM wacta.config k), 'no gap is set') END;
    RETURN NEXT;
  END IF;
  IF paired OR tell THEN
    gate := 'person';
    open_at := wacta.pair_free_at(m.lead_id, c.channel_id, now_at, m.ahead);
    why := 'too many messages to this person in a short time';
    detail := CASE WHEN open_at > now_at THEN why ELSE 'no burst' END;
    RETURN NEXT;
  END IF;
  IF (limited AND c.portfolio_id IS NOT NULL) OR tell THEN
    gate := 'people';
    p := (SELECT x FROM wacta.portfolio x WHERE x.portfolio_id = c.portfolio_id);
    open_at := wacta.place_free_at(p, m.lead_id, m.in_window, now_at);
    why := CASE WHEN open_at > now_at THEN format('%s people were reached in 24 hours', p.people_per_day) END;
    detail := CASE WHEN tell THEN CASE WHEN p.people_per_day IS NULL THEN 'no limit' ELSE format('%s of %s people in 24 hours', p.people, p.people_per_day) END END;
    RETURN NEXT;
  END IF;
  IF (limited AND c.daily_budget IS NOT NULL) OR tell THEN
    gate := 'budget';
    open_at := wacta.budget_free_at(c, m.cost, now_at);
    why := 'the sender''s budget of the day is used up';
    detail := CASE WHEN tell THEN CASE WHEN c.daily_budget IS NULL THEN 'no limit'
                                       ELSE format('%s of %s spent today', trim_scale(wacta.spent_on(c.channel_id, now_at)), trim_scale(c.daily_budget)) END END;
    RETURN NEXT;
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.time_gates(wacta.channel, wacta.candidate, boolean, boolean, boolean, boolean, timestamptz) IS
'The gates that open by themselves, and when: now or before: the message may pass; infinity: never as things are; why: the reason of
a message that has to wait. The claim asks for those that matter: policy, a burst, a sender with limits; tell: all, with how they stand.';

-- What opens in the quiet hours opens after them.
CREATE FUNCTION wacta.outside_quiet_hours(m wacta.candidate, at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (SELECT CASE WHEN isfinite(at) THEN wacta.quiet_until(k.zone, k.calling_code, m.project_id, m.purpose, at) ELSE at END
            FROM wacta.person_clock(m.time_zone, m.phone, m.project_id) k);
END
$$;
COMMENT ON FUNCTION wacta.outside_quiet_hours(wacta.candidate, timestamptz) IS 'The first moment from this one on that is in no quiet hours of the person.';

-- By one courier at a time: see wacta.courier_claim().
CREATE FUNCTION wacta.count_against_limits(c wacta.channel, courier integer, m wacta.candidate, now_at timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  IF c.portfolio_id IS NOT NULL AND NOT m.in_window
     AND EXISTS (SELECT FROM wacta.portfolio p WHERE p.portfolio_id = c.portfolio_id AND p.people_per_day IS NOT NULL) THEN
    -- a row there is counted in people, also one that is over and not forgotten yet
    UPDATE wacta.reached r SET reached_at = now_at WHERE (r.portfolio_id, r.lead_id) = (c.portfolio_id, m.lead_id);
    IF NOT FOUND THEN
      UPDATE wacta.portfolio p SET people = p.people + 1 WHERE p.portfolio_id = c.portfolio_id;
      INSERT INTO wacta.reached (portfolio_id, lead_id, reached_at) VALUES (c.portfolio_id, m.lead_id, now_at);
    END IF;
  END IF;
  IF m.cost > 0 AND c.daily_budget IS NOT NULL THEN      -- else the claim adds it up
    PERFORM wacta.add_spend(c.channel_id, courier, now_at, m.cost);
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.count_against_limits(wacta.channel, integer, wacta.candidate, timestamptz) IS
'Counts a message that is about to be sent against its sender''s limits of people and money.';

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
