'use strict';
/*
 * The double, put together: who knows what, and where a request goes.
 */
const fs = require('node:fs');
const { monitorEventLoopDelay } = require('node:perf_hooks');
const { Settings } = require('./settings');
const { Journal } = require('./journal');
const { Templates } = require('./templates');
const { Customers } = require('./customers');
const { Faults } = require('./faults');
const { Webhooks } = require('./webhooks');
const { Listener } = require('./listener');
const { Exchange } = require('./exchange');
const control = require('./control');
const meta = require('./meta');
const tata = require('./tata');

const CONTROL = '/_double/';
const NOWHERE = { provider: 'meta', kind: 'unknown', sender: null };

function readSecret(file) {
  return file ? fs.readFileSync(file, 'utf8').trim() : null;
}

class Double {
  /* options: host, port, cert, key, webhookUrl, appSecretFile, webhookKeyFile, journal, settings */
  constructor(options = {}) {
    this.options = { host: '127.0.0.1', port: 0, ...options };
    this.settings = new Settings(options.settings);
    if (options.webhookUrl) this.settings.webhooks.url = options.webhookUrl;
    this.secrets = { appSecret: readSecret(options.appSecretFile), webhookKey: readSecret(options.webhookKeyFile) };
    this.providers = { meta, tata };
    this.journal = new Journal(this.settings, options.journal);
    this.templates = new Templates(this.settings);
    this.customers = new Customers(this.settings);
    this.faults = new Faults(this.settings);
    this.webhooks = new Webhooks(this);
    this.listener = new Listener({
      cert: options.cert, key: options.key, settings: this.settings,
      onRequest: (req, res) => this.handle(req, res),
    });
    this.templates.onStatus = (template, rejection) => {
      this.webhooks.plan('meta', meta.templateEvent(template, rejection), { provider: 'meta', kind: 'template' });
    };
    this.inFlight = 0;
    this.maxInFlight = 0;
    this.lag = monitorEventLoopDelay({ resolution: 10 });
    this.lag.enable();
  }

  async start() {
    Object.assign(this, await this.listener.listen(this.options.port, this.options.host));
    return { port: this.port, url: this.url };
  }

  async stop() {
    this.lag.disable();
    this.webhooks.close();
    await this.listener.close();
    this.journal.close();
  }

  handle(req, res) {
    const mark = req.url.indexOf('?');
    const path = mark < 0 ? req.url : req.url.slice(0, mark);
    const query = mark < 0 ? {} : Object.fromEntries(new URLSearchParams(req.url.slice(mark + 1)));
    if (path.startsWith(CONTROL)) {
      control.handle(this, req, res, path.slice(CONTROL.length), query);
      return;
    }
    const route = meta.route(req.method, path) || tata.route(req.method, path) || NOWHERE;
    this.maxInFlight = Math.max(this.maxInFlight, ++this.inFlight);
    new Exchange(this, req, res, { route, path, query, connection: this.listener.connectionId(req) }).run();
  }

  ended() {
    this.inFlight--;
  }

  /* A message has been taken: it will be remembered, and its statuses follow. */
  accept(message) {
    this.customers.remember(message);
    this.webhooks.planMessage(message);
  }

  stats() {
    const { counts, ring, tally, tallyOverflow } = this.journal;
    return {
      ...counts,
      in_flight: this.inFlight,
      max_in_flight: this.maxInFlight,
      lag_ms: Math.ceil(this.lag.max / 1e6),
      connections: this.listener.stats(),
      journal: { kept: ring.items.length, dropped: ring.dropped, callbacks: tally.size, callbacks_not_counted: tallyOverflow },
      webhooks: this.webhooks.stats(),
    };
  }

  /* A new experiment.  Settings and templates stay unless `all` is asked for. */
  reset({ all = false } = {}) {
    this.journal.reset();
    this.customers.reset();
    this.faults.clear();
    this.webhooks.rules.clear();
    this.webhooks.forget();
    this.listener.resetCounts();
    this.lag.reset();
    this.maxInFlight = this.inFlight;
    if (!all) return;
    this.templates.clear();
    this.settings.reset();
    if (this.options.settings) this.settings.patch(this.options.settings);
    if (this.options.webhookUrl) this.settings.webhooks.url = this.options.webhookUrl;
  }

  /* A mistake of the double itself: never silent. */
  complain(e) {
    process.stderr.write(`double: ${e.stack || e}\n`);
  }
}

module.exports = { Double };
