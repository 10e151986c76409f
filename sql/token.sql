-- Tokens of links, in both forms: what is signed, what is refused, and the key ring.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include

-- The seed format, against known answers of Python's hmac and of openssl dgst -hmac
SELECT wacta.mint_token(lead, to_timestamp(issued)) AS token, wacta.mint_token(lead, to_timestamp(issued)) = expected AS as_expected
  FROM (VALUES (12345, 1693123456, '12345:1693123456:87f13ad15a8a'), (1, 1, '1:1:b0aa5f86fd56'),
               (9007199254740993, 1756188045, '9007199254740993:1756188045:c66411c30d38'),
               (9223372036854775807, 253402300799, '9223372036854775807:253402300799:bc1c4a8391f4')) v(lead, issued, expected);

-- and against pgcrypto on random inputs: keys of 1 to 200 bytes, messages of 0 to 300
SELECT count(*) AS compared, count(*) FILTER (WHERE wacta.hmac_sha256(data, key) IS DISTINCT FROM public.hmac(data, key, 'sha256')) AS differing
  FROM (SELECT public.gen_random_bytes(1 + n % 200) AS key, CASE n % 301 WHEN 0 THEN '' ELSE public.gen_random_bytes(n % 301) END AS data
          FROM generate_series(1, 1000) n) r;
