// Makes the Debian package from dist/ (npm run package:deb builds it first): dist/xthrottle_VERSION_ARCH.deb. Needs dpkg-deb, not root.
//   --out FOLDER          where it goes; default dist
//   --version V           default: package.json's
//   --node FILE           the runtime that goes in; default: the one that runs this. nodejs.org's build or one like it: it may need
//                         nothing but the C and C++ libraries
//   --xen-include FOLDER  Xen's headers for the policy object; default /usr/include, and none is built where they are not
//   --xen X.Y             their release
//   --level 0…9           how hard it is compressed; default 6
//   DEBFULLNAME, DEBEMAIL, SOURCE_DATE_EPOCH as Debian's tools have them; default: those of the last commit
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

process.chdir(fileURLToPath(new URL('../..', import.meta.url)));
const here = 'src/packaging';
const LIB = 'usr/lib/xthrottle';
const DOC = 'usr/share/doc/xthrottle';
/** What a runtime may need of the system: the rest would be Debian's own splitting of it, of another version on the next host. */
const PLAIN_LIBRARIES = /^(lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|atomic)\.so\.\d+|ld-linux[-\w]*\.so\.\d+)$/;

function fail(message, hint) {
  console.error(`package:deb: ${message}\n  → ${hint}`);
  process.exit(1);
}

function run(command, args, options = {}) {
  const ran = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26, ...options });
  if (ran.status !== 0) fail(`${command} ${args.join(' ')} failed: ${ran.stderr || ran.error?.message || ran.stdout}`, 'see above');
  return ran.stdout.trim();
}
const has = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
const git = (format) => spawnSync('git', ['log', '-1', `--format=${format}`], { encoding: 'utf8' }).stdout?.trim() ?? '';

const string = { type: 'string' };
const { values: given } = parseArgs({
  options: { out: string, version: string, node: string, 'xen-include': string, xen: string, level: string },
});
if (!has('dpkg-deb')) fail('dpkg-deb is not here', 'build on Debian or Ubuntu');
if (!existsSync('dist/src/packaging/man-page.js')) fail('dist/ is not built', 'npm run package:deb builds it');
const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
const version = given.version ?? manifest.version;
const arch = run('dpkg', ['--print-architecture']);
const node = resolve(given.node ?? process.execPath);
const epoch = Number(process.env.SOURCE_DATE_EPOCH || git('%ct') || Math.floor(Date.now() / 1000));
const maintainer = `${process.env.DEBFULLNAME || git('%an') || 'xthrottle'} <${process.env.DEBEMAIL || git('%ae') || 'root@localhost'}>`;
const stage = mkdtempSync(join(tmpdir(), 'xthrottle-deb-'));
process.on('exit', () => rmSync(stage, { recursive: true, force: true }));
process.umask(0o022);
chmodSync(stage, 0o755);

const at = (path) => join(stage, path);
function write(path, content, mode = 0o644) {
  mkdirSync(dirname(at(path)), { recursive: true });
  writeFileSync(at(path), content);
  chmodSync(at(path), mode);
}
const copy = (from, path, mode) => write(path, readFileSync(from), mode);
const gzip = (content) => gzipSync(content, { level: 9 });
const importBuilt = (name) => import(resolve('dist/src', name));

