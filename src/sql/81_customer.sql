-- What customers meet over HTTP: the page behind a link, the tap, and the record of a visit.

-- The network, not the address: enough to tell a scanner, less than a person.
CREATE FUNCTION wacta_http.network(peer inet) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN host(network(set_masklen($1, CASE family($1) WHEN 4 THEN 24 ELSE 48 END)));
COMMENT ON FUNCTION wacta_http.network(inet) IS 'The first address of the /24, or for IPv6 the /48, in which an address is.';

-- What a browser fetches before anybody has tapped. A navigation of a person is for a document; a POST comes from a form or a program.
CREATE FUNCTION wacta_http.is_prefetch(headers jsonb, method text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
  RETURN concat_ws(' ', $1 ->> 'sec-purpose', $1 ->> 'purpose', $1 ->> 'x-purpose', $1 ->> 'x-moz') ~* 'prefetch|prerender|preview'
         OR ($2 <> 'POST' AND coalesce($1 ->> 'sec-fetch-dest', 'document') <> 'document');
END
$$;
COMMENT ON FUNCTION wacta_http.is_prefetch(jsonb, text) IS 'Whether a request says that it is none of a person who has tapped.';

CREATE FUNCTION wacta_http.visit(method text DEFAULT wacta_http.request('method')) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  h    jsonb := wacta_http.request_headers();
  peer inet := wacta.peer_address(h);
BEGIN
  RETURN jsonb_strip_nulls(jsonb_build_object('method', $1, 'agent', left(h ->> 'user-agent', 300), 'network', wacta_http.network(peer),
    'purpose', CASE WHEN wacta_http.is_prefetch(h, $1) THEN 'prefetch' END));
END
$$;
COMMENT ON FUNCTION wacta_http.visit(text) IS 'What is kept of a visit as the evidence of a click.';

-- Links are forwarded in sentences, and encoded once more on their way.
CREATE FUNCTION wacta_http.link_part(value text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN $1 !~ '[^A-Za-z0-9_:-]' THEN $1
         ELSE regexp_replace(regexp_replace($1, '%3a', ':', 'gi'), '^[\s<("'']+|[]\s.,;:!?"''<>(){}*|\u2026\u201D\u2019]+$', '', 'g') END;
COMMENT ON FUNCTION wacta_http.link_part(text) IS 'A part of a link without what stood around it in a text.';

-- Whoever holds one answer's link may give the other answer, by a button that says what it means. A signed token stands in
-- the path, where it would win over a form's field: hence a path of its own; a seed token is good for both actions.
CREATE FUNCTION wacta_http.other_answer(token text, action text) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN (
    SELECT CASE t.form WHEN 'seed' THEN $1 ELSE wacta.mint_signed(t.lead_id, t.message_id, $2, t.issued_at, t.expires_at, t.key_id) END
      FROM wacta.token_check($1) t WHERE t.reason IS NULL);
END
$$;
COMMENT ON FUNCTION wacta_http.other_answer(text, text) IS 'A token for the action, for the holder of a good token of the same lead: with the same key and times, so that a page is the same each time.';

CREATE FUNCTION wacta_http.other_button(page text, token text, vars jsonb, texts jsonb) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  other text := CASE page WHEN 'interested' THEN 'not_interested' WHEN 'not_interested' THEN 'interested' END;
  new_token text := CASE WHEN other IS NOT NULL THEN wacta_http.other_answer(token, other) END;
  root  text := (SELECT regexp_replace(c.base_url, '^https?://[^/]+', '') FROM wacta.config c);
BEGIN
  RETURN CASE WHEN new_token IS NOT NULL THEN wacta_http.render(wacta_http.asset('other_' || other || '.html'), vars || jsonb_build_object('token', new_token,
    'to', CASE WHEN new_token <> token THEN format(' action="%s/t/%s"', wacta_http.html_escape(root), wacta.percent_encode(new_token)) END), texts) END;
END
$$;
COMMENT ON FUNCTION wacta_http.other_button(text, text, jsonb, jsonb) IS 'The quiet way from one answer''s page to the other answer.';

CREATE FUNCTION wacta_http.call_promise(f wacta.follow_up, texts jsonb, zone text) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN (
    SELECT replace(replace(texts ->> CASE
               WHEN f.wish IS NULL THEN 'call'
               WHEN f.due_at <= wacta.now() THEN 'call_soon'
               WHEN d.due::date = d.today THEN 'call_today'
               WHEN d.due::date = d.today + 1 THEN 'call_tomorrow'
               ELSE 'call_later' END, '{time}', to_char(d.due, 'HH24:MI')), '{date}', to_char(d.due, 'FMDD/FMMM/YYYY'))
      FROM (SELECT f.due_at AT TIME ZONE zone AS due, (wacta.now() AT TIME ZONE zone)::date AS today) d);
END
$$;
COMMENT ON FUNCTION wacta_http.call_promise(wacta.follow_up, jsonb, text) IS 'What a page says of a call; a time is told only to whom has chosen it.';

-- Promises only what is there: a brochure that was queued and has not failed, a call that is scheduled.
CREATE FUNCTION wacta_http.promises(lead bigint, project integer, f wacta.follow_up, vars jsonb, texts jsonb) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN concat(
    CASE WHEN (SELECT m.status NOT IN ('failed', 'suppressed', 'expired', 'cancelled') FROM wacta.message m
                WHERE m.lead_id = $1 AND m.purpose = 'brochure' AND m.project_id IS NOT DISTINCT FROM $2
                ORDER BY m.message_id DESC LIMIT 1) THEN wacta_http.render(wacta_http.asset('promise_brochure.html'), vars, texts) END,
    CASE WHEN f.follow_up_id IS NOT NULL
         THEN wacta_http.render(wacta_http.asset('promise_call.html'), jsonb_build_object('call', wacta_http.call_promise(f, texts, wacta.time_zone($2)))) END);
END
$$;
COMMENT ON FUNCTION wacta_http.promises(bigint, integer, wacta.follow_up, jsonb, jsonb) IS 'What the page after Interested may say of the brochure and the call.';

CREATE FUNCTION wacta_http.wishes(f wacta.follow_up, token text, vars jsonb, texts jsonb) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN (
    SELECT wacta_http.render(wacta_http.asset('wishes.html'), vars || jsonb_build_object('token', token, 'buttons', string_agg(
             wacta_http.render(wacta_http.asset('wish.html'), jsonb_build_object('wish', w.wish,
               'chosen', CASE WHEN wacta.grants_wish(f, w.wish, w.call_at) THEN ' aria-pressed="true"' END,
               'text', texts ->> CASE WHEN w.wish = 'tomorrow' AND w.call_at > wacta.now() + interval '36 hours' THEN 'wish_next_day' ELSE 'wish_' || w.wish END)),
             E'\n' ORDER BY w.call_at)), texts)
      FROM wacta.lead l, wacta.call_wishes(l.project_id) w WHERE l.lead_id = f.lead_id HAVING count(*) > 0);
END
$$;
COMMENT ON FUNCTION wacta_http.wishes(wacta.follow_up, text, jsonb, jsonb) IS 'The buttons by which a person says when to call.';

-- What stands only on the page after Interested.
CREATE FUNCTION wacta_http.interested_parts(lead bigint, p wacta.project, token text, vars jsonb, texts jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  f wacta.follow_up;
BEGIN
  SELECT * INTO f FROM wacta.follow_up x WHERE x.lead_id = lead AND x.closed_at IS NULL ORDER BY x.due_at LIMIT 1;
  RETURN jsonb_build_object('promises', wacta_http.promises(lead, p.project_id, f, vars, texts), 'wishes', wacta_http.wishes(f, token, vars, texts),
    'brochure', CASE WHEN p.brochure_link IS NOT NULL
                     THEN wacta_http.render(wacta_http.asset('brochure_link.html'), vars || jsonb_build_object('link', p.brochure_link), texts) END);
END
$$;
COMMENT ON FUNCTION wacta_http.interested_parts(bigint, wacta.project, text, jsonb, jsonb) IS 'Promises, brochure and choice of a call for the page after Interested.';

-- A refused link has no lead here, so that its language can only be the visitor's own.
CREATE FUNCTION wacta_http.click_page(status integer, page text, token text, action text, lead bigint, headers jsonb DEFAULT '{}') RETURNS bytea
LANGUAGE plpgsql
AS $$
DECLARE
  c     record;
  p     wacta.project;
  about record;
  texts jsonb;
  vars  jsonb;
BEGIN
  SELECT k.brand, k.click_mode, k.page_language INTO c FROM wacta.config k;
  -- the project that the message was about, which need not be the lead's newest
  SELECT coalesce(m.project_id, l.project_id) AS project_id, t.language INTO about FROM wacta.lead l
    LEFT JOIN wacta.message m ON (m.lead_id, m.message_id) = (l.lead_id, (SELECT k.message_id FROM wacta.token_check(token) k))
    LEFT JOIN wacta.template t USING (template_id)
   WHERE l.lead_id = lead;
  SELECT * INTO p FROM wacta.project x WHERE x.project_id = about.project_id;
  texts := wacta_http.page_texts(coalesce(wacta_http.known_language(about.language), wacta_http.accepted_language(wacta_http.request_headers() ->> 'accept-language'),
    wacta_http.known_language(c.page_language), 'en'));
  vars := jsonb_build_object('project', coalesce(p.name, c.brand), 'action', action, 'token', token,
    'question', texts ->> ('say_' || action), 'sending', texts ->> 'sending');
  vars := vars || jsonb_build_object('other', wacta_http.other_button(page, token, vars, texts));
  IF page = 'interested' THEN
    vars := vars || wacta_http.interested_parts(lead, p, token, vars, texts);
  END IF;
  RETURN wacta_http.page(status, replace(texts ->> (page || '_title'), '{project}', vars ->> 'project'),
    wacta_http.render(wacta_http.asset(page || '.html'), vars, texts),
    CASE WHEN page = 'confirm' AND c.click_mode <> 'confirm' THEN wacta_http.asset('track.js') END, headers,
    texts ->> 'language', texts ->> 'direction');
END
$$;
COMMENT ON FUNCTION wacta_http.click_page(integer, text, text, text, bigint, jsonb) IS
'A customer''s page: confirm, interested, not_interested, ask_again or refused. It speaks the language of the message''s template, else
of Accept-Language, else of config.page_language.';

CREATE FUNCTION wacta_http.refused_page() RETURNS bytea
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN wacta_http.click_page(403, 'refused', NULL, NULL, NULL);
END
$$;
COMMENT ON FUNCTION wacta_http.refused_page() IS 'The one page for every token that is refused, whatever the reason.';

-- In click_mode direct the front door is asked to make the tap at once, by the header with which nginx is sent to another location; the
-- gateway understands the same. A front door that does not sends the page, which posts itself.
CREATE FUNCTION wacta_http.tap_at_once(visit jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT CASE WHEN c.click_mode = 'direct' AND wacta.inert_kind($1) IS NULL THEN '{"X-Accel-Redirect": "@tap"}'::jsonb ELSE '{}' END FROM wacta.config c);
END
$$;
COMMENT ON FUNCTION wacta_http.tap_at_once(jsonb) IS 'The header that has the front door call wacta_api.track(), where click_mode is direct and a person may have tapped.';

CREATE FUNCTION wacta_api.track_page(token text DEFAULT NULL, action text DEFAULT NULL, lead_id text DEFAULT NULL) RETURNS wacta_http."*/*"
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  token text := wacta_http.link_part($1);
  t     record := wacta.examine_link(token, wacta_http.link_part($2), wacta_http.lead_number($3));
BEGIN
  IF t.reason IS NOT NULL THEN
    RETURN wacta_http.refused_page();
  END IF;
  RETURN wacta_http.click_page(200, 'confirm', token, t.action, t.lead_id, wacta_http.tap_at_once(wacta_http.visit()));
END
$$;
COMMENT ON FUNCTION wacta_api.track_page(text, text, text) IS
$$The page behind a customer's link
A GET changes nothing: the page posts itself (auto) or asks for a tap (confirm), as click_mode says. In click_mode direct the header
X-Accel-Redirect: @tap asks the front door to call track instead.$$;

CREATE FUNCTION wacta_api.track(token text DEFAULT NULL, action text DEFAULT NULL, lead_id text DEFAULT NULL, confirm text DEFAULT NULL,
                                call_at text DEFAULT NULL) RETURNS wacta_http."*/*"
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  token text := wacta_http.link_part($1);
  r     record;
  lead  bigint;
BEGIN
  r := wacta.record_click(token, wacta_http.link_part($2), wacta_http.lead_number($3),
                         wacta_http.visit() || jsonb_build_object('explicit', coalesce($4, '') = 'yes'));
  IF r.decision = 'refused' THEN
    RETURN wacta_http.refused_page();
  ELSIF r.decision = 'none' THEN
    RETURN wacta_api.track_page($1, $2, $3);
  END IF;
  lead := (SELECT wacta.living_lead(t.lead_id) FROM wacta.token_check(token) t);
  IF r.page = 'interested' AND call_at <> '' THEN
    PERFORM wacta.wish_call(lead, call_at);
  END IF;
  RETURN wacta_http.click_page(200, r.page, token, r.decision, lead);
END
$$;
COMMENT ON FUNCTION wacta_api.track(text, text, text, text, text) IS
$$A customer's tap
Records the decision that the token proves and answers with the page that confirms it. confirm=yes is an explicit new yes;
call_at (now, evening, tomorrow) is when an interested person would like to be called.
What previews or prefetches links gets the page of a GET, and decides nothing.$$;

CREATE FUNCTION wacta_api.track_visit(token text DEFAULT NULL, action text DEFAULT NULL, lead_id text DEFAULT NULL, method text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms'
AS $$
BEGIN
  -- nobody waits for this, and a crash may lose it
  PERFORM set_config('synchronous_commit', 'off', true),
          wacta.record_visit(wacta_http.link_part($1), wacta_http.link_part($2), wacta_http.lead_number($3),
                             wacta_http.visit(coalesce(nullif($4, ''), wacta_http.request('method'))));
END
$$;
COMMENT ON FUNCTION wacta_api.track_visit(text, text, text, text) IS
$$A visit of a customer's link
What the front door calls for each GET and HEAD of a link, beside the answer: for the record alone. method: that of the visit.$$;
