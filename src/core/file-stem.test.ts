import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileStem } from './file-stem.ts';

describe('fileStem', () => {
  const cases = {
    'holiday.jpg': 'holiday',
    'my holiday (1).tar.gz': 'my_holiday_1_.tar',
    '我的照片.png': '我的照片',
    'C:\\fakepath\\a.png': 'a',
    '../../etc/passwd': 'passwd',
    '.hidden': 'result',
    '...': 'result',
    '': 'result',
    '?%#&.png': '_',
    'a\0b\ud800c.png': 'a_b_c',
    'no-ending': 'no-ending',
  };
  for (const [name, stem] of Object.entries(cases)) {
    it(`makes ${stem} of ${JSON.stringify(name)}`, () => assert.equal(fileStem(name), stem));
  }

  it('cuts a long name between two characters', () => {
    const stem = fileStem(`a${'𠮷'.repeat(200)}.png`);
    assert.equal([...stem].length, 80);
    assert.ok(stem.isWellFormed());
  });
});
