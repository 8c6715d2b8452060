/** Upscales a picture: client.ts FILE RESULT */
import { openAsBlob } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const [file = '', result = ''] = process.argv.slice(2);
const base = process.env.BASE_URL ?? 'http://localhost:6008';
const headers = { authorization: `Bearer ${process.env.API_KEY ?? 'none'}` };

const form = new FormData();
form.set('type', 'image');
form.set('model', 'realesrgan-x2plus');
form.set('file', await openAsBlob(file), basename(file));
const created = await call('/tasks', { method: 'POST', body: form });

const deadline = Date.now() + 300_000;
let task = await call(`/tasks/${created.task_id}`);
while (!['completed', 'failed', 'canceled'].includes(task.status)) {
  if (Date.now() > deadline) throw new Error('It takes too long');
  await delay(1_000);
  task = await call(`/tasks/${created.task_id}`);
}
if (task.status !== 'completed') throw new Error(task.error);

const stored = await fetch(task.output.url);
await writeFile(result, new Uint8Array(await stored.arrayBuffer()));
console.log(result, task.output.metadata);

// biome-ignore lint/suspicious/noExplicitAny: the shapes stand in the API reference.
async function call(path: string, init: RequestInit = {}): Promise<any> {
  const response = await fetch(base + path, { ...init, headers });
  const body = await response.json();
  if (!response.ok) throw new Error(JSON.stringify(body));
  return body;
}
