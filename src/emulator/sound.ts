/** Sound files in and out: what `SaveAudio` and its siblings write. */
import { writeFile } from 'node:fs/promises';
import {
  AudioSample,
  AudioSampleSink,
  AudioSampleSource,
  BufferTarget,
  FlacOutputFormat,
  Mp3OutputFormat,
  OggOutputFormat,
  Output,
} from 'mediabunny';
import { type Audio, loadCodecs, openFile } from './clip.ts';

/** ComfyUI's AUDIO: a stretch of a file, or silence. */
export type Sound = Audio | Silence;

export interface Silence {
  readonly seconds: number;
  readonly sampleRate: number;
  readonly channels: number;
}

export type SoundFormat = 'flac' | 'mp3' | 'opus';

const outputs = {
  flac: () => new FlacOutputFormat(),
  mp3: () => new Mp3OutputFormat(),
  opus: () => new OggOutputFormat(),
};
const bitrate = 128_000;

/** With the tags as comments of FLAC and Opus, and as texts of ID3, as FFmpeg writes them. */
export async function encodeSound(
  sound: Sound,
  format: SoundFormat,
  tags: Readonly<Record<string, string>>,
  file: string,
): Promise<void> {
  await loadCodecs();
  const target = new BufferTarget();
  const output = new Output({ format: outputs[format](), target });
  const source = new AudioSampleSource({ codec: format, bitrate });
  output.addAudioTrack(source);
  if (format !== 'mp3') output.setMetadataTags({ raw: tags });
  await output.start();
  for await (const sample of 'file' in sound ? samplesOf(sound) : silent(sound)) {
    using held = sample;
    await source.add(held);
  }
  source.close();
  await output.finalize();
  const bytes = new Uint8Array(target.buffer ?? new ArrayBuffer(0));
  await writeFile(file, format === 'mp3' ? Buffer.concat([id3Of(tags), bytes]) : bytes);
}

/** ID3v2.4, with a text of its own name for each. */
function id3Of(tags: Readonly<Record<string, string>>): Buffer {
  const frames = Object.entries(tags).map(([name, value]) => {
    const content = Buffer.concat([Buffer.from([3]), Buffer.from(`${name}\0${value}\0`)]);
    return Buffer.concat([
      Buffer.from('TXXX'),
      sevenBits(content.length),
      Buffer.alloc(2),
      content,
    ]);
  });
  const all = Buffer.concat(frames);
  return Buffer.concat([Buffer.from('ID3\x04\0\0'), sevenBits(all.length), all]);
}

/** Four bytes, of whose bits the first does not count. */
function sevenBits(size: number): Buffer {
  return Buffer.from([21, 14, 7, 0].map((shift) => (size >> shift) & 0x7f));
}

async function* samplesOf({ file, startSeconds, endSeconds }: Audio): AsyncGenerator<AudioSample> {
  using input = await openFile(file);
  const track = await input.getPrimaryAudioTrack();
  if (track === null) return;
  for await (const sample of new AudioSampleSink(track).samples(startSeconds, endSeconds)) {
    sample.setTimestamp(Math.max(0, sample.timestamp - startSeconds));
    yield sample;
  }
}

function* silent({ seconds, sampleRate, channels }: Silence): Generator<AudioSample> {
  yield new AudioSample({
    data: new Float32Array(Math.round(seconds * sampleRate) * channels),
    format: 'f32',
    numberOfChannels: channels,
    sampleRate,
    timestamp: 0,
  });
}

/** @throws Error where nothing of it can be read as sound. */
export async function checkSound(file: string): Promise<void> {
  using input = await openFile(file);
  if ((await input.getPrimaryAudioTrack()) === null) throw new Error('It has no sound');
}
