-- What a site sets once, with the demo's values.  Variables: base_url, double, and the names of
-- files in wacta.secret_dir, so that no secret stands in a statement.

CREATE EXTENSION wacta CASCADE;
SELECT wacta.create_roles();
UPDATE wacta.config SET base_url = :'base_url', brand = 'Bop Realty';
SELECT wacta.add_signing_key();
SELECT wacta.set_session_secret_file('session');

-- The sender, as Meta's dashboard shows it
SELECT wacta.add_channel('main', 'meta', sender_id => '106540352242922', account_id => '102290129340398',
                         base_url => :'double');
SELECT wacta.set_credential_file('main', kind, file)
  FROM (VALUES ('access_token', 'access-token'), ('app_secret', 'app-secret'), ('verify_token', 'verify-token')) v (kind, file);

-- The two templates, as they are approved at the provider
SELECT wacta.add_template(t ->> 'name', t -> 'components')
  FROM wacta.generate_template('Palm Residency', '{"footer": "Bop Realty"}') t;
SELECT wacta.add_template('project_brochure', jsonb_build_array(
  jsonb_build_object('type', 'HEADER', 'format', 'DOCUMENT',
                     'example', jsonb_build_object('header_handle', jsonb_build_array('4::aW1hZ2U='))),
  jsonb_build_object('type', 'BODY', 'text', 'Hi {{1}}, here is the brochure of *{{2}}* that you asked for.',
                     'example', jsonb_build_object('body_text', jsonb_build_array(jsonb_build_array('Asha', 'Palm Residency')))),
  jsonb_build_object('type', 'FOOTER', 'text', 'Bop Realty')),
  category => 'UTILITY', purpose => 'brochure', button_actions => '{}');

SELECT wacta.add_project('Palm Residency', footer => 'Bop Realty',
                         brochure_link => 'https://example.com/palm-residency.pdf', brochure_file_name => 'palm-residency.pdf',
                         template => 'project_update_template', brochure_template => 'project_brochure');
SELECT wacta.add_ivr_source('smartflo', 'smartflo', project => 'Palm Residency');
SELECT wacta.set_credential_file('smartflo', 'webhook_key', 'ivr-key');
