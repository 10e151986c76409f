-- The inbox without its worker: what the worker calls, by hand.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
SELECT wacta.add_ivr_source('calls', 'smartflo') \g /dev/null
SELECT wacta.set_credential('calls', 'webhook_key', 'a-key-of-the-source-0123') \g /dev/null
CREATE FUNCTION pg_temp.body(call text) RETURNS bytea LANGUAGE sql AS $$ SELECT convert_to(jsonb_build_object('call_id', $1, 'caller_id_number', '+919876500001')::text, 'UTF8') $$;
CREATE FUNCTION pg_temp.store(call text) RETURNS bigint LANGUAGE sql AS $$ SELECT wacta.store_webhook('calls', 'ivr', pg_temp.body($1), '{}') $$;
CREATE VIEW pg_temp.rows AS
  SELECT convert_from(body, 'UTF8')::jsonb ->> 'call_id' AS call, applied_at - received_at AS applied, tries, due_at - wacta.now() AS due_in,
         set_aside_at IS NOT NULL AS aside, errors -> 0 ->> 'code' AS code
    FROM wacta.inbox ORDER BY inbox_id;

-- Both doors; nobody serves this database, so both apply
SELECT wacta.inbox_is_served();
SELECT wacta.receive_webhook('calls', 'ivr', pg_temp.body('one'), '{"X-Wacta-Key": "a-key-of-the-source-0123"}'),
       wacta.ingest_webhook('calls', 'ivr', pg_temp.body('two'), '{"X-Wacta-Key": "a-key-of-the-source-0123"}');
SELECT * FROM pg_temp.rows;

-- In a batch: the oldest first
SELECT pg_temp.store('three'), pg_temp.advance('1 second'), pg_temp.store('four') \g /dev/null
SELECT applied, alone, wait_ms, first_due = wacta.now() - interval '1 second' AS first_due FROM wacta.inbox_apply_due(1, '-infinity');
SELECT * FROM pg_temp.rows WHERE call IN ('three', 'four');
SELECT applied, alone, wait_ms FROM wacta.inbox_apply_due(100, '-infinity');
SELECT applied, alone, wait_ms FROM wacta.inbox_apply_due(100, '-infinity');
SELECT provider_call_id FROM wacta.ivr_call ORDER BY call_id;

-- What fails as a whole, but not by its own fault, comes again after as long as it has waited, up to a minute
CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'it fails' USING ERRCODE = current_setting('test.code'); END $$;
CREATE TRIGGER fail BEFORE INSERT ON wacta.ivr_call FOR EACH ROW WHEN (NEW.provider_call_id LIKE 'fail%') EXECUTE FUNCTION pg_temp.fail();
SET test.code = '40P01';
SELECT pg_temp.store('fail 1'), pg_temp.store('five') \g /dev/null
SELECT applied, alone, wait_ms FROM wacta.inbox_apply_due(100, '-infinity');
SELECT * FROM pg_temp.rows WHERE call IN ('fail 1', 'five');
SELECT pg_temp.advance('3 seconds') \g /dev/null
SELECT applied, alone, wait_ms FROM wacta.inbox_apply_due(100, '-infinity');
SELECT pg_temp.advance('3 hours') \g /dev/null
SELECT applied, alone, wait_ms FROM wacta.inbox_apply_due(100, '-infinity');
SELECT * FROM pg_temp.rows WHERE call = 'fail 1';
SELECT provider, pending, oldest_pending_age, waiting, set_aside FROM wacta.inbox_status;
SELECT alert, object, what FROM wacta.inbox_alerts();
SELECT code, wacta.is_passing(code) FROM unnest('{40001,40P01,53100,53200,55P03,57014,58030,22P02,23505,P0001,XX000,55000,42501}'::text[]) code;
-- Without a worker it comes again by the courier's reaping
SET test.code = '57014';
SELECT pg_temp.advance('1 minute') \g /dev/null
SELECT wacta.courier_reap();
SELECT * FROM pg_temp.rows WHERE call = 'fail 1';
DROP TRIGGER fail ON wacta.ivr_call;
SELECT pg_temp.store('never tried'), pg_temp.advance('1 minute') \g /dev/null
SELECT wacta.courier_reap();
SELECT * FROM pg_temp.rows WHERE call IN ('fail 1', 'never tried');
SELECT applied, alone, wait_ms FROM wacta.inbox_apply_due(100, '-infinity');

