// Jobs that are sent to an address: signed as Standard Webhooks, ended by what is answered, and never
// sent into private networks unless that is allowed.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { join } from 'node:path';
import test from 'node:test';
import { call, done, makeOperator } from './people.mjs';
import { atEnd, runProgram, startServer, temporaryFolder } from './server.mjs';
import { poll } from './wire.mjs';
import { add, employer } from './workers.mjs';

// A server that answers as `answers(message, nth)` says: { status, headers, body }.
async function endpoint(t, answers, tls) {
	const calls = [];
	const heard = (request, response) => {
		let body = '';
		request.setEncoding('utf8').on('data', (chunk) => (body += chunk)).on('end', async () => {
			const message = { at: Date.now(), headers: request.headers, method: request.method, url: request.url, body, json: JSON.parse(body) };
			calls.push(message);
			const nth = calls.filter(({ json }) => json.data.id === message.json.data.id).length;
			const { status = 204, headers = {}, body: answer = '' } = (await answers(message.json.data, nth)) ?? {};
			response.writeHead(status, headers).end(answer);
		});
	};
	const server = (tls ? createTlsServer(tls, heard) : createServer(heard)).listen(0, '127.0.0.1');
	await once(server, 'listening');
	atEnd(t, () => (server.closeAllConnections(), server.close()));
	return { url: `${tls ? 'https://localhost' : 'http://127.0.0.1'}:${server.address().port}/hook?a=b`, calls };
}

