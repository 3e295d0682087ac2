// Requests and their answers: connections that go on, pipelines, methods, ids, traces, codings, headers.
import assert from 'node:assert/strict';
import test from 'node:test';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { startServer } from './server.mjs';
import { ask, assertError, dial, get, parseResponses, requestText } from './wire.mjs';

const UUID7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test('a connection serves request after request', async (t) => {
	const server = await startServer(t);
	const wire = dial(t, server);
	for (let i = 0; i < 300; i++) {
		const response = await wire.request(get('/hello', { 'x-request-id': `n-${i}` }));
		assert.equal(response.status, 200);
		assert.equal(response.headers.get('x-request-id'), `n-${i}`);
		assert.equal(response.headers.get('connection'), undefined);
	}
});

// Requests of every kind that a connection survives, with the status each gets.
function mixedRequest(i) {
	const id = { 'x-request-id': `n-${i}` };
	const kinds = [
		['GET', 200, get('/hello', id)],
		['GET', 404, get('/nothing', id)],
		['HEAD', 200, requestText('HEAD', '/hello', id)],
		['POST', 405, requestText('POST', '/hello', { ...id, 'content-length': '11' }, 'hello world')],
		['OPTIONS', 204, requestText('OPTIONS', '/hello', id)],
		['POST', 404, requestText('POST', '/nothing', { ...id, 'transfer-encoding': 'chunked' }, '3\r\nabc\r\n0\r\n\r\n')],
		['GET', 400, get('/%00', id)],
		['GET', 200, get('/hello?' + 'x'.repeat((i * 37) % 2000), id)],
		['GET', 200, get('/hello', { ...id, 'content-length': '3000' }) + 'y'.repeat(3000)],
	];
	return kinds[i % kinds.length];
}

async function assertPipeline(wire, requests, sendAll) {
	const text = requests.map(([, , bytes]) => bytes).join('') + get('/hello', { connection: 'close' });
	const sent = sendAll(text);
	const responses = parseResponses(await wire.over(), requests.map(([method]) => method));
	await sent;
	assert.equal(responses.length, requests.length + 1);
	requests.forEach(([, status], i) => {
		assert.equal(responses[i].status, status);
		assert.equal(responses[i].headers.get('x-request-id'), `n-${i}`);
	});
}

test('pipelined requests are answered in order', async (t) => {
	const server = await startServer(t);
	const plain = (count) => Array.from({ length: count }, (_, i) => ['GET', 200, get('/hello', { 'x-request-id': `n-${i}` })]);
	const mixed = (count) => Array.from({ length: count }, (_, i) => mixedRequest(i));

	for (const [name, requests] of [['10', plain(10)], ['700', plain(700)], ['5000', plain(5000)], ['900 of all kinds', mixed(900)]])
		await t.test(`${name} at once`, async (t) => {
			const wire = dial(t, server);
			await assertPipeline(wire, requests, (text) => wire.send(text));
		});
	for (const size of [1, 7, 61, 1000, 4093, 49152])
		await t.test(`in pieces of ${size}`, async (t) => {
			const wire = dial(t, server);
			await assertPipeline(wire, mixed(size === 1 ? 18 : 180), (text) => wire.sendPieces(text, size));
		});
	await t.test('while nobody reads at first', async (t) => {
		const wire = dial(t, server);
		wire.hold();
		const sent = wire.send(plain(9000).map(([, , bytes]) => bytes).join(''));
		await new Promise((wake) => setTimeout(wake, 300));
		wire.release();
		await sent;
		for (let i = 0; i < 9000; i++)
			assert.equal((await wire.response()).headers.get('x-request-id'), `n-${i}`);
	});
});

test('a small output queue still holds any answer', async (t) => {
	const server = await startServer(t, { env: { HTTP_MAX_RESPONSE_QUEUE: '16kb', HTTP_MAX_PIPELINED: '1kb' } });
	const wire = dial(t, server);
	await wire.send(get('/metrics').repeat(200));
	for (let i = 0; i < 200; i++)
		assert.equal((await wire.response()).status, 200);
});

