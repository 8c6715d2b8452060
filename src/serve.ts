import { setFlagsFromString } from 'node:v8';
import { readConfig, unknownSettings } from './config/config.ts';
import { readEnv } from './config/env.ts';
import { backendsOrEmulator } from './emulator-process.ts';
import { checkFolders } from './gateway/folders.ts';
import { whereToLook } from './gateway/where-to-look.ts';
import { Gateway, type GatewayOptions } from './gateway.ts';
import { dialectSettings } from './http/dialects/index.ts';
import { stopSignal } from './run.ts';
import { createLogger, type Logger } from './telemetry/logger.ts';

const outdated = 'a newer version of TMLSR has changed the database; it goes on with the work';

export interface ServeOptions extends GatewayOptions {
  /** Hears of the log as soon as there is one. */
  readonly logTo?: (logger: Logger) => void;
}

/** The service, from its settings to its orderly end. */
export async function serve({ logTo, ...options }: ServeOptions = {}): Promise<void> {
  // Buffers lie outside of V8's heap; without this, every 20 MB of them make it collect everything
  // (docs/decisions/017). A V8 that does not know the flag says so and goes on.
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  const env = readEnv();
  const config = readConfig(env, dialectSettings);
  const logger = createLogger(config.logLevel);
  logTo?.(logger);
  for (const name of unknownSettings(env, dialectSettings))
    logger.warn({ name }, 'setting.unknown');

  await checkFolders(config);

  await using parts = new AsyncDisposableStack();
  const stopped = stopSignal();
  const backends = await backendsOrEmulator(config, parts, logger);
  const gateway = parts.use(await Gateway.start({ ...config, backends }, logger, options));
  if (process.stdout.isTTY) {
    const ending = new AbortController();
    parts.defer(() => ending.abort());
    void gateway.settled(ending.signal).then(() => {
      if (!ending.signal.aborted) console.log(whereToLook(gateway.url, config));
    });
  }
  const reason = await Promise.race([
    stopped.then((signal) => ({ signal })),
    gateway.outdated.then(() => ({ reason: outdated })),
  ]);
  logger.info(reason, 'gateway.stopping');
}
