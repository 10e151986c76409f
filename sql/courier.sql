-- What the courier calls, driven from SQL without a network: claim, settle, recover, and what each answer leads to.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SET timezone = 'UTC';
SET wacta.fixed_now = '2025-08-26 06:00:00+00';
UPDATE wacta.config SET retry_base = '10 seconds';

-- Settles the running attempt of a message as the courier would.
CREATE FUNCTION pg_temp.settle(message bigint, outcome text, http_status int DEFAULT NULL, body text DEFAULT NULL, retry_after int DEFAULT NULL, error text DEFAULT NULL)
RETURNS text LANGUAGE sql AS $$
  SELECT concat_ws(' ', CASE WHEN s.accepted > 0 THEN 'accepted' END, CASE WHEN s.failed > 0 THEN 'failed' END,
                   CASE WHEN s.in_doubt > 0 THEN 'in_doubt' END, CASE WHEN s.retried > 0 THEN 'retried' END)
    FROM wacta.message m, wacta.courier_settle(ARRAY[m.lead_id], ARRAY[m.message_id], ARRAY[m.attempts], ARRAY[$2], ARRAY[$3], ARRAY[$5],
                                               ARRAY[convert_to($4, 'UTF8')], ARRAY[$6], ARRAY[12]) s
   WHERE m.message_id = $1
$$;
CREATE FUNCTION pg_temp.accepted(wamid text) RETURNS text LANGUAGE sql AS
$$ SELECT '{"messaging_product": "whatsapp", "contacts": [{"input": "+919876500001", "wa_id": "919876500001"}], "messages": [{"id": "' || $1 || '", "message_status": "accepted"}]}' $$;
CREATE VIEW pg_temp.state AS
  SELECT m.message_id AS id, pg_temp.nr(m.message_id) AS nr, m.status, m.reason, m.attempts AS tries, (m.due_at - wacta.now())::text AS due_in, m.error_code AS code, m.wamid, m.lease_until IS NOT NULL AS leased,
         (SELECT string_agg(coalesce(a.outcome, 'under way') || coalesce(' ' || a.http_status, ''), ', ' ORDER BY a.attempt) FROM wacta.attempt a WHERE a.message_id = m.message_id) AS attempts
    FROM wacta.message m;
SELECT wacta.upsert_lead('9876500001', 'Asha', 'Green Acres') AS asha, wacta.upsert_lead('9876500002', 'Vikram', 'Green Acres') AS vikram, wacta.upsert_lead('9876500003', 'Meera', 'Green Acres') AS meera \gset

-- Nothing to do
SELECT wacta.courier_wait() IS NULL AS nothing_queued, wacta.courier_start(0), wacta.courier_reap(), (SELECT count(*) FROM wacta.courier_claim(0, 10));

-- The way of a message: claimed once, its attempt recorded before it leaves, accepted
SELECT wacta.send_interactive(:asha) AS first \gset
SELECT wacta.courier_wait();
SELECT pg_temp.who(lead_id) AS who, message_id = :first AS the_first, attempt, channel_id, channel_revision = (SELECT revision FROM wacta.channel) AS current, body::jsonb ->> 'to' AS "to" FROM wacta.courier_claim(0, 10);
SELECT count(*) AS claimed_twice FROM wacta.courier_claim(1, 10);
SELECT nr, status, reason, tries, due_in, code, wamid, leased, attempts FROM pg_temp.state;
SELECT attempt, courier, claimed_at, ended_at, outcome FROM wacta.attempt;
SELECT lease_until, claimed_by FROM wacta.message;
SELECT pg_temp.settle(:first, 'answered', 200, pg_temp.accepted('wamid.1'));
SELECT nr, status, reason, tries, due_in, code, wamid, leased, attempts FROM pg_temp.state;
SELECT outcome, http_status, error_code, elapsed_ms, ended_at FROM wacta.attempt;
SELECT status, stage FROM wacta.lead WHERE lead_id = :asha;

