// Databases that a benchmark starts for itself, on Unix sockets, with their data on a real disk.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const TMPFS = 0x01021994;
const START_LIMIT_MS = 10_000;

// A new folder on a disk, where a sync means something; it goes with this process.
export function diskFolder(name) {
	const parent = [tmpdir(), '/var/tmp', resolve('build')].find((path) => existsSync(path) && statfsSync(path).type !== TMPFS);
	if (!parent)
		throw new Error('no disk: TMPDIR, /var/tmp and build are all in memory');
	const folder = mkdtempSync(join(parent, `${name}-`));
	process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
	for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
		process.on(signal, () => process.exit(1));
	return folder;
}

// Redis with the append-only file synced as `fsync` says: everysec or always. { path, stop }
export async function startRedis(folder, fsync) {
	const path = join(folder, 'redis.sock');
	mkdirSync(folder);
	const child = spawn('redis-server', ['--port', '0', '--unixsocket', path, '--dir', folder, '--save', '',
		'--appendonly', 'yes', '--appendfsync', fsync, '--logfile', join(folder, 'log'),
		// Its environment stays readable, by which tools/leash knows it.
		'--set-proc-title', 'no'], { stdio: 'ignore' });
	const ended = new Promise((resolve_) => child.on('exit', resolve_).on('error', resolve_));
	const kill = () => child.kill('SIGKILL');
	process.on('exit', kill);
	for (const deadline = Date.now() + START_LIMIT_MS; !existsSync(path); await sleep(20))
		if (child.exitCode !== null || child.pid === undefined || Date.now() > deadline)
			throw new Error(`redis-server does not start: ${existsSync(join(folder, 'log')) ? readFileSync(join(folder, 'log'), 'utf8') : ''}`);
	return {
		path,
		async stop() {
			child.kill('SIGTERM');
			await ended;
			process.off('exit', kill);
			rmSync(folder, { recursive: true, force: true });
		},
	};
}

// PostgreSQL with fsync, synchronous_commit and full_page_writes on and its own defaults for memory. `as` gives
// the URL of a role in a database, `ask` the answer to a statement of the superuser; `create` makes a database that
// `owner` owns.
export function startPostgres(folder) {
	execFileSync('tests/postgres', ['start', folder, '--fsync', '--for', String(process.pid),
		'-c', 'shared_buffers=128MB', '-c', 'max_wal_size=1GB'], { stdio: ['ignore', 'ignore', 'inherit'] });
	// The socket's folder goes before the host: what our settings and those of the peers both take.
	const port = readFileSync(join(folder, 'port'), 'utf8').trim();
	const as = (user, database) => `postgresql://${user}@localhost/${database}?host=${folder}&port=${port}`;
	const ask = (database, sql) => execFileSync('psql', ['-qXAt', as('postgres', database), '-c', sql],
		{ encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim();
	return {
		as,
		ask,
		create: (database) => ask('postgres', `CREATE DATABASE ${database} TEMPLATE pattern OWNER owner`),
		drop: (database) => ask('postgres', `DROP DATABASE ${database} WITH (FORCE)`),
		// What autovacuum and the checkpointer would do a minute later.
		settle(database) {
			ask(database, 'VACUUM ANALYZE');
			ask(database, 'CHECKPOINT');
		},
		stop() {
			execFileSync('tests/postgres', ['stop', folder]);
			rmSync(folder, { recursive: true, force: true });
		},
	};
}
