// bulkhead admin, beside a server and without one.
import assert from 'node:assert/strict';
import test from 'node:test';
import { call, PASSWORD, sendForm, setupLink, signIn } from './people.mjs';
import { runProgram, startServer, temporaryFolder } from './server.mjs';
import { poll } from './wire.mjs';

const OTHER = 'another long passphrase';
const login = (server, email, password) => call(server, 'POST /api/v1/auth/login', { body: { email, password, tenant: 'system' } });
const tokenOf = (text) => new URL(text.match(/https?:\S+/)[0]).searchParams.get('token');

test('without a server: create, and then it serves', async (t) => {
	const folder = await temporaryFolder(t);
	const made = await runProgram(t, ['admin', 'create', 'olga@example.com', '--name', 'Olga O.', '--password-stdin', '--json'], { cwd: folder, input: `${PASSWORD}\n` });
	assert.equal(made.code, 0, made.stderr);
	const { id, email, ...rest } = JSON.parse(made.stdout);
	assert.match(id, /^[0-9a-f-]{36}$/);
	assert.equal(email, 'olga@example.com');
	assert.deepEqual(rest, {}, 'no link when there is a password');

	const again = await runProgram(t, ['admin', 'create', 'OLGA@example.com', '--password-stdin'], { cwd: folder, input: PASSWORD });
	assert.deepEqual([again.code, again.stdout], [1, '']);
	assert.match(again.stderr, /^bulkhead: .*email/m);

	const server = await startServer(t, { dataDir: folder });
	const { user } = await signIn(server, 'olga@example.com', 'system');
	assert.equal(user.name, 'Olga O.');
	assert.ok(!server.lines.some((line) => line.setup));
});

test('beside a server: create by link, reset, and nobody else', async (t) => {
	const server = await startServer(t);
	const admin = (args, input) => runProgram(t, ['admin', ...args], { cwd: server.dataDir, input });

	const link = await setupLink(server);
	const made = await admin(['create', 'olga@example.com']);
	assert.equal(made.code, 0, made.stderr);
	assert.match(made.stdout, /^olga@example\.com is an operator now\ngood once, for a day: http/);
	assert.equal((await fetch(link.href.replace(link.origin, server.url))).status, 404, 'the first one is there');
	assert.equal((await login(server, 'olga@example.com', PASSWORD)).status, 401);

	const token = tokenOf(made.stdout);
	const page = await (await fetch(`${server.url}/setup?token=${token}`)).text();
	assert.match(page, /Choose a new password/);
	assert.match(page, /olga@example\.com/);
	assert.equal((await sendForm(server, { token, password: 'short' })).status, 400);
	assert.equal((await sendForm(server, { token, password: PASSWORD, email: 'eve@example.com' })).status, 200);
	assert.equal((await sendForm(server, { token, password: OTHER })).status, 404, 'once');

	const { accessToken, refreshToken } = await signIn(server, 'olga@example.com', 'system');
	assert.equal((await call(server, 'GET /api/v1/tenants', { token: accessToken })).status, 200);
	const reset = await admin(['reset', 'olga@example.com', '--json']);
	assert.equal(reset.code, 0, reset.stderr);
	await poll('the session ends', async () => (await call(server, 'GET /api/v1/tenants', { token: accessToken })).status === 401);
	assert.equal((await call(server, 'POST /api/v1/auth/refresh', { body: { refreshToken } })).status, 401);
	assert.equal((await login(server, 'olga@example.com', PASSWORD)).status, 401, 'the former password is gone');
	assert.equal((await sendForm(server, { token: tokenOf(JSON.parse(reset.stdout).link), password: OTHER })).status, 200);
	await signIn(server, 'olga@example.com', 'system', OTHER);

	const direct = await admin(['reset', 'olga@example.com', '--password-stdin'], `${PASSWORD}\r\n`);
	assert.deepEqual([direct.code, direct.stdout], [0, 'olga@example.com is signed out everywhere\n']);
	await signIn(server, 'olga@example.com', 'system');
});

test('what is not taken', async (t) => {
	const server = await startServer(t);
	const admin = (args, input) => runProgram(t, ['admin', ...args], { cwd: server.dataDir, input });
	for (const [args, input, sentence] of [
		[['reset', 'nobody@example.com'], '', /there is no operator with this address/],
		[['create', 'nobody'], '', /email/],
		[['create', 'a@example.com', '--password-stdin'], 'short', /password/],
		[['create', 'a@example.com', '--password-stdin'], '', /a password of 1 to 1024 bytes is wanted/],
		[['create', 'a@example.com', '--password-stdin'], 'x'.repeat(5000), /a password of 1 to 1024 bytes is wanted/],
		[['create', 'a@example.com', '--name', ' '], '', /name/],
	]) {
		const result = await admin(args, input);
		assert.deepEqual([result.code, result.stdout], [1, ''], args.join(' '));
		assert.match(result.stderr, sentence);
		assert.equal(result.stderr.match(/^bulkhead: /gm).length, 1);
	}
	for (const args of [['create'], ['reset', 'a@example.com', '--name', 'x'], ['create', 'a@example.com', '--name'], ['create', 'a', 'b']])
		assert.equal((await admin(args)).code, 2, args.join(' '));
	assert.ok(!server.lines.some((line) => JSON.stringify(line).includes('x'.repeat(100))));
});
