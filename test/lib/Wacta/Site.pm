# A whole site as a sales office has it: cluster, double of the WABA API, gateway,
# and all that an administrator sets once.
#
#   my $site = Wacta::Site->start('crm');
#   $site->post_call('+919876500001');
#   my $token = $site->token_of('+919876500001', 'Interested');
package Wacta::Site;

use strict;
use warnings;
use Exporter 'import';
use JSON::PP;
use PostgreSQL::Test::Utils;
use Wacta;

our @EXPORT_OK = qw(%SECRET);

# Of a length and shape that a grep finds nowhere by chance.
our %SECRET = (
	access_token => 'EAAGsiteAccessTokenOfTheTest0123456789',
	app_secret   => 'siteAppSecretOfTheTest0123456789abcdef',
	verify_token => 'siteVerifyTokenOfTheTest0123456789abcd',
	webhook_key  => 'siteWebhookKeyOfTheTest0123456789abcde',
	ivr_key      => 'siteIvrKeyOfTheTest0123456789abcdef012',
	session      => 'siteSessionSecretOfTheTest0123456789ab',
	password     => 'sitePasswordOfTheTest0123');

my $PITCH = q([{"type": "BODY", "text": "Hi {{1}},\nWe shared details about *{{2}}*.\nAre you interested in this project?",
    "example": {"body_text": [["Asha", "Palm Residency"]]}},
  {"type": "FOOTER", "text": "Bop Realty"},
  {"type": "BUTTONS", "buttons": [
    {"type": "URL", "text": "Interested", "url": "BASE/t/{{1}}", "example": ["BASE/t/x"]},
    {"type": "URL", "text": "Not Interested", "url": "BASE/t/{{1}}", "example": ["BASE/t/x"]}]}]);
my $BROCHURE = q([{"type": "HEADER", "format": "DOCUMENT", "example": {"header_handle": ["4::aW1hZ2U="]}},
  {"type": "BODY", "text": "Hi {{1}}, here is the brochure of *{{2}}* that you asked for.",
    "example": {"body_text": [["Asha", "Palm Residency"]]}}]);

# start(database, provider => 'meta' or 'tata', conf => ..., gateway => 0 for none, double => [arguments])
sub start
{
	my ($class, $database, %arg) = @_;
	my $self = bless { database => $database, provider => $arg{provider} // 'meta' }, $class;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	$self->{secret_dir} = $dir;
	PostgreSQL::Test::Utils::append_to_file("$dir/$_", $SECRET{$_}) for keys %SECRET;
	chmod 0600, map { "$dir/$_" } keys %SECRET;
	$self->{double} = Wacta::Double->start(name => "double_$database", app_secret_file => "$dir/app_secret",
		webhook_key_file => "$dir/webhook_key", journal => $arg{journal}, arguments => $arg{double});
	$self->{node} = wacta_node($database, double => $self->{double}, databases => [$database],
		init => $arg{init} // {}, conf => "wacta.secret_dir = '$dir'\n" . ($arg{conf} // ''));
	$self->sql('SELECT wacta.add_signing_key()');
	$self->_open_gateway unless defined $arg{gateway} && !$arg{gateway};
	$self->_configure;
	wait_for_courier($self->{node}, $database);
	return $self;
}

sub node   { return $_[0]->{node} }
sub double { return $_[0]->{double} }
sub gateway { return $_[0]->{gateway} }
sub sql    { my ($self, $sql) = @_; return $self->{node}->safe_psql($self->{database}, $sql) }

sub wait_sql
{
	my ($self, $sql, $expected, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_for_value($self->{node}, $self->{database}, $sql, $expected, $what);
}

sub _open_gateway
{
	my ($self) = @_;
	$self->sql("SELECT wacta.set_session_secret_file('session')");
	$self->{gateway} = Wacta::Gateway->start($self->{node}, $self->{database}, secret => '', name => "gateway_$self->{database}",
		arguments => [ '--jwt-secret-file', "$self->{secret_dir}/session" ]);
	$self->{double}->post('settings',
		{ webhooks => { url => $self->{gateway}->url . '/webhook/whatsapp/integration/' } });
}

sub _configure
{
	my ($self) = @_;
	my $base = $self->{gateway} ? $self->{gateway}->url : 'http://127.0.0.1:8080';
	$self->sql("UPDATE wacta.config SET base_url = '$base', brand = 'Bop Realty'");
	$self->_add_channel;
	$self->_add_template('project_update_template', $PITCH =~ s/BASE/$base/gr, 'MARKETING', 'pitch', '{interested,not_interested}');
	$self->_add_template('project_brochure', $BROCHURE, 'UTILITY', 'brochure', '{}');
	$self->sql(q(SELECT wacta.add_project('Palm Residency', 'Bop Realty', 'https://example.com/palm.pdf',
		template => 'project_update_template', brochure_template => 'project_brochure');
		SELECT wacta.add_ivr_source('smartflo', 'smartflo', 'Palm Residency');
		SELECT wacta.set_credential_file('smartflo', 'webhook_key', 'ivr_key');
		SELECT wacta.add_staff('asha', wacta.read_secret_file('password'), 'Asha Rao')));
}

sub _add_channel
{
	my ($self) = @_;
	my $url = $self->{double}->url;
	$self->sql("SELECT wacta.add_channel('main', '$self->{provider}', sender_id => '106540352242922', base_url => '$url')");
	$self->sql("SELECT wacta.set_credential_file('main', '$_', '$_')")
	  for qw(access_token app_secret verify_token webhook_key);
}

sub _add_template
{
	my ($self, $name, $components, $category, $purpose, $actions) = @_;
	$self->sql(qq(SELECT wacta.add_template('$name', \$json\$$components\$json\$, category => '$category',
		purpose => '$purpose', button_actions => '$actions')));
	$self->{double}->post('templates',
		{ name => $name, language => 'en', category => $category, components => decode_json($components) });
}

# post_call(number, call id): a Smartflo body as it comes, for another caller.
sub post_call
{
	my ($self, $number, $call) = @_;
	my $body = fixture('samples/ivr/smartflo_06_inbound_received_on_server.json');
	my $bare = $number =~ s/^\+91//r;
	$body =~ s/\+917500000723/$number/;
	$body =~ s/"7500000723"/"$bare"/;
	$body =~ s/1728556244\.450/$call/ if defined $call;
	return $self->{gateway}->request(POST => '/webhook/ivr/smartflo/',
		{ headers => { 'content-type' => 'application/json', 'x-wacta-key' => $SECRET{ivr_key} }, content => $body });
}

# The path of a button in the newest message that this number has got.
sub link_of
{
	my ($self, $number, $text) = @_;
	my $messages = $self->{double}->inbox($number =~ s/^\+//r);
	for my $message (reverse @$messages)
	{
		for my $button (@{ $message->{rendered}{buttons} // [] })
		{
			return $button->{url} =~ s{^https?://[^/]+}{}r if $button->{text} eq $text;
		}
	}
	return undef;
}

# What a person with a browser does: opens the link, presses the button of the page.
sub tap
{
	my ($self, $number, $text, %field) = @_;
	my $path = $self->link_of($number, $text) // die "no button \"$text\" came to $number";
	my $page = $self->{gateway}->request(GET => $path);
	my %form = $page->{content} =~ /<input type="hidden" name="(\w+)" value="([^"]*)"/g;
	return $self->{gateway}->request(POST => $path, { form => { %form, %field } });
}

1;
