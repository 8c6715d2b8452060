import type { MediaInfo } from './media.ts';

/** What is known of a source that was fetched whole and looked into. */
export interface SourceNote {
  readonly bytes: number;
  /** Hex; `null` where nobody wanted it. */
  readonly sha256: string | null;
  readonly info: MediaInfo;
}

/** A source as the object store has it. */
export interface StoredSource {
  readonly key: string;
  readonly note: SourceNote;
}
