// The worker protocol: leases and what becomes of them, batches, sessions and their loss, polls that
// wait, and that nobody reaches what is another tenant's.
import assert from 'node:assert/strict';
import test from 'node:test';
import { call, done, makeOperator } from './people.mjs';
import { postgres, PRODUCTION, startServer } from './server.mjs';
import { pause, poll } from './wire.mjs';
import { add, employer, lease, say, Session } from './workers.mjs';

const NOBODY = '01900000-0000-7000-8000-000000000001';
const job = async (server, token, id) => done(server, `GET /api/v1/jobs/${id}`, { token });

// Servers that share a PostgreSQL, or undefined.
async function pair(t) {
	const env = await postgres(t);
	if (!env)
		return undefined;
	const shared = { ...env, MASTER_KEY: PRODUCTION.MASTER_KEY, PUBLIC_URL: 'http://localhost:8080', JWT_ALGORITHM: 'ES256' };
	return Promise.all([startServer(t, { env: shared }), startServer(t, { env: shared })]);
}

test('a job from lease to end', async (t) => {
	const server = await startServer(t);
	const { key } = await employer(server, 'acme');
	const id = await add(server, key, { payload: { a: [1, 'ä'] }, tags: ['red'], attempts: 2, timeoutMs: 60_000, priority: 3 });
	const { jobs: [mine], completed } = await lease(server, key);

	assert.deepEqual(completed, []);
	assert.equal(mine.id, id);
	assert.match(mine.leaseToken, /^bh_ls_[A-Za-z0-9_-]{48}$/);
	const { name, queue, payload, attempt, attempts, tags, timeoutMs, priority } = mine;
	assert.deepEqual({ name, queue, payload, attempt, attempts, tags, timeoutMs, priority }, { name: 'test:work', queue: 'default', payload: { a: [1, 'ä'] }, attempt: 1, attempts: 2, tags: ['red'], timeoutMs: 60_000, priority: 3 });
	const expires = new Date(mine.leaseExpiresAt) - Date.now();
	assert.ok(expires > 20_000 && expires <= 31_000, 'the queue says 30 s');
	assert.deepEqual((await lease(server, key)).jobs, [], 'it is taken');

	const beat = await say(server, key, 'heartbeat', mine);
	assert.equal(beat.data.cancel, false);
	assert.ok(new Date(beat.data.leaseExpiresAt) - Date.now() > 20_000);
	assert.equal((await say(server, key, 'progress', mine, { percent: 50, note: 'half' })).status, 200);
	assert.deepEqual((await say(server, key, 'log', mine, { lines: [{ message: 'one' }, { level: 'error', message: 'two' }] })).data, { kept: 2, dropped: 0 });

	// The first attempt fails; it is the same job that comes again, under another token.
	const failed = await say(server, key, 'fail', mine, { message: 'no luck', retryInMs: 1 });
	assert.deepEqual(failed.data, { id, state: 'retryable' });
	const again = await poll('the retry', async () => (await lease(server, key)).jobs[0]);
	assert.equal(again.id, id);
	assert.equal(again.attempt, 2);
	assert.notEqual(again.leaseToken, mine.leaseToken);
	for (const what of ['heartbeat', 'complete', 'release'])
		assert.equal((await say(server, key, what, mine)).body.error.code, 'CONFLICT', what);
	assert.equal((await say(server, key, 'progress', mine, { percent: 1 })).status, 409);

	const result = { sum: 3, list: [null] };
	assert.deepEqual((await say(server, key, 'complete', again, { result })).data, { id, state: 'completed' });
	assert.equal((await say(server, key, 'complete', again, { result })).status, 200, 'the answer may have been lost');
	assert.equal((await say(server, key, 'fail', again, { message: 'too late' })).status, 409);
	const shown = await job(server, key, id);
	assert.equal(shown.state, 'completed');
	assert.deepEqual(shown.result, result);
});

