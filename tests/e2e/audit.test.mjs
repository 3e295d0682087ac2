// The audit log from outside: what people did is told and exported, and bulkhead audit verify knows
// whether it still is what was written.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { call, done, register } from './people.mjs';
import { runProgram, startServer, temporaryFolder } from './server.mjs';
import { poll } from './wire.mjs';

const verify = async (t, folder, ...args) => {
	const result = await runProgram(t, ['audit', 'verify', '--json', ...args], { cwd: folder });
	assert.ok([0, 3].includes(result.code), `${result.code} ${result.stderr}`);
	const report = JSON.parse(result.stdout);
	assert.equal(report.whole, result.code === 0);
	return report;
};
const chained = (t, folder) => poll('all is chained', async () => (await verify(t, folder)).unchained === 0);
const shell = (folder, sql) => {
	const { status, stdout, stderr } = spawnSync('sqlite3', ['-batch', join(folder, 'bulkhead.db')], { input: `.timeout 10000\n${sql};\n`, encoding: 'utf8' });
	assert.equal(status, 0, stderr);
	return stdout;
};
const headOf = (text) => text.match(/audit-head:1:[0-9a-f-]{36}:\d+:\d+:[\w-]{43}:[\w-]{43}/)[0];

test('what is done is told, exported, and verified beside a server and without one', async (t) => {
	const server = await startServer(t, { env: { LOG_LEVEL: 'info' } });
	const { accessToken: token, user } = await register(server, 'acme');
	await register(server, 'other');

	const { items } = await done(server, 'GET /api/v1/audit?limit=100', { token });
	assert.ok(items.some(({ action }) => action === 'user.created'), JSON.stringify(items));
	assert.ok(!JSON.stringify(items).includes('other.example'));
	assert.ok(!/passphrase|battery|password.?hash/i.test(JSON.stringify(items)));
	await chained(t, server.dataDir);

	const lines = await call(server, 'GET /api/v1/audit/export', { token });
	assert.equal(lines.headers.get('content-type'), 'application/jsonl');
	const entries = lines.text.trimEnd().split('\n').map((line) => JSON.parse(line));
	assert.equal(entries.at(-1).entries, entries.length - 1);
	assert.equal(entries.at(-1).head, headOf(lines.text));
	assert.ok(entries.some(({ userId }) => userId === user.id));
	const csv = await call(server, 'GET /api/v1/audit/export?format=csv', { token });
	assert.match(csv.text, /^id,sequence,createdAt,[^\r\n]*\r\n/);
	assert.match(csv.text, /\r\n"# audit-head:1:[^\r\n]*"\r\n$/);

	const file = join(server.dataDir, 'export.jsonl');
	await writeFile(file, lines.text);
	const log = JSON.stringify(await server.logged((line) => line.head?.startsWith('audit-head:')));
	assert.deepEqual((await verify(t, server.dataDir, file, headOf(log))).findings, []);
	await chained(t, server.dataDir);
	await server.stop();
	assert.equal((await verify(t, server.dataDir, file)).heads, 1);
});

test('bulkhead audit export is the export of the API', async (t) => {
	const server = await startServer(t);
	const { accessToken: token, tenant } = await register(server, 'acme');
	const { dataDir } = server;
	// More than one part.
	for (let i = 0; i < 320; i++)
		await done(server, 'PATCH /api/v1/tenant', { token, body: { settings: { text: String(i).padEnd(4000, 'x') } } });
	await chained(t, dataDir);

	const entriesOf = (text) => text.trimEnd().split('\n').map((line) => JSON.parse(line));
	const idsOf = (text) => entriesOf(text).slice(0, -1).map(({ id }) => id);
	const overHttp = (await call(server, 'GET /api/v1/audit/export', { token })).text;
	for (const name of ['acme', tenant.id]) {
		const { code, stdout, stderr } = await runProgram(t, ['audit', 'export', name], { cwd: dataDir });
		assert.equal(code, 0, stderr);
		assert.ok(stdout.length > 2.2e6, `${stdout.length}`);
		assert.deepEqual(idsOf(stdout).slice(0, idsOf(overHttp).length), idsOf(overHttp));
		assert.equal(entriesOf(stdout).at(-1).entries, entriesOf(stdout).length - 1);
	}
	const csv = await runProgram(t, ['audit', 'export', '--csv', 'acme'], { cwd: dataDir });
	assert.equal(csv.code, 0, csv.stderr);
	assert.match(csv.stdout, /^id,sequence,createdAt,[^\r\n]*\r\n/);
	assert.match(csv.stdout, /\r\n"# audit-head:1:[^\r\n]*"\r\n$/);
	assert.equal(csv.stdout.match(/^id,/gm).length, 1);
	const system = await runProgram(t, ['audit', 'export', '--json', 'system'], { cwd: dataDir });
	assert.equal(system.code, 0, system.stderr);
	const nobody = await runProgram(t, ['audit', 'export', 'nobody'], { cwd: dataDir });
	assert.equal(nobody.code, 1);
	assert.match(nobody.stderr, /there is no tenant nobody/);
	for (const args of [[], ['a', 'b'], ['--json', '--csv', 'acme'], ['two words']])
		assert.equal((await runProgram(t, ['audit', 'export', ...args], { cwd: dataDir })).code, 2, args.join(' '));
	await server.stop();

	const alone = await runProgram(t, ['audit', 'export', 'acme'], { cwd: dataDir });
	assert.equal(alone.code, 0, alone.stderr);
	assert.ok(idsOf(alone.stdout).length > idsOf(overHttp).length, 'each export is an entry');
	assert.equal(entriesOf(alone.stdout).filter(({ action }) => action === 'audit.exported').length, 5);
	const file = join(dataDir, 'export.jsonl');
	await writeFile(file, alone.stdout);
	assert.equal((await verify(t, dataDir, file)).heads, 1);
	assert.equal((await runProgram(t, ['audit', 'export', 'nobody'], { cwd: dataDir })).code, 1);
});

