-- CREATE, DROP and CREATE again: what is there, and that nothing is left behind.
SET client_min_messages = warning;
CREATE EXTENSION wacta CASCADE;
SELECT extname, extrelocatable FROM pg_extension WHERE extname IN ('pgcrypto', 'wacta') ORDER BY 1;

-- Nothing of it is open, and no role is made, until it is asked for
SELECT count(*) FROM pg_roles WHERE rolname LIKE 'wacta%';
SELECT * FROM wacta.create_roles();
SELECT * FROM wacta.create_roles();
SELECT rolname, rolcanlogin, rolinherit, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls AS powers,
       (SELECT rolpassword FROM pg_authid a WHERE a.oid = r.oid) IS NULL AS no_password,
       ARRAY(SELECT roleid::regrole::text FROM pg_auth_members m WHERE m.member = r.oid ORDER BY 1) AS member_of
  FROM pg_roles r WHERE rolname LIKE 'wacta%' ORDER BY 1;

-- What it brings
SELECT relkind, count(*), string_agg(relname, ' ' ORDER BY relname) AS names
  FROM pg_class WHERE relnamespace = 'wacta'::regnamespace AND relkind IN ('r', 'v') GROUP BY 1 ORDER BY 1;
SELECT count(*) AS rows_of_config, min(default_country) AS country, min(click_mode) AS click_mode FROM wacta.config;

-- Functions stand in schemas of its own, nowhere else
SELECT DISTINCT n.nspname
  FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'wacta') AND d.deptype = 'e' ORDER BY 1;

-- No database is listed in wacta.databases here, so there is no courier
SELECT count(*) FROM wacta.courier_status();

-- A rolled back CREATE and a rolled back DROP change nothing
BEGIN;
DROP EXTENSION wacta;
SELECT to_regclass('wacta.lead') IS NULL AS gone;
ROLLBACK;
SELECT count(*) FROM wacta.config;

DROP EXTENSION wacta;
SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'wacta%';
BEGIN;
CREATE EXTENSION wacta;
ROLLBACK;
SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'wacta%';

-- Squatted objects stop the installation instead of being taken over
CREATE SCHEMA wacta;
CREATE EXTENSION wacta;
DROP SCHEMA wacta;

-- Without pgcrypto, CASCADE is asked for
DROP EXTENSION pgcrypto;
CREATE EXTENSION wacta;
CREATE EXTENSION wacta CASCADE;

-- pgcrypto may live in any schema
DROP EXTENSION wacta;
CREATE SCHEMA "odd place";
ALTER EXTENSION pgcrypto SET SCHEMA "odd place";
CREATE EXTENSION wacta;
SELECT convert_from(wacta.unseal(wacta.seal('kept')), 'UTF8');
ALTER EXTENSION pgcrypto SET SCHEMA public;
SELECT convert_from(wacta.unseal(wacta.seal('kept')), 'UTF8');

-- A restored row takes the place of the seeded one with its key, so that a dump can be loaded into a fresh extension
INSERT INTO wacta.config (brand, base_url) VALUES ('Restored', 'https://crm.example.com');
SELECT count(*), min(brand) FROM wacta.config;
INSERT INTO wacta.country VALUES ('IN', '91', '0', 10, 10) RETURNING iso;
INSERT INTO wacta.error_rule VALUES (131049, 'fail', 'a site''s own choice') RETURNING code, action;
INSERT INTO wacta.ivr_field VALUES ('generic', 'caller', 1, '$.ani') RETURNING path;
SELECT count(*) FILTER (WHERE iso = 'IN') AS india FROM wacta.country;
