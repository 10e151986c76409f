# The gateway as a test sees it: on a free port of 127.0.0.1, with a secret file
# of its own, and an HTTP client that follows nothing by itself.
#
#   my $gateway = Wacta::Gateway->start($node, 'crm');
#   my $answer = $gateway->request(GET => '/health/');
#   $gateway->request(POST => '/login/', { form => { username => ..., password => ... } });
package Wacta::Gateway;

use strict;
use warnings;
use parent -norequire, 'Wacta::Process';
use File::Basename;
use File::Spec;
use HTTP::Tiny;
use JSON::PP;
use Wacta::Process;

my $built = File::Spec->rel2abs(dirname(__FILE__) . '/../../../src/gateway/wacta-gateway');
my $secrets = 0;

# start(node, database, name => 'gateway', secret => '32 characters or more',
#       arguments => [...]): sets the session secret in the database as well,
# unless secret is ''.
sub start
{
	my ($class, $node, $database, %arg) = @_;
	my $secret = $arg{secret} // 'a secret of tests, thirty-two characters long';
	my @command = (-x $built ? $built : 'wacta-gateway', '--listen', '127.0.0.1:0',
		'--db', sprintf('host=%s port=%d dbname=%s user=wacta_gateway', $node->host, $node->port, $database));
	if ($secret ne '')
	{
		my $file = $node->basedir . '/jwt-secret-' . ++$secrets;
		open my $out, '>', $file or die "could not write $file: $!";
		chmod 0600, $file;
		print $out $secret;
		close $out;
		push @command, '--jwt-secret-file', $file;
		$node->safe_psql($database, "SELECT wacta.set_session_secret('$secret')");
	}
	return $class->SUPER::start($arg{name} // 'gateway',
		command => [ @command, @{ $arg{arguments} // [] } ], ready => \&_read_address);
}

# The first line that it prints tells the port it took.
sub _read_address
{
	my ($self) = @_;
	my ($port) = $self->log_text =~ /127\.0\.0\.1:(\d+)/ or return 0;
	@$self{qw(port url)} = ($port, "http://127.0.0.1:$port");
	return 1;
}

sub url  { return $_[0]->{url} }
sub port { return $_[0]->{port} }

# again(): after it has ended, on the same port.
sub again
{
	my ($self) = @_;
	return $self->SUPER::again($self->{fixed}++ ? () : ('--listen', "127.0.0.1:$self->{port}"));
}

# request(method, path, { headers => {}, content => ..., form => {}, json => {} }):
# the answer of HTTP::Tiny, with {json} when it is JSON.
sub request
{
	my ($self, $method, $path, $with) = @_;
	my %request = (headers => { %{ $with->{headers} // {} } });
	$request{content} = $with->{content} if defined $with->{content};
	if ($with->{form})
	{
		$request{headers}{'content-type'} = 'application/x-www-form-urlencoded';
		$request{content} = HTTP::Tiny->new->www_form_urlencode($with->{form});
	}
	elsif ($with->{json})
	{
		$request{headers}{'content-type'} = 'application/json';
		$request{content} = encode_json($with->{json});
	}
	my $answer = HTTP::Tiny->new(timeout => 60, max_redirect => 0)
	  ->request($method, "$self->{url}$path", \%request);
	$answer->{json} = eval { decode_json($answer->{content}) }
	  if ($answer->{headers}{'content-type'} // '') =~ m{^application/json};
	return $answer;
}

1;
