import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Emulator } from '../src/emulator/emulator.ts';
import { oddClips } from './pack/clips.ts';
import { judge } from './pack/judge.ts';
import { oddPictures } from './pack/pictures.ts';
import { patienceMs } from './support/patience.ts';
import { SourceServer } from './support/source-server.ts';
import { enginesAboveStores } from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';

/** A short choice: `npm run pack` has all of them, in both manners of reading. */
const chosen = [
  'plain.png',
  'exif6.png',
  'deep.png',
  'iphone.heic',
  'animated.gif',
  'rot90.mp4',
  'longaudio.mp4',
  'nonsense.png',
];
const pack = [...oddPictures, ...oddClips];

for (const engine of enginesAboveStores) {
  const cleanup = new AsyncDisposableStack();
  let gateway: TestGateway;
  let sources: SourceServer;

  before(async () => {
    const emulator = cleanup.use(await Emulator.start());
    sources = cleanup.use(await SourceServer.start());
    gateway = cleanup.use(
      await TestGateway.start({
        engine,
        backends: [emulator.url],
        env: { SOURCE_ALLOW: sources.host },
      }),
    );
  });
  after(() => cleanup.disposeAsync());

  for (const name of chosen) {
    test(`${name} comes out as a person expects, on ${engine}`, async () => {
      const file = pack.find((each) => each.name === name);
      assert.ok(file);
      assert.deepEqual((await judge(file, { gateway, sources, patienceMs })).differences, []);
    });
  }
}

test('every file of the pack can be made, and has a name of its own', async () => {
  assert.equal(new Set(pack.map(({ name }) => name)).size, pack.length);
  const sizes = await Promise.all(pack.map(async (file) => (await file.make()).length));
  assert.ok(sizes.every((size) => size > 0));
});
