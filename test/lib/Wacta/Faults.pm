# A site under faults: applications enqueue without end while couriers, backends, the postmaster, the double, the gateway and
# the network between them are killed, stopped, cut and slowed; afterwards every message is accounted for.
#
#   my $faults = Wacta::Faults->start(seed => 42);
#   $faults->round;                  # each kind of fault once, in an order of the seed's
#   $faults->finish;                 # no more faults; all that is queued leaves
#   Wacta::Faults::Verdict->new($faults)->check;
#
# The seed decides which faults come in which order and what befalls which request; when exactly they strike is up to the
# machine, so a seed repeats the plan of a run and not its every step.
package Wacta::Faults;

use strict;
use warnings;
use JSON::PP;
use List::Util qw(shuffle);
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wacta;
use Wacta::Faults::Client;
use Wacta::Faults::Network;
use Wacta::Faults::Server;
use Wacta::Faults::Tally;
use Wacta::Site;

my $CONF = <<'END';
wacta.connect_timeout = '500ms'
wacta.request_timeout = '1s'
wacta.poll_interval = '500ms'
synchronous_commit = off
END

# Waits that end within the test; the lease must exceed the time limit of a request.
my $CONFIG = q(UPDATE wacta.config SET retry_base = '200 ms', retry_cap = '1 s', lease = '3 s', pitch_gap = '0');

# What the double does to requests, as shares of them.
my @REQUEST_FAULTS = (
	[ 0.01,  do => 'reset', when => 'before_body' ],
	[ 0.01,  do => 'reset', taken => JSON::PP::false ],
	[ 0.01,  do => 'reset', taken => JSON::PP::true ],
	[ 0.01,  do => 'close', taken => JSON::PP::true ],
	[ 0.005, do => 'hang',  taken => JSON::PP::false ],
	[ 0.005, do => 'hang',  taken => JSON::PP::true ],
	[ 0.01,  do => 'partial' ],
	[ 0.005, do => 'partial', end => 'stall' ],
	[ 0.01,  do => 'malformed' ],
	[ 0.005, do => 'malformed', taken => JSON::PP::false ],
	[ 0.002, do => 'oversized', bytes => 4 << 20 ],
	[ 0.005, do => 'redirect' ],
	[ 0.01,  do => 'late', ms => 600 ],
	[ 0.005, do => 'late', ms => 1500 ],
	[ 0.01,  do => 'delay', ms => 300 ],
	[ 0.005, do => 'drip', ms => 20, bytes => 40 ],
	[ 0.01,  do => 'fail_later' ],
	[ 0.02,  do => 'error', status => 503 ],
	[ 0.01,  do => 'error', status => 500, code => 131000 ],
	[ 0.005, do => 'error', status => 400 ],
	[ 0.005, do => 'error', status => 400, code => 131026 ],
	[ 0.004, do => 'error', status => 400, code => 131050 ],
	[ 0.002, do => 'error', status => 400, code => 130429 ],
	[ 0.001, do => 'error', status => 429, retry_after => 1 ],
	[ 0.001, do => 'error', status => 401, code => 190 ],
	[ 0.001, do => 'error', status => 400, code => 132015 ]);

# What the relay does to requests.
my %NETWORK_FAULTS = (cut_before => 0.01, cut_within => 0.01, cut_after => 0.01, cut_answer => 0.01,
	mute_before => 0.005, mute_after => 0.005, slow => 0.01);

# Webhooks are lost, repeated and late, so that not every doubt is settled by them.
my @WEBHOOK_FAULTS = (
	{ match => { probability => 0.4 }, lose => JSON::PP::true },
	{ match => { probability => 0.2 }, repeat => 1 },
	{ match => { probability => 0.2 }, delay_ms => 1000 });

