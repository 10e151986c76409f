-- A customer's tap: the two flows, repetitions, opposite taps, refusals; notes in the project's zone, calls in its hours.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include

-- What there is to see of a lead, in one row
CREATE VIEW pg_temp.seen AS
  SELECT l.name AS who, l.status, l.stage, l.consent,
         (SELECT string_agg(m.purpose || ' ' || m.status || coalesce(' (' || m.reason || ')', ''), ', ' ORDER BY m.message_id) FROM wacta.message m WHERE m.lead_id = l.lead_id) AS messages,
         (SELECT string_agg(to_char(f.due_at, 'Dy HH24:MI') || coalesce(' (' || f.outcome || ')', ''), ', ' ORDER BY f.follow_up_id) FROM wacta.follow_up f WHERE f.lead_id = l.lead_id) AS calls,
         (SELECT string_agg(c.event || ' ' || c.reason, ', ' ORDER BY c.event_id) FROM wacta.consent_event c WHERE c.lead_id = l.lead_id) AS said,
         (SELECT count(*) FROM wacta.lead_note n WHERE n.lead_id = l.lead_id) AS notes,
         (SELECT string_agg(k.action || CASE WHEN k.effective THEN '' ELSE ' again' END, ', ' ORDER BY k.click_id) FROM wacta.click k WHERE k.lead_id = l.lead_id) AS taps
    FROM wacta.lead l;
SELECT wacta.upsert_lead('9876500001', 'Asha Rao', 'Green Acres', owner => 'ravi') AS asha,
       wacta.upsert_lead('9876500002', 'Vikram Shah', 'Green Acres') AS vikram \gset

-- Interested, from the link of a message: another pitch that waits is cancelled, the brochure is queued, a call is due
SELECT wacta.send_interactive(:asha) AS message, wacta.send_interactive(:asha) AS another \gset
SELECT wacta.mint_link(:message, 'interested') = wacta.mint_link(:message, 'interested') AS same_link;
SELECT * FROM wacta.record_click(pg_temp.token(:message));
SELECT * FROM pg_temp.seen WHERE who = 'Asha Rao' \gx
SELECT note, author IS NOT NULL AS by_someone FROM wacta.lead_note ORDER BY note_id;
SELECT due_at, assignee, reason, outcome, closed_at FROM wacta.follow_up;
SELECT pg_temp.who(lead_id) AS who, event, reason, evidence, happened_at FROM wacta.consent_event;
SELECT purpose, template_id = (SELECT template_id FROM wacta.template WHERE name = 'project_brochure') AS brochure_template, due_at, expires_at
  FROM wacta.message WHERE purpose = 'brochure';

-- The same tap again: same page, recorded, no second effect
SELECT pg_temp.advance('16 seconds');
SELECT * FROM wacta.record_click(pg_temp.token(:message));
SELECT * FROM pg_temp.seen WHERE who = 'Asha Rao' \gx

-- The opposite tap stands: nothing is sent any more
SELECT * FROM wacta.record_click(pg_temp.token(:message, 'not_interested'));
SELECT * FROM pg_temp.seen WHERE who = 'Asha Rao' \gx
SELECT note FROM wacta.lead_note ORDER BY note_id;
SELECT * FROM wacta.record_click(pg_temp.token(:message, 'not_interested'));

-- An old link alone does not bring consent back: the page asks again, and nothing is sent until an explicit yes
SELECT * FROM wacta.record_click(pg_temp.token(:message));
SELECT * FROM wacta.record_click(pg_temp.token(:message));
SELECT * FROM pg_temp.seen WHERE who = 'Asha Rao' \gx
SELECT * FROM wacta.record_click(pg_temp.token(:message), evidence => '{"explicit": true}');
SELECT * FROM wacta.record_click(pg_temp.token(:message), evidence => '{"explicit": true}');
SELECT * FROM pg_temp.seen WHERE who = 'Asha Rao' \gx

