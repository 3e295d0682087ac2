// What every queue of ./bench jobs is asked to do, whoever keeps it: the same payload, callers, pace and sums.
import { setTimeout as sleep } from 'node:timers/promises';

export const PAYLOAD_BYTES = 100;
export const CALLERS = 64;
export const CHUNK = 1000;
export const CHUNK_CALLERS = 4;
export const RATE = 200;

// Nanoseconds of the monotonic clock, which all processes of the machine share.
export const now = () => Number(process.hrtime.bigint());

// A payload of PAYLOAD_BYTES as JSON; `at` is when it was sent, or nothing that matters.
export function payload(at = 1_000_000_000_000) {
	const value = { at, text: '' };
	value.text = 'x'.repeat(PAYLOAD_BYTES - JSON.stringify(value).length);
	return value;
}

// Calls `add` from `callers` loops for a second to become warm, then for `seconds`; how often a second.
export async function callFor(seconds, callers, add) {
	await callUntil(performance.now() + 1000, callers, add);
	const began = performance.now();
	const done = await callUntil(began + seconds * 1000, callers, add);
	return done / ((performance.now() - began) / 1000);
}

async function callUntil(until, callers, add) {
	let done = 0;
	const loop = async () => {
		while (performance.now() < until) {
			await add();
			done++;
		}
	};
	await Promise.all(Array.from({ length: callers }, loop));
	return done;
}

// Calls `add` `count` times from `callers` loops.
export async function callTimes(count, callers, add) {
	let left = count;
	const loop = async () => {
		while (left-- > 0)
			await add();
	};
	await Promise.all(Array.from({ length: callers }, loop));
}

// Calls `add` RATE times a second, whether the former has been answered or not.
export async function callAtPace(seconds, add) {
	const pending = [];
	const began = performance.now();
	for (let i = 0; i < seconds * RATE; i++) {
		const wait = began + i * 1000 / RATE - performance.now();
		if (wait > 0)
			await sleep(wait);
		pending.push(add());
	}
	await Promise.all(pending);
}

// { p50, p99 } in milliseconds of nanoseconds.
export function percentiles(samples) {
	const sorted = [...samples].sort((a, b) => a - b);
	const at = (share) => sorted[Math.floor((sorted.length - 1) * share)] / 1e6;
	return { p50: at(0.5), p99: at(0.99) };
}

// Counts starts of jobs: ends when `count` of them have been done, then says how many a second since the first.
export function workOff(count) {
	let first, done = 0, finish;
	const finished = new Promise((resolve) => (finish = resolve));
	return {
		began: () => (first ??= performance.now()),
		ended() {
			if (++done === count)
				finish(count / ((performance.now() - first) / 1000));
		},
		finished,
	};
}
