# Bodies that no provider would send, or would: samples with something wrong in their
# structure or in their bytes, JSON that is about nothing, and shapes that are costly.
#
#   my $bodies = Wacta::Fuzz::Bodies->new($seed);
#   my $body = $bodies->body(4711);     # { provider, kind, body }: the same for the same seed and number
package Wacta::Fuzz::Bodies;

use strict;
use warnings;
no warnings 'recursion';
use Exporter 'import';
use Wacta::Inbound qw(samples);
use Wacta::Json;

our @EXPORT_OK = qw(nested);

sub new
{
	my ($class, $seed) = @_;
	my $self = bless { seed => $seed, samples => [ samples() ] }, $class;
	my %key;
	for my $sample (@{ $self->{samples} })
	{
		$sample->{tree} = eval { read_json($sample->{body}) };
		visit($sample->{tree}, sub { push @{ $key{ $_[1] } }, $_[0] }) if $sample->{tree};
	}
	@$self{qw(nodes keys)} = (\%key, [ sort keys %key ]);
	return $self;
}

sub pick { return $_[ rand @_ ] }
sub maybe { return rand() < $_[0] }

sub body
{
	my ($self, $n) = @_;
	srand(($self->{seed} * 7919 + $n * 104_729) % 2_147_483_647);
	my $sample = pick(@{ $self->{samples} });
	my %case = (provider => $sample->{provider}, kind => $sample->{kind});
	my $how = pick(('structure') x 60, ('bytes') x 14, ('both') x 8, ('made') x 8, ('splice') x 6, ('costly') x 2, ('untouched') x 2);
	$case{body} = $self->_of($how, $sample);
	$case{body} = $self->_bytes($case{body}) if $how eq 'both';
	# what is sent to another door than its own
	@case{qw(provider kind)} = @{ pick(@{ $self->{samples} }) }{qw(provider kind)} if maybe(0.06);
	$case{provider} = pick(qw(meta tata 360dialog gupshup)) if $case{kind} ne 'ivr' && maybe(0.3);
	$case{provider} = pick(qw(smartflo exotel knowlarity ozonetel twilio acefone)) if $case{kind} eq 'ivr' && maybe(0.1);
	return \%case;
}

sub _of
{
	my ($self, $how, $sample) = @_;
	return $sample->{body} if $how eq 'untouched';
	return $self->_bytes($sample->{body}) if $how eq 'bytes';
	return print_json($self->_made(0)) if $how eq 'made';
	return costly($sample->{kind}) if $how eq 'costly';
	return form($self->_form($sample)) unless $sample->{tree};
	my $tree = copy_json($sample->{tree});
	return $self->_splice($tree) if $how eq 'splice';
	$self->_change($tree) for 1 .. pick(1, 1, 1, 2, 2, 3, 5);
	return print_json($tree, pick('', '', '', ' ', "\n\t"));
}

# --- Values that have hurt somebody before
my @numbers = ('0', '-0', '-1', '1', '1e999999', '-1e999999', '1e-999999', '1E+308', '9' x 400, '0.' . '1' x 400, '2147483648', '-2147483649',
	'9223372036854775808', '18446744073709551616', '9e18', '1754300000', '1754300000000', '1754300000000000', '99999999999999', '253402300800', '1.5', '00', '+1',
	'0x10', '1_000', 'NaN', 'Infinity', '-Infinity', 'nan', '.5', '1.', '1e', '--1', '');
