-- The pace: how many messages a second each sender may begin. The C code stands in src/pace.c.

CREATE FUNCTION wacta.take_turns(channel_id integer, courier integer, max_rate integer, wanted integer, OUT granted integer, OUT wait_ms integer)
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wacta_take_turns';
COMMENT ON FUNCTION wacta.take_turns(integer, integer, integer, integer) IS
'How many of the wanted messages this sender may begin now, and in how many milliseconds it may begin more.
They count as begun, or for a courier that calls it as claimed until it reports. max_rate NULL: as many as are wanted.';
REVOKE ALL ON FUNCTION wacta.take_turns(integer, integer, integer, integer) FROM PUBLIC;

CREATE FUNCTION wacta.turn_wait() RETURNS integer
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wacta_turn_wait';
COMMENT ON FUNCTION wacta.turn_wait() IS
'Milliseconds until one of the senders that this transaction was refused turns for has one; NULL: it was refused none.';
REVOKE ALL ON FUNCTION wacta.turn_wait() FROM PUBLIC;

CREATE FUNCTION wacta.slow_sender(channel_id integer) RETURNS integer
LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'wacta_slow_sender';
COMMENT ON FUNCTION wacta.slow_sender(integer) IS
'Halves the rate of a sender, once a second at most; it comes back by a twentieth of its full rate each second.
Returns the rate; NULL for a sender without one.';
REVOKE ALL ON FUNCTION wacta.slow_sender(integer) FROM PUBLIC;

CREATE FUNCTION wacta.sender_pace(
    OUT channel_id integer,
    OUT max_rate integer,
    OUT rate_now integer,
    OUT begun integer,
    OUT claimed integer,
    OUT slowed_at timestamptz
) RETURNS SETOF record
LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'wacta_sender_pace';
COMMENT ON FUNCTION wacta.sender_pace() IS
'One row for each sender with a limit that has sent: its full rate and that of now, in messages a second, how many it has begun
in the last second, and how many are claimed and have not begun.';
REVOKE ALL ON FUNCTION wacta.sender_pace() FROM PUBLIC;
