# Sends bodies of Wacta::Fuzz::Bodies down the whole inbound path and tells what was
# wrong: in the database, body by body, and a share of them over HTTP.
#
#   my $fuzz = Wacta::Fuzz->start(seed => 42);
#   $fuzz->replay_corpus;
#   $fuzz->run($runs, $until);
#   $fuzz->finish;
#   $fuzz->findings;      # { what => { body => {...}, times => n } }
#
# test/fuzz/examine.sql says what must hold.
package Wacta::Fuzz;

use strict;
use warnings;
use Cwd ();
use Digest::SHA qw(sha256_hex);
use File::Basename;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Time::HiRes qw(sleep time);
use Wacta;
use Wacta::Fuzz::Bodies;
use Wacta::Fuzz::Minimizer;
use Wacta::Inbound;

my $here = Cwd::realpath(dirname(__FILE__) . '/../../fuzz');
my @worlds = qw(meta more still);
my $chunk = 400;          # bodies at once
my $one_in = 8;           # is applied twice and taken back, as is one that is posted by HTTP
my $present = "SET wacta.fixed_now = '2026-08-04 11:30:45+05:30'; SET statement_timeout = '60s'; SET client_min_messages = error;\n";

sub start
{
	my ($class, %arg) = @_;
	my $self = bless { seed => $arg{seed}, runs => 0, posted => 0, findings => {} }, $class;
	$self->{bodies} = Wacta::Fuzz::Bodies->new($arg{seed});
	$self->{inbound} = Wacta::Inbound->start('fuzz', worlds => [ @worlds, 'posted' ], sent => { posted => [] },
		conf => "autovacuum_naptime = 5s\nwacta.databases = 'posted'");
	for my $world (@worlds)
	{
		$self->{inbound}->sql($world, slurp_file("$here/examine.sql") . 'SELECT test.remember();');
	}
	my $end = time + 30;
	sleep 0.05 until $self->{inbound}->sql('posted', 'SELECT wacta.inbox_is_served()') eq 't' || time > $end;
	die 'there is no inbox worker' if time > $end;
	$self->{gateway} = Wacta::Gateway->start($self->{inbound}->node, 'posted');
	return $self;
}

sub runs { return $_[0]->{runs} }
sub posted { return $_[0]->{posted} }
sub findings { return $_[0]->{findings} }
sub minimizer { return Wacta::Fuzz::Minimizer->new($_[0]) }

# --- In the database

# What kind of finding it is: without what changes from body to body.
sub signature
{
	my ($finding) = @_;
	my ($line) = $finding =~ /(.*)/;
	return substr $line =~ s/"(?:[^"\\]|\\.)*"?/"..."/gr =~ s/(?<!error )(?<!raised )(?<!HTTP )\b\d[\d.]*/N/gr, 0, 160;
}

# examine(world, function, [ cases ]): the findings of each, a list of texts.
sub examine
{
	my ($self, $world, $function, @cases) = @_;
	return $self->_finish($self->_begin($world, $function, @cases));
}

# A session for them, which goes on by itself.
sub _begin
{
	my ($self, $world, $function, @cases) = @_;
	my $session = { world => $world, function => $function, cases => \@cases, out => '', err => '' };
	$session->{script} = $present . "TRUNCATE test.body;\nCOPY test.body FROM stdin;\n"
	  . join('', map { join("\t", $_, $cases[$_]{provider}, $cases[$_]{kind}, '\\\\x' . unpack('H*', $cases[$_]{body})) . "\n" } 0 .. $#cases)
	  . "\\.\n" . join('', map { "SELECT E'\\f$_ ' || f FROM test.$function($_) f;\n\\echo '\f$_ ends' :SQLSTATE\n" } 0 .. $#cases)
	  . "SELECT E'\\f$#cases a lock is left: ' || locktype FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' LIMIT 1;\n";
	$session->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $self->{inbound}->node->connstr($world) ],
		'<', \$session->{script}, '>', \$session->{out}, '2>', \$session->{err});
	return $session;
}

