// BullMQ for ./bench jobs: bullmq.mjs SOCKET COMMAND [NUMBER...], a line of JSON when done.
//
//   add SECONDS | bulk SECONDS | fill JOBS | work JOBS CONCURRENCY | latency SECONDS CONCURRENCY
import { Queue, Worker } from 'bullmq';
import { CALLERS, CHUNK, CHUNK_CALLERS, callAtPace, callFor, callTimes, now, payload, percentiles, workOff } from '../lib/jobs_load.mjs';

const NAME = 'bench';
const [path, command, ...numbers] = process.argv.slice(2);
const [amount, concurrency] = numbers.map(Number);
const options = { connection: { path, maxRetriesPerRequest: null }, skipVersionCheck: true };
const queue = new Queue(NAME, options);

// Nothing is kept of what is done: the least work for it.
const worker = (handler) => new Worker(NAME, handler, { ...options, concurrency, removeOnComplete: { count: 0 } });
const chunk = () => queue.addBulk(Array.from({ length: CHUNK }, () => ({ name: 'noop', data: payload() })));

const commands = {
	add: async () => ({ rate: await callFor(amount, CALLERS, () => queue.add('noop', payload())) }),
	bulk: async () => ({ rate: CHUNK * await callFor(amount, CHUNK_CALLERS, chunk) }),
	fill: async () => callTimes(amount / CHUNK, CHUNK_CALLERS, chunk),
	async work() {
		const jobs = workOff(amount);
		const consumer = worker(async () => void jobs.began());
		consumer.on('completed', jobs.ended);
		const rate = await jobs.finished;
		await consumer.close();
		return { rate };
	},
	async latency() {
		const samples = [];
		const consumer = worker(async (job) => void samples.push(now() - job.data.at));
		await consumer.waitUntilReady();
		await callAtPace(1, () => queue.add('noop', payload(now())));
		samples.length = 0;
		await callAtPace(amount, () => queue.add('noop', payload(now())));
		await consumer.close();
		return percentiles(samples);
	},
};

await queue.waitUntilReady();
console.log(JSON.stringify(await commands[command]() ?? {}));
await queue.close();
process.exit(0);
