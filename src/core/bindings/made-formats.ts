import type { GraphNode } from '../graph.ts';
import { isMediaFormat, type ResultFormat } from '../result-format.ts';

type Inputs = GraphNode['inputs'];

/** By class, what its files are as a rule; `null` where a value of the node tells and cannot be read. */
const makers: Readonly<Record<string, (inputs: Inputs) => readonly ResultFormat[] | null>> = {
  SaveImage: () => ['png'],
  PreviewImage: () => ['png'],
  SaveImageAdvanced: ({ format }) => chosen(format, ['png', 'exr']),
  SaveAnimatedWEBP: () => ['webp'],
  SaveAnimatedPNG: () => ['png'],
  SaveVideo: ({ format }) => (format === 'auto' ? ['mp4'] : chosen(format, ['mp4', 'mov', 'webm'])),
  SaveWEBM: () => ['webm'],
  VHS_VideoCombine: ({ format }) => ofVideoHelper(format),
  SaveSVGNode: () => ['svg'],
  SaveAudio: () => ['flac'],
  SaveAudioMP3: () => ['mp3'],
  SaveAudioOpus: () => ['opus'],
  SaveAudioAdvanced: ({ format }) => chosen(format, ['flac', 'mp3', 'opus']),
  PreviewAudio: () => ['flac'],
  // Newer versions write the file that they are given.
  SaveGLB: () => ['glb'],
  SaveLatent: () => ['latent'],
  SaveText: ({ format }) => chosen(format, ['txt', 'md', 'csv', 'json']),
};

/** What a node's files are as a rule; empty where that is not known. */
export function formatsOf({ class_type, inputs }: GraphNode): readonly ResultFormat[] {
  return (Object.hasOwn(makers, class_type) && makers[class_type]?.(inputs)) || [];
}

/** Whether the pictures of a node are pictures to an encoder, or may be: a drawing has no pixels. */
export function mayHavePixels(node: GraphNode | undefined): boolean {
  const formats = node ? formatsOf(node) : [];
  return formats.length === 0 || formats.some(isMediaFormat);
}

function chosen(format: unknown, known: readonly ResultFormat[]): readonly ResultFormat[] | null {
  return known.filter((each) => each === format);
}

/** `image/gif`, `video/h264-mp4`, `video/16bit-png`: what stands behind the last dash is the file. */
function ofVideoHelper(format: unknown): readonly ResultFormat[] | null {
  if (typeof format !== 'string') return null;
  if (format === 'video/ProRes') return ['mov'];
  if (format === 'video/gifski') return ['gif'];
  const [last = ''] = format.split(/[/-]/).slice(-1);
  return chosen(last, ['gif', 'webp', 'mp4', 'webm', 'mkv', 'mov', 'png']);
}
