// What both peers share: the schema of POST /api/v1/echo, the check of the token, the log.
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import jsonwebtoken from 'jsonwebtoken';
import pino from 'pino';
import { z } from 'zod';

export const port = Number(process.env.PORT);
export const logger = pino(pino.destination({ fd: 1, sync: false, minLength: 4096 }));

const key = createPublicKey(readFileSync(process.env.PUBLIC_KEY_FILE));

export const Echo = z.strictObject({
	name: z.string().min(1).max(50),
	email: z.email(),
	age: z.int().min(0).max(150).optional(),
	tags: z
		.array(z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/))
		.max(5)
		.refine((tags) => new Set(tags).size === tags.length, 'must not repeat')
		.optional(),
	address: z.strictObject({ city: z.string().min(1).max(80), zip: z.string().regex(/^\d{5}$/) }).optional(),
});

// The claims of the token in an Authorization header; throws when it is not good.
export function claimsOf(authorization = '') {
	const [scheme, token] = authorization.split(' ');
	if (scheme.toLowerCase() !== 'bearer')
		throw new Error('no bearer token');
	return jsonwebtoken.verify(token, key, { algorithms: ['RS256'], issuer: 'bulkhead', audience: 'bulkhead' });
}

export function failure(statusCode, code, message, requestId, details) {
	return { success: false, statusCode, error: { code, message, details }, requestId };
}
