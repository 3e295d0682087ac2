// The control socket: who may speak there, what is understood, and one server for a data folder.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { atEnd, runProgram, startServer, temporaryFolder } from './server.mjs';
import { ask, get, pause, poll } from './wire.mjs';

const socketOf = (server) => join(server.dataDir, 'control.sock');

// Sends text and reads until the server closes: the messages that came.
async function talk(t, server, text, { end = false } = {}) {
	const socket = createConnection(socketOf(server));
	atEnd(t, () => socket.destroy());
	let answer = '';
	socket.setEncoding('utf8').on('data', (chunk) => (answer += chunk)).on('error', () => {});
	const closed = new Promise((settle) => socket.on('close', settle)); // also after a reset
	if (text)
		socket.write(text);
	if (end)
		socket.end();
	await closed;
	return answer === '' ? [] : answer.trimEnd().split('\n').map((line) => JSON.parse(line));
}

test('ping and stop', async (t) => {
	const server = await startServer(t);
	const { code, stdout } = await runProgram(t, ['ping'], { cwd: server.dataDir });
	assert.deepEqual([code, stdout], [0, `the server runs (pid ${server.pid})\n`]);
	assert.deepEqual(await talk(t, server, '{"command":"ping","json":true}\n'), [{ line: `{"pid":${server.pid}}` }, { done: true, exit: 0 }]);

	const stopped = await runProgram(t, ['stop'], { cwd: server.dataDir });
	assert.deepEqual([stopped.code, stopped.stdout], [0, `the server (pid ${server.pid}) is stopping\n`]);
	assert.deepEqual(await server.gone(), { code: 0, signal: null });
	for (const command of ['ping', 'stop']) {
		const late = await runProgram(t, [command], { cwd: server.dataDir });
		assert.deepEqual([late.code, late.stdout], [1, '']);
		assert.match(late.stderr, /^bulkhead: no server runs on the data folder /);
	}
	await assert.rejects(stat(socketOf(server)), { code: 'ENOENT' }, 'the socket is gone');
});

test('a second server on the same data folder', async (t) => {
	const server = await startServer(t);
	const { code, stderr } = await runProgram(t, ['serve'], { cwd: server.dataDir });
	assert.equal(code, 1);
	assert.match(stderr, new RegExp(`^bulkhead: only .bulkhead serve --replace. can start now: a server \\(pid ${server.pid}\\) runs on the data folder .*\n$`));
	assert.equal((await ask(server, get())).status, 200);
});

test('migrations beside a server', async (t) => {
	const server = await startServer(t);
	const run = (...words) => runProgram(t, ['migrate', ...words], { cwd: server.dataDir });
	const because = `: another process \\(pid ${server.pid}\\) has the data folder .*\n$`;
	const [up, down, dry, status] = await Promise.all([run('up'), run('down', 'tenants'), run('up', '--dry-run'), run('status')]);
	assert.equal(up.code, 1);
	assert.match(up.stderr, new RegExp('^bulkhead: start this program in the place of the server \\(`bulkhead serve --replace`\\), which migrates on the way, or stop it first \\(`bulkhead stop`\\)' + because));
	assert.equal(down.code, 1);
	assert.match(down.stderr, new RegExp('^bulkhead: stop the server first \\(`bulkhead stop`\\)' + because));
	assert.deepEqual([dry.code, dry.stdout], [0, 'nothing to do\n']);
	assert.equal(status.code, 0);
	assert.equal((await ask(server, get())).status, 200);
});

test('the socket of a dead server is replaced', async (t) => {
	const server = await startServer(t);
	await server.kill();
	assert.ok((await stat(socketOf(server))).isSocket(), 'it was left');
	assert.match((await runProgram(t, ['ping'], { cwd: server.dataDir })).stderr, /no server runs/);
	const next = await startServer(t, { dataDir: server.dataDir });
	assert.match((await runProgram(t, ['ping'], { cwd: server.dataDir })).stdout, new RegExp(`pid ${next.pid}\\)`));
	await next.kill();
	// Whatever has the name: it is in our folder, and not a server.
	spawnSync('rm', ['-f', socketOf(server)]);
	await writeFile(socketOf(server), 'a file');
	const third = await startServer(t, { dataDir: server.dataDir });
	assert.match((await runProgram(t, ['ping'], { cwd: server.dataDir })).stdout, new RegExp(`pid ${third.pid}\\)`));
});