-- The fence: a courier that comes with an older attempt, or one of a message that is not there, changes nothing
SELECT * FROM wacta.courier_settle(ARRAY[:asha, :asha, :vikram], ARRAY[:first, :first, :first], '{0,2,1}', '{answered,answered,answered}', '{500,500,500}', '{NULL,NULL,NULL}', ARRAY[''::bytea, '', ''], '{NULL,NULL,NULL}', '{1,1,1}');
SELECT nr, status, tries FROM pg_temp.state;

-- Where requests go, with which headers
SELECT url, headers FROM wacta.courier_channel(1);
SELECT count(*) FROM wacta.courier_channel(99);
SELECT wacta.add_channel('bare', 'tata');
SELECT pg_temp.attempt('SELECT * FROM wacta.courier_channel(2)');
-- a changed secret is a new revision
SELECT revision AS before FROM wacta.channel WHERE channel_id = 1 \gset
SELECT wacta.set_credential('main', 'access_token', 'EAAG-second-token') > 0;
SELECT revision > :before AS newer, headers FROM wacta.courier_channel(1);

-- Certainly not sent: again, after a delay that doubles. That uses up no attempts of the message's: only an answer does
UPDATE wacta.config SET max_attempts = 3;
SELECT wacta.send_interactive(:asha) AS id \gset
SELECT pg_temp.settle(:id, 'not_sent', error => 'could not resolve host') FROM wacta.courier_claim(0, 10);
SELECT nr, status, reason, tries, attempts FROM pg_temp.state WHERE id = :id;
SELECT due_at - wacta.now() = wacta.backoff(1, '10 s', '1 h', 0.2, :id) AS as_backoff_says, due_at - wacta.now() BETWEEN '8 s' AND '10 s' AS about FROM wacta.message WHERE message_id = :id;
SELECT count(*) AS too_early FROM wacta.courier_claim(0, 10);
SELECT wacta.courier_wait() BETWEEN 8000 AND 10000 AS waits;
DO $$ BEGIN PERFORM pg_temp.advance('10 s'); END $$;
SELECT pg_temp.settle(:id, 'not_sent', error => 'could not connect') FROM wacta.courier_claim(0, 10);
SELECT due_at - wacta.now() BETWEEN '16 s' AND '20 s' AS twice_as_long FROM wacta.message WHERE message_id = :id;
DO $$ BEGIN PERFORM pg_temp.advance('20 s'); END $$;
SELECT pg_temp.settle(:id, 'not_sent', error => 'could not connect') FROM wacta.courier_claim(0, 10);
SELECT nr, status, reason, tries, attempts FROM pg_temp.state WHERE id = :id;
DO $$ BEGIN PERFORM pg_temp.advance('40 s'); END $$;
SELECT pg_temp.settle(:id, 'answered', 503, '') FROM wacta.courier_claim(0, 10);
SELECT nr, status, reason, tries, attempts FROM pg_temp.state WHERE id = :id;
SELECT failed_at = wacta.now() AS failed_now FROM wacta.message WHERE message_id = :id;
UPDATE wacta.config SET max_attempts = 8;

-- Unknown: never sent again by itself. A courier that ended, and a lease that ran out, are the same.
SELECT wacta.send_interactive(:asha) AS id \gset
SELECT pg_temp.settle(:id, 'unknown', error => 'time-out') FROM wacta.courier_claim(0, 10);
SELECT wacta.send_interactive(:asha) AS id2, wacta.send_interactive(:asha) AS id3 \gset
SELECT count(*) AS claimed FROM wacta.courier_claim(0, 1) UNION ALL SELECT count(*) FROM wacta.courier_claim(1, 1);
SELECT wacta.courier_start(0) AS of_courier_0, wacta.courier_start(0) AS again;
DO $$ BEGIN PERFORM pg_temp.advance('5 minutes'); END $$;
SELECT wacta.courier_reap() AS at_the_lease;
DO $$ BEGIN PERFORM pg_temp.advance('1 s'); END $$;
SELECT wacta.courier_reap() AS behind_the_lease, wacta.courier_reap() AS again;
SELECT nr - pg_temp.nr(:id) AS nr, status, reason, tries, leased, attempts FROM pg_temp.state WHERE id >= :id ORDER BY 1;
SELECT count(*) AS claimed_again FROM wacta.courier_claim(0, 10);
SELECT pg_temp.nr(message_id) - pg_temp.nr(:id) AS nr, age, callback_data = 'wacta:outbox:' || message_id AS callback FROM wacta.message_in_doubt ORDER BY 1;

