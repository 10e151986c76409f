\set ECHO none
-- A fresh extension with its roles, and the clock pinned to a Tuesday morning in sales hours: ids, times and texts of
-- every test file are its own.  The roles themselves are made once, in install.sql.
\set SHOW_CONTEXT never
\pset null -
\o /dev/null
SET client_min_messages = warning;
SET datestyle = 'ISO, MDY';
SET timezone = 'Asia/Kolkata';
SET intervalstyle = 'postgres';
DROP EXTENSION IF EXISTS wacta CASCADE;
CREATE EXTENSION wacta CASCADE;
SELECT wacta.create_roles();
SET wacta.fixed_now = '2025-08-26 11:30:45+05:30';
RESET client_min_messages;

-- What a statement comes to: ok, or its SQLSTATE and message.
CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  RETURN 'ok';
EXCEPTION WHEN others THEN
  RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;

-- Moves the pinned clock.
CREATE FUNCTION pg_temp.advance(step interval) RETURNS timestamptz LANGUAGE sql AS
$$ SELECT set_config('wacta.fixed_now', (wacta.now() + step)::text, false)::timestamptz $$;
\o
\set ECHO all
