// POST /api/v1/echo: processor time for a request with token, body check, limits, headers, log
//
//   ./bench pipeline [ROUNDS [SECONDS]]
//
// Bulkhead three times: with the RS256 signature checked each time by the check that identity uses, with its
// cache of verified tokens, and without looking at the token (what is left then is the pipeline); beside
// Fastify 5 and Express 5 with helmet, cors, a limiter, zod, jsonwebtoken and pino. One after the other in
// each round; ratios are taken within a round, and the median over the rounds counts. All write their log to
// a file. The peers are one process each: processor time for a request does not depend on that.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { budget, freePort, installPeers, load, machine, median, startServer } from './lib/measure.mjs';

const ROUNDS = Number(process.argv[2] ?? 5);
const SECONDS = Number(process.argv[3] ?? 3);
const CONNECTIONS = 64;
const PEERS = fileURLToPath(new URL('peers', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pipeline-'));
const body = JSON.stringify({
	name: 'Ada Lovelace',
	email: 'ada@example.com',
	age: 36,
	tags: ['maths', 'engines'],
	address: { city: 'London', zip: '12345' },
});

installPeers();

// The first server makes the key and the token that all are asked with.
const ours = (mode) => ({
	name: `bulkhead ${mode}`,
	start: (port, files) => ({ command: [resolve('build/release/server-pipeline'), String(port), mode, files], path: '/hello' }),
});
const peer = (name) => ({
	name,
	start: (port, files) => ({
		command: ['node', join(PEERS, `${name}.mjs`)],
		env: { PORT: String(port), PUBLIC_KEY_FILE: join(files, 'public.pem'), NODE_ENV: 'production' },
	}),
});
// What this machine asks for any request: the raw responder of ./bench hello, asked without a body.
const epoll = {
	name: 'epoll',
	plain: true,
	start: (port) => ({ command: [resolve('build/release/limit-epoll'), String(port), '2'], path: '/' }),
};
const contestants = [epoll, ours('verify'), ours('cache'), ours('none'), peer('fastify'), peer('express')];

function script(token) {
	const file = join(folder, 'echo.lua');
	writeFileSync(file, `wrk.method = "POST"
wrk.path = "/api/v1/echo"
wrk.body = [[${body}]]
wrk.headers["content-type"] = "application/json"
wrk.headers["origin"] = "https://app.example.com"
wrk.headers["authorization"] = "Bearer ${token}"
`);
	return file;
}

async function measure(contestant) {
	const port = await freePort();
	const { path, ...how } = contestant.start(port, folder);
	// The peers have no address that answers 200 without a token; theirs says 404 when it is there.
	const server = await startServer({
		name: contestant.name,
		url: `http://127.0.0.1:${port}${path ?? '/'}`,
		wanted: path ? 200 : undefined,
		output: join(folder, `${contestant.name.replace(' ', '-')}.log`),
		...how,
	});
	try {
		const lua = contestant.plain ? undefined : script(readFileSync(join(folder, 'token'), 'utf8'));
		await load(server, { connections: CONNECTIONS, seconds: 1, script: lua });
		return await load(server, { connections: CONNECTIONS, seconds: SECONDS, script: lua });
	} finally {
		await server.stop();
	}
}

console.log(`${machine()}, wrk -t1 -c${CONNECTIONS} -d${SECONDS}, ${ROUNDS} rounds\n`);
const results = Object.fromEntries(contestants.map(({ name }) => [name, []]));
try {
	for (let round = 1; round <= ROUNDS; round++) {
		const line = [];
		for (const contestant of contestants) {
			const result = await measure(contestant);
			results[contestant.name].push(result);
			line.push(`${contestant.name} ${result.micros.toFixed(1)} us`);
		}
		console.log(`round ${round}: ${line.join(', ')}`);
	}
} finally {
	rmSync(folder, { recursive: true, force: true });
}

const ratio = (a, b) => median(results[a].map((result, i) => result.micros / results[b][i].micros));
console.log('\n                 us/request   requests/s   x fastify');
for (const { name } of contestants)
	console.log(`${name.padEnd(17)}${median(results[name].map((r) => r.micros)).toFixed(1).padStart(10)}` +
		`${median(results[name].map((r) => r.rate)).toFixed(0).padStart(13)}${ratio(name, 'fastify').toFixed(2).padStart(12)}`);
console.log();
budget('bulkhead verify / fastify', ratio('bulkhead verify', 'fastify'), 0.25, 'x');
// 12 us where the responder takes 4.1 us: the same on a machine of any speed.
budget('bulkhead without the signature check / epoll', ratio('bulkhead none', 'epoll'), 2.9, 'x');
