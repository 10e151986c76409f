-- What the customers' pages say, in every language. {project}, {time} and {date} stand for values; all else is text, never markup.

CREATE TABLE wacta.page_text (
  language text NOT NULL CHECK (language ~ '^[a-z]{2,3}(-[a-z0-9]{2,8})*$'),
  name     text NOT NULL,
  text     text NOT NULL CHECK (length(text) <= 400),
  PRIMARY KEY (language, name)
);
COMMENT ON TABLE wacta.page_text IS
'The texts of the customers'' pages by language (en, hi, pt-br); what a language lacks is shown in English. A language is there as soon as it has a row.';
CREATE TRIGGER restore_replaces BEFORE INSERT ON wacta.page_text
  FOR EACH ROW EXECUTE FUNCTION wacta.replace_seeded('language', 'name');

INSERT INTO wacta.page_text (name, language, text)
SELECT v.name, t.language, t.text
  FROM (VALUES
  ('direction', 'ltr', 'ltr'),
  ('confirm_title', '{project}', '{project}'),
  ('confirm_status', 'Please tap the button to confirm your answer.', 'कृपया अपने जवाब की पुष्टि के लिए बटन दबाएँ।'),
  ('sending', 'One moment: we are noting your answer.', 'एक क्षण: हम आपका जवाब दर्ज कर रहे हैं।'),
  ('say_interested', 'Yes, I am interested', 'हाँ, मुझे रुचि है'),
  ('say_not_interested', 'No, I am not interested', 'नहीं, मुझे रुचि नहीं है'),
  ('interested_title', 'Thank you for your interest in {project}', '{project} में रुचि दिखाने के लिए धन्यवाद'),
  ('interested_status', 'We have noted your answer.', 'आपका जवाब दर्ज हो गया है।'),
  ('brochure_sent', 'The brochure is on its way to you on WhatsApp.', 'ब्रोशर आपको WhatsApp पर भेजा जा रहा है।'),
  ('brochure_link', 'Download the brochure now', 'ब्रोशर अभी डाउनलोड करें'),
  ('call', 'One of us will call you.', 'हमारी टीम आपको कॉल करेगी।'),
  ('call_soon', 'One of us will call you shortly.', 'हमारी टीम आपको थोड़ी ही देर में कॉल करेगी।'),
  ('call_today', 'One of us will call you today, from {time} on.', 'हमारी टीम आपको आज {time} बजे के बाद कॉल करेगी।'),
  ('call_tomorrow', 'One of us will call you tomorrow, from {time} on.', 'हमारी टीम आपको कल {time} बजे के बाद कॉल करेगी।'),
  ('call_later', 'One of us will call you on {date}, from {time} on.', 'हमारी टीम आपको {date} को {time} बजे के बाद कॉल करेगी।'),
  ('wish_title', 'When may we call you?', 'हम आपको कब कॉल करें?'),
  ('wish_now', 'Now', 'अभी'),
  ('wish_evening', 'This evening', 'आज शाम को'),
  ('wish_tomorrow', 'Tomorrow morning', 'कल सुबह'),
  ('wish_next_day', 'The next working morning', 'अगले कार्यदिवस की सुबह'),
  ('change_no_title', 'Not interested after all?', 'क्या आपको रुचि नहीं है?'),
  ('change_no_text', 'With this button we stop: no further messages from us, and no call.', 'यह बटन दबाने पर हम रुक जाएँगे: न कोई और संदेश, न कोई कॉल।'),
  ('change_no_button', 'Not interested: stop all messages', 'रुचि नहीं है: सभी संदेश बंद करें'),
  ('not_interested_title', 'Thank you for telling us', 'बताने के लिए धन्यवाद'),
  ('not_interested_status', 'We will not send you any more messages, about {project} or anything else.',
   'अब हम आपको कोई संदेश नहीं भेजेंगे, न {project} के बारे में और न किसी और विषय पर।'),
  ('not_interested_more', 'Nothing more is needed from you. Should you change your mind one day, write START to us on WhatsApp.',
   'आपको और कुछ नहीं करना है। यदि कभी आपका मन बदले, तो हमें WhatsApp पर START लिखें।'),
  ('change_yes_title', 'That was a mistake?', 'ग़लती से हो गया?'),
  ('change_yes_text', 'With this button you agree that we write to you on WhatsApp and call you about {project}. You can stop it at any time.',
   'यह बटन दबाकर आप सहमति देते हैं कि हम {project} के बारे में आपको WhatsApp पर लिखें और कॉल करें। आप इसे कभी भी रोक सकते हैं।'),
  ('change_yes_button', 'Yes, please contact me', 'हाँ, कृपया मुझसे संपर्क करें'),
  ('ask_again_title', '{project}', '{project}'),
  ('ask_again_status', 'You asked us earlier not to write to you. May we contact you again?', 'आपने पहले हमें संदेश न भेजने को कहा था। क्या हम आपसे फिर संपर्क कर सकते हैं?'),
  ('ask_again_button', 'Yes, please contact me again', 'हाँ, कृपया मुझसे फिर संपर्क करें'),
  ('ask_again_more', 'If not, simply close this page: nothing will be sent.', 'यदि नहीं, तो यह पेज बंद कर दें: कुछ भी नहीं भेजा जाएगा।'),
  ('refused_title', 'This link does not work any more', 'यह लिंक अब काम नहीं करता'),
  ('refused_status', 'It may have expired, or it was copied incompletely. Your answer was not recorded.',
   'हो सकता है कि इसकी समय-सीमा समाप्त हो गई हो, या यह पूरा कॉपी न हुआ हो। आपका जवाब दर्ज नहीं हुआ।'),
  ('refused_more', 'Please write to us on WhatsApp and we will gladly help.', 'कृपया हमें WhatsApp पर लिखें, हम ख़ुशी से मदद करेंगे।')
  ) v(name, en, hi), LATERAL (VALUES ('en', v.en), ('hi', v.hi)) t(language, text);

