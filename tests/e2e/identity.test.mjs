// People and their passwords, from outside: mails through a real server, links that are clicked, and
// a thousand guesses at once against two processes on one PostgreSQL.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { call, done, register } from './people.mjs';
import { atEnd, postgres, startServer, temporaryFolder } from './server.mjs';
import { freePort, poll } from './wire.mjs';

const TESTS = fileURLToPath(new URL('..', import.meta.url));
const PASSWORD = 'tin whistle over boots';

// --- mail ----------------------------------------------------------------------

// A mail server and what it got: { env, mails() }.
async function mailServer(t) {
	const folder = await temporaryFolder(t);
	const port = await freePort();
	const child = spawn(resolve(TESTS, 'smtp'), [String(port), folder], { stdio: ['pipe', 'pipe', 'inherit'] });
	atEnd(t, () => child.stdin.end());
	await once(child.stdout, 'data');
	return {
		env: { SMTP_URL: `smtp://127.0.0.1:${port}`, MAIL_FROM: 'Acme <no-reply@example.com>', APP_URL: 'https://app.example.com' },
		async mails() {
			const names = (await readdir(folder)).filter((name) => name.endsWith('.eml'));
			return Promise.all(names.sort((a, b) => parseInt(a) - parseInt(b)).map((name) => readFile(join(folder, name), 'latin1')));
		},
	};
}

// The text of a mail with its soft line breaks taken out; enough for addresses and links.
const plain = (mail) => mail.replace(/=\r?\n/g, '').replace(/=3D/g, '=');

// The token of the newest link of that path that was mailed to somebody, once there are so many.
async function mailedToken(server, to, path, count = 1) {
	const pattern = new RegExp(`https://app\\.example\\.com/${path}\\?token=(bh_ml_[a-z2-7]+)`);
	const found = await poll(`mail ${path} to ${to}`, async () => {
		const mails = (await server.mails()).filter((mail) => mail.includes(`X-Envelope-To: ${to}\r\n`)).map(plain);
		const tokens = mails.map((mail) => pattern.exec(mail)?.[1]).filter(Boolean);
		return tokens.length >= count && tokens;
	});
	return found.at(-1);
}

const post = (server, path, body, options) => call(server, `POST /api/v1/auth/${path}`, { body, ...options });

test('an address is verified, a password forgotten and reset, by links that were mailed', async (t) => {
	const smtp = await mailServer(t);
	const server = await startServer(t, { env: smtp.env });
	const email = 'ada@example.com';
	const ada = await register(server, 'acme', email);
	assert.equal(ada.user.emailVerifiedAt, undefined);

	let token = await mailedToken(smtp, email, 'verify-email');
	assert.equal((await post(server, 'verify-email', { token: token.slice(0, -1) + (token.at(-1) === 'a' ? 'b' : 'a') })).status, 400);
	assert.equal((await post(server, 'verify-email', { token })).status, 204);
	assert.equal((await post(server, 'verify-email', { token })).status, 400);

	assert.equal((await post(server, 'forgot-password', { email })).status, 202);
	assert.equal((await post(server, 'forgot-password', { email: 'nobody-here@example.com' })).status, 202);
	token = await mailedToken(smtp, email, 'reset-password');
	assert.equal((await post(server, 'reset-password', { token, password: 'Password1!' })).status, 400);
	assert.equal((await post(server, 'reset-password', { token, password: PASSWORD })).status, 204);
	assert.equal((await post(server, 'reset-password', { token, password: PASSWORD })).status, 400);

	assert.equal((await call(server, 'GET /api/v1/tenant', { token: ada.accessToken })).status, 401);
	assert.equal((await post(server, 'refresh', { refreshToken: ada.refreshToken })).status, 401);
	assert.equal((await post(server, 'login', { email, password: 'correct horse battery staple' })).status, 401);
	const again = await done(server, 'POST /api/v1/auth/login', { body: { email, password: PASSWORD, tenant: 'acme' } });
	assert.ok(again.user.emailVerifiedAt);
	assert.equal((await call(server, 'GET /api/v1/tenant', { token: again.accessToken })).status, 200);

	assert.equal((await post(server, 'change-email', { password: PASSWORD, email: 'lovelace@example.com' }, { token: again.accessToken })).status, 202);
	token = await mailedToken(smtp, 'lovelace@example.com', 'confirm-email');
	assert.equal((await post(server, 'confirm-email', { token })).status, 204);
	assert.equal((await post(server, 'login', { email, password: PASSWORD })).status, 401);
	assert.equal((await call(server, 'GET /api/v1/tenant', { token: again.accessToken })).status, 401);
	const moved = await done(server, 'POST /api/v1/auth/login', { body: { email: 'lovelace@example.com', password: PASSWORD } });

	assert.equal((await call(server, 'DELETE /api/v1/me', { token: moved.accessToken, body: { password: PASSWORD } })).status, 409);
	const mails = (await smtp.mails()).join('');
	assert.ok(!mails.includes(PASSWORD) && !mails.includes('nobody-here'));
});

