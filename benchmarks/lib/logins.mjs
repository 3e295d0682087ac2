// Logins against what the processors can hash, and what becomes of other requests meanwhile.
//
// The server is as shipped, on SQLite, with Argon2id as OWASP asks for at least (19 MB, two passes), one
// thread of its pool per processor. wrk signs in to 16 accounts in turn, over and over; each login is a counted
// try, a hash, a session and a signed token, committed to the disk. The bare loop hashes at the same cost on as
// many threads, before and after. Both stand beside the load generator on the same processors.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort, load, startServer, WORKERS } from './measure.mjs';

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

// Each account in turn.
const loginScript = () => `
wrk.method = "POST"
wrk.path = "/api/v1/auth/login"
wrk.headers["content-type"] = "application/json"
local turn = 0
request = function()
	turn = (turn + 1) % ${CLIENTS}
	return wrk.format(nil, nil, nil, '{"email":"user' .. turn .. '@example.com","password":"${PASSWORD}","tenant":"acme"}')
end
`;

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

		const script = join(folder, 'login.lua');
		writeFileSync(script, loginScript());
		const clients = (time) => load({ ...server, url: base }, { connections: CLIENTS, seconds: time, script });
		const before = await bareLoop(seconds);
		const { rate } = await clients(seconds);
		const after = await bareLoop(seconds);
		const saturating = clients(seconds + 2);
		await sleep(1000);
		const busy = await others(base, data.accessToken, seconds);
		await saturating;
		return { logins: rate, quiet, busy, bare: (before + after) / 2 };
	} finally {
		await server.stop();
	}
}
