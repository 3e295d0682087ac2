// Administration of jobs: what people see and decide over HTTP and on the command line, with a server
// and without one; metrics and health.
import assert from 'node:assert/strict';
import test from 'node:test';
import { call, done, makeOperator } from './people.mjs';
import { runProgram, startServer, temporaryFolder } from './server.mjs';
import { poll } from './wire.mjs';
import { add, employer, lease, say } from './workers.mjs';

const QUEUE = 'admin';

async function fail(server, key) {
	const { jobs } = await lease(server, key, { queue: QUEUE });
	for (const job of jobs)
		await say(server, key, 'fail', job, { message: 'no luck' });
	return jobs.length;
}

test('dead letters are found, tried again and cleaned away', async (t) => {
	const server = await startServer(t);
	const { key } = await employer(server, 'acme');
	for (let i = 0; i < 3; i++)
		await add(server, key, { queue: QUEUE, attempts: 1, tags: [`t${i}`] });
	assert.equal(await fail(server, key), 3);

	const dead = await done(server, 'GET /api/v1/jobs?state=discarded&tag=t1', { token: key });
	assert.equal(dead.items.length, 1);
	const shown = await done(server, `GET /api/v1/jobs/${dead.items[0].id}`, { token: key });
	assert.equal(shown.errors[0].message, 'no luck');
	assert.deepEqual(await done(server, 'POST /api/v1/jobs/retry', { token: key, body: { filter: { queue: QUEUE } } }), { count: 3, skipped: 0, more: false });
	assert.equal(await fail(server, key), 3, 'there is room for another attempt');
	assert.equal((await done(server, 'POST /api/v1/jobs/clean', { token: key, body: { filter: { state: 'discarded' } } })).count, 3);
	assert.deepEqual((await done(server, 'GET /api/v1/jobs', { token: key })).items, []);
});

test('what is counted shows in lists, metrics and health', async (t) => {
	const server = await startServer(t);
	const { key } = await employer(server, 'acme');
	const { accessToken: token } = await makeOperator(server);
	const settings = { settings: { alarmDepth: 2 } };
	assert.equal((await call(server, `PUT /api/v1/platform/queues/${QUEUE}`, { token, body: settings })).status, 200);
	await done(server, `POST /api/v1/queues/${QUEUE}/pause`, { token: key });
	for (let i = 0; i < 3; i++)
		await add(server, key, { queue: QUEUE });
	assert.deepEqual((await lease(server, key, { queue: QUEUE })).jobs, [], 'it is paused');

	const queue = await poll('the count', async () => {
		const { items } = await done(server, 'GET /api/v1/queues', { token: key });
		return items.find(({ name, ready }) => name === QUEUE && ready === 3);
	});
	assert.equal(queue.pausedTenant, true);
	const health = await poll('the alarm', async () => {
		const answer = await (await fetch(`${server.url}/health`)).json();
		return answer.status === 'degraded' && answer;
	});
	assert.match(health.checks.jobs.detail, /queue admin: 3 jobs wait/);
	assert.equal((await fetch(`${server.url}/ready`)).status, 200, 'it serves all the same');
	const metrics = await (await fetch(`${server.url}/metrics`)).text();
	assert.match(metrics, /^jobs_depth\{queue="admin",state="ready"\} 3$/m);

	await done(server, `POST /api/v1/queues/${QUEUE}/resume`, { token: key });
	const { jobs } = await lease(server, key, { queue: QUEUE });
	assert.equal(jobs.length, 3);
	const running = await done(server, 'GET /api/v1/jobs/running', { token: key });
	assert.equal(running.items.length, 3);
	const workers = await done(server, 'GET /api/v1/workers', { token: key });
	assert.equal(workers.items.find(({ worker }) => worker === 'w').running, 3);
	for (const job of jobs)
		await say(server, key, 'complete', job);
	const counted = await poll('the tallies', async () => {
		const text = await (await fetch(`${server.url}/metrics`)).text();
		return text.includes('jobs_ended_total{queue="admin",outcome="completed"} 3') && text;
	});
	assert.match(counted, /^jobs_duration_seconds_count\{queue="admin"\} 3$/m);
	await poll('the throughput', async () => (await done(server, `GET /api/v1/queues/${QUEUE}`, { token: key })).perMinute > 0);
});

test('the command line, beside a server and without one', async (t) => {
	const dataDir = await temporaryFolder(t);
	const server = await startServer(t, { dataDir });
	const run = (...args) => runProgram(t, ['jobs', ...args], { env: { DATA_DIR: dataDir } });
	const { key } = await employer(server, 'acme');
	const id = await add(server, key, { queue: QUEUE, attempts: 1 });
	assert.equal(await fail(server, key), 1);

	const look = async () => {
		const { stdout, code } = await run('list', '--tenant', 'acme', '--json');
		assert.equal(code, 0);
		return stdout.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
	};
	assert.deepEqual((await look()).map((job) => [job.id, job.state]), [[id, 'discarded']]);
	assert.match((await run('show', id, '--tenant', 'acme')).stdout, /no luck/);
	assert.equal((await run('retry', id, '--tenant', 'acme')).code, 0);
	assert.equal((await run('retry', id, '--tenant', 'acme')).code, 1, 'it has not ended');
	assert.equal((await run('pause', QUEUE)).code, 0);
	assert.deepEqual((await lease(server, key, { queue: QUEUE })).jobs, []);
	await server.stop();

	assert.equal((await look())[0].state, 'available');
	assert.match((await run('queues')).stdout, /admin +paused +1 /);
	assert.equal((await run('drain', QUEUE, '--tenant', 'acme')).code, 0);
	assert.equal((await look())[0].state, 'cancelled');
	assert.equal((await run('remove', id, '--tenant', 'acme')).code, 0);
	assert.deepEqual(await look(), []);
	assert.equal((await run('list', '--tenant', 'nobody')).code, 1);
	assert.equal((await run('list', '--state')).code, 2);
	assert.equal(JSON.parse((await run('stats', '--json')).stdout).ready, 0);
	for (const words of [['callers'], ['grant', 'billing', 'acme'], ['grant', 'billing', 'any'], ['revoke', 'billing']]) {
		const { code, stderr } = await run(...words);
		assert.equal(code, 1);
		assert.match(stderr, /PostgreSQL/, 'SQLite has no roles');
	}
	assert.match((await run('grant', 'billing', 'nobody')).stderr, /there is no tenant nobody/);
});
