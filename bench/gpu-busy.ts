/**
 * How busy the GPUs are kept: emulators whose prompts take a fixed time, inputs of about 1 MB, all
 * tasks submitted at once. The share is the time in which a prompt runs, between each backend's first
 * start and last end; the gap is from one prompt's end to the next one's start.
 *
 *   npx node bench/gpu-busy.ts [backends=4] [tasks=100] [seconds=1]
 */
import { Emulator } from '../src/emulator/emulator.ts';
import { samplePng } from '../test/support/media-samples.ts';
import { SourceServer } from '../test/support/source-server.ts';
import { TestGateway } from '../test/support/test-gateway.ts';
import { createTestWorkflows } from '../test/support/test-workflows.ts';

const [backends = 4, tasks = 100, seconds = 1] = process.argv.slice(2).map(Number);

await using cleanup = new AsyncDisposableStack();
const emulators: Emulator[] = [];
for (let i = 0; i < backends; i += 1) emulators.push(cleanup.use(await Emulator.start()));
const sources = cleanup.use(await SourceServer.start());
const workflows = cleanup.use(await createTestWorkflows(seconds));
const gateway = cleanup.use(
  await TestGateway.start({
    engine: 'postgres',
    backends: emulators.map(({ url }) => url),
    env: { SOURCE_ALLOW: sources.host, WORKFLOWS_DIR: workflows.folder },
  }),
);
const picture = await samplePng({ width: 700, height: 700, seed: 1 });
const url = sources.file('a.png', picture);

const startedAt = Date.now();
const ids = await Promise.all(
  Array.from({ length: tasks }, () => gateway.submit({ url, workflow: 'sleep' })),
);
for (const id of ids) await gateway.until(id, undefined, 600_000);
const wallSeconds = (Date.now() - startedAt) / 1000;

const shares: number[] = [];
const gaps: number[] = [];
for (const { runs } of emulators) {
  let busyMs = 0;
  for (const [i, { startedAt, endedAt }] of runs.entries()) {
    busyMs += (endedAt ?? startedAt) - startedAt;
    const previous = runs[i - 1];
    if (previous?.endedAt) gaps.push(startedAt - previous.endedAt);
  }
  const spanMs = (runs.at(-1)?.endedAt ?? 0) - (runs[0]?.startedAt ?? 0);
  shares.push(busyMs / spanMs);
}
gaps.sort((a, b) => a - b);
const at = (share: number) => gaps[Math.floor(gaps.length * share)];
console.log(
  `${tasks} tasks of ${seconds} s, ${(picture.length / 1e6).toFixed(1)} MB, ${backends} backends`,
);
console.log(`wall ${wallSeconds.toFixed(1)} s; ideal ${(tasks * seconds) / backends} s`);
console.log(`busy ${shares.map((share) => `${(share * 100).toFixed(1)} %`).join(', ')}`);
console.log(`gap p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, max ${gaps.at(-1)} ms`);
