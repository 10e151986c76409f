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
-- said again it is recorded again: a yes from in between, which may still be on its way, must not count
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

-- The ledger takes no change, whoever asks, not even with triggers off for a replica
SELECT pg_temp.attempt('UPDATE wacta.consent_event SET reason = ''x'''), pg_temp.attempt('DELETE FROM wacta.consent_event'),
       pg_temp.attempt('TRUNCATE wacta.consent_event');
SET session_replication_role = replica;
SELECT pg_temp.attempt('UPDATE wacta.consent_event SET reason = ''x'''), pg_temp.attempt('DELETE FROM wacta.consent_event'),
       pg_temp.attempt('TRUNCATE wacta.consent_event');
RESET session_replication_role;

-- When it was said decides, not when we learnt of it: in whatever order these words come, and however often, they end in the same
CREATE TEMPORARY TABLE word (n int, event text, said_at timestamptz);
INSERT INTO word VALUES (1, 'withdrawn', '2025-08-01 10:00+00'), (2, 'granted', '2025-08-01 10:05+00'), (3, 'withdrawn', '2025-08-01 10:10+00'),
  (4, 'granted', '2025-08-01 10:10+00');                 -- of the same second the withdrawal counts
CREATE FUNCTION pg_temp.say(lead bigint, nth int) RETURNS boolean LANGUAGE sql AS
$$ SELECT wacta.record_consent(lead, w.event, 'word', jsonb_build_object('said', w.event, 'wamid', w.n), w.said_at) FROM word w WHERE w.n = nth $$;
-- every order of the four, and then one of them again
CREATE TEMPORARY TABLE said AS
  WITH RECURSIVE orders(o) AS (SELECT ARRAY[]::int[] UNION ALL SELECT o || w.n FROM orders, word w WHERE cardinality(o) = 4 OR (cardinality(o) < 4 AND w.n <> ALL (o)))
  SELECT o, wacta.upsert_lead('97000' || lpad((row_number() OVER (ORDER BY o))::text, 5, '0')) AS lead_id FROM orders WHERE cardinality(o) = 5;
SELECT count(*) AS orders, sum(cardinality(ARRAY(SELECT pg_temp.say(lead_id, x.n) FROM unnest(o) WITH ORDINALITY x(n, i) ORDER BY i))) AS words FROM said;
SELECT l.consent, e.event AS stands, e.happened_at, count(*)
  FROM said JOIN wacta.lead l USING (lead_id)
 CROSS JOIN LATERAL (SELECT * FROM wacta.consent_event e WHERE e.lead_id = l.lead_id AND e.effective ORDER BY e.event_id DESC LIMIT 1) e GROUP BY 1, 2, 3;
SELECT DISTINCT count(*) AS events_each FROM wacta.consent_event JOIN said USING (lead_id) GROUP BY lead_id;
SELECT count(*) AS disagree FROM wacta.consent_mismatch;

-- A withdrawal counts also when it comes late, unless they have said yes since by the same clock; a provider whose clock is ahead does not bind the future
SELECT wacta.upsert_lead('9876500011', 'Lata') AS lata \gset
SELECT wacta.record_consent(:lata, 'granted', 'opt_in', '{"form": "paper", "notice": "2025-06", "channel": "office"}', wacta.now() - interval '1 hour') AS agreed;
SELECT wacta.send_interactive(:lata) AS pitch \gset
SELECT wacta.withdraw(:lata, 'word', '{"said": "stop"}', wacta.now() - interval '2 hours') AS changed;
SELECT status, reason FROM wacta.message WHERE message_id = :pitch;
SELECT wacta.withdraw(:lata, 'word', '{"said": "stop", "again": true}', wacta.now() + interval '2 hours') AS changed;
SELECT status, reason FROM wacta.message WHERE message_id = :pitch;
SELECT event, kind, evidence, effective, recorded_at - happened_at AS late FROM wacta.consent_event WHERE lead_id = :lata ORDER BY event_id;
-- a call is no explicit yes: it brings nothing back; who said nothing before agrees by it
SELECT wacta.record_consent(:lata, 'granted', 'call', '{}') AS lifted, wacta.record_consent(wacta.upsert_lead('9876500012'), 'granted', 'call', '{}') AS agreed;
SELECT wacta.opt_in(:lata, 'rang us up and asked for the brochure') AS lifted;

