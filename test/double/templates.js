'use strict';
/*
 * The templates the double knows.  A template's identity is its name and language; its components
 * are parsed once, so that a send has only to compare and substitute.
 */
const { lintTemplate, reviewTemplate, VARIABLE } = require('./template_lint');
const { refuse, refuseTemplate } = require('./errors');

const keyOf = (name, language) => `${name}|${language}`;
const upper = (v) => String(v || '').toUpperCase();

/* The names of the variables of a text, each once, in order of appearance. */
function variablesOf(text) {
  return [...new Set([...String(text || '').matchAll(VARIABLE)].map((m) => m[1]))];
}

function parseButton(button) {
  const url = button.url || null;
  return { type: upper(button.type), text: button.text, url, dynamic: variablesOf(url).length > 0 };
}

function parseComponents(components) {
  const find = (type) => components.find((c) => upper(c.type) === type);
  const header = find('HEADER');
  const body = find('BODY') || { text: '' };
  const buttons = find('BUTTONS');
  return {
    header: header && { format: upper(header.format), text: header.text || '', variables: variablesOf(header.text) },
    body: { text: body.text, variables: variablesOf(body.text) },
    footer: (find('FOOTER') || {}).text || null,
    buttons: buttons ? buttons.buttons.map(parseButton) : [],
  };
}

class Templates {
  constructor(settings) {
    this.settings = settings.templates;
    this.all = new Map();
    this.lastId = 1689556908129832n;
    this.onStatus = () => {};
  }

  /* Registers without review, as a test says; `lint: false` lets in what Meta would not. */
  register(spec) {
    const { lint = true, status = 'APPROVED', ...template } = spec;
    if (lint) lintTemplate(template, this.settings);
    return this.put(template, upper(status));
  }

  /* The provider's own way: checked, then reviewed. */
  submit(template) {
    lintTemplate(template, this.settings);
    if (this.find(template.name, template.language)) {
      refuseTemplate(2388024, `There is already ${template.language} content for this template.`);
    }
    const stored = this.put(template, 'PENDING');
    if (this.settings.review_ms > 0) setTimeout(() => this.review(stored), this.settings.review_ms).unref();
    else this.review(stored);
    return stored;
  }

  review(template) {
    const objection = reviewTemplate(template);
    if (objection) this.setStatus(template, 'REJECTED', objection);
    else this.setStatus(template, this.settings.review);
  }

  put(template, status) {
    const stored = {
      id: String(++this.lastId),
      name: template.name,
      language: template.language,
      category: upper(template.category) || 'MARKETING',
      parameter_format: upper(template.parameter_format) || 'POSITIONAL',
      status,
      components: template.components,
      parsed: parseComponents(template.components),
    };
    this.all.set(keyOf(stored.name, stored.language), stored);
    return stored;
  }

  setStatus(template, status, rejection) {
    template.status = status;
    this.onStatus(template, rejection);
  }

  find(name, language) {
    return this.all.get(keyOf(name, language));
  }

  /* The template of a send, in a state in which it can be sent. */
  usable(name, language) {
    const template = this.find(name, language);
    if (!template || !['APPROVED', 'PAUSED', 'DISABLED'].includes(template.status)) {
      refuse(132001, `template name (${name}) does not exist in ${language}`);
    }
    if (template.status === 'PAUSED') refuse(132015);
    if (template.status === 'DISABLED') refuse(132016);
    return template;
  }

  list({ name, status, language } = {}) {
    return [...this.all.values()]
      .filter((t) => (!name || t.name === name) && (!language || t.language === language) && (!status || t.status === upper(status)))
      .map(publicForm);
  }

  clear() {
    this.all.clear();
  }
}

function publicForm({ parsed, ...template }) {
  return template;
}

module.exports = { Templates, publicForm };
