// Modules from shared objects, for tests: an example built for the program under test.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { basename, dirname, join } from 'node:path';
import { cp } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { PROGRAM, temporaryFolder } from './server.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

// The path of examples/module-NAME's shared object, built against the headers that are installed for the
// flavour of the program (build/FLAVOUR or build/FLAVOUR-clang).
export async function buildExample(t, name) {
	const folder = await temporaryFolder(t);
	const [flavour, compiler = 'gcc'] = basename(dirname(PROGRAM)).split('-');
	const make = (args, env = {}) => {
		const { status, stdout, stderr } = spawnSync('make', ['-s', ...args], { encoding: 'utf8', env: { ...process.env, MAKEFLAGS: '', ...env } });
		assert.equal(status, 0, `make ${args.join(' ')}\n${stdout}${stderr}`);
	};
	make(['-C', ROOT, 'headers', `FLAVOUR=${flavour}`, `CC=${compiler}`, `DESTDIR=${folder}`, 'PREFIX=/usr']);
	const source = join(folder, name);
	await cp(join(ROOT, 'examples', `module-${name}`), source, { recursive: true });
	make(['-C', source, `CC=${compiler}`], { PKG_CONFIG_PATH: join(folder, 'usr/lib/pkgconfig'), PKG_CONFIG_SYSROOT_DIR: folder });
	return join(source, `${name}.so`);
}
