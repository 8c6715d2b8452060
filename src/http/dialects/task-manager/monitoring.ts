import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { isInService } from '../../../core/backend.ts';
import { tenantSeenBy } from '../../auth.ts';
import type { DialectParts } from '../../dialect.ts';
import { createRoutes, defineRoute, json } from '../../openapi.ts';
import { poolSeenBy } from '../../pool-view.ts';
import { dashboardPage, dashboardPolicy, type Endpoint } from './dashboard.ts';
import { errorBody } from './schema.ts';
import type { TaskManagerSettings } from './settings.ts';
import type { TaskMetrics } from './task-metrics.ts';
import { listTaskNames } from './task-names.ts';

export interface MonitoringParts
  extends Pick<DialectParts, 'tasks' | 'registry' | 'pool' | 'version'> {
  readonly settings: TaskManagerSettings;
  readonly metrics: TaskMetrics;
}

/** What people and Prometheus look at. `api`: whose routes the dashboard lists. */
export function monitoringRoutes(
  parts: MonitoringParts,
  api: Pick<OpenAPIHono, 'openAPIRegistry'>,
): OpenAPIHono {
  const { tasks, pool, metrics, version } = parts;
  const app = createRoutes();

  app.openapi(dashboardRoute, async (context) => {
    const { caller } = context.var;
    const tenant = tenantSeenBy(caller);
    const [backends, workflows, counts, taskNames] = await Promise.all([
      poolSeenBy(caller, parts),
      tasks.workflows(tenant),
      tasks.countByState(tenant),
      listTaskNames(parts),
    ]);
    const endpoints = endpointsOf(api);
    const at = new Date();
    context.header('Content-Security-Policy', dashboardPolicy);
    context.header('Cache-Control', 'no-store');
    return context.html(
      await dashboardPage({ at, version, backends, workflows, counts, taskNames, endpoints }),
      200,
    );
  });

  app.openapi(metricsRoute, async (context) => {
    const [backends, workflows] = await Promise.all([pool.list(), tasks.workflows(null)]);
    const reports = backends.flatMap(({ address, report }) =>
      report ? [{ address, report }] : [],
    );
    const text = await metrics.expose({
      activeWorkers: reports.filter(({ report }) => isInService(report.state)).length,
      queueDepths: new Map(workflows.map(({ name, counts }) => [name, counts.pending])),
      gpuUtilization: new Map(
        reports.map(({ address, report }) => [address, Math.round(report.busyShare * 1_000) / 10]),
      ),
    });
    return context.text(text, 200, { 'content-type': metrics.contentType });
  });

  return app;
}

function endpointsOf({ openAPIRegistry }: Pick<OpenAPIHono, 'openAPIRegistry'>): Endpoint[] {
  return openAPIRegistry.definitions.flatMap((definition) => {
    if (definition.type !== 'route') return [];
    const { method, path, summary = '' } = definition.route;
    return [{ method: method.toUpperCase(), path, summary }];
  });
}

const closed = {
  401: json(errorBody, 'A key is needed.'),
  403: json(errorBody, 'The key lacks the scope.'),
};
const away = { 503: json(errorBody, 'The gateway cannot tell at present.') };

const dashboardRoute = defineRoute({
  method: 'get',
  path: '/dashboard',
  operationId: 'getTaskManagerDashboard',
  tag: 'Task manager',
  policy: { scope: 'tasks:read' },
  summary: 'Workers, GPUs and queues, as a page for people',
  responses: {
    200: { description: 'The page.', content: { 'text/html': { schema: z.string() } } },
    ...closed,
    ...away,
  },
});

const metricsRoute = defineRoute({
  method: 'get',
  path: '/dashboard/metrics',
  operationId: 'getTaskManagerMetrics',
  tag: 'Task manager',
  policy: { scope: 'admin' },
  summary: 'Metrics for Prometheus',
  responses: {
    200: {
      description: "In Prometheus's text format.",
      content: { 'text/plain': { schema: z.string() } },
    },
    ...closed,
    403: json(errorBody, 'An operator’s key is needed.'),
    ...away,
  },
});
