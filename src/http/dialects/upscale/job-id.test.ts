import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { jobIdOf, newTaskId, taskIdOf } from './job-id.ts';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const least = 10n ** 18n;
const most = 2n ** 63n - 1n;

describe('job ids', () => {
  it('are drawn at random, and are UUIDs of version 8 inside', () => {
    const ids = Array.from({ length: 1_000 }, newTaskId);
    assert.equal(new Set(ids).size, ids.length);
    for (const id of ids) {
      assert.match(id, uuid);
      const number = BigInt(jobIdOf(id));
      assert.ok(number >= least && number <= most, String(number));
      assert.equal(taskIdOf(jobIdOf(id)), id);
    }
    assert.equal(new Set(ids.map((id) => jobIdOf(id)[0])).size, 9);
  });

  it('follow from the UUID, and the UUID from them', () => {
    assert.equal(taskIdOf('1769781953720134401'), '188f874f-6962-8ab0-8100-000000000000');
    assert.equal(jobIdOf('188f874f-6962-8ab0-8100-000000000000'), '1769781953720134401');
    fc.assert(
      fc.property(fc.bigInt(least, most), (number) => {
        const id = taskIdOf(String(number));
        assert.match(id ?? '', uuid);
        assert.equal(jobIdOf(id ?? ''), String(number));
      }),
    );
  });

  it('are 19 digits that fit a signed integer of 64 bits', () => {
    assert.notEqual(taskIdOf(String(most)), null);
    assert.notEqual(taskIdOf(String(least)), null);
    const others = [
      String(most + 1n),
      String(least - 1n),
      `0${least}`,
      `-${least}`,
      ` ${least}`,
      `${least}\n`,
      '1e18',
      '',
      '１７６９７８１９５３７２０１３４４０１',
      '9'.repeat(5_000),
      "1' or 1=1",
    ];
    for (const text of others) assert.equal(taskIdOf(text), null, text);
  });

  it('are not told of tasks of another kind', () => {
    assert.throws(() => jobIdOf('f692edeb-41cb-4a3e-aebd-2db0044c0778'));
    assert.throws(() => jobIdOf('188f874f-6962-8ab0-8100-000000000001'));
  });
});
