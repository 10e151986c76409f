# The request list of test/requests/ against deploy/nginx.conf as it is shipped, with a double of PostgREST behind it (test/postgrest/): what the
# proxy makes of requests and answers, and that its logs hold no token.
use strict;
use warnings;
use File::Basename;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Requests;

plan skip_all => 'nginx is not here' unless grep { -x "$_/nginx" } my @path = (split(/:/, $ENV{PATH}), '/usr/sbin');
my ($nginx) = grep { -x } map { "$_/nginx" } @path;
my $here = dirname(__FILE__);
my $dir = PostgreSQL::Test::Utils::tempdir();
my $secret = 'a secret of tests, thirty-two characters long';
my $node = wacta_node('main');

sub write_file { my ($name, $text) = @_; append_to_file("$dir/$name", $text); return "$dir/$name" }

# The lines of postgrest.conf that the double has options for are taken from there.
sub start_postgrest
{
	my %conf = slurp_file("$here/../../deploy/postgrest.conf") =~ /^([\w-]+) = "?(.*?)"?$/mg;
	like($conf{'db-uri'}, qr/user=wacta_postgrest/, 'postgrest.conf names the login');
	is($conf{'log-level'}, 'crit', 'and logs no request');
	$node->safe_psql('crm', q(CREATE ROLE wacta_postgrest LOGIN NOINHERIT; GRANT wacta_anon, wacta_agent, wacta_admin TO wacta_postgrest;
		ALTER ROLE wacta_postgrest SET lock_timeout = '300ms'));
	$node->safe_psql('crm', "SELECT wacta.set_session_secret('$secret')");
	return Wacta::Process->start('postgrest', command => [ 'node', "$here/../postgrest/double.js", '--schema', $conf{'db-schemas'}, '--anon-role', $conf{'db-anon-role'},
			'--db', $node->connstr('crm') . ' user=wacta_postgrest', '--secret-file', write_file('jwt', "$secret\n") ],
		ready => sub { my ($self) = @_; $self->{port} = ($self->log_text =~ /"port":(\d+)/)[0] });
}

# The shipped file with other addresses, names of files and a certificate of ours, and plain HTTP beside TLS; each line that is changed must be there.
sub site_conf
{
	my ($port, $tls_port, $upstream) = @_;
	my $text = slurp_file("$here/../../deploy/nginx.conf");
	for my $change ([ qr/listen 80;/ => 'listen 127.0.0.1:' . free_port() . ';' ], [ qr/listen 443 ssl http2;/ => "listen 127.0.0.1:$port; listen 127.0.0.1:$tls_port ssl http2;" ],
		[ qr/server 127\.0\.0\.1:3000;/ => "server 127.0.0.1:$upstream;" ], [ qr{/var/log/nginx/} => "$dir/" ],
		[ qr{/etc/letsencrypt/\S*fullchain\.pem} => "$dir/cert.pem" ], [ qr{/etc/letsencrypt/\S*privkey\.pem} => "$dir/key.pem" ])
	{
		ok($text =~ s/$change->[0]/$change->[1]/g, "nginx.conf has $change->[0]");
	}
	# A machine may have no IPv6.
	return $text =~ s/^\s*listen \[::\].*\n//mgr;
}

