# The inbound path as its tests use it: databases with a site, people and messages
# that the sample bodies are about, and what a body leads to there.
#
#   my $inbound = Wacta::Inbound->start;
#   my $outcome = $inbound->outcomes('meta', [ 'meta', 'whatsapp', 0, $body ], ...);
#
# A world is a database: the same body echoes message 4711 at Meta and at Tata.
package Wacta::Inbound;

use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex);
use Exporter 'import';
use File::Basename;
use File::Spec;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Wacta;

our @EXPORT_OK = qw(samples);

my $here = File::Spec->rel2abs(dirname(__FILE__) . '/..');

# samples(): each body below test/fixtures/samples, as { file, provider, kind, world, body }.
sub samples
{
	my @samples;
	for my $path (sort glob "$here/../fixtures/samples/{ivr,whatsapp}/*")
	{
		my ($kind, $name) = $path =~ m{(\w+)/([^/]+)$};
		my ($from) = $name =~ /^([a-z0-9]+)_/;
		my $provider = $kind eq 'ivr' ? $from : $from eq 'tataomni' ? 'tata' : $from eq 'gupshup' ? 'gupshup' : 'meta';
		push @samples, { file => "$kind/$name", provider => $provider, kind => $kind, body => fixture("samples/$kind/$name"),
			world => $kind eq 'ivr' ? 'ivr' : $name =~ /resume/ ? 'stopped' : $from eq 'gupshup' ? 'gupshup' : $provider };
	}
	return @samples;
}

# The clock stands before every event of the samples while the worlds are made, and after all of them later.
my $past = "SET wacta.fixed_now = '2022-01-01 10:00+05:30';";
my $present = "SET wacta.fixed_now = '2026-08-04 11:30:45+05:30';";

# Messages of each world: whom they went to, and the id that the provider gave them.
my %sent = (
	meta => [
		[ '+16505551234', 'wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI0QUQ2MjA4NEYyRkExNjMyREUA' ],            # 4711
		[ '+16505551234', 'wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQUFERjg0NDEzNDdFODU3MUMxMAA=' ],
		[ '+16505551234', 'wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBJFNjk2OTMwNEZCQjhGMzUyQUYA' ],
		[ '+16505551234', 'wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI3MEM2RUJFNkI0RENGQTVDRjUA' ],
		[ '+5511111111111', 'wamid.HBgNN5NzAzMDkTUyNzkzNhUEjA1MjUwNCAUIyNEYUQ0OTVGNTY0MwA=' ],
		[ '+447700900001', 'wamid.HBgNNTUyNzk5NzAUZBQTI3MzRGRDA3MjgzMDkzNhUCABEYEjNCR2OQA=' ] ],
	tata => [ [ '+919876500010', 'b2f1c1f0-6f0a-4c6e-9a52-0f6f6b1f4711' ] ],
	gupshup => [ [ '+919800000010', 'ee4a68a0-1203-4c85-8dc3-49d0b3226a35' ] ],
	ivr => []);

# As test.proof() knows them.
my %secret = (app_secret => 'test-app-secret-0123456789', webhook_key => 'test-webhook-key-0123456789');

# In the world of a resume the person has stopped before.
$sent{$_} = $sent{meta} for qw(stopped more still);
my %besides = (stopped => q(SELECT wacta.opt_out(wacta.lead_by_phone('+16505551234'), 'stopped at WhatsApp');));

