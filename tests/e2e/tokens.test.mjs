// Tokens as others see them: verified by jose through the published keys, also across a change of keys;
// cookies as a browser uses them; and a revocation that every instance knows within a second.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { call, done, register } from './people.mjs';
import { atEnd, runProgram, startServer, temporaryFolder } from './server.mjs';

// The issuer is the address of the server, so the port is to be known before.
async function startIssuer(t, { env = {}, ...rest } = {}) {
	const server = await startServer(t, { env: { AUTH_VERIFY_FIRST: 'false', ...env }, ...rest });
	const metadata = await (await fetch(`${server.url}/.well-known/openid-configuration`)).json();
	return { server, issuer: metadata.issuer, jwks: new URL('/.well-known/jwks.json', server.url) };
}

const refresh = (server, refreshToken) =>
	done(server, 'POST /api/v1/auth/refresh', { body: { refreshToken } });

for (const algorithm of ['RS256', 'ES256', 'EdDSA'])
	test(`jose verifies ${algorithm} tokens through the published keys`, async (t) => {
		const { server, issuer, jwks } = await startIssuer(t, { env: { JWT_ALGORITHM: algorithm } });
		const { accessToken, user, tenant } = await register(server, 'acme');
		const { payload, protectedHeader } = await jwtVerify(accessToken, createRemoteJWKSet(jwks), {
			issuer,
			audience: issuer,
			typ: 'at+jwt',
			algorithms: [algorithm],
			requiredClaims: ['exp', 'iat', 'jti', 'sub', 'client_id'],
		});
		assert.equal(protectedHeader.alg, algorithm);
		assert.equal(payload.sub, user.id);
		assert.equal(payload.tenant, tenant.id);
		assert.deepEqual(payload.roles, ['owner']);
		assert.equal(payload.exp - payload.iat, 900);
	});

test('jose verifies tokens across a change of keys', async (t) => {
	const { server, issuer, jwks } = await startIssuer(t, { env: { JWT_KEY_OVERLAP: '3s', JWT_ALGORITHM: 'ES256' } });
	const first = await register(server, 'acme');
	const keys = createRemoteJWKSet(jwks, { cooldownDuration: 0 });
	const verify = (token) => jwtVerify(token, keys, { issuer, audience: issuer });
	await verify(first.accessToken);

	const rotated = await runProgram(t, ['keys', 'rotate', '--json'], { cwd: server.dataDir });
	assert.equal(rotated.code, 0, rotated.stderr);
	const { kid, signsAt } = JSON.parse(rotated.stdout);
	const published = (await (await fetch(jwks)).json()).keys;
	assert.equal(published.length, 2);
	assert.ok(published.some((key) => key.kid === kid));
	assert.ok(published.every((key) => key.use === 'sig' && key.alg === 'ES256' && !key.d));

	const before = await refresh(server, first.refreshToken);
	assert.notEqual(decodeProtectedHeader(before.accessToken).kid, kid, 'nobody knows the new key yet');
	await sleep(new Date(signsAt) - Date.now() + 50);
	const after = await refresh(server, before.refreshToken);
	assert.equal(decodeProtectedHeader(after.accessToken).kid, kid);
	for (const { accessToken } of [first, before, after]) {
		await verify(accessToken);
		await done(server, 'GET /api/v1/auth/sessions', { token: accessToken });
	}

	// Somebody has got hold of a key: what it signed is void at once.
	const now = await runProgram(t, ['keys', 'rotate', '--now', '--json'], { cwd: server.dataDir });
	assert.equal(now.code, 0, now.stderr);
	assert.equal((await call(server, 'GET /api/v1/auth/sessions', { token: after.accessToken })).status, 401);
	assert.equal((await (await fetch(jwks)).json()).keys.length, 1);
	const again = await refresh(server, after.refreshToken);
	assert.equal(decodeProtectedHeader(again.accessToken).kid, JSON.parse(now.stdout).kid);
	await verify(again.accessToken);
	await assert.rejects(jwtVerify(after.accessToken, createRemoteJWKSet(jwks), { issuer }), { code: 'ERR_JWKS_NO_MATCHING_KEY' });
});

