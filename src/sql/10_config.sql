-- The clock, the one row of configuration, countries and phone numbers.

CREATE FUNCTION wacta.now() RETURNS timestamptz
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'wacta_now_sql';
COMMENT ON FUNCTION wacta.now() IS
'The clock of the domain: clock_timestamp(), or the time a test has pinned with wacta.fixed_now.';

-- Seeded tables are dumped whole. On restore their seed is there already, so a restored row takes the place of the
-- seeded one with the same key (the trigger's arguments) instead of colliding with it.
CREATE FUNCTION wacta.replace_seeded() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  condition text := (SELECT string_agg(format('%1$I = ($1).%1$I', a), ' AND ') FROM unnest(TG_ARGV) a);
BEGIN
  EXECUTE format('DELETE FROM %I.%I WHERE %s', TG_TABLE_SCHEMA, TG_TABLE_NAME, condition) USING NEW;
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION wacta.replace_seeded() IS
'Trigger: an inserted row replaces the row with the same key, so that a restore keeps the dumped settings.';

-- Nobody pays for what nobody wants: a trigger that is disabled costs nothing, one that looks into a table does. (What ALTER TABLE
-- refuses because rows of this transaction wait for the trigger is left as it is, and costs a call.)
CREATE FUNCTION wacta.set_trigger(relation regclass, name name, wanted boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = $2 AND (t.tgenabled = 'O') <> wanted) THEN
    EXECUTE format('ALTER TABLE %s %s TRIGGER %I', relation, CASE WHEN wanted THEN 'ENABLE' ELSE 'DISABLE' END, $2);
  END IF;
EXCEPTION WHEN object_in_use THEN
  IF wanted THEN
    RAISE;
  END IF;
END
$$;
COMMENT ON FUNCTION wacta.set_trigger(regclass, name, boolean) IS 'Enables or disables a trigger of wacta''s, when it is not so already.';

-- What people type is compared in one form: compatibility characters composed (NFKC), lower case, without what is not seen, without
-- punctuation and emoji, "don't" as "do not", a letter that was held down once. In Devanagari, which leaves writers a choice, the nukta goes,
-- and a nasal before a consonant is an anusvara: band is written in two ways, and both mean stop.
CREATE FUNCTION wacta.plain_words(said text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  word text := lower(normalize(left(said, 4096), NFKC));
BEGIN
  word := regexp_replace(word, '[\u00AD\u034F\u061C\u093C\u180E\u200B-\u200F\u202A-\u202E\u2060-\u206F\uFE00-\uFE0F\uFEFF''\u2018\u2019]+', '', 'g');
  word := regexp_replace(translate(word, U&'\0901', U&'\0902'), '[\u0919\u091E\u0923\u0928\u092E]\u094D(?=[\u0915-\u0939])', U&'\0902', 'g');
  word := regexp_replace(word, '[^[:alnum:]\u00C0-\u024F\u0370-\u0963\u0966-\u1FFF\u3040-\uD7FF]+', ' ', 'g');
  word := regexp_replace(word, '([[:alpha:]])\1{2,}', '\1', 'g');
  RETURN btrim(regexp_replace(word, '\m(dont|donot|do nt)\M', 'do not', 'g'));
END
$$;
COMMENT ON FUNCTION wacta.plain_words(text) IS 'A text in the one form in which words are compared: no case, punctuation, emoji or invisible characters.';

CREATE FUNCTION wacta.plain_word_list(words text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT ARRAY(SELECT DISTINCT wacta.plain_words(w) FROM unnest($1) w WHERE wacta.plain_words(w) <> '' ORDER BY 1) $$;
COMMENT ON FUNCTION wacta.plain_word_list(text[]) IS 'A list of words, each in the form in which it is compared.';

CREATE TABLE wacta.config (
  only_row          boolean  PRIMARY KEY DEFAULT true CHECK (only_row),
  base_url          text     NOT NULL DEFAULT 'http://127.0.0.1:8080' CHECK (base_url ~ '^https?://[^/?#\s]+(/[^?#\s]*[^/?#\s])?$'),
  brand             text     NOT NULL DEFAULT 'wacta',
  brand_color       text     CHECK (brand_color ~ '^#[0-9a-fA-F]{6}$'),
  brand_logo        text     CHECK (brand_logo ~ '^data:image/(png|jpeg|webp|svg\+xml);base64,[A-Za-z0-9+/]+=*$' AND length(brand_logo) <= 6000),
  page_language     text     NOT NULL DEFAULT 'en',
  default_country   text     NOT NULL DEFAULT 'IN',
  time_zone         text     NOT NULL DEFAULT 'Asia/Kolkata',
  click_mode        text     NOT NULL DEFAULT 'auto'   CHECK (click_mode IN ('auto', 'confirm', 'direct')),
  scanner_window    interval NOT NULL DEFAULT '5 seconds' CHECK (scanner_window >= '0' AND scanner_window <= '1 hour'),
  link_style        text     NOT NULL DEFAULT 'signed' CHECK (link_style IN ('signed', 'seed')),
  link_ttl          interval          DEFAULT '90 days',
  seed_link_ttl     interval,
  require_opt_in    boolean  NOT NULL DEFAULT false,
  pitch_gap         interval NOT NULL DEFAULT '12 hours',
  ivr_patience      interval NOT NULL DEFAULT '15 minutes' CHECK (ivr_patience >= '0'),
  message_ttl       interval NOT NULL DEFAULT '3 days',
  message_gap       interval          CHECK (message_gap > '0' AND message_gap <= '366 days'),
  max_attempts      integer  NOT NULL DEFAULT 8 CHECK (max_attempts > 0),
  retry_base        interval NOT NULL DEFAULT '10 seconds',
  retry_cap         interval NOT NULL DEFAULT '1 hour',
  unlisted_tries    integer NOT NULL DEFAULT 3 CHECK (unlisted_tries > 0),
  pair_interval     interval          DEFAULT '6 seconds' CHECK (pair_interval > '0' AND pair_interval <= '1 day'),
  pair_burst        integer NOT NULL DEFAULT 45 CHECK (pair_burst BETWEEN 1 AND 1000),
  lease             interval NOT NULL DEFAULT '5 minutes',
  scheduler         text     NOT NULL DEFAULT 'off' CHECK (scheduler IN ('off', 'timer', 'pg_cron')),
  follow_up_delay   interval NOT NULL DEFAULT '15 minutes',
  session_ttl       interval NOT NULL DEFAULT '12 hours',
  event_retention   interval          DEFAULT '30 days' CHECK (event_retention >= '0'),
  notify_events     boolean  NOT NULL DEFAULT false,
  archive_after     interval          CHECK (archive_after >= '7 days'),
  refusal_retention interval NOT NULL DEFAULT '30 days',
  staff_event_retention interval NOT NULL DEFAULT '180 days',
  inbox_retention   interval          DEFAULT '90 days' CHECK (inbox_retention >= '0'),
  stop_words        text[]   NOT NULL DEFAULT '{stop,stopall,stop all,stop it,stop this,stop now,stop message,stop messages,stop promotions,unsubscribe,unsubscribe me,
    opt out,optout,cancel,end,quit,remove,remove me,roko,rok do,band,band karo,band kro,band kare,band kardo,bandh karo,bas karo,mat bhejo,mat bhejna,mat bhejiye,
    रोकें,रोको,रोक दो,बंद,बंद करो,बंद करें,बंद कर दो,बंद कीजिए,बस करो,मत भेजो,मत भेजें,मत भेजना,मत भेजिए,स्टॉप,अनसब्सक्राइब}',
  stop_phrases      text[]   NOT NULL DEFAULT '{stop sending,stop messaging,stop texting,stop contacting,stop calling,stop spamming,stop disturbing,stop these messages,
    stop the messages,stop your messages,stop all messages,stop whatsapp,do not send me,do not send any,do not send messages,do not message,do not msg,do not text,
    do not contact,do not call,do not disturb,no more messages,no more msgs,unsubscribe me,remove me from,remove my number,delete my number,take me off,opt me out,opt out,
    message mat,messages mat,msg mat,mat bhejo,mat bhejna,mat bhejiye,pareshan mat,disturb mat,band karo,band kar do,band kardo,bandh karo,
    मैसेज मत,मेसेज मत,संदेश मत,मत भेजो,मत भेजें,मत भेजना,मत भेजिए,परेशान मत,बंद करो,बंद करें,बंद कर दो,बंद कीजिए}',
  start_words       text[]   NOT NULL DEFAULT '{start,start again,subscribe,resubscribe,opt in,optin,unstop,shuru,shuru karo,chalu karo,शुरू,शुरू करें,शुरू करो,चालू करो,स्टार्ट}',
  interested_words  text[]   NOT NULL DEFAULT '{interested,i am interested,yes interested,im interested,mujhe ruchi hai,ruchi hai,रुचि है,मुझे रुचि है,दिलचस्पी है,मुझे दिलचस्पी है}',
  not_interested_words text[] NOT NULL DEFAULT '{not interested,i am not interested,im not interested,no interest,no thanks,no thank you,interested nahi,ruchi nahi,ruchi nahi hai,
    nahi chahiye,रुचि नहीं,रुचि नहीं है,मुझे रुचि नहीं है,दिलचस्पी नहीं है,नहीं चाहिए}',
  courtesy_words    text[]   NOT NULL DEFAULT '{please,pls,plz,plss,kindly,sir,madam,mam,bro,hi,hello,hey,ok,okay,now,thanks,thank you,thx,ji,bhai,kripya,कृपया,प्लीज,जी,सर,भाई,धन्यवाद}',
  CONSTRAINT known_time_zone CHECK (timezone(time_zone, '2000-01-01 00:00+00'::timestamptz) IS NOT NULL),
  CONSTRAINT sound_intervals CHECK (retry_base > '0' AND retry_cap >= retry_base AND retry_cap < '28 days' AND lease > '0' AND message_ttl > '0'
                                    AND session_ttl > '0' AND pitch_gap >= '0' AND refusal_retention >= '0' AND staff_event_retention >= '0'),
  CONSTRAINT seed_links_outlive_now CHECK (seed_link_ttl > '0' AND link_ttl > '0' AND link_ttl <= '50 years')
);
COMMENT ON TABLE wacta.config IS 'The one row of settings of this database; change it with UPDATE as wacta_admin.';
COMMENT ON COLUMN wacta.config.base_url IS 'Where customers reach the front door, without a slash at the end.';
COMMENT ON COLUMN wacta.config.brand IS 'The name on the customers'' pages, and the footer of generated templates whose project has none.';
COMMENT ON COLUMN wacta.config.brand_color IS 'The line above the customers'' pages, as #0b6b4b; it stands behind no text, so that any colour will do.';
COMMENT ON COLUMN wacta.config.brand_logo IS 'A small picture beside the brand, as a data URI of at most 6,000 characters: nothing is fetched from elsewhere.';
COMMENT ON COLUMN wacta.config.page_language IS 'The language of a customer''s page where neither the message nor the browser names one of wacta.page_text.';
COMMENT ON COLUMN wacta.config.default_country IS 'ISO code of the country whose numbers come without a country code (see wacta.country).';
COMMENT ON COLUMN wacta.config.time_zone IS 'Of days in the figures and of budgets; and of people, projects and sources of calls that have none of their own.';
COMMENT ON COLUMN wacta.config.click_mode IS 'auto: the page posts itself; confirm: a button always; direct: the front door turns the GET into the POST.';
COMMENT ON COLUMN wacta.config.scanner_window IS 'Both buttons within this time from one visitor are a scanner''s; 0: nobody is taken for one.';
COMMENT ON COLUMN wacta.config.link_style IS 'signed: BASE/t/<token>; seed: BASE/track/<lead_id>/?token=…&action=….';
COMMENT ON COLUMN wacta.config.link_ttl IS 'How long a signed link works; NULL: until its key is retired.';
COMMENT ON COLUMN wacta.config.seed_link_ttl IS 'How long a link in the seed format works; NULL: until its key is retired.';
COMMENT ON COLUMN wacta.config.require_opt_in IS 'Send only to people whose consent was granted, not also to those who never said.';
COMMENT ON COLUMN wacta.config.pitch_gap IS 'process_ivr sends one person at most one message in this time.';
COMMENT ON COLUMN wacta.config.ivr_patience IS 'How long after the last event of a call that is not over a rule waits for what it has to know.';
COMMENT ON COLUMN wacta.config.message_ttl IS 'A message that was not sent within this time expires.';
COMMENT ON COLUMN wacta.config.message_gap IS 'Between two messages to one person, whatever their campaign, project and sender; a brochure that was asked for need not wait. NULL: none.';
COMMENT ON COLUMN wacta.config.max_attempts IS 'After so many attempts a message fails that the provider answers by an error that may pass; each answer counts, a network that is down does not.';
COMMENT ON COLUMN wacta.config.retry_base IS 'The wait after the first attempt; it doubles with each one, where wacta.error_rule says nothing else.';
COMMENT ON COLUMN wacta.config.retry_cap IS 'The longest wait between two attempts.';
COMMENT ON COLUMN wacta.config.unlisted_tries IS 'How often a message is tried that the provider refuses with a code not in wacta.error_rule.';
COMMENT ON COLUMN wacta.config.pair_interval IS 'A sender sends one person one message in this time, on average; NULL: no limit.';
COMMENT ON COLUMN wacta.config.pair_burst IS 'How many of these a sender may send one person at once.';
COMMENT ON COLUMN wacta.config.lease IS 'A claim without an outcome for this long is in doubt; must exceed wacta.request_timeout.';
COMMENT ON COLUMN wacta.config.scheduler IS 'Who runs the jobs of wacta.schedule; set by wacta.install_schedule() and remove_schedule() alone.';
COMMENT ON COLUMN wacta.config.follow_up_delay IS 'A call is due so long after what it follows from, within the project''s sales hours.';
COMMENT ON COLUMN wacta.config.session_ttl IS 'How long a session of the staff lasts after the sign-in.';
COMMENT ON COLUMN wacta.config.refusal_retention IS 'How long refused tokens and unproved webhooks are kept.';
COMMENT ON COLUMN wacta.config.staff_event_retention IS 'How long the audit of sign-ins (wacta.staff_event) is kept. India''s CERT-In wants logs of 180 days.';
COMMENT ON COLUMN wacta.config.inbox_retention IS 'How long applied webhooks are kept, bodies and all; NULL: for ever.';
COMMENT ON COLUMN wacta.config.archive_after IS 'How long messages and visits are kept as rows; the figures keep them for ever. NULL: for ever. Longer than link_ttl is wise.';
COMMENT ON COLUMN wacta.config.event_retention IS 'How long the rows of wacta.event are kept; NULL: for ever.';
COMMENT ON COLUMN wacta.config.notify_events IS 'Send NOTIFY wacta_event when a transaction that wrote events commits; commits then wait for one another.';
COMMENT ON COLUMN wacta.config.stop_words IS 'A message that is one of these withdraws consent. All lists are kept as wacta.plain_words() has them: case, punctuation, emoji and ways of writing do not matter.';
COMMENT ON COLUMN wacta.config.stop_phrases IS 'A message that has one of these in it withdraws consent, unless "do not" stands before it.';
COMMENT ON COLUMN wacta.config.start_words IS 'A message that is one of these brings a withdrawn consent back.';
COMMENT ON COLUMN wacta.config.interested_words IS 'A message or a button that is one of these is an Interested, where the template does not say what its button means.';
COMMENT ON COLUMN wacta.config.not_interested_words IS 'The same of Not interested, which withdraws consent.';
COMMENT ON COLUMN wacta.config.courtesy_words IS 'What may stand before or after a word without changing what it says.';

