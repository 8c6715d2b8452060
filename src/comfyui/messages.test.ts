import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { executionFailed, promptRejected } from './errors.ts';
import { parsePythonJson } from './json.ts';
import {
  history,
  nodeCatalogue,
  parseMessage,
  promptEnd,
  promptRefused,
  systemStats,
} from './messages.ts';

describe('parsePythonJson', () => {
  it('reads the numbers that JSON does not have as null', () => {
    assert.deepEqual(parsePythonJson('{"a": NaN, "b": [-Infinity, 1], "c": "NaN, \\"Infinity"}'), {
      a: null,
      b: [null, 1],
      c: 'NaN, "Infinity',
    });
  });

  it('steps over strings, whatever they contain', () => {
    for (const text of ['a"NaN', '\\', '\\" NaN "\\', '[[[{', 'x\\\\"Infinity']) {
      assert.deepEqual(parsePythonJson(JSON.stringify([text, { [text]: text }])), [
        text,
        { [text]: text },
      ]);
    }
  });

  const bad = [
    ['what is no JSON at all', '<html>'],
    ['half of a word', '[Na]'],
    ['a string without an end', `"${'\\"'.repeat(500_000)}`],
    ['a depth without an end', '['.repeat(500_000)],
    ['what is too deep', '['.repeat(101) + ']'.repeat(101)],
    ['too many values', `[${'{},'.repeat(4_000_000)}{}]`],
  ] as const;
  for (const [what, text] of bad) {
    it(`throws for ${what}`, () => assert.throws(() => parsePythonJson(text), SyntaxError));
  }
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
      made: {
        files: [
          { filename: 'a.mp4', subfolder: 's', type: 'output', node: '4' },
          { filename: 'b.mp4', subfolder: 's', type: 'temp', node: '5' },
        ],
        texts: [],
      },
      goesOn: false,
    });
  });

  it('collects the texts that nodes show, and the model that one looks at', () => {
    const camera = { position: { x: 1 } };
    const end = endOf({
      outputs: {
        '4': { text: ['one', ['two']] },
        '5': { text: [3, null] },
        '6': { result: ['3d/mesh_00001_.glb', camera] },
        '7': { result: [''] },
      },
      status: { status_str: 'success', completed: true, messages: [] },
    });
    assert.deepEqual(end, {
      kind: 'success',
      made: {
        files: [{ filename: 'mesh_00001_.glb', subfolder: '3d', type: 'output', node: '6' }],
        texts: [{ node: '4', text: 'one\ntwo' }],
      },
      goesOn: false,
    });
  });

  it('tells when another prompt goes on where it ended', () => {
    const status = { status_str: 'success', completed: true, messages: [] };
    const end = endOf({ outputs: { '4': { unfinished_batch: [true] } }, status });
    assert.deepEqual(end, { kind: 'success', made: { files: [], texts: [] }, goesOn: true });
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

describe('nodeCatalogue', () => {
  /** The input `a` of a class that describes it so. */
  const inputOf = (spec: unknown, section = 'required') =>
    nodeCatalogue({ X: { input: { [section]: { a: spec } } } }).get('X')?.inputs[0];
  const choicesOf = (spec: unknown) => inputOf(spec)?.choices;

  it('reads the inputs of both ways to describe a node, in the order of the editor', () => {
    const described = {
      input: {
        required: { '2': ['INT', { default: 1, min: 0, tooltip: 'long' }], image: ['IMAGE'] },
        optional: { mode: [['x', 'y'], { default: 'y' }] },
      },
      input_order: { required: ['image', '2'], optional: ['mode'] },
      output: ['IMAGE', ['x', 'y'], null],
      output_name: ['picture', 'mode', 'rest'],
      output_node: true,
      display_name: 'An X',
    };
    assert.deepEqual(nodeCatalogue({ X: described }).get('X'), {
      name: 'X',
      displayName: 'An X',
      inputs: [
        { name: 'image', type: 'IMAGE', isRequired: true, choices: null, settings: {} },
        {
          name: '2',
          type: 'INT',
          isRequired: true,
          choices: null,
          settings: { default: 1, min: 0 },
        },
        {
          name: 'mode',
          type: 'COMBO',
          isRequired: false,
          choices: ['x', 'y'],
          settings: { default: 'y' },
        },
      ],
      outputs: [
        { name: 'picture', type: 'IMAGE' },
        { name: 'mode', type: 'COMBO' },
        { name: 'rest', type: '*' },
      ],
      isOutput: true,
    });
  });

  it('reads the choices of both ways to describe them', () => {
    assert.deepEqual(choicesOf([['x', 'y'], { default: 'x' }]), ['x', 'y']);
    assert.deepEqual(choicesOf(['COMBO', { options: ['x', 2], multiselect: false }]), ['x', 2]);
    assert.deepEqual(choicesOf(['COMBO', { options: [] }]), []);
  });

  const unlisted: readonly [string, unknown][] = [
    ['another type', ['FLOAT', { min: 0 }]],
    ['files that are uploaded', [['a.png'], { image_upload: true }]],
    ['files that are uploaded, described newly', ['COMBO', { options: [], video_upload: true }]],
    ['options that the browser fetches', ['COMBO', { options: [], remote: { route: '/x' } }]],
    ['a list that is not told', ['COMBO', {}]],
    ['options that are no values', [['x', {}], {}]],
    ['options that bring inputs along', ['COMFY_DYNAMICCOMBO_V3', { options: [{ key: 'x' }] }]],
    ['nothing', null],
    ['no settings', ['COMBO']],
  ];
  for (const [what, spec] of unlisted) {
    it(`has no choices for ${what}`, () => assert.equal(choicesOf(spec), null));
  }

  it('takes what cannot be read for an input of any type', () => {
    assert.equal(inputOf(null)?.type, '*');
    assert.equal(inputOf([{}], 'optional')?.type, '*');
  });

  it('knows the loaders that list the input folder without saying so', () => {
    const described = { input: { required: { video: [['a.mp4']] } } };
    const catalogue = nodeCatalogue({ VHS_LoadVideo: described });
    assert.equal(catalogue.get('VHS_LoadVideo')?.inputs[0]?.choices, null);
  });

  it('keeps a class that is described strangely', () => {
    const strange = { A: null, B: {}, C: { input: [] }, D: { input: { required: 'x' } } };
    assert.deepEqual([...nodeCatalogue(strange).keys()], ['A', 'B', 'C', 'D']);
    assert.deepEqual([...nodeCatalogue('<html>')], []);
  });

  it('keeps one copy of what servers and nodes say alike', () => {
    const described = (lora: readonly string[]) => ({ input: { required: { lora: [lora] } } });
    const one = nodeCatalogue({ A: described(['a', 'b']), B: described(['a', 'b']) });
    const two = nodeCatalogue({ A: described(['a', 'b']), B: described(['a']) });
    assert.equal(one.get('A'), two.get('A'));
    assert.notEqual(one.get('B'), two.get('B'));
    assert.ok(one.get('A')?.inputs[0]?.choices);
    assert.equal(one.get('A')?.inputs[0]?.choices, one.get('B')?.inputs[0]?.choices);
  });
});

describe('systemStats', () => {
  it('reads what it can of a server’s devices', () => {
    const cuda = { name: 'cuda:0 NVIDIA', type: 'cuda', vram_total: 8e9, vram_free: null };
    assert.deepEqual(systemStats.parse({ system: { os: 'posix' }, devices: [cuda] }).devices, [
      { name: 'cuda:0 NVIDIA', vram_total: 8e9, vram_free: 0 },
    ]);
    assert.deepEqual(systemStats.parse({ system: {} }).devices, []);
  });
});

describe('what clients are told of a backend’s errors', () => {
  const prompt = {
    '2': { class_type: 'LoadImage', inputs: {}, _meta: { title: 'my picture' } },
  };

  it('names the node and the reason, but no path of the server', () => {
    const error = executionFailed(
      {
        node_id: '2',
        node_type: 'LoadImage',
        exception_type: 'OSError',
        exception_message: "cannot open '/srv/comfy/input/a.png': bad\nTraceback …",
      },
      prompt,
    );
    assert.equal(error.code, 'execution_failed');
    assert.equal(error.message, "my picture failed: cannot open '…': bad");
  });

  it('names the class of a node whose title is not known', () => {
    const [adopted, expanded] = [null, prompt].map((known) =>
      executionFailed({ node_id: '2.0.1', node_type: 'KSampler', exception_message: 'x' }, known),
    );
    assert.equal(adopted?.message, 'KSampler failed: x');
    assert.equal(expanded?.message, 'KSampler failed: x');
  });

  const said: readonly [string, string][] = [
    ["[Errno 2] No such file: 'C:\\Users\\J S\\x.pth'; gone", "[Errno 2] No such file: '…'; gone"],
    ['File D:/Comfy/models/x.pth not found', 'File … not found'],
    ['bad file (/srv/comfy/x.pth), see log', 'bad file (…), see log'],
    ['expected 3/4 of tmlsr/a/input.png, got N/A', 'expected 3/4 of tmlsr/a/input.png, got N/A'],
    [
      'Traceback (most recent call last):\n  File "/srv/x.py", line 1\nValueError: too small\n',
      'ValueError: too small',
    ],
    [
      'Error(s) in loading state_dict for RRDBNet:\n\tsize mismatch for /srv/models/x.pth\n',
      'Error(s) in loading state_dict for RRDBNet: size mismatch for …',
    ],
    [
      'Sampling failed\nTraceback (most recent call last):\n  File "/srv/x.py", line 1\n    f()\nKeyError: 3',
      'Sampling failed KeyError: 3',
    ],
    ['\n', 'ValueError'],
    ['404 at https://x.example/a?sig=a:secret', '404 at https:…'],
  ];
  for (const [exception_message, message] of said) {
    it(`makes ${JSON.stringify(message)} of ${JSON.stringify(exception_message)}`, () => {
      const error = executionFailed({ exception_type: 'ValueError', exception_message }, null);
      assert.equal(error.message, `A node failed: ${message}`);
    });
  }

  it('knows when what the workflow names is not on the server', () => {
    const loader = { class_type: 'LoadModel', inputs: { model_name: 'x4.pth', device: 'cuda:1' } };
    const codeOf = (exception_message: string, known: typeof prompt | null = null) =>
      executionFailed(
        { node_id: '7', node_type: 'LoadModel', exception_message },
        known ?? { ...prompt, '7': loader },
      ).code;
    for (const message of [
      "Model in folder 'upscale_models' with filename 'x4.pth' not found.",
      "device 'cuda:1' is not available",
      '"x4.pth" does not exist',
    ]) {
      assert.equal(codeOf(message), 'workflow_unsupported', message);
      assert.equal(codeOf(message, prompt), 'execution_failed', message);
    }
    for (const message of ["'x4.pth' is damaged", "'input.png' not found", 'x4.pth not found']) {
      assert.equal(codeOf(message), 'execution_failed', message);
    }
  });

  it('knows when memory ran out, and what may help', () => {
    const torch = executionFailed({ exception_type: 'torch.OutOfMemoryError' }, null);
    const python = executionFailed(
      { exception_type: 'MemoryError', exception_message: '\n' },
      null,
    );
    const device = executionFailed(
      { exception_message: 'Allocation on device 0 would exceed allowed memory. (out of memory)' },
      null,
    );
    for (const { code } of [torch, python, device]) assert.equal(code, 'out_of_memory');
    assert.match(torch.message, /ran out of GPU memory; a smaller input or output may fit/);
    assert.match(python.message, /ran out of memory; a smaller/);
  });

  it('names each node of a refused prompt by its title, and the input', () => {
    const refused = promptRefused.parse({
      error: { type: 'prompt_outputs_failed_validation', message: 'failed' },
      node_errors: {
        '2': {
          errors: [
            { type: 'value_not_in_list', message: 'Value not in list', details: '[…]' },
            {
              type: 'required_input_missing',
              message: 'Required input is missing',
              details: 'bit_depth',
              extra_info: { input_name: 'format.bit_depth' },
            },
          ],
        },
      },
    });
    const mine = { '2': { class_type: 'X', inputs: {}, _meta: { title: 'my model' } } };
    const error = promptRejected(mine, refused);
    assert.equal(error.code, 'workflow_unsupported');
    assert.equal(
      error.message,
      'ComfyUI refused the workflow: my model: Value not in list (value_not_in_list); ' +
        'my model, format.bit_depth: Required input is missing (required_input_missing)',
    );
  });

  it('tells what another server may have from what is wrong everywhere', () => {
    const codeOf = (type: string, message: string) =>
      promptRejected({}, promptRefused.parse({ error: { type, message }, node_errors: [] })).code;
    assert.equal(
      codeOf('invalid_prompt', 'Cannot execute because node X does not exist.'),
      'workflow_unsupported',
    );
    assert.equal(codeOf('missing_node_type', "Node 'X' not found."), 'workflow_unsupported');
    assert.equal(
      codeOf('invalid_prompt', 'Cannot execute because a node is missing the class_type property.'),
      'prompt_rejected',
    );
    assert.equal(codeOf('prompt_no_outputs', 'Prompt has no outputs'), 'prompt_rejected');
  });
});
