// Compiling everything from scratch, on as many cores as there are
//
//   ./bench build
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WORKERS, budget, machine } from './lib/measure.mjs';

const BUDGET_S = 120;
const folder = mkdtempSync(join(tmpdir(), 'build-'));

try {
	console.log(machine());
	const from = performance.now();
	execFileSync('make', ['-s', `-j${WORKERS}`, 'all', 'FLAVOUR=release', 'CC=gcc', `OUT=${folder}`], { stdio: ['ignore', 'ignore', 'inherit'] });
	budget('make from scratch', (performance.now() - from) / 1000, BUDGET_S, ' s');
} finally {
	rmSync(folder, { recursive: true, force: true });
}
