# The same news in other words: what a provider may do to a body without changing
# what it says.  Each variant of a body must lead to the same rows.
#
#   for my $variant (variants($kind, $provider, $bytes)) { $variant->{name}, $variant->{bodies} }
#
# bodies: what is sent, one after the other; provider: who sends it instead.
package Wacta::Variants;

use strict;
use warnings;
use Exporter 'import';
use Wacta::Json;

our @EXPORT = qw(variants);

# What Meta sends as arrays, and Tata and Gupshup partly as objects.
my %array = map { $_ => 1 } qw(entry changes statuses messages contacts user_preferences errors);
my %time = map { $_ => 1 } qw(timestamp time);

# Of any body: a sub that changes a copy of the tree, or returns another tree.
my %of_any = (
	'keys in reverse order' => sub { visit($_[0], sub { @{ $_[0][1] } = reverse @{ $_[0][1] } if $_[0][0] eq 'object' }) },
	'keys it has not had before' => sub {
		visit($_[0], sub { push @{ $_[0][1] }, [ '"x_later"', token('{"a": [1, null]}') ] if $_[0][0] eq 'object' });
	},
	'in a list' => sub { [ array => [ $_[0] ] ] },
	'strings of \u escapes' => sub { escape_strings($_[0], qr/[^"\\]/s) },
	'slashes escaped' => sub { escape_strings($_[0], qr{/}, '\\/') });

my %of_whatsapp = (
	'in data' => sub { envelope(data => $_[0]) },
	'in payload' => sub { envelope(payload => $_[0]) },
	'in a list in data' => sub { envelope(data => [ array => [ $_[0] ] ]) },
	'single elements without their arrays' => sub {
		each_member($_[0], sub { my ($key, $node) = @_;
			return $array{$key} && $node->[0] eq 'array' && @{ $node->[1] } == 1 ? $node->[1][0] : $node });
	},
	'times as numbers' => sub { change_times($_[0], sub { "$_[0]" }) },
	'times as strings' => sub { change_times($_[0], sub { qq("$_[0]") }) },
	'times in milliseconds' => sub { change_times($_[0], sub { $_[0] . '000' }) },
	'times in milliseconds, as strings' => sub { change_times($_[0], sub { qq("$_[0]000") }) },
	'codes as strings' => sub {
		each_member($_[0], sub { my ($key, $node) = @_;
			return $key eq 'code' && $node->[1] =~ /^\d+$/ ? token(qq("$node->[1]")) : $node });
	});

# Objects as one-element arrays, where Meta has arrays and Tata has not.
my %of_tata = (
	'objects in arrays' => sub {
		each_member($_[0], sub { my ($key, $node) = @_;
			return $array{$key} && $node->[0] eq 'object' ? [ array => [$node] ] : $node });
	},
	'in the envelope of Meta' => sub {
		read_json('{"entry": [{"id": "1", "changes": [{"field": "messages", "value": ' . print_json($_[0]) . '}]}]}');
	});

my %of_meta = (
	'without the envelope of Meta' => sub {
		my ($entry) = map { @{ $_->[1] } } grep { $_ } member($_[0], 'entry') or return;
		my ($change) = @{ member($entry, 'changes')->[1] };
		my ($value, $field) = map { member($change, $_) } qw(value field);
		return $value if $field->[1] eq '"messages"' && (member($value, 'statuses') || member($value, 'messages'));
		return;
	});

my %of_call = (
	'in data' => sub { envelope(data => $_[0]) },
	'spaces after the keys' => sub { each_key($_[0], sub { $_[0] =~ s/"$/ "/r }) },
	'digits as numbers' => sub {
		each_member($_[0], sub { $_[1][1] =~ /^"([1-9]\d{0,17})"$/ ? token($1) : $_[1] });
	});

# Of bytes, whatever they are.
my %of_bytes = (
	'a byte order mark' => sub { "\xEF\xBB\xBF$_[0]" },
	'white space around it' => sub { " \r\n\t$_[0]\r\n \n" },
	'lines that end in CR LF' => sub { $_[0] =~ s/\r?\n/\r\n/gr });

sub envelope { my ($key, $node) = @_; return [ object => [ [ qq("$key"), $node ] ] ]; }

# Every member of every object: the node that stands for it.
sub each_member
{
	my ($tree, $change) = @_;
	visit($tree, sub {
		my ($node) = @_;
		return if $node->[0] ne 'object';
		$_->[1] = $change->(substr($_->[0], 1, -1), $_->[1]) for @{ $node->[1] };
	});
	return $tree;
}

sub each_key
{
	my ($tree, $change) = @_;
	visit($tree, sub { my ($node) = @_; if ($node->[0] eq 'object') { $_->[0] = $change->($_->[0]) for @{ $node->[1] } } });
	return $tree;
}

sub change_times
{
	my ($tree, $change) = @_;
	return each_member($tree, sub { my ($key, $node) = @_;
		return $time{$key} && $node->[1] =~ /^"?(\d{10})"?$/ ? token($change->($1)) : $node });
}

# The characters of all strings and keys that are in a class, as UTF-16 escapes or as told.
sub escape_strings
{
	my ($tree, $class, $with) = @_;
	my $escape = sub {
		my ($token) = @_;
		return $token if $token !~ /^"(.*)"$/s;
		utf8::decode(my $text = $1);
		return $token if $text =~ /\\/;      # what is escaped stays so
		$text =~ s/($class)/$with \/\/ join '', map { sprintf '\u%04X', $_ } unpack 'n*', pack_utf16($1)/ge;
		utf8::encode($text);
		return qq("$text");
	};
	visit($tree, sub {
		my ($node) = @_;
		$node->[1] = $escape->($node->[1]) if $node->[0] eq 'token';
		if ($node->[0] eq 'object') { $_->[0] = $escape->($_->[0]) for @{ $node->[1] } }
	});
	return $tree;
}

sub pack_utf16
{
	my $code = ord $_[0];
	return pack 'n', $code if $code < 0x10000;
	$code -= 0x10000;
	return pack 'nn', 0xD800 + ($code >> 10), 0xDC00 + ($code & 0x3FF);
}

# A form as JSON, and a flat body as a form.
sub as_form
{
	my ($tree) = @_;
	return join '&', map { join '=', map { s/([^A-Za-z0-9_.~ -])/sprintf '%%%02X', ord $1/ger =~ tr/ /+/r } @$_ }
	  map { [ substr($_->[0], 1, -1), $_->[1][0] eq 'token' ? unquote($_->[1][1]) : print_json($_->[1]) ] } @{ $tree->[1] };
}

sub as_json
{
	my ($form) = $_[0] =~ s/\s+\z//r;
	return '{' . join(', ', map { join ': ', map { '"' . (tr/+/ /r =~ s/%(..)/chr hex $1/ger =~ s/(["\\])/\\$1/gr) . '"' } split /=/, $_, 2 } split /&/, $form) . '}';
}

sub unquote { my ($token) = @_; return $token =~ s/^"(.*)"$/$1/sr =~ s/\\(.)/$1/gsr; }

sub variants
{
	my ($kind, $provider, $bytes) = @_;
	my $tree = eval { read_json($bytes) };
	my @variants = ({ name => 'twice', bodies => [ $bytes, $bytes ] }, { name => 'thrice', bodies => [ ($bytes) x 3 ] });
	push @variants, map { { name => $_, bodies => [ $of_bytes{$_}->($bytes) ] } } sort keys %of_bytes
	  if $tree || $kind ne 'ivr';
	if (!$tree)
	{
		push @variants, { name => 'as JSON', bodies => [ as_json($bytes) ] } if $kind eq 'ivr';
		return @variants;
	}
	my %of = (%of_any, $kind eq 'ivr' ? %of_call : %of_whatsapp, $provider eq 'tata' ? %of_tata : $provider eq 'meta' ? %of_meta : ());
	for my $name (sort keys %of)
	{
		my $copy = copy_json($tree);
		my $changed = $of{$name}->($copy) or next;
		push @variants, { name => $name, bodies => [ print_json($changed) ] };
	}
	push @variants, { name => 'white space between all tokens', bodies => [ print_json($tree, "\r\n\t ") ] };
	push @variants, { name => 'as a form', bodies => [ as_form($tree) ] } if $kind eq 'ivr';
	push @variants, { name => 'in the field data of a form', bodies => [ as_form(envelope(data => $tree)) ] } if $provider eq 'ozonetel';
	push @variants, { name => 'from 360dialog', bodies => [$bytes], provider => '360dialog' } if $provider eq 'meta';
	return @variants;
}

1;
