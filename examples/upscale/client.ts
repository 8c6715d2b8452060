/** Makes a picture four times as large: client.ts FILE RESULT */
import { createWriteStream, openAsBlob } from 'node:fs';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';

const [file = '', result = ''] = process.argv.slice(2);
const base = process.env.BASE_URL ?? 'http://localhost:8089';
const headers = { authorization: `Bearer ${process.env.API_KEY ?? 'none'}` };

const form = new FormData();
form.set('scale', '4');
form.set('format', 'png');
form.set('image', await openAsBlob(file), basename(file));
const submitted = await call('/api/v1/upscale', { method: 'POST', body: form });

const deadline = Date.now() + 300_000;
let job = await call(submitted.status_url);
while (job.status === 'processing') {
  if (Date.now() > deadline) throw new Error('It takes too long');
  await delay(1_000);
  job = await call(submitted.status_url);
}
if (job.status === 'failed') throw new Error(job.error);

// It is deleted there once all of it is here; a download that breaks off may be repeated.
const download = await fetch(base + job.download_url, { headers });
if (!download.ok || !download.body) throw new Error(await download.text());
await pipeline(Readable.fromWeb(download.body), createWriteStream(result));
console.log(result, job.output_size);

// biome-ignore lint/suspicious/noExplicitAny: the shapes stand in the API reference.
async function call(path: string, init: RequestInit = {}): Promise<any> {
  const response = await fetch(base + path, { ...init, headers });
  const body = await response.json();
  if (!response.ok) throw new Error(JSON.stringify(body));
  return body;
}
