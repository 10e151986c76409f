-- Who sent it: what proves a webhook and what does not, whose secret it was, from where; rotation; and that nothing of a key is kept.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include

-- Two numbers of the same app, one of another; a sender by each other provider; a source of calls
SELECT wacta.add_channel('second', 'meta', '2'), wacta.add_channel('other', 'meta', '3'), wacta.add_channel('tata', 'tata'), wacta.add_channel('d360', '360dialog'), wacta.add_channel('gup', 'gupshup');
SELECT count(wacta.set_credential(owner, kind, secret)) FROM (VALUES ('second', 'app_secret', 'meta-app-secret'), ('other', 'app_secret', 'other-app-secret'), ('other', 'verify_token', 'other-verify-token'),
  ('tata', 'webhook_key', 'tata-key-0123456789'), ('d360', 'webhook_key', 'd360-key-0123456789'), ('gup', 'webhook_key', 'gup-key/0123456789+=')) v(owner, kind, secret);
CREATE FUNCTION pg_temp.sign(body bytea, secret text, algorithm text DEFAULT 'sha256') RETURNS text LANGUAGE sql AS
$$ SELECT $3 || '=' || encode(public.hmac($1, convert_to($2, 'UTF8'), $3), 'hex') $$;

-- Meta: every app's secret will do, however the header is written; nothing else does
SELECT what, coalesce(wacta.unproved('meta', 'whatsapp', body, headers), 'proved') AS verdict FROM (SELECT convert_to('{"text":"\u0928\u092e"}', 'UTF8') AS body) b, LATERAL (VALUES
  (1, 'signed by an app', jsonb_build_object('X-Hub-Signature-256', pg_temp.sign(body, 'meta-app-secret'))),
  (2, 'by another of ours', jsonb_build_object('x-hub-signature-256', pg_temp.sign(body, 'other-app-secret'))),
  (3, 'in capitals', jsonb_build_object('X-HUB-SIGNATURE-256', upper(pg_temp.sign(body, 'meta-app-secret')))),
  (4, 'with spaces', jsonb_build_object('X-Hub-Signature-256', E' \t' || pg_temp.sign(body, 'meta-app-secret') || '  ')),
  (5, 'with SHA-1 beside it', jsonb_build_object('X-Hub-Signature', 'sha1=00', 'X-Hub-Signature-256', pg_temp.sign(body, 'meta-app-secret'))),
  (6, 'SHA-1 alone', jsonb_build_object('X-Hub-Signature', pg_temp.sign(body, 'meta-app-secret', 'sha1'))),
  (7, 'SHA-1 in the wrong place', jsonb_build_object('X-Hub-Signature-256', pg_temp.sign(body, 'meta-app-secret', 'sha1'))),
  (8, 'nothing', '{}'), (9, 'empty', '{"X-Hub-Signature-256": ""}'), (10, 'null', '{"X-Hub-Signature-256": null}'), (11, 'headers that are none', '"x"'), (12, 'no headers', NULL),
  (13, 'by a stranger', jsonb_build_object('X-Hub-Signature-256', pg_temp.sign(body, 'secret'))),
  (14, 'without a secret', jsonb_build_object('X-Hub-Signature-256', pg_temp.sign(body, ''))),
  (15, 'of another body', jsonb_build_object('X-Hub-Signature-256', pg_temp.sign(body || '\x0a', 'meta-app-secret'))),
  (16, 'of the text, not the bytes', jsonb_build_object('X-Hub-Signature-256', pg_temp.sign(convert_to('{"text":"नम"}', 'UTF8'), 'meta-app-secret'))),
  (17, 'cut short', jsonb_build_object('X-Hub-Signature-256', left(pg_temp.sign(body, 'meta-app-secret'), 70))),
  (18, 'too long', jsonb_build_object('X-Hub-Signature-256', pg_temp.sign(body, 'meta-app-secret') || '00')),
  (19, 'one digit changed', jsonb_build_object('X-Hub-Signature-256', translate(pg_temp.sign(body, 'meta-app-secret'), '0', '1'))),
  (20, 'no algorithm', jsonb_build_object('X-Hub-Signature-256', substr(pg_temp.sign(body, 'meta-app-secret'), 8))),
  (21, 'two in a list', jsonb_build_object('X-Hub-Signature-256', pg_temp.sign(body, 'meta-app-secret') || ', ' || pg_temp.sign(body, 'meta-app-secret'))),
  (22, 'the secret itself', '{"X-Hub-Signature-256": "meta-app-secret", "X-Wacta-Key": "meta-app-secret"}'),
  (23, 'a key of another provider', '{"X-Wacta-Key": "tata-key-0123456789"}')) v(nr, what, headers) ORDER BY nr;
