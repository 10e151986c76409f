-- Consent: append-only events, and what follows from them for everything that could be sent.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SELECT wacta.upsert_lead('9876500001', 'Asha Rao', 'Green Acres') AS asha, wacta.upsert_lead('9876500002', 'Vikram', 'Green Acres') AS vikram,
       wacta.upsert_lead('9876500003', 'Meera', 'Green Acres') AS meera, wacta.upsert_lead('who knows', 'No Number', 'Green Acres') AS nobody \gset

-- Withdrawn: what is queued is suppressed, what was sent stays as it is, calls are closed
SELECT wacta.send_interactive(:asha) AS first, wacta.send_interactive(:asha) AS second, wacta.send_brochure(:asha) AS brochure, wacta.schedule_follow_up(:asha, 'test') > 0 AS call \gset
UPDATE wacta.message SET status = 'delivered' WHERE message_id = :second;
SELECT wacta.opt_out(:asha, 'called and asked for it');
SELECT pg_temp.nr(message_id), purpose, status, reason FROM wacta.message ORDER BY 1;
SELECT outcome, closed_at FROM wacta.follow_up;
SELECT pg_temp.who(lead_id) AS who, event, reason, evidence - 'by' AS evidence, evidence ->> 'by' = session_user AS by, happened_at, recorded_by = session_user AS by_me FROM wacta.consent_event;
SELECT pg_temp.who(lead_id) AS who, kind, value, since, reason FROM wacta.suppression;
SELECT note FROM wacta.lead_note;
-- once is enough
SELECT wacta.opt_out(:asha), count(*) FROM wacta.consent_event;

-- From now on nothing goes into the queue for them; the history says why
SELECT wacta.send_interactive(:asha) > :brochure AS pitch, wacta.send_brochure(:asha) > :brochure AS brochure;
SELECT pg_temp.who(lead_id) AS who, pg_temp.nr(message_id), outcome FROM wacta.send_campaign('project_update_template', 'Green Acres');
SELECT status, reason, count(*) FROM wacta.message GROUP BY 1, 2 ORDER BY 1, 2;
SELECT * FROM wacta.explain_send(:asha);
-- not even what stands in the queue by some accident is claimed
UPDATE wacta.message SET status = 'queued', reason = NULL WHERE lead_id = :asha AND status = 'suppressed';
SELECT pg_temp.who(lead_id) AS who, pg_temp.nr(message_id) FROM wacta.courier_claim(0, 100) ORDER BY 2;
SELECT pg_temp.who(lead_id) AS who, status, reason, count(*) FROM wacta.message GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT count(*) AS attempts_for_asha FROM wacta.attempt WHERE lead_id = :asha;

-- Consent comes back with evidence only; every word of it is kept
SELECT pg_temp.attempt('SELECT wacta.opt_in(pg_temp.lead(1), NULL)'), pg_temp.attempt('SELECT wacta.opt_in(pg_temp.lead(1), ''  '')'), pg_temp.attempt('SELECT wacta.opt_in(pg_temp.lead(1), ''{}'')');
SELECT wacta.opt_in(:asha, '{"form": "website", "ip": "192.0.2.1"}'), wacta.opt_in(:asha, 'again') AS again;
SELECT event, reason, evidence - 'by' AS evidence FROM wacta.consent_event WHERE lead_id = :asha ORDER BY event_id;
SELECT count(*) FROM wacta.suppression;
SELECT * FROM wacta.explain_send(:asha) WHERE gate = 'consent';
SELECT wacta.send_interactive(:asha) AS message \gset
SELECT status FROM wacta.message WHERE message_id = :message;

-- The ledger takes no change, whoever asks
SELECT pg_temp.attempt('UPDATE wacta.consent_event SET reason = ''x'''), pg_temp.attempt('DELETE FROM wacta.consent_event'),
       pg_temp.attempt('TRUNCATE wacta.consent_event');

-- With require_opt_in, who never said anything gets nothing either
UPDATE wacta.config SET require_opt_in = true;
SELECT wacta.opt_in(:vikram, 'signed the form');
SELECT pg_temp.who(lead_id) AS who, outcome FROM wacta.send_campaign('project_update_template', leads => ARRAY[:asha, :vikram, :meera, :nobody]);
-- and a message that was queued before the rule is not claimed after it
UPDATE wacta.config SET require_opt_in = false;
SELECT wacta.send_interactive(:meera) AS message \gset
UPDATE wacta.config SET require_opt_in = true;
SELECT count(*) FROM wacta.courier_claim(0, 100) WHERE lead_id = :meera;
SELECT status, reason FROM wacta.message WHERE message_id = :message;

-- Nobody
SELECT pg_temp.attempt('SELECT wacta.opt_out(4711)'), pg_temp.attempt('SELECT wacta.opt_in(4711, ''x'')'), pg_temp.attempt('SELECT wacta.opt_out(NULL)');
