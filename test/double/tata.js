'use strict';
/*
 * Tata Tele's Omni: Meta's message without messaging_product, an answer that is only a request
 * id, and flattened, unsigned webhooks.  How Omni words its errors is not published: they are
 * passed through in Meta's envelope, or flat, as the settings say.
 */
const crypto = require('node:crypto');
const { ProviderError, refuse, envelope, statusError } = require('./errors');
const { acceptMessage, checkCallback, isObject } = require('./messages');

const SENDER = 'omni';                    // one channel per token: the path names no number

function route(method, path) {
  const at = (kind) => ({ provider: 'tata', kind, sender: SENDER });
  if (path === '/whatsapp-cloud/messages' && method === 'POST') return at('message');
  if (path === '/templates' && method === 'POST') return at('template');
  if ((path === '/templates' || path === '/templates/insights') && method === 'GET') return at('templates');
  return path.startsWith('/whatsapp-cloud/') ? at('unknown') : null;
}

/* The token as it is, or after "Bearer ": adapters in the field do both. */
function tokenOf(header, auth) {
  const [, bearer] = /^Bearer\s+(\S+)$/i.exec(header || '') || [];
  if (auth === 'bearer') return bearer;
  if (auth === 'raw') return bearer ? undefined : header;
  return bearer || header;
}

function checkToken(settings, headers) {
  const { tokens, auth, auth_header: name } = settings.tata;
  const token = tokenOf(headers[name.toLowerCase()], auth);
  if (!token || (tokens.length > 0 && !tokens.includes(token))) {
    refuse(190, { message: 'Unauthorized', details: 'The access token is missing or not valid.' });
  }
}

function takeMessage(app, { json }) {
  if (!isObject(json)) refuse(100, { message: '(#100) The request body is not a JSON object.' });
  if (json.source !== 'external') refuse(100, { message: '(#100) Param source must be one of {external}' });
  const callback = checkCallback('metaData.custom_callback_data', (json.metaData || {}).custom_callback_data);
  const message = acceptMessage(app, { provider: 'tata', sender: SENDER, body: json, callback });
  message.requestId = crypto.randomUUID();
  return { message, body: { id: message.requestId } };
}

function takeTemplate(app, { json }) {
  if (!isObject(json)) refuse(100, { message: '(#100) The request body is not a JSON object.' });
  const { id, status, category } = app.templates.submit(json);
  return { body: { id, status, category } };
}

function handle(app, request) {
  checkToken(app.settings, request.headers);
  if (request.kind === 'message') return takeMessage(app, request);
  if (request.kind === 'template') return takeTemplate(app, request);
  if (request.kind === 'templates') return { body: { data: app.templates.list(request.query) } };
  return refuse(100, { status: 404, message: 'Not Found', details: 'There is no such path.' });
}

function refusal(e, app) {
  if (app.settings.tata.error_shape === 'meta') return envelope(e);
  return { statusCode: e.status, code: e.code, message: e.message, details: e.details };
}

function invalidJson() {
  return new ProviderError(100, { message: '(#100) Invalid parameter: the request body is not valid JSON.' });
}

/* ---- webhooks ---- */

const seconds = (ms) => String(Math.floor(ms / 1000));

function statusEvent(message, { status, at, failure }) {
  const item = { id: message.id, status, timestamp: seconds(at), recipient_id: message.customer || message.userId };
  if (message.callback !== null) item.custom_callback_data = message.callback;
  if (failure) {
    const { href, ...error } = statusError(failure.code, failure.details);
    item.errors = [error];
  }
  return { statuses: [item] };
}

function envelopeOf(settings) {
  return { businessPhoneNumber: settings.business_phone_number, id: crypto.randomUUID(), botId: settings.bot_id };
}

function inboundEvent(sender, contact, item, app) {
  return { contacts: [contact], messages: item, ...envelopeOf(app.settings.tata) };
}

/* Omni has no such webhook that we know of; the person's stop then shows as 131050 only. */
const preferenceEvent = () => null;

/* Statuses are an array and can share a body; a message is an object and cannot. */
function webhookBodies(app, events) {
  const statuses = events.filter((event) => event.statuses).flatMap((event) => event.statuses);
  const others = events.filter((event) => !event.statuses);
  const bodies = others.map((event) => ({ to: 'tata_message_url', body: JSON.stringify(event) }));
  if (statuses.length > 0) bodies.unshift({ to: 'tata_status_url', body: JSON.stringify({ statuses }) });
  return bodies;
}

function webhookHeaders(app) {
  return app.secrets.webhookKey ? { [app.settings.webhooks.key_header]: app.secrets.webhookKey } : {};
}

module.exports = {
  name: 'tata', SENDER, route, handle, refusal, invalidJson,
  callbackOf: (json) => (isObject(json.metaData) ? json.metaData.custom_callback_data : undefined),
  tokenHeader: (settings) => settings.tata.auth_header.toLowerCase(),
  statusEvent, inboundEvent, preferenceEvent, webhookBodies, webhookHeaders,
};