const signature = (secret, { headers, body }) => `v1,${createHmac('sha256', Buffer.from(secret.replace('whsec_', ''), 'base64')).update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`).digest('base64')}`;

// An authority of our own, and certificates that it gave: { ca, give(name) }.
async function authority(t) {
	const folder = await temporaryFolder(t);
	const openssl = (...args) => {
		const { status, stderr } = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' });
		assert.equal(status, 0, stderr);
	};
	const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
	openssl('req', '-x509', ...curve, '-subj', '/CN=Authority', '-keyout', 'ca.key', '-out', 'ca.pem');
	const give = async (name, days = ['-days', '2']) => {
		openssl('req', ...curve, '-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
		openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-copy_extensions', 'copy', ...days, '-out', `${name}.pem`);
		return { key: await readFile(join(folder, `${name}.key`)), cert: await readFile(join(folder, `${name}.pem`)) };
	};
	return { ca: join(folder, 'ca.pem'), give };
}

async function pushing(t, answers, env = {}) {
	const server = await startServer(t, { env });
	const { accessToken: operator } = await makeOperator(server);
	const { key } = await employer(server, 'acme');
	const hook = await endpoint(t, answers);
	await done(server, 'PUT /api/v1/platform/queues/hooks', { token: operator, body: { settings: { pushUrl: hook.url } } });
	const ended = (id) => poll('the end of the job', async () => {
		const job = await done(server, `GET /api/v1/jobs/${id}`, { token: key });
		return ['completed', 'discarded'].includes(job.state) && job;
	});
	return { server, operator, key, hook, ended };
}

test('what an address answers is what becomes of the job', async (t) => {
	const answers = {
		json: () => ({ status: 200, headers: { 'content-type': 'application/json; charset=utf-8' }, body: '{"sum":[1,"ä"]}' }),
		text: () => ({ status: 202, headers: { 'content-type': 'text/plain' }, body: 'thanks' }),
		broken: () => ({ status: 200, headers: { 'content-type': 'application/json' }, body: '{"sum":' }),
		later: (nth) => (nth < 3 ? { status: nth === 1 ? 429 : 503, headers: { 'retry-after': nth === 1 ? '1' : new Date(Date.now() + 1500).toUTCString() } } : { status: 204 }),
		again: (nth) => (nth < 2 ? { status: 500, body: 'out of order' } : { status: 204 }),
		gone: () => ({ status: 410, body: 'nobody here' }),
		moved: () => ({ status: 302, headers: { location: 'http://127.0.0.1:1/' } }),
		large: () => ({ status: 200, body: 'x'.repeat(400_000) }),
	};
	const { server, operator, key, hook, ended } = await pushing(t, ({ payload: { how } }, nth) => answers[how](nth));
	const { secret } = await done(server, 'GET /api/v1/platform/queues/hooks/push-secret', { token: operator });
	assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
	const ids = {};
	for (const how of Object.keys(answers))
		ids[how] = await add(server, key, { queue: 'hooks', name: 'hook:call', payload: { how }, attempts: how === 'again' ? 3 : 1, backoff: { kind: 'fixed', delayMs: 100 }, tags: ['x'] });

	const wanted = { json: 'completed', text: 'completed', broken: 'completed', later: 'completed', again: 'completed', gone: 'discarded', moved: 'discarded', large: 'discarded' };
	for (const [how, state] of Object.entries(wanted)) {
		const job = await ended(ids[how]);
		assert.equal(job.state, state, how);
		assert.equal(job.attempt, how === 'again' ? 2 : 1, `${how}: what is put off does not count`);
		assert.deepEqual(job.result, how === 'json' ? { sum: [1, 'ä'] } : undefined);
	}
	assert.equal((await call(server, 'POST /api/v1/queues/hooks/lease', { token: key, body: { workerId: 'w' } })).status, 409, 'nobody leases them');

	for (const message of hook.calls) {
		const { headers, json } = message;
		assert.equal(message.method + message.url, 'POST/hook?a=b');
		assert.equal(headers['webhook-id'], json.data.id, 'the same each time');
		assert.ok(Math.abs(headers['webhook-timestamp'] * 1000 - message.at) < 5000);
		assert.equal(headers['webhook-signature'], signature(secret, message));
		assert.equal(json.type, 'hook.call');
		const { name, queue, attempts, tags } = json.data;
		assert.deepEqual({ name, queue, tags }, { name: 'hook:call', queue: 'hooks', tags: ['x'] });
		assert.ok(attempts > 0 && !Number.isNaN(Date.parse(json.timestamp)));
	}
	const times = hook.calls.filter(({ json }) => json.data.id === ids.later).map(({ at }) => at);
	assert.ok(times[1] - times[0] >= 900, `${times}`);

	// After a change both sign.
	const next = await done(server, 'POST /api/v1/platform/queues/hooks/push-secret/rotate', { token: operator });
	assert.notEqual(next.secret, secret);
	await ended(await add(server, key, { queue: 'hooks', name: 'hook:call', payload: { how: 'text' } }));
	const last = hook.calls.at(-1);
	assert.equal(last.headers['webhook-signature'], `${signature(next.secret, last)} ${signature(secret, last)}`);
	assert.equal((await call(server, 'GET /api/v1/platform/queues/hooks/push-secret', { token: key })).status, 403);
});

test('a payload that its schema refuses by now is not sent', async (t) => {
	const { server, operator, key, hook, ended } = await pushing(t, () => ({ status: 204 }));
	await done(server, 'POST /api/v1/platform/queues/hooks/pause', { token: operator });
	const job = { queue: 'hooks', name: 'hook:call' };
	const bad = await add(server, key, { ...job, payload: { n: 'x' } });
	const good = await add(server, key, { ...job, payload: { n: 1 } });
	await done(server, 'PUT /api/v1/job-schemas/hook:call', { token: key, body: { schema: { properties: { n: { type: 'integer' } } } } });
	await done(server, 'POST /api/v1/platform/queues/hooks/resume', { token: operator });
	assert.equal((await ended(good)).state, 'completed');
	assert.equal((await ended(bad)).state, 'discarded');
	assert.deepEqual(hook.calls.map(({ json }) => json.data.id), [good]);
});

test('nothing is sent into private networks unless that is allowed', async (t) => {
	const { server, operator, key, hook, ended } = await pushing(t, () => ({ status: 204 }), { JOBS_PUSH_PRIVATE: 'false' });
	const job = { queue: 'hooks', name: 'hook:call', attempts: 1 };
	const refused = async () => {
		assert.equal((await ended(await add(server, key, job))).state, 'discarded');
		assert.equal(hook.calls.length, 0);
	};
	await refused();
	// Whatever the name is that stands for it.
	const { port } = new URL(hook.url);
	for (const host of ['localhost', '[::1]', '[::ffff:127.0.0.1]', '2130706433', '0x7f.1']) {
		await done(server, 'PUT /api/v1/platform/queues/hooks', { token: operator, body: { settings: { pushUrl: `http://${host}:${port}/` } } });
		await refused();
	}
});