-- Of which kind the evidence is
SELECT reason, evidence, wacta.evidence_kind(reason, evidence) AS kind FROM (VALUES ('call', '{}'::jsonb), ('interested', '{"via": "link"}'), ('interested', '{"via": "button"}'),
  ('not_interested', '{"via": "word"}'), ('stopped at WhatsApp', '{"code": 131050, "message": 1}'), ('stopped at WhatsApp', '{"category": "marketing_messages", "value": "stop"}'),
  ('opt_in', '{"said": "START", "wamid": "wamid.1"}'), ('opt_in', '{"statement": "signed", "by": "ravi"}'), ('moved here', '{"kind": "import"}'), ('x', '{"kind": "rumour"}')) v(reason, evidence);

-- Lists in: a row a number, in any form; who is nobody's yet begins suppressed; the same list again changes nothing
SELECT wacta.upsert_lead('9876500021', 'Uma', 'Green Acres') AS uma, wacta.upsert_lead('9876500022', 'Anil') AS anil \gset
SELECT wacta.send_interactive(:uma) AS pitch \gset
SELECT number, outcome, pg_temp.who(lead_id) AS who FROM wacta.import_suppression('{"098765 00021",+919876500023,9876500023,+91-98765-00024,nonsense,IN.4711,"",NULL}', 'list of the regulator');
SELECT number, outcome, pg_temp.who(lead_id) AS who FROM wacta.import_suppression('{"098765 00021",+919876500023,9876500023,+91-98765-00024,nonsense,IN.4711,"",NULL}', 'list of the regulator');
SELECT status, reason FROM wacta.message WHERE message_id = :pitch;
SELECT count(*) AS digests, count(*) FILTER (WHERE s::text ~ '98765' OR s.digest = sha256('919876500023')) AS that_tell FROM wacta.suppressed_identity s;
SELECT wacta.log_ivr_call('9876500023') > 0 AS called, wacta.upsert_lead('9876500024') > 0 AS entered, wacta.upsert_lead('9876500025') > 0 AS not_listed;
SELECT i.value, l.consent, e.kind, e.reason, e.happened_at FROM wacta.lead l JOIN wacta.lead_identity i USING (lead_id) LEFT JOIN wacta.consent_event e USING (lead_id)
 WHERE i.value IN ('+919876500023', '+919876500024', '+919876500025') ORDER BY 1;
SELECT count(*) AS digests FROM wacta.suppressed_identity;
SELECT wacta.opt_in(pg_temp.lead(23), 'asked for it on the phone') AS explicit_yes;
SELECT outcome FROM wacta.import_suppression('{9876500023}');
SELECT outcome FROM wacta.import_suppression(NULL);
-- all of it or nothing
SELECT pg_temp.attempt($$SELECT 1 / (outcome <> 'new')::int FROM wacta.import_suppression('{9876500022,9876500026}')$$);
SELECT consent FROM wacta.lead WHERE lead_id = :anil;
SELECT count(*) AS digests FROM wacta.suppressed_identity;

-- and out: in clear, or hashed as advertising platforms take it
SELECT * FROM wacta.export_suppression() WHERE value LIKE '+9198765%';
SELECT kind FROM wacta.export_suppression(true) WHERE value = encode(sha256('919876500021'), 'hex');
SELECT count(*) AS disagree FROM wacta.consent_mismatch;

-- The key under which numbers are known again stays
SELECT pg_temp.attempt('SELECT wacta.retire_signing_key(' || key_id || ')') FROM wacta.signing_key WHERE purpose = 'person';

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
