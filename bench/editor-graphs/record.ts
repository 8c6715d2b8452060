/**
 * Records what ComfyUI's own editor makes of every file in test/editor-graphs, with what its server says
 * of the classes that are in them. The server has to have ComfyUI-VideoHelperSuite. Afterwards:
 * `npm run format`.
 *
 *   npx node bench/editor-graphs/record.ts --server URL [--chromium PATH]
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { request } from 'undici';
import { Frontend } from './frontend.ts';

const folder = join(import.meta.dirname, '../../test/editor-graphs');
const { values } = parseArgs({
  options: { server: { type: 'string' }, chromium: { type: 'string' } },
});
const { server, chromium = '/usr/bin/chromium' } = values;
if (server === undefined) throw new Error('Give the address of a ComfyUI server: --server URL');

const names = (await readdir(folder))
  .filter((file) => file.endsWith('.json') && !file.endsWith('.prompt.json'))
  .map((file) => file.slice(0, -'.json'.length))
  .filter((name) => name !== 'object-info');

await using frontend = await Frontend.open(server, chromium);
const classes = new Set<string>();
for (const name of names) {
  const text = await readFile(join(folder, `${name}.json`), 'utf8');
  for (const [, type = ''] of text.matchAll(/"type": "([^"]+)"/g)) classes.add(type);
  await save(`${name}.prompt`, await frontend.promptOf(JSON.parse(text)));
  console.log(name);
}

const answer = await request(new URL('/object_info', server));
const info = (await answer.body.json()) as Record<string, unknown>;
await save(
  'object-info',
  Object.fromEntries(Object.entries(info).filter(([name]) => classes.has(name))),
);

async function save(name: string, value: unknown): Promise<void> {
  await writeFile(join(folder, `${name}.json`), `${JSON.stringify(value, null, 2)}\n`);
}
