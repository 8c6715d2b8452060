import type { OperatorEventKind } from '../core/operator-event.ts';

/** An act that leaves a record. */
export interface Act {
  /** What the record names as its subject. */
  readonly of: string;
  /** What its body tells. */
  readonly tells: string;
  /** The requests that do it: dialect, method, path. */
  readonly by: readonly string[];
}

const ofKey = '`name`, `tenant` and `scopes`';
const wantedBefore = '`before`: what was wanted of it';

/**
 * All that operators may do to the gateway, and what removes the work of others in bulk. An act that changes
 * nothing, is refused or fails leaves no record.
 */
export const acts = {
  backend_added: {
    of: "the backend's address",
    tells: 'nothing more',
    by: ['tmlsr POST /backends'],
  },
  backend_drained: {
    of: "the backend's address",
    tells: wantedBefore,
    by: ['tmlsr PATCH /backends/{id}'],
  },
  backend_resumed: {
    of: "the backend's address",
    tells: wantedBefore,
    by: ['tmlsr PATCH /backends/{id}'],
  },
  backend_removed: {
    of: "the backend's address",
    tells: wantedBefore,
    by: ['tmlsr DELETE /backends/{id}'],
  },
  workflow_written: {
    of: 'the workflow',
    tells: '`before` and `after`: its hashes; `before` is `null` for a new one',
    by: ['tmlsr PUT /workflows/{name}'],
  },
  workflow_deleted: {
    of: 'the workflow',
    tells: '`before`: its hash, `null` where no version was good',
    by: ['tmlsr DELETE /workflows/{name}'],
  },
  models_unloaded: {
    of: 'nothing in particular',
    tells: '`unloaded`: whose models (`workflow`) went from which `backend`',
    by: ['uformer POST /api/unload_models'],
  },
  results_discarded: {
    of: "the tenant whose tasks' results they were; empty for everybody's",
    tells: '`tasks`: of how many; `dialect` and `types`: of which',
    by: ['uformer POST /api/clear_cache'],
  },
  paused: {
    of: '`pool`, `workflow NAME` or `tenant NAME`',
    tells: '`reason` and `until`: `null` where none was given',
    by: [
      'tmlsr PUT /pauses/pool',
      'tmlsr PUT /pauses/workflows/{name}',
      'tmlsr PUT /pauses/tenants/{name}',
    ],
  },
  resumed: {
    of: '`pool`, `workflow NAME` or `tenant NAME`',
    tells: 'nothing more',
    by: [
      'tmlsr DELETE /pauses/pool',
      'tmlsr DELETE /pauses/workflows/{name}',
      'tmlsr DELETE /pauses/tenants/{name}',
    ],
  },
  key_created: { of: "the key's id", tells: ofKey, by: ['tmlsr POST /keys'] },
  key_rotated: { of: "the key's id", tells: ofKey, by: ['tmlsr POST /keys/{id}/rotate'] },
  key_revoked: { of: "the key's id", tells: ofKey, by: ['tmlsr DELETE /keys/{id}'] },
} as const satisfies Record<OperatorEventKind, Act>;

/** Requests that only operators may make, and that change nothing. */
export const looks: readonly string[] = [
  'tmlsr GET /backends',
  'tmlsr GET /keys',
  'tmlsr GET /monitor/demand',
  'tmlsr GET /monitor/operators',
  'tmlsr GET /pauses',
  'tmlsr GET /workflows/{name}/graph',
  'task-manager GET /dashboard/metrics',
];
