// The whole API document against every kind of credential: what a line of the contract says about who
// may, and nothing else, decides; and what belongs to one tenant is nowhere to be found by another.
import assert from 'node:assert/strict';
import { pbkdf2Sync } from 'node:crypto';
import test from 'node:test';
import { call, done, makeOperator, PASSWORD, register, signIn } from './people.mjs';
import { startServer } from './server.mjs';
import { pause } from './wire.mjs';

const NOBODY = '01900000-0000-7000-8000-000000000001';
const MARK = 'zebra4711'; // in every text of the tenant that is not to be seen
const LEEWAY_MS = 30_000; // that clocks may differ
const ROLES = ['owner', 'admin', 'member', 'viewer'];

// --- the document -----------------------------------------------------------------

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

function operationsOf(document) {
	const operations = [];
	for (const [path, item] of Object.entries(document.paths))
		for (const method of METHODS.filter((name) => item[name]))
			operations.push({ ...item[method], method: method.toUpperCase(), path, parameters: [...(item.parameters ?? []), ...(item[method].parameters ?? [])] });
	return operations;
}

const follow = (document, schema) => (schema?.$ref ? follow(document, schema.$ref.slice(2).split('/').reduce((at, name) => at[name], document)) : schema);

// A value that a schema takes, with no more in it than it must have.
function valueOf(document, given) {
	const schema = follow(document, given);
	if (schema.default !== undefined || schema.examples)
		return schema.examples?.[0] ?? schema.default;
	if (schema.example !== undefined || schema.enum)
		return schema.example ?? schema.enum[0];
	const type = [schema.type].flat()[0];
	if (type === 'object')
		return Object.fromEntries((schema.required ?? []).filter((name) => schema.properties[name].readOnly !== true).map((name) => [name, valueOf(document, schema.properties[name])]));
	if (type === 'array')
		return Array.from({ length: schema.minItems ?? 0 }, () => valueOf(document, schema.items));
	return { string: schema.format === 'uuid' ? NOBODY : 'text', integer: schema.minimum ?? 1, number: 1, boolean: true }[type] ?? null;
}

const bodyOf = (document, operation) => {
	const schema = operation.requestBody?.content?.['application/json']?.schema;
	return schema && valueOf(document, schema);
};

const fill = (path, values) => path.replace(/\{([^}]+)\}/g, (_, name) => encodeURIComponent(values(name)));

// --- people -----------------------------------------------------------------------

const hash = () => {
	const key = pbkdf2Sync(PASSWORD, 'saltsalt', 10_000, 32, 'sha256').toString('base64');
	return `pbkdf2_sha256$10000$saltsalt$${key}`;
};

// A tenant with a user of each role, one of whom is suspended, and a secret key with all scopes.
async function populate(server, slug, mark) {
	const owner = await register(server, slug, `owner@${slug}.example`);
	const users = [...ROLES.slice(1), 'suspended'].map((role) => ({
		email: `${role}@${slug}.example`,
		name: `${role} ${mark}`,
		verified: true,
		passwordHash: hash(),
		roles: [role === 'suspended' ? 'owner' : role],
	}));
	const made = await done(server, 'POST /api/v1/users/import', { token: owner.accessToken, body: { users } });
	const people = { owner };
	for (const { email } of users)
		people[email.split('@')[0]] = await signIn(server, email, slug);
	await done(server, `PATCH /api/v1/users/${made.users.at(-1).id}`, { token: owner.accessToken, body: { status: 'suspended' } });

	const as = (request, body) => done(server, request, { token: owner.accessToken, body });
	const role = await as('POST /api/v1/roles', { name: `role-${mark}`, description: mark, rights: ['tenant:read'] });
	const invitation = await as('POST /api/v1/invitations', { email: `${mark}@guest.example`, role: 'member' });
	const key = await as('POST /api/v1/api-keys', { name: `key ${mark}`, scopes: ['*'] });
	const job = await as('POST /api/v1/jobs', { name: 'test:secret', payload: { mark } });
	return { tenant: owner.tenant, people, role, invitation, key, job };
}

