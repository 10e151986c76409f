'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const http2 = require('node:http2');
const https = require('node:https');
const path = require('node:path');
const { execFileSync } = require('node:child_process');
const { Double } = require('./app');
const { tempDir, metaBody, MESSAGES, VISIT } = require('./testing');

function hasOpenssl() {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const options = { skip: hasOpenssl() ? false : 'openssl is not installed' };

async function startSecure(t) {
  const dir = tempDir(t);
  const cert = path.join(dir, 'cert.pem');
  const key = path.join(dir, 'key.pem');
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const double = new Double({ cert, key });
  await double.start();
  double.templates.register(VISIT);
  t.after(() => double.stop());
  return double;
}

function connect(t, url) {
  const session = http2.connect(url, { rejectUnauthorized: false });
  session.on('error', () => {});
  t.after(() => session.destroy());
  return session;
}

/* {status, text} or {error}, of one stream. */
function streamPost(session, body) {
  return new Promise((resolve) => {
    const stream = session.request({ ':method': 'POST', ':path': MESSAGES, authorization: 'Bearer x', 'content-type': 'application/json' });
    let status;
    let text = '';
    stream.on('response', (headers) => { status = headers[':status']; });
    stream.on('data', (block) => { text += block; });
    stream.on('error', (e) => resolve({ error: e.code || e.message }));
    stream.on('close', () => resolve({ status, text, rst: stream.rstCode }));
    stream.end(JSON.stringify(body));
  });
}

function httpsPost(url, body) {
  return new Promise((resolve) => {
    const req = https.request(url + MESSAGES, { method: 'POST', rejectUnauthorized: false, headers: { authorization: 'Bearer x' } }, (res) => {
      res.resume().on('end', () => resolve({ status: res.statusCode }));
    });
    req.on('error', (e) => resolve({ error: e.code || e.message }));
    req.end(JSON.stringify(body));
  });
}

/* Polls, but not for ever. */
async function until(holds) {
  const deadline = Date.now() + 5000;
  while (!holds()) {
    assert.ok(Date.now() < deadline, 'waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/* The client may know of an end before the double does. */
async function entriesWhenQuiet(double) {
  await until(() => double.inFlight === 0);
  return double.journal.find();
}

test('HTTP/2 by ALPN: many streams, one connection', options, async (t) => {
  const double = await startSecure(t);
  const session = connect(t, double.url);
  const answers = await Promise.all([1, 2, 3].map((i) => streamPost(session, metaBody({ biz_opaque_callback_data: `h2:${i}` }))));
  assert.deepEqual(answers.map((a) => a.status), [200, 200, 200]);
  const entries = await entriesWhenQuiet(double);
  assert.deepEqual(entries.map((e) => [e.http, e.connection, e.taken, e.answer_sent]), Array(3).fill(['2.0', 1, true, true]));
  assert.equal(double.stats().connections.opened, 1);
});

test('HTTP/1.1 over the same port', options, async (t) => {
  const double = await startSecure(t);
  assert.equal((await httpsPost(double.url, metaBody())).status, 200);
  assert.equal(double.journal.find()[0].http, '1.1');
});

test('a stream is reset, and its connection lives on', options, async (t) => {
  const double = await startSecure(t);
  const session = connect(t, double.url);
  double.faults.add({ do: 'reset', scope: 'stream', h2_code: 7, times: 1 });
  const refused = await streamPost(session, metaBody());
  assert.ok(refused.error || refused.rst === 7, JSON.stringify(refused));
  assert.equal((await streamPost(session, metaBody())).status, 200);
  assert.deepEqual(double.journal.find().map((e) => e.taken), [false, true]);
});

test('the connection is reset, over HTTP/2 and over HTTP/1.1', options, async (t) => {
  const double = await startSecure(t);
  double.faults.add({ do: 'reset', taken: true });
  const broken = await streamPost(connect(t, double.url), metaBody({ biz_opaque_callback_data: 'a' }));
  assert.notEqual(broken.status, 200);
  assert.ok((await httpsPost(double.url, metaBody({ biz_opaque_callback_data: 'b' }))).error);
  const entries = await entriesWhenQuiet(double);
  assert.deepEqual(entries.map((e) => [e.outcome, e.taken, e.answer_sent]), Array(2).fill(['reset', true, false]));
  assert.equal(double.journal.duplicates().length, 0);
});

test('a client that leaves, and a connection that is closed', options, async (t) => {
  const double = await startSecure(t);
  double.faults.add({ do: 'late', ms: 10000, times: 1 });
  double.faults.add({ do: 'close' });
  const session = connect(t, double.url);
  const stream = session.request({ ':method': 'POST', ':path': MESSAGES, authorization: 'Bearer x' });
  stream.on('error', () => {});
  stream.end(JSON.stringify(metaBody()));
  await until(() => double.journal.counts.taken > 0);
  stream.close(8);
  const closed = await streamPost(connect(t, double.url), metaBody());
  assert.notEqual(closed.status, 200);
  const entries = await entriesWhenQuiet(double);
  assert.deepEqual(entries.map((e) => [e.outcome, e.taken, e.answer_sent]), [['answered', true, false], ['closed', false, false]]);
});
