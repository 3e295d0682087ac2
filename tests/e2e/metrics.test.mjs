// GET /metrics, read as strictly as Prometheus does.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import test from 'node:test';
import { startServer } from './server.mjs';
import { ask, dial, get, health, requestText } from './wire.mjs';

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = `[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"`;
const SAMPLE = new RegExp(`^(${NAME})(?:\\{((?:${LABEL})(?:,${LABEL})*)\\})? (NaN|[+-]Inf|[+-]?[0-9.]+(?:e[+-]?[0-9]+)?)$`);

// The text format: Map of family name to { type, help, samples: [{ name, labels, value }] }.
function parseMetrics(text) {
	assert.ok(text.endsWith('\n'));
	const families = new Map();
	const seen = new Set();
	let family;
	for (const line of text.slice(0, -1).split('\n')) {
		const comment = new RegExp(`^# (HELP|TYPE) (${NAME}) (.+)$`).exec(line);
		if (comment) {
			const [, kind, name, rest] = comment;
			if (family?.name !== name) {
				assert.ok(!families.has(name), `${name} in two places`);
				family = { name, samples: [] };
				families.set(name, family);
			}
			assert.equal(family[kind], undefined, `one ${kind} of ${name}`);
			assert.equal(family.samples.length, 0, 'comments come first');
			family[kind] = rest;
			continue;
		}

		const [, name, labelText = '', value] = SAMPLE.exec(line) ?? assert.fail(`a line ${JSON.stringify(line)}`);
		const labels = Object.fromEntries([...labelText.matchAll(/([^=,]+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text]));
		const suffix = family.TYPE === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
		assert.ok(suffix.some((end) => name === family.name + end), `${name} stands under ${family.name}`);
		assert.ok(!seen.has(name + labelText), `${name}{${labelText}} twice`);
		seen.add(name + labelText);
		family.samples.push({ name, labels, value: Number(value.replace('Inf', 'Infinity')) });
	}
	for (const { name, TYPE, HELP, samples } of families.values()) {
		assert.ok(HELP && ['counter', 'gauge', 'histogram'].includes(TYPE), `${name} is described`);
		assert.ok(TYPE !== 'counter' || (name.endsWith('_total') && samples.every(({ value }) => value >= 0)), name);
		if (TYPE === 'histogram')
			assertHistogram(name, samples);
	}
	return families;
}

function assertHistogram(name, samples) {
	const series = new Map();
	for (const sample of samples) {
		const { le, ...labels } = sample.labels;
		const key = JSON.stringify(labels);
		const one = series.get(key) ?? { buckets: [] };
		series.set(key, one);
		if (le !== undefined)
			one.buckets.push([Number(le.replace('Inf', 'Infinity')), sample.value]);
		else
			one[sample.name.slice(name.length)] = sample.value;
	}
	for (const [key, { buckets, _sum, _count }] of series) {
		buckets.forEach(([bound, count], i) => assert.ok(i === 0 || (bound > buckets[i - 1][0] && count >= buckets[i - 1][1]), `${name} ${key} rises`));
		assert.equal(buckets.at(-1)[0], Infinity);
		assert.equal(buckets.at(-1)[1], _count);
		assert.ok(_sum >= 0);
	}
}

async function metrics(server) {
	const { body, headers } = await ask(server, get('/metrics'));
	assert.match(headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
	return parseMetrics(body.toString());
}

const REQUESTS = 'http_server_request_duration_seconds';

function counts(families) {
	const samples = families.get(REQUESTS)?.samples.filter(({ name }) => name === `${REQUESTS}_count`) ?? [];
	return Object.fromEntries(samples.map(({ labels, value }) => [`${labels.http_request_method} ${labels.http_route} ${labels.http_response_status_code}`, value]));
}

test('requests are counted by route and status', async (t) => {
	const server = await startServer(t);
	const wire = dial(t, server);
	for (let i = 0; i < 7; i++)
		await wire.request(get());
	for (let i = 0; i < 3; i++)
		await wire.request(requestText('HEAD', '/hello'), 'HEAD');
	for (let i = 0; i < 5; i++)
		await wire.request(get(`/nothing-${i}`));
	for (let i = 0; i < 2; i++)
		await wire.request(requestText('DELETE', '/hello'));
	await wire.request(requestText('BREW', '/hello'));

	const families = await metrics(server);
	assert.deepEqual(counts(families), { 'GET /hello 200': 10, '_OTHER unmatched 404': 5, '_OTHER unmatched 405': 2, '_OTHER unmatched 501': 1 });
	for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'process_open_fds', 'log_lines_total', 'http_connections', 'http_connections_accepted_total', 'bulkhead_build_info'])
		assert.ok(families.has(name), name);
	assert.equal(families.get('http_connections').samples[0].value, (await health(server)).connections);
	assert.equal(counts(await metrics(server))['GET /metrics 200'], 1);
});

test('a client cannot make series', async (t) => {
	const server = await startServer(t);
	const series = async () => [...(await metrics(server)).values()].reduce((sum, { samples }) => sum + samples.length, 0);
	const noise = async (round) => {
		for (let i = 0; i < 50; i++) {
			const tag = `${round}-${i}`;
			for (const text of [get(`/nothing/${tag}`), requestText(`M${tag}`, '/hello'), requestText('HEAD', `/x${tag}`), requestText('PATCH', '/hello'), get(`/hello?${tag}`), get('/hello', { 'x-request-id': tag, host: `h${tag}` }), `bad ${tag}\r\n\r\n`])
				await ask(server, text, text.startsWith('HEAD') ? 'HEAD' : 'GET');
		}
	};
	await noise('a');
	await series();
	const before = await series();
	await noise('b');
	assert.equal(await series(), before);
});

test('OpenMetrics for who asks for it', async (t) => {
	const server = await startServer(t);
	const { headers, body } = await ask(server, get('/metrics', { accept: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5' }));
	assert.match(headers.get('content-type'), /^application\/openmetrics-text; version=1\.0\.0/);
	assert.ok(body.toString().endsWith('\n# EOF\n'));
});

const promtool = spawnSync('promtool', ['--version']).status === 0;

test('promtool has nothing to say against it', { skip: promtool ? false : 'promtool is not installed' }, async (t) => {
	const server = await startServer(t);
	await ask(server, get());
	const { body } = await ask(server, get('/metrics'));
	const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: body, encoding: 'utf8' });
	assert.equal(status, 0, stdout + stderr);
});
