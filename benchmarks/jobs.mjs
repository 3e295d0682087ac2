// Jobs: adding, working off, time to start, what limits cost; beside BullMQ and graphile-worker
//
//   ./bench jobs [ROUNDS [SECONDS [MEASURE...]]]     MEASURE: add bulk work latency limits (default: all)
//
// All keep 100 bytes of JSON in a job and have their data on the same disk. Bulkhead is asked over HTTP with an
// API key, by wrk or Node beside it: authentication, checks, limits and log are inside the clock. The peers are
// libraries, so they are called in their own process, from as many loops as Bulkhead has connections; they reach
// their databases over Unix sockets. For each measure everybody starts with a new, empty database, one after the
// other; ratios are taken within a round, and their median counts.
//
//   SQLite          synchronous=FULL: an answered add has been synced
//   PostgreSQL      fsync and synchronous_commit on, pool of 10 for everybody
//   Redis           append-only file, synced each second (loses one) or always
//   add             64 connections or callers, one job each time; the bare loop is one C thread on SQLite with the
//                   same row and as many of them in a commit as our writer joined in this round
//   bulk            chunks of 1,000 from 4 connections or callers
//   work            no-op jobs that were added before, from the first start to the last completion; "in process" is
//                   a handler of a loaded module, "over HTTP" a Node program that leases up to 500 at a time
//   latency         200 a second, from before the add (ours: the request) to the handler's first line
//   limits          our work in process with ten tenants, with limits that count but hold nothing back (at the same hands), with groups
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { diskFolder, startPostgres, startRedis } from './lib/databases.mjs';
import { CALLERS, RATE } from './lib/jobs_load.mjs';
import { bareLoop, buildModule, JobsServer } from './lib/jobs_server.mjs';
import { budget, budgetAtLeast, installPeers, machine, median } from './lib/measure.mjs';

const ROUNDS = Number(process.argv[2] ?? 3);
const SECONDS = Number(process.argv[3] ?? 3);
const MEASURES = process.argv.slice(4);
const TENANTS = 10;
const GROUPS = 1000;
// As many hands as a queue without a bound has, and further bounds that hold nothing back. Where running jobs are
// counted none is taken ahead of a free hand, so what only counts is measured apart from it.
const RATES = { rate: { count: 1_000_000, perMs: 1000 }, tenantRate: { count: 1_000_000, perMs: 1000 } };
const HANDS = 100;
const BOUNDS = { concurrency: HANDS, tenantConcurrency: 1000, ...RATES };
const peerFile = (name) => fileURLToPath(new URL(`peers/${name}.mjs`, import.meta.url));

installPeers();
const folder = diskFolder('jobs');
const module_ = buildModule(folder);
const postgres = startPostgres(join(folder, 'pg'));
const thousands = (jobs) => Math.ceil(jobs / 1000) * 1000;

function peer(file, ...args) {
	return JSON.parse(execFileSync('node', [peerFile(file), ...args.map(String)],
		{ encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }));
}

// --- who is measured ---------------------------------------------------------------------------------
// Each has some of: add, bulk, work(concurrency), latency; each call is a measurement from an empty database.

let databases = 0;
async function withDatabase(run) {
	const database = `bench${++databases}`;
	postgres.create(database);
	try {
		return await run(database);
	} finally {
		postgres.drop(database);
	}
}

function bullmq(fsync) {
	const measured = async (...commands) => {
		const redis = await startRedis(join(folder, 'redis'), fsync);
		try {
			return commands.map((command) => peer('bullmq', redis.path, ...command)).at(-1);
		} finally {
			await redis.stop();
		}
	};
	const jobs = thousands(8000 * SECONDS);
	return {
		name: `BullMQ, AOF ${fsync}`,
		add: () => measured(['add', SECONDS]),
		bulk: () => measured(['bulk', SECONDS]),
		work: (concurrency) => measured(['fill', jobs], ['work', jobs, concurrency]),
		latency: () => measured(['latency', SECONDS, 10]),
	};
}

