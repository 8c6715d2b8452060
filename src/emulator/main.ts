/** `npm run emulator -- --port 8188`: the emulator as a process of its own. */
import { parseArgs } from 'node:util';
import { Emulator, type EmulatorOptions } from './emulator.ts';
import { isLoaders, type Loaders, loaders, newestLoaders } from './loaders/loaders.ts';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '8188' },
    host: { type: 'string', default: '127.0.0.1' },
    'data-dir': { type: 'string' },
    'max-upload-size': { type: 'string', default: '100' },
    slowdown: { type: 'string', default: '1' },
    'without-node': { type: 'string', multiple: true, default: [] },
    'without-model': { type: 'string', multiple: true, default: [] },
    jobs: { type: 'boolean', default: false },
    loaders: { type: 'string', default: newestLoaders },
  },
});

const dataDir = values['data-dir'];
const options: EmulatorOptions = {
  port: numberIn(values.port, '--port'),
  host: values.host,
  maxUploadBytes: numberIn(values['max-upload-size'], '--max-upload-size') * 1024 * 1024,
  slowdown: numberIn(values.slowdown, '--slowdown'),
  withoutNodes: values['without-node'],
  withoutModels: values['without-model'],
  hasJobs: values.jobs,
  loaders: loadersIn(values.loaders),
  ...(dataDir === undefined ? {} : { dataDir }),
};

const emulator = await Emulator.start(options);
console.log(`The emulator listens on ${emulator.url}`);
process.send?.({ listening: emulator.url });

// It never outlives the process that started it.
const stopped = new Promise<void>((resolve) => {
  process.once('SIGTERM', resolve);
  process.once('SIGINT', resolve);
  if (process.send) process.once('disconnect', resolve);
});
await stopped;
await emulator.close();
process.exit(0);

function numberIn(value: string, option: string): number {
  const number = Number(value);
  if (Number.isFinite(number) && number >= 0) return number;
  throw new Error(`${option} takes a number, not ${JSON.stringify(value)}`);
}

function loadersIn(value: string): Loaders {
  if (isLoaders(value)) return value;
  throw new Error(`--loaders takes ${loaders.join(' or ')}, not ${JSON.stringify(value)}`);
}
