'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const { PHONE_ID, WABA_ID, CUSTOMER, MESSAGES, VISIT, text, urlButton, bodyWith, visit, metaBody, startDouble, request } = require('./testing');

function assertError(res, code, details, status) {
  assert.equal(res.json && res.json.error && res.json.error.code, code, res.text);
  assert.match(JSON.stringify(res.json.error), details);
  assert.ok(res.json.error.fbtrace_id);
  if (status) assert.equal(res.status, status);
}

test('a template send is accepted in Meta\'s words', async (t) => {
  const d = await startDouble(t);
  const res = await d.send();
  assert.equal(res.status, 200);
  assert.equal(res.json.messaging_product, 'whatsapp');
  assert.deepEqual(res.json.contacts, [{ input: CUSTOMER, wa_id: '919876500010' }]);
  assert.match(res.json.messages[0].id, /^wamid\.[A-Za-z0-9+/]+=*$/);
  const entry = await d.lastEntry();
  assert.equal(entry.taken, true);
  assert.equal(entry.callback, 'wacta:1');
  assert.equal(entry.rendered.body, 'Hello Asha, would you like to see Lake View with your family this weekend or the next?');
  assert.equal(entry.rendered.buttons[1].url, 'https://example.com/i/tok_1');
  assert.equal(entry.rendered.buttons[2].url, 'https://example.com/n/tok_2');
});

test('tokens and ids', async (t) => {
  const d = await startDouble(t, { settings: { meta: { tokens: ['right'], phone_number_ids: [PHONE_ID] } } });
  const as = (authorization, path = MESSAGES) => d.post(path, metaBody(), { authorization });
  assertError(await as(''), 190, /Invalid OAuth access token/, 401);
  assertError(await as('Bearer wrong'), 190, /Cannot parse access token/, 401);
  const unknown = await as('Bearer right', '/v23.0/999/messages');
  assertError(unknown, 100, /Object with ID '999' does not exist/, 400);
  assert.equal(unknown.json.error.error_subcode, 33);
  assert.equal(unknown.json.error.type, 'GraphMethodException');
  assert.equal((await as('Bearer right')).status, 200);
});

test('envelope fields', async (t) => {
  const d = await startDouble(t);
  assertError(await d.post(MESSAGES, '{"messaging_product":'), 100, /not valid JSON/, 400);
  assertError(await d.post(MESSAGES, '[]'), 100, /not a JSON object/);
  assertError(await d.send({ messaging_product: undefined }), 100, /The parameter messaging_product is required/);
  assertError(await d.send({ to: undefined }), 100, /The parameter to is required/);
  assertError(await d.send({ to: 919876500010 }), 100, /Param to must be a string/);
  for (const to of ['nobody', '+12', '+9198765000101234567']) assertError(await d.send({ to }), 131009, /phone number is malformed/);
  assertError(await d.send({ biz_opaque_callback_data: 'x'.repeat(513) }), 100, /at most 512 characters/);
  assert.equal((await d.send({ biz_opaque_callback_data: 'x'.repeat(512) })).status, 200);
  assertError(await d.send({ type: 'fax' }), 100, /Param type must be one of/);
  assertError(await d.send({ template: undefined }), 131008, /Parameter 'template' is mandatory/);
});

test('a bare ten-digit number gets the country code; a BSUID stands for a number', async (t) => {
  const d = await startDouble(t);
  assert.equal((await d.send({ to: '98765 00010' })).json.contacts[0].wa_id, '919876500010');
  const res = await d.send({ to: undefined, recipient: 'IN.13491208655302741918' });
  assert.equal(res.json.contacts[0].user_id, 'IN.13491208655302741918');
  assertError(await d.send({ to: undefined, recipient: 'someone' }), 131009, /business-scoped/);
});

test('templates that cannot be sent', async (t) => {
  const d = await startDouble(t);
  const sending = (change) => d.send({ template: visit(change) });
  assertError(await sending({ name: 'nowhere' }), 132001, /template name \(nowhere\) does not exist in en/, 404);
  assertError(await sending({ language: { code: 'hi' } }), 132001, /does not exist in hi/);
  assertError(await sending({ language: undefined }), 100, /template\['language'\] is required/);
  assertError(await sending({ language: {} }), 100, /\['code'\] is required/);
  for (const [status, code] of [['PENDING', 132001], ['REJECTED', 132001], ['PAUSED', 132015], ['DISABLED', 132016]]) {
    await d.control('POST', 'template-status', { name: 'visit', language: 'en', status });
    assertError(await d.send(), code, /./);
  }
});

test('parameters', async (t) => {
  const d = await startDouble(t);
  const buttons = [urlButton('1', 'a'), urlButton('2', 'b')];
  const withBody = (...values) => d.send({ template: visit({ components: [bodyWith(...values), ...buttons] }) });
  assertError(await withBody('one'), 132000, /body: number of localizable_params \(1\) does not match the expected number of params \(2\)/);
  assertError(await withBody('a', 'b', 'c'), 132000, /\(3\)/);
  assertError(await withBody('', 'b'), 131008, /missing text value/);
  for (const bad of ['a\nb', 'a\tb', 'a     b']) assertError(await withBody(bad, 'b'), 132018, /new-line\/tab characters/);
  assert.equal((await withBody('a    b', 'b')).status, 200);
  assertError(await withBody('x'.repeat(1000), 'b'), 132005, /Translated text too long/);
  assertError(await d.send({ template: visit({ components: buttons }) }), 132000, /\(0\)/);
});

