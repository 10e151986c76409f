-- Stand-ins for the functions of wacta_api: what the gateway calls, without the
-- domain behind it.  They tell what reached them, and misbehave on request.
\set ON_ERROR_STOP 1
CREATE ROLE stub_anon NOLOGIN;
CREATE ROLE stub_agent NOLOGIN;
CREATE ROLE stub_stranger NOLOGIN;
CREATE ROLE stub_gateway LOGIN NOINHERIT;
GRANT stub_anon, stub_agent TO stub_gateway;

CREATE SCHEMA wacta_http;
CREATE SCHEMA wacta_api;
GRANT USAGE ON SCHEMA wacta_http, wacta_api TO stub_anon, stub_agent;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE DOMAIN wacta_http."*/*" AS bytea;

CREATE TABLE public.written (
	id int GENERATED ALWAYS AS IDENTITY,
	what text,
	-- A constraint that speaks up only at the commit.
	refused int UNIQUE DEFERRABLE INITIALLY DEFERRED
);
GRANT SELECT, INSERT ON public.written TO stub_anon, stub_agent;
CREATE TABLE public.closed (secret text);
CREATE TABLE public.visited (token text, seen json, at timestamptz DEFAULT clock_timestamp());
GRANT INSERT ON public.visited TO stub_anon, stub_agent;

-- All that a function can learn about its request.
CREATE FUNCTION wacta_api.seen(args json) RETURNS json LANGUAGE sql AS $$
	SELECT json_build_object('args', args, 'role', current_user,
		'method', current_setting('request.method', true),
		'path', current_setting('request.path', true),
		'headers', nullif(current_setting('request.headers', true), '')::json,
		'cookies', nullif(current_setting('request.cookies', true), '')::json,
		'claims', nullif(current_setting('request.jwt.claims', true), '')::json,
		'read_only', current_setting('transaction_read_only'))
$$;

-- status and headers as text, so that bad ones can be asked for
CREATE FUNCTION wacta_api.answer(status text, headers text) RETURNS void LANGUAGE sql AS $$
	SELECT set_config('response.status', status, true), set_config('response.headers', headers, true)
$$;

CREATE FUNCTION wacta_api.die() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT pg_terminate_backend(pg_backend_pid())
$$;

