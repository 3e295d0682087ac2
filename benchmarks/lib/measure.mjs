// What the benchmarks share: servers under load, the processor time they used, and medians.
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const WORKERS = availableParallelism?.() ?? cpus().length;
const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK']));
const START_LIMIT_MS = 10_000;

export function machine() {
	const kernel = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
	return `${cpus().length} x ${cpus()[0].model}, Linux ${kernel}`;
}

export function median(values) {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export async function freePort() {
	return new Promise((resolve, reject) => {
		const probe = createServer().on('error', reject);
		probe.listen(0, '127.0.0.1', () => {
			const { port } = probe.address();
			probe.close(() => resolve(port));
		});
	});
}

// Installs what benchmarks/peers needs, once for each list of it.
export function installPeers() {
	const peers = fileURLToPath(new URL('../peers', import.meta.url));
	const installed = join(peers, 'node_modules/.package-lock.json');
	if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(join(peers, 'package-lock.json')).mtimeMs)
		// not `npm ci`, which refuses a list without the packages that only other platforms need
		execFileSync('npm', ['install', '--no-save', '--silent'], { cwd: peers, stdio: 'inherit' });
}

// Starts a server, waits until `url` answers with the status `wanted` (undefined: any). Its standard output goes to the file `output`. Only
// the given environment and PATH, TMPDIR and the mark of this run reach it.
export async function startServer({ name, command, url, output, env = {}, cwd, ...options }) {
	const wanted = 'wanted' in options ? options.wanted : 200;
	const log = openSync(output, 'a');
	const { PATH, TMPDIR, BULKHEAD_TEST_RUN } = process.env;
	const child = spawn(command[0], command.slice(1), {
		cwd,
		env: { PATH, TMPDIR, BULKHEAD_TEST_RUN, ...env },
		stdio: ['ignore', log, log],
	});
	closeSync(log);
	const ended = new Promise((resolve) => {
		child.on('exit', resolve);
		child.on('error', resolve);
	});

	const deadline = Date.now() + START_LIMIT_MS;
	for (let status; (status = await answer(url)) !== wanted && (wanted || !status);) {
		if (child.exitCode !== null || child.pid === undefined || Date.now() > deadline) {
			child.kill('SIGKILL');
			throw new Error(`${name} does not answer ${url} with ${wanted ?? 'anything'}; its output:\n` +
				readFileSync(output, 'utf8').slice(-4000));
		}
		await sleep(20);
	}
	return {
		name,
		url,
		pid: child.pid,
		async stop() {
			child.kill('SIGTERM');
			await ended;
		},
	};
}

async function answer(url) {
	try {
		const response = await fetch(url, { headers: { connection: 'close' } });
		await response.arrayBuffer();
		return response.status;
	} catch {
		return 0;
	}
}

// Seconds of processor time of a process, its threads and its living descendants.
export function cpuSeconds(pid) {
	const byPid = new Map();
	for (const name of readdirSync('/proc')) {
		if (!/^\d+$/.test(name))
			continue;
		try {
			const text = readFileSync(`/proc/${name}/stat`, 'utf8');
			const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
			byPid.set(Number(name), { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) });
		} catch {
			continue; // gone in between
		}
	}

	const belongs = (id) => id === pid || (byPid.has(id) && belongs(byPid.get(id).parent));
	let ticks = 0;
	for (const [id, entry] of byPid)
		if (belongs(id))
			ticks += entry.ticks;
	return ticks / TICKS_PER_SECOND;
}

// Loads `server` with wrk; microseconds of the server's processor time for each request, and
// requests per second. Any answer but 2xx, and any broken connection, is an error.
export async function load(server, { connections = 64, seconds = 3, script } = {}) {
	const before = cpuSeconds(server.pid);
	const report = await run('wrk', ['-t1', '--timeout', '20s', `-c${connections}`, `-d${seconds}`,
		...(script ? ['-s', script] : []), server.url]);
	const used = cpuSeconds(server.pid) - before;

	const done = /(\d+) requests in/.exec(report);
	if (!done || Number(done[1]) === 0 || /Non-2xx|Socket errors/.test(report))
		throw new Error(`${server.name} did not answer all requests:\n${report}`);
	return {
		micros: (used * 1e6) / Number(done[1]),
		rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(report)[1]),
	};
}

function run(program, args) {
	return new Promise((resolve, reject) => {
		const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
		let output = '';
		child.stdout.on('data', (chunk) => (output += chunk));
		child.on('error', reject);
		child.on('close', (code) => (code === 0 ? resolve(output) : reject(new Error(`${program}: ${code}\n${output}`))));
	});
}

// Prints one budget line; a missed budget makes the benchmark fail.
function judge(met, what, value, limit, unit) {
	console.log(`${met ? 'pass' : 'FAIL'}  ${what}: ${value.toFixed(2)}${unit}, budget ${limit}${unit}`);
	if (!met)
		process.exitCode = 1;
}

export function budget(what, value, limit, unit) {
	judge(value <= limit, what, value, limit, unit);
}

export function budgetAtLeast(what, value, limit, unit) {
	judge(value >= limit, what, value, `at least ${limit}`, unit);
}
