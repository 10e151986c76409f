'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const zlib = require('node:zlib');
const { startDouble, request, MESSAGES, CUSTOMER } = require('./testing');

const GONE = /ECONNRESET|socket hang up|EPIPE|aborted/;

/* One request under one fault: what the client saw, and the entry in the journal. */
async function under(t, rule, change) {
  const d = await startDouble(t);
  await d.fault(rule);
  const res = await d.send(change);
  await d.get('wait?count=1&idle=1');
  return { d, res, entry: await d.lastEntry() };
}

test('delay: taken after the wait', async (t) => {
  const { res, entry } = await under(t, { do: 'delay', ms: 60 });
  assert.equal(res.status, 200);
  assert.ok(entry.decided_us >= 55000);
  assert.deepEqual(entry.fault, { id: 1, do: 'delay' });
});

test('delay: a client that leaves was not taken', async (t) => {
  const d = await startDouble(t);
  await d.fault({ do: 'delay', ms: 10000 });
  assert.equal((await d.send({}, { timeout: 300 })).error, 'timed out');
  await d.get('wait?idle=1');
  const entry = await d.lastEntry();
  assert.equal(entry.taken, false);
  assert.equal(entry.outcome, 'aborted');
});

test('late: taken at once, though the client leaves', async (t) => {
  const d = await startDouble(t);
  await d.fault({ do: 'late', ms: 10000 });
  assert.equal((await d.send({}, { timeout: 300 })).error, 'timed out');
  await d.get('wait?count=1&taken=true&idle=1');
  const entry = await d.lastEntry();
  assert.equal(entry.taken, true);
  assert.equal(entry.answer_sent, false);
});

test('error: 429 with Retry-After in seconds and as a date', async (t) => {
  const { d, res, entry } = await under(t, { do: 'error', status: 429, code: 80007, retry_after: 3, times: 1 });
  assert.equal(res.status, 429);
  assert.equal(res.headers['retry-after'], '3');
  assert.equal(res.json.error.code, 80007);
  assert.equal(entry.taken, false);
  await d.fault({ do: 'error', status: 429, retry_after_date: 120 });
  const dated = Date.parse((await d.send()).headers['retry-after']) - Date.now();
  assert.ok(dated > 110000 && dated <= 121000, String(dated));
});

