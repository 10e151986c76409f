-- A table attached to leads: what is refused, what changes on either side and what on neither, whose rights are used, and that nothing is left.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SET client_min_messages = warning;
CREATE ROLE regress_crm;
CREATE ROLE regress_clerk;
GRANT wacta_admin TO regress_crm;
CREATE SCHEMA crm AUTHORIZATION regress_crm;
SET ROLE regress_crm;
GRANT USAGE ON SCHEMA crm TO regress_clerk;
CREATE TABLE crm.contacts (office integer, nr bigint, full_name text, mobile text, rank varchar(4) DEFAULT 'new', quiet boolean, boss text, PRIMARY KEY (office, nr));
GRANT SELECT, INSERT, UPDATE, DELETE ON crm.contacts TO regress_clerk;
CREATE VIEW crm.seen AS SELECT * FROM crm.contacts;
CREATE TABLE crm.keyless (mobile text, id integer);

-- Everything that can be seen of a database but for rows: what a detached table must leave as it was
RESET ROLE;
CREATE FUNCTION pg_temp.catalog() RETURNS TABLE (what text) LANGUAGE sql AS $$
  SELECT 'trigger ' || t.tgrelid::regclass || ' ' || t.tgname || ' ' || t.tgenabled::text FROM pg_trigger t
  UNION ALL SELECT 'function ' || p.oid::regprocedure FROM pg_proc p
  UNION ALL SELECT 'relation ' || c.oid::regclass FROM pg_class c WHERE c.relnamespace::regnamespace::text !~ '^pg_'
  UNION ALL SELECT 'acl ' || c.oid::regclass || c.relacl::text FROM pg_class c WHERE c.relacl IS NOT NULL
  UNION ALL SELECT 'event trigger ' || e.evtname FROM pg_event_trigger e
  UNION ALL SELECT 'row ' || r::text FROM wacta.lead_row r UNION ALL SELECT 'table ' || t::text FROM wacta.lead_table t
$$;
CREATE TEMP TABLE before AS SELECT * FROM pg_temp.catalog();

-- What is refused
SET ROLE regress_crm;
SELECT pg_temp.attempt(format('SELECT wacta.attach_lead_table(%L, %L)', relation, mapping)) FROM (VALUES
  ('crm.nothing', '{"phone": "mobile"}'), ('crm.seen', '{"phone": "mobile"}'), ('crm.keyless', '{"phone": "mobile"}'), ('crm.keyless', '{"phone": "mobile", "key": "id"}'),
  ('wacta.lead', '{"phone": "name"}'), ('pg_catalog.pg_class', '{"phone": "relname"}'),
  ('crm.contacts', NULL), ('crm.contacts', '[]'), ('crm.contacts', '{"name": "full_name"}'), ('crm.contacts', '{"phone": "mobile", "colour": "boss"}'),
  ('crm.contacts', '{"phone": "telephone"}'), ('crm.contacts', '{"phone": 7}'), ('crm.contacts', '{"phone": {"column": "mobile", "path": ["a"]}}'), ('crm.contacts', '{"phone": "mobile", "key": "nr"}'),
  ('crm.contacts', '{"phone": "mobile\"; DROP TABLE crm.contacts; --"}'), ('crm.contacts', '{"phone": {"column": "mobile", "direction": "both"}}'), ('crm.contacts', '{"phone": "mobile", "name": {"column": "full_name", "direction": "up"}}'),
  ('crm.contacts', '{"phone": "mobile", "status": {"column": "rank", "words": {"Happy": "yes"}}}'), ('crm.contacts', '{"phone": "mobile", "status": {"column": "rank", "words": {"New": "new", "Interested": "new"}}}'),
  ('crm.contacts', '{"phone": "mobile", "status": {"column": "rank", "words": {"New": "brand new"}}}'), ('crm.contacts', '{"phone": "mobile", "opt_out": {"column": "quiet", "words": {"withdrawn": "perhaps"}}}'),
  ('crm.contacts', '{"phone": "mobile", "opt_out": "boss"}'), ('crm.contacts', '{"phone": "mobile", "on_failure": "cry"}'),
  ('crm.contacts', '{"phone": {"column": "x", "via": [{"table": "crm.keyless"}]}}'), ('crm.contacts', '{"phone": {"column": "x", "via": [{"table": "crm.keyless", "on": {"id": "nowhere"}}]}}'),
  ('crm.contacts', '{"phone": {"column": "sealed", "via": [{"table": "wacta.signing_key", "on": {"key_id": "nr"}}]}}')) v(relation, mapping);
