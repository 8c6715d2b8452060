import { channel } from 'node:diagnostics_channel';

/** Where an attempt may be when the world ends. */
export type Milestone =
  | 'claimed'
  | 'prompt-recorded'
  | 'prompt-posted'
  | 'prompt-running'
  | 'uploading'
  | 'stored';

const milestones = channel('tmlsr:milestone');

/** Tells whoever listens in this process, which costs nothing where nobody does. */
export function reached(milestone: Milestone): void {
  if (milestones.hasSubscribers) milestones.publish(milestone);
}
