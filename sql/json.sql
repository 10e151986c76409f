-- JSON that PostgreSQL cannot store as it came: what is replaced, and what is left alone.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
SELECT what, wacta.read_json(body) AS read FROM (VALUES
  ('plain', '{"a": "b"}'::bytea),
  ('NUL escaped', '{"a": "x\\u0000y", "b": [1]}'),
  ('NUL raw', '{"a": "x\000y"}'),
  ('NUL outside of a string', '{"a": \000 1}'),
  ('high half alone', '{"a": "\\ud83dx"}'), ('low half alone', '{"a": "x\\uDE00"}'), ('halves in the wrong order', '{"a": "\\ude00\\ud83d"}'),
  ('half before a pair', '{"a": "\\ud83d\\ud83d\\ude00"}'), ('pair', '{"a": "\\ud83d\\ude00"}'), ('half, then an escape', '{"a": "\\ud83d\\n"}'),
  ('half at the end', '{"a": "\\ud83d'), ('cut escape', '{"a": "\\ud8'),
  ('no escape at all', '{"a": "\\\\u0000", "b": "\\\\\\u0000"}'),
  ('invalid UTF-8', '{"a": "x\377y", "\300\200": 1}'), ('cut UTF-8', '{"a": "\340\244"}'), ('surrogate in UTF-8', '{"a": "\355\240\200"}'),
  ('control characters', '{"a": "x\012\011y"}'),
  ('byte order mark', '\357\273\277{"a": 1}'), ('byte order mark alone', '\357\273\277'),
  ('huge number', '{"a": 1e999999, "b": -1E+99999, "c": 1e99}'), ('long number', ('{"a": ' || repeat('9', 200000) || '}')::bytea),
  ('zeros that make it huge', '{"a": 1e000000001}'),
  ('number in a string', '{"a": "1e999999"}'), ('empty', ''), ('no JSON', 'a=b&c=\377')) v(what, body);
-- deeper than the stack: not read, and no error
SELECT wacta.read_json(convert_to(repeat('[', 100000) || repeat(']', 100000), 'UTF8')) IS NULL AS unread;