test('keys are changed while no server runs, and stay over a restart', async (t) => {
	const { server, issuer } = await startIssuer(t, { env: { JWT_ALGORITHM: 'ES256' } });
	const first = await register(server, 'acme');
	const { dataDir } = server;
	await server.stop();
	const { code, stdout, stderr } = await runProgram(t, ['keys', 'rotate'], { cwd: dataDir, env: { JWT_ALGORITHM: 'ES256', PUBLIC_URL: issuer } });
	assert.equal(code, 0, stderr);
	assert.match(stdout, /^[A-Za-z0-9_-]{43} \(ES256\) signs from .*Z on\n$/);
	const next = await startServer(t, { dataDir, env: { JWT_ALGORITHM: 'ES256', PUBLIC_URL: issuer } });
	await done(next, 'GET /api/v1/auth/sessions', { token: first.accessToken });
	assert.equal((await (await fetch(`${next.url}/.well-known/jwks.json`)).json()).keys.length, 2);
	await refresh(next, first.refreshToken);
});

test('the documents are for pages of any origin', async (t) => {
	const { server, issuer } = await startIssuer(t);
	for (const path of ['jwks.json', 'openid-configuration', 'oauth-authorization-server']) {
		const response = await fetch(`${server.url}/.well-known/${path}`, { headers: { origin: 'https://any.example' } });
		assert.equal(response.status, 200);
		assert.equal(response.headers.get('access-control-allow-origin'), '*');
		assert.equal(response.headers.get('content-type'), 'application/json');
		assert.match(response.headers.get('cache-control'), /^public, max-age=\d+$/);
	}
	const oauth = await (await fetch(`${server.url}/.well-known/oauth-authorization-server`)).json();
	assert.equal(oauth.issuer, issuer);
	assert.equal(oauth.jwks_uri, `${issuer}/.well-known/jwks.json`);
});

test('a hundred refreshes of one token log nobody out', async (t) => {
	const { server } = await startIssuer(t, { env: { JWT_ALGORITHM: 'ES256' } });
	const { refreshToken } = await register(server, 'acme');
	const answers = await Promise.all(Array.from({ length: 100 }, () => refresh(server, refreshToken)));
	assert.equal(new Set(answers.map((answer) => answer.refreshToken)).size, 1);
	const next = await refresh(server, answers[0].refreshToken);
	assert.equal((await done(server, 'GET /api/v1/auth/sessions', { token: next.accessToken })).items.length, 1);

	// A copy of an old one ends it for both.
	assert.equal((await call(server, 'POST /api/v1/auth/refresh', { body: { refreshToken } })).status, 401);
	assert.equal((await call(server, 'GET /api/v1/auth/sessions', { token: next.accessToken })).status, 401);
	assert.equal((await call(server, 'POST /api/v1/auth/refresh', { body: { refreshToken: next.refreshToken } })).status, 401);
});

// --- a browser --------------------------------------------------------------------------------

class Browser {
	cookies = new Map();

	constructor(server) {
		this.server = server;
	}

	async call(request, body, headers = {}) {
		const [method, path] = request.split(' ');
		const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
		const response = await fetch(this.server.url + path, {
			method,
			headers: { ...(body ? { 'content-type': 'application/json' } : {}), ...(cookie ? { cookie } : {}), ...headers },
			body: body && JSON.stringify(body),
		});
		for (const line of response.headers.getSetCookie()) {
			const [pair, ...flags] = line.split('; ');
			const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
			assert.ok(flags.includes('Path=/'));
			assert.equal(flags.includes('HttpOnly'), !name.endsWith('csrf'));
			if (flags.includes('Max-Age=0'))
				this.cookies.delete(name);
			else
				this.cookies.set(name, value);
		}
		const text = await response.text();
		return { status: response.status, text, data: text ? JSON.parse(text).data : undefined };
	}

	// As a page of ours does it.
	page(request, body) {
		return this.call(request, body, { 'x-csrf-token': this.cookies.get('bh_csrf') ?? '', origin: this.server.url });
	}
}

