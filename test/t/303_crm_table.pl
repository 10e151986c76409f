# The CRM next door, on a whole site: its table and wacta's leads in one transaction, through a call, a message, a tap and a STOP; hooks
# and events in wacta's own processes; and a dump that brings it all back.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Site;

my $site = Wacta::Site->start('crm');
my ($asha, $ravi) = ('+919876500001', '+919876500002');

$site->sql(q(
	CREATE ROLE crm_owner LOGIN; CREATE ROLE crm_clerk LOGIN; GRANT wacta_admin TO crm_owner;
	CREATE SCHEMA crm AUTHORIZATION crm_owner; GRANT USAGE ON SCHEMA crm TO crm_clerk;
	SET ROLE crm_owner;
	CREATE TABLE crm.contact (id bigserial PRIMARY KEY, full_name text, mobile text, status text DEFAULT 'fresh', do_not_contact boolean DEFAULT false);
	CREATE TABLE crm.activity (id bigserial PRIMARY KEY, event text, lead_id bigint);
	GRANT ALL ON crm.contact TO crm_clerk; GRANT ALL ON ALL SEQUENCES IN SCHEMA crm TO crm_clerk;
	CREATE FUNCTION crm.log(event jsonb) RETURNS void LANGUAGE sql AS $$
		INSERT INTO crm.activity (event, lead_id) VALUES (event ->> 'event', (event ->> 'lead_id')::bigint) $$;
	CREATE FUNCTION crm.refuse(event jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the CRM refuses'; END $$;
	SELECT wacta.attach_lead_table('crm.contact', '{"phone": "mobile", "name": "full_name", "opt_out": "do_not_contact",
		"status": {"column": "status", "words": {"New": "fresh", "Contacted": "called", "Interested": "hot", "Not Interested": "dead"}}}');
	SELECT wacta.add_hook(e, 'crm.log(jsonb)', 'park') FROM unnest('{message_sent,message_read,interested,opted_out}'::text[]) e;
	SELECT wacta.add_hook('opted_out', 'crm.refuse(jsonb)', 'fail')));

# A person who calls is in the CRM already, as the clerk wrote it; what becomes of the message shows there.
$site->sql(q(SET ROLE crm_clerk; INSERT INTO crm.contact (full_name, mobile) VALUES ('Asha Rao', '098765-00001'), ('Ravi', '98765 00002')));
$site->post_call($asha, 'call-1');
is($site->sql(q(SELECT count(*) FROM wacta.lead)), '2', 'the caller is the lead of the clerk');
$site->sql('SELECT wacta.process_ivr()');
$site->wait_sql(q(SELECT status FROM crm.contact WHERE id = 1), 'called', 'the courier says in the CRM that she was contacted');
$site->wait_sql(q(SELECT count(*) FROM crm.activity WHERE event IN ('message_sent', 'message_read')), '2', 'hooks are called in the courier and for webhooks');
$site->tap($asha, 'Interested');
is($site->sql(q(SELECT status FROM crm.contact WHERE id = 1)), 'hot', 'a tap is in the CRM at once');
is($site->sql(q(SELECT count(*) FROM crm.activity WHERE event = 'interested')), '1', 'and its hook was called');

# Who does not want to be written to is opted out at once, in the CRM, and a hook that fails cannot prevent it where wacta's workers record
# what has happened; elsewhere it can, and then nothing has happened.
my ($code, undef, $err) = $site->node->psql('crm', 'SELECT wacta.opt_out(wacta.lead_by_phone($$98765 00002$$))');
like($err, qr/the CRM refuses/, 'a hook fails the transition');
is($site->sql(q(SELECT do_not_contact::text || (SELECT consent FROM wacta.lead WHERE name = 'Ravi') FROM crm.contact WHERE id = 2)), 'falseunknown', 'and nothing of it is left, here or there');
$site->sql(q(SELECT wacta.remove_hook('opted_out', 'crm.refuse(jsonb)'); SET ROLE crm_clerk; UPDATE crm.contact SET do_not_contact = true WHERE id = 2));
is($site->sql(q(SELECT consent FROM wacta.lead WHERE name = 'Ravi')), 'withdrawn', 'the clerk opts somebody out');
$site->sql(q(SELECT wacta.send_interactive(wacta.lead_by_phone('98765 00002'))));
is($site->sql(q(SELECT DISTINCT reason FROM wacta.message WHERE lead_id = wacta.lead_by_phone('98765 00002'))), 'opted_out', 'and nothing is sent to him');

# NOTIFY, when it is asked for, once a transaction and without a word about anybody.
my $listener = $site->node->background_psql('crm');
$listener->query_safe('LISTEN wacta_event');
$site->sql(q(SELECT wacta.opt_in(wacta.lead_by_phone('98765 00002'), 'rang up')));
unlike($listener->query('SELECT 1'), qr/notification/, 'nothing is told by default');
$site->sql(q(UPDATE wacta.config SET notify_events = true; DO $$ BEGIN PERFORM wacta.opt_out(wacta.lead_by_phone('98765 00002')), wacta.upsert_lead('98765 00003'); END $$));
my $told = $listener->query('SELECT 2');
is(() = $told =~ /Asynchronous notification "wacta_event" received/g, 1, 'one notification for a transaction of several events');
$listener->quit;
my $events = $site->sql(q(SELECT string_agg(event, ' ' ORDER BY n) FROM wacta.events_after() WITH ORDINALITY e(p, id, event, l, at, d, n) WHERE event IN ('interested', 'opted_out', 'opted_in', 'message_sent')));
like($events, qr/^opted_in message_sent .*interested .*opted_out opted_in opted_out$/, 'the stream has it in order');

# A dump brings tables, bindings and hooks back, and tells nothing a second time.
$site->gateway->stop;
$site->node->append_conf('postgresql.conf', q(wacta.databases = ''));
$site->node->reload;
wait_for_courier($site->node, 'crm', 0);
my $state = q(SELECT (SELECT string_agg(t::text, ';' ORDER BY t::text) FROM wacta.lead_row t) || (SELECT string_agg(c::text, ';' ORDER BY c::text) FROM crm.contact c)
	|| (SELECT string_agg(h::text, ';' ORDER BY h::text) FROM wacta.hook h) || (SELECT count(*) FROM crm.activity)
	|| (SELECT string_agg(tgname || tgenabled::text, ';' ORDER BY tgrelid::regclass::text, tgname) FROM pg_trigger WHERE NOT tgisinternal OR tgname = 'run_hooks'));
my $before = $site->sql($state);
my $dump = PostgreSQL::Test::Utils::tempdir() . '/crm.dump';
$site->node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $site->node->connstr('crm') ], 'pg_dump');
$site->node->safe_psql('postgres', 'CREATE DATABASE copy');
$site->node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $site->node->connstr('copy'), $dump ], 'pg_restore');
is($site->node->safe_psql('copy', $state), $before, 'rows, bindings, hooks and triggers are the same, and no hook was called');
is($site->node->safe_psql('copy', 'SELECT count(*) FROM wacta.event'), '0', 'the stream begins anew');
$site->node->safe_psql('copy', q(SET ROLE crm_clerk; UPDATE crm.contact SET status = 'dead' WHERE id = 1));
is($site->node->safe_psql('copy', q(SELECT status FROM wacta.lead WHERE lead_id = wacta.lead_by_phone('98765 00001'))), 'Not Interested', 'the copy is bound as the original');
my $position = $site->sql('SELECT next_position FROM wacta.events_after(NULL, 1)');
(undef, undef, $err) = $site->node->psql('copy', "SELECT wacta.events_after('$position')");
like($err, qr/this position belongs to another cluster/, 'a position of the original means nothing there');

# DROP EXTENSION says what still hangs on it, and leaves the CRM's rows alone.
($code, undef, $err) = $site->node->psql('copy', 'DROP EXTENSION wacta');
like($err, qr/trigger wacta_pull on table crm.contact depends on function/, 'an attached table is named');
$site->node->safe_psql('copy', 'DROP EXTENSION wacta CASCADE');
is($site->node->safe_psql('copy', 'SELECT count(*) FROM crm.contact'), '2', 'the rows stay');

done_testing();
