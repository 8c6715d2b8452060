/**
 * A copy as one writes it without a gateway, in a process of its own: source → disk → ComfyUI's
 * `/upload/image`, then `/view` → store. It streams, one hop after the other; it hashes nothing, probes
 * nothing, repeats nothing. Told what to do by its parent, it answers with the seconds that it took.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Dispatcher, request } from 'undici';
import { multipartFile } from '../../src/comfyui/multipart.ts';

export interface PlainCopy {
  readonly source: string;
  /** Where the file lies between the hops. */
  readonly spool: string;
  readonly emulator: string;
  readonly store:
    | { readonly kind: 'put'; readonly url: string; readonly headers: Record<string, string> }
    | { readonly kind: 'file'; readonly path: string };
}

/** How long each hop took, seconds. */
export interface CopyTimes {
  readonly download: number;
  readonly upload: number;
  readonly store: number;
}

const noDeadlines = { headersTimeout: 0, bodyTimeout: 0 };

process.once('message', async (copy: PlainCopy) => {
  process.send?.(await run(copy));
  process.disconnect();
});

async function run({ source, spool, emulator, store }: PlainCopy): Promise<CopyTimes> {
  const download = await seconds(async () => {
    const { body } = await good(request(source, noDeadlines));
    await pipeline(body, createWriteStream(spool));
  });
  const name = 'plain.mp4';
  const upload = await seconds(async () => {
    const form = multipartFile({
      field: 'image',
      fileName: name,
      contentType: 'video/mp4',
      size: (await stat(spool)).size,
      content: createReadStream(spool),
      fields: { type: 'input', subfolder: 'plain', overwrite: 'true' },
    });
    const sent = { ...noDeadlines, headers: form.headers, body: Readable.from(form.body) };
    await drained(request(`${emulator}/upload/image`, { ...sent, method: 'POST' }));
  });
  await rm(spool);
  const view = `${emulator}/view?type=input&subfolder=plain&filename=${name}`;
  const stored = await seconds(async () => {
    const { body, headers } = await good(request(view, noDeadlines));
    if (store.kind === 'file') {
      await pipeline(body, createWriteStream(store.path));
      // A copy that a loss of power would take away is none.
      await using file = await open(store.path);
      await file.sync();
      return;
    }
    const length = { 'content-length': String(headers['content-length']) };
    const put = { ...noDeadlines, method: 'PUT', body } as const;
    await drained(request(store.url, { ...put, headers: { ...store.headers, ...length } }));
  });
  return { download, upload, store: stored };
}

async function seconds(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return (performance.now() - startedAt) / 1_000;
}

async function good(asked: Promise<Dispatcher.ResponseData>): Promise<Dispatcher.ResponseData> {
  const answer = await asked;
  if (answer.statusCode === 200) return answer;
  throw new Error(`${answer.statusCode}: ${await answer.body.text()}`);
}

async function drained(asked: Promise<Dispatcher.ResponseData>): Promise<void> {
  await (await good(asked)).body.dump();
}
