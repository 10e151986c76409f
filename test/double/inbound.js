'use strict';
/*
 * What comes from the customer's side when a test says so: a message, a tap, a preference, a
 * status out of its turn, or any body at all.
 */
const crypto = require('node:crypto');
const { digits } = require('./customers');
const tata = require('./tata');

const META_SENDER = '106540352242922';

function needs(body, ...names) {
  for (const name of names) if (body[name] === undefined) throw new Error(`"${name}" is missing`);
}

function providerOf(app, { provider = 'meta' }) {
  if (!Object.hasOwn(app.providers, provider)) throw new Error(`unknown provider "${provider}"`);
  return app.providers[provider];
}

/* The business number a customer writes to; Omni has one per token. */
function senderOf(app, { provider, phone_number_id: id }) {
  if (provider === 'tata') return tata.SENDER;
  return id || app.settings.meta.phone_number_ids[0] || META_SENDER;
}

/* The part of a message that depends on its type. */
const CONTENT = {
  text: ({ text = 'Hello' }) => ({ text: { body: text } }),
  button: ({ text, payload = text }) => ({ button: { payload, text } }),
  interactive: ({ id, title, description }) => ({
    interactive: description === undefined
      ? { type: 'button_reply', button_reply: { id, title } }
      : { type: 'list_reply', list_reply: { id, title, description } },
  }),
};

/* A tap names the message that carried the button: the one given, or the last one sent. */
function contextOf(app, { type, context, from }) {
  if (type === 'text' && !context) return {};
  const last = context ? null : app.customers.findMessage({ to: from });
  const id = context || (last && last.id);
  return id ? { context: { from: app.settings.meta.display_phone_number, id } } : {};
}

function customerWrites(app, body) {
  needs(body, 'from');
  const { provider = 'meta', type = 'text', name = 'Asha Rao', at = Date.now(), window = true, user_id: userId } = body;
  const shape = providerOf(app, body);
  const content = CONTENT[type];
  if (!content && !body.message) throw new Error(`unknown type "${type}": one of ${Object.keys(CONTENT).join(', ')}, or give "message"`);
  const from = digits(body.from);
  const sender = senderOf(app, body);
  const message = {
    ...contextOf(app, { ...body, type }),
    from,
    id: 'wamid.' + crypto.randomBytes(30).toString('base64'),
    timestamp: String(Math.floor(at / 1000)),
    type,
    ...(body.message || content(body)),
  };
  const contact = { profile: { name }, wa_id: from };
  if (userId) Object.assign(contact, { user_id: userId });
  if (window) app.customers.openWindow(sender, from, at);
  app.webhooks.plan(provider, shape.inboundEvent(sender, contact, message, app), { provider, sender, to: from, type });
  return { id: message.id };
}

function customerPrefers(app, body) {
  needs(body, 'from', 'value');
  if (!['stop', 'resume'].includes(body.value)) throw new Error('value must be stop or resume');
  const { provider = 'meta', value } = body;
  const shape = providerOf(app, body);
  const customer = digits(body.from);
  app.customers.setPreference(customer, value);
  const event = shape.preferenceEvent(senderOf(app, body), { customer, value, at: Date.now() });
  app.webhooks.plan(provider, event, { provider, to: customer, type: 'user_preferences' });
  return { customer, value, webhook: event !== null };
}

function statusComes(app, { id, callback, to, status = 'failed', code, details, delay_ms: delay }) {
  const message = app.customers.findMessage({ id, callback, to });
  if (!message) throw new Error('no such message was taken: give id, callback or to of one that was');
  const failure = status === 'failed' ? { code: code || 131026, details } : null;
  app.webhooks.sendStatus(message, { status, failure, delay_ms: delay });
  return { id: message.id, status };
}

/* Opens, ages or closes a service window without a message. */
function setWindow(app, body) {
  needs(body, 'from');
  const { open = true, age_hours: age = 0 } = body;
  const sender = senderOf(app, body);
  const customer = digits(body.from);
  if (open) app.customers.openWindow(sender, customer, Date.now() - age * 3600000);
  else app.customers.closeWindow(sender, customer);
  return { customer, open: app.customers.windowIsOpen(sender, customer) };
}

/* `body` is sent as JSON, `raw` byte for byte; signed as the provider does unless `sign` is false. */
function rawWebhook(app, body) {
  const { raw, sign = true, headers = {}, url, provider = 'meta' } = body;
  const shape = providerOf(app, body);
  const bytes = raw === undefined ? JSON.stringify(body.body) : raw;
  if (bytes === undefined) throw new Error('"body" or "raw" is missing');
  const delivery = app.webhooks.deliverRaw({
    provider,
    url: url || app.settings.webhooks.url,
    body: bytes,
    headers: { ...(sign ? shape.webhookHeaders(app, bytes) : {}), ...headers },
  });
  return { seq: delivery.seq };
}

module.exports = { customerWrites, customerPrefers, statusComes, setWindow, rawWebhook };
