/** What is neither picture nor sound: SaveLatent, SaveSVGNode, SaveGLB, PreviewAny, SaveText, and what they take. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { nextOutput, pad } from '../folders.ts';
import type { FileReference } from '../wire.ts';
import { metadata } from './image.ts';
import { type NodeClass, type NodeContext, numberOf, textOf } from './node.ts';

/** Four channels of an eighth of the picture's sides, all zeros. */
interface Latent {
  readonly shape: readonly number[];
}

export const emptyLatentImage: NodeClass = {
  async run({ inputs }) {
    const [width, height] = [numberOf(inputs, 'width', 512), numberOf(inputs, 'height', 512)];
    const shape = [numberOf(inputs, 'batch_size', 1), 4, height / 8, width / 8];
    return { outputs: [{ shape } satisfies Latent] };
  },
};

export const saveLatent: NodeClass = {
  async run(context) {
    const { shape } = context.inputs.samples as Latent;
    const bytes = shape.reduce((product, side) => product * side, 4);
    const header = JSON.stringify({
      __metadata__: said(context),
      latent_format_version_0: { dtype: 'F32', shape: [0], data_offsets: [0, 0] },
      latent_tensor: { dtype: 'F32', shape, data_offsets: [0, bytes] },
    });
    const filled = Buffer.from(header.padEnd(Math.ceil(header.length / 8) * 8, ' '));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(filled.length));
    const file = Buffer.concat([length, filled, Buffer.alloc(bytes)]);
    return { outputs: [], ui: { latents: [await save(context, file, 'latent')] } };
  },
};

/** As ComfyUI does, with the graph behind the first tag. */
export const saveSvg: NodeClass = {
  async run(context) {
    const graph = JSON.stringify(metadata(context), null, 2);
    const element = `\n  <metadata>\n<![CDATA[\n${graph}\n]]>\n</metadata>\n`;
    const svg = String(context.inputs.svg).replace(/<svg[^>]*>/g, (tag) => `${tag}${element}`);
    return { outputs: [], ui: { images: [await save(context, Buffer.from(svg), 'svg')] } };
  },
};

/** A triangle, for a mesh of whatever shape. */
export const saveGlb: NodeClass = {
  async run(context) {
    const numbers = Buffer.alloc(48);
    numbers.writeFloatLE(1, 12);
    numbers.writeFloatLE(1, 28);
    for (const corner of [0, 1, 2]) numbers.writeUInt32LE(corner, 36 + corner * 4);
    const text = JSON.stringify({
      asset: { version: '2.0', generator: 'ComfyUI', extras: said(context) },
      buffers: [{ byteLength: numbers.length }],
      bufferViews: [
        { buffer: 0, byteOffset: 0, byteLength: 36, target: 34962 },
        { buffer: 0, byteOffset: 36, byteLength: 12, target: 34963 },
      ],
      accessors: [
        {
          bufferView: 0,
          componentType: 5126,
          count: 3,
          type: 'VEC3',
          max: [1, 1, 0],
          min: [0, 0, 0],
        },
        { bufferView: 1, componentType: 5125, count: 3, type: 'SCALAR' },
      ],
      meshes: [{ primitives: [{ attributes: { POSITION: 0 }, indices: 1, mode: 4 }] }],
      nodes: [{ mesh: 0 }],
      scenes: [{ nodes: [0] }],
      scene: 0,
    });
    const description = Buffer.from(text.padEnd(Math.ceil(text.length / 4) * 4, ' '));
    const head = Buffer.alloc(12);
    head.write('glTF', 'latin1');
    head.writeUInt32LE(2, 4);
    const chunks = [chunk('JSON', description), chunk('BIN\0', numbers)];
    head.writeUInt32LE(head.length + chunks.reduce((sum, { length }) => sum + length, 0), 8);
    const file = Buffer.concat([head, ...chunks]);
    return { outputs: [], ui: { '3d': [await save(context, file, 'glb')] } };
  },
};

function chunk(type: string, content: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(content.length);
  head.write(type, 4, 'latin1');
  return Buffer.concat([head, content]);
}

export const previewAny: NodeClass = {
  async run({ inputs: { source } }) {
    const text = typeof source === 'string' ? source : (JSON.stringify(source) ?? 'None');
    return { outputs: [], ui: { text: [text] } };
  },
};

/** It shows what it writes. */
export const saveText: NodeClass = {
  async run(context) {
    const text = textOf(context.inputs, 'text');
    const format = textOf(context.inputs, 'format', 'txt');
    const file = await save(context, Buffer.from(text), format);
    return { outputs: [text], ui: { text: [text], files: [file] } };
  },
};

/** ComfyUI writes JSON into a text of JSON here. */
function said(context: NodeContext): Record<string, string> {
  const graph = Object.entries(metadata(context));
  return Object.fromEntries(graph.map(([key, value]) => [key, JSON.stringify(value)]));
}

async function save(
  { inputs, folders }: NodeContext,
  bytes: Buffer,
  extension: string,
): Promise<FileReference> {
  const place = await nextOutput(folders.output, textOf(inputs, 'filename_prefix', 'ComfyUI'));
  const filename = `${place.prefix}_${pad(place.counter)}_.${extension}`;
  await writeFile(path.join(place.folder, filename), bytes);
  return { filename, subfolder: place.subfolder, type: 'output' };
}
