import type { Dialect } from '../../dialect.ts';
import { createRoutes } from '../../openapi.ts';
import { presentError } from './errors.ts';
import { monitoringRoutes } from './monitoring.ts';
import { dialect } from './parse.ts';
import { taskRoutes } from './routes.ts';

/** Requests are small JSON; it may be held in memory. */
const maxRequestBytes = 1024 * 1024;

/** The API of the task manager, whose tasks are named functions with their arguments. */
export const taskManager: Dialect = {
  name: dialect,
  prefix: '/task-manager',
  title: 'Task manager',
  description: 'Tasks by the names of pipelines, with a dashboard and metrics for Prometheus.',
  documentsAt: '',
  isOpen: ({ req }) => req.path === '/health',
  routes: (parts) => {
    const app = createRoutes();
    app.route('/', taskRoutes(parts));
    app.route('/', monitoringRoutes(parts, app));
    return app;
  },
  bringsFile: () => false,
  maxBodyBytes: () => maxRequestBytes,
  presentError,
};
