-- Secrets: sealed in every table, readable with the key file alone, shown by no view, error or setting.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include

-- Sealed is not clear; each seal is another; what was sealed comes back
SELECT position('the secret'::bytea IN wacta.seal('the secret')) AS in_clear, wacta.seal('the secret') = wacta.seal('the secret') AS same, convert_from(wacta.unseal(wacta.seal('the secret')), 'UTF8') AS back;
SELECT count(*) AS tried, count(*) FILTER (WHERE wacta.unseal(wacta.seal(b)) <> b) AS wrong FROM (SELECT CASE n WHEN 0 THEN ''::bytea ELSE public.gen_random_bytes(n) END AS b FROM generate_series(0, 1000, 50) n) r;
-- it is OpenPGP: pgcrypto opens it with the key of the file, and refuses it with another
SELECT convert_from(public.pgp_sym_decrypt_bytea(wacta.seal('the secret'), rtrim(pg_read_file('wacta.key'), E'\n')), 'UTF8') AS with_pgcrypto;
SELECT pg_temp.attempt($$SELECT public.pgp_sym_decrypt_bytea(wacta.seal('the secret'), repeat('0', 64))$$) AS with_another_key;
-- no secret of the site is in a table in clear
SELECT t.relname AS table_with_a_secret FROM pg_class t, LATERAL query_to_xml(format('SELECT x::text AS r, encode(convert_to(x::text, ''UTF8''), ''escape'') FROM wacta.%I x', t.relname), true, false, '') AS content
 WHERE t.relnamespace = 'wacta'::regnamespace AND t.relkind = 'r' AND (content::text ~ 'EAAG-access-token|meta-app-secret|meta-verify-token|smartflo-key-0123|wacta-test-secret' OR content::text ~ encode('EAAG-access-token', 'hex') OR content::text ~ encode('wacta-test-secret', 'hex'));

-- The key file: made with mode 0600, of 64 hexadecimal digits
SELECT current_setting('data_directory') AS data \gset
\setenv WACTA_DATA :data
SELECT pg_read_file('wacta.key') ~ '^[0-9a-f]{64}\n$' AS hexadecimal, size FROM pg_stat_file('wacta.key');
\! stat -c %a "$WACTA_DATA/wacta.key"

