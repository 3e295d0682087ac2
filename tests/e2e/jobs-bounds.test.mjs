// As many polls and sessions of workers as there may be: one more is refused and says why, another tenant is
// not touched, what goes away leaves its place to others, and all of them end with the server.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import test from 'node:test';
import { add, employer, lease } from './workers.mjs';
import { atEnd, startServer } from './server.mjs';
import { poll } from './wire.mjs';

const MOST = 1000; // of a tenant at an instance, as doc/jobs-workers.md says

// A call on a connection of its own: { status, body, ended } as they come, drop().
function open(t, server, key, method, path, body) {
	const call = { status: 0, body: '', ended: false, drop: () => sent.destroy() };
	const sent = request(server.url + path, { method, agent: false, headers: { authorization: `Bearer ${key}`, ...(body ? { 'content-type': 'application/json' } : {}) } }, (response) => {
		call.status = response.statusCode;
		response.setEncoding('utf8').on('data', (chunk) => (call.body += chunk));
		response.on('close', () => (call.ended = true)).on('error', () => {});
	});
	sent.on('error', () => (call.ended = true)).end(body && JSON.stringify(body));
	atEnd(t, () => sent.destroy());
	return call;
}

const ONE_ADDRESS = { HTTP_MAX_CONNECTIONS_PER_ADDRESS: '5000' };
const count = (calls, matches) => calls.filter(matches).length;
const patience = 120_000;

test('sessions at their bound', async (t) => {
	const server = await startServer(t, { env: ONE_ADDRESS });
	const { key } = await employer(server, 'acme');
	const other = await employer(server, 'other');
	const session = (who, name) => open(t, server, who, 'GET', `/api/v1/workers/${name}/session`);
	const ready = (call) => call.body.includes('event: ready');
	const sessions = [];

	for (let i = 0; i < MOST; i += 50) {
		for (let k = 0; k < 50; k++)
			sessions.push(session(key, `w${i + k}`));
		await poll('sessions', () => sessions.every(ready), patience);
	}
	const over = session(key, 'one-more');
	await poll('the refusal', () => over.ended, patience);
	assert.equal(over.status, 429);
	assert.deepEqual(JSON.parse(over.body).error.code, 'TOO_MANY_REQUESTS');
	assert.match(over.body, /1000 sessions of workers/);
	const foreign = session(other.key, 'w0');
	await poll('the session of another tenant', () => ready(foreign), patience);
	assert.equal(count(sessions, (call) => call.ended), 0, 'none of them had to go');

	// Those that are gone make room, all of them.
	for (const call of sessions.slice(0, 100))
		call.drop();
	const next = [];
	await poll('their places', async () => {
		for (let i = next.length; i < 100; i++)
			next.push(session(key, `n${i}`));
		await poll('answers', () => next.every((call) => ready(call) || call.ended), patience);
		for (let i = next.length - 1; i >= 0; i--)
			if (next[i].status === 429)
				next.splice(i, 1);
		return next.length === 100;
	}, patience);
	const again = session(key, 'one-more');
	await poll('the refusal', () => again.ended, patience);
	assert.equal(again.status, 429, 'and no more than those');

	server.signal('SIGTERM');
	const alive = [...sessions.slice(100), ...next, foreign];
	await poll('the end of all', () => alive.every((call) => call.ended), patience);
	assert.equal(count(alive, (call) => !call.body.includes('event: drain')), 0);
	assert.equal((await server.gone()).code, 0);
});

test('polls at their bound', async (t) => {
	const server = await startServer(t, { env: ONE_ADDRESS });
	const { key } = await employer(server, 'acme');
	const other = await employer(server, 'other');
	const wait = (who, queue) => open(t, server, who, 'POST', `/api/v1/queues/${queue}/lease`, { workerId: 'w', max: 1, waitMs: 60_000 });
	const polls = [];
	let refused;

	// Which of them waits is told by the first that is refused.
	await poll('as many as there may be', async () => {
		while (polls.length < MOST + 20)
			polls.push(wait(key, 'empty'));
		refused = polls.filter((call) => call.ended);
		return refused.length === 20;
	}, patience);
	for (const call of refused) {
		assert.equal(call.status, 429);
		assert.match(call.body, /1000 polls that wait for jobs/);
	}
	const waiting = polls.filter((call) => !call.ended);
	assert.equal(waiting.length, MOST);

	// Who does not wait is answered, and so is another tenant; who adds a job finds one of them waiting.
	assert.deepEqual((await lease(server, key, { queue: 'empty' })).jobs, []);
	const foreign = wait(other.key, 'empty');
	const id = await add(server, key, { queue: 'empty' });
	await poll('one of them', () => count(waiting, (call) => call.ended) === 1, patience);
	assert.equal(count(waiting, (call) => call.ended && call.body.includes(id)), 1);
	assert.equal(foreign.ended, false);

	// Those that go away make room.
	const gone = waiting.filter((call) => !call.ended).slice(0, 100);
	for (const call of gone)
		call.drop();
	const stays = waiting.filter((call) => !call.ended && !gone.includes(call));
	const next = [];
	const inTheirPlace = () => count(next, (call) => !call.ended);
	await poll('their places', () => {
		while (inTheirPlace() < 121)
			next.push(wait(key, 'empty'));
		return poll('refusals', () => inTheirPlace() < 121, patience).then(() => inTheirPlace() === 101);
	}, patience);

	server.signal('SIGTERM');
	const alive = [...stays, ...next, foreign];
	await poll('the end of all', () => alive.every((call) => call.ended), patience);
	assert.ok(count(next, ({ status }) => status === 200) > 90, 'who came later waited in the place of who had gone');
	for (const call of alive.filter(({ status }) => status !== 429))
		assert.deepEqual(JSON.parse(call.body || 'null')?.data?.jobs, [], `${call.status} ${call.body}`);
	assert.equal((await server.gone()).code, 0);
});
