// The README's first five minutes, command by command, with the workers of examples/first-steps and a
// real text; the server is killed in the middle. The same workers on PostgreSQL, with two instances of
// which one is killed for good.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'node:test';
import { gunzipSync } from 'node:zlib';
import { done, register } from './people.mjs';
import { atEnd, postgres, PRODUCTION, startServer, temporaryFolder } from './server.mjs';
import { freePort, poll } from './wire.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TEXT = '/usr/share/doc/dpkg/changelog.gz'; // as the README says

const LINES = 10_500; // of it, for the second test

// What each line comes to, as a worker prints it.
async function wanted(most = Infinity) {
	const lines = gunzipSync(await readFile(TEXT)).toString().split('\n').slice(0, -1).slice(0, most);
	assert.ok(lines.length >= 10_000, `${lines.length} lines`);
	return new Set(lines.map((line, i) => JSON.stringify({
		number: i + 1,
		words: line.split(/\s+/).filter(Boolean).length,
		sha256: createHash('sha256').update(line).digest('hex'),
	})));
}

// The commands of a section of the README, in its order.
async function commands(section) {
	const text = await readFile(join(ROOT, 'README.md'), 'utf8');
	const [, body] = new RegExp(`^## ${section}\n([^]*?)^## `, 'm').exec(text);
	return body.split('\n').filter((line) => line.startsWith('    ')).map((line) => line.slice(4));
}

const outputs = async (folder) => {
	const texts = await Promise.all(['node.out', 'python.out'].map((name) => readFile(join(folder, name), 'utf8').catch(() => '')));
	return texts.map((text) => text.split('\n').slice(0, -1));
};

// Runs a script in a group of its own, which ends with the test.
function background(t, script, { cwd, env }) {
	const child = spawn('bash', ['-euc', script], { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
	const all = { text: '', ended: new Promise((settle) => child.on('close', settle)) };
	for (const stream of [child.stdout, child.stderr])
		stream.setEncoding('utf8').on('data', (chunk) => (all.text += chunk));
	atEnd(t, async () => {
		try {
			process.kill(-child.pid, 'SIGKILL');
		} catch {} // all of it has ended
		await all.ended;
	});
	return all;
}

function check(t, all, [node, python]) {
	const found = new Set([...node, ...python]);
	assert.deepEqual([...all].filter((line) => !found.has(line)), [], 'every line was counted');
	assert.deepEqual([...found].filter((line) => !all.has(line)), [], 'and nothing else');
	assert.ok(node.length > 0 && python.length > 0, 'by both');
	t.diagnostic(`${all.size} lines; Node ${node.length}, Python ${python.length}, twice ${node.length + python.length - all.size}`);
}

test('the first five minutes, as the README tells them', async (t) => {
	const all = await wanted();
	const folder = await temporaryFolder(t);
	await symlink(join(ROOT, 'examples'), join(folder, 'examples'));
	await mkdir(join(folder, 'data'));
	const env = { PORT: String(await freePort()), DATA_DIR: join(folder, 'data'), RATE_LIMIT_ENABLED: 'true' };
	const server = await startServer(t, { env, dataDir: join(folder, 'data') });

	// As they stand there, but for the port, and with a wait where a person would read.
	const lines = (await commands('The first five minutes')).filter((line) => !/^(build\/release\/|kill |\.\/run)/.test(line));
	const script = lines.join('\n').replaceAll('localhost:8080', `127.0.0.1:${server.port}`)
		.replace(/^TOKEN=/m, 'until ls data/mails/*-verify.eml >/dev/null 2>&1; do sleep 0.1; done\nTOKEN=');
	assert.match(script, /worker\.mjs.*&\n.*worker\.py.*&\n/);
	const [first, last] = script.split(/^(?=cat node\.out)/m);
	const shell = { cwd: folder, env: { PATH: process.env.PATH, BULKHEAD_URL: server.url } };
	const running = background(t, `${first}\nwait`, shell);

	await poll('a part of the work', async () => (await outputs(folder)).flat().length > all.size / 4);
	assert.ok((await outputs(folder)).flat().length < all.size, 'the server is killed in the middle');
	await server.kill();
	await startServer(t, { env, dataDir: server.dataDir });
	await poll(`all of the work\n${running.text}`, async () => new Set((await outputs(folder)).flat()).size >= all.size);

	check(t, all, await outputs(folder));
	assert.equal(spawnSync('bash', ['-euc', last], { ...shell, encoding: 'utf8' }).stdout.trim(), String(all.size));
	assert.match(running.text, /HTTP\/1\.1 204/, 'the address was proved');
	assert.match(running.text, new RegExp(`${all.size} jobs added`));
});

test('two instances on PostgreSQL; one is killed and the other takes over', async (t) => {
	const env = await postgres(t);
	if (!env)
		return;
	const all = await wanted(LINES);
	const folder = await temporaryFolder(t);
	const shared = { ...env, MASTER_KEY: PRODUCTION.MASTER_KEY, PUBLIC_URL: 'http://localhost:8080', JWT_ALGORITHM: 'ES256' };
	const [one, two] = [await startServer(t, { env: shared }), await startServer(t, { env: shared })];
	const { accessToken: token } = await register(one, 'acme');
	const { key } = await done(one, 'POST /api/v1/api-keys', { token, body: { name: 'first steps', scopes: ['jobs:read', 'jobs:write', 'jobs:work'] } });
	const at = (server) => ({ cwd: folder, env: { PATH: process.env.PATH, BULKHEAD_URL: server.url, BULKHEAD_KEY: key } });
	const examples = join(ROOT, 'examples/first-steps');

	background(t, `node ${examples}/worker.mjs >>node.out`, at(one));
	background(t, `python3 ${examples}/worker.py >>python.out`, at(two));
	const added = background(t, `zcat ${TEXT} | head -n ${LINES} | python3 ${examples}/enqueue.py`, at(two));
	await poll('a part of the work of both', async () => (await outputs(folder)).every((lines) => lines.length > 500));
	const killedAt = Date.now();
	await one.kill();
	await added.ended;
	await poll(`all of the work\n${added.text}`, async () => new Set((await outputs(folder)).flat()).size >= all.size);
	t.diagnostic(`${Date.now() - killedAt} ms after the kill`);
	check(t, all, await outputs(folder));
	assert.match(added.text, new RegExp(`${all.size} jobs added`));
});
