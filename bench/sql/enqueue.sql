-- Queues :count messages, all in one transaction, from the default channel.
SELECT count(wacta.send_interactive(wacta.upsert_lead('+' || 919800000000 + nextval('person'), 'Asha Rao', 'Palm Residency')))
  FROM generate_series(1, :count);
