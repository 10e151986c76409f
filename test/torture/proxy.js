'use strict';
/*
 * The network between the couriers and the double, for fault tests: a TCP relay that does to a
 * stream of requests what a network can do, and says each time that it did.
 *
 *   node proxy.js
 *   {"port":40125}                                      its first line, when it listens
 *
 * Orders come as lines of JSON on standard input, whose end is its own end:
 *
 *   {"target": 40123}                                   where to relay to
 *   {"mode": "pass"}                                    or what is wrong with the whole line:
 *                                                       "blackhole", "reset", "refuse"
 *   {"chance": {"cut_before": 0.01, ...}, "seed": 7}    what befalls single requests, see DOINGS
 *
 * Each fault that struck is a line {"strike": name} on standard output.
 */
const net = require('node:net');
const readline = require('node:readline');
const { seeded } = require('../double/random');

const LINGER_MS = 50;

let mode = 'pass';
let target = 0;
let chance = [];
let random = seeded(1);
let port = 0;
let listener = null;
const pairs = new Set();

const say = (what) => process.stdout.write(JSON.stringify(what) + '\n');
const struck = (name) => say({ strike: name });

/* One connection of a courier, and ours to the double. */
class Pair {
  constructor(client) {
    this.client = client;
    this.server = net.connect(target, '127.0.0.1');
    this.mute = false;             // what comes from now on is swallowed, in both directions
    this.cutAnswer = false;
    client.on('data', (block) => this.fromClient(block));
    this.server.on('data', (block) => this.fromServer(block));
    for (const socket of [client, this.server]) socket.setNoDelay(true).on('error', () => {});
    // The double may still be reading what a courier that has gone had sent.
    client.on('close', () => setTimeout(() => this.server.destroy(), LINGER_MS));
    this.server.on('close', () => this.serverClosed());
  }

  serverClosed() {
    pairs.delete(this);
    if (!this.mute) this.client.destroy();
  }

  reset() {
    this.client.resetAndDestroy();
    this.server.destroy();
  }

  /* A courier sends nothing more before it has the answer, so that a block is about a request. */
  fromClient(block) {
    if (this.mute) return;
    if (mode === 'blackhole') {
      struck('blackhole');
      this.mute = true;
      return;
    }
    const doing = pick();
    if (doing === null) {
      this.server.write(block);
      return;
    }
    struck(doing);
    DOINGS[doing](this, block);
  }

  fromServer(block) {
    if (this.mute) return;
    if (mode === 'blackhole') {
      struck('blackhole');
      this.mute = true;
    } else if (this.cutAnswer) {
      this.client.write(block.subarray(0, block.length >> 1), () => this.reset());
    } else {
      this.client.write(block);
    }
  }
}

/* What can befall one request. */
const DOINGS = {
  cut_before(pair) { pair.reset(); },
  cut_within(pair, block) { pair.server.write(block.subarray(0, block.length >> 1), () => pair.reset()); },
  cut_after(pair, block) { pair.server.write(block, () => pair.client.resetAndDestroy()); },
  mute_before(pair) { pair.mute = true; },
  mute_after(pair, block) {
    pair.server.write(block);
    pair.mute = true;
  },
  cut_answer(pair, block) {
    pair.cutAnswer = true;
    pair.server.write(block);
  },
  slow(pair, block) { setTimeout(() => pair.server.write(block), 250); },
};

function pick() {
  let at = random();
  for (const [name, share] of chance) {
    if (at < share) return name;
    at -= share;
  }
  return null;
}

function accept(client) {
  if (mode === 'reset') {
    struck('reset');
    client.on('error', () => {});
    client.resetAndDestroy();
    return;
  }
  pairs.add(new Pair(client));
}

/* Who ended before us may still hold the port for a moment. */
function listen() {
  listener = net.createServer(accept);
  listener.on('error', () => setTimeout(listen, 20));
  listener.listen(port, '127.0.0.1', 1024, () => {
    if (port === 0) say({ port: listener.address().port });
    port = listener.address().port;
  });
}

function setMode(wanted) {
  if (mode === 'refuse' && wanted !== 'refuse') listen();
  if (mode !== 'refuse' && wanted === 'refuse') listener.close();
  mode = wanted;
  if (mode !== 'reset' && mode !== 'refuse') return;
  for (const pair of pairs) {
    struck(mode);
    pair.reset();
  }
}

function obey(order) {
  if (order.target !== undefined) target = order.target;
  if (order.seed !== undefined) random = seeded(order.seed);
  if (order.chance !== undefined) chance = Object.entries(order.chance);
  for (const [name] of chance) if (!Object.hasOwn(DOINGS, name)) throw new Error(`unknown fault "${name}"`);
  if (order.mode !== undefined) setMode(order.mode);
}

readline.createInterface({ input: process.stdin })
  .on('line', (line) => obey(JSON.parse(line)))
  .on('close', () => process.exit(0));
listen();
