// One tap is enough: the page posts the answer itself. Not while it is only prerendered.
(function () {
  function send() { document.getElementById('answer').submit(); }
  if (document.prerendering) document.addEventListener('prerenderingchange', send, { once: true });
  else send();
})();