SELECT wacta.unproved('meta', 'whatsapp', '', jsonb_build_object('X-Hub-Signature-256', pg_temp.sign('', 'meta-app-secret'))) IS NULL AS an_empty_body, wacta.unproved('meta', 'whatsapp', NULL, '{}'), wacta.unproved(NULL, NULL, '', '{}'), wacta.unproved('meta', NULL, '', '{}');
-- a secret of many channels costs one HMAC: the apps are two
SELECT count(*) AS secrets, count(DISTINCT secret) AS apps FROM wacta.webhook_secrets('meta', 'whatsapp', 'app_secret', '{}');

-- Those that sign nothing show a key, in one of several ways
CREATE FUNCTION pg_temp.basic(credentials text) RETURNS text LANGUAGE sql AS $$ SELECT 'Basic ' || encode(convert_to($1, 'UTF8'), 'base64') $$;
SELECT header, value, coalesce(wacta.unproved('tata', 'whatsapp', '{}', jsonb_build_object(header, value)), 'proved') AS verdict FROM (VALUES
  ('X-Wacta-Key', 'tata-key-0123456789'), ('x-api-key', ' tata-key-0123456789 '), ('Authorization', 'tata-key-0123456789'), ('Authorization', 'Bearer tata-key-0123456789'), ('authorization', 'bearer  tata-key-0123456789'),
  ('Authorization', 'Token tata-key-0123456789'), ('Authorization', pg_temp.basic('anybody:tata-key-0123456789')), ('Authorization', pg_temp.basic('tata-key-0123456789:')), ('Authorization', pg_temp.basic(':tata-key-0123456789')),
  ('Authorization', pg_temp.basic('tata-key-0123456789')), ('X-Wacta-Key', 'Bearer tata-key-0123456789'),
  ('X-Wacta-Key', 'tata-key-012345678'), ('X-Wacta-Key', 'tata-key-01234567890'), ('X-Wacta-Key', 'TATA-KEY-0123456789'), ('X-Wacta-Key', ''), ('X-Wacta-Key', 'd360-key-0123456789'), ('X-Wacta-Key', 'smartflo-key-0123456789'),
  ('Authorization', pg_temp.basic('tata-key-0123456789:other')), ('Authorization', 'Basic '), ('Authorization', 'Basic %%%'), ('Authorization', 'Basic /w=='), ('Authorization', 'Basic A==='), ('Authorization', 'Bearer'), ('Authorization', 'Bearer tata-key-0123456789 x'),
  ('X-Some-Header', 'tata-key-0123456789'), ('Cookie', 'tata-key-0123456789')) v(header, value);
-- a header that the provider sends for purposes of its own does no harm
SELECT wacta.unproved('tata', 'whatsapp', '{}', '{"Authorization": "Bearer something", "X-Api-Key": "", "X-Wacta-Key": "tata-key-0123456789"}') IS NULL AS proved;
-- an IVR source by its own key alone
SELECT source, key, coalesce(wacta.unproved(source, 'ivr', '{}', jsonb_build_object('X-Wacta-Key', key)), 'proved') AS verdict
  FROM unnest('{smartflo,tata,main,nobody,NULL}'::text[]) source, unnest('{smartflo-key-0123456789,tata-key-0123456789}'::text[]) key;

-- A header of the site's own, beside those
SELECT wacta.set_webhook_access('tata', header => 'X-Tata-Hook');
SELECT wacta.unproved('tata', 'whatsapp', '{}', '{"x-tata-hook": "tata-key-0123456789"}') IS NULL AS by_it, wacta.unproved('tata', 'whatsapp', '{}', '{"X-Tata-Hook": "Bearer tata-key-0123456789"}') IS NULL AS as_bearer,
       wacta.unproved('tata', 'whatsapp', '{}', '{"X-Wacta-Key": "tata-key-0123456789"}') IS NULL AS by_the_other, wacta.unproved('tata', 'whatsapp', '{}', '{"X-Tata-Hook": "wrong"}') AS wrong, wacta.unproved('360dialog', 'whatsapp', '{}', '{"X-Tata-Hook": "d360-key-0123456789"}') AS anothers;
