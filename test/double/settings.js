'use strict';
/*
 * Everything that can be tuned while the double runs, with its default.  Empty lists of tokens
 * and ids mean "any": a test that wants the check fills them in.
 */
const DEFAULTS = {
  meta: {
    tokens: [],
    phone_number_ids: [],
    waba_ids: [],
    waba_id: '102290129340398',          // named in webhooks when waba_ids is empty
    display_phone_number: '15550783881',
    message_status: null,                // e.g. "held_for_quality_assessment"
    errors_by_webhook: [],               // codes told by a failed status after a 200
  },
  tata: {
    tokens: [],
    auth_header: 'authorization',
    auth: 'any',                         // raw | bearer | any
    error_shape: 'meta',                 // meta (passed through) | flat
    business_phone_number: '918060000305',
    bot_id: '669f0c1e5b1c2a0012ab34cd',
    errors_by_webhook: [],
  },
  checks: {
    window: true,                        // free-form only within window_hours of an inbound message
    window_hours: 24,
    preferences: true,                   // marketing to who said stop: 131050
    country_code: '91',                  // put before a ten-digit number that has no "+"
    url_parameter: 'documented',         // documented | strict (unreserved characters only)
  },
  templates: {
    review: 'APPROVED',
    review_ms: 0,
    words_per_variable: 2,               // 0: the ratio is not looked at
  },
  webhooks: {
    url: null,                           // for all that has no URL of its own below
    meta_url: null,
    tata_status_url: null,
    tata_message_url: null,
    statuses: [
      { status: 'sent', delay_ms: 0 },
      { status: 'delivered', delay_ms: 20 },
      { status: 'read', delay_ms: 40 },
    ],
    shuffle: false,                      // deal the delays out at random (seeded)
    batch_max: 1,
    batch_wait_ms: 20,
    attempts: 5,
    retry_ms: 100,                       // doubled at every retry
    timeout_ms: 10000,
    concurrency: 16,
    key_header: 'X-Wacta-Key',
    verify_tls: true,
  },
  journal: { limit: 100000, tally_limit: 2000000, body_limit: 65536 },
  server: {
    max_body: 3 * 1024 * 1024,
    keep_alive_ms: 75000,
    requests_per_connection: 0,          // HTTP/1.1: then it is closed; 0: no limit
    http2: true,                         // offered by TLS; read when the double starts
    h2_max_streams: 100,
    accept_ms: 0,                        // a TLS handshake begins about so long after the connection
  },
  seed: 1,
};

const isGroup = (v) => v !== null && typeof v === 'object' && !Array.isArray(v);
const kindOf = (v) => (Array.isArray(v) ? 'array' : v === null ? 'null' : typeof v);

/* A misspelt setting that does nothing would make a test pass for the wrong reason. */
function check(target, change, path = '') {
  if (!isGroup(change)) throw new Error(`settings${path}: an object is expected`);
  for (const [name, value] of Object.entries(change)) {
    if (!Object.hasOwn(target, name)) throw new Error(`unknown setting "${(path + '.' + name).slice(1)}"`);
    const now = target[name];
    if (isGroup(now)) check(now, value, `${path}.${name}`);
    else if (now !== null && value !== null && kindOf(now) !== kindOf(value)) {
      throw new Error(`setting "${(path + '.' + name).slice(1)}" is of type ${kindOf(now)}, not ${kindOf(value)}`);
    }
  }
}

function apply(target, change) {
  for (const [name, value] of Object.entries(change)) {
    if (isGroup(target[name])) apply(target[name], value);
    else target[name] = value;
  }
}

class Settings {
  constructor(change) {
    Object.assign(this, structuredClone(DEFAULTS));
    if (change) this.patch(change);
  }

  patch(change) {
    check(this, change);
    apply(this, change);
  }

  /* Groups are kept as objects, since the modules hold on to them. */
  reset() {
    apply(this, structuredClone(DEFAULTS));
  }

  /* For showing: which tokens are taken is nobody's business. */
  masked() {
    const copy = structuredClone({ ...this });
    for (const provider of ['meta', 'tata']) copy[provider].tokens = copy[provider].tokens.map(() => '***');
    return copy;
  }
}

module.exports = { Settings };
