'use strict';
/*
 * A message to be sent, whichever provider it came through: the checks of its fields, in the
 * order in which Meta makes them, and the message that is remembered when it is accepted.
 */
const crypto = require('node:crypto');
const { ProviderError, refuse } = require('./errors');
const { fillTemplate } = require('./template_send');
const { digits } = require('./customers');

const MEDIA = ['image', 'video', 'audio', 'sticker', 'document'];
const TYPES = ['text', 'template', 'interactive', 'location', 'contacts', 'reaction', ...MEDIA];
const CALLBACK_MAX = 512;
const TEXT_MAX = 4096;
const CAPTION_MAX = 1024;

const isObject = (v) => v !== null && typeof v === 'object' && !Array.isArray(v);
const mandatory = (name, type) => refuse(131008, `Parameter '${name}' is mandatory for type '${type}'`);
const required = (name) => refuse(100, { message: `(#100) The parameter ${name} is required.` });

function tooLong(name, text, max) {
  if ([...text].length > max) refuse(100, { message: `(#100) Param ${name} must be at most ${max} characters long.` });
}

/* The number as WhatsApp knows it, or refused. */
function customerOf(to, countryCode) {
  if (typeof to !== 'string') refuse(100, { message: '(#100) Param to must be a string.' });
  if (!/^\+?[\d\s().-]+$/.test(to) || !/^\d{7,15}$/.test(digits(to))) {
    refuse(131009, 'The phone number is malformed: Please use the format: +1234567890.');
  }
  const number = digits(to);
  return to.trim().startsWith('+') || number.length > 10 ? number : countryCode + number;
}

/* A number, or the business-scoped id that may stand in its place. */
function recipientOf(body, countryCode) {
  if (body.to !== undefined && body.to !== '') return { customer: customerOf(body.to, countryCode), userId: null };
  if (body.recipient === undefined) required('to');
  if (!/^[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}$/.test(body.recipient)) {
    refuse(131009, 'The recipient is not a business-scoped user ID.');
  }
  return { customer: null, userId: body.recipient };
}

function checkCallback(name, callback) {
  if (callback === undefined || callback === null) return null;
  if (typeof callback !== 'string') refuse(100, { message: `(#100) Param ${name} must be a string.` });
  tooLong(name, callback, CALLBACK_MAX);
  return callback;
}

function checkText(text) {
  if (typeof text.body !== 'string' || text.body === '') required("text['body']");
  tooLong("text['body']", text.body, TEXT_MAX);
  return { body: text.body, buttons: [] };
}

function checkMedia(type, media) {
  const { link, id, caption } = media;
  if (!link === !id) {
    refuse(100, { message: `(#100) The parameter ${type}['link'] or ${type}['id'] is required, and only one of them.` });
  }
  if (link && !/^https?:\/\/\S+$/.test(link)) refuse(100, { message: `(#100) Param ${type}['link'] is not a valid URI.` });
  if (caption) tooLong(`${type}['caption']`, caption, CAPTION_MAX);
  return { body: caption || '', media: { type, ...media }, buttons: [] };
}

function checkReplyButtons(buttons) {
  if (!Array.isArray(buttons) || buttons.length < 1 || buttons.length > 3) {
    refuse(131009, 'Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3');
  }
  return buttons.map(({ reply } = {}, i) => {
    if (!reply || !reply.id) required(`interactive['action']['buttons'][${i}]['reply']['id']`);
    const title = reply.title || '';
    if (title === '' || [...title].length > 20) refuse(131009, 'Button title length invalid. Min length: 1, Max length: 20');
    tooLong(`interactive['action']['buttons'][${i}]['reply']['id']`, reply.id, 256);
    return { type: 'REPLY', text: title, id: reply.id };
  });
}

function checkUrlAction({ display_text: text, url } = {}) {
  if (!text || !url) required("interactive['action']['parameters']");
  if (!/^https?:\/\/\S+$/.test(url)) refuse(131009, "Parameter 'url' is not a valid URI");
  return [{ type: 'URL', text, url }];
}

