// Schemas of the part of JSON Schema that we take, and values that nearly fit them.
//
// Left out of the generator, because the two engines differ there on purpose (doc/schema.md): numbers that
// a double cannot hold, \s with characters beyond ASCII, quoted and bracketed e-mail addresses, host names
// with "xn--", and what ajv-formats takes although the RFC does not (see FORMATS).
const NAMES = ['a', 'b', 'x-a', 'kind', 'items', 'długi', '€'];
const TEXTS = ['', 'a', 'ab', 'abc', 'a-b', 'A1', 'ż', '😀', '😀a', 'a b', 'x-1', '12', 'red', 'null', '\n', 'a\u0000b', ' '];
const NUMBERS = [0, -0, 1, -1, 2, 3, 0.5, 1.5, -2.5, 0.1, 0.3, 1e3, 1e-7, 100, 7, 2147483648];
const PATTERNS = ['^a', 'b$', '^[a-z]+$', '\\d', '^.{2}$', 'a|b', '^(?:ab?)*$', '[^a-c]', '^\\p{L}+$', '(?=.*\\d)[a-zA-Z]', '\\u{1F600}', '^$', '\\bx', '^(a)?\\1$'];

// Texts on whose format all grammars, ajv-formats' among them, agree.
const FORMATS = {
	email: ['a@b.co', 'a.b+c@x-y.example', 'a@', '@b.co', 'a b@c.de', 'a..b@c.de', 'a@-b.co'],
	uuid: ['0190a1b2-c3d4-7e5f-8a9b-0123456789ab', '0190A1B2-C3D4-7E5F-8A9B-0123456789AB', '0190a1b2-c3d4-7e5f-8a9b-0123456789a', '0190a1b2c3d47e5f8a9b0123456789ab', 'g190a1b2-c3d4-7e5f-8a9b-0123456789ab'],
	uri: ['https://a.b/c?d=e#f', 'mailto:a@b.co', 'urn:x:y', '/a/b', 'a', 'http://a b', 'http://a.b/%zz', '1a://b'],
	'date-time': ['2026-11-20T08:15:30Z', '2026-11-20t08:15:30.123z', '2024-02-29T23:59:59+01:00', '2023-02-29T00:00:00Z', '2026-11-20T24:00:00Z', '2026-11-20T08:15:30', '1998-12-31T23:59:60Z', '1998-12-31T22:59:60Z', '2026-13-01T00:00:00Z'],
	date: ['2026-11-20', '2024-02-29', '2023-02-29', '2026-1-1', '20261120', '1900-02-29'],
	time: ['08:15:30Z', '23:59:60Z', '08:15:30+01:00', '08:15:30', '24:00:00Z', '8:15:30Z'],
	hostname: ['a.b', 'localhost', 'a-b.c1', '-a', 'a_b', 'a..b', ''],
	ipv4: ['1.2.3.4', '255.255.255.255', '256.1.1.1', '1.2.3', '1.2.3.4.5'],
	ipv6: ['::', '::1', '1:2:3:4:5:6:7:8', '::ffff:1.2.3.4', '1::2::3', '12345::', '1:2:3:4:5:6:7'],
	'json-pointer': ['', '/a/b', '/a~0b~1c', 'a', '/~2', '/~'],
	duration: ['P1D', 'PT1H30M', 'P2W', 'P', 'PT', '1D', 'P1S'],
	'uri-reference': ['/a/b', 'a/b', '#f', '?q', 'https://a.b', 'a b', 'a\\b'],
};

