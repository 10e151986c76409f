'use strict';
/*
 * Meta's Cloud API: its paths, its answers, its webhooks.
 */
const crypto = require('node:crypto');
const { ProviderError, refuse, envelope, statusError } = require('./errors');
const { acceptMessage, checkCallback, isObject } = require('./messages');

const PATH = /^\/v\d{1,2}\.\d\/([^/]+)\/(messages|message_templates)\/?$/;

function route(method, path) {
  const found = PATH.exec(path);
  if (!found) return /^\/v\d{1,2}\.\d\//.test(path) ? { provider: 'meta', kind: 'unknown', sender: null } : null;
  const [, id, edge] = found;
  if (edge === 'messages' && method === 'POST') return { provider: 'meta', kind: 'message', sender: id };
  if (edge === 'message_templates' && method === 'POST') return { provider: 'meta', kind: 'template', sender: id };
  if (edge === 'message_templates' && method === 'GET') return { provider: 'meta', kind: 'templates', sender: id };
  return { provider: 'meta', kind: 'unknown', sender: id };
}

function checkToken(settings, header) {
  const [, token] = /^Bearer\s+(\S+)$/i.exec(header || '') || [];
  const known = settings.meta.tokens;
  if (!token || (known.length > 0 && !known.includes(token))) {
    refuse(190, { message: 'Invalid OAuth access token - Cannot parse access token' });
  }
}

/* Graph does not tell a missing object from one that may not be seen. */
function checkObject(method, id, known) {
  if (/^\d+$/.test(id || '') && (known.length === 0 || known.includes(id))) return;
  refuse(100, {
    message: `Unsupported ${method.toLowerCase()} request. Object with ID '${id}' does not exist, cannot be loaded due to missing `
      + 'permissions, or does not support this operation. Please read the Graph API documentation at '
      + 'https://developers.facebook.com/docs/graph-api',
    type: 'GraphMethodException',
    subcode: 33,
  });
}

function bodyOf(json) {
  if (!isObject(json)) refuse(100, { message: '(#100) The request body is not a JSON object.' });
  return json;
}

function takeMessage(app, { sender, json }) {
  const body = bodyOf(json);
  if (body.messaging_product === undefined) refuse(100, { message: '(#100) The parameter messaging_product is required.' });
  if (body.messaging_product !== 'whatsapp') refuse(100, { message: "(#100) Param messaging_product must be one of {WHATSAPP}" });
  if (body.recipient_type !== undefined && body.recipient_type !== 'individual') {
    refuse(100, { message: '(#100) Param recipient_type must be one of {INDIVIDUAL}' });
  }
  const callback = checkCallback('biz_opaque_callback_data', body.biz_opaque_callback_data);
  const message = acceptMessage(app, { provider: 'meta', sender, body, callback });
  const contact = message.customer ? { input: body.to, wa_id: message.customer } : { input: body.recipient, user_id: message.userId };
  const sent = { id: message.id };
  if (app.settings.meta.message_status) sent.message_status = app.settings.meta.message_status;
  return { message, body: { messaging_product: 'whatsapp', contacts: [contact], messages: [sent] } };
}

function takeTemplate(app, { json }) {
  const { id, status, category } = app.templates.submit(bodyOf(json));
  return { body: { id, status, category } };
}

function listTemplates(app, { query }) {
  const all = app.templates.list(query);
  const data = query.limit ? all.slice(0, Number(query.limit)) : all;
  return { body: { data, paging: { cursors: { before: 'MAZDZD', after: 'MjQZD' } } } };
}

/* request: {method, kind, sender, headers, query, json}; the answer's body and what was taken. */
function handle(app, request) {
  const { settings } = app;
  checkToken(settings, request.headers.authorization);
  const known = request.kind === 'message' ? settings.meta.phone_number_ids : settings.meta.waba_ids;
  if (request.kind === 'unknown') checkObject(request.method, null, []);
  checkObject(request.method, request.sender, known);
  if (request.kind === 'message') return takeMessage(app, request);
  if (request.kind === 'template') return takeTemplate(app, request);
  return listTemplates(app, request);
}

