# What a body costs grows as its size does: for each way in which one can be large, four times as much may take some
# more than four times as long, and nothing near sixteen times.  The largest body that Meta sends has 3 MB.
#
# The time is that of the backend's processor, so that others at work on the machine do not matter.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Fuzz::Bodies qw(nested);
use Wacta::Inbound;

my $MOST = 5;            # seconds for the largest: a machine with other work on it takes three times as long
my $GROWTH = 9;          # times, for four times as much
my $inbound = Wacta::Inbound->start('costs', worlds => ['still']);
$inbound->sql('still', q(
	CREATE TABLE test.body (n int, provider text, kind text, body bytea);
	CREATE FUNCTION test.cost(nr int) RETURNS numeric LANGUAGE plpgsql AS $$
	DECLARE
	  b     test.body;
	  began numeric;
	  took  numeric;
	BEGIN
	  SELECT * INTO b FROM test.body WHERE n = nr;
	  b.body := substr(b.body, 1);             -- out of its storage before
	  began := test.cpu_seconds();
	  PERFORM wacta.ingest_webhook(b.provider, b.kind, b.body, test.proof(b.provider, b.body));
	  took := test.cpu_seconds() - began;
	  RAISE SQLSTATE 'TEST0';
	EXCEPTION WHEN SQLSTATE 'TEST0' THEN
	  RETURN took;
	END
	$$));

sub list { my ($n, $what) = @_; return join ',', map { $what->($_) } 1 .. $n }
sub meta { return '{"entry": [{"changes": [{"field": "messages", "value": {' . $_[0] . '}}]}]}' }
my $known = '"wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI0QUQ2MjA4NEYyRkExNjMyREUA"';