-- Brought to one form when they are set, so that a message is compared as it comes.
CREATE FUNCTION wacta.plain_config_words() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  NEW.stop_words := wacta.plain_word_list(NEW.stop_words);
  NEW.stop_phrases := wacta.plain_word_list(NEW.stop_phrases);
  NEW.start_words := wacta.plain_word_list(NEW.start_words);
  NEW.interested_words := wacta.plain_word_list(NEW.interested_words);
  NEW.not_interested_words := wacta.plain_word_list(NEW.not_interested_words);
  NEW.courtesy_words := wacta.plain_word_list(NEW.courtesy_words);
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION wacta.plain_config_words() IS 'Trigger: the lists of words are kept as wacta.plain_words() has them.';
CREATE TRIGGER plain_words BEFORE INSERT OR UPDATE ON wacta.config
  FOR EACH ROW EXECUTE FUNCTION wacta.plain_config_words();

INSERT INTO wacta.config DEFAULT VALUES;
CREATE TRIGGER restore_replaces BEFORE INSERT ON wacta.config
  FOR EACH ROW EXECUTE FUNCTION wacta.replace_seeded('only_row');

-- ITU-T E.164 numbering plans, as far as a national number must be told from an international one.
CREATE TABLE wacta.country (
  iso          text PRIMARY KEY CHECK (iso ~ '^[A-Z]{2}$'),
  calling_code text NOT NULL CHECK (calling_code ~ '^[1-9][0-9]{0,2}$'),
  trunk_prefix text NOT NULL DEFAULT '0' CHECK (trunk_prefix ~ '^[0-9]*$'),
  national_min integer NOT NULL,
  national_max integer NOT NULL,
  time_zone    text CHECK (time_zone IS NULL OR timezone(time_zone, '2000-01-01 00:00+00'::timestamptz) IS NOT NULL),
  CHECK (national_min BETWEEN 4 AND national_max AND national_max <= 14)
);
COMMENT ON TABLE wacta.country IS 'How a country writes its national phone numbers (ITU-T E.164); add the one that is missing.';
COMMENT ON COLUMN wacta.country.time_zone IS 'Where the people with its numbers are taken to be; of several zones the one in which most live.';
INSERT INTO wacta.country VALUES
  ('IN', '91', '0', 10, 10, 'Asia/Kolkata'), ('US', '1', '1', 10, 10, 'America/New_York'),
  ('CA', '1', '1', 10, 10, 'America/Toronto'), ('GB', '44', '0', 9, 10, 'Europe/London'),
  ('AE', '971', '0', 8, 9, 'Asia/Dubai'), ('SA', '966', '0', 8, 9, 'Asia/Riyadh'),
  ('SG', '65', '', 8, 8, 'Asia/Singapore'), ('AU', '61', '0', 9, 9, 'Australia/Sydney'),
  ('NP', '977', '0', 8, 10, 'Asia/Kathmandu'), ('BD', '880', '0', 8, 10, 'Asia/Dhaka'),
  ('LK', '94', '0', 9, 9, 'Asia/Colombo'), ('PK', '92', '0', 9, 10, 'Asia/Karachi'),
  ('DE', '49', '0', 6, 12, 'Europe/Berlin'), ('FR', '33', '0', 9, 9, 'Europe/Paris'),
  ('ZA', '27', '0', 9, 9, 'Africa/Johannesburg'), ('KE', '254', '0', 9, 9, 'Africa/Nairobi'),
  ('NG', '234', '0', 8, 10, 'Africa/Lagos'), ('BR', '55', '0', 10, 11, 'America/Sao_Paulo'),
  ('MX', '52', '', 10, 10, 'America/Mexico_City'), ('ID', '62', '0', 8, 12, 'Asia/Jakarta'),
  ('MY', '60', '0', 8, 10, 'Asia/Kuala_Lumpur'), ('PH', '63', '0', 8, 10, 'Asia/Manila');
