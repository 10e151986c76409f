-- What a body consists of: its items, whatever they are wrapped in, and which function applies which.

-- One item or many: an array's elements, an object itself, nothing else.
CREATE FUNCTION wacta.elements(value jsonb) RETURNS SETOF jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp ROWS 10
AS $$
  SELECT e FROM jsonb_array_elements(CASE jsonb_typeof($1) WHEN 'array' THEN $1 WHEN 'object' THEN jsonb_build_array($1) ELSE '[]' END) e
$$;
COMMENT ON FUNCTION wacta.elements(jsonb) IS 'The elements of an array, or the object itself.';

CREATE FUNCTION wacta.inbox_items(i wacta.inbox) RETURNS TABLE (kind text, item jsonb, context jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  parsed jsonb;
BEGIN
  parsed := CASE WHEN i.kind = 'ivr' THEN wacta.call_body(i.body) ELSE wacta.read_json(i.body) END;
  IF jsonb_typeof(parsed) IS NULL OR jsonb_typeof(parsed) NOT IN ('object', 'array') THEN
    RETURN QUERY SELECT 'unreadable', NULL::jsonb, NULL::jsonb;
  ELSIF i.kind = 'ivr' THEN
    RETURN QUERY SELECT 'call', c.call, c.fields FROM wacta.body_calls(i.provider, parsed) c;
  ELSE
    RETURN QUERY SELECT x.kind, x.item, CASE WHEN x.kind <> 'status' THEN v.value END FROM wacta.whatsapp_values(parsed) v, wacta.value_items(v.field, v.value) x;
  END IF;
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
  RETURN QUERY SELECT 'unreadable', NULL::jsonb, NULL::jsonb;
END
$$;
COMMENT ON FUNCTION wacta.inbox_items(wacta.inbox) IS 'What a body consists of: calls, statuses, messages, preferences, template events, others.';

-- Meta: entry[].changes[].value; Tata: the value itself, or in an envelope.
CREATE FUNCTION wacta.whatsapp_values(body jsonb) RETURNS TABLE (field text, value jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT ch ->> 'field', v
    FROM wacta.elements($1) b, wacta.elements(b -> 'entry') e, wacta.elements(e -> 'changes') ch, wacta.elements(ch -> 'value') v
  UNION ALL
  SELECT coalesce(b ->> 'field', 'messages'), v
    FROM wacta.elements($1) b,
         wacta.elements(CASE WHEN b ?| '{statuses,messages,user_preferences,calls}' THEN b
                             WHEN jsonb_typeof(b -> 'data') IN ('object', 'array') THEN b -> 'data'
                             WHEN jsonb_typeof(b -> 'payload') IN ('object', 'array') THEN b -> 'payload'
                             WHEN jsonb_typeof(b -> 'value') IN ('object', 'array') THEN b -> 'value' ELSE b END) v
   WHERE NOT b ? 'entry'
$$;
COMMENT ON FUNCTION wacta.whatsapp_values(jsonb) IS 'The value objects of a WhatsApp webhook, whatever they are wrapped in.';

CREATE FUNCTION wacta.value_items(field text, value jsonb) RETURNS TABLE (kind text, item jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT 'status', s FROM wacta.elements($2 -> 'statuses') s
  UNION ALL SELECT 'message', m FROM wacta.elements($2 -> 'messages') m
  UNION ALL SELECT 'preference', p FROM wacta.elements($2 -> 'user_preferences') p
  UNION ALL SELECT CASE WHEN $1 LIKE 'message_template_%' OR $1 = 'template_category_update' THEN 'template' ELSE 'other' END, $2
             WHERE NOT $2 ?| '{statuses,messages,user_preferences}'
$$;
COMMENT ON FUNCTION wacta.value_items(text, jsonb) IS 'The items of one value object.';

CREATE FUNCTION wacta.apply_item(i wacta.inbox, kind text, item jsonb, value jsonb) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  CASE kind
    WHEN 'call' THEN RETURN wacta.apply_ivr(i.provider, item, value, i.received_at);
    WHEN 'message' THEN RETURN wacta.apply_inbound(item, value);
    WHEN 'preference' THEN RETURN wacta.apply_preference(item);
    WHEN 'template' THEN RETURN wacta.apply_template_event(item);
    ELSE RETURN kind;
  END CASE;
END
$$;
COMMENT ON FUNCTION wacta.apply_item(wacta.inbox, text, jsonb, jsonb) IS 'Applies one item; says what it was, or waiting when what it is about is not known yet.';
