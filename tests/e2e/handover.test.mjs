// A server that is replaced by another one while it is used.
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import test from 'node:test';
import { listAll, register } from './people.mjs';
import { launchServer, postgres, PRODUCTION, runProgram, startServer } from './server.mjs';
import { ask, dial, get, pause, poll, requestText } from './wire.mjs';

const LIMIT_MS = 30_000;

const replace = (t, { dataDir }, options = {}) => startServer(t, { dataDir, args: ['--replace'], ...options });

// One request: { status, text }; as every client does it, once more when a connection that had rested
// was closed just then.
function once(port, agent, { method = 'GET', path = '/hello', headers = {}, body } = {}) {
	return new Promise((settle, reject) => {
		const signal = AbortSignal.timeout(LIMIT_MS);
		const outgoing = request({ host: '127.0.0.1', port, agent, method, path, headers, signal }, (response) => {
			let text = '';
			response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
			response.on('error', reject).on('end', () => settle({ status: response.statusCode, text }));
		});
		outgoing.on('error', (error) => {
			if (outgoing.reusedSocket && ['ECONNRESET', 'EPIPE'].includes(error.code))
				once(port, agent, { method, path, headers, body }).then(settle, reject);
			else
				reject(error);
		});
		outgoing.end(body);
	});
}

// 200 requests a second, half of them on connections of their own, until stop(): { answers, worst }.
function load(port) {
	const agents = Array.from({ length: 4 }, () => new Agent({ keepAlive: true, maxSockets: 4 }));
	const under = new Set();
	const result = { answers: 0, failures: [], worst: 0 };
	let asked = 0;
	const timer = setInterval(() => {
		const start = Date.now();
		const agent = asked % 2 ? agents[(asked >> 1) % agents.length] : false;
		asked++;
		const answer = once(port, agent)
			.then(({ status }) => assert.equal(status, 200))
			.then(() => result.answers++, (error) => result.failures.push(error))
			.finally(() => {
				under.delete(answer);
				result.worst = Math.max(result.worst, Date.now() - start);
			});
		under.add(answer);
	}, 5);
	return async () => {
		clearInterval(timer);
		await Promise.all(under);
		for (const agent of agents)
			agent.destroy();
		return result;
	};
}

test('replaced three times under load, and no request fails', async (t) => {
	let server = await startServer(t);
	const { port } = server;
	const stop = load(port);
	for (let round = 0; round < 3; round++) {
		await pause(500);
		const next = await replace(t, server);
		assert.equal(next.port, port, 'the same socket');
		assert.deepEqual(await server.gone(), { code: 0, signal: null });
		assert.ok(server.lines.some((line) => line.msg === 'a new server has taken over'), server.output());
		assert.equal((await runProgram(t, ['ping', '--json'], { cwd: server.dataDir })).stdout, `{"pid":${next.pid}}\n`);
		server = next;
	}
	await pause(500);
	const { answers, failures, worst } = await stop();
	assert.deepEqual(failures, []);
	assert.ok(answers > 200, `${answers} answers`);
	t.diagnostic(`${answers} answers, the slowest after ${worst} ms`);
});

// A writer for each of these, until stop(): how many changes of a name and which keys were answered.
// None of them asks again after a failure, but on a connection that had rested. They are of tenants of
// their own: many writers of one row get in each other's way on PostgreSQL, hand-over or not.
function writes(port, people) {
	const failures = [];
	let going = true;
	const ask = async (token, agent, method, path, body, expected) => {
		const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
		const { status, text } = await once(port, agent, { method, path, headers, body: JSON.stringify(body) });
		assert.equal(status, expected, text);
		return JSON.parse(text).data;
	};
	const writer = async ({ accessToken: token }, number) => {
		const result = { renamed: 0, keys: [] };
		const agent = number % 2 ? new Agent({ keepAlive: true, maxSockets: 1 }) : false;
		for (let i = 0; going; i++) {
			const name = `${number}-${i}`;
			try {
				if (number < 4) {
					await ask(token, agent, 'PATCH', '/api/v1/me', { name }, 200);
					result.renamed++;
				} else {
					await ask(token, agent, 'POST', '/api/v1/api-keys', { name, scopes: ['keys:read'] }, 201);
					result.keys.push(name);
				}
			} catch (error) {
				failures.push(error);
			}
			await pause(10 + 5 * number);
		}
		if (agent)
			agent.destroy();
		return result;
	};
	const writers = people.map(writer);
	return async () => {
		going = false;
		return { results: await Promise.all(writers), failures };
	};
}

