/** ImageRotate: clockwise, by quarters. */
import { type Frame, type Frames, writeFrames } from '../frames.ts';
import { framesOf, type NodeClass, textOf } from './node.ts';

export const imageRotate: NodeClass = {
  async run({ inputs, folders }) {
    const quarters = Math.trunc(Number.parseInt(textOf(inputs, 'rotation'), 10) / 90) || 0;
    return {
      outputs: [await writeFrames(folders.scratch, turned(framesOf(inputs, 'image'), quarters))],
    };
  },
};

async function* turned(frames: Frames, quarters: number): AsyncGenerator<Frame> {
  for (let index = 0; index < frames.count; index += 1) {
    let upright = await frames.read(index);
    for (let left = quarters; left > 0; left -= 1) upright = quarterTurned(upright);
    yield upright;
  }
}

function quarterTurned(frame: Frame): Frame {
  const { width, height, rgb } = frame;
  const samples = 3;
  const to = new Uint8Array(rgb.length);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const from = (y * width + x) * samples;
      to.set(rgb.subarray(from, from + samples), (x * height + (height - 1 - y)) * samples);
    }
  }
  return { width: height, height: width, rgb: to };
}
