# The way of a template, for real: a model writes it, the courier submits it, the provider reviews it, a webhook approves it, and it is sent.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Wacta;
use Wacta::Model;
use Wacta::Site;

my $token = 'sk-TheModelsTokenOfTheTest0123456789';
my $site = Wacta::Site->start('crm');
$site->sql(q(UPDATE wacta.channel SET account_id = '102290129340398'));

my $good = $site->sql(q(SELECT jsonb_set(wacta.generate_template('Palm Residency'), '{components,0,text}', '"Hello {{1}}, the first flats of *{{2}}* are ready for you to see."')));
my $bad = $good =~ s/"Interested"/"Interested \\u2705"/r;
my $model = Wacta::Model->start("Certainly!\n```json\n$bad\n```", $good);

# --- Written by a model, mended once
$model->attach($site, $token);
$site->sql(q(SELECT wacta.write_template('Palm Residency', 'Say that the first flats are ready')));
$site->wait_sql(q(SELECT string_agg(status, ' ' ORDER BY request_id) FROM wacta.outbound_request), 'failed done', 'what the provider would refuse is mended');
my @asked = $model->asked;
is(scalar @asked, 2, 'the model was asked twice');
like($asked[0]{head}, qr{^POST /v1/chat/completions .*^authorization: Bearer $token\r$}msi, 'at its path, with its token');
is($asked[0]{body}{model}, 'small-1', 'by its name');
is(scalar @{ $asked[1]{body}{messages} }, 4, 'the second time with its own answer and what was wrong');
like($asked[1]{body}{messages}[3]{content}, qr/emoji/, 'in words');
is($site->sql(q(SELECT name || ' ' || status FROM wacta.template WHERE for_project IS NOT NULL)), 'project_update_template_2 DRAFT', 'a draft of the next version is there');

# --- Submitted; it is no message, and nothing is sent with it yet
my $id = $site->sql(q(SELECT template_id FROM wacta.template WHERE status = 'DRAFT'));
$site->double->post('settings', { templates => { review_ms => 300 } });
$site->sql("SELECT wacta.submit_template($id)");
$site->wait_sql("SELECT status FROM wacta.outbound_request WHERE template_id = $id AND kind = 'submit_template'", 'done', 'the provider took it');
is($site->sql(q(SELECT count(*) FROM wacta.message)), '0', 'no message was made for it');
my ($sent) = grep { $_->{path} =~ m{/102290129340398/message_templates$} } @{ $site->double->journal };
ok($sent, 'it went to the account\'s management API');

# --- Approved by webhook: the project's template from now on
$site->wait_sql("SELECT status FROM wacta.template WHERE template_id = $id", 'APPROVED', 'the review\'s end comes by webhook');
is($site->sql("SELECT template_id FROM wacta.project WHERE name = 'Palm Residency'"), $id, 'the project has it');
$site->post_call('+919876511111', 'call-1');
$site->sql('SELECT count(*) FROM wacta.process_ivr()');
$site->wait_sql(q(SELECT status FROM wacta.message), 'read', 'a message is sent with it');
like($site->double->inbox('919876511111')->[0]{rendered}{body}, qr/first flats of/, 'and says what the model wrote');

# --- A template that the provider refuses is a draft again, with its reason
my $twin = $site->sql(q(SELECT wacta.save_template(wacta.generate_template('Palm Residency', '{"name": "once_more"}'))));
$site->double->post('templates', { name => 'once_more', language => 'en', category => 'MARKETING',
	components => decode_json($site->sql("SELECT components FROM wacta.template WHERE template_id = $twin")) });
$site->sql("SELECT wacta.submit_template($twin)");
$site->wait_sql("SELECT status FROM wacta.outbound_request WHERE template_id = $twin", 'failed', 'a name that is taken is refused');
like($site->sql("SELECT status || ' ' || status_reason FROM wacta.template WHERE template_id = $twin"), qr/^DRAFT .*already/, 'and told in the provider\'s words');

unlike(slurp_file($site->node->logfile), qr/\Q$token\E/, 'the model\'s token is in no log');
unlike($site->sql('SELECT string_agg(r::text, \' \') FROM wacta.outbound_request r'), qr/\Q$token\E/, 'and in no row');
done_testing();
