// How the server ends: asked to, asked twice, and not asked at all.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startServer } from './server.mjs';
import { answersBackUp, ask, dial, get, parseResponses, pause, poll, requestText } from './wire.mjs';

const status = async (server, target) => (await ask(server, get(target, { connection: 'close' }))).status;

test('readiness fails first, while requests are still served', async (t) => {
	const server = await startServer(t, { env: { SHUTDOWN_DELAY: '2s' } });
	const idle = dial(t, server);
	assert.equal((await idle.request(get())).status, 200);
	assert.equal(await status(server, '/health/ready'), 200);

	server.signal('SIGTERM');
	await server.logged((line) => line.msg === 'shutting down');
	for (const [target, expected] of [['/health/ready', 503], ['/ready', 503], ['/health', 503], ['/health/live', 200], ['/hello', 200]])
		assert.equal(await status(server, target), expected, target);
	assert.equal((await idle.request(get())).headers.get('connection'), undefined, 'a kept connection goes on');

	assert.deepEqual(await server.gone(), { code: 0, signal: null });
	assert.equal((await idle.over()).length, 0);
	assert.equal(idle.ended, 'ended');
});

test('what has begun is finished, what rests is closed', async (t) => {
	const server = await startServer(t);
	const [idle, fresh, halfHead, halfBody, pipelined] = Array.from({ length: 5 }, () => dial(t, server));
	assert.equal((await idle.request(get())).status, 200);
	await fresh.connected;
	const head = get();
	await halfHead.send(head.slice(0, 20));
	await halfBody.send(requestText('POST', '/hello', { 'content-length': '5' }, 'he'));
	pipelined.hold();
	void pipelined.send(get('/metrics').repeat(2000));
	await poll('the server holds all five', async () => JSON.parse((await ask(server, get('/health'))).body).connections >= 6);
	await pause(200);

	server.signal('SIGTERM');
	await server.logged((line) => line.msg === 'shutting down');
	assert.equal((await idle.over()).length, 0);
	await halfBody.send('llo');
	await halfHead.send(head.slice(20));
	pipelined.release();

	const late = await halfHead.response();
	assert.equal(late.status, 200);
	assert.equal(late.headers.get('connection'), 'close');
	assert.equal((await halfBody.response()).status, 405);
	const answers = parseResponses(await pipelined.over());
	assert.ok(answers.length > 0, 'whole answers only');
	assert.equal(answers.at(-1).headers.get('connection'), 'close', 'and the last one says so');
	assert.equal((await fresh.over()).length, 0);
	assert.deepEqual(await server.gone(), { code: 0, signal: null });
	assert.ok(server.lines.some((line) => line.msg === 'stopped'));
});

test('connections in the backlog are served', async (t) => {
	const server = await startServer(t);
	server.signal('SIGSTOP');
	const waiting = Array.from({ length: 100 }, () => dial(t, server));
	await Promise.all(waiting.map((wire) => wire.connected));
	const [prompt, hesitant] = [waiting.slice(0, 90), waiting.slice(90)];
	await Promise.all(prompt.map((wire) => wire.send(get())));

	server.signal('SIGTERM');
	server.signal('SIGCONT');
	await server.logged((line) => line.msg === 'shutting down');
	await Promise.all(hesitant.map((wire) => wire.send(get())));
	for (const wire of prompt)
		assert.equal((await wire.response()).status, 200);
	for (const wire of hesitant)
		assert.equal((await wire.response()).status, 200);
	for (const wire of waiting)
		wire.destroy();
	assert.deepEqual(await server.gone(), { code: 0, signal: null });
});

// A request that was on its way when the server decided to close the connection it rests on.
test('a request that crosses the end is answered or refused whole', async (t) => {
	const server = await startServer(t);
	const wires = Array.from({ length: 50 }, () => dial(t, server));
	await Promise.all(wires.map((wire) => wire.request(get())));
	server.signal('SIGTERM');
	await Promise.all(wires.map((wire) => wire.send(get())));
	for (const wire of wires) {
		const answers = parseResponses(await wire.over());
		assert.ok(answers.length <= 1);
		wire.destroy();
	}
	assert.deepEqual(await server.gone(), { code: 0, signal: null });
});

for (const first of ['SIGTERM', 'SIGINT'])
	test(`a second signal after ${first} stops at once`, async (t) => {
		const server = await startServer(t, { env: { SHUTDOWN_DELAY: '5m' } });
		server.signal(first);
		await server.logged((line) => line.msg === 'shutting down');
		assert.deepEqual(await server.stop('SIGTERM'), { code: 1, signal: null });
		assert.ok(server.lines.some((line) => /second signal/.test(line.msg)), 'and says why');
	});

test('SIGINT ends it, too', async (t) => {
	const server = await startServer(t);
	assert.deepEqual(await server.stop('SIGINT'), { code: 0, signal: null });
});

test('who does not end in time is cut off', async (t) => {
	const server = await startServer(t, { env: { SHUTDOWN_TIMEOUT: '2s', HTTP_WRITE_STALL_TIMEOUT: '5m', HTTP_HEAD_TIMEOUT: '5m' } });
	const stuck = dial(t, server);
	stuck.hold();
	void stuck.send(get('/metrics').repeat(20_000));
	const silent = dial(t, server);
	await silent.send('GET /hello');
	await poll('both are there', async () => JSON.parse((await ask(server, get('/health'))).body).connections >= 3);
	await answersBackUp(server);
	server.signal('SIGTERM');
	await poll('nobody is let in any more', async () => {
		const late = dial(t, server);
		await late.over();
		return late.ended === 'ECONNREFUSED';
	});
	assert.deepEqual(await server.gone(), { code: 0, signal: null });
	assert.equal(server.lines.find((line) => /cut off/.test(line.msg)).count, 2);
});

test('kill -9, and again on the same port', async (t) => {
	let server = await startServer(t);
	const { port, dataDir } = server;
	for (let round = 0; round < 5; round++) {
		const wires = Array.from({ length: 20 }, () => dial(t, server));
		await Promise.all(wires.map((wire) => wire.request(get())));
		assert.deepEqual(await server.kill(), { code: null, signal: 'SIGKILL' });
		server = await startServer(t, { env: { PORT: String(port) }, dataDir });
		assert.equal(server.port, port);
		assert.equal(await status(server, '/hello'), 200);
	}
});
