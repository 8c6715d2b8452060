import type { Backend } from '../../comfyui/backend.ts';
import { contentTypeOf } from '../../core/media.ts';
import { reached } from '../../telemetry/milestones.ts';
import { folderOf } from '../attempt-folder.ts';
import type { Attempt } from '../attempt-parts.ts';
import type { Prepared, StagedInputs } from '../ready.ts';

/**
 * Puts the inputs onto the backend and the prompt's id on record, while the check of the inputs comes
 * to its end, so that nothing is left to do but to post the prompt.
 */
export async function stageInputs(
  { journal, signal }: Attempt,
  { sources, input, promptId }: Pick<Prepared, 'sources' | 'input' | 'promptId'>,
  backend: Backend,
): Promise<StagedInputs> {
  const useless = new AbortController();
  const uploading = AbortSignal.any([signal, useless.signal]);
  const uploads = [...sources].map(async ([name, { sent, checked }]) => {
    checked.catch((error) => useless.abort(error));
    const file = {
      path: sent.path,
      size: sent.bytes,
      contentType: contentTypeOf(sent.format),
      name: `${name}.${sent.format}`,
      subfolder: folderOf(journal),
    };
    const [uploaded] = await Promise.all([backend.inputs.put(file, uploading), checked]);
    return [name, uploaded] as const;
  });
  const sourceBytes = sources.values().reduce((sum, { bytes }) => sum + bytes, 0);
  const record = { promptId, backend: backend.label, input, sourceBytes };
  const recorded = journal.recordPrompt(record);
  const [files] = await Promise.all([Promise.all(uploads), recorded]).catch(async (error) => {
    // None of them may come after the others are cleared away.
    useless.abort(error);
    await Promise.allSettled(uploads);
    throw error;
  });
  reached('prompt-recorded');
  return { backend, files: Object.fromEntries(files) };
}
