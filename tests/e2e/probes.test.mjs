// What the server makes of every input in probes.mjs: the same verdict however the bytes are cut, one
// answer for each request and none for smuggled ones, errors in the one shape, and a server that goes on.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startServer } from './server.mjs';
import { ask, assertError, connectionsGone, dial, get, parseResponses, pause, poll, Wire } from './wire.mjs';
import { probes } from './probes.mjs';

const BYTE_BY_BYTE = 400; // longer inputs are sent in 64 pieces

// Few at once: a body that nobody wants has a second to arrive, also on a busy machine.
const AT_ONCE = 8;

async function each(list, what) {
	const rest = list.values();
	const one = async () => {
		for (const item of rest)
			await what(item);
	};
	await Promise.all(Array.from({ length: AT_ONCE }, one));
}

async function verdict(server, probe, cut) {
	const wire = new Wire(server.port);
	try {
		await wire.connected;
		const size = !cut ? probe.bytes.length : probe.bytes.length > BYTE_BY_BYTE ? probe.bytes.length >> 6 : 1;
		await wire.sendPieces(probe.bytes, size || 1);
		if (probe.half)
			wire.half();
		const bytes = await wire.over();
		assert.equal(wire.ended, 'ended', 'closed in order, so that no answer is lost');
		return parseResponses(bytes, probe.methods);
	} finally {
		wire.destroy();
	}
}

function judge(probe, responses) {
	assert.deepEqual(responses.map((response) => response.status), probe.want);
	responses.forEach((response, i) => {
		const isLast = i === responses.length - 1;
		const head = probe.methods?.[i] === 'HEAD';
		const goesOn = probe.bytes.includes('HTTP/1.0') ? 'keep-alive' : undefined;
		assert.equal(response.headers.get('connection'), isLast && !probe.open ? 'close' : goesOn);
		if (response.status >= 400 && !head)
			assertError(response, response.status);
		if (response.status === 405)
			assert.match(response.headers.get('allow'), /\bGET\b/);
		if (response.status === 200 && !head)
			assert.match(JSON.parse(response.body).message, /Hello/);
	});
}

async function probeAll(server, cut) {
	const wrong = [];
	await each(probes, async (probe) => {
		try {
			judge(probe, await verdict(server, probe, cut));
			assert.equal((await ask(server, get())).status, 200, 'a good request is answered');
		} catch (error) {
			wrong.push(`${probe.name}: ${error.message}`);
		}
	});
	assert.equal(wrong.length, 0, `${wrong.length} of ${probes.length}\n${wrong.join('\n\n')}\n${server.running ? '' : server.output()}`);
}

test('probes', async (t) => {
	const server = await startServer(t, { env: { HTTP_MAX_CONNECTIONS_PER_ADDRESS: '1000' } });
	assert.ok(probes.length >= 400, `there are ${probes.length} probes`);

	await t.test(`${probes.length} in one piece`, () => probeAll(server, false));
	await t.test(`${probes.length} byte by byte`, () => probeAll(server, true));
	await t.test('leave nothing behind', () => connectionsGone(server));
});

// Inputs that stop in the middle. The clocks are absolute: trickling does not wind them up.
const stalls = [
	{ name: 'says nothing', bytes: '', want: [] },
	{ name: 'an empty line', bytes: '\r\n', want: [408] },
	{ name: 'one byte', bytes: 'G', want: [408] },
	{ name: 'a request line', bytes: 'GET /hello HTTP/1.1\r\n', want: [408] },
	{ name: 'a head but for its last byte', bytes: 'GET /hello HTTP/1.1\r\nHost: test\r\n\r', want: [408] },
	{ name: 'trickles an endless target (slowloris)', bytes: 'GET /', drip: 'a', want: [408] },
	{ name: 'trickles endless fields (slowloris)', bytes: 'GET /hello HTTP/1.1\r\nHost: test\r\n', drip: 'X: y\r\n', want: [408] },
	{ name: 'half a head behind a whole request', bytes: get() + 'GET /hello', want: [200, 408] },
	{ name: 'says nothing after a request', bytes: get(), want: [200] },
	{ name: 'a body that does not come', bytes: get('/hello', { 'content-length': '5' }), want: [200] },
	{ name: 'half a body', bytes: get('/hello', { 'content-length': '5' }) + 'hel', want: [200] },
	{ name: 'half a chunk', bytes: get('/nothing', { 'transfer-encoding': 'chunked' }) + '5\r\nhel', want: [404] },
	{ name: 'trickles a body (R.U.D.Y.)', bytes: get('/hello', { 'content-length': '60000' }), drip: 'x', want: [200] },
	{ name: 'trickles chunks', bytes: get('/hello', { 'transfer-encoding': 'chunked' }), drip: '1\r\nx\r\n', want: [200] },
	{ name: 'trickles trailers', bytes: get('/hello', { 'transfer-encoding': 'chunked' }) + '0\r\n', drip: 'X: y\r\n', want: [200] },
];

async function stall(server, { bytes, drip, want }) {
	const wire = new Wire(server.port);
	try {
		await wire.connected;
		await wire.send(bytes);
		while (drip && !wire.ended) {
			await wire.send(drip);
			await pause(50);
		}
		const responses = parseResponses(await wire.over());
		assert.deepEqual(responses.map((response) => response.status), want);
		for (const response of responses.filter(({ status }) => status === 408))
			assertError(response, 408, 'TIMEOUT');
	} finally {
		wire.destroy();
	}
}

test('inputs that stop in the middle', { concurrency: true }, async (t) => {
	const server = await startServer(t, { env: { HTTP_HEAD_TIMEOUT: '700ms', HTTP_IDLE_TIMEOUT: '700ms', HTTP_BODY_GRACE: '300ms' } });
	await Promise.all(stalls.map((row) => t.test(row.name, () => stall(server, row))));
	await connectionsGone(server);
	assert.equal((await ask(server, get())).status, 200);
});

// A large upload that nobody wants costs the sender its connection, not the server its memory.
test('a body of 50 MB that nobody wants', async (t) => {
	const server = await startServer(t);
	const used = async () => JSON.parse((await ask(server, get('/health'))).body).memoryBytes;
	const idle = await used();
	const wire = dial(t, server);
	await wire.send(`POST /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 50000000\r\n\r\n`);
	assert.equal((await wire.response()).status, 405);
	await wire.sendPieces(Buffer.alloc(50_000_000), 1 << 20);
	await poll('the connection is cut', () => wire.ended);
	const more = (await used()) - idle;
	assert.ok(more < 10 * 1024 * 1024, `${more} bytes in use`);
});
