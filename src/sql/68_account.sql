-- What the provider says of templates, senders and the account, and what that leads to.
--
-- The consequences are data (wacta.account_rule). Events come late and in any order, so each is kept with the time that the provider gives it,
-- and one that is older than what has been applied changes nothing. What an event did is lifted by an event; what staff did is not.

CREATE TABLE wacta.account_rule (
  field  text NOT NULL,
  event  text NOT NULL,
  action text NOT NULL CHECK (action IN ('stop_sender', 'pause_sender', 'resume_sender', 'raise_rate', 'template_status', 'template_approved', 'template_value', 'none')),
  alert  boolean NOT NULL DEFAULT false,
  wait   interval CHECK (wait > '0'),
  note   text,
  PRIMARY KEY (field, event),
  CHECK (field LIKE '%template%' OR action NOT LIKE 'template%')
);
COMMENT ON TABLE wacta.account_rule IS 'What an event of the provider about a template, a sender or the account leads to.';
COMMENT ON COLUMN wacta.account_rule.field IS 'The field of the webhook.';
COMMENT ON COLUMN wacta.account_rule.event IS 'The event, with the state of a ban or the type of a restriction after it; or the event alone; or *: any other.';
COMMENT ON COLUMN wacta.account_rule.action IS
'stop_sender: until resumed; pause_sender: until the event''s own expiration, else for wait, else until resumed; resume_sender: lifts what an
event of the same field did; raise_rate: 1,000 messages a second instead of 80; template_status: the event is the template''s status;
template_approved: the template may be sent again; template_value: its quality or category is taken over; none: the event is kept.';
COMMENT ON COLUMN wacta.account_rule.alert IS 'Whether somebody has to act: it stands in wacta.alert until acknowledged.';
-- Source: Meta, business-messaging/whatsapp/webhooks/reference/{account_update,account_review_update,account_alerts,
-- phone_number_quality_update,phone_number_name_update,security,message_template_status_update}.
INSERT INTO wacta.account_rule (field, event, action, alert, note) VALUES
  ('account_update', 'DISABLED_UPDATE DISABLE', 'stop_sender', true, 'the account is banned'),
  ('account_update', 'DISABLED_UPDATE SCHEDULE_FOR_DISABLE', 'none', true, 'the account will be banned; appeal'),
  ('account_update', 'DISABLED_UPDATE REINSTATE', 'resume_sender', false, 'the account is no longer banned'),
  ('account_update', 'DISABLED_UPDATE', 'none', true, 'the account may be banned'),
  ('account_update', 'ACCOUNT_RESTRICTION RESTRICTED_BIZ_INITIATED_MESSAGING', 'pause_sender', true, 'no templates may be sent'),
  ('account_update', 'ACCOUNT_RESTRICTION', 'none', true, 'the account is restricted otherwise'),
  ('account_update', 'ACCOUNT_VIOLATION', 'none', true, 'a policy was violated; restrictions may follow'),
  ('account_update', 'ACCOUNT_DELETED', 'stop_sender', true, 'the account is gone'),
  ('account_update', 'ACCOUNT_OFFBOARDED', 'stop_sender', true, 'the number has left the Cloud API'),
  ('account_update', 'ACCOUNT_RECONNECTED', 'resume_sender', false, 'the number is back'),
  ('account_update', 'PARTNER_REMOVED', 'none', true, 'the account is no longer shared with the partner'),
  ('account_update', 'PARTNER_APP_UNINSTALLED', 'none', true, 'an app has lost its access'),
  ('account_update', '*', 'none', false, 'for information'),
  ('account_review_update', 'APPROVED', 'resume_sender', false, 'the account may be used'),
  ('account_review_update', 'REJECTED', 'stop_sender', true, 'the account may not be used'),
  ('account_review_update', '*', 'none', true, 'no decision yet'),
  ('account_alerts', '*', 'none', true, 'see the description'),
  ('account_alerts', 'OBA_APPROVED', 'none', false, 'official business account'),
  ('phone_number_quality_update', 'FLAGGED', 'none', true, 'the number''s quality is low'),
  ('phone_number_quality_update', 'UNFLAGGED', 'resume_sender', false, 'the number''s quality is good again'),
  ('phone_number_quality_update', 'DOWNGRADE', 'none', true, 'fewer people may be reached'),
  ('phone_number_quality_update', 'THROUGHPUT_UPGRADE', 'raise_rate', false, 'more messages a second'),
  ('phone_number_quality_update', '*', 'none', false, 'for information'),
  ('phone_number_name_update', 'APPROVED', 'none', false, 'the display name stands'),
  ('phone_number_name_update', '*', 'none', true, 'the display name is not accepted'),
  ('business_capability_update', '*', 'none', false, 'limits'),
  ('security', '*', 'none', true, 'the number''s PIN: make sure that it was you'),
  ('errors', '*', 'none', true, 'the provider''s own trouble, see wacta.error_rule'),
  ('message_template_status_update', 'APPROVED', 'template_approved', false, NULL),
  ('message_template_status_update', 'REINSTATED', 'template_approved', false, NULL),
  ('message_template_status_update', 'UNARCHIVED', 'template_approved', false, NULL),
  ('message_template_status_update', 'PENDING', 'template_status', false, 'in review'),
  ('message_template_status_update', 'IN_APPEAL', 'template_status', false, 'in appeal'),
  ('message_template_status_update', 'ARCHIVED', 'template_status', true, 'deleted after 28 days'),
  ('message_template_status_update', 'REJECTED', 'template_status', true, 'edit it'),
  ('message_template_status_update', 'PAUSED', 'template_status', true, 'its quality is low'),
  ('message_template_status_update', 'DISABLED', 'template_status', true, 'for ever; use another'),
  ('message_template_status_update', 'FLAGGED', 'template_status', true, 'may be disabled soon; still sent'),
  ('message_template_status_update', 'PENDING_DELETION', 'template_status', true, NULL),
  ('message_template_status_update', 'DELETED', 'template_status', true, NULL),
  ('message_template_status_update', 'LOCKED', 'none', false, 'cannot be edited'),
  ('message_template_status_update', 'LIMIT_EXCEEDED', 'none', true, 'the account has too many templates'),
  ('message_template_status_update', '*', 'none', true, 'not known'),
  ('template_category_update', '*', 'template_value', true, 'the category decides the price'),
  ('message_template_quality_update', 'RED', 'template_value', true, 'may be paused soon'),
  ('message_template_quality_update', '*', 'template_value', false, NULL),
  ('message_template_components_update', '*', 'none', true, 'edited at the provider: bring wacta.template up to date');
