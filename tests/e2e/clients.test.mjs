// Clients that others have written: what people use, not what we think they send.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import test from 'node:test';
import { startServer, temporaryFolder } from './server.mjs';
import { connectionsGone, dial, get } from './wire.mjs';

test('fetch', async (t) => {
	const server = await startServer(t);
	const hello = await fetch(`${server.url}/hello`);
	assert.equal(hello.status, 200);
	assert.match((await hello.json()).message, /Hello/);

	const metrics = await fetch(`${server.url}/metrics`);
	assert.ok(['br', 'gzip'].includes(metrics.headers.get('content-encoding')), 'fetch asks for compression');
	assert.match(await metrics.text(), /^# HELP /);

	const posted = await fetch(`${server.url}/hello`, { method: 'POST', body: JSON.stringify({ a: 1 }), headers: { 'content-type': 'application/json' } });
	assert.equal(posted.status, 405);
	assert.equal((await posted.json()).error.code, 'METHOD_NOT_ALLOWED');

	const streamed = await fetch(`${server.url}/nothing`, { method: 'PUT', body: new Blob(['abc']).stream(), duplex: 'half' });
	assert.equal(streamed.status, 404);
	assert.equal((await fetch(`${server.url}/hello`, { method: 'HEAD' })).status, 200);
	assert.equal((await fetch(`${server.url}/hello`, { method: 'OPTIONS' })).status, 204);

	const many = await Promise.all(Array.from({ length: 200 }, (_, i) => fetch(`${server.url}/hello?${i}`).then((response) => response.json())));
	assert.equal(many.length, 200);
});

// One request with node:http: { status, body, reused }.
function httpRequest(server, agent, { method = 'GET', path = '/hello', body } = {}) {
	return new Promise((settle, reject) => {
		const outgoing = request({ host: '127.0.0.1', port: server.port, agent, method, path }, (response) => {
			let text = '';
			response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
			response.on('end', () => settle({ status: response.statusCode, body: text, reused: outgoing.reusedSocket }));
			response.on('error', reject);
		});
		outgoing.on('error', reject);
		outgoing.end(body);
	});
}

test('http.Agent with 200 requests at once, on kept connections', async (t) => {
	const server = await startServer(t);
	const agent = new Agent({ keepAlive: true, maxSockets: 200 });
	t.after(() => agent.destroy());
	for (let round = 0; round < 5; round++) {
		const all = await Promise.all(Array.from({ length: 200 }, (_, i) => httpRequest(server, agent, [{}, { path: '/nothing' }, { method: 'POST', body: 'hello' }, { path: '/health' }][i % 4])));
		assert.deepEqual(new Set(all.map(({ status }) => status)), new Set([200, 404, 405]));
		all.forEach(({ body }) => JSON.parse(body));
		assert.ok(round === 0 || all.every(({ reused }) => reused), 'connections are kept, also after errors');
	}
	agent.destroy();
	await connectionsGone(server);
});

async function curl(t, args, input) {
	const child = spawn('curl', ['-sS', '--max-time', '15', '-w', '\n%{http_code} %{http_version} %{num_connects}', ...args], { stdio: 'pipe' });
	t.after(() => child.kill());
	let out = '', errors = '';
	child.stdout.setEncoding('latin1').on('data', (chunk) => (out += chunk));
	child.stderr.setEncoding('latin1').on('data', (chunk) => (errors += chunk));
	child.stdin.on('error', () => {}).end(input);
	const [code] = await once(child, 'close');
	const [status, version] = out.slice(out.lastIndexOf('\n') + 1).split(' ');
	return { code, status: Number(status), version, body: out.slice(0, out.lastIndexOf('\n')), errors };
}

test('curl', async (t) => {
	const server = await startServer(t);
	const { url } = server;
	const file = join(await temporaryFolder(t), 'body');
	await writeFile(file, Buffer.alloc(2_000_000, 'x'));

	for (const [args, status, version = '1.1'] of [
		[[`${url}/hello`], 200],
		[['--http1.0', `${url}/hello`], 200],
		[['-I', `${url}/hello`], 200],
		[['--compressed', `${url}/metrics`], 200],
		[['-X', 'OPTIONS', `${url}/hello`], 204],
		[['-d', 'a=b', `${url}/hello`], 405],
		[['-d', 'a=b', '--http1.0', `${url}/hello`], 405],
		[['-T', '-', `${url}/hello`], 405],
		[['--path-as-is', `${url}/../etc/passwd`], 400],
		[['-H', 'X-Long: ' + 'x'.repeat(9000), `${url}/hello`], 431],
		[['-H', 'Connection: close', `${url}/hello`], 200],
		[['--request-target', '*', '-X', 'OPTIONS', url], 204],
		// A large body, announced: the answer comes instead of "100 Continue", and curl keeps it.
		[['-H', 'Expect: 100-continue', '--expect100-timeout', '10', '--data-binary', `@${file}`, `${url}/hello`], 405],
		[['-H', 'Expect: 100-continue', '--expect100-timeout', '10', '-H', 'Transfer-Encoding: chunked', '--data-binary', `@${file}`, `${url}/nothing`], 404],
	]) {
		const result = await curl(t, args, 'hello');
		assert.deepEqual([result.code, result.status, result.version], [0, status, version], `curl ${args.join(' ').slice(0, 200)}: ${result.errors}${result.body.slice(0, 300)}`);
	}

	const several = await curl(t, [`${url}/hello`, `${url}/nothing`, `${url}/hello`]);
	assert.match(several.body, /Hello[^]*\n200 1.1 1[^]*NOT_FOUND[^]*\n404 1.1 0[^]*Hello/, 'all on one connection');
});

// As a load generator does it: every connection asks again as soon as it was answered.
test('a burst without a socket error', async (t) => {
	const server = await startServer(t, { env: { LOG_LEVEL: 'info' } });
	const until = Date.now() + 1500;
	const wires = Array.from({ length: 100 }, () => dial(t, server));
	const served = await Promise.all(wires.map(async (wire) => {
		let count = 0;
		for (; Date.now() < until; count++)
			assert.equal((await wire.request(get())).status, 200);
		return count;
	}));
	assert.ok(served.every((count) => count > 0), 'nobody is left out');
	assert.ok(wires.every((wire) => wire.ended === null));
	t.diagnostic(`${served.reduce((sum, count) => sum + count)} requests in 1.5 s`);
});
