// Identity: who asks and whether they may, per request; refreshing with RS256 and ES256; logins
//
//   ./bench auth [ROUNDS [SECONDS]]
//
// Processor time of the server, as shipped, on SQLite. The first part asks for the same empty answer as
// nobody and as a user with a right: what it costs to verify the token (remembered for a minute), to see that
// the session and the tenant are in order, to check the right and to count two limits. The second part
// refreshes 256 sessions over and over. From its time are taken the signature and the commit, each measured in
// the same process beneath the same load, next to it in time: what a request that makes a bare signature of
// libcrypto takes beyond one that does not, and what one that writes a row takes beyond one that writes none.
// All else that the request does, receiving and answering included, counts.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { measureLogins } from './lib/logins.mjs';
import { budget, freePort, load, machine, median, startServer } from './lib/measure.mjs';

const ROUNDS = Number(process.argv[2] ?? 3);
const SECONDS = Number(process.argv[3] ?? 3);
const CONNECTIONS = 64;
const SESSIONS = 256;
const PASSWORD = 'correct horse battery staple';
const folder = mkdtempSync(join(tmpdir(), 'auth-'));

// As any module: with the headers that are installed.
const module_ = join(folder, 'guarded.so');
execFileSync('make', ['-s', 'install', `DESTDIR=${folder}/root`, 'PREFIX=/usr', 'FLAVOUR=release', 'CC=gcc'], { stdio: ['ignore', 'ignore', 'inherit'] });
execFileSync('gcc', ['-std=gnu17', '-D_GNU_SOURCE', '-O2', '-fPIC', '-shared', '-fvisibility=hidden',
	`-I${folder}/root/usr/include/bulkhead`, '-o', module_, 'benchmarks/modules/guarded.c', '-lcrypto'], { stdio: 'inherit' });

let servers = 0;
async function start(algorithm) {
	const port = await freePort();
	const name = `server-${++servers}`;
	const url = `http://127.0.0.1:${port}`;
	const server = await startServer({
		name: `bulkhead ${algorithm}`,
		command: [resolve('build/release/bulkhead'), 'serve'],
		url: `${url}/health/live`,
		output: join(folder, `${name}.log`),
		env: {
			APP_ENV: 'development', HOST: '127.0.0.1', PORT: String(port), DATA_DIR: join(folder, name),
			LOG_FORMAT: 'json', MODULES: module_, JWT_ALGORITHM: algorithm, AUTH_VERIFY_FIRST: 'false',
			RATE_LIMIT_AUTH: '100000', PASSWORD_MEMORY: '7mb', PASSWORD_PASSES: '1', RATE_LIMIT_API: '1000000000', RATE_LIMIT_GLOBAL: '1000000000',
			RATE_LIMIT_ADDRESS: '1000000000', RATE_LIMIT_TENANT: '1000000000', RATE_LIMIT_SERVER: '1000000000', BACKUP_INTERVAL: '0',
		},
	});
	return { ...server, base: url };
}

async function post(server, path, body) {
	const response = await fetch(server.base + path, {
		method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body),
	});
	const text = await response.text();
	if (!response.ok)
		throw new Error(`${path}: ${response.status} ${text}`);
	return JSON.parse(text).data;
}

const register = (server, slug) => post(server, '/api/v1/auth/register',
	{ email: `owner@${slug}.example`, password: PASSWORD, name: 'Owner', tenant: { slug, name: slug } });

function script(name, text) {
	const file = join(folder, name);
	writeFileSync(file, text);
	return file;
}

// --- each request ------------------------------------------------------------------------------

async function requests(server, path, token, method = 'GET') {
	const lua = token && script('request.lua', `wrk.method = "${method}"\nwrk.headers["authorization"] = "Bearer ${token}"\n`);
	const target = { ...server, url: server.base + path };
	await load(target, { connections: CONNECTIONS, seconds: 1, script: lua });
	return (await load(target, { connections: CONNECTIONS, seconds: SECONDS, script: lua })).micros;
}

// --- refresh -------------------------------------------------------------------------------------

// A queue of tokens: each is used once, and what comes back takes its place.
const refreshScript = (tokens) => `
local queue, first, last = {${tokens.map((token) => `"${token}"`).join(',')}}, 1, ${tokens.length}
wrk.method = "POST"
wrk.path = "/api/v1/auth/refresh"
wrk.headers["content-type"] = "application/json"
request = function()
	local token = queue[first]
	queue[first] = nil
	first = first + 1
	return wrk.format(nil, nil, nil, '{"refreshToken":"' .. token .. '"}')
end
response = function(status, headers, body)
	last = last + 1
	queue[last] = body:match('"refreshToken":"(bh_rt_[a-z2-7]+)"')
end
`;

