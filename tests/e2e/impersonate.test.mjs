// An operator acts as a user: marked, for a while, and never with the keys to the account.
import assert from 'node:assert/strict';
import test from 'node:test';
import { call, done, makeOperator, PASSWORD, register, signIn } from './people.mjs';
import { startServer } from './server.mjs';
import { poll } from './wire.mjs';

const REASON = 'Ticket 4711: invoices are missing';
const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));

async function world(t) {
	const server = await startServer(t);
	const operator = await makeOperator(server);
	const acme = await register(server, 'acme');
	const act = (body, token = operator.accessToken) => call(server, 'POST /api/v1/platform/impersonate', { token, body });
	return { server, operator, acme, act };
}

test('acting as a user, and the end of it', async (t) => {
	const { server, operator, acme, act } = await world(t);
	const { status, data } = await act({ tenant: 'acme', userId: acme.user.id, reason: REASON });
	assert.equal(status, 201);
	assert.deepEqual(Object.keys(data).sort(), ['accessToken', 'expiresIn', 'impersonation', 'tenant', 'user']);
	assert.equal(data.user.email, acme.user.email);
	assert.ok(data.expiresIn > 880 && data.expiresIn <= 900);
	const { act: actor, sub, tenant } = claims(data.accessToken);
	assert.deepEqual([actor, sub, tenant], [{ sub: operator.user.id }, acme.user.id, acme.tenant.id]);

	const token = data.accessToken;
	const changed = await done(server, 'PATCH /api/v1/tenant', { token, body: { name: 'Acme and Sons' } });
	assert.equal(changed.name, 'Acme and Sons');

	const another = await done(server, `POST /api/v1/platform/impersonate/${data.impersonation.id}/token`, { token: operator.accessToken });
	assert.equal((await call(server, 'GET /api/v1/tenant', { token: another.accessToken })).status, 200);

	const own = await done(server, 'GET /api/v1/audit?limit=50', { token: acme.accessToken });
	const of = (action) => own.items.find((entry) => entry.action === action);
	assert.equal(of('impersonation.started').userId, operator.user.id);
	assert.match(JSON.stringify(of('impersonation.started')), /Ticket 4711/);
	assert.equal(of('tenant.updated').impersonatorId, operator.user.id);
	const platform = await done(server, 'GET /api/v1/audit?limit=50', { token: operator.accessToken });
	assert.ok(platform.items.some((entry) => entry.action === 'impersonation.started'));

	const list = await done(server, 'GET /api/v1/platform/impersonations', { token: operator.accessToken });
	assert.deepEqual(list.items.map(({ id, reason, endedAt }) => [id, reason, endedAt]), [[data.impersonation.id, REASON, null]]);

	const end = `DELETE /api/v1/platform/impersonate/${data.impersonation.id}`;
	assert.equal((await call(server, end, { token: operator.accessToken })).status, 204);
	await poll('the token is void', async () => (await call(server, 'GET /api/v1/tenant', { token })).status === 401);
	assert.equal((await call(server, 'GET /api/v1/tenant', { token: another.accessToken })).status, 401);
	assert.equal((await call(server, `POST /api/v1/platform/impersonate/${data.impersonation.id}/token`, { token: operator.accessToken })).status, 409);
	assert.equal((await call(server, end, { token: operator.accessToken })).status, 204, 'again: nothing');
	assert.equal((await call(server, 'GET /api/v1/tenant', { token: acme.accessToken })).status, 200, 'the user notices nothing');
	const ended = await done(server, 'GET /api/v1/audit?limit=50', { token: acme.accessToken });
	assert.ok(ended.items.some((entry) => entry.action === 'impersonation.ended'));
});

test('what nobody does as somebody else', async (t) => {
	const { server, acme, act } = await world(t);
	const { data } = await act({ tenant: acme.tenant.id, userId: acme.user.id, reason: REASON, minutes: 1 });
	assert.ok(data.expiresIn <= 60);
	const forbidden = [
		['POST /api/v1/auth/change-password', { currentPassword: PASSWORD, newPassword: 'another long passphrase' }],
		['POST /api/v1/auth/change-email', { email: 'new@example.com', password: PASSWORD }],
		['DELETE /api/v1/me', { password: PASSWORD }],
		['POST /api/v1/api-keys', { name: 'mine', scopes: ['tenant:read'] }],
		['POST /api/v1/invitations', { email: 'new@example.com', role: 'owner' }],
		['POST /api/v1/users/import', { users: [{ email: 'new@example.com', name: 'New', roles: ['owner'] }] }],
		[`PUT /api/v1/users/${acme.user.id}/roles`, { roles: ['owner'] }],
		['POST /api/v1/platform/impersonate', { tenant: 'acme', userId: acme.user.id, reason: REASON }],
	];
	for (const [request, body] of forbidden)
		assert.equal((await call(server, request, { token: data.accessToken, body })).status, 403, request);
	await signIn(server, acme.user.email, 'acme');
});

test('who may not, and whom not', async (t) => {
	const { server, operator, acme, act } = await world(t);
	const good = { tenant: 'acme', userId: acme.user.id, reason: REASON };
	assert.equal((await act(good, acme.accessToken)).status, 403);
	assert.equal((await act(good, '')).status, 401);
	for (const [change, status] of [
		[{ tenant: 'nobody' }, 404],
		[{ userId: '01900000-0000-7000-8000-000000000001' }, 404],
		[{ userId: operator.user.id }, 404],
		[{ tenant: 'system', userId: operator.user.id }, 400],
		[{ reason: '' }, 400],
		[{ reason: undefined }, 400],
		[{ minutes: 0 }, 400],
		[{ minutes: 61 }, 400],
		[{ userId: 'x' }, 400],
	])
		assert.equal((await act({ ...good, ...change })).status, status, JSON.stringify(change));

	await done(server, `POST /api/v1/tenants/${acme.tenant.id}/suspend`, { token: operator.accessToken });
	assert.equal((await act(good)).status, 409);
	await done(server, `POST /api/v1/tenants/${acme.tenant.id}/resume`, { token: operator.accessToken });
	assert.equal((await act(good)).status, 201);
	assert.equal((await call(server, 'DELETE /api/v1/platform/impersonate/01900000-0000-7000-8000-000000000001', { token: operator.accessToken })).status, 404);
});

test('what operators do is in the log of the tenant', async (t) => {
	const { server, operator, acme } = await world(t);
	await done(server, `PATCH /api/v1/tenants/${acme.tenant.id}`, { token: operator.accessToken, body: { tier: 'professional' } });
	for (const token of [acme.accessToken, operator.accessToken]) {
		const { items } = await done(server, 'GET /api/v1/audit?limit=50', { token });
		const entry = items.find(({ action }) => action === 'tenant.updated');
		assert.equal(entry?.userId, operator.user.id);
	}
});
