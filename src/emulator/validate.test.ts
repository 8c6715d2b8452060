import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openFolders } from './folders.ts';
import type { Loaders } from './loaders/loaders.ts';
import { Catalog } from './object-info.ts';
import { validatePrompt } from './validate.ts';

/** A value that a combo of the new kind does not have. */
const graph = () => ({
  '1': { class_type: 'PrimitiveString', inputs: { value: 'a' } },
  '2': {
    class_type: 'SaveText',
    inputs: { text: ['1', 0], filename_prefix: 'x', format: 'pdf' },
  },
});

async function answer(loaders: Loaders) {
  const folder = await mkdtemp(join(tmpdir(), 'tmlsr-validate-'));
  try {
    return await validatePrompt(graph(), null, await openFolders(folder), new Catalog({ loaders }));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

describe('the check of a prompt', () => {
  it('refuses an unknown value of a combo of the new kind, as 0.33 does', async () => {
    const { error, nodeErrors } = await answer('0.33');
    assert.equal(error?.type, 'prompt_outputs_failed_validation');
    const [refusal] = nodeErrors['2']?.errors ?? [];
    assert.deepEqual(
      [refusal?.type, refusal?.details, refusal?.extra_info.received_value],
      ['value_not_in_list', "format: 'pdf' not in ['txt', 'csv', 'md', 'json']", 'pdf'],
    );
  });

  it('leaves it to the node, as 0.3.64 does', async () => {
    assert.equal((await answer('0.3.64')).error, null);
  });
});
