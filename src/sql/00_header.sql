\echo Use "CREATE EXTENSION wacta CASCADE" to load this file. \quit

-- wacta: the extension script, concatenated by make from src/sql/*.sql in the order of their numbers.
-- Plain CREATE only: a squatted object must stop the installation, not be taken over.

SET LOCAL search_path TO pg_catalog, pg_temp;

CREATE SCHEMA wacta;
COMMENT ON SCHEMA wacta IS 'wacta: the tables, and the SQL API for applications';

CREATE SCHEMA wacta_api;
COMMENT ON SCHEMA wacta_api IS
$$wacta
WhatsApp call-to-action: links that customers tap, webhooks of providers, and the staff's dashboard. One function an endpoint.$$;

CREATE SCHEMA wacta_http;
COMMENT ON SCHEMA wacta_http IS 'wacta: media-type domains and helpers of the HTTP functions; web roles need USAGE, nothing here is exposed';