-- of the rows that are there, two are one person, one has no number and one no good one
INSERT INTO crm.contacts VALUES (1, 1, 'Asha', '98765 00001', 'new', false, 'anu'), (1, 2, 'Asha again', '+919876500001', 'new', NULL, NULL), (2, 1, 'Ravi', '0987-65-00002', NULL, true, 'x'),
  (2, 2, 'Nobody', NULL, NULL, NULL, NULL), (2, 3, 'Nonsense', 'see notes', NULL, NULL, NULL);
SELECT wacta.attach_lead_table('crm.contacts', '{"phone": "mobile", "name": {"column": "full_name", "direction": "both"}, "opt_out": "quiet", "owner": "boss",
  "status": {"column": "rank", "words": {"New": ["new", "cold"], "Interested": "hot", "Not Interested": "dead"}}}') AS bound;
SELECT key, state FROM wacta.lead_row_problem;
RESET ROLE;
SELECT name, status, consent, owner, source FROM wacta.lead ORDER BY lead_id;
SELECT event, kind, reason, evidence - 'by' AS evidence FROM wacta.consent_event;

-- From the lead to its rows, both of them; a word that the CRM does not have is left out
SELECT decision FROM wacta.record_click(wacta.mint_token(pg_temp.lead(1)), 'interested', pg_temp.lead(1));
SELECT * FROM crm.contacts ORDER BY office, nr;
UPDATE wacta.lead SET status = 'Contacted', name = 'Asha Rao' WHERE lead_id = pg_temp.lead(1);
SELECT * FROM crm.contacts WHERE office = 1 ORDER BY office, nr;

-- From a row to the lead, and from there to the other row. The clerk has no right to anything of wacta's
SET ROLE regress_clerk;
UPDATE crm.contacts SET rank = 'dead', boss = 'bina' WHERE nr = 2 AND office = 1;
UPDATE crm.contacts SET quiet = true WHERE nr = 1 AND office = 1;
SELECT * FROM crm.contacts WHERE office = 1 ORDER BY office, nr;
UPDATE crm.contacts SET quiet = false WHERE office = 1 AND nr = 2;
UPDATE crm.contacts SET rank = 'what' WHERE office = 1 AND nr = 2;
INSERT INTO crm.contacts VALUES (3, 1, 'Meera', '98765 00003', 'new', NULL), (3, 2, NULL, '98765 00004', 'hot', false);
SELECT pg_temp.attempt('SELECT * FROM wacta.lead');
RESET ROLE;
SELECT name, status, stage, consent, owner FROM wacta.lead ORDER BY lead_id;
SELECT event, kind, reason, effective FROM wacta.consent_event WHERE lead_id = pg_temp.lead(1) ORDER BY event_id;
SELECT note FROM wacta.lead_note WHERE lead_id = pg_temp.lead(1) ORDER BY note_id;
-- the name of somebody unknown is learnt by the CRM, too
UPDATE wacta.lead SET name = 'Dev' WHERE lead_id = pg_temp.lead(4);
SELECT full_name FROM crm.contacts WHERE (office, nr) = (3, 2);

