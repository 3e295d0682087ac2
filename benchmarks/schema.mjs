// Checking a request body: processor time by table, by hand over jansson, by ajv and by zod
//
//   ./bench schema [ROUNDS]
//
// Each gets the same text, must come to the same verdict and ends with a value that a handler can use: we
// and the hand-written check with a filled struct, the others with the object of JSON.parse, which is
// inside the clock. All of them name all problems, but for the check by hand, which stops at the first.
// The contenders take turns; a ratio is taken within its round, and the median over the rounds counts.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { machine, median } from './lib/measure.mjs';

const ROUNDS = Number(process.argv[2] ?? 5);
const BYTES_A_ROUND = 30e6;

if (!existsSync('tests/node_modules/.package-lock.json'))
	execFileSync('npm', ['--prefix', 'tests', 'ci', '--silent'], { stdio: 'inherit' });
const from = createRequire(join(process.cwd(), 'tests/package.json'));
const Ajv = from('ajv/dist/2020').default;
const addFormats = from('ajv-formats').default;
const { z } = from('zod');

const ajv = new Ajv({ allErrors: true });
addFormats(ajv);
const text = (min, max, more) => ({ type: 'string', minLength: min, maxLength: max, ...more });
const validate = ajv.compile({
	type: 'object',
	properties: {
		id: { type: 'string', format: 'uuid' },
		email: { type: 'string', format: 'email' },
		reference: text(1, 30, { pattern: '^[A-Z]{2}-[0-9]+$' }),
		placedAt: { type: 'string', format: 'date-time' },
		state: { enum: ['open', 'paid', 'sent'] },
		gift: { type: 'boolean' },
		comment: { type: ['string', 'null'], minLength: 0, maxLength: 500 },
		tags: { type: 'array', maxItems: 10, uniqueItems: true, items: text(1, 20) },
		items: {
			type: 'array',
			minItems: 1,
			maxItems: 100,
			items: {
				type: 'object',
				properties: {
					sku: text(1, 40, { pattern: '^[a-z0-9-]+$' }),
					quantity: { type: 'integer', minimum: 1, maximum: 1000 },
					price: { type: 'number', minimum: 0, maximum: 1e6 },
					note: text(0, 200),
				},
				required: ['sku', 'quantity', 'price'],
				additionalProperties: false,
			},
		},
	},
	required: ['id', 'email', 'placedAt', 'state', 'items'],
	additionalProperties: false,
});

const basket = z.strictObject({
	id: z.guid(),
	email: z.email(),
	reference: z.string().min(1).max(30).regex(/^[A-Z]{2}-[0-9]+$/).optional(),
	placedAt: z.iso.datetime({ offset: true }),
	state: z.enum(['open', 'paid', 'sent']),
	gift: z.boolean().optional(),
	comment: z.string().max(500).nullable().optional(),
	tags: z.array(z.string().min(1).max(20)).max(10).refine((tags) => new Set(tags).size === tags.length).optional(),
	items: z.array(z.strictObject({
		sku: z.string().min(1).max(40).regex(/^[a-z0-9-]+$/),
		quantity: z.int().min(1).max(1000),
		price: z.number().min(0).max(1e6),
		note: z.string().max(200).optional(),
	})).min(1).max(100),
});

const parsed = (json) => {
	try {
		return JSON.parse(json);
	} catch {
		return undefined;
	}
};
const byAjv = (json) => validate(parsed(json));
const byZod = (json) => basket.safeParse(parsed(json)).success;

function document(items) {
	return {
		id: '0190a1b2-c3d4-7e5f-8a9b-0123456789ab',
		email: 'ada.lovelace@mail.example.org',
		reference: 'UK-181512',
		placedAt: '2026-11-20T08:15:30.123Z',
		state: 'paid',
		gift: true,
		comment: items > 1 ? 'Bitte nicht vor dem 10. Dezember liefern, sonst ist die Überraschung dahin.' : null,
		tags: ['new', 'eu', 'priority'],
		items: Array.from({ length: items }, (_, i) => ({ sku: `engine-part-${i * 37}`, quantity: 1 + (i % 9), price: 12.5 + i * 3.99, note: i % 3 ? '' : 'with care' })),
	};
}

const wrong = { ...document(3), email: 'nobody', state: 'lost', colour: 'red' };
wrong.items[1].quantity = 0;
const documents = { 'one item': document(1), '20 items': document(20), '4 problems': wrong };

function inNode(judge, json, times) {
	let valid;
	const began = process.cpuUsage();

	for (let i = 0; i < times; i++)
		valid = judge(json);
	const used = process.cpuUsage(began);
	return { ns: ((used.user + used.system) * 1000) / times, valid };
}

const folder = mkdtempSync(join(tmpdir(), 'schema-'));
try {
	console.log(machine());
	console.log('processor microseconds for a document, median of', ROUNDS, 'rounds (how many times ours)');
	for (const [name, value] of Object.entries(documents)) {
		const json = JSON.stringify(value);
		const bytes = Buffer.byteLength(json);
		const times = Math.ceil(BYTES_A_ROUND / bytes);
		const rounds = [];

		writeFileSync(join(folder, 'document'), json);
		inNode(byAjv, json, times / 5);
		inNode(byZod, json, times / 5);
		for (let round = 0; round < ROUNDS; round++) {
			const native = JSON.parse(execFileSync('build/release/bench-schema_native', [join(folder, 'document'), String(times)]));
			const ajvs = inNode(byAjv, json, times);
			const zods = inNode(byZod, json, times / 2);

			if (ajvs.valid !== native.valid || zods.valid !== native.valid)
				throw new Error(`${name}: ours ${native.valid}, ajv ${ajvs.valid}, zod ${zods.valid}`);
			rounds.push({ table: native.table, hand: native.hand, ajv: ajvs.ns, zod: zods.ns });
		}
		const show = (key) => {
			const us = median(rounds.map((round) => round[key])) / 1000;
			const ratio = median(rounds.map((round) => round[key] / round.table));

			return `${us.toFixed(2).padStart(8)} (${ratio.toFixed(1)}x)`;
		};
		console.log(`${name.padEnd(11)} ${String(bytes).padStart(5)} bytes   ours ${show('table')}   jansson by hand ${show('hand')}   JSON.parse + ajv ${show('ajv')}   JSON.parse + zod ${show('zod')}`);
	}
} finally {
	rmSync(folder, { recursive: true, force: true });
}
