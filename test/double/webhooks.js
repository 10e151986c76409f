'use strict';
/*
 * Webhooks from plan to delivery.
 *
 * A message that was taken gets its statuses planned; a planned event meets the webhook rules
 * (lose, repeat, delay, spoil the signature) when it is due; events that are due together may
 * share a body; a body is POSTed until it is answered with 2xx or the attempts are used up.
 */
const http = require('node:http');
const https = require('node:https');
const { Rules } = require('./match');
const { Ring } = require('./journal');
const { seeded, shuffled } = require('./random');

const KEPT = 20000;
const ACTIONS = ['lose', 'repeat', 'delay_ms', 'signature', 'plan'];
const SIGNATURES = ['bad', 'none'];

function readRule(rest) {
  for (const name of Object.keys(rest)) {
    if (!ACTIONS.includes(name)) throw new Error(`unknown webhook action "${name}"`);
  }
  if (rest.signature !== undefined && !SIGNATURES.includes(rest.signature)) {
    throw new Error(`signature must be one of ${SIGNATURES.join(', ')}`);
  }
  return { action: rest };
}

class Webhooks {
  constructor(app) {
    this.app = app;
    this.settings = app.settings.webhooks;
    this.rules = new Rules(app.settings, readRule);
    this.http = new http.Agent({ keepAlive: true, maxSockets: this.settings.concurrency });
    this.https = new https.Agent({ keepAlive: true, maxSockets: this.settings.concurrency });
    this.generation = 0;
    this.forget();
  }

  /* Also calls off what was planned: its generation has passed. */
  forget() {
    this.generation++;
    this.random = seeded(this.app.settings.seed);
    this.counts = { planned: 0, lost: 0, delivered: 0, given_up: 0, retries: 0 };
    this.pending = 0;
    this.batches = new Map();
    this.deliveries = new Ring(KEPT);
    this.seq = 0;
  }

  close() {
    this.generation++;
    this.http.destroy();
    this.https.destroy();
  }

  /* Runs later, unless everything has been called off by then. */
  later(ms, action) {
    const generation = this.generation;
    setTimeout(() => {
      if (generation === this.generation) action();
    }, ms).unref();
  }

  wanted(provider) {
    const own = provider === 'meta' ? [this.settings.meta_url] : [this.settings.tata_status_url, this.settings.tata_message_url];
    return Boolean(this.settings.url || own.some(Boolean));
  }

  /* ---- planning ---- */

  planFor(message) {
    if (message.failure) return [{ status: 'failed', delay_ms: this.firstDelay(), failure: message.failure }];
    const rule = this.rules.pick({ ...this.subject(message), status: null }, (r) => r.action.plan);
    const plan = rule ? rule.action.plan : this.settings.statuses;
    if (!this.settings.shuffle) return plan;
    const delays = shuffled(plan.map((step) => step.delay_ms || 0), this.random);
    return plan.map((step, i) => ({ ...step, delay_ms: delays[i] }));
  }

  firstDelay() {
    return this.settings.statuses.length > 0 ? this.settings.statuses[0].delay_ms || 0 : 0;
  }

  planMessage(message) {
    if (!this.wanted(message.provider)) return;
    for (const step of this.planFor(message)) {
      const failure = step.failure || (step.code ? { code: step.code, details: step.details } : null);
      this.sendStatus(message, { status: step.status, failure, delay_ms: step.delay_ms });
    }
  }

  sendStatus(message, { status, failure, delay_ms = 0 }) {
    const at = Date.now() + delay_ms;
    const event = this.app.providers[message.provider].statusEvent(message, { status, at, failure });
    this.plan(message.provider, event, { ...this.subject(message), status }, delay_ms);
  }

  subject({ provider, sender, customer, callback, template, type }) {
    return { provider, sender, to: customer, callback, template, type };
  }

  /* An event of a provider, due after a delay. */
  plan(provider, event, subject, delayMs = 0) {
    if (event === null || !this.wanted(provider)) return;
    const rule = this.rules.pick(subject, (r) => !r.action.plan);
    const action = rule ? rule.action : {};
    this.counts.planned++;
    if (action.lose) {
      this.counts.lost++;
      return;
    }
    const copies = 1 + (action.repeat || 0);
    for (let i = 0; i < copies; i++) {
      this.pending++;
      const due = delayMs + (action.delay_ms || 0);
      if (due > 0) this.later(due, () => this.collect(provider, event, action));
      else this.collect(provider, event, action);
    }
  }