test('a browser has cookies, and its scripts no tokens', async (t) => {
	const { server } = await startIssuer(t, { env: { JWT_ALGORITHM: 'ES256' } });
	const owner = await register(server, 'acme', 'ada@example.com');
	const browser = new Browser(server);
	const login = await browser.call('POST /api/v1/auth/login',
		{ email: 'ada@example.com', password: 'correct horse battery staple', tenant: 'acme' }, { 'x-session': 'cookie' });
	assert.equal(login.status, 200, login.text);
	for (const name of ['bh_access', 'bh_csrf', 'bh_refresh'])
		assert.ok(browser.cookies.get(name));
	for (const name of ['bh_access', 'bh_refresh'])
		assert.ok(!login.text.includes(browser.cookies.get(name)));
	assert.equal(login.data.csrfToken, browser.cookies.get('bh_csrf'));
	assert.equal(login.data.user.id, owner.user.id);

	assert.equal((await browser.call('GET /api/v1/auth/sessions')).status, 200);
	assert.equal((await browser.call('DELETE /api/v1/auth/sessions?except=current')).status, 403);
	assert.equal((await browser.call('POST /api/v1/auth/refresh', {})).status, 403);
	assert.equal((await browser.call('POST /api/v1/auth/refresh', {},
		{ 'x-csrf-token': browser.cookies.get('bh_csrf'), origin: 'https://evil.example' })).status, 403);
	assert.equal((await browser.page('POST /api/v1/auth/refresh', {})).status, 200);
	assert.equal((await browser.page('DELETE /api/v1/auth/sessions?except=current')).status, 204);
	assert.equal((await browser.call('GET /api/v1/auth/sessions')).data.items.length, 1);

	// A second account in the same browser.
	await register(server, 'other', 'bob@example.com');
	const second = await browser.call('POST /api/v1/auth/login',
		{ email: 'bob@example.com', password: 'correct horse battery staple', tenant: 'other' },
		{ 'x-session': 'cookie', 'x-csrf-token': browser.cookies.get('bh_csrf'), origin: server.url });
	assert.equal(second.status, 200, second.text);
	const accounts = (await browser.call('GET /api/v1/auth/accounts')).data.items;
	assert.deepEqual(accounts.map(({ email }) => email).sort(), ['ada@example.com', 'bob@example.com']);
	const back = await browser.page('POST /api/v1/auth/switch', { tenant: 'acme' });
	assert.equal(back.status, 200, back.text);
	assert.equal(back.data.user.email, 'ada@example.com');
	assert.equal((await browser.call('GET /api/v1/auth/sessions')).data.items[0].current, true);

	assert.equal((await browser.page('POST /api/v1/auth/logout', {})).status, 204);
	for (const name of ['bh_access', 'bh_csrf', 'bh_refresh'])
		assert.ok(!browser.cookies.has(name));
	assert.equal((await browser.call('GET /api/v1/auth/sessions')).status, 401);
});

// --- two instances ------------------------------------------------------------------------------

async function startPostgres(t) {
	const folder = join(await temporaryFolder(t), 'postgres');
	let url;
	try {
		url = execFileSync('tests/postgres', ['start', folder, '--tcp'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
	} catch (error) {
		if (error.status === 77)
			return null;
		throw error;
	}
	atEnd(t, async () => execFileSync('tests/postgres', ['stop', folder]));
	execFileSync('psql', ['-qX', url, '-c', 'CREATE DATABASE two TEMPLATE pattern OWNER owner']);
	const port = readFileSync(join(folder, 'port'), 'utf8').trim();
	const as = (user) => `postgres://${user}:secret@127.0.0.1:${port}/two`;
	return { DATABASE_URL: as('app'), DATABASE_OWNER_URL: as('owner') };
}

test('two instances know of a revocation within a second', async (t) => {
	const database = await startPostgres(t);
	if (!database)
		return t.skip('PostgreSQL is not installed');
	const env = {
		...database,
		MASTER_KEY: '8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918',
		PUBLIC_URL: 'http://localhost:8080',
		JWT_ALGORITHM: 'ES256',
		AUTH_VERIFY_FIRST: 'false',
	};
	const one = await startServer(t, { env });
	const two = await startServer(t, { env });
	const { accessToken, refreshToken } = await register(one, 'acme');
	const status = async (server, token) => (await call(server, 'GET /api/v1/auth/sessions', { token })).status;
	assert.equal(await status(one, accessToken), 200);
	assert.equal(await status(two, accessToken), 200, 'keys are the same on both');

	// Refreshed on both at once, it stays one family.
	const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => refresh(i % 2 ? one : two, refreshToken)));
	assert.equal(new Set(answers.map((answer) => answer.refreshToken)).size, 1);

	await done(one, 'POST /api/v1/auth/logout', { body: { refreshToken: answers[0].refreshToken } });
	assert.equal(await status(one, answers[0].accessToken), 401);
	const since = Date.now();
	while ((await status(two, answers[1].accessToken)) !== 401)
		assert.ok(Date.now() - since < 1000, 'the other instance still lets it in after a second');
	assert.equal((await call(two, 'POST /api/v1/auth/refresh', { body: { refreshToken: answers[0].refreshToken } })).status, 401);

	// One that starts afterwards learns it from the rows.
	const three = await startServer(t, { env });
	assert.equal(await status(three, answers[0].accessToken), 401);
});
