-- Gupshup's older events ({app, timestamp, version: 2, type, payload}) in Meta's shape. Its version 3 is Meta's shape already.
-- Source: docs.gupshup.io/docs/message-events, /text, /interactive, /user-event, /system-events.

CREATE FUNCTION wacta.is_gupshup(value jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN coalesce(jsonb_typeof(value -> 'payload') = 'object'
                  AND value ->> 'type' IN ('message', 'message-event', 'user-event', 'template-event', 'account-event', 'billing-event'), false);
END
$$;
COMMENT ON FUNCTION wacta.is_gupshup(jsonb) IS 'Whether a body is an event of Gupshup, version 2.';

-- enqueued has the WhatsApp id inside and Gupshup's own outside; the others have them the other way round.
CREATE FUNCTION wacta.gupshup_status(p jsonb, told_at text) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object(
           'id', coalesce($1 #>> '{payload,whatsappMessageId}', $1 ->> 'id'),
           'gs_id', coalesce($1 ->> 'gsId', CASE WHEN $1 ->> 'type' IN ('enqueued', 'failed') THEN $1 ->> 'id' END),
           'status', $1 ->> 'type', 'timestamp', coalesce($1 #>> '{payload,ts}', $2), 'recipient_id', $1 ->> 'destination', 'pricing', $1 -> 'pricing',
           'errors', CASE WHEN $1 ->> 'type' = 'failed'
                          THEN jsonb_build_array(jsonb_build_object('code', $1 #> '{payload,code}', 'message', $1 #> '{payload,reason}')) END))
$$;
COMMENT ON FUNCTION wacta.gupshup_status(jsonb, text) IS 'A message event of Gupshup as Meta''s status.';

CREATE FUNCTION wacta.gupshup_content(type text, content jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN $1 = 'text' THEN jsonb_build_object('type', 'text', 'text', jsonb_build_object('body', $2 -> 'text'))
    WHEN $1 = 'quick_reply' THEN jsonb_build_object('type', 'button', 'button',
                                   jsonb_build_object('text', coalesce($2 -> 'text', $2 -> 'title'), 'payload', coalesce($2 -> 'postbackText', $2 -> 'id')))
    WHEN $1 IN ('button_reply', 'list_reply') THEN jsonb_build_object('type', 'interactive', 'interactive', jsonb_build_object('type', $1, $1,
                                   jsonb_build_object('title', $2 -> 'title', 'id', coalesce($2 -> 'postbackText', $2 -> 'id'), 'description', $2 -> 'description')))
    WHEN $1 = 'file' THEN jsonb_build_object('type', 'document', 'document', $2 || jsonb_build_object('filename', $2 -> 'name'))
    WHEN $1 = 'contact' THEN jsonb_build_object('type', 'contacts', 'contacts', $2 -> 'contacts')
    ELSE jsonb_build_object('type', $1, coalesce($1, 'unknown'), $2) END
$$;
COMMENT ON FUNCTION wacta.gupshup_content(text, jsonb) IS 'The content of a message of Gupshup in Meta''s shape.';

CREATE FUNCTION wacta.gupshup_message(p jsonb, told_at text) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT jsonb_build_object(
           'contacts', jsonb_build_array(jsonb_build_object('wa_id', $1 -> 'source', 'profile', jsonb_build_object('name', $1 #> '{sender,name}'))),
           'messages', jsonb_build_array(jsonb_strip_nulls(
             jsonb_build_object('from', $1 -> 'source', 'id', $1 -> 'id', 'timestamp', $2,
                                'context', jsonb_build_object('id', $1 #> '{context,id}', 'gs_id', $1 #> '{context,gsId}'), 'referral', $1 -> 'referral')
             || wacta.gupshup_content($1 ->> 'type', $1 -> 'payload'))))
$$;
COMMENT ON FUNCTION wacta.gupshup_message(jsonb, text) IS 'A message of a person as Meta''s value.';

CREATE FUNCTION wacta.gupshup_template(p jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object(
           'message_template_name', $1 -> 'elementName', 'message_template_language', $1 -> 'languageCode',
           'reason', coalesce($1 -> 'rejectedReason', $1 -> 'description'))
         || CASE $1 ->> 'type'
              WHEN 'category-update' THEN jsonb_build_object('previous_category', coalesce($1 #> '{category,old}', $1 -> 'oldCategory'),
                                                             'new_category', coalesce($1 #> '{category,new}', $1 -> 'newCategory'))
              WHEN 'quality-update' THEN jsonb_build_object('new_quality_score', upper(coalesce($1 ->> 'quality', $1 ->> 'status')))
              ELSE jsonb_build_object('event', upper($1 ->> 'status')) END)
$$;
COMMENT ON FUNCTION wacta.gupshup_template(jsonb) IS 'A template event of Gupshup as Meta''s value.';

CREATE FUNCTION wacta.gupshup_value(body jsonb) RETURNS TABLE (field text, value jsonb)
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  p  jsonb := body -> 'payload';
  at text := body ->> 'timestamp';
BEGIN
  CASE body ->> 'type'
    WHEN 'message-event' THEN field := 'messages'; value := jsonb_build_object('statuses', jsonb_build_array(wacta.gupshup_status(p, at)));
    WHEN 'message' THEN field := 'messages'; value := wacta.gupshup_message(p, at) || jsonb_build_object('businessPhoneNumber', body -> 'phone');
    WHEN 'template-event' THEN field := 'template_update'; value := wacta.gupshup_template(p);
    WHEN 'account-event' THEN field := 'account_update'; value := p || jsonb_build_object('event', upper(coalesce(p ->> 'status', p ->> 'type')));
    WHEN 'user-event' THEN
      field := 'user_preferences';
      value := CASE WHEN p ->> 'type' IN ('opted-in', 'opted-out') THEN jsonb_build_object('user_preferences', jsonb_build_array(jsonb_build_object(
                 'wa_id', p -> 'phone', 'timestamp', at, 'value', CASE p ->> 'type' WHEN 'opted-in' THEN 'resume' ELSE 'stop' END))) ELSE p END;
    ELSE field := body ->> 'type'; value := p;
  END CASE;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION wacta.gupshup_value(jsonb) IS 'An event of Gupshup as one of Meta''s values, with its field.';
