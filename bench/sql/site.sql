-- A site to measure with.  Variables: url (where the messages go), channels (how many senders).
CREATE EXTENSION wacta CASCADE;
SELECT wacta.create_roles();
UPDATE wacta.config SET base_url = 'https://crm.example.com', brand = 'Bop Realty';
SELECT wacta.add_signing_key();
SELECT wacta.add_channel('sender ' || i, 'meta', sender_id => (106540352242921 + i)::text, base_url => :'url'),
       wacta.set_credential('sender ' || i, 'access_token', 'bench-access-token-0123456789')
  FROM generate_series(1, :channels) i;
SELECT wacta.add_template('project_update_template', wacta.generate_template('Palm Residency') -> 'components');
SELECT wacta.add_project('Palm Residency', footer => 'Bop Realty', template => 'project_update_template');

-- No limit of our own: the sink has none.
SELECT 'UPDATE wacta.channel SET max_rate = NULL' FROM information_schema.columns
 WHERE (table_schema, table_name, column_name) = ('wacta', 'channel', 'max_rate') \gexec

-- Queues messages, each to a person of its own, from so many senders in turn.  In bites, for each new person costs a lock
-- until the commit.
CREATE SEQUENCE person;
CREATE PROCEDURE enqueue(count integer, senders integer) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. count LOOP
    PERFORM wacta.send_interactive(wacta.upsert_lead('+' || 919800000000 + nextval('person'), 'Asha Rao', 'Palm Residency'));
    IF i % 100 = 0 THEN
      IF senders > 1 THEN
        UPDATE wacta.channel SET is_default = false WHERE is_default;
        UPDATE wacta.channel SET is_default = true WHERE name = 'sender ' || 1 + i / 100 % senders;
      END IF;
      COMMIT;
    END IF;
  END LOOP;
END
$$;
