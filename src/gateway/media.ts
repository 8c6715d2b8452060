import { availableParallelism } from 'node:os';
import { reaching } from '../db/errors.ts';
import { SourceFetcher } from '../media/fetch-source.ts';
import { createGuardedAgent } from '../media/guarded-agent.ts';
import { ImageEncoder } from '../media/image-encoder.ts';
import { MediaProbe } from '../media/probe.ts';
import { validateSourceUrl } from '../media/source-url.ts';
import { UploadIntake } from '../media/upload-intake.ts';
import { SourceReader } from '../pipeline/download/source-reader.ts';
import { bucketSchemes } from '../storage/drivers.ts';
import { PutTarget } from '../storage/put-target.ts';
import type { Frame } from './frame.ts';
import type { Stores } from './stores.ts';

/** How files come in, are looked into, and go out. */
export interface Media {
  readonly sourceReader: SourceReader;
  readonly intake: UploadIntake;
  readonly probe: MediaProbe;
  readonly encoder: ImageEncoder;
  /** Where a client wants its result put. */
  readonly targetAt: (url: string) => PutTarget;
}

export function openMedia({ config, tempo, parts }: Frame, stores: Stores): Media {
  const limits = {
    maxBytes: config.maxSourceBytes,
    maxImageBytes: config.maxImageBytes,
    maxVideoBytes: config.maxVideoBytes,
  };
  const fetcher = parts.use(
    new SourceFetcher({
      allow: config.sourceAllow,
      userAgent: config.sourceUserAgent,
      deadlines: tempo.source,
      ...limits,
    }),
  );
  const sourceReader = new SourceReader({
    fetcher,
    store: stores.objects,
    ownSources: stores.ownSources,
    tenantOf: (id) => reaching(stores.tasks.tenantOf(id)),
    bucketSchemes,
    limits,
    validateUrl: (source, field) => validateSourceUrl(source, config.sourceAllow, field),
    tempo: tempo.source,
  });
  const targetAgent = parts.adopt(
    createGuardedAgent({
      allow: config.targetAllow,
      ...tempo.target,
      // The whole exchange has a deadline of its own, by the size of the result.
      headersDeadlineMs: 0,
    }),
    (agent) => agent.destroy(),
  );
  return {
    sourceReader,
    intake: new UploadIntake(stores.spool, limits, tempo.spool),
    probe: new MediaProbe({ limits: config.limits, ...tempo.media }),
    encoder: new ImageEncoder(encodingsAtOnce(), tempo.media),
    targetAt: (target) => new PutTarget(target, targetAgent, tempo.target),
  };
}

/** Each takes one of the four threads that files are read and written with, too. */
function encodingsAtOnce(): number {
  return Math.min(availableParallelism(), 3);
}
