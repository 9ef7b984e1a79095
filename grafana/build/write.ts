import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generated } from './generate.ts';

const grafana = join(dirname(fileURLToPath(import.meta.url)), '..');
for (const [path, content] of Object.entries(generated())) {
  const file = join(grafana, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  console.info(`grafana/${path}`);
}
