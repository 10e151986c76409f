-- Why a message waits, or would: the gates of the claim (60_claim.sql), asked without sending anything.

-- When one gate opens another one may have closed: quiet hours have begun, the person's place in the limit of people is over.
CREATE FUNCTION wacta.next_opening(c wacta.channel, m wacta.candidate, at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  opens timestamptz := at;
BEGIN
  FOR turn IN 1 .. 20 LOOP
    at := (SELECT wacta.outside_quiet_hours(m, max(g.open_at)) FROM wacta.time_gates(c, m, false, false, false, true, opens) g WHERE g.open_at > opens);
    IF at IS NULL THEN
      RETURN opens;
    END IF;
    opens := at;
    EXIT WHEN opens = 'infinity';
  END LOOP;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.next_opening(wacta.channel, wacta.candidate, timestamptz) IS
'The first moment from this one on at which wacta.time_gates() are all open, if nothing else happens; NULL: never.';

-- What a gate of wacta.time_gates() looks like to who asks.
CREATE FUNCTION wacta.explain_times(c wacta.channel, m wacta.candidate, now_at timestamptz)
RETURNS TABLE (gate text, passed boolean, detail text, next_time timestamptz)
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT g.gate, g.open_at <= now_at, g.detail,
         CASE WHEN g.open_at > now_at AND g.open_at < 'infinity' THEN wacta.next_opening(c, m, g.open_at) END
    FROM wacta.time_gates(c, m, false, false, false, true, now_at) g
$$;
COMMENT ON FUNCTION wacta.explain_times(wacta.channel, wacta.candidate, timestamptz) IS
'The gates that open by themselves, as wacta.explain_send() shows them: next_time is when the message may go once this one is open.';

-- May the sender, the template and this cluster send, and can a request be built?
CREATE FUNCTION wacta.explain_site(c wacta.channel, t wacta.template, m wacta.candidate, now_at timestamptz)
RETURNS TABLE (gate text, passed boolean, detail text, next_time timestamptz)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  problem text := wacta.fence_problem();
  plan    record := wacta.plan_request(c.channel_id, t.template_id, m.project_id, m.purpose, '{}', m.in_window, 'phone', 'granted');
  resumes boolean := c.status = 'paused' AND c.paused_until IS NOT NULL;
BEGIN
  RETURN QUERY VALUES
    -- in the window a brochure goes without its template, whatever its state, but waits in its lane
    ('template', t.held_reason IS NULL AND (t.verdict = 'send' OR (t.verdict = 'fail' AND plan.status = 'sending')), coalesce('held: ' || t.held_reason, t.status), NULL::timestamptz),
    ('request', plan.status = 'sending' OR t.verdict <> 'send', CASE WHEN plan.status = 'sending' OR t.verdict <> 'send' THEN 'can be built' ELSE plan.reason END, NULL),
    ('sender', c.status = 'active' OR (resumes AND c.paused_until <= now_at), coalesce(c.status || ': ' || c.status_reason, c.status),
     CASE WHEN resumes AND c.paused_until > now_at THEN wacta.next_opening(c, m, c.paused_until) END),
    ('fence', problem IS NULL, coalesce(problem, 'this cluster sends the queue'), NULL);
END
$$;
COMMENT ON FUNCTION wacta.explain_site(wacta.channel, wacta.template, wacta.candidate, timestamptz) IS
'The gates of template, request, sender and fence, as wacta.explain_send() shows them.';

CREATE FUNCTION wacta.explain_send(lead_id bigint, template text DEFAULT NULL)
RETURNS TABLE (gate text, passed boolean, detail text, next_time timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  now_at timestamptz := wacta.now();
  k      wacta.config := (SELECT x FROM wacta.config x);
  r      record;
  l      wacta.lead;
  t      wacta.template;
  c      wacta.channel;
  m      wacta.candidate;
  last   timestamptz;
BEGIN
  SELECT * INTO l FROM wacta.lead WHERE lead.lead_id = $1;
  IF NOT FOUND THEN
    RETURN QUERY SELECT * FROM wacta.explain_send(wacta.forwarded($1), $2);
    RETURN;
  END IF;
  SELECT * INTO r FROM wacta.recipient($1);
  SELECT * INTO t FROM wacta.template x WHERE x.template_id = wacta.pitch_template($2, l.project_id);
  SELECT * INTO c FROM wacta.channel x WHERE x.channel_id = wacta.default_channel();
  m := (l.lead_id, NULL, CASE t.purpose WHEN 'brochure' THEN 'brochure' ELSE 'pitch' END, l.project_id, CASE r.kind WHEN 'phone' THEN r.value END, l.time_zone,
        coalesce(l.window_until > now_at, false), NULL, 0);
  m.cost := CASE WHEN NOT (m.in_window AND m.purpose = 'brochure') THEN wacta.expected_cost(r.value, t.template_id, m.in_window) END;
  RETURN QUERY VALUES
    ('consent', wacta.refusal(l.consent, 'phone') IS NULL, l.consent, NULL::timestamptz),
    ('recipient', r.kind IS NOT NULL, coalesce(r.kind, 'no phone number'), NULL),
    ('window', true, CASE WHEN m.in_window THEN format('open until %s', l.window_until) ELSE 'closed: a template needs none' END, NULL);
  FOR gate, passed, detail, next_time IN
    SELECT * FROM wacta.explain_site(c, t, m, now_at) UNION ALL SELECT * FROM wacta.explain_times(c, m, now_at)
  LOOP
    last := greatest(last, next_time);
    RETURN NEXT;
  END LOOP;
  gate := 'time_to_live';
  passed := coalesce(last <= now_at + k.message_ttl, true);
  detail := CASE WHEN passed THEN format('it may wait %s', k.message_ttl) ELSE format('it would expire before, after %s', k.message_ttl) END;
  next_time := NULL;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION wacta.explain_send(bigint, text) IS
'Every gate that a message to this person has to pass: its verdict, why, and when it may open.
The claim asks the same functions: a message queued now is sent at once where all gates are passed, else at the latest next_time,
unless one that is not passed has none.';