  /* ---- batching ---- */

  collect(provider, event, { signature = 'good' }) {
    const { batch_max: max, batch_wait_ms: wait } = this.settings;
    if (max <= 1) {
      this.dispatch(provider, [event], signature);
      return;
    }
    const name = `${provider}|${signature}`;
    let batch = this.batches.get(name);
    if (!batch) {
      batch = [];
      this.batches.set(name, batch);
      this.later(wait, () => this.flush(name, batch));
    }
    batch.push(event);
    if (batch.length >= max) this.flush(name, batch);
  }

  flush(name, batch) {
    if (this.batches.get(name) !== batch) return;
    this.batches.delete(name);
    const [provider, signature] = name.split('|');
    this.dispatch(provider, batch, signature);
  }

  /* ---- delivery ---- */

  dispatch(provider, events, signature) {
    const shape = this.app.providers[provider];
    const bodies = shape.webhookBodies(this.app, events);
    this.pending += bodies.length - events.length;
    for (const { to, body } of bodies) {
      const headers = shape.webhookHeaders(this.app, body);
      this.deliver({ provider, url: this.settings[to] || this.settings.url, body, headers: spoil(headers, signature) });
    }
  }

  /* Any body at all, e.g. one of a sample file. */
  deliverRaw(delivery) {
    this.pending++;
    return this.deliver(delivery);
  }

  deliver({ provider, url, body, headers }) {
    const delivery = {
      seq: ++this.seq, provider, url, body, at: new Date().toISOString(), state: 'sending', attempts: [],
    };
    this.deliveries.push(delivery);
    if (!url) this.settle(delivery, 'given_up');
    else this.attempt(delivery, headers);
    return delivery;
  }

  attempt(delivery, headers) {
    const generation = this.generation;
    this.post(delivery, headers, (outcome) => {
      if (generation !== this.generation) return;
      delivery.attempts.push({ at: new Date().toISOString(), ...outcome });
      if (outcome.status >= 200 && outcome.status < 300) this.settle(delivery, 'delivered');
      else if (delivery.attempts.length >= this.settings.attempts) this.settle(delivery, 'given_up');
      else this.retry(delivery, headers);
    });
  }

  retry(delivery, headers) {
    this.counts.retries++;
    this.later(this.settings.retry_ms * 2 ** (delivery.attempts.length - 1), () => this.attempt(delivery, headers));
  }

  settle(delivery, state) {
    delivery.state = state;
    this.counts[state]++;
    this.pending--;
  }

  /* tell({status} or {error}) is called once, whatever else the socket has to say later. */
  post({ url, body }, headers, tell) {
    let told = false;
    const done = (outcome) => {
      if (!told) tell(outcome);
      told = true;
    };
    const secure = url.startsWith('https:');
    const agent = secure ? this.https : this.http;
    agent.maxSockets = this.settings.concurrency;
    const options = {
      method: 'POST', agent, timeout: this.settings.timeout_ms, rejectUnauthorized: this.settings.verify_tls,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'user-agent': 'facebookexternalua', ...headers },
    };
    let request;
    try {
      request = (secure ? https : http).request(url, options);
    } catch (e) {
      done({ error: e.message });
      return;
    }
    request.on('response', (response) => {
      response.resume();
      response.on('end', () => done({ status: response.statusCode }));
      response.on('error', (e) => done({ error: e.message }));
    });
    request.on('timeout', () => request.destroy(new Error('timed out')));
    request.on('error', (e) => done({ error: e.code || e.message }));
    request.end(body);
  }

  stats() {
    return { ...this.counts, pending: this.pending };
  }
}

/* A signature of the right form over other bytes, or none. */
function spoil(headers, signature) {
  if (signature === 'good') return headers;
  return Object.fromEntries(Object.entries(headers)
    .filter(() => signature === 'bad')
    .map(([name, value]) => [name, value.replace(/[0-9a-zA-Z](?=[^=]*$)/g, (c) => (c === '0' ? '1' : '0'))]));
}

module.exports = { Webhooks };
