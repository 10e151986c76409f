// Makes the dashboard live. All of it works without this, too: the server has rendered everything, and Send is a form.
(function () {
  'use strict';
  var PERIOD = 10000, main = document.getElementById('main'), live = document.getElementById('live');
  var reasons = JSON.parse(main.getAttribute('data-reasons') || '{}'), busy = false, ended = false, tag = '';

  // Said once, when it changes: a screen reader reads this line aloud.
  function say(text, bad) {
    if (live.textContent !== text) live.textContent = text;
    live.className = bad ? 'bad' : '';
  }

  function keyOf(node) { return node.nodeType === 1 ? node.getAttribute('data-key') : null; }
  function same(a, b) { return a && a.nodeName === b.nodeName && keyOf(a) === keyOf(b); }

  function morphAttributes(old, wanted) {
    var i, a;
    for (i = old.attributes.length - 1; i >= 0; i--) if (!wanted.hasAttribute(old.attributes[i].name)) old.removeAttribute(old.attributes[i].name);
    for (i = 0; i < wanted.attributes.length; i++) {
      a = wanted.attributes[i];
      if (old.getAttribute(a.name) !== a.value) old.setAttribute(a.name, a.value);
    }
  }

  // Changes only what differs, so that nothing flickers and focus and scroll position stay where they are.
  function morph(old, wanted) {
    if (old.nodeType !== 1) { if (old.nodeValue !== wanted.nodeValue) old.nodeValue = wanted.nodeValue; return; }
    if (old.isEqualNode(wanted) || (old.hasAttribute('data-keep') && old.textContent)) return;
    morphAttributes(old, wanted);
    var at = old.firstChild, next = wanted.firstChild, key, found;
    for (; next; next = next.nextSibling) {
      key = keyOf(next);
      for (found = at; key && found && keyOf(found) !== key;) found = found.nextSibling;
      if (key && found) while (at !== found) at = drop(at);        // rows between have gone
      if (same(at, next)) { morph(at, next); at = at.nextSibling; } else old.insertBefore(document.importNode(next, true), at);
    }
    while (at) at = drop(at);
  }
  function drop(node) { var next = node.nextSibling; node.parentNode.removeChild(node); return next; }

  function show(page) {
    var focused = document.activeElement, row = focused && focused.closest && focused.closest('[data-key]');
    main.querySelectorAll('[data-live]').forEach(function (section) {
      var wanted = page.getElementById(section.id);
      if (wanted) morph(section, wanted);
    });
    if (row && row.isConnected && !focused.isConnected) { row.tabIndex = -1; row.focus(); }
  }

  function refresh() {
    if (busy || ended || document.hidden) return Promise.resolve();
    busy = true;
    return fetch(location.pathname + location.search, { credentials: 'same-origin', cache: 'no-store', headers: tag ? { 'If-None-Match': tag } : {} }).then(function (answer) {
      if (answer.status === 304) { say('Live', false); return; }
      if (answer.status === 401) { ended = true; say('You have been signed out. Load this page again to sign in.', true); return; }
      if (!answer.ok) throw new Error(answer.status);
      tag = answer.headers.get('ETag') || '';
      return answer.text().then(function (text) {
        show(new DOMParser().parseFromString(text, 'text/html'));
        say('Live', false);
      });
    }).catch(function () { say('The server cannot be reached. Trying again.', true); }).then(function () { busy = false; });
  }

  function words(answer) {
    var gates = (answer.gates || []).map(function (g) { return g.gate.replace(/_/g, ' ') + ' (' + g.detail + ')'; }).join('; ');
    return (reasons[answer.reason] || answer.reason || answer.message || 'The server refused it.') + (gates ? '. In the way: ' + gates : '');
  }
  function outcome(answer, body) {
    if (!answer.ok) return 'Not done: ' + words(body);
    return body.result ? 'Noted' + (body.next_at ? ', to be called again' : '') : 'Queued';
  }

  // Send, and what came of a call: the same forms, without leaving the page.
  main.addEventListener('submit', function (event) {
    var form = event.target, button, result, fields;
    if (!form.hasAttribute('data-act')) return;
    event.preventDefault();
    button = event.submitter || form.querySelector('button');
    result = form.parentNode.querySelector('[data-keep]');
    if (form.sending) return;
    form.sending = true;
    fields = new URLSearchParams(new FormData(form));
    if (button.name) fields.set(button.name, button.value);
    button.setAttribute('aria-disabled', 'true');
    result.textContent = 'Sending…';
    fetch(form.action, { method: 'POST', body: fields, credentials: 'same-origin', headers: { Accept: 'application/json' } })
      .then(function (answer) { return answer.json().then(function (body) { result.textContent = outcome(answer, body); }); })
      .catch(function () { result.textContent = 'Not done: the server cannot be reached.'; })
      .then(function () { form.sending = false; button.removeAttribute('aria-disabled'); return refresh(); });
  });

  // The template generator
  var studio = document.querySelector('#studio form'), told = document.getElementById('studio_status');
  function finding(f) {
    var li = document.createElement('li');
    li.textContent = f.component + ': ' + f.message + ' (' + f.severity + ')';
    return li;
  }
  studio.addEventListener('submit', function (event) {
    event.preventDefault();
    fetch(studio.action + '?' + new URLSearchParams(new FormData(studio)), { credentials: 'same-origin', headers: { Accept: 'application/json' } })
      .then(function (answer) { return answer.json().then(function (body) { if (!answer.ok) throw new Error(body.message); return body; }); })
      .then(function (body) {
        document.getElementById('template_json').textContent = JSON.stringify(body.template, null, 4);
        document.getElementById('template_prompt').textContent = body.prompt;
        var list = document.getElementById('findings');
        list.textContent = body.findings.length ? '' : 'None: WhatsApp accepts a template like this.';
        body.findings.forEach(function (f) { list.appendChild(finding(f)); });
        told.textContent = 'Generated.';
      }).catch(function (error) { told.textContent = 'Not generated: ' + (error.message || 'the server cannot be reached.'); });
  });

  function copy(pre) {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(pre.textContent);
    getSelection().selectAllChildren(pre);
    return document.execCommand('copy') ? Promise.resolve() : Promise.reject();
  }
  document.querySelectorAll('[data-copy]').forEach(function (button) {
    button.hidden = false;
    button.addEventListener('click', function () {
      copy(document.getElementById(button.getAttribute('data-copy'))).then(function () { told.textContent = 'Copied.'; },
        function () { told.textContent = 'Could not copy: select the text and copy it yourself.'; });
    });
  });

  say('Live', false);
  setInterval(refresh, PERIOD);
  document.addEventListener('visibilitychange', refresh);
})();
