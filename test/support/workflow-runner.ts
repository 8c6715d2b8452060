import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseBackendAddress } from '../../src/comfyui/address.ts';
import { ComfyClient } from '../../src/comfyui/client.ts';
import type { OutputFile } from '../../src/comfyui/messages.ts';
import { bind } from '../../src/core/bind.ts';
import {
  contentTypeOf,
  type PictureInfo,
  type PictureKind,
  pictureOf,
} from '../../src/core/media.ts';
import type { NodeCatalogue } from '../../src/core/node-catalogue.ts';
import { isSameSize, pictureSize, type Size } from '../../src/core/picture-size.ts';
import { planSize, type SizeRequest, sizeAsTheWorkflowGives } from '../../src/core/size-plan.ts';
import type { Workflow } from '../../src/core/workflow.ts';
import { MediaProbe } from '../../src/media/probe.ts';
import { parseWorkflow } from '../../src/workflows/parse.ts';
import { sampleMp4, samplePng } from './media-samples.ts';

/** Of one run; the largest pictures take a processor a while. */
const deadlineMs = 5 * 60_000;
const shippedFolder = new URL('../../workflows/', import.meta.url);
/** Four to three, so that no way of rounding matters; the frame rate is a fraction, as of films. */
const clip = { width: 64, height: 48, frames: 6, fps: 30_000 / 1_001, audio: true };

interface Sample {
  readonly path: string;
  readonly bytes: number;
  readonly info: PictureInfo;
}

/** Runs workflows on one server, spoken to directly, and looks at what comes out. */
export class WorkflowRunner implements AsyncDisposable {
  readonly catalogue: NodeCatalogue;
  readonly #client: ComfyClient;
  readonly #probe = new MediaProbe();
  readonly #samples: Readonly<Record<PictureKind, Sample>>;
  readonly #folder: string;

  private constructor(
    client: ComfyClient,
    catalogue: NodeCatalogue,
    samples: Readonly<Record<PictureKind, Sample>>,
    folder: string,
  ) {
    this.#client = client;
    this.catalogue = catalogue;
    this.#samples = samples;
    this.#folder = folder;
  }

  static async open(server: string): Promise<WorkflowRunner> {
    const client = new ComfyClient(parseBackendAddress(server));
    const catalogue = await client.nodeCatalogue(AbortSignal.timeout(60_000));
    const folder = await mkdtemp(join(tmpdir(), 'tmlsr-runner-'));
    const samples = {
      image: await sample(join(folder, 'input.png'), await samplePng(clip)),
      video: await sample(join(folder, 'input.mp4'), await sampleMp4(clip)),
    };
    return new WorkflowRunner(client, catalogue, samples, folder);
  }

  /** What came out, in words. @throws Error that says what is wrong with it. */
  async run(workflow: Workflow, request: SizeRequest): Promise<string> {
    const source = this.#sourceOf(workflow);
    const signal = AbortSignal.timeout(deadlineMs);
    const { id, folder } = await this.#submit(workflow, request, signal);
    const files = await this.#ended(id, signal);
    const [output] = workflow.outputs;
    const written = files.filter(
      ({ node, subfolder }) => node === output?.node && subfolder === folder,
    );
    // VideoHelperSuite tells the file with the sound, and that alone.
    const [file, second] = written;
    if (!file || second) throw new Error(`it wrote ${written.length} files, not one`);
    const info = await this.#probeOutput(file, signal);
    await this.#client.forget(id, signal);
    const expected = request.dims ?? promisedSize(workflow, source.info);
    if (expected && !isSameSize(expected, info)) {
      throw new Error(`it is ${inWords(info)}, not ${expected.width}x${expected.height}`);
    }
    checkVideo(source.info, info);
    return inWords(info);
  }

