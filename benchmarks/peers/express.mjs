// Express 5 as a team would set it up: helmet, cors, a limiter, zod, a verified token, pino.
import { randomUUID } from 'node:crypto';
import cors from 'cors';
import express from 'express';
import { rateLimit } from 'express-rate-limit';
import helmet from 'helmet';
import { pinoHttp } from 'pino-http';
import { Echo, claimsOf, failure, logger, port } from './shared.mjs';

const app = express();
app.use(pinoHttp({ logger, genReqId: (request) => request.headers['x-request-id'] ?? randomUUID() }));
app.use(helmet());
app.use(cors({ origin: ['https://app.example.com'], credentials: true }));
app.use(rateLimit({ limit: 1_000_000_000, windowMs: 60_000, standardHeaders: 'draft-8' }));
app.use((request, response, next) => {
	try {
		request.caller = claimsOf(request.headers.authorization);
		next();
	} catch (error) {
		response.status(401).json(failure(401, 'UNAUTHORIZED', error.message, request.id));
	}
});
app.use(express.json({ limit: '1mb' }));

app.post('/api/v1/echo', (request, response) => {
	response.set('x-request-id', request.id);
	const result = Echo.safeParse(request.body);
	if (!result.success)
		return response.status(400).json(failure(400, 'VALIDATION_ERROR', 'invalid', request.id, result.error.issues));
	response.json({ success: true, statusCode: 200, data: result.data, requestId: request.id });
});

app.listen(port, '127.0.0.1');