-- An operator's verdict settles it
SELECT pg_temp.attempt(format('SELECT wacta.settle(%s, %L, %L)', :id, v, r)) FROM (VALUES ('sent', 'x'), ('accepted', ''), ('accepted', NULL), (NULL, 'x')) b(v, r);
SELECT replace(pg_temp.attempt(format('SELECT wacta.settle(%s, ''accepted'', ''x'')', :first)), :'first', 'ITS ID') AS attempt, pg_temp.attempt('SELECT wacta.settle(NULL, ''accepted'', ''x'')');
SELECT wacta.settle(:id, 'accepted', 'the customer has it'), wacta.settle(:id2, 'failed', 'not in the panel'), wacta.settle(:id3, 'resend', 'not in the panel');
SELECT nr - pg_temp.nr(:id) AS nr, status, replace(reason, session_user, 'ME') AS reason, tries, due_in FROM pg_temp.state WHERE id >= :id ORDER BY 1;
SELECT pg_temp.nr(message_id) - pg_temp.nr(:id) AS nr, accepted_at = wacta.now() AS accepted_now, failed_at = wacta.now() AS failed_now FROM wacta.message WHERE message_id >= :id ORDER BY 1;
SELECT attempt FROM wacta.courier_claim(0, 10);
SELECT pg_temp.settle(:id3, 'answered', 200, pg_temp.accepted('wamid.3'));

-- An answer that comes after its lease: it is the best there is to know
SELECT wacta.send_interactive(:asha) AS id, wacta.send_interactive(:asha) AS id2 \gset
SELECT count(*) FROM wacta.courier_claim(0, 10);
DO $$ BEGIN PERFORM pg_temp.advance('6 minutes'); END $$;
SELECT wacta.courier_reap();
SELECT pg_temp.settle(:id, 'answered', 200, pg_temp.accepted('wamid.late')), pg_temp.settle(:id2, 'answered', 400, '{"error": {"code": 131026, "message": "no"}}');
SELECT nr - pg_temp.nr(:id) AS nr, status, reason, wamid, attempts FROM pg_temp.state WHERE id >= :id ORDER BY 1;

-- A webhook that was faster than the answer stands
SELECT wacta.send_interactive(:asha) AS id \gset
SELECT count(*) FROM wacta.courier_claim(0, 10);
SELECT wacta.apply_statuses(ARRAY[jsonb_build_object('id', 'wamid.fast', 'status', 'delivered', 'biz_opaque_callback_data', 'wacta:outbox:' || :id)]);
SELECT pg_temp.settle(:id, 'unknown', error => 'time-out');
SELECT status, wamid FROM pg_temp.state WHERE id = :id;

