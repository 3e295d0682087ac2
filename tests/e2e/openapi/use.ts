// What a product team writes against the types made from /openapi.json; compiled by openapi.test.mjs.
import type { paths, components } from './api';
type Echo = components['schemas']['Echo'];
const echo: Echo = { name: 'Ada', email: 'ada@example.com', tags: ['x'] };
type Answer = paths['/api/v1/echo']['post']['responses'][200]['content']['application/json'];
const answer: Answer = { success: true, statusCode: 200, data: echo, requestId: 'x' };
// @ts-expect-error name is required
const wrong: Echo = { email: 'x' };
export { answer, wrong };
