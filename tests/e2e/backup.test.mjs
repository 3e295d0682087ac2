// Backups of the SQLite file: by command and by schedule, while somebody writes, and back again.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { atEnd, runProgram, startServer, temporaryFolder } from './server.mjs';
import { ask, get, poll } from './wire.mjs';

const NAME = /^bulkhead-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z$/;

// What SQLite's own shell says about a file.
function sql(file, text) {
	const { status, stdout, stderr } = spawnSync('sqlite3', ['-batch', file], { input: `.timeout 10000\n${text};\n`, encoding: 'utf8' });
	assert.equal(status, 0, stderr);
	return stdout.trimEnd();
}

const databaseOf = (dataDir) => join(dataDir, 'bulkhead.db');
const copyOf = (dataDir, name) => join(dataDir, 'backups', `${name}.db`);

// A folder whose database has a table of ours beside whatever the server keeps there. The amounts of
// its two rows are 1000 in every state that was committed.
async function dataWithLedger(t) {
	const dataDir = await temporaryFolder(t);
	sql(databaseOf(dataDir), `PRAGMA journal_mode = WAL; CREATE TABLE ledger (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL);
		INSERT INTO ledger VALUES (1, 1000), (2, 0); CREATE TABLE filler (text TEXT);
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO filler SELECT hex(randomblob(500)) FROM n`);
	return dataDir;
}

const command = (t, dataDir, ...args) => runProgram(t, ['backup', ...args], { cwd: dataDir });

async function create(t, dataDir) {
	const { code, stdout, stderr } = await command(t, dataDir, 'create', '--json');
	assert.equal(code, 0, stderr);
	const backup = JSON.parse(stdout);
	assert.match(backup.name, NAME);
	return backup;
}

const list = async (t, dataDir) => JSON.parse((await command(t, dataDir, 'list', '--json')).stdout);

// Moves an amount in one transaction after the other until the test ends it: commits so far.
function writer(t, dataDir) {
	const shell = spawn('sqlite3', ['-batch', databaseOf(dataDir)], { stdio: ['pipe', 'pipe', 'inherit'] });
	const ended = once(shell, 'close');
	atEnd(t, () => shell.kill('SIGKILL'));
	const state = { commits: 0, running: true };
	const more = () => state.running && shell.stdin.write(`BEGIN IMMEDIATE; UPDATE ledger SET amount = amount - 7 WHERE id = 1;
		INSERT INTO filler VALUES (hex(randomblob(300))); UPDATE ledger SET amount = amount + 7 WHERE id = 2; COMMIT; SELECT 'done';\n`);
	shell.stdin.on('error', () => {});
	shell.stdin.write('.timeout 10000\nPRAGMA wal_autocheckpoint = 0;\n');
	shell.stdout.setEncoding('utf8').on('data', (text) => {
		for (const _ of text.matchAll(/done/g)) {
			state.commits++;
			more();
		}
	});
	more();
	state.stop = async () => {
		state.running = false;
		shell.stdin.end();
		await ended;
	};
	return state;
}

test('made while somebody writes, verified, and restored', async (t) => {
	const dataDir = await dataWithLedger(t);
	const server = await startServer(t, { dataDir });
	const writing = writer(t, dataDir);
	await poll('the first commits', () => writing.commits > 5);
	const backups = [];
	for (let i = 0; i < 3; i++) {
		const before = writing.commits;
		backups.push(await create(t, dataDir));
		await poll('commits go on', () => writing.commits > before);
	}
	await writing.stop();
	for (const { name, size, sha256 } of backups) {
		assert.equal(sql(copyOf(dataDir, name), 'SELECT sum(amount) FROM ledger'), '1000');
		assert.equal((await stat(copyOf(dataDir, name))).size, size);
		assert.equal(spawnSync('sha256sum', [copyOf(dataDir, name)], { encoding: 'utf8' }).stdout.split(' ')[0], sha256);
		assert.deepEqual([(await command(t, dataDir, 'verify', name)).stdout], [`${name} is whole\n`]);
	}
	assert.deepEqual((await list(t, dataDir)).map(({ name }) => name), backups.map(({ name }) => name).reverse());
	assert.match((await command(t, dataDir, 'list')).stdout, /^bulkhead-\S+ {2}\d+\.\d MB, version \d/);
	assert.equal((await command(t, dataDir, 'check')).stdout, 'the database is sound\n');

	const wanted = backups[0].name;
	const moved = () => sql(databaseOf(dataDir), 'SELECT amount FROM ledger WHERE id = 2');
	const then = sql(copyOf(dataDir, wanted), 'SELECT amount FROM ledger WHERE id = 2');
	const now = moved();
	assert.notEqual(now, then);
	const refused = await command(t, dataDir, 'restore', wanted);
	assert.equal(refused.code, 1);
	assert.match(refused.stderr, new RegExp(`stop the server first: .*pid ${server.pid}\\b`));
	assert.equal(moved(), now);

	await server.stop();
	const restored = await command(t, dataDir, 'restore', wanted);
	assert.equal(restored.code, 0, restored.stderr);
	assert.match(restored.stdout, /MASTER_KEY/);
	const aside = /former database is now (\S+)/.exec(restored.stdout)[1];
	assert.equal(moved(), then);
	assert.equal(sql(aside, 'SELECT amount FROM ledger WHERE id = 2'), now);

	const again = await startServer(t, { dataDir });
	assert.equal((await ask(again, get('/health/ready'))).status, 200);
	assert.equal(moved(), then);
});

