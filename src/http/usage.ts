import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { accepts } from 'hono/accepts';
import { GatewayError, invalidField } from '../core/errors.ts';
import type { UsageService } from '../tasks/usage-service.ts';
import { type UsageQuery, type UsageRow, usageKeys } from '../tasks/usage-store.ts';
import { type Caller, tenantSeenBy } from './auth.ts';
import { toCsv } from './csv.ts';
import { errorSchema } from './errors.ts';
import { createRoutes, defineRoute, json } from './openapi.ts';

const dayMs = 24 * 3_600_000;
const mostDays = 366;
const usualDays = 30;

/** `/usage`: what tenants had. */
export function usageRoutes(usage: Pick<UsageService, 'report'>): OpenAPIHono {
  const app = createRoutes();

  app.openapi(usageRoute, async (context) => {
    const asked = context.req.valid('query');
    const query = {
      ...daysOf(asked),
      tenant: tenantOf(asked.tenant, context.var.caller),
      by: asked.by,
    };
    const { rows, stored } = await usage.report(query);
    const table = rows.map((row) => present(row, query));
    const form = asked.format ?? (prefersCsv(context) ? 'csv' : 'json');
    if (form === 'json') {
      const { from, to } = query;
      return context.json({ from, to, usage: table, stored: [...stored] }, 200);
    }
    const columns = [...usageKeys.filter((key) => query.by.includes(key)), ...figures];
    const lines = table.map((row) => columns.map((column) => row[column] ?? null));
    context.header('Content-Disposition', 'attachment; filename="usage.csv"');
    return context.body(toCsv(columns, lines), 200, { 'Content-Type': 'text/csv; charset=utf-8' });
  });
  return app;
}

function prefersCsv(context: Parameters<typeof accepts>[0]): boolean {
  const supports = ['application/json', 'text/csv'];
  return (
    accepts(context, { header: 'Accept', supports, default: 'application/json' }) === 'text/csv'
  );
}

/** Whose usage is told; `null` for everybody's. */
function tenantOf(asked: string | undefined, caller: Caller): string | null {
  const seen = tenantSeenBy(caller);
  if (seen !== null && asked !== undefined && asked !== seen) {
    throw new GatewayError(
      'forbidden',
      'To see the usage of others, the key needs the scope admin',
    );
  }
  return asked ?? seen;
}

function daysOf({ from, to }: { from?: string | undefined; to?: string | undefined }) {
  const last = to ?? dayOf(Date.now());
  const first = from ?? dayOf(Date.parse(last) - (usualDays - 1) * dayMs);
  const days = (Date.parse(last) - Date.parse(first)) / dayMs + 1;
  if (days < 1) throw invalidField('from', 'must not be later than to');
  if (days > mostDays) throw invalidField('from', `must be at most ${mostDays} days before to`);
  return { from: first, to: last };
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

const figures = [
  'submitted',
  'completed',
  'failed',
  'canceled',
  'gpu_seconds',
  'source_bytes',
  'stored_bytes',
] as const;

const row = z
  .object({
    day: z.iso.date().optional().openapi({ description: 'UTC.' }),
    tenant: z.string().optional(),
    workflow: z.string().optional(),
    submitted: z.int(),
    completed: z.int(),
    failed: z.int(),
    canceled: z.int(),
    gpu_seconds: z.number().openapi({
      description: 'Of all attempts, whatever became of them; of tasks that share a run, once.',
    }),
    source_bytes: z.int().openapi({ description: 'Of the files that went to ComfyUI servers.' }),
    stored_bytes: z.int().openapi({
      description: 'Of the results that came into the store, thumbnails aside.',
    }),
  })
  .openapi('Usage');

function present(
  { day, tenant, workflow, gpuMs, sourceBytes, storedBytes, ...tasks }: UsageRow,
  { by }: Pick<UsageQuery, 'by'>,
): z.infer<typeof row> {
  const keys = { day, tenant, workflow };
  return {
    ...Object.fromEntries(by.map((key) => [key, keys[key] ?? ''])),
    ...tasks,
    gpu_seconds: gpuMs / 1_000,
    source_bytes: sourceBytes,
    stored_bytes: storedBytes,
  };
}

const day = z.iso.date('must be a day, such as 2026-08-01');

const isKey = (text: string) => usageKeys.some((key) => key === text);

const query = z.object({
  from: day.optional().openapi({ description: `${usualDays} days where it is left out.` }),
  to: day.optional().openapi({ description: 'The last day, today where it is left out; UTC.' }),
  tenant: z
    .string('must be given once')
    .max(200, 'must be at most 200 characters')
    .optional()
    .openapi({
      description:
        'Only of this tenant. Without the scope `admin`, a key sees its own tenant alone.',
    }),
  by: z
    .string('must be given once')
    .default('day,tenant')
    .refine(
      (text) => text.split(',').every(isKey),
      `must be one or more of ${usageKeys.join(', ')}, with commas between them`,
    )
    .transform((text) => usageKeys.filter((key) => text.split(',').includes(key)))
    .openapi({
      type: 'string',
      description: 'What each row is of: `day`, `tenant`, `workflow`, with commas between them.',
      example: 'day,tenant',
    }),
  format: z.enum(['json', 'csv'], 'must be json or csv').optional().openapi({
    description: 'Before `Accept`.',
  }),
});

const answer = z.object({
  from: z.iso.date(),
  to: z.iso.date(),
  usage: z.array(row).openapi({ description: 'A tenant for whom nothing happened has no row.' }),
  stored: z
    .array(z.object({ tenant: z.string(), bytes: z.int() }))
    .openapi({ description: 'What is in the store at present, thumbnails aside.' }),
});

const inJson = json(answer, 'In JSON, or as CSV: its rows.');

const usageRoute = defineRoute({
  method: 'get',
  path: '/usage',
  operationId: 'getUsage',
  tag: 'Monitoring',
  policy: { scope: 'tasks:read' },
  summary: 'Tasks, GPU time and bytes by day, tenant and workflow',
  request: { query },
  responses: {
    200: { ...inJson, content: { ...inJson.content, 'text/csv': { schema: z.string() } } },
    400: json(errorSchema, 'The request is wrong; `field` says where.'),
    401: json(errorSchema, 'A key is needed.'),
    403: json(errorSchema, 'The key lacks the scope.'),
  },
});
