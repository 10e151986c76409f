// One tap is enough: the page posts the answer itself, once a person sees it. The button stays for whom this does not reach.
(function () {
  function visible() { return !document.prerendering && document.visibilityState !== 'hidden'; }
  function send() {
    if (!visible()) return;
    document.removeEventListener('visibilitychange', send);
    document.getElementById('status').textContent = 'One moment: we are noting your answer.';
    document.getElementById('answer').submit();
  }
  document.addEventListener('visibilitychange', send);
  document.addEventListener('prerenderingchange', send);
  send();
})();
