'use strict';
/*
 * A double of PostgREST, for tests of deploy/nginx.conf: what PostgREST 12 does with /rpc/ by its documentation, in one process, by a
 * psql for each request.  It is no PostgREST: no tables, no OpenAPI, no pool, HS256 alone, and as slow as a psql.
 *
 *   node test/postgrest/double.js --db 'dbname=crm user=wacta_postgrest' --secret-file /etc/wacta/jwt
 *   {"port":40123}
 *
 * It is strict where PostgREST is: a GET reads, an unknown argument is no such function, a query on a POST is a filter.
 */
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const { spawn } = require('node:child_process');

const OPTIONS = { '--port': '0', '--db': '', '--schema': 'wacta_api', '--anon-role': 'wacta_anon', '--secret-file': '' };
for (let i = 2; i < process.argv.length; i += 2) {
  if (!(process.argv[i] in OPTIONS)) throw new Error(`no such option: ${process.argv[i]}`);
  OPTIONS[process.argv[i]] = process.argv[i + 1];
}

const FORM = 'application/x-www-form-urlencoded';
const RESERVED = new Set(['select', 'columns', 'order', 'limit', 'offset', 'and', 'or', 'on_conflict']);
const FILTER = /^(not\.)?(eq|neq|gte?|lte?|i?like|i?match|in|is|isdistinct|(pl|ph|w)?fts|cs|cd|ov|sl|sr|nx[rl]|adj)[.(]/;

class Refusal extends Error {
  constructor(status, code, message, more = {}) {
    super(message);
    Object.assign(this, { status, code, details: more.details ?? null, hint: more.hint ?? null, headers: more.headers ?? {} });
  }
}

/* --- The database */

function psql(sql) {
  return new Promise((resolve, reject) => {
    const child = spawn('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-d', OPTIONS['--db']],
      { env: { ...process.env, LC_ALL: 'C', PGCLIENTENCODING: 'UTF8' } });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text) => { out += text; });
    child.stderr.setEncoding('utf8').on('data', (text) => { err += text; });
    child.on('error', reject);
    child.stdin.on('error', () => {});
    child.on('close', (code) => (code === 0 ? resolve(out) : reject(Object.assign(new Error(err), { psql: code }))));
    child.stdin.end(sql);
  });
}

const hex = (bytes) => `pg_catalog.decode('${Buffer.from(bytes).toString('hex')}', 'hex')`;
const text = (value) => (value === null ? 'NULL' : `pg_catalog.convert_from(${hex(value)}, 'UTF8')`);
const name = (identifier) => `"${identifier.replace(/"/g, '""')}"`;
const base64 = (expression) => `replace(encode(${expression}, 'base64'), E'\\n', '')`;

async function readCatalog() {
  const sql = `SELECT json_object_agg(proname, f) FROM (
    SELECT p.proname, json_build_object('volatile', p.provolatile = 'v', 'type', format_type(p.prorettype, NULL), 'names', coalesce(p.proargnames, '{}'),
      'raw', p.pronargs = 1 AND p.proargnames IS NULL AND p.proargtypes[0] = 'bytea'::regtype, 'required', p.pronargs - p.pronargdefaults, 'media', t.typname) AS f
      FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype
     WHERE p.pronamespace = ${text(OPTIONS['--schema'])}::regnamespace AND p.prokind = 'f') x`;
  return JSON.parse(await psql(sql));
}

/* What PostgREST makes of an SQLSTATE. */
function statusOf(code, authenticated) {
  const rules = [[/^PT([2-5]\d\d)$/, (m) => Number(m[1])], [/^42501/, authenticated ? 403 : 401], [/^08|^53/, 503], [/^2350[35]/, 409], [/^25006/, 405],
    [/^28|^0[LP]/, 403], [/^42883|^42P01/, 404], [/^P0001/, 400], [/^(09|21|25|2D|38|39|3B|40|54|55|57|58|F0|HV|P0|XX)/, 500]];
  for (const [pattern, status] of rules) {
    const match = pattern.exec(code);
    if (match) return typeof status === 'function' ? status(match) : status;
  }
  return 400;
}

/* psql's words for an error, as PostgREST's. */
function refusalOf(error, authenticated) {
  const [, code, message] = /(?:ERROR|FATAL): +([0-9A-Z]{5}): (.*)/.exec(error.message) ?? [null, '08000', error.message];
  const field = (label) => (new RegExp(`^${label}: +(.*)`, 'm').exec(error.message) ?? [])[1] ?? null;
  if (code === 'PGRST') {
    const { status, headers } = JSON.parse(field('DETAIL'));
    const body = JSON.parse(message);
    return new Refusal(status, body.code, body.message, { ...body, headers });
  }
  const status = error.psql === 2 ? 503 : statusOf(code, authenticated);
  return new Refusal(status, code, message, { details: field('DETAIL'), hint: field('HINT') });
}