# start(seed => ..., clients => 3, pause => 0.06, harder => 1): harder multiplies the shares of requests.
sub start
{
	my ($class, %arg) = @_;
	my $self = bless { seed => 1, clients => 3, pause => 0.06, harder => 1, %arg, later => [], thaws => [], tended => 0 }, $class;
	srand($self->{seed} += 0);               # a number, also when it comes from the environment
	my $tmp = $self->{tmp} = PostgreSQL::Test::Utils::tempdir();
	$self->{network} = Wacta::Faults::Network->start($self->{seed});
	my $hosts = $self->{network}->hosts;
	$self->{site} = Wacta::Site->start('crm', journal => "$tmp/journal", conf => $CONF . "wacta.allowed_hosts = '$hosts'\n");
	$self->{server} = Wacta::Faults::Server->new($self->{site}->node, 'crm');
	$self->{tally} = Wacta::Faults::Tally->new($self);
	$self->_configure;
	$self->_prepare_double;
	$self->{network}->chance(map { $_ => $NETWORK_FAULTS{$_} * $self->{harder} } keys %NETWORK_FAULTS);
	$self->_start_clients;
	return $self;
}

sub site    { return $_[0]->{site} }
sub double  { return $_[0]->{site}->double }
sub server  { return $_[0]->{server} }
sub network { return $_[0]->{network} }
sub tally   { return $_[0]->{tally} }
sub journal { return "$_[0]->{tmp}/journal" }
sub ledger  { return "$_[0]->{tmp}/ledger" }

# Two senders of different providers behind the relay.
sub _configure
{
	my ($self) = @_;
	my $site = $self->{site};
	$self->{network}->relay_to($self->double->port);
	$site->node->append_conf('postgresql.conf', 'wacta.couriers_per_database = 2');
	$site->node->reload;
	$site->sql($CONFIG);
	$site->sql(sprintf q(SELECT wacta.add_channel('second', 'tata', base_url => '%s')), $self->{network}->url);
	$site->sql("SELECT wacta.set_credential_file('second', '$_', '$_')") for qw(access_token webhook_key);
	$self->_set_url($self->{network}->url);
	# Where channels have a rate of their own, it is not what is tested here.
	$site->sql(q(UPDATE wacta.channel SET max_rate = NULL))
	  if $site->sql(q(SELECT count(*) FROM information_schema.columns
			WHERE table_schema = 'wacta' AND table_name = 'channel' AND column_name = 'max_rate'));
	$self->{templates} = $self->double->get('templates');
	return;
}

# The double has forgotten all but its journal when it was killed.
sub _prepare_double
{
	my ($self) = @_;
	my $double = $self->double;
	$double->post('settings', { seed => $self->{seed}, journal => { limit => 1000, body_limit => 0 },
		webhooks => { url => $self->{site}->gateway->url . '/webhook/whatsapp/integration/',
			statuses => [ { status => 'delivered', delay_ms => 100 } ] } });
	$double->post('templates', { %{$_}{qw(name language category components)} }) for @{ $self->{templates} };
	return if $self->{finished};
	$double->post('faults', [ map { $self->_rule(@$_) } @REQUEST_FAULTS ]);
	$double->post('webhook-rules', \@WEBHOOK_FAULTS);
	return;
}

# Each rule has a seed of its own, and another one after each restart of the double.
sub _rule
{
	my ($self, $share, %fault) = @_;
	return { %fault, match => { kind => 'message', probability => $share * $self->{harder} }, seed => int rand 1 << 31 };
}

sub _start_clients
{
	my ($self) = @_;
	my $node = $self->{site}->node;
	$self->{running} = [ map {
		Wacta::Faults::Client->start(number => $_, seed => $self->{seed} + $_, ledger => $self->ledger,
			connection => $node->connstr('crm'), pause => $self->{pause}) } 0 .. $self->{clients} - 1 ];
	return;
}

# Every kind of fault that is not a single request's; what each one does is below.
my @KINDS = qw(kill_courier kill_inbox kill_backend kill_helper kill_launcher kill_postmaster kill_at_claim kill_at_settle
  terminate_courier terminate_inbox terminate_backend terminate_launcher freeze_courier restart_fast restart_immediate
  kill_double kill_gateway line_blackhole line_reset line_refuse lookup_slow lookup_failed);

# round(until): each kind once, often before the cluster has recovered from the one before; until that time at most.
sub round
{
	my ($self, $until) = @_;
	for my $kind (shuffle @KINDS)
	{
		return if defined $until && time > $until;
		$self->_strike($kind);
		$self->_wait(0.1 + rand 0.4);
		$self->_wait_back if rand() < 0.7;
	}
	return;
}

