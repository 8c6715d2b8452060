/** The server of hostile sources as a process of its own: what it costs to attack is not measured. */
import { HostileServer, hostileSources } from '../../test/support/hostile-sources.ts';

const attacks = await hostileSources();
const server = await HostileServer.start();
process.on('message', (index: number) => {
  const attack = attacks[index];
  if (attack) process.send?.(server.show(attack));
});
process.send?.(server.host);
process.once('disconnect', () => process.exit());