-- What a token asks for: "raise-<SQLSTATE>", "status-<n>", …
CREATE FUNCTION wacta_api.play(token text, action text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	word text := split_part(token, '-', 1);
	rest text := substr(token, length(split_part(token, '-', 1)) + 2);
BEGIN
	CASE word
	WHEN 'raise' THEN
		RAISE EXCEPTION USING ERRCODE = rest, MESSAGE = 'the message', DETAIL = 'the detail', HINT = 'the hint';
	WHEN 'pgrst' THEN
		RAISE SQLSTATE 'PGRST' USING MESSAGE = '{"code":"own","message":"slow down"}',
			DETAIL = '{"status":429,"headers":{"Retry-After":"30"}}';
	WHEN 'badpgrst' THEN
		RAISE SQLSTATE 'PGRST' USING MESSAGE = 'not json', DETAIL = '{"status":429}';
	WHEN 'status' THEN PERFORM wacta_api.answer(rest, '');
	WHEN 'headers' THEN PERFORM wacta_api.answer('', action);
	WHEN 'redirect' THEN
		PERFORM wacta_api.answer('303', '[{"Location":"https://example.org/b.pdf"},{"Set-Cookie":"a=1"},{"Set-Cookie":"b=2"}]');
	WHEN 'closed' THEN PERFORM FROM public.closed;
	WHEN 'sleep' THEN PERFORM pg_sleep(rest::float8);
	WHEN 'write' THEN INSERT INTO public.written (what) VALUES (rest);
	WHEN 'twice' THEN INSERT INTO public.written (what, refused) VALUES ('twice', 1), ('twice', 1);
	WHEN 'die' THEN PERFORM wacta_api.die();
	ELSE NULL;
	END CASE;
END
$$;

CREATE FUNCTION wacta_api.track_page(token text, action text, lead_id text) RETURNS wacta_http."*/*" LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('response.headers', '[{"Content-Type":"text/html; charset=utf-8"}]', true);
	PERFORM wacta_api.play(token, action);
	IF token = 'bytes' THEN
		RETURN '\x00ff0d0a80'::bytea;
	END IF;
	RETURN convert_to(wacta_api.seen(json_build_object('token', token, 'action', action, 'lead_id', lead_id))::text, 'UTF8');
END
$$;

CREATE FUNCTION wacta_api.track(token text, action text, lead_id text, confirm text, call_at text) RETURNS wacta_http."*/*" LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.written (what) VALUES ('track');
	PERFORM set_config('response.headers', '[{"Content-Type":"text/html; charset=utf-8"}]', true);
	PERFORM wacta_api.play(token, action);
	RETURN convert_to(wacta_api.seen(json_build_object('token', token, 'action', action,
		'lead_id', lead_id, 'confirm', confirm))::text, 'UTF8');
END
$$;

-- What is said of a visit beside its answer.
CREATE FUNCTION wacta_api.track_visit(token text, action text, lead_id text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO public.visited (token, seen)
	VALUES (token, wacta_api.seen(json_build_object('token', token, 'action', action, 'lead_id', lead_id)))
$$;

CREATE FUNCTION wacta_api.send_interactive_message(lead_id text, template text, call_id text) RETURNS json LANGUAGE sql AS $$
	SELECT wacta_api.seen(json_build_object('lead_id', lead_id, 'template', template, 'call_id', call_id))
$$;
CREATE FUNCTION wacta_api.generate_ai_template(project text, customer_name text, project_name text, template text, name text, language text, body text, footer text)
RETURNS jsonb LANGUAGE sql AS $$
	SELECT wacta_api.seen(json_build_object('project', project, 'customer_name', customer_name, 'project_name', project_name, 'template', template,
		'name', name, 'language', language, 'body', body, 'footer', footer))::jsonb
$$;
CREATE FUNCTION wacta_api.interactive_analytics(days text) RETURNS json LANGUAGE sql AS $$
	SELECT CASE days WHEN 'null' THEN NULL ELSE wacta_api.seen(json_build_object('days', days)) END
$$;
CREATE FUNCTION wacta_api.dashboard(days text, project text, template text, lead text, draft text, for_project text, customer_name text, project_name text)
RETURNS wacta_http."*/*" LANGUAGE sql AS $$
	SELECT convert_to(wacta_api.seen(json_build_object('days', days, 'project', project, 'template', template, 'lead', lead,
		'draft', draft, 'for_project', for_project, 'customer_name', customer_name, 'project_name', project_name))::text, 'UTF8')
$$;
CREATE FUNCTION wacta_api.people(show text, q text, days text, project text, template text, after text) RETURNS wacta_http."*/*" LANGUAGE sql AS $$
	SELECT convert_to(wacta_api.seen(json_build_object('show', show, 'q', q, 'days', days, 'project', project, 'template', template, 'after', after))::text, 'UTF8')
$$;
CREATE FUNCTION wacta_api.people_csv(show text, q text, days text, project text, template text) RETURNS wacta_http."*/*" LANGUAGE sql AS $$
	SELECT convert_to(wacta_api.seen(json_build_object('show', show, 'q', q, 'days', days, 'project', project, 'template', template))::text, 'UTF8')
$$;
CREATE FUNCTION wacta_api.record_call(lead_id text, result text, note text) RETURNS json LANGUAGE sql AS $$
	SELECT wacta_api.seen(json_build_object('lead_id', lead_id, 'result', result, 'note', note))
$$;
CREATE FUNCTION wacta_api.save_template(draft text, project text) RETURNS json LANGUAGE sql AS $$
	SELECT wacta_api.seen(json_build_object('draft', draft, 'project', project))
$$;
CREATE FUNCTION wacta_api.submit_template(template_id text, channel text) RETURNS json LANGUAGE sql AS $$
	SELECT wacta_api.seen(json_build_object('template_id', template_id, 'channel', channel))
$$;
CREATE FUNCTION wacta_api.write_template(project text, wishes text) RETURNS json LANGUAGE sql AS $$
	SELECT wacta_api.seen(json_build_object('project', project, 'wishes', wishes))
$$;

CREATE FUNCTION wacta_api.webhook_challenge(mode text, challenge text, verify_token text) RETURNS wacta_http."*/*" LANGUAGE sql AS $$
	SELECT set_config('response.headers', '[{"Content-Type":"text/plain"}]', true);
	SELECT convert_to(challenge, 'UTF8')
$$;

-- The body by its digest: every byte counts.
CREATE FUNCTION wacta_api.webhook_whatsapp(bytea) RETURNS json LANGUAGE sql AS $$
	SELECT wacta_api.seen(json_build_object('length', length($1), 'sha256', encode(sha256($1), 'hex')))
$$;
CREATE FUNCTION wacta_api.webhook_ivr(bytea) RETURNS wacta_http."*/*" LANGUAGE sql AS $$
	INSERT INTO public.written (what) VALUES ('ivr');
	SELECT convert_to(wacta_api.seen(json_build_object('length', length($1), 'body', encode($1, 'escape')))::text, 'UTF8')
$$;

CREATE FUNCTION wacta_api.login(username text, password text) RETURNS wacta_http."*/*" LANGUAGE sql AS $$
	SELECT wacta_api.play(coalesce(username, ''), password);
	SELECT wacta_api.answer('303', '[{"Location":"/whatsapp-interactive/"},{"Set-Cookie":"wacta_session=x; HttpOnly"}]');
	SELECT NULL::bytea
$$;
CREATE FUNCTION wacta_api.logout() RETURNS wacta_http."*/*" LANGUAGE sql AS $$
	SELECT wacta_api.answer('204', '[]');
	SELECT NULL::bytea
$$;
CREATE FUNCTION wacta_api.password_page() RETURNS wacta_http."*/*" LANGUAGE sql AS $$
	SELECT convert_to(wacta_api.seen('{}')::text, 'UTF8')
$$;
CREATE FUNCTION wacta_api.change_password(old_password text, new_password text) RETURNS wacta_http."*/*" LANGUAGE sql AS $$
	SELECT convert_to(wacta_api.seen(json_build_object('old_password', old_password, 'new_password', new_password))::text, 'UTF8')
$$;
CREATE FUNCTION wacta_api.health() RETURNS json LANGUAGE sql AS $$ SELECT '{"status":"ok"}'::json $$;

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA wacta_api TO stub_anon, stub_agent;
REVOKE EXECUTE ON FUNCTION wacta_api.send_interactive_message(text, text, text) FROM stub_anon;