for (const engine of ['SQLite', 'PostgreSQL'])
	test(`replaced while people write, and each write is there once (${engine})`, async (t) => {
		const database = engine === 'PostgreSQL' ? await postgres(t) : {};
		if (!database)
			return;
		const env = { ...database, MASTER_KEY: PRODUCTION.MASTER_KEY, PUBLIC_URL: 'http://localhost:8080', JWT_ALGORITHM: 'ES256' };
		let server = await startServer(t, { env });
		const { port } = server;
		const people = [];
		for (let i = 0; i < 8; i++)
			people.push(await register(server, `acme-${i}`));
		const stop = writes(port, people);
		for (let round = 0; round < 3; round++) {
			await pause(400);
			const next = await replace(t, server, { env });
			assert.equal(next.port, port);
			assert.deepEqual(await server.gone(), { code: 0, signal: null });
			server = next;
		}
		await pause(300);
		const { results, failures } = await stop();
		assert.deepEqual(failures, []);

		for (const [i, { accessToken: token, user }] of people.entries()) {
			const { renamed, keys } = results[i];
			assert.ok(renamed + keys.length > 5, `${renamed} and ${keys.length} writes`);
			const [me] = await listAll(server, '/api/v1/users', token);
			assert.equal(me.version - user.version, renamed);
			assert.deepEqual((await listAll(server, '/api/v1/api-keys', token)).map(({ name }) => name).sort(), keys.sort());
			const entries = await listAll(server, '/api/v1/audit', token);
			assert.equal(entries.filter(({ action }) => action === 'user.updated').length, renamed);
			assert.equal(entries.filter(({ action }) => action === 'api_key.created').length, keys.length);
		}
		t.diagnostic(`${results.map(({ renamed, keys }) => renamed + keys.length)} writes`);
	});

test('both ports of production, and a new one', async (t) => {
	const env = { ...PRODUCTION, HELLO_ENABLED: 'true', SHUTDOWN_DELAY: '0s', BACKUP_INTERVAL: '0s' };
	const ports = async (server) => {
		await poll('both ports', () => server.lines.filter((line) => line.msg === 'listening').length === 2);
		return server.lines.filter((line) => line.msg === 'listening').map((line) => new URL(line.url).port);
	};
	const server = await startServer(t, { env });
	const before = await ports(server);
	const next = await replace(t, server, { env });
	assert.deepEqual(await ports(next), before);
	await server.gone();

	// Another address: its own socket is opened, the other one's taken over.
	const moved = await replace(t, server, { env: { ...env, HOST: '127.0.0.2' } });
	const after = await ports(moved);
	assert.notEqual(after[0], before[0]);
	assert.equal(after[1], before[1]);
	await next.gone();
	assert.equal((await ask({ port: Number(after[1]) }, get('/health'))).status, 200);
});

test('what runs is finished first, and who comes meanwhile waits', async (t) => {
	const server = await startServer(t);
	const [slow, idle] = [dial(t, server), dial(t, server)];
	assert.equal((await idle.request(get())).status, 200);
	await slow.send(requestText('POST', '/hello', { 'content-length': '5' }, 'he'));
	await pause(100);

	const next = await launchServer(t, { dataDir: server.dataDir, args: ['--replace'] });
	await server.logged((line) => line.msg === 'handing over to a new server');
	assert.equal((await idle.over()).length, 0, 'a connection that rests is closed');
	const waiting = Array.from({ length: 20 }, () => dial(t, server));
	await Promise.all(waiting.map((wire) => wire.send(get())));
	await pause(300);
	assert.ok(!next.lines.some((line) => line.msg === 'listening'));
	assert.ok(waiting.every((wire) => wire.bytes.length === 0 && !wire.ended));

	await slow.send('llo');
	const late = await slow.response();
	assert.equal(late.status, 405);
	for (const wire of waiting)
		assert.equal((await wire.response()).status, 200);
	assert.deepEqual(await server.gone(), { code: 0, signal: null });
	await next.logged((line) => line.msg === 'listening');
});

test('who does not end in time is cut off', async (t) => {
	const server = await startServer(t, { env: { SHUTDOWN_TIMEOUT: '1s' } });
	const slow = dial(t, server);
	await slow.send(requestText('POST', '/hello', { 'content-length': '5' }, 'he'));
	await pause(100);
	const next = await replace(t, server);
	assert.deepEqual(await server.gone(), { code: 0, signal: null });
	assert.equal(server.lines.find((line) => /cut off/.test(line.msg)).count, 1);
	assert.equal((await ask(next, get())).status, 200);
});

// Starts a hand-over that stops where the old server waits for a request to end.
async function stuckHandOver(t) {
	const server = await startServer(t);
	const slow = dial(t, server);
	await slow.send(requestText('POST', '/hello', { 'content-length': '5' }, 'he'));
	await pause(100);
	const next = await launchServer(t, { dataDir: server.dataDir, args: ['--replace'] });
	await server.logged((line) => line.msg === 'handing over to a new server');
	return { server, slow, next };
}

