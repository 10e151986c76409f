# JSON as a tree of its tokens, for tests that bend and break bodies: the order
# and the repetition of keys, and every number and string as it was written,
# survive reading and printing.  Nothing is decoded, so a token may be no JSON.
#
#   my $tree = read_json('{"a": [1e999, "\ud800"]}');
#   member($tree, 'a')->[1][0][1] = '-0';
#   print print_json($tree);
#
# A node is [ object => [ [ key, node ], ... ] ], [ array => [ node, ... ] ] or
# [ token => text ]; a key is a text with its quotes.
package Wacta::Json;

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(read_json print_json copy_json visit member token);

# read_json(bytes): the tree; what is no JSON dies.
sub read_json
{
	local $_ = $_[0];
	pos = 0;
	my $node = _node();
	/\G\s*\z/gc or die 'no JSON at byte ' . pos;
	return $node;
}

sub _node
{
	/\G\s+/gc;
	return [ object => _list('}', sub { [ _key(), _node() ] }) ] if /\G\{/gc;
	return [ array => _list(']', \&_node) ] if /\G\[/gc;
	return [ token => $1 ] if /\G("(?:[^"\\]|\\.)*"|[-+.\w]+)/gc;
	die 'no JSON at byte ' . (pos // 0);
}

sub _key
{
	/\G\s*("(?:[^"\\]|\\.)*")\s*:/gc or die 'no key at byte ' . pos;
	return $1;
}

sub _list
{
	my ($end, $element) = @_;
	my @list;
	return \@list if /\G\s*\Q$end\E/gc;
	do { push @list, $element->() } while /\G\s*,/gc;
	/\G\s*\Q$end\E/gc or die 'no end of a list at byte ' . pos;
	return \@list;
}

# print_json(tree, between): in one line, or with other white space between tokens.
sub print_json
{
	my ($node, $space) = @_;
	$space //= '';
	my ($kind, $value) = @$node;
	return $value if $kind eq 'token';
	return "[$space" . join(",$space", map { print_json($_, $space) } @$value) . "$space]" if $kind eq 'array';
	return "{$space" . join(",$space", map { "$_->[0]:$space" . print_json($_->[1], $space) } @$value) . "$space}";
}

sub copy_json
{
	my ($node) = @_;
	my ($kind, $value) = @$node;
	return [ token => $value ] if $kind eq 'token';
	return [ array => [ map { copy_json($_) } @$value ] ] if $kind eq 'array';
	return [ object => [ map { [ $_->[0], copy_json($_->[1]) ] } @$value ] ];
}

# visit(tree, sub (node, key)): every node, parents first; key: what it is called in
# its object, without quotes; an element of an array is called as the array is.
# Returns the tree.
sub visit
{
	my ($node, $what, $key) = @_;
	$what->($node, $key // '');
	my ($kind, $value) = @$node;
	return $node if $kind eq 'token';
	visit($kind eq 'array' ? ($_, $what, $key) : ($_->[1], $what, substr $_->[0], 1, -1)) for @$value;
	return $node;
}

# member(tree, name): the value of a key of an object, or nothing.
sub member
{
	my ($node, $name) = @_;
	return if $node->[0] ne 'object';
	my ($found) = grep { $_->[0] eq qq("$name") } @{ $node->[1] };
	return $found && $found->[1];
}

sub token { return [ token => $_[0] ] }

1;