function invalidJson() {
  return new ProviderError(100, { message: '(#100) Invalid parameter: the request body is not valid JSON.' });
}

/* ---- webhooks ---- */

const seconds = (ms) => String(Math.floor(ms / 1000));
const wabaOf = (app) => app.settings.meta.waba_ids[0] || app.settings.meta.waba_id;

function statusEvent(message, { status, at, failure }) {
  const item = { id: message.id, status, timestamp: seconds(at) };
  if (message.customer) item.recipient_id = message.customer;
  else item.recipient_user_id = message.userId;
  if (failure) item.errors = [statusError(failure.code, failure.details)];
  else if (status === 'sent' && message.category) {
    item.pricing = { billable: true, pricing_model: 'PMP', type: 'regular', category: message.category.toLowerCase() };
  }
  if (message.callback !== null) item.biz_opaque_callback_data = message.callback;
  return { field: 'messages', key: 'statuses', sender: message.sender, item };
}

function inboundEvent(sender, contact, item) {
  return { field: 'messages', key: 'messages', sender, contact, item };
}

function preferenceEvent(sender, { customer, value, at }) {
  const item = {
    wa_id: customer,
    detail: `User requested to ${value} marketing messages`,
    category: 'marketing_messages',
    value,
    timestamp: Math.floor(at / 1000),
  };
  return { field: 'user_preferences', key: 'user_preferences', sender, contact: { wa_id: customer }, item };
}

function templateEvent(template, rejection) {
  const value = {
    event: template.status,
    message_template_id: Number(template.id),
    message_template_name: template.name,
    message_template_language: template.language,
    reason: 'NONE',
    message_template_category: template.category,
    ...rejection,
  };
  return { field: 'message_template_status_update', value };
}

/* Events of one kind from one number share a change, as in Meta's batches. */
function changesOf(app, events) {
  const shared = new Map();
  const changes = [];
  for (const event of events) {
    if (event.value) {
      changes.push({ value: event.value, field: event.field });
      continue;
    }
    const name = `${event.field}|${event.key}|${event.sender}`;
    if (!shared.has(name)) {
      const metadata = { display_phone_number: app.settings.meta.display_phone_number, phone_number_id: event.sender };
      const value = { messaging_product: 'whatsapp', metadata };
      if (event.contact) value.contacts = [];
      value[event.key] = [];
      shared.set(name, value);
      changes.push({ value, field: event.field });
    }
    const value = shared.get(name);
    value[event.key].push(event.item);
    if (event.contact) value.contacts.push(event.contact);
  }
  return changes;
}

/*
 * Meta signs JSON in which everything that is not ASCII, and every slash, is escaped: who parses
 * and prints it again before checking the signature gets other bytes.
 */
function escapedJson(value) {
  return JSON.stringify(value).replace(/\//g, '\\/')
    .replace(/[\u0080-\uffff]/g, (c) => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
}

function sign(secret, bytes) {
  return 'sha256=' + crypto.createHmac('sha256', secret).update(bytes).digest('hex');
}

/* The bodies for some events: [{to: which URL, body: bytes as a string}]. */
function webhookBodies(app, events) {
  const entry = { id: wabaOf(app), changes: changesOf(app, events) };
  if (events.every((event) => event.value)) entry.time = Math.floor(Date.now() / 1000);
  return [{ to: 'meta_url', body: escapedJson({ object: 'whatsapp_business_account', entry: [entry] }) }];
}

function webhookHeaders(app, body) {
  return app.secrets.appSecret ? { 'x-hub-signature-256': sign(app.secrets.appSecret, body) } : {};
}

module.exports = {
  name: 'meta', route, handle, refusal: envelope, invalidJson,
  callbackOf: (json) => json.biz_opaque_callback_data,
  tokenHeader: () => 'authorization',
  statusEvent, inboundEvent, preferenceEvent, templateEvent, webhookBodies, webhookHeaders,
  escapedJson, sign,
};
