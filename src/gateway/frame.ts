import type { BackendEntry } from '../comfyui/address.ts';
import type { Config } from '../config/config.ts';
import type { OwnHosts } from '../core/own-hosts.ts';
import type { Tempo } from '../core/tempo.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { TaskLog } from '../telemetry/task-log.ts';
import type { TaskObservers } from '../telemetry/task-observer.ts';

export interface GatewayConfig extends Config {
  readonly backends: readonly BackendEntry[];
}

/** What the parts of one gateway have in common. */
export interface Frame {
  readonly config: GatewayConfig;
  readonly tempo: Tempo;
  readonly logger: Logger;
  readonly log: TaskLog;
  /** Hear what the log is told of tasks; dialects bring them, later. */
  readonly observers: TaskObservers;
  /** Its name among gateways, new with each start. */
  readonly owner: string;
  /** By which hosts it may be asked. */
  readonly hosts: OwnHosts;
  /** Where it listens: known last of all, to parts that were opened first. */
  readonly listening: { url: string; port: number };
  /** Whether an address has a host and a port by which it is reached. */
  readonly isOurs: (address: URL) => boolean;
  /** Taken down in reverse, so what is put here first outlives what comes after. */
  readonly parts: AsyncDisposableStack;
}
