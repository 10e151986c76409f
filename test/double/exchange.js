'use strict';
/*
 * One request and its answer.
 *
 * The plain path is: read the body, judge it, commit the verdict to the journal, send the answer.
 * The verdict is committed before the first byte of the answer leaves, so that the journal never
 * knows less than the client does.  A fault rearranges these same steps.
 */
const { ProviderError } = require('./errors');
const { maskToken, microsSince } = require('./journal');
const { strike } = require('./faults');
const { isObject } = require('./messages');

const JSON_TYPE = 'application/json; charset=UTF-8';
const ANSWER_KEPT = 2048;
const utf8 = new TextDecoder('utf-8', { fatal: true });

class Exchange {
  constructor(app, req, res, { route, path, query, connection }) {
    this.app = app;
    this.req = req;
    this.res = res;
    this.route = route;
    this.query = query;
    this.provider = app.providers[route.provider];
    this.gone = false;
    this.committed = false;
    this.judged = null;
    this.bytes = null;
    this.json = undefined;
    this.releaseWriter = () => {};
    this.entry = app.journal.open({
      connection, http: req.httpVersion, method: req.method, path,
      provider: route.provider, kind: route.kind, sender: route.sender,
      authorization: maskToken(req.headers[this.provider.tokenHeader(app.settings)]),
      user_agent: req.headers['user-agent'] || null,
    });
    res.on('close', () => this.ended());
  }

  run() {
    const early = this.app.faults.pickEarly(this.entry);
    if (early) this.strike(early);
    else this.readBody();
  }

  strike(rule) {
    strike(this, rule).catch((e) => this.app.complain(e));
  }

  /* ---- the request ---- */

  readBody() {
    const blocks = [];
    let size = 0;
    this.req.on('data', (block) => {
      size += block.length;
      if (size <= this.app.settings.server.max_body) blocks.push(block);
    });
    this.req.on('end', () => {
      this.bytes = size > this.app.settings.server.max_body ? null : Buffer.concat(blocks);
      this.entry.bytes = size;
      this.hasBody();
    });
    this.req.on('error', () => {});       // the end of it is seen by ended()
  }

  hasBody() {
    this.parse();
    const rule = this.app.faults.pickLate(this.entry);
    if (rule) this.strike(rule);
    else this.finish();
  }

  /* Notes what can be read, also of a body that will be refused. */
  parse() {
    if (this.bytes === null || this.bytes.length === 0) return;
    try {
      const text = utf8.decode(this.bytes);
      this.entry.body = text.slice(0, this.app.settings.journal.body_limit);
      this.json = JSON.parse(text);
    } catch {
      return;
    }
    if (isObject(this.json) && this.route.kind === 'message') this.noteMessage(this.json);
  }

  noteMessage(json) {
    const text = (v) => (v === undefined || v === null ? null : String(v));
    this.entry.to = text(json.to) || text(json.recipient);
    this.entry.type = text(json.type);
    this.entry.callback = text(this.provider.callbackOf(json));
    this.entry.template = isObject(json.template) ? text(json.template.name) : null;
  }

  /* ---- the verdict ---- */

  /* What the provider answers; the same answer however often it is asked for. */
  judge() {
    if (this.judged === null) this.judged = this.judgeOnce();
    return this.judged;
  }

  judgeOnce() {
    try {
      if (this.bytes === null) return { status: 413, headers: {}, body: 'Payload Too Large', taken: false };
      if (this.json === undefined && this.req.method === 'POST') throw this.provider.invalidJson();
      const { kind, sender } = this.route;
      const request = { method: this.req.method, kind, sender, headers: this.req.headers, query: this.query, json: this.json };
      const { message = null, body } = this.provider.handle(this.app, request);
      return { status: 200, headers: {}, body: JSON.stringify(body), taken: message !== null, message };
    } catch (e) {
      if (e instanceof ProviderError) return { ...this.refusal(e), taken: false };
      this.app.complain(e);
      return { status: 500, headers: {}, body: JSON.stringify({ double: 'internal error', message: e.message }), taken: false };
    }
  }

  refusal(error) {
    return { status: error.status, code: error.code, headers: {}, body: JSON.stringify(this.provider.refusal(error, this.app)) };
  }

  /* Once: a client that left has settled it already. */
  commit(answer, outcome) {
    const { entry } = this;
    if (this.committed) return;
    this.committed = true;
    entry.outcome = outcome;
    entry.taken = answer.taken;
    entry.status = answer.status;
    entry.code = answer.code === undefined ? null : answer.code;
    entry.answer = answer.body.slice(0, ANSWER_KEPT);
    if (answer.taken) {
      entry.message_id = answer.message.id;
      entry.rendered = answer.message.rendered;
    }
    this.app.journal.decide(entry);
    if (answer.taken) this.app.accept(answer.message);
  }

  /* The plain end of a request. */
  finish() {
    const answer = this.judge();
    this.commit(answer, 'answered');
    this.send(answer);
  }

  /* The client left before there was a verdict: nothing was taken. */
  abandon() {
    this.commit({ status: null, body: '', taken: false }, 'aborted');
  }

  /* ---- the answer ---- */

  send({ status, headers, body }) {
    if (this.gone) return;
    this.res.writeHead(status, { 'content-type': JSON_TYPE, 'content-length': Buffer.byteLength(body), ...headers });
    this.res.end(body);
  }

  /* Headers and the beginning of a body; resolved when they have been handed to the network. */
  sendHead(status, headers, body) {
    if (this.gone) return Promise.resolve();
    this.res.writeHead(status, headers);
    return this.write(body);
  }

  startBody({ status, headers }, length) {
    if (this.gone) return;
    const size = length === undefined ? {} : { 'content-length': length };
    this.res.writeHead(status, { 'content-type': JSON_TYPE, ...size, ...headers });
  }

  /* Waits for the network, so that a large answer is not held in memory; ended() ends the wait too. */
  write(block) {
    if (this.gone) return Promise.resolve();
    return new Promise((resolve) => {
      this.releaseWriter = resolve;
      this.res.write(block, resolve);
    });
  }

  endBody() {
    if (!this.gone) this.res.end();
  }

  /* With HTTP/2 the scope may be the stream only; else all that shares the connection ends. */
  breakOff(how, { scope, h2_code: code = 2 } = {}) {
    if (this.gone) return;
    if (scope === 'stream' && this.req.stream) this.req.stream.close(code);
    else this.app.listener.breakConnection(this.req, how);
    if (how === 'reset' && !this.req.stream) this.ended();   // node 18 has no "close" for it over TLS
  }

  /* With HTTP/2 a response that was cut off also says that it has finished: ask the stream. */
  sentWhole() {
    const { res, req: { stream } } = this;
    return res.writableEnded && (stream ? stream.rstCode === 0 : res.writableFinished);
  }

  /* The answer is out, or will never be. */
  ended() {
    if (this.gone) return;
    this.gone = true;
    this.entry.ended_us = microsSince(this.entry.mono_ns);
    this.entry.answer_sent = this.sentWhole();
    this.releaseWriter();
    this.app.ended();
    this.abandon();
  }
}

module.exports = { Exchange };
