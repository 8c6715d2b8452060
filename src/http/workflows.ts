import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { mediaKinds } from '../core/media.ts';
import { resultKinds } from '../core/result-format.ts';
import { maxWorkflowBytes } from '../workflows/parse.ts';
import { presentWorkflow } from '../workflows/present.ts';
import type { Draft, WorkflowDescription, WorkflowService } from '../workflows/workflow-service.ts';
import { actorOf, type Caller, tenantSeenBy } from './auth.ts';
import { errorSchema } from './errors.ts';
import { createRoutes, defineRoute, json, jsonBody } from './openapi.ts';

/** `/workflows`: what clients can call, and what operators put there. */
export function workflowRoutes(workflows: WorkflowService): OpenAPIHono {
  const app = createRoutes();

  app.openapi(listRoute, async (context) => {
    const all = await workflows.list();
    const seen = all.map((each) => presentTo(context.var.caller, each));
    return context.json({ workflows: seen }, 200);
  });
  app.openapi(validateRoute, async (context) => {
    const { name = 'draft' } = context.req.valid('query');
    const draft = draftOf(context.req.valid('json'));
    const described = await workflows.validate(name, draft);
    return context.json(presentTo(context.var.caller, described), 200);
  });
  app.openapi(findRoute, async (context) => {
    const described = await workflows.find(context.req.valid('param').name);
    return context.json(presentTo(context.var.caller, described), 200);
  });
  app.openapi(graphRoute, (context) => {
    return context.json({ ...workflows.graph(context.req.valid('param').name) }, 200);
  });
  app.openapi(putRoute, async (context) => {
    const { name } = context.req.valid('param');
    const draft = draftOf(context.req.valid('json'));
    return context.json(present(await workflows.put(actorOf(context), name, draft)), 200);
  });
  app.openapi(removeRoute, async (context) => {
    await workflows.remove(actorOf(context), context.req.valid('param').name);
    return context.json({ status: 'removed' as const }, 200);
  });
  return app;
}

const input = z.object({
  name: z.string(),
  type: z.enum(mediaKinds),
  required: z.boolean(),
  description: z.string().nullable(),
  node: z.string(),
  field: z.string(),
});

const output = z.object({
  name: z.string(),
  type: z.enum(resultKinds),
  content_types: z.array(z.string()).openapi({
    description: 'What its files are as a rule; empty where the node does not tell.',
  }),
  node: z.string(),
});

const workflow = z
  .object({
    name: z.string().openapi({ example: 'esrgan_image_4x' }),
    title: z.string().nullable(),
    description: z.string().nullable(),
    type: z.enum(resultKinds).nullable(),
    hash: z.string().nullable().openapi({
      description: 'Which version it is; every task tells the one that it runs.',
    }),
    aliases: z.array(z.string()).openapi({
      description: 'Names of models by which old clients ask for it.',
    }),
    scale: z.number().nullable().openapi({
      description: "How many times the source's size its result has.",
    }),
    keeps_transparency: z.boolean().nullable().openapi({
      description:
        'Whether the main result keeps the transparency of the source; `null` where no picture is made of a picture.',
    }),
    inputs: z.array(input).openapi({ description: 'The files that a task brings.' }),
    outputs: z.array(output),
    parameters: z.record(z.string(), z.unknown()).nullable().openapi({
      description: 'The JSON Schema of the values that a task may choose in `inputs`.',
    }),
    bindings: z.record(z.string(), z.array(z.object({ node: z.string(), field: z.string() }))),
    runs_on: z.int(),
    of: z.int(),
    why_not: z.record(z.string(), z.array(z.string())).openapi({
      description: 'By ComfyUI server, why it does not run there. Only operators see it.',
    }),
    learned_duration: z.number().nullable().openapi({
      description: 'Median seconds on the GPU of its last runs.',
    }),
    problem: z.string().nullable().openapi({
      description:
        'What is wrong with the files as they are now. A good version from before stays in use.',
    }),
  })
  .openapi('Workflow');

/** Why a server cannot run it names the server. */
function presentTo(caller: Caller, described: WorkflowDescription): z.infer<typeof workflow> {
  const presented = present(described);
  return tenantSeenBy(caller) === null ? presented : { ...presented, why_not: {} };
}

function present(described: WorkflowDescription): z.infer<typeof workflow> {
  const { name, workflow: known, problem, parameters, fitness, durationMs } = described;
  return {
    name,
    ...presentWorkflow(known),
    parameters: parameters && { ...parameters },
    runs_on: fitness?.able ?? 0,
    of: fitness?.total ?? 0,
    why_not: Object.fromEntries(
      [...(fitness?.unable ?? [])].map(([address, reasons]) => [address, [...reasons]]),
    ),
    learned_duration: durationMs === null ? null : Math.round(durationMs) / 1_000,
    problem: problem?.message ?? null,
  };
}