-- Another key, another phone, none, gone, all gone. A lead is never deleted, and what they said stays
UPDATE crm.contacts SET nr = 7 WHERE (office, nr) = (3, 2);
UPDATE wacta.lead SET owner = 'chand' WHERE lead_id = pg_temp.lead(4);
SELECT nr, boss FROM crm.contacts WHERE office = 3 ORDER BY nr;
UPDATE crm.contacts SET mobile = '98765 00005' WHERE (office, nr) = (3, 7);
SELECT name, status, owner FROM wacta.lead WHERE lead_id IN (pg_temp.lead(4), pg_temp.lead(5)) ORDER BY lead_id;
UPDATE crm.contacts SET mobile = NULL WHERE (office, nr) = (3, 7);
SELECT key, state FROM wacta.lead_row_problem WHERE key[1] = '3';
DELETE FROM crm.contacts WHERE (office, nr) IN ((2, 1), (3, 7));
SELECT consent FROM wacta.lead WHERE lead_id = pg_temp.lead(2);
SELECT key FROM wacta.lead_row ORDER BY key;
-- who is entered again is who they were
INSERT INTO crm.contacts VALUES (2, 1, 'Ravi', '98765 00002');
SELECT quiet FROM crm.contacts WHERE (office, nr) = (2, 1);

-- Leads that become one take their rows along
INSERT INTO crm.contacts VALUES (4, 1, 'Esha', '98765 00006', 'new', false), (4, 2, 'Esha', '98765 00007', 'hot', true);
SELECT wacta.merge_leads(pg_temp.lead(6), pg_temp.lead(7)) = pg_temp.lead(6) AS merged;
SELECT * FROM crm.contacts WHERE office = 4 ORDER BY nr;
SELECT key, lead_id = pg_temp.lead(6) AS hers FROM wacta.lead_row WHERE key[1] = '4';
-- who is forgotten is opted out in the CRM, and is not known here by its row again
SELECT wacta.forget(pg_temp.lead(6)) IS NOT NULL AS forgotten;
UPDATE crm.contacts SET full_name = 'Esha Nair' WHERE office = 4;
SELECT key, state, lead_id, seen FROM wacta.lead_row WHERE key[1] = '4' ORDER BY key;
SELECT count(*) FROM wacta.lead WHERE name ~ 'Esha';

-- What the CRM refuses does not stop a tap: it is told, and tried again; or it does, when the mapping says so
SET ROLE regress_crm;
ALTER TABLE crm.contacts ADD CONSTRAINT nobody_is_hot CHECK (rank <> 'hot') NOT VALID;
RESET ROLE;
SELECT decision FROM wacta.record_click(wacta.mint_token(pg_temp.lead(3)), 'interested', pg_temp.lead(3));
SELECT rank FROM crm.contacts WHERE (office, nr) = (3, 1);
SELECT key, state, error FROM wacta.lead_row_problem WHERE state = 'failed';
SELECT severity, alert, object, what FROM wacta.alert WHERE alert = 'crm_row_failed';
SELECT wacta.sync_lead_tables() AS still_none;
ALTER TABLE crm.contacts DROP CONSTRAINT nobody_is_hot;
SELECT wacta.sync_lead_tables() AS one;
SELECT rank FROM crm.contacts WHERE (office, nr) = (3, 1);

-- A trigger names a table of its schema; and an operator that somebody else has made for the type of the key is not used
CREATE FUNCTION public.trick(varchar, varchar) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'this ran as %', current_user; END $$;
CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.trick);
SET ROLE regress_crm;
CREATE TABLE crm.history (code text, rank text);
CREATE FUNCTION crm.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO history VALUES (NEW.code, NEW.rank); RETURN NULL; END $$;
CREATE TABLE crm.deal (code varchar PRIMARY KEY, mobile text, rank text);
CREATE TRIGGER keep AFTER UPDATE ON crm.deal FOR EACH ROW EXECUTE FUNCTION crm.keep();
SELECT wacta.attach_lead_table('crm.deal', '{"phone": "mobile", "status": "rank"}') AS bound;
INSERT INTO crm.deal VALUES ('x', '98765 00013', 'New');
RESET ROLE;
UPDATE wacta.lead SET status = 'Contacted' WHERE lead_id = pg_temp.lead(13);
SELECT * FROM crm.history;
SELECT state, error FROM wacta.lead_row_problem WHERE relation = 'crm.deal';
DROP TABLE crm.deal, crm.history;
DROP FUNCTION crm.keep();
DROP OPERATOR public.= (varchar, varchar);
DROP FUNCTION public.trick(varchar, varchar);