const goesOn = (line) => /this one goes on/.test(line.msg);

test('kill -9 of the new one while the old one ends what runs', async (t) => {
	const { server, slow, next } = await stuckHandOver(t);
	const waiting = dial(t, server);
	await waiting.send(get());
	await next.kill();
	await server.logged(goesOn);
	assert.equal((await waiting.response()).status, 200, 'who waited is served');
	await slow.send('llo');
	assert.equal((await slow.response()).status, 405);
	assert.equal((await ask(server, get('/health/ready'))).status, 200);

	const third = await replace(t, server);
	assert.deepEqual(await server.gone(), { code: 0, signal: null });
	assert.equal((await ask(third, get())).status, 200);
});

test('kill -9 of the new one when it has the data folder', async (t) => {
	const { server, slow, next } = await stuckHandOver(t);
	next.signal('SIGSTOP');
	await slow.send('llo');
	assert.equal((await slow.response()).status, 405);
	await server.logged((line) => line.msg === 'the data folder is free for the new server');
	const waiting = dial(t, server);
	await waiting.send(get());
	await next.kill();
	await server.logged(goesOn);
	assert.equal((await waiting.response()).status, 200, 'who waited is served');
	assert.match((await runProgram(t, ['ping'], { cwd: server.dataDir })).stdout, new RegExp(`pid ${server.pid}\\b`));
	await replace(t, server);
	assert.deepEqual(await server.gone(), { code: 0, signal: null });
});

test('kill -9 of the new one at any moment', async (t) => {
	const first = await startServer(t);
	const start = Date.now();
	let server = await replace(t, first);
	const takes = Date.now() - start;
	let before = 0;
	const rounds = process.env.TEST_LONG ? 100 : 12;
	for (let round = 0; round < rounds; round++) {
		const next = await launchServer(t, { dataDir: server.dataDir, args: ['--replace'] });
		await pause((((round * 7) % 12) / 10) * takes);
		await next.kill();
		// Either it had taken over, or the old one is there as if nothing had been.
		await poll('it is clear who serves', async () => !server.running || (await ask(server, get()).catch(() => ({}))).status === 200);
		await pause(30);
		if (server.running) {
			assert.equal((await ask(server, get())).status, 200, server.output());
			before++;
			continue;
		}
		assert.deepEqual(await server.gone(), { code: 0, signal: null });
		assert.ok(server.lines.some((line) => line.msg === 'a new server has taken over'), server.output());
		server = await startServer(t, { dataDir: server.dataDir });
	}
	t.diagnostic(`${before} of ${rounds} before it served`);
});

test('kill -9 of the old one lets the new one start', async (t) => {
	const { server, slow, next } = await stuckHandOver(t);
	await server.kill();
	slow.destroy();
	const { url } = await next.logged((line) => line.msg === 'listening');
	assert.equal((await fetch(`${url}/hello`)).status, 200);
	assert.match(url, new RegExp(`:${server.port}$`));
});

test('a new one that cannot start leaves the old one alone', async (t) => {
	const server = await startServer(t);
	const failing = { TLS_CERT_FILE: '/nowhere', TLS_KEY_FILE: '/nowhere' };
	const { code, stderr } = await runProgram(t, ['serve', '--replace'], { env: failing, cwd: server.dataDir });
	assert.equal(code, 1);
	assert.match(stderr, /nowhere/);
	assert.equal((await ask(server, get())).status, 200);
	assert.ok(!server.lines.some((line) => line.msg === 'handing over to a new server'), 'it has not even paused');
});

test('a signal to stop does not get lost in a hand-over', async (t) => {
	const first = await stuckHandOver(t);
	first.server.signal('SIGTERM');
	await pause(100);
	await first.next.kill();
	await first.slow.send('llo');
	assert.equal((await first.slow.response()).status, 405);
	assert.deepEqual(await first.server.gone(), { code: 0, signal: null }, 'stopped after the new one had gone');

	const second = await stuckHandOver(t);
	assert.deepEqual(await second.next.stop(), { code: 1, signal: null }, 'the new one gives up');
	await second.server.logged(goesOn);
});

test('only one at a time takes over', async (t) => {
	const { server, slow, next } = await stuckHandOver(t);
	const late = await runProgram(t, ['serve', '--replace'], { cwd: server.dataDir });
	assert.equal(late.code, 1);
	assert.match(late.stderr, /takes over already/);
	await slow.send('llo');
	assert.equal((await slow.response()).status, 405);
	await next.logged((line) => line.msg === 'listening');
});

test('--replace without a server is a start', async (t) => {
	const server = await startServer(t, { args: ['--replace'] });
	assert.equal((await ask(server, get())).status, 200);
	await server.kill();
	const next = await replace(t, server);
	assert.equal((await ask(next, get())).status, 200, 'a dead one is none');
});
