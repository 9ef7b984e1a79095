export interface Bundled {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** Its own licence file; a package without one has only named its licence. */
  readonly text?: string;
}

const OURS = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: xthrottle
Comment: The package holds the runtime and the libraries that xthrottle is built with; each has its own licence below.

Files: *
Copyright: the authors of xthrottle
License: Apache-2.0
 On Debian systems the text of the Apache License, version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
`;

/** debian/copyright, machine-readable: ours, then everything that is bundled, with the licence texts as their makers wrote them. */
export function copyright(inside: {
  readonly packages: readonly Bundled[];
  readonly runtime: { readonly version: string; readonly text: string };
}): string {
  const packages = inside.packages.map(
    ({ name, version, license, text }) =>
      `Files: ${name === 'koffi' ? 'usr/lib/xthrottle/node_modules/*' : 'usr/lib/xthrottle/dist/*'}\nCopyright: see the text below\nLicense: ${license} of ${name}\nComment: ${name} ${version}\n${block(text ?? `${license}, as its package.json says.`)}`,
  );
  const runtime = `Files: usr/lib/xthrottle/node\nCopyright: Node.js contributors, and others named in the text below\nLicense: Node.js\nComment: Node.js ${inside.runtime.version}, https://nodejs.org\n${block(inside.runtime.text)}`;
  return [OURS, ...packages, runtime].join('\n');
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
  const lines = items.map((item) => `  * ${item}`);
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
