-- The staff's door: signing in and out, and what each of their requests is asked first. The rules of accounts and sessions are in
-- 22_staff.sql.

-- Every function of wacta_api for staff asks this itself, rather than a db-pre-request of PostgREST: so it holds behind both front
-- doors, however they are configured, and costs customers nothing. It reads one row by its key.
-- A token that names one of our sessions is as good as that session. One of another system that has the same secret lives as long as
-- it says, unless its sub is an account here: then it ends when the account is changed.
CREATE FUNCTION wacta_http.session_ended() RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  claims jsonb := wacta_http.request('jwt.claims')::jsonb;
BEGIN
  IF claims ->> 'iss' = 'wacta' AND claims ? 'jti' THEN
    RETURN NOT EXISTS (SELECT FROM wacta.staff_session s WHERE s.session_id = claims ->> 'jti' AND s.expires_at > wacta.now());
  END IF;
  RETURN EXISTS (SELECT FROM wacta.staff s
                  WHERE s.username = claims ->> 'sub'
                    AND (s.disabled_at IS NOT NULL OR s.role <> claims ->> 'role'
                         -- iat has no fraction: in doubt it is the token that was made after the change
                         OR (claims ->> 'iat')::numeric < floor(extract(epoch FROM s.valid_from))));
END
$$;
COMMENT ON FUNCTION wacta_http.session_ended() IS 'Whether the request''s token is of a session that has ended, or of a staff account that was disabled or changed since.';

CREATE FUNCTION wacta_http.check_session() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF wacta_http.session_ended() THEN
    RAISE SQLSTATE 'PT401' USING MESSAGE = 'the session is over', HINT = 'Sign in again.';
  END IF;
END
$$;
COMMENT ON FUNCTION wacta_http.check_session() IS 'Refuses (401) a request whose session has ended.';

CREATE FUNCTION wacta_http.is_staff() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  -- inside SECURITY DEFINER the role of the request is still told by the setting
  SELECT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = current_setting('role') AND has_function_privilege(r.oid, 'wacta_api.interactive_analytics(text)', 'EXECUTE'))
         AND NOT wacta_http.session_ended()
$$;
COMMENT ON FUNCTION wacta_http.is_staff() IS 'Whether the request''s role may see the dashboard.';

CREATE FUNCTION wacta_http.session_cookie(value text, max_age integer) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT format('wacta_session=%s; Path=/; Max-Age=%s; HttpOnly; SameSite=Strict%s', $1, $2,
                CASE WHEN (SELECT base_url FROM wacta.config) LIKE 'https:%' THEN '; Secure' ELSE '' END)
$$;
COMMENT ON FUNCTION wacta_http.session_cookie(text, integer) IS 'The session''s cookie; Secure where the site is on https.';