-- the test cases of RFC 4231, the fifth of which is cut to 128 bits
SELECT nr, left(encode(wacta.hmac_sha256(data, decode(key, 'hex')), 'hex'), length(expected)) = expected AS as_expected
  FROM (VALUES (1, repeat('0b', 20), 'Hi There'::bytea, 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'),
               (2, encode('Jefe', 'hex'), 'what do ya want for nothing?', '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'),
               (3, repeat('aa', 20), decode(repeat('dd', 50), 'hex'), '773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe'),
               (4, '0102030405060708090a0b0c0d0e0f10111213141516171819', decode(repeat('cd', 50), 'hex'), '82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b'),
               (5, repeat('0c', 20), 'Test With Truncation', 'a3b6167473100ee06e0c796c2955552b'),
               (6, repeat('aa', 131), 'Test Using Larger Than Block-Size Key - Hash Key First', '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54'),
               (7, repeat('aa', 131), 'This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.',
                '9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2')) v(nr, key, data, expected);
SELECT count(*) AS compared,
       count(*) FILTER (WHERE wacta.mint_token(lead, to_timestamp(issued)) IS DISTINCT FROM
         format('%s:%s:%s', lead, issued, left(encode(public.hmac(format('%s:%s', lead, issued), 'wacta-test-secret', 'sha256'), 'hex'), 12))) AS differing,
       count(*) FILTER (WHERE wacta.verify_token(wacta.mint_token(lead, to_timestamp(issued)), lead)
         IS DISTINCT FROM (lead, to_timestamp(issued))) AS not_verified
  FROM (SELECT 1 + floor(random() * 10::numeric ^ (n % 19))::bigint AS lead, floor(random() * 4e9)::bigint AS issued
          FROM generate_series(1, 1000) n) r;

-- The signed form, against a known answer of Python: 60 characters of the URL-safe alphabet
SELECT t.token, t.token = 'AQABAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I21yXa2RNH61FbgMMgXabUm' AS as_expected, t.token ~ '^[A-Za-z0-9_-]{60}$' AS url_safe
  FROM (SELECT wacta.mint_signed(7, 42, 'interested', wacta.now(), wacta.now() + interval '90 days') AS token) t;
SELECT wacta.mint_signed(9223372036854775807, NULL, 'not_interested', wacta.now(), NULL)
       = 'AQABAgB__________wAAAAAAAAAAaK1NjQAAAACpiwcaKf1h_EMMxgAgi6tn' AS as_expected;
SELECT * FROM wacta.token_check('AQABAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I21yXa2RNH61FbgMMgXabUm');
SELECT * FROM wacta.token_check('AQABAgB__________wAAAAAAAAAAaK1NjQAAAACpiwcaKf1h_EMMxgAgi6tn');
SELECT * FROM wacta.token_check('12345:1693123456:87f13ad15a8a');

-- Verified by anyone who has the token; for a lead of theirs alone when that is asked
SELECT * FROM wacta.verify_token('AQABAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I21yXa2RNH61FbgMMgXabUm');
SELECT * FROM wacta.verify_token('12345:1693123456:87f13ad15a8a', 12345);

-- Tampering: each character of both forms, replaced by each other one of the alphabet
SELECT count(*) AS tried, count(*) FILTER (WHERE c.reason IS NULL) AS passed, count(*) FILTER (WHERE c.lead_id IS NOT NULL) AS believed
  FROM (VALUES ('AQABAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I21yXa2RNH61FbgMMgXabUm'),
               ('AQABAgB__________wAAAAAAAAAAaK1NjQAAAACpiwcaKf1h_EMMxgAgi6tn'), ('12345:1693123456:87f13ad15a8a')) good(token),
       generate_series(1, length(token)) position,
       regexp_split_to_table('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=:. ', '') replacement,
       wacta.token_check(overlay(token PLACING replacement FROM position FOR 1)) c
 WHERE substr(token, position, 1) <> replacement;
-- each prefix of a token, and each of them put in front of it
SELECT count(*) AS tried, count(*) FILTER (WHERE e.reason IS DISTINCT FROM 'malformed') AS not_malformed
  FROM (VALUES ('AQABAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I21yXa2RNH61FbgMMgXabUm'), ('12345:1693123456:87f13ad15a8a')) good(token),
       generate_series(0, length(token) - 1) n, LATERAL (VALUES (left(token, n)), (token || left(token, n + 1)), (token || ' ')) b(bad),
       wacta.examine_token(bad, NULL, NULL) e;

-- Every refusal: its reason for the audit, and the one error that the public sees
CREATE TEMP TABLE refused (nr int, what text, token text, action text, lead bigint);
INSERT INTO refused VALUES
  (1, 'empty', '', NULL, NULL), (2, 'words', 'interested', NULL, NULL), (3, 'long', repeat('A', 1000000), NULL, NULL),
  (4, 'not ASCII', 'ÄÖÜ€🙂', NULL, NULL), (5, '60 characters that are not ASCII', repeat('é', 30), NULL, NULL),
  (6, 'control characters', E'12345:1693123456:87f13ad15a8a\n', NULL, NULL),
  (7, 'number of more than 64 bits', '9223372036854775808:1693123456:87f13ad15a8a', NULL, NULL),
  (8, 'time of more than 64 bits', '12345:99999999999999999999:87f13ad15a8a', NULL, NULL),
  (9, 'time beyond the calendar', '12345:9223372036854775807:87f13ad15a8a', NULL, NULL),
  (10, 'negative lead', '-1:1693123456:87f13ad15a8a', NULL, NULL), (11, 'lead 0', '0:1693123456:87f13ad15a8a', NULL, NULL),
  (12, 'leading zero', '012345:1693123456:87f13ad15a8a', NULL, NULL), (13, 'plus sign', '+12345:1693123456:87f13ad15a8a', NULL, NULL),
  (14, 'upper-case hash', '12345:1693123456:87F13AD15A8A', NULL, NULL), (15, 'shortened hash', '12345:1693123456:87f13ad15a8', NULL, NULL),
  (16, 'whole hash', '12345:1693123456:87f13ad15a8ab401d79e6dcd1355fecaf852ef9fcba4cafb62da825bdb31de8f', NULL, NULL),
  (17, 'no hash', '12345:1693123456:', NULL, NULL), (18, 'no time', '12345::87f13ad15a8a', NULL, NULL),
  (19, 'three colons', '12345:1693123456:87f13ad15a8a:', NULL, NULL), (20, 'colons', ':::', NULL, NULL),
  (21, 'made with another secret', 'AQABAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I1L47PHdi9WTcMxWnF8Gjq0', NULL, NULL),
  (22, 'names a key we never had', 'AQAJAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I1D1Myoq5pYxgMQlGYIPUBN', NULL, NULL),
  (23, 'another version', 'AgABAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I1cMVE1_TtNHIOJ-TcaqWGl', NULL, NULL),
  (24, 'standard alphabet of base64', replace(replace('AQABAgB__________wAAAAAAAAAAaK1NjQAAAACpiwcaKf1h_EMMxgAgi6tn', '_', '/'), '-', '+'), NULL, NULL),
  (25, 'another lead', 'AQABAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I21yXa2RNH61FbgMMgXabUm', NULL, 8),
  (26, 'another lead', '12345:1693123456:87f13ad15a8a', NULL, 12346),
  (27, 'another action', 'AQABAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I21yXa2RNH61FbgMMgXabUm', 'not_interested', NULL),
  (28, 'NULL', NULL, NULL, NULL);
SELECT nr, what, e.reason, num_nonnulls(e.lead_id, e.message_id, e.action, e.issued_at) AS told
  FROM refused, wacta.examine_token(token, action, lead) e ORDER BY nr;
SELECT pg_temp.attempt(format('SELECT wacta.verify_token(%L, %L::bigint)', token, lead)) AS public_error, count(*), min(nr), max(nr)
  FROM refused WHERE nr <> 27 GROUP BY 1;

-- The end of a link's time, to the second; a seed link has none unless the site sets one
SELECT offset_seconds, e.reason
  FROM (VALUES (-1), (0)) v(offset_seconds),
       LATERAL (SELECT set_config('wacta.fixed_now', (to_timestamp(1763964045) + make_interval(secs => offset_seconds))::text, false) AS now_is) pinned,
       LATERAL (SELECT reason FROM wacta.examine_token(left(now_is, 0) || 'AQABAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I21yXa2RNH61FbgMMgXabUm', NULL, NULL)) e;
SELECT * FROM wacta.verify_token('AQABAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I21yXa2RNH61FbgMMgXabUm');
SET wacta.fixed_now = '2099-01-01';
SELECT reason FROM wacta.examine_token('AQABAgB__________wAAAAAAAAAAaK1NjQAAAACpiwcaKf1h_EMMxgAgi6tn', NULL, NULL);   -- signed without an end
SELECT reason FROM wacta.examine_token('12345:1693123456:87f13ad15a8a', NULL, NULL);
UPDATE wacta.config SET seed_link_ttl = '30 days';
SELECT reason FROM wacta.examine_token('12345:1693123456:87f13ad15a8a', NULL, NULL);
SELECT * FROM wacta.verify_token('12345:1693123456:87f13ad15a8a');
SELECT set_config('wacta.fixed_now', (to_timestamp(1693123456) + interval '30 days' - interval '1 second')::text, false);
SELECT reason FROM wacta.examine_token('12345:1693123456:87f13ad15a8a', NULL, NULL);
UPDATE wacta.config SET seed_link_ttl = NULL;
SET wacta.fixed_now = '2025-08-26 11:30:45+05:30';

-- Rotation: a new key signs; links of the old one go on working until it is retired
SELECT wacta.add_signing_key('the second secret');
SELECT wacta.mint_token(12345, to_timestamp(1693123456)) AS seed, t.key_id, t.reason
  FROM wacta.token_check(wacta.mint_signed(7, 42, 'interested', wacta.now(), NULL)) t;
SELECT token, t.key_id, t.reason
  FROM (VALUES ('AQABAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I21yXa2RNH61FbgMMgXabUm'), ('12345:1693123456:87f13ad15a8a')) v(token), wacta.token_check(token) t;
-- the other answer's link, which a page hands to the holder of a good one, is signed by the same key and ends with it
SELECT t.key_id, t.action, t.lead_id, t.message_id, t.expires_at FROM wacta.token_check(wacta_http.other_answer('AQABAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I21yXa2RNH61FbgMMgXabUm', 'not_interested')) t;
SELECT k AS asked_for, t.key_id, t.reason FROM unnest('{1,2,NULL}'::int[]) k, wacta.token_check(wacta.mint_signed(7, 42, 'interested', wacta.now(), NULL, k)) t;
SELECT wacta.mint_signed(7, 42, 'interested', wacta.now(), NULL, key_id => 1) AS token \gset of_the_first_
SELECT wacta.retire_signing_key(1);
SELECT reason FROM wacta.token_check(:'of_the_first_token');
SELECT k AS key_id, pg_temp.attempt(format('SELECT wacta.mint_signed(7, 42, ''interested'', wacta.now(), NULL, %s)', k)) FROM unnest('{1,99,-1,0}'::int[]) k;
SELECT token, t.reason, t.lead_id
  FROM (VALUES ('AQABAQAAAAAAAAAABwAAAAAAAAAqaK1NjWkj9I21yXa2RNH61FbgMMgXabUm'), ('12345:1693123456:87f13ad15a8a')) v(token), wacta.token_check(token) t;
SELECT wacta.verify_token('12345:1693123456:87f13ad15a8a');
SELECT pg_temp.attempt('SELECT wacta.retire_signing_key(99)'), pg_temp.attempt('SELECT wacta.retire_signing_key(NULL)'),
       pg_temp.attempt('SELECT wacta.add_signing_key('''')'), pg_temp.attempt('SELECT wacta.add_signing_key(convert_to(repeat(''x'', 1025), ''UTF8''))');

-- A key whose transaction was rolled back signs nothing and verifies nothing
BEGIN;
SELECT wacta.add_signing_key('a secret that never was') > 0;
SELECT wacta.mint_token(5, to_timestamp(1693123456)) AS token \gset inside_
SELECT reason AS inside FROM wacta.token_check(:'inside_token');
ROLLBACK;
SELECT :'inside_token' <> wacta.mint_token(5, to_timestamp(1693123456)) AS key_gone, reason AS after_rollback FROM wacta.token_check(:'inside_token');
-- nor one whose savepoint was
BEGIN;
SAVEPOINT s;
SELECT wacta.add_signing_key('a secret that never was') > 0;
SELECT reason AS inside FROM wacta.token_check(:'inside_token');
ROLLBACK TO s;
SELECT reason AS after_savepoint FROM wacta.token_check(:'inside_token');
COMMIT;

-- A random key has 32 bytes; the session's key signs no link, and no link's key a session
SELECT wacta.add_signing_key() AS key_id \gset
SELECT octet_length(wacta.unseal(sealed)) FROM wacta.signing_key WHERE key_id = :key_id;
DO $$ BEGIN PERFORM wacta.set_session_secret('a session secret of 32 characters and more'); END $$;
SELECT pg_temp.attempt(format('SELECT wacta.mint_signed(7, 42, ''interested'', wacta.now(), NULL, %s)', key_id)) LIKE '22023 signing key % cannot sign' AS refused FROM wacta.signing_key WHERE purpose = 'session';
SELECT purpose, retired_at IS NOT NULL AS retired, count(*) FROM wacta.signing_key GROUP BY 1, 2 ORDER BY 1, 2;
SELECT reason FROM wacta.token_check('5:1693123456:' || left(encode(public.hmac('5:1693123456', 'a session secret of 32 characters and more', 'sha256'), 'hex'), 12));
SELECT wacta.session_jwt('{"role":"wacta_agent"}') AS jwt \gset
SELECT split_part(:'jwt', '.', 1) AS header, split_part(:'jwt', '.', 2) AS claims,
       split_part(:'jwt', '.', 3) = rtrim(translate(encode(public.hmac(split_part(:'jwt', '.', 1) || '.' || split_part(:'jwt', '.', 2),
         'a session secret of 32 characters and more', 'sha256'), 'base64'), '+/', '-_'), '=') AS signature_fits;

-- What cannot be minted
SELECT what, pg_temp.attempt('SELECT ' || what) FROM (VALUES
  ('wacta.mint_token(0)'), ('wacta.mint_token(-5)'), ('wacta.mint_token(1, ''-infinity'')'), ('wacta.mint_token(1, ''1969-12-31'')'),
  ('wacta.mint_signed(1, NULL, ''delete'', wacta.now(), NULL)'), ('wacta.mint_signed(1, NULL, '''', wacta.now(), NULL)'),
  ('wacta.mint_signed(1, NULL, ''interested'', ''2200-01-01'', NULL)'), ('wacta.mint_signed(1, NULL, ''interested'', wacta.now(), ''infinity'')'),
  ('wacta.mint_link(1, ''interested'')'), ('wacta.set_session_secret(''short'')'), ('wacta.set_session_secret(NULL)')) v(what);
