import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { realTempo } from '../core/tempo.ts';
import { slowestBytesPerSecond } from './floor.ts';

const inSeconds = (ms: number) => `${ms / 1_000} s`;
const inMinutes = (ms: number) => `${ms / 60_000} min`;
const slowest = slowestBytesPerSecond / 1024;
const floorOver = (ms: number, least = slowest) => `${least} KiB/s over ${inSeconds(ms)}`;

describe('docs/transfers.md', () => {
  const text = readFileSync(new URL('../../docs/transfers.md', import.meta.url), 'utf8');
  const cells = (line: string) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
  const rows = text
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .slice(2)
    .map(cells);

  it('tells the times as they are', () => {
    const { source, comfyui, inputs, target, store, http } = realTempo;
    const bySize = 'and longer by its size at 256 KiB/s';
    const wholeUpload = comfyui.idleDeadlineMs + comfyui.answerDeadlineMs;
    const times = [
      [
        inSeconds(source.idleDeadlineMs),
        floorOver(source.floorDeadlineMs, 10),
        inMinutes(source.totalDeadlineMs),
      ],
      [
        inSeconds(store.idleDeadlineMs),
        floorOver(source.floorDeadlineMs),
        inMinutes(source.totalDeadlineMs),
      ],
      ['', floorOver(http.paceDeadlineMs, 10), inMinutes(http.requestDeadlineMs)],
      [
        '',
        floorOver(comfyui.floorDeadlineMs),
        `${inSeconds(wholeUpload)}, and longer by its size at the floor`,
      ],
      ['', '', `${inSeconds(inputs.copyDeadlineMs)}, and longer by its size at 5 MB/s`],
      [
        inSeconds(comfyui.idleDeadlineMs),
        floorOver(comfyui.floorDeadlineMs),
        'by its size at the floor',
      ],
      ['', '', inSeconds(comfyui.answerDeadlineMs)],
      ['', '', inSeconds(comfyui.catalogueDeadlineMs)],
      ['', floorOver(target.floorDeadlineMs), `${inSeconds(target.requestDeadlineMs)}, ${bySize}`],
      ['', floorOver(store.floorDeadlineMs), `${inSeconds(store.requestDeadlineMs)}, ${bySize}`],
      ['', '', inSeconds(store.requestDeadlineMs)],
      [inSeconds(store.idleDeadlineMs), '', ''],
    ];
    assert.deepEqual(
      rows.map(([, ...cells]) => cells),
      times,
    );
  });

  it('tells after which time a transfer leaves its place', () => {
    assert.ok(text.includes(`After ${inSeconds(realTempo.transfer.lastsAfterMs)} a transfer`));
  });
});