# start(name, worlds => [names], sent => { world => [ [ number, id ], ... ] }, unanswered => 1, conf => ...): a cluster without
# couriers, and the worlds in it; unanswered: the courier has not settled yet what it has sent.
sub start
{
	my ($class, $name, %arg) = @_;
	my $self = bless { sent => { %sent, %{ $arg{sent} // {} } } }, $class;
	my $node = $self->{node} = wacta_node($name // 'inbound', databases => [],
		conf => join "\n", "wacta.databases = ''", 'fsync = off', 'log_statement = none', 'jit = off', $arg{conf} // '');
	for my $world (@{ $arg{worlds} // [ sort keys %{ $self->{sent} } ] })
	{
		create_database($node, $world);
		$self->sql($world, join "\n", $past, slurp_file("$here/inbound.sql"), _site_sql(), $self->_sent_sql($world, $arg{unanswered}),
			$besides{$world} // '', 'SELECT test.remember();');
	}
	return $self;
}

sub node { return $_[0]->{node} }
sub sql { my ($self, $world, $sql) = @_; return $self->{node}->safe_psql($world, $sql) }

sub _site_sql
{
	my @secrets = ([ main => 'app_secret' ], map { [ $_ => 'webhook_key' ] } qw(tata d360 gupshup exotel knowlarity ozonetel smartflo acefone twilio));
	return join "\n", q(
		SELECT wacta.add_signing_key('a secret of tests'), wacta.need_person_key();
		SELECT wacta.add_template('pitch', wacta.generate_template('Green Acres') -> 'components');
		SELECT wacta.add_template(name, '[{"type": "BODY", "text": "Hello there, this is a test."}]', language => language, purpose => 'other', category => category, status => status,
			body_values => '{}', button_actions => '{}')
		  FROM (VALUES ('schedule_confirmation4', 'pt_BR', 'UTILITY', 'APPROVED'), ('order_confirmation', 'en_US', 'UTILITY', 'PENDING'), ('abandoned_cart', 'en', 'MARKETING', 'PENDING')) t(name, language, category, status);
		SELECT wacta.add_project('Green Acres', 'Bop Realty', 'https://cdn.example.com/green.pdf', template => 'pitch');
		SELECT wacta.add_channel('main', 'meta', '106540352242922', account_id => '102290129340398', display_phone => '15550783881');
		SELECT wacta.add_channel('other', 'meta', '106540352242933', account_id => 'whatsapp-business-account-id', display_phone => '16505551111');
		SELECT wacta.add_channel('tata', 'tata'), wacta.add_channel('d360', '360dialog', '106540352242922', account_id => '102290129340398', display_phone => '15550783881'), wacta.add_channel('gupshup', 'gupshup');
		UPDATE wacta.channel SET max_rate = NULL;
		SELECT wacta.add_ivr_source(format, format, 'Green Acres', country => CASE format WHEN 'twilio' THEN 'US' END)
		  FROM unnest('{exotel,knowlarity,ozonetel,smartflo,twilio}'::text[]) format;
		SELECT wacta.add_ivr_source('acefone', 'smartflo', 'Green Acres');),
	  map { "SELECT wacta.set_credential('$_->[0]', '$_->[1]', '$secret{$_->[1]}');" } @secrets;
}

# Queued and claimed as the courier does it, and answered unless it has not got that far.
sub _sent_sql
{
	my ($self, $world, $unanswered) = @_;
	my @sent = @{ $self->{sent}{$world} } or return '';
	my $channel = { meta => 'main', stopped => 'main', more => 'main', still => 'main', calm => 'main', crowd => 'main', gupshup => 'd360' }->{$world} // $world;
	my $answer = $channel eq 'main' ? q({"messages": [{"id": "%s"}]}) : q({"id": "%s"});
	my ($phones, $answers) = map { join ', ', map { "'$_'" } @$_ } [ map { $_->[0] } @sent ], [ map { sprintf $answer, $_->[1] } @sent ];
	return "SELECT test.send('$channel', ARRAY[$phones], ARRAY[$answers]::jsonb[]);" . ($unanswered ? '' : 'SELECT test.settle();');
}

# outcomes(world, [ provider, kind, again, body, ... ], ...): what each set of bodies leads to by itself, as test.outcome() tells it.
sub outcomes
{
	my ($self, $world, @cases) = @_;
	my $script = '';
	for my $case (@cases)
	{
		my ($provider, $kind, $again, @bodies) = @$case;
		$script .= sprintf "SELECT test.outcome('%s', '%s', ARRAY[%s]::bytea[], %s) || E'\\f';\n", $provider, $kind,
		  join(', ', map { "'\\x" . unpack('H*', $_) . "'" } @bodies), $again ? 'true' : 'false';
	}
	my @outcomes = map { s/\A\s+|\s+\z//gr } split /\f/, $self->run($world, $script);
	pop @outcomes;
	return @outcomes;
}

# run(world, statements): what a session prints that goes on after an error; its errors die.
sub run
{
	my ($self, $world, $script) = @_;
	my ($out, $err) = ('', '');
	$script = "$present\n$script";
	IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=0', '-d', $self->{node}->connstr($world) ], '<', \$script, '>', \$out, '2>', \$err);
	die $err if $err ne '';
	return $out;
}

# run_together(world, statements, ...): a session each, at once; errors die.
sub run_together
{
	my ($self, $world, @scripts) = @_;
	my @sessions = map { { script => "$present\n$_", out => '', err => '' } } @scripts;
	$_->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $self->{node}->connstr($world) ], '<', \$_->{script}, '>', \$_->{out}, '2>', \$_->{err}) for @sessions;
	$_->{run}->finish for @sessions;
	die map { $_->{err} } @sessions if grep { $_->{err} ne '' } @sessions;
	return;
}

# post(gateway, provider, kind, body, path => ..., type => ...): as the provider posts it; the answer.
sub post
{
	my ($self, $gateway, $provider, $kind, $body, %with) = @_;
	my $path = $with{path} // ($kind eq 'ivr' ? "/webhook/ivr/$provider/" : '/webhook/whatsapp/integration/');
	my %proof = $provider eq 'meta' ? ('x-hub-signature-256' => 'sha256=' . hmac_sha256_hex($body, $secret{app_secret}))
	  : ('x-wacta-key' => $secret{webhook_key});
	my $type = $with{type} // ($body =~ /^\s*[\[{]/ ? 'application/json' : 'application/x-www-form-urlencoded');
	return $gateway->request(POST => $path, { headers => { %proof, 'content-type' => $type }, content => $body });
}

1;
