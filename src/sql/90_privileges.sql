-- Who may do what. Read this page for a security review; nothing is granted anywhere else.
-- CREATE EXTENSION creates no role and leaves everything closed; wacta.create_roles() or wacta.grant_*() open it.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA wacta, wacta_api, wacta_http FROM PUBLIC;
REVOKE ALL ON SCHEMA wacta, wacta_api, wacta_http FROM PUBLIC;

-- Customers and providers: pages and webhooks that carry their own proof.
CREATE FUNCTION wacta.grant_anon(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
  EXECUTE format($$
    GRANT USAGE ON SCHEMA wacta_api, wacta_http TO %1$I;
    GRANT EXECUTE ON FUNCTION
      wacta_api.track_page(text, text, text), wacta_api.track(text, text, text, text, text), wacta_api.track_visit(text, text, text, text),
      wacta_api.webhook_challenge(text, text, text), wacta_api.webhook_whatsapp(bytea), wacta_api.webhook_ivr(bytea), wacta_http.apply_received(), wacta_http.track_many(text[], text[], text[], jsonb[]),
      wacta_api.login(text, text), wacta_api.logout(), wacta_api.password_page(), wacta_api.health(),
      wacta_api.dashboard(text, text, text, text, text, text, text, text), wacta_api.people(text, text, text, text, text, text), wacta_api.people_csv(text, text, text, text, text) TO %1$I;
    ALTER ROLE %1$I SET statement_timeout = '10s'
  $$, role);
END
$fn$;
COMMENT ON FUNCTION wacta.grant_anon(name) IS 'Gives a role the rights of wacta_anon: customers'' links and webhooks.';

-- Monitoring: how things stand, and nothing of any person.
CREATE FUNCTION wacta.grant_monitor(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
  EXECUTE format($$
    GRANT USAGE ON SCHEMA wacta TO %1$I;
    GRANT EXECUTE ON FUNCTION wacta.now(), wacta.courier_status(), wacta.inbox_worker_status(), wacta.examine_outbox(), wacta.examine_inbox(), wacta.find_alerts(),
      wacta.counted_refusals() TO %1$I;
    GRANT SELECT ON wacta.outbox_status, wacta.inbox_status, wacta.refused_webhook, wacta.alert TO %1$I
  $$, role);
END
$fn$;
COMMENT ON FUNCTION wacta.grant_monitor(name) IS 'Gives a role the right to see how couriers and senders do: for the login of a monitoring system.';

-- Staff and applications: leads, messages, figures; no secret, no setting.
CREATE FUNCTION wacta.grant_agent(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
  EXECUTE format($$
    GRANT USAGE ON SCHEMA wacta, wacta_api, wacta_http TO %1$I;
    GRANT EXECUTE ON FUNCTION
      wacta_api.track_page(text, text, text), wacta_api.track(text, text, text, text, text), wacta_api.track_visit(text, text, text, text),
      wacta_api.send_interactive_message(text, text, text), wacta_api.generate_ai_template(text, text, text, text, text, text, text, text), wacta_api.save_template(text, text), wacta_api.write_template(text, text),
      wacta_api.interactive_analytics(text), wacta_api.dashboard(text, text, text, text, text, text, text, text), wacta_api.people(text, text, text, text, text, text),
      wacta_api.people_csv(text, text, text, text, text), wacta_api.record_call(text, text, text), wacta_api.login(text, text), wacta_api.logout(), wacta_api.password_page(), wacta_api.change_password(text, text), wacta_api.health(),
      wacta.now(), wacta.normalize_phone(text, text), wacta.check_e164(text), wacta.percent(bigint, bigint),
      wacta.verify_token(text, bigint), wacta.mint_token(bigint, timestamptz), wacta.mint_link(bigint, text),
      wacta.upsert_lead(text, text, text, text, text), wacta.lead_by_phone(text),
      wacta.lead_by_number(text), wacta.read_number(text, text), wacta.number_forms(text), wacta.living_lead(bigint), wacta.add_note(bigint, text, text, timestamptz),
      wacta.log_ivr_call(text, text, text, text, timestamptz, text, text, text, integer, text, text, jsonb), wacta.process_ivr(integer), wacta.explain_call(bigint),
      wacta.send_interactive(bigint, text), wacta.send_brochure(bigint), wacta.send_campaign(text, text, bigint[]),
      wacta.cancel_message(bigint, text), wacta.explain_send(bigint, text),
      wacta.record_click(text, text, bigint, jsonb), wacta.record_visit(text, text, bigint, jsonb), wacta.opt_out(bigint, text), wacta.opt_in(bigint, text),
      wacta.schedule_follow_up(bigint, text, timestamptz), wacta.close_follow_up(bigint, text), wacta.record_call(bigint, text, timestamptz, text),
      wacta.assign_lead(bigint, text), wacta.assignment_rule_of(integer, text), wacta.events_after(text, integer),
      wacta.generate_template(text, jsonb), wacta.ai_prompt(text),
      wacta.lint_template(jsonb, text), wacta.save_template(jsonb, text), wacta.write_template(text, text, text),
      wacta.analytics(integer), wacta.figures_day(timestamptz, text), wacta.find_leads(text, integer, bigint, integer), wacta.plain_words(text), wacta.name_words(text), wacta.name_query(text), wacta.number_beginnings(text),
      wacta.trouble_kind(wacta.message_status, text) TO %1$I;
    GRANT SELECT ON
      wacta.config, wacta.country, wacta.project, wacta.template, wacta.lead, wacta.lead_identity, wacta.lead_note, wacta.follow_up,
      wacta.merged_lead, wacta.consent_event, wacta.suppression, wacta.consent_mismatch, wacta.message, wacta.attempt, wacta.message_accounting, wacta.message_in_doubt,
      wacta.schedule, wacta.click, wacta.preview_agent, wacta.page_text, wacta.ivr_call, wacta.ivr_source, wacta.ivr_rule, wacta.daily_funnel, wacta.figures, wacta.daily_figures, wacta.funnel_now, wacta.audience_now, wacta.decision, wacta.message_person, wacta.click_person, wacta.daily_people, wacta.daily_trouble, wacta.lead_list, wacta.lead_history, wacta.recent_ivr_call, wacta.recent_interaction,
      wacta.open_follow_up, wacta.reply, wacta.recent_reply, wacta.account_event, wacta.template_rule, wacta.outbound_request, wacta.quiet_hours, wacta.frequency_cap,
      wacta.follow_up_result, wacta.assignment_rule, wacta.unassigned_lead, wacta.event_kind TO %1$I
  $$, role);
  PERFORM wacta.grant_monitor(role);
END
$fn$;
COMMENT ON FUNCTION wacta.grant_agent(name) IS 'Gives a role the rights of wacta_agent: leads, messages, figures, the dashboard.';

-- Administrators: settings, senders, templates, keys. They may set a secret, and read none.
CREATE FUNCTION wacta.grant_admin(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
  PERFORM wacta.grant_agent(role);
  EXECUTE format($$
    GRANT EXECUTE ON FUNCTION
      wacta.add_channel(text, text, text, text, text, text, text), wacta.pause_channel(text, text, timestamptz), wacta.resume_channel(text),
      wacta.set_credential(text, text, text, boolean), wacta.set_credential_file(text, text, text, boolean),
      wacta.retire_credential(integer), wacta.set_webhook_access(text, cidr[], text),
      wacta.add_signing_key(bytea), wacta.retire_signing_key(integer), wacta.set_session_secret(text), wacta.set_session_secret_file(text),
      wacta.add_ivr_source(text, text, text, text, text, text, text), wacta.read_call(text, text),
      wacta.add_ivr_rule(integer, text, text, text, text, text, text, integer, text, text), wacta.add_project(text, text, text, text, text, text, text),
      wacta.add_template(text, jsonb, text, text, text, text[], text[], text), wacta.submit_template(integer, text), wacta_api.submit_template(text, text), wacta.add_staff(text, text, text, text), wacta.set_staff_password(text, text), wacta.end_sessions(text),
      wacta.merge_leads(bigint, bigint), wacta.forget(bigint), wacta.forget(text),
      wacta.import_suppression(text[], text, jsonb), wacta.export_suppression(boolean),
      wacta.add_hook(text, regprocedure, text), wacta.remove_hook(text, regprocedure), wacta.remove_hook(integer), wacta.retry_hooks(integer),
      wacta.attach_lead_table(regclass, jsonb, boolean), wacta.load_lead_table(regclass, text[], integer), wacta.detach_lead_table(regclass),
      wacta.sync_lead_tables(integer), wacta.trim_events(integer), wacta.set_assignment(text[], text, text, text), wacta.set_away(text, boolean), wacta.assign_leads(integer),
      wacta.settle(bigint, text, text), wacta.acknowledge_event(bigint), wacta.word_meaning(text),
      wacta.plain_word_list(text[]), wacta.send_now(text), wacta.rebuild_queue(), wacta.rebuild_funnel(), wacta.fold_funnel(integer), wacta.archive(timestamptz, integer), wacta.install_schedule(text), wacta.remove_schedule(), wacta.run_job(text, text), wacta.sender_pace(), wacta.ingest_webhook(text, text, bytea, jsonb),
      wacta.receive_webhook(text, text, bytea, jsonb), wacta.replay(bigint),
      wacta.examine_token(text, text, bigint), wacta.token_check(text),
      wacta.cluster_identity(), wacta.fence_problem(), wacta.unfence(text, boolean) TO %1$I;
    GRANT UPDATE ON wacta.config TO %1$I;
    GRANT UPDATE (every, enabled) ON wacta.schedule TO %1$I;
    GRANT INSERT, UPDATE, DELETE ON wacta.country, wacta.preview_agent, wacta.page_text, wacta.ivr_field, wacta.ivr_word, wacta.ivr_rule, wacta.error_rule, wacta.account_rule, wacta.price, wacta.quiet_hours, wacta.frequency_cap TO %1$I;
    GRANT UPDATE (severity) ON wacta.template_rule TO %1$I;
    GRANT INSERT, UPDATE ON wacta.project, wacta.template TO %1$I;
    GRANT INSERT, UPDATE, DELETE ON wacta.follow_up_result TO %1$I;
    GRANT UPDATE (recorded) ON wacta.event_kind TO %1$I;
    GRANT SELECT ON wacta.lead_table, wacta.lead_row, wacta.lead_row_problem, wacta.hook, wacta.hook_failure, wacta.event, wacta.assignment_member TO %1$I;
    GRANT DELETE ON wacta.hook_failure TO %1$I;
    GRANT INSERT (name, people_per_day), UPDATE (name, people_per_day) ON wacta.portfolio TO %1$I;
    -- consent changes by opt_in() and opt_out() alone, which keep the ledger
    GRANT UPDATE (name, project_id, status, stage, owner, source, time_zone, updated_at) ON wacta.lead TO %1$I;
    GRANT UPDATE (status, status_reason, paused_until, is_default, account_id, display_phone, api_version, max_rate, portfolio_id, daily_budget) ON wacta.channel TO %1$I;
    GRANT SELECT ON wacta.channel, wacta.portfolio, wacta.reached, wacta.price, wacta.spend, wacta.queue, wacta.ivr_field, wacta.ivr_word, wacta.error_rule, wacta.account_rule,
      wacta.inbox, wacta.webhook_refusal, wacta.token_refusal, wacta.staff_session, wacta.staff_network, wacta.staff_event, wacta.suppressed_identity, wacta.erasure,
      wacta.fence, wacta.fence_event TO %1$I;
    GRANT SELECT (credential_id, channel_id, source, kind, created_at, retired_at) ON wacta.credential TO %1$I;
    GRANT SELECT ON wacta.credential_list TO %1$I;
    GRANT SELECT (key_id, purpose, created_at, retired_at) ON wacta.signing_key TO %1$I;
    GRANT SELECT (staff_id, username, name, role, failures, locked_until, disabled_at, created_at), UPDATE (disabled_at, locked_until) ON wacta.staff TO %1$I;
    GRANT UPDATE (locked_until) ON wacta.staff_network TO %1$I
  $$, role);
END
$fn$;
COMMENT ON FUNCTION wacta.grant_admin(name) IS 'Gives a role the rights of wacta_admin: those of an agent, and channels, templates, keys, settings.';

-- The background workers. The courier: claim and settle, nothing else; it is also the one that is handed an access token.
-- The inbox worker: apply what is stored, forget what is old.
CREATE FUNCTION wacta.grant_courier(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $fn$
BEGIN
  EXECUTE format($$
    GRANT USAGE ON SCHEMA wacta TO %1$I;
    GRANT EXECUTE ON FUNCTION
      wacta.courier_start(integer), wacta.courier_claim(integer, integer, integer[]), wacta.courier_channel(integer), wacta.courier_wait(),
      wacta.courier_reap(), wacta.courier_settle(bigint[], bigint[], integer[], text[], integer[], integer[], bytea[], text[], integer[], timestamptz[]),
      wacta.inbox_apply_due(integer, timestamptz), wacta.inbox_take(), wacta.inbox_apply(bigint), wacta.inbox_failed(bigint, text, text),
      wacta.inbox_tend(), wacta.take_due_job(), wacta.run_job(text, text) TO %1$I
  $$, role);
  PERFORM wacta.wake_launcher();      -- a worker may have been waiting for these rights
END
$fn$;
COMMENT ON FUNCTION wacta.grant_courier(name) IS 'Gives a role the rights of wacta_courier: to claim and settle messages, and to apply stored webhooks.';

CREATE FUNCTION wacta.create_roles() RETURNS SETOF name
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $fn$
DECLARE
  wanted record;
BEGIN
  FOR wanted IN SELECT * FROM (VALUES ('wacta_anon', 'NOLOGIN'), ('wacta_agent', 'NOLOGIN'), ('wacta_admin', 'NOLOGIN'),
                                      ('wacta_courier', 'LOGIN'), ('wacta_gateway', 'LOGIN NOINHERIT')) v(rolname, options) LOOP
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = wanted.rolname) THEN
      EXECUTE format('CREATE ROLE %I %s', wanted.rolname, wanted.options);
      RETURN NEXT wanted.rolname;
    END IF;
  END LOOP;
  PERFORM wacta.grant_anon('wacta_anon'), wacta.grant_agent('wacta_agent'), wacta.grant_admin('wacta_admin'), wacta.grant_courier('wacta_courier');
  GRANT wacta_anon, wacta_agent, wacta_admin TO wacta_gateway;
END
$fn$;
COMMENT ON FUNCTION wacta.create_roles() IS
'Creates the roles wacta_anon, wacta_agent, wacta_admin, wacta_courier and wacta_gateway where they are missing, and grants them
their rights in this database; returns the new ones. None has a password: let pg_hba.conf decide how gateway and courier come in.';

REVOKE ALL ON FUNCTION wacta.grant_anon(name), wacta.grant_monitor(name), wacta.grant_agent(name), wacta.grant_admin(name), wacta.grant_courier(name),
  wacta.create_roles() FROM PUBLIC;