sub nginx_conf
{
	my ($site) = @_;
	my $temp = join '', map { "  ${_}_temp_path $dir/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi);
	return "daemon off;\nworker_processes 1;\npid $dir/pid;\nerror_log $dir/error.log;\nevents { worker_connections 512; }\n"
	  . "http {\n  include /etc/nginx/mime.types;\n  default_type application/octet-stream;\n$temp  include $site;\n}\n";
}

sub start_nginx
{
	my ($upstream) = @_;
	my ($port, $tls_port) = (free_port(), free_port());
	system_or_bail('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
		'-keyout', "$dir/key.pem", '-out', "$dir/cert.pem");
	my $conf = write_file('nginx.conf', nginx_conf(write_file('site.conf', site_conf($port, $tls_port, $upstream))));
	my $self = Wacta::Process->start('nginx', command => [ $nginx, '-p', $dir, '-e', "$dir/error.log", '-c', $conf ],
		ready => sub { -s "$dir/pid" && IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") });
	@$self{qw(url tls_url)} = ("http://127.0.0.1:$port", "https://127.0.0.1:$tls_port");
	return $self;
}

# What the gateway has in its table of routes, nginx has in its maps: each route with its methods, each function at a place.
sub test_routes
{
	my ($nginx) = @_;
	my $source = slurp_file("$here/../../src/gateway/routes.c");
	my $conf = slurp_file("$here/../../deploy/nginx.conf");
	my @routes = $source =~ /^\t\{"([^"]+)", (\S+), (\S+), ([^}]+)\}/mg;
	cmp_ok(scalar @routes, '>=', 4 * 20, 'routes.c has its routes');
	while (my ($pattern, $get, $post, $flags) = splice @routes, 0, 4)
	{
		my @methods = ($get eq 'NULL' ? () : $flags =~ /GET_WRITES/ ? 'GET' : qw(GET HEAD), $post eq 'NULL' ? () : 'POST');
		my $answer = HTTP::Tiny->new->request('OPTIONS', $nginx->{url} . $pattern =~ s/\{.*?\}/1/gr . '/');
		my $allow = $flags =~ /METRICS/ ? '404' : join ', ', 'OPTIONS', @methods;
		is($answer->{headers}{allow} // $answer->{status}, $allow, "$pattern as the gateway has it");
	}
	like($conf, qr{/call/[\w-]+/$_\b}, "nginx calls $_") for $source =~ /^\t\t"(\w+)",\n\t\t"SELECT wacta_api\./mg;
	return;
}

# Nobody else's business, whatever was asked and however it ended.
sub test_logs
{
	my ($list) = @_;
	my @lines = split /\n/, slurp_file("$dir/wacta.log");
	my @read = map { eval { decode_json($_) } // {} } @lines;
	cmp_ok(scalar @lines, '>', 100, 'each request has its line');
	is(scalar(grep { defined $_->{status} && defined $_->{route} } @read), scalar @lines, 'of JSON');
	ok((grep { $_->{route} eq '/t/{token}' && $_->{method} eq 'POST' } @read), 'with the pattern of its route');
	for my $name (qw(yes no seed now app_secret verify_token tata_key ivr_key password agent_token))
	{
		my $value = $list->{vars}{$name} // BAIL_OUT("the list has no $name");
		my @files = grep { index(slurp_file($_), $value) >= 0 } grep { -f } glob("$dir/*.log"), map { $_->{log} } @_[1 .. $#_];
		is("@files", '', "no log has $name");
	}
	return;
}

# PostgREST is gone: people get a page, programs an error, both a time to come again.
sub test_down
{
	my ($nginx, $postgrest) = @_;
	$postgrest->stop;
	my $http = HTTP::Tiny->new(max_redirect => 0);
	my $page = $http->get("$nginx->{url}/t/x", { headers => { accept => 'text/html,*/*' } });
	is_deeply([ @$page{qw(status)}, @{ $page->{headers} }{qw(content-type retry-after cache-control)} ], [ 503, 'text/html; charset=utf-8', 2, 'no-store' ], 'without PostgREST people get a page');
	like($page->{content}, qr/try again/, 'that says so');
	my $json = $http->get("$nginx->{url}/health/");
	is_deeply([ @$json{qw(status)}, @{ $json->{headers} }{qw(content-type retry-after)} ], [ 503, 'application/json; charset=utf-8', 2 ], 'programs an error');
	return;
}

# Passwords are few, whoever asks: the form's page is not.
sub test_limits
{
	my ($nginx) = @_;
	my $http = HTTP::Tiny->new(max_redirect => 0);
	my %count;
	for (1 .. 40)
	{
		my $answer = $http->post_form("$nginx->{url}/login/", { username => 'nobody', password => 'x' });
		$count{ $answer->{status} }++;
		is($answer->{headers}{'retry-after'}, 2, 'a limit says when to come again') if $answer->{status} == 429 && $count{429} == 1;
	}
	cmp_ok($count{429} // 0, '>=', 10, 'guesses at passwords are limited');
	cmp_ok($count{403} // 0, '>=', 5, 'after some');
	is($http->get("$nginx->{url}/health/")->{status}, 200, 'others are answered');
	return;
}

my $postgrest = start_postgrest();
my $front = start_nginx($postgrest->{port});
test_routes($front);
my @files = sort glob "$here/../requests/*.requests";
my $list = Wacta::Requests->new(url => $front->{url}, door => 'postgrest', db => $node->connstr('crm'));
$list->run(@files);
test_logs($list, $postgrest, $front);
# As browsers ask
Wacta::Requests->new(url => $front->{tls_url}, door => 'postgrest', db => $node->connstr('crm'), curl => [ '--http2', '--insecure' ])->run(grep { /site|links/ } @files);
test_limits($front);
test_down($front, $postgrest);
is($front->stop('QUIT'), 0, 'nginx stops');
done_testing();
