import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mayTakePlace, mostPlaces } from './fair-places.ts';

/** How many places each has after all, one after the other, took as many as they may. */
function filled(places: number, parties: number): number[] {
  const own = Array<number>(parties).fill(0);
  let taken = 0;
  own.forEach((_, party) => {
    while (mayTakePlace(own[party] ?? 0, taken, places)) {
      own[party] = (own[party] ?? 0) + 1;
      taken += 1;
    }
  });
  return own;
}

describe('mostPlaces', () => {
  for (const places of [1, 2, 3, 4, 8, 16]) {
    for (const others of [0, 1, 3]) {
      it(`tells what is had in the end of ${places}, of which others have ${others}`, () => {
        let own = 0;
        const told = mostPlaces(own, others, places);
        while (mayTakePlace(own, others + own, places)) own += 1;
        assert.equal(told, own);
        assert.equal(mostPlaces(own, others + own, places), own);
      });
    }
  }
});

describe('mayTakePlace', () => {
  const cases: [places: number, each: number[]][] = [
    [1, [1, 0]],
    [2, [1, 1, 0]],
    [3, [2, 1, 0]],
    [4, [2, 1, 1, 0]],
    [8, [4, 2, 1, 1, 0]],
    [16, [8, 4, 2, 1, 1, 0]],
  ];
  for (const [places, each] of cases) {
    it(`divides ${places} into ${each.join(', ')} when each takes all that it may`, () => {
      assert.deepEqual(filled(places, each.length), each);
    });
  }
});
