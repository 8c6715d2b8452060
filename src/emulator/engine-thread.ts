/** The engine's thread: takes a tile, answers the enlarged tile. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parentPort } from 'node:worker_threads';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { type LayersModel, loadLayersModel } from '@tensorflow/tfjs-layers';
import type { EngineReply, EngineRequest } from './engine.ts';
import type { Frame } from './frames.ts';

const port = parentPort;
if (port === null) throw new Error('engine-thread.ts runs as a thread of the emulator');

setWasmPaths(
  `${path.dirname(fileURLToPath(import.meta.resolve('@tensorflow/tfjs-backend-wasm')))}/`,
);
await tf.setBackend('wasm');

const models = new Map<number, Promise<LayersModel>>();

port.on('message', async ({ id, scale, frame }: EngineRequest) => {
  try {
    const large = await enlarge(frame, scale);
    const reply: EngineReply = { id, frame: large };
    port.postMessage(reply, [large.rgb.buffer as ArrayBuffer]);
  } catch (error) {
    const reply: EngineReply = { id, error: String(error) };
    port.postMessage(reply);
  }
});

async function enlarge(frame: Frame, scale: number): Promise<Frame> {
  const model = await modelOf(scale);
  const { width, height } = frame;
  const input = tf.tensor4d(new Float32Array(frame.rgb), [1, height, width, 3]);
  const output = tf.tidy(() => model.predict(input) as tf.Tensor);
  // The clamped array rounds and cuts to 0–255.
  const pixels = new Uint8ClampedArray(await output.data());
  tf.dispose([input, output]);
  return { width: width * scale, height: height * scale, rgb: new Uint8Array(pixels.buffer) };
}

function modelOf(scale: number): Promise<LayersModel> {
  let model = models.get(scale);
  if (model === undefined) {
    model = loadModel(scale);
    models.set(scale, model);
  }
  return model;
}

/** The package's own entry wants the whole of TensorFlow.js; its weights need only layers. */
async function loadModel(scale: number): Promise<LayersModel> {
  const folder = path.join(packageFolder('@upscalerjs/esrgan-slim'), `models/x${scale}`);
  const model = JSON.parse(await readFile(path.join(folder, 'model.json'), 'utf8'));
  const shards: string[] = model.weightsManifest[0].paths;
  const parts = await Promise.all(shards.map((shard) => readFile(path.join(folder, shard))));
  return loadLayersModel({
    load: async () => ({
      modelTopology: model.modelTopology,
      weightSpecs: model.weightsManifest[0].weights,
      weightData: new Uint8Array(Buffer.concat(parts)).buffer,
    }),
  });
}

/** The package's root: everything it exports lies below `dist/`. */
function packageFolder(name: string): string {
  const entry = fileURLToPath(import.meta.resolve(name));
  return entry.slice(0, entry.indexOf(`${path.sep}dist${path.sep}`));
}