SELECT pg_temp.attempt(format('SELECT wacta.set_webhook_access(%L, %L, %L)', owner, addresses, header)) FROM (VALUES ('tata', NULL, 'X-Wacta-Peer'), ('tata', NULL, 'Content-Type'), ('tata', NULL, 'a b'), ('tata', NULL, ''),
  ('tata', '{}', NULL), ('tata', '{NULL}', NULL), ('tata', '{203.0.113.7/24}', NULL), ('tata', '{::ffff:203.0.113.0/120}', NULL), ('tata', '{example.com}', NULL), ('nobody', NULL, NULL), (NULL, NULL, NULL)) v(owner, addresses, header);

-- A list of addresses: the right key from elsewhere has a reason of its own, a wrong one has not
SELECT wacta.set_webhook_access('tata', '{203.0.113.0/24,198.51.100.7,2001:db8::/32}', 'X-Tata-Hook'), wacta.set_webhook_access('smartflo', '{203.0.113.9}');
SELECT peer, coalesce(wacta.unproved('tata', 'whatsapp', '{}', jsonb_build_object('X-Wacta-Key', 'tata-key-0123456789', 'X-Wacta-Peer', peer)), 'proved') AS right_key,
       coalesce(wacta.unproved('tata', 'whatsapp', '{}', jsonb_build_object('X-Wacta-Key', 'tata-key-0000000000', 'X-Wacta-Peer', peer)), 'proved') AS wrong_key,
       coalesce(wacta.unproved('tata', 'whatsapp', '{}', jsonb_build_object('X-Wacta-Peer', peer)), 'proved') AS no_key, coalesce(wacta.unproved('smartflo', 'ivr', '{}', jsonb_build_object('X-Wacta-Key', 'smartflo-key-0123456789', 'x-wacta-peer', peer)), 'proved') AS call
  FROM unnest('{203.0.113.9,203.0.113.255,::ffff:203.0.113.9,::FFFF:CB00:7109,198.51.100.7,198.51.100.8,203.0.114.1,2001:db8::1,2001:db9::1,::203.0.113.9,::1,203.0.113.9/8,"203.0.113.9, 6.6.6.6",999.1.1.1,unix:,"",NULL}'::text[]) peer;
-- of two senders with one secret, the one that may send from there decides
SELECT wacta.set_webhook_access('main', '{192.0.2.1}');
SELECT peer, coalesce(wacta.unproved('meta', 'whatsapp', '{}', jsonb_build_object('X-Wacta-Peer', peer, 'X-Hub-Signature-256', pg_temp.sign('{}', 'meta-app-secret'))), 'proved') AS verdict FROM unnest('{192.0.2.1,192.0.2.2}'::text[]) peer;
SELECT wacta.set_webhook_access('second', '{192.0.2.2}');
SELECT peer, coalesce(wacta.unproved('meta', 'whatsapp', '{}', jsonb_build_object('X-Wacta-Peer', peer, 'X-Hub-Signature-256', pg_temp.sign('{}', 'meta-app-secret'))), 'proved') AS verdict FROM unnest('{192.0.2.1,192.0.2.2,192.0.2.3}'::text[]) peer;
SELECT wacta.set_webhook_access('main'), wacta.set_webhook_access('second'), wacta.set_webhook_access('smartflo');

-- Rotation: several are valid side by side until one is retired
SELECT wacta.set_credential('main', 'app_secret', 'the-next-app-secret', keep_old => true) AS next_secret, wacta.set_credential('main', 'verify_token', 'the-next-verify-token', keep_old => true) AS next_token,
       wacta.set_credential('smartflo', 'webhook_key', 'the-next-smartflo-key', keep_old => true) AS next_key \gset
CREATE FUNCTION pg_temp.good(secret text) RETURNS boolean LANGUAGE sql AS $$ SELECT wacta.unproved('meta', 'whatsapp', '{}', jsonb_build_object('X-Hub-Signature-256', pg_temp.sign('{}', $1))) IS NULL $$;
CREATE FUNCTION pg_temp.good_key(key text) RETURNS boolean LANGUAGE sql AS $$ SELECT wacta.unproved('smartflo', 'ivr', '{}', jsonb_build_object('X-Wacta-Key', $1)) IS NULL $$;
SELECT pg_temp.good('meta-app-secret') AS old_secret, pg_temp.good('the-next-app-secret') AS next_secret, pg_temp.good_key('smartflo-key-0123456789') AS old_key, pg_temp.good_key('the-next-smartflo-key') AS next_key,
       wacta.is_verify_token('meta-verify-token') AS old_token, wacta.is_verify_token('the-next-verify-token') AS next_token, wacta.is_verify_token('other-verify-token') AS anothers, wacta.is_verify_token('meta-verify-toke') AS cut, wacta.is_verify_token('') AS empty, wacta.is_verify_token(NULL) AS none;