# name => [ the largest number, sub { of so many: provider, kind, body } ]
my %large = (
	'statuses of messages that are not known' => [ 1000, sub { (meta => 'whatsapp', meta('"statuses": [' . list($_[0], sub { qq({"id": "wamid.none.$_[0]", "status": "sent", "timestamp": "1754300000"}) }) . ']')) } ],
	'statuses of one message' => [ 1000, sub { (meta => 'whatsapp', meta('"statuses": [' . list($_[0], sub { qq({"id": $known, "status": "delivered", "timestamp": "17543$_[0]"}) }) . ']')) } ],
	'failures of one message' => [ 1000, sub { (meta => 'whatsapp', meta('"statuses": [' . list($_[0], sub { qq({"id": $known, "status": "failed", "timestamp": "1754300000", "errors": [{"code": 13$_[0], "title": "x"}]}) }) . ']')) } ],
	'statuses that echo a number too long' => [ 1000, sub { (tata => 'whatsapp', '{"statuses": [' . list($_[0], sub { qq({"custom_callback_data": "wacta:outbox:99999999$_[0]", "status": "read"}) }) . ']}') } ],
	'messages of many people' => [ 1000, sub { (tata => 'whatsapp', '{"messages": [' . list($_[0], sub { sprintf '{"from": "91987%07d", "id": "m%d", "timestamp": "1754300000", "type": "text", "text": {"body": "hello"}}', @_, @_ }) . ']}') } ],
	'long messages of many people' => [ 1000, sub { (tata => 'whatsapp', '{"messages": [' . list($_[0], sub { sprintf '{"from": "91987%07d", "id": "m%d", "timestamp": "1754300000", "type": "text", "text": {"body": "%s"}}', @_, @_, join ' ', map { rand } 1 .. 150 }) . ']}') } ],
	'messages of one person' => [ 400, sub { (tata => 'whatsapp', '{"messages": [' . list($_[0], sub { sprintf '{"from": "919876500001", "id": "m%d", "timestamp": "17543%05d", "type": "text", "text": {"body": "hello"}}', @_, @_ }) . ']}') } ],
	'stops and starts of one person' => [ 400, sub { (tata => 'whatsapp', '{"messages": [' . list($_[0], sub { sprintf '{"from": "919876500001", "id": "m%d", "timestamp": "17543%05d", "type": "text", "text": {"body": "%s"}}', @_, @_, $_[0] % 2 ? 'STOP' : 'START' }) . ']}') } ],
	'messages with as many contacts' => [ 1000, sub { my $n = $_[0]; (meta => 'whatsapp', meta('"contacts": [' . list($n, sub { sprintf '{"wa_id": "91987%07d", "profile": {"name": "n %d"}}', @_, @_ }) . '], "messages": ['
		. list($n, sub { sprintf '{"from": "91987%07d", "id": "m%d", "timestamp": "1754300000", "type": "text", "text": {"body": "hello"}}', @_, @_ }) . ']')) } ],
	'preferences of many people' => [ 1000, sub { (meta => 'whatsapp', meta('"user_preferences": [' . list($_[0], sub { sprintf '{"wa_id": "91987%07d", "value": "stop", "category": "marketing_messages", "timestamp": 1754300000}', @_ }) . ']')) } ],
	'template events' => [ 1000, sub { (meta => 'whatsapp', '{"entry": [{"changes": [' . list($_[0], sub { qq({"field": "message_template_status_update", "value": {"event": "APPROVED", "message_template_name": "t_$_[0]", "message_template_language": "en"}}) }) . ']}]}') } ],
	'empty entries' => [ 20_000, sub { (meta => 'whatsapp', '{"entry": [' . list($_[0], sub { '{"changes": []}' }) . ']}') } ],
	'changes of unknown fields' => [ 4000, sub { (meta => 'whatsapp', '{"entry": [{"changes": [' . list($_[0], sub { qq({"field": "f$_[0]", "value": {"a": $_[0]}}) }) . ']}]}') } ],
	'items that are none' => [ 20_000, sub { (meta => 'whatsapp', meta('"statuses": [' . list($_[0], sub { '1' }) . '], "messages": [' . list($_[0], sub { '"x"' }) . ']')) } ],
	'keys' => [ 100_000, sub { (meta => 'whatsapp', '{' . list($_[0], sub { qq("key $_[0]": "some value") }) . '}') } ],
	'the same key' => [ 100_000, sub { (meta => 'whatsapp', '{' . list($_[0], sub { '"statuses": [{"id": "x"}]' }) . '}') } ],
	'lists in lists' => [ 100_000, sub { (meta => 'whatsapp', nested($_[0], 'array', '1')->[1]) } ],
	'envelopes in envelopes' => [ 6000, sub { (tata => 'whatsapp', '{"data": ' x $_[0] . '{"statuses": []}' . '}' x $_[0]) } ],
	'a long text' => [ 3_000_000, sub { (tata => 'whatsapp', '{"messages": {"from": "919876500001", "id": "long", "type": "text", "text": {"body": "' . 'x ' x ($_[0] / 2) . '"}}}') } ],
	'a long text of one mark' => [ 3_000_000, sub { (tata => 'whatsapp', '{"messages": {"from": "919876500001", "id": "long", "type": "text", "text": {"body": "' . '!' x $_[0] . '"}}}') } ],
	'a long name' => [ 3_000_000, sub { (tata => 'whatsapp', '{"contacts": [{"wa_id": "919876500001", "profile": {"name": "' . "\\u200b " x ($_[0] / 7) . 'x"}}], "messages": {"from": "919876500001", "id": "name", "type": "text", "text": {"body": "x"}}}') } ],
	'half characters' => [ 3_000_000, sub { (tata => 'whatsapp', '{"messages": {"from": "919876500001", "id": "half", "type": "text", "text": {"body": "' . '\ud800' x ($_[0] / 6) . '"}}}') } ],
	'bytes that are no UTF-8' => [ 3_000_000, sub { (tata => 'whatsapp', '{"messages": {"from": "919876500001", "id": "bytes", "type": "text", "text": {"body": "' . "\xff" x $_[0] . '"}}}') } ],
	'no JSON' => [ 3_000_000, sub { (tata => 'whatsapp', 'x' x $_[0]) } ],
	'a long number' => [ 100_000, sub { (tata => 'whatsapp', '{"statuses": [{"timestamp": ' . '9' x $_[0] . '}]}') } ],
	'echoes in a text' => [ 3_000_000, sub { (tata => 'whatsapp', '{"messages": {"from": "919876500001", "id": "echo", "type": "text", "text": {"body": "' . 'wacta:outbox:4711 ' x ($_[0] / 18) . '"}}}') } ],
	'calls' => [ 1000, sub { (smartflo => 'ivr', '[' . list($_[0], sub { sprintf '{"call_id": "c%d", "caller_id_number": "+91987%07d", "direction": "inbound"}', @_, @_ }) . ']') } ],
	'keys of a call' => [ 60_000, sub { (smartflo => 'ivr', '{' . list($_[0], sub { qq("key $_[0]": "some value") }) . '}') } ],
	'pairs of a form' => [ 100_000, sub { (twilio => 'ivr', join '&', map { "key_$_=some+value" } 1 .. $_[0]) } ],
	'the same pair of a form' => [ 100_000, sub { (twilio => 'ivr', join '&', ('CallSid=x') x $_[0]) } ],
	'a long value of a form, encoded' => [ 3_000_000, sub { (twilio => 'ivr', 'CallSid=x&From=' . '%41' x ($_[0] / 3)) } ],
	'a long value of a form, partly encoded' => [ 3_000_000, sub { (twilio => 'ivr', 'CallSid=x&From=' . 'a%41' x ($_[0] / 4)) } ],
	'ampersands' => [ 3_000_000, sub { (twilio => 'ivr', '&' x $_[0]) } ],
	'equals signs' => [ 3_000_000, sub { (twilio => 'ivr', '=' x $_[0]) } ],
	'per cent signs' => [ 3_000_000, sub { (twilio => 'ivr', 'CallSid=' . '%' x $_[0]) } ]);

# What each body costs, in seconds; of two times the lesser.
sub costs
{
	my (@bodies) = @_;
	my $script = "TRUNCATE test.body;\nCOPY test.body FROM stdin;\n"
	  . join('', map { join("\t", $_, @{ $bodies[$_] }[ 0, 1 ], '\\\\x' . unpack('H*', $bodies[$_][2])) . "\n" } 0 .. $#bodies)
	  . "\\.\nSET statement_timeout = '20s';\n" . join '', map { "SELECT least(test.cost($_), test.cost($_));\n" } 0 .. $#bodies;
	return split /\n/, $inbound->run('still', $script);
}

for my $name (sort keys %large)
{
	my ($n, $make) = @{ $large{$name} };
	my @bodies = map { [ $make->(int $_) ] } $n / 4, $n;
	my ($quarter, $whole) = eval { costs(@bodies) };
	my $said = sprintf '%s: %d of them, %d bytes', $name, $n, length $bodies[1][2];
	if (!defined $whole)
	{
		fail("$said: no end ($@)");
		next;
	}
	note(sprintf '%-45s %8d bytes %6.2f s, %5.2f s for a quarter', $name, length $bodies[1][2], $whole, $quarter);
	ok($whole < $MOST && $whole < $GROWTH * $quarter + 0.15, $said) or diag("$quarter s for a quarter, $whole s for all");
}
done_testing();
