'use strict';
/*
 * What the tests share: a double in this process, a client that tells what happened to a request,
 * a receiver of webhooks, and bodies that pass.
 */
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { Double } = require('./app');

const PHONE_ID = '106540352242922';
const WABA_ID = '102290129340398';
const CUSTOMER = '+919876500010';
const MESSAGES = `/v23.0/${PHONE_ID}/messages`;

const VISIT = {
  name: 'visit', language: 'en', category: 'MARKETING',
  components: [
    { type: 'BODY', text: 'Hello {{1}}, would you like to see {{2}} with your family this weekend or the next?', example: { body_text: [['Asha', 'Lake View']] } },
    { type: 'FOOTER', text: 'Reply STOP to opt out' },
    {
      type: 'BUTTONS',
      buttons: [
        { type: 'QUICK_REPLY', text: 'Call me' },
        { type: 'URL', text: 'Interested', url: 'https://example.com/i/{{1}}', example: ['abc'] },
        { type: 'URL', text: 'Not Interested', url: 'https://example.com/n/{{1}}', example: ['abc'] },
      ],
    },
  ],
};

const BROCHURE = {
  name: 'brochure', language: 'en', category: 'UTILITY',
  components: [
    { type: 'HEADER', format: 'DOCUMENT', example: { header_handle: ['4::aW'] } },
    { type: 'BODY', text: 'Here is the brochure, {{1}}, as you asked for it.', example: { body_text: [['Asha']] } },
  ],
};

const text = (value) => ({ type: 'text', text: value });
const urlButton = (index, value) => ({ type: 'button', sub_type: 'url', index, parameters: [text(value)] });
const bodyWith = (...values) => ({ type: 'body', parameters: values.map(text) });

function visit(change = {}) {
  return {
    name: 'visit', language: { code: 'en', policy: 'deterministic' },
    components: [bodyWith('Asha', 'Lake View'), urlButton('1', 'tok_1'), urlButton(2, 'tok_2')],
    ...change,
  };
}

function metaBody(change = {}) {
  return {
    messaging_product: 'whatsapp', recipient_type: 'individual', to: CUSTOMER,
    type: 'template', template: visit(), biz_opaque_callback_data: 'wacta:1', ...change,
  };
}

function tataBody(change = {}) {
  const { messaging_product: _, biz_opaque_callback_data: __, ...body } = metaBody();
  return { ...body, source: 'external', metaData: { custom_callback_data: 'wacta:1' }, ...change };
}

/* Resolves with {status, headers, text, json} or {error}: a test of breakages wants no exception. */
function request(url, { method = 'GET', headers = {}, body, agent, timeout = 5000, onRequest } = {}) {
  return new Promise((resolve) => {
    const req = http.request(url, { method, headers, agent, timeout }, (res) => {
      const blocks = [];
      res.on('data', (block) => blocks.push(block));
      res.on('error', (e) => resolve({ status: res.statusCode, error: e.code || e.message }));
      res.on('end', () => {
        const bytes = Buffer.concat(blocks);
        resolve({ status: res.statusCode, headers: res.headers, bytes, text: bytes.toString(), json: parsed(bytes) });
      });
    });
    req.on('timeout', () => req.destroy(new Error('timed out')));
    req.on('error', (e) => resolve({ error: e.code || e.message }));
    if (onRequest) onRequest(req);
    req.end(body);
  });
}

function parsed(bytes) {
  try {
    return JSON.parse(bytes);
  } catch {
    return undefined;
  }
}

const json = (value) => (typeof value === 'string' ? value : JSON.stringify(value));

/* A running double with the usual templates, ended when the test `t` ends. */
async function startDouble(t, options = {}) {
  const agent = new http.Agent({ keepAlive: true });
  const double = new Double(options);
  const { url } = await double.start();
  for (const template of [VISIT, BROCHURE]) double.templates.register(template);
  t.after(async () => {
    agent.destroy();
    await double.stop();
  });
  const control = async (method, what, body) => {
    const res = await request(`${url}/_double/${what}`, { method, agent, body: body === undefined ? undefined : json(body) });
    if (res.status !== 200) throw new Error(res.json ? res.json.error : res.error);
    return res.json;
  };
  const post = (path, body, headers = {}, more = {}) => request(url + path, {
    method: 'POST', agent, body: json(body), ...more,
    headers: { 'content-type': 'application/json', authorization: 'Bearer token-of-a-test', ...headers },
  });
  return {
    double, url, agent, control, post,
    get: (what) => control('GET', what),
    send: (change, more) => post(MESSAGES, metaBody(change), {}, more),
    sendTata: (change, headers) => post('/whatsapp-cloud/messages', tataBody(change), headers),
    fault: (rule) => control('POST', 'faults', rule),
    lastEntry: async () => (await control('GET', 'journal?limit=1')).entries[0],
  };
}

/* Collects webhooks; `answers` are statuses to give first, 200 after that. */
async function startReceiver(t, answers = []) {
  const received = [];
  const server = http.createServer((req, res) => {
    const blocks = [];
    req.on('data', (block) => blocks.push(block));
    req.on('end', () => {
      const bytes = Buffer.concat(blocks);
      received.push({ path: req.url, headers: req.headers, bytes, json: parsed(bytes) });
      res.writeHead(answers.shift() || 200).end();
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { received, url: `http://127.0.0.1:${server.address().port}/hook` };
}

function tempDir(t) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'wacta-double-'));
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}

function secretFile(t, value) {
  const file = path.join(tempDir(t), 'secret');
  fs.writeFileSync(file, value + '\n', { mode: 0o600 });
  return file;
}

module.exports = {
  PHONE_ID, WABA_ID, CUSTOMER, MESSAGES, VISIT, BROCHURE,
  text, urlButton, bodyWith, visit, metaBody, tataBody,
  request, startDouble, startReceiver, tempDir, secretFile,
};
