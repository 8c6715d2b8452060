/** ComfyUI's own nodes of sound: LoadAudio, EmptyAudio, SaveAudio and its siblings, PreviewAudio. */
import path from 'node:path';
import { nextOutput, pad } from '../folders.ts';
import { PythonError } from '../python.ts';
import { checkSound, encodeSound, type Sound, type SoundFormat } from '../sound.ts';
import { exists, metadata } from './image.ts';
import { type NodeClass, type NodeContext, numberOf, pathOf, textOf } from './node.ts';
import { fileVersion } from './video.ts';

export const loadAudio: NodeClass = {
  async run({ inputs, folders }) {
    const file = pathOf(inputs, 'audio', folders);
    await checkSound(file).catch(() => {
      throw new PythonError('ValueError', 'No audio stream found in the file.');
    });
    const sound: Sound = { file, startSeconds: 0, endSeconds: Number.POSITIVE_INFINITY };
    return { outputs: [sound] };
  },
  fingerprint: (inputs, folders) => fileVersion(inputs, 'audio', folders),
  async validate(inputs, folders) {
    const name = inputs.audio;
    if (typeof name !== 'string' || (await exists(pathOf(inputs, 'audio', folders)))) return {};
    return { audio: `Invalid audio file: ${name}` };
  },
};

export const emptyAudio: NodeClass = {
  async run({ inputs }) {
    const seconds = numberOf(inputs, 'duration', 60);
    const sampleRate = numberOf(inputs, 'sample_rate', 44_100);
    const sound: Sound = { seconds, sampleRate, channels: numberOf(inputs, 'channels', 2) };
    return { outputs: [sound] };
  },
};

export function saveAudio(format: SoundFormat): NodeClass {
  return { run: (context) => save(context, format, textOf(context.inputs, 'filename_prefix')) };
}

export const previewAudio: NodeClass = {
  run: (context) => save(context, 'flac', 'ComfyUI_temp_emulator', 'temp'),
};

async function save(
  context: NodeContext,
  format: SoundFormat,
  prefix: string,
  type: 'output' | 'temp' = 'output',
) {
  const sound = (context.inputs.audio ?? null) as Sound | null;
  if (sound === null) {
    throw new PythonError('TypeError', "'NoneType' object is not subscriptable");
  }
  const place = await nextOutput(context.folders[type], prefix);
  const filename = `${place.prefix}_${pad(place.counter)}_.${format}`;
  const tags = Object.entries(metadata(context)).map(([key, value]) => [
    key,
    JSON.stringify(value),
  ]);
  await encodeSound(sound, format, Object.fromEntries(tags), path.join(place.folder, filename));
  return { outputs: [], ui: { audio: [{ filename, subfolder: place.subfolder, type }] } };
}
