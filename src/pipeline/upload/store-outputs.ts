import { setTimeout as delay } from 'node:timers/promises';
import PQueue from 'p-queue';
import { withJitter } from '../../core/backoff.ts';
import type { TaskOutput } from '../../core/task.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import type { ReportProgress } from '../attempt-journal.ts';
import type { ResultFile } from '../process/result-files.ts';
import { SharedProgress } from '../shared-progress.ts';
import type { TransferTurns } from '../transfer-turns.ts';
import { type OutputParts, type OutputTransfer, transferOutput } from './transfer-output.ts';
import { TransferPace } from './transfer-pace.ts';
import { isWantOfRoom, TransferPatience } from './transfer-patience.ts';

/** The outputs of an attempt, on their way to the store. */
export interface OutputTransfers extends Omit<OutputTransfer, 'onMoved' | 'pace' | 'spoolOwner'> {
  readonly files: readonly ResultFile[];
  /** The backend that has them. */
  readonly server: string;
  /** Each try waits for its turn anew. */
  readonly turns: TransferTurns;
  readonly report: ReportProgress;
}

/** How many outputs of a task are moved at a time: each takes room in the spool. */
const outputsAtOnce = 4;

/**
 * Streams the outputs from their backend into the store, a few at a time, and returns them in their order.
 * A transfer that fails is repeated from the file that is still there: what the GPU made is not made
 * again. One that fails for good ends the others.
 *
 * @throws GatewayError as `transferOutput`.
 */
export async function storeOutputs(
  parts: OutputParts,
  transfer: OutputTransfers,
): Promise<TaskOutput[]> {
  const { files, report, signal } = transfer;
  const progress = new SharedProgress(report, files.length);
  const halt = new AbortController();
  const cut = AbortSignal.any([signal, halt.signal]);
  const queue = new PQueue({ concurrency: outputsAtOnce });
  const stored = files.map((file, index) =>
    queue.add(async () => {
      const part = progress.part(index);
      const once = { ...transfer, report: part, signal: cut };
      const output = await storeOutput(parts, once, file, index);
      part({ progress: 100, detail: null });
      return output;
    }),
  );
  for (const each of stored) each.catch((error) => halt.abort(error));
  await Promise.allSettled(stored);
  cut.throwIfAborted();
  return await Promise.all(stored);
}

async function storeOutput(
  parts: OutputParts,
  transfer: OutputTransfers,
  file: ResultFile,
  index: number,
): Promise<TaskOutput> {
  const { claim, server, turns, report, signal } = transfer;
  const isMain = index === 0;
  const putUrl = isMain ? claim.task.delivery.putUrl : null;
  const target = putUrl ? [`target ${new URL(putUrl).host}`] : [];
  const share = { tenant: claim.task.tenant, within: [`server ${server}`, ...target] };
  const spoolOwner = `${claim.attempt.id}-${index}`;
  const keys: string[] = [];
  const onStoring = (key: string) => {
    keys.push(key);
    transfer.onStoring(key);
  };
  const patience = new TransferPatience(parts.tempo.transfer);
  const onMoved = (share: number) => patience.moved(share);
  const onWaiting = () => report({ progress: 0, detail: 'Waiting for its turn to be uploaded' });
  for (;;) {
    let pace: TransferPace | null = null;
    const work = async () => {
      pace = new TransferPace(report, putUrl ? 'target' : 'store');
      const once = { ...transfer, onStoring, onMoved, pace, spoolOwner };
      // What a task waits for after a failure may be the room that these take.
      await using _cleared = { [Symbol.asyncDispose]: () => parts.spool.clear(spoolOwner) };
      return await transferOutput(parts, once, file, isMain);
    };
    try {
      return await turns.run(share, signal, work, { onWaiting, onLasting: () => pace?.lasts() });
    } catch (error) {
      signal.throwIfAborted();
      const pauseMs = patience.pauseMs(error);
      if (pauseMs === null) {
        await abandon(parts.store, keys, parts.tempo.transfer.abandonDeadlineMs);
        throw error;
      }
      const isFull = isWantOfRoom(error);
      const detail = isFull ? 'Waiting for room for the result' : 'Upload failed, trying again';
      report({ progress: 0, detail });
      await delay(withJitter(pauseMs, Math.random()), undefined, { signal });
    }
  }
}

/** What was kept for another try, which will not be made. */
async function abandon(
  store: ObjectStore,
  keys: readonly string[],
  deadlineMs: number,
): Promise<void> {
  const deadline = AbortSignal.timeout(deadlineMs);
  const abandoned = keys.map((key) => store.abandon(key, deadline).catch(() => {}));
  await Promise.all(abandoned);
}
