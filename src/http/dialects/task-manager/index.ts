import { defineDialect } from '../../dialect.ts';
import { createRoutes } from '../../openapi.ts';
import { presentError } from './errors.ts';
import { monitoringRoutes } from './monitoring.ts';
import { dialect } from './parse.ts';
import { taskRoutes } from './routes.ts';
import { settings, settingsOf } from './settings.ts';
import { TaskMetrics } from './task-metrics.ts';

/** The API of the task manager, whose tasks are named functions with their arguments. */
export const taskManager = defineDialect({
  name: dialect,
  prefix: '/task-manager',
  title: 'Task manager',
  description: 'Tasks by the names of pipelines, with a dashboard and metrics for Prometheus.',
  documentsAt: '',
  // Requests are small JSON.
  maxBodyBytes: 1024 * 1024,
  presentError,
  settings,
  create: (shared, read) => {
    const settings = settingsOf(read);
    const metrics = new TaskMetrics(settings.taskNames.keys());
    const parts = { ...shared, settings, metrics };
    const app = createRoutes();
    app.route('/', taskRoutes(parts));
    app.route('/', monitoringRoutes(parts, app));
    return { routes: app, observer: metrics };
  },
});
