/**
 * How long a task takes from `POST /tasks` to the start of its prompt on an idle backend, against the
 * same input and graph sent straight to the same server. The download of the source (a small PNG over
 * loopback) and its check are part of the gateway's time. One task at a time.
 *
 *   npx node bench/submit-latency.ts [pglite|postgres]
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseBackendAddress } from '../src/comfyui/address.ts';
import { ComfyClient } from '../src/comfyui/client.ts';
import type { Prompt } from '../src/core/bind.ts';
import { Emulator } from '../src/emulator/emulator.ts';
import { samplePng } from '../test/support/media-samples.ts';
import { SourceServer } from '../test/support/source-server.ts';
import type { Engine } from '../test/support/test-database.ts';
import { TestGateway } from '../test/support/test-gateway.ts';
import { createTestWorkflows, sleepGraph } from '../test/support/test-workflows.ts';

const rounds = 60;
const warmUp = 10;
const engine = (process.argv[2] ?? 'postgres') as Engine;

await using emulator = await Emulator.start();
await using sources = await SourceServer.start();
await using workflows = await createTestWorkflows(0.001);
await using gateway = await TestGateway.start({
  engine,
  backends: [emulator.url],
  env: { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder },
});
const png = await samplePng({ width: 64, height: 64, seed: 1 });
const url = sources.file('a.png', png);
const folder = await mkdtemp(join(tmpdir(), 'tmlsr-bench-'));
const path = join(folder, 'a.png');
await writeFile(path, png);
await using client = new ComfyClient(parseBackendAddress(emulator.url));
const signal = AbortSignal.timeout(300_000);

async function throughGateway(): Promise<void> {
  await gateway.until(await gateway.submit({ url, workflow: 'sleep' }));
}

async function straight(): Promise<void> {
  const promptId = randomUUID();
  const input = { path, size: png.length, contentType: 'image/png', subfolder: promptId };
  const name = await client.upload({ ...input, name: 'input.png' }, signal);
  const prompt = structuredClone(sleepGraph(0.001)) as Prompt;
  Object.assign(prompt['1']?.inputs ?? {}, { image: name });
  Object.assign(prompt['3']?.inputs ?? {}, { filename_prefix: `${promptId}/out` });
  await client.submit({ id: promptId, prompt, outputs: ['3'], clientId: 'bench' }, signal);
  while (!(await client.promptEnd(promptId, signal))) await new Promise(setImmediate);
}

async function startDelays(work: () => Promise<void>): Promise<number[]> {
  const delays: number[] = [];
  for (let i = 0; i < warmUp + rounds; i += 1) {
    const sentAt = Date.now();
    await work();
    const run = emulator.runs.at(-1);
    if (i >= warmUp && run) delays.push(run.startedAt - sentAt);
  }
  return delays.sort((a, b) => a - b);
}

const told = [
  ['straight', await startDelays(straight)],
  ['gateway', await startDelays(throughGateway)],
] as const;
for (const [name, delays] of told) {
  const at = (share: number) => delays[Math.floor(delays.length * share)] ?? Number.NaN;
  console.log(
    `${name.padEnd(9)} p50 ${at(0.5)} ms   p95 ${at(0.95)} ms   (${engine}, ${rounds} rounds)`,
  );
}
await rm(folder, { recursive: true });