// Whether a credential of these roles gets past the rights of an operation.
const mayUser = (operation, roles, operates) => (operation['x-roles'] ?? []).some((role) => roles.includes(role)) && (operates || !operation['x-right'].startsWith('platform:'));
const mayKey = (operation) => !operation['x-right'].startsWith('platform:') && operation['x-right'] !== 'account:self' && (operation['x-roles'] ?? []).includes('owner');

// --- the tests --------------------------------------------------------------------

test('exactly the declared ones pass', async (t) => {
	// Tokens of this server end soon; the one after it has the same folder and the same keys.
	const first = await startServer(t, { env: { JWT_ACCESS_EXPIRY: '10s', PORT: '0', PUBLIC_URL: 'http://id.example' } });
	const { accessToken: expired } = await register(first, 'brief');
	const endsAt = Date.now() + 10_000 + LEEWAY_MS;
	await first.stop();

	const server = await startServer(t, { dataDir: first.dataDir, env: { PUBLIC_URL: 'http://id.example' } });
	const operator = await makeOperator(server);
	const acme = await populate(server, 'acme', MARK);
	const document = (await call(server, 'GET /openapi.json')).body;
	const operations = operationsOf(document);
	assert.ok(operations.length > 60, `${operations.length} operations`);

	const kinds = {
		none: { may: () => false, refused: [401] },
		garbage: { token: 'eyJhbGciOiJub25lIn0.e30.', may: () => false, refused: [401] },
		operator: { email: operator.user.email, slug: 'system', may: (operation) => mayUser(operation, ['owner'], true) },
		suspended: { token: acme.people.suspended.accessToken, may: () => false, refused: [401, 403] },
		secretKey: { token: acme.key.key, may: mayKey },
		publishableKey: { token: acme.key.key.replace('bh_sk_', 'bh_pk_'), may: () => false, refused: [401] },
		...Object.fromEntries(ROLES.map((role) => [role, { email: acme.people[role].user.email, slug: 'acme', may: (operation) => mayUser(operation, [role], false) }])),
		expired: { token: expired, may: () => false, refused: [401], from: endsAt },
	};

	const problems = [];
	let count = 0;
	for (const [kind, { email, slug, token, may, refused = [403], from = 0 }] of Object.entries(kinds)) {
		await pause(Math.max(0, from - Date.now()));
		for (const operation of operations) {
			const credential = email ? (await signInOnce(server, email, slug)) : token;
			const request = `${operation.method} ${fill(operation.path, () => NOBODY)}`;
			const body = bodyOf(document, operation) === undefined ? undefined : {};
			const { status, text } = await callBriefly(server, request, { token: credential, body });
			const open = operation['x-right'] === 'public';
			const declared = Object.keys(operation.responses).map(Number);
			const passed = open || may(operation); // an open one may still say that the credentials are no good
			const good = passed ? open || ![401, 403].includes(status) : refused.includes(status);
			if (!good || !declared.includes(status) || status >= 500)
				problems.push(`${kind}: ${request} (${operation['x-right']}): ${status} ${text.slice(0, 200)}`);
			if (['DELETE /api/v1/auth/sessions', 'POST /api/v1/auth/logout'].includes(request) && status === 204)
				signedIn.delete(email); // that session has ended
			count++;
		}
	}
	assert.deepEqual(problems, []);
	t.diagnostic(`${count} requests`);
});

// An answer that goes on, as a worker's session does, is broken off after its head.
async function callBriefly(server, request, { token, body }) {
	if (!request.endsWith('/session'))
		return call(server, request, { token, body });
	const [method, path] = request.split(' ');
	const stop = new AbortController();
	const response = await fetch(server.url + path, { method, signal: stop.signal, headers: token ? { authorization: `Bearer ${token}` } : {} });
	const text = response.ok ? '' : await response.text();
	stop.abort();
	return { status: response.status, text };
}