CREATE TRIGGER restore_replaces BEFORE INSERT ON wacta.account_rule
  FOR EACH ROW EXECUTE FUNCTION wacta.replace_seeded('field', 'event');

CREATE TABLE wacta.account_event (
  event_id        bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  field           text NOT NULL,
  event           text NOT NULL,
  told_at         timestamptz NOT NULL,
  received_at     timestamptz NOT NULL DEFAULT wacta.now(),
  account_id      text,
  channel_id      integer REFERENCES wacta.channel ON DELETE CASCADE,
  template_id     integer REFERENCES wacta.template ON DELETE CASCADE,
  action          text NOT NULL,
  until           timestamptz,
  detail          jsonb NOT NULL,
  fingerprint     text NOT NULL,
  alert           boolean NOT NULL,
  acknowledged_at timestamptz
);
COMMENT ON TABLE wacta.account_event IS 'What the provider has said of templates, senders and the account, each event once for each sender or template.';
COMMENT ON COLUMN wacta.account_event.told_at IS 'The provider''s time of it; where it gives none, when it came.';
COMMENT ON COLUMN wacta.account_event.action IS 'What it led to; outdated: nothing, because a later event had been applied.';
COMMENT ON COLUMN wacta.account_event.alert IS 'Whether it stands in wacta.alert, until acknowledged_at.';
CREATE UNIQUE INDEX account_event_once ON wacta.account_event (fingerprint, coalesce(channel_id, 0), coalesce(template_id, 0), event);
CREATE INDEX account_event_alert ON wacta.account_event (told_at) WHERE alert AND acknowledged_at IS NULL;
CREATE INDEX ON wacta.account_event (channel_id, field);
CREATE INDEX ON wacta.account_event (template_id, field);

-- The same event again is known by its words and the provider's time; without a time, by the webhook that it came in.
CREATE FUNCTION wacta.new_account_event(i wacta.inbox, field text, event text, item jsonb, context jsonb) RETURNS wacta.account_event
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  e    wacta.account_event;
  rule wacta.account_rule;