test('HEAD answers like GET, without the body', async (t) => {
	const server = await startServer(t);
	const wire = dial(t, server);
	for (const target of ['/hello', '/nothing', '/health', '/health/live']) {
		const full = await wire.request(get(target, { 'x-request-id': 'same' }));
		const head = await wire.request(requestText('HEAD', target, { 'x-request-id': 'same' }), 'HEAD');
		const lines = ({ lines }) => lines.filter((line) => !/^(date|content-length):/.test(line));
		assert.equal(head.status, full.status);
		assert.deepEqual(lines(head), lines(full));
		assert.match(head.headers.get('content-length'), /^[1-9]\d*$/);
	}
});

test('methods and addresses that are not served', async (t) => {
	const server = await startServer(t);
	const wire = dial(t, server);

	const options = await wire.request(requestText('OPTIONS', '/hello'));
	assert.equal(options.status, 204);
	assert.equal(options.headers.get('allow'), 'GET, HEAD, OPTIONS');
	assert.equal((await wire.request(requestText('OPTIONS', '*'))).status, 204);

	const post = await wire.request(requestText('POST', '/hello', { 'content-length': '5' }, 'hello'));
	assertError(post, 405, 'METHOD_NOT_ALLOWED');
	assert.equal(post.headers.get('allow'), 'GET, HEAD, OPTIONS');
	assertError(await wire.request(get('/nothing')), 404, 'NOT_FOUND');
	assertError(await wire.request(get('/hello/deeper')), 404, 'NOT_FOUND');
	assertError(await wire.request(get('/%ff')), 400, 'VALIDATION_ERROR');

	const unknown = await wire.request(requestText('BREW', '/hello'));
	assertError(unknown, 501, 'METHOD_NOT_ALLOWED');
	assert.equal(unknown.headers.get('connection'), 'close');
	assert.equal((await wire.over()).length, 0);
});

test('HTTP/1.0', async (t) => {
	const server = await startServer(t);

	const once = dial(t, server);
	const only = await once.request('GET /hello HTTP/1.0\r\n\r\n');
	assert.equal(only.status, 200);
	assert.equal(only.headers.get('connection'), 'close');
	assert.equal((await once.over()).length, 0);

	const again = dial(t, server);
	for (let i = 0; i < 3; i++) {
		const response = await again.request('GET /hello HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n');
		assert.equal(response.headers.get('connection'), 'keep-alive');
		assert.equal(response.headers.get('transfer-encoding'), undefined);
	}
});

test('x-request-id is taken when it is well-formed, else made', async (t) => {
	const server = await startServer(t);
	const wire = dial(t, server);
	for (const id of ['a', 'A-1_b.c:d/e+f=', '0190a5b4-0000-7000-8000-000000000000', 'x'.repeat(128)])
		assert.equal((await wire.request(get('/hello', { 'x-request-id': id }))).headers.get('x-request-id'), id);

	const made = new Set();
	for (const id of ['', 'a b', 'x'.repeat(129), '<script>', 'a"b', '\xe9', 'a,b', 'a;b', '{}', '%0d%0a']) {
		const response = await wire.request(get('/hello', { 'x-request-id': id }));
		assert.match(response.headers.get('x-request-id'), UUID7);
		made.add(response.headers.get('x-request-id'));
	}
	assert.equal(made.size, 10, 'each is another');
	assert.match((await wire.request(get('/nothing'))).headers.get('x-request-id'), UUID7);
});

