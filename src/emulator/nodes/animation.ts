/** SaveAnimatedWEBP. */
import path from 'node:path';
import sharp from 'sharp';
import { nextOutput, pad } from '../folders.ts';
import { toSharp } from '../loaders/picture.ts';
import type { FileReference } from '../wire.ts';
import { metadata } from './image.ts';
import { framesOf, type NodeClass, numberOf, textOf } from './node.ts';

export const saveAnimatedWebp: NodeClass = {
  async run(context) {
    const { inputs, folders } = context;
    const frames: Buffer[] = [];
    for await (const frame of framesOf(inputs, 'images')) {
      frames.push(await toSharp(frame).png().toBuffer());
    }
    const place = await nextOutput(folders.output, textOf(inputs, 'filename_prefix', 'ComfyUI'));
    const filename = `${place.prefix}_${pad(place.counter)}_.webp`;
    const frameMs = Math.trunc(1_000 / numberOf(inputs, 'fps', 6));
    const [first] = frames;
    const moving = frames.length === 1 ? sharp(first) : sharp(frames, { join: { animated: true } });
    await moving
      .webp({
        quality: numberOf(inputs, 'quality', 80),
        lossless: inputs.lossless === true,
        delay: frames.map(() => frameMs),
      })
      .withExif({ IFD0: { Model: `prompt:${JSON.stringify(metadata(context).prompt)}` } })
      .toFile(path.join(place.folder, filename));
    const saved: FileReference = { filename, subfolder: place.subfolder, type: 'output' };
    return { outputs: [], ui: { images: [saved], animated: [frames.length > 1] } };
  },
};
