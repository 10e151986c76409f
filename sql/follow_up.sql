-- Calls to make: who makes them, what comes of them, and when they are made again.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SELECT count(wacta.add_staff(u, 'a long password')) AS staff FROM unnest('{anu,bina,chand}'::text[]) u;

-- Nobody answers: again after three hours, in the sales hours, five times at most
SELECT wacta.upsert_lead('9876500001', 'Asha', 'Green Acres') > 0 AS lead;
SELECT pg_temp.attempt('SELECT wacta.record_call(pg_temp.lead(1), ''no_answer'')');
SELECT wacta.schedule_follow_up(pg_temp.lead(1), 'Interested via WhatsApp') > 0 AS scheduled;
SELECT pg_temp.attempt(what) FROM unnest(ARRAY['SELECT wacta.record_call(pg_temp.lead(1), ''coffee'')', 'SELECT wacta.record_call(pg_temp.lead(1), NULL)',
  'SELECT wacta.record_call(pg_temp.lead(1), ''done'', ''2025-08-27 12:00+05:30'')', 'SELECT wacta.record_call(pg_temp.lead(1), ''call_back'', ''2025-08-26 10:00+05:30'')',
  'SELECT wacta.record_call(0, ''done'')']) what;
SELECT wacta.record_call(pg_temp.lead(1), 'no_answer');
SELECT due_at, attempts, last_tried_at, result, outcome FROM wacta.follow_up;
SELECT pg_temp.advance('7 hours') AS evening;
SELECT wacta.record_call(pg_temp.lead(1), 'no_answer', note => 'rang out') AS next_morning;
SELECT wacta.record_call(pg_temp.lead(1), 'busy') AS third, wacta.record_call(pg_temp.lead(1), 'no_answer') AS fourth, wacta.record_call(pg_temp.lead(1), 'no_answer') AS fifth;
SELECT attempts, result, outcome, closed_at IS NOT NULL AS closed FROM wacta.follow_up;
SELECT note FROM wacta.lead_note WHERE lead_id = pg_temp.lead(1) ORDER BY note_id;
-- what closes by words goes on working
SELECT wacta.schedule_follow_up(pg_temp.lead(1), 'again') > 0, wacta.close_follow_up(pg_temp.lead(1), 'met her at the site') AS closed;

-- They ask to be called on Sunday: on Monday
SELECT wacta.schedule_follow_up(pg_temp.lead(1), 'once more') > 0, wacta.record_call(pg_temp.lead(1), 'call_back', '2025-08-31 16:00+05:30') AS monday;
-- what they say is what a tap says
SELECT wacta.record_call(pg_temp.lead(1), 'not_interested', note => 'has bought elsewhere');
SELECT status, stage, consent FROM wacta.lead WHERE lead_id = pg_temp.lead(1);
SELECT event, kind, reason, evidence - 'by' AS evidence FROM wacta.consent_event WHERE lead_id = pg_temp.lead(1);
SELECT action, via, effective FROM wacta.click WHERE lead_id = pg_temp.lead(1);
SELECT wacta.schedule_follow_up(wacta.upsert_lead('9876500002', 'Ravi', 'Green Acres'), 'x') > 0, wacta.record_call(pg_temp.lead(2), 'interested');
SELECT l.status, l.consent, m.purpose, m.status AS message, f.reason, f.closed_at IS NULL AS open FROM wacta.lead l JOIN wacta.message m USING (lead_id) JOIN wacta.follow_up f USING (lead_id)
 WHERE l.lead_id = pg_temp.lead(2) ORDER BY follow_up_id;