test('snooze, release, discard, lease without a session', async (t) => {
	const server = await startServer(t);
	const { key } = await employer(server, 'acme');
	const id = await add(server, key, { attempts: 1 });
	const take = async () => poll('the job', async () => (await lease(server, key, { leaseMs: 1000 })).jobs[0]);

	for (const [what, more, state] of [['snooze', { delayMs: 1 }, 'scheduled'], ['release', {}, 'available'], ['snooze', { delayMs: 0 }, 'available']]) {
		const mine = await take();
		assert.equal(mine.attempt, 1, `${what} does not count`);
		assert.equal((await say(server, key, what, mine, more)).data.state, state);
	}
	assert.equal((await say(server, key, 'fail', await take(), { message: 'x'.repeat(50_000) })).data.state, 'discarded', 'the only attempt');

	const other = await add(server, key);
	assert.equal((await say(server, key, 'fail', await take(), { message: 'never', discard: true })).data.state, 'discarded');
	assert.equal((await job(server, key, other)).state, 'discarded');

	// A lease of a second: renewed it lasts, else the job is somebody else's.
	const lasting = await add(server, key);
	const mine = await take();
	for (let i = 0; i < 6; i++, await pause(300))
		assert.equal((await say(server, key, 'heartbeat', mine)).status, 200);
	const began = Date.now();
	const again = await take();
	assert.equal(again.id, lasting);
	assert.equal(again.attempt, 2, 'that one counts');
	assert.ok(Date.now() - began < 5000, `${Date.now() - began} ms`);
	assert.equal((await say(server, key, 'heartbeat', mine)).status, 409);
});

test('many at once, each with its own outcome', async (t) => {
	const server = await startServer(t);
	const { key } = await employer(server, 'acme');
	const bulk = await done(server, 'POST /api/v1/jobs/bulk', { token: key, body: { jobs: Array.from({ length: 250 }, (_, i) => ({ name: 'test:work', payload: { i } })) } });
	assert.equal(bulk.ids.length, 250);
	const { jobs } = await lease(server, key, { max: 200 });
	assert.equal(jobs.length, 200);
	const refs = jobs.map(({ id, leaseToken }) => ({ id, leaseToken }));
	const stranger = { id: NOBODY, leaseToken: refs[0].leaseToken };
	const post = (what, list) => done(server, `POST /api/v1/jobs/${what}`, { token: key, body: { jobs: list } });

	const beats = await post('heartbeat', [...refs.slice(0, 3), stranger]);
	assert.deepEqual(beats.jobs.map(({ cancel, error }) => error?.code ?? cancel), [false, false, false, 'NOT_FOUND']);
	const completed = await post('complete', [...refs.slice(0, 50), refs[0], stranger]);
	assert.deepEqual(completed.jobs.map(({ state, error }) => state ?? error.code), [...Array(51).fill('completed'), 'NOT_FOUND']);
	const failed = await post('fail', [...refs.slice(50, 60), refs[0]].map((ref) => ({ ...ref, message: 'no', discard: true })));
	assert.deepEqual(failed.jobs.map(({ state, error }) => state ?? error.code), [...Array(10).fill('discarded'), 'CONFLICT']);
	const released = await post('release', refs.slice(60));
	assert.ok(released.jobs.every(({ state }) => state === 'available'));

	// What is done goes with the next lease, in one transaction.
	const second = await lease(server, key, { max: 1000 });
	assert.equal(second.jobs.length, 190);
	const third = await lease(server, key, { complete: [...second.jobs.map(({ id, leaseToken }) => ({ id, leaseToken, result: 1 })), { ...refs[50], result: 2 }] });
	assert.deepEqual(third.jobs, []);
	assert.deepEqual(third.completed.map(({ state, error }) => state ?? error.code), [...Array(190).fill('completed'), 'CONFLICT']);
});