-- By itself: noted first. One that never ends is set aside after three tries, and the others come in between
SELECT pg_temp.store('never ends'), pg_temp.advance('1 second'), pg_temp.store('six') AS six \gset
SELECT wacta.inbox_take() = :store AS first;
SELECT wacta.inbox_take() = :six AS second;
SELECT wacta.inbox_apply(:six);
SELECT wacta.inbox_take();
SELECT * FROM pg_temp.rows WHERE call IN ('never ends', 'six');
SELECT pg_temp.advance('2 seconds') \g /dev/null
SELECT applied, alone, wait_ms FROM wacta.inbox_apply_due(100, '-infinity');
SELECT wacta.inbox_take() = :store AS again;
SELECT pg_temp.advance('4 seconds') \g /dev/null
SELECT wacta.inbox_take() = :store AS again;
SELECT pg_temp.advance('8 seconds') \g /dev/null
SELECT wacta.inbox_take() AS no_more;
SELECT * FROM pg_temp.rows WHERE call = 'never ends';
SELECT errors FROM wacta.inbox WHERE inbox_id = :store;
SELECT provider, kind, pending, waiting, set_aside FROM wacta.inbox_status;
SELECT severity, alert, object, what FROM wacta.inbox_alerts();
SELECT wacta.replay(:store);
SELECT * FROM pg_temp.rows WHERE call = 'never ends';
SELECT count(*) FROM wacta.inbox_alerts();

-- An error that the items do not hold is counted as a try, and said
ALTER FUNCTION wacta.inbox_items(wacta.inbox) RENAME TO inbox_items_away;
SELECT pg_temp.store('no items') AS id \gset
SELECT applied, alone, wait_ms FROM wacta.inbox_apply_due(100, '-infinity');
SELECT pg_temp.advance('2 seconds') \g /dev/null
SELECT applied, alone, wait_ms FROM wacta.inbox_apply_due(100, '-infinity');
SELECT wacta.inbox_take() = :id, wacta.inbox_apply(:id);
SELECT pg_temp.advance('1 minute') \g /dev/null
SELECT wacta.inbox_take() = :id, wacta.inbox_apply(:id);
SELECT pg_temp.advance('1 minute') \g /dev/null
SELECT wacta.inbox_take() AS no_more;
SELECT * FROM pg_temp.rows WHERE call = 'no items';
ALTER FUNCTION wacta.inbox_items_away(wacta.inbox) RENAME TO inbox_items;
SELECT wacta.replay(:id);

-- What proves nothing is counted for each hour, provider and reason
SELECT count(wacta.receive_webhook('calls', 'ivr', 'x', '{}')) AS kept, count(*) AS came FROM generate_series(1, 150);
SELECT count(wacta.receive_webhook(md5(n::text), 'ivr', 'x', '{"X-Wacta-Key": "wrong"}')) AS kept FROM generate_series(1, 150) n;
SELECT pg_temp.advance('1 hour') \g /dev/null
SELECT wacta.receive_webhook('calls', 'ivr', 'x', '{}') IS NOT NULL AS kept;
SELECT hour, provider, reason, refused FROM wacta.refused_webhook ORDER BY 1, 2, 3;
SELECT provider, kind, refused_this_hour, refused_last_hour FROM wacta.inbox_status ORDER BY 1;
SELECT count(*) FROM wacta.inbox WHERE NOT proved AND due_at IS NOT NULL;

-- Retention: what is still to be applied, waits or was set aside is kept
SELECT pg_temp.store('pending') AS pending, pg_temp.store('waiting') AS waiting, pg_temp.store('aside') AS aside \gset
UPDATE wacta.inbox SET applied_at = wacta.now(), waiting = 1 WHERE inbox_id = :waiting;
UPDATE wacta.inbox SET set_aside_at = wacta.now() WHERE inbox_id = :aside;
SELECT pg_temp.advance('89 days') \g /dev/null
SELECT wacta.inbox_tend();
SELECT proved, count(*) FROM wacta.inbox GROUP BY 1 ORDER BY 1;
SELECT (SELECT count(*) FROM wacta.webhook_refusal) AS counts;
UPDATE wacta.config SET inbox_retention = NULL;
SELECT pg_temp.advance('10 years') \g /dev/null
SELECT wacta.inbox_tend();
SELECT count(*) FROM wacta.inbox WHERE proved;
UPDATE wacta.config SET inbox_retention = DEFAULT;
INSERT INTO wacta.inbox (provider, kind, body, proved, received_at, applied_at) SELECT 'calls', 'ivr', '', true, '2025-01-01', '2025-01-01' FROM generate_series(1, 200);
SELECT wacta.inbox_tend() FROM generate_series(1, 4);
SELECT call FROM pg_temp.rows;
-- A week of waiting is enough
UPDATE wacta.inbox SET replays = 10 WHERE inbox_id = :waiting;
SELECT wacta.inbox_tend();
SELECT call FROM pg_temp.rows;

-- Only the worker's role may do its work, and only that
SET ROLE wacta_courier;
SELECT applied FROM wacta.inbox_apply_due(100, '-infinity');
SELECT wacta.inbox_take() IS NULL AS none, wacta.inbox_tend();
SELECT count(*) FROM wacta.inbox;
SELECT wacta.apply_inbox(1);
SELECT wacta.replay(1);
RESET ROLE;
