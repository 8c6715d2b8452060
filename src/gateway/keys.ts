import { Keyring } from '../keys/keyring.ts';
import type { Frame } from './frame.ts';
import type { Stores } from './stores.ts';

/** Who may ask. */
export async function openKeyring(
  { config, tempo, parts }: Frame,
  { database, keys, notices }: Stores,
): Promise<Keyring> {
  const keyring = parts.use(
    await Keyring.open({
      settings: config.apiKeys,
      store: keys,
      // Nobody else has an embedded database open.
      isShared: database.engine === 'postgres',
      tempo: tempo.keys,
    }),
  );
  notices.on('keys', keyring.outdate);
  return keyring;
}
