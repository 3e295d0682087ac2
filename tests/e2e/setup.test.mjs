// The first start: a link, one page, one operator.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { call, makeOperator, PASSWORD, sendForm, setupLink, signIn } from './people.mjs';
import { startServer } from './server.mjs';

const open = async (server, query) => {
	const response = await fetch(`${server.url}/setup${query}`);
	return { status: response.status, headers: response.headers, text: await response.text() };
};

const account = { email: 'olga@example.com', name: 'Olga', password: PASSWORD };

test('the link makes the first operator, and is gone', async (t) => {
	const server = await startServer(t);
	const link = await setupLink(server);
	assert.equal(`${link.origin}${link.pathname}`, `http://localhost:${server.port}/setup`);
	const token = link.searchParams.get('token');
	assert.match(token, /^bh_su_[a-z2-7]+$/);

	const page = await open(server, link.search);
	assert.equal(page.status, 200);
	assert.match(page.text, /<form method="post"/);
	assert.match(page.headers.get('content-security-policy'), /^default-src 'none';style-src 'sha256-[^']+';form-action 'self';base-uri 'none';frame-ancestors 'none'$/);
	assert.equal(page.headers.get('cache-control'), 'no-store');
	assert.equal(page.headers.get('referrer-policy'), 'no-referrer');
	assert.doesNotMatch(page.text, /https?:|src=|<script|url\(|@import/, 'asks nobody for anything');

	const made = await sendForm(server, { token, ...account });
	assert.equal(made.status, 200, made.text);
	assert.doesNotMatch(made.text, new RegExp(PASSWORD));
	for (const late of [await open(server, link.search), await sendForm(server, { token, ...account, email: 'eve@example.com' })])
		assert.equal(late.status, 404);

	const { accessToken, tenant } = await signIn(server, account.email, 'system');
	assert.equal(tenant.slug, 'system');
	assert.equal((await call(server, 'GET /api/v1/tenants', { token: accessToken })).status, 200);

	const again = await startServer(t, { dataDir: (await server.stop(), server.dataDir) });
	await again.logged((line) => line.msg === 'listening');
	assert.equal((await open(again, link.search)).status, 404);
	assert.ok(!again.lines.some((line) => line.setup), 'no link when there is an operator');
});

test('whatever is no good link gets the same page', async (t) => {
	const server = await startServer(t);
	const token = (await setupLink(server)).searchParams.get('token');
	const flipped = token.slice(0, 20) + (token[20] === 'a' ? 'b' : 'a') + token.slice(21);
	const others = ['', '?', '?token=', '?token=x', `?token=${flipped}`, `?token=${token}x`, `?token=${token.slice(0, -1)}`, `?token=${token.toUpperCase()}`, '?token=%ff', '?token=%00'];
	const pages = await Promise.all(others.map((query) => open(server, query)));
	for (const page of pages) {
		assert.equal(page.status, 404);
		assert.equal(page.text, pages[0].text);
	}
	const posted = await sendForm(server, { ...account, token: flipped });
	assert.deepEqual([posted.status, posted.text], [404, pages[0].text]);
	assert.equal((await open(server, `?token=${token}`)).status, 200, 'it is still good');
});

test('a form that is not right comes back', async (t) => {
	const server = await startServer(t);
	const token = (await setupLink(server)).searchParams.get('token');
	const refused = [
		[{ ...account, password: 'short' }, /[Pp]assword/],
		[{ ...account, password: 'password123' }, /[Pp]assword/],
		[{ ...account, password: '' }, /[Pp]assword/],
		[{ ...account, email: 'nobody' }, /[Ee]mail/],
		[{ ...account, name: '' }, /[Nn]ame/],
	];
	for (const [fields, sentence] of refused) {
		const { status, text } = await sendForm(server, { token, ...fields });
		assert.equal(status, 400, JSON.stringify(fields));
		assert.match(text.match(/class="problem"[^>]*>([^<]*)</)[1], sentence);
	}
	const evil = await sendForm(server, { token, email: 'x', name: '"><script>alert(1)</script>', password: 'short' });
	assert.equal(evil.status, 400);
	assert.doesNotMatch(evil.text, /<script/);
	assert.match(evil.text, /&quot;&gt;&lt;script&gt;/);

	const json = await fetch(`${server.url}/setup`, { method: 'POST', body: JSON.stringify({ token, ...account }), headers: { 'content-type': 'application/json' } });
	assert.equal(json.status, 415);
	assert.equal((await sendForm(server, { token, ...account })).status, 200);
});

test('many at once make one operator', async (t) => {
	const server = await startServer(t);
	const token = (await setupLink(server)).searchParams.get('token');
	const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => sendForm(server, { token, ...account, email: `olga${i}@example.com` })));
	const statuses = answers.map(({ status }) => status).sort();
	assert.deepEqual(statuses, [200, 404, 404, 404, 404, 404, 404, 404]);
});

test('each start has a link of its own, and all end with the first operator', async (t) => {
	const first = await startServer(t);
	const one = await setupLink(first);
	await first.stop();
	const server = await startServer(t, { dataDir: first.dataDir });
	const two = await setupLink(server);
	assert.notEqual(one.search, two.search);
	assert.equal((await open(server, one.search)).status, 200, 'a day has not passed');
	await makeOperator(server);
	for (const link of [one, two])
		assert.equal((await open(server, link.search)).status, 404);
	const token = two.searchParams.get('token');
	const file = await readFile(join(server.dataDir, 'bulkhead.db'), 'latin1');
	assert.ok(!file.includes(token) && !file.includes(PASSWORD), 'the file knows no secret');
});
