# An OpenAI-compatible model that says what it is told to, one answer after the other, and
# writes down what it was asked.
#
#   my $model = Wacta::Model->start('first answer', 'second answer');
#   $model->attach($site, 'its token');     # as the channel "model" of a Wacta::Site
#   is(scalar($model->asked), 2);
package Wacta::Model;

use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Utils;

sub start
{
	my ($class, @answers) = @_;
	my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "no socket: $!";
	my $self = bless { port => $listener->sockport, log => PostgreSQL::Test::Utils::tempdir() . '/asked' }, $class;
	$self->{pid} = fork() // die "no process: $!";
	return $self if $self->{pid};
	$SIG{TERM} = 'DEFAULT';    # not the test's way to end, which would stop its cluster
	$self->_answer($listener, shift @answers) while 1;
	POSIX::_exit(0);
}

sub _answer
{
	my ($self, $listener, $answer) = @_;
	my $client = $listener->accept or return;
	my ($head, $body) = ('', '');
	while (defined(my $line = <$client>)) { $head .= $line; last if $line eq "\r\n" }
	read $client, $body, $head =~ /content-length: (\d+)/i ? $1 : 0;
	my $content = encode_json({ choices => [ { message => { role => 'assistant', content => $answer } } ] });
	append_to_file($self->{log}, encode_json({ head => $head, body => decode_json($body) }) . "\n");
	print $client "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " . length($content) . "\r\n\r\n$content";
	return close $client;
}

sub attach
{
	my ($self, $site, $token) = @_;
	my $hosts = $site->sql('SHOW wacta.allowed_hosts');
	$site->sql("ALTER SYSTEM SET wacta.allowed_hosts = '$hosts, 127.0.0.1:$self->{port}'");
	$site->node->reload;
	$site->sql("SELECT wacta.add_channel('model', 'openai', base_url => 'http://127.0.0.1:$self->{port}/v1', account_id => 'small-1')");
	append_to_file("$site->{secret_dir}/model", $token);
	chmod 0600, "$site->{secret_dir}/model";
	return $site->sql(q(SELECT wacta.set_credential_file('model', 'access_token', 'model')));
}

# Each request: { head, body }.
sub asked { return map { decode_json($_) } split /\n/, slurp_file($_[0]{log}); }

sub DESTROY { local ($?, $!); kill 'TERM', $_[0]{pid} if $_[0]{pid}; return; }

1;