test('URL buttons', async (t) => {
  const d = await startDouble(t);
  const body = bodyWith('a', 'b');
  const withButtons = (...buttons) => d.send({ template: visit({ components: [body, ...buttons] }) });
  const second = urlButton('2', 'b');
  assertError(await withButtons(second), 131008, /buttons: Button at index 1 of type Url requires a parameter/);
  assertError(await withButtons(urlButton('0', 'a'), second), 132012, /Button at index 0 is of type QuickReply/);
  assertError(await withButtons(urlButton('7', 'a'), second), 100, /Button at index 7 does not exist/);
  assertError(await withButtons(urlButton('first', 'a'), second), 100, /index must be a whole number/);
  for (const bad of ['a b', 'a:b', 'a|b', 'Gonçalves', '100%']) {
    assertError(await withButtons(urlButton('1', bad), second), 131009, /not percent-encoded/);
  }
  assert.equal((await withButtons(urlButton('1', 'Gon%C3%A7alves'), second)).status, 200);
  assertError(await withButtons(urlButton('1', 'x'.repeat(1990)), second), 131009, /longer than 2000/);
  assert.equal((await withButtons(urlButton('1', '123?token=a&action=b'), second)).status, 200);
  await d.control('POST', 'settings', { checks: { url_parameter: 'strict' } });
  assertError(await withButtons(urlButton('1', '123?token=a&action=b'), second), 131009, /not percent-encoded/);
});

test('a document header needs its document', async (t) => {
  const d = await startDouble(t);
  const sending = (document) => d.send({
    template: {
      name: 'brochure', language: { code: 'en' },
      components: [{ type: 'header', parameters: [{ type: 'document', document }] }, { type: 'body', parameters: [text('Asha')] }],
    },
  });
  assert.equal((await sending({ link: 'https://example.com/b.pdf', filename: 'b.pdf' })).status, 200);
  assertError(await sending({ filename: 'b.pdf' }), 100, /document\['link'\] or document\['id'\]/);
  assertError(await d.send({ template: { name: 'brochure', language: { code: 'en' }, components: [bodyWith('Asha')] } }),
    132012, /header: Format mismatch, expected DOCUMENT, received UNKNOWN/);
});

test('free-form messages only within the window', async (t) => {
  const d = await startDouble(t);
  const say = () => d.send({ type: 'text', text: { body: 'Hello' } });
  assertError(await say(), 131047, /more than 24 hours have passed/);
  await d.control('POST', 'inbound', { from: CUSTOMER, text: 'Hi' });
  assert.equal((await say()).status, 200);
  await d.control('POST', 'windows', { from: CUSTOMER, age_hours: 25 });
  assertError(await say(), 131047, /Re-engagement message/);
});

test('free-form contents', async (t) => {
  const d = await startDouble(t, { settings: { checks: { window: false } } });
  const button = (id, title) => ({ type: 'reply', reply: { id, title } });
  const interactive = (buttons) => d.send({ type: 'interactive', interactive: { type: 'button', body: { text: 'Well?' }, action: { buttons } } });
  assert.equal((await interactive([button('y', 'Yes'), button('n', 'No')])).status, 200);
  assertError(await interactive([]), 131009, /Invalid buttons count/);
  assertError(await interactive([button('y', 'A title of more than twenty')]), 131009, /Button title length/);
  const url = await d.send({ type: 'interactive', interactive: { type: 'cta_url', body: { text: 'Look' }, action: { name: 'cta_url', parameters: { display_text: 'Open', url: 'https://example.com' } } } });
  assert.equal(url.status, 200);
  assert.equal((await d.send({ type: 'document', document: { link: 'https://example.com/b.pdf' } })).status, 200);
  assertError(await d.send({ type: 'document', document: { filename: 'b.pdf' } }), 100, /document\['link'\] or document\['id'\] is required/);
  assertError(await d.send({ type: 'text', text: { body: '' } }), 100, /text\['body'\] is required/);
});

test('who said stop gets no marketing until resume', async (t) => {
  const d = await startDouble(t);
  await d.control('POST', 'preferences', { from: CUSTOMER, value: 'stop' });
  assertError(await d.send(), 131050, /chosen to stop receiving marketing/);
  await d.control('POST', 'preferences', { from: CUSTOMER, value: 'resume' });
  assert.equal((await d.send()).status, 200);
});

test('the template endpoint creates, lints, reviews and lists', async (t) => {
  const d = await startDouble(t);
  const path = `/v23.0/${WABA_ID}/message_templates`;
  const made = await d.post(path, { ...VISIT, name: 'visit_again' });
  assert.equal(made.status, 200);
  assert.deepEqual({ ...made.json, id: '' }, { id: '', status: 'APPROVED', category: 'MARKETING' });
  const again = await d.post(path, { ...VISIT, name: 'visit_again' });
  assertError(again, 100, /already/);
  assert.equal(again.json.error.error_subcode, 2388024);
  const adjacent = { ...VISIT, name: 'adjacent', components: [{ type: 'BODY', text: 'Dear {{1}}{{2}}, we are glad to see you here again.', example: { body_text: [['a', 'b']] } }] };
  assert.equal((await d.post(path, adjacent)).json.status, 'REJECTED');
  const listed = await request(`${d.url}${path}?name=visit_again`, { headers: { authorization: 'Bearer x' }, agent: d.agent });
  assert.deepEqual(listed.json.data.map((x) => x.name), ['visit_again']);
});