# What finds no server to strike waits for it.  Faults of the network are counted where they strike, by each connection.
sub _strike
{
	my ($self, $kind) = @_;
	my $method = "_$kind";
	for my $try (1 .. 3)
	{
		my $struck = $self->$method;
		printf "%.3f %s %s\n", time, $kind, $struck ? 'struck' : 'missed';
		$self->{tally}->add($kind) if $struck && $kind !~ /^(line|lookup)_/;
		return if $struck;
		$self->_wait_back;
	}
	return;
}

# The kinds that have not struck.
sub missing
{
	my ($self) = @_;
	my $count = $self->{tally}->counts;
	return grep { !$count->{$_} } @KINDS;
}

# A fault of the network strikes only where there was a connection to strike: each kind that has not, a few times more.
sub strike_missing
{
	my ($self) = @_;
	for my $try (1 .. 5)
	{
		for my $kind ($self->missing)
		{
			$self->_wait_back;
			$self->_strike($kind);
			$self->_wait(1);
		}
	}
	return;
}

# --- The cluster

sub _crash
{
	my ($self, $condition) = @_;
	my $pid = $self->{server}->pick("SELECT pid FROM pg_stat_activity WHERE $condition ORDER BY random() LIMIT 1") or return 0;
	kill 'KILL', $pid or return 0;
	$self->{tally}->crashed;
	return 1;
}

sub _kill_courier  { return $_[0]->_crash(q(backend_type = 'wacta courier')) }
sub _kill_inbox    { return $_[0]->_crash(q(backend_type = 'wacta inbox')) }
sub _kill_launcher { return $_[0]->_crash(q(backend_type = 'wacta launcher')) }
sub _kill_backend  { return $_[0]->_crash(q(backend_type = 'client backend' AND pid <> pg_backend_pid())) }
sub _kill_helper   { return $_[0]->_crash(q(backend_type IN ('checkpointer', 'background writer', 'walwriter'))) }

# Both steps are too short to be met by chance: a lock of ours holds them open.  The credential is read after a channel has
# changed, between claim and request; the attempt is written by the settle.
sub _kill_at_claim
{
	my ($self) = @_;
	return $self->_crash_at_lock('wacta.credential IN ACCESS EXCLUSIVE MODE', 'UPDATE wacta.channel SET name = name');
}

sub _kill_at_settle
{
	my ($self) = @_;
	return $self->_crash_at_lock('wacta.attempt IN SHARE MODE');
}

sub _crash_at_lock
{
	my ($self, @how) = @_;
	$self->{server}->kill_at_lock(@how) or return 0;
	$self->{tally}->crashed;
	return 1;
}

sub _kill_postmaster
{
	my ($self) = @_;
	$self->{server}->kill_postmaster or return 0;
	$self->{tally}->crashed;
	$self->{server}->start;
	return 1;
}

