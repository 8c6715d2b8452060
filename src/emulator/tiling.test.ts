import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Engine, scales } from './engine.ts';
import type { Frame } from './frames.ts';
import { enlargeInTiles, planTiles } from './tiling.ts';

const engine = new Engine();
after(() => engine.close());

function noise(width: number, height: number): Frame {
  let seed = 1;
  const rgb = Uint8Array.from({ length: width * height * 3 }, () => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
    return seed >> 16;
  });
  return { width, height, rgb };
}

test('covers every pixel once', () => {
  for (const [width, height] of [
    [1, 1],
    [128, 128],
    [129, 300],
    [1920, 1080],
  ] as const) {
    const tiles = planTiles(width, height);
    const pixels = tiles.reduce((sum, tile) => sum + tile.width * tile.height, 0);
    assert.equal(pixels, width * height);
    for (const { x, y, width: w, height: h } of tiles) {
      assert.ok(w <= 128 && h <= 128 && x + w <= width && y + h <= height);
    }
  }
});

for (const scale of scales) {
  test(`leaves no seams at ×${scale}`, { timeout: 60_000 }, async () => {
    const frame = noise(64, 48);
    const enlarge = (each: Frame) => engine.enlarge(structuredClone(each), scale);
    const whole = await enlarge(frame);
    let ticks = 0;
    const tiled = await enlargeInTiles(frame, scale, enlarge, async () => void ticks++, 24);
    assert.equal(ticks, planTiles(64, 48, 24).length);
    assert.deepEqual([tiled.width, tiled.height], [64 * scale, 48 * scale]);
    const worst = tiled.rgb.reduce(
      (max, value, index) => Math.max(max, Math.abs(value - (whole.rgb[index] ?? 0))),
      0,
    );
    // One of 255 where a value lies on the edge of rounding.
    assert.ok(worst <= 1, `differs by ${worst}`);
  });
}

test('stops between two tiles', async () => {
  let tiles = 0;
  const enlarge = async ({ width, height }: Frame) => noise(width * 2, height * 2);
  const stop = async () => {
    tiles += 1;
    if (tiles === 2) throw new Error('interrupted');
  };
  await assert.rejects(enlargeInTiles(noise(64, 64), 2, enlarge, stop, 16), /interrupted/);
  assert.equal(tiles, 2);
});
