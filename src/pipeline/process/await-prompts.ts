import { setTimeout as delay } from 'node:timers/promises';
import type { Backend } from '../../comfyui/backend.ts';
import type { MadeByNodes, OutputFile, ShownText } from '../../comfyui/messages.ts';
import { GatewayError } from '../../core/errors.ts';
import type { StageProgress } from '../../core/stage.ts';
import type { Tempo } from '../../core/tempo.ts';
import { type AwaitedPrompt, isSilence, promptEnd, successOf } from './await-prompt.ts';
import { PromptWatch } from './prompt-watch.ts';

/**
 * Follows a prompt that a node may queue again: it has ended when the last of them has, and the GPU is its
 * own till then. It made what all of them did.
 *
 * @throws GatewayError as `awaitPrompt`.
 */
export async function awaitPrompts(
  backend: Backend,
  awaited: AwaitedPrompt,
  tempo: Tempo['prompt'],
  signal: AbortSignal,
): Promise<MadeByNodes> {
  const startedAt = performance.now();
  const { prompt, promptId: root, leftMs } = awaited;
  /** A server may name what lies in its cache again. */
  const files = new Map<string, OutputFile>();
  const texts = new Map<string, ShownText>();
  let present = { ...awaited, onGpuFree: () => {} };
  for (let batch = 0; ; batch += 1) {
    const onProgress = (progress: StageProgress) => awaited.onProgress(ofBatch(batch, progress));
    const left = leftMs === null ? null : leftMs - (performance.now() - startedAt);
    const one = { ...present, onProgress, leftMs: left };
    const end = successOf(await promptEnd(backend, one, tempo, signal), prompt);
    for (const file of end.made.files) files.set(JSON.stringify(file), file);
    for (const text of end.made.texts) texts.set(text.node, text);
    if (!end.goesOn) break;
    const promptId = await nextAfter(backend, { ...one, root }, tempo, signal);
    present = { ...present, promptId, isFresh: false };
  }
  awaited.onGpuFree();
  return { files: [...files.values()], texts: [...texts.values()] };
}

/** How many batches there will be is not known: each takes a smaller share of what is left. */
function ofBatch(batch: number, { progress, detail }: StageProgress): StageProgress {
  const from = batch / (batch + 1);
  const to = (batch + 1) / (batch + 2);
  const share = from + ((to - from) * progress) / 100;
  const which = batch === 0 ? '' : ` (batch ${batch + 1})`;
  return { progress: Math.floor(share * 100), detail: `${detail}${which}` };
}

/** The prompt that was queued while this one ran. */
async function nextAfter(
  { client }: Backend,
  awaited: AwaitedPrompt & { readonly root: string },
  tempo: Tempo['prompt'],
  signal: AbortSignal,
): Promise<string> {
  const watch = new PromptWatch(awaited, tempo);
  for (;;) {
    try {
      const ids = await client.requeuedAfter(awaited.root, signal);
      // The first comes after one that is not in the list.
      const next = ids[ids.indexOf(awaited.promptId) + 1];
      if (next !== undefined) return next;
      throw new GatewayError(
        'prompt_lost',
        'The ComfyUI server did not go on with the next batch of the task',
      );
    } catch (error) {
      if (!isSilence(error)) throw error;
      watch.unanswered(error);
    }
    await delay(tempo.pollMs, undefined, { signal });
  }
}