SELECT wacta.retire_signing_key(key_id) FROM wacta.signing_key WHERE purpose = 'link';
SELECT wacta.mint_token(1);

-- Whole links: signed, or in the seed format, percent-encoded
SELECT wacta.add_signing_key('wacta-test-secret') > 0, wacta.upsert_lead('9876500001') > 0 AS lead;
SELECT wacta.mint_link(pg_temp.lead(1), 'interested') ~ '^https://crm\.example\.com/t/[A-Za-z0-9_-]{60}$';
UPDATE wacta.config SET link_style = 'seed';
SELECT replace(replace(wacta.mint_link(pg_temp.lead(1), 'not_interested'), '/' || pg_temp.lead(1) || '/', '/HER ID/'), wacta.percent_encode(wacta.mint_token(pg_temp.lead(1))), 'HER TOKEN') AS link;
SELECT pg_temp.attempt('SELECT wacta.mint_link(4711, ''interested'')');

-- A number is a lead's or a message's, never both: whatever order they are made in, a link is for the one that was meant
UPDATE wacta.config SET link_style = 'signed';
DO $$
BEGIN
  FOR n IN 1..20 LOOP
    PERFORM wacta.upsert_lead('98765' || lpad(n::text, 5, '0')), wacta.send_interactive(pg_temp.lead(1 + n / 3)), wacta.send_interactive(pg_temp.lead(n));
  END LOOP;
