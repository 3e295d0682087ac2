// The store: durable writes, point reads, lists, what tenancy costs, round trips, overload
//
//   ./bench store [ROUNDS]
//
// Each engine is measured beside the same work by hand: a bare loop over sqlite3 with our group size, libpq on a
// table without row-level security. Everything is durable: SQLite with synchronous=FULL, PostgreSQL with fsync
// and synchronous_commit on, both on the disk of TMPDIR. One worker thread; 64 fibers where nothing else is said.
// Times of reads are processor time of our process, one fiber; on PostgreSQL the server's own is not in it.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { machine, median } from './lib/measure.mjs';

const ROUNDS = Number(process.argv[2] ?? 3);
const PROGRAM = 'build/release/bench-store_native';

function measure(...args) {
	const rounds = [];
	for (let i = 0; i < ROUNDS; i++) {
		const folder = mkdtempSync(join(tmpdir(), 'bulkhead-bench-'));
		try {
			rounds.push(args[0](folder));
		} finally {
			rmSync(folder, { recursive: true, force: true });
		}
	}
	return (ratio) => median(rounds.map(ratio));
}

function figures(...command) {
	const out = execFileSync(PROGRAM, command, { encoding: 'utf8', maxBuffer: 1 << 24 });
	return Object.fromEntries(out.trim().split('\n').map((line) => {
		const [name, value] = line.split(' ');
		return [name, Number(value)];
	}));
}

const sqlite = measure((folder) => figures('sqlite', folder));

const postgres = measure((folder) => {
	const server = join(folder, 'postgres');
	const url = execFileSync('tests/postgres',
		['start', server, '--fsync', '--for', String(process.pid)], { encoding: 'utf8' }).trim();
	const as = (user) => url.replace('postgres@', `${user}@`).replace('/postgres?', '/bench?');
	execFileSync('psql', ['-qX', url, '-c', 'CREATE DATABASE bench TEMPLATE pattern OWNER owner'],
		{ stdio: ['ignore', 'ignore', 'inherit'] });
	try {
		return figures('postgres', folder, as('app'), as('owner'));
	} finally {
		execFileSync('tests/postgres', ['stop', server]);
	}
});

const row = (name, value, budget = '') =>
	console.log(`${name.padEnd(66)} ${value.padStart(10)}   ${budget}`);
const times = (value) => `${value.toFixed(2)} x`;

console.log(`${machine()}; ${ROUNDS} rounds, medians\n`);
console.log('SQLite, synchronous=FULL');
row('  one row, 64 fibers : bare loop, groups of 64', times(sqlite((f) => f.row_per_s / f.bare_group_of_64_per_s)));
row('  one row, 64 fibers : bare single commits', times(sqlite((f) => f.row_per_s / f.bare_single_per_s)), 'budget >= 5');
row('  row and event, 64 fibers : bare single commits', times(sqlite((f) => f.event_per_s / f.bare_single_per_s)), 'budget >= 5');
row('  one row, 1 fiber : bare single commits', times(sqlite((f) => f.alone_per_s / f.bare_single_per_s)));
row('  row and event, p50 of 64 fibers, share of 2.5 ms', times(sqlite((f) => f.event_p50_ms / 2.5)), 'budget <= 1');
row('  mean group', sqlite((f) => f.group_size).toFixed(0));
row('  point read : bare statement', times(sqlite((f) => f.point_cpu_us / f.bare_point_cpu_us)));
row('  point read of a tenant : without tenancy', times(sqlite((f) => f.point_cpu_us / f.system_point_cpu_us)));
row('  list of 20 from 100,000 : point read', times(sqlite((f) => f.page_cpu_us / f.point_cpu_us)));
row('  list of 20 with count : without', times(sqlite((f) => f.page_and_count_cpu_us / f.page_cpu_us)));
console.log('\nPostgreSQL, synchronous_commit=on, Unix socket, pool of 10');
row('  point read, latency : libpq on a bare table', times(postgres((f) => f.point_p50_us / f.bare_point_p50_us)));
row('  point read of a tenant : without tenancy, latency', times(postgres((f) => f.point_p50_us / f.system_point_p50_us)));
row('  list of 20 : point read, latency', times(postgres((f) => f.page_p50_us / f.point_p50_us)));
row('  list of 20 with count : without, latency', times(postgres((f) => f.page_and_count_p50_us / f.page_p50_us)));
row('  one row, 64 fibers : 1 fiber', times(postgres((f) => f.row_per_s / f.alone_per_s)));
row('  round trips: a read', postgres((f) => f.trips_read).toFixed(2), 'possible 1');
row('  round trips: a write of one statement', postgres((f) => f.trips_write).toFixed(2), 'possible 1');
row('  round trips: read, write, event, commit', postgres((f) => f.trips_read_write_event).toFixed(2), 'possible 2');
row('  ten times more callers than pool and queue take: throughput', times(postgres((f) => f.overload_per_s / f.full_pool_per_s)), 'of the full pool');
row('    p99 of those served', times(postgres((f) => f.overload_p99_ms / f.full_pool_p99_ms)), 'of the full pool');
row('    refused for each served', times(postgres((f) => f.overload_refused_per_s / f.overload_per_s)));
