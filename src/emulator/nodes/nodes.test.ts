import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classes } from '../object-info.ts';
import { nodeClasses } from './index.ts';
import { resizedTo } from './scale.ts';
import { targetSize } from './seedvr2.ts';
import { chooseFrames } from './vhs.ts';

test('every class that is described can run, and the other way round', () => {
  assert.deepEqual([...classes.keys()].toSorted(), Object.keys(nodeClasses).toSorted());
});

test('SeedVR2 takes the short edge, capped by any edge, and cuts sides to even ones', () => {
  assert.deepEqual(targetSize({ width: 640, height: 480 }, 1080, 0), { width: 1440, height: 1080 });
  assert.deepEqual(targetSize({ width: 480, height: 640 }, 1080, 0), { width: 1080, height: 1440 });
  // The author's example for 4K: the long edge becomes 4096.
  assert.deepEqual(targetSize({ width: 2000, height: 1000 }, 4096, 4096), {
    width: 4096,
    height: 2048,
  });
  assert.deepEqual(targetSize({ width: 97, height: 64 }, 65, 0), { width: 98, height: 64 });
});

test('VHS_LoadVideo forces a rate, skips, picks and caps', () => {
  const choose = (inputs: object) => {
    const { count, fps } = chooseFrames({ ...inputs }, 30, 90);
    return [count, fps];
  };
  assert.deepEqual(choose({}), [90, 30]);
  assert.deepEqual(choose({ force_rate: 15 }), [45, 15]);
  assert.deepEqual(choose({ select_every_nth: 4 }), [23, 7.5]);
  assert.deepEqual(choose({ skip_first_frames: 80, frame_load_cap: 5 }), [5, 30]);
  assert.deepEqual(choose({ skip_first_frames: 100 }), [0, 30]);
});

test('ResizeImageMaskNode gives one side its length and the other by the aspect ratio', () => {
  const resize = (inputs: object) => resizedTo({ ...inputs }, { width: 97, height: 64 });
  const shorter = { resize_type: 'scale shorter dimension', 'resize_type.shorter_size': 32 };
  assert.deepEqual(resize(shorter), { width: 48, height: 32 });
  const longer = { resize_type: 'scale longer dimension', 'resize_type.longer_size': 194 };
  assert.deepEqual(resize(longer), { width: 194, height: 128 });
  const times = { resize_type: 'scale by multiplier', 'resize_type.multiplier': 0.5 };
  assert.deepEqual(resize(times), { width: 48, height: 32 });
  assert.throws(() => resize({ resize_type: 'match size' }), /match size is not a way/);
});
