# An application beside the faults: a process with a session of its own that enqueues without end, and now and then
# cancels, opts out, pauses a channel, holds a template, or rolls back.
#
# What it knows afterwards it writes into its ledger, a line each, fields parted by tabs:
#
#   enqueued   phone  message id  time    the commit was acknowledged
#   unknown    phone  message id  time    the session died after the statement, at the commit
#   void       phone                      the session died before the commit, or it rolled back
#   cancelled  -      message id  time    cancel_message() said so, and that was acknowledged
#   opted_out  phone  -           time    the same of opt_out()
#
# A phone is used for one message and never again, so that a message is known by its phone.
package Wacta::Faults::Client;

use strict;
use warnings;
use IO::Handle;
use IPC::Open2;
use POSIX ();
use Time::HiRes qw(sleep time);

my $BACKLOG = 200;       # with so many queued a client waits
my $RECENT = 40;         # so many messages are remembered, to be cancelled or followed by an opt-out

# start(number => 1, seed => ..., ledger => FILE, connection => STRING, pause => seconds between transactions)
sub start
{
	my ($class, %arg) = @_;
	my $self = bless { parent => $$, counter => 0, transactions => 0, recent => [], %arg }, $class;
	my $pid = fork // die "could not fork: $!";
	if ($pid == 0)
	{
		eval { $self->_run; 1 } or print STDERR "client $self->{number}: $@";
		POSIX::_exit($@ ? 1 : 0);
	}
	$self->{pid} = $pid;
	return $self;
}

# Lets it finish its transaction; true when it ended as it should.
sub stop
{
	my ($self) = @_;
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	return $? == 0;
}

sub _run
{
	my ($self) = @_;
	local $SIG{TERM} = sub { $self->{ended} = 1 };
	local $SIG{PIPE} = 'IGNORE';
	srand $self->{seed};
	local $ENV{PGOPTIONS} = '-c synchronous_commit=on';
	open $self->{book}, '>>', $self->{ledger} or die "could not write $self->{ledger}: $!";
	$self->{book}->autoflush(1);
	until ($self->{ended} || getppid() != $self->{parent})
	{
		$self->_transaction;
		sleep $self->{pause};
	}
	close $self->{in} if $self->{in};
	return;
}

sub _transaction
{
	my ($self) = @_;
	return if ++$self->{transactions} % 10 == 0 && $self->_backlog >= $BACKLOG;
	my $die = rand;
	return $self->_enqueue(int 1 + rand 6) if $die < 0.86 || !@{ $self->{recent} };
	return $self->_cancel if $die < 0.91;
	return $self->_opt_out if $die < 0.94;
	return $self->_meddle;
}

# _session(statements): the lines that psql printed, the last of them undef when the session died.
sub _session
{
	my ($self, @statement) = @_;
	unless ($self->{in})
	{
		$self->{psql} = open2($self->{out}, $self->{in}, 'psql', '-XAt', '-F', "\t", '-d', $self->{connection});
	}
	print { $self->{in} } map { "$_;\n" } @statement, q(SELECT 'end of it');
	$self->{in}->flush;
	my @line;
	while (defined(my $line = readline $self->{out}))
	{
		chomp $line;
		return @line if $line eq 'end of it';
		push @line, $line;
	}
	$self->_forget_session;
	return @line, undef;
}

sub _forget_session
{
	my ($self) = @_;
	close delete $self->{in};
	close delete $self->{out};
	waitpid delete $self->{psql}, 0;
	sleep 0.2;                        # the server may be away for a while
	return;
}

# What became of a transaction, and its rows: COMMIT is printed when the server has acknowledged it, and sent only after
# the rows were printed.
sub _outcome
{
	my ($self, @statement) = @_;
	my @line = $self->_session('BEGIN', @statement);
	my @row = map { [ split /\t/ ] } grep { defined && /\t/ } @line;
	return ('enqueued', @row) if grep { defined && $_ eq 'COMMIT' } @line;
	return ('unknown', @row) if !defined $line[-1] && @row;
	return ('void');
}

