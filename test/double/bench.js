#!/usr/bin/env node
'use strict';
/*
 * How fast the double is: template sends over some kept-alive connections, in the plain path.
 *   bench.js [seconds] [connections] [--journal FILE]
 * Raw sockets, because node's own client is slower than the server that is measured.
 */
const net = require('node:net');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { request, metaBody, MESSAGES, VISIT } = require('./testing');

function requestBytes(callback) {
  const body = JSON.stringify(metaBody({ biz_opaque_callback_data: callback }));
  return `POST ${MESSAGES} HTTP/1.1\r\nHost: double\r\nAuthorization: Bearer bench\r\nContent-Type: application/json\r\n`
    + `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/* One request after the other on one connection; an answer ends with the body's "}]}". */
function client(port, state) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    let seen = '';
    const next = () => {
      if (Date.now() >= state.until) {
        socket.end();
        resolve();
      } else socket.write(requestBytes(`bench:${++state.sent}`));
    };
    socket.on('connect', next);
    socket.on('error', reject);
    socket.on('data', (block) => {
      seen += block.toString('latin1');
      if (!seen.endsWith('}]}')) return;
      if (!seen.startsWith('HTTP/1.1 200')) reject(new Error(seen));
      seen = '';
      state.done++;
      next();
    });
  });
}

async function main() {
  const [seconds = '3', connections = '32', ...rest] = process.argv.slice(2);
  const double = spawn(process.execPath, [path.join(__dirname, 'double.js'), '--until-stdin-closes', ...rest], { stdio: ['pipe', 'pipe', 'inherit'] });
  const { port, url } = JSON.parse((await once(double.stdout, 'data'))[0]);
  await request(`${url}/_double/templates`, { method: 'POST', body: JSON.stringify(VISIT) });
  const started = Date.now();
  const state = { until: started + seconds * 1000, sent: 0, done: 0 };
  await Promise.all(Array.from({ length: Number(connections) }, () => client(port, state)));
  const rate = Math.round(state.done / ((Date.now() - started) / 1000));
  const { json: stats } = await request(`${url}/_double/stats`);
  process.stdout.write(`${rate} requests/s, ${state.done} sent, ${stats.taken} taken, ${connections} connections\n`);
  double.stdin.end();
}

main();