/* --- Who asks */

function signatureHolds(token) {
  const parts = token.split('.');
  if (parts.length !== 3) return false;
  const secret = fs.readFileSync(OPTIONS['--secret-file'], 'utf8').replace(/\n$/, '');
  const mac = crypto.createHmac('sha256', secret).update(`${parts[0]}.${parts[1]}`).digest();
  const shown = Buffer.from(parts[2], 'base64url');
  return mac.length === shown.length && crypto.timingSafeEqual(mac, shown) && JSON.parse(Buffer.from(parts[0], 'base64url')).alg === 'HS256';
}

function claimsOf(authorization) {
  const bearer = /^bearer +(.+)$/i.exec(authorization ?? '');
  if (!bearer) return {};
  const refuse = (why) => new Refusal(401, 'PGRST301', why, { headers: { 'WWW-Authenticate': `Bearer error="invalid_token", error_description="${why}"` } });
  let claims;
  try {
    if (!signatureHolds(bearer[1])) throw new Error();
    claims = JSON.parse(Buffer.from(bearer[1].split('.')[1], 'base64url'));
  } catch {
    throw refuse('JWSError JWSInvalidSignature');
  }
  if (claims.exp !== undefined && claims.exp < Date.now() / 1000 - 30) throw refuse('JWT expired');
  return claims;
}

/* --- What is asked */

function decodePair(pair) {
  const at = pair.indexOf('=');
  const plain = (part) => decodeURIComponent(part.replace(/\+/g, ' '));
  return at < 0 ? [plain(pair), ''] : [plain(pair.slice(0, at)), plain(pair.slice(at + 1))];
}

/* An empty part is a field without a name, which no function has. */
const pairsOf = (query) => (query === '' ? [] : query.split('&').map(decodePair));

function argumentsOfQuery(query) {
  const args = {};
  for (const [key, value] of pairsOf(query)) {
    if (RESERVED.has(key)) continue;
    if (FILTER.test(value)) throw new Refusal(404, 'PGRST202', `Could not find the function with the filter ${key}=${value} in the schema cache`);
    args[key.slice(key.lastIndexOf('.') + 1)] = value;
  }
  return args;
}

function argumentsOfJson(body) {
  let args;
  try {
    args = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new Refusal(400, 'PGRST102', 'Empty or invalid json');
  }
  if (args === null || typeof args !== 'object' || Array.isArray(args)) throw new Refusal(400, 'PGRST102', 'All object keys must match');
  for (const [key, value] of Object.entries(args)) {
    if (value !== null && typeof value !== 'string') args[key] = JSON.stringify(value);
  }
  return args;
}

function callOf(request, body, query) {
  if (request.method !== 'POST') return { args: argumentsOfQuery(query) };
  for (const [key, value] of pairsOf(query)) {
    if (!RESERVED.has(key)) throw new Refusal(400, 'PGRST100', `"failed to parse filter (${value})" (line 1, column 1)`);
  }
  const type = (request.headers['content-type'] ?? 'application/json').split(';')[0].trim().toLowerCase();
  if (type === 'application/octet-stream') return { raw: body };
  if (type === FORM) return { args: Object.fromEntries(pairsOf(body.toString('utf8'))) };
  if (type === 'application/json') return { args: argumentsOfJson(body) };
  throw new Refusal(404, 'PGRST202', `Could not find a function that takes ${type} in the schema cache`);
}

function checkCall(f, call, called) {
  const keys = Object.keys(call.args ?? {});
  const known = f !== undefined && (call.raw !== undefined ? f.raw : !f.raw && keys.every((key) => f.names.includes(key))
    && f.names.slice(0, f.required).every((key) => keys.includes(key)));
  if (!known) {
    throw new Refusal(404, 'PGRST202', `Could not find the function ${OPTIONS['--schema']}.${called}(${keys.join(', ')}) in the schema cache`);
  }
}

/* A function with the domain of all media types answers whatever is accepted; the others have JSON. */
function checkAccept(f, accept = '*/*') {
  if (f.media !== '*/*' && !/\*\/\*|application\/(json|\*)/.test(accept)) {
    throw new Refusal(406, 'PGRST107', `None of these media types are available: ${accept}`);
  }
}

/* --- The transaction */

function settingsOf(request, url, role, claims) {
  const cookies = Object.fromEntries((request.headers.cookie ?? '').split(/; */).filter(Boolean).map((c) => [c.split('=')[0], c.slice(c.indexOf('=') + 1)]));
  const settings = { search_path: name(OPTIONS['--schema']), role, 'request.method': request.method, 'request.path': url.pathname,
    'request.headers': JSON.stringify(request.headers), 'request.cookies': JSON.stringify(cookies), 'request.jwt.claims': JSON.stringify({ role, ...claims }) };
  return Object.entries(settings).map(([key, value]) => `pg_catalog.set_config('${key}', ${text(value)}, true)`).join(', ');
}