// As many sessions as there are connections, and more, so that none is used twice at a time.
async function sessions(server, count) {
	const { user } = await register(server, `bench${Date.now()}`);
	const made = [];
	while (made.length < count)
		made.push((await post(server, '/api/v1/auth/login', { email: user.email, password: PASSWORD })).refreshToken);
	return made;
}

async function refreshes(server) {
	const tokens = [];
	while (tokens.length < SESSIONS)
		tokens.push(...await sessions(server, 64));
	const lua = script('refresh.lua', refreshScript(tokens));
	return (await load({ ...server, url: server.base }, { connections: CONNECTIONS, seconds: SECONDS, script: lua })).micros;
}

// --- all of it -------------------------------------------------------------------------------------

const ALGORITHMS = ['RS256', 'ES256'];
const figures = { open: [], self: [], right: [], beyond: [], commit: [] };
for (const algorithm of ALGORITHMS)
	figures[algorithm] = [], figures[`${algorithm} beyond`] = [];

async function round() {
	for (const algorithm of ALGORITHMS) {
		const server = await start(algorithm);
		try {
			const { accessToken } = await register(server, 'acme');
			if (algorithm === 'RS256') {
				for (const [name, token] of [['open'], ['self', accessToken], ['right', accessToken]])
					figures[name].push(await requests(server, `/bench/${name}`, token));
				figures.beyond.push(figures.right.at(-1) - figures.open.at(-1));
			}
			const right = await requests(server, '/bench/right', accessToken);
			const commit = await requests(server, '/bench/write', accessToken, 'POST') - right;
			const before = await requests(server, `/bench/sign/${algorithm}`, accessToken);
			const all = await refreshes(server);
			const after = await requests(server, `/bench/sign/${algorithm}`, accessToken);
			const signed = (before + after) / 2 - right;
			figures.commit.push(commit);
			figures[algorithm].push(all);
			figures[`${algorithm} beyond`].push(all - signed - commit);
			console.log(`  ${algorithm}: refresh ${all.toFixed(0)} us; a signature ${signed.toFixed(0)} us, a commit ${commit.toFixed(0)} us`);
		} finally {
			await server.stop();
		}
	}
}

const logins = [];
console.log(`${machine()}, wrk -t1 -c${CONNECTIONS} -d${SECONDS}, ${ROUNDS} rounds, SQLite, synchronous=FULL\n`);
try {
	for (let i = 1; i <= ROUNDS; i++) {
		console.log(`round ${i}`);
		await round();
		const login = await measureLogins({ folder, seconds: SECONDS, round: i });
		logins.push(login);
		console.log(`  ${login.logins.toFixed(1)} logins/s, ${login.bare.toFixed(1)} hashes/s in a bare loop; p99 of other requests ` +
			`${login.quiet.p99.toFixed(2)} ms, during logins ${login.busy.p99.toFixed(2)} ms`);
	}
} finally {
	rmSync(folder, { recursive: true, force: true });
}

const row = (name, value, unit = 'us') => console.log(`${name.padEnd(58)} ${value.toFixed(1).padStart(9)} ${unit}`);
console.log();
row('an empty answer for nobody', median(figures.open));
row('the same for who is signed in', median(figures.self));
row('the same for who has a right', median(figures.right));
row('token, session, tenant, right and limits of the caller', median(figures.beyond));
for (const algorithm of ALGORITHMS) {
	row(`refresh with ${algorithm}`, median(figures[algorithm]));
	row('  beyond signature and commit', median(figures[`${algorithm} beyond`]));
}
row('commit of one row', median(figures.commit));
row('logins', median(logins.map((login) => login.logins)), '/s');
row('hashes of the same cost in a bare loop, as many threads', median(logins.map(({ bare }) => bare)), '/s');
row('p99 of other requests', median(logins.map(({ quiet }) => quiet.p99)), 'ms');
row('  while logins fill their pool', median(logins.map(({ busy }) => busy.p99)), 'ms');
console.log();
budget('a bare Argon2 loop / logins', median(logins.map(({ bare, logins: done }) => bare / done)), 1.25, 'x');
budget('p99 of other requests, during logins / without', median(logins.map(({ quiet, busy }) => busy.p99 / quiet.p99)), 3, 'x');
for (const algorithm of ALGORITHMS)
	budget(`refresh with ${algorithm} beyond signature and commit`, median(figures[`${algorithm} beyond`]), 100, ' us');
