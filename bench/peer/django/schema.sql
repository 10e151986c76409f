-- What Django's migrations would make of the models, and people with a message each.  Variable: people.
CREATE TABLE lead (id bigserial PRIMARY KEY, name text NOT NULL, phone text NOT NULL UNIQUE, status text NOT NULL, stage text NOT NULL, consent text NOT NULL, updated_at timestamptz NOT NULL);
CREATE TABLE message (id bigserial PRIMARY KEY, lead_id bigint NOT NULL REFERENCES lead DEFERRABLE INITIALLY DEFERRED, created_at timestamptz NOT NULL, purpose text NOT NULL, status text NOT NULL);
CREATE TABLE click (id bigserial PRIMARY KEY, lead_id bigint NOT NULL REFERENCES lead DEFERRABLE INITIALLY DEFERRED, created_at timestamptz NOT NULL,
                    message_id bigint REFERENCES message DEFERRABLE INITIALLY DEFERRED, action text NOT NULL, agent text NOT NULL);
CREATE TABLE note (id bigserial PRIMARY KEY, lead_id bigint NOT NULL REFERENCES lead DEFERRABLE INITIALLY DEFERRED, created_at timestamptz NOT NULL, note text NOT NULL);
CREATE TABLE consent_event (id bigserial PRIMARY KEY, lead_id bigint NOT NULL REFERENCES lead DEFERRABLE INITIALLY DEFERRED, created_at timestamptz NOT NULL, event text NOT NULL, evidence jsonb NOT NULL);
CREATE TABLE follow_up (id bigserial PRIMARY KEY, lead_id bigint NOT NULL REFERENCES lead DEFERRABLE INITIALLY DEFERRED, created_at timestamptz NOT NULL,
                        due_at timestamptz NOT NULL, reason text NOT NULL, closed_at timestamptz);
CREATE TABLE queue (id bigserial PRIMARY KEY, lead_id bigint NOT NULL REFERENCES lead DEFERRABLE INITIALLY DEFERRED, created_at timestamptz NOT NULL,
                    message_id bigint NOT NULL REFERENCES message DEFERRABLE INITIALLY DEFERRED, due_at timestamptz NOT NULL);
CREATE TABLE event (id bigserial PRIMARY KEY, lead_id bigint NOT NULL REFERENCES lead DEFERRABLE INITIALLY DEFERRED, created_at timestamptz NOT NULL, event text NOT NULL, data jsonb NOT NULL);
CREATE TABLE count (id bigserial PRIMARY KEY, day date NOT NULL, scope text NOT NULL, counted text NOT NULL, number integer NOT NULL);
CREATE INDEX ON queue (lead_id); CREATE INDEX ON queue (message_id); CREATE INDEX ON event (lead_id); CREATE INDEX ON message (lead_id); CREATE INDEX ON click (lead_id); CREATE INDEX ON click (message_id); CREATE INDEX ON note (lead_id); CREATE INDEX ON consent_event (lead_id); CREATE INDEX ON follow_up (lead_id);
INSERT INTO lead (name, phone, status, stage, consent, updated_at) SELECT 'Asha Rao', '+' || 919800000000 + n, 'Contacted', 'Contacted', 'unknown', now() FROM generate_series(1, :people) n;
INSERT INTO message (lead_id, created_at, purpose, status) SELECT id, now(), 'pitch', 'delivered' FROM lead ORDER BY id;
CREATE EXTENSION pgcrypto;
-- Cut to the same twelve digits as the original's tokens.
CREATE TABLE link AS
  SELECT id, format('/track/%s/?token=%s:%s:%s&action=interested&m=%s', id, id, issued, left(encode(hmac(format('%s:%s', id, issued), 'a secret of the benchmark', 'sha256'), 'hex'), 12), id) AS target
    FROM lead, (SELECT extract(epoch FROM now())::bigint AS issued) t;
ALTER TABLE link ADD PRIMARY KEY (id);
VACUUM ANALYZE;