-- A page asks for twenty of them, and every tap for a page: they are put together when they change.
CREATE TABLE wacta.page_language (
  language text PRIMARY KEY,
  texts    jsonb NOT NULL
);
COMMENT ON TABLE wacta.page_language IS
'All texts of each language of wacta.page_text, what it lacks in English; kept by a trigger and not dumped.';

CREATE FUNCTION wacta.keep_languages() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  DELETE FROM wacta.page_language;
  INSERT INTO wacta.page_language (language, texts)
  SELECT l.language, jsonb_object_agg(t.name, t.text ORDER BY t.language = l.language) || jsonb_build_object('language', l.language)
    FROM (SELECT DISTINCT k.language FROM wacta.page_text k) l JOIN wacta.page_text t ON t.language IN ('en', l.language)
   GROUP BY l.language;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION wacta.keep_languages() IS 'Trigger: wacta.page_language has the texts of wacta.page_text.';
CREATE TRIGGER keep_languages AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON wacta.page_text
  FOR EACH STATEMENT EXECUTE FUNCTION wacta.keep_languages();
UPDATE wacta.page_text SET text = text WHERE false;      -- once, for the rows above

CREATE FUNCTION wacta_http.page_texts(language text) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN coalesce((SELECT l.texts FROM wacta.page_language l WHERE l.language = $1), jsonb_build_object('language', $1));
END
$$;
COMMENT ON FUNCTION wacta_http.page_texts(text) IS 'All texts of a language, each missing one in English.';

CREATE FUNCTION wacta_http.known_language(wanted text) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  tag text := replace(lower($1), '_', '-');
BEGIN
  RETURN (SELECT l.language FROM wacta.page_language l WHERE l.language IN (tag, split_part(tag, '-', 1)) ORDER BY length(l.language) DESC LIMIT 1);
END
$$;
COMMENT ON FUNCTION wacta_http.known_language(text) IS 'The language of wacta.page_text for a tag such as en_US or hi-IN; NULL: there is none.';

CREATE FUNCTION wacta_http.accepted_language(accept text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN (
    SELECT wacta_http.known_language(m[1])
      FROM regexp_matches(left($1, 200), '([A-Za-z]{2,3}(?:-[A-Za-z0-9]+)*)\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?))?\s*(?:,|$)', 'g') WITH ORDINALITY t(m, nr)
     WHERE coalesce(m[2]::numeric, 1) > 0 AND wacta_http.known_language(m[1]) IS NOT NULL
     ORDER BY coalesce(m[2]::numeric, 1) DESC, nr LIMIT 1);
END
$$;
COMMENT ON FUNCTION wacta_http.accepted_language(text) IS 'The language of wacta.page_text that an Accept-Language header likes best; NULL: none.';
