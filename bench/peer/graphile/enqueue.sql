-- The same number of messages as jobs.  Variables: count, sample (the body of a message of wacta).
-- What each job carries and the row for its result are as long as wacta's.
CREATE TABLE IF NOT EXISTS outbox (
  message_id bigint PRIMARY KEY, lead_id bigint NOT NULL, status text NOT NULL DEFAULT 'queued', enqueued_at timestamptz NOT NULL DEFAULT now(),
  wamid text, http_status integer, elapsed_ms integer, accepted_at timestamptz) WITH (fillfactor = 70);
WITH m AS (INSERT INTO outbox (message_id, lead_id) SELECT n, n FROM generate_series(1, :count) s,
             LATERAL (SELECT s + coalesce((SELECT max(message_id) FROM outbox), 0) AS n) k RETURNING message_id)
SELECT count(*) FROM (
  SELECT graphile_worker.add_job('send', json_build_object('message_id', message_id,
           'body', regexp_replace(:'sample', 'wacta:outbox:[0-9]+', 'wacta:outbox:' || message_id))) FROM m) jobs;
