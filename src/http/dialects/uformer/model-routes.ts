import type { OpenAPIHono } from '@hono/zod-openapi';
import { actorOf } from '../../auth.ts';
import type { DialectParts } from '../../dialect.ts';
import { createRoutes, defineRoute, json } from '../../openapi.ts';
import { closed, invalid } from './errors.ts';
import {
  isNamed,
  type Model,
  modelsOf,
  namesIn,
  presentControls,
  presentModels,
  presentUnloaded,
} from './models.ts';
import * as schema from './schema.ts';

/** Which models are in the memory of GPUs. */
export function modelRoutes({
  pool,
  registry,
}: Pick<DialectParts, 'pool' | 'registry'>): OpenAPIHono {
  const app = createRoutes();

  app.openapi(loadedRoute, async (context) => {
    const models = presentModels(modelsOf(registry.all()), await pool.list());
    return context.json({ models }, 200);
  });

  app.openapi(controlsRoute, (context) =>
    context.json(presentControls(modelsOf(registry.all())), 200),
  );

  app.openapi(strategyRoute, (context) => context.json({ load_all_on_startup: false }, 200));

  app.openapi(unloadRoute, async (context) => {
    const { model_names: wanted = [] } = context.req.valid('json');
    const models = modelsOf(registry.all());
    const isMeant = (model: Model) =>
      wanted.length === 0 || wanted.some((name) => isNamed(model, name));
    const meant = models.filter(isMeant);
    const workflows = meant.map(({ workflow }) => workflow.name);
    const outcome = await pool.unload(actorOf(context), workflows, context.req.raw.signal);
    const names = wanted.length > 0 ? wanted : namesIn(models, outcome);
    return context.json(presentUnloaded(names, models, outcome), 200);
  });

  return app;
}

const loadedRoute = defineRoute({
  method: 'get',
  path: '/api/loaded_models_status',
  operationId: 'getLoadedModels',
  tag: 'Uformer hub',
  policy: { scope: 'tasks:read' },
  summary: 'The models, and which are loaded',
  responses: { 200: json(schema.loadedModels, 'All models.'), ...closed },
});

const controlsRoute = defineRoute({
  method: 'get',
  path: '/api/available_controls',
  operationId: 'getAvailableControls',
  tag: 'Uformer hub',
  policy: { scope: 'tasks:read' },
  summary: 'The models by what they work on and what they do',
  responses: { 200: json(schema.availableControls, 'The names of the models.'), ...closed },
});

const strategyRoute = defineRoute({
  method: 'get',
  path: '/api/model_loading_strategy',
  operationId: 'getModelLoadingStrategy',
  tag: 'Uformer hub',
  policy: { scope: 'tasks:read' },
  summary: 'Whether models are loaded before they are needed',
  responses: { 200: json(schema.loadingStrategy, 'They are not.'), ...closed },
});

const unloadRoute = defineRoute({
  method: 'post',
  path: '/api/unload_models',
  operationId: 'unloadModels',
  tag: 'Uformer hub',
  policy: { scope: 'admin' },
  summary: 'Take models out of the memory of GPUs that have nothing to do',
  request: { body: { ...json(schema.unloadModels, 'Which.'), required: true } },
  responses: {
    200: json(schema.modelsUnloaded, 'What was unloaded, and what was not there or is in use.'),
    ...invalid,
    ...closed,
  },
});
