\set ECHO none
-- A site as a customer of wacta sets it up: a key whose secret the tests know, a project with a brochure, its two
-- templates, a Meta channel and a source of IVR calls.
\o /dev/null
SELECT wacta.add_signing_key('wacta-test-secret');
UPDATE wacta.config SET base_url = 'https://crm.example.com', brand = 'Bop Realty';
SELECT wacta.add_template('project_update_template', wacta.generate_template('Green Acres') -> 'components');
SELECT wacta.add_template('project_brochure', purpose => 'brochure', components =>
  '[{"type": "HEADER", "format": "DOCUMENT", "example": {"header_handle": ["4::aW"]}},
    {"type": "BODY", "text": "Hi {{1}}, here is the brochure of {{2}} for you.", "example": {"body_text": [["Asha", "Green Acres"]]}}]');
SELECT wacta.add_project('Green Acres', 'Bop Realty', 'https://cdn.example.com/green-acres.pdf', 'green-acres.pdf',
                         template => 'project_update_template', brochure_template => 'project_brochure');
SELECT wacta.add_channel('main', 'meta', '106540352242922', account_id => '102290129340398');
UPDATE wacta.channel SET max_rate = NULL;   -- what has been sent a moment before must not matter here
SELECT wacta.set_credential('main', 'access_token', 'EAAG-access-token');
SELECT wacta.set_credential('main', 'app_secret', 'meta-app-secret');
SELECT wacta.set_credential('main', 'verify_token', 'meta-verify-token');
SELECT wacta.add_ivr_source('smartflo', 'smartflo', 'Green Acres');
SELECT wacta.set_credential('smartflo', 'webhook_key', 'smartflo-key-0123456789');

-- The token of a link for a message or a lead.
CREATE FUNCTION pg_temp.token(id bigint, action text DEFAULT 'interested') RETURNS text LANGUAGE sql AS
$$ SELECT split_part(wacta.mint_link(id, action), '/t/', 2) $$;
\o
\set ECHO all
