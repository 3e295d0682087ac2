// Logins against what the processors can hash, and what becomes of other requests meanwhile.
//
// The server is as shipped, on SQLite, with Argon2id as OWASP asks for at least (19 MB, two passes), one
// thread of its pool per processor. Clients sign in to accounts of their own, over and over; each login is a
// counted try, a hash, a session and a signed token, committed to the disk. The bare loop hashes at the same
// cost on as many threads. Both stand beside the load generator on the same processors.
import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort, startServer, WORKERS } from './measure.mjs';

const PASSWORD = 'tin whistle over boots';
const MEMORY_MB = 19;
const PASSES = 2;
const CLIENTS = 16;

async function post(base, path, body) {
	const response = await fetch(base + path, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify(body),
	});
	const { data } = await response.json();
	return { status: response.status, data };
}

const emailOf = (client) => `user${client}@example.com`;

async function people(base) {
	const tenant = { slug: 'acme', name: 'Acme' };
	for (let client = 0; client < CLIENTS; client++) {
		const { status } = await post(base, '/api/v1/auth/register', {
			email: emailOf(client), password: PASSWORD, name: 'User', tenant: client ? { slug: tenant.slug } : tenant,
		});
		if (status !== 201)
			throw new Error(`register: ${status}`);
	}
}

// Signs in until `until.ended`; counts.
async function signIn(base, client, until) {
	while (!until.ended) {
		const { status } = await post(base, '/api/v1/auth/login', { email: emailOf(client), password: PASSWORD, tenant: 'acme' });
		if (status !== 200)
			throw new Error(`login: ${status}`);
		until.count++;
	}
}

// One request every few milliseconds, whether the former was answered or not: { p50, p99 } in ms.
async function others(base, token, seconds) {
	const times = [];
	const pending = [];
	for (let i = 0; i < seconds * 100; i++) {
		const began = performance.now();
		pending.push(fetch(`${base}/api/v1/tenant`, { headers: { authorization: `Bearer ${token}` } })
			.then((response) => response.arrayBuffer()).then(() => times.push(performance.now() - began)));
		await sleep(10);
	}
	await Promise.all(pending);
	times.sort((a, b) => a - b);
	return { p50: times[Math.floor(times.length * 0.5)], p99: times[Math.floor(times.length * 0.99)] };
}

async function bareLoop(seconds) {
	const { stdout } = await promisify(execFile)(resolve('build/release/limit-argon2'),
		[WORKERS, seconds, MEMORY_MB * 1024, PASSES].map(String));
	return Number(stdout);
}

// One round: { bare, logins } per second, and { quiet, busy } of other requests.
export async function measureLogins({ folder, seconds, round }) {
	const port = await freePort();
	const base = `http://127.0.0.1:${port}`;
	const server = await startServer({
		name: 'bulkhead',
		command: [resolve('build/release/bulkhead'), 'serve'],
		url: `${base}/health/live`,
		output: join(folder, 'logins.log'),
		env: {
			APP_ENV: 'development', HOST: '127.0.0.1', PORT: String(port), LOG_FORMAT: 'json', LOG_LEVEL: 'warn',
			DATA_DIR: join(folder, `logins-${round}`), RATE_LIMIT_ENABLED: 'false',
			PASSWORD_MEMORY: `${MEMORY_MB}mb`, PASSWORD_PASSES: String(PASSES),
		},
	});
	try {
		await people(base);
		const { data } = await post(base, '/api/v1/auth/login', { email: emailOf(0), password: PASSWORD });
		await others(base, data.accessToken, 1);
		const quiet = await others(base, data.accessToken, seconds);

		const alone = { count: 0 };
		let clients = Array.from({ length: CLIENTS }, (_, client) => signIn(base, client, alone));
		await sleep(seconds * 1000);
		const logins = alone.count / seconds;
		const busy = await others(base, data.accessToken, seconds);
		alone.ended = true;
		await Promise.all(clients);
		return { logins, quiet, busy, bare: await bareLoop(seconds) };
	} finally {
		await server.stop();
	}
}
