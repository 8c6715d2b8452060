import { setTimeout as delay } from 'node:timers/promises';
import { withJitter } from '../../core/backoff.ts';
import type { TaskOutput } from '../../core/task.ts';
import type { ObjectStore } from '../../storage/object-store.ts';
import type { ResultFile } from '../process/result-files.ts';
import { SharedProgress } from '../shared-progress.ts';
import { type OutputParts, type OutputTransfer, transferOutput } from './transfer-output.ts';
import { isWantOfRoom, TransferPatience } from './transfer-patience.ts';

/** The outputs of an attempt, on their way to the store. */
export interface OutputTransfers extends Omit<OutputTransfer, 'onMoved'> {
  readonly files: readonly ResultFile[];
  /** Waits for its turn among the transfers, for each try anew. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>;
}

/**
 * Streams the outputs from their backend into the store, one after the other. A transfer that fails is
 * repeated from the file that is still there: what the GPU made is not made again.
 *
 * @throws GatewayError as `transferOutput`.
 */
export async function storeOutputs(
  parts: OutputParts,
  transfer: OutputTransfers,
): Promise<TaskOutput[]> {
  const { claim, files, report } = transfer;
  const progress = new SharedProgress(report, files.length);
  const outputs: TaskOutput[] = [];
  for (const [index, file] of files.entries()) {
    const part = progress.part(index);
    const output = await storeOutput(parts, { ...transfer, report: part }, file, index === 0);
    outputs.push(output);
    part({ progress: 100, detail: null });
  }
  await parts.spool.clear(claim.attempt.id);
  return outputs;
}

async function storeOutput(
  parts: OutputParts,
  transfer: OutputTransfers,
  file: ResultFile,
  isMain: boolean,
): Promise<TaskOutput> {
  const { inTurn, report, signal } = transfer;
  const keys: string[] = [];
  const onStoring = (key: string) => {
    keys.push(key);
    transfer.onStoring(key);
  };
  const patience = new TransferPatience(parts.tempo.transfer);
  const onMoved = (bytes: number) => patience.moved(bytes);
  const once = { ...transfer, onStoring, onMoved };
  for (;;) {
    try {
      return await inTurn(() => transferOutput(parts, once, file, isMain));
    } catch (error) {
      signal.throwIfAborted();
      const pauseMs = patience.pauseMs(error);
      if (pauseMs === null) {
        await abandon(parts.store, keys, parts.tempo.transfer.abandonDeadlineMs);
        throw error;
      }
      // What is waited for may be this room.
      await parts.spool.clear(transfer.claim.attempt.id);
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
