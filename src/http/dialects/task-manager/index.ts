import type { Dialect } from '../../dialect.ts';
import { createRoutes } from '../../openapi.ts';
import { presentError } from './errors.ts';
import { monitoringRoutes } from './monitoring.ts';
import { dialect } from './parse.ts';
import { taskRoutes } from './routes.ts';

/** The API of the task manager, whose tasks are named functions with their arguments. */
export const taskManager: Dialect = {
  name: dialect,
  prefix: '/task-manager',
  title: 'Task manager',
  description: 'Tasks by the names of pipelines, with a dashboard and metrics for Prometheus.',
  documentsAt: '',
  // Requests are small JSON.
  maxBodyBytes: 1024 * 1024,
  routes: (parts) => {
    const app = createRoutes();
    app.route('/', taskRoutes(parts));
    app.route('/', monitoringRoutes(parts, app));
    return app;
  },
  presentError,
};
