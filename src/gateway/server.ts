import { once } from 'node:events';
import packageJson from '../../package.json' with { type: 'json' };
import { ConfigError } from '../config/config.ts';
import { type App, type Apps, createApps } from '../http/app.ts';
import { linkBase } from '../http/link-base.ts';
import { pageGuard } from '../http/own-pages.ts';
import { doorsOf } from '../http/quotas.ts';
import { type AppServer, createServer } from '../http/server.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { Frame } from './frame.ts';
import { listen } from './listen.ts';
import type { Media } from './media.ts';
import type { OpenPool } from './pool.ts';
import { ReadinessProbe } from './readiness.ts';
import type { Services } from './services.ts';
import type { Stores } from './stores.ts';

/** A URL leaves it out. */
const httpPort = 80;

/** What answers, before it listens. */
export interface Front {
  readonly apps: Apps;
  /** Tells those who hold a request that the gateway is asked to stop. */
  readonly stopping: AbortController;
}

export function createFront(
  { config, tempo, logger, hosts, listening, observers }: Frame,
  { objects, database }: Stores,
  { encoder, sourceReader }: Media,
  { poolService, wholePool, workflows }: OpenPool,
  services: Services,
  keyring: Keyring,
): Front {
  const stopping = new AbortController();
  const probe = new ReadinessProbe({
    ...{ database, store: objects, pool: wholePool },
    ...{ stopping: stopping.signal, tempo: tempo.http },
  });
  const parts = {
    ...services,
    registry: workflows,
    pool: poolService,
    objects: objects.isServedByGateway ? objects : null,
    preview: (path: string, signal: AbortSignal) =>
      encoder.preview(path, config.limits.maxImagePixels, signal),
    refusesUnknownFields: config.unknownFields === 'refuse',
    kindOf: sourceReader.kindOf.bind(sourceReader),
    linkBase: linkBase(config.publicUrl, () => listening.port),
    isGuarded: () => keyring.isGuarded,
    readiness: () => probe.look(),
    version: packageJson.version,
    stopping: stopping.signal,
    tempo: tempo.http,
  };
  const { corsOrigins, publicUrl, dialectSettings: settings } = config;
  const refusePage = pageGuard({
    hosts,
    publicUrl,
    corsOrigins,
    asksForKeys: () => keyring.isGuarded,
  });
  const doors = doorsOf(config.quotas, services.quotas, logger);
  const apps = createApps(parts, {
    ...{ callers: keyring, corsOrigins, refusePage },
    ...{ doors, settings, logger },
  });
  for (const observer of apps.observers) observers.add(observer);
  return { apps, stopping };
}

/** Listens, for all dialects and for those with a port of their own; resolves with where those do. */
export async function serve(
  { config, tempo, logger, listening, parts }: Frame,
  { apps, stopping }: Front,
): Promise<ReadonlyMap<string, string>> {
  const { requestDeadlineMs, headersDeadlineMs, keepAliveDeadlineMs, closeDeadlineMs } = tempo.http;
  const limits = {
    requestTimeout: requestDeadlineMs,
    headersTimeout: headersDeadlineMs,
    keepAliveTimeout: keepAliveDeadlineMs,
  };
  const listenAt = async (app: App, port: number, setting: string): Promise<string> => {
    const server = createServer(app, limits, logger);
    const url = await listen(server.server, config.host, port, setting);
    parts.defer(() => close(server, closeDeadlineMs));
    return url;
  };
  listening.url = await listenAt(apps.root, config.port, 'PORT');
  listening.port = Number(new URL(listening.url).port || httpPort);
  const dialectUrls = new Map<string, string>();
  for (const [dialect, port] of config.dialectPorts) {
    dialectUrls.set(dialect, await listenAt(appOf(apps, dialect), port, 'DIALECT_PORTS'));
  }
  // The very first to go: a server closes when all requests are answered, also those that wait.
  parts.defer(() => stopping.abort());
  return dialectUrls;
}

function appOf({ byDialect }: Apps, dialect: string): App {
  const app = byDialect.get(dialect);
  if (app) return app;
  const known = [...byDialect.keys()].join(', ');
  throw new ConfigError([`DIALECT_PORTS there is no dialect ${dialect}; known: ${known}`]);
}

/** Requests that are still being answered after the deadline are cut. */
async function close({ server, cut }: AppServer, deadlineMs: number): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  const patience = setTimeout(cut, deadlineMs);
  await closed;
  clearTimeout(patience);
}
