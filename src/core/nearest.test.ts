import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { didYouMean, nearest } from './nearest.ts';

const models = [
  'ESRGAN/RealESRGAN_x4plus.safetensors',
  'RealESRGAN_x4plus_anime_6B.pth',
  'RealESRGAN_x2plus.pth',
  '4x-UltraSharp.pth',
];

describe('nearest', () => {
  it('puts the same name in another folder first, then what differs by little or holds it', () => {
    assert.deepEqual(nearest('realesrgan_x4plus.pth', models, 3), [
      'ESRGAN/RealESRGAN_x4plus.safetensors',
      'RealESRGAN_x2plus.pth',
      'RealESRGAN_x4plus_anime_6B.pth',
    ]);
  });

  it('gives no more than asked for, and nothing where nothing is like it', () => {
    assert.equal(nearest('RealESRGAN_x4plus.pth', models, 1).length, 1);
    assert.deepEqual(nearest('sd_xl_base.safetensors', models, 3), []);
    assert.deepEqual(nearest('x', [], 3), []);
  });

  it('does not take a short name for a part of every other', () => {
    assert.deepEqual(nearest('x4', ['RealESRGAN_x4plus'], 3), []);
  });
});

describe('didYouMean', () => {
  it('asks for the likeliest', () => {
    assert.equal(
      didYouMean('run_timout', ['queue_timeout', 'run_timeout']),
      '; did you mean "run_timeout"?',
    );
    assert.equal(didYouMean('colour', ['queue_timeout']), '');
  });
});
