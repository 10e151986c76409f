'use strict';
/*
 * What Meta refuses when a template is created: at once (lintTemplate), with the subcodes of its
 * error page, or in review (reviewTemplate), with the reason of the status webhook.
 */
const { refuse, refuseTemplate } = require('./errors');

const VARIABLE = /\{\{\s*([A-Za-z0-9_]+)\s*\}\}/g;
const EMOJI = /\p{Extended_Pictographic}|\p{Regional_Indicator}/u;
const FORMATTING = /[*_~`]/;
const NEWLINE = /[\r\n]/;

const CATEGORIES = ['AUTHENTICATION', 'MARKETING', 'UTILITY'];
const MEDIA = ['IMAGE', 'VIDEO', 'GIF', 'DOCUMENT'];
const BUTTON_LIMITS = { URL: 2, PHONE_NUMBER: 1, COPY_CODE: 1, QUICK_REPLY: 10 };

const TOO_LONG = 2388040;
const HEADER = 2388047;
const BODY = 2388072;
const FOOTER = 2388073;
const BUTTONS = 2388060;
const RATIO = 2388293;
const AT_THE_EDGE = 2388299;

const upper = (v) => String(v || '').toUpperCase();
const length = (text) => [...text].length;
const names = (text) => [...text.matchAll(VARIABLE)].map((m) => m[1]);
const hasVariable = (text) => names(text).length > 0;

function limit(text, max, what) {
  if (length(text) > max) refuseTemplate(TOO_LONG, `${what} can't be longer than ${max} characters.`);
}

function required(template, name) {
  if (template[name] === undefined || template[name] === '') {
    refuse(100, { message: `(#100) The parameter ${name} is required.` });
  }
}

function lintIdentity(template) {
  for (const name of ['name', 'language', 'category', 'components']) required(template, name);
  if (!/^[a-z0-9_]{1,512}$/.test(template.name)) {
    refuse(100, { message: "(#100) Param name must only contain lowercase letters, numbers and underscores." });
  }
  if (!CATEGORIES.includes(upper(template.category))) {
    refuse(100, { message: `(#100) Param category must be one of {${CATEGORIES.join(', ')}}` });
  }
  if (!Array.isArray(template.components)) refuse(100, { message: '(#100) Param components must be an array.' });
}

function lintHeader(header) {
  const format = upper(header.format);
  const example = header.example || {};
  if (MEDIA.includes(format)) {
    if (!example.header_handle) refuseTemplate(HEADER, `A ${format} header needs an example (header_handle).`);
    return;
  }
  if (format === 'LOCATION') return;
  if (format !== 'TEXT' || !header.text) refuseTemplate(HEADER);
  limit(header.text, 60, 'Header text');
  const variables = names(header.text);
  const fixed = header.text.replace(VARIABLE, '');
  if (variables.length > 1 || NEWLINE.test(fixed) || EMOJI.test(fixed) || FORMATTING.test(fixed)) refuseTemplate(HEADER);
  if (variables.length > 0 && !example.header_text && !example.header_text_named_params) {
    refuseTemplate(HEADER, 'The header has a variable and no example value.');
  }
}

/* Positional variables are 1..n without a gap. */
function lintNumbering(variables) {
  const numbers = [...new Set(variables)].map(Number).sort((a, b) => a - b);
  if (numbers.some((n, i) => n !== i + 1)) refuseTemplate(BODY, 'Variables must be numbered from 1 without a gap.');
}

function lintBodyExamples(body, variables, named) {
  if (variables.length === 0) return;
  const example = body.example || {};
  const values = named ? example.body_text_named_params : (example.body_text || [])[0];
  if (!Array.isArray(values) || values.length !== new Set(variables).size) {
    refuseTemplate(BODY, 'The body needs one example value for each variable.');
  }
}

function lintBody(body, named, settings) {
  if (typeof body.text !== 'string' || body.text.trim() === '') refuseTemplate(BODY, 'The body needs a text.');
  limit(body.text, 1024, 'Body text');
  const variables = names(body.text);
  if (!named) lintNumbering(variables);
  const trimmed = body.text.trim();
  if (/^\{\{[^{}]*\}\}/.test(trimmed) || /\{\{[^{}]*\}\}$/.test(trimmed)) refuseTemplate(AT_THE_EDGE);
  const words = trimmed.replace(VARIABLE, ' ').split(/\s+/).filter((w) => /[\p{L}\p{N}]/u.test(w)).length;
  const enough = settings.words_per_variable * variables.length + 1;
  if (settings.words_per_variable > 0 && variables.length > 0 && words < enough) refuseTemplate(RATIO);
  lintBodyExamples(body, variables, named);
}

