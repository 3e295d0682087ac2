// Ten thousand slow connections: they must not stop a quick one, must cost little, and must be gone when
// their time is over.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createConnection } from 'node:net';
import test from 'node:test';
import { atEnd, startServer } from './server.mjs';
import { ask, connectionsGone, get, health, poll, residentBytes, SANITIZED } from './wire.mjs';

const WANTED = SANITIZED ? 2000 : 10_000;

// What the limit on open files leaves to the smaller of client and server.
const files = execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim();
const COUNT = Math.min(WANTED, files === 'unlimited' ? WANTED : Number(files) - 500);

// Opens `COUNT` connections, each of which has sent half a head, and which are never closed from here.
async function openSlow(t, server) {
	const slow = [];
	atEnd(t, () => slow.forEach((socket) => socket.destroy()));
	const openOne = (i) => new Promise((settle, reject) => {
		const socket = createConnection({ port: server.port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
		socket.got = '';
		socket.gone = false;
		socket.on('data', (chunk) => (socket.got += chunk.toString('latin1')));
		socket.on('error', (error) => (socket.connecting ? reject(error) : undefined));
		socket.on('end', () => (socket.gone = true));
		socket.on('connect', () => socket.write(`GET /slow-${i} HTTP/1.1\r\nHost: test\r\nX-Slow: `, () => settle()));
		slow.push(socket);
	});
	for (let i = 0; i < COUNT; i += 200)
		await Promise.all(Array.from({ length: Math.min(200, COUNT - i) }, (_, k) => openOne(i + k)));
	return slow;
}

// A byte now and then from some of them, as slowloris does.
function trickle(t, slow) {
	let next = 0;
	const timer = setInterval(() => {
		for (let i = 0; i < COUNT / 20; i++)
			slow[next++ % COUNT].write('x');
	}, 100);
	atEnd(t, () => clearInterval(timer));
	return timer;
}

async function quickOnes(server, count) {
	const times = [];
	for (let i = 0; i < count; i++) {
		const start = performance.now();
		assert.equal((await ask(server, get('/hello', { connection: 'close' }))).status, 200);
		times.push(performance.now() - start);
	}
	return times.sort((a, b) => a - b)[count >> 1];
}

test(`${COUNT} slow connections do not stop a quick one`, async (t) => {
	const server = await startServer(t, { env: { HTTP_HEAD_TIMEOUT: '2m', HTTP_MAX_CONNECTIONS_PER_ADDRESS: '20000' } });
	await ask(server, get());
	const before = { resident: residentBytes(server.pid), counted: (await health(server)).memoryBytes };

	const slow = await openSlow(t, server);
	await poll('all are connected', async () => (await health(server)).connections === COUNT + 1);
	trickle(t, slow);

	const median = await quickOnes(server, 20);
	assert.ok(median < 1000, `a quick request took ${median} ms`);
	assert.equal(slow.filter((socket) => socket.gone).length, 0, 'all are still there');

	const each = (residentBytes(server.pid) - before.resident) / COUNT;
	const counted = ((await health(server)).memoryBytes - before.counted) / COUNT;
	t.diagnostic(`a quick request took ${median.toFixed(1)} ms; a slow connection costs ${each.toFixed(0)} bytes resident, ${counted.toFixed(0)} counted`);
	assert.ok(counted < 4096, `${counted} bytes counted for each`);
	if (!SANITIZED)
		assert.ok(each < 4096, `${each} resident bytes for each`);

	for (const socket of slow)
		socket.destroy();
	await connectionsGone(server);
});

test(`${COUNT} slow connections end at the head timeout`, async (t) => {
	const server = await startServer(t, { env: { HTTP_HEAD_TIMEOUT: '3s', HTTP_MAX_CONNECTIONS_PER_ADDRESS: '20000' } });
	await ask(server, get());
	const before = residentBytes(server.pid);
	const slow = await openSlow(t, server);
	let most = before;
	const watcher = setInterval(() => (most = Math.max(most, residentBytes(server.pid))), 20);
	atEnd(t, () => clearInterval(watcher));

	await poll('all are gone', () => slow.every((socket) => socket.gone));
	await connectionsGone(server);
	for (const socket of slow)
		assert.match(socket.got, /^(HTTP\/1\.1 408 Request Timeout\r\n|$)/);
	t.diagnostic(`${slow.filter((socket) => socket.got).length} of ${COUNT} were answered 408; the server grew by at most ${((most - before) / 1048576).toFixed(1)} MB`);
	if (!SANITIZED)
		assert.ok(most - before < COUNT * 20_000, 'memory while all of them are answered');
	assert.equal((await ask(server, get())).status, 200);
});
