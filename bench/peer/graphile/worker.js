'use strict';
/*
 * The work of a courier, done with graphile-worker: a job is a message, is posted to the provider, and its result is
 * recorded in the application's own row before the job counts as done.
 *
 *   node worker.js DATABASE_URL PROVIDER_ORIGIN MESSAGES IN_FLIGHT each|batched
 *
 * Tuned to its best: a local queue that fetches jobs by the thousand, completions in batches, keep-alive connections of
 * undici, as many as there are jobs at once. "each" records a result by a statement of its own, as one writes it;
 * "batched" gathers what ends within 5 ms into one statement, which the library does not offer and its user would have to add.
 */
const { Pool: Connections } = require('undici');
const { Pool } = require('pg');
const { run, Logger } = require('graphile-worker');

const [database, origin, count, concurrency, recording] = [process.argv[2], process.argv[3], Number(process.argv[4]),
  Number(process.argv[5]), process.argv[6]];
const PATH = '/v24.0/106540352242922/messages';
const HEADERS = { 'content-type': 'application/json', authorization: 'Bearer bench-access-token-0123456789' };
const BATCH_MS = 5;

const pool = new Pool({ connectionString: database, max: recording === 'batched' ? 6 : 20 });
pool.on('error', () => {});
pool.on('connect', (client) => client.on('error', () => {}));
const provider = new Connections(origin, { connections: concurrency, pipelining: 1 });
let done = 0;
let finished;
const allDone = new Promise((resolve) => { finished = resolve; });

async function post(body) {
  const began = performance.now();
  const answer = await provider.request({ method: 'POST', path: PATH, headers: HEADERS, body });
  const text = await answer.body.json();
  return { status: answer.statusCode, wamid: text.messages[0].id, elapsed: Math.round(performance.now() - began) };
}

const recordEach = (id, result) => pool.query({
  name: 'record',
  text: `UPDATE outbox SET status = 'accepted', wamid = $2, http_status = $3, elapsed_ms = $4, accepted_at = now() WHERE message_id = $1`,
  values: [id, result.wamid, result.status, result.elapsed],
});

/* What has ended since the last statement goes into the next; a job waits for the one that holds its result. */
let waiting = [];
async function flush() {
  const batch = waiting;
  waiting = [];
  const column = (f) => batch.map(f);
  try {
    await pool.query({
      name: 'record_batch',
      text: `UPDATE outbox o SET status = 'accepted', wamid = r.wamid, http_status = r.http_status, elapsed_ms = r.elapsed, accepted_at = now()
               FROM unnest($1::bigint[], $2::text[], $3::int[], $4::int[]) r(id, wamid, http_status, elapsed) WHERE o.message_id = r.id`,
      values: [column((b) => b.id), column((b) => b.result.wamid), column((b) => b.result.status), column((b) => b.result.elapsed)],
    });
    batch.forEach((b) => b.resolve());
  } catch (error) {
    batch.forEach((b) => b.reject(error));
  }
}
const recordBatched = (id, result) => new Promise((resolve, reject) => {
  if (waiting.push({ id, result, resolve, reject }) === 1) setTimeout(flush, BATCH_MS);
});
const record = recording === 'batched' ? recordBatched : recordEach;

async function send({ message_id: id, body }) {
  await record(id, await post(body));
  if (++done === count) finished();
}

async function main() {
  const runner = await run({
    pgPool: pool,
    taskList: { send },
    noHandleSignals: true,
    logger: new Logger(() => () => {}),
    preset: {
      worker: {
        concurrentJobs: concurrency,
        pollInterval: 100,
        localQueue: { size: Math.max(2000, 2 * concurrency) },
        completeJobBatchDelay: BATCH_MS,
        failJobBatchDelay: BATCH_MS,
      },
    },
  });
  const cpu = process.cpuUsage();
  const began = performance.now();
  await allDone;
  await runner.stop();                       // waits until the last jobs are completed in the database
  const took = (performance.now() - began) / 1000;
  const used = process.cpuUsage(cpu);
  console.log(`rate=${(count / took).toFixed(1)}\ncpu_us=${((used.user + used.system) / count).toFixed(1)}`);
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
