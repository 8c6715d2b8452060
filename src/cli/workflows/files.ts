import { stat } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { ConfigError } from '../../config/config.ts';
import { invalid } from '../../core/workflow.ts';
import { WorkflowFolder } from '../../workflows/folder.ts';
import type { WorkflowFile } from '../../workflows/parse.ts';
import { readSettings } from '../read-settings.ts';

/** A workflow's files, not read yet. */
export interface FoundFile {
  /** Of the graph, as somebody in the working directory would write it. */
  readonly path: string;
  readonly name: string;
  /** @throws GatewayError `workflow_invalid` for files that are not looked into. */
  readonly read: () => Promise<WorkflowFile>;
}

const suffix = /(\.meta)?\.json$/;

/**
 * The workflows that the paths name: a file, what is said beside it, or a folder. Without a path, those
 * of the settings.
 *
 * @throws ConfigError
 */
export async function findWorkflows(paths: readonly string[]): Promise<FoundFile[]> {
  const found =
    paths.length === 0 ? [await settledFolder()] : await Promise.all(paths.map(filesAt));
  // A shell's `*.json` names both files of a workflow.
  return [...new Map(found.flat().map((file) => [file.path, file])).values()];
}

async function settledFolder(): Promise<FoundFile[]> {
  const { workflowsDir } = await readSettings();
  const shown = relative('', workflowsDir);
  try {
    return await filesIn(shown.startsWith('..') ? workflowsDir : shown);
  } catch (error) {
    const { code = error } = error as NodeJS.ErrnoException;
    throw new ConfigError([`WORKFLOWS_DIR ${workflowsDir} cannot be read (${code})`]);
  }
}

async function filesAt(path: string): Promise<FoundFile[]> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => error);
  if (found instanceof Error) return [unreadable(path, found)];
  if (found.isDirectory()) {
    return await filesIn(path).catch((error) => [unreadable(path, error)]);
  }
  if (suffix.test(path)) {
    return [fileIn(new WorkflowFolder(dirname(path)), basename(path).replace(suffix, ''))];
  }
  return [refusing(path, "A workflow's file ends with .json")];
}

async function filesIn(path: string): Promise<FoundFile[]> {
  const folder = new WorkflowFolder(path || '.');
  const names = [...(await folder.look()).keys()];
  if (names.length === 0) return [refusing(path || '.', 'There is no workflow in this folder')];
  return names.sort().map((name) => fileIn(folder, name));
}

function fileIn(folder: WorkflowFolder, name: string): FoundFile {
  return { path: join(folder.path, `${name}.json`), name, read: () => folder.read(name) };
}

function unreadable(path: string, { code, message }: NodeJS.ErrnoException): FoundFile {
  if (code === 'ENOENT') return refusing(path, 'There is no such file');
  return refusing(path, `It cannot be read (${code ?? message})`);
}

function refusing(path: string, problem: string): FoundFile {
  const name = basename(path).replace(suffix, '');
  return { path, name, read: async () => Promise.reject(invalid(problem)) };
}
