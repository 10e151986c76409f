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

CREATE FUNCTION wacta_http.visit(method text DEFAULT wacta_http.request('method'), headers jsonb DEFAULT wacta_http.request_headers()) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  peer inet := wacta.peer_address($2);
BEGIN
  RETURN jsonb_strip_nulls(jsonb_build_object('method', $1, 'agent', left($2 ->> 'user-agent', 300), 'network', wacta_http.network(peer),
    'purpose', CASE WHEN wacta_http.is_prefetch($2, $1) THEN 'prefetch' END));
END
$$;
COMMENT ON FUNCTION wacta_http.visit(text, jsonb) IS 'What is kept of a visit as the evidence of a click.';

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

-- A page is made with blanks for the tokens in it, U+0001 and a letter: all the rest is the same for all to whom it says the same.
CREATE FUNCTION wacta_http.other_button(page text, has_own_link boolean, vars jsonb, texts jsonb) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  other text := CASE page WHEN 'interested' THEN 'not_interested' WHEN 'not_interested' THEN 'interested' END;
  root  text := (SELECT regexp_replace(c.base_url, '^https?://[^/]+', '') FROM wacta.config c);
BEGIN
  RETURN CASE WHEN other IS NOT NULL THEN wacta_http.render(wacta_http.asset('other_' || other || '.html'), vars || jsonb_build_object('token', E'\x01o',
    'to', CASE WHEN has_own_link THEN format(E' action="%s/t/\x01o"', wacta_http.html_escape(root)) END), texts) END;
END
$$;
COMMENT ON FUNCTION wacta_http.other_button(text, boolean, jsonb, jsonb) IS 'The quiet way from one answer''s page to the other answer.';

-- A good token has no character that would have to be escaped in a path, but for the colons of one that is in no path.
CREATE FUNCTION wacta_http.fill_page(blank text, token text, other text) RETURNS bytea
LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wacta_fill_page';
COMMENT ON FUNCTION wacta_http.fill_page(text, text, text) IS 'A page with its link''s own token, and with that of the other answer where there is one.';

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
CREATE FUNCTION wacta_http.brochure_comes(lead_id bigint, project_id integer) RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN coalesce((SELECT m.status NOT IN ('failed', 'suppressed', 'expired', 'cancelled') FROM wacta.message m
                    WHERE m.lead_id = $1 AND m.purpose = 'brochure' AND m.project_id IS NOT DISTINCT FROM $2
                    ORDER BY m.message_id DESC LIMIT 1), false);
END
$$;
COMMENT ON FUNCTION wacta_http.brochure_comes(bigint, integer) IS 'Whether a project''s brochure is on its way to a person, or there.';

CREATE FUNCTION wacta_http.promises(has_brochure boolean, f wacta.follow_up, zone text, vars jsonb, texts jsonb) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN concat(
    CASE WHEN $1 THEN wacta_http.render(wacta_http.asset('promise_brochure.html'), vars, texts) END,
    CASE WHEN f.due_at IS NOT NULL
         THEN wacta_http.render(wacta_http.asset('promise_call.html'), jsonb_build_object('call', wacta_http.call_promise(f, texts, zone))) END);
END
$$;
COMMENT ON FUNCTION wacta_http.promises(boolean, wacta.follow_up, text, jsonb, jsonb) IS 'What the page after Interested may say of the brochure and the call.';

CREATE FUNCTION wacta_http.wishes(f wacta.follow_up, project_id integer, vars jsonb, texts jsonb) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN (
    SELECT wacta_http.render(wacta_http.asset('wishes.html'), vars || jsonb_build_object('buttons', string_agg(
             wacta_http.render(wacta_http.asset('wish.html'), jsonb_build_object('wish', w.wish,
               'chosen', CASE WHEN wacta.grants_wish(f, w.wish, w.call_at) THEN ' aria-pressed="true"' END,
               'text', texts ->> CASE WHEN w.wish = 'tomorrow' AND w.call_at > wacta.now() + interval '36 hours' THEN 'wish_next_day' ELSE 'wish_' || w.wish END)),
             E'\n' ORDER BY w.call_at)), texts)
      FROM wacta.call_wishes($2) w WHERE f.due_at IS NOT NULL HAVING count(*) > 0);
END
$$;
COMMENT ON FUNCTION wacta_http.wishes(wacta.follow_up, integer, jsonb, jsonb) IS 'The buttons by which a person says when to call, within the sales hours of a project.';

