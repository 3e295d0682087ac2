// Two processes on one PostgreSQL: what is asked of both under one Idempotency-Key is done once, also
// when one of them is killed, and the entries that both write are one chain.
import assert from 'node:assert/strict';
import test from 'node:test';
import { call, done, listAll, register } from './people.mjs';
import { postgres, PRODUCTION, runProgram, startServer } from './server.mjs';
import { pause, poll } from './wire.mjs';

const KEYS = '/api/v1/api-keys';
const INVITATIONS = '/api/v1/invitations';
const SCOPES = ['keys:read'];

// The environment of instances that share a database, or undefined when there is none.
async function shared(t) {
	const env = await postgres(t);
	return env && { ...env, MASTER_KEY: PRODUCTION.MASTER_KEY, PUBLIC_URL: 'http://localhost:8080', JWT_ALGORITHM: 'ES256' };
}

const keyed = (token, key, body) => ({ token, body, headers: { 'idempotency-key': key } });
const made = async (server, token, path) => (await listAll(server, path, token)).length;

test('what two processes are asked for at once under one key is done once', async (t) => {
	const env = await shared(t);
	if (!env)
		return;
	const [one, two] = [await startServer(t, { env }), await startServer(t, { env })];
	const { accessToken: token } = await register(one, 'acme');
	const ROUNDS = 60;
	let raced = 0;

	for (let i = 0; i < ROUNDS; i++) {
		const [path, body, other] = i % 3
			? [KEYS, { name: `key ${i}`, scopes: SCOPES }, { name: `another ${i}`, scopes: SCOPES }]
			: [INVITATIONS, { email: `guest${i}@example.com`, role: 'member' }, { email: `other${i}@example.com`, role: 'member' }];
		const options = keyed(token, `once-${i}`, body);
		const both = await Promise.all([one, two].map((server) => call(server, `POST ${path}`, options)));
		for (const answer of both)
			assert.equal(answer.status, 201, answer.text);
		assert.deepEqual(both[0].data, both[1].data);
		assert.equal(both.filter(({ headers }) => headers.get('idempotent-replayed') === 'true').length, 1);
		raced += both[0].headers.get('idempotent-replayed') === 'true' ? 1 : 0;
		assert.ok(path === INVITATIONS || both[0].data.key.startsWith('bh_sk_'));
		for (const server of [one, two])
			assert.equal((await call(server, `POST ${path}`, keyed(token, `once-${i}`, other))).status, 422);
	}
	t.diagnostic(`${raced} of ${ROUNDS} were done by the second process`);
	assert.equal((await made(one, token, KEYS)), ROUNDS - ROUNDS / 3);
	assert.equal((await made(two, token, INVITATIONS)), ROUNDS / 3);
	const entries = await listAll(one, '/api/v1/audit', token);
	assert.equal(entries.filter(({ action }) => action === 'api_key.created').length, ROUNDS - ROUNDS / 3);
});

test('what a killed process was asked for is answered by the other one, and done once', async (t) => {
	const env = await shared(t);
	if (!env)
		return;
	const two = await startServer(t, { env });
	const { accessToken: token } = await register(two, 'acme');
	const ROUNDS = 8;
	let answered = 0;

	for (let i = 0; i < ROUNDS; i++) {
		const one = await startServer(t, { env });
		const options = keyed(token, `killed-${i}`, { name: `key ${i}`, scopes: SCOPES });
		await call(one, `GET ${KEYS}`, { token });
		const asked = call(one, `POST ${KEYS}`, options).catch(() => null);
		if (i % 2)
			await asked;
		else
			await pause(2 + 2 * i);
		await one.kill();
		const first = await asked;
		answered += first ? 1 : 0;
		// The dead one's transaction may still be about to end.
		const again = await call(two, `POST ${KEYS}`, options);
		assert.equal(again.status, 201, again.text);
		if (first) {
			assert.equal(first.status, 201, first.text);
			assert.equal(again.headers.get('idempotent-replayed'), 'true');
			assert.deepEqual(again.data, first.data, 'the secret, too');
		}
		assert.equal((await call(two, `GET ${KEYS}`, { token: again.data.key })).status, 200);
		assert.equal(await made(two, token, KEYS), i + 1);
	}
	assert.ok(answered >= ROUNDS / 2);
	t.diagnostic(`${answered} of ${ROUNDS} were answered before the end`);
});

test('two processes that write at once chain one log', async (t) => {
	const env = await shared(t);
	if (!env)
		return;
	const servers = [await startServer(t, { env }), await startServer(t, { env })];
	const owners = [];
	for (let i = 0; i < 4; i++)
		owners.push(await register(servers[i % 2], `acme-${i}`));
	const WRITES = 60;
	const verify = async () => {
		const { code, stdout, stderr } = await runProgram(t, ['audit', 'verify', '--json'], { env, cwd: servers[0].dataDir });
		assert.ok([0, 3].includes(code), stderr);
		const report = JSON.parse(stdout);
		assert.deepEqual(report.findings, []);
		return report;
	};

	// Whoever wrote an entry, both chain it.
	const writers = owners.map(async ({ accessToken: token }, number) => {
		for (let i = 0; i < WRITES; i++) {
			await done(servers[(number + i) % 2], `POST ${KEYS}`, { token, body: { name: `${number} ${i}`, scopes: SCOPES } });
			await pause(15); // several batches, so that both have their turns
		}
	});
	const watching = (async () => {
		for (let i = 0; i < 3; i++)
			await pause(300), await verify();
	})();
	await Promise.all([...writers, watching]);
	await poll('all is chained', async () => (await verify()).unchained === 0);

	for (const { accessToken: token } of owners) {
		const entries = await listAll(servers[0], '/api/v1/audit', token);
		assert.equal(entries.filter(({ action }) => action === 'api_key.created').length, WRITES);
		const places = entries.map(({ sequence }) => sequence).sort((a, b) => a - b);
		assert.deepEqual(places, places.map((_, i) => i + 1), 'no gap, none twice');
	}
});
