import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { executionFailed, promptRejected } from './errors.ts';
import { parsePythonJson } from './json.ts';
import { history, parseMessage, promptEnd, promptRefused } from './messages.ts';

describe('parsePythonJson', () => {
  it('reads the numbers that JSON does not have as null', () => {
    assert.deepEqual(parsePythonJson('{"a": NaN, "b": [-Infinity, 1], "c": "NaN, \\"Infinity"}'), {
      a: null,
      b: [null, 1],
      c: 'NaN, "Infinity',
    });
  });

  it('throws for what is no JSON at all', () => {
    assert.throws(() => parsePythonJson('<html>'), SyntaxError);
  });
});

describe('parseMessage', () => {
  it('reads the messages that a prompt sends', () => {
    const text = '{"type":"executing","data":{"node":null,"prompt_id":"p","display_node":"1"}}';
    assert.deepEqual(parseMessage(text), {
      type: 'executing',
      data: { node: null, prompt_id: 'p' },
    });
  });

  it('passes over what it does not know', () => {
    assert.equal(parseMessage('{"type":"crystools.monitor","data":{}}'), null);
    assert.equal(parseMessage('{"type":"progress","data":{"value":"a"}}'), null);
    assert.equal(parseMessage('not json'), null);
  });
});

describe('promptEnd', () => {
  const endOf = (entry: unknown) => {
    const parsed = history.parse({ p: entry }).p;
    assert.ok(parsed);
    return promptEnd(parsed);
  };

  it('collects files whatever the node calls its list', () => {
    const end = endOf({
      outputs: {
        '4': { images: [{ filename: 'a.mp4', subfolder: 's', type: 'output' }], animated: [true] },
        '5': { gifs: [{ filename: 'b.mp4', subfolder: 's', type: 'temp', fullpath: '/x/b.mp4' }] },
      },
      status: { status_str: 'success', completed: true, messages: [] },
    });
    assert.deepEqual(end, {
      kind: 'success',
      files: [
        { filename: 'a.mp4', subfolder: 's', type: 'output' },
        { filename: 'b.mp4', subfolder: 's', type: 'temp' },
      ],
    });
  });

  it('believes an error message more than the status beside it', () => {
    const messages = [['execution_error', { node_type: 'X', exception_message: 'bad' }]];
    const end = endOf({ status: { status_str: 'success', completed: true, messages } });
    assert.equal(end.kind, 'error');
  });

  it('tells an interrupted prompt from a failed one', () => {
    const messages = [['execution_interrupted', {}]];
    assert.deepEqual(endOf({ status: { status_str: 'error', completed: false, messages } }), {
      kind: 'interrupted',
    });
  });
});

describe('what clients are told of a backend’s errors', () => {
  it('names the node and the reason, but no path of the server', () => {
    const error = executionFailed({
      node_type: 'LoadImage',
      exception_type: 'OSError',
      exception_message: "cannot open '/srv/comfy/input/a.png': bad\nTraceback …",
    });
    assert.equal(error.code, 'execution_failed');
    assert.match(error.message, /^LoadImage failed: cannot open/);
    assert.doesNotMatch(error.message, /srv|Traceback/);
  });

  it('knows when memory ran out', () => {
    const torch = executionFailed({ exception_type: 'torch.OutOfMemoryError' });
    const python = executionFailed({ exception_type: 'MemoryError', exception_message: '\n' });
    assert.deepEqual([torch.code, python.code], ['out_of_memory', 'out_of_memory']);
  });

  it('names each node of a refused prompt by its title', () => {
    const refused = promptRefused.parse({
      error: { type: 'prompt_outputs_failed_validation', message: 'failed' },
      node_errors: {
        '2': {
          errors: [{ type: 'value_not_in_list', message: 'Value not in list', details: '[…]' }],
        },
      },
    });
    const prompt = { '2': { class_type: 'X', inputs: {}, _meta: { title: 'my model' } } };
    assert.equal(
      promptRejected(prompt, refused).message,
      'ComfyUI refused the workflow: my model: Value not in list (value_not_in_list)',
    );
  });
});
