/**
 * Compares the converter with ComfyUI's own editor over a folder of editor files, such as the templates
 * that ComfyUI ships (the PyPI package comfyui-workflow-templates-json). Exits with 1 below the bar.
 *
 *   npx node bench/editor-graphs/templates.ts --server URL --templates FOLDER [--chromium PATH]
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { request } from 'undici';
import { nodeCatalogue } from '../../src/comfyui/messages.ts';
import type { Graph } from '../../src/core/graph.ts';
import { convertEditorGraph, isEditorGraph } from '../../src/workflows/editor/convert.ts';
import { Frontend } from './frontend.ts';

/** How large a part of the local templates has to come out equal. */
const bar = 0.95;

type Verdict = 'equal' | 'unequal' | 'refused' | 'unavailable';

const { values } = parseArgs({
  options: {
    server: { type: 'string' },
    templates: { type: 'string' },
    chromium: { type: 'string' },
  },
});
const { server, templates, chromium = '/usr/bin/chromium' } = values;
if (server === undefined || templates === undefined) {
  throw new Error('Give a ComfyUI server and a folder: --server URL --templates FOLDER');
}

const answer = await request(new URL('/object_info', server));
const info = (await answer.body.json()) as Record<string, { readonly api_node?: boolean }>;
const catalogue = nodeCatalogue(info);
await using frontend = await Frontend.open(server, chromium);

const tally = { local: tallyOf(), remote: tallyOf() };
for (const name of (await readdir(templates)).filter((file) => file.endsWith('.json')).sort()) {
  const file: object = JSON.parse(await readFile(join(templates, name), 'utf8'));
  if (!isEditorGraph(file)) continue;
  const want = await frontend.promptOf(file).catch((error: Error) => error);
  const place = !(want instanceof Error) && callsOut(want) ? 'remote' : 'local';
  const { verdict, reason } = compare(file, want);
  tally[place][verdict] += 1;
  if (verdict !== 'equal') console.log(`${verdict} (${place}): ${name}: ${reason}`);
}

for (const [place, counts] of Object.entries(tally)) {
  const { equal, unequal, refused, unavailable } = counts;
  const all = equal + unequal + refused;
  console.log(
    `${place}: ${all} templates, ${equal} equal, ${unequal} unequal, ${refused} refused; ${unavailable} with nodes that the server lacks`,
  );
}
const { equal, unequal, refused } = tally.local;
process.exitCode = equal >= bar * (equal + unequal + refused) ? 0 : 1;

function tallyOf(): Record<Verdict, number> {
  return { equal: 0, unequal: 0, refused: 0, unavailable: 0 };
}

/** Whether it uses nodes that ask a service on the internet. */
function callsOut(prompt: Graph): boolean {
  return Object.values(prompt).some(({ class_type: type }) => info[type]?.api_node === true);
}

function compare(
  file: object,
  want: Graph | Error,
): { readonly verdict: Verdict; readonly reason: string } {
  if (want instanceof Error) return { verdict: 'unavailable', reason: want.message };
  const lacking = Object.values(want).filter(({ class_type: type }) => !catalogue.has(type));
  let got: Graph;
  try {
    got = convertEditorGraph(file, catalogue).graph;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { verdict: lacking.length > 0 ? 'unavailable' : 'refused', reason };
  }
  const reason = firstDifference(got, want);
  return reason === null ? { verdict: 'equal', reason: '' } : { verdict: 'unequal', reason };
}

function firstDifference(got: Graph, want: Graph): string | null {
  for (const id of new Set([...Object.keys(want), ...Object.keys(got)])) {
    const [ours, theirs] = [got[id], want[id]];
    if (!ours || !theirs) return `node ${id} is only in the ${ours ? 'converted' : "editor's"} one`;
    if (ours.class_type !== theirs.class_type) return `node ${id}: the class`;
    for (const field of new Set([...Object.keys(theirs.inputs), ...Object.keys(ours.inputs)])) {
      const [value, wanted] = [ours.inputs[field], theirs.inputs[field]];
      if (!isDeepStrictEqual(value, wanted)) {
        return `node ${id} (${theirs.class_type}), ${field}: ${brief(value)} for ${brief(wanted)}`;
      }
    }
    // Where the file gives no title, the editor shows the class's in its user's language.
    const isUsual = ours._meta?.title === catalogue.get(ours.class_type)?.displayName;
    if (!isUsual && ours._meta?.title !== theirs._meta?.title) return `node ${id}: the title`;
  }
  return null;
}

function brief(value: unknown): string {
  return JSON.stringify(value)?.slice(0, 80) ?? 'nothing';
}
