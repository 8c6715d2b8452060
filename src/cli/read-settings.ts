import { type Config, readConfig } from '../config/config.ts';
import { readEnv } from '../config/env.ts';

/**
 * The gateway's settings, for commands that go by them where nothing else is named. What dialects declare
 * is loaded only then: it takes as long as all the rest of a command.
 *
 * @throws ConfigError
 */
export async function readSettings(): Promise<Config> {
  const { dialectSettings } = await import('../http/dialects/index.ts');
  return readConfig(readEnv(), dialectSettings);
}
