'use strict';
/*
 * How the double misbehaves when it is told to.  A fault is a rule (match.js) with a "do"; the
 * exchange (exchange.js) says what can be done to a request: judge, commit, send, break off.
 *
 * `taken` is the question that matters: would the provider deliver the message?  A fault that is
 * `taken: true` judges the request as usual and commits it, and only then misbehaves.
 */
const zlib = require('node:zlib');
const { ProviderError } = require('./errors');
const { Rules } = require('./match');

const BREAKS = ['reset', 'close'];
const MIB = 1024 * 1024;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms).unref());

/* Retry-After in seconds, or as a date that many seconds from now. */
function retryAfter({ retry_after: seconds, retry_after_date: fromNow }) {
  if (seconds !== undefined) return { 'retry-after': String(seconds) };
  if (fromNow !== undefined) return { 'retry-after': new Date(Date.now() + fromNow * 1000).toUTCString() };
  return {};
}

/* Commits the verdict that the fault asks for, and returns the answer that would go with it. */
function decide(x, taken, outcome) {
  const answer = taken ? x.judge() : { status: null, body: '', taken: false };
  x.commit({ ...answer, status: null, body: '' }, outcome);
  return answer;
}

/* What a load balancer in front of the API says when the API does not. */
function plainAnswer({ status, body, headers }) {
  const text = body === undefined ? `<html><body><h1>${status}</h1></body></html>\n` : body;
  const type = typeof text === 'string' ? 'text/html; charset=utf-8' : 'application/json';
  return { status, headers: { 'content-type': type, ...headers }, body: typeof text === 'string' ? text : JSON.stringify(text), taken: false };
}

function errorAnswer(x, spec) {
  const error = new ProviderError(spec.code, { details: spec.details, subcode: spec.subcode, status: spec.status });
  return { ...x.refusal(error), taken: false };
}

