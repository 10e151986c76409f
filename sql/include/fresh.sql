\set ECHO none
-- A fresh extension with its roles, and the clock pinned to a Tuesday morning in sales hours: times and texts of every
-- test file are its own.  The roles themselves are made once, in install.sql.  Leads and messages share one sequence of
-- ids, so no test knows an id: people go by their number, messages by their person or their place in the row.
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

-- The lead with the n-th of the tests' numbers: 98765 00001 and so on.
CREATE FUNCTION pg_temp.lead(n integer) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS
$$ SELECT wacta.lead_by_phone('98765' || lpad($1::text, 5, '0')) $$;
-- The first message of that person.
CREATE FUNCTION pg_temp.message(n integer) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS
$$ SELECT min(m.message_id) FROM wacta.message m WHERE m.lead_id = pg_temp.lead($1) $$;
-- For output: whose a lead is, and the how many-eth message.
CREATE FUNCTION pg_temp.who(lead_id bigint) RETURNS text LANGUAGE sql SECURITY DEFINER AS
$$ SELECT coalesce(l.name, (SELECT min(i.value) FROM wacta.lead_identity i WHERE i.lead_id = $1)) FROM wacta.lead l WHERE l.lead_id = $1 $$;
CREATE FUNCTION pg_temp.nr(message_id bigint) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS
$$ SELECT nullif(count(*) FILTER (WHERE m.message_id <= $1), 0) FROM wacta.message m HAVING bool_or(m.message_id = $1) $$;
\o
\set ECHO all