-- What the page of a link depends on, but for the link.
CREATE TYPE wacta_http.page_kind AS (
  page           text,
  action         text,
  language       text,
  project_id     integer,            -- that it is about
  has_brochure   boolean,
  has_own_link   boolean,            -- the other answer, which is signed by itself
  call           wacta.follow_up,    -- due_at NULL: there is none
  call_project   integer             -- in whose hours they are called
);
COMMENT ON TYPE wacta_http.page_kind IS 'All that a customer''s page depends on, but for the link: two of one kind are the same page with other tokens.';

-- What stands only on the page after Interested.
CREATE FUNCTION wacta_http.interested_parts(k wacta_http.page_kind, p wacta.project, vars jsonb, texts jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN jsonb_build_object('promises', wacta_http.promises(k.has_brochure, k.call, wacta.time_zone(p.project_id), vars, texts), 'wishes', wacta_http.wishes(k.call, k.call_project, vars, texts),
    'brochure', CASE WHEN p.brochure_link IS NOT NULL
                     THEN wacta_http.render(wacta_http.asset('brochure_link.html'), vars || jsonb_build_object('link', p.brochure_link), texts) END);
END
$$;
COMMENT ON FUNCTION wacta_http.interested_parts(wacta_http.page_kind, wacta.project, jsonb, jsonb) IS 'Promises, brochure and choice of a call for the page after Interested.';

CREATE FUNCTION wacta_http.blank_page(status integer, k wacta_http.page_kind, headers jsonb DEFAULT '{}') RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
  c     record;
  p     wacta.project;
  texts jsonb := wacta_http.page_texts(k.language);
  vars  jsonb;
BEGIN
  SELECT x.brand, x.click_mode INTO c FROM wacta.config x;
  SELECT * INTO p FROM wacta.project x WHERE x.project_id = k.project_id;
  vars := jsonb_build_object('project', coalesce(p.name, c.brand), 'action', k.action, 'token', E'\x01t',
    'question', texts ->> ('say_' || k.action), 'sending', texts ->> 'sending');
  vars := vars || jsonb_build_object('other', wacta_http.other_button(k.page, k.has_own_link, vars, texts));
  IF k.page = 'interested' THEN
    vars := vars || wacta_http.interested_parts(k, p, vars, texts);
  END IF;
  RETURN convert_from(wacta_http.page(status, replace(texts ->> (k.page || '_title'), '{project}', vars ->> 'project'),
    wacta_http.render(wacta_http.asset(k.page || '.html'), vars, texts),
    CASE WHEN k.page = 'confirm' AND c.click_mode <> 'confirm' THEN wacta_http.asset('track.js') END, headers,
    texts ->> 'language', texts ->> 'direction'), 'UTF8');
END
$$;
COMMENT ON FUNCTION wacta_http.blank_page(integer, wacta_http.page_kind, jsonb) IS
'A customer''s page (confirm, interested, not_interested, ask_again or refused) with blanks for its link: for wacta_http.fill_page().';

-- A refused link has no lead here, so that its language can only be the visitor's own.
CREATE FUNCTION wacta_http.page_language(template_id integer, accept text) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN (SELECT coalesce(wacta_http.known_language((SELECT t.language FROM wacta.template t WHERE t.template_id = $1)), wacta_http.accepted_language($2),
                          wacta_http.known_language(c.page_language), 'en')
            FROM wacta.config c);
END
$$;
COMMENT ON FUNCTION wacta_http.page_language(integer, text) IS 'What a page speaks: the language of the message''s template, else of Accept-Language, else config.page_language.';

-- A time is told only to whom has chosen it, so that of all others' calls it is enough that there is one.
CREATE FUNCTION wacta_http.promised_call(lead_id bigint) RETURNS wacta.follow_up
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  f    wacta.follow_up;
  call wacta.follow_up;
BEGIN
  SELECT * INTO f FROM wacta.follow_up x WHERE x.lead_id = $1 AND x.closed_at IS NULL ORDER BY x.due_at LIMIT 1;
  call.wish := f.wish;
  call.due_at := CASE WHEN f.wish IS NULL AND f.due_at IS NOT NULL THEN 'epoch' ELSE f.due_at END;
  RETURN call;
END
$$;
COMMENT ON FUNCTION wacta_http.promised_call(bigint) IS 'What a page depends on of the call that a lead gets next; due_at NULL: they get none.';

CREATE FUNCTION wacta_http.click_page(status integer, page text, token text, action text, lead bigint, headers jsonb DEFAULT '{}') RETURNS bytea
LANGUAGE plpgsql
AS $$
DECLARE
  k     wacta_http.page_kind;
  m     record;
  other text := CASE page WHEN 'interested' THEN 'not_interested' WHEN 'not_interested' THEN 'interested' END;
BEGIN
  -- the project that the message was about, which need not be the lead's newest
  SELECT coalesce(x.project_id, l.project_id) AS project_id, l.project_id AS call_project, x.template_id INTO m FROM wacta.lead l
    LEFT JOIN wacta.message x ON (x.lead_id, x.message_id) = (l.lead_id, (SELECT t.message_id FROM wacta.token_check(token) t))
   WHERE l.lead_id = lead;
  other := CASE WHEN other IS NOT NULL THEN wacta_http.other_answer(token, other) END;
  k.page := page;
  k.action := action;
  k.language := wacta_http.page_language(m.template_id, wacta_http.request_headers() ->> 'accept-language');
  k.project_id := m.project_id;
  k.has_own_link := other <> token;
  IF page = 'interested' THEN
    k.has_brochure := wacta_http.brochure_comes(lead, m.project_id);
    k.call := wacta_http.promised_call(lead);
    k.call_project := m.call_project;
  END IF;
  RETURN wacta_http.fill_page(wacta_http.blank_page(status, k, headers), token, other);
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

-- The taps of several people in one transaction, for the gateway: what wacta_api.track() does for each of them.
CREATE FUNCTION wacta_http.track_many(tokens text[], actions text[], lead_ids text[], headers jsonb[])
RETURNS TABLE (nth bigint, status text, response_headers text, body bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  links     text[] := ARRAY(SELECT wacta_http.link_part(u.token) FROM unnest($1) WITH ORDINALITY u(token, n) ORDER BY u.n);
  nths      bigint[];
  people    bigint[];
  projects  integer[];
  templates integer[];
  same      record;
  blank     text;
BEGIN
  SELECT array_agg(r.nth), array_agg(r.lead_id), array_agg(r.project_id), array_agg(r.template_id) INTO nths, people, projects, templates
    FROM wacta.record_clicks(links, ARRAY(SELECT wacta_http.link_part(u.action) FROM unnest($2) WITH ORDINALITY u(action, n) ORDER BY u.n),
                             ARRAY(SELECT wacta_http.lead_number(u.lead_id) FROM unnest($3) WITH ORDINALITY u(lead_id, n) ORDER BY u.n),
                             ARRAY(SELECT wacta_http.visit('POST', u.headers) || '{"explicit": false}' FROM unnest($4) WITH ORDINALITY u(headers, n) ORDER BY u.n)) r;
  -- a statement of its own, for it must see what that has written
  FOR same IN
    WITH made AS MATERIALIZED (
      SELECT u.*, links[u.nth] AS token, wacta_http.other_answer(links[u.nth], 'not_interested') AS other, $4[u.nth] ->> 'accept-language' AS accept
        FROM unnest(nths, people, projects, templates) u(nth, lead_id, project_id, template_id)
    ), spoken AS MATERIALIZED (
      SELECT d.template_id, d.accept, wacta_http.page_language(d.template_id, d.accept) AS language FROM (SELECT DISTINCT x.template_id, x.accept FROM made x) d
    )
    SELECT ROW('interested', 'interested', s.language, m.project_id, CASE WHEN wacta.has_brochure(p) THEN true ELSE wacta_http.brochure_comes(m.lead_id, m.project_id) END,
               m.other <> m.token, wacta_http.promised_call(m.lead_id), l.project_id)::wacta_http.page_kind AS kind,
           array_agg(m.nth) AS nths, array_agg(m.token) AS tokens, array_agg(m.other) AS others
      FROM made m JOIN spoken s ON (s.template_id, s.accept) IS NOT DISTINCT FROM (m.template_id, m.accept)
      JOIN wacta.lead l USING (lead_id) LEFT JOIN wacta.project p ON p.project_id = m.project_id
     GROUP BY 1
  LOOP
    blank := wacta_http.blank_page(200, same.kind);
    RETURN QUERY
    SELECT u.nth, current_setting('response.status'), current_setting('response.headers'), wacta_http.fill_page(blank, u.token, u.other)
      FROM unnest(same.nths, same.tokens, same.others) u(nth, token, other);
  END LOOP;
END
$$;
COMMENT ON FUNCTION wacta_http.track_many(text[], text[], text[], jsonb[]) IS
'Taps of several people at once, as wacta_api.track() takes each, and their answers; nth counts from 1. Who is missing from the
answers was not attended to, and is for wacta_api.track().';
