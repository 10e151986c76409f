'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { startDouble, request, metaBody, tempDir, MESSAGES, CUSTOMER, VISIT } = require('./testing');

test('an entry says when, who and what', async (t) => {
  const d = await startDouble(t);
  await d.send();
  await d.send({ biz_opaque_callback_data: 'wacta:2' });
  const { entries } = await d.get('journal');
  assert.equal(entries.length, 2);
  const [first, second] = entries;
  assert.ok(Date.now() - Date.parse(first.at) < 5000);
  assert.ok(BigInt(first.mono_ns) < BigInt(second.mono_ns));
  assert.equal(first.to, CUSTOMER);
  assert.equal(first.http, '1.1');
  assert.equal(first.connection, second.connection, 'the connection is kept alive');
  assert.equal(JSON.parse(first.body).to, CUSTOMER);
  assert.equal(first.status, 200);
});

test('tokens are masked, everywhere', async (t) => {
  const file = path.join(tempDir(t), 'journal');
  const d = await startDouble(t, { journal: file, settings: { meta: { tokens: ['token-of-a-test'] } } });
  await d.send();
  const entry = await d.lastEntry();
  assert.match(entry.authorization, /^Bearer \*\*\*[0-9a-f]{8}$/);
  const seen = JSON.stringify([entry, await d.get('settings')]) + fs.readFileSync(file, 'utf8');
  assert.ok(!seen.includes('token-of-a-test'));
});

test('filters and limit', async (t) => {
  const d = await startDouble(t);
  for (const i of [1, 2, 3]) await d.send({ biz_opaque_callback_data: `wacta:${i}` });
  await d.send({ to: '+919876500011' });
  await d.send({ to: 'nobody' });
  const count = async (query) => (await d.get(`journal?${query}`)).count;
  assert.equal(await count(`to=${encodeURIComponent(CUSTOMER)}`), 3);
  assert.equal(await count('to=919876500011'), 1);
  assert.equal(await count('callback=wacta:2'), 1);
  assert.equal(await count('taken=false'), 1);
  assert.equal(await count('code=131009'), 1);
  assert.equal(await count('since=3'), 2);
  const { entries } = await d.get('journal?limit=2');
  assert.deepEqual(entries.map((e) => e.seq), [4, 5]);
});

test('duplicates: the same callback taken twice, and no other', async (t) => {
  const d = await startDouble(t);
  await d.send({ biz_opaque_callback_data: 'once' });
  await d.send({ biz_opaque_callback_data: 'twice' });
  await d.fault({ do: 'error', status: 503, match: { callback: 'refused' } });
  for (let i = 0; i < 2; i++) await d.send({ biz_opaque_callback_data: 'refused' });
  assert.equal((await d.get('duplicates')).count, 0);
  await d.fault({ do: 'reset', taken: true, match: { callback: 'twice' } });
  await d.send({ biz_opaque_callback_data: 'twice' });
  const { duplicates } = await d.get('duplicates');
  assert.equal(duplicates.length, 1);
  assert.equal(duplicates[0].callback, 'twice');
  assert.equal(duplicates[0].taken, 2);
  assert.deepEqual(duplicates[0].entries.map((e) => e.outcome), ['answered', 'reset']);
});

test('memory is bounded, and duplicates are still counted', async (t) => {
  const d = await startDouble(t, { settings: { journal: { limit: 3 } } });
  for (const callback of ['a', 'b', 'c', 'd', 'a']) await d.send({ biz_opaque_callback_data: callback });
  const { entries, dropped } = await d.get('journal');
  assert.deepEqual(entries.map((e) => e.callback), ['c', 'd', 'a']);
  assert.equal(dropped, 2);
  const { duplicates } = await d.get('duplicates');
  assert.deepEqual(duplicates.map((x) => [x.callback, x.taken]), [['a', 2]]);
});

test('stats, and a reset', async (t) => {
  const d = await startDouble(t);
  await d.fault({ do: 'late', ms: 200 });
  await Promise.all([d.send(), d.send(), d.send({ to: 'nobody' })]);
  const stats = await d.get('stats');
  assert.deepEqual([stats.requests, stats.taken, stats.refused, stats.max_in_flight], [3, 2, 1, 3]);
  assert.equal(stats.connections.opened, 3);
  const after = await d.control('POST', 'reset');
  assert.deepEqual([after.requests, after.taken, after.connections.opened], [0, 0, 0]);
  assert.deepEqual(await d.get('faults'), []);
  assert.equal((await d.send()).status, 200, 'templates stay');
  await d.control('POST', 'reset', { all: true });
  assert.equal((await d.send()).json.error.code, 132001);
});

test('waiting ends by itself when nothing comes', async (t) => {
  const d = await startDouble(t);
  const { reached } = await d.get('wait?count=1&timeout_ms=30');
  assert.equal(reached, false);
});

test('settings: a misspelt one is refused, and changes nothing', async (t) => {
  const d = await startDouble(t);
  await assert.rejects(d.control('POST', 'settings', { seed: 5, webhooks: { atempts: 1 } }), /unknown setting "webhooks.atempts"/);
  await assert.rejects(d.control('POST', 'settings', { seed: '5' }), /is of type number, not string/);
  assert.equal((await d.get('settings')).seed, 1);
});

async function startProcess(...args) {
  const child = spawn(process.execPath, [path.join(__dirname, 'double.js'), ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(child.stdout, 'data');
  return { child, ...JSON.parse(line) };
}

test('the file survives kill -9, and the next double goes on with it', async (t) => {
  const file = path.join(tempDir(t), 'journal');
  const send = async (url) => {
    await request(`${url}/_double/templates`, { method: 'POST', body: JSON.stringify(VISIT) });
    return request(url + MESSAGES, { method: 'POST', headers: { authorization: 'Bearer x' }, body: JSON.stringify(metaBody()) });
  };
  const first = await startProcess('--journal', file);
  assert.equal((await send(first.url)).status, 200);
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  fs.appendFileSync(file, '{"seq":2,"torn');
  const second = await startProcess('--journal', file, '--until-stdin-closes');
  assert.equal((await send(second.url)).status, 200);
  const { json } = await request(`${second.url}/_double/duplicates`);
  assert.deepEqual(json.duplicates.map((x) => [x.callback, x.taken, x.entries.length]), [['wacta:1', 2, 2]]);
  second.child.stdin.end();
  const [code] = await once(second.child, 'exit');
  assert.equal(code, 0);
});

test('the command says what is wrong with its arguments', async () => {
  const child = spawn(process.execPath, [path.join(__dirname, 'double.js'), '--port', 'x'], { stdio: ['ignore', 'ignore', 'pipe'] });
  const [message] = await once(child.stderr, 'data');
  assert.match(String(message), /--port "x" is not a port/);
  assert.equal((await once(child, 'exit'))[0], 1);
});
