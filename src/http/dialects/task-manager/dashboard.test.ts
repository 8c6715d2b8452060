import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import type { BackendReport, BackendView } from '../../../core/backend.ts';
import type { WorkflowView } from '../../../tasks/task-service.ts';
import { type DashboardView, dashboardPage, dashboardPolicy } from './dashboard.ts';

const hostile = `"><script>alert(1)</script>&'`;
const counts = { pending: 4, processing: 3, completed: 2, failed: 1, canceled: 0 };

const report: BackendReport = {
  state: 'busy',
  reason: hostile,
  since: '2025-01-15T10:30:00.000Z',
  lastActiveAt: null,
  version: hostile,
  devices: [{ name: hostile, memoryTotal: 24 * 1024 ** 3, memoryFree: 6 * 1024 ** 3 }],
  task: null,
  nextTask: null,
  warm: hostile,
  busyShare: 0.25,
  cannotRun: {},
  isKnown: true,
};

const backend: BackendView = {
  id: '0',
  address: `http://${hostile}`,
  wanted: 'active',
  inputDir: null,
  isFixed: true,
  gateway: null,
  report,
};

const workflow: WorkflowView = {
  name: hostile,
  counts,
  durationMs: 1_500,
  expectedWaitMs: null,
  runsOn: 0,
  of: 1,
  whyNot: { [hostile]: [hostile] },
  problem: null,
};

async function page(change: Partial<DashboardView> = {}): Promise<string> {
  return String(
    await dashboardPage({
      at: new Date('2025-01-15T10:30:00Z'),
      version: '0.1.0',
      backends: [backend],
      workflows: [workflow],
      counts,
      taskNames: [
        {
          task_name: hostile,
          workflow: hostile,
          description: null,
          kind: null,
          parameters: [hostile],
          available: false,
        },
      ],
      endpoints: [{ method: 'GET', path: hostile, summary: hostile }],
      ...change,
    }),
  );
}

describe('dashboardPage', () => {
  it('escapes whatever comes from elsewhere', async () => {
    const text = await page();
    assert.doesNotMatch(text, /<script/);
    assert.ok(text.includes('&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#39;'));
  });

  it('shows workers, GPUs, queues, names and endpoints', async () => {
    const text = await page();
    for (const shown of ['1 / 1', '25 %', '75 %', '18.0 GB of 24.0 GB', '1.5 s', '0 of 1']) {
      assert.ok(text.includes(shown), shown);
    }
  });

  it('says so where there is nothing', async () => {
    const text = await page({ backends: [], workflows: [], taskNames: [] });
    for (const said of ['No worker belongs to the pool.', 'TASK_NAMES is empty.', '0 / 0']) {
      assert.ok(text.includes(said), said);
    }
    const unreached = await page({ backends: [{ ...backend, report: null }] });
    assert.ok(unreached.includes('not reached yet'));
  });

  it('may use its own style, and nothing else', async () => {
    const [, style = ''] = /<style>(.*)<\/style>/s.exec(await page()) ?? [];
    const digest = createHash('sha256').update(style).digest('base64');
    assert.match(dashboardPolicy, /default-src 'none'/);
    assert.ok(dashboardPolicy.includes(`style-src 'sha256-${digest}'`));
  });
});
