// Our validation beside ajv's: schemas and values made at random (from a fixed seed), and the tables of the
// unit tests by the JSON Schema that they write. Every verdict must be the same.
//
//   node --test tests/differential/        SEED=n other cases, ROUNDS=n more of them
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { generator } from './generate.mjs';
import { randomizer } from './random.mjs';

const UNIT = resolve(process.env.UNIT ?? 'build/debug/unit');
const SEED = Number(process.env.SEED ?? 20261120);
const ROUNDS = Number(process.env.ROUNDS ?? 800);
const VALUES = 12;

const folder = mkdtempSync(join(tmpdir(), 'schema-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function ajv() {
	const instance = new Ajv.default({ strict: false, allErrors: false, validateSchema: true, unicodeRegExp: true, logger: false });

	addFormats.default(instance);
	instance.addFormat('slug', /^[a-z0-9]+(?:-[a-z0-9]+)*$/);
	return instance;
}

function unit(name, environment) {
	const output = execFileSync(UNIT, [name], { env: { ...process.env, ...environment }, encoding: 'utf8', maxBuffer: 1 << 26 });

	assert.match(output, /, 0 failed/);
}

// Our verdicts on the cases, in their order.
function ours(cases) {
	const environment = { SCHEMA_CASES: join(folder, 'cases'), SCHEMA_VERDICTS: join(folder, 'verdicts') };

	writeFileSync(environment.SCHEMA_CASES, cases.map((one) => JSON.stringify(one) + '\n').join(''));
	unit('schema_differential', environment);
	return readFileSync(environment.SCHEMA_VERDICTS, 'utf8').trim().split('\n');
}

function compare(cases, theirs) {
	const verdicts = ours(cases);
	const differing = [];

	assert.equal(verdicts.length, cases.length);
	for (const [i, verdict] of verdicts.entries())
		if (verdict !== (theirs[i] ? '1' : '0'))
			differing.push(`${JSON.stringify(cases[i])}\n    ours ${verdict}, ajv ${theirs[i]}`);
	assert.equal(differing.length, 0, `${differing.length} of ${cases.length} differ:\n${differing.slice(0, 5).join('\n')}`);
}

test('random schemas', () => {
	const make = generator(randomizer(SEED));
	const validator = ajv();
	const cases = [];
	const theirs = [];

	for (let round = 0; round < ROUNDS; round++) {
		const schema = make.schema();
		const validate = validator.compile(schema);

		for (let i = 0; i < VALUES; i++) {
			const value = i % 4 === 3 ? make.value(3) : make.fitting(schema, schema, 6);

			cases.push({ schema, value });
			theirs.push(validate(value));
		}
	}
	const taken = theirs.filter(Boolean).length;
	assert.ok(taken > cases.length * 0.2 && taken < cases.length * 0.8, `${taken} of ${cases.length} are valid: a poor mix`);
	compare(cases, theirs);
});

// Beyond JSON Schema (doc/schema.md): control characters are refused in text, raw JSON has a size, and a
// document is an object.
function beyondSchema(value) {
	return /\\u00|\\n/.test(JSON.stringify(value)) || Buffer.byteLength(JSON.stringify(value?.extra ?? 0)) > 40 || typeof value !== 'object' || value === null;
}

test('tables by the schemas they write', () => {
	const make = generator(randomizer(SEED + 1));
	const cases = [];
	const theirs = [];

	unit('schema_export_file', { SCHEMA_EXPORT: join(folder, 'tables') });
	for (const line of readFileSync(join(folder, 'tables'), 'utf8').trim().split('\n')) {
		const { type, schema, document } = JSON.parse(line);
		const validate = ajv().compile(schema);

		assert.ok(validate(document), `${type}: ${JSON.stringify(validate.errors)}`);
		for (let i = 0; i < ROUNDS; i++) {
			let value = document;

			for (let changes = i % 4; changes > 0; changes--)
				value = make.varied(value);
			if (beyondSchema(value))
				continue;
			cases.push({ table: type, value });
			theirs.push(validate(value));
		}
	}
	compare(cases, theirs);
});
