# The request list of test/requests/ against the gateway.
use strict;
use warnings;
use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Requests;

my $node = wacta_node('main');
my $gateway = Wacta::Gateway->start($node, 'crm', arguments => [ '--lock-timeout', '300ms' ]);
my $dir = dirname(__FILE__) . '/../requests';
Wacta::Requests->new(url => $gateway->url, door => 'gateway', db => $node->connstr('crm'))->run(sort glob "$dir/*.requests");
command_ok([ $^X, "$dir/run", $gateway->url ], 'one command asks what may be asked of any site');
done_testing();
