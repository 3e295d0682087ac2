// Handlers in the program: a kind that a module brings, run in the real program; what becomes of those that
// are busy when the program is told to end, and when it is killed.
import assert from 'node:assert/strict';
import test from 'node:test';
import { buildExample } from './modules.mjs';
import { call, done } from './people.mjs';
import { postgres, PRODUCTION, startServer } from './server.mjs';
import { poll } from './wire.mjs';
import { add, employer } from './workers.mjs';

const countdown = (steps, stepMs, more = {}) => ({ name: 'countdown:run', payload: { steps, stepMs }, ...more });
const FOREVER = countdown(1000, 60_000);

const shown = (server, key, id) => done(server, `GET /api/v1/jobs/${id}`, { token: key });
const ended = (server, key, id) => poll('the end of the job', async () => {
	const job = await shown(server, key, id);
	return ['completed', 'discarded', 'cancelled'].includes(job.state) && job;
});
const running = (server, key, id) => poll('the start of the job', async () => (await shown(server, key, id)).state === 'running');

async function withModule(t, env = {}) {
	const all = { MODULES: await buildExample(t, 'countdown'), JWT_ALGORITHM: 'ES256', ...env };
	const server = await startServer(t, { env: all });
	const { key } = await employer(server, 'acme');
	const next = (more = {}) => startServer(t, { env: { ...all, ...more }, dataDir: server.dataDir });
	return { server, key, next };
}

test('a kind of a module is done in the program', async (t) => {
	const { server, key } = await withModule(t);
	const quick = await ended(server, key, await add(server, key, countdown(3, 1)));
	assert.equal(quick.state, 'completed');
	assert.equal(quick.queue, 'countdown');
	assert.deepEqual(quick.result, { steps: 3, attempt: 1 });

	// Its payload is judged when it is added.
	const refused = await call(server, 'POST /api/v1/jobs', { token: key, body: countdown(0, 'soon') });
	assert.equal(refused.status, 400);
	assert.deepEqual(refused.body.error.details.map(({ field }) => field).sort(), ['payload.stepMs', 'payload.steps']);

	// It tells how far it is, and stops when it is called off.
	const long = await add(server, key, countdown(1000, 20));
	await poll('some progress', async () => (await shown(server, key, long)).progress > 0);
	await done(server, `POST /api/v1/jobs/${long}/cancel`, { token: key });
	assert.equal((await ended(server, key, long)).state, 'cancelled');

	// An attempt takes no longer than it may.
	const late = await ended(server, key, await add(server, key, { ...FOREVER, attempts: 1, timeoutMs: 100 }));
	assert.equal(late.state, 'discarded');
});

test('a handler that is busy at SIGTERM finishes, if it does so in time', async (t) => {
	const { server, key, next } = await withModule(t, { JOBS_SHUTDOWN_TIMEOUT: '60s' });
	const id = await add(server, key, countdown(4, 500));
	await running(server, key, id);
	const other = await add(server, key, { ...countdown(1, 1), delayMs: 60_000 });
	assert.equal((await server.stop()).code, 0);

	// Nothing runs there that could have finished it afterwards.
	const after = await next({ MODULES: undefined });
	const job = await shown(after, key, id);
	assert.equal(job.state, 'completed');
	assert.deepEqual(job.result, { steps: 4, attempt: 1 });
	assert.equal((await shown(after, key, other)).state, 'scheduled');
});

test('a handler that is busy beyond the time is handed back, and the next start runs it', async (t) => {
	const { server, key, next } = await withModule(t, { JOBS_SHUTDOWN_TIMEOUT: '100ms' });
	const id = await add(server, key, { ...FOREVER, attempts: 1 });
	await running(server, key, id);
	assert.equal((await server.stop()).code, 0);

	const idle = await next({ MODULES: undefined });
	const back = await shown(idle, key, id);
	assert.equal(back.state, 'available');
	assert.equal(back.attempt, 0, 'what was handed back does not count');
	assert.equal((await idle.stop()).code, 0);

	const after = await next();
	await running(after, key, id);
	assert.equal((await shown(after, key, id)).attempt, 1);
	await done(after, `POST /api/v1/jobs/${id}/cancel`, { token: key });
	assert.equal((await ended(after, key, id)).state, 'cancelled');
});

test('a second SIGTERM ends the program at once; the job counts as lost', async (t) => {
	const { server, key, next } = await withModule(t, { JOBS_SHUTDOWN_TIMEOUT: '60s' });
	const id = await add(server, key, { ...FOREVER, attempts: 2 });
	await running(server, key, id);
	server.signal('SIGTERM');
	await server.logged(({ msg }) => msg === 'shutting down');
	assert.equal((await server.stop()).code, 1);
	const after = await next();
	await poll('the second attempt', async () => {
		const { state, attempt } = await shown(after, key, id);
		return state === 'running' && attempt === 2;
	});
	await done(after, `POST /api/v1/jobs/${id}/cancel`, { token: key });
	await ended(after, key, id);
});

for (const engine of ['SQLite', 'PostgreSQL'])
	test(`a program that is killed while handlers work (${engine})`, async (t) => {
		const env = engine === 'PostgreSQL' ? await postgres(t) : {};
		if (!env)
			return;
		const { server, key, next } = await withModule(t, { ...env, MASTER_KEY: PRODUCTION.MASTER_KEY, PUBLIC_URL: 'http://localhost:8080' });
		const once = await add(server, key, { ...FOREVER, attempts: 1 });
		const twice = await add(server, key, countdown(2, 1500, { attempts: 2 }));
		const many = await Promise.all(Array.from({ length: 20 }, () => add(server, key, countdown(1, 1000))));
		for (const id of [once, twice])
			await running(server, key, id);
		await server.kill();
		const after = await next();
		assert.equal((await ended(after, key, once)).state, 'discarded', 'its only attempt was lost');
		const again = await ended(after, key, twice);
		assert.equal(again.state, 'completed');
		assert.deepEqual(again.result, { steps: 2, attempt: 2 });
		for (const id of many)
			assert.equal((await ended(after, key, id)).state, 'completed');
	});
