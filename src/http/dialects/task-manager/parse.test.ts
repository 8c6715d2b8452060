import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../../../core/errors.ts';
import type { TaskRequest } from '../../../core/task.ts';
import type { Workflow, WorkflowOutput } from '../../../core/workflow.ts';
import { parseTaskRequest, taskNameOf } from './parse.ts';
import { submitTask } from './schema.ts';

const url = 'https://example.com/in.jpg';
const target = 'https://s3.example.com/bucket/out.jpg?X-Signature=secret';
const settings = {
  taskNames: new Map([
    ['enlarge', 'x4'],
    ['film', 'clips'],
    ['lost', 'nothing'],
  ]),
  queueTimeoutMs: 30_000,
};
const kinds = new Map([
  ['x4', 'image'],
  ['clips', 'video'],
]);
const workflows = {
  find(name: string): Pick<Workflow, 'outputs'> | null {
    const kind = kinds.get(name);
    return kind ? { outputs: [{ kind } as WorkflowOutput] } : null;
  },
  entry: (name: string) => (kinds.has(name) ? {} : null),
};

function parse(body: Record<string, unknown>): TaskRequest {
  return parseTaskRequest(submitTask.parse({ task_name: 'enlarge', ...body }), settings, workflows);
}

describe('parseTaskRequest', () => {
  it('takes parameters by position and by name, as Python does', () => {
    for (const call of [
      { args: [url, target] },
      { args: [url], kwargs: { upload_url: target } },
      { kwargs: { upload_url: target, image_url: url } },
      { args: [url, null], kwargs: { upload_url: target, image_url: null } },
    ]) {
      const { url: source, delivery, inputs } = parse(call);
      assert.equal(source, url);
      assert.equal(delivery.putUrl, target);
      assert.deepEqual(inputs, {});
    }
    assert.throws(
      () => parse({ args: [url], kwargs: { image_url: url } }),
      (error) => error instanceof GatewayError && error.field === 'image_url',
    );
  });

  it('gives other names to the workflow, but for those that are null', () => {
    const { inputs } = parse({ args: [url], kwargs: { seed: 7, mask: null } });
    assert.deepEqual(inputs, { seed: 7 });
  });

  it('runs the workflow that the name stands for, within the queue timeout', () => {
    const { workflow, queueTimeoutMs, priority } = parse({ args: [url], priority: 0 });
    assert.deepEqual([workflow, queueTimeoutMs, priority], ['x4', 30_000, 0]);
    assert.equal('priority' in parse({ args: [url] }), false);
  });

  it('makes a picture what the name of its target promises', () => {
    const formatOf = (uploadUrl: string, task_name = 'enlarge') =>
      parse({ task_name, args: [url, uploadUrl] }).delivery.format;
    assert.equal(formatOf(target), 'jpg');
    assert.equal(formatOf('https://s3.example.com/a.webp'), 'webp');
    assert.equal(formatOf('https://s3.example.com/a.tiff'), null);
    assert.equal(formatOf('https://s3.example.com/a?x=.jpg'), null);
    assert.equal(formatOf(target, 'film'), null);
    assert.equal(parse({ args: [url] }).delivery.format, null);
  });

  it('keeps the request without what lets others write to the target', () => {
    assert.deepEqual(parse({ args: [url, target], sync: null, priority: 3 }).params, {
      task_name: 'enlarge',
      args: [url, 'https://s3.example.com/bucket/out.jpg'],
      priority: 3,
    });
    const named = parse({ args: [url], kwargs: { upload_url: target, a: 1 } });
    assert.doesNotMatch(JSON.stringify(named.params), /secret/);
    assert.deepEqual(named.params.args, [url]);
  });

  it('tells a name that there is not from one whose workflow is away', () => {
    const codeOf = (task_name: string): string => {
      try {
        parse({ task_name, args: [url] });
      } catch (error) {
        assert.ok(error instanceof GatewayError);
        return `${error.code} ${error.field}`;
      }
      return 'none';
    };
    assert.equal(codeOf('nope'), 'workflow_unknown task_name');
    assert.equal(codeOf('lost'), 'workflow_unavailable task_name');
    assert.equal(codeOf('constructor'), 'workflow_unknown task_name');
  });
});

describe('taskNameOf', () => {
  it('is null for tasks of other dialects', () => {
    const params = { task_name: 'enlarge' };
    assert.equal(taskNameOf({ dialect: 'task-manager', params }), 'enlarge');
    assert.equal(taskNameOf({ dialect: 'tmlsr', params }), null);
  });
});
