import { randomUUID } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { Audit } from './audit/audit.ts';
import { OwnHosts } from './core/own-hosts.ts';
import { checkTempo, realTempo, type Tempo } from './core/tempo.ts';
import type { Frame, GatewayConfig } from './gateway/frame.ts';
import { openKeyring } from './gateway/keys.ts';
import { openMedia } from './gateway/media.ts';
import { checkOpenness } from './gateway/openness.ts';
import { createPipeline, startPipeline } from './gateway/pipeline.ts';
import { openPool } from './gateway/pool.ts';
import { createFront, serve } from './gateway/server.ts';
import { createServices } from './gateway/services.ts';
import { openStores } from './gateway/stores.ts';
import { startSweeps } from './gateway/sweeps.ts';
import { clientIdOf } from './http/dialects/index.ts';
import type { Pool } from './pool/pool.ts';
import { AuditLog } from './telemetry/audit-log.ts';
import type { Logger } from './telemetry/logger.ts';
import { TaskLog } from './telemetry/task-log.ts';
import { TaskObservers } from './telemetry/task-observer.ts';
import { pause } from './timing/pause.ts';

export type { GatewayConfig } from './gateway/frame.ts';

export interface GatewayOptions {
  /** How long the gateway waits for whatever it waits for; tests are in a hurry. */
  readonly tempo?: Tempo;
}

interface GatewayState extends Pick<Gateway, 'url' | 'dialectUrls' | 'outdated'> {
  readonly pool: Pick<Pool, 'backends'>;
  readonly tempo: Tempo['start'];
  readonly parts: AsyncDisposableStack;
}

/** The composition root: every part in the order of its construction, taken down in reverse. */
export class Gateway implements AsyncDisposable {
  /** Where it listens. */
  readonly url: string;
  /** Where dialects listen that have a port of their own. */
  readonly dialectUrls: ReadonlyMap<string, string>;
  /** Resolves when a newer gateway has changed the database: this one is to end its work and stop. */
  readonly outdated: Promise<void>;
  readonly #pool: Pick<Pool, 'backends'>;
  readonly #tempo: Tempo['start'];
  readonly #parts: AsyncDisposableStack;

  private constructor({ url, dialectUrls, outdated, pool, tempo, parts }: GatewayState) {
    this.url = url;
    this.outdated = outdated;
    this.dialectUrls = dialectUrls;
    this.#pool = pool;
    this.#tempo = tempo;
    this.#parts = parts;
  }

  /** Starts everything; when this returns, requests are answered. Nothing is left after a failure. */
  static async start(
    config: GatewayConfig,
    logger: Logger,
    { tempo = realTempo }: GatewayOptions = {},
  ): Promise<Gateway> {
    checkTempo(tempo);
    await using parts = new AsyncDisposableStack();
    const frame = frameOf(config, logger, tempo, parts);

    const stores = await openStores(frame);
    const media = openMedia(frame, stores);
    const audit = new Audit({ store: stores.audit, log: new AuditLog(logger) });
    const pool = await openPool(frame, stores, audit);
    const keyring = await openKeyring(frame, stores);
    checkOpenness(config, keyring.isGuarded, logger);
    const services = createServices(frame, stores, media, pool, audit, keyring);
    const pipeline = createPipeline(frame, stores, media, pool);
    const front = createFront(frame, stores, media, pool, services, keyring);

    await startPipeline(frame, stores, pool, pipeline);
    startSweeps(frame, stores, services);
    // The last to start and the first to stop: nobody is answered by half a gateway.
    const dialectUrls = await serve(frame, front);

    const { url } = frame.listening;
    logger.info(
      {
        url,
        dialects: Object.fromEntries(dialectUrls),
        database: stores.database.engine,
        backends: pool.pool.labels,
      },
      'gateway.started',
    );
    const { outdated } = stores;
    const state = { url, dialectUrls, outdated, pool: pool.pool, tempo: tempo.start };
    return new Gateway({ ...state, parts: parts.move() });
  }

  /** Resolves when one of its backends takes tasks, or none does for a while; it has told of its start by then. */
  async settled(signal: AbortSignal): Promise<void> {
    const { lookEveryMs, settledAfterMs } = this.#tempo;
    const since = performance.now();
    while (!signal.aborted && performance.now() - since < settledAfterMs) {
      const { backends } = this.#pool;
      if (backends.length === 0 || backends.some(({ isInService }) => isInService)) return;
      await pause(lookEveryMs, signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }
}

function frameOf(
  config: GatewayConfig,
  logger: Logger,
  tempo: Tempo,
  parts: AsyncDisposableStack,
): Frame {
  const observers = new TaskObservers();
  const listening = { url: '', port: 0 };
  const hosts = new OwnHosts({ ...config, addresses });
  return {
    config,
    tempo,
    logger,
    log: new TaskLog(logger, observers, clientIdOf),
    observers,
    owner: randomUUID(),
    hosts,
    listening,
    // A proxy on this machine has the scheme's own port.
    isOurs: ({ hostname, port }) =>
      hosts.has(hostname) && (port === '' || Number(port) === listening.port),
    parts,
  };
}

/** Of this machine. They may change while it runs. */
function addresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).map(({ address }) => address),
  );
}