test('nobody else gets in', async (t) => {
	const server = await startServer(t);
	assert.equal((await stat(socketOf(server))).mode & 0o777, 0o600);
	if (process.getuid() !== 0) {
		t.skip('needs root to be somebody else');
		return;
	}
	// As somebody else, by a program that is sure to be there.
	const stranger = () => spawnSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', '--', process.execPath, '-e', `
		const socket = require('node:net').createConnection(${JSON.stringify(socketOf(server))});
		socket.on('data', (data) => process.stdout.write(data)).on('error', (error) => process.stdout.write(error.code));
	`], { encoding: 'utf8', cwd: '/' }).stdout;
	assert.equal(stranger(), 'EACCES', 'by the mode of the folder');
	await chmod(server.dataDir, 0o755);
	assert.equal(stranger(), 'EACCES', 'by the mode of the socket');
	await chmod(socketOf(server), 0o666);
	assert.match(stranger(), /^\{.*"error":"only the user of the server and root/, 'by the kernel\'s word');
	await server.logged((line) => line.msg === 'a caller of the control socket was refused' && line.callerUid === 65534);
	assert.match((await runProgram(t, ['ping'], { cwd: server.dataDir })).stdout, /runs/);
});

test('what is not understood', async (t) => {
	const server = await startServer(t);
	for (const [text, says] of [
		['{"command":"dance"}\n', /knows no command "dance"/],
		['{"command":""}\n', /not understood: command /],
		['{}\n', /not understood: command /],
		['{"command":"ping","more":1}\n', /not understood: more /],
		['ping\n', /not understood/],
		['\n', /not understood/],
		['{"command":"ping"}\n{"command":"ping"}\n', /one line/],
		[`{"command":"${'x'.repeat(5000)}"}\n`, /at most 4096 bytes/],
		['\u0000\n', /not understood/],
	]) {
		const answers = await talk(t, server, text);
		assert.equal(answers.length, 1, text);
		assert.match(answers[0].error, says);
		assert.equal(answers[0].exit, 1);
	}
	assert.deepEqual(await talk(t, server, '{"command":"ping"}', { end: true }), [], 'half a request is none');
	for (const reply of ['{"step":"serving"}', '{"command":"ping"}', 'x']) {
		const socket = createConnection(socketOf(server));
		let heard = '';
		socket.setEncoding('utf8').on('data', (chunk) => (heard += chunk));
		socket.write('{"command":"handover"}\n');
		await poll('the sockets', () => heard.includes('"sockets"'));
		socket.end(`${reply}\n`);
		await once(socket, 'close');
		assert.match(heard, /"error":/);
	}
	assert.equal((await ask(server, get())).status, 200);
});

test('silent and many callers', async (t) => {
	const server = await startServer(t);
	const start = Date.now();
	const silent = Array.from({ length: 16 }, () => talk(t, server, ''));
	await pause(200);
	assert.match((await talk(t, server, ''))[0].error, /too many callers/);
	for (const answers of await Promise.all(silent))
		assert.equal(answers.length, 1, 'it was told why');
	assert.ok(Date.now() - start < 20_000);
	assert.match((await runProgram(t, ['ping'], { cwd: server.dataDir })).stdout, /runs/);
});

test('a data folder with a long path', async (t) => {
	const dataDir = join(await temporaryFolder(t), 'x'.repeat(120));
	await mkdir(dataDir);
	const server = await startServer(t, { dataDir });
	assert.match((await runProgram(t, ['ping'], { cwd: dataDir })).stdout, new RegExp(`pid ${server.pid}\\)`));
});