test('a trace goes on', async (t) => {
	const server = await startServer(t);
	const wire = dial(t, server);
	const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
	const traceOf = async (fields) => {
		const id = (await wire.request(get('/hello', fields))).headers.get('x-request-id');
		const line = await server.logged((entry) => entry.requestId === id);
		assert.match(line.traceId, /^[0-9a-f]{32}$/);
		assert.match(line.spanId, /^[0-9a-f]{16}$/);
		return line;
	};

	for (const value of [`00-${TRACE}-00f067aa0ba902b7-01`, `00-${TRACE}-00f067aa0ba902b7-00`, `01-${TRACE}-00f067aa0ba902b7-01-more`]) {
		const line = await traceOf({ traceparent: value });
		assert.equal(line.traceId, TRACE);
		assert.notEqual(line.spanId, '00f067aa0ba902b7', 'a span of its own');
	}
	for (const value of ['', 'x', `00-${TRACE.toUpperCase()}-00f067aa0ba902b7-01`, `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, `00-${TRACE}-${'0'.repeat(16)}-01`, `ff-${TRACE}-00f067aa0ba902b7-01`, `00-${TRACE}-00f067aa0ba902b7-01-more`, `00-${TRACE}-00f067aa0ba902b7`])
		assert.notEqual((await traceOf({ traceparent: value })).traceId, TRACE, value);
	const twice = { traceparent: `00-${TRACE}-00f067aa0ba902b7-01`, Traceparent: `00-${TRACE}-00f067aa0ba902b7-01` };
	assert.notEqual((await traceOf(twice)).traceId, TRACE, 'two of them');
});

// Metrics grow with every request; what they are called does not.
const comments = (body) => body.toString().split('\n').filter((line) => /^# (HELP|TYPE) (process|log|bulkhead)_/.test(line));

test('a large answer is compressed as the client wishes', async (t) => {
	const server = await startServer(t);
	const wire = dial(t, server);
	const metrics = (wish) => wire.request(get('/metrics', wish === undefined ? {} : { 'accept-encoding': wish }));

	const plain = await metrics();
	assert.equal(plain.headers.get('content-encoding'), undefined);
	assert.equal(plain.headers.get('vary'), 'accept-encoding');
	assert.ok(plain.body.length > 1024 && comments(plain.body).length > 5);

	const unpack = { gzip: gunzipSync, br: brotliDecompressSync };
	for (const [wish, coding] of [['gzip', 'gzip'], ['br', 'br'], ['gzip, br', 'br'], ['gzip;q=1, br;q=0.5', 'gzip'], ['GZIP', 'gzip'], ['*', 'br'], ['br;q=0, *', 'gzip'], ['deflate, gzip', 'gzip']]) {
		const response = await metrics(wish);
		assert.equal(response.headers.get('content-encoding'), coding, wish);
		assert.equal(response.headers.get('vary'), 'accept-encoding');
		const unpacked = unpack[coding](response.body);
		assert.ok(response.body.length < unpacked.length / 2);
		assert.deepEqual(comments(unpacked), comments(plain.body));
		assert.ok(unpacked.toString().endsWith('\n') && unpacked.length >= plain.body.length);
	}
	for (const wish of ['', 'identity', 'deflate', 'zstd', 'gzip;q=0', 'br;q=0, gzip;q=0', '*;q=0', 'gzip;q=2', 'gzip;;', 'identity, gzip;q=0.5'])
		assert.equal((await metrics(wish)).headers.get('content-encoding'), undefined, wish);

	const head = await wire.request(requestText('HEAD', '/metrics', { 'accept-encoding': 'gzip' }), 'HEAD');
	assert.equal(head.headers.get('content-encoding'), 'gzip');
	assert.equal((await wire.request(get('/hello', { 'accept-encoding': 'gzip' }))).headers.get('content-encoding'), undefined, 'a small one stays');
});

test('HTTP_COMPRESSION_MIN decides what is large', async (t) => {
	const server = await startServer(t, { env: { HTTP_COMPRESSION_MIN: '1mb' } });
	assert.equal((await ask(server, get('/metrics', { 'accept-encoding': 'gzip, br' }))).headers.get('content-encoding'), undefined);
});

test('headers of every answer', async (t) => {
	const server = await startServer(t);
	const all = await Promise.all([get(), get('/nothing'), requestText('PUT', '/hello'), requestText('OPTIONS', '/hello'), get('/metrics'), 'GET /hello HTTP/1.1\r\n\r\n', 'x y\r\n\r\n'].map((text) => ask(server, text)));
	for (const { status, headers } of all) {
		const expected = {
			'content-security-policy': "default-src 'none';frame-ancestors 'none'",
			'cross-origin-opener-policy': 'same-origin',
			'cross-origin-resource-policy': 'same-origin',
			'origin-agent-cluster': '?1',
			'referrer-policy': 'no-referrer',
			'x-content-type-options': 'nosniff',
			'x-dns-prefetch-control': 'off',
			'x-download-options': 'noopen',
			'x-frame-options': 'SAMEORIGIN',
			'x-permitted-cross-domain-policies': 'none',
			'x-xss-protection': '0',
			'strict-transport-security': undefined, // not without TLS
			server: undefined,
			'x-powered-by': undefined,
		};
		for (const [name, value] of Object.entries(expected))
			assert.equal(headers.get(name), value, `${name} with ${status}`);
		assert.ok(headers.get('x-request-id').length > 0);
		const date = headers.get('date');
		assert.equal(new Date(date).toUTCString(), date);
		assert.ok(Math.abs(Date.now() - new Date(date)) < 60_000);
	}
});
