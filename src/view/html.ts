/** A piece of HTML that is safe to put into a page: made only by `html`, which escapes everything it is given. */
export interface Html {
  readonly markup: string;
}

type Content = Html | string | number | undefined | readonly (Html | string | number | undefined)[];

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);

/** Template literal: what stands between is escaped unless it was made by `html` itself; arrays are joined. */
export const html = (parts: TemplateStringsArray, ...contents: readonly Content[]): Html => ({
  markup: parts.reduce((text, part, i) => text + part + (i < contents.length ? markupOf(contents[i]) : ''), ''),
});

function markupOf(content: Content): string {
  if (content === undefined) return '';
  if (typeof content === 'string') return escapeHtml(content);
  if (typeof content === 'number') return String(content);
  return 'markup' in content ? content.markup : content.map(markupOf).join('');
}

/** Our own markup, scripts and styles: never for text from a trace. */
export const ownMarkup = (markup: string): Html => ({ markup });

/** JSON for a `<script type="application/json">`: no `<` can end the element, no line separator breaks a parser. */
export const jsonForScript = (value: unknown): Html =>
  ownMarkup(
    JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