-- A trigger of the CRM that changes what we write, and one that undoes it for ever
SET ROLE regress_crm;
CREATE FUNCTION crm.shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.full_name := upper(NEW.full_name); RETURN NEW; END $$;
CREATE TRIGGER shout BEFORE UPDATE ON crm.contacts FOR EACH ROW EXECUTE FUNCTION crm.shout();
RESET ROLE;
UPDATE wacta.lead SET name = 'Meera Shah' WHERE lead_id = pg_temp.lead(3);
SELECT l.name, c.full_name FROM wacta.lead l, crm.contacts c WHERE l.lead_id = pg_temp.lead(3) AND (office, nr) = (3, 1);
SET ROLE regress_crm;
CREATE OR REPLACE FUNCTION crm.shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.full_name := reverse(NEW.full_name) || 'x'; RETURN NEW; END $$;
RESET ROLE;
UPDATE wacta.lead SET name = 'Mira' WHERE lead_id = pg_temp.lead(3);
SELECT length(name) > 4 AS ended FROM wacta.lead WHERE lead_id = pg_temp.lead(3);
DROP TRIGGER shout ON crm.contacts;

-- Attached again is another mapping; on_failure => fail
SET ROLE regress_crm;
SELECT wacta.attach_lead_table('crm.contacts', '{"phone": "mobile", "on_failure": "fail", "status": {"column": "rank", "words": {"New": "n", "Contacted": "c", "Interested": "hot", "Not Interested": "dead"}}}', load => false) AS bound;
SELECT count(*) AS tables, (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'crm.contacts'::regclass AND NOT tgisinternal) AS triggers FROM wacta.lead_table;
SELECT wacta.load_lead_table('crm.contacts', NULL, 3) AS third, wacta.load_lead_table('crm.contacts', '{2,1}', 100) AS last, wacta.load_lead_table('crm.contacts', '{4,2}') AS over;
ALTER TABLE crm.contacts ADD CHECK (rank <> 'dead') NOT VALID;
RESET ROLE;
SELECT pg_temp.attempt('SELECT wacta.record_click(wacta.mint_token(pg_temp.lead(3)), ''not_interested'', pg_temp.lead(3))');
SELECT status, consent FROM wacta.lead WHERE lead_id = pg_temp.lead(3);

-- Attacks. Who does not own a table cannot have wacta write to it, nor read it: not by its own hand, not through a way, not through another's function
CREATE TABLE crm.secret (id integer PRIMARY KEY, mobile text);
SET ROLE regress_crm;
SELECT pg_temp.attempt(what) FROM unnest(ARRAY[
  'SELECT wacta.attach_lead_table(''crm.secret'', ''{"phone": "mobile"}'')', 'SELECT wacta.attach_lead_table_for(10, ''crm.secret'', ''{"phone": "mobile"}'', true)',
  'SELECT wacta.attach_lead_table(''crm.contacts'', ''{"phone": {"column": "mobile", "via": [{"table": "crm.secret", "on": {"id": "nr"}}]}}'')',
  'SELECT wacta.load_lead_table(''crm.secret'')', 'SELECT wacta.detach_lead_table(''crm.secret'')', 'UPDATE wacta.lead_table SET mapping = ''{}''', 'INSERT INTO wacta.lead_row VALUES (1, ''{1,1}'', 1)']) what;