const ACTIONS = {
  /* The provider is slow: it takes the message, if it does, only after the wait. */
  async delay(x, { ms = 1000 }) {
    await sleep(ms);
    if (!x.gone) x.finish();
  },

  /* The message is taken at once, and the answer comes late. */
  async late(x, { ms = 1000 }) {
    const answer = x.judge();
    x.commit(answer, 'answered');
    await sleep(ms);
    x.send(answer);
  },

  /* An error: in the provider's envelope when there is a code, else from something in front of it. */
  async error(x, spec) {
    const made = spec.code === undefined ? plainAnswer({ status: 500, ...spec }) : errorAnswer(x, spec);
    if (spec.taken && x.judge().taken) made.taken = true;
    made.message = made.taken ? x.judge().message : null;
    made.headers = { ...made.headers, ...retryAfter(spec) };
    x.commit(made, 'answered');
    if (spec.ms) await sleep(spec.ms);
    x.send(made);
  },

  /* Accepted, and a failed status follows. */
  async fail_later(x, { code = 131026, details }) {
    const answer = x.judge();
    if (answer.message) answer.message.failure = { code, details };
    x.commit(answer, 'answered');
    x.send(answer);
  },

  async reset(x, spec) {
    decide(x, spec.taken, 'reset');
    x.breakOff('reset', spec);
  },

  async close(x, spec) {
    decide(x, spec.taken, 'closed');
    x.breakOff('close', spec);
  },

  /* Never answers: the client has to give up. */
  async hang(x, { taken = false }) {
    decide(x, taken, 'hung');
  },

  /* The headers promise more than comes; then the connection ends, or stays silent. */
  async partial(x, { taken = true, end = 'close', bytes, scope }) {
    const answer = decide(x, taken, 'partial');
    const whole = Buffer.from(answer.body || '{"messaging_product":"whatsapp"}');
    const sent = bytes === undefined ? Math.floor(whole.length / 2) : bytes;
    await x.sendHead(answer.status || 200, { 'content-type': 'application/json', 'content-length': whole.length }, whole.subarray(0, sent));
    if (end !== 'stall') x.breakOff(end, { scope });
  },

  /* Byte by byte, as over a bad line. */
  async drip(x, { ms = 10, bytes = 1 }) {
    const answer = x.judge();
    x.commit(answer, 'answered');
    const whole = Buffer.from(answer.body);
    x.startBody(answer, whole.length);
    for (let at = 0; at < whole.length && !x.gone; at += bytes) {
      await x.write(whole.subarray(at, at + bytes));
      await sleep(ms);
    }
    x.endBody();
  },

  async malformed(x, { taken = true, body = '{"messaging_product":"whatsapp","contacts":[{"inp' }) {
    const answer = decide(x, taken, 'malformed');
    x.send({ ...answer, status: answer.status || 200, body });
  },

  /* A body of so many bytes, in a JSON string that would even be valid. */
  async oversized(x, { taken = true, bytes = 64 * MIB }) {
    decide(x, taken, 'oversized');
    x.startBody({ status: 200 });
    await x.write('{"padding":"');
    const block = Buffer.alloc(64 * 1024, 0x78);
    for (let left = bytes; left > 0 && !x.gone; left -= block.length) await x.write(block.subarray(0, Math.min(left, block.length)));
    await x.write('"}');
    x.endBody();
  },

  /* A small answer that is a large one when it is unpacked. */
  async bomb(x, { taken = true, bytes = 256 * MIB }) {
    decide(x, taken, 'bomb');
    x.startBody({ status: 200, headers: { 'content-encoding': 'gzip' } });
    const gzip = zlib.createGzip({ level: 9 });
    gzip.on('data', (block) => x.write(block));
    const block = Buffer.alloc(MIB, 0x20);
    for (let left = bytes; left > 0 && !x.gone; left -= block.length) {
      if (!gzip.write(block.subarray(0, Math.min(left, block.length)))) await new Promise((resolve) => gzip.once('drain', resolve));
    }
    await new Promise((resolve) => gzip.once('end', resolve).end());
    x.endBody();
  },

  async redirect(x, { status = 307, location = 'http://127.0.0.1:1/elsewhere' }) {
    const answer = { status, headers: { location }, body: '', taken: false };
    x.commit(answer, 'answered');
    x.send(answer);
  },
};

const OPTIONS = ['do', 'ms', 'taken', 'when', 'scope', 'h2_code', 'status', 'code', 'subcode', 'details', 'body', 'headers',
  'retry_after', 'retry_after_date', 'bytes', 'end', 'location', 'note'];

/* The action of a rule, checked when it is registered and not when it strikes. */
function readRule(spec, matcher) {
  if (!Object.hasOwn(ACTIONS, spec.do)) throw new Error(`unknown fault "${spec.do}": one of ${Object.keys(ACTIONS).join(', ')}`);
  for (const name of Object.keys(spec)) if (!OPTIONS.includes(name)) throw new Error(`unknown fault option "${name}"`);
  const early = spec.when === 'before_body';
  if (spec.when !== undefined && !['before_body', 'after_body'].includes(spec.when)) {
    throw new Error('when must be before_body or after_body');
  }
  if (early && !BREAKS.includes(spec.do)) throw new Error(`"${spec.do}" cannot be done before the body is read`);
  if (early && matcher.needsBody) throw new Error('a fault before the body is read cannot match what is in the body');
  if (early && spec.taken) throw new Error('a request that was not read cannot be taken');
  return { action: spec, early };
}

class Faults extends Rules {
  constructor(settings) {
    super(settings, readRule);
  }

  pickEarly(entry) {
    return this.pick(entry, (rule) => rule.early);
  }

  pickLate(entry) {
    return this.pick(entry, (rule) => !rule.early);
  }
}

/* Does to the exchange what the rule says. */
async function strike(x, rule) {
  x.entry.fault = { id: rule.id, do: rule.action.do };
  await ACTIONS[rule.action.do](x, rule.action);
}

module.exports = { Faults, strike };