-- Answers: what each leads to
CREATE TEMP TABLE answer (nr int, what text, http_status int, body text, retry_after int);
INSERT INTO answer VALUES
  (1, 'accepted by Meta', 200, pg_temp.accepted('wamid.a'), NULL), (2, 'accepted by Tata', 200, '{"id": "gBEGkYaYVSEEAgnZxQ3JmKK6Wvg"}', NULL),
  (3, 'held for quality', 200, '{"messages": [{"id": "wamid.b", "message_status": "held_for_quality_assessment"}]}', NULL),
  (4, 'no id', 200, '{"messages": []}', NULL), (5, 'not JSON', 200, '<html>', NULL), (6, 'empty', 200, '', NULL), (7, 'accepted with 202', 202, '{"id": "x1"}', NULL),
  (8, 'redirect', 302, '', NULL), (9, 'gateway down', 502, '<html>', NULL), (10, 'busy', 503, '', 120), (11, 'throttled without code', 429, '', NULL),
  (12, 'throttled, told when', 429, '{"error": {"code": 130429, "message": "Rate limit hit"}}', 300), (13, 'a day is the most', 429, '', 2000000000),
  (14, 'request time-out', 408, '', NULL), (15, 'bad request without code', 400, 'no', NULL), (16, 'not found', 404, '', NULL),
  (17, 'temporary', 500, '{"error": {"code": 131016, "message": "Service unavailable"}}', NULL),
  (18, 'pair limit', 400, '{"error": {"code": 131056, "message": "Pair rate limit"}}', NULL), (19, 'limited by Meta today', 400, '{"error": {"code": 131049}}', NULL),
  (20, 'bad number', 400, '{"error": {"code": 131026, "message": "(#131026)", "error_data": {"details": "Message undeliverable"}}}', NULL),
  (21, 'unlisted code', 400, '{"error": {"code": 777777, "message": "Something new"}}', NULL), (22, 'code as text', 400, '{"error": {"code": "131026"}}', NULL),
  (23, 'Tata''s own shape', 400, '{"code": 131008, "message": "Required parameter is missing"}', NULL), (24, 'a list of errors', 400, '{"errors": [{"code": 131051, "title": "Unsupported"}]}', NULL),
  (25, 'error with 200', 200, '{"error": {"code": 131030, "message": "not in allowed list"}}', NULL), (26, 'a code that is no number', 400, '{"error": {"code": "99999999999999", "message": "?"}}', NULL),
  (27, 'error is a text', 400, '{"error": "go away"}', NULL), (28, 'NUL in JSON', 200, '{"id": "a\u0000b"}', NULL);

-- One message, one answer, and whether the sender waits now too; it is resumed for the next one when asked
CREATE FUNCTION pg_temp.tell(http_status int, body text, retry_after int DEFAULT NULL, lead bigint DEFAULT pg_temp.lead(2), resume boolean DEFAULT false)
RETURNS TABLE (counted text, status wacta.message_status, reason text, code int, due_in text, sender text) LANGUAGE plpgsql AS $$
DECLARE
  id bigint := wacta.send_interactive(lead);
BEGIN
  IF NOT EXISTS (SELECT FROM wacta.courier_claim(0, 1) c WHERE c.message_id = id) THEN
    RETURN;
  END IF;
  counted := pg_temp.settle(id, 'answered', http_status, body, retry_after);
  SELECT m.status, m.reason, m.error_code, CASE WHEN m.status = 'queued' THEN date_trunc('minute', m.due_at - wacta.now())::text END
    INTO status, reason, code, due_in FROM wacta.message m WHERE m.message_id = id;
  SELECT nullif(concat_ws(' ', c.status, date_trunc('minute', c.paused_until - wacta.now())), 'active') INTO sender FROM wacta.channel c WHERE c.name = 'main';
  IF resume THEN
    PERFORM wacta.resume_channel('main');
  END IF;
  RETURN NEXT;
END
$$;
SELECT nr, what, t.* FROM answer a, LATERAL pg_temp.tell(a.http_status, a.body, a.retry_after, resume => true) t ORDER BY nr;
SELECT count(*) FILTER (WHERE status = 'sending') AS left_over, count(*) FILTER (WHERE error_code IS NOT NULL AND status = 'accepted') AS odd FROM wacta.message;
-- a code that nobody knows is tried three times
SELECT n AS tries, (wacta.error_action(777777, 400, n)).* FROM generate_series(1, 4) n;
SELECT n AS tries, (wacta.error_action(131056, 400, n)).* FROM generate_series(1, 4) n;

-- Every listed code, by its action
SELECT kind, action, string_agg(code::text, ' ' ORDER BY code) FILTER (WHERE code NOT BETWEEN 200 AND 299) AS codes, count(*) FROM wacta.error_rule GROUP BY 1, 2 ORDER BY 1, 2;

