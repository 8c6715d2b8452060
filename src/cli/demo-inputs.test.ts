import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { demoInputs, slownessOf } from './demo-inputs.ts';

describe('the file that the demo is given', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tmlsr-demo-inputs-'));
    const picture = sharp({
      create: { width: 1000, height: 1500, channels: 3, background: 'red' },
    });
    const png = await picture.png().toBuffer();
    await mkdir(join(folder, 'folder'));
    await writeFile(join(folder, 'letter.jpg'), 'Dear reader');
    await writeFile(join(folder, 'empty.png'), '');
    await writeFile(
      join(folder, 'photo.heic'),
      Buffer.from('\0\0\0\x18ftypheic\0\0\0\0heicmif1', 'latin1'),
    );
    await writeFile(join(folder, 'large.png'), png);
    await writeFile(join(folder, 'half.png'), png.subarray(0, png.length / 2));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const refusals = [
    ['folder', /: It is a folder; name one picture or clip in it\.$/],
    ['absent.png', /: There is no such file\.$/],
    [
      'letter.jpg',
      /: It is neither a picture nor a clip of a format that is taken \(png, .*heic.*\)\.$/,
    ],
    ['empty.png', /: It is empty\.$/],
    ['photo.heic', /: The image is damaged or cut off\.$/],
    ['half.png', /: The image is damaged or cut off\.$/],
  ] as const;
  for (const [name, sentence] of refusals) {
    it(`is refused in a sentence: ${name}`, async () => {
      await using parts = new AsyncDisposableStack();
      const input = join(folder, name);
      await assert.rejects(demoInputs(parts, { input }), {
        name: 'GatewayError',
        message: sentence,
      });
    });
  }

  it('is warned of where the CPU takes minutes for it', async () => {
    await using parts = new AsyncDisposableStack();
    const [input] = await demoInputs(parts, { input: join(folder, 'large.png') });
    assert.ok(input);
    assert.match(slownessOf(input) ?? '', /^large\.png has 1\.5 megapixels\..* 2 minutes or more/);
  });

  it('is not warned of where it is small', () => {
    assert.equal(slownessOf({ path: 'a.png', kind: 'image', megapixels: 0.2 }), null);
  });
});
