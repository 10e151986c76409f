-- The jobs: what is due, what came of it, who runs them. (124_schedule.pl has them run by the timer and by pg_cron.)
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/sql/include/fresh.sql'
\i :include
\set include :abs_srcdir '/sql/include/site.sql'
\i :include
SET client_min_messages = notice;
\set VERBOSITY terse

SELECT job, every, enabled, ended_at, outcome, failures FROM wacta.schedule WHERE job IN ('process_ivr', 'follow_ups', 'expiry') ORDER BY job;
SELECT scheduler FROM wacta.config;
-- nothing runs before somebody was told to run it
SELECT * FROM wacta.take_due_job();
SELECT wacta.run_job('process_ivr', 'timer'), wacta.run_job('process_ivr', 'pg_cron');
-- there is no pg_cron here: the timer takes over, unless pg_cron is asked for
SELECT job, run_by, schedule FROM wacta.install_schedule() WHERE job IN ('process_ivr', 'follow_ups', 'expiry');
\set VERBOSITY default
SELECT * FROM wacta.install_schedule('pg_cron');
SELECT * FROM wacta.install_schedule('at');
\set VERBOSITY terse
SET client_min_messages = error;
SELECT scheduler FROM wacta.config;
SELECT count(*) > 0 AS again FROM wacta.install_schedule('timer');
UPDATE wacta.schedule SET enabled = false WHERE job NOT IN ('process_ivr', 'follow_ups', 'expiry');

-- The timer takes a job, which then comes again after its interval, whatever becomes of this run
SELECT wacta.log_ivr_call('9876500001', project => 'Green Acres') > 0 AS logged;
UPDATE wacta.schedule SET next_run_at = wacta.now() - interval '1 minute' WHERE job = 'process_ivr';
SELECT * FROM wacta.take_due_job();
SELECT next_run_at - wacta.now() AS again_in, started_at = wacta.now() AS began_now, ended_at, outcome, failures FROM wacta.schedule WHERE job = 'process_ivr';
SELECT count(*) AS alerts FROM wacta.job_alerts();
SELECT wacta.run_job('process_ivr', 'pg_cron') AS not_asked, wacta.run_job('process_ivr', 'timer') AS calls;
SELECT next_run_at - wacta.now() AS again_in, ended_at = wacta.now() AS ended_now, outcome, failures FROM wacta.schedule WHERE job = 'process_ivr';
SELECT outcome FROM wacta.ivr_call;
SELECT job, wacta.run_job(job, 'timer') FROM wacta.take_due_job();
SELECT job, wacta.run_job(job, 'timer') FROM wacta.take_due_job();
SELECT job FROM wacta.take_due_job();
SELECT wait_ms FROM wacta.take_due_job();
-- what is full goes on at once
UPDATE wacta.schedule SET full_at = 1 WHERE job = 'process_ivr';
SELECT wacta.log_ivr_call('9876500002', project => 'Green Acres') > 0 AS logged;
SELECT wacta.run_job('process_ivr') AS calls;
SELECT next_run_at = wacta.now() AS due FROM wacta.schedule WHERE job = 'process_ivr';
UPDATE wacta.schedule SET full_at = 10000 WHERE job = 'process_ivr';

-- An error is kept, and told
UPDATE wacta.schedule SET command = 'SELECT 1 / 0', next_run_at = wacta.now() WHERE job = 'expiry';
UPDATE wacta.schedule SET next_run_at = wacta.now() + interval '1 hour' WHERE job <> 'expiry';
SELECT job, wacta.run_job(job, 'timer') FROM wacta.take_due_job();
SELECT wacta.run_job('expiry') AS by_hand;
SELECT failures, outcome, next_run_at - wacta.now() AS again_in FROM wacta.schedule WHERE job = 'expiry';
SELECT severity, alert, object, what, what_to_do FROM wacta.alert WHERE alert LIKE 'job%';
UPDATE wacta.schedule SET command = 'SELECT wacta.expire_messages()' WHERE job = 'expiry';
SELECT wacta.run_job('expiry') AS expired;
SELECT failures FROM wacta.schedule WHERE job = 'expiry';
-- one that ended its process is known as failed; one that nobody runs is late
SELECT pg_temp.advance('1 minute') IS NOT NULL AS later, job FROM wacta.take_due_job();
SELECT alert, object, what FROM wacta.job_alerts() WHERE alert = 'job_failed';
SELECT pg_temp.advance('2 minutes') IS NOT NULL AS later;
SELECT alert, object, what FROM wacta.job_alerts() WHERE alert = 'job_failed';
SELECT pg_temp.advance('10 minutes') IS NOT NULL AS later;
SELECT alert, object, what, what_to_do FROM wacta.job_alerts() WHERE alert = 'job_late';
SELECT pg_temp.attempt('SELECT wacta.run_job(''no_such'')');

-- Calls to make are announced once, when they are due
SELECT wacta.run_job('expiry') AS expired, wacta.schedule_follow_up(pg_temp.lead(1), 'asked for it', '2025-08-26 12:00+05:30') > 0 AS scheduled;
SELECT wacta.announce_follow_ups() AS due;
SELECT set_config('wacta.fixed_now', '2025-08-26 12:00+05:30', false);
SELECT wacta.announce_follow_ups() AS due, wacta.announce_follow_ups() AS again;
SELECT announced_at FROM wacta.follow_up;
-- a message past its time expires also where no courier runs
UPDATE wacta.config SET message_ttl = '1 hour';
SELECT wacta.send_interactive(pg_temp.lead(1)) > 0 AS queued, pg_temp.advance('2 hours') IS NOT NULL AS later;
SELECT wacta.run_job('expiry') AS expired;

-- A copy that must not send runs nothing
UPDATE wacta.schedule SET next_run_at = wacta.now();
UPDATE wacta.fence SET node_id = 'another';
SELECT * FROM wacta.take_due_job();
SELECT wacta.run_job('expiry', 'timer') AS held;
SELECT wacta.unfence('test');
SELECT job FROM wacta.take_due_job();

SELECT every, wacta.cron_expression(every) FROM unnest('{1 second,1 minute,7 minutes,10 minutes,59 minutes,1 hour,5 hours,23 hours,1 day,7 days}'::interval[]) every;
SELECT wacta.remove_schedule() AS removed;
SELECT scheduler FROM wacta.config;
SELECT * FROM wacta.take_due_job();