SELECT wacta.record_call(pg_temp.lead(2), 'won') AS next, l.stage FROM wacta.lead l WHERE l.lead_id = pg_temp.lead(2);
SELECT stage, status, consent FROM wacta.lead WHERE lead_id = pg_temp.lead(2);
-- a wrong number is somebody else's: nothing more is sent to it
SELECT wacta.schedule_follow_up(wacta.upsert_lead('9876500003', 'Meera', 'Green Acres'), 'x') > 0, wacta.record_call(pg_temp.lead(3), 'wrong_number');
SELECT status, stage, consent FROM wacta.lead WHERE lead_id = pg_temp.lead(3);
-- a result of the site's own
SET ROLE wacta_admin;
INSERT INTO wacta.follow_up_result VALUES ('site_visit', 'They will come and see it.', '2 days', 3, NULL, 'Visit');
RESET ROLE;
SELECT wacta.schedule_follow_up(wacta.upsert_lead('9876500004', 'Dev', 'Green Acres'), 'x') > 0, wacta.record_call(pg_temp.lead(4), 'site_visit');
SELECT stage FROM wacta.lead WHERE lead_id = pg_temp.lead(4);

-- Assignment. Without a rule nobody gets anything
SELECT count(*) AS owned FROM wacta.lead WHERE owner IS NOT NULL;
SELECT count(*) FROM wacta.unassigned_lead;
SET ROLE wacta_admin;
SELECT pg_temp.attempt(what) FROM unnest(ARRAY['SELECT wacta.set_assignment(''{anu,nobody}'')', 'SELECT wacta.set_assignment(''{anu}'', ''No Project'')', 'SELECT wacta.set_assignment(''{anu}'', method => ''dice'')']) what;
SELECT wacta.set_assignment('{anu,bina,chand}') > 0 AS rule;
RESET ROLE;
SELECT count(wacta.upsert_lead('98765' || n)) FROM generate_series(10000, 10089) n;
SELECT owner, count(*) FROM wacta.lead GROUP BY 1 ORDER BY 1;
-- who came with an owner keeps them; who is away or may not sign in gets none
SELECT wacta.set_away('anu');
UPDATE wacta.staff SET disabled_at = wacta.now() WHERE username = 'bina';
SELECT count(wacta.upsert_lead('98765' || n)) FROM generate_series(20000, 20009) n;
SELECT owner, count(*) FROM wacta.lead WHERE lead_id >= wacta.lead_by_phone('9876520000') GROUP BY 1 ORDER BY 1;
-- the leads of who left are listed, beside those that never had an owner
SELECT former_owner, count(*) FROM wacta.unassigned_lead GROUP BY 1 ORDER BY 1;
SELECT wacta.set_away('chand');
SELECT wacta.upsert_lead('9876530000', 'Nobody''s') > 0;
SELECT name, owner FROM wacta.lead WHERE lead_id = wacta.lead_by_phone('9876530000');
SELECT wacta.assign_leads() AS nobody_there, wacta.set_away('anu', false), wacta.set_away('chand', false);
SELECT wacta.assign_leads() AS shared_out, count(*) AS before FROM wacta.unassigned_lead;
SELECT owner, count(*) FROM wacta.lead GROUP BY 1 ORDER BY 1;
-- a project's own rule, by load, at the moment of interest; open calls go with the lead
UPDATE wacta.staff SET disabled_at = NULL;
SELECT wacta.set_assignment('{}') IS NULL AS ended, wacta.set_assignment('{anu,bina}', 'Green Acres', 'load', 'interested') > 0 AS rule;
SELECT count(wacta.schedule_follow_up(wacta.upsert_lead('98765' || n, owner => 'anu'), 'x')) FROM generate_series(40000, 40002) n;
SELECT wacta.upsert_lead('9876500005', 'Esha', 'Green Acres') > 0;
SELECT owner FROM wacta.lead WHERE lead_id = pg_temp.lead(5);
SELECT decision FROM wacta.record_click(wacta.mint_token(pg_temp.lead(5)), 'interested', pg_temp.lead(5));
SELECT l.owner, f.assignee FROM wacta.lead l JOIN wacta.follow_up f USING (lead_id) WHERE l.lead_id = pg_temp.lead(5);
SELECT wacta.assign_lead(pg_temp.lead(5), 'chand'), pg_temp.attempt('SELECT wacta.assign_lead(pg_temp.lead(5), ''nobody'')');
SELECT l.owner, f.assignee FROM wacta.lead l JOIN wacta.follow_up f USING (lead_id) WHERE l.lead_id = pg_temp.lead(5);
