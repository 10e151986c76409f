# The gateway in front of stand-in functions (gateway_stub.sql): what TAP tests
# of the program itself share.  The whole front door, with the extension behind
# it, is Wacta::Gateway's.
#
#   my $node = stub_node('main');
#   my $gateway = WactaGateway->start($node, arguments => ['--pool', '2']);
#   my $answer = $gateway->request(GET => '/health/');
#
# WACTA_GATEWAY names another program to test, for instance one built by
# `make asan`.
package WactaGateway;

use strict;
use warnings;
use Digest::SHA qw(hmac_sha256);
use Exporter 'import';
use File::Basename;
use File::Spec;
use IO::Socket::INET;
use JSON::PP;
use MIME::Base64 qw(encode_base64url);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use Wacta::Gateway;
use Wacta::Process;

our @ISA    = ('Wacta::Gateway', 'Exporter');
our @EXPORT = qw(stub_node jwt until_true gateway_program $secret);
our $secret = 'a secret of tests, thirty-two characters long';

my $here = File::Spec->rel2abs(dirname(__FILE__));
my $secrets = 0;

$SIG{TERM} = $SIG{INT} = $SIG{HUP} = sub { die "ended by signal $_[0]\n" };

sub gateway_program
{
	return $ENV{WACTA_GATEWAY} // "$here/../../src/gateway/wacta-gateway";
}

# stub_node(name): a running cluster with database "stub".
sub stub_node
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', "shared_buffers = 16MB\n");
	$node->start;
	$node->safe_psql('postgres', 'CREATE DATABASE stub');
	command_ok([ 'psql', '-X', '-q', '-d', $node->connstr('stub'), '-f', "$here/gateway_stub.sql" ],
		'stand-in functions are made');
	return $node;
}

# start(node, arguments => [...], env => {...}): on a free port.  Its
# {secret_file} may be rewritten.
sub start
{
	my ($class, $node, %arg) = @_;
	my $file = $node->basedir . '/stub-secret-' . ++$secrets;
	write_secret($file, $secret);
	my $self = Wacta::Process::start($class, 'gateway' . $secrets,
		command => [
			gateway_program(), '--listen', '127.0.0.1:0',
			'--db', sprintf('host=%s port=%d dbname=stub user=stub_gateway', $node->host, $node->port),
			'--anon-role', 'stub_anon', '--jwt-secret-file', $file, @{ $arg{arguments} // [] } ],
		env   => $arg{env},
		ready => sub {
			my ($self) = @_;
			my ($port) = $self->log_text =~ m{^listening on http://127\.0\.0\.1:(\d+)$}m or return 0;
			@$self{qw(port url)} = ($port, "http://127.0.0.1:$port");
			return 1;
		});
	$self->{secret_file} = $file;
	return $self;
}

sub write_secret
{
	my ($file, $text) = @_;
	open my $out, '>', $file or die "could not write $file: $!";
	chmod 0600, $file;
	print $out $text;
	close $out;
	return;
}

# jwt({claims}, secret => ..., header => {...}): a token, signed with HS256
# whatever its header says.
sub jwt
{
	my ($claims, %arg) = @_;
	my $json = JSON::PP->new->canonical;
	my $head = encode_base64url($json->encode($arg{header} // { alg => 'HS256', typ => 'JWT' }));
	my $text = $head . '.' . encode_base64url(ref $claims ? $json->encode($claims) : $claims);
	return "$text." . encode_base64url(hmac_sha256($text, $arg{secret} // $secret));
}

# raw(bytes, ...): sends the pieces and returns all that comes back until the
# other side closes or is silent.
sub raw
{
	my ($self, @pieces) = @_;
	my $socket = $self->socket;
	local $SIG{PIPE} = 'IGNORE';
	for my $piece (@pieces)
	{
		last unless defined syswrite $socket, $piece;
		sleep 0.02 if @pieces > 1;
	}
	return $self->drain($socket);
}

sub socket
{
	my ($self) = @_;
	return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->port, Timeout => 10)
	  // die "could not connect: $!";
}

sub drain
{
	my ($self, $socket, $patience) = @_;
	my $answer = '';
	my $end    = time + ($patience // 1);
	my $bits   = '';
	vec($bits, fileno $socket, 1) = 1;
	while ((my $left = $end - time) > 0)
	{
		select(my $ready = $bits, undef, undef, $left) or last;
		sysread($socket, $answer, 65536, length $answer) or last;
	}
	return $answer;
}

# until_true(sub { ... }, seconds): true as soon as it is.
sub until_true
{
	my ($condition, $patience) = @_;
	my $end = time + ($patience // $PostgreSQL::Test::Utils::timeout_default);
	until ($condition->())
	{
		return 0 if time > $end;
		sleep 0.02;
	}
	return 1;
}

1;
