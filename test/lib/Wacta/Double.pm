# The double of the WABA API (test/double) as a test sees it.
#
#   my $double = Wacta::Double->start(arguments => [...], webhook_url => $gateway->url . '/webhook/…');
#   $double->post('faults', { ... });
#   my $entries = $double->journal(to => '+919876543210');
#   is($double->get('duplicates')->{count}, 0);
package Wacta::Double;

use strict;
use warnings;
use parent -norequire, 'Wacta::Process';
use File::Basename;
use File::Spec;
use HTTP::Tiny;
use JSON::PP;
use Wacta::Process;

my $script = File::Spec->rel2abs(dirname(__FILE__) . '/../../double/double.js');

# start(name => 'double', webhook_url => ..., app_secret_file => ..., webhook_key_file => ...,
#       journal => FILE, arguments => [...]): on a free port of 127.0.0.1.
sub start
{
	my ($class, %arg) = @_;
	my @command = ('node', $script, '--until-stdin-closes', @{ $arg{arguments} // [] });
	for my $option (qw(port webhook_url app_secret_file webhook_key_file journal))
	{
		push @command, '--' . ($option =~ tr/_/-/r), $arg{$option} if defined $arg{$option};
	}
	return $class->SUPER::start($arg{name} // 'double',
		command => \@command, tied => 1, ready => \&_read_address);
}

# It says where it listens in its first line.
sub _read_address
{
	my ($self) = @_;
	my ($line) = $self->log_text =~ /^(\{"port".*\})$/m or return 0;
	@$self{qw(port url)} = @{ decode_json($line) }{qw(port url)};
	return 1;
}

sub url  { return $_[0]->{url} }
sub port { return $_[0]->{port} }

# again(): after it has ended, on the same port and with its journal; rules and templates are to be told anew.
sub again
{
	my ($self) = @_;
	return $self->SUPER::again($self->{fixed}++ ? () : ('--port', $self->{port}));
}

# host:port, as wacta.allowed_hosts takes it.
sub host
{
	my ($self) = @_;
	return $self->{url} =~ s{^https?://}{}r;
}

# call(method, path, body): the control API, below /_double/; dies with its error.
sub call
{
	my ($self, $method, $path, $body) = @_;
	my %request = (headers => { 'content-type' => 'application/json' });
	$request{content} = encode_json($body) if defined $body;
	my $answer = HTTP::Tiny->new(timeout => 70, verify_SSL => 0)
	  ->request($method, "$self->{url}/_double/$path", \%request);
	die "$method $path: $answer->{status} $answer->{content}" unless $answer->{success};
	return decode_json($answer->{content});
}

sub get  { my ($self, $path)        = @_; return $self->call('GET',    $path) }
sub post { my ($self, $path, $body) = @_; return $self->call('POST',   $path, $body // {}) }
sub del  { my ($self, $path)        = @_; return $self->call('DELETE', $path) }

# journal(filter => value, ...): the entries that fit, oldest first.
sub journal
{
	my ($self, %filter) = @_;
	return $self->get('journal?' . query(%filter))->{entries};
}

# wait_until(count => 3, taken => 'true', timeout_ms => 5000): false when it does not come about.
sub wait_until
{
	my ($self, %what) = @_;
	return $self->get('wait?' . query(timeout_ms => 30000, %what))->{reached};
}

# What a customer's telephone shows: the messages that were taken for that number.
sub inbox
{
	my ($self, $number) = @_;
	return $self->get('inbox?' . query(to => $number))->{messages};
}

sub query
{
	my (%value) = @_;
	return HTTP::Tiny->new->www_form_urlencode(\%value);
}

1;