function graphile(mode, jobsPerSecond) {
	const measured = (...commands) => withDatabase((database) => {
		const url = postgres.as('owner', database);
		peer('graphile', url, mode, 'migrate');
		return commands.map((command) => {
			postgres.settle(database);
			return peer('graphile', url, mode, ...command);
		}).at(-1);
	});
	const jobs = thousands(jobsPerSecond * SECONDS);
	return {
		name: `graphile-worker ${mode}`,
		add: () => measured(['add', SECONDS]),
		bulk: () => measured(['bulk', SECONDS]),
		work: (concurrency) => measured(['fill', jobs], ['work', jobs, concurrency]),
		latency: () => measured(['latency', SECONDS, 10]),
	};
}

function bulkhead(engine) {
	const onEngine = (run) => engine === 'SQLite' ? run() : withDatabase((database) => run(database));
	const measured = (run) => onEngine(async (database) => {
		const server = new JobsServer({
			name: `bulkhead on ${engine}`, folder: join(folder, 'bulkhead'), module: module_,
			database: database && {
				url: postgres.as('app', database),
				ownerUrl: postgres.as('owner', database),
				ask: (sql) => postgres.ask(database, sql),
				settle: () => postgres.settle(database),
			},
		});
		try {
			return await run(server);
		} finally {
			await server.remove();
		}
	});
	// Added to a server that does no jobs; then one that does is started.
	const worked = (how, { tenants = 1, groups = 0, settings = {} } = {}) => measured(async (server) => {
		const jobs = thousands(30000 * SECONDS);
		await server.start({ working: false });
		await server.makeKeys(tenants);
		await server.configure(settings);
		await server.fill(jobs, groups);
		await server.stop();
		server.database?.settle();
		await server.start({ working: how === 'inside' });
		return how === 'inside' ? server.workOff(jobs) : server.workOutside(jobs, how);
	});
	const adding = (run) => measured(async (server) => {
		await server.start({ working: false });
		await server.makeKeys();
		await server.configure();
		return run(server);
	});
	return {
		name: `bulkhead on ${engine}`,
		add: () => adding(async (server) => {
			const got = await server.add(SECONDS, CALLERS);
			if (engine !== 'SQLite')
				return got;
			await server.stop();
			return { ...got, bare: bareLoop(server.folder, join(server.folder, 'data'), got.group, SECONDS) };
		}),
		bulk: () => adding((server) => server.bulk(SECONDS)),
		work: (concurrency) => worked(concurrency),
		inside: (how) => worked('inside', how),
		latency: () => measured(async (server) => {
			await server.start({ working: true });
			await server.makeKeys();
			return server.latency(SECONDS);
		}),
	};
}

const sqlite = bulkhead('SQLite'), onPostgres = bulkhead('PostgreSQL');
const ours = [sqlite, onPostgres];
const everysec = bullmq('everysec'), always = bullmq('always');
const plain = graphile('plain', 2000), tuned = graphile('tuned', 15000);
const peers = [everysec, always, plain, tuned];

// --- rounds ------------------------------------------------------------------------------------------

const figures = {}; // what -> name -> one for each round
async function figure(what, name, measure) {
	const value = await measure();
	((figures[what] ??= {})[name] ??= []).push(value);
	console.log(`  ${what}, ${name}: ${Object.entries(value).map(([key, n]) => `${key} ${n < 100 ? n.toFixed(2) : n.toFixed(0)}`).join(', ')}`);
}