test('what was changed is found', async (t) => {
	const server = await startServer(t);
	const { accessToken: token, tenant } = await register(server, 'acme');
	await chained(t, server.dataDir);
	const head = headOf((await call(server, 'GET /api/v1/audit/export', { token })).text);
	await chained(t, server.dataDir);
	await server.stop();

	const change = (sql) => shell(server.dataDir, sql);
	const kinds = async (...args) => (await verify(t, server.dataDir, ...args)).findings.map(({ kind }) => kind);
	const own = `tenant_id = X'${tenant.id.replaceAll('-', '')}'`;
	const last = Number(change(`SELECT max(sequence) FROM audit WHERE ${own}`));
	assert.ok(last >= 2);

	change(`UPDATE audit SET action = 'user.seen' WHERE ${own} AND sequence = 1`);
	assert.deepEqual(await kinds(head), ['edited']);
	change(`DELETE FROM audit WHERE ${own} AND sequence = ${last}`);
	assert.deepEqual(await kinds(), ['edited', 'end']);
	change(`DELETE FROM audit WHERE ${own}`);
	change(`DELETE FROM audit_mark WHERE ${own}`);
	assert.deepEqual(await kinds(), [], 'of what is not there nobody knows');
	assert.deepEqual(await kinds(head), ['head'], 'but a head does');

	const text = await runProgram(t, ['audit', 'verify', head], { cwd: server.dataDir });
	assert.equal(text.code, 3);
	assert.match(text.stdout, /^BROKEN \(head\): .*\n.*: BROKEN\n$/);
	assert.equal((await runProgram(t, ['audit', 'verify', 'no-such-file'], { cwd: server.dataDir })).code, 1);
	assert.equal((await runProgram(t, ['audit', 'verify', '--dry-run'], { cwd: server.dataDir })).code, 2);
});

test('what was changed in a stopped file is found, and a state of the past by the log', async (t) => {
	const server = await startServer(t);
	const past = join(await temporaryFolder(t), 'past.db');
	const { accessToken: token, tenant } = await register(server, 'acme');
	await chained(t, server.dataDir);
	shell(server.dataDir, `.backup '${past}'\nSELECT 1`);
	for (let i = 0; i < 5; i++)
		await done(server, 'POST /api/v1/api-keys', { token, body: { name: `key ${i}`, scopes: ['keys:read'] } });
	await chained(t, server.dataDir);

	// A tenant's head is told at most once a minute.
	const own = `tenant_id = X'${tenant.id.replaceAll('-', '')}'`;
	const last = Number(shell(server.dataDir, `SELECT max(sequence) FROM audit WHERE ${own}`));
	const ours = (line) => line.head?.startsWith(`audit-head:1:${tenant.id}:${last}:`);
	const log = join(await temporaryFolder(t), 'log.jsonl');
	await server.logged(ours, 90_000);
	await server.stop();
	await writeFile(log, server.lines.map((line) => JSON.stringify(line)).join('\n'));

	// What verify finds in a copy after such a change, without the log and with it.
	const found = async (sql) => {
		const folder = await temporaryFolder(t);
		await cp(server.dataDir, folder, { recursive: true, filter: (name) => !name.endsWith('.sock') });
		shell(folder, sql);
		const kinds = async (...args) => (await verify(t, folder, ...args)).findings.map(({ kind }) => kind).join();
		return [await kinds(), await kinds(log)];
	};
	const row = `${own} AND sequence = ${last - 2}`;
	assert.deepEqual(await found('SELECT 1'), ['', '']);
	for (const column of ['action', 'target_id', 'request_id', 'state_after'])
		assert.deepEqual(await found(`UPDATE audit SET ${column} = 'x' || coalesce(${column}, '') WHERE ${row}`), ['edited', 'edited'], column);
	for (const column of ['created_at', 'security'])
		assert.deepEqual(await found(`UPDATE audit SET ${column} = 1 - ${column} WHERE ${row}`), ['edited', 'edited'], column);
	assert.deepEqual(await found(`DELETE FROM audit WHERE ${row}`), ['gap', 'gap']);
	assert.deepEqual(await found(`DELETE FROM audit WHERE ${own} AND sequence > ${last - 2}`), ['end', 'end']);

	// Rows are cut off, and the mark is the one that stood there then.
	const cut = `ATTACH '${past}' AS past; DELETE FROM audit WHERE id NOT IN (SELECT id FROM past.audit); REPLACE INTO audit_mark SELECT * FROM past.audit_mark`;
	assert.deepEqual(await found(cut), ['', 'head']);
});

test('heads are read from files, and a pipe holds up nobody', async (t) => {
	const server = await startServer(t);
	await register(server, 'acme');
	const pipe = join(server.dataDir, 'pipe');
	spawnSync('mkfifo', [pipe]);
	const result = await runProgram(t, ['audit', 'verify', pipe], { cwd: server.dataDir });
	assert.equal(result.code, 1);
	assert.match(result.stderr, /is no file/);
	assert.equal((await call(server, 'GET /health/live')).status, 200);
	await server.stop();
});
