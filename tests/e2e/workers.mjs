// Workers for tests: jobs added, leases, sessions as server-sent events.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { call, done, register } from './people.mjs';
import { atEnd } from './server.mjs';
import { poll } from './wire.mjs';

// A tenant's owner with a key for jobs: { token, key }.
export async function employer(server, slug) {
	const { accessToken: token } = await register(server, slug);
	const { key } = await done(server, 'POST /api/v1/api-keys', { token, body: { name: 'jobs', scopes: ['jobs:read', 'jobs:write', 'jobs:work', 'jobs:manage'] } });
	return { token, key };
}

// Adds a job: its id.
export async function add(server, key, job = {}) {
	return (await done(server, 'POST /api/v1/jobs', { token: key, body: { name: 'test:work', ...job } })).id;
}

// Takes jobs: all that the answer says.
export async function lease(server, key, { queue = 'default', at = '/api/v1', ...body } = {}) {
	return done(server, `POST ${at}/queues/${queue}/lease`, { token: key, body: { workerId: 'w', max: 100, ...body } });
}

// Says something of a job that was leased: the whole answer.
export async function say(server, key, what, { id, leaseToken }, more = {}, at = '/api/v1') {
	return call(server, `POST ${at}/jobs/${id}/${what}`, { token: key, body: { leaseToken, ...more } });
}

// The session of a worker. `events` are { event, id, data } in their order.
export class Session {
	events = [];
	ended = false;
	status;
	#request;

	constructor(t, server, key, workerId, { lastEventId, at = '/api/v1' } = {}) {
		const headers = { authorization: `Bearer ${key}`, ...(lastEventId ? { 'last-event-id': lastEventId } : {}) };
		this.#request = request(`${server.url}${at}/workers/${workerId}/session`, { headers, agent: false }, (response) => {
			this.status = response.statusCode;
			let text = '';
			response.setEncoding('utf8').on('data', (chunk) => {
				const blocks = (text += chunk).split('\n\n');
				text = blocks.pop();
				for (const block of blocks)
					this.#note(block);
			});
			response.on('close', () => (this.ended = true)).on('error', () => {});
		});
		this.#request.on('error', () => (this.ended = true)).end();
		atEnd(t, () => this.drop());
	}

	#note(block) {
		const lines = block.split('\n').filter((line) => !line.startsWith(':'));
		const values = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]));
		if (values.event)
			this.events.push({ ...values, data: JSON.parse(values.data) });
	}

	// The data of the first event of that name.
	async got(name) {
		const found = await poll(`the event ${name}`, () => this.events.find(({ event }) => event === name) ?? (this.ended && { lost: true }));
		assert.ok(!found.lost, `the session ended without ${name}: ${this.status} ${JSON.stringify(this.events)}`);
		return found.data;
	}

	async over() {
		await poll('the end of the session', () => this.ended);
	}

	// As if its process had died.
	drop() {
		this.#request.destroy();
	}
}
