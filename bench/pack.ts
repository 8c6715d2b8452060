/**
 * Puts files of all odd kinds through a gateway, and prints where a server makes something else of one
 * than a person expects. Without an address: against the emulator, in both manners of reading. Exits
 * with 1 where anything differs.
 *
 *   npm run pack [-- --url http://127.0.0.1:8188] [NAME …]
 */
import { parseArgs } from 'node:util';
import { realTempo } from '../src/core/tempo.ts';
import { Emulator } from '../src/emulator/emulator.ts';
import { loaders } from '../src/emulator/loaders/loaders.ts';
import { oddClips } from '../test/pack/clips.ts';
import { judge } from '../test/pack/judge.ts';
import { oddPictures } from '../test/pack/pictures.ts';
import { SourceServer } from '../test/support/source-server.ts';
import { TestGateway } from '../test/support/test-gateway.ts';

const patienceMs = 1_800_000;

const { values, positionals } = parseArgs({
  options: { url: { type: 'string' } },
  allowPositionals: true,
});
const files = [...oddPictures, ...oddClips].filter(
  ({ name }) => positionals.length === 0 || positionals.includes(name),
);

let different = 0;
if (values.url) different += await runOn(values.url, values.url);
else {
  for (const manner of loaders) {
    await using emulator = await Emulator.start({ loaders: manner });
    different += await runOn(emulator.url, `the emulator as ${manner}`);
  }
}
process.exitCode = different > 0 ? 1 : 0;

async function runOn(url: string, title: string): Promise<number> {
  await using sources = await SourceServer.start();
  await using gateway = await TestGateway.start({
    engine: 'pglite',
    backends: [url],
    env: { SOURCE_ALLOW: sources.host },
    // A real server without a GPU takes its time.
    tempo: realTempo,
  });
  console.log(`\n${title}`);
  let count = 0;
  for (const file of files) {
    const { name, end, differences } = await judge(file, { gateway, sources, patienceMs });
    if (differences.length > 0) count += 1;
    console.log(`${name.padEnd(22)} ${end.padEnd(18)} ${differences.join('; ') || 'as expected'}`);
  }
  console.log(`${files.length - count} of ${files.length} as expected`);
  return count;
}
