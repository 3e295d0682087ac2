// Bulkhead as a queue for ./bench jobs: as shipped, asked over HTTP with an API key, with one module of ours.
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CHUNK, CHUNK_CALLERS, callAtPace, callTimes, now, payload } from './jobs_load.mjs';
import { freePort, load, startServer } from './measure.mjs';

const PROGRAM = resolve('build/release/bulkhead');
const WORKER = fileURLToPath(new URL('jobs_worker.mjs', import.meta.url));
const PASSWORD = 'correct horse battery staple';
const EVERYTHING = '1000000000';
const QUEUE = 'bench';
const IDLE_QUEUE = 'bench-idle';
const agent = new Agent({ keepAlive: true, maxSockets: 256 });

// The kind of job "bench:noop", built as any module is: with the headers that are installed.
export function buildModule(folder) {
	const file = join(folder, 'worked.so');
	execFileSync('make', ['-s', 'install', `DESTDIR=${folder}/root`, 'PREFIX=/usr', 'FLAVOUR=release', 'CC=gcc'],
		{ stdio: ['ignore', 'ignore', 'inherit'] });
	execFileSync('gcc', ['-std=gnu17', '-D_GNU_SOURCE', '-O2', '-fPIC', '-shared', '-fvisibility=hidden',
		`-I${folder}/root/usr/include/bulkhead`, '-o', file, 'benchmarks/modules/worked.c'], { stdio: 'inherit' });
	return file;
}

// One exchange over a connection that is kept; the `data` of the answer.
function ask(base, method, path, token, body) {
	const text = body === undefined ? undefined : JSON.stringify(body);
	return new Promise((resolve_, reject) => {
		const outgoing = request(base + path, {
			method, agent,
			headers: {
				...(token ? { authorization: `Bearer ${token}` } : {}),
				...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
			},
		}, (response) => {
			const chunks = [];
			response.on('data', (chunk) => chunks.push(chunk)).on('end', () => {
				const answer = Buffer.concat(chunks).toString();
				if (response.statusCode >= 300)
					reject(new Error(`${method} ${path}: ${response.statusCode} ${answer.slice(0, 1000)}`));
				else
					resolve_(answer ? JSON.parse(answer).data : undefined);
			}).on('error', reject);
		}).on('error', reject);
		outgoing.end(text);
	});
}

const job = (queue, more = {}) => ({ queue, name: 'bench:noop', payload: payload(), ...more });

export class JobsServer {
	// `database`: { url, ownerUrl, ask } of PostgreSQL, or nothing for a SQLite file in the new folder `folder`.
	constructor({ name, folder, module, database }) {
		Object.assign(this, { name, folder, module, database });
		mkdirSync(folder);
	}

	// `working`: does jobs itself.
	async start({ working }) {
		const port = await freePort();
		this.base = `http://127.0.0.1:${port}`;
		this.env = {
			APP_ENV: 'development', HOST: '127.0.0.1', PORT: String(port), DATA_DIR: join(this.folder, 'data'),
			LOG_FORMAT: 'json', ...(working ? { MODULES: this.module } : {}), AUTH_VERIFY_FIRST: 'false',
			PASSWORD_MEMORY: '7mb', PASSWORD_PASSES: '1', BACKUP_INTERVAL: '0',
			RATE_LIMIT_AUTH: '1000', RATE_LIMIT_API: EVERYTHING, RATE_LIMIT_SERVER: EVERYTHING,
			RATE_LIMIT_TENANT: EVERYTHING, RATE_LIMIT_GLOBAL: EVERYTHING, RATE_LIMIT_ADDRESS: EVERYTHING,
			...(this.database ? { DATABASE_URL: this.database.url, DATABASE_OWNER_URL: this.database.ownerUrl } : {}),
		};
		this.server = await startServer({
			name: this.name,
			command: [PROGRAM, 'serve'],
			url: `${this.base}/health/live`,
			output: join(this.folder, 'log'),
			env: this.env,
		});
	}

	// Keys of so many tenants; the first is `this.key`.
	async makeKeys(count = 1) {
		this.keys ??= [];
		while (this.keys.length < count) {
			const slug = `acme${this.keys.length}`;
			const { accessToken } = await ask(this.base, 'POST', '/api/v1/auth/register', undefined,
				{ email: `owner@${slug}.example`, password: PASSWORD, name: 'Owner', tenant: { slug, name: slug } });
			const { key } = await ask(this.base, 'POST', '/api/v1/api-keys', accessToken, { name: 'bench', scopes: ['*'] });
			this.keys.push(key);
		}
		this.key = this.keys[0];
	}

	// Gives the queue and the one that nobody works on settings, as an operator; without any, only a larger backlog.
	async configure(settings = {}) {
		const email = 'olga@example.com';
		if (!this.operator) {
			execFileSync(PROGRAM, ['admin', 'create', email, '--password-stdin'],
				{ env: this.env, input: `${PASSWORD}\n`, stdio: ['pipe', 'ignore', 'inherit'] });
			this.operator = true;
		}
		const { accessToken } = await ask(this.base, 'POST', '/api/v1/auth/login', undefined, { email, password: PASSWORD, tenant: 'system' });
		for (const queue of [QUEUE, IDLE_QUEUE])
			await ask(this.base, 'PUT', `/api/v1/platform/queues/${queue}`, accessToken,
				{ settings: { backlog: 100_000_000, groupBacklog: 100_000_000, ...settings } });
	}

