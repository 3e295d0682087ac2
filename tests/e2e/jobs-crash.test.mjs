// The crash matrix: kill -9 of the server, the database or a worker while jobs are on their way from each
// state to the next. Whatever was answered holds afterwards; what was not is there wholly or not at all;
// nothing is lost; and what is done twice is what the matrix says may be.
//
// In each round every transition is under way at once when the victim dies. SEED=n makes a round again,
// ROUNDS=n so many from there on. WRITE_MATRIX=FOLDER puts what was seen into the folder, and the sum of all
// that is there into doc/jobs-crash.md: so several processes may share a long run.
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildExample } from './modules.mjs';
import { call, done, register } from './people.mjs';
import { atEnd, PRODUCTION, startServer, temporaryFolder } from './server.mjs';
import { pause, SANITIZED } from './wire.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ROUNDS = Number(process.env.ROUNDS ?? (process.env.TEST_LONG ? 170 : 2)); // a kill each
const WORKER_ROUNDS = process.env.TEST_LONG ? 20 : 2;
const SEED = Number(process.env.SEED ?? 1);
const LEASE_MS = 2000; // of those that are killed
const DRAIN_LEASE_MS = 60_000; // of who comes afterwards: whatever the machine does, once taken is enough
const RERUN_LIMIT_MS = (SANITIZED ? 4 : 1) * 5000; // from the moment that all run again
const DRAIN_LIMIT_MS = 30_000;

// The same numbers again for the same seed (mulberry32).
function randomOf(seed) {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let t = Math.imul(state ^ (state >>> 15), 1 | state);
		t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
		return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
	};
}

// --- databases ------------------------------------------------------------------------------

// On a socket, so that it comes back under the same name.
class Database {
	static async start(t) {
		const folder = join(await temporaryFolder(t), 'pg');
		const database = new Database(folder);
		const { status, stderr } = database.#run('start', '--for', String(process.pid));
		if (status === 77)
			return t.skip('PostgreSQL is not installed');
		assert.equal(status, 0, stderr);
		atEnd(t, () => database.#run('stop'));
		return database;
	}

	constructor(folder) {
		this.folder = folder;
		const url = (role) => `postgresql://${role}@localhost/pattern?host=${encodeURIComponent(folder)}&port=5432`;
		this.env = { DATABASE_URL: url('app'), DATABASE_OWNER_URL: url('owner') };
	}

	// Not in step with what is asked meanwhile.
	async kill() {
		const run = (...args) => promisify(execFile)(resolve(ROOT, 'tests/postgres'), args);
		await run('stop', this.folder, 'KILL');
		await run('start', this.folder, '--for', String(process.pid));
	}

	#run(verb, ...args) {
		return spawnSync(resolve(ROOT, 'tests/postgres'), [verb, this.folder, ...args], { encoding: 'utf8' });
	}
}

// --- the world -------------------------------------------------------------------------------

class World {
	effects = new Map(); // id of a job: how often somebody did its work
	backAt = 0; // when all ran again after the last kill

	async open(t, env) {
		this.t = t;
		this.env = { MODULES: await buildExample(t, 'countdown'), ...env, MASTER_KEY: PRODUCTION.MASTER_KEY, PUBLIC_URL: 'http://localhost:8080', PASSWORD_MEMORY: '7mb', PASSWORD_PASSES: '1', DATABASE_CONNECT_TIMEOUT: '2s' };
		this.server = await startServer(t, { env: this.env });
		const { accessToken } = await register(this.server, 'acme');
		const { key } = await done(this.server, 'POST /api/v1/api-keys', { token: accessToken, body: { name: 'worker', scopes: ['jobs:*'] } });
		this.token = key;
	}

	async restart() {
		await this.server.kill();
		this.server = await startServer(this.t, { env: this.env, dataDir: this.server.dataDir });
	}

	// The answer, or null when there was none, or none that says what happened.
	async ask(request, body) {
		let answer;
		try {
			answer = await call(this.server, request, { token: this.token, body });
		} catch {
			return null;
		}
		if ([500, 503, 504].includes(answer.status))
			return null;
		return answer;
	}

	// The same until there is one.
	async insist(request, body) {
		const deadline = Date.now() + DRAIN_LIMIT_MS;
		for (;;) {
			const answer = await this.ask(request, body);
			if (answer)
				return answer;
			assert.ok(Date.now() < deadline, `${request}: no answer`);
			await pause(20);
		}
	}