sub _note
{
	my ($self, @line) = @_;
	my $now = sprintf '%.6f', time;
	print { $self->{book} } map { join("\t", @$_, $now) . "\n" } @line or die "could not write the ledger: $!";
	return;
}

sub _backlog
{
	my ($self) = @_;
	my ($count) = $self->_session(
		"SELECT count(*) FROM (SELECT FROM wacta.message WHERE status = 'queued' LIMIT $BACKLOG) q");
	return defined $count && $count =~ /^\d+$/ ? $count : 0;
}

sub _phone
{
	my ($self) = @_;
	return sprintf '+91%d', 9_000_000_000 + 100_000_000 * $self->{number} + ++$self->{counter};
}

sub _enqueue
{
	my ($self, $count) = @_;
	my @phone = map { $self->_phone } 1 .. $count;
	my $list = join ',', @phone;
	my $function = rand() < 0.2 ? 'send_brochure' : 'send_interactive';
	my $lead = q(wacta.upsert_lead(p, 'Asha', 'Palm Residency'));
	my ($outcome, @row) = $self->_outcome("SELECT p, wacta.$function($lead) FROM unnest('{$list}'::text[]) p",
		rand() < 0.05 ? 'ROLLBACK' : 'COMMIT');
	if ($outcome eq 'void')
	{
		$self->_note(map { [ 'void', $_, '\N' ] } @phone);
		return;
	}
	$self->_note(map { [ $outcome, @$_ ] } @row);
	push @{ $self->{recent} }, @row if $outcome eq 'enqueued';
	splice @{ $self->{recent} }, 0, @{ $self->{recent} } - $RECENT if @{ $self->{recent} } > $RECENT;
	return;
}

sub _cancel
{
	my ($self) = @_;
	my ($phone, $id) = @{ pop @{ $self->{recent} } };
	my ($outcome, $row) = $self->_outcome("SELECT 'cancelled', wacta.cancel_message($id)", 'COMMIT');
	$self->_note([ 'cancelled', '\N', $id ]) if $outcome eq 'enqueued' && $row->[1] eq 't';
	return;
}

sub _opt_out
{
	my ($self) = @_;
	my ($phone) = @{ pop @{ $self->{recent} } };
	my ($outcome) = $self->_outcome("SELECT 'opted_out', wacta.opt_out(wacta.lead_by_phone('$phone'))", 'COMMIT');
	$self->_note([ 'opted_out', $phone, '\N' ]) if $outcome eq 'enqueued';
	return;
}

# What staff and administrators do meanwhile.
my @MEDDLING = (
	[ q(SELECT wacta.pause_channel('main', 'meddled with', wacta.now() + '0.3 s')) ],
	[ q(SELECT wacta.pause_channel('second', 'meddled with', wacta.now() + '0.3 s')) ],
	[ q(UPDATE wacta.template SET held_reason = 'meddled with' WHERE template_id = (SELECT min(template_id) FROM wacta.template)) ],
	[ q(UPDATE wacta.template SET held_reason = NULL) ],
	[ q(SELECT name FROM wacta.channel ORDER BY name FOR UPDATE), q(UPDATE wacta.channel SET is_default = false WHERE is_default),
		q(UPDATE wacta.channel SET is_default = true WHERE name = (SELECT (ARRAY['main', 'second'])[1 + floor(random() * 2)::integer])) ],
	[ q(UPDATE wacta.config SET message_ttl = '2 s') ],
	[ q(UPDATE wacta.config SET message_ttl = '3 days') ],
	[ q(UPDATE wacta.config SET message_ttl = '3 days') ]);

sub _meddle
{
	my ($self) = @_;
	$self->_outcome(@{ $MEDDLING[ rand @MEDDLING ] }, 'COMMIT');
	return;
}

1;
