-- The outbox: messages, their attempts, and every way a message changes its state.

CREATE TYPE wacta.message_status AS ENUM
  ('queued', 'sending', 'in_doubt', 'accepted', 'sent', 'delivered', 'read', 'failed', 'suppressed', 'expired', 'cancelled');
COMMENT ON TYPE wacta.message_status IS 'The states of a message; docs/architecture.md draws them.';

CREATE TABLE wacta.message (
  lead_id             bigint NOT NULL REFERENCES wacta.lead,
  message_id          bigint NOT NULL DEFAULT nextval('wacta.lead_or_message_id'),
  purpose             text NOT NULL CHECK (purpose IN ('pitch', 'brochure', 'other')),
  channel_id          integer NOT NULL REFERENCES wacta.channel,
  template_id         integer REFERENCES wacta.template,
  project_id          integer REFERENCES wacta.project,
  variables           jsonb NOT NULL DEFAULT '{}',
  status              wacta.message_status NOT NULL DEFAULT 'queued',
  reason              text,
  enqueued_at         timestamptz NOT NULL DEFAULT wacta.now(),
  due_at              timestamptz NOT NULL DEFAULT wacta.now() CHECK (isfinite(due_at)),
  expires_at          timestamptz NOT NULL,
  attempts            integer NOT NULL DEFAULT 0,
  claimed_by          integer,
  lease_until         timestamptz,
  wamid               text,
  provider_request_id text,
  accepted_at         timestamptz,
  sent_at             timestamptz,
  delivered_at        timestamptz,
  read_at             timestamptz,
  failed_at           timestamptz,
  error_code          integer,
  pricing             jsonb,
  cost                numeric(12,6),
  failures            integer[],
  PRIMARY KEY (lead_id, message_id),
  CONSTRAINT sending_has_a_lease CHECK ((status = 'sending') = (lease_until IS NOT NULL)),
  CONSTRAINT ended_without_success_has_a_reason
    CHECK (status NOT IN ('in_doubt', 'failed', 'suppressed', 'expired', 'cancelled') OR reason IS NOT NULL)
) WITH (fillfactor = 50);
COMMENT ON TABLE wacta.message IS 'The outbox and its history: one row a message, in exactly one state.';
COMMENT ON COLUMN wacta.message.wamid IS 'WhatsApp''s id of the message.';
COMMENT ON COLUMN wacta.message.provider_request_id IS 'The provider''s own id of our request where it is not the wamid (Tata).';
COMMENT ON COLUMN wacta.message.failures IS 'The codes of all failures that webhooks have told, 0 for one without: each has its consequences once.';
COMMENT ON COLUMN wacta.message.cost IS 'What it costs by wacta.price, since its last claim.';
COMMENT ON COLUMN wacta.message.claimed_by IS 'The number of the courier that has or had it.';
-- No index here may name what changes on a message's way, in its key or its condition: an update would then write to all
-- indexes of the row instead of to none (a heap-only tuple), and a message is updated five times.
CREATE INDEX message_id ON wacta.message (message_id);
CREATE INDEX message_enqueued ON wacta.message USING brin (enqueued_at) WITH (pages_per_range = 16, autosummarize = on);

-- What is queued, in the order in which it is due. A row leaves with the claim, so that the table stays small whatever the
-- history; a lane (the messages of a channel with one template) that may not be sent from is not even looked at.
CREATE TABLE wacta.queue (
  channel_id  integer NOT NULL,
  template_id integer NOT NULL,
  due_at      timestamptz NOT NULL,
  message_id  bigint NOT NULL,
  lead_id     bigint NOT NULL,
  expires_at  timestamptz NOT NULL,
  PRIMARY KEY (channel_id, template_id, due_at, message_id)
);
COMMENT ON TABLE wacta.queue IS
'One row for each queued message, kept by triggers of wacta.message and not dumped: wacta.rebuild_queue() makes it anew.';
COMMENT ON COLUMN wacta.queue.template_id IS '0: the message has none.';
CREATE INDEX queue_expiry ON wacta.queue (expires_at);

