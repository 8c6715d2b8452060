import { channel } from 'node:diagnostics_channel';

/** Where an attempt may be when the world ends. */
export const milestones = [
  'claimed',
  'prompt-recorded',
  'prompt-posted',
  'prompt-running',
  'uploading',
  'stored',
] as const;
export type Milestone = (typeof milestones)[number];

const milestoneChannel = channel('tmlsr:milestone');

/** Tells whoever listens in this process, which costs nothing where nobody does. */
export function reached(milestone: Milestone): void {
  if (milestoneChannel.hasSubscribers) milestoneChannel.publish(milestone);
}