	async stop() {
		await this.server?.stop();
		this.server = undefined;
	}

	async remove() {
		await this.stop();
		rmSync(this.folder, { recursive: true, force: true });
	}

	// --- adding ------------------------------------------------------------------------------------

	async #load(path, body, connections, seconds) {
		const script = join(this.folder, 'load.lua');
		writeFileSync(script, `wrk.method = "POST"\nwrk.body = [==[${JSON.stringify(body)}]==]\n` +
			`wrk.headers["content-type"] = "application/json"\nwrk.headers["authorization"] = "Bearer ${this.key}"\n`);
		return load({ ...this.server, url: this.base + path }, { connections, seconds, script });
	}

	// Jobs a second, one in each request; and how many the writer of SQLite joined.
	async add(seconds, connections) {
		await this.#load('/api/v1/jobs', job(IDLE_QUEUE), connections, 1);
		const before = await this.#groups();
		const { rate, micros } = await this.#load('/api/v1/jobs', job(IDLE_QUEUE), connections, seconds);
		const after = await this.#groups();
		return { rate, micros, group: (after.members - before.members) / (after.groups - before.groups) };
	}

	async bulk(seconds) {
		const body = { jobs: Array.from({ length: CHUNK }, () => job(IDLE_QUEUE)) };
		return { rate: CHUNK * (await this.#load('/api/v1/jobs/bulk', body, CHUNK_CALLERS, seconds)).rate };
	}

	// Jobs to be worked off: spread over the tenants, and over `groups` keys when there are any.
	async fill(count, groups = 0) {
		let made = 0;
		const chunk = () => {
			const key = this.keys[made / CHUNK % this.keys.length];
			const jobs = Array.from({ length: CHUNK }, (_, i) => job(QUEUE, groups ? { group: `group-${(made + i) % groups}` } : {}));
			made += CHUNK;
			return ask(this.base, 'POST', '/api/v1/jobs/bulk', key, { jobs });
		};
		await callTimes(count / CHUNK, CHUNK_CALLERS, chunk);
	}

	async #groups() {
		const text = await (await fetch(`${this.base}/metrics`)).text();
		const value = (name) => Number(new RegExp(`^${name}(?:{[^}]*})? (\\S+)$`, 'm').exec(text)?.[1]);
		return { groups: value('store_group_size_count'), members: value('store_group_size_sum') };
	}

	// --- doing -------------------------------------------------------------------------------------

	#starts(method = 'GET') {
		return ask(this.base, method, '/bench/starts');
	}

	// Jobs a second, from the first start until `count` have been started and none is left.
	async workOff(count) {
		let starts;
		while ((starts = await this.#starts()).started < count)
			await sleep(20);
		while (this.#left() > 0)
			await sleep(5);
		const end = now();
		return { rate: count / ((end - starts.firstNs) / 1e9), starts: count / ((starts.lastNs - starts.firstNs) / 1e9) };
	}

	// Jobs that have not ended, by the database itself.
	#left() {
		const sql = "SELECT count(*) FROM main.job WHERE state IN ('available', 'running')";
		return Number(this.database ? this.database.ask(sql)
			: execFileSync('sqlite3', ['-readonly', join(this.folder, 'data/bulkhead.db'), sql], { encoding: 'utf8' }));
	}

	// The same by a program over HTTP, which leases and completes in batches.
	async workOutside(count, concurrency) {
		const worker = spawn('node', [WORKER, this.base, this.key, QUEUE, String(count), String(concurrency)],
			{ stdio: ['ignore', 'pipe', 'inherit'] });
		let output = '';
		worker.stdout.on('data', (chunk) => (output += chunk));
		const code = await new Promise((resolve_) => worker.on('close', resolve_));
		if (code !== 0)
			throw new Error(`the worker failed: ${code}`);
		return JSON.parse(output);
	}

	// { p50, p99 } in milliseconds from before the request to the handler's first line.
	async latency(seconds) {
		const add = () => ask(this.base, 'POST', '/api/v1/jobs', this.key, { ...job(QUEUE), payload: payload(now()) });
		await callAtPace(1, add);
		await sleep(100);
		await this.#starts('DELETE');
		await callAtPace(seconds, add);
		await sleep(100);
		const { started, p50Ns, p99Ns } = await ask(this.base, 'GET', '/bench/waits');
		if (started === 0)
			throw new Error('no job was started');
		return { p50: p50Ns / 1e6, p99: p99Ns / 1e6 };
	}
}

// Rows a second that SQLite alone takes: a loop in C, the row of one job over and over, the same groups.
export function bareLoop(folder, data, group, seconds) {
	const copy = join(folder, 'bare');
	cpSync(data, copy, { recursive: true });
	try {
		return Number(execFileSync('build/release/bench-jobs_native', [join(copy, 'bulkhead.db'), String(Math.round(group)), String(seconds)],
			{ encoding: 'utf8' }));
	} finally {
		rmSync(copy, { recursive: true, force: true });
	}
}
