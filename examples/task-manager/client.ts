/** Upscales a picture that lies at an address, and waits for it in one request: client.ts URL RESULT */
import { writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const [source = '', result = ''] = process.argv.slice(2);
const base = process.env.BASE_URL ?? 'http://localhost:8000';
const headers = {
  authorization: `Bearer ${process.env.API_KEY ?? 'none'}`,
  'content-type': 'application/json',
};

// A presigned address as the second of the args takes the result; without it the gateway stores it.
let task = await call('POST', '/api/v1/tasks', {
  task_name: 'image_super_resolution_pipeline',
  args: [source],
  sync: true,
});
// A request is not held for ever; what it was answered then is how the task stood.
const deadline = Date.now() + 300_000;
while (['PENDING', 'RECEIVED', 'STARTED'].includes(task.state)) {
  if (Date.now() > deadline) throw new Error('It takes too long');
  await delay(1_000);
  task = await call('GET', `/api/v1/tasks/${task.task_id}`);
}
if (task.state !== 'SUCCESS') throw new Error(`${task.state}: ${task.error}`);

const stored = await fetch(task.result.output_url);
await writeFile(result, new Uint8Array(await stored.arrayBuffer()));
console.log(result, task.result.classification);
// What is stored of it is not needed any more.
console.log((await call('DELETE', `/api/v1/tasks/${task.task_id}`)).message);

// biome-ignore lint/suspicious/noExplicitAny: the shapes stand in the API reference.
async function call(method: string, path: string, body?: object): Promise<any> {
  const init = body ? { method, headers, body: JSON.stringify(body) } : { method, headers };
  const response = await fetch(base + path, init);
  const answer = await response.json();
  if (!response.ok) throw new Error(JSON.stringify(answer));
  return answer;
}
