import type { MediaFormat, MediaInfo } from '../core/media.ts';

/** A file as a server gets it. */
export interface SentFile {
  readonly path: string;
  readonly bytes: number;
  readonly format: MediaFormat;
}

/** What a file is, and whether the rest of it holds what its header says. */
export interface Probed {
  readonly info: MediaInfo;
  /** The plain picture that was made of it; `null` where a server gets the file itself. */
  readonly made: SentFile | null;
  readonly checked: Promise<void>;
}
