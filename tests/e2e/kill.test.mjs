// kill -9 in the middle of sign-ups, refreshes and new keys: what was answered is there after the next
// start, what was not is there wholly or not at all, and the audit log is whole.
import assert from 'node:assert/strict';
import test from 'node:test';
import { call, done, listAll, makeOperator, signIn } from './people.mjs';
import { postgres, PRODUCTION, runProgram, startServer } from './server.mjs';
import { pause, poll } from './wire.mjs';

const PASSWORD = 'correct horse battery staple';
const KEYS = '/api/v1/api-keys';
const KILLS = process.env.TEST_LONG ? 60 : 10;
const CHEAP = { PASSWORD_MEMORY: '7mb', PASSWORD_PASSES: '1' };

// What people did, over all lives of the server.
class World {
	slugs = 0;
	people = []; // who were answered: { slug, email, login, keys (name to text), next, pending (a name) }
	unsure = []; // the slugs of who were not
	replayed = 0; // keys that were made before the server died, without an answer

	// The answer with that status, or null when the server died before it.
	async ask(server, request, options, expected) {
		let answer;
		try {
			answer = await call(server, request, options);
		} catch {
			return null;
		}
		assert.equal(answer.status, expected, `${request}: ${answer.text}`);
		this.replayed += answer.headers.has('idempotent-replayed') ? 1 : 0;
		return answer.data;
	}

	registering(slug) {
		return { email: `owner@${slug}.example`, password: PASSWORD, name: slug, tenant: { slug, name: slug } };
	}

	async signsUp(server) {
		const slug = `t${++this.slugs}`;
		const body = this.registering(slug);
		const login = await this.ask(server, 'POST /api/v1/auth/register', { body }, 201);
		if (login)
			this.people.push({ slug, email: body.email, login, keys: new Map(), next: 0, pending: null });
		else
			this.unsure.push(slug);
		return login;
	}

	async refreshes(server, person) {
		const { refreshToken } = person.login;
		const login = await this.ask(server, 'POST /api/v1/auth/refresh', { body: { refreshToken } }, 200);
		if (login)
			person.login = login;
		return login;
	}

	// A new key, or the one that was asked for before the server died.
	async makesKey(server, person) {
		const name = person.pending ?? `key-${person.next++}`;
		person.pending = name;
		const options = { token: person.login.accessToken, body: { name, scopes: ['keys:read'] }, headers: { 'idempotency-key': name } };
		const made = await this.ask(server, `POST ${KEYS}`, options, 201);
		if (made) {
			person.keys.set(name, made.key);
			person.pending = null;
		}
		return made;
	}

	// Everybody at once, until the server dies. Who refreshes and who makes keys does only that.
	async live(server) {
		const loop = async (step) => {
			while (await step())
				;
		};
		const [refresher, other, maker] = this.people;
		await Promise.all([
			loop(() => this.signsUp(server)),
			loop(() => this.signsUp(server)),
			loop(() => this.refreshes(server, refresher)),
			loop(() => this.refreshes(server, other)),
			loop(() => this.makesKey(server, maker)),
		]);
	}
}

// Four at a time.
async function each(list, what) {
	const left = [...list];
	await Promise.all(Array.from({ length: 4 }, async () => {
		while (left.length > 0)
			await what(left.pop());
	}));
}

// Whom nobody answered: there with a password and as an owner, or nothing is.
async function settle(world, server) {
	let there = 0;
	await each(world.unsure, async (slug) => {
		const body = world.registering(slug);
		const again = await call(server, 'POST /api/v1/auth/register', { body });
		assert.ok([201, 409].includes(again.status), again.text);
		there += again.status === 409 ? 1 : 0;
		const { accessToken: token } = await signIn(server, body.email, slug);
		assert.deepEqual((await done(server, 'GET /api/v1/me', { token })).roles, ['owner']);
	});
	return there;
}

async function check(world, server, operator) {
	const there = await settle(world, server);
	await each(world.people, async (person) => {
		assert.ok(await world.refreshes(server, person), 'the newest token');
		const login = await signIn(server, person.email, person.slug);
		assert.deepEqual((await done(server, 'GET /api/v1/me', { token: login.accessToken })).roles, ['owner']);
		const names = (await listAll(server, KEYS, login.accessToken)).map(({ name }) => name);
		assert.deepEqual(names.sort(), [...person.keys.keys()].sort());
	});
	const [, , maker] = world.people;
	await each(maker.keys.values(), async (key) => assert.equal((await call(server, `GET ${KEYS}`, { token: key })).status, 200));

	const { accessToken: token } = await signIn(server, operator, 'system');
	const slugs = (await listAll(server, '/api/v1/tenants', token)).map(({ slug }) => slug);
	const expected = [...world.people.map(({ slug }) => slug), ...world.unsure, 'system'];
	assert.deepEqual(slugs.sort(), expected.sort());
	return there;
}

for (const engine of ['SQLite', 'PostgreSQL'])
	test(`killed in the middle of sign-ups, refreshes and new keys (${engine})`, async (t) => {
		const database = engine === 'PostgreSQL' ? await postgres(t) : {};
		if (!database)
			return;
		const env = { ...database, ...CHEAP, MASTER_KEY: PRODUCTION.MASTER_KEY, PUBLIC_URL: 'http://localhost:8080', JWT_ALGORITHM: 'ES256' };
		let server = await startServer(t, { env });
		const { dataDir } = server;
		const operator = 'olga@example.com';
		await makeOperator(server, operator);
		const world = new World();
		for (let i = 0; i < 3; i++)
			assert.ok(await world.signsUp(server));

		for (let kill = 0; kill < KILLS; kill++) {
			const living = world.live(server);
			await pause(100 + ((kill * 37) % 100));
			await server.kill();
			await living;
			server = await startServer(t, { env, dataDir });
			for (const person of world.people.slice(0, 2))
				assert.ok(await world.refreshes(server, person), 'nobody was signed out');
			assert.ok(await world.makesKey(server, world.people[2]));
		}

		const there = await check(world, server, operator);
		const verify = async () => {
			const { code, stdout, stderr } = await runProgram(t, ['audit', 'verify', '--json'], { env, cwd: dataDir });
			assert.equal(code, 0, `${stdout}${stderr}`);
			return JSON.parse(stdout);
		};
		await poll('all is chained', async () => (await verify()).unchained === 0);
		t.diagnostic(`${world.people.length} accounts, ${world.unsure.length} without an answer (${there} there), ${world.people[2].keys.size} keys, ${world.replayed} of them without an answer at first`);
	});
