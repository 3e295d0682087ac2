// GET /hello: processor time of the server for each request, beside a raw epoll responder and nginx
//
//   ./bench hello [ROUNDS [SECONDS]]
//
// One after the other in each round, so that what else the machine does hits all alike; a ratio is taken
// within its round, and the median over the rounds counts. Bulkhead answers through everything it ships
// with, its log written to a file; nginx writes a comparable line; the responder writes none.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { WORKERS, budget, freePort, load, machine, median, startServer } from './lib/measure.mjs';

const ROUNDS = Number(process.argv[2] ?? 5);
const SECONDS = Number(process.argv[3] ?? 3);
const BUDGET = 1.5;
const AIM = 1.3;
const CONNECTIONS = 64;
const PROGRAM = resolve(process.env.BULKHEAD ?? 'build/release/bulkhead');
const ENVIRONMENT = {
	APP_ENV: 'production',
	MASTER_KEY: '8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918',
	PUBLIC_URL: 'https://api.example.com',
	HELLO_ENABLED: 'true',
	LOG_FORMAT: 'json',
	LOG_LEVEL: 'info',
};

const folder = mkdtempSync(join(tmpdir(), 'hello-'));

const contestants = [
	{
		name: 'epoll',
		async start(port) {
			return { command: [resolve('build/release/limit-epoll'), String(port), String(WORKERS)] };
		},
	},
	{
		name: 'nginx',
		async start(port) {
			const file = join(folder, 'nginx.conf');
			const text = readFileSync(new URL('nginx.conf.in', import.meta.url), 'utf8');
			writeFileSync(file, text.replaceAll('@WORKERS@', WORKERS).replaceAll('@FOLDER@', folder).replaceAll('@PORT@', port));
			return { command: ['nginx', '-p', folder, '-c', file, '-e', join(folder, 'nginx-error.log')] };
		},
	},
	{
		name: 'bulkhead',
		async start(port) {
			const data = join(folder, 'data');
			mkdirSync(data, { recursive: true });
			const env = { ...ENVIRONMENT, HOST: '127.0.0.1', PORT: String(port), DATA_DIR: data, OPS_LISTEN: `127.0.0.1:${await freePort()}` };
			return { command: [PROGRAM, 'serve'], cwd: data, env };
		},
	},
];

async function measure(contestant) {
	const port = await freePort();
	const server = await startServer({
		name: contestant.name,
		url: `http://127.0.0.1:${port}/hello`,
		output: join(folder, `${contestant.name}.log`),
		...(await contestant.start(port)),
	});
	try {
		await load(server, { connections: CONNECTIONS, seconds: 1 }); // caches and pools fill
		return await load(server, { connections: CONNECTIONS, seconds: SECONDS });
	} finally {
		await server.stop();
		rmSync(join(folder, `${contestant.name}.log`), { force: true });
	}
}

try {
	console.log(`${machine()}; ${WORKERS} workers each, wrk -t1 -c${CONNECTIONS} -d${SECONDS}, ${ROUNDS} rounds`);
	console.log(`bulkhead: ${Object.entries(ENVIRONMENT).map(([name, value]) => `${name}=${value}`).join(' ')}, log to a file\n`);

	const results = Object.fromEntries(contestants.map(({ name }) => [name, []]));
	for (let round = 1; round <= ROUNDS; round++) {
		for (const contestant of contestants)
			results[contestant.name].push(await measure(contestant));
		console.log(`round ${round}: ` + contestants.map(({ name }) => `${name} ${results[name].at(-1).micros.toFixed(2)} us`).join(', '));
	}

	console.log('\n             us/request   requests/s   x epoll');
	const ratio = {};
	for (const { name } of contestants) {
		ratio[name] = median(results[name].map(({ micros }, round) => micros / results.epoll[round].micros));
		console.log(name.padEnd(12) +
			median(results[name].map(({ micros }) => micros)).toFixed(2).padStart(11) +
			median(results[name].map(({ rate }) => rate)).toFixed(0).padStart(13) +
			ratio[name].toFixed(2).padStart(10));
	}
	console.log();
	budget(`bulkhead / epoll (aim ${AIM})`, ratio.bulkhead, BUDGET, 'x');
} finally {
	rmSync(folder, { recursive: true, force: true });
}
