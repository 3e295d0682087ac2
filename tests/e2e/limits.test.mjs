// Limits and clocks on connections, each made small enough to be met here.
import assert from 'node:assert/strict';
import test from 'node:test';
import { atEnd, startServer } from './server.mjs';
import { answersBackUp, ask, assertError, connectionsGone, dial, get, health, pause, poll, residentBytes, SANITIZED, Wire } from './wire.mjs';

const MEGABYTE = 1024 * 1024;

// Each fills some megabytes in the kernel first, which sanitizers take their time for.
const GREEDY = SANITIZED ? 3 : 20;

// True when a new connection from there is served.
async function served(server, from) {
	const wire = new Wire(server.port, { from });
	try {
		await wire.send(get('/hello', { connection: 'close' }));
		return (await wire.over()).includes('HTTP/1.1 200 ');
	} finally {
		wire.destroy();
	}
}

test('connections from one address', async (t) => {
	const server = await startServer(t, { env: { HTTP_MAX_CONNECTIONS_PER_ADDRESS: '3' } });
	const held = await Promise.all([1, 2, 3].map(async () => {
		const wire = dial(t, server, { from: '127.0.0.2' });
		assert.equal((await wire.request(get())).status, 200);
		return wire;
	}));

	const fourth = dial(t, server, { from: '127.0.0.2' });
	assert.equal((await fourth.over()).length, 0, 'closed without a word');
	assert.ok(await served(server, '127.0.0.3'), 'others are not touched');
	assert.equal((await held[0].request(get())).status, 200);

	held[1].destroy();
	await poll('the place is free again', () => served(server, '127.0.0.2'));
	assert.match((await ask(server, get('/metrics'))).body.toString(), /^http_connections_refused_total [1-9]/m);
});

test('connections in all', async (t) => {
	const server = await startServer(t, { env: { HTTP_MAX_CONNECTIONS: '16' } });
	const held = await Promise.all(Array.from({ length: 16 }, async (_, i) => {
		const wire = dial(t, server, { from: `127.0.0.${2 + i}` });
		assert.equal((await wire.request(get())).status, 200);
		return wire;
	}));
	assert.equal((await dial(t, server).over()).length, 0);
	for (const wire of held)
		assert.equal((await wire.request(get())).status, 200);
	held[7].destroy();
	await poll('the place is free again', () => served(server));
});

test('requests of one connection', async (t) => {
	const server = await startServer(t, { env: { HTTP_MAX_REQUESTS_PER_CONNECTION: '3' } });
	const wire = dial(t, server);
	await wire.send(get().repeat(5));
	for (const connection of [undefined, undefined, 'close'])
		assert.equal((await wire.response()).headers.get('connection'), connection);
	assert.equal((await wire.over()).length, 0);
});

test('age of a connection', async (t) => {
	const server = await startServer(t, { env: { HTTP_MAX_CONNECTION_AGE: '1s' } });
	const wire = dial(t, server);
	assert.equal((await wire.request(get())).headers.get('connection'), undefined);
	await pause(1100);
	assert.equal((await wire.request(get())).headers.get('connection'), 'close');
	assert.equal((await wire.over()).length, 0);
});

test('rest between two requests', async (t) => {
	const server = await startServer(t, { env: { HTTP_IDLE_TIMEOUT: '500ms', HTTP_HEAD_TIMEOUT: '1m' } });
	const wire = dial(t, server);
	for (let i = 0; i < 4; i++) {
		assert.equal((await wire.request(get())).status, 200);
		await pause(100);
	}
	assert.equal((await wire.over()).length, 0, 'no answer to what was not asked');
	assert.equal(wire.ended, 'ended');
});

test('size of a head', async (t) => {
	const server = await startServer(t, { env: { HTTP_MAX_HEAD: '2kb', HTTP_MAX_LINE: '300b', HTTP_MAX_FIELDS: '8' } });
	const one = async (text) => (await ask(server, text)).status;
	const fields = (count, size) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, 'y'.repeat(size)]));

	assert.equal(await one(get('/hello?' + 'x'.repeat(300 - 'GET /hello? HTTP/1.1'.length))), 200);
	assert.equal(await one(get('/hello?' + 'x'.repeat(301 - 'GET /hello? HTTP/1.1'.length))), 414);
	assert.equal(await one(get('/hello', { x: 'y'.repeat(297) })), 200);
	assert.equal(await one(get('/hello', { x: 'y'.repeat(298) })), 431);
	assert.equal(await one(get('/hello', fields(7, 5))), 200);
	assert.equal(await one(get('/hello', fields(8, 5))), 431);
	assert.equal(await one(get('/hello', fields(7, 270))), 200);
	assert.equal(await one(get('/hello', fields(7, 290))), 431);
	assertError(await ask(server, get('/hello', fields(8, 5))), 431, 'PAYLOAD_TOO_LARGE');
});

// Asks for far more than it will ever read. The answers back up to the server, which stops reading
// questions, waits for a while and then cuts the connection.
test('a client that never reads', async (t) => {
	const server = await startServer(t, { env: { HTTP_WRITE_STALL_TIMEOUT: '3s', HTTP_MAX_CONNECTIONS_PER_ADDRESS: '100' } });
	await ask(server, get('/metrics'));
	const before = residentBytes(server.pid);
	const idle = (await health(server)).memoryBytes;
	const greedy = Array.from({ length: GREEDY }, () => {
		const wire = dial(t, server);
		wire.hold();
		void wire.send(get('/metrics').repeat(20_000));
		return wire;
	});
	await poll('they are connected', async () => (await health(server)).connections > GREEDY);

	await answersBackUp(server);
	const { memoryBytes } = await health(server);
	assert.ok(memoryBytes - idle < 20 * MEGABYTE, `${memoryBytes - idle} bytes for ${GREEDY} clients`);
	if (!SANITIZED)
		assert.ok(residentBytes(server.pid) - before < 40 * MEGABYTE, 'resident memory');
	assert.equal((await ask(server, get())).status, 200, 'others are served meanwhile');

	await connectionsGone(server);
	for (const wire of greedy)
		wire.release();
	for (const wire of greedy)
		await wire.over();
});

// A client that reads, but slower than the least rate, is one that never reads.
test('a client that reads slowly', async (t) => {
	const server = await startServer(t, { env: { HTTP_WRITE_STALL_TIMEOUT: '1s', HTTP_BODY_MIN_RATE: '100mb' } });
	const wire = dial(t, server);
	wire.hold();
	void wire.send(get('/metrics').repeat(20_000));
	const reading = setInterval(() => (wire.release(), setImmediate(() => wire.hold())), 300);
	atEnd(t, () => clearInterval(reading));
	await connectionsGone(server);
});