CREATE FUNCTION wacta.keep_queue() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  IF TG_OP <> 'INSERT' AND OLD.status = 'queued' THEN
    DELETE FROM wacta.queue q
     WHERE (q.channel_id, q.template_id, q.due_at, q.message_id) = (OLD.channel_id, coalesce(OLD.template_id, 0), OLD.due_at, OLD.message_id);
  END IF;
  IF TG_OP <> 'DELETE' AND NEW.status = 'queued' THEN
    INSERT INTO wacta.queue (channel_id, template_id, due_at, message_id, lead_id, expires_at)
    VALUES (NEW.channel_id, coalesce(NEW.template_id, 0), NEW.due_at, NEW.message_id, NEW.lead_id, NEW.expires_at);
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.keep_queue() IS 'Trigger: wacta.queue has exactly the queued messages.';
CREATE TRIGGER queue_insert AFTER INSERT ON wacta.message
  FOR EACH ROW WHEN (NEW.status = 'queued') EXECUTE FUNCTION wacta.keep_queue();
-- The claim deletes the rows of all that it takes by one statement: not here, one by one.
CREATE TRIGGER queue_update AFTER UPDATE ON wacta.message
  FOR EACH ROW WHEN ((OLD.status = 'queued' AND NEW.status NOT IN ('queued', 'sending')) OR (NEW.status = 'queued' AND
    (OLD.status, OLD.due_at, OLD.expires_at, OLD.channel_id, OLD.template_id, OLD.lead_id, OLD.message_id)
    IS DISTINCT FROM (NEW.status, NEW.due_at, NEW.expires_at, NEW.channel_id, NEW.template_id, NEW.lead_id, NEW.message_id)))
  EXECUTE FUNCTION wacta.keep_queue();
CREATE TRIGGER queue_delete AFTER DELETE ON wacta.message
  FOR EACH ROW WHEN (OLD.status = 'queued') EXECUTE FUNCTION wacta.keep_queue();

CREATE FUNCTION wacta.empty_queue() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  TRUNCATE wacta.queue, wacta.attempt;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.empty_queue() IS 'Trigger: with all messages their queue and their attempts go.';
CREATE TRIGGER queue_truncate AFTER TRUNCATE ON wacta.message FOR EACH STATEMENT EXECUTE FUNCTION wacta.empty_queue();

CREATE FUNCTION wacta.rebuild_queue() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  n bigint;
BEGIN
  LOCK TABLE wacta.message IN SHARE ROW EXCLUSIVE MODE;
  DELETE FROM wacta.queue;
  INSERT INTO wacta.queue (channel_id, template_id, due_at, message_id, lead_id, expires_at)
  SELECT m.channel_id, coalesce(m.template_id, 0), m.due_at, m.message_id, m.lead_id, m.expires_at FROM wacta.message m WHERE m.status = 'queued';
  GET DIAGNOSTICS n = ROW_COUNT;
  PERFORM wacta.wake();
  RETURN n;
END
$$;
COMMENT ON FUNCTION wacta.rebuild_queue() IS
'Makes wacta.queue anew from the queued messages and returns how many: for a database that was filled with triggers switched off.';

-- An enqueue wakes the courier when, and only when, its transaction commits.
CREATE TRIGGER wake_courier AFTER INSERT ON wacta.message
  FOR EACH STATEMENT EXECUTE FUNCTION wacta.wake_courier();

-- So does a template that may be sent again.
CREATE TRIGGER wake_courier AFTER UPDATE ON wacta.template
  FOR EACH STATEMENT EXECUTE FUNCTION wacta.wake_courier();

CREATE TABLE wacta.attempt (
  lead_id     bigint NOT NULL,
  message_id  bigint NOT NULL,
  attempt     integer NOT NULL,
  courier     integer NOT NULL,
  claimed_at  timestamptz NOT NULL DEFAULT wacta.now(),
  started_at  timestamptz,
  ended_at    timestamptz,
  outcome     text CHECK (outcome IN ('answered', 'not_sent', 'unknown', 'lost')),
  http_status integer,
  error_code  integer,
  detail      text,
  elapsed_ms  integer,
  provider_id text,
  PRIMARY KEY (lead_id, message_id, attempt)
) WITH (fillfactor = 70);
COMMENT ON TABLE wacta.attempt IS
'Each HTTP request for a message, committed before it leaves. outcome NULL: it is under way; lost: its courier ended first.';
COMMENT ON COLUMN wacta.attempt.started_at IS
'When the first byte of the request was about to leave, by the clock of the courier''s machine; NULL: not, or not known.';
COMMENT ON COLUMN wacta.attempt.provider_id IS
'The id that the answer gave: at Meta the wamid, at Tata that of the request, until a webhook tells the wamid.';
-- (a hash of it, for the ids are long and in no order)
CREATE INDEX attempt_provider_id ON wacta.attempt (hashtext(provider_id)) WHERE provider_id IS NOT NULL;
CREATE INDEX attempt_open ON wacta.attempt (claimed_at) WHERE ended_at IS NULL;
CREATE INDEX attempt_in_doubt ON wacta.attempt (message_id) WHERE outcome IN ('unknown', 'lost');

