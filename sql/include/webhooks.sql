\set ECHO none
-- What webhooks are made of: a body as Meta signs it, and one as Tata sends it, whose key is set here.
\o /dev/null
SELECT wacta.add_channel('tata', 'tata'), wacta.set_credential('tata', 'webhook_key', 'tata-webhook-key-0123');
-- (the HMAC is pgcrypto's)
CREATE FUNCTION pg_temp.signed(body bytea, secret text DEFAULT 'meta-app-secret') RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_object('X-Hub-Signature-256', 'sha256=' || encode(public.hmac($1, convert_to($2, 'UTF8'), 'sha256'), 'hex')) $$;
CREATE FUNCTION pg_temp.meta(body text) RETURNS bigint LANGUAGE sql AS
$$ SELECT wacta.ingest_webhook('meta', 'whatsapp', convert_to($1, 'UTF8'), pg_temp.signed(convert_to($1, 'UTF8'))) $$;
CREATE FUNCTION pg_temp.tata(body text) RETURNS bigint LANGUAGE sql AS
$$ SELECT wacta.ingest_webhook('tata', 'whatsapp', convert_to($1, 'UTF8'), '{"X-Wacta-Key": "tata-webhook-key-0123"}') $$;
-- A status or a message in Meta's envelope
CREATE FUNCTION pg_temp.meta_value(field text, value jsonb) RETURNS text LANGUAGE sql AS
$$ SELECT jsonb_build_object('object', 'whatsapp_business_account', 'entry', jsonb_build_array(jsonb_build_object('id', '102290129340398', 'changes',
     jsonb_build_array(jsonb_build_object('field', $1, 'value', $2)))))::text $$;
CREATE FUNCTION pg_temp.said(wamid text, text_ text, from_ text DEFAULT '919876500001') RETURNS text LANGUAGE sql AS
$$ SELECT pg_temp.meta_value('messages', jsonb_build_object('contacts', jsonb_build_array(jsonb_build_object('wa_id', $3, 'profile', jsonb_build_object('name', 'Asha'))),
     'messages', jsonb_build_array(jsonb_build_object('from', $3, 'id', $1, 'timestamp', extract(epoch FROM wacta.now())::bigint::text, 'type', 'text', 'text', jsonb_build_object('body', $2))))) $$;
-- What came of it.
CREATE FUNCTION pg_temp.came_of(inbox_id bigint) RETURNS text LANGUAGE sql AS
$$ SELECT concat_ws(' ', result, nullif(errors, '[]')) FROM wacta.inbox i WHERE i.inbox_id = $1 $$;
\o
\set ECHO all
