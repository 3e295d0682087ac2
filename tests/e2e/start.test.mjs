// Starts that must fail, and commands that do not serve.
import assert from 'node:assert/strict';
import { mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import test from 'node:test';
import { atEnd, launchServer, PRODUCTION, runProgram, startServer, temporaryFolder } from './server.mjs';
import { ask, dial, freePort, get } from './wire.mjs';

// Runs `serve`, which must not come up: one line of explanation, exit code 1.
async function assertFails(t, env, explanation) {
	const folder = await temporaryFolder(t);
	const result = await runProgram(t, ['serve'], { env, cwd: folder });
	assert.deepEqual([result.code, result.signal], [1, null], result.stderr);
	assert.match(result.stderr, explanation);
	assert.equal(result.stderr.trimEnd().split('\n').length, 1, `one line:\n${result.stderr}`);
	assert.deepEqual(await readdir(folder), [], 'nothing is left behind');
}

test('a port that is taken', async (t) => {
	const other = createServer().listen(0, '127.0.0.1');
	await once(other, 'listening');
	atEnd(t, () => other.close());
	await assertFails(t, { PORT: String(other.address().port) }, /^bulkhead: cannot listen on 127\.0\.0\.1:\d+: the port is taken/);

	const server = await startServer(t);
	await assertFails(t, { PORT: String(server.port) }, /the port is taken/);
	assert.equal((await ask(server, get())).status, 200, 'the first one goes on');
});

test('the port of the operators is taken', async (t) => {
	const server = await startServer(t);
	await assertFails(t, { ...PRODUCTION, OPS_LISTEN: `127.0.0.1:${server.port}` }, /cannot listen on 127\.0\.0\.1:\d+: the port is taken/);
});

test('an address that this machine has not', (t) => assertFails(t, { HOST: '192.0.2.1' }, /cannot listen on 192\.0\.2\.1:0: this machine has no such address/));

test('a data folder that cannot be', async (t) => {
	const file = join(await temporaryFolder(t), 'file');
	await writeFile(file, '');
	await assertFails(t, { DATA_DIR: join(file, 'data') }, /cannot make the data folder .*: Not a directory/);
	await assertFails(t, { DATA_DIR: file }, /cannot write to the data folder .*: Not a directory/);
	await assertFails(t, { DATA_DIR: '/proc/bulkhead' }, /cannot make the data folder \/proc\/bulkhead: /);
	await assertFails(t, { DATA_DIR: '/proc/self' }, /cannot write to the data folder \/proc\/self: /);
});

test('a log file that cannot be', (t) => assertFails(t, { LOG_FILE: '/proc/bulkhead/log' }, /^bulkhead: .*\/proc\/bulkhead/));

test('whoever gets in while it starts is served', async (t) => {
	for (let round = 0; round < 10; round++) {
		const port = await freePort();
		const server = await launchServer(t, { env: { PORT: String(port), WORKERS: '8' } });
		const knock = async () => {
			for (;;) {
				const wire = dial(t, { port });
				await wire.send(get('/hello', { connection: 'close' }));
				const answer = await wire.over();
				wire.destroy();
				if (wire.ended !== 'ECONNREFUSED')
					return answer.toString('latin1', 0, 15);
			}
		};
		const answers = await Promise.all(Array.from({ length: 30 }, knock));
		assert.deepEqual(new Set(answers), new Set(['HTTP/1.1 200 OK']), server.output());
		assert.deepEqual(await server.stop(), { code: 0, signal: null });
	}
});

test('settings that are wrong, all of them named', async (t) => {
	const env = { PORT: '99999', LOG_LEVEL: 'loud', HTTP_MAX_HEAD: '3', HTTP_HEAD_TIMEOUT: 'soon', WORKERS: '-1' };
	const folder = await temporaryFolder(t);
	const { code, stdout, stderr } = await runProgram(t, ['serve'], { env, cwd: folder });
	assert.equal(code, 1);
	assert.equal(stdout, '');
	const lines = stderr.trimEnd().split('\n');
	assert.equal(lines.length, Object.keys(env).length, stderr);
	for (const name of Object.keys(env))
		assert.equal(lines.filter((line) => line.startsWith(`problem: ${name} must be `)).length, 1, name);
	assert.deepEqual(await readdir(folder), []);
});

test('config check', async (t) => {
	const good = await runProgram(t, ['config', 'check']);
	assert.equal(good.code, 0);
	assert.match(good.stdout, /valid/);

	const bad = await runProgram(t, ['config', 'check', '--json'], { env: { PORT: 'x', LOG_LEVEL: 'loud' } });
	assert.equal(bad.code, 1);
	const { valid, problems } = JSON.parse(bad.stdout);
	assert.equal(valid, false);
	assert.deepEqual(problems.map(({ name }) => name), ['PORT', 'LOG_LEVEL']);

	const fine = await runProgram(t, ['config', 'check', '--json']);
	assert.equal(fine.code, 0);
	assert.equal(JSON.parse(fine.stdout).valid, true);
});

test('config print says where each value comes from', async (t) => {
	const folder = await mkdtemp(join(await temporaryFolder(t), 'env-'));
	await writeFile(join(folder, '.env'), 'HTTP_MAX_FIELDS=50\n');
	const { code, stdout } = await runProgram(t, ['config', 'print', '--json'], { env: { WORKERS: '3' }, cwd: folder });
	assert.equal(code, 0);
	const settings = JSON.parse(stdout);
	assert.deepEqual([settings.WORKERS.value, settings.WORKERS.origin], [3, 'environment']);
	assert.deepEqual(settings.HTTP_MAX_FIELDS.value, 50);
	assert.match(settings.HTTP_MAX_FIELDS.origin, /\.env/);
	assert.equal(settings.HTTP_MAX_LINE.origin, 'default');
	assert.match((await runProgram(t, ['config', 'print'])).stdout, /WORKERS/);
});

test('config doc is the reference', async (t) => {
	const { code, stdout } = await runProgram(t, ['config', 'doc']);
	assert.equal(code, 0);
	assert.match(stdout, /^# Settings\n/);
	assert.match(stdout, /\| `PORT` \|/);
});

test('help, version and wrong use', async (t) => {
	for (const args of [['--help'], ['-h'], ['help'], ['serve', '--help'], ['config', '--help']]) {
		const { code, stdout, stderr } = await runProgram(t, args);
		assert.deepEqual([code, stderr], [0, ''], args.join(' '));
		assert.match(stdout, /^Usage: bulkhead /);
	}
	for (const args of [[], ['nonsense'], ['serve', 'nonsense'], ['config'], ['config', 'nonsense'], ['config', 'doc', '--json'], ['--nonsense'], ['serve', '-x'], ['version', 'a', 'b']]) {
		const { code, stdout, stderr } = await runProgram(t, args);
		assert.deepEqual([code, stdout], [2, ''], args.join(' '));
		assert.ok(stderr.length > 0);
	}

	const { stdout } = await runProgram(t, ['version']);
	assert.match(stdout, /^bulkhead \d+\.\d+\.\d+\n$/);
	const json = JSON.parse((await runProgram(t, ['version', '--json'])).stdout);
	assert.equal(`bulkhead ${json.version}\n`, stdout);
});

test('development and production', async (t) => {
	const here = await startServer(t);
	for (const target of ['/hello', '/health', '/health/live', '/health/ready', '/health/startup', '/live', '/ready', '/metrics'])
		assert.equal((await ask(here, get(target))).status, 200, target);
	const detailed = JSON.parse((await ask(here, get('/health'))).body);
	assert.deepEqual(Object.keys(detailed), ['status', 'version', 'uptimeSeconds', 'connections', 'memoryBytes', 'checks']);

	const env = { ...PRODUCTION, SHUTDOWN_DELAY: '0s' };
	const server = await startServer(t, { env });
	const ops = { port: Number(new URL((await server.logged((line) => line.serves === 'operators')).url).port) };
	const tell = async (at, target) => {
		const response = await ask(at, get(target));
		return response.status === 200 ? response.body.toString() : response.status;
	};
	for (const target of ['/health', '/health/live', '/health/ready', '/health/startup', '/live', '/ready'])
		assert.equal(await tell(server, target), '{"status":"ok"}', 'the bare status');
	assert.equal(await tell(server, '/metrics'), 404);
	assert.equal(await tell(server, '/hello'), 404);
	assert.match(await tell(ops, '/metrics'), /^# HELP /);
	assert.deepEqual(Object.keys(JSON.parse(await tell(ops, '/health'))), Object.keys(detailed));
	assert.equal(await tell(ops, '/hello'), 404, 'nothing of the public there');

	const asked = await startServer(t, { env: { ...env, HELLO_ENABLED: 'true' } });
	assert.match(await tell(asked, '/hello'), /Hello/);
});
