import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ShownStage, stageBar } from './stage-bars.ts';

const stage: ShownStage = {
  name: 'download',
  status: 'success',
  progress: 100,
  duration: 123.4,
  detail: 'Download complete, 0.04MB',
};

describe('the bar of a stage', () => {
  for (const columns of [120, 79, 59, 40, 30]) {
    it(`ends with a whole word within ${columns} columns`, () => {
      const line = stageBar(stage, columns);
      assert.ok(line.length <= columns, `${line.length}`);
      assert.match(line, /100% {2}123\.4 s( Download…| Download complete(…|, 0\.04MB))?$/u);
    });
  }

  it('says all of it in 79 columns', () => {
    assert.match(stageBar(stage, 79), /complete, 0\.04MB$/);
  });

  it('gets shorter before the words do', () => {
    assert.match(stageBar(stage, 59), /complete, 0\.04MB$/);
    assert.match(stageBar(stage, 44), /^download +100% {2}123\.4 s Download complete…$/);
  });
});
