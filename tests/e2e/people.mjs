// People who use the API: calls as JSON, operators, tenants with their owners.
import assert from 'node:assert/strict';

export const PASSWORD = 'correct horse battery staple';

// "POST /api/v1/things" as whoever the token says: { status, headers, text, body, data }.
export async function call(server, request, { token, body, headers = {} } = {}) {
	const [method, path] = request.split(' ');
	const response = await fetch(server.url + path, {
		method,
		headers: {
			...(token ? { authorization: `Bearer ${token}` } : {}),
			...(body === undefined ? {} : { 'content-type': 'application/json' }),
			...headers,
		},
		body: body === undefined ? undefined : JSON.stringify(body),
	});
	const text = await response.text();
	const json = /^application\/json(;|$)/.test(response.headers.get('content-type') ?? '') && text !== '';
	const parsed = json ? JSON.parse(text) : undefined;
	return { status: response.status, headers: response.headers, text, body: parsed, data: parsed?.data };
}

// The same, which must succeed: its data.
export async function done(server, request, options) {
	const answer = await call(server, request, options);
	assert.ok(answer.status < 300, `${request}: ${answer.status} ${answer.text}`);
	return answer.data;
}

// The set-up link that the server prints.
export async function setupLink(server) {
	return new URL((await server.logged((line) => line.setup)).setup);
}

export async function sendForm(server, fields) {
	const response = await fetch(`${server.url}/setup`, { method: 'POST', body: new URLSearchParams(fields) });
	return { status: response.status, headers: response.headers, text: await response.text() };
}

export async function signIn(server, email, tenant, password = PASSWORD) {
	return done(server, 'POST /api/v1/auth/login', { body: { email, password, tenant } });
}

// The first operator, made by the link: what login answers.
export async function makeOperator(server, email = 'olga@example.com') {
	const token = (await setupLink(server)).searchParams.get('token');
	const { status, text } = await sendForm(server, { token, email, name: 'Olga', password: PASSWORD });
	assert.equal(status, 200, text);
	return signIn(server, email, 'system');
}

// A tenant with its owner, who has registered: what register answers.
export async function register(server, slug, email = `owner@${slug}.example`) {
	return done(server, 'POST /api/v1/auth/register', {
		body: { email, password: PASSWORD, name: `Owner of ${slug}`, tenant: { slug, name: slug } },
	});
}

// Everything of a list, page after page.
export async function listAll(server, path, token) {
	const items = [];
	for (let cursor = ''; ; ) {
		const { status, text, data, body } = await call(server, `GET ${path}?limit=100${cursor}`, { token });
		assert.equal(status, 200, text);
		items.push(...data.items);
		if (!body.meta?.nextCursor)
			return items;
		cursor = `&cursor=${encodeURIComponent(body.meta.nextCursor)}`;
	}
}
