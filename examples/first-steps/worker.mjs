// A worker without packages, Node 18 or later: BULKHEAD_KEY=bh_sk_... node worker.mjs
import { createHash } from 'node:crypto';

const api = `${process.env.BULKHEAD_URL ?? 'http://localhost:8080'}/api/v1`, workerId = `node-${process.pid}`;
const headers = { authorization: `Bearer ${process.env.BULKHEAD_KEY}`, 'content-type': 'application/json' };
const work = {
	'line:count': ({ number, line }) => ({ number, words: line.split(/\s+/).filter(Boolean).length, sha256: createHash('sha256').update(line).digest('hex') }),
};

// While this connection stands, what we have leased is ours. After a break it goes on, by the session's id.
async function session(ready, id) {
	try {
		const { body } = await fetch(`${api}/workers/${workerId}/session`, { headers: id ? { ...headers, 'last-event-id': id } : headers });
		for await (const chunk of body) ready((id = /^id: (.+)$/m.exec(Buffer.from(chunk))?.[1] ?? id));
	} catch {}
	setTimeout(session, 100, ready, id);
}

// Until there is an answer: saying the same again does no harm.
async function post(path, body, again) {
	for (;; await new Promise((wake) => setTimeout(wake, 100)), Object.assign(body, again)) {
		const answer = await fetch(api + path, { method: 'POST', headers, body: JSON.stringify(body) }).catch(() => null);
		const { data, error } = (await answer?.json().catch(() => null)) ?? {};
		if (data) return data;
		if (error && answer.status < 500 && answer.status !== 429) throw new Error(error.message);
	}
}

await new Promise(session);
for (let complete = []; ; ) {
	const { jobs } = await post('/queues/default/lease', { workerId, max: 50, waitMs: 20_000, complete }, { lostAnswer: true });
	complete = [];
	for (const { id, leaseToken, name, payload } of jobs)
		try {
			const result = await work[name](payload);
			console.log(JSON.stringify(result));
			complete.push({ id, leaseToken, result });
		} catch (error) {
			await post(`/jobs/${id}/fail`, { leaseToken, message: String(error) }).catch(console.error);
		}
}
