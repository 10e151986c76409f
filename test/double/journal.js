'use strict';
/*
 * What the double was asked, when, and what it made of it.
 *
 * The entries are a ring in memory.  With a file, one line is written when the verdict is known
 * and before the answer leaves: after a kill -9, whatever a client was told is in the file.
 * How often a callback was taken is counted apart from the ring, so that a duplicate is still
 * found when the first of the two entries has been dropped.
 */
const fs = require('node:fs');
const crypto = require('node:crypto');

const masks = new Map();

/* Enough to see that two requests bore the same token, and no more. */
function maskToken(header) {
  if (!header) return null;
  let mask = masks.get(header);
  if (!mask) {
    const [, scheme] = /^(Bearer )?/i.exec(header);
    const print = crypto.createHash('sha256').update(header).digest('hex').slice(0, 8);
    mask = `${scheme || ''}***${print}`;
    if (masks.size > 1000) masks.clear();
    masks.set(header, mask);
  }
  return mask;
}

class Ring {
  constructor(limit) {
    this.limit = limit;
    this.clear();
  }

  clear() {
    this.items = [];
    this.start = 0;
    this.dropped = 0;
  }

  push(item) {
    if (this.items.length < this.limit) {
      this.items.push(item);
      return;
    }
    this.items[this.start] = item;
    this.start = (this.start + 1) % this.items.length;
    this.dropped++;
  }

  /* Keeps the newest when the ring shrinks. */
  resize(limit) {
    const all = [...this];
    this.dropped += Math.max(0, all.length - limit);
    this.items = limit > 0 ? all.slice(-limit) : [];
    this.start = 0;
    this.limit = limit;
  }

  *[Symbol.iterator]() {
    for (let i = 0; i < this.items.length; i++) yield this.items[(this.start + i) % this.items.length];
  }
}

const FILTERS = {
  to: (entry, value) => entry.to !== null && entry.to.replace(/\D/g, '') === value.replace(/\D/g, ''),
  callback: (entry, value) => entry.callback === value,
  provider: (entry, value) => entry.provider === value,
  kind: (entry, value) => entry.kind === value,
  template: (entry, value) => entry.template === value,
  outcome: (entry, value) => entry.outcome === value,
  path: (entry, value) => entry.path.startsWith(value),
  taken: (entry, value) => entry.taken === (value === 'true' || value === '1'),
  code: (entry, value) => entry.code === Number(value),
  fault: (entry, value) => entry.fault !== null && entry.fault.id === Number(value),
  since: (entry, value) => entry.seq > Number(value),
};

/* A test of entries from query parameters; parameters that are no filter are left alone. */
function entryFilter(query) {
  const tests = Object.keys(FILTERS).filter((name) => query[name] !== undefined)
    .map((name) => (entry) => FILTERS[name](entry, query[name]));
  return (entry) => tests.every((test) => test(entry));
}

class Journal {
  constructor(settings, file) {
    this.settings = settings.journal;
    this.ring = new Ring(this.settings.limit);
    this.clearCounts();
    this.seq = 0;
    this.fd = null;
    if (file) this.openFile(file);
  }

  clearCounts() {
    this.counts = { requests: 0, taken: 0, refused: 0, undecided: 0 };
    this.tally = new Map();
    this.tallyOverflow = 0;
  }

  /* Goes on with the file of a former incarnation. */
  openFile(file) {
    const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
    for (const line of text.split('\n')) this.recall(line);
    this.fd = fs.openSync(file, 'a', 0o600);
    if (text !== '' && !text.endsWith('\n')) fs.writeSync(this.fd, '\n');
  }

  /* A torn last line is what kill -9 may leave: not an entry, and not an error. */
  recall(line) {
    let entry;
    try {
      entry = JSON.parse(line);
    } catch {
      return;
    }
    this.seq = Math.max(this.seq, entry.seq);
    this.ring.push(entry);
    this.counts.requests++;
    this.count(entry);
  }

  /* A new entry, at the arrival of the request's headers. */
  open(request) {
    if (this.ring.limit !== this.settings.limit) this.ring.resize(this.settings.limit);
    const entry = {
      seq: ++this.seq,
      at: new Date().toISOString(),
      mono_ns: process.hrtime.bigint(),
      ...request,
      to: null, callback: null, type: null, template: null,
      bytes: 0, body: null, fault: null,
      taken: false, code: null, status: null, outcome: 'undecided', answer: null,
      message_id: null, rendered: null,
      decided_us: null, ended_us: null, answer_sent: null,
    };
    this.ring.push(entry);
    this.counts.requests++;
    return entry;
  }

  /* The verdict: from here on the entry counts, also after a crash. */
  decide(entry) {
    entry.decided_us = microsSince(entry.mono_ns);
    this.count(entry);
    if (this.fd !== null) fs.writeSync(this.fd, stringify(entry) + '\n');
  }

  count(entry) {
    if (entry.kind !== 'message') return;
    if (!entry.taken) {
      if (entry.outcome === 'answered') this.counts.refused++;
      else this.counts.undecided++;
      return;
    }
    this.counts.taken++;
    if (entry.callback === null) return;
    const before = this.tally.get(entry.callback) || 0;
    if (before === 0 && this.tally.size >= this.settings.tally_limit) this.tallyOverflow++;
    else this.tally.set(entry.callback, before + 1);
  }

  find(query = {}) {
    const accepts = entryFilter(query);
    const found = [];
    for (const entry of this.ring) if (accepts(entry)) found.push(entry);
    return found;
  }

  duplicates() {
    const many = new Map();
    for (const [callback, taken] of this.tally) if (taken > 1) many.set(callback, { callback, taken, entries: [] });
    for (const entry of this.ring) {
      if (entry.taken && many.has(entry.callback)) many.get(entry.callback).entries.push(brief(entry));
    }
    return [...many.values()];
  }

  reset() {
    this.ring.clear();
    this.clearCounts();
    if (this.fd !== null) fs.ftruncateSync(this.fd);
  }

  close() {
    if (this.fd !== null) fs.closeSync(this.fd);
    this.fd = null;
  }
}

const microsSince = (ns) => Number((process.hrtime.bigint() - ns) / 1000n);

function brief({ seq, at, mono_ns, connection, to, message_id, outcome }) {
  return { seq, at, mono_ns, connection, to, message_id, outcome };
}

/* Nanoseconds are written as strings: as numbers they lose digits after 104 days of uptime. */
function stringify(value) {
  return JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? String(v) : v));
}

module.exports = { Journal, Ring, maskToken, microsSince, stringify };
