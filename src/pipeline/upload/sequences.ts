import { setTimeout as delay } from 'node:timers/promises';
import type { ComfyClient } from '../../comfyui/client.ts';
import type { OutputFile } from '../../comfyui/messages.ts';
import { withJitter } from '../../core/backoff.ts';
import type { Tempo } from '../../core/tempo.ts';
import { checkOutputCount, type ResultFile } from '../process/result-files.ts';
import { TransferPatience } from './transfer-patience.ts';

/** How FFmpeg is told to number pictures: VideoHelperSuite reports this in place of their names. */
const numbering = /%0(\d)d/;

export interface SequenceParts {
  readonly client: Pick<ComfyClient, 'fileSize'>;
  readonly maxOutputs: number;
  readonly tempo: Pick<Tempo, 'transfer'>;
}

/**
 * The result with every picture of a sequence of which its server tells nothing but the pattern of the names.
 *
 * @throws GatewayError `outputs_too_many`; as `ComfyClient.fileSize`, when that lasts.
 */
export async function wholeSequences(
  parts: SequenceParts,
  results: readonly ResultFile[],
  signal: AbortSignal,
): Promise<readonly ResultFile[]> {
  if (!results.some(({ file }) => file && numbering.test(file.filename))) return results;
  const whole = await patiently(parts, results, signal);
  checkOutputCount(whole.length, parts.maxOutputs);
  return whole;
}

/** What the GPU made is not made again because its server does not answer for a moment. */
async function patiently(
  parts: SequenceParts,
  results: readonly ResultFile[],
  signal: AbortSignal,
): Promise<ResultFile[]> {
  const patience = new TransferPatience(parts.tempo.transfer);
  for (;;) {
    try {
      return await found(parts, results, signal);
    } catch (error) {
      signal.throwIfAborted();
      const pauseMs = patience.pauseMs(error);
      if (pauseMs === null) throw error;
      await delay(withJitter(pauseMs, Math.random()), undefined, { signal });
    }
  }
}

async function found(
  { client, maxOutputs }: SequenceParts,
  results: readonly ResultFile[],
  signal: AbortSignal,
): Promise<ResultFile[]> {
  const whole: ResultFile[] = [];
  const counts = new Map<string, number>();
  for (const result of results) {
    const { file, output } = result;
    const exists = async (number: number) =>
      file !== null && (await client.fileSize(numbered(file, number), signal)) !== null;
    const count = file && numbering.test(file.filename) ? await countOf(exists, maxOutputs + 1) : 0;
    const files = file && count > 0 ? numbers(count).map((each) => numbered(file, each)) : [file];
    for (const each of files) {
      const index = counts.get(output.name) ?? 0;
      counts.set(output.name, index + 1);
      whole.push({ ...result, index, file: each });
    }
  }
  return whole;
}

/** How many there are, from 1 on and without a gap, `most` at most: each look is a request. */
async function countOf(
  exists: (number: number) => Promise<boolean>,
  most: number,
): Promise<number> {
  let there = 0;
  let gone = most + 1;
  for (let next = 1; there < most && gone > most; next = Math.min(there * 2, most)) {
    if (await exists(next)) there = next;
    else gone = next;
  }
  while (gone - there > 1) {
    const middle = Math.floor((there + gone) / 2);
    if (await exists(middle)) there = middle;
    else gone = middle;
  }
  return there;
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

function numbered(file: OutputFile, number: number): OutputFile {
  const name = (_: string, digits: string) => String(number).padStart(Number(digits), '0');
  return { ...file, filename: file.filename.replace(numbering, name) };
}
