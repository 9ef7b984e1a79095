// Builds the pre-copy policy object (policy.c) against the installed Xen headers: npm run build:policy
//   --include DIR   the directory with xenguest.h (default /usr/include)
//   --xen X.Y       the release that the headers are of (default: as their libraries or pkg-config say)
//   --cc COMPILER   default: $CC, cc, gcc or clang
//   --out FILE      default: dist/src/xen/relay/policy.so; FILE.json says what it was built for
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const PROTOCOL = 1;
const here = dirname(fileURLToPath(import.meta.url));

function fail(message, hint) {
  console.error(`build:policy: ${message}\n  ${hint}`);
  process.exit(1);
}

function options() {
  try {
    const string = { type: 'string' };
    return parseArgs({ options: { include: string, xen: string, cc: string, out: string } }).values;
  } catch (error) {
    return fail(error.message, 'options: --include DIR, --xen X.Y, --cc COMPILER, --out FILE');
  }
}

const works = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

/** The release of the Xen that the headers came with: headers themselves don't say, the library's name and pkg-config do. */
function releaseOf(include) {
  const usr = dirname(include);
  const inUsr = ['lib', 'lib64'].map((name) => join(usr, name)).filter(existsSync);
  const libraries = inUsr.flatMap((path) => [
    path,
    ...readdirSync(path)
      .filter((name) => name.endsWith('-linux-gnu'))
      .map((name) => join(path, name)),
  ]);
  for (const path of libraries) {
    const link = join(path, 'libxenguest.so');
    const target = linkTarget(link);
    const byName = /libxenguest\.so\.(\d+\.\d+)/.exec(target ?? '');
    if (byName !== null) return byName[1];
    const config = join(path, 'pkgconfig/xenguest.pc');
    const byConfig = existsSync(config) ? /^Version: *(\d+\.\d+)/m.exec(readFileSync(config, 'utf8')) : null;
    if (byConfig !== null) return byConfig[1];
  }
  return undefined;
}

function linkTarget(path) {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

const given = options();
const include = resolve(given.include ?? '/usr/include');
if (!existsSync(join(include, 'xenguest.h')) || !existsSync(join(include, 'xenctrl.h'))) {
  fail(
    `xenguest.h and xenctrl.h are not in ${include}`,
    "install Xen's development files of the release that runs (Debian: apt-get install libxen-dev; Fedora, SUSE: xen-devel), or give --include DIR",
  );
}
const compilers = given.cc === undefined ? [process.env.CC, 'cc', 'gcc', 'clang'].filter(Boolean) : [given.cc];
const compiler = compilers.find(works);
if (compiler === undefined)
  fail(`no C compiler: tried ${compilers.join(', ')}`, 'install one (Debian: apt-get install gcc libc6-dev), or give --cc COMPILER');
const release = given.xen ?? releaseOf(include);
if (release === undefined) fail(`cannot tell of which Xen release ${include} is`, 'give it: --xen 4.17');
const [, major, minor] = /^(\d+)\.(\d+)$/.exec(release) ?? fail(`${release} is no release of Xen`, 'give it like 4.17');

const out = resolve(given.out ?? join(here, '../../../dist/src/xen/relay/policy.so'));
mkdirSync(dirname(out), { recursive: true });
const draft = `${out}.${process.pid}`;
const flags = ['-std=gnu11', '-O2', '-fPIC', '-shared', '-Wall', '-Wextra', '-Werror', '-Wl,-z,relro,-z,now'];
const macros = [`-DXTHROTTLE_XEN_MAJOR="${major}"`, `-DXTHROTTLE_XEN_MINOR="${minor}"`];
const built = spawnSync(compiler, [...flags, ...macros, '-isystem', include, '-o', draft, join(here, 'policy.c')], { encoding: 'utf8' });
if (built.status !== 0) {
  fail(`${compiler} failed:\n${built.stderr ?? built.error}`, `policy.c needs the headers of Xen 4.14 or later; these say ${release}`);
}
renameSync(draft, out);
writeFileSync(`${out}.json`, `${JSON.stringify({ xen: release, protocol: PROTOCOL })}\n`);
console.log(`${out}: pre-copy policy for Xen ${release}`);