SELECT owner, kind, count(*), count(retired_at) AS retired FROM wacta.credential_list GROUP BY 1, 2 ORDER BY 1, 2;
SELECT wacta.retire_credential(credential_id) FROM wacta.credential_list WHERE owner IN ('main', 'ivr:smartflo') AND credential_id NOT IN (:next_secret, :next_token, :next_key) AND kind <> 'access_token';
SELECT pg_temp.good('meta-app-secret') AS still_that_of_second, pg_temp.good('the-next-app-secret') AS next_secret, pg_temp.good_key('smartflo-key-0123456789') AS old_key, pg_temp.good_key('the-next-smartflo-key') AS next_key,
       wacta.is_verify_token('meta-verify-token') AS old_token, wacta.is_verify_token('the-next-verify-token') AS next_token;
SELECT owner, kind, count(*), count(retired_at) AS retired FROM wacta.credential_list WHERE owner IN ('main', 'ivr:smartflo') GROUP BY 1, 2 ORDER BY 1, 2;
SELECT pg_temp.attempt('SELECT wacta.retire_credential(4711)'), pg_temp.attempt('SELECT wacta.retire_credential(NULL)');
-- without keep_old the former ends at once
SELECT wacta.set_credential('smartflo', 'webhook_key', 'yet-another-smartflo-key') > 0 AS set;
SELECT pg_temp.good_key('the-next-smartflo-key') AS former, pg_temp.good_key('yet-another-smartflo-key') AS newest;
-- a channel and a source of one name
SELECT wacta.add_ivr_source('tata'), wacta.set_credential('ivr:tata', 'webhook_key', 'tata-calls-0123456789') > 0 AS set;
SELECT wacta.unproved('tata', 'ivr', '{}', '{"X-Wacta-Key": "tata-calls-0123456789"}') IS NULL AS calls, wacta.unproved('tata', 'whatsapp', '{}', '{"X-Wacta-Key": "tata-calls-0123456789", "X-Wacta-Peer": "203.0.113.9"}') AS messages;
SELECT pg_temp.attempt($$SELECT wacta.set_credential('ivr:nobody', 'webhook_key', 'a-key-of-nobody-0123')$$);

-- Who sends, where one path serves all
SELECT headers, wacta.webhook_provider(headers) FROM (VALUES ('{"X-Hub-Signature-256": "sha256=00"}'::jsonb), ('{"X-Hub-Signature": "sha1=00"}'), ('{"X-Wacta-Key": "tata-key-0123456789"}'), ('{"X-Tata-Hook": "tata-key-0123456789"}'), ('{"X-Wacta-Key": "d360-key-0123456789"}'),
  ('{"Authorization": "gup-key/0123456789+="}'), ('{"X-Wacta-Key": "d360-key-0123456789", "X-Hub-Signature-256": "sha256=00"}'), ('{"X-Wacta-Key": "wrong"}'), ('{"X-Tata-Hook": "wrong"}'), ('{}'), (NULL)) v(headers);

-- Gupshup only receives
SELECT provider, sends, is_default, status, status_reason FROM wacta.channel WHERE name = 'gup';
SELECT pg_temp.attempt($$SELECT wacta.resume_channel('gup')$$), pg_temp.attempt($$UPDATE wacta.channel SET is_default = true WHERE name = 'gup'$$), (SELECT count(*) FROM wacta.outbox_status WHERE channel = 'gup') AS shown_among_senders;
SELECT wacta.ingest_webhook('gupshup', 'whatsapp', '{}', '{"Authorization": "gup-key/0123456789+="}') > 0 AS taken;
SELECT provider, proved, headers FROM wacta.inbox;

