-- What operators look at: the state of each sender, and one row for each thing to act on, which goes when that is done.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SET timezone = 'UTC';
SET wacta.fixed_now = '2025-08-26 06:00:00+00';
UPDATE wacta.config SET message_ttl = '30 days';
UPDATE wacta.fence SET last_seen_at = wacta.now();

CREATE VIEW pg_temp.alerts AS SELECT severity, alert, object, wacta.now() - since AS for_so_long, what FROM wacta.alert;
CREATE FUNCTION pg_temp.claimed() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM wacta.courier_claim(0, 1000) WHERE message_id IS NOT NULL $$;
CREATE FUNCTION pg_temp.answer(outcome text, status integer, body text) RETURNS bigint LANGUAGE sql AS $$
  SELECT count(s.*) FROM (SELECT array_agg(lead_id) l, array_agg(message_id) m, array_agg(attempts) a, count(*)::int n FROM wacta.message WHERE status = 'sending') x,
    LATERAL wacta.courier_settle(l, m, a, array_fill(outcome, ARRAY[n]), array_fill(status, ARRAY[n]), array_fill(NULL::int, ARRAY[n]),
      array_fill(convert_to(body, 'UTF8'), ARRAY[n]), array_fill(NULL::text, ARRAY[n]), array_fill(5, ARRAY[n])) s
$$;
SELECT wacta.upsert_lead('98765' || lpad(n::text, 5, '0'), 'P' || n, 'Green Acres') FROM generate_series(1, 5) n \g /dev/null

-- In this cluster no database is listed
SELECT * FROM pg_temp.alerts;
-- what has to be done is said with each
SELECT alert, what_to_do FROM wacta.alert;
CREATE OR REPLACE VIEW pg_temp.alerts AS SELECT severity, alert, object, wacta.now() - since AS for_so_long, what FROM wacta.alert WHERE alert <> 'no_courier';
SELECT * FROM pg_temp.alerts;

-- Nothing queued, then something
SELECT channel, state, queued, queued_is_more, oldest_due_at, in_doubt, max_rate, rate_now, spent_today, daily_budget, portfolio, people_per_day FROM wacta.outbox_status;
SELECT count(wacta.send_interactive(pg_temp.lead(n))) FROM generate_series(1, 3) n;
SELECT wacta.send_brochure(pg_temp.lead(1)) > 0 AS brochure;
SELECT pg_temp.advance('5 minutes') \g /dev/null
SELECT queued, queued_is_more, oldest_due_age FROM wacta.outbox_status;
SELECT template, wacta.now() - first_due_at AS waits, held_because FROM wacta.lanes() ORDER BY 1;
-- without couriers it is their alert alone
SELECT pg_temp.advance('1 hour') \g /dev/null
SELECT * FROM pg_temp.alerts;

-- A paused sender: only when that has kept somebody waiting
SELECT wacta.pause_channel('main', 'moving offices');
SELECT state, reason, oldest_due_age FROM wacta.outbox_status;
SELECT * FROM pg_temp.alerts;
UPDATE wacta.channel SET paused_until = wacta.now();
SELECT state FROM wacta.outbox_status;
SELECT * FROM pg_temp.alerts;
SELECT wacta.resume_channel('main');

-- A stopped one at once
SELECT pg_temp.claimed();
SELECT pg_temp.answer('answered', 401, '{"error": {"code": 190, "message": "the access token has expired"}}');
SELECT * FROM pg_temp.alerts;
SELECT wacta.resume_channel('main');
SELECT * FROM pg_temp.alerts;

-- A template that is held, or in review while messages wait for it
UPDATE wacta.template SET held_reason = 'its variables do not match (code 132000)' WHERE name = 'project_update_template';
UPDATE wacta.template SET status = 'PENDING' WHERE name = 'project_brochure';
SELECT * FROM pg_temp.alerts ORDER BY object;
SELECT held_templates, oldest_due_at FROM wacta.outbox_status;
UPDATE wacta.message SET status = 'cancelled', reason = 'test' WHERE purpose = 'brochure';
SELECT * FROM pg_temp.alerts;
UPDATE wacta.template SET held_reason = NULL, status = 'APPROVED';
SELECT * FROM pg_temp.alerts;

-- In doubt for longer than an hour
SELECT pg_temp.claimed();
SELECT pg_temp.answer('unknown', NULL, NULL);
SELECT pg_temp.advance('59 minutes') \g /dev/null
SELECT in_doubt, wacta.now() - oldest_in_doubt_at AS oldest FROM wacta.outbox_status;
SELECT * FROM pg_temp.alerts;
SELECT pg_temp.advance('2 minutes') \g /dev/null
SELECT * FROM pg_temp.alerts;
SELECT wacta.settle(message_id, 'accepted', 'seen in the panel') FROM wacta.message_in_doubt;
SELECT in_doubt FROM wacta.outbox_status;
SELECT * FROM pg_temp.alerts;

-- People a day: only while messages wait for it
INSERT INTO wacta.portfolio (name, people_per_day) VALUES ('ours', 2);
UPDATE wacta.channel SET portfolio_id = 1;
SELECT count(wacta.send_interactive(pg_temp.lead(n))) FROM generate_series(1, 2) n;
SELECT pg_temp.claimed(), pg_temp.answer('answered', 200, '{"messages": [{"id": "wamid.1"}]}');
SELECT portfolio, people_in_24_hours, people_per_day FROM wacta.outbox_status;
SELECT * FROM pg_temp.alerts;
SELECT wacta.send_interactive(pg_temp.lead(3)) > 0;
SELECT pg_temp.claimed();
SELECT * FROM pg_temp.alerts;
SELECT pg_temp.advance('24 hours') \g /dev/null
SELECT people_in_24_hours, (SELECT people FROM wacta.portfolio) AS not_taken_off_yet FROM wacta.outbox_status;
SELECT * FROM pg_temp.alerts;
UPDATE wacta.channel SET portfolio_id = NULL;
SELECT pg_temp.claimed(), pg_temp.answer('answered', 200, '{"messages": [{"id": "wamid.2"}]}');

