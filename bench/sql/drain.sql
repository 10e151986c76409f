-- Lets the couriers go; prints the seconds until :count more messages are accepted.
SELECT clock_timestamp() AS began, sum(accepted) + :count AS target FROM wacta.courier_status() \gset
ALTER SYSTEM SET wacta.enabled = on;
SELECT pg_reload_conf() \g /dev/null
CALL wait_for_accepted(:target, :patience);
SELECT extract(epoch FROM clock_timestamp() - :'began');
