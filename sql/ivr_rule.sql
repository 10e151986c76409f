-- Rules on what calls lead to: conditions, order, waiting for what is not known yet, keys that the caller pressed.
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SELECT wacta.add_ivr_source('exotel', 'exotel', 'Green Acres');
CREATE FUNCTION pg_temp.call(n integer, id text, status text DEFAULT NULL, digits text DEFAULT NULL, duration integer DEFAULT NULL, called text DEFAULT '08060000305',
                             source text DEFAULT 'smartflo', direction text DEFAULT 'inbound') RETURNS bigint LANGUAGE sql AS
$$ SELECT wacta.log_ivr_call('98765' || lpad(n::text, 5, '0'), called, source, id, status => status, digits => digits, duration => duration, direction => direction) $$;
CREATE FUNCTION pg_temp.processed() RETURNS TABLE (id text, outcome text, rule integer) LANGUAGE plpgsql AS $$
DECLARE calls bigint[] := ARRAY(SELECT p.call_id FROM wacta.process_ivr(100) p);
BEGIN
  RETURN QUERY SELECT c.provider_call_id, c.outcome, r.position FROM wacta.ivr_call c LEFT JOIN wacta.ivr_rule r USING (rule_id) WHERE c.call_id = ANY (calls) ORDER BY 1;
END
$$;
CREATE FUNCTION pg_temp.why(id text) RETURNS TABLE ("position" integer, action text, verdict text, reason text) LANGUAGE sql AS
$$ SELECT e.position, e.action, e.verdict, e.reason FROM wacta.ivr_call c, wacta.explain_call(c.call_id) e WHERE c.provider_call_id = id $$;

-- Without a rule every call leads to the message, at once, however far it has come
SELECT pg_temp.call(1, 'a1', 'ringing') > 0;
SELECT * FROM pg_temp.why('a1');
SELECT * FROM pg_temp.processed();
SELECT verdict, reason FROM pg_temp.why('a1');

-- A site that writes to those it missed, takes 2 for stop, knows three numbers, and leaves short and outbound calls alone
SELECT wacta.add_template('missed_you', wacta.generate_template('Green Acres') -> 'components') > 0;
SELECT wacta.add_project('Lake View', template => 'missed_you') > 0;
SELECT wacta.add_ivr_rule(10, 'nothing', direction => 'outbound'), wacta.add_ivr_rule(20, 'opt_out', digits => '^2$'), wacta.add_ivr_rule(30, 'not_interested', digits => '^9$'),
       wacta.add_ivr_rule(40, 'interested', digits => '^1'), wacta.add_ivr_rule(50, 'project', called => '080 6000 0399', project => 'Lake View'),
       wacta.add_ivr_rule(60, 'message', state => 'missed', template => 'missed_you'), wacta.add_ivr_rule(70, 'message', source => 'exotel'),
       wacta.add_ivr_rule(80, 'message', min_duration => 30), wacta.add_ivr_rule(100, 'nothing');
SELECT position, source, called, direction, state, digits, min_duration, action, template_id IS NOT NULL AS template, project_id IS NOT NULL AS project FROM wacta.ivr_rule ORDER BY position;
SELECT pg_temp.call(11, 'b11', 'completed', '2'), pg_temp.call(12, 'b12', 'completed', '9'), pg_temp.call(13, 'b13', 'completed', '1'), pg_temp.call(14, 'b14', 'missed'),
       pg_temp.call(15, 'b15', 'missed', called => '+91 80 6000 0399'), pg_temp.call(16, 'b16', 'completed', duration => 29), pg_temp.call(17, 'b17', 'completed', duration => 30),
       pg_temp.call(18, 'b18', 'completed', source => 'exotel'), pg_temp.call(19, 'b19', 'missed', direction => 'outbound'), pg_temp.call(20, 'b20', 'answered'), pg_temp.call(21, 'b21', 'completed', '7,12');
SELECT * FROM pg_temp.processed();
SELECT pg_temp.who(lead_id) AS who, p.name AS project, t.name AS template, m.purpose, m.status, m.reason
  FROM wacta.message m LEFT JOIN wacta.project p ON p.project_id = m.project_id LEFT JOIN wacta.template t ON t.template_id = m.template_id ORDER BY 1, message_id;
-- what was pressed is said, as if by a tap or a word
SELECT pg_temp.who(lead_id) AS who, l.status, l.stage, l.consent, e.reason, e.evidence, n.note FROM wacta.lead l
  LEFT JOIN LATERAL (SELECT * FROM wacta.consent_event x WHERE x.lead_id = l.lead_id ORDER BY event_id DESC LIMIT 1) e USING (lead_id)
  LEFT JOIN LATERAL (SELECT string_agg(note, '; ' ORDER BY note_id) AS note FROM wacta.lead_note x WHERE x.lead_id = l.lead_id) n ON true
 WHERE lead_id IN (pg_temp.lead(11), pg_temp.lead(12), pg_temp.lead(13), pg_temp.lead(21)) ORDER BY 1;
