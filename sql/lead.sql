-- Leads: found by phone however it is written, made once, never lost; names made fit to be shown and sent.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include

-- One person, four spellings; a name or a project that is given replaces the old one, one that is not does not
SELECT wacta.upsert_lead('9876500001', 'Asha Rao', 'Green Acres') AS a, wacta.upsert_lead('+91 98765 00001') AS b, wacta.upsert_lead('09876500001', owner => 'ravi') AS c, wacta.upsert_lead('919876500001', 'Asha R.', source => 'csv') AS d \gset
SELECT :a = :b AS ab, :b = :c AS bc, :c = :d AS cd;
SELECT l.name, l.status, l.stage, l.owner, l.source, l.consent, p.name AS project, l.created_at FROM wacta.lead l JOIN wacta.project p USING (project_id);
SELECT kind, value, lead_id = :a AS hers FROM wacta.lead_identity;
SELECT wacta.lead_by_phone('0 98765-00001') = :a AS hers, wacta.lead_by_phone('9876500002') AS nobody, wacta.lead_by_phone('junk') AS junk, wacta.lead_by_phone(NULL) AS nothing;

-- A number that cannot be read is kept as it came. Two such people are two; the same one again is the same
SELECT wacta.upsert_lead('unknown', 'Meera') AS a, wacta.upsert_lead('unknown', 'Kiran') AS b, wacta.upsert_lead(' unknown ', 'Meera') AS c, wacta.upsert_lead('12') AS d, wacta.upsert_lead(repeat('9', 5000)) AS e \gset
SELECT count(DISTINCT id) AS people, :a = :c AS the_same FROM unnest(ARRAY[:a, :b, :c, :d, :e]) id;
SELECT left(pg_temp.who(lead_id), 20) AS who, kind, left(value, 20) AS value, length(value) FROM wacta.lead_identity WHERE kind <> 'phone' ORDER BY lead_id;
-- nothing can be sent to them until they have a phone
SELECT m.status, m.reason FROM wacta.send_campaign('project_update_template', leads => ARRAY[:a]) c JOIN LATERAL (SELECT c.outcome AS reason, 'suppressed' AS status) m ON true;
INSERT INTO wacta.lead_identity (kind, value, lead_id) VALUES ('phone', '+919876500077', :a);
SELECT outcome FROM wacta.send_campaign('project_update_template', leads => ARRAY[:a]);

-- A new project name makes a project, the same name does not
SELECT wacta.upsert_lead('9876500003', project => 'Blue Hills') > 0, wacta.upsert_lead('9876500004', project => 'Blue Hills') > 0, wacta.upsert_lead('9876500004', project => '') > 0;
SELECT p.name, count(l.lead_id) AS leads FROM wacta.project p LEFT JOIN wacta.lead l USING (project_id) GROUP BY 1 ORDER BY 1;

-- Errors of the caller
SELECT pg_temp.attempt('SELECT wacta.upsert_lead('''')'), pg_temp.attempt('SELECT wacta.upsert_lead(NULL)'), pg_temp.attempt('SELECT wacta.upsert_lead(''  '')'),
       pg_temp.attempt('SELECT wacta.upsert_lead(''9876500005'', project => repeat(''x'', 201))');

-- Names: one line, no control or direction characters, no more than 300; never an error, however hostile
SELECT what, quote_nullable(wacta.clean_name(name)) AS clean FROM (VALUES
  ('plain', 'Asha Rao'), ('spaces', E'  Asha \t\n Rao  '), ('devanagari', 'आशा राव'), ('emoji', 'Asha 🌸'), ('quotes', 'O''Brien "Bob" <b>'), ('braces', '{{1}} {{2}}'), ('right to left', E'Asha\u202Eoar\u2066x'),
  ('zero width', E'A\u200Bs\u200Fha'), ('bell', E'A\x07B'), ('only spaces', E' \n '), ('empty', ''), ('nothing', NULL)) v(what, name);
SELECT length(wacta.clean_name(repeat('ä', 10000)));
SELECT name FROM wacta.lead WHERE lead_id = wacta.upsert_lead('9876500001', E'  \n ');   -- an empty name replaces nothing

-- Staff: a role of theirs sees the dashboard and has no power over the server
SELECT role, pg_temp.attempt(format('SELECT wacta.add_staff(''ravi'', ''a long password'', role => %L)', role)) FROM unnest('{wacta_agent,wacta_anon,wacta_courier,wacta_gateway,pg_monitor,no_such_role,NULL}'::text[]) role;
SELECT pg_temp.attempt(format('SELECT wacta.add_staff(''ravi'', ''a long password'', role => %L)', session_user)) AS a_superuser;
-- a role of the site's own will do, when it was given the rights and none over the server
CREATE ROLE regress_wacta_sales;
SELECT wacta.grant_agent('regress_wacta_sales');
SELECT pg_temp.attempt('SELECT wacta.add_staff(''ravi'', ''a long password'', role => ''regress_wacta_sales'')') AS a_role_of_the_site;
ALTER ROLE regress_wacta_sales CREATEROLE;
SELECT pg_temp.attempt('SELECT wacta.add_staff(''ravi'', ''a long password'', role => ''regress_wacta_sales'')') AS that_makes_roles;
ALTER ROLE regress_wacta_sales NOCREATEROLE;
GRANT EXECUTE ON FUNCTION wacta.unseal(bytea) TO regress_wacta_sales;
SELECT pg_temp.attempt('SELECT wacta.add_staff(''ravi'', ''a long password'', role => ''regress_wacta_sales'')') AS that_reads_secrets;
DROP OWNED BY regress_wacta_sales;
DROP ROLE regress_wacta_sales;
DELETE FROM wacta.staff;
ALTER SEQUENCE wacta.staff_staff_id_seq RESTART;
SELECT wacta.add_staff('asha', 'correct horse battery', 'Asha') AS id;
SELECT wacta.add_staff('asha', 'another good password', role => 'wacta_admin') AS same_id;
SELECT username, name, role, failures, password_hash ~ '^\$2a\$10\$.{53}$' AS bcrypt, wacta.password_matches('another good password', password_hash) AS fits, wacta.password_matches('correct horse battery', password_hash) AS old_one FROM wacta.staff;
SELECT pg_temp.attempt('SELECT wacta.add_staff(''a b'', ''a long password'')'), pg_temp.attempt('SELECT wacta.add_staff(''ravi'', ''short'')'), pg_temp.attempt('SELECT wacta.add_staff(''ravi'', NULL)'), pg_temp.attempt('SELECT wacta.add_staff(''ravi'', repeat(''x'', 73))'),
       pg_temp.attempt('SELECT wacta.add_staff(''ravi'', repeat(''ä'', 40))') AS more_than_bcrypt_reads;
