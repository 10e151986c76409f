-- Tables as four CRMs have them, attached as they are. Only their shapes are shown here: the columns that matter, with their types.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SET client_min_messages = warning;
CREATE ROLE regress_crm;
GRANT wacta_admin TO regress_crm;

-- SuiteCRM: leads has char(36) ids, four phones as they were typed, do_not_call as a bool that its own drivers keep as smallint, and no
-- column for the name. (modules/Leads/vardefs.php and include/SugarObjects/templates/person/vardefs.php of salesagility/SuiteCRM)
CREATE SCHEMA suitecrm AUTHORIZATION regress_crm;
SET ROLE regress_crm;
CREATE TABLE suitecrm.leads (
  id char(36) PRIMARY KEY, date_modified timestamp, assigned_user_id char(36), salutation varchar(255), first_name varchar(100), last_name varchar(100),
  do_not_call smallint DEFAULT 0, phone_home varchar(100), phone_mobile varchar(100), phone_work varchar(100), phone_other varchar(100),
  lead_source varchar(100), status varchar(100), deleted smallint DEFAULT 0);
INSERT INTO suitecrm.leads (id, first_name, last_name, phone_mobile, phone_work, lead_source, status) VALUES
  ('1b4e28ba-2fa1-11d2-883f-0016d3cca427', 'Asha', 'Rao', '(098765) 00001', NULL, 'Web Site', 'New'),
  ('6fa459ea-ee8a-3ca4-894e-db77e160355e', 'Ravi', 'Kumar', 'ask him', '+91 98765 00002', 'Green Acres', 'Assigned'),
  ('16fd2706-8baf-433b-82eb-8c7fada847da', NULL, 'Nobody', NULL, NULL, NULL, 'New');
SELECT wacta.attach_lead_table('suitecrm.leads', '{
  "phone": ["phone_mobile", "phone_work", "phone_other", "phone_home"],
  "name": ["first_name", "last_name"],
  "project": {"value": "Green Acres"},
  "status": {"column": "status", "words": {"New": ["New", "Assigned"], "Contacted": "In Process", "Interested": "Converted", "Not Interested": "Dead"}},
  "owner": {"column": "assigned_user_id", "words": {"anu": "seed_anu_id"}},
  "opt_out": "do_not_call"}') AS bound;
RESET ROLE;
SELECT l.name, i.value, p.name AS project, l.status, l.source FROM wacta.lead l JOIN wacta.lead_identity i USING (lead_id) JOIN wacta.project p USING (project_id) ORDER BY i.value;
SELECT key, state FROM wacta.lead_row_problem;
SELECT wacta.send_interactive(pg_temp.lead(1)) > 0 AS message, decision FROM wacta.record_click(wacta.mint_token(pg_temp.lead(1)), 'not_interested', pg_temp.lead(1));
UPDATE suitecrm.leads SET status = 'In Process', phone_mobile = '98765-00002', assigned_user_id = 'seed_anu_id' WHERE last_name = 'Kumar';
SELECT last_name, status, do_not_call, assigned_user_id FROM suitecrm.leads ORDER BY last_name;
SELECT name, status, stage, consent, owner FROM wacta.lead ORDER BY name;