CREATE TRIGGER restore_replaces BEFORE INSERT ON wacta.country
  FOR EACH ROW EXECUTE FUNCTION wacta.replace_seeded('iso');

CREATE FUNCTION wacta.normalize_phone(raw text, country text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  c      wacta.country;
  cleaned text := regexp_replace(regexp_replace(coalesce(raw, ''), '^\s*(tel|whatsapp|sip):', '', 'i'), '[\s().\-\u00A0\u2010-\u2015]', '', 'g');
  digits text := ltrim(cleaned, '+');
BEGIN
  IF digits !~ '^[0-9]{4,20}$' OR cleaned ~ '^\+\+' THEN
    RETURN NULL;
  END IF;
  SELECT * INTO c FROM wacta.country
   WHERE iso = coalesce(normalize_phone.country, (SELECT default_country FROM wacta.config));
  IF cleaned LIKE '+%' OR digits LIKE '00%' THEN         -- international
    digits := CASE WHEN cleaned LIKE '+%' THEN digits ELSE substr(digits, 3) END;
    -- callers write +91 0 98…: the trunk prefix does not belong there
    IF c.iso IS NOT NULL AND c.trunk_prefix <> '' AND digits LIKE c.calling_code || c.trunk_prefix || '%'
       AND length(digits) - length(c.calling_code) > c.national_max THEN
      digits := c.calling_code || substr(digits, length(c.calling_code || c.trunk_prefix) + 1);
    END IF;
  ELSIF c.iso IS NULL THEN
    NULL;                                                -- no such country: only full numbers are understood
  ELSIF length(digits) BETWEEN c.national_min AND c.national_max
        AND NOT (c.trunk_prefix <> '' AND digits LIKE c.trunk_prefix || '%') THEN
    digits := c.calling_code || digits;
  ELSIF c.trunk_prefix <> '' AND digits LIKE c.trunk_prefix || '%'
        AND length(digits) - length(c.trunk_prefix) BETWEEN c.national_min AND c.national_max THEN
    digits := c.calling_code || substr(digits, length(c.trunk_prefix) + 1);
  ELSIF c.trunk_prefix <> '' AND digits LIKE c.trunk_prefix || c.calling_code || '%'
        AND length(digits) - length(c.trunk_prefix || c.calling_code) BETWEEN c.national_min AND c.national_max THEN
    digits := substr(digits, length(c.trunk_prefix) + 1);  -- 091…: some switches put the trunk prefix before all
  END IF;
  -- without a plus sign, only the plan of a listed country tells a number from a digit too many
  IF cleaned NOT LIKE '+%' AND cleaned NOT LIKE '00%'
     AND NOT EXISTS (SELECT FROM wacta.country k WHERE digits LIKE k.calling_code || '%') THEN
    RETURN NULL;
  END IF;
  RETURN wacta.check_e164('+' || digits);
END
$$;
COMMENT ON FUNCTION wacta.normalize_phone(text, text) IS
'The number in E.164 (+919876543210), or NULL when it is none.
Understands +91…, 0091…, 91…, 0… and bare national numbers of the country (default: wacta.config.default_country).';

CREATE FUNCTION wacta.check_e164(phone text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  national_length integer;
  ok boolean;
BEGIN
  IF phone !~ '^\+[1-9][0-9]{6,14}$' THEN
    RETURN NULL;
  END IF;
  -- the longest calling code that fits decides; countries that are not listed pass by length alone
  SELECT bool_or(length(phone) - 1 - length(calling_code) BETWEEN national_min AND national_max) INTO ok
    FROM wacta.country
   WHERE phone LIKE '+' || calling_code || '%'
   GROUP BY calling_code ORDER BY length(calling_code) DESC LIMIT 1;
  RETURN CASE WHEN coalesce(ok, true) THEN phone END;
END
$$;
COMMENT ON FUNCTION wacta.check_e164(text) IS 'The number itself when its length fits its country''s plan, else NULL.';

CREATE FUNCTION wacta.try_jsonb(body bytea) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT
AS $$
BEGIN
  RETURN pg_catalog.convert_from(body, 'UTF8')::pg_catalog.jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded OR statement_too_complex THEN
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.try_jsonb(bytea) IS 'The bytes read as JSON, or NULL when they are not.';

CREATE FUNCTION wacta.try_timestamptz(value text, zone text DEFAULT 'UTC') RETURNS timestamptz
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF value !~ '[0-9]' THEN                               -- "yesterday", "infinity"
    RETURN NULL;
  ELSIF value ~ '^[0-9]{9,13}(\.[0-9]+)?$' THEN          -- Unix time in seconds, or milliseconds
    RETURN to_timestamp(value::numeric / CASE WHEN value::numeric > 100000000000 THEN 1000 ELSE 1 END);
  ELSIF value ~ '[+-][0-9]{2}:?[0-9]{2}$|Z$' THEN
    RETURN value::timestamptz;
  END IF;
  RETURN value::timestamp AT TIME ZONE zone;             -- local time without a zone
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.try_timestamptz(text, text) IS
'A provider''s time: Unix seconds or milliseconds, with a zone, or local to the zone given; NULL when it is none.';
