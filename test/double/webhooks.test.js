'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { startDouble, startReceiver, secretFile, CUSTOMER, PHONE_ID } = require('./testing');

const SECRET = 'app-secret-of-a-test';
const KEY = 'webhook-key-of-a-test';

async function setUp(t, { answers, webhooks = {}, ...settings } = {}) {
  const receiver = await startReceiver(t, answers);
  const d = await startDouble(t, {
    webhookUrl: receiver.url, appSecretFile: secretFile(t, SECRET), webhookKeyFile: secretFile(t, KEY),
    settings: { webhooks: { retry_ms: 5, concurrency: 1, ...webhooks }, ...settings },
  });
  return { d, received: receiver.received, idle: () => d.get('wait?idle=1') };
}

const valueOf = (hook) => hook.json.entry[0].changes[0].value;
const statusesOf = (received) => received.flatMap((hook) => valueOf(hook).statuses.map((s) => s.status));

test('sent, delivered, read: signed over the raw bytes', async (t) => {
  const { d, received, idle } = await setUp(t);
  const res = await d.send({ biz_opaque_callback_data: 'wacta/é:1' });
  await idle();
  assert.deepEqual(statusesOf(received), ['sent', 'delivered', 'read']);
  for (const hook of received) {
    const expected = 'sha256=' + crypto.createHmac('sha256', SECRET).update(hook.bytes).digest('hex');
    assert.equal(hook.headers['x-hub-signature-256'], expected);
    assert.ok(hook.bytes.includes('wacta\\/\\u00e9:1'), 'escaped as Meta does');
    assert.equal(hook.json.object, 'whatsapp_business_account');
    const value = valueOf(hook);
    assert.deepEqual(value.metadata, { display_phone_number: '15550783881', phone_number_id: PHONE_ID });
    const [status] = value.statuses;
    assert.equal(status.id, res.json.messages[0].id);
    assert.equal(status.recipient_id, '919876500010');
    assert.equal(status.biz_opaque_callback_data, 'wacta/é:1');
    assert.match(status.timestamp, /^\d{10}$/);
  }
});

test('a signature made by hand', () => {
  const { sign } = require('./meta');
  assert.equal(sign('key', 'The quick brown fox jumps over the lazy dog'),
    'sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8');
});

test('Tata: flattened, unsigned, with the key in a header', async (t) => {
  const { d, received, idle } = await setUp(t);
  await d.sendTata();
  await d.control('POST', 'inbound', { provider: 'tata', from: CUSTOMER, text: 'STOP' });
  await idle();
  const statuses = received.filter((hook) => hook.json.statuses);
  assert.equal(statuses.length, 3);
  for (const { json, headers } of statuses) {
    assert.equal(headers['x-hub-signature-256'], undefined);
    assert.equal(headers['x-wacta-key'], KEY);
    assert.match(json.statuses[0].id, /^wamid\./);
    assert.equal(json.statuses[0].custom_callback_data, 'wacta:1');
  }
  const { json } = received.find((hook) => hook.json.messages);
  assert.equal(json.messages.text.body, 'STOP');
  assert.deepEqual(Object.keys(json), ['contacts', 'messages', 'businessPhoneNumber', 'id', 'botId']);
});

test('each provider and kind can have its own URL', async (t) => {
  const { d, received, idle } = await setUp(t);
  const { url } = d.double.settings.webhooks;
  await d.control('POST', 'settings', { webhooks: { meta_url: url + '/meta', tata_status_url: url + '/statuses', tata_message_url: url + '/messages', statuses: [{ status: 'sent' }] } });
  await d.send();
  await d.sendTata();
  await d.control('POST', 'inbound', { provider: 'tata', from: CUSTOMER });
  await idle();
  assert.deepEqual(received.map((hook) => hook.path).sort(), ['/hook/messages', '/hook/meta', '/hook/statuses']);
});

test('non-2xx is retried, and given up in the end', async (t) => {
  const { d, received, idle } = await setUp(t, { answers: [500, 503], webhooks: { statuses: [{ status: 'sent' }] } });
  await d.send();
  await idle();
  assert.equal(received.length, 3);
  assert.ok(received[0].bytes.equals(received[2].bytes));
  assert.deepEqual((await d.get('webhooks')).deliveries[0].attempts.map((a) => a.status), [500, 503, 200]);
  await d.control('POST', 'settings', { webhooks: { url: 'http://127.0.0.1:1/', attempts: 2 } });
  await d.send();
  await idle();
  const { given_up: givenUp } = (await d.get('stats')).webhooks;
  assert.equal(givenUp, 1);
});

test('rules: lose, repeat, spoil', async (t) => {
  const { d, received, idle } = await setUp(t);
  await d.control('POST', 'webhook-rules', [
    { match: { status: 'delivered' }, lose: true, times: 1 },
    { match: { status: 'read', to: CUSTOMER }, repeat: 2, times: 1 },
    { match: { status: 'sent', nth: 2 }, signature: 'bad' },
    { match: { status: 'sent', nth: 2 }, signature: 'none' },
  ]);
  await d.send();
  await idle();
  assert.deepEqual(statusesOf(received).sort(), ['read', 'read', 'read', 'sent']);
  await d.send();
  await d.send();
  await idle();
  const good = (hook) => hook.headers['x-hub-signature-256'] === 'sha256=' + crypto.createHmac('sha256', SECRET).update(hook.bytes).digest('hex');
  assert.equal(received.filter((hook) => !good(hook) && /^sha256=[01]{64}$/.test(hook.headers['x-hub-signature-256'])).length, 1);
  assert.equal(received.filter((hook) => hook.headers['x-hub-signature-256'] === undefined).length, 1);
});

