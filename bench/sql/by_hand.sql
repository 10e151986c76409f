-- The courier's work without a courier and without a network: claims and settles, in transactions of their own as it does.
CREATE PROCEDURE drain_by_hand(batch integer, INOUT claiming interval, INOUT settling interval) LANGUAGE plpgsql AS $$
DECLARE
  leads    bigint[];
  messages bigint[];
  attempts integer[];
  answers  bytea[];
  began    timestamptz;
BEGIN
  claiming := '0';
  settling := '0';
  LOOP
    began := clock_timestamp();
    SELECT array_agg(c.lead_id), array_agg(c.message_id), array_agg(c.attempt) INTO leads, messages, attempts
      FROM wacta.courier_claim(1, batch) c WHERE c.message_id IS NOT NULL;
    COMMIT;
    claiming := claiming + (clock_timestamp() - began);
    EXIT WHEN leads IS NULL;
    answers := ARRAY(SELECT convert_to(format('{"messaging_product": "whatsapp", "contacts": [{"input": "%1$s", "wa_id": "%1$s"}], '
                                              '"messages": [{"id": "wamid.%2$s"}]}', ltrim(i.value, '+'), u.m), 'UTF8')
                       FROM unnest(leads, messages) WITH ORDINALITY u(l, m, n)
                       JOIN wacta.lead_identity i ON i.lead_id = u.l AND i.kind = 'phone' ORDER BY u.n);
    began := clock_timestamp();
    PERFORM wacta.courier_settle(leads, messages, attempts, array_fill('answered'::text, ARRAY[cardinality(leads)]),
                                 array_fill(200, ARRAY[cardinality(leads)]), array_fill(NULL::integer, ARRAY[cardinality(leads)]), answers,
                                 array_fill(NULL::text, ARRAY[cardinality(leads)]), array_fill(10, ARRAY[cardinality(leads)]));
    COMMIT;
    settling := settling + (clock_timestamp() - began);
  END LOOP;
END
$$;
