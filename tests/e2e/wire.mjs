// HTTP/1.1 by hand, for tests that must decide about every byte: a socket, and a parser of responses
// that takes one form only. Whatever a lenient client would forgive is an error here.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { atEnd, PROGRAM } from './server.mjs';

// How long anything may take on a busy machine, under sanitizers. Nothing waits so long for success.
export const LIMIT_MS = 60_000;

// Sanitizers multiply memory and time; what counts those has to know.
export const SANITIZED = ['__asan_init', '__tsan_init'].some((symbol) => readFileSync(PROGRAM).includes(symbol));

export const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));

// Asks until `probe` returns something true, and returns that.
export async function poll(what, probe, limitMs = LIMIT_MS) {
	for (const deadline = Date.now() + limitMs; ; await pause(20)) {
		const result = await probe();
		if (result)
			return result;
		if (Date.now() >= deadline)
			throw new Error(`waited ${limitMs} ms in vain: ${what}`);
	}
}

// --- responses ---------------------------------------------------------------

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

// The response at the front of `bytes` to a request with that method, or null when more bytes are
// needed: { status, headers (a Map; lower case), lines, body, size }. `ended`: no more will come.
export function parseResponse(bytes, method = 'GET', ended = false) {
	const headEnd = bytes.indexOf('\r\n\r\n');
	if (headEnd < 0)
		return null;

	const [statusLine, ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n');
	const [, status] = /^HTTP\/1\.1 ([1-5]\d\d) [A-Za-z '-]+$/.exec(statusLine) ?? assert.fail(`status line ${JSON.stringify(statusLine)}`);
	const headers = new Map();
	for (const line of lines) {
		const colon = line.indexOf(': ');
		const [name, value] = [line.slice(0, colon), line.slice(colon + 2)];
		assert.ok(colon > 0 && TOKEN.test(name) && VALUE.test(value), `header line ${JSON.stringify(line)}`);
		assert.ok(!headers.has(name.toLowerCase()), `${name} came twice`);
		headers.set(name.toLowerCase(), value);
	}

	const response = { status: Number(status), headers, lines };
	const body = parseBody(bytes.subarray(headEnd + 4), response, method, ended);
	return body && { ...response, body: body.content, size: headEnd + 4 + body.size };
}

function parseBody(bytes, { status, headers }, method, ended) {
	const chunked = headers.get('transfer-encoding');
	const length = headers.get('content-length');
	assert.ok(chunked === undefined || (chunked === 'chunked' && length === undefined), 'one framing');
	if (status < 200 || status === 204)
		assert.equal(chunked ?? length, undefined, `no framing with ${status}`);

	if (method === 'HEAD' || status < 200 || status === 204 || status === 304)
		return { content: Buffer.alloc(0), size: 0 };
	if (chunked)
		return parseChunks(bytes);
	if (length === undefined)
		return ended ? { content: bytes, size: bytes.length } : null;
	assert.match(length, /^(0|[1-9]\d*)$/);
	return bytes.length < Number(length) ? null : { content: bytes.subarray(0, Number(length)), size: Number(length) };
}

function parseChunks(bytes) {
	const pieces = [];
	for (let at = 0; ; ) {
		const lineEnd = bytes.indexOf('\r\n', at);
		if (lineEnd < 0)
			return null;
		const line = bytes.toString('latin1', at, lineEnd);
		assert.match(line, /^[0-9a-f]{1,16}$/i);
		const size = parseInt(line, 16);
		const end = lineEnd + 2 + size;
		if (bytes.length < end + 2)
			return null;
		assert.equal(bytes.toString('latin1', end, end + 2), '\r\n');
		if (size === 0)
			return { content: Buffer.concat(pieces), size: end + 2 };
		pieces.push(bytes.subarray(lineEnd + 2, end));
		at = end + 2;
	}
}

// All responses in `bytes`, which must hold nothing else. `methods` are those of the requests.
export function parseResponses(bytes, methods = []) {
	const responses = [];
	let answered = 0;
	for (let rest = bytes; rest.length > 0; ) {
		const response = parseResponse(rest, methods[answered], true);
		assert.ok(response, `a part of a response: ${JSON.stringify(rest.toString('latin1', 0, 400))}`);
		responses.push(response);
		answered += response.status >= 200 ? 1 : 0;
		rest = rest.subarray(response.size);
	}
	return responses;
}

// The body of an error response, after checking that it is one.
export function assertError(response, status, code) {
	assert.equal(response.status, status);
	assert.equal(response.headers.get('content-type'), 'application/json');
	const error = JSON.parse(response.body);
	assert.deepEqual(Object.keys(error), ['success', 'statusCode', 'error', 'requestId']);
	assert.equal(error.success, false);
	assert.equal(error.statusCode, status);
	assert.equal(error.requestId, response.headers.get('x-request-id'));
	assert.match(error.error.code, /^[A-Z_]+$/);
	assert.ok(error.error.message.length > 0);
	if (code)
		assert.equal(error.error.code, code);
	return error;
}

// --- sockets -----------------------------------------------------------------

// A connection. Bytes are strings of latin1 or buffers.
export class Wire {
	bytes = Buffer.alloc(0); // what came and was not taken by response()
	ended = null; // null, 'ended' (the other side has closed), or the code of an error
	#chunks = [];
	#wake = () => {};
	#socket;

	constructor(port, { host = '127.0.0.1', from } = {}) {
		const socket = createConnection({ port, host, localAddress: from, allowHalfOpen: true, noDelay: true });
		this.#socket = socket;
		this.connected = new Promise((settle) => socket.once('connect', () => settle(true)).once('close', () => settle(false)));
		socket.on('data', (chunk) => (this.#chunks.push(chunk), this.#wake()));
		socket.on('end', () => this.#over('ended'));
		socket.on('error', (error) => this.#over(error.code));
		socket.on('close', () => this.#over('closed'));
	}

	#over(how) {
		this.ended ??= how;
		this.#wake();
	}

	// Resolves when the kernel has it, or the connection is over.
	send(bytes) {
		const buffer = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
		return new Promise((settle) => this.#socket.write(buffer, () => settle()));
	}

	// Piece by piece, each in a packet of its own as far as the kernel plays along.
	async sendPieces(bytes, size, pauseMs) {
		for (let at = 0; at < bytes.length && !this.ended; at += size) {
			await this.send(bytes.slice(at, at + size));
			await (pauseMs ? pause(pauseMs) : new Promise(setImmediate));
		}
	}

	// Says that nothing more will be sent; answers can still come.
	half() {
		this.#socket.end();
	}

	destroy() {
		this.#socket.destroy();
	}

	// Stops reading, so that the other side comes to feel it.
	hold() {
		this.#socket.pause();
	}

	release() {
		this.#socket.resume();
	}

	async #until(what, done, limitMs) {
		for (const deadline = Date.now() + limitMs; ; ) {
			if (this.#chunks.length > 0)
				this.bytes = Buffer.concat([this.bytes, ...this.#chunks.splice(0)]);
			const result = done();
			if (result)
				return result;
			if (Date.now() >= deadline)
				throw new Error(`waited ${limitMs} ms for ${what}; there is ${JSON.stringify(this.bytes.toString('latin1', 0, 600))}, ${this.ended ?? 'open'}`);
			await new Promise((wake) => {
				const timer = setTimeout(wake, deadline - Date.now());
				this.#wake = () => (clearTimeout(timer), wake());
			});
			this.#wake = () => {};
		}
	}

	// The next response, taken off the input.
	async response(method = 'GET', limitMs = LIMIT_MS) {
		const response = await this.#until('a response', () => {
			const parsed = parseResponse(this.bytes, method, this.ended !== null);
			assert.ok(parsed || !this.ended, `the connection is over (${this.ended}) without a response: ${JSON.stringify(this.bytes.toString('latin1', 0, 600))}`);
			return parsed;
		}, limitMs);
		this.bytes = this.bytes.subarray(response.size);
		return response;
	}

	// Waits until the other side has closed; returns all bytes that came and were not taken.
	async over(limitMs = LIMIT_MS) {
		await this.#until('the end of the connection', () => this.ended, limitMs);
		return this.bytes;
	}

	async request(text, method) {
		await this.send(text);
		return this.response(method);
	}
}

// A connection that ends with the test, before the server does.
export function dial(t, server, options) {
	const wire = new Wire(server.port, options);
	atEnd(t, () => wire.destroy());
	return wire;
}

// A request as text. `fields` is an object; Host is added.
export function requestText(method, target, fields = {}, body = '') {
	const lines = Object.entries({ host: 'test', ...fields }).map(([name, value]) => `${name}: ${value}\r\n`);
	return `${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
}

export const get = (target = '/hello', fields = {}) => requestText('GET', target, fields);

// One request on a connection of its own.
export async function ask(server, text, method) {
	const wire = new Wire(server.port);
	try {
		return await wire.request(text, method);
	} finally {
		wire.destroy();
	}
}

// A port that nobody listens on just now, for a program that cannot tell which one it got.
export async function freePort() {
	const holder = createServer().listen(0, '127.0.0.1');
	await once(holder, 'listening');
	const { port } = holder.address();
	holder.close();
	await once(holder, 'close');
	return port;
}

// Bytes of memory that a process really has.
export function residentBytes(pid) {
	return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))[1]);
}

// What GET /health says, in development or from the operators' port.
export async function health(server) {
	const response = await ask(server, get('/health', { connection: 'close' }));
	assert.equal(response.status, 200);
	return JSON.parse(response.body);
}

// Waits until no pipelined GET /metrics is answered any more, since nobody reads the answers.
export function answersBackUp(server) {
	const answered = async () => {
		const { body } = await ask(server, get('/metrics', { connection: 'close' }));
		return Number(/_count\{[^}]*http_route="\/metrics",http_response_status_code="200"\} (\d+)/.exec(body)?.[1] ?? 0);
	};
	return poll('the answers back up', async () => {
		const before = await answered();
		await pause(300);
		return before > 0 && (await answered()) === before + 1; // the one that asked before
	});
}

// Waits until only the connection that asks is there.
export function connectionsGone(server) {
	return poll('all connections closed', async () => (await health(server)).connections === 1);
}