-- The person stopped at WhatsApp: as an opt-out
SELECT * FROM pg_temp.tell(400, '{"error": {"code": 131050, "message": "stopped"}}', lead => :meera);
SELECT consent FROM wacta.lead WHERE lead_id = :meera;
SELECT event, reason, evidence ->> 'code' AS code FROM wacta.consent_event WHERE lead_id = :meera ORDER BY event_id;

-- A template that needs a person holds back its queue, and no other
SELECT * FROM pg_temp.tell(400, '{"error": {"code": 132015, "message": "Template is paused"}}');
SELECT name, held_reason FROM wacta.template ORDER BY 1;
SELECT wacta.send_interactive(:asha) AS held, wacta.send_brochure(:asha) AS other \gset
SELECT message_id = :other AS the_other FROM wacta.courier_claim(0, 10);
SELECT gate, passed, detail FROM wacta.explain_send(:asha) WHERE gate = 'template';
UPDATE wacta.template SET held_reason = NULL;
SELECT message_id = :held AS now_it_goes FROM wacta.courier_claim(0, 10);
SELECT pg_temp.settle(:held, 'answered', 200, pg_temp.accepted('wamid.held')), pg_temp.settle(:other, 'answered', 200, pg_temp.accepted('wamid.other'));
SELECT note FROM wacta.lead_note WHERE lead_id = :asha;

-- A limited sender pauses for an hour, with its queue kept; after it, it goes on by itself, and may be paused again
SELECT * FROM pg_temp.tell(400, '{"error": {"code": 131048, "message": "Spam rate limit hit"}}');
SELECT name, status, status_reason, paused_until - wacta.now() AS pause FROM wacta.channel ORDER BY channel_id;
SELECT gate, passed, detail, next_time - wacta.now() AS opens FROM wacta.explain_send(:asha) WHERE gate = 'sender';
SELECT count(*) AS while_paused FROM wacta.courier_claim(0, 100);
SELECT wacta.courier_wait() AS until_the_pause_is_over;
DO $$ BEGIN PERFORM pg_temp.advance('1 hour'); END $$;
SELECT count(*) > 0 AS after_the_pause, pg_temp.settle(min(message_id), 'answered', 400, '{"error": {"code": 131048, "message": "Spam rate limit hit again"}}') FROM wacta.courier_claim(0, 1);
SELECT name, status, status_reason, paused_until - wacta.now() AS pause FROM wacta.channel ORDER BY channel_id;
SELECT count(*) AS paused_again FROM wacta.courier_claim(0, 100);
SELECT wacta.resume_channel('main');

-- A sender whose token is refused stops until a person resumes it; 401 without a code means the same
UPDATE wacta.message SET status = 'cancelled', reason = 'test' WHERE status = 'queued';
SELECT * FROM pg_temp.tell(401, '{"error": {"code": 190, "message": "Invalid OAuth access token"}}');
SELECT name, status, status_reason, paused_until FROM wacta.channel ORDER BY channel_id;
DO $$ BEGIN PERFORM pg_temp.advance('1 day'); END $$;
SELECT count(*) AS while_stopped FROM wacta.courier_claim(0, 100);
SELECT wacta.resume_channel('main');
UPDATE wacta.message SET status = 'cancelled', reason = 'test' WHERE status = 'queued';
SELECT * FROM pg_temp.tell(401, '');
SELECT status FROM wacta.channel WHERE name = 'main';
SELECT wacta.resume_channel('main');
-- a message that was only told to wait for its sender has lost nothing
SELECT count(*) FROM wacta.message WHERE status = 'failed' AND error_code IN (131048, 190);
-- by hand
SELECT wacta.pause_channel('main', 'maintenance'), (SELECT count(*) FROM wacta.courier_claim(0, 100)) AS claimed;
SELECT wacta.resume_channel('main'), pg_temp.attempt('SELECT wacta.resume_channel(''x'')'), pg_temp.attempt('SELECT wacta.pause_channel(''x'', ''y'')');

