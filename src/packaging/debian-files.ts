import { wrapped } from './text.ts';

export interface Bundled {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** Its own licence file; a package without one has only named its licence. */
  readonly text?: string;
}

export interface Inside {
  readonly packages: readonly Bundled[];
  readonly runtime: { readonly version: string; readonly text: string };
}

const APACHE = 'On Debian systems the text of the Apache License, version 2.0, is in\n/usr/share/common-licenses/Apache-2.0.';
const APART = '/usr/lib/xthrottle/node_modules';

/** debian/copyright, machine-readable: ours, then everything that is bundled, with the licence texts as their makers wrote them. */
export function copyright({ packages, runtime }: Inside): string {
  const apart = (name: string) => packages.filter((one) => one.name === name);
  const within = packages.filter(({ name }) => name !== 'koffi' && name !== 'uplot');
  return [
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: xthrottle\n',
    filesOf('*', [], 'Apache-2.0'),
    filesOf('/usr/lib/xthrottle/dist/*', within, 'Apache-2.0'),
    filesOf(`${APART}/uplot/*`, apart('uplot')),
    filesOf(`${APART}/koffi/*\n ${APART}/@koromix/*`, apart('koffi')),
    filesOf('/usr/lib/xthrottle/node', [{ name: 'Node.js', version: runtime.version, license: 'Node.js' }]),
    `License: Apache-2.0\n${block(APACHE)}`,
    ...packages
      .filter(({ license }) => license !== 'Apache-2.0')
      .map((one) => `License: ${licenseOf(one)}\n${block(one.text ?? `${one.license}, as its package.json says.`)}`),
    `License: Node.js\n${block(runtime.text)}`,
  ].join('\n');
}

/** Each text names its own holders, so each is a licence of its own; Debian has the Apache License itself. */
const licenseOf = ({ name, license }: Bundled): string =>
  license === 'Apache-2.0' || license === name ? license : `${license}-of-${name.replace(/^@/, '').replace('/', '-')}`;

function filesOf(files: string, packages: readonly Bundled[], ...also: readonly string[]): string {
  const comment = packages.map(({ name, version }) => `${name} ${version}`).join(', ');
  return [
    `Files: ${files}`,
    `Copyright: ${packages.length === 0 ? 'the authors of xthrottle' : 'those named in the licences'}`,
    `License: ${[...new Set([...also, ...packages.map(licenseOf)])].join(' and ')}`,
    ...(comment === '' ? [] : [`Comment: ${comment}`]),
    '',
  ].join('\n');
}

/** As the value of a field: lines indented, an empty one as a dot. */
const block = (text: string): string =>
  text
    .trimEnd()
    .split(/\r?\n/)
    .map((line) => (line.trim() === '' ? ' .\n' : ` ${line}\n`))
    .join('');

/** The newest section of CHANGELOG.md in the form of Debian's changelogs. */
export function debianChangelog(
  markdown: string,
  about: { readonly version: string; readonly maintainer: string; readonly date: Date },
): string {
  const newest = markdown.split(/^## .*$/m)[1] ?? '';
  const items = [...newest.matchAll(/^- ((?:.|\n(?! *\n|- |#))*)/gm)].map((match) => (match[1] ?? '').replace(/\s+/g, ' ').trim());
  const lines = items.flatMap((item) => wrapped(item, 74).map((line, index) => (index === 0 ? `  * ${line}` : `    ${line}`)));
  const [day, date, month, year, time] = about.date.toUTCString().replace(',', '').split(' ');
  return [
    `xthrottle (${about.version}) unstable; urgency=medium`,
    '',
    ...(lines.length > 0 ? lines : ['  * See CHANGELOG.md.']),
    '',
    ` -- ${about.maintainer}  ${day}, ${date} ${month} ${year} ${time} +0000`,
    '',
  ].join('\n');
}
