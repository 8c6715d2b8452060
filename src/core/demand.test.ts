import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type OpenWork, serversWanted } from './demand.ts';

const minuteMs = 60_000;

const cases: [says: string, work: OpenWork, withinMs: number, servers: number][] = [
  ['none where nothing is to be done', { pending: 0, processing: 0, durationMs: 5 }, minuteMs, 0],
  ['one for the first task of all', { pending: 1, processing: 0, durationMs: null }, minuteMs, 1],
  ['one where nothing is known of how long tasks take', open(500, 0, null), minuteMs, 1],
  ['one for tasks that are done in time by one', open(6, 0, 10_000), minuteMs, 1],
  ['another for what is beyond that', open(7, 0, 10_000), minuteMs, 2],
  ['half a task for one that runs', open(6, 1, 10_000), minuteMs, 2],
  ['one that stays for what runs', open(0, 1, 10_000), minuteMs, 1],
  ['as many as there are tasks, at most', open(3, 0, 10 * minuteMs), minuteMs, 3],
  ['fewer where there is more time', open(60, 0, minuteMs), 20 * minuteMs, 3],
];

function open(pending: number, processing: number, durationMs: number | null): OpenWork {
  return { pending, processing, durationMs };
}

for (const [says, work, withinMs, servers] of cases) {
  test(`serversWanted: ${says}`, () => assert.equal(serversWanted(work, withinMs), servers));
}