-- A no after consent came back by another way has its effect again
SELECT wacta.record_click(pg_temp.token(:message, 'not_interested')), wacta.opt_in(:asha, 'said so on the phone'), wacta.record_click(pg_temp.token(:message, 'not_interested'));
SELECT status, stage, consent, taps, notes FROM pg_temp.seen WHERE who = 'Asha Rao';

-- and a yes after the site's staff took consent away and the person gave it back
SELECT pg_temp.advance('1 minute'), wacta.upsert_lead('9876500009', 'Kiran', 'Green Acres') AS kiran \gset
SELECT wacta.record_click(wacta.mint_token(:kiran), 'interested');
SELECT pg_temp.advance('1 minute'), wacta.opt_out(:kiran, 'on the phone'), wacta.opt_in(:kiran, 'wrote START');
SELECT wacta.record_click(wacta.mint_token(:kiran), 'interested'), wacta.record_click(wacta.mint_token(:kiran), 'interested') AS again;
SELECT status, consent, messages, calls, taps FROM pg_temp.seen WHERE who = 'Kiran' \gx

-- Not interested as the first word; a queued message and a call that was due are ended
SELECT wacta.send_interactive(:vikram) AS message, wacta.schedule_follow_up(:vikram, 'asked on the phone') > 0 AS call \gset
SELECT * FROM wacta.record_click(pg_temp.token(:message, 'not_interested'));
SELECT * FROM pg_temp.seen WHERE who = 'Vikram Shah' \gx

-- Links in the seed format carry no action: it comes beside the token, in the words of the old system or ours
SELECT wacta.upsert_lead('9876500003', 'Meera') AS meera \gset
SELECT wacta.mint_token(:meera, to_timestamp(1693123456)) AS token \gset
SELECT * FROM wacta.record_click(:'token', 'interested', :meera);
SELECT * FROM wacta.record_click(:'token', ' Not Interested ', :meera);
SELECT status, stage, consent, messages, calls, taps FROM pg_temp.seen WHERE who = 'Meera';   -- no project: no brochure

-- A refused token changes nothing; the audit has the reason and no token
SELECT wacta.record_click('no token at all'), wacta.record_click(NULL), wacta.record_click(:'token', 'interested', :vikram),
       wacta.record_click(:'token', 'delete', :meera), wacta.record_click(:'token', NULL, :meera), wacta.record_click(pg_temp.token(:message, 'brochure')),
       wacta.record_click(pg_temp.token(:message, 'interested'), 'not_interested'), wacta.record_click(wacta.mint_token(4711), 'interested'),
       wacta.record_click(overlay(pg_temp.token(:message) PLACING 'B' FROM 30 FOR 1), NULL, NULL, '{"agent": "curl"}') \gx
SELECT reason, action, pg_temp.who(lead_id) AS who, evidence, length(fingerprint) AS fingerprint, fingerprint = left(encode(sha256('no token at all'), 'hex'), 16) AS of_the_first
  FROM wacta.token_refusal ORDER BY refusal_id;
SELECT who, status, stage, consent, messages, calls, taps FROM pg_temp.seen WHERE who IN ('Vikram Shah', 'Meera') ORDER BY who;
-- of a flood of them 1,000 a minute are kept
SELECT count((wacta.record_click('no token at all')).decision) AS refused FROM generate_series(1, 1100);
SELECT count(*) AS kept FROM wacta.token_refusal;
-- good links work all the while, and a minute later refusals are kept again
SELECT wacta.record_click(:'token', 'interested', :meera);
SELECT pg_temp.advance('1 minute 1 second'), wacta.record_click('after the flood') \gset
SELECT count(*) AS kept FROM wacta.token_refusal;

-- Notes bear the project's wall clock, also on both sides of a change of it
SELECT wacta.add_project('Hudson Yards', time_zone => 'America/New_York'), wacta.upsert_lead('+12125550100', 'Jo', 'Hudson Yards') AS jo \gset
SET wacta.fixed_now = '2025-11-02 05:59:59+00';
SELECT wacta.add_note(:jo, 'before');
SELECT pg_temp.advance('1 hour');
SELECT wacta.add_note(:jo, 'an hour later'), wacta.add_note(:jo, 'with a reference', 'ref-1'), wacta.add_note(:jo, 'with a reference', 'ref-1') AS twice;
SELECT note FROM wacta.lead_note WHERE lead_id = :jo ORDER BY note_id;
SELECT pg_temp.attempt($$SELECT wacta.add_project('Nowhere', time_zone => 'Mars/Olympus')$$), pg_temp.attempt('SELECT wacta.add_note(4711, ''x'')');

