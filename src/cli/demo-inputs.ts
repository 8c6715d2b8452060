import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { findPackageJSON } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { GatewayError } from '../core/errors.ts';
import { imageFormats, type MediaKind, type PictureInfo, videoFormats } from '../core/media.ts';
import { systemCodeOf } from '../core/system-code.ts';
import { MediaProbe } from '../media/probe.ts';
import { sniff } from '../media/sniff.ts';
import { filmPicture } from './sample-clip.ts';

export interface DemoInput {
  readonly path: string;
  readonly kind: MediaKind;
  /** Pixels of all frames together, in millions. */
  readonly megapixels: number;
}

interface Wishes {
  readonly input?: string | undefined;
  readonly workflow?: string | undefined;
}

/** From here on the CPU needs half a minute and more. */
const largeMegapixels = 0.5;
const secondsPerMegapixel = 60;

/** @throws GatewayError that says in a sentence why a file cannot be taken. */
export async function demoInputs(
  parts: AsyncDisposableStack,
  wishes: Wishes,
): Promise<DemoInput[]> {
  const paths = wishes.input ? [resolve(wishes.input)] : await samples(parts, wishes);
  return await Promise.all(paths.map(lookAt));
}

/** What to expect of the emulator, which really upscales; `null` for an input that takes it seconds. */
export function slownessOf({ path, megapixels }: DemoInput): string | null {
  if (megapixels < largeMegapixels) return null;
  const minutes = Math.ceil((megapixels * secondsPerMegapixel) / 60);
  return (
    `${basename(path)} has ${megapixels.toFixed(1)} megapixels. Without COMFYUI_BACKENDS the CPU of this ` +
    `machine upscales them, at about a minute each: expect ${minutes} ` +
    `${minutes === 1 ? 'minute' : 'minutes'} or more, and gigabytes of memory for a large picture. Ctrl-C stops it.`
  );
}

/**
 * A real photograph, which comes with the upscaling model, and a clip of it. A workflow is for one
 * or the other.
 */
async function samples(parts: AsyncDisposableStack, { workflow }: Wishes): Promise<string[]> {
  const description = findPackageJSON('@upscalerjs/esrgan-slim', import.meta.url);
  if (!description)
    throw unusable('This install has no sample picture: name one of yours with --input');
  const picture = join(dirname(description), 'assets', 'fixture.png');
  const folder = await mkdtemp(join(tmpdir(), 'tmlsr-demo-'));
  parts.defer(() => rm(folder, { recursive: true, force: true }));
  const clip = join(folder, 'clip.mp4');
  await writeFile(clip, await filmPicture(picture));
  if (workflow) return [workflow.includes('video') ? clip : picture];
  return [picture, clip];
}

async function lookAt(path: string): Promise<DemoInput> {
  const info = await probe(path).catch((error) => {
    throw unusable(`The demo cannot take ${path}: ${reasonOf(error)}.`);
  });
  return { path, kind: info.kind, megapixels: (info.width * info.height * framesOf(info)) / 1e6 };
}

async function probe(path: string): Promise<PictureInfo> {
  const found = await stat(path);
  if (found.isDirectory()) throw unusable('It is a folder; name one picture or clip in it');
  if (!found.isFile()) throw unusable('It is no plain file');
  if (found.size === 0) throw unusable('It is empty');
  if (!(await sniff(path))) {
    const taken = [...imageFormats, ...videoFormats].join(', ');
    throw unusable(`It is neither a picture nor a clip of a format that is taken (${taken})`);
  }
  const info = await new MediaProbe().probe(path, new AbortController().signal);
  if (info.kind === 'audio') throw unusable('It is a sound; the demo takes pictures and clips');
  return info;
}

function reasonOf(error: unknown): string {
  if (error instanceof GatewayError) return error.message;
  const code = systemCodeOf(error);
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'There is no such file';
  if (code === 'EACCES' || code === 'EPERM') return 'This user may not read it';
  return error instanceof Error ? error.message : String(error);
}

function framesOf(info: PictureInfo): number {
  if (info.kind === 'image') return 1;
  return info.frames ?? Math.ceil(info.durationSeconds * (info.fps ?? 30));
}

export function unusable(message: string): GatewayError {
  return new GatewayError('invalid_request', message);
}
