/**
 * What clients of ComfyUI rely on, against the emulator, or, with COMFYUI_URL, against a real
 * server: `COMFYUI_URL=http://127.0.0.1:8188 node --test test/conformance/conformance.test.ts`.
 */
import { after, before, describe } from 'node:test';
import { testFiles } from './files.ts';
import { clip, picture, upload } from './fixtures.ts';
import { testPrompts } from './prompts.ts';
import { testQueue } from './queue.ts';
import { testRuns } from './runs.ts';
import { testServer } from './server.ts';
import { testSockets } from './sockets.ts';
import { openSubject, type Subject } from './subject.ts';

let current: Subject;
const subject = () => current;

before(async () => {
  current = await openSubject();
  const small = await picture(96, 96);
  const inputs = {
    'in96.png': small,
    'in800.png': await picture(160, 96),
    'corrupt.png': small.subarray(0, 20),
    'gw_example.png': await picture(64, 48),
    'gw_example.mp4': await clip(48, 32),
  };
  const fields = { overwrite: 'true' };
  for (const [name, content] of Object.entries(inputs)) {
    await upload(current.url, { name, content, fields });
  }
  await upload(current.url, {
    name: 'a.png',
    content: small,
    fields: { ...fields, subfolder: 's/t' },
  });
  await upload(current.url, {
    name: 'o.png',
    content: small,
    fields: { ...fields, type: 'output' },
  });
});

after(async () => {
  await current[Symbol.asyncDispose]();
});

describe('the server', () => testServer(subject));
describe('POST /prompt', () => testPrompts(subject));
describe('a run', () => testRuns(subject));
describe('the queue', () => testQueue(subject));
describe('a socket', () => testSockets(subject));
describe('files', () => testFiles(subject));