test('nonsense is refused, and says why', async (t) => {
	const server = await startServer(t);
	const { key } = await employer(server, 'acme');
	await add(server, key);
	const { jobs: [mine] } = await lease(server, key);
	const { id, leaseToken } = mine;
	const cases = [
		['queues/default/lease', {}, 'workerId'],
		['queues/default/lease', { workerId: 'a b' }, 'workerId'],
		['queues/default/lease', { workerId: 'x'.repeat(101) }, 'workerId'],
		['queues/default/lease', { workerId: 'w', max: 0 }, 'max'],
		['queues/default/lease', { workerId: 'w', max: 1001 }, 'max'],
		['queues/default/lease', { workerId: 'w', waitMs: 60_001 }, 'waitMs'],
		['queues/default/lease', { workerId: 'w', waitMs: -1 }, 'waitMs'],
		['queues/default/lease', { workerId: 'w', leaseMs: 999 }, 'leaseMs'],
		['queues/default/lease', { workerId: 'w', leaseMs: 3_600_001 }, 'leaseMs'],
		['queues/default/lease', { workerId: 'w', complete: [{ id }] }, 'complete.0.leaseToken'],
		['queues/default/lease', { workerId: 'w', more: 1 }, 'more'],
		['queues/Default/lease', { workerId: 'w' }, 'name'],
		[`jobs/${id}/complete`, {}, 'leaseToken'],
		[`jobs/${id}/complete`, { leaseToken: 'bh_ls_x' }, 'leaseToken'],
		[`jobs/${id}/complete`, { leaseToken: 7 }, 'leaseToken'],
		['jobs/nothing/complete', { leaseToken }, 'id'],
		[`jobs/${id}/complete`, { leaseToken, result: 'x'.repeat(300_000) }, 'result'],
		[`jobs/${id}/fail`, { leaseToken }, 'message'],
		[`jobs/${id}/fail`, { leaseToken, message: 'm', retryInMs: -1 }, 'retryInMs'],
		[`jobs/${id}/snooze`, { leaseToken }, 'delayMs'],
		[`jobs/${id}/progress`, { leaseToken, percent: 101 }, 'percent'],
		[`jobs/${id}/progress`, { leaseToken, percent: 1, note: 'x'.repeat(501) }, 'note'],
		[`jobs/${id}/log`, { leaseToken, lines: [] }, 'lines'],
		[`jobs/${id}/log`, { leaseToken, lines: [{ message: 'x', level: 'loud' }] }, 'lines.0.level'],
		['jobs/complete', { jobs: [] }, 'jobs'],
		['jobs/complete', { jobs: Array(1001).fill({ id, leaseToken }) }, 'jobs'],
	];
	for (const [path, body, field] of cases) {
		const { status, body: answer, text } = await call(server, `POST /api/v1/${path}`, { token: key, body });
		assert.equal(status, 400, `${path} ${JSON.stringify(body).slice(0, 100)}: ${text}`);
		assert.ok(answer.error.details.some((detail) => detail.field === field), `${field}: ${text}`);
	}
	// Well-formed, but of no start: a token of another job, of another attempt, bits turned.
	const other = Buffer.from(leaseToken.slice(6), 'base64url');
	for (const at of [17, 30, 35]) {
		const bytes = Buffer.from(other);
		bytes[at] ^= 1;
		assert.equal((await say(server, key, 'complete', { id, leaseToken: `bh_ls_${bytes.toString('base64url')}` })).status, 409, `byte ${at}`);
	}
	other[3] ^= 1;
	assert.equal((await say(server, key, 'complete', { id, leaseToken: `bh_ls_${other.toString('base64url')}` })).status, 404, 'of another tenant');
	assert.equal((await say(server, key, 'complete', { id: NOBODY, leaseToken })).status, 404);
	assert.equal((await call(server, 'GET /api/v1/workers/a%20b/session', { token: key })).status, 400);
	assert.equal((await call(server, 'GET /api/v1/workers/w/session', { token: key, headers: { 'last-event-id': 'x' } })).status, 400);
	assert.equal((await say(server, key, 'complete', mine)).status, 200, 'and nothing of it did any harm');
});

test('a tenant has its own jobs only; a worker of the platform has all', async (t) => {
	const server = await startServer(t);
	const operator = await makeOperator(server);
	const [acme, globex] = [await employer(server, 'acme'), await employer(server, 'globex')];
	const ids = [await add(server, acme.key), await add(server, globex.key)];

	const { jobs: [theirs] } = await lease(server, acme.key);
	assert.equal(theirs.id, ids[0]);
	for (const [what, more] of [['heartbeat'], ['complete'], ['release'], ['fail', { message: 'x' }], ['snooze', { delayMs: 1 }], ['progress', { percent: 1 }], ['log', { lines: [{ message: 'x' }] }]])
		assert.equal((await say(server, globex.key, what, theirs, more)).status, 404, what);
	const { jobs: [outcome] } = await done(server, 'POST /api/v1/jobs/complete', { token: globex.key, body: { jobs: [{ id: theirs.id, leaseToken: theirs.leaseToken }] } });
	assert.equal(outcome.error.code, 'NOT_FOUND');
	// A worker of the same name is another one.
	assert.equal((await done(server, 'DELETE /api/v1/workers/w', { token: globex.key })).released, 0);
	assert.equal((await say(server, acme.key, 'heartbeat', theirs)).status, 200);
	assert.equal((await say(server, acme.key, 'release', theirs)).status, 200);
	assert.equal((await call(server, 'POST /api/v1/platform/queues/default/lease', { token: acme.key, body: { workerId: 'w' } })).status, 403);

	const token = operator.accessToken, at = '/api/v1/platform';
	const { jobs } = await lease(server, token, { at });
	assert.deepEqual(jobs.map(({ id }) => id).sort(), [...ids].sort());
	assert.equal(new Set(jobs.map(({ tenantId }) => tenantId)).size, 2);
	assert.equal((await say(server, token, 'heartbeat', jobs[0], {}, at)).status, 200);
	const ends = await done(server, `POST ${at}/jobs/complete`, { token, body: { jobs: jobs.map(({ id, leaseToken }) => ({ id, leaseToken, result: { by: 'platform' } })) } });
	assert.deepEqual(ends.jobs.map(({ state }) => state), ['completed', 'completed']);
	for (const [i, { key }] of [acme, globex].entries())
		assert.equal((await job(server, key, ids[i])).result.by, 'platform');
});

