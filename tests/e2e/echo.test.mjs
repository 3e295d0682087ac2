// POST /api/v1/echo as a program of a customer calls it: what is understood, every problem at once, limits,
// pages of other origins, and who the client is behind a proxy.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startServer } from './server.mjs';

const ADA = { name: 'Ada Lovelace', email: 'ada@example.com' };

function echo(server, body, headers = {}) {
	return fetch(`${server.url}/api/v1/echo`, {
		method: 'POST',
		headers: { 'content-type': 'application/json', ...headers },
		body: typeof body === 'string' ? body : JSON.stringify(body),
	});
}

// The body of an error after checking its shape, its problems as { field: code }.
async function problems(response, status, code) {
	assert.equal(response.status, status);
	const { success, statusCode, error, requestId } = await response.json();
	assert.equal(success, false);
	assert.equal(statusCode, status);
	assert.equal(error.code, code);
	assert.equal(requestId, response.headers.get('x-request-id'));
	return Object.fromEntries((error.details ?? []).map(({ field, message, code: problem }) => {
		assert.match(message, /^(must|is|cannot) /);
		return [field, problem];
	}));
}

test('what is good comes back', async (t) => {
	const server = await startServer(t);
	const all = { ...ADA, age: 36, tags: ['maths', 'poetry'], address: { city: 'London', zip: '01234' } };
	const response = await echo(server, all);
	assert.equal(response.status, 200);
	assert.deepEqual(await response.json(), {
		success: true,
		statusCode: 200,
		data: all,
		requestId: response.headers.get('x-request-id'),
	});

	// What was not there is not made up, but a list is always one.
	assert.deepEqual((await (await echo(server, ADA)).json()).data, { ...ADA, tags: [] });
	const name = 'Z\u0308o\u00eb "\\ \u{1f642}';
	assert.equal((await (await echo(server, { ...ADA, name })).json()).data.name, name);
});

test('all problems at once', async (t) => {
	const server = await startServer(t);
	const bad = { email: 'ada', age: 151, tags: ['a', 'B!', 'a'], address: { zip: '12' }, admin: true };
	assert.deepEqual(await problems(await echo(server, bad), 400, 'VALIDATION_ERROR'), {
		name: 'required',
		email: 'invalid_email',
		age: 'too_large',
		'tags.1': 'invalid_slug',
		'tags.2': 'not_unique',
		'address.city': 'required',
		'address.zip': 'invalid_pattern',
		admin: 'unknown_member',
	});
	assert.deepEqual(await problems(await echo(server, ''), 400, 'VALIDATION_ERROR'), { name: 'required', email: 'required' });
	assert.deepEqual(await problems(await echo(server, '{"name":'), 400, 'VALIDATION_ERROR'), { '': 'invalid_json' });
	assert.deepEqual(await problems(await echo(server, '[]'), 400, 'VALIDATION_ERROR'), { '': 'invalid_type' });
	const query = await fetch(`${server.url}/api/v1/echo?debug=1`, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify(ADA),
	});
	assert.deepEqual(await problems(query, 400, 'VALIDATION_ERROR'), { debug: 'unknown_member' });
	await problems(await echo(server, ADA, { 'content-type': 'text/plain' }), 415, 'UNSUPPORTED_MEDIA_TYPE');
	await problems(await fetch(`${server.url}/api/v1/echo`), 405, 'METHOD_NOT_ALLOWED');
	await problems(await echo(server, ' '.repeat(2 * 1024 * 1024)), 413, 'PAYLOAD_TOO_LARGE');
});

test('limits', async (t) => {
	const server = await startServer(t, { env: { RATE_LIMIT_ENABLED: 'true', RATE_LIMIT_GLOBAL: '3' } });
	for (const left of ['2', '1', '0']) {
		const response = await echo(server, ADA);
		assert.equal(response.status, 200);
		assert.equal(response.headers.get('x-ratelimit-limit'), '3');
		assert.equal(response.headers.get('x-ratelimit-remaining'), left);
		assert.equal(response.headers.get('ratelimit-policy'), '"address";q=120000;w=60, "global";q=3;w=60');
		assert.match(response.headers.get('ratelimit'), new RegExp(`"global";r=${left};t=\\d+$`));
		assert.equal(response.headers.get('retry-after'), null);
	}

	const refused = await echo(server, ADA);
	const wait = Number(refused.headers.get('retry-after'));
	assert.ok(wait >= 1 && wait <= 60, `wait for ${wait} s`);
	assert.ok(Math.abs(Number(refused.headers.get('x-ratelimit-reset')) - Date.now() / 1000) <= 62);
	await problems(refused, 429, 'TOO_MANY_REQUESTS');
	assert.equal((await echo(server, '{')).status, 429, 'refused before it is read');
	for (let i = 0; i < 5; i++)
		assert.equal((await fetch(`${server.url}/hello`)).status, 200, 'what has no limit goes on');
});

