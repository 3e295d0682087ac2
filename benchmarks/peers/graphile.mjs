// graphile-worker for ./bench jobs: graphile.mjs URL plain|tuned COMMAND [NUMBER...], a line of JSON when done.
//
//   migrate | add SECONDS | bulk SECONDS | fill JOBS | work JOBS CONCURRENCY | latency SECONDS CONCURRENCY
//
// `tuned` is what its documentation calls batching: a local queue of 500, completions and failures joined.
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { CALLERS, CHUNK, CHUNK_CALLERS, callAtPace, callFor, callTimes, now, payload, percentiles, workOff } from '../lib/jobs_load.mjs';

const POOL = 10;
const [connectionString, mode, command, ...numbers] = process.argv.slice(2);
const [amount, concurrency] = numbers.map(Number);
const tuned = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
const quiet = new Logger(() => () => {});

const utils = await makeWorkerUtils({ connectionString, maxPoolSize: POOL, logger: quiet });
const add = (at) => utils.addJob('noop', payload(at));
const chunk = () => utils.addJobs(Array.from({ length: CHUNK }, () => ({ identifier: 'noop', payload: payload() })));

// A connection for each job at a time and one that listens, as its documentation advises.
const start = (handler) => run({
	taskList: { noop: handler },
	noHandleSignals: true,
	preset: {
		worker: {
			connectionString, concurrentJobs: concurrency, maxPoolSize: concurrency + 1, logger: quiet,
			...(mode === 'tuned' ? tuned : {}),
		},
	},
});

const commands = {
	migrate: () => utils.migrate(),
	add: async () => ({ rate: await callFor(amount, CALLERS, () => add()) }),
	bulk: async () => ({ rate: CHUNK * await callFor(amount, CHUNK_CALLERS, chunk) }),
	fill: async () => callTimes(amount / CHUNK, CHUNK_CALLERS, chunk),
	async work() {
		const jobs = workOff(amount);
		const runner = await start(async () => void jobs.began());
		runner.events.on('job:complete', jobs.ended);
		const rate = await jobs.finished;
		await runner.stop();
		return { rate };
	},
	async latency() {
		const samples = [];
		const runner = await start(async ({ at }) => void samples.push(now() - at));
		await callAtPace(1, () => add(now()));
		samples.length = 0;
		await callAtPace(amount, () => add(now()));
		await runner.stop();
		return percentiles(samples);
	},
};

console.log(JSON.stringify(await commands[command]() ?? {}));
process.exit(0);