-- Twilio signs the URL and the fields of the form; the first is Twilio's own example
SELECT encode(wacta.twilio_signature('https://mycompany.com/myapp.php?foo=1&bar=2', 'Digits=1234&CallSid=CA1234567890ABCDE&From=%2B12349013030&To=%2B18005551212&Caller=%2B12349013030', '12345'), 'base64') AS as_twilio_documents_it;
SELECT wacta.add_ivr_source('in', 'twilio'), wacta.set_credential('in', 'app_secret', 'twilio-auth-token') > 0 AS token, wacta.add_ivr_source('json', 'generic'), wacta.set_credential('json', 'app_secret', 'twilio-auth-token') > 0 AS token;
CREATE FUNCTION pg_temp.twilio(data text, source text DEFAULT 'in', body text DEFAULT 'From=%2B91+98&CallSid=CA1&From=b&Empty=', token text DEFAULT 'twilio-auth-token') RETURNS text LANGUAGE sql AS
$$ SELECT coalesce(wacta.unproved($2, 'ivr', convert_to($3, 'UTF8'), jsonb_build_object('X-Twilio-Signature', encode(public.hmac(convert_to($1, 'UTF8'), convert_to($4, 'UTF8'), 'sha1'), 'base64'))), 'proved') $$;
SELECT what, verdict FROM (VALUES
  (1, 'the form', pg_temp.twilio('https://crm.example.com/webhook/ivr/in/CallSidCA1EmptyFrom+91 98Fromb')),
  (2, 'without the slash', pg_temp.twilio('https://crm.example.com/webhook/ivr/inCallSidCA1EmptyFrom+91 98Fromb')),
  (3, 'a GET', pg_temp.twilio('https://crm.example.com/webhook/ivr/in/?From=%2B91+98&CallSid=CA1&From=b&Empty=')),
  (4, 'another host', pg_temp.twilio('https://evil.example.com/webhook/ivr/in/CallSidCA1EmptyFrom+91 98Fromb')),
  (5, 'another body', pg_temp.twilio('https://crm.example.com/webhook/ivr/in/CallSidCA1EmptyFrom+91 98Fromb', body => 'CallSid=CA1')),
  (6, 'another token', pg_temp.twilio('https://crm.example.com/webhook/ivr/in/CallSidCA1EmptyFrom+91 98Fromb', token => 'guess')),
  (7, 'a source whose calls are not Twilio''s', pg_temp.twilio('https://crm.example.com/webhook/ivr/json/CallSidCA1EmptyFrom+91 98Fromb', 'json')),
  (8, 'no form at all', pg_temp.twilio('https://crm.example.com/webhook/ivr/in/', body => '')),
  (9, 'bytes that are none of a form', pg_temp.twilio('x', body => E'\\ %zz %ff &&=&=a'))) v(nr, what, verdict) ORDER BY nr;
SELECT wacta.unproved('in', 'ivr', '', '{"X-Twilio-Signature": ""}'), wacta.unproved('in', 'ivr', '', '{}'), wacta.unproved('in', 'ivr', '\xff00fe', '{"X-Twilio-Signature": "AAAA"}'), wacta.unproved('in', 'ivr', convert_to(repeat('a=b&', 20000), 'UTF8'), '{"X-Twilio-Signature": "AAAA"}');
-- a key proves as elsewhere, and the addresses count for both
SELECT wacta.set_credential('in', 'webhook_key', 'twilio-key-0123456789') > 0 AS key;
SELECT wacta.unproved('in', 'ivr', '', '{"X-Wacta-Key": "twilio-key-0123456789", "X-Twilio-Signature": "of a URL with the key in it"}') IS NULL AS by_key;
SELECT wacta.set_webhook_access('in', '{192.0.2.1}');
SELECT pg_temp.twilio('https://crm.example.com/webhook/ivr/in/CallSidCA1EmptyFrom+91 98Fromb') AS from_nowhere;

-- Nothing that carries a key is kept
SELECT wacta.public_headers('{"X-Tata-Hook": "k", "X-Wacta-Key": "k", "Authorization": "k", "Proxy-Authorization": "k", "Cookie": "k", "X-Api-Key": "k", "ApiKey": "k", "X-Auth": "k", "X-Token": "k", "X-Secret": "k", "X-Password": "k", "Referer": "k",
  "X-Original-URI": "k", "X-Forwarded-Uri": "k", "X-Rewrite-Url": "k", "X-Original-Path": "k", "Content-Type": "text/plain", "User-Agent": "u", "X-Wacta-Peer": "203.0.113.9", "X-Hub-Signature-256": "s", "X-Number": 7}') AS kept, wacta.public_headers('[]') AS of_no_object, wacta.public_headers(NULL) AS of_nothing;
