/** So many emulators in one process: as ComfyUI servers they have a port, a queue and a WebSocket each. */
import { Emulator } from '../../src/emulator/emulator.ts';

const count = Number(process.argv[2]);
const emulators: Emulator[] = [];
for (let i = 0; i < count; i += 1) emulators.push(await Emulator.start());
process.on('disconnect', async () => {
  for (const emulator of emulators) await emulator.close();
  process.exit();
});
process.send?.(emulators.map(({ url }) => url));
