-- What the provider says of templates and of the account.

CREATE FUNCTION wacta.apply_template_event(e jsonb) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE wacta.template t
     SET status = CASE e ->> 'event' WHEN 'REINSTATED' THEN 'APPROVED' ELSE coalesce(e ->> 'event', t.status) END,
         quality = coalesce(e ->> 'new_quality_score', t.quality),
         category = CASE WHEN e ->> 'new_category' IN ('MARKETING', 'UTILITY', 'AUTHENTICATION') THEN e ->> 'new_category' ELSE t.category END,
         held_reason = CASE WHEN e ->> 'event' IN ('APPROVED', 'REINSTATED') THEN NULL ELSE t.held_reason END
   WHERE t.name = e ->> 'message_template_name' AND t.language = coalesce(replace(e ->> 'message_template_language', '-', '_'), t.language);
  RETURN CASE WHEN FOUND THEN 'template' ELSE 'waiting' END;
END
$$;
COMMENT ON FUNCTION wacta.apply_template_event(jsonb) IS 'Applies a template''s status, quality or category event.';