const rounds = {
	async add() {
		for (const who of [sqlite, everysec, always, onPostgres, plain])
			await figure('add', who.name, () => who.add());
	},
	async bulk() {
		for (const who of [...ours, ...peers.slice(0, 3)])
			await figure('bulk', who.name, () => who.bulk());
	},
	async work() {
		for (const who of ours)
			await figure('work in process', who.name, () => who.inside());
		for (const concurrency of [10, 50])
			for (const who of [...ours, ...peers])
				await figure(`work at ${concurrency}`, who.name, () => who.work(concurrency));
	},
	async latency() {
		for (const who of [...ours, ...peers])
			await figure('latency', who.name, () => who.latency());
	},
	async limits() {
		for (const who of ours) {
			await figure('limits: none', who.name, () => who.inside());
			await figure('limits: ten tenants', who.name, () => who.inside({ tenants: TENANTS }));
			await figure('limits: rates', who.name, () => who.inside({ settings: RATES }));
			await figure('limits: hands', who.name, () => who.inside({ settings: { concurrency: HANDS } }));
			await figure('limits: bounds', who.name, () => who.inside({ settings: BOUNDS }));
			await figure('limits: groups', who.name, () => who.inside({ groups: GROUPS }));
		}
	},
};

console.log(`${machine()}; data in ${folder}; ${ROUNDS} rounds of ${SECONDS} s`);
for (let round = 1; round <= ROUNDS; round++) {
	console.log(`round ${round}`);
	for (const [name, measure] of Object.entries(rounds))
		if (!MEASURES.length || MEASURES.includes(name))
			await measure();
}
postgres.stop();

// --- what came of it -------------------------------------------------------------------------------------

const of = (what, who, member = 'rate') => figures[what]?.[who.name]?.map((value) => value[member]);
const best = (choose, ...rows) => rows[0]?.map((_, i) => choose(...rows.map((row) => row[i])));
const ratio = (above, below) => above && below && median(above.map((value, i) => value / below[i]));

console.log('\nmedians');
for (const [what, names] of Object.entries(figures))
	for (const [name, values] of Object.entries(names)) {
		const text = 'p50' in values[0]
			? `p50 ${median(values.map((v) => v.p50)).toFixed(2)} ms, p99 ${median(values.map((v) => v.p99)).toFixed(2)} ms`
			: `${median(values.map((v) => v.rate)).toFixed(0)}/s`;
		console.log(`${what.padEnd(24)} ${name.padEnd(26)} ${text}`);
	}

console.log('');
const least = (what, value, limit) => value === undefined || budgetAtLeast(what, value, limit, ' x');
const most = (what, value, limit) => value === undefined || budget(what, value, limit, ' x');
const workedTuned = best(Math.max, of('work at 10', tuned), of('work at 50', tuned));
const startedGraphile = best(Math.min, of('latency', plain, 'p50'), of('latency', tuned, 'p50'));

least('add on SQLite : a bare loop', ratio(of('add', sqlite), of('add', sqlite, 'bare')), 0.5);
least('add on SQLite : BullMQ, AOF always', ratio(of('add', sqlite), of('add', always)), 1.2);
least('add on PostgreSQL : graphile-worker', ratio(of('add', onPostgres), of('add', plain)), 3);
least('work on SQLite : graphile-worker tuned', ratio(of('work in process', sqlite), workedTuned), 1.5);
least('work on PostgreSQL : graphile-worker tuned', ratio(of('work in process', onPostgres), workedTuned), 1);
most(`start at ${RATE}/s on SQLite : BullMQ, AOF always, p50`, ratio(of('latency', sqlite, 'p50'), of('latency', always, 'p50')), 1);
most(`start at ${RATE}/s on PostgreSQL : graphile-worker, p50`, ratio(of('latency', onPostgres, 'p50'), startedGraphile), 0.7);
for (const who of ours) {
	const none = of('limits: none', who);
	for (const what of ['ten tenants', 'rates', 'groups'])
		least(`work with ${what} : without, ${who.name}`, ratio(of(`limits: ${what}`, who), none), 0.9);
	const counted = ratio(of('limits: bounds', who), of('limits: hands', who));
	least(`work with all bounds : ${HANDS} hands alone, ${who.name}`, counted, 0.9);
	const hands = ratio(of('limits: hands', who), none);
	if (hands !== undefined)
		console.log(`${HANDS} hands by a bound : ${HANDS} hands without, ${who.name}: ${hands.toFixed(2)} x`);
}
