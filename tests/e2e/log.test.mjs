// The log as an operator gets it: one line for each request, whatever the client does; files that are
// opened again when asked.
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { launchServer, startServer, temporaryFolder } from './server.mjs';
import { ask, dial, freePort, get, poll, requestText } from './wire.mjs';

const accessLines = (server) => server.lines.filter((line) => line.msg === 'request');

// The access lines once the server has ended: all of them, and nothing but JSON on standard output.
async function accessLog(server) {
	assert.deepEqual(await server.stop(), { code: 0, signal: null });
	assert.deepEqual(server.lines.filter((line) => 'text' in line), [], 'every line is JSON');
	return accessLines(server);
}

test('one line for each request, with all that belongs to it', async (t) => {
	const server = await startServer(t, { env: { LOG_LEVEL: 'debug' } });
	const requests = [
		{ method: 'GET', target: '/hello', route: '/hello', path: '/hello', status: 200, level: 'info' },
		{ method: 'GET', target: '/hello?token=SECRET&x=1', route: '/hello', path: '/hello', status: 200, level: 'info' },
		{ method: 'HEAD', target: '/hello', route: '/hello', path: '/hello', status: 200, level: 'info', bytesOut: 0 },
		{ method: 'GET', target: '/health/live', route: '/health/live', path: '/health/live', status: 200, level: 'debug' },
		{ method: 'GET', target: '/nothing?token=SECRET', route: 'unmatched', path: '/nothing', status: 404, level: 'warn' },
		{ method: 'POST', target: '/hello', body: 'hello', route: 'unmatched', path: '/hello', status: 405, level: 'warn', bytesIn: 5 },
		{ method: 'GET', target: '/hello', body: 'x'.repeat(3000), route: '/hello', path: '/hello', status: 200, level: 'info', bytesIn: 3000 },
		{ method: 'OPTIONS', target: '/hello', route: 'unmatched', path: '/hello', status: 204, level: 'info', bytesOut: 0 },
		{ method: 'BREW', target: '/pot?token=SECRET', route: 'unmatched', path: '/pot', status: 501, level: 'error' },
		{ method: 'GET', target: '/a#token=SECRET', route: 'unmatched', path: '/a', status: 400, level: 'warn' },
		{ method: 'GET', target: 'http://user:SECRET@test/hello', route: 'unmatched', path: '', status: 400, level: 'warn' },
		{ method: 'GET', target: 'http://test/hello?token=SECRET', route: '/hello', path: '/hello', status: 200, level: 'info' },
	];
	for (const [i, { method, target, body = '', status, bytesOut }] of requests.entries()) {
		const fields = { 'x-request-id': `n-${i}`, authorization: 'Bearer SECRET', cookie: 'session=SECRET', ...(body && { 'content-length': String(body.length) }) };
		const response = await ask(server, requestText(method, target, fields, body), method);
		assert.equal(response.status, status, target);
		requests[i].bytesOut = bytesOut ?? response.body.length;
		requests[i].requestId = response.headers.get('x-request-id');
	}

	const lines = await accessLog(server);
	assert.equal(lines.length, requests.length);
	for (const { method, route, path, status, level, bytesIn = 0, bytesOut, requestId } of requests) {
		const line = lines.find((line) => line.requestId === requestId); // each worker has its own order
		const { time, msg, traceId, spanId, durationMs, client, error, ...rest } = line;
		assert.deepEqual(rest, { level, requestId, method, route, path, status, bytesIn, bytesOut });
		assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
		assert.match(traceId, /^[0-9a-f]{32}$/);
		assert.match(spanId, /^[0-9a-f]{16}$/);
		assert.ok(durationMs >= 0 && durationMs < 20_000);
		assert.equal(client, '127.0.0.1');
		assert.equal(error !== undefined, status >= 400, 'a cause where it failed');
	}
	assert.doesNotMatch(JSON.stringify(server.lines), /SECRET/);
});

