// One tap is enough: the page posts the answer itself, once a person sees it. The button stays for whom this does not reach.
(function () {
  function visible() { return !document.prerendering && document.visibilityState !== 'hidden'; }
  function send() {
    if (!visible()) return;
    document.removeEventListener('visibilitychange', send);
    var status = document.getElementById('status');
    status.textContent = status.getAttribute('data-sending');
    document.getElementById('answer').submit();
  }
  document.addEventListener('visibilitychange', send);
  document.addEventListener('prerenderingchange', send);
  send();
})();