// A token, kept as long as nobody ends its session.
const signedIn = new Map();
async function signInOnce(server, email, slug) {
	if (!signedIn.has(email))
		signedIn.set(email, (await signIn(server, email, slug)).accessToken);
	return signedIn.get(email);
}

test('nothing of another tenant is reachable', async (t) => {
	const server = await startServer(t);
	await makeOperator(server);
	const acme = await populate(server, 'acme', MARK);
	const globex = await populate(server, 'globex', 'globex');
	const document = (await call(server, 'GET /openapi.json')).body;
	const operations = operationsOf(document).filter((operation) => operation['x-right'] !== 'public');

	// What there is of acme, by the first word of the path and the parameter.
	const ids = {
		users: () => acme.people.member.user.id,
		roles: () => acme.role.name,
		invitations: () => acme.invitation.id,
		'api-keys': () => acme.key.id,
		jobs: () => acme.job.id,
		tenants: () => acme.tenant.id,
		sessions: () => JSON.parse(Buffer.from(acme.people.member.accessToken.split('.')[1], 'base64url')).sid,
	};
	const all = [...Object.values(ids).map((id) => id()), MARK, `${MARK}@guest.example`];
	const idOf = (path) => ids[path.slice(0, path.indexOf('{')).split('/').findLast((word) => ids[word])]?.() ?? acme.people.member.user.id;
	const intruders = { owner: globex.people.owner.accessToken, secretKey: globex.key.key };

	// What acme's owner sees must be the same afterwards.
	const look = async () => {
		const views = [];
		for (const path of ['users', 'roles', 'invitations', 'api-keys', 'tenant', `users/${acme.people.member.user.id}/roles`, `roles/${acme.role.name}`, `jobs/${acme.job.id}`])
			views.push((await call(server, `GET /api/v1/${path}`, { token: acme.people.owner.accessToken })).data);
		return views.map((view) => JSON.stringify(view).replace(/"lastUsed[^,}]*/g, ''));
	};
	const before = await look();
	assert.ok(before.join().includes(MARK));

	const problems = [];
	let count = 0;
	const probe = async (request, options, accepts, what) => {
		const { status, text } = await callBriefly(server, request, options);
		count++;
		if (!accepts(status, text) || text.includes(MARK) && !request.includes(MARK) || status >= 500)
			problems.push(`${what}: ${request}: ${status} ${text.slice(0, 300)}`);
	};
	for (const [who, token] of Object.entries(intruders)) {
		for (const operation of operations) {
			const body = bodyOf(document, operation);
			// Names of queues, and of workers and kinds of jobs within a tenant, are nobody's.
			const shared = /\/(queues\/\{name\}|workers\/\{workerId\}|job-schemas\/\{name\})/.test(operation.path);
			if (operation.path.includes('{'))
				await probe(`${operation.method} ${fill(operation.path, () => idOf(operation.path))}`, { token, body }, (status) => [403, 404].includes(status) || shared, who);
			if (operation.method !== 'GET')
				continue;
			// Filters and searches: whatever is asked for, the answer holds none of it.
			const path = fill(operation.path, () => NOBODY);
			for (const { name } of operation.parameters.filter((parameter) => parameter.in === 'query'))
				for (const value of all)
					await probe(`GET ${path}?${name}=${encodeURIComponent(value)}`, { token }, (status, text) => status !== 200 || !text.replaceAll(value, '').includes(MARK) && !/"email":"[a-z]+@acme/.test(text), `${who} filters`);
			// A cursor of theirs is none of ours, or leads to ours.
			const theirs = (await call(server, `GET ${path}?limit=1`, { token: acme.people.owner.accessToken })).body?.meta?.nextCursor;
			if (theirs)
				await probe(`GET ${path}?cursor=${encodeURIComponent(theirs)}`, { token }, (status, text) => !text.includes(acme.tenant.id) && !text.includes('@acme.example'), `${who} cursor`);
		}
	}
	assert.deepEqual(problems, []);
	assert.deepEqual(await look(), before, 'and nothing was changed');
	t.diagnostic(`${count} probes`);
});