const graph = z.record(z.string(), z.unknown()).openapi('Graph');

/** A file as it is, or `{"graph": …, "meta": …}`. */
const draft = graph.openapi('WorkflowDraft', {
  description:
    'The file as ComfyUI saves it, in either format; or `{"graph": …, "meta": …}` with what would stand in `NAME.meta.json`.',
});

function draftOf(body: z.infer<typeof draft>): Draft {
  const isWrapped = 'graph' in body && Object.keys(body).every((key) => wrapperKeys.includes(key));
  return isWrapped ? { graph: body.graph, meta: body.meta ?? null } : { graph: body, meta: null };
}

const wrapperKeys = ['graph', 'meta'];

const nameParam = z.object({ name: z.string().openapi({ example: 'esrgan_image_4x' }) });
const newNameParam = z.object({ name: z.string().openapi({ example: 'scale_twice' }) });
const unknown = { 404: json(errorSchema, 'There is no such workflow.') };
const closed = {
  401: json(errorSchema, 'A key is needed.'),
  403: json(errorSchema, 'The key lacks the scope.'),
};
const readOnly = { 409: json(errorSchema, 'The gateway may not write to its workflow folder.') };
const refused = { 400: json(errorSchema, 'The file is no workflow; the message says why.') };
const untold = {
  503: json(errorSchema, 'No ComfyUI server was reached yet, so its nodes are not known.'),
};
/** A workflow comes with what is said of it. */
const draftSize = { maxBodyBytes: maxWorkflowBytes + 1024 * 1024 };
const draftBody = {
  body: jsonBody(draft, 'The workflow.', {
    '1': { class_type: 'LoadImage', inputs: { image: 'source.png' } },
    '2': {
      class_type: 'ImageScaleBy',
      inputs: { image: ['1', 0], upscale_method: 'lanczos', scale_by: 2 },
    },
    '3': { class_type: 'SaveImage', inputs: { images: ['2', 0], filename_prefix: 'twice' } },
  }),
};

const listRoute = defineRoute({
  method: 'get',
  path: '/workflows',
  operationId: 'listWorkflows',
  tag: 'Workflows',
  policy: { scope: 'tasks:read' },
  summary: 'The workflows, and the files that are none',
  responses: {
    200: json(z.object({ workflows: z.array(workflow) }), 'In alphabetical order.'),
    ...closed,
  },
});

const findRoute = defineRoute({
  method: 'get',
  path: '/workflows/{name}',
  operationId: 'getWorkflow',
  tag: 'Workflows',
  policy: { scope: 'tasks:read' },
  summary: 'What a workflow takes and gives, and where it runs',
  request: { params: nameParam },
  responses: { 200: json(workflow, 'The workflow.'), ...unknown, ...closed },
});

const graphRoute = defineRoute({
  method: 'get',
  path: '/workflows/{name}/graph',
  operationId: 'getWorkflowGraph',
  tag: 'Workflows',
  policy: { scope: 'graphs' },
  summary: 'The graph in the API format',
  request: { params: nameParam },
  responses: {
    200: json(graph, 'As it would be posted, but for a task’s values.'),
    ...unknown,
    ...closed,
    ...untold,
  },
});

const validateRoute = defineRoute({
  method: 'post',
  path: '/workflows/validate',
  operationId: 'validateWorkflow',
  tag: 'Workflows',
  policy: { scope: 'tasks:read', ...draftSize },
  summary: 'Try a workflow out without putting it in place',
  request: {
    query: z.object({ name: z.string().optional() }),
    ...draftBody,
  },
  responses: {
    200: json(workflow, 'What would become of it; `problem` says what is wrong.'),
    ...refused,
    ...closed,
  },
});

const putRoute = defineRoute({
  method: 'put',
  path: '/workflows/{name}',
  operationId: 'putWorkflow',
  tag: 'Workflows',
  policy: { scope: 'workflows:write', ...draftSize },
  summary: 'Put a workflow in place',
  request: { params: newNameParam, ...draftBody },
  responses: {
    200: json(workflow, 'It can be called.'),
    ...refused,
    ...closed,
    ...readOnly,
    ...untold,
  },
});

const removeRoute = defineRoute({
  method: 'delete',
  path: '/workflows/{name}',
  operationId: 'deleteWorkflow',
  tag: 'Workflows',
  policy: { scope: 'workflows:write' },
  summary: 'Take a workflow away; tasks that wait for it still run',
  request: { params: nameParam },
  responses: {
    200: json(z.object({ status: z.literal('removed') }), 'It can be called no more.'),
    ...unknown,
    ...closed,
    ...readOnly,
  },
});
