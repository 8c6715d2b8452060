import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { OutputFile, ShownText } from '../../comfyui/messages.ts';
import type { WorkflowOutput } from '../../core/workflow.ts';
import { resultFiles } from './result-files.ts';

const folder = 'tmlsr/a';

function output(name: string, node: string, prefixField: string | null = 'x'): WorkflowOutput {
  return { name, kind: 'image', node, prefixField, pictures: null };
}

function file(node: string, filename: string, change: Partial<OutputFile> = {}): OutputFile {
  return { node, filename, subfolder: folder, type: 'output', ...change };
}

function found(
  outputs: readonly WorkflowOutput[],
  files: readonly OutputFile[],
  texts: readonly ShownText[] = [],
): string[] {
  return resultFiles({ outputs }, { files, texts }, folder, 2).map(
    ({ output: { name }, index, file, text }) =>
      `${name} ${index} ${file?.filename ?? null}${text === null ? '' : ` ${text}`}`,
  );
}

describe('resultFiles', () => {
  it('takes the files of the nodes that count, in the order of the outputs', () => {
    const files = [file('1', 'a.png'), file('2', 'b.png'), file('9', 'preview.png')];
    const outputs = [output('main', '2'), output('other', '1')];
    assert.deepEqual(found(outputs, files), ['main 0 b.png', 'other 0 a.png']);
  });

  it('takes all files of a batch', () => {
    const files = [file('1', 'a.png'), file('1', 'b.png')];
    assert.deepEqual(found([output('main', '1')], files), ['main 0 a.png', 'main 1 b.png']);
  });

  it('takes temporary files, and none that an earlier run left in the cache', () => {
    const temporary = file('1', 'a.mp4', { type: 'temp' });
    assert.deepEqual(found([output('main', '1')], [temporary]), ['main 0 a.mp4']);
    const cached = file('1', 'a.mp4', { subfolder: 'tmlsr/b' });
    assert.throws(() => found([output('main', '1')], [cached]), /without writing a result$/);
  });

  it('takes the files of a node that chooses their place by itself', () => {
    const elsewhere = file('1', 'a.png', { subfolder: '', type: 'temp' });
    assert.deepEqual(found([output('main', '1', null)], [elsewhere]), ['main 0 a.png']);
  });

  it('takes no name that leads somewhere else', () => {
    for (const name of ['', '.', '..', '../a.png', 'b\\a.png', 'a/b.png', 'a\0.png']) {
      assert.throws(() => found([output('main', '1', null)], [file('1', name)]), /without/, name);
    }
  });

  it('takes no more files than one task may have', () => {
    const files = ['a.png', 'b.png', 'c.png'].map((name) => file('1', name));
    assert.throws(() => found([output('main', '1')], files), {
      code: 'outputs_too_many',
      message: 'The result is 3 files; this gateway takes 2 of one task',
    });
  });

  it('takes what a node shows for an output that is a text, and does without it beside others', () => {
    const text: WorkflowOutput = { ...output('text', '2', null), kind: 'text' };
    const shown = [
      { node: '2', text: 'shown' },
      { node: '1', text: 'of a picture' },
    ];
    assert.deepEqual(found([text], [], shown), ['text 0 null shown']);
    assert.deepEqual(found([text], [file('2', 'a.txt')], shown), ['text 0 a.txt shown']);
    assert.deepEqual(found([output('main', '1'), text], [file('1', 'a.png')]), ['main 0 a.png']);
    assert.throws(() => found([text], []), /without writing a result$/);
  });

  it('says which of several results is missing', () => {
    const outputs = [output('main', '1'), output('mask', '2')];
    assert.throws(() => found(outputs, [file('1', 'a.png')]), /for mask$/);
  });
});