test('nothing that a client sends breaks a line', async (t) => {
	const server = await startServer(t);
	const hostile = ['"', '\\', '\n{"level":"info"}', 'a\r\nX: {"level":"info"}', '\0', '\x1b[31m', '\x7f', '\x80', '\xff\xfe', '\xed\xa0\x80', '\xc0\xaf', '\xf0\x9f\x98\x80', '\xe2\x80\xa8', '</script>', '%0a%22', 'x'.repeat(9000), '"'.repeat(3000), '\t', '${jndi:ldap://x}', "';--"];
	let sent = 0;
	for (const text of hostile)
		for (const bytes of [get(`/${text}`), get('/hello', { 'x-request-id': text }), get('/hello', { traceparent: text, tracestate: text }), requestText(`A${text}`, '/hello'), get('/hello', { 'user-agent': text }), get('/hello', { host: text })]) {
			assert.ok((await ask(server, bytes)).status >= 200);
			sent++;
		}

	const lines = await accessLog(server);
	assert.equal(lines.length, sent);
	for (const line of lines) {
		assert.deepEqual(Object.keys(line).slice(0, 6), ['time', 'level', 'msg', 'requestId', 'traceId', 'spanId']);
		assert.doesNotMatch(JSON.stringify(line), /\ufffd\ufffd\ufffd\ufffd\ufffd/);
	}
});

test('requests that get no answer or no connection are no lines', async (t) => {
	const server = await startServer(t);
	for (const bytes of ['', 'GET /hello', 'GET /hello HTTP/1.1\r\nHost: test\r\n']) {
		const wire = dial(t, server);
		await wire.send(bytes);
		wire.half();
		assert.equal((await wire.over()).length, 0);
	}
	assert.equal((await accessLog(server)).length, 0);
});

// The log never makes a request wait: what its rings cannot take is counted instead.
test('a burst loses no line uncounted', async (t) => {
	const server = await startServer(t);
	const wires = Array.from({ length: 10 }, () => dial(t, server));
	await Promise.all(wires.map(async (wire, k) => {
		await wire.send(Array.from({ length: 500 }, (_, i) => get('/hello', { 'x-request-id': `w-${k}-${i}` })).join(''));
		for (let i = 0; i < 500; i++)
			await wire.response();
	}));
	const dropped = Number(/^log_lines_dropped_total (\d+)$/m.exec((await ask(server, get('/metrics'))).body)[1]);
	const ids = (await accessLog(server)).map((line) => line.requestId);
	assert.equal(ids.length + dropped, 5000);
	assert.equal(new Set(ids).size, ids.length);
	assert.ok(dropped === 0 || server.lines.some((line) => line.msg === 'log lines dropped'));
});

test('LOG_FILE, and SIGHUP after it was moved away', async (t) => {
	const folder = join(await temporaryFolder(t), 'log');
	const port = await freePort();
	const server = await launchServer(t, { env: { PORT: String(port), LOG_FILE: join(folder, 'app.log') } });
	server.port = port;

	const linesIn = async (where) => {
		const texts = await Promise.all((await readdir(where)).sort().map((name) => readFile(join(where, name), 'utf8')));
		return texts.join('').split('\n').slice(0, -1).map((line) => JSON.parse(line));
	};
	const hasRequest = (where, id) => poll(`a line of ${id}`, async () => (await linesIn(where)).some((line) => line.requestId === id));

	await poll('it logs to the file', async () => (await linesIn(folder).catch(() => [])).some((line) => line.msg === 'listening'));
	await ask(server, get('/hello', { 'x-request-id': 'before' }));
	await hasRequest(folder, 'before');
	assert.match((await readdir(folder))[0], /^app-\d{4}-\d\d-\d\d\.\d+\.log$/);

	const away = join(folder, '..', 'away');
	await mkdir(away);
	for (const name of await readdir(folder))
		await rename(join(folder, name), join(away, name));
	await ask(server, get('/hello', { 'x-request-id': 'between' }));
	await hasRequest(away, 'between');

	server.signal('SIGHUP');
	await poll('a new file', async () => (await readdir(folder)).length > 0);
	await ask(server, get('/hello', { 'x-request-id': 'after' }));
	await hasRequest(folder, 'after');
	assert.deepEqual(await server.stop(), { code: 0, signal: null });
	assert.equal((await linesIn(away)).filter((line) => line.msg === 'request').length, 2);
	assert.deepEqual(server.lines, [], 'nothing on standard output');
});