	async add(queue, more = {}) {
		const answer = await this.insist('POST /api/v1/jobs', { ...(queue ? { queue } : {}), name: 'crash:test', payload: {}, ...more });
		assert.equal(answer.status, 201, answer.text);
		return answer.data.id;
	}

	async take(queue, waitMs = 0, workerId = 'one', leaseMs = LEASE_MS) {
		const answer = await this.insist(`POST /api/v1/queues/${queue}/lease`, { workerId, max: 10, waitMs, leaseMs });
		assert.equal(answer.status, 200, answer.text);
		for (const job of answer.data.jobs)
			this.effect(job.id);
		return answer.data.jobs;
	}

	effect(id) {
		this.effects.set(id, (this.effects.get(id) ?? 0) + 1);
	}

	// One job that runs, with its token.
	async running(queue, more) {
		await this.add(queue, more);
		const jobs = await this.take(queue, 5000);
		assert.equal(jobs.length, 1);
		return jobs[0];
	}

	async state(id) {
		const answer = await this.insist(`GET /api/v1/jobs/${id}`);
		assert.equal(answer.status, 200, answer.text);
		return answer.data.state;
	}

	// Works until the job has ended; how long it took from the kill to its next start, if there was one.
	async drain(queue, id, ends = ['completed']) {
		const deadline = Date.now() + DRAIN_LIMIT_MS;
		let restarted = null;
		for (;;) {
			const state = await this.state(id);
			if (['completed', 'discarded', 'cancelled'].includes(state)) {
				assert.ok(ends.includes(state), `${queue}: ${state}`);
				return { state, restarted };
			}
			assert.ok(Date.now() < deadline, `${queue}: a job is ${state} and stays so`);
			for (const job of await this.take(queue, 200, 'other', DRAIN_LEASE_MS)) {
				restarted ??= Date.now() - this.backAt;
				const answer = await this.insist(`POST /api/v1/jobs/${job.id}/complete`, { leaseToken: job.leaseToken });
				assert.equal(answer.status, 200, answer.text);
			}
		}
	}

	done(id) {
		return this.effects.get(id) ?? 0;
	}
}

// --- transitions ------------------------------------------------------------------------------

