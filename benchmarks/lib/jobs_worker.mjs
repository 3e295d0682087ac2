// A worker over HTTP for ./bench jobs: jobs_worker.mjs BASE KEY QUEUE JOBS CONCURRENCY, a line of JSON when done.
//
// It leases up to 500 at a time, does CONCURRENCY of them at once (nothing, as the handlers of the peers do), and
// completes them with the next lease.
import { Agent, request } from 'node:http';
import { workOff } from './jobs_load.mjs';

const BATCH = 500;
const [base, key, queue, jobs, concurrency] = process.argv.slice(2);
const count = Number(jobs);
const agent = new Agent({ keepAlive: true });

function post(path, body) {
	const text = JSON.stringify(body);
	return new Promise((resolve, reject) => {
		request(base + path, {
			method: 'POST', agent,
			headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
		}, (response) => {
			const chunks = [];
			response.on('data', (chunk) => chunks.push(chunk)).on('end', () => {
				const answer = Buffer.concat(chunks).toString();
				if (response.statusCode >= 300)
					reject(new Error(`${path}: ${response.statusCode} ${answer.slice(0, 1000)}`));
				else
					resolve(answer ? JSON.parse(answer).data : undefined);
			});
		}).on('error', reject).end(text);
	});
}

const handler = async () => {};

// Does all of a batch, `concurrency` at a time.
async function work(batch) {
	let next = 0;
	const loop = async () => {
		while (next < batch.length) {
			const job = batch[next++];
			worked.began();
			await handler(job.payload);
		}
	};
	await Promise.all(Array.from({ length: Math.min(Number(concurrency), batch.length) }, loop));
	return batch.map(({ id, leaseToken }) => ({ id, leaseToken, result: null }));
}

const worked = workOff(count);
let leased = 0;

// Two of them, so that one is on the way while the other is worked off.
async function loop() {
	let complete = [];
	while (leased < count || complete.length) {
		const { jobs: batch } = await post(`/api/v1/queues/${queue}/lease`,
			{ workerId: 'bench', max: BATCH, waitMs: leased < count ? 100 : 0, complete });
		leased += batch.length;
		complete.forEach(worked.ended);
		complete = await work(batch);
	}
}

const loops = Promise.all([loop(), loop()]);
const rate = await worked.finished;
await loops;
console.log(JSON.stringify({ rate }));
process.exit(0);
