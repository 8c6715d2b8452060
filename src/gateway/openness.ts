import { type Config, ConfigError } from '../config/config.ts';
import { isLoopbackHost } from '../core/own-hosts.ts';
import type { Logger } from '../telemetry/logger.ts';

/**
 * Whoever reaches a gateway without keys may do all that its operators may.
 *
 * @throws ConfigError where it listens beyond this machine and nobody has said that it may.
 */
export function checkOpenness(
  { host, allowAnonymous }: Pick<Config, 'host' | 'allowAnonymous'>,
  asksForKeys: boolean,
  logger: Logger,
): void {
  if (asksForKeys || isLoopbackHost(host)) return;
  if (!allowAnonymous) {
    throw new ConfigError([
      `HOST ${host} is reached from beyond this machine, and no key is asked for: ` +
        'set API_KEYS or OPERATOR_KEYS, or ALLOW_ANONYMOUS=true where nobody else can reach it',
    ]);
  }
  const reason = 'it listens beyond this machine and asks no one for a key';
  logger.warn({ host, reason }, 'gateway.open');
}
