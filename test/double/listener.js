'use strict';
/*
 * The socket side: plain HTTP/1.1, or TLS with HTTP/2 and HTTP/1.1 by ALPN; who is connected, and
 * how a connection is broken.
 */
const fs = require('node:fs');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const net = require('node:net');

const BACKLOG = 1024;
const nameOf = (socket) => `${socket.remoteAddress}|${socket.remotePort}`;

function createServer({ cert, key, settings }) {
  if (!cert) return http.createServer();
  const pair = { cert: fs.readFileSync(cert), key: fs.readFileSync(key) };
  if (!settings.server.http2) return https.createServer(pair);
  return http2.createSecureServer({
    ...pair,
    allowHTTP1: true,
    settings: { maxConcurrentStreams: settings.server.h2_max_streams },
  });
}

class Listener {
  constructor({ cert, key, settings, onRequest }) {
    this.secure = Boolean(cert);
    this.settings = settings;
    this.server = createServer({ cert, key, settings });
    this.server.keepAliveTimeout = settings.server.keep_alive_ms;
    this.server.on('connection', (socket) => this.connected(socket));
    this.front = this.secure ? net.createServer({ pauseOnConnect: true }, (socket) => this.admit(socket)) : this.server;
    this.server.on('request', onRequest);
    this.server.on('clientError', (e, socket) => socket.destroy());
    this.server.on('sessionError', () => {});
    this.open = new Map();                // "address|port" of the peer: {id, socket}
    this.lastId = 0;
    this.accepted = 0;
    this.used = 0;
  }

  listen(port, host) {
    return new Promise((resolve, reject) => {
      this.front.once('error', reject);
      this.front.listen({ port, host, backlog: BACKLOG }, () => {
        const bound = this.front.address().port;
        const shown = host.includes(':') ? `[${host}]` : host;
        resolve({ port: bound, url: `${this.secure ? 'https' : 'http'}://${shown}:${bound}` });
      });
    });
  }

  /*
   * The TLS handshake of a client waits for the server's first words: so long it has no connection.
   * The waits differ, so that connections which came together do not begin together.
   */
  admit(socket) {
    const begin = () => {
      this.server.emit('connection', socket);
      socket.resume();
    };
    const wait = this.settings.server.accept_ms;
    if (wait > 0) setTimeout(begin, wait * (0.5 + Math.random()));
    else begin();
  }

  /*
   * The TCP sockets are kept under the peer's name, because a TLS socket or an HTTP/2 session does
   * not let its socket be reset.
   */
  connected(socket) {
    const name = nameOf(socket);
    this.accepted++;
    this.open.set(name, { id: 0, socket });
    this.server.keepAliveTimeout = this.settings.server.keep_alive_ms;
    this.server.maxRequestsPerSocket = this.settings.server.requests_per_connection;
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => this.open.delete(name));
  }

  /* Numbers are given with the first provider request, so that control traffic is not counted. */
  connectionId(req) {
    const connection = this.open.get(nameOf(req.socket));
    if (!connection) return 0;
    if (connection.id === 0) {
      connection.id = ++this.lastId;
      this.used++;
    }
    return connection.id;
  }

  breakConnection(req, how) {
    const connection = this.open.get(nameOf(req.socket));
    if (!connection) return;
    if (how === 'reset') this.resetConnection(connection, req);
    else if (req.stream) req.stream.session.destroy();
    else req.socket.destroySoon();
  }

  /* The session that rides on the TCP socket is not told of its end by every version of node. */
  resetConnection({ socket }, req) {
    socket.resetAndDestroy();
    if (req.stream) req.stream.session.destroy();
  }

  stats() {
    let open = 0;
    for (const { id } of this.open.values()) if (id > 0) open++;
    return { opened: this.used, open, accepted: this.accepted };
  }

  resetCounts() {
    this.used = 0;
    this.accepted = 0;
    for (const connection of this.open.values()) connection.id = 0;
  }

  close() {
    return new Promise((resolve) => {
      this.front.close(() => resolve());
      for (const { socket } of this.open.values()) socket.destroy();
    });
  }
}

module.exports = { Listener };
