# Runs the request list of test/requests/ against a front door, and reports by
# Test::More.  The list's form is told in test/requests/README.md.
#
#   my $list = Wacta::Requests->new(url => 'http://127.0.0.1:8080', door => 'gateway', db => 'dbname=crm');
#   $list->run(glob 'test/requests/*.requests');
#
# Asks by curl, which does HTTPS everywhere, and looks at rows by psql.
package Wacta::Requests;

use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex);
use File::Temp;
use IPC::Open2;
use Test::More;
use Time::HiRes qw(sleep time);

my $patience = 10;

# new(url =>, door => 'gateway' or 'postgrest', db => what psql connects to, or nothing, curl => [options])
sub new
{
	my ($class, %arg) = @_;
	my ($host) = $arg{url} =~ m{^https?://([^/]+)} or die "no URL: $arg{url}\n";
	return bless { %arg, url => $arg{url} =~ s{/+$}{}r, vars => { host => $host, origin => $arg{url} =~ s{^(https?://[^/]+).*}{$1}sr } }, $class;
}

sub run
{
	my ($self, @files) = @_;
	for my $file (@files)
	{
		$self->run_entry($_) for read_list($file);
	}
	return;
}

# --- Reading

# Each line says by its first word what it is; see @parts.
sub read_list
{
	my ($file) = @_;
	open my $in, '<', $file or die "could not read $file: $!\n";
	my @entries;
	while (my $line = <$in>)
	{
		chomp $line;
		next if $line =~ /^\s*(#|$)/;
		if ($line =~ /^== (.+)/)
		{
			push @entries, { title => $1, at => "$file:$." };
			next;
		}
		my ($word, $rest) = $line =~ /^(\S+)(?: (.*))?$/;
		die "$file:$.: what stands before the first title\n" unless @entries;
		push @{ $entries[-1]{lines} }, [ $word, $rest // '', "$file:$." ];
	}
	return @entries;
}

my %parts = (
	let       => sub { my ($self, $e, $rest) = @_; $self->let($rest) },
	do        => sub { my ($self, $e, $rest) = @_; $self->sql($self->fill($rest)) if $self->{db} },
	while     => sub { my ($self, $e, $rest) = @_; push @{ $e->{while} }, $rest },
	'>'       => sub { my ($self, $e, $rest) = @_; add_to_request($e, $rest) },
	'>x'      => sub { my ($self, $e, $rest) = @_; $e->{body} .= pack 'H*', $rest =~ s/\s//gr },
	'>*'      => sub { my ($self, $e, $rest) = @_; my ($n, $s) = $rest =~ /^(\d+) (.*)/; $e->{body} .= $s x $n },
	'<'       => sub { my ($self, $e, $rest) = @_; push @{ $e->{expect} }, $rest },
	'='       => sub { my ($self, $e, $rest) = @_; push @{ $e->{bodies} }, [ is => $rest ] },
	'~'       => sub { my ($self, $e, $rest) = @_; push @{ $e->{bodies} }, [ like => $rest ] },
	'!'       => sub { my ($self, $e, $rest) = @_; push @{ $e->{bodies} }, [ unlike => $rest ] },
	rows      => sub { my ($self, $e, $rest) = @_; push @{ $e->{rows} }, $rest },
	take      => sub { my ($self, $e, $rest) = @_; push @{ $e->{take} }, $rest },
	same      => sub { my ($self, $e, $rest) = @_; $e->{same} = $rest },
	only      => sub { my ($self, $e, $rest) = @_; $e->{only} = $rest },
	differs   => sub { my ($self, $e, $rest) = @_; my ($door, $status) = $rest =~ /^(\w+) (\d{3}): ./ or die "differs DOOR STATUS: why\n"; $e->{status} = $status if $door eq $self->{door} });

# The first line is the request line; an empty one ends the head.
sub add_to_request
{
	my ($entry, $line) = @_;
	if (!$entry->{method})
	{
		@$entry{qw(method path)} = $line =~ /^(\S+) (\S+)$/ or die "no request line: $line\n";
	}
	elsif (defined $entry->{body})
	{
		$entry->{body} .= ($entry->{lines_of_body}++ ? "\n" : '') . $line;
	}
	elsif ($line eq '')
	{
		$entry->{body} = '';
	}
	else
	{
		push @{ $entry->{headers} }, $line;
	}
	return;
}

# --- Values

# let name = SQL, or let name = "text"
sub let
{
	my ($self, $line) = @_;
	my ($name, $value) = $line =~ /^(\w+) = (.+)$/ or die "let NAME = SQL: $line\n";
	if ($value =~ /^"(.*)"$/)
	{
		$self->{vars}{$name} = $self->fill($1);
	}
	elsif ($self->{db})
	{
		$self->{vars}{$name} = $self->sql($self->fill($value));
	}
	return;
}

# $name is its value; $signed(name) the signature of the body by that secret.
sub fill
{
	my ($self, $text, $body) = @_;
	$text =~ s/\$signed\((\w+)\)/'sha256=' . hmac_sha256_hex($body, $self->value($1))/ge;
	$text =~ s/\$(\w+)/$self->value($1)/ge;
	return $text;
}

sub value
{
	my ($self, $name) = @_;
	return $self->{vars}{$name} // die "needs $name\n";
}

sub sql
{
	my ($self, $sql) = @_;
	open my $out, '-|', 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $self->{db}, '-c', $sql or die "could not run psql: $!\n";
	local $/;
	my $text = <$out> // '';
	close $out or die "psql refused: $sql\n";
	$text =~ s/\n\z//;
	return $text;
}

# Holds a transaction open while something is asked: a lock, for instance.
sub hold
{
	my ($self, $sql) = @_;
	my $pid = open2(my $out, my $in, 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $self->{db});
	print $in "BEGIN;\n", $self->fill($sql), ";\n\\echo held\n";
	$in->flush;
	while (my $line = <$out>)
	{
		return { pid => $pid, in => $in, out => $out } if $line eq "held\n";
	}
	die "psql refused: $sql\n";
}

sub let_go
{
	my ($held) = @_;
	close $_ for @$held{qw(in out)};
	waitpid $held->{pid}, 0;
	return;
}

# --- Asking

sub ask
{
	my ($self, $entry) = @_;
	my $body = defined $entry->{body} ? $self->fill($entry->{body}) : undef;
	my @headers = map { $self->fill($_, $body // '') } @{ $entry->{headers} // [] };
	my @command = ('curl', '-sS', '-i', @{ $self->{curl} // ['--http1.1'] }, '--path-as-is', '--globoff', '--max-time', '60', '-H', 'Expect:');
	push @command, $entry->{method} eq 'HEAD' ? '--head' : ('--request', $entry->{method});
	push @command, map { ('-H', /^([^:]+):\s*$/ ? "$1;" : $_) } @headers;
	my $file;
	if (defined $body)
	{
		$file = File::Temp->new;
		binmode $file;
		print $file $body;
		$file->flush;
		push @command, '--data-binary', '@' . $file->filename;
		push @command, '-H', 'Content-Type:' unless grep { /^content-type:/i } @headers;
	}
	open my $out, '-|', @command, $self->{url} . $self->fill($entry->{path}) or die "could not run curl: $!\n";
	binmode $out;
	local $/;
	my $answer = <$out> // '';
	close $out;
	return parse_answer($answer);
}

sub parse_answer
{
	my ($text) = @_;
	my ($head, $body) = split /\r\n\r\n/, $text, 2;
	my ($first, @lines) = split /\r\n/, $head // '';
	my %answer = (status => ($first // '') =~ m{^HTTP/\S+ (\d{3})} ? $1 : 'none', body => $body // '', headers => {});
	for my $line (@lines)
	{
		push @{ $answer{headers}{ lc $1 } }, $2 if $line =~ /^([^:]+):\s*(.*?)\s*$/;
	}
	return \%answer;
}

# --- Looking

sub run_entry
{
	my ($self, $entry) = @_;
	my $skip;
	for my $line (@{ $entry->{lines} })
	{
		my ($word, $rest, $at) = @$line;
		my $part = $parts{$word} or die "$at: \"$word\" is no part of an entry\n";
		eval { $part->($self, $entry, $rest); 1 } or $skip //= $self->reason($at);
	}
	$skip //= $1 if ($entry->{only} // '') =~ /^(\w+: .+)/ && index($1, "$self->{door}:") != 0;
	return if !$entry->{method};
	my $held = [];
	my $answer = $skip ? undef : eval { $held = [ map { $self->hold($_) } @{ $entry->{while} // [] } ]; $self->ask($entry) };
	$skip //= $self->reason($entry->{at}) unless $answer;
	let_go($_) for @$held;
  SKIP:
	{
		skip "$entry->{title}: $skip", 1 if $skip;
		subtest($entry->{title} => sub { $self->look($entry, $answer) }) or diag "$entry->{at}: $entry->{method} $entry->{path}";
	}
	return;
}

# What is missing without a database is no mistake.
sub reason
{
	my ($self, $at) = @_;
	my ($why) = $@ =~ /^(.*)/;
	die "$at: $why\n" unless $why =~ /^needs \w+$/ && !$self->{db};
	return "$why, and so a database";
}

sub look
{
	my ($self, $entry, $answer) = @_;
	my ($status, @headers) = @{ $entry->{expect} // die "$entry->{at}: no answer expected\n" };
	is($answer->{status}, $entry->{status} // $status, "status") or diag substr $answer->{body}, 0, 2000;
	# A difference in status is one in all.
	return if defined $entry->{status};
	$self->look_at_header($answer, $_) for @headers;
	$self->look_at_body($answer, @$_) for @{ $entry->{bodies} // [] };
	$self->look_at_same($entry, $answer) if $entry->{same};
	$self->take($answer, $_) for @{ $entry->{take} // [] };
	$self->look_at_rows($_) for $self->{db} ? @{ $entry->{rows} // [] } : ();
	return;
}

# Name: value | Name: ~ pattern | Name: - where there must be none
sub look_at_header
{
	my ($self, $answer, $line) = @_;
	my ($name, $wanted) = $line =~ /^([^:]+): (.*)$/ or die "no header: $line\n";
	my $got = $answer->{headers}{ lc $name };
	my $value = $got ? join ', ', @$got : '-';
	return like($value, qr/$1/, $name) if $wanted =~ /^~ (.*)/;
	return is($value, $self->fill($wanted), $name);
}

sub look_at_body
{
	my ($self, $answer, $how, $wanted) = @_;
	$wanted = $self->fill($wanted) if $how eq 'is' || $wanted !~ /\$$/;
	return is($answer->{body}, $wanted, 'body') if $how eq 'is';
	return $how eq 'like' ? like($answer->{body}, qr/$wanted/s, 'body') : unlike($answer->{body}, qr/$wanted/s, 'body');
}

# same NAME: the whole answer is, byte for byte, that of the other entries of this name.
sub look_at_same
{
	my ($self, $entry, $answer) = @_;
	my %head = %{ $answer->{headers} };
	# WWW-Authenticate is PostgREST's own, of a token that nginx had it look at first.
	delete @head{qw(date content-length connection server www-authenticate)};
	my $seen = { status => $answer->{status}, head => \%head, body => $entry->{method} eq 'HEAD' ? undef : $answer->{body} };
	my $first = $self->{same}{ $entry->{same} } //= $seen;
	return is_deeply($seen, $first, "the same answer as others: $entry->{same}");
}

# take NAME from HEADER: pattern, or from body: pattern
sub take
{
	my ($self, $answer, $line) = @_;
	my ($name, $where, $pattern) = $line =~ /^(\w+) from ([^:]+): (.+)$/ or die "take NAME from HEADER: PATTERN: $line\n";
	my $text = $where eq 'body' ? $answer->{body} : join ', ', @{ $answer->{headers}{ lc $where } // [] };
	my ($value) = $text =~ /$pattern/;
	$self->{vars}{$name} = $value;
	return ok(defined $value, "$where has $name");
}

# rows SQL = value.  Behind PostgREST a worker may come to it a moment later.
sub look_at_rows
{
	my ($self, $line) = @_;
	my ($sql, $wanted) = $self->fill($line) =~ /^(.+) => (.*)$/ or die "rows SQL => value: $line\n";
	my $end = time + $patience;
	my $got = $self->sql($sql);
	while ($got ne $wanted && time < $end)
	{
		sleep 0.05;
		$got = $self->sql($sql);
	}
	return is($got, $wanted, "rows");
}

1;
