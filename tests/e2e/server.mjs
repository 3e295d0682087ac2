// Starts the program under test for an end-to-end test and takes it down with the test:
//
//     test('answers', async (t) => {
//         const server = await startServer(t, { env: { LOG_LEVEL: 'debug' } });
//         const response = await fetch(server.url + '/health/live');
//     });
//
// The program is the one named by BULKHEAD (build/release/bulkhead by default). It gets a free port, a
// data folder of its own, which is also its working directory (so that no .env is read), and of our
// environment only what is listed here.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const PROGRAM = resolve(ROOT, process.env.BULKHEAD ?? 'build/release/bulkhead');

// Sanitizers make everything slower, and the machine may be busy.
const START_LIMIT_MS = 20_000;
const STOP_LIMIT_MS = 20_000;
const MAX_LOG_LINES = 100_000;

const PASSED_ON = ['PATH', 'TMPDIR', 'BULKHEAD_TEST_RUN', 'ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS'];

// What production wants besides.
export const PRODUCTION = {
	APP_ENV: 'production',
	MASTER_KEY: '8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918',
	PUBLIC_URL: 'https://api.example.com',
	SMTP_URL: 'smtp://127.0.0.1:9',
	MAIL_FROM: 'no-reply@example.com',
};

const DEFAULTS = {
	APP_ENV: 'development',
	HOST: '127.0.0.1',
	PORT: '0',
	OPS_LISTEN: '127.0.0.1:0',
	LOG_FORMAT: 'json',
	RATE_LIMIT_ENABLED: 'false',
};

// The environment the program gets: ours as far as it is passed on, the defaults, then `env`. A value
// of undefined takes a name out.
export function environment(env = {}) {
	const passed = PASSED_ON.map((name) => [name, process.env[name]]);
	const all = [...passed, ...Object.entries(DEFAULTS), ...Object.entries(env)];
	return Object.fromEntries(Object.entries(Object.fromEntries(all)).filter(([, value]) => value !== undefined));
}

// Does `what` at the end of the test, the latest first: a server ends before its folder goes.
const endings = new WeakMap();
export function atEnd(t, what) {
	if (endings.has(t)) {
		endings.get(t).push(what);
		return;
	}
	const list = [what];
	endings.set(t, list);
	t.after(async () => {
		const errors = [];
		while (list.length > 0)
			await Promise.resolve().then(list.pop()).catch((error) => errors.push(error));
		if (errors.length > 0)
			throw errors[0];
	});
}

// A folder that is removed at the end of the test.
export async function temporaryFolder(t) {
	const folder = await mkdtemp(join(tmpdir(), 'e2e-'));
	atEnd(t, () => rm(folder, { recursive: true, force: true }));
	return folder;
}

// Runs the program to its end, for commands other than `serve`: { code, signal, stdout, stderr }.
export async function runProgram(t, args, { env = {}, input = '', cwd } = {}) {
	const folder = cwd ?? (await temporaryFolder(t));
	const child = start(args, { DATA_DIR: folder, ...env }, folder);
	const ended = exit(child);
	const output = { stdout: '', stderr: '' };
	for (const name of ['stdout', 'stderr'])
		child[name].setEncoding('utf8').on('data', (chunk) => (output[name] += chunk));
	child.stdin.on('error', () => {}).end(input);
	return { ...(await within(ended, START_LIMIT_MS, child, 'the end of the command')), ...output };
}

// Starts `bulkhead serve` and waits until it listens. Give `dataDir` to start again on the data of a
// server before. At the end of the test a server that still runs is stopped with SIGTERM and has to
// end with status 0; a sanitizer's report fails the test in any case.
export async function startServer(t, options) {
	const server = await launchServer(t, options);
	const line = await server.logged((entry) => entry.msg === 'listening' && entry.url);
	server.url = line.url;
	server.port = Number(new URL(line.url).port);
	return server;
}

// The same without waiting, for one that logs to a file or is not to start at all.
export async function launchServer(t, { env = {}, args = [], dataDir } = {}) {
	const folder = dataDir ?? (await temporaryFolder(t));
	const child = start(['serve', ...args], { DATA_DIR: folder, ...env }, folder);
	const server = new Server(child, folder);
	atEnd(t, () => server.end());
	return server;
}

class Server {
	url; // http://127.0.0.1:PORT
	port;
	lines = []; // what it logged, parsed; a line that is no JSON is { text }
	stderr = '';
	#child;
	#ended;
	#waiting = new Set();