END
$$;
SELECT count(*) AS both FROM wacta.lead l JOIN wacta.message m ON m.message_id = l.lead_id;
SELECT kind, count(*) AS links, count(*) FILTER (WHERE (t.lead_id, t.message_id, t.action, t.reason) IS DISTINCT FROM (v.lead_id, v.message_id, 'interested', NULL)) AS for_another
  FROM (SELECT 'lead' AS kind, l.lead_id AS id, l.lead_id, NULL::bigint AS message_id FROM wacta.lead l UNION ALL SELECT 'message', m.message_id, m.lead_id, m.message_id FROM wacta.message m) v, wacta.token_check(pg_temp.token(v.id)) t
 GROUP BY 1 ORDER BY 1;
-- a site that brings its own ids can make one number mean two things: then there is no link for it
INSERT INTO wacta.lead (lead_id, name) VALUES (pg_temp.message(2), 'Chosen');
SELECT replace(pg_temp.attempt('SELECT wacta.mint_link(pg_temp.message(2), ''interested'')'), pg_temp.message(2)::text, 'THE ID') AS of_both;
UPDATE wacta.config SET link_style = 'seed';
SELECT replace(pg_temp.attempt('SELECT wacta.mint_link(pg_temp.message(2), ''interested'')'), pg_temp.message(2)::text, 'THE ID') AS of_both;

-- The link of what the same statement makes
SELECT wacta.mint_link(wacta.upsert_lead('9876500077', 'Nila'), 'interested') LIKE '%/track/%' AS of_a_new_lead,
       wacta.mint_link(wacta.send_interactive(pg_temp.lead(1)), 'interested') LIKE '%/track/%' AS of_a_new_message;
