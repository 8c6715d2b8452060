import { type OpenAPIHono, z } from '@hono/zod-openapi';
import {
  type BackendView,
  backendStates,
  type UnloadedWorkflows,
  type WantedState,
} from '../core/backend.ts';
import { faultWords, versionFaults } from '../core/server-faults.ts';
import { actorOf } from './auth.ts';
import { errorSchema } from './errors.ts';
import { createRoutes, defineRoute, json, jsonBody } from './openapi.ts';

/** What operators do to the pool. `actor`: who does. */
export interface PoolControl {
  list(): Promise<BackendView[]>;
  add(actor: string, url: string, inputDir: string | null): Promise<BackendView>;
  want(actor: string, id: string, wanted: Exclude<WantedState, 'removed'>): Promise<BackendView>;
  remove(actor: string, id: string): Promise<void>;
  /** Of the backends that this gateway drives. */
  unload(
    actor: string,
    workflows: readonly string[],
    signal: AbortSignal,
  ): Promise<UnloadedWorkflows>;
}

/** `/backends`: which ComfyUI servers belong to the pool. */
export function backendRoutes(pool: PoolControl): OpenAPIHono {
  const app = createRoutes();

  app.openapi(listRoute, async (context) => {
    return context.json({ backends: (await pool.list()).map(present) }, 200);
  });
  app.openapi(addRoute, async (context) => {
    const { url, input_dir } = context.req.valid('json');
    const added = await pool.add(actorOf(context), url, input_dir ?? null);
    return context.json(present(added), 201);
  });
  app.openapi(changeRoute, async (context) => {
    const { id } = context.req.valid('param');
    const { wanted } = context.req.valid('json');
    return context.json(present(await pool.want(actorOf(context), id, wanted)), 200);
  });
  app.openapi(removeRoute, async (context) => {
    await pool.remove(actorOf(context), context.req.valid('param').id);
    return context.json({ status: 'removed' as const }, 200);
  });
  return app;
}

const inputDirIs = "The server's input folder as gateways see it, where they share a file system.";

const backend = z
  .object({
    id: z.string().openapi({ example: '3f2a9c01b7de' }),
    address: z.string().openapi({ example: 'http://127.0.0.1:8188' }),
    wanted: z.enum(['active', 'draining', 'removed']),
    fixed: z.boolean().openapi({ description: 'It stands in COMFYUI_BACKENDS.' }),
    input_dir: z.string().nullable().openapi({ description: inputDirIs }),
    shares_inputs: z.boolean().openapi({
      description: 'Inputs are put into `input_dir`; where they are not, they are uploaded.',
    }),
    max_input_bytes: z.int().nullable().openapi({
      description: 'The largest input that it takes; `null`: no limit is known.',
    }),
    gateway: z.string().nullable().openapi({ description: 'The gateway that drives it.' }),
    state: z.enum(backendStates),
    reason: z.string(),
    since: z.iso.datetime().nullable(),
    version: z.string().nullable(),
    gets_wrong: z.array(z.string()).openapi({
      description: 'What ComfyUI of this version gets wrong of clips.',
      example: ['does not turn clips upright (mended in 0.21.0)'],
    }),
    cannot_run: z.record(z.string(), z.array(z.string())).openapi({
      description: 'By workflow, why it does not run here.',
    }),
  })
  .openapi('Backend');

const idParam = z.object({ id: z.string().openapi({ example: '3f2a9c01b7de' }) });

function present(view: BackendView): z.infer<typeof backend> {
  const { id, address, wanted, isFixed, inputDir, gateway, report } = view;
  return {
    id,
    address,
    wanted,
    fixed: isFixed,
    input_dir: inputDir,
    shares_inputs: report?.sharesInputs ?? false,
    max_input_bytes: report?.maxInputBytes ?? null,
    gateway,
    state: report?.state ?? 'offline',
    reason: report?.reason ?? 'not reached yet',
    since: report?.since ?? null,
    version: report?.version ?? null,
    gets_wrong: versionFaults(report?.version ?? null).map(faultWords),
    cannot_run: Object.fromEntries(
      Object.entries(report?.cannotRun ?? {}).map(([name, reasons]) => [name, [...reasons]]),
    ),
  };
}

const closed = {
  401: json(errorSchema, 'A key is needed.'),
  403: json(errorSchema, 'The key lacks the scope.'),
};
const invalid = { 400: json(errorSchema, 'The request is wrong; `field` says where.') };
const unknown = { 404: json(errorSchema, 'There is no such backend.') };

const listRoute = defineRoute({
  method: 'get',
  path: '/backends',
  operationId: 'listBackends',
  tag: 'Pool',
  policy: { scope: 'backends:write' },
  summary: 'The pool',
  responses: { 200: json(z.object({ backends: z.array(backend) }), 'All backends.'), ...closed },
});

const addRoute = defineRoute({
  method: 'post',
  path: '/backends',
  operationId: 'addBackend',
  tag: 'Pool',
  policy: { scope: 'backends:write' },
  summary: 'Add a ComfyUI server to the pool',
  request: {
    body: jsonBody(
      z.object({
        url: z.string().max(2_000).openapi({ example: 'http://user:password@10.0.0.7:8188' }),
        input_dir: z
          .string()
          .max(4_000)
          .nullish()
          .openapi({ description: inputDirIs, example: '/mnt/gpu7/input' }),
      }),
      'Where it is.',
      { url: 'http://127.0.0.1:8188' },
    ),
  },
  responses: {
    201: json(backend, 'The server belongs to the pool from now on, for all gateways.'),
    ...invalid,
    ...closed,
    409: json(errorSchema, 'The server belongs to the pool already.'),
  },
});

const changeRoute = defineRoute({
  method: 'patch',
  path: '/backends/{id}',
  operationId: 'changeBackend',
  tag: 'Pool',
  policy: { scope: 'backends:write' },
  summary: 'Drain a backend, or resume it',
  request: {
    params: idParam,
    body: jsonBody(z.object({ wanted: z.enum(['active', 'draining']) }), 'What is wanted of it.', {
      wanted: 'draining',
    }),
  },
  responses: { 200: json(backend, 'The backend.'), ...invalid, ...unknown, ...closed },
});

const removeRoute = defineRoute({
  method: 'delete',
  path: '/backends/{id}',
  operationId: 'removeBackend',
  tag: 'Pool',
  policy: { scope: 'backends:write' },
  summary: 'Remove a ComfyUI server from the pool, once its task has ended',
  request: { params: idParam },
  responses: {
    200: json(z.object({ status: z.literal('removed') }), 'It gets no more tasks.'),
    ...unknown,
    ...closed,
    409: json(errorSchema, 'The server stands in the settings and can only be drained.'),
  },
});
