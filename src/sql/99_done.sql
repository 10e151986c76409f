-- At commit: the launcher looks for this database's courier, PostgREST reads its schema anew.

SELECT wacta.wake_launcher();
NOTIFY pgrst, 'reload schema';