test('order: by plan, by rule, by chance', async (t) => {
  const { d, received, idle } = await setUp(t);
  const sendAndTake = async () => {
    received.length = 0;
    await d.send();
    await idle();
    return statusesOf(received);
  };
  const backwards = [{ status: 'read' }, { status: 'delivered', delay_ms: 40 }, { status: 'sent', delay_ms: 80 }];
  await d.control('POST', 'webhook-rules', { plan: backwards, times: 1 });
  assert.deepEqual(await sendAndTake(), ['read', 'delivered', 'sent']);
  assert.deepEqual(await sendAndTake(), ['sent', 'delivered', 'read']);
  await d.control('POST', 'settings', { webhooks: { statuses: backwards } });
  assert.deepEqual(await sendAndTake(), ['read', 'delivered', 'sent']);
  await d.control('POST', 'settings', { webhooks: { shuffle: true } });
  assert.deepEqual((await sendAndTake()).sort(), ['delivered', 'read', 'sent']);
});

test('batches', async (t) => {
  const { d, received, idle } = await setUp(t, { webhooks: { batch_max: 100, batch_wait_ms: 30, statuses: [{ status: 'sent' }] } });
  await Promise.all([1, 2, 3, 4, 5].map((i) => d.send({ biz_opaque_callback_data: `wacta:${i}` })));
  await idle();
  assert.equal(received.length, 1);
  assert.equal(valueOf(received[0]).statuses.length, 5);
});

test('inbound: text, quick reply, interactive reply', async (t) => {
  const { d, received, idle } = await setUp(t, { webhooks: { statuses: [] } });
  const sent = (await d.send()).json.messages[0].id;
  const inbound = async (body) => {
    received.length = 0;
    await d.control('POST', 'inbound', { from: CUSTOMER, ...body });
    await idle();
    return valueOf(received[0]);
  };
  const said = await inbound({ text: 'Hello' });
  assert.deepEqual(said.contacts, [{ profile: { name: 'Asha Rao' }, wa_id: '919876500010' }]);
  assert.equal(said.messages[0].text.body, 'Hello');
  const [tap] = (await inbound({ type: 'button', text: 'Call me' })).messages;
  assert.deepEqual(tap.button, { payload: 'Call me', text: 'Call me' });
  assert.equal(tap.context.id, sent);
  const [reply] = (await inbound({ type: 'interactive', id: 'y', title: 'Yes' })).messages;
  assert.deepEqual(reply.interactive, { type: 'button_reply', button_reply: { id: 'y', title: 'Yes' } });
});

test('preferences and template statuses have webhooks', async (t) => {
  const { d, received, idle } = await setUp(t);
  await d.control('POST', 'preferences', { from: CUSTOMER, value: 'stop' });
  await d.control('POST', 'template-status', { name: 'visit', language: 'en', status: 'PAUSED', reason: 'FIRST_PAUSE' });
  await idle();
  const change = (field) => received.map((hook) => hook.json.entry[0].changes[0]).find((c) => c.field === field).value;
  const [preference] = change('user_preferences').user_preferences;
  assert.equal(preference.value, 'stop');
  assert.equal(typeof preference.timestamp, 'number');
  assert.equal(change('message_template_status_update').event, 'PAUSED');
});

test('failures: by request, by fault, by a check that Meta makes late', async (t) => {
  const { d, received, idle } = await setUp(t, { meta: { errors_by_webhook: [131047] }, webhooks: { statuses: [{ status: 'sent' }] } });
  const failures = () => received.flatMap((hook) => valueOf(hook).statuses).filter((s) => s.status === 'failed').map((s) => s.errors[0].code);
  await d.send();
  await d.control('POST', 'statuses', { callback: 'wacta:1', status: 'failed', code: 131026 });
  await d.fault({ do: 'fail_later', code: 131049, times: 1 });
  assert.equal((await d.send()).status, 200);
  assert.equal((await d.send({ type: 'text', text: { body: 'Hello' } })).status, 200);
  await idle();
  assert.deepEqual(failures().sort(), [131026, 131047, 131049]);
});

test('any body, byte for byte', async (t) => {
  const { d, received, idle } = await setUp(t);
  const raw = '{ "object" : "whatsapp_business_account", "entry" : [] }';
  await d.control('POST', 'webhooks', { raw });
  await idle();
  assert.equal(received[0].bytes.toString(), raw);
  assert.equal(received[0].headers['x-hub-signature-256'], 'sha256=' + crypto.createHmac('sha256', SECRET).update(raw).digest('hex'));
});

test('a reset calls off what was planned', async (t) => {
  const { d, received } = await setUp(t, { webhooks: { statuses: [{ status: 'sent', delay_ms: 400 }] } });
  await d.send();
  await d.control('POST', 'reset');
  await d.control('POST', 'settings', { webhooks: { statuses: [{ status: 'read', delay_ms: 450 }] } });
  await d.send();
  await d.get('wait?webhooks=1');
  assert.deepEqual(statusesOf(received), ['read']);
});