test('pages of other origins', async (t) => {
	const server = await startServer(t, {
		env: { CORS_ORIGINS: 'https://app.example,http://localhost:3000', RATE_LIMIT_ENABLED: 'true', RATE_LIMIT_GLOBAL: '3' },
	});
	const url = `${server.url}/api/v1/echo`;
	const granted = async (response, origin) => {
		await response.arrayBuffer();
		assert.equal(response.headers.get('access-control-allow-origin'), origin);
		assert.match(response.headers.get('vary'), /\borigin\b/);
	};
	const preflight = (origin) => fetch(url, {
		method: 'OPTIONS',
		headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
	});

	for (let i = 0; i < 5; i++) {
		const response = await preflight('https://app.example');
		assert.equal(response.status, 204);
		assert.match(response.headers.get('access-control-allow-methods'), /\bPOST\b/);
		assert.equal(response.headers.get('access-control-allow-headers'), 'content-type');
		assert.equal(response.headers.get('access-control-allow-credentials'), 'true');
		assert.equal(response.headers.get('ratelimit'), null, 'it counts for nothing');
		await granted(response, 'https://app.example');
	}
	await granted(await preflight('https://bad.example'), null);

	const origin = 'http://localhost:3000';
	for (const [body, status] of [[ADA, 200], [{}, 400], [ADA, 200], [ADA, 429]]) {
		const response = await echo(server, body, { origin });
		assert.equal(response.status, status);
		await granted(response, origin);
	}
	await granted(await fetch(`${server.url}/nowhere`, { headers: { origin } }), origin);
	await granted(await fetch(`${server.url}/%ff`, { headers: { origin } }), origin);
	await granted(await fetch(`${server.url}/nowhere`, { headers: { origin: 'https://bad.example' } }), null);
});

// The client of the latest request, as the access log has it.
async function loggedClient(server, requestId) {
	return (await server.logged((line) => line.msg === 'request' && line.requestId === requestId)).client;
}

test('clients behind a proxy', async (t) => {
	const env = { RATE_LIMIT_ENABLED: 'true', RATE_LIMIT_GLOBAL: '1', TRUSTED_PROXIES: '127.0.0.1/32' };
	const server = await startServer(t, { env });
	let number = 0;
	const from = async (list) => {
		const id = `n-${number++}`;
		const response = await echo(server, ADA, { 'x-forwarded-for': list, 'x-request-id': id });
		return [response.status, await loggedClient(server, id)];
	};
	assert.deepEqual(await from('203.0.113.1'), [200, '203.0.113.1']);
	assert.deepEqual(await from('203.0.113.1'), [429, '203.0.113.1']);
	assert.deepEqual(await from('203.0.113.2'), [200, '203.0.113.2']);
	assert.deepEqual(await from('198.51.100.7, 203.0.113.2'), [429, '203.0.113.2'], 'what a client writes there is not believed');
	assert.deepEqual(await from('2001:db8::1'), [200, '2001:db8::1']);
	assert.deepEqual(await from('2001:db8::2'), [429, '2001:db8::2'], 'a /64 is one client');

	const secure = await fetch(`${server.url}/hello`, { headers: { 'x-forwarded-for': '203.0.113.1', 'x-forwarded-proto': 'https' } });
	assert.ok(secure.headers.get('strict-transport-security'));
});

test('nobody is a proxy unless trusted', async (t) => {
	const server = await startServer(t, { env: { RATE_LIMIT_ENABLED: 'true', RATE_LIMIT_GLOBAL: '1' } });
	for (const [client, status] of [['203.0.113.1', 200], ['203.0.113.2', 429]]) {
		const id = `from-${client}`;
		const response = await echo(server, ADA, { 'x-forwarded-for': client, 'x-forwarded-proto': 'https', 'x-request-id': id });
		assert.equal(response.status, status);
		assert.equal(response.headers.get('strict-transport-security'), null);
		assert.equal(await loggedClient(server, id), '127.0.0.1');
	}
});