function bodyOf(f, call, called) {
  const args = call.raw !== undefined ? hex(call.raw) : Object.entries(call.args).map(([key, value]) => `${name(key)} => ${text(value)}`).join(', ');
  const invoked = `${name(OPTIONS['--schema'])}.${name(called)}(${args})`;
  if (f.media === '*/*') return `SELECT ${base64('b::bytea')} FROM ${invoked} b`;
  return f.type === 'void' ? `SELECT '' FROM ${invoked}` : `SELECT ${base64("convert_to(coalesce(to_json(b), 'null')::text, 'UTF8')")} FROM ${invoked} b`;
}

async function run(f, call, called, request, url) {
  const claims = claimsOf(request.headers.authorization);
  const role = claims.role ?? OPTIONS['--anon-role'];
  const writes = f.volatile && request.method === 'POST';
  const setting = (key) => `SELECT ${base64(`convert_to(coalesce(current_setting('${key}', true), ''), 'UTF8')`)};`;
  try {
    const out = await psql(`BEGIN ISOLATION LEVEL READ COMMITTED READ ${writes ? 'WRITE' : 'ONLY'};
      SELECT count(*) FROM (SELECT ${settingsOf(request, url, role, claims)}) s;
      ${bodyOf(f, call, called)};
      ${setting('response.status')} ${setting('response.headers')} COMMIT;`);
    return out.split('\n').slice(1, 4).map((line) => Buffer.from(line, 'base64'));
  } catch (error) {
    throw error.psql === undefined ? error : refusalOf(error, role !== OPTIONS['--anon-role']);
  }
}

function answerOf(f, [body, status, headers]) {
  const empty = f.type === 'void';
  const answer = { status: Number(status.toString() || (empty ? 204 : 200)), body: empty ? Buffer.alloc(0) : body, headers: {} };
  if (!empty) answer.headers['Content-Type'] = f.media === '*/*' ? 'application/octet-stream' : 'application/json; charset=utf-8';
  for (const header of JSON.parse(headers.toString() || '[]')) {
    const [[key, value]] = Object.entries(header);
    const known = Object.keys(answer.headers).find((k) => k.toLowerCase() === key.toLowerCase());
    answer.headers[known ?? key] = value;
  }
  return answer;
}

/* --- HTTP */

async function answer(catalog, request, body) {
  const url = new URL(request.url, 'http://localhost');
  const query = request.url.includes('?') ? request.url.slice(request.url.indexOf('?') + 1) : '';
  const called = (/^\/rpc\/([^/]+)$/.exec(url.pathname) ?? [])[1];
  if (called === undefined) throw new Refusal(404, 'PGRST125', 'Invalid path specified in request URL');
  if (!['GET', 'HEAD', 'POST'].includes(request.method)) throw new Refusal(405, 'PGRST101', 'Cannot use this method on RPC');
  const profile = request.headers[request.method === 'POST' ? 'content-profile' : 'accept-profile'] ?? OPTIONS['--schema'];
  if (profile !== OPTIONS['--schema']) throw new Refusal(406, 'PGRST106', `The schema must be one of the following: ${OPTIONS['--schema']}`);
  const f = catalog[called];
  const call = callOf(request, body, query);
  checkCall(f, call, called);
  checkAccept(f, request.headers.accept);
  return answerOf(f, await run(f, call, called, request, url));
}

function errorAnswer(error) {
  const { status = 500, code = 'PGRSTX00', message, details = null, hint = null, headers = {} } = error;
  if (!(error instanceof Refusal)) process.stderr.write(`${error.stack}\n`);
  return { status, headers: { 'Content-Type': 'application/json; charset=utf-8', ...headers }, body: Buffer.from(JSON.stringify({ code, message, details, hint })) };
}

async function serve(catalog, request, response) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const { status, headers, body } = await answer(catalog, request, Buffer.concat(pieces)).catch(errorAnswer);
  const cors = request.headers.origin === undefined ? {} : { 'Access-Control-Allow-Origin': '*' };
  response.writeHead(status, { ...headers, ...cors, ...(status === 204 || status === 304 ? {} : { 'Content-Length': body.length }), Server: 'a double of postgrest' });
  response.end(request.method === 'HEAD' ? undefined : body);
}

async function main() {
  const catalog = await readCatalog();
  const server = http.createServer((request, response) => serve(catalog, request, response));
  server.listen(Number(OPTIONS['--port']), '127.0.0.1', () => process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`));
  process.on('SIGTERM', () => process.exit(0));
}

main();
