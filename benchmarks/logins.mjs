// Logins per second against a bare Argon2 loop, and the p99 of other requests meanwhile
//
//   ./bench logins [ROUNDS [SECONDS]]
//
// What is measured, and how, is told in benchmarks/lib/logins.mjs. Ratios are taken within a round; the
// median over the rounds counts.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { measureLogins } from './lib/logins.mjs';
import { budget, machine, median } from './lib/measure.mjs';

const ROUNDS = Number(process.argv[2] ?? 5);
const SECONDS = Number(process.argv[3] ?? 4);
const folder = mkdtempSync(join(tmpdir(), 'logins-'));
const results = [];

console.log(`${machine()}, ${ROUNDS} rounds of ${SECONDS} s\n`);
try {
	for (let round = 1; round <= ROUNDS; round++) {
		const result = await measureLogins({ folder, seconds: SECONDS, round });
		results.push(result);
		console.log(`round ${round}: ${result.logins.toFixed(1)} logins/s, ${result.bare.toFixed(1)} hashes/s bare; other requests ` +
			`p50 ${result.quiet.p50.toFixed(2)} ms, p99 ${result.quiet.p99.toFixed(2)} ms; during logins ` +
			`p50 ${result.busy.p50.toFixed(2)} ms, p99 ${result.busy.p99.toFixed(2)} ms`);
	}
} finally {
	rmSync(folder, { recursive: true, force: true });
}

console.log();
budget('logins / bare Argon2 loop', median(results.map(({ logins, bare }) => bare / logins)), 1.25, 'x fewer');
budget('p99 of other requests, during logins / without', median(results.map(({ quiet, busy }) => busy.p99 / quiet.p99)), 3, 'x');