-- Calls are due in sales hours (10:00 to 19:00, Monday to Saturday by default), in the project's zone
SET timezone = 'UTC';
UPDATE wacta.project SET sales_days = '{1,2,3,4,5}', sales_from = '02:30', sales_to = '17:00' WHERE name = 'Hudson Yards';
INSERT INTO wacta.project (name, time_zone, sales_days, sales_from, sales_to) VALUES ('Sundays', 'Europe/Berlin', '{7}', '02:30', '03:00');
SELECT p.name, case_, t AT TIME ZONE zone AS not_before, wacta.next_sales_time(p.project_id, t) AT TIME ZONE zone AS due
  FROM (VALUES ('Green Acres', 'within', '2025-08-26 11:30+05:30'::timestamptz), ('Green Acres', 'at opening', '2025-08-26 10:00+05:30'),
               ('Green Acres', 'before opening', '2025-08-26 09:59:59+05:30'), ('Green Acres', 'the last second', '2025-08-26 18:59:59+05:30'),
               ('Green Acres', 'at closing', '2025-08-26 19:00+05:30'), ('Green Acres', 'Saturday night', '2025-08-30 22:00+05:30'),
               ('Green Acres', 'Sunday', '2025-08-31 12:00+05:30'), ('Green Acres', 'it is Monday there', '2025-08-31 18:35+00'),
               ('Hudson Yards', 'Friday evening', '2025-08-29 18:00-04'), ('Hudson Yards', 'Saturday', '2025-08-30 11:00-04'),
               ('Hudson Yards', 'the week of the change', '2025-03-07 17:00-05'), ('Sundays', '02:30 does not exist', '2025-03-29 12:00+01'),
               ('Sundays', '02:30 comes twice', '2025-10-25 12:00+02'), ('Sundays', 'a week away', '2025-11-02 03:00+01')) v(project, case_, t)
  JOIN wacta.project p ON p.name = v.project, LATERAL (SELECT wacta.time_zone(p.project_id) AS zone) z
 ORDER BY p.name, t;
SELECT wacta.next_sales_time(NULL, '2025-08-31 12:00+05:30') AT TIME ZONE 'Asia/Kolkata' AS without_project;

-- One open call a person; it needs an outcome to be closed
SELECT wacta.schedule_follow_up(:meera, 'first') = wacta.schedule_follow_up(:meera, 'second') AS same;
SELECT wacta.close_follow_up(:meera, 'spoke'), wacta.close_follow_up(:meera, 'spoke') AS again;
SELECT wacta.schedule_follow_up(:meera, 'third', '2025-08-31 12:00+05:30') > 0 AS call;
SELECT reason, due_at AT TIME ZONE 'Asia/Kolkata' AS due, outcome FROM wacta.follow_up WHERE lead_id = :meera ORDER BY follow_up_id;
SELECT pg_temp.attempt('SELECT wacta.close_follow_up(pg_temp.lead(3), '''')'), pg_temp.attempt('SELECT wacta.close_follow_up(pg_temp.lead(3), NULL)'), pg_temp.attempt('SELECT wacta.schedule_follow_up(4711, ''x'')');

-- A yes counts on a site that has no sender (any more), too
UPDATE wacta.channel SET is_default = false;
SELECT wacta.upsert_lead('9876500005', 'Nadia', 'Green Acres') AS nadia \gset
SELECT * FROM wacta.record_click(wacta.mint_token(:nadia), 'interested');
SELECT status, consent, messages, calls FROM pg_temp.seen WHERE who = 'Nadia';
SELECT substr(note, 23) AS note FROM wacta.lead_note WHERE lead_id = :nadia ORDER BY note_id;