	constructor(child, dataDir) {
		this.#child = child;
		this.dataDir = dataDir;
		this.pid = child.pid;
		this.#ended = exit(child);
		child.stdin.end();
		child.stderr.setEncoding('utf8').on('data', (chunk) => (this.stderr += chunk));
		createInterface({ input: child.stdout }).on('line', (text) => this.#note(text));
		this.#ended.then(() => this.#wake(), () => this.#wake());
	}

	get running() {
		return this.#child.exitCode === null && this.#child.signalCode === null;
	}

	// The first log line, past or to come, for which `matches(line)` holds.
	async logged(matches, limitMs = START_LIMIT_MS) {
		const deadline = Date.now() + limitMs;
		for (let next = 0; ; ) {
			for (; next < this.lines.length; next++)
				if (matches(this.lines[next]))
					return this.lines[next];
			if (!this.running || Date.now() >= deadline)
				throw new Error(`${this.running ? 'in time' : 'before it ended'} the server did not log what the test waits for\n${this.output()}`);
			await new Promise((wake) => {
				const timer = setTimeout(wake, deadline - Date.now());
				this.#waiting.add(() => (clearTimeout(timer), wake()));
			});
		}
	}

	signal(name) {
		this.#child.kill(name);
	}

	// Sends a signal and waits for the end: { code, signal }.
	async stop(signal = 'SIGTERM') {
		this.#child.kill(signal);
		return this.gone(`the end after ${signal}`);
	}

	// Waits for the end: { code, signal }.
	async gone(what = 'the end') {
		return within(this.#ended, STOP_LIMIT_MS, this.#child, `${what}\n${this.output()}`);
	}

	// As a crash of the machine would take it, but for the page cache.
	async kill() {
		return this.stop('SIGKILL');
	}

	// What the server said so far, for a message.
	output() {
		const lines = this.lines.slice(-50).map((line) => line.text ?? JSON.stringify(line));
		return [...lines, this.stderr.slice(-8000)].join('\n');
	}

	async end() {
		if (this.running) {
			const { code, signal } = await this.stop();
			assert.equal(signal ?? code, 0, `the server did not end well\n${this.output()}`);
		}
		assert.doesNotMatch(this.stderr, /(Address|Leak|Thread)Sanitizer|runtime error:|check failed/);
	}

	#note(text) {
		assert.ok(this.lines.length < MAX_LOG_LINES, 'the server logs without end');
		try {
			this.lines.push(JSON.parse(text));
		} catch {
			this.lines.push({ text });
		}
		this.#wake();
	}

	#wake() {
		const waiting = [...this.#waiting];
		this.#waiting.clear();
		for (const wake of waiting)
			wake();
	}
}

// setpriv has the kernel kill the program when this process dies in whatever way.
function start(args, env, cwd) {
	return spawn('setpriv', ['--pdeathsig', 'KILL', '--', PROGRAM, ...args], {
		cwd,
		env: environment(env),
		stdio: ['pipe', 'pipe', 'pipe'],
	});
}

// The end of the process and of its output.
function exit(child) {
	return new Promise((settle, reject) => {
		child.on('error', reject);
		child.on('close', (code, signal) => settle({ code, signal }));
	});
}

async function within(promise, limitMs, child, what) {
	let timer;
	const late = new Promise((_, reject) => {
		timer = setTimeout(() => {
			child.kill('SIGKILL');
			reject(new Error(`waited ${limitMs} ms for ${what}`));
		}, limitMs);
	});
	try {
		return await Promise.race([promise, late]);
	} finally {
		clearTimeout(timer);
	}
}

// A PostgreSQL of the test's own: the environment of servers on it.
export async function postgres(t) {
	const folder = await temporaryFolder(t);
	const { status, stderr } = spawnSync(resolve(ROOT, 'tests/postgres'), ['start', join(folder, 'pg'), '--tcp', '--for', String(process.pid)], { encoding: 'utf8' });
	if (status === 77)
		return t.skip('PostgreSQL is not installed');
	assert.equal(status, 0, stderr);
	atEnd(t, () => spawnSync(resolve(ROOT, 'tests/postgres'), ['stop', join(folder, 'pg')]));
	const port = (await readFile(join(folder, 'pg', 'port'), 'utf8')).trim();
	const url = (role) => `postgresql://${role}:secret@127.0.0.1:${port}/pattern`;
	return { DATABASE_URL: url('app'), DATABASE_OWNER_URL: url('owner') };
}