// Each has a queue of its own. `prepare` before the kill, `act` while it comes (what it asks may stay
// without an answer), `settle` after it: { lost, twice, rerunMs }. `most` says how often a job's work may
// be done in excess, and why.
const TRANSITIONS = [
	{
		name: 'being added', most: 0,
		act: (w, queue) => w.ask('POST /api/v1/jobs', { queue, name: 'crash:test', payload: {} }),
		async settle(w, queue, _, answer) {
			const list = await w.insist(`GET /api/v1/jobs?queue=${queue}&limit=10`);
			const ids = list.data.items.map(({ id }) => id);
			if (answer)
				assert.equal(answer.status, 201, answer.text);
			assert.ok(ids.length <= 1);
			if (ids[0])
				await w.drain(queue, ids[0]);
			return { lost: answer && ids[0] !== answer.data.id, twice: ids[0] ? w.done(ids[0]) - 1 : 0 };
		},
	},
	{
		name: 'being added, 50 at once', most: 0,
		act: (w, queue) => w.ask('POST /api/v1/jobs/bulk', { jobs: Array.from({ length: 50 }, () => ({ queue, name: 'crash:test', payload: {} })) }),
		async settle(w, queue, _, answer) {
			const { data } = await w.insist(`GET /api/v1/jobs?queue=${queue}&limit=100`);
			assert.ok([0, 50].includes(data.items.length), `${data.items.length} of 50`);
			return { lost: answer !== null && data.items.length === 0, twice: 0 };
		},
	},
	{
		name: 'scheduled to available', most: 0,
		prepare: (w, queue) => w.add(queue, { delayMs: 150 }),
		act: () => pause(150),
		settle: rerun,
	},
	{
		name: 'available to running', most: 0,
		prepare: (w, queue) => w.add(queue),
		async act(w, queue) {
			return w.ask(`POST /api/v1/queues/${queue}/lease`, { workerId: 'one', max: 1, waitMs: 0, leaseMs: LEASE_MS });
		},
		// Who was answered does the work and says so; the lease may be over by then.
		async settle(w, queue, id, answer) {
			const [job] = answer?.data.jobs ?? [];
			if (job) {
				w.effect(id);
				const answer = await w.insist(`POST /api/v1/jobs/${id}/complete`, { leaseToken: job.leaseToken });
				assert.ok([200, 409].includes(answer.status), answer.text);
			}
			return { ...(await rerun(w, queue, id)), late: job !== undefined };
		},
		lateMost: 1,
	},
	{
		name: 'running', most: 1,
		prepare: (w, queue) => w.running(queue),
		act: () => ({}), // nothing is asked
		settle: (w, queue, job) => rerun(w, queue, job.id),
	},
	{
		name: 'running to completed, asked again', most: 1,
		prepare: (w, queue) => w.running(queue),
		act: (w, _, job) => w.ask(`POST /api/v1/jobs/${job.id}/complete`, { leaseToken: job.leaseToken }),
		async settle(w, queue, job, answer) {
			const again = await w.insist(`POST /api/v1/jobs/${job.id}/complete`, { leaseToken: job.leaseToken });
			// 409 to the first one: on a slow day its lease was over before anybody was killed
			const held = answer !== null && answer.status !== 409;
			assert.ok(again.status === 200 || (again.status === 409 && !held), `${answer?.status}, then ${again.text}`);
			return rerun(w, queue, job.id);
		},
	},
	{
		name: 'running to completed', most: 1,
		prepare: (w, queue) => w.running(queue),
		act: (w, _, job) => w.ask(`POST /api/v1/jobs/${job.id}/complete`, { leaseToken: job.leaseToken }),
		async settle(w, queue, job, answer) {
			const result = await rerun(w, queue, job.id);
			assert.ok(answer?.status !== 200 || result.twice === 0, 'what was answered is not done again');
			return result;
		},
	},
	{
		name: 'running to retryable', most: 1, // one more is what was asked for
		prepare: (w, queue) => w.running(queue),
		act: (w, _, job) => w.ask(`POST /api/v1/jobs/${job.id}/fail`, { leaseToken: job.leaseToken, message: 'again', retryInMs: 200 }),
		settle: (w, queue, job) => rerun(w, queue, job.id),
	},
	{
		name: 'retryable to available', most: 1,
		async prepare(w, queue) {
			const job = await w.running(queue);
			await w.insist(`POST /api/v1/jobs/${job.id}/fail`, { leaseToken: job.leaseToken, message: 'again', retryInMs: 100 });
			return job;
		},
		act: () => pause(100),
		settle: (w, queue, job) => rerun(w, queue, job.id),
	},
	{
		name: 'running to scheduled (snoozed)', most: 1,
		prepare: (w, queue) => w.running(queue),
		act: (w, _, job) => w.ask(`POST /api/v1/jobs/${job.id}/snooze`, { leaseToken: job.leaseToken, delayMs: 200 }),
		settle: (w, queue, job) => rerun(w, queue, job.id),
	},
	{
		name: 'running to discarded', most: 0,
		prepare: (w, queue) => w.running(queue, { attempts: 1 }),
		act: (w, _, job) => w.ask(`POST /api/v1/jobs/${job.id}/fail`, { leaseToken: job.leaseToken, message: 'never' }),
		settle: (w, queue, job) => rerun(w, queue, job.id, ['discarded']),
	},
	{
		name: 'available to cancelled', most: 0,
		prepare: (w, queue) => w.add(queue),
		act: (w, _, id) => w.ask(`POST /api/v1/jobs/${id}/cancel`),
		async settle(w, queue, id, answer) {
			const { state, restarted } = await w.drain(queue, id, ['cancelled', 'completed']);
			return { lost: answer !== null && state !== 'cancelled', twice: Math.max(0, w.done(id) - 1), rerunMs: restarted };
		},
	},
];

// The same with handlers in the program, which the kill takes along. Their work is theirs, so what is counted
// are starts: the attempt that came to the end.
const handled = (w, more = {}) => w.add(undefined, { name: 'countdown:run', ...more });

async function handledEnd(w, id, ends = ['completed']) {
	const deadline = Date.now() + DRAIN_LIMIT_MS;
	for (;;) {
		const { data: job } = await w.insist(`GET /api/v1/jobs/${id}`);
		if (['completed', 'discarded', 'cancelled'].includes(job.state)) {
			assert.ok(ends.includes(job.state), `${id}: ${job.state}`);
			const twice = job.attempt - 1;
			return { lost: false, state: job.state, twice, rerunMs: twice > 0 ? Date.parse(job.startedAt) - w.backAt : null };
		}
		assert.ok(Date.now() < deadline, `a job of a handler is ${job.state} and stays so`);
		await pause(20);
	}
}

async function handledRunning(w, more) {
	const id = await handled(w, more);
	const deadline = Date.now() + DRAIN_LIMIT_MS;
	while (['available', 'scheduled'].includes(await w.state(id)))
		assert.ok(Date.now() < deadline, 'no handler begins');
	return id; // on a slow day it has ended by now
}

