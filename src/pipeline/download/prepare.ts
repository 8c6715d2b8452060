import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { clipUse } from '../../core/clip-use.ts';
import type { Delivery } from '../../core/delivery.ts';
import { checkSides } from '../../core/encoded-sides.ts';
import type { MediaInfo } from '../../core/media.ts';
import { checkSound } from '../../core/read-clip.ts';
import { readFor } from '../../core/read-once.ts';
import { plannedSize, planSize, type Size } from '../../core/size-plan.ts';
import { sourceWarnings } from '../../core/source-warnings.ts';
import type { Source } from '../../core/task.ts';
import type { Workflow } from '../../core/workflow.ts';
import { plainName } from '../../media/spool.ts';
import type { Twin } from '../../tasks/twin-store.ts';
import type { ReportProgress } from '../attempt-journal.ts';
import type { Attempt } from '../attempt-parts.ts';
import { megabytes } from '../format.ts';
import type { Joined } from '../outcome.ts';
import { checkOutputCount } from '../process/result-files.ts';
import type { Prepared, ReadySource, Sources } from '../ready.ts';
import { SharedProgress } from '../shared-progress.ts';
import type { Transfer } from '../sources/kept-sources.ts';
import { takeSeat } from '../take-seat.ts';
import { type AcquiredSource, acquireSource, sentOf, takenAt } from './acquire-source.ts';
import { stageInputs } from './stage-inputs.ts';
import { mayShare, roleAmongTwins } from './twin-role.ts';
import { waitingForRoom } from './wait-for-room.ts';

/** What the stage comes to. */
export type Downloaded = Prepared | ({ readonly sources: Sources } & (Joined | WithTwin));

interface WithTwin {
  readonly kind: 'twin';
  readonly twin: Twin;
}

/**
 * Brings the sources to our disk and, unless there is a twin, on to the backend in front of which the run
 * has a seat from then on.
 */
export async function prepare(
  attempt: Attempt,
  workflow: Workflow,
  report: ReportProgress,
): Promise<Downloaded> {
  const { journal, seat } = attempt;
  const { run } = journal.claim;
  const sources = await acquireAll(attempt, workflow, report);
  const [main] = workflow.inputs;
  const input = (main && sources.get(main.name)?.info) ?? null;
  for (const { name, slot } of workflow.inputs) {
    const source = sources.get(name);
    if (source) checkSound(name, source.info, clipUse(workflow, slot));
  }
  for (const { info } of sources.values()) {
    const makes = workflow.outputs[0]?.kind ?? workflow.kind;
    for (const warning of sourceWarnings(info, makes)) journal.warn(warning);
  }
  // Whether the workflow can give the size that was asked for is known by now.
  checkOutputs(input, attempt.maxOutputs);
  const size = planSize(input, workflow, run.size);
  checkResult(workflow, plannedSize(input, workflow, size), journal.claim.task.delivery);
  const role = await roleAmongTwins(attempt, sources);
  if (role.kind === 'joined') {
    attempt.sources.ended(run.id);
    return { sources, kind: 'joined' };
  }
  if (role.kind === 'takes') return { sources, kind: 'twin', twin: role.twin };
  await takeSeat(attempt, workflow, sources, report);
  const promptId = randomUUID();
  const staged = await stageInputs(attempt, { sources, input, promptId }, seat.backend);
  return { kind: 'prepared', sources, input, promptId, size, staged };
}

/** A picture that goes to its backend with all frames comes back as one file for each. */
function checkOutputs(input: MediaInfo | null, most: number): void {
  if (input?.kind === 'image' && input.frames) checkOutputCount(input.frames, most);
}

/** Refuses what the encoder would refuse when the GPU has done its work. */
function checkResult({ outputs: [main] }: Workflow, size: Size | null, { format }: Delivery): void {
  if (main?.kind === 'image' && size && format) checkSides(size, format);
}

/** What the stage says in the end. */
export function downloaded({ sources }: Pick<Downloaded, 'sources'>): string {
  if (sources.size === 0) return 'Nothing to download';
  const files = new Set(sources.values());
  const bytes = files.values().reduce((sum, source) => sum + source.bytes, 0);
  return `Download complete, ${megabytes(bytes)}`;
}

/** Inputs with one address have one file. */
async function acquireAll(
  attempt: Attempt,
  workflow: Workflow,
  report: ReportProgress,
): Promise<Sources> {
  const { run } = attempt.journal.claim;
  const read = readFor(run.sources, (input) => takenAt(workflow, input, run.kind).kind);
  const files = [...new Set(read.values())];
  const progress = new SharedProgress(report, files.length);
  const acquired = await Promise.all(
    files.map((source, index) => acquire(attempt, workflow, source, progress.part(index))),
  );
  return new Map(
    [...read].map(([input, source]) => [input, acquired[files.indexOf(source)] as ReadySource]),
  );
}

async function acquire(
  attempt: Attempt,
  workflow: Workflow,
  source: Source,
  report: ReportProgress,
): Promise<ReadySource> {
  const { journal, sources, signal } = attempt;
  const wish = { wantsSha256: mayShare(attempt), report, signal };
  const acquired = await sources.get(journal.claim, source, wish, (transfer) =>
    fetch(attempt, workflow, source, transfer),
  );
  const { sent } = acquired;
  if (sent && existsSync(sent.path)) return { ...acquired, sent };
  return { ...acquired, ...(await lookAgain(attempt, workflow, source, acquired)) };
}

/** What another gateway, or this one before, has left is the client's file alone. */
async function lookAgain(
  attempt: Attempt,
  workflow: Workflow,
  { input }: Source,
  acquired: AcquiredSource,
): Promise<Pick<ReadySource, 'info' | 'sent'>> {
  const { journal, spool, probe, signal, tempo } = attempt;
  const { attempt: row, run } = journal.claim;
  const taken = takenAt(workflow, input, run.kind);
  const name = plainName(input);
  const place = { spool, owner: row.id, name, onWaiting: () => {}, tempo: tempo.spool };
  return await waitingForRoom(place, signal, () =>
    sentOf(probe, acquired, { ...taken, plain: spool.file(row.id, name) }, signal),
  );
}

/** Fetches the source into a file of the owner, in its turn and when there is room. */
async function fetch(
  attempt: Attempt,
  workflow: Workflow,
  { input: name, url }: Source,
  { owner, stored, begin, report, signal }: Transfer,
): Promise<AcquiredSource> {
  const { journal, spool, downloads, tempo } = attempt;
  const { run } = journal.claim;
  const onWaiting = () => report({ progress: 0, detail: 'Waiting for room on the disk' });
  const download = () =>
    waitingForRoom({ spool, owner, name, onWaiting, tempo: tempo.spool }, signal, async () => {
      await spool.room(owner, signal);
      // A copy of ours can be read again.
      if (!stored) await begin();
      const file = spool.file(owner, name);
      const wantsSha256 = mayShare(attempt);
      const taken = takenAt(workflow, name, run.kind);
      const plain = spool.file(owner, plainName(name));
      const wanted = { url, tenant: run.tenant, ...taken, wantsSha256, stored, ...file, plain };
      return await acquireSource(attempt, wanted, report, signal);
    });
  return await downloads.run([run.tenant], signal, download, {
    onWaiting: () => report({ progress: 0, detail: 'Waiting for its turn to download' }),
  });
}