-- What a foreign key would do, at a price for each request: attempts are written by the courier alone, for messages that it has locked.
CREATE FUNCTION wacta.forget_attempts() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  DELETE FROM wacta.attempt a USING gone g WHERE (a.lead_id, a.message_id) = (g.lead_id, g.message_id);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.forget_attempts() IS 'Trigger: the attempts of deleted messages go with them.';
CREATE TRIGGER forget_attempts AFTER DELETE ON wacta.message
  REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION wacta.forget_attempts();

CREATE VIEW wacta.message_accounting AS
  SELECT (SELECT count(*) FROM wacta.message) AS enqueued,
         count(*) FILTER (WHERE status = 'queued') AS queued,
         count(*) FILTER (WHERE status = 'sending') AS sending,
         count(*) FILTER (WHERE status = 'in_doubt') AS in_doubt,
         count(*) FILTER (WHERE status = 'accepted') AS accepted,
         count(*) FILTER (WHERE status = 'sent') AS sent,
         count(*) FILTER (WHERE status = 'delivered') AS delivered,
         count(*) FILTER (WHERE status = 'read') AS read,
         count(*) FILTER (WHERE status = 'failed') AS failed,
         count(*) FILTER (WHERE status = 'suppressed') AS suppressed,
         count(*) FILTER (WHERE status = 'expired') AS expired,
         count(*) FILTER (WHERE status = 'cancelled') AS cancelled
    FROM wacta.message;
COMMENT ON VIEW wacta.message_accounting IS 'How many messages were enqueued, and how many are in each state: the sum is always the same.';

CREATE VIEW wacta.message_in_doubt AS
  SELECT m.message_id, m.lead_id, m.purpose, m.reason, a.claimed_at AS requested_at, wacta.now() - a.claimed_at AS age,
         'wacta:outbox:' || m.message_id AS callback_data
    FROM wacta.attempt a JOIN wacta.message m ON (a.lead_id, a.message_id, a.attempt) = (m.lead_id, m.message_id, m.attempts)
   WHERE a.outcome IN ('unknown', 'lost') AND m.status = 'in_doubt';
COMMENT ON VIEW wacta.message_in_doubt IS
'Messages whose request may or may not have been taken. A status webhook settles them, or an operator with wacta.settle().';

CREATE FUNCTION wacta.default_channel() RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  id integer := (SELECT c.channel_id FROM wacta.channel c WHERE c.is_default);
BEGIN
  IF id IS NULL THEN
    RAISE EXCEPTION 'there is no channel to send from' USING ERRCODE = '55000', HINT = 'Add one with wacta.add_channel().';
  END IF;
  RETURN id;
END
$$;
COMMENT ON FUNCTION wacta.default_channel() IS 'The default channel; an error when there is none.';

-- Why nothing may be sent to a person at all; NULL: it may. recipient_kind: how they can be reached, NULL: not at all.
CREATE FUNCTION wacta.refusal(consent text, recipient_kind text) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  IF $1 = 'unknown' THEN                 -- others need no query
    RETURN (SELECT CASE WHEN c.require_opt_in THEN 'no_opt_in' WHEN $2 IS NULL THEN 'no_phone' END FROM wacta.config c);
  END IF;
  RETURN CASE WHEN $1 = 'withdrawn' THEN 'opted_out' WHEN $2 IS NULL THEN 'no_phone' END;
END
$$;
COMMENT ON FUNCTION wacta.refusal(text, text) IS 'Why nothing may be sent to a person (opted_out, no_opt_in, no_phone); NULL: it may.';

-- The one way into the outbox.
CREATE FUNCTION wacta.write_message(l wacta.lead, purpose text, channel_id integer, template_id integer, variables jsonb, project_id integer) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
  why text := wacta.refusal(l.consent, (wacta.recipient(l.lead_id)).kind);
  id  bigint;
BEGIN
  INSERT INTO wacta.message (lead_id, purpose, channel_id, template_id, project_id, variables, expires_at, status, reason)
  VALUES (l.lead_id, $2, $3, $4, coalesce($6, l.project_id), $5,
          wacta.now() + (SELECT message_ttl FROM wacta.config),
          CASE WHEN why IS NULL THEN 'queued' ELSE 'suppressed' END::wacta.message_status, why)
  RETURNING message_id INTO id;
  RETURN id;