TRANSITIONS.push(
	{
		name: 'in a handler: available to running', most: 1,
		act: (w) => w.ask('POST /api/v1/jobs', { name: 'countdown:run', payload: { steps: 1, stepMs: 1 } }),
		settle: async (w, _, __, answer) => (answer ? handledEnd(w, answer.data.id) : { lost: false, twice: 0 }),
	},
	{
		name: 'in a handler: running', most: 1,
		prepare: (w) => handledRunning(w, { payload: { steps: 1, stepMs: 1000 } }),
		act: () => ({}),
		settle: (w, _, id) => handledEnd(w, id),
	},
	{
		name: 'in a handler: running to completed', most: 1,
		prepare: (w) => handledRunning(w, { payload: { steps: 5, stepMs: 20 } }),
		act: () => pause(100),
		settle: (w, _, id) => handledEnd(w, id),
	},
	{
		name: 'in a handler: running, its only attempt', most: 0,
		prepare: (w) => handledRunning(w, { payload: { steps: 1, stepMs: 1000 }, attempts: 1 }),
		act: () => ({}),
		settle: (w, _, id) => handledEnd(w, id, ['completed', 'discarded']),
	},
);

async function rerun(w, queue, job, ends) {
	const id = job.id ?? job;
	const { restarted } = await w.drain(queue, id, ends);
	return { lost: false, twice: Math.max(0, w.done(id) - 1), rerunMs: restarted };
}

// --- rounds -------------------------------------------------------------------------------------

// What was seen: victim, transition -> { kills, unanswered, lost, twice, rerun }.
const matrix = new Map();

function note(victim, name, seen, answered) {
	const key = `${victim}\t${name}`;
	const row = matrix.get(key) ?? { kills: 0, unanswered: 0, lost: 0, twice: 0, rerun: [] };
	row.kills++;
	row.unanswered += answered ? 0 : 1;
	row.lost += seen.lost ? 1 : 0;
	row.twice += seen.twice > 0 ? 1 : 0;
	if (typeof seen.rerunMs === 'number')
		row.rerun.push(seen.rerunMs);
	matrix.set(key, row);
}

async function round(w, victim, kill, seed) {
	const random = randomOf(seed);
	const under = await Promise.all(TRANSITIONS.map(async (transition, i) => {
		const queue = `crash-${seed}-${i}`;
		return { transition, queue, thing: await transition.prepare?.(w, queue) };
	}));
	const dies = random() * 12;
	const acts = under.map(async ({ transition, queue, thing }) => {
		await pause(random() * 12);
		return transition.act(w, queue, thing);
	});
	await pause(dies);
	await kill();
	w.backAt = Date.now();
	const answers = await Promise.all(acts);
	await Promise.all(under.map(async ({ transition, queue, thing }, i) => {
		const seen = await transition.settle(w, queue, thing, answers[i]);
		note(victim, transition.name, seen, answers[i] !== null);
		const where = `${victim} killed, ${transition.name}, seed ${seed}`;
		assert.ok(!seen.lost, `${where}: lost`);
		assert.ok(seen.twice <= (seen.late ? transition.lateMost : transition.most), `${where}: done ${seen.twice} times too often`);
		if (typeof seen.rerunMs === 'number')
			assert.ok(seen.rerunMs <= RERUN_LIMIT_MS, `${where}: rerun after ${seen.rerunMs} ms`);
	}));
}

for (const engine of ['SQLite', 'PostgreSQL'])
	test(`the server is killed at every transition (${engine})`, async (t) => {
		const database = engine === 'PostgreSQL' ? await Database.start(t) : { env: {} };
		if (!database)
			return;
		const w = new World();
		await w.open(t, database.env);
		for (let i = 0; i < ROUNDS; i++)
			await round(w, `server (${engine})`, () => w.restart(), SEED + i);
	});

test('the database is killed at every transition (PostgreSQL)', async (t) => {
	const database = await Database.start(t);
	if (!database)
		return;
	const w = new World();
	await w.open(t, database.env);
	for (let i = 0; i < ROUNDS; i++)
		await round(w, 'database (PostgreSQL)', () => database.kill(), SEED + 1000 + i);
});

// --- workers ------------------------------------------------------------------------------------

