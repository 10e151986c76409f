#!/usr/bin/env node
'use strict';
/*
 * A double of the WhatsApp Business API (Meta's Cloud API and Tata's Omni), for tests.
 */
const fs = require('node:fs');
const { parseArgs } = require('node:util');
const { Double } = require('./app');

const HELP = `usage: double.js [options]

  --port N                 port to listen on; 0 takes a free one (default 0)
  --host ADDRESS           address to listen on (default 127.0.0.1)
  --tls CERT KEY           HTTPS with these PEM files; HTTP/2 and HTTP/1.1 by ALPN
  --webhook-url URL        where webhooks are POSTed; without it there are none
  --app-secret-file FILE   Meta's app secret: signs X-Hub-Signature-256
  --webhook-key-file FILE  sent with Tata's webhooks in the header X-Wacta-Key
  --settings FILE          JSON, as for POST /_double/settings
  --journal FILE           append each verdict to this file, and go on with it after a restart
  --until-stdin-closes     end when standard input does (so that it dies with its parent)
  --help

Prints one line of JSON when it is ready: {"port":N,"url":"http://127.0.0.1:N"}.
The control API is under /_double/; see README.md.
`;

const OPTIONS = {
  port: { type: 'string', default: '0' },
  host: { type: 'string', default: '127.0.0.1' },
  tls: { type: 'string' },
  'webhook-url': { type: 'string' },
  'app-secret-file': { type: 'string' },
  'webhook-key-file': { type: 'string' },
  settings: { type: 'string' },
  journal: { type: 'string' },
  'until-stdin-closes': { type: 'boolean' },
  help: { type: 'boolean' },
};

/* parseArgs knows no option with two values: the second of --tls arrives as a positional. */
function readArguments(args) {
  const { values, positionals } = parseArgs({ args, options: OPTIONS, allowPositionals: true });
  if (positionals.length !== (values.tls ? 1 : 0)) {
    throw new Error(values.tls ? '--tls needs a certificate and a key' : `unexpected argument "${positionals[0]}"`);
  }
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw new Error(`--port "${values.port}" is not a port`);
  return {
    help: values.help,
    untilStdinCloses: values['until-stdin-closes'],
    port,
    host: values.host,
    cert: values.tls,
    key: positionals[0],
    webhookUrl: values['webhook-url'],
    appSecretFile: values['app-secret-file'],
    webhookKeyFile: values['webhook-key-file'],
    journal: values.journal,
    settings: values.settings ? JSON.parse(fs.readFileSync(values.settings, 'utf8')) : undefined,
  };
}

async function main() {
  const options = readArguments(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(HELP);
    return;
  }
  const double = new Double(options);
  const end = () => process.exit(0);
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  if (options.untilStdinCloses) process.stdin.on('end', end).on('error', end).resume();
  process.stdout.write(JSON.stringify(await double.start()) + '\n');
}

main().catch((e) => {
  process.stderr.write(`double: ${e.message}\n`);
  process.exit(1);
});