function checkInteractive(interactive) {
  const action = interactive.action;
  const body = (interactive.body || {}).text;
  if (!isObject(action)) required("interactive['action']");
  if (typeof body !== 'string' || body === '') required("interactive['body']['text']");
  tooLong("interactive['body']['text']", body, 1024);
  if (interactive.footer) tooLong("interactive['footer']['text']", interactive.footer.text || '', 60);
  if (interactive.type === 'button') return { body, buttons: checkReplyButtons(action.buttons) };
  if (interactive.type === 'cta_url') return { body, buttons: checkUrlAction(action.parameters) };
  if (interactive.type === 'list' && Array.isArray(action.sections)) return { body, buttons: [] };
  return refuse(100, { message: "(#100) Param interactive['type'] must be one of {BUTTON, CTA_URL, LIST}" });
}

function checkTemplate(app, sent, customer) {
  if (typeof sent.name !== 'string' || sent.name === '') required("template['name']");
  if (!isObject(sent.language)) required("template['language']");
  if (!sent.language.code) required("template['language']['code']");
  const stored = app.templates.usable(sent.name, sent.language.code);
  const rendered = fillTemplate(stored, sent, app.settings.checks.url_parameter);
  if (app.settings.checks.preferences && stored.category === 'MARKETING' && app.customers.refusesMarketing(customer)) {
    refuse(131050);
  }
  return { stored, rendered };
}

/* What is not a template may only answer a customer who wrote within the last day. */
function checkWindow(app, sender, customer) {
  if (app.settings.checks.window && !app.customers.windowIsOpen(sender, customer)) refuse(131047);
}

function checkFreeForm(type, body) {
  const content = body[type];
  if (type === 'text') return checkText(content);
  if (type === 'interactive') return checkInteractive(content);
  if (MEDIA.includes(type)) return checkMedia(type, content);
  return { body: '', [type]: content, buttons: [] };
}

function checkContent(app, type, body, sender, customer) {
  if (!TYPES.includes(type)) {
    refuse(100, { message: `(#100) Param type must be one of {${TYPES.map((t) => t.toUpperCase()).join(', ')}}` });
  }
  const content = body[type];
  if (type === 'contacts' ? !Array.isArray(content) : !isObject(content)) mandatory(type, type);
  if (type === 'template') return checkTemplate(app, content, customer);
  const rendered = checkFreeForm(type, body);
  checkWindow(app, sender, customer);
  return { stored: null, rendered };
}

/* Ids of the length and look of Meta's: base64 over the number and some random digits. */
function newMessageId(who) {
  const unique = crypto.randomBytes(9).toString('hex').toUpperCase();
  return 'wamid.' + Buffer.from(`\x1d\x18\x0c${who}\x15\x02\x00\x11\x18\x12${unique}\x00`, 'latin1').toString('base64');
}

/*
 * Accepts or refuses.  An error listed in errors_by_webhook is kept for a failed status: the
 * provider said 200 and found out later.
 */
function acceptMessage(app, { provider, sender, body, callback }) {
  const { customer, userId } = recipientOf(body, app.settings.checks.country_code);
  const type = body.type === undefined ? 'text' : String(body.type);
  const message = {
    id: newMessageId(customer || userId), provider, sender, customer, userId, callback, type,
    at: Date.now(), template: null, category: null, rendered: null, failure: null,
  };
  try {
    const { stored, rendered } = checkContent(app, type, body, sender, customer);
    Object.assign(message, { rendered, template: stored && stored.name, category: stored && stored.category });
  } catch (e) {
    if (!(e instanceof ProviderError) || !app.settings[provider].errors_by_webhook.includes(e.code)) throw e;
    message.failure = { code: e.code, details: e.details };
  }
  return message;
}

module.exports = { acceptMessage, checkCallback, isObject };