-- a trigger of theirs that waits for the end of the transaction, when whoever taps has the session, is not let wait
CREATE TABLE crm.ran (by text);
CREATE TABLE crm.patient (id integer PRIMARY KEY, mobile text, rank text);
CREATE FUNCTION crm.later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO crm.ran VALUES (current_user); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON crm.patient DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION crm.later();
INSERT INTO crm.patient VALUES (1, '98765 00008', 'New');
SELECT wacta.attach_lead_table('crm.patient', '{"phone": "mobile", "status": "rank"}') AS bound;
RESET ROLE;
UPDATE wacta.lead SET status = 'Contacted' WHERE lead_id = pg_temp.lead(8);
SELECT by FROM crm.ran;
SELECT state, error FROM wacta.lead_row_problem WHERE relation = 'crm.patient';
SET ROLE regress_crm;
ALTER TABLE crm.patient DISABLE TRIGGER later;
RESET ROLE;
SELECT wacta.sync_lead_tables() > 0 AS done;
SELECT rank FROM crm.patient;
SET ROLE regress_crm;
SELECT wacta.detach_lead_table('crm.patient');
DROP TABLE crm.patient;
DROP FUNCTION crm.later();
-- a type of their own whose casts are their own code: nothing of it runs as anybody but them
CREATE TYPE crm.mood AS ENUM ('good', 'bad');
CREATE FUNCTION crm.spy(crm.mood) RETURNS json LANGUAGE plpgsql AS $$ BEGIN INSERT INTO crm.ran VALUES (current_user); RETURN '"good"'; END $$;
CREATE FUNCTION crm.spy_text(crm.mood) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO crm.ran VALUES (current_user); RETURN format('%s', $1); END $$;
CREATE CAST (crm.mood AS json) WITH FUNCTION crm.spy(crm.mood);
CREATE CAST (crm.mood AS text) WITH FUNCTION crm.spy_text(crm.mood);
CREATE TABLE crm.trap (id crm.mood PRIMARY KEY, mobile text, rank crm.mood);
SELECT wacta.attach_lead_table('crm.trap', '{"phone": "mobile", "status": {"column": "rank", "words": {"New": "good", "Interested": "bad"}}}') AS bound;
INSERT INTO crm.trap VALUES ('good', '98765 00008', 'good');
RESET ROLE;
SELECT decision FROM wacta.record_click(wacta.mint_token(pg_temp.lead(8)), 'interested', pg_temp.lead(8));
SELECT by, count(*) > 0 AS ran FROM crm.ran GROUP BY 1;
SELECT rank::text FROM crm.trap;
SELECT key, state, error FROM wacta.lead_row_problem WHERE relation = 'crm.trap';

