-- Messages that were taken by the provider, and webhooks that tell of them. Variables: messages (how many are stored).
SELECT wacta.set_credential('sender 1', 'app_secret', 'bench-app-secret-0123456789');

-- As the courier leaves them behind; without triggers, for ten millions are many.
CREATE FUNCTION wamid(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'wamid.HBgMOTE5ODAwMDAwMDAwFQIAERgS' || upper(md5($1::text)) $$;
SET session_replication_role = replica;
INSERT INTO wacta.lead (lead_id, name, status, stage) SELECT n, 'Asha Rao', 'Contacted', 'Contacted' FROM generate_series(1, :messages) n;
INSERT INTO wacta.message (lead_id, message_id, purpose, channel_id, template_id, project_id, status, enqueued_at, due_at, expires_at, attempts, claimed_by, wamid, accepted_at)
SELECT n, 1000000000 + n, 'pitch', 1, 1, 1, 'accepted', at, at, at + interval '3 days', 1, 0, wamid(n), at
  FROM generate_series(1, :messages) n, LATERAL (SELECT now() - interval '1 day' + n * interval '1 ms' AS at) t;
INSERT INTO wacta.attempt (lead_id, message_id, attempt, courier, claimed_at, started_at, ended_at, outcome, http_status, elapsed_ms, provider_id)
SELECT n, 1000000000 + n, 1, 0, at, at, at, 'answered', 200, 100, wamid(n)
  FROM generate_series(1, :messages) n, LATERAL (SELECT now() - interval '1 day' + n * interval '1 ms' AS at) t;
RESET session_replication_role;
VACUUM ANALYZE;

-- What Meta sends of one message. The newest messages are told of, as in life.
CREATE FUNCTION status_of(n bigint) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('id', wamid($1), 'status', 'delivered', 'timestamp', '1795370400', 'recipient_id', (919800000000 + $1)::text,
    'biz_opaque_callback_data', 'wacta:outbox:' || 1000000000 + $1,
    'conversation', jsonb_build_object('id', md5($1::text), 'expiration_timestamp', '1795456800', 'origin', jsonb_build_object('type', 'marketing')),
    'pricing', jsonb_build_object('billable', true, 'pricing_model', 'PMP', 'type', 'regular', 'category', 'marketing'))
$$;
CREATE FUNCTION body_of(first bigint, items integer) RETURNS bytea LANGUAGE sql AS $$
  SELECT convert_to(jsonb_build_object('object', 'whatsapp_business_account', 'entry', jsonb_build_array(jsonb_build_object('id', '102290129340398',
    'changes', jsonb_build_array(jsonb_build_object('field', 'messages', 'value', jsonb_build_object('messaging_product', 'whatsapp',
      'metadata', jsonb_build_object('display_phone_number', '15550783881', 'phone_number_id', '106540352242922'),
      'statuses', (SELECT jsonb_agg(status_of(n)) FROM generate_series(first, first + items - 1) n)))))))::text, 'UTF8')
$$;
CREATE TABLE webhook (n integer PRIMARY KEY, body bytea, headers jsonb, ids bigint[], pricing jsonb[]);
ALTER TABLE webhook ALTER body SET STORAGE EXTERNAL;       -- as it comes from a client, not compressed
CREATE SEQUENCE told INCREMENT -1 MINVALUE 0 MAXVALUE 100000000 START :messages;

-- so many webhooks of so many statuses each, of messages that none has told of yet
CREATE PROCEDURE prepare(webhooks integer, items integer) LANGUAGE plpgsql AS $$
DECLARE
  first bigint;
BEGIN
  TRUNCATE webhook;
  FOR w IN 1 .. webhooks LOOP
    first := setval('told', nextval('told') - items) + 1;
    INSERT INTO webhook (n, body, headers, ids, pricing)
    SELECT w, b, jsonb_build_object('X-Hub-Signature-256', 'sha256=' || encode(wacta.hmac_sha256(b, 'bench-app-secret-0123456789'), 'hex')),
           ARRAY(SELECT 1000000000 + n FROM generate_series(first, first + items - 1) n ORDER BY n),
           ARRAY(SELECT status_of(n) -> 'pricing' FROM generate_series(first, first + items - 1) n)
      FROM body_of(first, items) b;
  END LOOP;
  COMMIT;
END
$$;

-- Both commit after each webhook.
CREATE PROCEDURE ingest() LANGUAGE plpgsql AS $$
DECLARE
  w record;
BEGIN
  FOR i IN 1 .. (SELECT max(n) FROM webhook) LOOP
    SELECT body, headers INTO w FROM webhook WHERE n = i;
    PERFORM wacta.ingest_webhook('meta', 'whatsapp', w.body, w.headers);
    COMMIT;
  END LOOP;
END
$$;
CREATE PROCEDURE update_by_hand() LANGUAGE plpgsql AS $$
DECLARE
  w record;
BEGIN
  FOR i IN 1 .. (SELECT max(n) FROM webhook) LOOP
    SELECT ids, pricing INTO w FROM webhook WHERE n = i;
    UPDATE wacta.message m SET status = 'delivered', delivered_at = to_timestamp(1795370400), pricing = u.pricing
      FROM unnest(w.ids, w.pricing) u(id, pricing) WHERE m.message_id = u.id;
    COMMIT;
  END LOOP;
END
$$;

CREATE FUNCTION left_out() RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM webhook w, unnest(w.ids) id WHERE NOT EXISTS (SELECT FROM wacta.message m WHERE m.message_id = id AND m.status = 'delivered')
$$;
