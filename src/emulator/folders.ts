/**
 * Where files live, and how ComfyUI finds a free name for a new one. `input` and `output` outlive a
 * restart; `temp` and `scratch` do not.
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { PythonError } from './python.ts';
import { type FolderType, isFolderType } from './wire.ts';

export interface Folders {
  readonly root: string;
  readonly input: string;
  readonly output: string;
  readonly temp: string;
  /** Frames of running and cached prompts, and uploads that are not complete: never served. */
  readonly scratch: string;
}

export async function openFolders(root: string): Promise<Folders> {
  const folders: Folders = {
    root,
    input: path.join(root, 'input'),
    output: path.join(root, 'output'),
    temp: path.join(root, 'temp'),
    scratch: path.join(root, 'scratch'),
  };
  await Promise.all(
    [folders.temp, folders.scratch].map((each) => rm(each, { recursive: true, force: true })),
  );
  await Promise.all(Object.values(folders).map((each) => mkdir(each, { recursive: true })));
  return folders;
}

/** The files directly in a folder; none where the folder is missing. */
export async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
}

export function isInside(folder: string, file: string): boolean {
  const relative = path.relative(folder, file);
  return relative !== '..' && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative);
}

/** `"name.png [output]"` names a file in another folder than the usual one. */
export function parseAnnotation(name: string): { name: string; type: FolderType | null } {
  const match = /^(.*) ?\[(input|output|temp)\]$/s.exec(name);
  const type = match?.[2];
  if (match?.[1] === undefined || type === undefined || !isFolderType(type)) {
    return { name, type: null };
  }
  return { name: match[1].trimEnd(), type };
}

/** The path behind a loader's input. It may leave the folder, as it may in ComfyUI. */
export function annotatedPath(folders: Folders, name: string): string {
  const { name: file, type } = parseAnnotation(name);
  return path.resolve(folders[type ?? 'input'], file);
}

export interface OutputPlace {
  /** The absolute folder, which exists. */
  readonly folder: string;
  readonly subfolder: string;
  readonly prefix: string;
  readonly counter: number;
}

/** Where the next file of a prefix goes: the counter is the greatest in its folder, plus one. */
export async function nextOutput(
  base: string,
  filenamePrefix: string,
  counterOf: (prefix: string, file: string) => number = coreCounter,
): Promise<OutputPlace> {
  const wanted = path.normalize(expandDate(filenamePrefix));
  const prefix = path.basename(wanted);
  const subfolder = path.dirname(wanted) === '.' ? '' : path.dirname(wanted);
  const folder = path.resolve(base, subfolder);
  if (!isInside(base, folder)) {
    throw new PythonError(
      'Exception',
      `**** ERROR: Saving image outside the output folder is not allowed.\n full_output_folder: ${folder}`,
    );
  }
  await mkdir(folder, { recursive: true });
  const used = (await listFiles(folder)).map((file) => counterOf(prefix, file));
  return { folder, subfolder, prefix, counter: Math.max(0, ...used) + 1 };
}

/** `out_00007_.png` → 7, and 0 for what belongs to another prefix. */
export function coreCounter(prefix: string, file: string): number {
  if (!file.startsWith(`${prefix}_`)) return 0;
  const digits = file.slice(prefix.length + 1).split('_')[0] ?? '';
  return /^\d+$/.test(digits) ? Number(digits) : 0;
}

/** `out_00007.mp4`, `out_00007-audio.mp4` → 7: VideoHelperSuite names without the last `_`. */
export function vhsCounter(prefix: string, file: string): number {
  if (!file.startsWith(`${prefix}_`)) return 0;
  return Number(/^(\d+)\D*\../.exec(file.slice(prefix.length + 1))?.[1] ?? 0);
}

export function pad(counter: number): string {
  return String(counter).padStart(5, '0');
}

function expandDate(prefix: string): string {
  const now = new Date();
  const two = (value: number) => String(value).padStart(2, '0');
  return prefix
    .replaceAll('%year%', String(now.getFullYear()))
    .replaceAll('%month%', two(now.getMonth() + 1))
    .replaceAll('%day%', two(now.getDate()))
    .replaceAll('%hour%', two(now.getHours()))
    .replaceAll('%minute%', two(now.getMinutes()))
    .replaceAll('%second%', two(now.getSeconds()));
}