-- Too old: by the claim when it is due, by the reaper when nobody claims
UPDATE wacta.message SET status = 'cancelled', reason = 'test' WHERE status = 'queued';
SELECT wacta.send_interactive(:asha) AS id, wacta.send_interactive(:asha) AS id2, wacta.send_interactive(:asha) AS fresh \gset
UPDATE wacta.message SET due_at = wacta.now() + interval '4 days' WHERE message_id = :id2;
UPDATE wacta.message SET expires_at = wacta.now() + interval '10 days' WHERE message_id = :fresh;
DO $$ BEGIN PERFORM pg_temp.advance('3 days 1 second'); END $$;
SELECT message_id = :fresh AS only_the_fresh_one FROM wacta.courier_claim(0, 100);
SELECT wacta.courier_reap() AS reaped;
SELECT nr - pg_temp.nr(:id) AS nr, status, reason FROM pg_temp.state WHERE id >= :id ORDER BY 1;

-- What a provider says of us is kept unless it quotes our access token
SELECT reason FROM pg_temp.tell(400, '{"error": {"code": 131026, "message": "Error validating access token: EAAG-second-token is not valid"}}');
SELECT reason FROM pg_temp.tell(400, '{"error": {"code": 131026, "message": "the token EAAG-second-... is not valid"}}');   -- its first 12 characters are enough
SELECT reason FROM pg_temp.tell(400, '{"error": {"code": 131026, "message": "the token EAAG-... is not valid"}}');
SELECT reason FROM pg_temp.tell(400, '{"error": {"code": 132015, "message": "EAAG-second-token is paused"}}');
SELECT held_reason FROM wacta.template WHERE held_reason IS NOT NULL;
UPDATE wacta.template SET held_reason = NULL;
SELECT reason FROM pg_temp.tell(401, '{"error": {"code": 190, "message": "Error validating access token: EAAG-second-token"}}');
SELECT status, status_reason FROM wacta.channel WHERE name = 'main';
SELECT wacta.resume_channel('main');
-- a status by webhook may quote it too
SELECT wacta.send_interactive(:asha) AS id \gset
SELECT wacta.apply_statuses(ARRAY[jsonb_build_object('status', 'failed', 'timestamp', '1756188080', 'biz_opaque_callback_data', 'wacta:outbox:' || :id, 'errors', '[{"code": 131026, "title": "token EAAG-second-token"}]'::jsonb)]);
SELECT status, reason, error_code FROM wacta.message WHERE message_id = :id;
SELECT relname AS quoting FROM pg_class c, query_to_xml(format('SELECT x::text AS r FROM wacta.%I x', relname), true, false, '') t WHERE relnamespace = 'wacta'::regnamespace AND relkind = 'r' AND t::text LIKE '%EAAG-sec%';

-- The reaper forgets what proved nothing, a month later
INSERT INTO wacta.token_refusal (reason, fingerprint, refused_at) VALUES ('malformed', 'old', wacta.now() - interval '31 days'), ('malformed', 'new', wacta.now() - interval '29 days');
INSERT INTO wacta.inbox (provider, kind, body, proved, received_at) VALUES ('meta', 'old', '', false, wacta.now() - interval '31 days'), ('meta', 'new', '', false, wacta.now() - interval '29 days'), ('meta', 'proved', '', true, wacta.now() - interval '1 year');
SELECT wacta.courier_reap() >= 0 AS reaped;
SELECT fingerprint FROM wacta.token_refusal;
SELECT kind FROM wacta.inbox ORDER BY 1;
-- or when the site says
UPDATE wacta.config SET refusal_retention = '7 days';
SELECT wacta.courier_reap() >= 0 AS reaped;
SELECT (SELECT count(*) FROM wacta.token_refusal) AS refusals, string_agg(kind, ', ') AS kinds FROM wacta.inbox;

-- Nothing got lost on the way: every message is in exactly one state
SELECT enqueued = queued + sending + in_doubt + accepted + sent + delivered + read + failed + suppressed + expired + cancelled AS sum_holds, enqueued > 40 AS many FROM wacta.message_accounting;
