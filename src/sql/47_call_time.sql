-- When a person who is interested would like to be called.

CREATE FUNCTION wacta.evening(project_id integer) RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  zone text := wacta.time_zone($1);
BEGIN
  -- the last two of the sales hours, for whoever works in the others
  RETURN (SELECT ((wacta.now() AT TIME ZONE zone)::date + greatest(s.sales_from, s.sales_to - least(interval '2 hours', s.sales_to - s.sales_from))) AT TIME ZONE zone
            FROM (SELECT coalesce(min(p.sales_from), '10:00') AS sales_from, coalesce(min(p.sales_to), '19:00') AS sales_to
                    FROM wacta.project p WHERE p.project_id = $1) s);
END
$$;
COMMENT ON FUNCTION wacta.evening(integer) IS 'When the last two hours begin of the day''s sales hours of a project.';

CREATE FUNCTION wacta.call_time(project_id integer, wish text) RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN wacta.next_sales_time($1, CASE $2
    WHEN 'now' THEN wacta.now()
    WHEN 'evening' THEN greatest(wacta.now(), wacta.evening($1))
    WHEN 'tomorrow' THEN ((wacta.now() AT TIME ZONE wacta.time_zone($1))::date + 1)::timestamp AT TIME ZONE wacta.time_zone($1) END);
END
$$;
COMMENT ON FUNCTION wacta.call_time(integer, text) IS 'The moment of the project''s sales hours that a wish means: now, evening or tomorrow.';

-- Only what can be kept is offered: at night nobody calls now, and on a Sunday there is no evening.
CREATE FUNCTION wacta.call_wishes(project_id integer) RETURNS TABLE (wish text, call_at timestamptz)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  evening timestamptz := wacta.evening($1);
BEGIN
  wish := 'now'; call_at := wacta.call_time($1, wish);
  IF call_at <= wacta.now() + interval '1 second' THEN
    RETURN NEXT;
  END IF;
  wish := 'evening'; call_at := CASE WHEN evening > wacta.now() THEN wacta.next_sales_time($1, evening) END;
  IF call_at = evening THEN
    RETURN NEXT;
  END IF;
  wish := 'tomorrow'; call_at := wacta.call_time($1, wish);
  IF call_at IS NOT NULL THEN
    RETURN NEXT;
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.call_wishes(integer) IS 'When a person may ask to be called, and what each wish means.';

-- The same wish on another day is another one; one for now is the same for an hour.
CREATE FUNCTION wacta.grants_wish(f wacta.follow_up, wish text, call_at timestamptz) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
  RETURN coalesce(f.wish = $2 AND f.due_at BETWEEN $3 - interval '1 hour' AND $3, false);
END
$$;
COMMENT ON FUNCTION wacta.grants_wish(wacta.follow_up, text, timestamptz) IS 'Whether a follow-up stands already where a wish would move it.';

CREATE FUNCTION wacta.wish_call(lead_id bigint, wish text) RETURNS timestamptz
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  l wacta.lead := wacta.lock_lead($1);
  f wacta.follow_up;
  t timestamptz := CASE WHEN wish IN ('now', 'evening', 'tomorrow') THEN wacta.call_time(l.project_id, wish) END;
BEGIN
  SELECT * INTO f FROM wacta.follow_up x WHERE x.lead_id = l.lead_id AND x.closed_at IS NULL ORDER BY x.due_at LIMIT 1;
  IF f.follow_up_id IS NULL OR t IS NULL OR wacta.grants_wish(f, $2, t) THEN
    RETURN f.due_at;
  END IF;
  UPDATE wacta.follow_up x SET due_at = t, wish = $2, announced_at = NULL
   WHERE x.lead_id = l.lead_id AND x.follow_up_id = f.follow_up_id RETURNING * INTO f;
  PERFORM wacta.add_note(l.lead_id, 'Asked to be called at a time of their own: see the follow-up', 'wish ' || f.follow_up_id);     -- once, however often they choose
  RETURN f.due_at;
END
$$;
COMMENT ON FUNCTION wacta.wish_call(bigint, text) IS
'Moves the lead''s open follow-up to when the person would like to be called, within the sales hours; returns when that is.';