test('damaged ones are found and not restored', async (t) => {
	const dataDir = await dataWithLedger(t);
	const [byte, short, bare] = [await create(t, dataDir), await create(t, dataDir), await create(t, dataDir)].map(({ name }) => name);
	const file = await open(copyOf(dataDir, byte), 'r+');
	await file.write('x', 20_000);
	await file.close();
	await truncate(copyOf(dataDir, short), 10_000);
	spawnSync('rm', [join(dataDir, 'backups', `${bare}.json`)]);

	for (const [name, says] of [[byte, /SHA-256/], [short, /10000 bytes and not/], [bare, /there is no .*\.json/], ['bulkhead', /is not the name of a backup/], ['../bulkhead', /is not the name/]])
		for (const action of ['verify', 'restore']) {
			const { code, stdout, stderr } = await command(t, dataDir, action, name);
			assert.deepEqual([code, stdout], [1, ''], action);
			assert.match(stderr, says);
		}
	const problems = (await list(t, dataDir)).map(({ name, problem }) => [name, Boolean(problem)]);
	assert.deepEqual(problems, [[bare, true], [short, true], [byte, false]]);
	assert.match((await command(t, dataDir, 'list')).stdout, /DAMAGED/);
	assert.equal(sql(databaseOf(dataDir), 'SELECT sum(amount) FROM ledger'), '1000');
	assert.deepEqual((await readdir(dataDir)).filter((name) => /restor/.test(name)), []);
});

test('a database that is damaged', async (t) => {
	const dataDir = await dataWithLedger(t);
	const server = await startServer(t, { dataDir });
	sql(databaseOf(dataDir), `PRAGMA wal_autocheckpoint = 0; CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES ledger (id));
		PRAGMA foreign_keys = OFF; INSERT INTO child VALUES (5, 99)`);
	for (const running of [true, false]) {
		if (!running)
			await server.stop();
		const check = await command(t, dataDir, 'check');
		assert.deepEqual([check.code, check.stdout], [1, 'row 5 of child refers to nothing in ledger\n']);
		const made = await command(t, dataDir, 'create');
		assert.equal(made.code, 1);
		assert.match(made.stderr, /the database is damaged: row 5 of child/);
		assert.deepEqual(await readdir(join(dataDir, 'backups')), []);
	}
});

test('by schedule, and only as many as are wanted', async (t) => {
	const dataDir = await dataWithLedger(t);
	const env = { BACKUP_INTERVAL: '1h', BACKUP_KEEP: '2' };
	const server = await startServer(t, { dataDir, env });
	const { name } = await server.logged((line) => line.msg === 'backup made');
	assert.match(name, NAME);
	assert.deepEqual((await list(t, dataDir)).map((entry) => entry.name), [name]);
	const metrics = (await ask(server, get('/metrics'))).body.toString();
	assert.match(metrics, /^backups_total\{result="ok"\} 1$/m);
	assert.match(metrics, /^backup_last_success_timestamp_seconds \d{10}/m);
	await server.stop();

	// The last one is young enough.
	const next = await startServer(t, { dataDir, env });
	await next.logged((line) => line.msg === 'listening');
	const second = await create(t, dataDir);
	const third = (await runProgram(t, ['backup', 'create'], { cwd: dataDir, env })).stdout;
	assert.match(third, /1 old backups removed/);
	assert.equal((await list(t, dataDir)).at(-1).name, second.name);
	assert.ok(!next.lines.some((line) => line.msg === 'backup made'));
});

test('without a server, and without a database', async (t) => {
	const dataDir = await dataWithLedger(t);
	const { name } = await create(t, dataDir);
	assert.equal((await command(t, dataDir, 'verify', name)).code, 0);

	const empty = await temporaryFolder(t);
	const none = await command(t, empty, 'create');
	assert.equal(none.code, 1);
	assert.match(none.stderr, /there is no database/);
	assert.deepEqual([(await command(t, empty, 'list')).stdout, await list(t, empty)], ['there are no backups\n', []]);

	// Onto a new machine: the folder of backups is all there is.
	await mkdir(join(empty, 'backups'), { recursive: true });
	spawnSync('cp', ['-r', join(dataDir, 'backups'), empty]);
	assert.equal((await command(t, empty, 'restore', name)).code, 0);
	assert.equal(sql(databaseOf(empty), 'SELECT sum(amount) FROM ledger'), '1000');
});

test('not of PostgreSQL', async (t) => {
	const env = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing' };
	for (const args of [['create'], ['check'], ['restore', 'bulkhead-2026-01-01T00-00-00.000Z']]) {
		const { code, stderr } = await runProgram(t, ['backup', ...args], { env });
		assert.equal(code, 1);
		assert.match(stderr, /DATABASE_URL is set/);
	}
});

test('used wrongly', async (t) => {
	for (const args of [[], ['verify'], ['restore'], ['create', 'x'], ['dance'], ['list', '--replace'], ['verify', 'a', 'b']]) {
		const { code, stdout } = await command(t, undefined, ...args);
		assert.deepEqual([code, stdout], [2, ''], args.join(' '));
	}
});