-- EspoCRM: lead has varchar(17) ids; the phone is in phone_number, which entity_phone_number links to any entity, and both are written after
-- the lead. (Resources/metadata/entityDefs/PhoneNumber.json and Modules/Crm/Resources/metadata/entityDefs/Lead.json of espocrm/espocrm)
CREATE SCHEMA espocrm AUTHORIZATION regress_crm;
SET ROLE regress_crm;
CREATE TABLE espocrm.lead (id varchar(17) PRIMARY KEY, deleted boolean DEFAULT false, first_name varchar(100), last_name varchar(100), status varchar(255) DEFAULT 'New', do_not_call boolean NOT NULL DEFAULT false, assigned_user_id varchar(17));
CREATE TABLE espocrm.phone_number (id varchar(17) PRIMARY KEY, name varchar(36), deleted boolean DEFAULT false, type varchar(255), "numeric" varchar(36), invalid boolean NOT NULL DEFAULT false, opt_out boolean NOT NULL DEFAULT false);
CREATE TABLE espocrm.entity_phone_number (id bigserial PRIMARY KEY, entity_id varchar(17), phone_number_id varchar(17), entity_type varchar(100), "primary" boolean DEFAULT false, deleted boolean DEFAULT false);
CREATE INDEX ON espocrm.entity_phone_number (entity_id);
CREATE INDEX ON espocrm.entity_phone_number (phone_number_id);
SELECT wacta.attach_lead_table('espocrm.lead', '{
  "phone": {"column": "name", "via": [
    {"table": "espocrm.entity_phone_number", "on": {"entity_id": "id"}, "where": {"entity_type": "Lead", "primary": true, "deleted": false}},
    {"table": "espocrm.phone_number", "on": {"id": "phone_number_id"}}]},
  "name": ["first_name", "last_name"],
  "status": {"column": "status", "words": {"New": ["New", "Assigned"], "Contacted": "In Process", "Interested": "Converted", "Not Interested": "Dead"}},
  "opt_out": "do_not_call"}') AS bound;
INSERT INTO espocrm.lead (id, first_name, last_name) VALUES ('64f0c0ffee0000001', 'Meera', 'Shah');
SELECT key, state FROM wacta.lead_row_problem WHERE relation = 'espocrm.lead';
INSERT INTO espocrm.phone_number (id, name) VALUES ('64f0c0ffee0000002', '+919876500003');
INSERT INTO espocrm.entity_phone_number (entity_id, phone_number_id, entity_type, "primary") VALUES ('64f0c0ffee0000001', '64f0c0ffee0000002', 'Lead', true);
SELECT key, state, lead_id = pg_temp.lead(3) AS bound FROM wacta.lead_row WHERE key[1] LIKE '64f%';
RESET ROLE;
SELECT name FROM wacta.lead WHERE lead_id = pg_temp.lead(3);
SELECT wacta.opt_out(pg_temp.lead(3));
SELECT last_name, status, do_not_call FROM espocrm.lead;
-- another number in the linked table: another person, to whom the flag of the row applies; the link goes, and so does the binding
UPDATE espocrm.phone_number SET name = '+919876500004';
SELECT name, consent FROM wacta.lead WHERE lead_id IN (pg_temp.lead(3), pg_temp.lead(4)) ORDER BY lead_id;
UPDATE espocrm.entity_phone_number SET deleted = true;
SELECT key, state FROM wacta.lead_row_problem WHERE relation = 'espocrm.lead';

-- Odoo: crm_lead has integer ids, the stage is a foreign key, a lost lead is not active. (addons/crm/models/crm_lead.py of odoo/odoo)
CREATE SCHEMA odoo AUTHORIZATION regress_crm;
SET ROLE regress_crm;
CREATE TABLE odoo.crm_stage (id serial PRIMARY KEY, name jsonb NOT NULL, sequence integer, is_won boolean);
INSERT INTO odoo.crm_stage (name) VALUES ('{"en_US": "New"}'), ('{"en_US": "Qualified"}'), ('{"en_US": "Proposition"}'), ('{"en_US": "Won"}');
CREATE TABLE odoo.res_users (id serial PRIMARY KEY, login varchar NOT NULL UNIQUE);
INSERT INTO odoo.res_users (login) VALUES ('anu'), ('bina');
CREATE TABLE odoo.crm_lead (
  id serial PRIMARY KEY, name varchar NOT NULL, contact_name varchar, phone varchar, mobile varchar, phone_sanitized varchar, stage_id integer REFERENCES odoo.crm_stage,
  user_id integer REFERENCES odoo.res_users, active boolean DEFAULT true, write_date timestamp);
SELECT wacta.attach_lead_table('odoo.crm_lead', '{
  "phone": ["mobile", "phone"], "name": "contact_name",
  "status": {"column": "stage_id", "words": {"New": 1, "Contacted": 2, "Interested": 3}},
  "owner": {"column": "login", "via": [{"table": "odoo.res_users", "on": {"id": "user_id"}}]},
  "opt_out": {"column": "active", "words": {"withdrawn": false, "granted": true, "unknown": true}}}') AS bound;
