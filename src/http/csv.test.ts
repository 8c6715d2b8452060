import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toCsv } from './csv.ts';

describe('toCsv', () => {
  it('ends every line, the last one too, and leaves nothing where there is nothing', () => {
    const rows = [
      ['plain', 1.5],
      [null, -2],
    ];
    assert.equal(toCsv(['name', 'count'], rows), 'name,count\r\nplain,1.5\r\n,-2\r\n');
  });

  for (const [name, written] of [
    ['a,b', '"a,b"'],
    ['say "a"', '"say ""a"""'],
    ['two\r\nlines', '"two\r\nlines"'],
    ['=1+1', "'=1+1"],
    ['+1', "'+1"],
    ['-1', "'-1"],
    ['@a', "'@a"],
    ['\t=1', "'\t=1"],
    ['\r=1', '"\'\r=1"'],
    ['=a,"b"', '"\'=a,""b"""'],
    ['a=1', 'a=1'],
  ] as const) {
    it(`writes ${JSON.stringify(name)} as ${JSON.stringify(written)}`, () => {
      assert.equal(toCsv([], [[name]]), `\r\n${written}\r\n`);
    });
  }
});
