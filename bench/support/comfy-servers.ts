import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import sharp from 'sharp';
import { request } from 'undici';
import { parseBackendAddress } from '../../src/comfyui/address.ts';
import { ComfyClient, type NewPrompt } from '../../src/comfyui/client.ts';
import type { OutputFile } from '../../src/comfyui/messages.ts';
import type { Prompt } from '../../src/core/bind.ts';
import type { EmulatedRun } from '../../test/support/emulator-process.ts';
import { samplePng } from '../../test/support/media-samples.ts';

const signal = AbortSignal.timeout(30 * 60_000);
const outputSide = 290;

/** Reads a picture, holds the GPU, and writes a smaller picture. */
export function benchGraph(seconds: number): Record<string, unknown> {
  const size = { upscale_method: 'area', width: outputSide, height: outputSide, crop: 'disabled' };
  return {
    '1': { class_type: 'LoadImage', inputs: { image: 'input.png' } },
    '2': { class_type: 'EmulatorSleep', inputs: { image: ['1', 0], seconds } },
    '3': { class_type: 'ImageScale', inputs: { image: ['2', 0], ...size } },
    '4': { class_type: 'SaveImage', inputs: { images: ['3', 0], filename_prefix: 'out' } },
  };
}

/** 1.1 MB as PNG; what the graph makes of it has 0.23 MB. */
export async function benchPicture(): Promise<Buffer> {
  return await samplePng({ width: 640, height: 640, seed: 1 });
}

/** ComfyUI servers that run somewhere, spoken to directly. */
export class ComfyServers implements AsyncDisposable {
  readonly urls: readonly string[];
  readonly #clients: readonly ComfyClient[];
  readonly #picture: Buffer;
  readonly #folder: string;

  private constructor(urls: readonly string[], picture: Buffer, folder: string) {
    this.urls = urls;
    this.#clients = urls.map((url) => new ComfyClient(parseBackendAddress(url)));
    this.#picture = picture;
    this.#folder = folder;
  }

  /** @throws Error that says what a server lacks. */
  static async open(urls: readonly string[]): Promise<ComfyServers> {
    const folder = await mkdtemp(join(tmpdir(), 'tmlsr-bench-'));
    const picture = await benchPicture();
    await writeFile(join(folder, 'a.png'), picture);
    const servers = new ComfyServers(urls, picture, folder);
    for (const [i, client] of servers.#clients.entries()) {
      const nodes = await client.nodeCatalogue(signal);
      if (!nodes.has('EmulatorSleep')) {
        throw new Error(
          `${urls[i]} has no node EmulatorSleep (image, seconds), as the emulator has`,
        );
      }
    }
    await servers.runs();
    return servers;
  }

  /** Every prompt that ran, by its id. @throws Error where a server does not tell. */
  async runs(): Promise<Map<string, EmulatedRun & { readonly server: number }>> {
    const all = await Promise.all(
      this.urls.map(async (url, server) => {
        const { statusCode, body } = await request(`${url}/emulator/runs`);
        if (statusCode !== 200) {
          throw new Error(`${url} does not tell what ran (/emulator/runs), as the emulator does`);
        }
        return ((await body.json()) as EmulatedRun[]).map((run) => ({ ...run, server }));
      }),
    );
    return new Map(all.flat().map((run) => [run.promptId, run]));
  }

  /**
   * Feeds the servers the ComfyUI way: all inputs are there, all prompts are queued, half of them at
   * each. Returns the prompts' ids and when the first was posted.
   */
  async runQueued(count: number, seconds: number): Promise<{ ids: string[]; startedAt: number }> {
    const prepared: { client: ComfyClient; id: string; prompt: Prompt }[] = [];
    for (let i = 0; i < count; i += 1) {
      const client = this.#clients[i % this.#clients.length] as ComfyClient;
      prepared.push({ client, ...(await this.#prepare(client, seconds)) });
    }
    const startedAt = Date.now();
    await Promise.all(
      prepared.map(({ client, id, prompt }) => client.submit(posted(id, prompt), signal)),
    );
    for (const { client, id } of prepared) await ended(client, id);
    return { ids: prepared.map(({ id }) => id), startedAt };
  }

  /** What the graph makes of the picture, as pixels. */
  async expectedPixels(): Promise<Buffer> {
    const [client] = this.#clients as [ComfyClient];
    const { id, prompt } = await this.#prepare(client, 0);
    await client.submit(posted(id, prompt), signal);
    const stream = await client.openOutput(await ended(client, id), null, signal);
    return await pixelsOf(Buffer.concat(await stream.toArray()));
  }

  /** How many times longer than asked for a server takes. */
  async slowdownOf(server: number): Promise<number> {
    const client = this.#clients[server] as ComfyClient;
    const { id, prompt } = await this.#prepare(client, 0.5);
    await client.submit(posted(id, prompt), signal);
    await ended(client, id);
    const run = (await this.runs()).get(id);
    return run?.endedAt ? (run.endedAt - run.startedAt) / 500 : Number.NaN;
  }

  async #prepare(client: ComfyClient, seconds: number): Promise<{ id: string; prompt: Prompt }> {
    const id = randomUUID();
    const path = join(this.#folder, 'a.png');
    const file = { path, size: this.#picture.length, contentType: 'image/png', name: 'input.png' };
    const name = await client.upload({ ...file, subfolder: `bench/${id}` }, signal);
    const prompt = benchGraph(seconds) as Prompt;
    Object.assign(prompt['1']?.inputs ?? {}, { image: name });
    Object.assign(prompt['4']?.inputs ?? {}, { filename_prefix: `bench/${id}/out` });
    return { id, prompt };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) await client[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true });
  }
}

export async function pixelsOf(picture: Buffer): Promise<Buffer> {
  return await sharp(picture).removeAlpha().raw().toBuffer();
}

function posted(id: string, prompt: Prompt): NewPrompt {
  return { id, prompt, outputs: [], clientId: 'bench' };
}

/** Seldom enough to cost the server nothing. */
async function ended(client: ComfyClient, id: string): Promise<OutputFile> {
  for (;;) {
    const end = await client.promptEnd(id, signal);
    if (end?.kind === 'success' && end.made.files[0]) return end.made.files[0];
    if (end) throw new Error(`A prompt ended otherwise than it should: ${JSON.stringify(end)}`);
    await delay(50);
  }
}