async function program() {
  run(process.execPath, [`${here}/bundle.mjs`, at(LIB), '--whole']);
  write(`${LIB}/package.json`, `${JSON.stringify({ name: manifest.name, version, type: 'module', license: manifest.license })}\n`);
  // What is started here is started by the runtime that lies here: it is no program of its own.
  write(`${LIB}/dist/src/cli/bin.js`, readFileSync(at(`${LIB}/dist/src/cli/bin.js`), 'utf8').replace(/^#!.*\n/, ''));
  for (const name of ['LICENSE', 'dist/src/xen/relay/policy.c']) rmSync(at(`${LIB}/${name}`), { force: true });
  run('find', [at(LIB), '-type', 'd', '-empty', '-delete']);
  copy(node, `${LIB}/node`, 0o755);
  if (has('strip')) run('strip', ['--strip-unneeded', at(`${LIB}/node`)]);
  // The front looks for it beside itself.
  symlinkSync('../../../../node', at(`${LIB}/dist/src/xen/relay/node`));
  symlinkSync('dist/src/xen/relay/front.sh', at(`${LIB}/front.sh`));
  chmodSync(at(`${LIB}/dist/src/xen/relay/front.sh`), 0o755);
  for (const name of ['build-policy.mjs', 'policy.c']) copy(`src/xen/relay/${name}`, `${LIB}/src/xen/relay/${name}`);
  copy(`${here}/deb/build-policy.sh`, `${LIB}/build-policy`, 0o755);
  copy(`${here}/deb/xthrottle.sh`, 'usr/bin/xthrottle', 0o755);
  koffi();
  policy();
}

/** The library that calls libxenctrl: its loader and the native part for this machine, as files of their own. */
function koffi() {
  const native = `@koromix/koffi-linux-${process.arch}`;
  if (!existsSync(`node_modules/${native}`)) fail(`koffi has no native part for ${process.arch} here`, 'npm ci (without --omit=optional)');
  const isScript = (name) => /\.c?js$/.test(name) && !/trampolines/.test(name);
  const scripts = readdirSync('node_modules/koffi/src', { recursive: true, encoding: 'utf8' }).filter(isScript);
  for (const name of ['package.json', 'index.js', ...scripts.map((script) => `src/${script}`)])
    copy(`node_modules/koffi/${name}`, `${LIB}/node_modules/koffi/${name}`);
  for (const name of ['package.json', 'index.js']) copy(`node_modules/${native}/${name}`, `${LIB}/node_modules/${native}/${name}`);
  const addon = `linux_${process.arch}/koffi.node`;
  copy(`node_modules/${native}/${addon}`, `${LIB}/node_modules/${native}/${addon}`);
  if (has('strip')) run('strip', ['--strip-unneeded', at(`${LIB}/node_modules/${native}/${addon}`)]);
}

/** Only for the Xen whose headers are here; the relay refuses it under any other, and build-policy makes another on the spot. */
function policy() {
  const include = given['xen-include'] ?? '/usr/include';
  for (const name of ['policy.so', 'policy.so.json']) rmSync(at(`${LIB}/dist/src/xen/relay/${name}`), { force: true });
  if (given['xen-include'] === undefined && !existsSync(join(include, 'xenguest.h'))) {
    console.error(
      'package:deb: no policy object inside (no Xen headers here: libxen-dev); in dom0 /usr/lib/xthrottle/build-policy makes it',
    );
    return;
  }
  const release = given.xen === undefined ? [] : ['--xen', given.xen];
  run(process.execPath, [
    'src/xen/relay/build-policy.mjs',
    '--include',
    include,
    ...release,
    '--out',
    at(`${LIB}/dist/src/xen/relay/policy.so`),
  ]);
  if (has('strip')) run('strip', ['--strip-unneeded', at(`${LIB}/dist/src/xen/relay/policy.so`)]);
  chmodSync(at(`${LIB}/dist/src/xen/relay/policy.so`), 0o644);
}

async function documents() {
  const date = new Date(epoch * 1000);
  const [{ manPage }, { configSample }, { completionScript }, { copyright, debianChangelog }] = await Promise.all(
    ['packaging/man-page.js', 'packaging/config-sample.js', 'cli/completion.js', 'packaging/debian-files.js'].map(importBuilt),
  );
  write('usr/share/man/man8/xthrottle.8.gz', gzip(manPage(version, date.toISOString().slice(0, 10))));
  write('etc/xthrottle/xthrottle.conf', configSample());
  write('usr/share/bash-completion/completions/xthrottle', completionScript('bash'));
  write('usr/share/zsh/vendor-completions/_xthrottle', completionScript('zsh'));
  write('usr/share/fish/vendor_completions.d/xthrottle.fish', completionScript('fish'));
  for (const name of readdirSync(`${here}/systemd`)) copy(`${here}/systemd/${name}`, `lib/systemd/system/${name}`);
  for (const name of readdirSync(`${here}/examples`)) copy(`${here}/examples/${name}`, `${DOC}/examples/${name}`);
  for (const name of ['README.md', 'RESULTS.md', 'grafana/README.md', 'grafana/METRICS.md'])
    write(`${DOC}/${name}.gz`, gzip(readFileSync(name)));
  for (const path of globbed('grafana')) copy(path, `usr/share/xthrottle/${path}`);
  write(`${DOC}/changelog.gz`, gzip(debianChangelog(readFileSync('CHANGELOG.md', 'utf8'), { version, maintainer, date })));
  const bundled = JSON.parse(readFileSync(at(`${LIB}/bundled.json`), 'utf8'));
  rmSync(at(`${LIB}/bundled.json`));
  write(`${DOC}/copyright`, copyright({ packages: [...bundled, 'koffi'].map(licenceOf), runtime: runtimeLicence() }));
  copy(`${here}/deb/lintian-overrides`, 'usr/share/lintian/overrides/xthrottle');
}

const globbed = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(json|ya?ml)$/.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((path) => !/screenshots|build|test/.test(path));

function licenceOf(name) {
  const folder = join('node_modules', name);
  const { license, version: release } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
  return { name, version: release, license, ...(file === undefined ? {} : { text: readFileSync(join(folder, file), 'utf8') }) };
}

/** Node's LICENSE lies beside it in the archives of nodejs.org, and in the documentation of packages. */
function runtimeLicence() {
  const prefix = dirname(dirname(node));
  const file = [join(prefix, 'LICENSE'), join(prefix, 'share/doc/nodejs/LICENSE'), join(prefix, 'share/doc/node/LICENSE')].find(existsSync);
  if (file === undefined)
    fail(`the licence of ${node} is not beside it`, 'use the archive of nodejs.org, which has a file LICENSE: --node FOLDER/bin/node');
  return { version: run(node, ['--version']), text: readFileSync(file, 'utf8') };
}

/** Of the programs inside: by dpkg-shlibdeps where it is installed, else what the runtime's makers promise. */
function libraries() {
  const binaries = [`${LIB}/node`, ...globAll(LIB, /\.(node|so)$/)];
  if (!has('dpkg-shlibdeps')) return 'libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 9)';
  const folder = mkdtempSync(join(tmpdir(), 'xthrottle-shlibs-'));
  try {
    mkdirSync(join(folder, 'debian'));
    writeFileSync(join(folder, 'debian/control'), 'Source: xthrottle\n\nPackage: xthrottle\nArchitecture: any\n');
    return run('dpkg-shlibdeps', ['-O', '--ignore-missing-info', ...binaries.map((path) => `-e${at(path)}`)], { cwd: folder }).replace(
      /^shlibs:Depends=/,
      '',
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const globAll = (folder, pattern) =>
  readdirSync(at(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => relative(stage, join(entry.parentPath ?? entry.path, entry.name)));

function control() {
  const files = globAll('.', /./).sort();
  const kib = Math.ceil(files.reduce((sum, path) => sum + statSync(at(path)).size, 0) / 1024);
  const md5 = (path) =>
    createHash('md5')
      .update(readFileSync(at(path)))
      .digest('hex');
  write(
    'DEBIAN/md5sums',
    files
      .filter((path) => !path.startsWith('etc/'))
      .map((path) => `${md5(path)}  ${path}\n`)
      .join(''),
  );
  write('DEBIAN/conffiles', '/etc/xthrottle/xthrottle.conf\n');
  write(
    'DEBIAN/control',
    [
      'Package: xthrottle',
      `Version: ${version}`,
      `Architecture: ${arch}`,
      `Maintainer: ${maintainer}`,
      `Installed-Size: ${kib}`,
      `Depends: ${libraries()}`,
      // Not Depends: Xen may have been installed from source, and reports are read on other machines.
      'Recommends: xen-utils-common',
      'Suggests: gcc, libc6-dev, libxen-dev, prometheus-node-exporter',
      'Section: admin',
      'Priority: optional',
      'Description: live-migrates busy Xen guests within a downtime target',
      ' A guest that dirties memory faster than the link carries it is suspended by',
      ' stock Xen after five rounds, with gigabytes left to send. xthrottle watches',
      " each pre-copy round, lowers the guest's CPU cap just enough for its working",
      ' set to converge, and lets it be suspended only when the predicted downtime',
      ' fits the target; else the guest stays. The cap is always put back. Neither',
      ' Xen nor the guest is changed.',
      ' .',
      ' The package has a Node.js runtime of its own.',
      '',
    ].join('\n'),
  );
  for (const name of ['postinst', 'prerm', 'postrm']) copy(`${here}/deb/${name}`, `DEBIAN/${name}`, 0o755);
}

function checkRuntime() {
  if (!has('readelf')) return;
  const needed = [...run('readelf', ['-d', node]).matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((match) => match[1]);
  const others = needed.filter((name) => !PLAIN_LIBRARIES.test(name));
  if (others.length > 0)
    fail(
      `${node} needs ${others.join(', ')}, which another host may have in another version`,
      'use the archive of nodejs.org: --node FOLDER/bin/node',
    );
}

checkRuntime();
await program();
await documents();
control();
const out = resolve(given.out ?? 'dist');
mkdirSync(out, { recursive: true });
const deb = join(out, `xthrottle_${version}_${arch}.deb`);
run('dpkg-deb', ['--root-owner-group', '-Zxz', `-z${given.level ?? '6'}`, '--build', stage, deb], {
  env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch) },
});
console.log(`${relative('.', deb)}: ${Math.round(statSync(deb).size / 2 ** 20)} MiB`);
