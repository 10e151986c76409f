'use strict';
const { test } = require('node:test');
const assert = require('node:assert/strict');
const { lintTemplate } = require('./template_lint');
const { VISIT, BROCHURE, startDouble } = require('./testing');

const SETTINGS = { words_per_variable: 2 };
const BODY = { type: 'BODY', text: 'Thank you for the call.' };

/* The subcode of the refusal, or its message where Meta has no subcode; null when it passes. */
function verdict(components, change = {}) {
  try {
    lintTemplate({ name: 'a_name', language: 'en', category: 'UTILITY', components, ...change }, SETTINGS);
    return null;
  } catch (e) {
    return e.subcode || e.message;
  }
}

const body = (text, ...examples) => [{ type: 'BODY', text, example: examples.length > 0 ? { body_text: [examples] } : undefined }];
const buttons = (...list) => [BODY, { type: 'BUTTONS', buttons: list }];
const url = (address, example, text = 'Open') => buttons({ type: 'URL', text, url: address, example });

test('what passes', () => {
  assert.equal(verdict(VISIT.components), null);
  assert.equal(verdict(BROCHURE.components), null);
  assert.equal(verdict(url('https://example.com/shop?promo={{1}}', ['summer2023'])), null);
});

test('identity', () => {
  assert.match(verdict([BODY], { name: 'A Name' }), /lowercase letters/);
  assert.match(verdict([BODY], { language: undefined }), /language is required/);
  assert.match(verdict([BODY], { category: 'SPAM' }), /category must be one of/);
  assert.equal(verdict([]), 2388072);
});

test('header', () => {
  const header = (part) => verdict([{ type: 'HEADER', format: 'TEXT', ...part }, BODY]);
  assert.equal(header({ text: 'News' }), null);
  assert.equal(header({ text: 'x'.repeat(61) }), 2388040);
  for (const text of ['two\nlines', '*bold*', 'party 🎉', '{{1}} and {{2}}', 'For {{1}}']) assert.equal(header({ text }), 2388047, text);
  assert.equal(header({ text: 'For {{1}}', example: { header_text: ['Asha'] } }), null);
  assert.equal(header({ format: 'DOCUMENT' }), 2388047);
});

test('body', () => {
  assert.equal(verdict(body('x'.repeat(1025))), 2388040);
  assert.equal(verdict(body('{{1}}, your visit is booked for today.', 'a')), 2388299);
  assert.equal(verdict(body('Your visit is booked for {{1}}', 'a')), 2388299);
  assert.equal(verdict(body('Your visit is booked for {{1}}.', 'a')), null);
  assert.equal(verdict(body('Hello {{1}} and {{3}}, your visit is booked for today.', 'a', 'b')), 2388072);
  assert.equal(verdict(body('Hello {{1}}, your visit is booked.')), 2388072);
  assert.equal(verdict(body('Hi {{1}} {{2}} {{3}} bye', 'a', 'b', 'c')), 2388293);
});

test('footer', () => {
  const footer = (text) => verdict([BODY, { type: 'FOOTER', text }]);
  assert.equal(footer('Reply STOP to opt out'), null);
  for (const text of ['Dear {{1}}', 'a\nb', 'bye 👋', '']) assert.equal(footer(text), 2388073, text);
});

test('button texts', () => {
  for (const text of ['✅ Interested', 'Hi {{1}}', 'two\nlines', '*Yes*', '']) {
    assert.equal(verdict(buttons({ type: 'QUICK_REPLY', text })), 2388060, text);
  }
  assert.equal(verdict(buttons({ type: 'QUICK_REPLY', text: 'x'.repeat(26) })), 2388040);
});

test('button URLs', () => {
  assert.equal(verdict(url('https://example.com/{{1}}/{{2}}', ['a', 'b'])), 2388060);
  assert.equal(verdict(url('https://example.com/{{1}}/x', ['a'])), 2388060);
  assert.equal(verdict(url('https://example.com/{{1}}')), 2388060);
  assert.match(verdict(url('{{1}}', ['https://example.com'])), /is not a valid URI/);
  assert.equal(verdict(url('https://example.com/' + 'x'.repeat(2000))), 2388040);
});

test('a template registered by a test is linted too, unless it says otherwise', async (t) => {
  const d = await startDouble(t);
  const bad = { name: 'bad', language: 'en', category: 'UTILITY', components: buttons({ type: 'QUICK_REPLY', text: '✅ Yes' }) };
  await assert.rejects(d.control('POST', 'templates', bad), /Buttons can't have any variables/);
  assert.equal((await d.control('POST', 'templates', { ...bad, lint: false })).status, 'APPROVED');
});

test('numbers and order of buttons', () => {
  const quick = { type: 'QUICK_REPLY', text: 'Yes' };
  const link = { type: 'URL', text: 'Open', url: 'https://example.com' };
  assert.equal(verdict(buttons(quick, quick, link)), null);
  assert.equal(verdict(buttons(quick, link, quick)), 2388060);
  assert.equal(verdict(buttons(link, link, link)), 2388060);
  assert.equal(verdict(buttons(...Array(11).fill(quick))), 2388060);
});