// A process that holds a session (or does not), takes one job and says so.
const WORKER = `
const [url, token, queue, session] = process.argv.slice(1);
const headers = { authorization: 'Bearer ' + token, 'content-type': 'application/json' };
const workerId = 'worker-' + process.pid;
if (session === 'session') {
	const stream = await fetch(url + '/api/v1/workers/' + workerId + '/session', { headers });
	const reader = stream.body.getReader();
	await reader.read();
	(async () => { for (;;) if ((await reader.read()).done) return; })();
}
const answer = await fetch(url + '/api/v1/queues/' + queue + '/lease', { method: 'POST', headers,
	body: JSON.stringify({ workerId, max: 1, waitMs: 10000, ...(session === 'session' ? {} : { leaseMs: ${LEASE_MS} }) }) });
const { data } = await answer.json();
process.stdout.write(data.jobs[0].id + '\\n');
setInterval(() => {}, 1000);
`;

async function doomed(w, queue, session) {
	const child = spawn(process.execPath, ['--input-type=module', '-e', WORKER, w.server.url, w.token, queue, session], { stdio: ['ignore', 'pipe', 'inherit'] });
	atEnd(w.t, () => child.kill('SIGKILL'));
	const id = await new Promise((settle, reject) => {
		child.stdout.setEncoding('utf8').once('data', (text) => settle(text.trim()));
		child.once('exit', () => reject(new Error('the worker has ended')));
	});
	w.effect(id);
	return child;
}

for (const engine of ['SQLite', 'PostgreSQL'])
	test(`workers are killed while they work (${engine})`, async (t) => {
		const database = engine === 'PostgreSQL' ? await Database.start(t) : { env: {} };
		if (!database)
			return;
		const w = new World();
		await w.open(t, database.env);
		for (let i = 0; i < WORKER_ROUNDS; i++)
			await Promise.all(['session', 'none'].map(async (session) => {
				const queue = `worker-${session}-${i}`;
				const id = await w.add(queue);
				const child = await doomed(w, queue, session);
				child.kill('SIGKILL');
				const killed = Date.now();
				const [again] = await w.take(queue, 20_000, 'two', DRAIN_LEASE_MS);
				const rerunMs = Date.now() - killed;
				assert.equal(again?.id, id);
				assert.equal(again.attempt, 2);
				assert.ok(rerunMs <= RERUN_LIMIT_MS, `rerun after ${rerunMs} ms`);
				const answer = await w.insist(`POST /api/v1/jobs/${id}/complete`, { leaseToken: again.leaseToken });
				assert.equal(answer.status, 200, answer.text);
				note(`worker (${engine})`, session === 'session' ? 'running, with a session' : `running, lease of ${LEASE_MS} ms`, { twice: w.done(id) - 1, rerunMs }, false);
			}));
	});

// --- the page -------------------------------------------------------------------------------------

// What all runs have seen that left a file in the folder.
async function sumOf(folder) {
	const sum = new Map();
	for (const name of (await readdir(folder)).sort())
		for (const [key, row] of JSON.parse(await readFile(join(folder, name), 'utf8'))) {
			const all = sum.get(key) ?? { kills: 0, unanswered: 0, lost: 0, twice: 0, rerun: [] };
			for (const what of ['kills', 'unanswered', 'lost', 'twice'])
				all[what] += row[what];
			all.rerun.push(...row.rerun);
			sum.set(key, all);
		}
	return sum;
}

test.after(async () => {
	const folder = process.env.WRITE_MATRIX;
	if (!folder)
		return;
	await writeFile(join(folder, `${process.pid}.json`), JSON.stringify([...matrix]));
	const page = join(ROOT, 'doc/jobs-crash.md');
	const names = TRANSITIONS.map(({ name }) => name);
	const victims = ['server (SQLite)', 'server (PostgreSQL)', 'database (PostgreSQL)', 'worker (SQLite)', 'worker (PostgreSQL)'];
	const place = (key) => victims.indexOf(key.split('\t')[0]) * 100 + names.indexOf(key.split('\t')[1]);
	const sorted = [...(await sumOf(folder))].sort(([a], [b]) => place(a) - place(b));
	const rows = sorted.map(([key, { kills, unanswered, lost, twice, rerun: times }]) => {
		const [victim, name] = key.split('\t');
		times.sort((a, b) => a - b);
		const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
		const ms = times.length ? `${seconds(times[Math.floor(times.length / 2)])}, at most ${seconds(times.at(-1))}` : '';
		return `| ${victim} | ${name} | ${kills} | ${unanswered} | ${lost} | ${twice} | ${ms} |`;
	});
	const text = await readFile(page, 'utf8');
	const [head] = text.split('<!-- matrix -->');
	await writeFile(page, `${head}<!-- matrix -->\n| killed | job was | kills | without an answer | lost | done twice | until it ran again |\n|---|---|---|---|---|---|---|\n${rows.join('\n')}\n`);
});