my @strings = map { qq("$_") } ('', ' ', '0', '-1', '1e999999', 'NaN', 'infinity', '-infinity', 'null', 'true', '[]', '{}', '\u0000', 'a\u0000b', '\ud800', '\udc00\ud800', '\ud83d\ude00',
	'\u202e\u202dSTOP', '\u200f\u0623\u0631\u0642\u0627\u0645', '\ufeff', '\uffff\ufffe', '\u0001\u001f\u007f', "\xff\xfe", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80", "\x00", "\x01\x02", "a\nb\tc",
	'%s%n%d%x', '$1 $2 $$', '%%I %L', q(' OR 1=1 --), q('; DROP TABLE wacta.lead; --), q(\\\\'), '\"\"\"', '\\\\', '\\\\u0000', '../../etc/passwd', '<script>alert(1)<\/script>', '{{7*7}}', '__proto__', 'constructor',
	"\xe0\xa4\xac\xe0\xa4\x82\xe0\xa4\xa6", "\xf0\x9f\x87\xae\xf0\x9f\x87\xb3", "Z\xcc\x81\xcc\x82\xcc\x83" x 30, 'x' x 300, 'x' x 5000, '9' x 300, '+' x 30, '1e5', '0x1F', '1,000', "\xd9\xa1\xd9\xa2\xd9\xa3", "\xc2\xa0", "\xe2\x80\x8b");
my @times = ('0', '-1', '1', '"0"', '"-1"', '"1754300000"', '1754300000', '1754300000000', '"1754300000000"', '"1754300000.123456789"', '9000000000000000000', '"9000000000000000000"', '99999999999', '999999999', '"9999999999999"',
	'1e300', '"2026-13-45"', '"2026-08-04T10:00:00+99:99"', '"2026-08-04 25:61:61"', '"0001-01-01 00:00:00 BC"', '"294277-01-01 00:00:00+00"', '"infinity"', '"epoch"', '"now"', '"allballs"', '"24:00"', '"Wed, 31 Feb 2022 12:31:59"', '"10"', '"+1"', '"J2451187"', '"1970-01-01 05:30:00"', 'null', '{}', '[]');
my @persons = ('"16505551234"', '"+16505551234"', '"919876500010"', '16505551234', '"0"', '""', '"abc"', '"1111111111111"', '"' . '9' x 60 . '"', '" 16505551234 "', '"16505551234@s.whatsapp.net"', '"tel:+16505551234"', '"US.13491208655302741918"', '"US.ENT.' . 'x' x 400 . '"', '"+"', '"++1"', '"0091 98765 00010"',
	'null', '{}', '["16505551234"]', '1e11', '-16505551234', '"\u0000"', '"anonymous"', '"+91\u0000"', "\"\xd9\xa9\xd9\xa1\"", '"Restricted"', '"%2B16505551234"');
my @ids = ('"wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI0QUQ2MjA4NEYyRkExNjMyREUA"', '"wamid.unknown"', '""', '"wacta:outbox:4711"', '"wacta:outbox:4712"', '"wacta:outbox:0"', '"wacta:outbox:-4711"', '"wacta:outbox:99999999999999999999"', '"wacta:outbox:999999999999999999"', '"wacta:outbox: 4711"', '"wacta:outbox:4711\n"', '"wacta:outbox:0004711"', '4711', 'null', '{}', '[]', '"' . 'w' x 4000 . '"');
my @states = map { qq("$_") } (qw(sent delivered read failed played deleted enqueued in_orbit SENT Failed warning pending accepted queued sending suppressed in_doubt cancelled), '');
my @events = map { qq("$_") } qw(APPROVED REJECTED PAUSED DISABLED FLAGGED REINSTATED PENDING_DELETION LIMIT_EXCEEDED DOWNGRADE UPGRADE UNFLAGGED ONBOARDING ACCOUNT_RESTRICTION ACCOUNT_VIOLATION ACCOUNT_DELETED DISABLED_UPDATE VERIFIED_ACCOUNT PARTNER_REMOVED GREEN YELLOW RED UNKNOWN);
my @fields = map { qq("$_") } qw(messages statuses message_template_status_update message_template_quality_update template_category_update message_template_components_update phone_number_quality_update phone_number_name_update account_update account_alerts account_review_update
	account_settings_update business_capability_update user_preferences security calls history smb_message_echoes group_lifecycle_update unknown_field);
my @codes = map { ($_, qq("$_")) } qw(131050 132015 131026 131049 130429 131048 368 190 0 -1 999999999 99999999999 1e3 1.5);
my @said = map { qq("$_") } ('STOP', 'start', 'Interested', 'Not Interested', 'UNSUBSCRIBE', ' stop. ', "\xe0\xa4\xac\xe0\xa4\x82\xe0\xa4\xa6", '\u0938\u094d\u091f\u0949\u092a', 'hello', 'x' x 5000, '!' x 4000, '\u2705' x 300);

# What stands under such keys, most of the time.
my @special = (
	[ qr/stamp|time|expir|date/i, \@times ], [ qr/wa_id|from|recipient|phone|caller|called|number|customer|destination|user_id|To$/i, \@persons ],
	[ qr/^(id|message_id|callid|call_id|CallSid|uuid|gs_?id|.*callback_data)$/i, \@ids ], [ qr/status|type$/i, \@states ], [ qr/event|quality|category|value|decision|reason/i, \@events ],
	[ qr/^field$/, \@fields ], [ qr/code/, \@codes ], [ qr/body|text|title|payload|digits/i, \@said ]);

sub value_for
{
	my ($key) = @_;
	for my $special (@special)
	{
		return token(pick(@{ $special->[1] })) if $key =~ $special->[0] && maybe(0.7);
	}
	return token(pick(pick(@numbers), pick(@strings), pick(qw(true false null)), pick(@said)));
}

# --- Structure
sub nested
{
	my ($depth, $kind, $inside) = @_;
	return token($kind eq 'array' ? '[' x $depth . $inside . ']' x $depth : '{"a":' x $depth . $inside . '}' x $depth);
}

my %change = (
	value => sub { my ($self, $node, $key) = @_; @$node = @{ value_for($key) } },
	empty => sub { my ($self, $node) = @_; @$node = @{ pick([ array => [] ], [ object => [] ], token('null'), token('""')) } },
	elsewhere => sub { my ($self, $node) = @_; @$node = @{ copy_json(pick(@{ $self->{nodes}{ pick(@{ $self->{keys} }) } })) } },
	same_key => sub { my ($self, $node, $key) = @_; my $of = $self->{nodes}{$key} or return; @$node = @{ copy_json(pick(@$of)) } },
	wrap => sub { my ($self, $node) = @_; my $was = [@$node]; @$node = @{ pick([ array => [$was] ], [ object => [ [ '"data"', $was ] ] ], [ array => [ $was, copy_json($was) ] ]) } },
	unwrap => sub { my ($self, $node) = @_; return if $node->[0] eq 'token' || !@{ $node->[1] }; my $in = pick(@{ $node->[1] }); @$node = @{ $node->[0] eq 'array' ? $in : $in->[1] } },
	as_string => sub { my ($self, $node) = @_; my $text = print_json($node); $text =~ s/(["\\])/\\$1/g; @$node = (token => qq("$text")) },
	as_number => sub { my ($self, $node) = @_; @$node = (token => $1) if $node->[0] eq 'token' && $node->[1] =~ /^"([1-9]\d{0,30})"$/ },
	drop => sub { my ($self, $node) = @_; splice @{ $node->[1] }, rand @{ $node->[1] }, 1 if $node->[0] ne 'token' && @{ $node->[1] } },
	again => sub { my ($self, $node) = @_; push @{ $node->[1] }, ($node->[1][ rand @{ $node->[1] } ]) x pick(1, 1, 2, 20, 200) if $node->[0] eq 'array' && @{ $node->[1] } },
	same_key_twice => sub { my ($self, $node) = @_; push @{ $node->[1] }, [ pick(@{ $node->[1] })->[0], value_for('') ] if $node->[0] eq 'object' && @{ $node->[1] } },
	add => sub { my ($self, $node) = @_; push @{ $node->[1] }, map { [ qq("$_"), maybe(0.5) && $self->{nodes}{$_} ? copy_json(pick(@{ $self->{nodes}{$_} })) : value_for($_) ] } pick(@{ $self->{keys} }) if $node->[0] eq 'object' },
	rename => sub { my ($self, $node) = @_; pick(@{ $node->[1] })->[0] = pick('""', '"__proto__"', '"constructor"', '" id "', '"ID"', '"a\u0000"', "\"\xff\"", pick(@strings), map { qq("$_") } pick(@{ $self->{keys} })) if $node->[0] eq 'object' && @{ $node->[1] } },
	shuffle => sub { my ($self, $node) = @_; @{ $node->[1] } = sort { $a < $b } @{ $node->[1] } if $node->[0] ne 'token' },
	deep => sub { my ($self, $node) = @_; @$node = @{ nested(int 10**(1 + rand 3), pick(qw(array object)), pick('1', '"x"', '', '{}')) } },
	long => sub { my ($self, $node) = @_; @$node = (token => '"' . pick('x', '9', '\u0000', "\xe0\xa4\xac", ' ', '\"') x int(10**(2 + rand 2.7)) . '"') });
my @changes = sort keys %change;

sub _change
{
	my ($self, $tree) = @_;
	my @nodes;
	visit($tree, sub { push @nodes, [@_] });
	my ($node, $key) = @{ pick(@nodes) };
	my $how = pick(('value') x 8, @changes, grep { !/deep|long/ } @changes);
	$change{$how}->($self, $node, $key);
	return;
}

# A subtree of one sample in the place of one with that name in another.
sub _splice
{
	my ($self, $tree) = @_;
	my @nodes;
	visit($tree, sub { push @nodes, [@_] if $_[1] ne '' });
	for (1 .. pick(1, 2, 4))
	{
		my ($node, $key) = @{ pick(@nodes) };
		@$node = @{ copy_json(pick(@{ $self->{nodes}{$key} })) };
	}
	return print_json($tree);
}

# JSON of the words that we know, about nothing.
sub _made
{
	my ($self, $depth) = @_;
	my $kind = $depth > 6 ? 'token' : pick(qw(object object array token));
	return value_for(pick(@{ $self->{keys} })) if $kind eq 'token' && $depth > 0;
	return [ array => [ map { $self->_made($depth + 1) } 1 .. rand 4 ] ] if $kind eq 'array';
	return [ object => [ map { [ qq("$_"), $self->_made($depth + 1) ] } map { pick(@{ $self->{keys} }) } 1 .. 1 + rand 4 ] ];
}

# --- Bytes
my @bytes = ("\0", "\xff", '"', '\\', '{', '}', '[', ']', ',', ':', '%', '&', '=', '+', ' ', "\n", "\r\n", '\u0000', '\ud800', "\xef\xbb\xbf", 'null', '1e999999', "\xf0\x9f", '/*', '//', "'", ';');

sub _bytes
{
	my ($self, $bytes) = @_;
	for (1 .. pick(1, 1, 2, 4, 16))
	{
		my $at = int rand(1 + length $bytes);
		my $some = int rand 30;
		pick(
			sub { substr $bytes, $at, 0, pick(@bytes) },
			sub { substr $bytes, $at, 1, chr int rand 256 if $at < length $bytes },
			sub { substr $bytes, $at, 1, substr($bytes, $at, 1) ^ chr(1 << rand 8) if $at < length $bytes },
			sub { substr $bytes, $at, $some, '' },
			sub { substr $bytes, $at, 0, substr($bytes, int rand(1 + length $bytes), $some) },
			sub { substr $bytes, $at, 0, join '', map { chr int rand 256 } 1 .. $some },
			sub { $bytes = substr $bytes, 0, $at },
			sub { $bytes .= pick(@{ $self->{samples} })->{body} },
			sub { $bytes = "\xef\xbb\xbf$bytes" },
			sub { $bytes = join '', map { pack 'n', ord } split //, $bytes },
			sub { $bytes =~ tr/"/'/ })->();
	}
	return $bytes;
}

# --- Forms
sub _form
{
	my ($self, $sample) = @_;
	my @pairs = map { [ split /=/, $_, 2 ] } split /&/, $sample->{body};
	for (1 .. pick(1, 2, 4))
	{
		my $pair = pick(@pairs);
		my $value = value_for($pair->[0])->[1] =~ s/^"(.*)"$/$1/sr;
		pick(
			sub { $pair->[1] = $value },
			sub { $pair->[1] = $value =~ s/([^A-Za-z0-9])/sprintf '%%%02X', ord $1/ger },
			sub { push @pairs, [ $pair->[0], $value ] },
			sub { $pair->[0] = pick('', '%00', '%', '%zz', '%F', '+', $pair->[0] . '%20', $pair->[0] . '[]', "$pair->[0]\[a][b]", pick(@{ $self->{keys} })) },
			sub { $#$pair = 0 },
			sub { @pairs = grep { $_ != $pair } @pairs; @pairs = ($pair) unless @pairs },
			sub { $pair->[1] = pick('%00', '%ff%fe', '%C0%80', '%ED%A0%80', '%', '%4', '%%%', '%u0041', '%2525', '&&&&', '=====', ';a=b') })->();
	}
	return \@pairs;
}

sub form { return join pick('&', '&', '&', '&&', '&&&'), map { join '=', @$_ } @{ $_[0] } }

# --- Shapes that cost where something is done for each of each
sub costly
{
	my ($kind) = @_;
	my $many = pick(100, 300, 1000);
	my $person = '"from": "9198765' . int(10000 + rand 90000) . '"';
	return pick(
		sub { '{"statuses": [' . join(',', map { qq({"id": "wamid.many.$_", "status": "sent", "timestamp": "1754300000"}) } 1 .. $many) . ']}' },
		sub { '{"statuses": [' . join(',', map { qq({"id": "w", "status": "failed", "timestamp": $_, "errors": [{"code": 131026}], "biz_opaque_callback_data": "wacta:outbox:4711"}) } 1 .. $many) . ']}' },
		sub { '{"messages": [' . join(',', map { qq({$person, "id": "wamid.$_", "type": "text", "text": {"body": "hello $_"}}) } 1 .. $many / 4) . ']}' },
		sub { '{"entry": [' . join(',', ('{"changes": [{"field": "messages", "value": {"statuses": 1}}]}') x $many) . ']}' },
		sub { '{"entry": [{"changes": [{"field": "messages", "value": {"contacts": [' . join(',', map { qq({"wa_id": "9198765$_"}) } 1 .. $many) . '], "messages": [' . join(',', map { qq({"from": "91987650$_", "id": "c.$_", "type": "text", "text": {"body": "x"}}) } 10000 .. 10000 + $many / 10) . ']}}]}]}' },
		sub { '{' . join(',', map { qq("key $_": "$_") } 1 .. $many * 10) . '}' },
		sub { '[' . join(',', ('{"call_id": "1"}') x ($many / 5)) . ']' },
		sub { join '&', map { "k$_=%41+%42" } 1 .. $many * 3 },
		sub { 'a=' . '%41' x ($many * 20) },
		sub { nested($many * 10, pick(qw(array object)), '1')->[1] },
		sub { '{"data": ' x ($many * 5) . '{"statuses": []}' . '}' x ($many * 5) })->();
}

1;
