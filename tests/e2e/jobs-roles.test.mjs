// ROLES: what an instance does and what it leaves to others, on a PostgreSQL that they share.
import assert from 'node:assert/strict';
import test from 'node:test';
import { buildExample } from './modules.mjs';
import { call, done } from './people.mjs';
import { postgres, PRODUCTION, runProgram, startServer } from './server.mjs';
import { pause, poll } from './wire.mjs';
import { add, employer, lease, say } from './workers.mjs';

const COUNTDOWN = { name: 'countdown:run', payload: { steps: 1, stepMs: 1 } };

// { on(roles): an instance with them, shown(server, id), inState(server, id, state) }
async function installation(t) {
	const shared = await postgres(t);
	if (!shared)
		return undefined;
	const env = { ...shared, MODULES: await buildExample(t, 'countdown'), MASTER_KEY: PRODUCTION.MASTER_KEY, PUBLIC_URL: 'http://localhost:8080', JWT_ALGORITHM: 'ES256' };
	return (roles) => startServer(t, { env: { ...env, ROLES: roles } });
}

test('each instance does what its roles say, together they do all', async (t) => {
	const on = await installation(t);
	if (!on)
		return;
	const api = await on('api');
	const { key } = await employer(api, 'acme');
	const state = async (id) => (await done(api, `GET /api/v1/jobs/${id}`, { token: key })).state;
	const becomes = (id, wanted) => poll(`${wanted}`, async () => (await state(id)) === wanted);

	// api alone adds, and serves workers outside, but runs nothing and makes nothing due.
	const handled = await add(api, key, COUNTDOWN);
	const due = await add(api, key, { ...COUNTDOWN, delayMs: 1 });
	const outside = await add(api, key, { queue: 'outside' });
	const { jobs: [mine] } = await lease(api, key, { queue: 'outside', waitMs: 10_000 });
	assert.equal(mine.id, outside);
	assert.equal((await say(api, key, 'complete', mine)).data.state, 'completed');
	await pause(1500); // looks are every 500 ms
	assert.equal(await state(handled), 'available');
	assert.equal(await state(due), 'scheduled');

	// scheduler makes it due, and leaves it there. Neither serves anything but probes and metrics.
	const scheduler = await on('scheduler');
	await becomes(due, 'available');
	assert.equal(await state(handled), 'available');
	const worker = await on('worker');
	await becomes(handled, 'completed');
	await becomes(due, 'completed');
	for (const server of [scheduler, worker]) {
		for (const path of ['/api/v1/jobs', '/hello', '/api/v1/auth/login'])
			assert.equal((await call(server, `GET ${path}`, { token: key })).status, 404, `${path} of ${server === worker ? 'worker' : 'scheduler'}`);
		assert.equal((await call(server, `POST /api/v1/jobs`, { token: key, body: COUNTDOWN })).status, 404);
		const { paths } = (await call(server, 'GET /openapi.json')).body;
		assert.deepEqual(Object.keys(paths).filter((path) => path.startsWith('/api/')), []);
		assert.equal((await call(server, 'GET /health/live')).status, 200);
		assert.equal((await call(server, 'GET /health/ready')).status, 200);
	}

	// Without a scheduler nobody takes over from a worker that died; with one it is done.
	assert.equal((await scheduler.stop()).code, 0);
	const long = await add(api, key, { ...COUNTDOWN, payload: { steps: 1, stepMs: 2000 } });
	await becomes(long, 'running');
	await worker.kill();
	await on('worker');
	await pause(1500);
	assert.equal(await state(long), 'running');
	await on('scheduler');
	await becomes(long, 'completed');
});

test('an instance that only works does so without a request ever', async (t) => {
	const on = await installation(t);
	if (!on)
		return;
	const all = await on('api,scheduler');
	const { key } = await employer(all, 'acme');
	const worker = await on('worker');
	const ids = await Promise.all(Array.from({ length: 50 }, () => add(all, key, COUNTDOWN)));
	for (const id of ids)
		await poll('the end', async () => (await done(all, `GET /api/v1/jobs/${id}`, { token: key })).state === 'completed');
	assert.equal((await worker.stop()).code, 0);
});

test('roles that are none are refused', async (t) => {
	const refused = await runProgram(t, ['serve'], { env: { ROLES: 'api,cook' } });
	assert.notEqual(refused.code, 0);
	assert.match(refused.stdout + refused.stderr, /ROLES knows api, worker, relay and scheduler, not cook/);
	const warned = await runProgram(t, ['config', 'check'], { env: { ROLES: 'api' } });
	assert.equal(warned.code, 0, warned.stdout);
	assert.match(warned.stdout + warned.stderr, /ROLES leaves something out, and without DATABASE_URL/);
});
