'use strict';
/*
 * Which requests (or webhooks) a rule is for.  The fields of `match` are compared first; among
 * those that agree, nth, every, after and probability choose.  A pattern is a value, a list of
 * values, or a string that ends in "*" (a prefix).
 */
const { seeded } = require('./random');

const FIELDS = ['provider', 'kind', 'path', 'method', 'sender', 'to', 'callback', 'template', 'type', 'status'];
const IN_BODY = ['to', 'callback', 'template', 'type'];
const CHOOSERS = ['nth', 'every', 'after', 'probability'];

/* "+91 98…" and "9198…" are one recipient. */
const digits = (v) => String(v).replace(/[^\d*]/g, '');

function onePattern(pattern, isPhone) {
  const wanted = isPhone ? digits(pattern) : String(pattern);
  if (wanted.endsWith('*')) {
    const prefix = wanted.slice(0, -1);
    return (v) => v.startsWith(prefix);
  }
  return (v) => v === wanted;
}

function fieldTest(name, pattern) {
  const isPhone = name === 'to';
  const tests = [].concat(pattern).map((p) => onePattern(p, isPhone));
  return (subject) => {
    const value = subject[name];
    if (value === null || value === undefined) return false;
    const text = isPhone ? digits(value) : String(value);
    return tests.some((test) => test(text));
  };
}

function positive(match, name) {
  const value = match[name];
  if (value !== undefined && !(Number.isInteger(value) && value > 0)) {
    throw new Error(`match.${name} must be a positive integer`);
  }
  return value;
}

class Matcher {
  constructor(match = {}, seed = 1) {
    for (const name of Object.keys(match)) {
      if (!FIELDS.includes(name) && !CHOOSERS.includes(name)) throw new Error(`unknown match field "${name}"`);
    }
    const named = FIELDS.filter((name) => match[name] !== undefined);
    this.tests = named.map((name) => fieldTest(name, match[name]));
    this.needsBody = named.some((name) => IN_BODY.includes(name));
    this.nth = match.nth === undefined ? null : new Set([].concat(match.nth));
    this.every = positive(match, 'every');
    this.after = match.after || 0;
    this.probability = match.probability === undefined ? 1 : match.probability;
    this.random = seeded(seed);
    this.seen = 0;
  }

  /* Counts the subject when its fields agree: "nth" is the nth that agrees. */
  hits(subject) {
    for (const test of this.tests) if (!test(subject)) return false;
    this.seen++;
    if (this.nth && !this.nth.has(this.seen)) return false;
    if (this.seen <= this.after) return false;
    if (this.every && this.seen % this.every !== 0) return false;
    return this.probability >= 1 || this.random() < this.probability;
  }
}

/* An ordered list of rules; the first that hits is the one. */
class Rules {
  constructor(settings, readRule) {
    this.settings = settings;
    this.readRule = readRule;
    this.rules = [];
    this.lastId = 0;
  }

  add(spec) {
    const { match, times, seed, ...rest } = spec;
    if (times !== undefined && !(Number.isInteger(times) && times > 0)) {
      throw new Error('times must be a positive integer');
    }
    const matcher = new Matcher(match, seed === undefined ? this.settings.seed : seed);
    const rule = { id: this.lastId + 1, spec, matcher, left: times || Infinity, used: 0, ...this.readRule(rest, matcher) };
    this.lastId = rule.id;
    this.rules.push(rule);
    return this.describe(rule);
  }

  pick(subject, eligible) {
    if (this.rules.length === 0) return null;
    for (const rule of this.rules) {
      if (rule.left === 0 || (eligible && !eligible(rule))) continue;
      if (!rule.matcher.hits(subject)) continue;
      rule.left--;
      rule.used++;
      return rule;
    }
    return null;
  }

  describe(rule) {
    return { id: rule.id, ...rule.spec, used: rule.used, seen: rule.matcher.seen };
  }

  list() {
    return this.rules.map((rule) => this.describe(rule));
  }

  /* Returns how many were removed. */
  clear(id) {
    const before = this.rules.length;
    this.rules = id === undefined ? [] : this.rules.filter((rule) => rule.id !== id);
    return before - this.rules.length;
  }
}

module.exports = { Matcher, Rules };
