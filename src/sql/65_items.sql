-- What a body consists of: its items, whatever they are wrapped in, and which function applies which.
--
-- Data flows one way: bytes, JSON, values, items. A value is what a provider says in one breath (Meta's entry[].changes[].value); every
-- other shape is turned into Meta's here, so that what follows knows one. Nothing here writes, and nothing is an error: what is not
-- understood is an item of kind other.

-- One item or many: an array's elements, an object itself, nothing else.
CREATE FUNCTION wacta.elements(value jsonb) RETURNS SETOF jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp ROWS 10
AS $$
  SELECT e FROM jsonb_array_elements(CASE jsonb_typeof($1) WHEN 'array' THEN $1 WHEN 'object' THEN jsonb_build_array($1) ELSE '[]' END) e
$$;
COMMENT ON FUNCTION wacta.elements(jsonb) IS 'The elements of an array, or the object itself.';

-- Some gateways encode twice: what they forward is a JSON string that has JSON in it.
CREATE FUNCTION wacta.unquoted(value jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  FOR depth IN 1 .. 3 LOOP
    EXIT WHEN jsonb_typeof(value) IS DISTINCT FROM 'string' OR value #>> '{}' !~ '^\s*["{\[]';
    value := coalesce(wacta.try_jsonb(convert_to(value #>> '{}', 'UTF8')), 'null');
  END LOOP;
  RETURN value;
END
$$;
COMMENT ON FUNCTION wacta.unquoted(jsonb) IS 'The JSON that a JSON string holds, or the value itself.';

CREATE FUNCTION wacta.as_list(value jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  CASE jsonb_typeof(value)
    WHEN 'array' THEN RETURN value;
    WHEN 'object' THEN RETURN jsonb_build_array(value);
    WHEN 'string' THEN
      value := wacta.unquoted(value);
      RETURN CASE jsonb_typeof(value) WHEN 'array' THEN value WHEN 'object' THEN jsonb_build_array(value) ELSE '[]' END;
    ELSE RETURN '[]';
  END CASE;
END
$$;
COMMENT ON FUNCTION wacta.as_list(jsonb) IS 'The array that the value is, with the object itself as its one element, or an empty one; also where it is encoded twice.';

CREATE FUNCTION wacta.body_json(i wacta.inbox) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF i.kind = 'ivr' OR wacta.header(i.headers, 'content-type') ILIKE '%form-urlencoded%' THEN
    RETURN wacta.call_body(i.body);
  END IF;
  RETURN wacta.unquoted(wacta.read_json(i.body));
END
$$;
COMMENT ON FUNCTION wacta.body_json(wacta.inbox) IS 'A stored body as JSON, or NULL when it cannot be read.';

-- Most bodies, and all that are long: one path finds their statuses, where the steps below would copy a megabyte several times.
CREATE FUNCTION wacta.has_only_statuses(body jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN jsonb_typeof(body) = 'object'
     AND jsonb_path_exists(body, 'lax $.entry[*].changes[*].value.statuses[*]')
     AND NOT jsonb_path_exists(body, 'lax $.entry[*].changes[*] ? (@.value.type() != "object" || @.field != "messages")')
     AND NOT jsonb_path_exists(body, 'lax $.entry[*].changes[*].value ? (!exists(@.statuses) || exists(@.messages) || exists(@.message_echoes)
                                        || exists(@.calls) || exists(@.user_preferences) || exists(@.errors))')
     AND NOT jsonb_path_exists(body, 'lax $.entry[*].changes[*].value.statuses[*] ? (@.type() != "object")');
END
$$;
COMMENT ON FUNCTION wacta.has_only_statuses(jsonb) IS 'Whether a body is nothing but statuses, in exactly Meta''s envelope.';

CREATE FUNCTION wacta.inbox_items(i wacta.inbox) RETURNS TABLE (kind text, item jsonb, context jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  body jsonb := wacta.body_json(i);
BEGIN
  IF coalesce(jsonb_typeof(body), 'null') NOT IN ('object', 'array') THEN
    RETURN QUERY SELECT 'unreadable', NULL::jsonb, NULL::jsonb;
  ELSIF i.kind = 'ivr' THEN
    RETURN QUERY SELECT 'call', c.call, c.fields FROM wacta.body_calls(i.provider, body) c;
  ELSIF wacta.has_only_statuses(body) THEN
    RETURN QUERY SELECT 'status', s, NULL::jsonb FROM jsonb_path_query(body, 'lax $.entry[*].changes[*].value.statuses[*]') s;
  ELSE
    RETURN QUERY SELECT x.* FROM wacta.whatsapp_values(body, NULL, 1) v, wacta.value_items(v.field, v.value, v.account, v.told_at) x;
    IF NOT FOUND THEN
      RETURN QUERY SELECT 'other', NULL::jsonb, NULL::jsonb;
    END IF;
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.inbox_items(wacta.inbox) IS
'What a body consists of: kind (call, status, message, echo, whatsapp_call, preference, template, account, error, other, unreadable),
the item, and what else has to be known to apply it: who wrote, to which of our numbers, which account, when. Never a copy of the body.';

-- What a gateway puts around the provider's words; NULL: these are the words.
CREATE FUNCTION wacta.wrapped(value jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  key text;
BEGIN
  IF jsonb_typeof(value) = 'array' THEN
    RETURN value;
  ELSIF jsonb_typeof(value) = 'object' AND NOT value ?| '{statuses,messages,message_echoes,user_preferences,calls}' THEN
    FOREACH key IN ARRAY '{data,payload,value,body,event}'::text[] LOOP
      IF jsonb_typeof(wacta.unquoted(value -> key)) IN ('object', 'array') THEN
        RETURN wacta.unquoted(value -> key);
      END IF;
    END LOOP;
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.wrapped(jsonb) IS 'What an envelope (data, payload, value, body, event) holds, or NULL when the value is none.';

-- Meta's own examples have the field a level too high or too low.
CREATE FUNCTION wacta.meta_values(body jsonb) RETURNS TABLE (field text, value jsonb, account text, told_at text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  entry  jsonb;
  change jsonb;
BEGIN
  FOR entry IN SELECT wacta.unquoted(e) FROM jsonb_array_elements(wacta.as_list(body -> 'entry')) e LOOP
    account := entry ->> 'id';
    told_at := entry ->> 'time';
    FOR change IN SELECT wacta.unquoted(c) FROM jsonb_array_elements(wacta.as_list(coalesce(entry -> 'changes', entry))) c LOOP
      FOR value IN SELECT wacta.unquoted(v) FROM jsonb_array_elements(wacta.as_list(coalesce(change -> 'value', change))) v LOOP
        field := coalesce(change ->> 'field', entry ->> 'field', value ->> 'field');
        RETURN NEXT;
      END LOOP;
    END LOOP;
  END LOOP;
END
$$;
COMMENT ON FUNCTION wacta.meta_values(jsonb) IS 'The values in Meta''s envelope, with their field, account and time.';

CREATE FUNCTION wacta.whatsapp_values(body jsonb, outer_field text, depth integer)
RETURNS TABLE (field text, value jsonb, account text, told_at text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  part jsonb;
BEGIN
  FOR part IN SELECT wacta.unquoted(p) FROM jsonb_array_elements(wacta.as_list(body)) p LOOP
    IF jsonb_typeof(part) = 'object' AND part ? 'entry' THEN
      RETURN QUERY SELECT m.* FROM wacta.meta_values(part) m;
    ELSIF wacta.is_gupshup(part) THEN
      RETURN QUERY SELECT g.field, g.value, NULL::text, part ->> 'timestamp' FROM wacta.gupshup_value(part) g;
    ELSIF depth < 8 AND wacta.wrapped(part) IS NOT NULL THEN
      RETURN QUERY SELECT w.* FROM wacta.whatsapp_values(wacta.wrapped(part), coalesce(part ->> 'field', outer_field), depth + 1) w;
    ELSE
      RETURN QUERY SELECT coalesce(part ->> 'field', outer_field), part, NULL::text, coalesce(part ->> 'time', part ->> 'timestamp');
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION wacta.whatsapp_values(jsonb, text, integer) IS 'The values of a WhatsApp webhook, in Meta''s shape, whatever they are wrapped in.';

-- The people of a value by their ids and by their place, each with no more than what is asked of them: a message gets its own contact by
-- one look, and a contact that a thousand messages share is not copied at length for each.
CREATE FUNCTION wacta.contact_directory(contacts jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT coalesce(jsonb_object_agg(k.key, c.contact ORDER BY n DESC) FILTER (WHERE k.key IS NOT NULL), '{}')
      FROM jsonb_array_elements(wacta.as_list(contacts)) WITH ORDINALITY e(e, n)
     CROSS JOIN LATERAL (SELECT jsonb_strip_nulls(jsonb_build_object('wa_id', left(ltrim(e ->> 'wa_id', '+'), 100), 'user_id', left(e ->> 'user_id', 200),
                                  'profile', jsonb_build_object('name', left(e #>> '{profile,name}', 300)))) AS contact) c
     CROSS JOIN LATERAL (VALUES (c.contact ->> 'wa_id'), (c.contact ->> 'user_id'), ('#' || n)) k(key));
END
$$;
COMMENT ON FUNCTION wacta.contact_directory(jsonb) IS 'The contacts of a value by wa_id, by user id, and by #place.';

-- The one at the same place only when nothing speaks against it: a wrong id would make two people one. Of an only contact the name counts.
CREATE FUNCTION wacta.contact_of(item jsonb, place bigint, directory jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c jsonb := coalesce(directory -> ltrim(item ->> 'from', '+'), directory -> (item ->> 'from_user_id'));
BEGIN
  IF c IS NULL THEN
    c := directory -> ('#' || place);
    IF num_nonnulls(c ->> 'wa_id', item ->> 'from') = 2 OR num_nonnulls(c ->> 'user_id', item ->> 'from_user_id') = 2 THEN
      c := CASE WHEN NOT directory ? '#2' THEN c - '{wa_id,user_id}'::text[] END;
    END IF;
  END IF;
  RETURN coalesce(c, '{}');
END
$$;
COMMENT ON FUNCTION wacta.contact_of(jsonb, bigint, jsonb) IS 'The contact of a message among those of its value, or an empty object.';

-- What all items of a value share, in short.
CREATE FUNCTION wacta.shared_context(field text, value jsonb, account text, told_at text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN jsonb_strip_nulls(jsonb_build_object('field', left(field, 100), 'account', left(account, 100), 'time', left(told_at, 100), 'metadata', jsonb_build_object(
    'phone_number_id', left(value #>> '{metadata,phone_number_id}', 100),
    'display_phone_number', left(coalesce(value #>> '{metadata,display_phone_number}', value ->> 'businessPhoneNumber', value ->> 'display_phone_number'), 100))))
    || '{"contact": {}}';
END
$$;
COMMENT ON FUNCTION wacta.shared_context(text, jsonb, text, text) IS 'Field, account, time and our number of a value.';

CREATE FUNCTION wacta.value_kind(field text, value jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE
    WHEN field LIKE 'message_template_%' OR field LIKE 'template_%' THEN 'template'
    WHEN field LIKE 'account_%' OR field LIKE 'business_%' OR field LIKE 'phone_number_%' OR field IN ('security', 'payment_configuration_update') THEN 'account'
    WHEN jsonb_typeof(value) <> 'object' OR field <> 'messages' THEN 'other'
    -- a flattened body has no field: what it speaks of tells
    WHEN value ?| '{message_template_id,message_template_name}' THEN 'template'
    WHEN value ?| '{restriction_info,ban_info,violation_info,waba_info,alert_info,max_daily_conversations_per_business}' THEN 'account'
    WHEN value ?& '{id,status}' AND value ?| '{recipient_id,recipient_user_id,custom_callback_data,biz_opaque_callback_data}' THEN 'status'
    WHEN value ?& '{id,type}' AND value ?| '{from,from_user_id}' THEN 'message'
    ELSE 'other' END;
END
$$;
COMMENT ON FUNCTION wacta.value_kind(text, jsonb) IS 'What a value without any list of items is.';

-- Statuses need no context, and there may be a thousand of them: they go straight through.
CREATE FUNCTION wacta.value_items(field text, value jsonb, account text, told_at text) RETURNS TABLE (kind text, item jsonb, context jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  list      record;
  shared    jsonb;
  directory jsonb;
  found_any boolean := false;
BEGIN
  IF jsonb_typeof(value) = 'object' THEN
    RETURN QUERY SELECT 'status', s, NULL::jsonb FROM jsonb_array_elements(wacta.as_list(value -> 'statuses')) s;
    found_any := FOUND;
  END IF;
  IF NOT found_any OR value ?| '{messages,message_echoes,calls,user_preferences,errors}' THEN
    shared := wacta.shared_context(field, value, account, told_at);
    directory := wacta.contact_directory(value -> 'contacts');
    FOR list IN SELECT * FROM (VALUES ('message', 'messages'), ('echo', 'message_echoes'), ('whatsapp_call', 'calls'), ('preference', 'user_preferences'), ('error', 'errors')) l(kind, key)
                 WHERE value ? l.key LOOP
      RETURN QUERY SELECT CASE jsonb_typeof(e) WHEN 'object' THEN list.kind ELSE 'other' END, e, shared || jsonb_build_object('contact', wacta.contact_of(e, n, directory))
                     FROM jsonb_array_elements(wacta.as_list(value -> list.key)) WITH ORDINALITY x(e, n);
      found_any := found_any OR FOUND;
    END LOOP;
  END IF;
  IF NOT found_any THEN
    RETURN QUERY SELECT wacta.value_kind(coalesce(field, 'messages'), value), value, shared;
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.value_items(text, jsonb, text, text) IS 'The items of one value, each with what has to be known to apply it; the value itself when it has no list of items.';

CREATE FUNCTION wacta.apply_item(i wacta.inbox, kind text, item jsonb, context jsonb) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  CASE kind
    WHEN 'call' THEN RETURN wacta.apply_ivr(i.provider, item, context, i.received_at);
    WHEN 'message' THEN RETURN wacta.apply_inbound(i.provider, item, context);
    WHEN 'echo' THEN RETURN wacta.apply_echo(item);
    WHEN 'whatsapp_call' THEN RETURN wacta.apply_whatsapp_call(i.provider, item, context);
    WHEN 'preference' THEN RETURN wacta.apply_preference(item, context);
    WHEN 'template' THEN RETURN wacta.apply_template_event(i, item, context);
    WHEN 'account' THEN RETURN wacta.apply_account_event(i, item, context);
    WHEN 'error' THEN RETURN wacta.apply_account_error(i, item, context);
    ELSE RETURN kind;
  END CASE;
END
$$;
COMMENT ON FUNCTION wacta.apply_item(wacta.inbox, text, jsonb, jsonb) IS 'Applies one item; says what it was, or waiting when what it is about is not known yet.';
