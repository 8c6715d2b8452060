import type { MediaKind } from '../../src/core/media.ts';
import { realTempo } from '../../src/core/tempo.ts';
import { type Deadlines, SourceFetcher } from '../../src/media/fetch-source.ts';
import { MediaProbe } from '../../src/media/probe.ts';
import { parseSourceAllow } from '../../src/media/source-policy.ts';
import { validateSourceUrl } from '../../src/media/source-url.ts';
import { plainName, type Spool } from '../../src/media/spool.ts';
import { acquireSource } from '../../src/pipeline/download/acquire-source.ts';
import { SourceReader } from '../../src/pipeline/download/source-reader.ts';
import { bucketSchemes } from '../../src/storage/drivers.ts';
import { maxSourceBytes } from './hostile-sources.ts';

export interface ReaderOptions {
  /** As SOURCE_ALLOW. */
  readonly allow: string;
  readonly deadlines: Deadlines;
}

/** A reader of sources as the gateway has it, without a store. */
export function openReader({ allow, deadlines }: ReaderOptions): SourceReader & AsyncDisposable {
  const limits = { maxBytes: maxSourceBytes };
  const policy = parseSourceAllow(allow);
  const fetcher = new SourceFetcher({ allow: policy, deadlines, ...limits });
  const nothing = { open: async () => null, keyOf: () => null };
  const reader = new SourceReader({
    fetcher,
    store: nothing,
    ownSources: nothing,
    tenantOf: async () => null,
    bucketSchemes,
    limits,
    validateUrl: (url, field) => void validateSourceUrl(url, policy, field),
    tempo: realTempo.source,
  });
  return Object.assign(reader, { [Symbol.asyncDispose]: () => fetcher[Symbol.asyncDispose]() });
}

/** Takes a source as an attempt does, and throws it away. What came of it; `null` where it is sound. */
export async function tryOut(
  sourceReader: SourceReader,
  spool: Spool,
  { url, kind }: { readonly url: string; readonly kind: MediaKind },
  signal: AbortSignal,
): Promise<unknown> {
  const file = spool.file('attempt', 'source');
  const plain = spool.file('attempt', plainName('source'));
  const source = {
    url,
    tenant: '',
    kind,
    limits: {},
    frames: 'first' as const,
    wantsSha256: false,
    stored: null,
  };
  try {
    const parts = { sourceReader, probe: new MediaProbe() };
    const { checked } = await acquireSource(parts, { ...source, ...file, plain }, () => {}, signal);
    await checked;
    return null;
  } catch (error) {
    return error;
  } finally {
    await spool.clear('attempt');
  }
}