-- Money a day
INSERT INTO wacta.price VALUES ('', 'MARKETING', 0.75);
UPDATE wacta.channel SET daily_budget = 2;
SELECT count(wacta.send_interactive(pg_temp.lead(n))) FROM generate_series(1, 2) n;
SELECT pg_temp.claimed(), pg_temp.answer('answered', 200, '{"messages": [{"id": "wamid.3"}]}');
SELECT spent_today, daily_budget FROM wacta.outbox_status;
SELECT * FROM pg_temp.alerts;
SELECT count(wacta.send_interactive(pg_temp.lead(n))) FROM generate_series(3, 4) n;
SELECT pg_temp.claimed();
SELECT * FROM pg_temp.alerts;
UPDATE wacta.channel SET daily_budget = 20;
SELECT * FROM pg_temp.alerts;
UPDATE wacta.channel SET daily_budget = 2;
SELECT pg_temp.advance('1 day') \g /dev/null
SELECT spent_today FROM wacta.outbox_status;
SELECT * FROM pg_temp.alerts;
SELECT pg_temp.claimed(), pg_temp.answer('answered', 200, '{"messages": [{"id": "wamid.4"}]}');
UPDATE wacta.channel SET daily_budget = NULL;

-- Webhooks that prove nothing: not a stranger's, nor when others of the provider are proved
SELECT wacta.ingest_webhook('meta', 'whatsapp', '{}', '{}') > 0 AS kept, wacta.ingest_webhook('nobody', 'ivr', '{}', '{}') > 0 AS strangers;
SELECT * FROM pg_temp.alerts;
SELECT pg_temp.advance('1 minute') \g /dev/null
SELECT wacta.ingest_webhook('meta', 'whatsapp', '{"entry": []}', jsonb_build_object('X-Hub-Signature-256', 'sha256=' || encode(wacta.hmac_sha256('{"entry": []}', 'meta-app-secret'), 'hex'))) > 0 AS proved;
SELECT * FROM pg_temp.alerts;
SELECT wacta.now() - last_webhook_at AS last_webhook FROM wacta.outbox_status;
SELECT pg_temp.advance('62 minutes') \g /dev/null
SELECT wacta.ingest_webhook('smartflo', 'ivr', '{}', '{"X-Wacta-Key": "a wrong key of some length"}') > 0;
SELECT * FROM pg_temp.alerts;
SELECT pg_temp.advance('2 hours') \g /dev/null
SELECT * FROM pg_temp.alerts;

-- Calls that nobody processes
SELECT wacta.log_ivr_call('9876500005') > 0 AS call;
SELECT * FROM pg_temp.alerts;
SELECT pg_temp.advance('11 minutes') \g /dev/null
SELECT * FROM pg_temp.alerts;
SELECT outcome FROM wacta.process_ivr();
SELECT pg_temp.claimed(), pg_temp.answer('answered', 200, '{"messages": [{"id": "wamid.5"}]}');
SELECT * FROM pg_temp.alerts;

-- Keys and tokens
UPDATE wacta.signing_key SET retired_at = wacta.now();
UPDATE wacta.credential SET retired_at = wacta.now() WHERE kind = 'access_token';
SELECT * FROM pg_temp.alerts ORDER BY alert;
SELECT wacta.add_signing_key() > 0 AS key, wacta.set_credential('main', 'access_token', 'EAAG-another') > 0 AS token;
SELECT * FROM pg_temp.alerts;
UPDATE wacta.credential SET sealed = '\x00' WHERE retired_at IS NULL AND kind = 'access_token';
SELECT severity, alert FROM pg_temp.alerts;
SELECT wacta.set_credential('main', 'access_token', 'EAAG-another') > 0 AS token;
SELECT * FROM pg_temp.alerts;

-- The fence
UPDATE wacta.fence SET node_id = 'elsewhere';
SELECT alert, for_so_long > '0' AS since, what ~ '^the queue belongs to node elsewhere and this is node ' AS what FROM pg_temp.alerts;
SELECT wacta.unfence('the test is over');
SELECT * FROM pg_temp.alerts;

-- Long queues are counted so far and no further
INSERT INTO wacta.queue (channel_id, template_id, due_at, message_id, lead_id, expires_at)
SELECT 1, 1, wacta.now() + interval '1 hour', n, 1, wacta.now() + interval '1 day' FROM generate_series(-10001, -1) n;
SELECT queued, queued_is_more FROM wacta.outbox_status;
DELETE FROM wacta.queue WHERE message_id = -1;
SELECT queued, queued_is_more FROM wacta.outbox_status;

-- A login of the monitoring sees how things stand, and nobody's name or number
CREATE ROLE regress_wacta_monitor;
SELECT wacta.grant_monitor('regress_wacta_monitor');
SET ROLE regress_wacta_monitor;
SELECT count(*) FROM wacta.outbox_status;
SELECT alert FROM wacta.alert;
SELECT count(*) FROM wacta.courier_status();
SELECT pg_temp.attempt('SELECT FROM wacta.lead'), pg_temp.attempt('SELECT FROM wacta.message'), pg_temp.attempt('SELECT wacta.unfence(''x'')');
RESET ROLE;
DROP OWNED BY regress_wacta_monitor;
DROP ROLE regress_wacta_monitor;
