-- What the provider says of templates, senders and the account: in any order, any number of times, and never over what staff did.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
\set include :abs_srcdir '/sql/include/webhooks.sql'
\i :include
UPDATE wacta.channel SET display_phone = '+91 80600 00305' WHERE name = 'main';
SELECT wacta.add_channel('second', 'meta', '777', account_id => '102290129340398', display_phone => '918060000777') AS second, wacta.add_channel('other', 'meta', '888', account_id => '99') AS other;
-- An event some time ago, of this account or another
CREATE FUNCTION pg_temp.event(field text, ago interval, value jsonb, account text DEFAULT '102290129340398') RETURNS text LANGUAGE sql AS
$$ SELECT pg_temp.came_of(pg_temp.meta(jsonb_build_object('object', 'whatsapp_business_account', 'entry', jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('id', $4, 'time', extract(epoch FROM wacta.now() - $2)::bigint,
     'changes', jsonb_build_array(jsonb_build_object('field', $1, 'value', $3))))))::text)) $$;
CREATE FUNCTION pg_temp.template(ago interval, extra jsonb, field text DEFAULT 'message_template_status_update') RETURNS text LANGUAGE sql AS
$$ SELECT pg_temp.event($3, $1, '{"message_template_name": "project_update_template", "message_template_language": "en"}' || $2) $$;
CREATE VIEW pg_temp.pitch AS SELECT status, status_reason, provider_id, quality, category, held_reason FROM wacta.template WHERE name = 'project_update_template';
CREATE VIEW pg_temp.sender AS SELECT name, status, status_reason, paused_until, held_by IS NOT NULL AS by_event, max_rate FROM wacta.channel WHERE provider = 'meta' ORDER BY name;

