import type { Tempo } from '../core/tempo.ts';
import type { ImageEncoder } from '../media/image-encoder.ts';
import type { MediaProbe } from '../media/probe.ts';
import type { Spool } from '../media/spool.ts';
import type { LeaseClock } from '../pool/lease-clock.ts';
import type { Seat } from '../pool/seat.ts';
import type { WholePool } from '../pool/whole-pool.ts';
import type { ObjectStore, OutputTarget } from '../storage/object-store.ts';
import type { QueueStats } from '../tasks/queue-stats.ts';
import type { AttemptLog } from '../telemetry/attempt-log.ts';
import type { WorkflowRegistry } from '../workflows/registry.ts';
import type { AttemptJournal } from './attempt-journal.ts';
import type { SourceReader } from './download/source-reader.ts';
import type { FairTurns } from './fair-turns.ts';
import type { KeptSources } from './sources/kept-sources.ts';
import type { TransferTurns } from './transfer-turns.ts';

/** What all attempts work with. */
export interface AttemptParts {
  readonly workflows: WorkflowRegistry;
  readonly sourceReader: SourceReader;
  readonly probe: MediaProbe;
  readonly encoder: ImageEncoder;
  /** Whether small pictures are made of pictures. */
  readonly thumbnails: boolean;
  readonly spool: Spool;
  /** What was read from clients' links. */
  readonly sources: KeptSources;
  readonly store: ObjectStore;
  /** An address that a client gave for its main result. */
  readonly targetAt: (url: string) => OutputTarget;
  /** Bounds on how many transfers of a kind run at once, which tenants share. */
  readonly downloads: FairTurns;
  readonly uploads: TransferTurns;
  /** A task with more files than that fails. */
  readonly maxOutputs: number;
  /** How long workflows take. */
  readonly stats: Pick<QueueStats, 'durations'>;
  readonly lease: Pick<LeaseClock, 'isSure'>;
  /** With the backends of other gateways. */
  readonly wholePool: Pick<
    WholePool,
    'fitness' | 'canRunElsewhere' | 'tooSmallFor' | 'leastMisread'
  >;
  /** Whether a run takes the results of a twin. */
  readonly coalesces: boolean;
  readonly tempo: Pick<Tempo, 'spool' | 'prompt' | 'transfer'>;
}

/** One attempt with all that it works with. */
export interface Attempt extends AttemptParts {
  readonly journal: AttemptJournal;
  /** Still to be taken when the attempt begins, or at a GPU where the prompt is there already. */
  readonly seat: Seat;
  readonly log: AttemptLog;
  /** Hears the key of every object before it is stored: who ends the attempt removes them. */
  readonly onStoring: (key: string) => void;
  readonly signal: AbortSignal;
}