test('over TLS only to who has a certificate for that name, of an authority that is trusted', async (t) => {
	const own = await authority(t), foreign = await authority(t);
	const { server, operator, key, ended } = await pushing(t, () => ({}), { JOBS_PUSH_CA_FILE: own.ca });
	const to = async (hook) => {
		await done(server, 'PUT /api/v1/platform/queues/hooks', { token: operator, body: { settings: { pushUrl: hook.url } } });
		const job = await ended(await add(server, key, { queue: 'hooks', name: 'hook:call', attempts: 1 }));
		return { state: job.state, calls: hook.calls.length, why: job.errors[0]?.message ?? '' };
	};
	const answers = () => ({ status: 204 });

	const good = await endpoint(t, answers, await own.give('localhost'));
	assert.deepEqual(await to(good), { state: 'completed', calls: 1, why: '' });
	for (const [what, tls] of [['another name', await own.give('example.org')], ['another authority', await foreign.give('localhost')], ['a time that is over', await own.give('localhost', ['-days', '-1'])]]) {
		const { state, calls, why } = await to(await endpoint(t, answers, tls));
		assert.deepEqual({ state, calls }, { state: 'discarded', calls: 0 }, what);
		assert.match(why, /certificate|SSL/i, what);
	}
	// Nor without TLS where TLS was asked for.
	const plain = await endpoint(t, answers);
	const { state, calls } = await to({ ...plain, url: plain.url.replace('http:', 'https:') });
	assert.deepEqual({ state, calls }, { state: 'discarded', calls: 0 });
});

test('TLS opens no way into private networks', async (t) => {
	const own = await authority(t);
	const { server, operator, key, ended } = await pushing(t, () => ({}), { JOBS_PUSH_CA_FILE: own.ca, JOBS_PUSH_PRIVATE: 'false' });
	const hook = await endpoint(t, () => ({ status: 204 }), await own.give('localhost'));
	await done(server, 'PUT /api/v1/platform/queues/hooks', { token: operator, body: { settings: { pushUrl: hook.url } } });
	assert.equal((await ended(await add(server, key, { queue: 'hooks', name: 'hook:call', attempts: 1 }))).state, 'discarded');
	assert.equal(hook.calls.length, 0);
});

test('authorities that cannot be read are a reason not to start', async (t) => {
	const { code, stdout, stderr } = await runProgram(t, ['serve'], { env: { JOBS_PUSH_CA_FILE: '/nonexistent/ca.pem' } });
	assert.notEqual(code, 0);
	assert.match(stdout + stderr, /JOBS_PUSH_CA_FILE cannot be read: No such file/);
});

test('many at once, as many as the queue allows; the end of the server hands back', async (t) => {
	let running = 0, most = 0, hold = false, held = 0;
	const { server, operator, key, hook } = await pushing(t, async () => {
		most = Math.max(most, ++running);
		held += hold ? 1 : 0;
		await new Promise((wake) => setTimeout(wake, hold ? 60_000 : 5));
		running--;
	}, { JOBS_SHUTDOWN_TIMEOUT: '200ms' });
	await done(server, 'PUT /api/v1/platform/queues/hooks', { token: operator, body: { settings: { pushUrl: hook.url, concurrency: 8 } } });
	const jobs = Array.from({ length: 200 }, (_, i) => ({ queue: 'hooks', name: 'hook:call', payload: { i } }));
	await done(server, 'POST /api/v1/jobs/bulk', { token: key, body: { jobs } });
	await poll('all of them', () => hook.calls.length >= 200 && running === 0);
	assert.ok(most > 1 && most <= 8, `${most} at once`);
	assert.equal(new Set(hook.calls.map(({ json }) => json.data.id)).size, 200);

	hold = true;
	const id = await add(server, key, { queue: 'hooks', name: 'hook:call' });
	await poll('one on its way', () => held === 1);
	const began = Date.now();
	assert.equal((await server.stop()).code, 0);
	assert.ok(Date.now() - began < 8000);
	hold = false;
	const next = await startServer(t, { dataDir: server.dataDir });
	const job = await poll('the job', async () => {
		const shown = await done(next, `GET /api/v1/jobs/${id}`, { token: key });
		return shown.state === 'completed' && shown;
	});
	assert.equal(job.attempt, 1, 'what was handed back does not count');
});
