// The audit log: writes of one hot tenant with an entry in each transaction, beside the same without
//
//   ./bench audit [ROUNDS]
//
// 64 fibers of one worker write a row of about 200 bytes in each transaction, durably, while a sequencer chains
// what is there every 300 ms. An entry has a personal member and an address. Once more they write without a
// sequencer, which then chains all at once.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { machine, median } from './lib/measure.mjs';

const ROUNDS = Number(process.argv[2] ?? 3);

function figures(...command) {
	const out = execFileSync('build/release/bench-audit_native', command, { encoding: 'utf8' });
	return Object.fromEntries(out.trim().split('\n').map((line) => {
		const [name, value] = line.split(' ');
		return [name, Number(value)];
	}));
}

function postgres(folder) {
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
}

function measure(title, run) {
	const rounds = [];
	for (let i = 0; i < ROUNDS; i++) {
		const folder = mkdtempSync(join(tmpdir(), 'bulkhead-bench-'));
		try {
			rounds.push(run(folder));
		} finally {
			rmSync(folder, { recursive: true, force: true });
		}
	}
	const of = (figure) => median(rounds.map(figure));
	console.log(`${title.padEnd(12)} without ${of((r) => r.plain_per_s).toFixed(0).padStart(7)}/s, with ` +
		`${of((r) => r.audited_per_s).toFixed(0).padStart(7)}/s: ${of((r) => r.audited_per_s / r.plain_per_s).toFixed(2)} x; ` +
		`processor time of this program ${of((r) => r.plain_cpu_us).toFixed(1)} and ${of((r) => r.audited_cpu_us).toFixed(1)} us; ` +
		`chaining ${of((r) => r.chain_us).toFixed(1)} us for each entry, in the end ${of((r) => r.behind_ms).toFixed(0)} ms behind`);
}

console.log(`${machine()}; ${ROUNDS} rounds, medians\n`);
measure('SQLite', (folder) => figures('sqlite', folder));
measure('PostgreSQL', postgres);