INSERT INTO odoo.crm_lead (name, contact_name, phone, stage_id, user_id) VALUES ('Flat in Green Acres', 'Dev', '09876500005', 1, 2);
RESET ROLE;
SELECT name, status, owner, source FROM wacta.lead WHERE lead_id = pg_temp.lead(5);
SELECT wacta.record_click(wacta.mint_token(pg_temp.lead(5)), 'interested', pg_temp.lead(5)) IS NOT NULL AS tapped, wacta.opt_out(pg_temp.lead(5));
SELECT contact_name, stage_id, active FROM odoo.crm_lead;
-- the owner has another login: the lead, too
UPDATE odoo.res_users SET login = 'bina.k' WHERE login = 'bina';
SELECT owner FROM wacta.lead WHERE lead_id = pg_temp.lead(5);

-- Twenty: person has uuid ids, and composite fields in several columns. (packages/twenty-server, PersonWorkspaceEntity and the phones
-- composite type of twentyhq/twenty)
CREATE SCHEMA workspace_1 AUTHORIZATION regress_crm;
SET ROLE regress_crm;
CREATE TABLE workspace_1.person (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "nameFirstName" text NOT NULL DEFAULT '', "nameLastName" text NOT NULL DEFAULT '',
  "phonesPrimaryPhoneNumber" text NOT NULL DEFAULT '', "phonesPrimaryPhoneCountryCode" text NOT NULL DEFAULT '', "phonesPrimaryPhoneCallingCode" text NOT NULL DEFAULT '',
  "phonesAdditionalPhones" jsonb, "deletedAt" timestamptz, whatsapp text);
INSERT INTO workspace_1.person ("nameFirstName", "nameLastName", "phonesPrimaryPhoneNumber", "phonesPrimaryPhoneCallingCode", "phonesAdditionalPhones") VALUES
  ('Esha', 'Nair', '9876500006', '+91', NULL), ('Farid', '', '', '', '[{"number": "9876500007", "countryCode": "IN", "callingCode": "+91"}]');
SELECT wacta.attach_lead_table('workspace_1.person', '{
  "phone": [{"parts": ["phonesPrimaryPhoneCallingCode", "phonesPrimaryPhoneNumber"]}, {"column": "phonesAdditionalPhones", "path": ["0", "number"]}],
  "name": ["nameFirstName", "nameLastName"],
  "status": {"column": "whatsapp", "words": {"New": "-", "Contacted": "asked", "Interested": "yes", "Not Interested": "no"}, "direction": "out"}}') AS bound;
RESET ROLE;
SELECT name FROM wacta.lead WHERE lead_id IN (pg_temp.lead(6), pg_temp.lead(7)) ORDER BY name;
SELECT wacta.record_click(wacta.mint_token(pg_temp.lead(7)), 'interested', pg_temp.lead(7)) IS NOT NULL AS tapped;
SELECT "nameFirstName", whatsapp FROM workspace_1.person ORDER BY 1;

-- All four at once, one person in two of them
SET ROLE regress_crm;
INSERT INTO workspace_1.person ("nameFirstName", "phonesPrimaryPhoneNumber") VALUES ('Ravi', '9876500002');
RESET ROLE;
SELECT wacta.record_click(wacta.mint_token(pg_temp.lead(2)), 'interested', pg_temp.lead(2)) IS NOT NULL AS tapped;
SELECT s.status, p.whatsapp FROM suitecrm.leads s, workspace_1.person p WHERE s.last_name = 'Kumar' AND p."nameFirstName" = 'Ravi';
SELECT relation, count(*) FROM wacta.lead_table JOIN wacta.lead_row USING (table_id) WHERE lead_id IS NOT NULL GROUP BY 1 ORDER BY relation::text;
SELECT relation, state, error FROM wacta.lead_row_problem WHERE state IN ('failed', 'busy');
DROP OWNED BY regress_crm CASCADE;
SELECT wacta.upsert_lead('9876500002', owner => 'somebody') > 0 AS tables_are_gone;
SELECT wacta.sync_lead_tables();
SELECT count(*) FROM wacta.lead_table;
DROP ROLE regress_crm;
