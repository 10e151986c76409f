-- What the dashboard shows beside the figures: numbers, calls, follow-ups, and who looks at it.  After figures.sql.  Variables: messages, secret.
INSERT INTO wacta.lead_identity (lead_id, kind, value) SELECT l.lead_id, 'phone', '+' || 919800000000 + l.lead_id FROM wacta.lead l;
INSERT INTO wacta.ivr_call (source, provider_call_id, lead_id, caller, processed_at, outcome)
SELECT 'manual', n::text, n, '+' || 919800000000 + n, CASE WHEN n % 10 > 0 THEN now() END, CASE WHEN n % 10 > 0 THEN 'queued' END FROM generate_series(1, :messages / 10) n;
INSERT INTO wacta.follow_up (lead_id, due_at, reason, closed_at, outcome)
SELECT n, now() + interval '1 minute' * (n % 1000 - 500), 'Interested via WhatsApp', CASE WHEN n % 20 > 0 THEN now() END, CASE WHEN n % 20 > 0 THEN 'done' END
  FROM generate_series(1, :messages / 10) n;
SELECT wacta.set_session_secret(:'secret'), wacta.add_staff('asha', 'correct horse battery', 'Asha Rao');
VACUUM ANALYZE;
CHECKPOINT;
