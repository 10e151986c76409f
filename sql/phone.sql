-- Phone numbers: every way of writing one comes to the same E.164 number; what is none is NULL, never a guess.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include

-- The default country is India
SELECT raw, wacta.normalize_phone(raw) AS number FROM unnest(ARRAY[
  '+919876500001', '919876500001', '09876500001', '9876500001', '00919876500001', '0919876500001', '+9109876500001', '+91 98765-00001', ' 98765 00001 ', '(98765) 00001', '98765.00001',
  '+91' || chr(160) || '98765' || chr(8209) || '00001', 'tel:+919876500001', 'whatsapp:+919876500001', 'SIP:9876500001']) WITH ORDINALITY AS t(raw, n) ORDER BY n;
-- service numbers, numbers of other countries, and what is no number
SELECT quote_nullable(raw) AS raw, wacta.normalize_phone(raw) AS number FROM unnest(ARRAY[
  '+16505551234', '16505551234', '0016505551234', '+441632960961', '+971501234567', '+6591234567', '+8801712345678', '918060000305', '8060000305', '+911240000984',
  '+91987650000', '98765000012', '+9198765000012', '919876500001x', 'anonymous', 'unknown', 'Restricted', '', ' ', '+', '++919876500001', '+0919876500001', '1', '123', '100', '1800', '0000000000', '+999999999999999', '99999999999999999999999',
  '9876500001,9876500002', '9876500001;phone-context=+91', 'sip:9876500001@pbx.example.com', '९८७६५००००१', '-9876500001', '98765' || chr(10) || '00001', '$caller_id', '9.876500001E9', NULL]) WITH ORDINALITY AS t(raw, n) ORDER BY n;

-- An integer, as some bodies have it, is the same; and what has been normalized stays as it is
SELECT wacta.normalize_phone('9876500001'::bigint::text), wacta.normalize_phone(('{"n": 919876500001}'::jsonb) ->> 'n');
SELECT count(*) AS not_stable FROM unnest(ARRAY['9876500001', '09876500001', '+16505551234', '+441632960961', '+6591234567']) raw
 WHERE wacta.normalize_phone(wacta.normalize_phone(raw)) IS DISTINCT FROM wacta.normalize_phone(raw);
-- 2,000 random mobile numbers, in eight spellings each
SELECT count(*) AS tried, count(*) FILTER (WHERE wacta.normalize_phone(spelling) IS DISTINCT FROM '+91' || n) AS wrong
  FROM (SELECT 6000000000 + floor(random() * 4e9)::bigint AS n FROM generate_series(1, 2000)) r,
       LATERAL unnest(ARRAY['+91' || n, '91' || n, '0' || n, n::text, '0091' || n, '091' || n, '+910' || n, '+91 ' || left(n::text, 5) || ' ' || right(n::text, 5)]) spelling;

-- Another country, by argument or by configuration
SELECT country, raw, wacta.normalize_phone(raw, country) AS number FROM (VALUES
  ('US', '6505551234'), ('US', '1 650 555 1234'), ('US', '(650) 555-1234'), ('US', '+919876500001'), ('GB', '01632 960961'), ('GB', '+44 (0)1632 960961'), ('AE', '050 123 4567'),
  ('SG', '9123 4567'), ('SG', '6591234567'), ('DE', '030 123456'), ('XX', '9876500001'), ('XX', '+919876500001'), ('', '9876500001')) v(country, raw);
UPDATE wacta.config SET default_country = 'US';
SELECT wacta.normalize_phone('6505551234'), wacta.normalize_phone('9876500001'), wacta.normalize_phone('9876500001', 'IN');
-- a country that is not listed yet is added as data
INSERT INTO wacta.country VALUES ('IT', '39', '', 6, 11);
SELECT wacta.normalize_phone('06 698 12345', 'IT'), wacta.normalize_phone('+39 06 698 12345');
SELECT pg_temp.attempt($$INSERT INTO wacta.country VALUES ('it', '39', '', 6, 11)$$), pg_temp.attempt($$INSERT INTO wacta.country VALUES ('XY', '0', '', 6, 11)$$),
       pg_temp.attempt($$INSERT INTO wacta.country VALUES ('XY', '399', '', 11, 6)$$);
