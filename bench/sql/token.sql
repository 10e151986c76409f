-- Tokens of the seed form, and the check of them that one would write by hand.  Variable: tokens (how many).
-- One key, which both sides know.
DELETE FROM wacta.signing_key;
SELECT wacta.add_signing_key('a secret of the benchmark');
CREATE TABLE token AS
SELECT i AS lead_id, wacta.mint_token(i) AS token FROM generate_series(1, :tokens) i;
VACUUM ANALYZE token;

-- The planner puts its body in the statement's place, so it costs no call.
CREATE FUNCTION verify_by_hand(token text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT left(encode(hmac(split_part(token, ':', 1) || ':' || split_part(token, ':', 2), 'a secret of the benchmark', 'sha256'), 'hex'), 12)
         = split_part(token, ':', 3)
     AND to_timestamp(split_part(token, ':', 2)::bigint) > now() - interval '90 days'
$$;

-- One process against one, and no compilation before the first row.
CREATE FUNCTION verified_per_second(condition text) RETURNS float8 LANGUAGE plpgsql
SET max_parallel_workers_per_gather = 0 SET jit = off AS $$
DECLARE
  began timestamptz;
  good  bigint;
  tried bigint := (SELECT count(*) FROM token);
BEGIN
  began := clock_timestamp();
  EXECUTE format('SELECT count(*) FILTER (WHERE %s) FROM token', condition) INTO good;
  IF good <> tried THEN
    RAISE 'only % of % tokens were found good', good, tried;
  END IF;
  RETURN tried / extract(epoch FROM clock_timestamp() - began);
END
$$;
-- the key ring is loaded, and the table in the cache
SELECT verified_per_second('(wacta.verify_token(token)).lead_id = lead_id');
