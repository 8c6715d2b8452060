import assert from 'node:assert/strict';
import { type Answer, type Caller, describeDialect, formOf } from '../suites/dialect.suite.ts';

const phases = {
  pending: ['waiting'],
  processing: ['running'],
  completed: ['completed'],
  failed: ['failed'],
  canceled: ['canceled'],
} as const;

const post = (caller: Caller, json: unknown): Promise<Answer> =>
  caller.send('POST', '/tasks', { json });

describeDialect({
  name: 'tmlsr',
  prefix: '/tmlsr',
  submit: (caller, { url }) => post(caller, { url, type: 'image', model: 'realesrgan-x2plus' }),
  acceptedStatus: 200,
  idOf: ({ body }) => body.task_id,
  status: (caller, id) => caller.send('GET', `/tasks/${encodeURIComponent(id)}`),
  phasesOf: ({ body }) => phases[body.status as keyof typeof phases],
  cancel: (caller, id) => caller.send('DELETE', `/tasks/${id}`),
  async result(_, { body }) {
    return Buffer.from(await (await fetch(body.output.url)).arrayBuffer());
  },
  scale: 2,
  refused: {
    'a task without a source': { send: (caller) => post(caller, { type: 'image' }), says: 'url' },
    'an unknown type': {
      send: (caller, { url }) => post(caller, { url, type: 'sound' }),
      says: 'must be image, video',
    },
    'an unknown workflow': {
      send: (caller, { url }) => post(caller, { url, workflow: 'nothing' }),
      says: 'no workflow nothing',
    },
    'a body that is no JSON': {
      send: (caller) => caller.send('POST', '/tasks', { json: undefined }),
      says: /./,
    },
    'a form without a file': {
      send: (caller) => caller.send('POST', '/tasks', { form: formOf({ type: 'image' }) }),
      says: 'url',
    },
  },
  oddIds: ['0', 'f692edeb41cb4a3eaebd2db0044c0778', '%00', 'ä'.repeat(500)],
  errorOf({ body }) {
    assert.equal(body.status, 'error');
    assert.equal(typeof body.code, 'string');
    return body.message;
  },
});
