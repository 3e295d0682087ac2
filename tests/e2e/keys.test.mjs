// API keys, from outside: made, used in each of the ways there are, rotated, revoked; and that a
// second process on the same PostgreSQL hears of it within a second.
import assert from 'node:assert/strict';
import test from 'node:test';
import { call, done, register } from './people.mjs';
import { postgres, startServer } from './server.mjs';
import { pause } from './wire.mjs';

const PATH = '/api/v1/api-keys';

const makeKey = (server, token, more = {}) => done(server, `POST ${PATH}`, { token, body: { name: 'ci', scopes: ['keys:read', 'tenant:read'], ...more } });

// The status of a look at the list with these headers.
const look = async (server, headers) => (await call(server, `GET ${PATH}`, { headers })).status;

test('a key is shown once and opens what it says', async (t) => {
	const server = await startServer(t);
	const { accessToken: token } = await register(server, 'acme');
	const made = await makeKey(server, token);

	assert.match(made.key, /^bh_sk_[a-z2-7]{107}$/);
	assert.ok(made.key.startsWith(made.prefix) && made.key.endsWith(made.ending));
	assert.equal((await call(server, `GET ${PATH}/${made.id}`, { token })).text.includes(made.key), false);

	assert.equal(await look(server, { authorization: `Bearer ${made.key}` }), 200);
	assert.equal(await look(server, { authorization: made.key }), 200);
	assert.equal(await look(server, { 'x-api-key': made.key }), 200);
	assert.equal(await look(server, { 'x-api-key': made.key, authorization: `Bearer ${made.key}` }), 200);
	assert.equal(await look(server, { 'x-api-key': made.key, authorization: `Bearer ${token}` }), 401);
	assert.equal(await look(server, { 'x-api-key': `${made.key}a` }), 401);

	assert.equal((await call(server, 'GET /api/v1/tenant', { token: made.key })).data.slug, 'acme');
	assert.equal((await call(server, 'GET /api/v1/me', { token: made.key })).status, 403, 'a key is nobody in person');
	assert.equal((await call(server, `POST ${PATH}`, { token: made.key, body: { name: 'x', scopes: ['keys:read'] } })).status, 403);
});

test('a key that is asked for twice under one Idempotency-Key is one', async (t) => {
	const server = await startServer(t);
	const { accessToken: token } = await register(server, 'acme');
	const options = { token, headers: { 'idempotency-key': 'once' }, body: { name: 'ci', scopes: ['keys:read'] } };
	const first = await done(server, `POST ${PATH}`, options);

	assert.deepEqual(await done(server, `POST ${PATH}`, options), first);
	assert.equal((await done(server, `GET ${PATH}`, { token })).items.length, 1);
});

test('limits of a key are told', async (t) => {
	const server = await startServer(t, { env: { RATE_LIMIT_ENABLED: 'true' } });
	const { accessToken: token } = await register(server, 'acme');
	const slow = await makeKey(server, token, { requestsPerMinute: 2 });
	const policy = async (key) => (await call(server, `GET ${PATH}`, { token: key })).headers.get('ratelimit-policy');

	assert.match(await policy(slow.key), /"server";q=2;w=60, "tenant";q=120000;w=60$/);
	assert.match(await policy(token), /"api";q=600;w=60, "tenant";q=120000;w=60$/);
	assert.equal(await look(server, { 'x-api-key': slow.key }), 200);
	assert.equal(await look(server, { 'x-api-key': slow.key }), 429);
	assert.match(await (await fetch(`${server.url}/metrics`)).text(), /^http_limiter_evictions_total 0$/m);
});

test('a second process hears within a second of what was revoked, rotated and taken away', async (t) => {
	const env = await postgres(t);
	if (!env)
		return;
	const shared = { ...env, MASTER_KEY: '8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918' };
	const one = await startServer(t, { env: shared });
	const two = await startServer(t, { env: shared });
	const { accessToken: token } = await register(one, 'acme');
	const key = await makeKey(one, token);
	const both = async (text) => [await look(one, { 'x-api-key': text }), await look(two, { 'x-api-key': text })];

	assert.deepEqual(await both(key.key), [200, 200]);
	await done(one, `PATCH ${PATH}/${key.id}`, { token, body: { scopes: ['tenant:read'] } });
	await pause(1000);
	assert.deepEqual(await both(key.key), [403, 403]);
	await done(one, `PATCH ${PATH}/${key.id}`, { token, body: { scopes: ['keys:read'] } });
	await pause(1000);
	assert.deepEqual(await both(key.key), [200, 200]);

	const next = await done(one, `POST ${PATH}/${key.id}/rotate`, { token, body: {} });
	await pause(1000);
	assert.deepEqual(await both(key.key), [401, 401]);
	assert.deepEqual(await both(next.key), [200, 200]);

	await done(one, `DELETE ${PATH}/${key.id}`, { token });
	assert.equal(await look(one, { 'x-api-key': next.key }), 401, 'at once where it was done');
	await pause(1000);
	assert.equal(await look(two, { 'x-api-key': next.key }), 401);
});
