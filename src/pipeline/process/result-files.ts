import type { MadeByNodes, OutputFile } from '../../comfyui/messages.ts';
import { GatewayError } from '../../core/errors.ts';
import { neededOutputs, type Workflow, type WorkflowOutput } from '../../core/workflow.ts';

/** A part of the result. */
export interface ResultFile {
  readonly output: WorkflowOutput;
  /** 0, 1, … among those of its output. */
  readonly index: number;
  /** On its backend; `null` for a text that was shown, and written nowhere. */
  readonly file: OutputFile | null;
  /** What its node showed, of an output that is a text. */
  readonly text: string | null;
}

/**
 * What of a prompt's files and texts is the result, the main output's first.
 *
 * @throws GatewayError `output_missing` where an output that counts wrote nothing; `outputs_too_many`.
 */
export function resultFiles(
  { outputs }: Pick<Workflow, 'outputs'>,
  { files, texts }: MadeByNodes,
  folder: string,
  maxOutputs: number,
): ResultFile[] {
  const needed = neededOutputs(outputs);
  const results = outputs.flatMap((output) => {
    const written: (OutputFile | null)[] = files.filter((file) => isOf(output, file, folder));
    const shown = output.kind === 'text' ? texts.find(({ node }) => node === output.node) : null;
    const text = shown?.text ?? null;
    if (written.length === 0 && text !== null) written.push(null);
    if (written.length === 0 && needed.includes(output)) {
      const which = outputs.length > 1 ? ` for ${output.name}` : '';
      throw new GatewayError(
        'output_missing',
        `The workflow ended without writing a result${which}`,
        { detail: files },
      );
    }
    return written.map((file, index) => ({ output, index, file, text: index === 0 ? text : null }));
  });
  checkOutputCount(results.length, maxOutputs);
  return results;
}

/** @throws GatewayError `outputs_too_many`. */
export function checkOutputCount(count: number, most: number): void {
  if (count <= most) return;
  throw new GatewayError(
    'outputs_too_many',
    `The result is ${count} files; this gateway takes ${most} of one task`,
  );
}

/**
 * Where the node lets us choose the folder, it is this attempt's alone, be it among the outputs or the
 * temporary files: what an earlier run left in the server's cache lies elsewhere.
 */
function isOf({ node, prefixField }: WorkflowOutput, file: OutputFile, folder: string): boolean {
  if (file.node !== node || !isPlainName(file.filename)) return false;
  return prefixField === null || file.subfolder === folder;
}

/** What a server calls its files is its own claim. */
function isPlainName(name: string): boolean {
  return name.length > 0 && !/[/\\\0]/.test(name) && name !== '.' && name !== '..';
}