test('error: 5xx with and without a code, any code with its own status', async (t) => {
  const { d, res } = await under(t, { do: 'error', status: 503, times: 1 });
  assert.equal(res.status, 503);
  assert.equal(res.json, undefined);
  await d.fault({ do: 'error', status: 502, code: 131000, times: 1 });
  assert.deepEqual(await d.send().then((r) => [r.status, r.json.error.code]), [502, 131000]);
  await d.fault({ do: 'error', code: 131056, times: 1 });
  const pair = await d.send();
  assert.equal(pair.status, 400);
  assert.match(pair.json.error.message, /^\(#131056\) .*pair rate limit hit$/);
  await d.fault({ do: 'error', status: 500, taken: true });
  assert.equal((await d.send()).status, 500);
  assert.equal((await d.lastEntry()).taken, true);
});

for (const how of ['reset', 'close']) {
  test(`${how} before the body is read`, async (t) => {
    const { res, entry } = await under(t, { do: how, when: 'before_body' });
    assert.match(res.error, GONE);
    assert.equal(entry.taken, false);
    assert.equal(entry.body, null);
  });

  for (const taken of [true, false]) {
    test(`${how} after the body, ${taken ? '' : 'not '}taken`, async (t) => {
      const { res, entry } = await under(t, { do: how, taken });
      assert.match(res.error, GONE);
      assert.equal(entry.taken, taken);
      assert.equal(entry.status, null);
      assert.equal(entry.callback, 'wacta:1');
      assert.equal(entry.outcome, how === 'reset' ? 'reset' : 'closed');
    });
  }
}

test('a body that never comes is not taken', async (t) => {
  const d = await startDouble(t);
  const res = await request(d.url + MESSAGES, {
    method: 'POST', headers: { 'content-length': 100, authorization: 'Bearer x' },
    onRequest: (req) => { req.write('{"to":'); setTimeout(() => req.destroy(), 30); },
  });
  assert.ok(res.error);
  await d.get('wait?count=1&idle=1');
  assert.equal((await d.lastEntry()).outcome, 'aborted');
});

test('hang: no answer at all', async (t) => {
  const d = await startDouble(t);
  await d.fault({ do: 'hang', taken: true });
  assert.equal((await d.send({}, { timeout: 300 })).error, 'timed out');
  assert.equal((await d.lastEntry()).outcome, 'hung');
  assert.equal((await d.lastEntry()).taken, true);
});

test('partial: half an answer', async (t) => {
  const { res, entry } = await under(t, { do: 'partial' });
  assert.equal(res.status, 200);
  assert.match(res.error, GONE);
  assert.equal(entry.taken, true);
});

test('drip: a whole answer in small pieces', async (t) => {
  const { res } = await under(t, { do: 'drip', ms: 1, bytes: 40 });
  assert.match(res.json.messages[0].id, /^wamid/);
});

test('malformed JSON', async (t) => {
  const { res, entry } = await under(t, { do: 'malformed' });
  assert.equal(res.status, 200);
  assert.equal(res.json, undefined);
  assert.equal(entry.taken, true);
});

test('oversized', async (t) => {
  const { res } = await under(t, { do: 'oversized', bytes: 3000000 });
  assert.equal(res.json.padding.length, 3000000);
});

test('gzip bomb', async (t) => {
  const { res } = await under(t, { do: 'bomb', bytes: 8 * 1024 * 1024 });
  assert.equal(res.headers['content-encoding'], 'gzip');
  assert.ok(res.bytes.length < 20000);
  assert.equal(zlib.gunzipSync(res.bytes).length, 8 * 1024 * 1024);
});

test('redirect', async (t) => {
  const { res, entry } = await under(t, { do: 'redirect', status: 302, location: 'https://elsewhere.example/' });
  assert.equal(res.status, 302);
  assert.equal(res.headers.location, 'https://elsewhere.example/');
  assert.equal(entry.taken, false);
});

test('a fault does not make a wrong request a taken one', async (t) => {
  const { entry } = await under(t, { do: 'reset', taken: true }, { to: 'nobody' });
  assert.equal(entry.taken, false);
  assert.equal(entry.code, 131009);
});

test('matching: recipient, nth, times, callback prefix, template', async (t) => {
  const d = await startDouble(t);
  const statuses = async (...changes) => {
    const seen = [];
    for (const change of changes) seen.push((await d.send(change)).status);
    return seen;
  };
  const other = { to: '+919876500011' };
  await d.fault({ do: 'error', status: 503, match: { to: CUSTOMER, nth: [2, 3] } });
  assert.deepEqual(await statuses({}, other, {}, {}, {}), [200, 200, 503, 503, 200]);
  await d.control('DELETE', 'faults');
  await d.fault({ do: 'error', status: 503, times: 2 });
  assert.deepEqual(await statuses({}, {}, {}), [503, 503, 200]);
  await d.control('DELETE', 'faults');
  await d.fault([{ do: 'error', status: 500, match: { callback: 'a:*' } }, { do: 'error', status: 502, match: { template: 'visit', every: 2 } }]);
  assert.deepEqual(await statuses({ biz_opaque_callback_data: 'a:7' }, {}, {}), [500, 200, 502]);
  const [first] = await d.get('faults');
  assert.equal(first.used, 1);
  assert.deepEqual(await d.control('DELETE', `faults/${first.id}`), { removed: 1 });
});

test('probability is seeded: the same run twice', async (t) => {
  const d = await startDouble(t);
  const run = async () => {
    await d.control('DELETE', 'faults');
    await d.fault({ do: 'error', status: 503, seed: 7, match: { probability: 0.5 } });
    const seen = [];
    for (let i = 0; i < 20; i++) seen.push((await d.send()).status);
    return seen;
  };
  const first = await run();
  assert.ok(first.includes(200) && first.includes(503));
  assert.deepEqual(await run(), first);
});

test('mistakes in a rule are told', async (t) => {
  const d = await startDouble(t);
  const rejects = (rule, words) => assert.rejects(d.fault(rule), words);
  await rejects({ do: 'explode' }, /unknown fault "explode"/);
  await rejects({ do: 'delay', mss: 5 }, /unknown fault option "mss"/);
  await rejects({ do: 'delay', match: { two: 5 } }, /unknown match field "two"/);
  await rejects({ do: 'reset', when: 'before_body', match: { to: CUSTOMER } }, /cannot match what is in the body/);
  await rejects({ do: 'delay', when: 'before_body' }, /cannot be done before the body/);
  assert.deepEqual(await d.get('faults'), []);
});