test('who joins learns nothing about who is there, where addresses are verified first', async (t) => {
	const smtp = await mailServer(t);
	const server = await startServer(t, { env: { ...smtp.env, AUTH_VERIFY_FIRST: 'true' } });
	const bob = { email: 'bob@example.com', password: PASSWORD, name: 'Bob', tenant: { slug: 'acme' } };
	await register(server, 'acme');

	const first = await post(server, 'register', bob);
	const token = await mailedToken(smtp, bob.email, 'verify-email');
	const second = await post(server, 'register', bob);
	for (const answer of [first, second]) {
		assert.equal(answer.status, 201, answer.text);
		assert.deepEqual(Object.keys(answer.data).sort(), ['expiresIn', 'tenant', 'user']);
	}
	assert.equal(first.text.length, second.text.length);
	assert.notEqual(first.data.user.id, second.data.user.id);

	const { email, password } = bob;
	assert.equal((await post(server, 'login', { email, password })).status, 403);
	await mailedToken(smtp, email, 'verify-email', 2);
	assert.equal((await post(server, 'verify-email', { token })).status, 400); // replaced
	assert.equal((await post(server, 'verify-email', { token: await mailedToken(smtp, email, 'verify-email', 2) })).status, 204);
	assert.equal((await post(server, 'login', { email, password })).status, 200);
});

// --- two processes -------------------------------------------------------------------

test('a thousand guesses at two processes are no more than at one', async (t) => {
	const env = await postgres(t);
	if (!env)
		return;
	// On a busy machine a connection may be quiet for long before the client comes to use it.
	const patient = { HTTP_MAX_CONNECTIONS_PER_ADDRESS: '1000', HTTP_HEAD_TIMEOUT: '2m', HTTP_IDLE_TIMEOUT: '2m' };
	const shared = { ...env, ...patient, LOGIN_TRIES: '5', MASTER_KEY: '8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918', PASSWORD_MEMORY: '7mb', PASSWORD_PASSES: '1' };
	const one = await startServer(t, { env: shared });
	const two = await startServer(t, { env: shared });
	const email = 'ada@example.com';
	const ada = await register(one, 'acme', email);

	// A hundred at a time; one connection may end while the next is made.
	const statuses = [];
	const guesser = async (_, number) => {
		for (let i = 0; i < 10; i++)
			statuses.push((await post(number % 2 ? one : two, 'login', { email, password: `guess ${number} ${i}` })).status);
	};
	await Promise.all(Array.from({ length: 100 }, guesser));
	const count = (status) => statuses.filter((s) => s === status).length;
	assert.equal(count(401) + count(429) + count(503), 1000, [...new Set(statuses)].join());
	assert.ok(count(401) >= 5);

	// One entry for each password that was looked at.
	const { items } = await done(one, 'GET /api/v1/audit?limit=100', { token: ada.accessToken });
	const tried = items.filter(({ action }) => action === 'auth.login_failed' || action === 'auth.locked');
	assert.equal(tried.length, 5);
	for (const server of [one, two])
		assert.notEqual((await post(server, 'login', { email, password: 'correct horse battery staple' })).status, 200);
});
