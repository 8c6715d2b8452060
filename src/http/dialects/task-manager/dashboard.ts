import type { z } from '@hono/zod-openapi';
import { html, raw } from 'hono/html';
import { type BackendState, type BackendView, isInService } from '../../../core/backend.ts';
import type { StateCounts } from '../../../tasks/queue-stats.ts';
import type { WorkflowView } from '../../../tasks/task-service.ts';
import { dashboardStyle, styleDigest } from './dashboard-style.ts';
import type { taskNameList } from './schema.ts';

export interface Endpoint {
  readonly method: string;
  readonly path: string;
  readonly summary: string;
}

export interface DashboardView {
  readonly at: Date;
  readonly version: string;
  readonly backends: readonly BackendView[];
  readonly workflows: readonly WorkflowView[];
  readonly counts: StateCounts;
  readonly taskNames: z.infer<typeof taskNameList>['task_names'];
  readonly endpoints: readonly Endpoint[];
}

type Html = ReturnType<typeof html>;

const refreshSeconds = 5;

/** The page loads nothing, runs nothing and sends nothing. */
export const dashboardPolicy = [
  "default-src 'none'",
  `style-src '${styleDigest}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Its links are relative: it works under any prefix. `html` escapes whatever is put into it. */
export function dashboardPage(view: DashboardView): Html {
  const { at, version, backends, workflows, counts, taskNames, endpoints } = view;
  const inService = backends.filter(({ report }) => isInService(report?.state)).length;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="${refreshSeconds}">
<title>Task manager</title>
<style>${raw(dashboardStyle)}</style>
</head>
<body>
<header><h1>Task manager</h1><p>version ${version}, ${utc(at)}, refreshed every ${refreshSeconds} s</p></header>
<div class="cards">
${card('workers in service', `${inService} / ${backends.length}`)}
${card('tasks waiting', counts.pending)}
${card('in progress', counts.processing)}
${card('completed', counts.completed)}
${card('failed', counts.failed)}
${card('revoked', counts.canceled)}
</div>
<h2>Worker pool</h2>
${sheet(['Worker', 'State', 'Since', 'ComfyUI', 'Models loaded for', 'Busy, last five minutes'], backends.map(workerRow), 'No worker belongs to the pool.')}
<h2>GPU configuration</h2>
${sheet(['Worker', 'GPU', 'Memory in use', 'Memory'], backends.flatMap(gpuRows), 'No GPU to show: only operators see those of all workers.')}
<h2>Queues</h2>
${sheet(['Queue', '#Waiting', '#In progress', '#Typical time', '#Expected wait', '#Runs on'], queuesOf(view).map(queueRow), 'No task name stands for a workflow.')}
<h2>Task names</h2>
${sheet(
  ['Name', 'Queue', 'Parameters', 'Can run'],
  taskNames.map((name) => taskNameRow(name, workflows)),
  'TASK_NAMES is empty.',
)}
<h2>API endpoints</h2>
${sheet(['Method', 'Path', 'What it does'], endpoints.map(endpointRow), '')}
<p>The whole reference: <a href="docs">Swagger UI</a>, <a href="redoc">ReDoc</a>, <a href="openapi.json">OpenAPI</a>. Metrics: <a href="dashboard/metrics">Prometheus</a>.</p>
</body>
</html>
`;
}

function card(name: string, value: string | number): Html {
  return html`<div class="card"><b>${value}</b><span>${name}</span></div>`;
}

/** A head that begins with `#` stands over numbers. */
function sheet(heads: readonly string[], rows: readonly Html[], without: string): Html {
  const cells = heads.map((head) =>
    head.startsWith('#') ? html`<th class="number">${head.slice(1)}</th>` : html`<th>${head}</th>`,
  );
  const none = html`<tr><td class="none" colspan="${heads.length}">${without}</td></tr>`;
  return html`<div class="sheet"><table><thead><tr>${cells}</tr></thead><tbody>
${rows.length > 0 ? rows : none}
</tbody></table></div>`;
}

const looks: Record<BackendState, string> = {
  idle: 'good',
  busy: 'busy',
  draining: 'warn',
  offline: 'bad',
  quarantined: 'bad',
};

function workerRow({ address, report }: BackendView): Html {
  const state = report?.state ?? 'offline';
  const percent = Math.round((report?.busyShare ?? 0) * 100);
  return html`<tr><td class="path">${address}</td>
<td><span class="badge ${looks[state]}">${state}</span><br><span class="faint">${report?.reason ?? 'not reached yet'}</span></td>
<td class="faint">${report ? utc(new Date(report.since)) : ''}</td><td>${report?.version ?? ''}</td>
<td class="path">${report?.warm ?? ''}</td>
<td class="share"><meter min="0" max="100" value="${percent}"></meter>${percent} %</td></tr>
`;
}

function gpuRows({ address, report }: BackendView): Html[] {
  return (report?.devices ?? []).map(({ name, memoryTotal, memoryFree }) => {
    const used = Math.max(0, memoryTotal - memoryFree);
    const percent = memoryTotal > 0 ? Math.round((used / memoryTotal) * 100) : 0;
    return html`<tr><td class="path">${address}</td><td>${name}</td>
<td class="share"><meter min="0" max="100" value="${percent}"></meter>${percent} %</td>
<td>${gigabytes(used)} of ${gigabytes(memoryTotal)}</td></tr>
`;
  });
}

/** Those that a task name stands for, and those of other clients while they hold something. */
function queuesOf({ workflows, taskNames }: DashboardView): WorkflowView[] {
  const named = new Set(taskNames.map(({ workflow }) => workflow));
  return workflows.filter(
    ({ name, counts }) => named.has(name) || counts.pending + counts.processing > 0,
  );
}

function queueRow(workflow: WorkflowView): Html {
  const { name, counts, durationMs, expectedWaitMs, runsOn, of } = workflow;
  return html`<tr><td class="path">${name}</td><td class="number">${counts.pending}</td>
<td class="number">${counts.processing}</td><td class="number">${seconds(durationMs)}</td>
<td class="number">${seconds(expectedWaitMs)}</td><td class="number">${runsOn} of ${of}</td></tr>
`;
}

function taskNameRow(
  { task_name, workflow, parameters, available }: DashboardView['taskNames'][number],
  workflows: readonly WorkflowView[],
): Html {
  const found = workflows.find(({ name }) => name === workflow);
  const [reasons] = Object.values(found?.whyNot ?? {});
  const why = found?.problem ?? (found ? reasons?.join('. ') : 'there is no such workflow');
  return html`<tr><td class="path">${task_name}</td><td class="path">${workflow}</td>
<td class="path">${parameters.join(', ')}</td>
<td>${available ? html`<span class="badge good">yes</span>` : html`<span class="badge bad">no</span><br><span class="faint">${why ?? 'no worker is known to run it'}</span>`}</td></tr>
`;
}

function endpointRow({ method, path, summary }: Endpoint): Html {
  return html`<tr><td><code>${method}</code></td><td class="path">${path}</td><td>${summary}</td></tr>
`;
}

function utc(at: Date): string {
  return `${at.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

function seconds(ms: number | null): string {
  return ms === null ? '–' : `${(ms / 1_000).toFixed(1)} s`;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1024 ** 3).toFixed(1)} GB`;
}