BEGIN
  e.field := left(coalesce(field, context ->> 'field', 'unknown'), 100);
  e.event := left(upper(coalesce(event, 'UNKNOWN')), 200);
  e.told_at := coalesce(wacta.try_timestamptz(context ->> 'time'), i.received_at);
  e.account_id := context ->> 'account';
  e.detail := CASE WHEN pg_column_size(item) < 20000 THEN item ELSE '{}' END;
  e.fingerprint := encode(sha256(convert_to(concat_ws(' ', e.field, e.account_id, coalesce(context ->> 'time', i.inbox_id::text), item), 'UTF8')), 'hex');
  SELECT r.* INTO rule FROM wacta.account_rule r
   WHERE r.field = e.field AND r.event IN (e.event, split_part(e.event, ' ', 1), '*')
   ORDER BY array_position(ARRAY[e.event, split_part(e.event, ' ', 1), '*'], r.event) LIMIT 1;
  e.action := coalesce(rule.action, 'none');
  e.alert := coalesce(rule.alert, false);
  e.until := CASE WHEN rule.action = 'pause_sender' THEN e.told_at + rule.wait END;
  RETURN e;
END
$$;
COMMENT ON FUNCTION wacta.new_account_event(wacta.inbox, text, text, jsonb, jsonb) IS 'An event with what its rule says, not stored yet.';

-- Later by the provider's clock, and with a consequence for the same thing.
CREATE FUNCTION wacta.is_overtaken(e wacta.account_event) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT EXISTS (SELECT FROM wacta.account_event x
                  WHERE x.field = e.field AND (x.channel_id = e.channel_id OR x.template_id = e.template_id)
                    AND x.told_at > e.told_at AND x.action NOT IN ('none', 'outdated'))
$$;
COMMENT ON FUNCTION wacta.is_overtaken(wacta.account_event) IS 'Whether a later event of the same field about the same sender or template has been applied.';

-- NULL: it was there before.
CREATE FUNCTION wacta.keep_account_event(e wacta.account_event) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  id bigint;
BEGIN
  INSERT INTO wacta.account_event (field, event, told_at, account_id, channel_id, template_id, action, until, detail, fingerprint, alert)
  VALUES (e.field, e.event, e.told_at, e.account_id, e.channel_id, e.template_id, e.action, e.until, e.detail, e.fingerprint, e.alert)
  ON CONFLICT DO NOTHING RETURNING event_id INTO id;
  -- the good event answers the bad ones before it
  IF id IS NOT NULL AND e.action IN ('resume_sender', 'template_approved') THEN
    UPDATE wacta.account_event x SET acknowledged_at = wacta.now()
     WHERE x.field = e.field AND (x.channel_id = e.channel_id OR x.template_id = e.template_id) AND x.alert AND x.acknowledged_at IS NULL AND x.told_at <= e.told_at;
  END IF;
  RETURN id;
END
$$;
COMMENT ON FUNCTION wacta.keep_account_event(wacta.account_event) IS 'Stores an event; NULL when it was stored before.';

