// The document that the server prints: lint-clean by Redocly's recommended rules, and the types made from it
// compile and say what the contract says.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startServer, temporaryFolder } from './server.mjs';

const MODULES = fileURLToPath(new URL('../node_modules', import.meta.url));

function run(program, args, cwd) {
	const result = spawnSync(join(MODULES, '.bin', program), args, { cwd, encoding: 'utf8', env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' } });
	assert.equal(result.status, 0, `${program} ${args.join(' ')}\n${result.stdout}${result.stderr}`);
	return result.stdout + result.stderr;
}

async function documentOf(t) {
	const server = await startServer(t);
	const response = await fetch(`${server.url}/openapi.json`);
	assert.equal(response.status, 200);
	assert.equal(response.headers.get('content-type'), 'application/json');
	return response.json();
}

test('every route is in the document, with its errors and its right', async (t) => {
	const document = await documentOf(t);
	assert.equal(document.openapi, '3.1.0');
	for (const path of [
		'/api/v1/echo', '/api/v1/rights', '/api/v1/roles', '/api/v1/roles/{name}', '/api/v1/roles/{name}/members', '/api/v1/tenant',
		'/api/v1/tenants', '/api/v1/tenants/{id}', '/api/v1/tenants/{id}/resume', '/api/v1/tenants/{id}/suspend',
		'/api/v1/users/{id}/roles', '/health', '/health/live', '/health/ready', '/health/startup', '/hello', '/live',
		'/metrics', '/openapi.json', '/ready',
	])
		assert.ok(document.paths[path], path);
	const ids = new Set();
	for (const [path, item] of Object.entries(document.paths))
		for (const operation of Object.values(item)) {
			assert.ok(operation['x-right'], path);
			assert.ok(operation.responses[500], path);
			assert.ok(!ids.has(operation.operationId), operation.operationId);
			ids.add(operation.operationId);
		}
	const echo = document.components.schemas.Echo;
	assert.deepEqual(echo.required, ['name', 'email']);
	assert.deepEqual(echo.properties.name, {
		type: 'string', minLength: 1, maxLength: 50, description: 'Full name.', examples: ['Ada Lovelace'],
	});
	assert.equal(document.components.schemas.EchoAddress.properties.zip.pattern, '^(?:[0-9]{5})$');
});

test('every operation says which built-in roles have the right that it needs', async (t) => {
	const { paths } = await documentOf(t);
	for (const [path, item] of Object.entries(paths))
		for (const operation of Object.values(item)) {
			if (operation['x-right'] === 'public') {
				assert.equal(operation['x-roles'], undefined, path);
				continue;
			}
			assert.ok(operation['x-roles'].includes('owner'), path);
			assert.equal(operation['x-tenant'], operation['x-right'].startsWith('platform:') ? 'system' : undefined, path);
			if (operation['x-right'] === 'account:self')
				assert.deepEqual(operation.security, [{ bearer: [] }], path);
		}
	assert.deepEqual(paths['/api/v1/roles'].get['x-roles'], ['owner', 'admin', 'member', 'viewer']);
	assert.deepEqual(paths['/api/v1/roles'].post['x-roles'], ['owner', 'admin']);
});

test('keys and conditions are in the document where the contract has them', async (t) => {
	const { paths, components } = await documentOf(t);
	const parameters = (operation) => (operation.parameters ?? []).map((each) => each.$ref ?? each.name);
	const create = paths['/api/v1/tenants'].post, show = paths['/api/v1/tenants/{id}'].get;
	assert.ok(parameters(create).includes('#/components/parameters/IdempotencyKey'));
	assert.deepEqual(Object.keys(create.responses[201].headers).sort(), ['ETag', 'Idempotent-Replayed']);
	assert.ok(create.responses[409] && create.responses[422]);
	assert.ok(parameters(show).includes('#/components/parameters/IfNoneMatch'));
	assert.ok(show.responses[304] && show.responses[412]);
	assert.ok(!parameters(paths['/api/v1/echo'].post).some((name) => name.startsWith('#')));
	assert.equal(components.parameters.IdempotencyKey.schema.maxLength, 255);
});

test('lint-clean, and the TypeScript made from it compiles', async (t) => {
	const folder = await temporaryFolder(t);
	await writeFile(join(folder, 'openapi.json'), JSON.stringify(await documentOf(t)));
	await symlink(MODULES, join(folder, 'node_modules'));
	run('redocly', ['lint', '--extends', 'recommended', 'openapi.json'], folder);
	run('openapi-typescript', ['openapi.json', '-o', 'api.ts'], folder);
	await copyFile(new URL('openapi/use.ts', import.meta.url), join(folder, 'use.ts'));
	run('tsc', ['--strict', '--noEmit', '--skipLibCheck', 'use.ts'], folder);
});