sub _terminate
{
	my ($self, $condition) = @_;
	return ($self->{server}->ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE $condition
		ORDER BY random() LIMIT 1") // '') eq 't';
}

sub _terminate_courier  { return $_[0]->_terminate(q(backend_type = 'wacta courier')) }
sub _terminate_inbox    { return $_[0]->_terminate(q(backend_type = 'wacta inbox')) }
sub _terminate_launcher { return $_[0]->_terminate(q(backend_type = 'wacta launcher')) }
sub _terminate_backend  { return $_[0]->_terminate(q(backend_type = 'client backend' AND pid <> pg_backend_pid())) }

# A courier that does not run, perhaps for longer than its lease, and then goes on as if nothing had been.  A process of its
# own lets it go on, for we may be waiting for a lock that it holds.
sub _freeze_courier
{
	my ($self) = @_;
	my $pid = $self->{server}->pick(q(SELECT pid FROM wacta.courier_status() WHERE pid IS NOT NULL ORDER BY random() LIMIT 1))
	  or return 0;
	my $seconds = 0.5 + rand 4;
	kill 'STOP', $pid or return 0;
	my $thaw = fork // die "could not fork: $!";
	if ($thaw == 0)
	{
		sleep $seconds;
		kill 'CONT', $pid;
		POSIX::_exit(0);
	}
	push @{ $self->{thaws} }, $thaw;
	return 1;
}

sub _restart
{
	my ($self, $mode) = @_;
	$self->{tally}->crashed;
	return $self->{server}->restart($mode);
}

sub _restart_fast      { return $_[0]->_restart('fast') }
sub _restart_immediate { return $_[0]->_restart('immediate') }

# --- What it talks to

sub _kill_double
{
	my ($self) = @_;
	$self->double->stop('KILL');
	$self->_wait(rand 0.5);
	$self->double->again;
	$self->_prepare_double;
	return 1;
}

sub _kill_gateway
{
	my ($self) = @_;
	$self->{site}->gateway->stop('KILL');
	$self->_wait(rand 0.5);
	$self->{site}->gateway->again;
	return 1;
}

sub _line
{
	my ($self, $mode, $seconds) = @_;
	$self->{network}->mode($mode);
	$self->_wait($seconds);
	$self->{network}->mode('pass');
	return 1;
}

sub _line_blackhole { return $_[0]->_line('blackhole', 0.2 + rand 1) }
sub _line_reset     { return $_[0]->_line('reset',     0.1 + rand 0.4) }
sub _line_refuse    { return $_[0]->_line('refuse',    0.1 + rand 0.4) }

# For a while the senders' name has to be looked up.
sub _lookup
{
	my ($self, $how) = @_;
	$self->_set_url($self->{network}->url_of($how)) or return 0;
	$self->_later(0.7, sub { $self->_set_url($self->{network}->url) });
	return 1;
}

# Within the time limit of a connection, or not.
sub _lookup_slow   { return $_[0]->_lookup(rand() < 0.5 ? 'slow250' : 'slow900') }
sub _lookup_failed { return $_[0]->_lookup('fail') }

sub _set_url
{
	my ($self, $url) = @_;
	return defined $self->{server}->ask("UPDATE wacta.channel SET base_url = '$url'");
}

# --- Time goes on

sub _later
{
	my ($self, $seconds, $do) = @_;
	push @{ $self->{later} }, { at => time + $seconds, do => $do };
	return;
}

sub _wait
{
	my ($self, $seconds) = @_;
	my $end = time + $seconds;
	do
	{
		$self->_do_due;
		sleep 0.02;
	} while (time < $end);
	return;
}

sub _do_due
{
	my ($self) = @_;
	my @due = grep { $_->{at} <= time } @{ $self->{later} };
	$self->{later} = [ grep { my $item = $_; !grep { $_ == $item } @due } @{ $self->{later} } ];
	$_->{do}->() for @due;
	return if time - $self->{tended} < 1;
	$self->{tended} = time;
	$self->_tend;
	return;
}

# As an operator would: what the provider's errors have stopped goes on.  The address is set again in case that failed.
sub _tend
{
	my ($self) = @_;
	$self->{server}->ask(q(SELECT wacta.resume_channel(name) FROM wacta.channel WHERE status <> 'active' AND paused_until IS NULL));
	$self->{server}->ask(q(UPDATE wacta.template SET held_reason = NULL WHERE held_reason IS NOT NULL));
	$self->_set_url($self->{network}->url) unless @{ $self->{later} };
	return;
}

sub _wait_back
{
	my ($self) = @_;
	my $end = time + $PostgreSQL::Test::Utils::timeout_default;
	until ($self->{server}->is_back)
	{
		die 'the cluster has not come back' if time > $end;
		$self->_wait(0.05);
	}
	return;
}

# --- The end: no more faults, and all that can leave leaves

sub finish
{
	my ($self) = @_;
	$self->{finished} = 1;
	$self->{later} = [];
	waitpid $_, 0 for @{ $self->{thaws} };
	ok(!(grep { !$_->stop } @{ $self->{running} }), 'the clients have ended as they should');
	$self->{network}->mode('pass');
	$self->{network}->chance;
	$self->double->del($_) for qw(faults webhook-rules);
	$self->_wait_back;
	$self->{server}->ask(q(UPDATE wacta.config SET message_ttl = '3 days'));
	wait_for('all that was queued has left', sub { $self->_tend; $self->{server}->is_drained }, 120);
	ok($self->double->get('wait?idle=1&timeout_ms=30000')->{reached}, 'and the double is idle');
	return;
}

1;
