import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { sampleMp4 } from '../../test/support/media-samples.ts';
import { MediaProbe } from './probe.ts';

// The frame that is stored last in this clip is not the one that is shown last (B-frames).
describe('a clip that was cut off', () => {
  let folder: string;
  let clip: Buffer;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tmlsr-clip-'));
    clip = await sampleMp4({ width: 96, height: 64, seed: 1, frames: 48, fps: 24 });
  });
  after(() => rm(folder, { recursive: true }));

  it('is taken while it is whole', async () => {
    assert.equal((await probe(clip)).kind, 'video');
  });

  for (const missing of [1, 10, 300]) {
    it(`is refused without its last ${missing} bytes`, async () => {
      await assert.rejects(probe(clip.subarray(0, -missing)), { code: 'media_corrupt' });
    });
  }

  async function probe(bytes: Buffer) {
    const path = join(folder, 'source');
    await writeFile(path, bytes);
    return await new MediaProbe().probe(path, AbortSignal.timeout(30_000));
  }
});