SELECT reason, closed_at IS NULL AS open FROM wacta.follow_up;

-- b20 is going on: a key or the end may come, so it waits, and keeps nobody behind it
SELECT * FROM pg_temp.why('b20');
SELECT waits_until FROM wacta.ivr_call WHERE provider_call_id = 'b20';
SELECT pg_temp.call(22, 'b22', 'missed') > 0;
SELECT outcome FROM wacta.process_ivr(1);
SELECT count(*) AS waits FROM wacta.ivr_call WHERE processed_at IS NULL AND waits_until > wacta.now();
-- what it is told next is looked at
SELECT pg_temp.call(20, 'b20', 'completed', duration => 31) > 0;
SELECT * FROM pg_temp.processed();
-- or its time is up: what is not known by then will not be known
SELECT pg_temp.call(23, 'b23', 'ringing') > 0;
SELECT * FROM pg_temp.processed();
SELECT pg_temp.advance('14 minutes');
SELECT * FROM pg_temp.processed();
SELECT pg_temp.advance('1 minute');
SELECT * FROM pg_temp.processed();
SELECT verdict, reason FROM pg_temp.why('b23') LIMIT 1;
-- many that wait, one that does not
SELECT count(pg_temp.call(100 + n, 'w' || n, 'ringing')) FROM generate_series(1, 50) n;
SELECT pg_temp.call(24, 'b24', 'missed') > 0;
SELECT c.provider_call_id, p.outcome FROM wacta.process_ivr(1) p JOIN wacta.ivr_call c USING (call_id);
SELECT count(*) AS none_left FROM wacta.process_ivr(100);
SELECT pg_temp.advance('15 minutes');
SELECT outcome, count(*) FROM wacta.process_ivr(100) GROUP BY 1;

-- A key that means no is heeded also when it is told after the call was processed; one that means yes sends nothing twice
SELECT pg_temp.call(25, 'b25', 'completed', duration => 40), pg_temp.call(26, 'b26', 'completed', duration => 40) > 0;
SELECT * FROM pg_temp.processed();
SELECT pg_temp.call(25, 'b25', digits => '2') > 0, pg_temp.call(26, 'b26', digits => '1') > 0;
SELECT c.provider_call_id AS id, c.outcome, r.position AS rule, l.consent, l.status, (SELECT string_agg(m.status || coalesce(' ' || m.reason, ''), ', ') FROM wacta.message m WHERE m.lead_id = l.lead_id) AS messages
  FROM wacta.ivr_call c JOIN wacta.lead l USING (lead_id) LEFT JOIN wacta.ivr_rule r USING (rule_id) WHERE c.provider_call_id IN ('b25', 'b26') ORDER BY 1;
SELECT pg_temp.call(25, 'b25', digits => '2') > 0, (SELECT count(*) FROM wacta.consent_event WHERE lead_id = pg_temp.lead(25)) AS events;
-- who has withdrawn and presses 1 is not written to
SELECT pg_temp.call(25, 'b25b', 'completed', '1') > 0;
SELECT * FROM pg_temp.processed();
SELECT l.consent, (SELECT count(*) FROM wacta.message m WHERE m.lead_id = l.lead_id AND m.status = 'queued') AS queued FROM wacta.lead l WHERE lead_id = pg_temp.lead(25);

-- A caller without a number is told apart at once; a call that is not there
SELECT wacta.log_ivr_call('anonymous', source => 'smartflo', provider_call_id => 'b27', status => 'ringing') > 0;
SELECT * FROM pg_temp.why('b27') LIMIT 2;
SELECT * FROM pg_temp.processed();
SELECT pg_temp.attempt('SELECT * FROM wacta.explain_call(0)'), pg_temp.attempt('SELECT * FROM wacta.explain_call(NULL)');

-- Rules that are none are refused when they are entered
SELECT statement, pg_temp.attempt('SELECT wacta.add_ivr_rule(' || statement || ')') FROM unnest(ARRAY[$$200, 'explode'$$, $$200, 'message', state => 'sad'$$, $$200, 'message', digits => '('$$,
  $$200, 'message', source => 'nobody'$$, $$200, 'message', template => 'nothing'$$, $$200, 'nothing', template => 'missed_you'$$, $$200, 'project'$$, $$100, 'nothing'$$, $$NULL, 'nothing'$$,
  $$200, 'message', min_duration => 0$$]) statement;