CREATE FUNCTION wacta_http.sign_in(username text, password text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  s wacta.staff := wacta.prove_staff($1, $2);
BEGIN
  IF s.staff_id IS NULL THEN
    RETURN NULL;
  END IF;
  PERFORM wacta.note_staff_event('signed_in', s.username);
  RETURN wacta.begin_session(s);
END
$$;
COMMENT ON FUNCTION wacta_http.sign_in(text, text) IS 'The token (JWT) of a session that begins with the right password, else NULL; from the fifth failure on the account is locked for a while.';

CREATE FUNCTION wacta_http.let_in(token text) RETURNS bytea
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM wacta_http.respond(303, jsonb_build_object('Location', '../whatsapp-interactive/', 'Set-Cookie',
    wacta_http.session_cookie($1, extract(epoch FROM (SELECT c.session_ttl FROM wacta.config c))::integer)));
  RETURN ''::bytea;
END
$$;
COMMENT ON FUNCTION wacta_http.let_in(text) IS 'Sets the cookie of a session and leads to the dashboard.';

-- Whoever shows the token of a session may end it, whatever role it stands for; without one there is nothing to end.
CREATE FUNCTION wacta_http.end_session() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  claims jsonb := wacta_http.request('jwt.claims')::jsonb;
BEGIN
  DELETE FROM wacta.staff_session s WHERE claims ->> 'iss' = 'wacta' AND s.session_id = claims ->> 'jti';
  IF FOUND THEN
    PERFORM wacta.note_staff_event('signed_out', claims ->> 'sub');
  END IF;
END
$$;
COMMENT ON FUNCTION wacta_http.end_session() IS 'Ends the session of the request, if it has one.';

CREATE FUNCTION wacta_http.login_page(status integer, message text) RETURNS bytea
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT wacta_http.page($1, 'Sign in', wacta_http.render(wacta_http.asset('login.html'), jsonb_build_object('message', $2))) $$;
COMMENT ON FUNCTION wacta_http.login_page(integer, text) IS 'The sign-in form.';

CREATE FUNCTION wacta_api.login(username text DEFAULT NULL, password text DEFAULT NULL) RETURNS wacta_http."*/*"
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  token text;
BEGIN
  PERFORM wacta.hide_statement();
  token := wacta_http.sign_in($1, $2);
  IF token IS NULL THEN
    RETURN wacta_http.login_page(403, 'That user name and password do not belong together, or the account is locked for a while.');
  END IF;
  PERFORM wacta_http.end_session();      -- its cookie is replaced, and nobody could end it any more
  RETURN wacta_http.let_in(token);
END
$$;
COMMENT ON FUNCTION wacta_api.login(text, text) IS
$$Sign in
Sets the session's cookie and leads to the dashboard.$$;

CREATE FUNCTION wacta_api.logout() RETURNS wacta_http."*/*"
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  PERFORM wacta_http.end_session(),
          wacta_http.respond(303, jsonb_build_object('Location', '../whatsapp-interactive/', 'Set-Cookie', wacta_http.session_cookie('', 0)));
  RETURN ''::bytea;
END
$$;
COMMENT ON FUNCTION wacta_api.logout() IS
$$Sign out
Ends the session, so that a copy of its token opens nothing either, and clears its cookie.$$;

-- One's own password

CREATE FUNCTION wacta_http.password_form(status integer, message text) RETURNS bytea
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT wacta_http.page($1, 'Change your password', wacta_http.render(wacta_http.asset('password.html'), jsonb_build_object('message', $2, 'username', wacta_http.request('jwt.claims')::jsonb ->> 'sub'))) $$;
COMMENT ON FUNCTION wacta_http.password_form(integer, text) IS 'The form to change one''s password.';

CREATE FUNCTION wacta_api.password_page() RETURNS wacta_http."*/*"
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN CASE WHEN wacta_http.is_staff() THEN wacta_http.password_form(200, NULL) ELSE wacta_http.login_page(401, NULL) END;
END
$$;
COMMENT ON FUNCTION wacta_api.password_page() IS
$$The form to change one's password
For signed-in staff; anyone else gets the sign-in form.$$;

-- The old password is asked for, and guesses at it lock, for whoever has found a session open must not keep it.
CREATE FUNCTION wacta_api.change_password(old_password text DEFAULT NULL, new_password text DEFAULT NULL) RETURNS wacta_http."*/*"
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  problem text := wacta.password_problem($2);
  s       wacta.staff;
BEGIN
  PERFORM wacta.hide_statement(), wacta_http.check_session();
  IF problem IS NOT NULL OR $1 = $2 THEN
    RETURN wacta_http.password_form(400, coalesce(upper(left(problem, 1)) || substr(problem, 2) || '.', 'That is the password that you have.'));
  END IF;
  s := wacta.prove_staff(wacta_http.request('jwt.claims')::jsonb ->> 'sub', $1);
  IF s.staff_id IS NULL THEN
    RETURN wacta_http.password_form(403, 'That is not your password, or the account is locked for a while.');
  END IF;
  UPDATE wacta.staff x SET password_hash = wacta.password_hash($2) WHERE x.staff_id = s.staff_id;     -- ends all sessions
  RETURN wacta_http.let_in(wacta.begin_session(s));
END
$$;
COMMENT ON FUNCTION wacta_api.change_password(text, text) IS
$$Change one's password
By the old one. Ends all sessions of the account and begins another one, whose cookie it sets.$$;