-- Without it, with another one, or with one that others can read, nothing is opened; opening never makes one
SELECT wacta.seal('the secret') AS sealed \gset
SELECT wacta.send_interactive(wacta.upsert_lead('9876500001', 'Asha', 'Green Acres')) AS message \gset
SELECT count(*) AS claimed FROM wacta.courier_claim(0, 1);
\! mv "$WACTA_DATA/wacta.key" "$WACTA_DATA/wacta.key.kept"
SELECT pg_temp.attempt(format('SELECT wacta.unseal(%L)', :'sealed')) AS without_a_file;
SELECT count(*) AS made_by_opening FROM pg_ls_dir('.') f WHERE f = 'wacta.key';
SELECT octet_length(wacta.seal('x')) > 1 AS sealing_makes_one;
\! stat -c %a "$WACTA_DATA/wacta.key"
SELECT pg_temp.attempt(format('SELECT wacta.unseal(%L)', :'sealed')) AS with_another_key, pg_temp.attempt('SELECT * FROM wacta.courier_channel(1)') AS courier;
-- an answer that cannot be compared with the secrets is settled, and not shown
SELECT failed FROM wacta.courier_settle(ARRAY[pg_temp.lead(1)], ARRAY[:message], '{1}', '{answered}', '{400}', '{NULL}', ARRAY['{"error": {"code": 131026, "message": "EAAG-access-token"}}'::bytea], '{NULL}', '{1}');
SELECT status, reason FROM wacta.message;
\! chmod 640 "$WACTA_DATA/wacta.key"
SELECT pg_temp.attempt('SELECT wacta.seal(''x'')') AS readable_by_others;
\! chmod 600 "$WACTA_DATA/wacta.key" && printf 'not a key' > "$WACTA_DATA/wacta.key"
SELECT pg_temp.attempt('SELECT wacta.seal(''x'')') AS not_a_key;
\! rm "$WACTA_DATA/wacta.key" && mkdir -m 700 "$WACTA_DATA/wacta.key"
SELECT pg_temp.attempt('SELECT wacta.seal(''x'')') AS a_directory;
\! rmdir "$WACTA_DATA/wacta.key" && mv "$WACTA_DATA/wacta.key.kept" "$WACTA_DATA/wacta.key"
SELECT convert_from(wacta.unseal(:'sealed'), 'UTF8') AS back;
SELECT pg_temp.attempt('SELECT wacta.unseal(''\x00'')') AS junk, pg_temp.attempt('SELECT wacta.unseal('''')') AS nothing, wacta.seal(NULL) IS NULL AS of_null;

-- A statement that carries a secret is hidden from pg_stat_activity as soon as its function runs, and afterwards
SELECT wacta.set_credential('main', 'access_token', 'EAAG-third-token') > 0 AS set \; SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid();
SELECT wacta.add_signing_key('a key that nobody sees') > 0 AS added, (SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS seen;

-- and from the log, in whatever case it was written; what is no secret is shown, and so is what is said of the key's file
SET client_min_messages = log;
SET log_statement = 'all';
SELECT wacta.set_credential('main', 'access_token', 'EAAG-third-token') > 0 AS set;
select WACTA.Set_Credential('main', 'access_token', 'EAAG-third-token') > 0 as set;
SELECT reason FROM WACTA.EXAMINE_TOKEN('EAAG-token', NULL, NULL);
SELECT 'no secret' AS shown;
RESET log_statement;
\! mv "$WACTA_DATA/wacta.key" "$WACTA_DATA/wacta.key.kept"
SELECT length(wacta.seal('x')) > 1 AS sealed;
RESET client_min_messages;
\! mv "$WACTA_DATA/wacta.key.kept" "$WACTA_DATA/wacta.key"

-- Errors of these functions quote no secret, also when their arguments are mixed up
SELECT pg_temp.attempt(s) FROM unnest(ARRAY[$$SELECT wacta.set_credential('nobody', 'access_token', 'EAAG-fourth-token')$$, $$SELECT wacta.set_credential('main', 'unheard-of', 'EAAG-fourth-token')$$, $$SELECT wacta.set_credential('main', 'webhook_key', 'short-one')$$,
  $$SELECT wacta.set_credential('EAAG-fourth-token', 'access_token', 'main')$$, $$SELECT wacta.set_credential('main', 'EAAG-fourth-token', 'access_token')$$, $$SELECT wacta.add_staff('EAAG a password', 'ravi ravi ravi')$$, $$SELECT wacta.add_staff('ravi', 'a long password', role => 'EAAG-a-password')$$,
  $$SELECT wacta.set_session_secret('too-short')$$, $$SELECT wacta.add_staff('a b', 'EAAG-a-password')$$, $$SELECT wacta.record_click('EAAG-token')$$, $$SELECT * FROM wacta.verify_token('EAAG-token')$$]) s;

-- Secrets from files: from the directory that a superuser has named, and from nowhere else
\! mkdir -p "$WACTA_DATA/wacta_secrets" && cd "$WACTA_DATA/wacta_secrets" && printf 'EAAG-from-a-file\r\n' > token && : > empty && head -c 9000 /dev/zero | tr '\0' x > large && printf 'a\nb\n' > lines && ln -sf ../PG_VERSION link
SELECT wacta.set_credential_file('main', 'access_token', 'token') > 0 AS set;
SELECT headers[2] FROM wacta.courier_channel(1);
SELECT f AS file, pg_temp.attempt(format('SELECT wacta.set_credential_file(''main'', ''access_token'', %L)', f)) FROM unnest('{empty,large,lines,link,missing,../PG_VERSION,/etc/passwd,.,..,.hidden,""}'::text[]) f;
\! rm -r "$WACTA_DATA/wacta_secrets"

-- Compared in a time that depends on the lengths alone; NULL equals nothing
SELECT wacta.equal_constant_time('abc', 'abc') AS same, wacta.equal_constant_time('abc', 'abd') AS other, wacta.equal_constant_time('abc', 'ab') AS shorter, wacta.equal_constant_time('', '') AS empty, wacta.equal_constant_time(NULL, 'a') AS one_null, wacta.equal_constant_time(NULL, NULL) AS both_null;
SELECT octet_length(wacta.random_bytes(32)), wacta.random_bytes(32) <> wacta.random_bytes(32) AS different, pg_temp.attempt('SELECT wacta.random_bytes(0)'), pg_temp.attempt('SELECT wacta.random_bytes(1025)');
SELECT wacta.password_matches('x', NULL) AS no_hash, pg_temp.attempt('SELECT wacta.password_matches(''x'', ''not a hash'')');