END
$$;
COMMENT ON FUNCTION wacta.write_message(wacta.lead, text, integer, integer, jsonb, integer) IS 'As wacta.enqueue(), for a lead that the caller has locked.';

-- The share lock makes an opt-out wait for us or us for it, so that no message slips past it.
CREATE FUNCTION wacta.enqueue(lead_id bigint, purpose text, template_id integer, variables jsonb DEFAULT '{}',
                              project_id integer DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
  l wacta.lead;
BEGIN
  SELECT * INTO l FROM wacta.lead WHERE lead.lead_id = $1 FOR SHARE;
  IF NOT FOUND THEN
    RETURN wacta.enqueue(wacta.forwarded($1), $2, $3, $4, $5);
  END IF;
  RETURN wacta.write_message(l, $2, wacta.default_channel(), $3, $4, $5);
END
$$;
COMMENT ON FUNCTION wacta.enqueue(bigint, text, integer, jsonb, integer) IS
'Puts a message into the outbox, or into the history as suppressed when the person must not get it; returns its id.';

-- template: the one named, the project's, or the newest pitch that may be sent
CREATE FUNCTION wacta.pitch_template(template text, project_id integer) RETURNS integer
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  id integer := coalesce(wacta.template_id(template), (SELECT p.template_id FROM wacta.project p WHERE p.project_id = $2),
                         (SELECT t.template_id FROM wacta.template t WHERE t.purpose = 'pitch' AND t.status = 'APPROVED'
                           ORDER BY t.template_id DESC LIMIT 1));
BEGIN
  IF id IS NULL THEN
    RAISE EXCEPTION 'there is no template to send' USING ERRCODE = '55000', HINT = 'Add one with wacta.add_template().';
  END IF;
  RETURN id;
END
$$;
COMMENT ON FUNCTION wacta.pitch_template(text, integer) IS 'The template of a pitch: by name, the project''s, or the newest one.';

CREATE FUNCTION wacta.send_interactive(lead_id bigint, template text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  project integer;
BEGIN
  SELECT l.project_id INTO project FROM wacta.lead l WHERE l.lead_id = $1;
  IF NOT FOUND THEN
    RETURN wacta.send_interactive(wacta.forwarded($1), $2);
  END IF;
  RETURN wacta.enqueue($1, 'pitch', wacta.pitch_template($2, project), '{}', project);
END
$$;
COMMENT ON FUNCTION wacta.send_interactive(bigint, text) IS
'Queues the interactive template for a lead and returns the message''s id.
A person who must not get it (wacta.explain_send tells why) has the message as suppressed, with its reason.';

CREATE FUNCTION wacta.send_brochure(lead_id bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  p wacta.project;
BEGIN
  SELECT pr.* INTO p FROM wacta.project pr JOIN wacta.lead l USING (project_id) WHERE l.lead_id = $1;
  IF NOT wacta.has_brochure(p) THEN
    IF NOT EXISTS (SELECT FROM wacta.lead l WHERE l.lead_id = $1) THEN
      RETURN wacta.send_brochure(wacta.forwarded($1));
    END IF;
    RAISE EXCEPTION 'the project of lead % has no brochure', $1 USING ERRCODE = '55000',
      HINT = 'Set brochure_link or brochure_media_id of its project.';
  END IF;
  RETURN wacta.enqueue($1, 'brochure', p.brochure_template_id, '{}', p.project_id);
END
$$;
COMMENT ON FUNCTION wacta.send_brochure(bigint) IS
'Queues the brochure of the lead''s project and returns the message''s id.
It leaves as a document while the customer service window is open, else as the project''s brochure template.';

CREATE FUNCTION wacta.send_campaign(template text, project text DEFAULT NULL, leads bigint[] DEFAULT NULL)
RETURNS TABLE (lead_id bigint, message_id bigint, outcome text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  only_project integer := (SELECT p.project_id FROM wacta.project p WHERE p.name = project);
BEGIN
  IF project IS NOT NULL AND only_project IS NULL THEN
    RAISE EXCEPTION 'project "%" does not exist', project USING ERRCODE = '22023';
  END IF;
  FOR lead_id IN
    SELECT l.lead_id FROM wacta.lead l
     WHERE (leads IS NULL OR l.lead_id = ANY (leads)) AND (only_project IS NULL OR l.project_id = only_project)
     ORDER BY l.lead_id
  LOOP
    message_id := wacta.send_interactive(lead_id, template);
    SELECT coalesce(m.reason, m.status::text) INTO outcome FROM wacta.message m
     WHERE (m.lead_id, m.message_id) = (send_campaign.lead_id, send_campaign.message_id);
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION wacta.send_campaign(text, text, bigint[]) IS
'Queues a template for all leads, those of a project, or those listed; a row each: queued, or why it is not sent.';

CREATE FUNCTION wacta.cancel_message(message_id bigint, reason text DEFAULT 'cancelled by staff') RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE wacta.message m SET status = 'cancelled', reason = $2 WHERE m.message_id = $1 AND m.status = 'queued';
  RETURN FOUND;
END
$$;
COMMENT ON FUNCTION wacta.cancel_message(bigint, text) IS 'Cancels a queued message; false when it is no longer queued.';

-- All that waits for one person ends: with an opt-out as suppressed, with a decision as cancelled.
CREATE FUNCTION wacta.end_pending(lead_id bigint, status wacta.message_status, reason text, purposes text[]) RETURNS integer
LANGUAGE plpgsql
AS $$
DECLARE
  n integer;
BEGIN
  UPDATE wacta.message m SET status = $2, reason = $3
   WHERE m.lead_id = $1 AND m.status = 'queued' AND m.purpose = ANY ($4);
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END
$$;
COMMENT ON FUNCTION wacta.end_pending(bigint, wacta.message_status, text, text[]) IS 'Ends the person''s queued messages of these purposes; returns how many.';

-- The provider has the message, whether its answer or its first webhook told so: both say it, whichever comes first counts.
CREATE FUNCTION wacta.on_taken(leads bigint[], messages bigint[], purposes text[]) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
  -- never wait here for someone who holds a lead: the answers of all the others wait behind us
  UPDATE wacta.lead l SET status = 'Contacted', stage = 'Contacted'
   WHERE l.ctid = ANY (ARRAY(SELECT n.ctid FROM unnest(leads, purposes) t(lead, purpose)
                              CROSS JOIN LATERAL (SELECT x.ctid FROM wacta.lead x WHERE x.lead_id = t.lead AND x.status = 'New'
                                                   LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) n
                              WHERE t.purpose = 'pitch'))
     AND l.status = 'New';
  IF 'brochure' = ANY (purposes) THEN
    PERFORM wacta.add_note(t.lead, 'Brochure sent automatically', 'brochure ' || t.message)
       FROM unnest(leads, messages, purposes) t(lead, message, purpose) WHERE t.purpose = 'brochure';
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.on_taken(bigint[], bigint[], text[]) IS 'What follows when the provider has messages: their leads are contacted, brochures are noted.';

CREATE FUNCTION wacta.settle(message_id bigint, verdict text, reason text) RETURNS wacta.message_status
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  result wacta.message_status;
BEGIN
  IF verdict IS NULL OR verdict NOT IN ('accepted', 'failed', 'resend') OR coalesce(reason, '') = '' THEN
    RAISE EXCEPTION 'invalid verdict: "%"', verdict USING ERRCODE = '22023',
      HINT = 'Verdicts are accepted, failed and resend, and each needs a reason.';
  END IF;
  UPDATE wacta.message m
     SET status = CASE verdict WHEN 'resend' THEN 'queued' ELSE verdict END::wacta.message_status,
         reason = format('%s (settled by %s)', $3, session_user),
         due_at = wacta.now(), accepted_at = CASE WHEN verdict = 'accepted' THEN wacta.now() END,
         failed_at = CASE WHEN verdict = 'failed' THEN wacta.now() END,
         expires_at = greatest(m.expires_at, wacta.now() + (SELECT message_ttl FROM wacta.config))
   WHERE m.message_id = $1 AND m.status = 'in_doubt'
  RETURNING m.status INTO result;
  IF result IS NULL THEN
    RAISE EXCEPTION 'message % is not in doubt', $1 USING ERRCODE = '55000', HINT = 'wacta.message_in_doubt lists those that are.';
  END IF;
  IF verdict = 'resend' THEN
    PERFORM wacta.wake();
  END IF;
  RETURN result;
END
$$;
COMMENT ON FUNCTION wacta.settle(bigint, text, text) IS
'An operator''s verdict on a message in doubt: accepted (it went out), failed (it did not), or resend.';
