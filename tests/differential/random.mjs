// Random numbers that are the same in every run: mulberry32.
export function randomizer(seed) {
	let state = seed >>> 0;
	const next = () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let t = state;
		t = Math.imul(t ^ (t >>> 15), t | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
	};
	const below = (n) => Math.floor(next() * n);
	const pick = (list) => list[below(list.length)];
	const chance = (p) => next() < p;
	return { next, below, pick, chance };
}