-- Templates. The newest by the provider's clock stands, in whatever order they come
SELECT pg_temp.template('3 hours', '{"event": "PAUSED", "reason": "NONE", "message_template_id": 1689, "other_info": {"title": "FIRST_PAUSE", "description": "Paused for 3 hours"}}') AS paused;
SELECT * FROM pg_temp.pitch;
SELECT pg_temp.template('4 hours', '{"event": "APPROVED", "message_template_id": 1689}') AS older;
SELECT status FROM pg_temp.pitch;
SELECT pg_temp.template('2 hours', '{"event": "APPROVED", "message_template_id": "1689", "other_info": {"title": "UNPAUSE"}}') AS newer, pg_temp.template('3 hours', '{"event": "PAUSED", "reason": "NONE", "message_template_id": 1689, "other_info": {"title": "FIRST_PAUSE", "description": "Paused for 3 hours"}}') AS paused_again;
SELECT status, status_reason FROM pg_temp.pitch;
SELECT event, action, alert, acknowledged_at IS NOT NULL AS acknowledged FROM wacta.account_event ORDER BY event_id;
-- every event: what the status becomes, and whether somebody has to act
UPDATE wacta.account_event SET acknowledged_at = wacta.now();
CREATE FUNCTION pg_temp.status_after(n bigint, event text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE came text := pg_temp.template(interval '1 hour' - make_interval(secs => n), jsonb_build_object('event', event));
BEGIN RETURN concat_ws(' ', (SELECT status FROM pg_temp.pitch), came, (SELECT string_agg('alert', '') FROM wacta.site_alerts() a WHERE a.alert = 'account_event' AND a.what LIKE '%: ' || upper(event))); END $$;
SELECT event, pg_temp.status_after(n, event) FROM unnest('{PENDING,APPROVED,REJECTED,IN_APPEAL,REINSTATED,FLAGGED,PAUSED,DISABLED,LIMIT_EXCEEDED,LOCKED,ARCHIVED,UNARCHIVED,PENDING_DELETION,DELETED,something_new,approved}'::text[]) WITH ORDINALITY e(event, n) ORDER BY n;
-- every order of four events ends in the last of them
CREATE TEMP TABLE ended AS SELECT NULL::text AS status LIMIT 0;
DO $$
DECLARE o record; e int; n int := 0;
BEGIN
  FOR o IN SELECT ARRAY[a, b, c, 10 - a - b - c] AS o FROM generate_series(1, 4) a, generate_series(1, 4) b, generate_series(1, 4) c WHERE a <> b AND a <> c AND b <> c LOOP
    n := n + 1;
    FOREACH e IN ARRAY o.o || o.o LOOP
      PERFORM pg_temp.template(make_interval(mins => -10 * n - e), jsonb_build_object('event', ('{APPROVED,PAUSED,APPROVED,DISABLED}'::text[])[e], 'message_template_id', 1689));
    END LOOP;
    INSERT INTO ended SELECT status FROM pg_temp.pitch;
  END LOOP;
END $$;
SELECT status, count(*) FROM ended GROUP BY 1;

-- What was held for an error of the provider is sent again when it approves; what staff holds is not. A name in another language is another template
TRUNCATE wacta.account_event;
UPDATE wacta.template SET status = 'APPROVED', held_reason = 'Template is paused (code 132015)' WHERE name = 'project_update_template';
SELECT pg_temp.template('0', '{"event": "REINSTATED"}'), pg_temp.advance('1 minute') IS NOT NULL;
SELECT status, held_reason FROM pg_temp.pitch;
UPDATE wacta.template SET held_reason = 'legal has to look at it' WHERE name = 'project_update_template';
SELECT pg_temp.template('0', '{"event": "REINSTATED"}'), pg_temp.advance('1 minute') IS NOT NULL;
SELECT status, held_reason FROM pg_temp.pitch;
SELECT pg_temp.template('0', '{"event": "PAUSED", "message_template_language": "hi"}') AS another_language, pg_temp.template('0', '{"event": "DELETED", "message_template_id": 4711}') AS an_older_one_of_that_name;
SELECT status FROM pg_temp.pitch;
SELECT pg_temp.template('0', '{"event": "PAUSED", "message_template_name": "renamed", "message_template_id": 1689, "message_template_language": "en-US"}') AS by_its_id;
SELECT status FROM pg_temp.pitch;
SELECT wacta.add_template('in_american', '[{"type": "BODY", "text": "Hello there"}]', language => 'en_US') > 0 AS added, pg_temp.event('message_template_status_update', '0', '{"event": "REJECTED", "message_template_name": "in_american", "message_template_language": "en-US", "reason": "INVALID_FORMAT",
  "rejection_info": {"reason": "Variables stand next to each other.", "recommendation": "Separate them."}}');
SELECT status, status_reason FROM wacta.template WHERE name = 'in_american';

-- Quality, category, components, each by its own time
SELECT pg_temp.advance('1 hour') IS NOT NULL;
SELECT pg_temp.template('0', '{"previous_quality_score": "GREEN", "new_quality_score": "RED"}', 'message_template_quality_update') AS red, pg_temp.template('10 minutes', '{"new_quality_score": "GREEN"}', 'message_template_status_update') AS older_green;
SELECT pg_temp.template('10 minutes', '{"previous_category": "MARKETING", "new_category": "UTILITY"}', 'template_category_update') AS changed, pg_temp.template('0', '{"correct_category": "MARKETING", "new_category": "UTILITY", "category_update_timestamp": 1760711433}', 'template_category_update') AS impending,
       pg_temp.template('0', '{"message_template_element": "Hi {{1}}"}', 'message_template_components_update') AS edited;
SELECT quality, category FROM pg_temp.pitch;
SELECT field, event, action, alert FROM wacta.account_event ORDER BY event_id DESC LIMIT 5;

-- Restrictions: those of templates we send pause all senders of the account, until they end; another account's do not
TRUNCATE wacta.account_event;
SELECT pg_temp.event('account_update', '1 minute', jsonb_build_object('event', 'ACCOUNT_RESTRICTION', 'restriction_info', jsonb_build_array(
  jsonb_build_object('restriction_type', 'RESTRICTED_ADD_PHONE_NUMBER_ACTION', 'expiration', extract(epoch FROM wacta.now() + interval '9 days')::bigint),
  jsonb_build_object('restriction_type', 'RESTRICTED_BIZ_INITIATED_MESSAGING', 'expiration', to_char(wacta.now() AT TIME ZONE 'UTC' + interval '1 day', 'YYYY-MM-DD"T"HH24:MI:SS+0000')))));
SELECT * FROM pg_temp.sender;
SELECT event, action, channel_id IS NOT NULL AS of_a_sender, until FROM wacta.account_event ORDER BY event, channel_id;
SELECT object, what, what_to_do FROM wacta.site_alerts() WHERE alert = 'account_event' ORDER BY 1, 2;
SELECT count(wacta.acknowledge_event(event_id)) FROM wacta.account_event;
SELECT count(*) FROM wacta.site_alerts() WHERE alert = 'account_event';
-- it goes on by itself when it is over; staff may do so before; a repetition does not pause again
SELECT wacta.resume_channel('second');
SELECT pg_temp.event('account_update', '1 minute', detail) AS again FROM wacta.account_event LIMIT 1;
SELECT name, status, by_event FROM pg_temp.sender;
-- one without an end that can be read: until resumed. What is over already does nothing
SELECT pg_temp.event('account_update', '0', '{"event": "ACCOUNT_RESTRICTION", "restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": "<TIMESTAMP>"}]}', '99'),
       pg_temp.event('account_update', '30 days', '{"event": "ACCOUNT_RESTRICTION", "restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": 1731705721}]}');
SELECT name, status, paused_until FROM pg_temp.sender;

-- A ban stops, a reinstatement resumes what the ban stopped, and only that
UPDATE wacta.channel SET status = 'active', status_reason = NULL, paused_until = NULL;
SELECT wacta.pause_channel('second', 'moving house');
SELECT pg_temp.advance('1 minute') IS NOT NULL, pg_temp.event('account_update', '0', '{"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": "April 17, 2025"}}');
SELECT * FROM pg_temp.sender;
SELECT pg_temp.event('account_update', '5 minutes', '{"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "REINSTATE"}}') AS an_older_reinstatement;
SELECT name, status FROM pg_temp.sender;
SELECT pg_temp.advance('1 minute') IS NOT NULL, pg_temp.event('account_review_update', '0', '{"decision": "APPROVED"}') AS of_another_field;
SELECT name, status FROM pg_temp.sender;
SELECT pg_temp.event('account_update', '0', '{"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "REINSTATE"}}') AS reinstated;
SELECT * FROM pg_temp.sender;
-- the ban that comes after the reinstatement, and is older
SELECT pg_temp.event('account_update', '30 seconds', '{"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": "late"}}') AS late_ban;
SELECT name, status FROM pg_temp.sender;
SELECT event, action FROM wacta.account_event WHERE field = 'account_update' AND channel_id = (SELECT channel_id FROM wacta.channel WHERE name = 'main') AND event LIKE 'DISABLED%' ORDER BY event_id;
-- what staff stops after an event did stays stopped
SELECT pg_temp.advance('1 minute') IS NOT NULL, pg_temp.event('account_update', '0', '{"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}}');
UPDATE wacta.channel SET status = 'stopped', status_reason = 'we leave this provider' WHERE name = 'main';
SELECT pg_temp.advance('1 minute') IS NOT NULL, pg_temp.event('account_update', '0', '{"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "REINSTATE"}}');
SELECT name, status, status_reason, by_event FROM pg_temp.sender;

-- Every other event of an account: kept, and an alert where somebody has to act
UPDATE wacta.channel SET status = 'active', status_reason = NULL, paused_until = NULL;
TRUNCATE wacta.account_event;
SELECT pg_temp.advance('1 minute') IS NOT NULL;
SELECT field, value ->> 'event' AS event, pg_temp.event(field, '0', value, '99') FROM (VALUES
  (1, 'account_update', '{"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "SCHEDULE_FOR_DISABLE"}}'::jsonb), (2, 'account_update', '{"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SPAM"}}'), (3, 'account_update', '{"event": "VERIFIED_ACCOUNT", "phone_number": "1111111111111"}'),
  (4, 'account_update', '{"event": "PARTNER_ADDED", "waba_info": {"waba_id": "9"}}'), (5, 'account_update', '{"event": "PARTNER_REMOVED"}'), (6, 'account_update', '{"event": "SOMETHING_NEW"}'), (7, 'account_update', '{}'),
  (8, 'account_review_update', '{"decision": "DEFERRED"}'), (9, 'account_alerts', '{"entity_type": "BUSINESS", "entity_id": "5", "alert_info": {"alert_severity": "WARNING", "alert_status": "ACTIVE", "alert_type": "INCREASED_CAPABILITIES_ELIGIBILITY_DEFERRED"}}'),
  (10, 'account_alerts', '{"alert_info": {"alert_severity": "INFORMATIONAL", "alert_type": "SOMETHING"}}'), (11, 'account_alerts', '{"alert_info": {"alert_severity": "INFORMATIONAL", "alert_type": "OBA_APPROVED"}}'),
  (12, 'security', '{"event": "PIN_CHANGED", "requester": "123"}'), (13, 'account_settings_update', '{"calling": {"status": "ENABLED"}}'), (14, 'account_update', '{"event": {"a": 1}, "restriction_info": "x"}'), (15, 'account_update', '[]')) v(nr, field, value) ORDER BY nr;
SELECT field, event, action, alert FROM wacta.account_event ORDER BY event_id;
SELECT count(*) AS stopped FROM pg_temp.sender WHERE status <> 'active';
SELECT pg_temp.advance('1 minute') IS NOT NULL, pg_temp.event('account_update', '0', '{"event": "ACCOUNT_DELETED"}', '99') AS deleted, pg_temp.event('account_update', '0', '{"event": "ACCOUNT_DELETED"}', '4711') AS unknown_account;
SELECT name, status, status_reason FROM pg_temp.sender;
-- what it leads to is the site's to say
UPDATE wacta.account_rule SET action = 'pause_sender', wait = '6 hours' WHERE event = 'ACCOUNT_VIOLATION';
SELECT pg_temp.event('account_update', '0', '{"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SCAM"}}');
SELECT name, status, paused_until - wacta.now() AS for_ FROM pg_temp.sender;
UPDATE wacta.channel SET status = 'active', status_reason = NULL, paused_until = NULL;

-- A number: its quality, its name, its rate. Another number of the account is none of ours
SELECT pg_temp.advance('1 minute') IS NOT NULL, pg_temp.event('phone_number_quality_update', '0', '{"display_phone_number": "918060000305", "event": "FLAGGED", "current_limit": "TIER_10K"}') AS ours, pg_temp.event('phone_number_quality_update', '0', '{"display_phone_number": "15550783881", "event": "FLAGGED"}', '102290129340398') AS maybe,
       pg_temp.event('phone_number_name_update', '0', '{"display_phone_number": "918060000777", "decision": "REJECTED", "requested_verified_name": "X", "rejection_reason": "NAME_NOT_CONSISTENT"}') AS name;
SELECT c.name, e.field, e.event, e.alert FROM wacta.account_event e JOIN wacta.channel c USING (channel_id) WHERE e.field LIKE 'phone_number_%' ORDER BY event_id;
SELECT pg_temp.advance('1 minute') IS NOT NULL, pg_temp.event('phone_number_quality_update', '0', '{"display_phone_number": "918060000305", "event": "UNFLAGGED"}');
SELECT count(*) AS alerts FROM wacta.site_alerts() WHERE alert = 'account_event' AND what LIKE '%FLAGGED' AND object = 'main';
UPDATE wacta.channel SET max_rate = 80 WHERE name = 'main';
UPDATE wacta.channel SET max_rate = 20 WHERE name = 'second';
SELECT pg_temp.event('phone_number_quality_update', '0', jsonb_build_object('display_phone_number', n, 'event', 'THROUGHPUT_UPGRADE', 'current_limit', 'TIER_UNLIMITED')) FROM unnest('{918060000305,918060000777}'::text[]) n;
SELECT name, max_rate FROM pg_temp.sender;

-- How many people a portfolio may reach: as Meta says, unless staff has set a lower one; by the newest word
INSERT INTO wacta.portfolio (name, people_per_day) VALUES ('ours', 250), ('theirs', 1500), ('free', NULL);
UPDATE wacta.channel SET portfolio_id = (SELECT portfolio_id FROM wacta.portfolio p WHERE p.name = CASE channel.name WHEN 'main' THEN 'ours' WHEN 'second' THEN 'theirs' ELSE 'free' END) WHERE provider = 'meta';
CREATE FUNCTION pg_temp.limits(ago interval, value jsonb, field text DEFAULT 'business_capability_update') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_temp.event(field, ago, value), pg_temp.event(field, ago, value, '99');
  RETURN (SELECT string_agg(name || ' ' || coalesce(people_per_day::text, 'no limit'), ', ' ORDER BY portfolio_id) FROM wacta.portfolio);
END $$;
SELECT pg_temp.advance('2 hours') IS NOT NULL;
SELECT v, pg_temp.limits('2 hours' - make_interval(mins => nr), v) FROM (VALUES (1, '{"max_daily_conversations_per_business": 2000, "max_phone_numbers_per_waba": 25}'::jsonb), (2, '{"max_daily_conversations_per_business": "TIER_10K"}'), (3, '{"max_daily_conversation_per_phone": 250}'), (4, '{"max_daily_conversations_per_business": "TIER_UNLIMITED"}'),
  (5, '{"max_daily_conversation_per_phone": -1}'), (6, '{"max_daily_conversations_per_business": "TIER_NOT_SET"}'), (7, '{"max_daily_conversations_per_business": {}}'), (8, '{"max_daily_conversations_per_business": "TIER_100K"}')) x(nr, v) ORDER BY nr;
SELECT pg_temp.limits('110 minutes', '{"max_daily_conversations_per_business": "TIER_250"}') AS an_older_one;
SELECT pg_temp.limits('0', '{"display_phone_number": "918060000305", "event": "DOWNGRADE", "old_limit": "TIER_100K", "current_limit": "TIER_1K"}', 'phone_number_quality_update') AS of_a_number;
SELECT told, t.* FROM unnest('{TIER_50,TIER_250,tier_2k,TIER_100K,TIER_UNLIMITED,2000,-1,0,TIER_NOT_SET,x,99999999999,TIER_}'::text[]) told, wacta.read_tier(told) t;

-- The provider's trouble with a sender, told without a message
UPDATE wacta.channel SET status = 'active', status_reason = NULL, paused_until = NULL;
SELECT code, pg_temp.came_of(pg_temp.meta(pg_temp.meta_value('messages', jsonb_build_object('metadata', '{"phone_number_id": "777"}'::jsonb, 'errors', jsonb_build_array(jsonb_build_object('code', code, 'title', 'x')))))) FROM unnest('{130429,131048,4711}'::int[]) code;
SELECT name, status, status_reason, paused_until - wacta.now() AS for_, by_event FROM pg_temp.sender;
SELECT pg_temp.came_of(pg_temp.meta(pg_temp.meta_value('messages', '{"metadata": {"phone_number_id": "777"}, "errors": [{"code": 368}, {"title": "no code"}]}')));
SELECT name, status, status_reason FROM pg_temp.sender WHERE name = 'second';

-- Administrators see and change the rules, agents see the events, nobody else does
SET ROLE wacta_agent;
SELECT pg_temp.attempt('SELECT count(*) FROM wacta.account_event'), pg_temp.attempt('UPDATE wacta.account_rule SET alert = false'), pg_temp.attempt('SELECT wacta.acknowledge_event(1)');
SET ROLE wacta_admin;
SELECT pg_temp.attempt('UPDATE wacta.account_rule SET alert = false'), pg_temp.attempt('SELECT wacta.acknowledge_event(1)'), pg_temp.attempt('DELETE FROM wacta.account_event');
RESET ROLE;
SELECT pg_temp.attempt($$INSERT INTO wacta.account_rule VALUES ('account_update', 'X', 'explode')$$), pg_temp.attempt($$INSERT INTO wacta.account_rule VALUES ('account_update', 'X', 'template_status')$$);
