-- The gate: what a transaction withdraws, no courier begins to send once it has committed. The C code stands in src/gate.c.

CREATE FUNCTION wacta.hold_back() RETURNS trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'wacta_hold_back';
COMMENT ON FUNCTION wacta.hold_back() IS
'Trigger for rows that forbid to send: the commit holds back the requests that are claimed and have not begun.
Its argument is the column whose value is withdrawn: lead_id, channel_id or template_id.';
REVOKE ALL ON FUNCTION wacta.hold_back() FROM PUBLIC;
