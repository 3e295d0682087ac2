// Fastify 5 as a team would set it up: helmet, cors, a limiter, zod, a verified token, pino.
import cors from '@fastify/cors';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import Fastify from 'fastify';
import { Echo, claimsOf, failure, logger, port } from './shared.mjs';

const app = Fastify({ loggerInstance: logger, bodyLimit: 1 << 20, requestIdHeader: 'x-request-id' });
await app.register(helmet);
await app.register(cors, { origin: ['https://app.example.com'], credentials: true });
await app.register(rateLimit, { max: 1_000_000_000, timeWindow: '1 minute' });

app.addHook('preHandler', async (request, reply) => {
	try {
		request.caller = claimsOf(request.headers.authorization);
	} catch (error) {
		return reply.code(401).send(failure(401, 'UNAUTHORIZED', error.message, request.id));
	}
});

app.post('/api/v1/echo', async (request, reply) => {
	reply.header('x-request-id', request.id);
	const result = Echo.safeParse(request.body);
	if (!result.success)
		return reply.code(400).send(failure(400, 'VALIDATION_ERROR', 'invalid', request.id, result.error.issues));
	return { success: true, statusCode: 200, data: result.data, requestId: request.id };
});

await app.listen({ port, host: '127.0.0.1' });
