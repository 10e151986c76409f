'use strict';
/*
 * The control API, /_double/...: JSON in, JSON out; a mistake in a request is a 400 that says what.
 */
const { stringify } = require('./journal');
const { publicForm } = require('./templates');
const inbound = require('./inbound');

const WAIT_STEP_MS = 10;
const WAIT_MAX_MS = 60000;
const JOURNAL_SHOWN = 1000;
const WAITS = ['count', 'idle', 'webhooks', 'timeout_ms'];

class NotFound extends Error {}

function readJson(req) {
  return new Promise((resolve, reject) => {
    const blocks = [];
    req.on('data', (block) => blocks.push(block));
    req.on('error', reject);
    req.on('end', () => {
      const text = Buffer.concat(blocks).toString('utf8');
      try {
        resolve(text === '' ? {} : JSON.parse(text));
      } catch (e) {
        reject(new Error(`the request body is not valid JSON: ${e.message}`));
      }
    });
  });
}

function answer(res, status, value) {
  if (res.destroyed) return;
  const body = stringify(value) + '\n';
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  res.end(body);
}

/* Oldest first, the newest `limit` of them. */
function journalPage(app, query) {
  const found = app.journal.find(query);
  const limit = Number(query.limit || JOURNAL_SHOWN);
  return { count: found.length, dropped: app.journal.ring.dropped, entries: limit > 0 ? found.slice(-limit) : [] };
}

function webhookPage(app, { state, limit = JOURNAL_SHOWN }) {
  const found = [...app.webhooks.deliveries].filter((d) => !state || d.state === state);
  return { count: found.length, stats: app.webhooks.stats(), deliveries: found.slice(-Number(limit)) };
}

/* Whether what a test waits for has come: so many entries, so many webhooks, nothing under way. */
function reached(app, query) {
  if (query.webhooks !== undefined && app.webhooks.counts.delivered < Number(query.webhooks)) return false;
  if (query.idle !== undefined && (app.inFlight > 0 || app.webhooks.pending > 0)) return false;
  if (query.count === undefined) return true;
  const plain = Object.keys(query).every((name) => WAITS.includes(name) || (name === 'taken' && query.taken === 'true'));
  const { counts } = app.journal;
  const now = plain ? (query.taken ? counts.taken : counts.requests) : app.journal.find(query).length;
  return now >= Number(query.count);
}

async function wait(app, _, query) {
  const until = Date.now() + Math.min(Number(query.timeout_ms || 5000), WAIT_MAX_MS);
  while (!reached(app, query)) {
    if (Date.now() >= until) return { reached: false, stats: app.stats() };
    await new Promise((resolve) => setTimeout(resolve, WAIT_STEP_MS));
  }
  return { reached: true, stats: app.stats() };
}

function addRules(rules, body) {
  const specs = [].concat(body);
  const added = specs.map((spec) => rules.add(spec));
  return Array.isArray(body) ? added : added[0];
}

function removeRules(rules, id) {
  return { removed: rules.clear(id === undefined ? undefined : Number(id)) };
}

function setTemplateStatus(app, { name, language, status, reason }) {
  const template = app.templates.find(name, language);
  if (!template) throw new NotFound(`there is no template "${name}" in ${language}`);
  app.templates.setStatus(template, String(status).toUpperCase(), reason ? { reason } : undefined);
  return publicForm(template);
}

function addTemplates(app, body) {
  const stored = [].concat(body).map((spec) => publicForm(app.templates.register(spec)));
  return Array.isArray(body) ? stored : stored[0];
}

function changeSettings(app, change) {
  app.settings.patch(change);
  return app.settings.masked();
}

function reset(app, body) {
  app.reset(body);
  return app.stats();
}

/* "METHOD what": (app, body, query, the rest of the path) => value or promise of one. */
const ROUTES = {
  'GET health': (app) => ({ ok: true, pid: process.pid, url: app.url, node: process.version }),
  'GET stats': (app) => app.stats(),
  'GET journal': (app, _, query) => journalPage(app, query),
  'GET duplicates': (app) => {
    const duplicates = app.journal.duplicates();
    return { count: duplicates.length, duplicates };
  },
  'GET wait': wait,
  'GET inbox': (app, _, { to = '' }) => ({ messages: app.customers.inbox(to) }),
  'GET settings': (app) => app.settings.masked(),
  'POST settings': changeSettings,
  'GET faults': (app) => app.faults.list(),
  'POST faults': (app, body) => addRules(app.faults, body),
  'DELETE faults': (app, _, __, id) => removeRules(app.faults, id),
  'GET webhook-rules': (app) => app.webhooks.rules.list(),
  'POST webhook-rules': (app, body) => addRules(app.webhooks.rules, body),
  'DELETE webhook-rules': (app, _, __, id) => removeRules(app.webhooks.rules, id),
  'GET webhooks': (app, _, query) => webhookPage(app, query),
  'POST webhooks': (app, body) => inbound.rawWebhook(app, body),
  'GET templates': (app, _, query) => app.templates.list(query),
  'POST templates': addTemplates,
  'POST template-status': setTemplateStatus,
  'POST inbound': (app, body) => inbound.customerWrites(app, body),
  'POST preferences': (app, body) => inbound.customerPrefers(app, body),
  'POST statuses': (app, body) => inbound.statusComes(app, body),
  'POST windows': (app, body) => inbound.setWindow(app, body),
  'POST reset': reset,
};

async function handle(app, req, res, path, query) {
  const [what, rest] = path.split('/');
  const route = ROUTES[`${req.method} ${what}`];
  try {
    const body = await readJson(req);
    if (!route) throw new NotFound(`there is no ${req.method} /_double/${what}; there are: ${Object.keys(ROUTES).join(', ')}`);
    answer(res, 200, await route(app, body, query, rest));
  } catch (e) {
    const why = e.userMessage || e.details;             // of a template that was refused
    answer(res, e instanceof NotFound ? 404 : 400, { error: why ? `${e.message}: ${why}` : e.message });
  }
}

module.exports = { handle };