-- A partitioned table, with row security that its owner is under as well
SET ROLE regress_crm;
CREATE TABLE crm.people (id integer, region text, phone text, state text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE crm.north PARTITION OF crm.people FOR VALUES IN ('n');
CREATE TABLE crm.south PARTITION OF crm.people FOR VALUES IN ('s');
SELECT wacta.attach_lead_table('crm.people', '{"phone": "phone", "status": {"column": "state", "words": {"New": "0", "Interested": "1"}}}') AS bound;
INSERT INTO crm.people VALUES (1, 'n', '98765 00009', '0'), (1, 's', '98765 00010', '0');
RESET ROLE;
SELECT count(*) FROM wacta.record_click(wacta.mint_token(pg_temp.lead(10)), 'interested', pg_temp.lead(10));
SELECT * FROM crm.people ORDER BY region;
UPDATE crm.people SET region = 'n', id = 2 WHERE region = 's';
SELECT key, lead_id = pg_temp.lead(10) AS his FROM wacta.lead_row WHERE key[1] = 'n' ORDER BY key;
ALTER TABLE crm.people ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT wacta.record_click(wacta.mint_token(pg_temp.lead(9)), 'interested', pg_temp.lead(9)) IS NOT NULL AS tapped;
SELECT key, state FROM wacta.lead_row_problem WHERE relation = 'crm.people';
TRUNCATE crm.people;
SELECT count(*) FROM wacta.lead_row WHERE key[1] = 'n';

-- A key is the same whatever the session makes of its type, and keys may move on by one in one statement
SET ROLE regress_crm;
CREATE TABLE crm.visit (nr integer, at timestamptz, phone text, state text, PRIMARY KEY (at, nr) DEFERRABLE);
SELECT wacta.attach_lead_table('crm.visit', '{"phone": "phone", "status": "state"}') AS bound;
INSERT INTO crm.visit VALUES (1, '2025-08-01 10:00+05:30', '98765 00011', 'New'), (2, '2025-08-01 10:00+05:30', '98765 00012', 'New');
SET timezone = 'America/New_York';
SET datestyle = 'SQL, DMY';
UPDATE crm.visit SET state = 'Interested' WHERE nr = 1;
UPDATE crm.visit SET nr = nr + 1;
SET timezone = 'Asia/Kolkata';
SET datestyle = 'ISO, MDY';
UPDATE crm.visit SET state = 'Contacted' WHERE nr = 3;
RESET ROLE;
SELECT r.key, pg_temp.lead(11) = r.lead_id AS first, l.status FROM wacta.lead_row r JOIN wacta.lead l USING (lead_id) WHERE r.key[1] ~ '^2025' ORDER BY 1;
SET ROLE regress_crm;
SELECT wacta.load_lead_table('crm.visit') AS the_same;
-- who renames a column of the key stops nobody, and is told so
ALTER TABLE crm.visit RENAME nr TO number;
UPDATE crm.visit SET state = 'New';
RESET ROLE;
SELECT key, state, error FROM wacta.lead_row_problem WHERE relation = 'crm.visit';
SET ROLE regress_crm;
ALTER TABLE crm.visit RENAME number TO nr;
UPDATE crm.visit SET state = 'Interested';
RESET ROLE;
SELECT count(*) FROM wacta.sync_lead_tables();
SELECT r.key, r.state, l.status FROM wacta.lead_row r JOIN wacta.lead_table t USING (table_id) LEFT JOIN wacta.lead l USING (lead_id) WHERE t.relation = 'crm.visit'::regclass ORDER BY 1;
SET ROLE regress_crm;
DELETE FROM crm.visit;
RESET ROLE;
SELECT count(*) FROM wacta.lead_row r WHERE r.key[1] ~ '^2025';

-- A table that is dropped is forgotten; what is detached has left no trace
DROP TABLE crm.people, crm.trap, crm.visit;
SELECT wacta.upsert_lead('9876500009', owner => 'anu') > 0 AS lives_on, wacta.sync_lead_tables() IS NOT NULL AS tidied;
SET ROLE regress_crm;
SELECT wacta.detach_lead_table('crm.contacts');
SELECT pg_temp.attempt('SELECT wacta.detach_lead_table(''crm.contacts'')');
DROP TABLE crm.ran, crm.secret;
RESET ROLE;
(SELECT '+' AS sign, * FROM pg_temp.catalog() WHERE what !~ 'crm\.(spy|shout|mood)' EXCEPT SELECT '+', * FROM before) UNION ALL (SELECT '-', * FROM before EXCEPT SELECT '-', * FROM pg_temp.catalog());
SELECT count(*) AS leads FROM wacta.lead;
UPDATE crm.contacts SET boss = 'nobody' WHERE rank <> 'dead';
SELECT count(*) FROM wacta.lead WHERE owner = 'nobody';
DROP OWNED BY regress_crm, regress_clerk CASCADE;
DROP ROLE regress_crm, regress_clerk;
