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
    for (i = old.attributes.length - 1; i >= 0; i--) if (old.attributes[i].name !== 'open' && !wanted.hasAttribute(old.attributes[i].name)) old.removeAttribute(old.attributes[i].name);
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
    if (body.request_id) return 'Asked';
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

  // The studio: the template is checked and shown while it is written.
  var generator = document.getElementById('generator'), checker = document.getElementById('checker'), draft = document.getElementById('template_json');
  var told = document.getElementById('studio_status'), typed = 0;
  function element(name, text, kind) {
    var node = document.createElement(name);
    node.textContent = text;
    if (kind) node.className = kind;
    return node;
  }
  function finding(f) {
    var li = document.createElement('li'), words = document.createElement('div');
    words.appendChild(element('p', f.component + ': ' + f.message, 'name'));
    words.appendChild(element('p', 'Rule ' + f.rule + ' (' + f.source + ')', 'soft'));
    li.appendChild(words);
    li.appendChild(element('span', f.severity, f.severity === 'error' ? 'tag bad' : 'tag'));
    return li;
  }
  function ask(url, fields) {
    return fetch(url, { method: fields ? 'POST' : 'GET', body: fields, credentials: 'same-origin', headers: { Accept: 'application/json' } })
      .then(function (answer) { return answer.json().then(function (body) { if (!answer.ok) throw new Error(body.message); return body; }); });
  }
  function present(body) {
    var list = document.getElementById('findings'), shown = document.getElementById('preview');
    list.textContent = '';
    body.findings.forEach(function (f) { list.appendChild(finding(f)); });
    if (!body.findings.length) list.appendChild(element('li', 'None: WhatsApp accepts a template like this.', 'soft'));
    shown.textContent = '';
    Array.prototype.forEach.call(new DOMParser().parseFromString(body.preview || '', 'text/html').body.childNodes, function (node) { shown.appendChild(document.importNode(node, true)); });
  }
  function failed(what) { return function (error) { told.textContent = what + ': ' + (error.message || 'the server cannot be reached.'); }; }
  function check() {
    var turn = ++typed;
    return ask('../generate-ai-template/', new URLSearchParams({ template: draft.value, project: generator.for_project.value })).then(function (body) {
      if (turn !== typed) return;
      present(body);
      told.textContent = body.findings.length ? 'Checked: ' + body.findings.length + ' to look at.' : 'Checked: nothing to mend.';
    }).catch(failed('Not checked'));
  }
  generator.addEventListener('submit', function (event) {
    event.preventDefault();
    typed++;
    ask('../generate-ai-template/?' + new URLSearchParams({ project: generator.for_project.value, customer_name: generator.customer_name.value, project_name: generator.project_name.value }))
      .then(function (body) {
        draft.value = JSON.stringify(body.template, null, 4);
        document.getElementById('template_prompt').textContent = body.prompt;
        present(body);
        told.textContent = 'Generated.';
      }).catch(failed('Not generated'));
  });
  checker.addEventListener('submit', function (event) {
    event.preventDefault();
    if (!event.submitter || !event.submitter.hasAttribute('formaction')) { check(); return; }
    ask('../save-template/', new URLSearchParams({ draft: draft.value, project: generator.for_project.value }))
      .then(function (body) { told.textContent = 'Saved as ' + body.name + ', a draft.'; return refresh(); }).catch(failed('Not saved'));
  });
  draft.addEventListener('input', function () {
    var turn = ++typed;
    setTimeout(function () { if (turn === typed) check(); }, 600);
  });

  function copy(pre) {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(pre.value || pre.textContent);
    if (pre.select) pre.select(); else getSelection().selectAllChildren(pre);
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
