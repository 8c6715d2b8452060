import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { taskState } from '../core/run.ts';
import { eventKinds, isLast } from '../core/task-event.ts';
import { type Move, moves } from './moves.ts';

const all = Object.entries<Move>(moves);

describe('the moves', () => {
  it('are those that ARCHITECTURE.md draws', async () => {
    const page = await readFile(new URL('../../ARCHITECTURE.md', import.meta.url), 'utf8');
    const [, diagram = ''] = /```mermaid\nstateDiagram-v2\n(.*?)```/s.exec(page) ?? [];
    const drawn = diagram
      .trim()
      .split('\n')
      .map((line) => line.trim());
    const edges = all.flatMap(([name, { from, to, orTo }]) =>
      (from.length > 0 ? from : ['[*]']).flatMap((state) =>
        [to, orTo].flatMap((end) => (end ? `${state} --> ${end}: ${name}` : [])),
      ),
    );
    assert.deepEqual(drawn.toSorted(), edges.toSorted());
  });

  it('have an event each, of the same name, unless no client would see them', () => {
    for (const [name, { event }] of all) assert.ok(event === name || event === null, name);
    assert.deepEqual(new Set(all.flatMap(([, { event }]) => event ?? [])), new Set(eventKinds));
  });

  it('give a task with one run the state of that run', () => {
    for (const [name, { to, orTo }] of all) {
      for (const state of [to, orTo]) if (state) assert.equal(taskState([state]), state, name);
    }
  });

  it('end a task once: nothing leads on from an end, and each end has a last event', () => {
    const ends = new Set(['completed', 'failed', 'canceled']);
    for (const [name, { from, to, event }] of all) {
      for (const state of from) assert.ok(!ends.has(state), `${name} from ${state}`);
      if (event) assert.equal(isLast({ kind: event }), ends.has(to), name);
    }
  });
});
