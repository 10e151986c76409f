-- Taps of many people in one transaction. Most of what a tap costs is not its rows, but its statements and its transaction, whatever the
-- number of their rows. Only taps of whose outcome there is no doubt are taken: a yes that is a person's first decision. What wacta.decide()
-- writes for each is written here for all, row by row the same; sql/clicks.sql compares them.

-- (The plans are kept: left to itself, the planner makes them anew each time, for it takes a longer array for a costlier one.)
CREATE FUNCTION wacta.write_interest(taps wacta.click[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
  INSERT INTO wacta.click (lead_id, message_id, project_id, template_id, channel_id, message_at, action, via, effective, clicked_at, evidence)
  SELECT k.lead_id, k.message_id, k.project_id, k.template_id, k.channel_id, k.message_at, k.action, k.via, k.effective, k.clicked_at, k.evidence FROM unnest(taps) k;
  INSERT INTO wacta.consent_event (lead_id, event, kind, reason, evidence, happened_at)
  SELECT e.lead_id, 'granted', wacta.evidence_kind('interested', e.evidence), 'interested', e.evidence, e.clicked_at
    FROM (SELECT k.lead_id, k.clicked_at, k.evidence || jsonb_build_object('via', k.via) AS evidence FROM unnest(taps) k) e;
  UPDATE wacta.lead l SET status = 'Interested', stage = 'Interested', consent = 'granted', updated_at = wacta.now()
   WHERE l.lead_id = ANY (ARRAY(SELECT k.lead_id FROM unnest(taps) k));
  INSERT INTO wacta.lead_note (lead_id, noted_at, note, author)
  SELECT l.lead_id, k.clicked_at, wacta.note_line(wacta.decision_note('Interested', k.via), k.clicked_at, coalesce(p.time_zone, c.time_zone)), session_user
    FROM unnest(taps) k JOIN wacta.lead l USING (lead_id) LEFT JOIN wacta.project p ON p.project_id = l.project_id CROSS JOIN wacta.config c;
  INSERT INTO wacta.message (lead_id, purpose, channel_id, template_id, project_id, expires_at)
  SELECT k.lead_id, 'brochure', (SELECT wacta.default_channel()), p.brochure_template_id, p.project_id, wacta.now() + c.message_ttl
    FROM unnest(taps) k JOIN wacta.project p USING (project_id) CROSS JOIN wacta.config c WHERE wacta.has_brochure(p);
  WITH calls AS MATERIALIZED (
    SELECT l.lead_id, l.project_id, l.owner, k.via FROM unnest(taps) k JOIN wacta.lead l USING (lead_id)
     WHERE NOT EXISTS (SELECT FROM wacta.follow_up f WHERE f.lead_id = l.lead_id AND f.closed_at IS NULL)
  ), due AS MATERIALIZED (
    SELECT p.project_id, wacta.next_sales_time(p.project_id, wacta.now() + c.follow_up_delay) AS due_at
      FROM (SELECT DISTINCT x.project_id FROM calls x) p CROSS JOIN wacta.config c
  )
  INSERT INTO wacta.follow_up (lead_id, due_at, assignee, reason)
  SELECT x.lead_id, d.due_at, x.owner, wacta.interest_reason(x.via) FROM calls x JOIN due d ON d.project_id IS NOT DISTINCT FROM x.project_id;
END
$$;
COMMENT ON FUNCTION wacta.write_interest(wacta.click[]) IS
'What wacta.decide() and wacta.on_interested() write for a first yes, for many people whom the caller has locked and looked at.';

CREATE FUNCTION wacta.record_clicks(tokens text[], actions text[], leads bigint[], evidences jsonb[])
RETURNS TABLE (nth bigint, lead_id bigint, project_id integer, template_id integer)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  nths     bigint[];
  people   bigint[];
  messages bigint[];
  locked   bigint[];
  taps     wacta.click[];
BEGIN
  -- what wacta.examine_link() asks, of all at once; who was merged into another person is left to it
  SELECT array_agg(t.nth), array_agg(t.lead_id), array_agg(t.message_id) INTO nths, people, messages
    FROM (SELECT DISTINCT ON (k.lead_id) u.nth, k.lead_id, k.message_id
            FROM (SELECT x.*, replace(lower(btrim(x.action)), ' ', '_') AS wanted FROM unnest($1, $2, $3, $4) WITH ORDINALITY x(token, action, lead, evidence, nth)) u
           CROSS JOIN LATERAL wacta.token_check(u.token) k
           WHERE k.reason IS NULL AND k.lead_id = coalesce(u.lead, k.lead_id) AND coalesce(k.action, u.wanted) = 'interested' AND coalesce(u.wanted, k.action) = 'interested'
             AND u.evidence ->> 'explicit' IS DISTINCT FROM 'true' AND wacta.inert_kind(u.evidence) IS NULL
           ORDER BY k.lead_id, u.nth) t;
  -- whoever waits for a lead keeps all the others waiting: so nobody does
  locked := ARRAY(SELECT l.lead_id FROM wacta.lead l WHERE l.lead_id = ANY (people) ORDER BY l.lead_id FOR NO KEY UPDATE SKIP LOCKED);
  -- a statement of its own, for it must see all that was decided until the locks were ours; with nothing queued there is nothing to end
  SELECT array_agg(u.nth), array_agg(ROW(l.lead_id, NULL, u.message_id, coalesce(m.project_id, l.project_id), m.template_id, m.channel_id, m.enqueued_at, 'interested', 'link', true,
                                         wacta.now(), $4[u.nth], 'tap')::wacta.click)
    INTO nths, taps
    FROM unnest(nths, people, messages) u(nth, lead_id, message_id) JOIN wacta.lead l USING (lead_id) LEFT JOIN wacta.message m ON (m.lead_id, m.message_id) = (l.lead_id, u.message_id)
   WHERE l.lead_id = ANY (locked) AND l.consent <> 'withdrawn' AND l.forgotten_at IS NULL
     AND NOT EXISTS (SELECT FROM wacta.click k WHERE k.lead_id = l.lead_id AND k.effective)
     AND NOT EXISTS (SELECT FROM wacta.consent_event e WHERE e.lead_id = l.lead_id AND e.happened_at > wacta.now())
     AND NOT EXISTS (SELECT FROM wacta.message q WHERE q.lead_id = l.lead_id AND q.status = 'queued')
     AND EXISTS (SELECT FROM wacta.lead_identity i WHERE i.lead_id = l.lead_id AND i.kind IN ('phone', 'user_id'))
     AND EXISTS (SELECT FROM wacta.channel c WHERE c.is_default);
  IF nths IS NOT NULL THEN
    PERFORM wacta.write_interest(taps);
  END IF;
  RETURN QUERY SELECT u.nth, u.lead_id, u.project_id, u.template_id
                 FROM ROWS FROM (unnest(nths), unnest(taps)) u(nth, lead_id, click_id, message_id, project_id, template_id, channel_id, message_at, action, via, effective, clicked_at, evidence, kind);
END
$$;
COMMENT ON FUNCTION wacta.record_clicks(text[], text[], bigint[], jsonb[]) IS
'Applies many taps on links in one transaction, by the rows that wacta.record_click() would write for each, and returns those that it has
applied: nth counts from 1. The others have changed nothing: each is for wacta.record_click() to decide, in a transaction of its own.';