function lintFooter(footer) {
  const text = footer.text || '';
  limit(text, 60, 'Footer text');
  if (text === '' || hasVariable(text) || NEWLINE.test(text) || EMOJI.test(text)) refuseTemplate(FOOTER);
}

function lintUrl(button, where) {
  const url = button.url || '';
  const notAUri = () => refuse(100, { message: `(#100) Param ${where}['url'] is not a valid URI.` });
  limit(url, 2000, 'URL');
  const variables = names(url);
  if (variables.length > 1) refuseTemplate(BUTTONS, "Button URLs can't have more than one variable.");
  if (variables.length === 1 && !/\}\}$/.test(url)) refuseTemplate(BUTTONS, 'A variable must be at the end of the URL.');
  const fixed = url.replace(VARIABLE, '');
  if (!/^https?:\/\/[^/\s?#]/.test(fixed) || !parses(fixed)) notAUri();
  const examples = [].concat(button.example || []);
  if (variables.length === 1 && examples.length !== 1) refuseTemplate(BUTTONS, 'A URL with a variable needs an example.');
}

/* URL.canParse is younger than Node 18. */
function parses(url) {
  try {
    return Boolean(new URL(url));
  } catch {
    return false;
  }
}

function lintButton(button, where) {
  const type = upper(button.type);
  if (type === 'COPY_CODE') return;
  const text = button.text || '';
  if (text === '' || hasVariable(text) || NEWLINE.test(text) || EMOJI.test(text) || FORMATTING.test(text)) {
    refuseTemplate(BUTTONS);
  }
  limit(text, 25, 'Button text');
  if (type === 'URL') lintUrl(button, where);
  if (type === 'PHONE_NUMBER' && !/^\+?\d{5,19}$/.test(button.phone_number || '')) {
    refuse(192, { message: `(#192) Param ${where}['phone_number'] is not a valid phone number.` });
  }
}

/* QR,QR,URL and URL,QR,QR are grouped; QR,URL,QR is not. */
function quickRepliesAreGrouped(types) {
  const first = types.indexOf('QUICK_REPLY');
  const last = types.lastIndexOf('QUICK_REPLY');
  return first < 0 || types.slice(first, last + 1).every((type) => type === 'QUICK_REPLY');
}

function lintButtons(component, index) {
  const buttons = component.buttons;
  if (!Array.isArray(buttons) || buttons.length === 0) refuseTemplate(BUTTONS);
  if (buttons.length > 10) refuseTemplate(BUTTONS, 'A template can have at most 10 buttons.');
  const types = buttons.map((b) => upper(b.type));
  for (const [type, max] of Object.entries(BUTTON_LIMITS)) {
    if (types.filter((t) => t === type).length > max) {
      refuseTemplate(BUTTONS, `A template can have at most ${max} ${type} buttons.`);
    }
  }
  if (!quickRepliesAreGrouped(types)) refuseTemplate(BUTTONS, 'Quick reply buttons must be grouped together.');
  buttons.forEach((button, i) => lintButton(button, `components[${index}]['buttons'][${i}]`));
}

function lintTemplate(template, settings) {
  lintIdentity(template);
  const types = template.components.map((c) => upper(c.type));
  const named = upper(template.parameter_format) === 'NAMED';
  if (types.filter((t) => t === 'BODY').length !== 1) refuseTemplate(BODY, 'A template needs exactly one body.');
  template.components.forEach((component, i) => {
    if (types.indexOf(types[i]) !== i) refuse(100, { message: `(#100) Invalid parameter: more than one ${types[i]} component.` });
    if (types[i] === 'HEADER') lintHeader(component);
    else if (types[i] === 'BODY') lintBody(component, named, settings);
    else if (types[i] === 'FOOTER') lintFooter(component);
    else if (types[i] === 'BUTTONS') lintButtons(component, i);
    else refuse(100, { message: `(#100) Param components[${i}]['type'] must be one of {HEADER, BODY, FOOTER, BUTTONS}` });
  });
}

/* What passes the form and is rejected by the reviewer; null when nothing is amiss. */
function reviewTemplate(template) {
  if (!/\}\}\{\{/.test(template.parsed.body.text)) return null;
  return {
    reason: 'INVALID_FORMAT',
    rejection_info: {
      reason: 'Your template has parameters placed next to each other (like {{1}}{{2}}) without text or punctuation between them.',
      recommendation: 'Separate parameters with descriptive text and ensure each parameter is clearly contextualized.',
    },
  };
}

module.exports = { lintTemplate, reviewTemplate, VARIABLE };