CREATE FUNCTION wacta.acknowledge_event(event_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE wacta.account_event e SET acknowledged_at = wacta.now() WHERE e.event_id = $1 AND e.acknowledged_at IS NULL;
  RETURN FOUND;
END
$$;
COMMENT ON FUNCTION wacta.acknowledge_event(bigint) IS 'Takes an event of the provider out of wacta.alert: somebody has seen to it. False when it was not there.';

-- Which senders an event is about: the one with its number, else all of its account. A channel that is entered without its number or its
-- account may be the one. What is said of a number that is none of ours is not about the others.
CREATE FUNCTION wacta.event_channels(provider text, item jsonb, context jsonb) RETURNS SETOF wacta.channel
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  number text := coalesce(context #>> '{metadata,display_phone_number}', item ->> 'phone_number');
  sender record := wacta.find_sender($1, jsonb_build_object('display_phone_number', number,
              'phone_number_id', CASE item ->> 'entity_type' WHEN 'PHONE_NUMBER' THEN item ->> 'entity_id' ELSE context #>> '{metadata,phone_number_id}' END));
  of_number boolean := context ->> 'field' LIKE 'phone_number_%' OR context ->> 'field' = 'security' OR item ->> 'entity_type' = 'PHONE_NUMBER';
BEGIN
  RETURN QUERY
  SELECT c.* FROM wacta.channel c
   WHERE c.provider = $1
     AND CASE WHEN sender.channel_id IS NOT NULL THEN c.channel_id = sender.channel_id
              WHEN of_number AND sender.is_foreign THEN false
              ELSE (c.account_id IS NULL OR context ->> 'account' IS NULL OR c.account_id = context ->> 'account')
                   AND (NOT coalesce(of_number, false) OR number IS NULL OR c.display_phone IS NULL) END;
END
$$;
COMMENT ON FUNCTION wacta.event_channels(text, jsonb, jsonb) IS 'The senders that an event is about.';

-- Meta writes a limit as a number, -1 for none, or TIER_250, TIER_2K, TIER_UNLIMITED.
CREATE FUNCTION wacta.read_tier(told text, OUT is_limit boolean, OUT people integer)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT $1 ~* '^(tier_)?([0-9]{1,6}k?|unlimited)$' OR $1 = '-1',
         CASE WHEN $1 ~* '^(tier_)?[0-9]{1,6}k?$' THEN nullif(regexp_replace($1, '[^0-9]', '', 'g')::integer * CASE WHEN $1 ILIKE '%k' THEN 1000 ELSE 1 END, 0) END
$$;
COMMENT ON FUNCTION wacta.read_tier(text) IS 'A messaging limit as Meta writes it; people NULL: no limit.';

-- A limit that staff have set, one that is none of Meta's, is never raised by an event.
CREATE FUNCTION wacta.apply_people_limit(portfolio integer[], told text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  tier record := wacta.read_tier(told);
BEGIN
  IF tier.is_limit THEN
    UPDATE wacta.portfolio p
       SET people_per_day = CASE WHEN p.people_per_day IS NULL OR p.people_per_day IN (50, 250, 1000, 2000, 10000, 100000) THEN tier.people
                                 ELSE least(p.people_per_day, tier.people) END
     WHERE p.portfolio_id = ANY (portfolio);
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.apply_people_limit(integer[], text) IS 'Takes over the limit of people a day that Meta grants to the portfolios.';

CREATE FUNCTION wacta.change_sender(c wacta.channel, e wacta.account_event, id bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  why text := format('%s: %s', e.field, e.event);
BEGIN
  CASE e.action
    WHEN 'stop_sender', 'pause_sender' THEN
      IF coalesce(e.until, 'infinity') > wacta.now() THEN
        PERFORM wacta.hold_channel(c.channel_id, e.action = 'stop_sender', e.until, why);
        UPDATE wacta.channel x SET held_by = id WHERE x.channel_id = c.channel_id AND x.status <> 'active' AND x.status_reason = why;
      END IF;
    WHEN 'resume_sender' THEN
      UPDATE wacta.channel x SET status = 'active', status_reason = NULL, paused_until = NULL, held_by = NULL
       WHERE x.channel_id = c.channel_id AND x.status <> 'active'
         AND EXISTS (SELECT FROM wacta.account_event held WHERE held.event_id = x.held_by AND held.field = e.field);
    WHEN 'raise_rate' THEN
      UPDATE wacta.channel x SET max_rate = 1000 WHERE x.channel_id = c.channel_id AND x.max_rate = 80;
    ELSE NULL;
  END CASE;
END
$$;
COMMENT ON FUNCTION wacta.change_sender(wacta.channel, wacta.account_event, bigint) IS 'Does to a sender what an event''s rule says.';

-- A ban has a state, a restriction has types with an expiration each: each is an event of its own.
CREATE FUNCTION wacta.account_events(item jsonb) RETURNS TABLE (event text, until timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT concat_ws(' ', coalesce($1 ->> 'event', $1 ->> 'decision', $1 #>> '{alert_info,alert_type}', 'UPDATE'), coalesce(r ->> 'restriction_type', $1 #>> '{ban_info,waba_ban_state}')),
         wacta.try_timestamptz(r ->> 'expiration')
    FROM (SELECT 1) one LEFT JOIN wacta.elements($1 -> 'restriction_info') r ON true
$$;
COMMENT ON FUNCTION wacta.account_events(jsonb) IS 'The events of an account webhook as wacta.account_rule names them, with their expiration.';

-- current_limit of a throughput upgrade is one of throughput.
CREATE FUNCTION wacta.told_limit(item jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN $1 ->> 'event' IS DISTINCT FROM 'THROUGHPUT_UPGRADE'
              THEN coalesce($1 ->> 'max_daily_conversations_per_business', $1 ->> 'max_daily_conversation_per_phone', $1 ->> 'current_limit') END
$$;
COMMENT ON FUNCTION wacta.told_limit(jsonb) IS 'The limit of people a day that an event tells, or NULL.';

CREATE FUNCTION wacta.apply_sender_event(c wacta.channel, e wacta.account_event) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  id bigint;
BEGIN
  PERFORM FROM wacta.channel x WHERE x.channel_id = c.channel_id FOR NO KEY UPDATE;      -- one event at a time decides on it
  e.channel_id := c.channel_id;
  e.action := CASE WHEN e.action <> 'none' AND wacta.is_overtaken(e) THEN 'outdated' ELSE e.action END;
  id := wacta.keep_account_event(e);
  IF id IS NULL THEN
    RETURN false;
  END IF;
  PERFORM wacta.change_sender(c, e, id);
  IF NOT EXISTS (SELECT FROM wacta.account_event x WHERE x.channel_id = c.channel_id AND x.told_at > e.told_at AND wacta.told_limit(x.detail) IS NOT NULL) THEN
    PERFORM wacta.apply_people_limit(ARRAY[c.portfolio_id], wacta.told_limit(e.detail));
  END IF;
  RETURN true;
END
$$;
COMMENT ON FUNCTION wacta.apply_sender_event(wacta.channel, wacta.account_event) IS 'Applies an event to one sender; false when it had been applied before.';

CREATE FUNCTION wacta.apply_account_event(i wacta.inbox, item jsonb, context jsonb) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c    wacta.channel;
  told record;
  e    wacta.account_event;
  said text := 'waiting';
BEGIN
  FOR c IN SELECT * FROM wacta.event_channels(i.provider, item, context) LOOP
    FOR told IN SELECT * FROM wacta.account_events(item) LOOP
      e := wacta.new_account_event(i, context ->> 'field', told.event, item, context);
      e.until := CASE WHEN e.action = 'pause_sender' THEN coalesce(told.until, e.until) END;
      e.alert := e.alert AND coalesce(item #>> '{alert_info,alert_severity}', '') <> 'INFORMATIONAL';
      said := CASE WHEN wacta.apply_sender_event(c, e) OR said = 'account' THEN 'account' ELSE 'repeated' END;
    END LOOP;
  END LOOP;
  RETURN said;
END
$$;
COMMENT ON FUNCTION wacta.apply_account_event(wacta.inbox, jsonb, jsonb) IS 'Applies an event about senders or their account; waiting when it is about none of ours.';

-- The provider's own trouble with a sender, told without a message: what its code means is in wacta.error_rule.
CREATE FUNCTION wacta.apply_account_error(i wacta.inbox, item jsonb, context jsonb) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c    wacta.channel;
  rule record := wacta.error_action(wacta.try_integer(item ->> 'code'), NULL, 0);
  e    wacta.account_event := wacta.new_account_event(i, 'errors', coalesce(item ->> 'code', 'unknown'), item, context);
  said text := 'waiting';
BEGIN
  e.action := CASE WHEN rule.action IN ('stop_sender', 'pause_sender') THEN rule.action ELSE 'none' END;
  e.until := CASE WHEN e.action = 'pause_sender' THEN e.told_at + coalesce(rule.wait, interval '1 hour') END;
  FOR c IN SELECT * FROM wacta.event_channels(i.provider, item, context) LOOP
    said := CASE WHEN wacta.apply_sender_event(c, e) OR said = 'error' THEN 'error' ELSE 'repeated' END;
    IF said = 'error' AND rule.action = 'throttle_sender' THEN
      PERFORM wacta.slow_sender(c.channel_id);
    END IF;
  END LOOP;
  RETURN said;
END
$$;
COMMENT ON FUNCTION wacta.apply_account_error(wacta.inbox, jsonb, jsonb) IS 'Applies an error that is about a sender, not about a message.';

-- By the provider's id of the template; by its name and language where that id is not known, or is that of one deleted since.
CREATE FUNCTION wacta.event_templates(item jsonb) RETURNS SETOF wacta.template
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT t.* FROM wacta.template t
   WHERE t.provider_id = $1 ->> 'message_template_id'
      OR (t.name = $1 ->> 'message_template_name' AND t.language = coalesce(replace($1 ->> 'message_template_language', '-', '_'), t.language)
          AND (t.provider_id IS NULL OR NOT $1 ? 'message_template_id' OR $1 ->> 'event' NOT IN ('DELETED', 'PENDING_DELETION')))
$$;
COMMENT ON FUNCTION wacta.event_templates(jsonb) IS 'The templates that an event is about.';

-- held_reason that ends with an error code is the provider's; any other is somebody's who had a reason.
CREATE FUNCTION wacta.change_template(id integer, e wacta.account_event) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
  UPDATE wacta.template t
     SET provider_id = coalesce(e.detail ->> 'message_template_id', t.provider_id),
         status = CASE e.action WHEN 'template_approved' THEN 'APPROVED' WHEN 'template_status' THEN e.event ELSE t.status END,
         status_reason = CASE WHEN e.action IN ('template_approved', 'template_status')
                              THEN nullif(left(concat_ws(': ', nullif(e.detail ->> 'reason', 'NONE'), e.detail #>> '{rejection_info,reason}', e.detail #>> '{other_info,description}',
                                                  e.detail #>> '{disable_info,disable_date}'), 500), '') ELSE t.status_reason END,
         held_reason = CASE WHEN e.action = 'template_approved' AND t.held_reason ~ '\(code [0-9]+\)$' THEN NULL ELSE t.held_reason END,
         quality = CASE WHEN e.action = 'template_value' THEN coalesce(upper(e.detail ->> 'new_quality_score'), t.quality) ELSE t.quality END,
         category = CASE WHEN e.action = 'template_value' AND upper(e.detail ->> 'new_category') IN ('MARKETING', 'UTILITY', 'AUTHENTICATION')
                         THEN upper(e.detail ->> 'new_category') ELSE t.category END
   WHERE t.template_id = $1
$$;
COMMENT ON FUNCTION wacta.change_template(integer, wacta.account_event) IS 'Does to a template what an event''s rule says.';

-- What it is about is told by its members: Meta's own example of a quality update has the field of a status update.
CREATE FUNCTION wacta.template_event(item jsonb, OUT field text, OUT event text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE WHEN $1 ? 'event' THEN 'message_template_status_update' WHEN $1 ? 'new_quality_score' THEN 'message_template_quality_update'
              WHEN $1 ?| '{new_category,correct_category}' THEN 'template_category_update' ELSE 'message_template_components_update' END,
         CASE WHEN $1 #>> '{other_info,title}' = 'UNPAUSE' THEN 'APPROVED'
              WHEN $1 ? 'correct_category' THEN 'IMPENDING ' || upper($1 ->> 'correct_category')
              ELSE coalesce($1 ->> 'event', $1 ->> 'new_quality_score', $1 ->> 'new_category', 'EDITED') END
$$;
COMMENT ON FUNCTION wacta.template_event(jsonb) IS 'The field and the event of a webhook about a template, as wacta.account_rule names them.';

CREATE FUNCTION wacta.apply_template_event(i wacta.inbox, item jsonb, context jsonb) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  told record := wacta.template_event(item);
  e    wacta.account_event := wacta.new_account_event(i, told.field, told.event, item, context);
  rule text := e.action;
  said text := 'waiting';
BEGIN
  FOR e.template_id IN SELECT t.template_id FROM wacta.event_templates(item) t LOOP
    PERFORM FROM wacta.template t WHERE t.template_id = e.template_id FOR NO KEY UPDATE;
    e.action := CASE WHEN rule <> 'none' AND wacta.is_overtaken(e) THEN 'outdated' ELSE rule END;
    IF wacta.keep_account_event(e) IS NOT NULL THEN
      PERFORM wacta.change_template(e.template_id, e);
      said := 'template';
    ELSIF said = 'waiting' THEN
      said := 'repeated';
    END IF;
  END LOOP;
  RETURN said;
END
$$;
COMMENT ON FUNCTION wacta.apply_template_event(wacta.inbox, jsonb, jsonb) IS 'Applies a template''s status, quality, category or components event; waiting when it is none of ours.';
