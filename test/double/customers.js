'use strict';
/*
 * What the double remembers of the people behind the numbers: when they last wrote (the service
 * window), whether they stopped marketing messages, and the messages they were sent.
 */
const { Ring } = require('./journal');

const MESSAGE_LIMIT = 100000;
const digits = (v) => String(v).replace(/\D/g, '');
const windowKey = (sender, customer) => `${sender}|${customer}`;

class Customers {
  constructor(settings) {
    this.settings = settings;
    this.reset();
  }

  reset() {
    this.windows = new Map();
    this.stopped = new Set();
    this.messages = new Ring(MESSAGE_LIMIT);
  }

  /* Each message of a customer opens the window anew; `at` lets a test make it an old one. */
  openWindow(sender, customer, at = Date.now()) {
    this.windows.set(windowKey(sender, customer), at);
  }

  closeWindow(sender, customer) {
    this.windows.delete(windowKey(sender, customer));
  }

  windowIsOpen(sender, customer) {
    const opened = this.windows.get(windowKey(sender, customer));
    return opened !== undefined && Date.now() - opened < this.settings.checks.window_hours * 3600000;
  }

  setPreference(customer, value) {
    if (value === 'stop') this.stopped.add(customer);
    else this.stopped.delete(customer);
  }

  refusesMarketing(customer) {
    return this.stopped.has(customer);
  }

  remember(message) {
    this.messages.push(message);
  }

  /* The newest message that fits: by id, by the provider's request id, by callback, by recipient. */
  findMessage({ id, callback, to }) {
    if (id === undefined && callback === undefined && to === undefined) return null;
    let found = null;
    for (const message of this.messages) {
      if (id !== undefined && message.id !== id && message.requestId !== id) continue;
      if (callback !== undefined && message.callback !== callback) continue;
      if (to !== undefined && message.customer !== digits(to)) continue;
      found = message;
    }
    return found;
  }

  inbox(to) {
    const customer = digits(to);
    return [...this.messages].filter((message) => message.customer === customer);
  }
}

module.exports = { Customers, digits };