export function generator({ below, pick, chance }) {
	const scalar = () => pick([null, true, false, pick(NUMBERS), pick(NUMBERS), pick(TEXTS), pick(TEXTS)]);

	// Any value, small.
	function value(depth) {
		if (depth <= 0 || chance(0.5))
			return scalar();
		if (chance(0.5))
			return Array.from({ length: below(4) }, () => value(depth - 1));
		return Object.fromEntries(Array.from({ length: below(4) }, () => [pick(NAMES), value(depth - 1)]));
	}

	const some = (most, make) => Array.from({ length: 1 + below(most) }, make);
	const subset = (list) => list.filter(() => chance(0.4));

	function texts(depth, schema) {
		if (chance(0.5)) schema.minLength = below(3);
		if (chance(0.5)) schema.maxLength = below(4);
		if (chance(0.3)) schema.pattern = pick(PATTERNS);
		if (chance(0.3)) schema.format = pick(Object.keys(FORMATS));
	}
	function numbers(depth, schema) {
		if (chance(0.4)) schema.minimum = pick(NUMBERS);
		if (chance(0.4)) schema.maximum = pick(NUMBERS);
		if (chance(0.2)) schema.exclusiveMinimum = pick(NUMBERS);
		if (chance(0.2)) schema.exclusiveMaximum = pick(NUMBERS);
		if (chance(0.2)) schema.multipleOf = pick([1, 2, 3, 0.5]);
	}
	function arrays(depth, schema) {
		if (chance(0.6)) schema.items = make(depth - 1);
		if (chance(0.3)) schema.prefixItems = some(2, () => make(depth - 1));
		if (chance(0.3)) schema.minItems = below(3);
		if (chance(0.3)) schema.maxItems = below(4);
		if (chance(0.3)) schema.uniqueItems = chance(0.8);
		if (!schema.prefixItems && chance(0.3)) { // ajv 8 forgets contains of [] beside prefixItems
			schema.contains = make(depth - 1);
			if (chance(0.4)) schema.minContains = below(3);
			if (chance(0.4)) schema.maxContains = below(3);
		}
	}
	function objects(depth, schema) {
		if (chance(0.8)) schema.properties = Object.fromEntries(subset(NAMES).map((name) => [name, make(depth - 1)]));
		if (chance(0.5)) schema.required = subset(NAMES.slice(0, 3));
		if (chance(0.4)) schema.additionalProperties = pick([false, false, true, make(depth - 1)]);
		if (chance(0.2)) schema.patternProperties = { [pick(PATTERNS)]: make(depth - 1) };
		if (chance(0.2)) schema.propertyNames = make(0);
		if (chance(0.2)) schema.minProperties = below(3);
		if (chance(0.2)) schema.maxProperties = below(4);
		if (chance(0.15)) schema.dependentRequired = { [pick(NAMES)]: subset(NAMES) };
		if (chance(0.15)) schema.dependentSchemas = { [pick(NAMES)]: make(depth - 1) };
	}
	function combinations(depth, schema) {
		if (chance(0.12)) schema.allOf = some(2, () => make(depth - 1));
		if (chance(0.12)) schema.anyOf = some(3, () => make(depth - 1));
		if (chance(0.12)) schema.oneOf = some(3, () => make(depth - 1));
		if (chance(0.1)) schema.not = make(depth - 1);
		if (chance(0.1)) {
			schema.if = make(depth - 1);
			if (chance(0.7)) schema.then = make(depth - 1);
			if (chance(0.7)) schema.else = make(depth - 1);
		}
	}

	function make(depth) {
		const schema = {};
		const kinds = [texts, numbers, arrays, objects];
		const types = ['string', pick(['number', 'integer']), 'array', 'object'];
		const kind = below(4);

		if (chance(0.08)) return chance(0.8);
		if (depth > 0 && chance(0.08)) return { $ref: pick(['#/$defs/one', '#/$defs/two']) };
		if (chance(0.1)) return { enum: some(3, () => value(1)) };
		if (chance(0.06)) return { const: value(2) };
		if (chance(0.7)) schema.type = chance(0.8) ? types[kind] : [types[kind], pick(['null', 'boolean'])];
		if (depth > 0 || kind < 2) kinds[kind](depth, schema);
		if (depth > 0) combinations(depth, schema);
		return schema;
	}

	// A schema with definitions, of which one refers to itself within a member.
	function schema() {
		const root = make(3);

		if (typeof root === 'boolean') return root;
		root.$defs = {
			one: { type: ['object', 'integer', 'string'], properties: { a: { $ref: '#/$defs/one' }, b: { type: 'string' } } },
			two: pick([{ type: 'string', minLength: 1 }, { items: { $ref: '#/$defs/two' }, maxItems: 2 }, { enum: ['a', 1, null] }]),
		};
		return root;
	}

	// A value that tries to fit, and now and then does not.
	function fitting(schema, root, depth) {
		if (depth <= 0 || typeof schema !== 'object' || chance(0.12)) return value(2);
		if (schema.$ref) return fitting(root.$defs[schema.$ref.slice(8)], root, depth - 1);
		if (schema.enum) return pick(schema.enum);
		if ('const' in schema) return schema.const;
		for (const word of ['allOf', 'anyOf', 'oneOf'])
			if (schema[word] && chance(0.5)) return fitting(pick(schema[word]), root, depth - 1);

		const type = Array.isArray(schema.type) ? pick(schema.type) : schema.type;
		if (type === 'string' || schema.format || schema.pattern)
			return schema.format && chance(0.8) ? pick(FORMATS[schema.format]) : pick(TEXTS);
		if (type === 'number' || type === 'integer') return pick(NUMBERS);
		if (type === 'null') return null;
		if (type === 'boolean') return chance(0.5);
		if (type === 'array' || schema.items !== undefined || schema.prefixItems)
			return Array.from({ length: below(4) }, (_, i) => fitting(schema.prefixItems?.[i] ?? schema.items ?? true, root, depth - 1));
		if (type === 'object' || schema.properties) {
			const names = new Set([...Object.keys(schema.properties ?? {}).filter(() => chance(0.7)), ...(schema.required ?? []).filter(() => chance(0.9))]);
			if (chance(0.2)) names.add(pick(NAMES));
			return Object.fromEntries([...names].map((name) => [name, fitting(schema.properties?.[name] ?? true, root, depth - 1)]));
		}
		return value(2);
	}

	// A copy in which something was changed.
	function varied(document) {
		if (document === null || typeof document !== 'object' || chance(0.2)) return value(2);
		const copy = structuredClone(document);
		const keys = Object.keys(copy);
		const key = Array.isArray(copy) ? below(copy.length + 1) : chance(0.1) ? pick(NAMES) : pick(keys.length ? keys : NAMES);

		if (chance(0.2) && !Array.isArray(copy)) delete copy[key];
		else copy[key] = chance(0.6) ? varied(copy[key] ?? null) : chance(0.5) ? pick(pick(Object.values(FORMATS))) : value(2);
		return copy;
	}

	return { schema, value, fitting, varied };
}
