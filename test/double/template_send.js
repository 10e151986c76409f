'use strict';
/*
 * A template send: the parameters against the template, and what the customer will see.
 */
const { refuse } = require('./errors');
const { VARIABLE } = require('./template_lint');

const BODY_MAX = 1024;
const HEADER_MAX = 60;
const URL_MAX = 2000;

const upper = (v) => String(v || '').toUpperCase();
const length = (text) => [...text].length;

/* What a URI may hold (RFC 3986), less the ones Meta names as special: space, ":" and "|". */
const DOCUMENTED = /^(?:[A-Za-z0-9\-._~/?@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*$/;
const STRICT = /^(?:[A-Za-z0-9\-._~]|%[0-9A-Fa-f]{2})*$/;

/* "type Url", "type QuickReply": how Meta names a button's type in its errors. */
const buttonTypeName = (type) => ({ URL: 'Url', QUICK_REPLY: 'QuickReply', PHONE_NUMBER: 'Call', COPY_CODE: 'CopyCode' })[type] || type;

function componentsOf(template) {
  const components = template.components === undefined ? [] : template.components;
  if (!Array.isArray(components)) refuse(100, { message: "(#100) Param template['components'] must be an array." });
  return components;
}

function parametersOf(component) {
  const parameters = component && component.parameters;
  if (parameters === undefined) return [];
  if (!Array.isArray(parameters)) refuse(100, { message: '(#100) Param parameters must be an array.' });
  return parameters;
}

/* Text of one parameter, as it may stand in a message. */
function textOf(parameter) {
  const text = parameter.type === 'payload' ? parameter.payload : parameter.text;
  if (['currency', 'date_time'].includes(parameter.type)) return (parameter[parameter.type] || {}).fallback_value || '';
  if (typeof text !== 'string' || text === '') {
    refuse(131008, `Parameter of type ${parameter.type || 'text'} is missing text value`);
  }
  if (/[\r\n\t]| {5}/.test(text)) {
    refuse(132018, 'Param text cannot have new-line/tab characters or more than 4 consecutive spaces');
  }
  return text;
}

function valuesFor(where, variables, parameters, named) {
  if (parameters.length !== variables.length) {
    refuse(132000, `${where}: number of localizable_params (${parameters.length}) does not match the expected number of params (${variables.length})`);
  }
  const values = new Map();
  parameters.forEach((parameter, i) => values.set(named ? parameter.parameter_name : String(i + 1), textOf(parameter)));
  for (const variable of variables) {
    if (!values.has(variable)) refuse(100, `${where}: Parameter name ${variable} is missing or empty`);
  }
  return values;
}

function substitute(text, values) {
  return text.replace(VARIABLE, (_, name) => values.get(name));
}

function fillText(where, part, parameters, named, max) {
  const text = substitute(part.text, valuesFor(where, part.variables, parameters, named));
  if (length(text) > max) refuse(132005, `${where}: Translated text too long. Maximum length is ${max}, got ${length(text)}`);
  return text;
}

/* A media header has no text of its own: the send must bring the media. */
function fillMediaHeader(format, parameters) {
  const kind = format.toLowerCase();
  const given = parameters[0] || {};
  const media = given[kind];
  if (given.type !== kind || !media) {
    refuse(132012, `header: Format mismatch, expected ${format}, received ${upper(given.type) || 'UNKNOWN'}`);
  }
  if (!media.link && !media.id) refuse(100, `header: The parameter ${kind}['link'] or ${kind}['id'] is required.`);
  return { format, ...media };
}

function fillHeader(header, component, named) {
  const parameters = parametersOf(component);
  if (!header) {
    if (parameters.length > 0) valuesFor('header', [], parameters, named);
    return null;
  }
  if (header.format === 'TEXT') {
    return { format: 'TEXT', text: fillText('header', header, parameters, named, HEADER_MAX) };
  }
  if (header.format === 'LOCATION') return { format: 'LOCATION' };
  return fillMediaHeader(header.format, parameters);
}

/* The index counts among all buttons of the template; a number and its digits are the same. */
function indexOf(component) {
  const text = String(component.index);
  if (!/^\d+$/.test(text)) refuse(100, { message: "(#100) Param index must be a whole number." });
  return Number(text);
}

function buttonParameters(components, buttons) {
  const given = new Map();
  for (const component of components) {
    const index = indexOf(component);
    const button = buttons[index];
    if (!button) refuse(100, `buttons: Button at index ${index} does not exist in the template`);
    if (given.has(index)) refuse(100, `buttons: Button at index ${index} is given twice`);
    const parameters = parametersOf(component);
    const takesSome = button.dynamic || ['QUICK_REPLY', 'COPY_CODE'].includes(button.type);
    if (!takesSome && parameters.length > 0) {
      refuse(100, `buttons: Button at index ${index} is of type ${buttonTypeName(button.type)} and does not support parameters`);
    }
    if (upper(component.sub_type) !== button.type) {
      refuse(132012, `buttons: Button at index ${index} is of type ${buttonTypeName(button.type)}, received ${component.sub_type}`);
    }
    given.set(index, parameters);
  }
  return given;
}

/* The value is put at the end of the URL as it is sent; the sum must still be a URL. */
function fillUrl(button, index, parameters, rule) {
  if (!button.dynamic) return button.url;
  if (parameters.length === 0) refuse(131008, `buttons: Button at index ${index} of type Url requires a parameter`);
  if (parameters.length > 1) valuesFor('buttons', ['1'], parameters, false);
  const value = textOf(parameters[0]);
  if (!(rule === 'strict' ? STRICT : DOCUMENTED).test(value)) {
    refuse(131009, `buttons: Parameter of button at index ${index} has special characters that are not percent-encoded`);
  }
  const url = button.url.replace(VARIABLE, () => value);
  if (url.length > URL_MAX) refuse(131009, `buttons: URL of button at index ${index} is longer than ${URL_MAX} characters`);
  return url;
}

function fillButton(button, index, parameters, rule) {
  if (button.type === 'URL') return { type: 'URL', text: button.text, url: fillUrl(button, index, parameters, rule) };
  if (button.type !== 'QUICK_REPLY') return { type: button.type, text: button.text };
  const payload = parameters.length > 0 ? textOf(parameters[0]) : button.text;
  return { type: 'QUICK_REPLY', text: button.text, payload };
}

/* The message as the customer sees it; refuses what the provider would. */
function fillTemplate(stored, sent, urlRule) {
  const components = componentsOf(sent);
  const ofType = (type) => components.filter((c) => c && upper(c.type) === type);
  const named = stored.parameter_format === 'NAMED';
  const { header, body, footer, buttons } = stored.parsed;
  const given = buttonParameters(ofType('BUTTON'), buttons);
  return {
    header: fillHeader(header, ofType('HEADER')[0], named),
    body: fillText('body', body, parametersOf(ofType('BODY')[0]), named, BODY_MAX),
    footer,
    buttons: buttons.map((button, i) => fillButton(button, i, given.get(i) || [], urlRule)),
  };
}

module.exports = { fillTemplate };
