import { accessSync, constants, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { messageOf, XthrottleError } from '../../src/core/index.ts';
import type { BenchArguments } from './arguments.ts';
import { htmlPage } from './html.ts';
import { intoMarkdown, withSection } from './markdown.ts';
import { type BenchReport, jsonOf } from './report.ts';

type Files = Pick<BenchArguments, 'json' | 'html' | 'markdown'>;

/** Throws XthrottleError('usage') where a file could not be written: it would be noticed when all has been measured. */
export function checkOutputs({ json, html, markdown }: Files): void {
  for (const [option, file] of Object.entries({ '--json': json, '--html': html, '--markdown': markdown })) {
    if (file !== undefined) checkWritable(option, file);
  }
  if (markdown !== undefined && existsSync(markdown)) withSection(readFileSync(markdown, 'utf8'), '');
}

function checkWritable(option: string, file: string): void {
  try {
    if (!existsSync(file)) accessSync(folderOf(file), constants.W_OK);
    else if (statSync(file).isDirectory()) throw new Error('it is a folder');
    else accessSync(file, constants.W_OK);
  } catch (cause) {
    throw new XthrottleError('usage', `${option} ${file} cannot be written: ${messageOf(cause)}`, { cause });
  }
}

function folderOf(file: string): string {
  const folder = dirname(file);
  if (!existsSync(folder)) throw new Error(`there is no folder ${folder}`);
  if (!statSync(folder).isDirectory()) throw new Error(`${folder} is no folder`);
  return folder;
}

/** Writes each file whatever becomes of the others; answers what went wrong. */
export function saveOutputs({ json, html, markdown }: Files, report: BenchReport): readonly string[] {
  const save = (file: string | undefined, write: (file: string) => void): readonly string[] => {
    if (file === undefined) return [];
    try {
      write(file);
      return [];
    } catch (error) {
      return [`${file} was not written: ${messageOf(error)}`];
    }
  };
  return [
    ...save(json, (file) => writeFileSync(file, `${JSON.stringify(jsonOf(report), null, 2)}\n`)),
    ...save(html, (file) => writeFileSync(file, htmlPage(report))),
    ...save(markdown, (file) => intoMarkdown(file, report)),
  ];
}
