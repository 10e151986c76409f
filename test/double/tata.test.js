'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const { startDouble, CUSTOMER, visit, bodyWith, VISIT } = require('./testing');

test('the answer is a request id and not the message id', async (t) => {
  const d = await startDouble(t);
  const res = await d.sendTata();
  assert.equal(res.status, 200);
  assert.deepEqual(Object.keys(res.json), ['id']);
  assert.match(res.json.id, /^[0-9a-f]{8}-[0-9a-f-]{27}$/);
  const entry = await d.lastEntry();
  assert.equal(entry.taken, true);
  assert.equal(entry.callback, 'wacta:1');
  assert.match(entry.message_id, /^wamid\./);
});

test('the token is raw, Bearer, or in another header', async (t) => {
  const d = await startDouble(t, { settings: { tata: { tokens: ['right'] } } });
  const status = async (headers) => (await d.sendTata({}, headers)).status;
  assert.equal(await status({ authorization: 'right' }), 200);
  assert.equal(await status({ authorization: 'Bearer right' }), 200);
  assert.equal(await status({ authorization: 'Bearer wrong' }), 401);
  await d.control('POST', 'settings', { tata: { auth: 'raw' } });
  assert.equal(await status({ authorization: 'right' }), 200);
  assert.equal(await status({ authorization: 'Bearer right' }), 401);
  await d.control('POST', 'settings', { tata: { auth: 'bearer' } });
  assert.equal(await status({ authorization: 'right' }), 401);
  await d.control('POST', 'settings', { tata: { auth: 'any', auth_header: 'apikey' } });
  assert.equal(await status({ apikey: 'right' }), 200);
});

test('source, callback and content are checked', async (t) => {
  const d = await startDouble(t);
  const code = async (change) => (await d.sendTata(change)).json.error.code;
  assert.equal(await code({ source: 'elsewhere' }), 100);
  assert.equal(await code({ metaData: { custom_callback_data: 'x'.repeat(513) } }), 100);
  assert.equal(await code({ template: visit({ components: [bodyWith('one')] }) }), 132000);
  assert.equal((await d.sendTata({ messaging_product: 'whatsapp' })).status, 200);
});

test('the other form of an error', async (t) => {
  const d = await startDouble(t, { settings: { tata: { error_shape: 'flat' } } });
  const res = await d.sendTata({ template: visit({ name: 'nowhere' }) });
  assert.equal(res.status, 404);
  assert.equal(res.json.code, 132001);
  assert.equal(res.json.error, undefined);
});

test('an inbound message opens the window, and the inbox shows what came', async (t) => {
  const d = await startDouble(t);
  const say = () => d.sendTata({ type: 'text', text: { body: 'Hello' } });
  assert.equal((await say()).json.error.code, 131047);
  await d.control('POST', 'inbound', { provider: 'tata', from: CUSTOMER, text: 'Hi' });
  assert.equal((await say()).status, 200);
  await d.sendTata();
  const { messages } = await d.get(`inbox?to=${encodeURIComponent(CUSTOMER)}`);
  assert.deepEqual(messages.map((m) => m.type), ['text', 'template']);
  assert.equal(messages[1].rendered.buttons[1].url, 'https://example.com/i/tok_1');
});

test('templates', async (t) => {
  const d = await startDouble(t);
  const res = await d.post('/templates', { ...VISIT, name: 'of_omni', allowCategoryChange: true });
  assert.equal(res.json.status, 'APPROVED');
  assert.equal((await d.sendTata({ template: visit({ name: 'of_omni' }) })).status, 200);
});
