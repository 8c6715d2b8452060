import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { it } from 'node:test';
import PQueue from 'p-queue';
import { pino } from 'pino';
import { realTempo } from '../../core/tempo.ts';
import type { Notices } from '../../db/notices.ts';
import type { HeldSource, HeldSourceStore } from '../../tasks/held-source-store.ts';
import { SourceLog } from '../../telemetry/source-log.ts';
import { SourceCopies } from './source-copies.ts';

const note = {
  bytes: 5,
  sha256: null,
  info: { kind: 'image', format: 'png', width: 1, height: 1 },
} as const;

it('a copy comes from another gateway, also where the first notice that it is wanted is lost', async () => {
  let told = 0;
  const notices = Object.assign(new EventEmitter() as Notices, {
    hasOthers: true,
    tellOthers: () => {
      told += 1;
    },
  });
  const copies = new SourceCopies({
    held: {
      find: async (): Promise<HeldSource> => ({
        note,
        objectKey: 'sources/1',
        isStored: told > 1,
        isWithOther: true,
      }),
    } as Partial<HeldSourceStore> as HeldSourceStore,
    objects: { put: assert.fail, delete: assert.fail, abandon: assert.fail },
    notices,
    puts: new PQueue(),
    log: new SourceLog(pino({ enabled: false })),
    tempo: { ...realTempo.sources, lookEveryMs: 1 },
  });
  const inTime = AbortSignal.timeout(2_000);
  const { stored } = await copies.locate({ runId: 'r', input: 'image' }, false, inTime);
  assert.deepEqual(stored, { key: 'sources/1', note });
});
