import type { MadeColour } from '../../core/made-clip.ts';

/** What a file says in the end. */
export interface Wish {
  readonly keepsMetadata: boolean;
  /** What is true of a clip's samples; `null` leaves what the file says. */
  readonly colour: MadeColour | null;
}

/** The first version of libavformat that PyAV brings where it reads the matrix that a source names. */
const firstReading = 62;

/**
 * What is true of a file that FFmpeg wrote. `writtenBy`: text in which it names itself; PyAV before 16 brings
 * libavformat 61 and takes each source for BT.601. PyAV 16 does as well, and cannot be told from 17, which does not.
 */
export function trueTag(colour: MadeColour, writtenBy: string) {
  const major = /Lavf(\d+)\./.exec(writtenBy)?.[1];
  const isIgnored = major !== undefined && Number(major) < firstReading;
  return isIgnored ? colour.ifMatrixIsIgnored : colour.ifMatrixIsRead;
}
