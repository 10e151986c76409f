-- Every table and every sequence is the user's data: pg_dump takes all of them. Without the sequences the next id after a restore
-- would collide with a restored row. Secrets are in there only sealed. The queue is left out: the restored messages fill it, and
-- they and the restored clicks are counted anew; so are the languages, which the restored texts fill. Events stay, too: their order is that of one cluster's transactions;
-- and sessions, which a restore must not bring back when they have ended since.

-- (One call a statement: each of them updates the same row of pg_extension.)
DO $$
DECLARE
  relation regclass;
BEGIN
  FOR relation IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'wacta'::regnamespace AND c.relkind IN ('r', 'S') AND c.relname NOT IN ('queue', 'staff_session', 'page_language', 'event', 'funnel', 'funnel_delta', 'figures_folded', 'audience', 'audience_delta') LOOP
    PERFORM pg_extension_config_dump(relation, '');
  END LOOP;
END
$$;
