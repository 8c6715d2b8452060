import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Candidate, isBetterLater, mayMoveInMs, type Outlook } from './gpu-choice.ts';

const switchMs = 1_000;

/** One that has been idle for a while, with other models, and waits for its own next task. */
const idle: Candidate = {
  state: 'idle',
  canRun: true,
  isUnfit: false,
  hasRoom: false,
  idleMs: 300,
  runningMs: null,
  isWarm: false,
  willBeWarm: false,
  expectedMs: null,
};

/** One that needs a second with its models loaded, as they are, and has just begun. */
const fast: Candidate = {
  ...idle,
  state: 'busy',
  idleMs: 0,
  runningMs: 0,
  isWarm: true,
  willBeWarm: true,
  expectedMs: 1_000,
};

describe('mayMoveInMs', () => {
  const table: { says: string; there: Partial<Candidate>; expected: number | null }[] = [
    { says: 'not to one that is busy', there: { state: 'busy', hasRoom: true }, expected: null },
    { says: 'not to one that is away', there: { state: 'offline', isWarm: true }, expected: null },
    { says: 'not where it cannot run', there: { canRun: false, hasRoom: true }, expected: null },
    { says: 'not where it failed', there: { isUnfit: true, hasRoom: true }, expected: null },
    { says: 'at once where nothing is made ready', there: { hasRoom: true }, expected: 0 },
    { says: 'at once where its models are loaded', there: { isWarm: true }, expected: 0 },
    { says: 'later where others are loaded', there: {}, expected: 700 },
    { says: 'at once where the time for that is over', there: { idleMs: 1_000 }, expected: 0 },
    { says: 'at once where it is long over', there: { idleMs: 9_000 }, expected: 0 },
  ];
  for (const { says, there, expected } of table) {
    it(says, () => {
      assert.equal(mayMoveInMs({ ...idle, ...there }, switchMs), expected);
    });
  }
});

describe('isBetterLater', () => {
  const slow: Candidate = { ...idle, isWarm: true, expectedMs: 5_000 };
  const table: {
    says: string;
    here?: Candidate;
    outlook?: Partial<Outlook>;
    expected: boolean;
  }[] = [
    { says: 'waits for a faster one', expected: true },
    {
      says: 'begins where the faster one is not for it',
      outlook: { others: [{ ...fast, isUnfit: true }] },
      expected: false,
    },
    { says: 'begins while more is to come', outlook: { isMoreToCome: true }, expected: false },
    { says: 'begins where there is no other', outlook: { others: [] }, expected: false },
    {
      says: 'begins when so many wait that they need the faster one for longer',
      outlook: { ahead: 4 },
      expected: false,
    },
    {
      says: 'counts on no other that is idle: it would have been asked',
      outlook: { others: [{ ...fast, state: 'idle' }] },
      expected: false,
    },
    {
      says: 'counts on none that drains',
      outlook: { others: [{ ...fast, state: 'draining' }] },
      expected: false,
    },
    {
      says: 'counts on none that cannot run it',
      outlook: { others: [{ ...fast, canRun: false }] },
      expected: false,
    },
    {
      says: 'counts on none where it never ran',
      outlook: { others: [{ ...fast, expectedMs: null }] },
      expected: false,
    },
    {
      says: 'counts on one that takes up to twice as long as ever',
      outlook: { others: [{ ...fast, runningMs: 2_000 }] },
      expected: true,
    },
    {
      says: 'counts on none that is overdue',
      outlook: { others: [{ ...fast, runningMs: 2_001 }] },
      expected: false,
    },
    {
      says: 'begins where it is as fast',
      here: { ...slow, expectedMs: 1_000 },
      expected: false,
    },
    {
      says: 'begins where it ends sooner than another is free and done',
      here: { ...slow, expectedMs: 1_900 },
      expected: false,
    },
    {
      says: 'waits where models would have to be loaded here',
      here: { ...slow, isWarm: false, expectedMs: 1_900 },
      expected: true,
    },
    {
      says: 'begins where models would have to be loaded there, too',
      here: { ...slow, isWarm: false, expectedMs: 1_900 },
      outlook: { others: [{ ...fast, willBeWarm: false }] },
      expected: false,
    },
    {
      says: 'waits where it never ran here, and another is free soon',
      here: idle,
      outlook: { others: [{ ...fast, runningMs: 500 }] },
      expected: true,
    },
    {
      says: 'begins where it never ran here, and another is free as late as models are loaded',
      here: idle,
      expected: false,
    },
  ];
  for (const { says, here = slow, outlook, expected } of table) {
    it(says, () => {
      const all = { others: [fast], ahead: 0, isMoreToCome: false, switchMs, ...outlook };
      assert.equal(isBetterLater(here, all), expected);
    });
  }
});
