# Chromium as a test drives it: by the DevTools protocol over a pipe, so that no
# port is opened and nothing but Perl's own modules is needed.
#
#   my $browser = Wacta::Browser->start(width => 390, height => 844, dark => 1);
#   $browser->go($url);
#   $browser->until('document.title === "Green Acres"');
#   $browser->click('button[type=submit]');
#
# It keeps what a page must not do: $browser->complaints (policy violations and
# script errors) and $browser->requested (every URL that was asked for).
package Wacta::Browser;

use strict;
use warnings;
use Errno qw(EINTR);
use Fcntl qw(F_DUPFD);
use File::Basename;
use File::Temp;
use IO::Handle;
use IO::Select;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);

my $patience = $ENV{PG_TEST_TIMEOUT_DEFAULT} || 60;
my $json = JSON::PP->new->utf8->allow_nonref;

# The program, or nothing where there is none.
sub program
{
	for my $name (qw(chromium chromium-browser google-chrome))
	{
		for my $dir (split /:/, $ENV{PATH})
		{
			return "$dir/$name" if -x "$dir/$name";
		}
	}
	return;
}

# start(width => 390, height => 844, dark => 0, script => 1)
sub start
{
	my ($class, %option) = @_;
	my $self = bless { id => 0, events => [], requested => [], complaints => [], buffer => '',
		profile => File::Temp->newdir }, $class;
	$self->_launch;
	my $target = $self->_call('', 'Target.createTarget', { url => 'about:blank' })->{targetId};
	$self->{session} = $self->_call('', 'Target.attachToTarget',
		{ targetId => $target, flatten => JSON::PP::true })->{sessionId};
	$self->command("$_.enable") for qw(Page Runtime Log Network);
	$self->command('Emulation.setDeviceMetricsOverride', { width => $option{width} // 1280,
		height => $option{height} // 900, deviceScaleFactor => 1, mobile => JSON::PP::false });
	$self->command('Emulation.setEmulatedMedia', { features => [
		{ name => 'prefers-color-scheme', value => $option{dark} ? 'dark' : 'light' } ] });
	$self->command('Emulation.setScriptExecutionDisabled',
		{ value => $option{script} // 1 ? JSON::PP::false : JSON::PP::true });
	return $self;
}

# Chromium reads commands from descriptor 3 and writes to descriptor 4.
sub _launch
{
	my ($self) = @_;
	pipe(my $its_in, my $our_out) && pipe(my $our_in, my $its_out) or die "could not make pipes: $!";
	my $log = "$self->{profile}/chromium.log";
	$self->{pid} = fork // die "could not fork: $!";
	if (!$self->{pid})
	{
		# first out of the way of each other, then into their places
		my ($in, $out) = map { fcntl($_, F_DUPFD, 10) } $its_in, $its_out;
		POSIX::dup2($in, 3);
		POSIX::dup2($out, 4);
		open STDOUT, '>', $log;
		open STDERR, '>&', \*STDOUT;
		$ENV{HOME} = "$self->{profile}";
		exec program(), qw(--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
		  --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars
		  --disable-dev-shm-usage --remote-debugging-pipe), "--user-data-dir=$self->{profile}/data", 'about:blank'
		  or POSIX::_exit(127);
	}
	close $_ for $its_in, $its_out;
	binmode $_ for $our_in, $our_out;
	$our_out->autoflush(1);
	@$self{qw(in out)} = ($our_in, $our_out);
	return;
}

# command(method, { parameters }): its result; an error of the browser dies.
sub command { my ($self, $method, $with) = @_; return $self->_call($self->{session}, $method, $with); }

sub _call
{
	my ($self, $session, $method, $with) = @_;
	my $id = ++$self->{id};
	local $SIG{PIPE} = 'IGNORE';
	print { $self->{out} } $json->encode({ id => $id, method => $method, params => $with // {},
		$session ? (sessionId => $session) : () }), "\0" or die "the browser has ended: $!";
	my $end = time + $patience;
	while (1)
	{
		my $message = $self->_read($end) // die "$method: no answer within $patience s";
		next unless defined $message->{id} && $message->{id} == $id;
		die "$method: $message->{error}{message}" if $message->{error};
		return $message->{result};
	}
}

# One message; events are looked at on the way.
sub _read
{
	my ($self, $end) = @_;
	my $length;
	while (($length = index $self->{buffer}, "\0") < 0)
	{
		my $left = $end - time;
		return if $left <= 0 || !IO::Select->new($self->{in})->can_read($left);
		my $got = sysread $self->{in}, $self->{buffer}, 65536, length $self->{buffer};
		die 'the browser has ended' unless $got || (!defined $got && $! == EINTR);
	}
	my $message = $json->decode(substr $self->{buffer}, 0, $length);
	substr $self->{buffer}, 0, $length + 1, '';
	$self->_event($message->{method}, $message->{params}) if $message->{method};
	return $message;
}

sub _event
{
	my ($self, $name, $with) = @_;
	push @{ $self->{requested} }, $with->{request}{url} if $name eq 'Network.requestWillBeSent';
	push @{ $self->{complaints} }, $with->{entry}{text}
	  if $name eq 'Log.entryAdded' && $with->{entry}{source} =~ /^(security|violation|javascript)$/;
	push @{ $self->{complaints} }, $with->{exceptionDetails}{exception}{description} // $with->{exceptionDetails}{text}
	  if $name eq 'Runtime.exceptionThrown';
	$self->{loaded} = 1 if $name eq 'Page.loadEventFired';
	return;
}

# go(url): until the page has loaded.
sub go
{
	my ($self, $url) = @_;
	$self->{loaded} = 0;
	my $went = $self->command('Page.navigate', { url => $url });
	die "$url: $went->{errorText}" if $went->{errorText};
	my $end = time + $patience;
	until ($self->{loaded})
	{
		$self->_read($end) // die "$url did not load within $patience s";
	}
	return $self;
}

# value(expression): what it is in the page; promises are waited for.
sub value
{
	my ($self, $expression) = @_;
	my $got = $self->command('Runtime.evaluate',
		{ expression => $expression, returnByValue => JSON::PP::true, awaitPromise => JSON::PP::true });
	die "$expression: $got->{exceptionDetails}{exception}{description}" if $got->{exceptionDetails};
	my $value = $got->{result}{value};
	return ref $value && JSON::PP::is_bool($value) ? ($value ? 1 : 0) : $value;
}

# until(expression): polls; true when it became true. A page may change meanwhile.
sub until
{
	my ($self, $expression, $seconds) = @_;
	my $end = time + ($seconds // $patience);
	while (time < $end)
	{
		return 1 if eval { $self->value($expression) };
		die $@ if $@ =~ /has ended/;
		sleep 0.05;
	}
	return 0;
}

# click(selector): with the mouse, where a person would.
sub click
{
	my ($self, $selector) = @_;
	my $at = $self->value(sprintf q{(function () { const e = document.querySelector(%s); if (!e) return null;
		e.scrollIntoView({ block: 'center', behavior: 'instant' }); const r = e.getBoundingClientRect();
		return { x: r.x + r.width / 2, y: r.y + r.height / 2 }; })()}, JSON::PP->new->allow_nonref->encode($selector))
	  or die "there is no $selector";
	$self->command('Input.dispatchMouseEvent', { type => $_, button => 'left', clickCount => 1, %$at })
	  for qw(mousePressed mouseReleased);
	return;
}

# type(text): into what has the focus; key('Enter'), key('Tab'): one key.
sub type { my ($self, $text) = @_; $self->command('Input.insertText', { text => $text }); return; }

sub key
{
	my ($self, $key) = @_;
	my %code = (Enter => 13, Tab => 9);
	my %press = (key => $key, code => $key, windowsVirtualKeyCode => $code{$key}, $key eq 'Enter' ? (text => "\r") : ());
	$self->command('Input.dispatchKeyEvent', { type => 'keyDown', %press });
	$self->command('Input.dispatchKeyEvent', { type => 'keyUp', key => $key, code => $key });
	return;
}

# look(width, height, dark): as another device shows it, from the next page on.
sub look
{
	my ($self, $width, $height, $dark) = @_;
	$self->command('Emulation.setDeviceMetricsOverride', { width => $width, height => $height, deviceScaleFactor => 1, mobile => JSON::PP::false });
	$self->command('Emulation.setEmulatedMedia', { features => [ { name => 'prefers-color-scheme', value => $dark ? 'dark' : 'light' } ] });
	return;
}

# The accessibility checker, axe-core, where npm has brought it.
my $checker = dirname(__FILE__) . '/../../axe/node_modules/axe-core/axe.min.js';

sub has_checker { return -e $checker; }

# What it finds serious, as one text; it is given to the page from outside, which the policy does not forbid.
sub findings
{
	my ($self) = @_;
	$self->command('Emulation.setScriptExecutionDisabled', { value => JSON::PP::false });
	open my $in, '<:encoding(UTF-8)', $checker or die "$checker: $!";
	$self->value(do { local $/; <$in> } . '; 1');
	return $self->value(q{axe.run(document, { preload: false }).then(function (found) {
		return found.violations.filter(function (v) { return v.impact === 'serious' || v.impact === 'critical'; })
			.map(function (v) { return v.id + ': ' + v.nodes.map(function (n) { return n.html; }).join(' '); }).join('; '); })});
}

# What the pages did that they must not, and every URL they asked for.
sub complaints { return @{ $_[0]->{complaints} }; }
sub requested  { return @{ $_[0]->{requested} }; }

sub stop
{
	my ($self) = @_;
	my $pid = delete $self->{pid} or return;
	local ($?, $!, $@);
	eval { $self->_call('', 'Browser.close') };
	close $_ for grep { $_ } delete @$self{qw(in out)};
	for my $signal (0, 'TERM', 'KILL')
	{
		kill $signal, $pid if $signal;
		for (1 .. 40)
		{
			return if waitpid($pid, POSIX::WNOHANG()) != 0;
			sleep 0.05;
		}
	}
	return;
}

sub DESTROY { $_[0]->stop; return; }

1;