# Its findings. A body that has taken the session along is told by the one that has ended last.
sub _finish
{
	my ($self, $session) = @_;
	my $ended = $session->{run}->finish;
	my @cases = @{ $session->{cases} };
	my (@found, $last);
	for my $line (split /\f/, $session->{out})
	{
		my ($n, $what) = $line =~ /\A(\d+) (.*?)\s*\z/s or next;
		if ($what =~ /^ends (\w+)$/) { $last = $n; push @{ $found[$n] }, "the statement failed with $1" if $1 ne '00000' }
		else { push @{ $found[$n] }, $what }
	}
	return @found if $ended && $last == $#cases;
	my $guilty = defined $last ? $last + 1 : 0;
	push @{ $found[$guilty] }, 'the session ended: ' . ($session->{err} =~ /(.*(?:crash|terminat|FATAL|PANIC|closed).*)/ ? $1 : substr $session->{err}, 0, 200);
	$self->wait_for_server;
	my @rest = @cases[ $guilty + 1 .. $#cases ];
	return (@found, (undef) x ($guilty + 1 - @found), @rest ? $self->examine(@$session{qw(world function)}, @rest) : ());
}

sub wait_for_server
{
	my ($self) = @_;
	my $end = time + 60;
	sleep 0.1 until eval { $self->{inbound}->sql('meta', 'SELECT 1') } || time > $end;
	return;
}

sub note_findings
{
	my ($self, $function, $cases, @found) = @_;
	for my $n (0 .. $#found)
	{
		for my $what (@{ $found[$n] // [] })
		{
			my $finding = $self->{findings}{ signature($what) } //= { %{ $cases->[$n] }, what => $what, function => $function };
			$finding->{times}++;
		}
	}
	return;
}

# examine_cases(cases): all of them, in two worlds at once, and a share by HTTP; a share is applied again in a world that stays as
# it is.
sub examine_cases
{
	my ($self, @cases) = @_;
	my @sessions = grep { @{ $_->{cases} } } map { $self->_begin(@$_) } [ 'meta', 'examine', @cases[ 0 .. $#cases / 2 ] ],
	  [ 'more', 'examine', @cases[ $#cases / 2 + 1 .. $#cases ] ], [ 'still', 'examine_again', @cases[ grep { $_ % $one_in == 0 } 0 .. $#cases ] ];
	$self->post_some(@cases[ grep { $_ % $one_in == 1 } 0 .. $#cases ]);
	$self->note_findings(@$_{qw(function cases)}, $self->_finish($_)) for @sessions;
	$self->{runs} += @cases;
	return;
}

# run(runs, until): so many bodies, or until that time.
sub run
{
	my ($self, $runs, $until) = @_;
	my $next = $self->{next} //= 1;
	while ($runs > 0 && time < $until)
	{
		my $some = $runs < $chunk ? $runs : $chunk;
		$self->examine_cases(map { { %{ $self->{bodies}->body($_) }, n => $_ } } $next .. $next + $some - 1);
		$self->{next} = $next += $some;
		$runs -= $some;
	}
	return;
}

# Bodies that were wrong once: provider.kind.what.body.
sub corpus { return sort glob "$here/corpus/*.body" }

sub replay_corpus
{
	my ($self) = @_;
	my @cases = map { my ($provider, $kind) = basename($_) =~ /^([^.]+)\.([^.]+)\./; { provider => $provider, kind => $kind, body => slurp_file($_) } } corpus();
	return unless @cases;
	# each of them every way
	$self->note_findings('examine', \@cases, $self->examine('meta', 'examine', @cases));
	$self->note_findings('examine_again', \@cases, $self->examine('still', 'examine_again', @cases));
	$self->post_some(@cases);
	$self->{runs} += @cases;
	return;
}

# --- By HTTP, to a world with an inbox worker
my @queries = ('', '', '', '?key=test-webhook-key-0123456789', '?hub.mode=subscribe', '?key=%00', '?a[]=1&a[]=2', '?%ff', '?' . 'x' x 3000);
my @types = ('application/json', 'application/json; charset=utf-8', 'application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data; boundary=x', '', 'x' x 300);

sub post_some
{
	my ($self, @cases) = @_;
	for my $case (@cases)
	{
		my $path = $case->{kind} eq 'ivr' ? "/webhook/ivr/$case->{provider}/" : '/webhook/whatsapp/' . (qw(integration delivery messages))[ $self->{posted} % 3 ] . '/';
		my $answer = $self->{inbound}->post($self->{gateway}, @$case{qw(provider kind body)},
			path => $path . $queries[ $self->{posted} % @queries ], type => $types[ $self->{posted} % @types ]);
		$self->{posted}++;
		next if $answer->{status} < 500 && $self->{gateway}->is_running;
		my $what = "HTTP $answer->{status} from " . ($case->{kind} eq 'ivr' ? 'the door of calls' : 'the door of WhatsApp') . ': ' . substr $answer->{content}, 0, 200;
		$what = 'the gateway has ended' unless $self->{gateway}->is_running;
		(($self->{findings}{ signature($what) } //= { %$case, what => $what, function => 'post' })->{times})++;
		$self->{gateway}->again unless $self->{gateway}->is_running;
		$self->wait_for_server;
	}
	return;
}

# --- At the end nothing is pending, and what waits is given up in time
my %none = (
	'bodies are pending for ever' => q(SELECT count(*) FROM wacta.inbox WHERE proved AND applied_at IS NULL),
	'bodies were set aside' => q(SELECT count(*) FROM wacta.inbox WHERE set_aside_at IS NOT NULL),
	'items were refused' => q(SELECT count(*) FROM wacta.inbox WHERE errors <> '[]'),
	'inbox rows are locked' => q(SELECT (SELECT count(*) FROM wacta.inbox) - count(*) FROM (SELECT FROM wacta.inbox FOR NO KEY UPDATE SKIP LOCKED) i),
	'leads are not what the ledger says' => q(SELECT count(*) FROM wacta.lead l WHERE l.consent <> coalesce(
		(SELECT e.event FROM wacta.consent_event e WHERE e.lead_id = l.lead_id AND e.effective ORDER BY e.event_id DESC LIMIT 1), 'unknown')),
	'messages are queued for who has withdrawn' => q(SELECT count(*) FROM wacta.message m JOIN wacta.lead l USING (lead_id) WHERE m.status = 'queued' AND l.consent = 'withdrawn'),
	'messages are lost' => q(SELECT enqueued - queued - sending - in_doubt - accepted - sent - delivered - read - failed - suppressed - expired - cancelled
		FROM wacta.message_accounting));

sub finish
{
	my ($self) = @_;
	my ($inbound, $node) = ($self->{inbound}, $self->{inbound}->node);
	my $end = time + 60;
	sleep 0.1 until $inbound->sql('posted', $none{'bodies are pending for ever'}) eq '0' || time > $end;
	for my $world ('meta', 'more', 'posted')
	{
		for my $what (sort keys %none)
		{
			my $count = $inbound->sql($world, $none{$what});
			$self->{findings}{$what} = { what => "$what: $count in $world", times => $count } if $count ne '0';
		}
	}
	my $err = '';
	$node->psql('meta', "$present SET statement_timeout = 0; CALL test.wait_for_all();", stderr => \$err);
	$self->{findings}{ signature("replay_waiting: $err") } = { what => "replay_waiting: $err", times => 1 } if $err =~ /\S/;
	return;
}

# keep(finding): its body, as small as it can be, in the corpus; the name of the file, or nothing when the body alone is not wrong.
sub keep
{
	my ($self, $finding) = @_;
	my $body = $finding->{function} eq 'post' ? $finding->{body} : $self->minimizer->minimize($finding);
	return unless defined $body;
	my $name = join '.', $finding->{provider}, $finding->{kind}, substr(sha256_hex($body), 0, 8), 'body';
	open my $out, '>:raw', "$here/corpus/$name" or die "could not write $here/corpus/$name: $!";
	print $out $body;
	close $out;
	return $name;
}

1;
