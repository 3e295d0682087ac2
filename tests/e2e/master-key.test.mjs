// MASTER_KEY is changed under people who are signed in: nobody notices, whatever is cut off on the way.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { call, done, register } from './people.mjs';
import { environment, PROGRAM, runProgram, startServer } from './server.mjs';

const key = () => randomBytes(32).toString('hex');
const settings = { AUTH_VERIFY_FIRST: 'false', JWT_ALGORITHM: 'ES256', PUBLIC_URL: 'http://localhost:1' };

const verify = async (t, cwd, env) => {
	const { code, stdout, stderr } = await runProgram(t, ['audit', 'verify', '--json'], { cwd, env: { ...settings, ...env } });
	assert.equal(code, 0, stdout + stderr);
	return JSON.parse(stdout);
};
const reseal = async (t, cwd, env) => {
	const { code, stdout, stderr } = await runProgram(t, ['keys', 'reseal', '--json'], { cwd, env: { ...settings, ...env } });
	assert.equal(code, 0, stdout + stderr);
	return JSON.parse(stdout);
};

// Uses what somebody has in their hands; what they have afterwards.
async function goOn(server, hands) {
	await done(server, 'GET /api/v1/me', { token: hands.accessToken });
	const next = await done(server, 'POST /api/v1/auth/refresh', { body: { refreshToken: hands.refreshToken } });
	const again = await call(server, 'POST /api/v1/invitations', {
		token: next.accessToken,
		headers: { 'idempotency-key': 'once' },
		body: { email: 'eve@example.com', role: 'member' },
	});
	assert.equal(again.status, 201, again.text);
	return { ...next, replayed: again.headers.get('idempotent-replayed') === 'true' };
}

test('a key is changed beside a server', async (t) => {
	const [first, second] = [key(), key()];
	let server = await startServer(t, { env: { ...settings, MASTER_KEY: first } });
	const { dataDir } = server;
	let hands = await goOn(server, await register(server, 'acme'));
	assert.ok(!hands.replayed);

	const lonely = await runProgram(t, ['keys', 'reseal'], { cwd: dataDir, env: settings });
	assert.equal(lonely.code, 1);
	assert.match(lonely.stderr, /MASTER_KEY_PREVIOUS is not set/);
	await server.stop();

	const both = { MASTER_KEY: second, MASTER_KEY_PREVIOUS: first };
	server = await startServer(t, { dataDir, env: { ...settings, ...both } });
	hands = await goOn(server, hands);
	assert.ok(hands.replayed);
	const report = await reseal(t, dataDir, both);
	assert.deepEqual(report.modules.map(({ name }) => name).sort(), ['audit', 'auth', 'job-workers', 'mails', 'rest']);
	assert.ok(report.sealed >= 3, JSON.stringify(report));
	assert.equal(report.lost, 0);
	assert.ok((await reseal(t, dataDir, both)).sealed <= 1);
	await server.stop();

	server = await startServer(t, { dataDir, env: { ...settings, MASTER_KEY: second } });
	hands = await goOn(server, hands);
	assert.ok(hands.replayed);
	await verify(t, dataDir, { MASTER_KEY: second });
	await server.stop();
});

test('kill -9 of the one that seals, again and again', async (t) => {
	const [first, second] = [key(), key()];
	let server = await startServer(t, { env: { ...settings, MASTER_KEY: first } });
	const { dataDir } = server;
	let hands = await goOn(server, await register(server, 'acme'));
	for (let i = 0; i < 30; i++)
		await register(server, `tenant-${i}`);
	await server.stop();

	const both = { ...settings, MASTER_KEY: second, MASTER_KEY_PREVIOUS: first };
	for (let i = 0; i < 12; i++) {
		const child = spawn(PROGRAM, ['keys', 'reseal'], { cwd: dataDir, env: environment({ DATA_DIR: dataDir, ...both }), stdio: 'ignore' });
		const ended = once(child, 'exit');
		await sleep(20 + 5 * i);
		child.kill('SIGKILL');
		await ended;
		await verify(t, dataDir, both);
	}
	assert.equal((await reseal(t, dataDir, both)).lost, 0);
	server = await startServer(t, { dataDir, env: both });
	hands = await goOn(server, hands);
	await server.stop();
	server = await startServer(t, { dataDir, env: { ...settings, MASTER_KEY: second } });
	hands = await goOn(server, hands);
	assert.ok(hands.replayed);
	await verify(t, dataDir, { MASTER_KEY: second });
	await server.stop();
});

test('keys that are wrong', async (t) => {
	const same = key();
	for (const [env, message] of [
		[{ MASTER_KEY: same, MASTER_KEY_PREVIOUS: same }, /MASTER_KEY_PREVIOUS is the same as MASTER_KEY/],
		[{ MASTER_KEY: same, MASTER_KEY_PREVIOUS: 'x'.repeat(40) }, /MASTER_KEY_PREVIOUS is not 32 bytes/],
	]) {
		const { code, stdout, stderr } = await runProgram(t, ['config', 'check'], { env });
		assert.notEqual(code, 0);
		assert.match(stdout + stderr, message);
	}
});