// How long after it was added a waiting poll has the job, in milliseconds.
async function wakeTime(adder, waiter, key) {
	const polled = lease(waiter, key, { waitMs: 20_000 }).then(({ jobs }) => ({ jobs, at: performance.now() }));
	await pause(700); // it waits now, and not for its first look
	const added = performance.now();
	await add(adder, key);
	const { jobs: [mine], at } = await polled;
	await say(waiter, key, 'complete', mine);
	return at - added;
}

test('a poll waits for a job, and has it at once', async (t) => {
	const server = await startServer(t);
	const { key } = await employer(server, 'acme');
	const times = [];
	for (let i = 0; i < 5; i++)
		times.push(await wakeTime(server, server, key));
	assert.ok(Math.min(...times) < 100, `${times}`);
	const began = Date.now();
	assert.deepEqual((await lease(server, key, { waitMs: 600 })).jobs, []);
	assert.ok(Date.now() - began >= 590);

	// Whoever goes takes nothing along.
	const gone = new AbortController();
	const left = fetch(`${server.url}/api/v1/queues/default/lease`, { method: 'POST', signal: gone.signal, headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' }, body: JSON.stringify({ workerId: 'gone', waitMs: 20_000 }) });
	await pause(200);
	gone.abort();
	await assert.rejects(left);
	await pause(50);
	const id = await add(server, key);
	assert.equal((await poll('the job', async () => (await lease(server, key)).jobs[0])).id, id);

	// The end of the server ends it, too.
	const waiting = lease(server, key, { waitMs: 60_000 });
	await pause(200);
	const stopped = Date.now();
	server.signal('SIGTERM');
	assert.deepEqual((await waiting).jobs, []);
	assert.ok(Date.now() - stopped < 3000);
	assert.equal((await server.gone()).code, 0);
});

test('a poll on one instance hears of a job that another one has added', async (t) => {
	const servers = await pair(t);
	if (!servers)
		return;
	const { key } = await employer(servers[0], 'acme');
	const times = [];
	for (let i = 0; i < 5; i++)
		times.push(await wakeTime(servers[0], servers[1], key));
	assert.ok(Math.min(...times) < 250, `${times}`);
	t.diagnostic(`${times.map(Math.round)} ms`);
});

test('a session holds what its worker has leased', async (t) => {
	const server = await startServer(t);
	const { key } = await employer(server, 'acme');
	const id = await add(server, key);
	const session = new Session(t, server, key, 'w');
	const ready = await session.got('ready');
	assert.deepEqual(ready, { sessionId: session.events[0].id, workerId: 'w', resumed: false, lostAfterMs: 3000 });
	const { jobs: [mine] } = await lease(server, key);
	await pause(4500); // longer than a session can be away
	assert.equal((await say(server, key, 'heartbeat', mine)).status, 200, 'without any heartbeat');

	// The connection breaks and comes back in time.
	session.drop();
	const second = new Session(t, server, key, 'w', { lastEventId: ready.sessionId });
	assert.deepEqual(await second.got('ready'), { ...ready, resumed: true });
	await pause(3500);
	assert.equal((await say(server, key, 'heartbeat', mine)).status, 200);

	// It breaks and does not.
	second.drop();
	const dropped = Date.now();
	const { jobs: [again] } = await lease(server, key, { workerId: 'another', waitMs: 20_000 });
	assert.equal(again.id, id);
	assert.equal(again.attempt, 2);
	const took = Date.now() - dropped;
	assert.ok(took > 1500 && took < 5000, `${took} ms`);
	assert.equal((await say(server, key, 'complete', mine)).status, 409);
	assert.equal((await say(server, key, 'complete', again)).status, 200);
	const third = new Session(t, server, key, 'w', { lastEventId: ready.sessionId });
	assert.equal((await third.got('ready')).resumed, false, 'what was lost does not come back');
	t.diagnostic(`${took} ms from the loss to the next start`);
});

test('a second session takes over; who leaves hands back', async (t) => {
	const server = await startServer(t);
	const { key } = await employer(server, 'acme');
	await add(server, key, { attempts: 5 });
	const first = new Session(t, server, key, 'w');
	await first.got('ready');
	const { jobs: [mine] } = await lease(server, key);

	const second = new Session(t, server, key, 'w');
	await second.got('ready');
	await first.got('lost');
	await first.over();
	const { jobs: [again] } = await lease(server, key);
	assert.equal(again.attempt, 2, 'a worker that began anew had failed');
	assert.equal((await say(server, key, 'complete', mine)).status, 409);

	// An answer that was lost: what the worker does not know of comes again, and was no attempt.
	const lost = await lease(server, key, { lostAnswer: true, holding: [again.id] });
	assert.deepEqual(lost.jobs, []);
	const { jobs: [third] } = await lease(server, key, { lostAnswer: true });
	assert.equal(third.id, again.id);
	assert.equal(third.attempt, 2);

	assert.deepEqual(await done(server, 'DELETE /api/v1/workers/w', { token: key }), { released: 1 });
	await second.got('lost');
	const { jobs: [fourth] } = await lease(server, key, { workerId: 'another' });
	assert.equal(fourth.attempt, 2, 'what is handed back does not count');
	assert.deepEqual(await done(server, 'DELETE /api/v1/workers/another', { token: key }), { released: 1 }, 'without a session, too');
	assert.equal((await lease(server, key)).jobs.length, 1);
});

test('a session tells which job shall stop, and when the server ends', async (t) => {
	const server = await startServer(t);
	const { key } = await employer(server, 'acme');
	const ids = [await add(server, key), await add(server, key)];
	const session = new Session(t, server, key, 'w');
	await session.got('ready');
	const other = new Session(t, server, key, 'other');
	await other.got('ready');
	const { jobs } = await lease(server, key);
	assert.equal(jobs.length, 2);

	await done(server, `POST /api/v1/jobs/${ids[1]}/cancel`, { token: key });
	assert.deepEqual(await session.got('cancel'), { jobId: ids[1] });
	const mine = jobs.find(({ id }) => id === ids[1]);
	assert.equal((await say(server, key, 'heartbeat', mine)).data.cancel, true);
	assert.equal((await say(server, key, 'fail', mine, { message: 'stopped' })).data.state, 'cancelled');
	assert.deepEqual(other.events.map(({ event }) => event), ['ready']);

	server.signal('SIGTERM');
	await session.got('drain');
	await session.over();
	assert.equal((await server.gone()).code, 0);
});

test('what a killed server had lent is still the worker\'s', async (t) => {
	const server = await startServer(t);
	const { key } = await employer(server, 'acme');
	await add(server, key);
	const session = new Session(t, server, key, 'w');
	const { sessionId } = await session.got('ready');
	const { jobs: [mine] } = await lease(server, key);
	await server.kill();
	const next = await startServer(t, { dataDir: server.dataDir });
	const resumed = new Session(t, next, key, 'w', { lastEventId: sessionId });
	assert.equal((await resumed.got('ready')).resumed, true);
	assert.equal((await say(next, key, 'complete', mine)).status, 200);
});

test('an instance that dies loses its sessions, and others start what they had', async (t) => {
	const servers = await pair(t);
	if (!servers)
		return;
	const [one, two] = servers;
	const { key } = await employer(one, 'acme');
	const id = await add(one, key);
	const session = new Session(t, one, key, 'w');
	const { sessionId } = await session.got('ready');
	const moved = new Session(t, two, key, 'w', { lastEventId: sessionId });
	assert.equal((await moved.got('ready')).resumed, true);
	await session.got('lost'); // it goes on elsewhere
	const back = new Session(t, one, key, 'w', { lastEventId: sessionId });
	assert.equal((await back.got('ready')).resumed, true);
	await moved.got('lost');
	const { jobs: [mine] } = await lease(two, key);
	assert.equal(mine.id, id, 'whichever instance is asked, the session is the same');
	await one.kill();
	const killed = Date.now();
	const { jobs: [again] } = await lease(two, key, { workerId: 'another', waitMs: 20_000 });
	assert.equal(again.attempt, 2);
	const took = Date.now() - killed;
	assert.ok(took < 5000, `${took} ms`);
	t.diagnostic(`${took} ms from the kill to the next start`);
});
