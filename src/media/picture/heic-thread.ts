import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import { rawTiff } from './raw-tiff.ts';

/** Runs in a thread with limits: what it reads is hostile until it is read. */

export interface ToHeicThread {
  readonly path: string;
  readonly hasAlpha: boolean;
  /** What its numbers mean; `null` for sRGB. */
  readonly icc: Uint8Array | null;
  /** What its decoder may take, bytes. */
  readonly maxMemoryBytes: number;
}

export type FromHeicThread =
  | { readonly kind: 'tiff'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'failed'; readonly reason: string };

/** What of libheif's interface is needed here; its handles mean nothing outside of it. */
interface Libheif {
  heif_context_alloc(): object;
  heif_context_read_from_memory(
    context: object,
    bytes: Uint8Array,
  ): { readonly code: object; readonly message: string };
  heif_js_context_get_primary_image_handle(context: object): object | Failed;
  heif_js_decode_image2(handle: object, colours: object, chroma: object): Decoded | Failed;
  readonly heif_error_code: { readonly heif_error_Ok: object };
  readonly heif_colorspace: { readonly heif_colorspace_RGB: object };
  readonly heif_chroma: {
    readonly heif_chroma_interleaved_RGB: object;
    readonly heif_chroma_interleaved_RGBA: object;
  };
}

interface Failed {
  readonly code: object;
  readonly message: string;
}

interface Decoded {
  readonly width: number;
  readonly height: number;
  readonly channels: readonly { readonly stride: number; readonly data: Uint8Array }[];
}

/** Node has it; its types do not. */
declare const WebAssembly: {
  readonly Memory: { readonly prototype: Memory };
};

interface Memory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

const { path, hasAlpha, icc, maxMemoryBytes } = workerData as ToHeicThread;
const require = createRequire(import.meta.url);

limitMemory();
try {
  const bytes = decode();
  parentPort?.postMessage({ kind: 'tiff', bytes } satisfies FromHeicThread, [bytes.buffer]);
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error);
  parentPort?.postMessage({ kind: 'failed', reason } satisfies FromHeicThread);
}

/** A thread's own limits do not count what WebAssembly takes; what is refused there is a failed `malloc`. */
function limitMemory(): void {
  const { prototype } = WebAssembly.Memory;
  const { grow } = prototype;
  prototype.grow = function (this: Memory, pages: number) {
    if (this.buffer.byteLength + pages * 65_536 > maxMemoryBytes) throw new RangeError('too much');
    return grow.call(this, pages);
  };
}

/** The picture that the file is for, upright: thumbnails, depths and gain maps beside it are left alone. */
function decode(): Uint8Array<ArrayBuffer> {
  const folder = 'libheif-js/libheif-wasm';
  const load: (options: object) => Libheif = require(`${folder}/libheif.js`);
  const libheif = load({ wasmBinary: readFileSync(require.resolve(`${folder}/libheif.wasm`)) });
  const context = libheif.heif_context_alloc();
  const read = libheif.heif_context_read_from_memory(context, readFileSync(path));
  if (read.code !== libheif.heif_error_code.heif_error_Ok) throw new Error(read.message);
  const handle = whole(libheif.heif_js_context_get_primary_image_handle(context));
  const { heif_chroma_interleaved_RGB, heif_chroma_interleaved_RGBA } = libheif.heif_chroma;
  const chroma = hasAlpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB;
  const { heif_colorspace_RGB } = libheif.heif_colorspace;
  const decoded = whole(libheif.heif_js_decode_image2(handle, heif_colorspace_RGB, chroma));
  const { width, height } = decoded;
  const [rows] = decoded.channels;
  if (!rows) throw new Error('It has no pixels');
  const channels = hasAlpha ? 4 : 3;
  return rawTiff({ width, height, channels, pixels: rows.data, rowBytes: rows.stride, icc });
}

function whole<T extends object>(answer: T | Failed): T {
  if ('code' in answer && 'message' in answer) throw new Error(answer.message);
  return answer as T;
}
