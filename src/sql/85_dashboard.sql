-- The staff's dashboard.

CREATE FUNCTION wacta_api.dashboard(days text DEFAULT '30') RETURNS wacta_http."*/*"
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT wacta_http.is_staff() THEN
    RETURN wacta_http.login_page(401, NULL);
  END IF;
  RETURN wacta_http.page(200, 'WhatsApp', wacta_http.render(wacta_http.asset('dashboard.html'), '{}'));
END
$$;
COMMENT ON FUNCTION wacta_api.dashboard(text) IS
$$The dashboard
For signed-in staff; anyone else gets the sign-in form.$$;