  /** Has the prompt validated, and takes it back. */
  async accept(workflow: Workflow): Promise<string> {
    const signal = AbortSignal.timeout(deadlineMs);
    const { id } = await this.#submit(workflow, sizeAsTheWorkflowGives, signal);
    await this.#client.withdraw(id, signal);
    await this.#client.interrupt(id, signal);
    while (!(await this.#isGone(id, signal))) await delay(100, undefined, { signal });
    return 'accepted';
  }

  async #submit(
    workflow: Workflow,
    request: SizeRequest,
    signal: AbortSignal,
  ): Promise<{ id: string; folder: string }> {
    const { path, bytes: size, info } = this.#sourceOf(workflow);
    const id = randomUUID();
    const folder = `runner/${id}`;
    const name = `input.${info.format}`;
    const contentType = contentTypeOf(info.format);
    const file = { path, size, contentType, name, subfolder: folder };
    const uploaded = await this.#client.upload(file, signal);
    const [input] = workflow.inputs;
    const prompt = bind(workflow, {
      files: input ? { [input.name]: uploaded } : {},
      folder,
      arguments: {},
      size: planSize(info, workflow, request),
    });
    const outputs = workflow.outputs.map(({ node }) => node);
    await this.#client.submit({ id, prompt, outputs, clientId: 'runner' }, signal);
    return { id, folder };
  }

  #sourceOf({ inputs: [input] }: Workflow): Sample {
    return this.#samples[input?.kind === 'video' ? 'video' : 'image'];
  }

  async #ended(id: string, signal: AbortSignal): Promise<readonly OutputFile[]> {
    for (;;) {
      const end = await this.#client.promptEnd(id, signal);
      if (end?.kind === 'success') return end.made.files;
      if (end) throw new Error(`it ended otherwise: ${JSON.stringify(end)}`);
      await delay(100, undefined, { signal });
    }
  }

  async #isGone(id: string, signal: AbortSignal): Promise<boolean> {
    const { running, pending } = await this.#client.queue(signal);
    return !running.has(id) && !pending.has(id);
  }

  async #probeOutput(file: OutputFile, signal: AbortSignal): Promise<PictureInfo> {
    const size = await this.#client.fileSize(file, signal);
    if (!size) throw new Error('its file cannot be fetched');
    const read = async (start: number, endExclusive: number) => {
      const range = { start, end: endExclusive - 1 };
      const stream = await this.#client.openOutput(file, range, signal);
      return Buffer.concat(await stream.toArray());
    };
    const info = pictureOf(await this.#probe.probe({ size, read }, signal));
    if (!info) throw new Error('it is a sound');
    return info;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true });
  }
}

async function sample(path: string, content: Buffer): Promise<Sample> {
  await writeFile(path, content);
  const info = pictureOf(await new MediaProbe().probe(path, AbortSignal.timeout(deadlineMs)));
  if (!info) throw new Error('The sample is a sound');
  return { path, bytes: content.length, info };
}

/** What the gateway tells its clients beforehand, where it knows. */
function promisedSize({ graph, inputs, outputs, scale }: Workflow, source: Size): Size | null {
  const { width, height } = source;
  if (scale !== null) return { width: width * scale, height: height * scale };
  const [input] = inputs;
  const pictures = outputs[0]?.pictures;
  return input && pictures
    ? pictureSize(graph, pictures, { node: input.slot.node, width, height })
    : null;
}

/** Sound, frame rate and frames are those of the source. */
function checkVideo(source: PictureInfo, result: PictureInfo): void {
  if (source.kind !== result.kind) throw new Error(`it is ${inWords(result)}`);
  if (source.kind !== 'video' || result.kind !== 'video') return;
  if (!result.hasAudio) throw new Error('it lost the sound');
  if (result.frames !== source.frames) {
    throw new Error(`it has ${result.frames} frames of ${source.frames}`);
  }
  if (Math.abs((result.fps ?? 0) - (source.fps ?? 0)) > 0.01) {
    throw new Error(`it has ${result.fps} frames a second, not ${source.fps}`);
  }
}

function inWords(info: PictureInfo): string {
  const size = `${info.format} ${info.width}x${info.height}`;
  if (info.kind === 'image') return size;
  const sound = info.hasAudio ? 'with sound' : 'without sound';
  return `${size} ${info.codec}, ${info.frames} frames at ${info.fps?.toFixed(3)}, ${sound}`;
}

/** The workflows that come with the gateway. */
export async function shippedNames(): Promise<string[]> {
  const files = await readdir(shippedFolder);
  return files
    .filter((file) => file.endsWith('.json') && !file.endsWith('.meta.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .toSorted();
}

export async function shippedWorkflow(name: string, catalogue: NodeCatalogue): Promise<Workflow> {
  const text = await readFile(new URL(`${name}.json`, shippedFolder), 'utf8');
  const meta = await readFile(new URL(`${name}.meta.json`, shippedFolder), 'utf8');
  return parseWorkflow({ name, text, meta }, catalogue);
}
