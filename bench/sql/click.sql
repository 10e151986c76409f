-- People with a message each that has been delivered, and the link in it.  Variable: people.
SELECT wacta.add_template('project_brochure', purpose => 'brochure', button_actions => '{}', components =>
  '[{"type": "HEADER", "format": "DOCUMENT", "example": {"header_handle": ["4::aW"]}},
    {"type": "BODY", "text": "Hi {{1}}, here is the brochure of {{2}} for you.", "example": {"body_text": [["Asha", "Palm Residency"]]}}]');
UPDATE wacta.project SET brochure_link = 'https://cdn.example.com/palm.pdf', brochure_template_id = wacta.template_id('project_brochure');
CALL enqueue(:people, 1);
UPDATE wacta.message SET status = 'delivered', accepted_at = wacta.now(), sent_at = wacta.now(), delivered_at = wacta.now(), wamid = 'wamid.' || message_id;
CREATE TABLE link AS
  SELECT row_number() OVER (ORDER BY m.message_id)::integer AS id, m.lead_id, m.message_id, m.project_id, m.channel_id, m.template_id, m.enqueued_at,
         split_part(wacta.mint_link(m.message_id, 'interested'), '/t/', 2) AS token
    FROM wacta.message m;
ALTER TABLE link ADD PRIMARY KEY (id);
GRANT SELECT ON link TO wacta_anon, wacta_gateway;
CREATE SEQUENCE nth;
GRANT USAGE ON nth TO wacta_anon, wacta_gateway;
VACUUM ANALYZE;
CHECKPOINT;
