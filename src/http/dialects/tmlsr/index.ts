import type { Context } from 'hono';
import { maxWorkflowBytes } from '../../../workflows/parse.ts';
import { backendRoutes } from '../../backends.ts';
import type { Dialect } from '../../dialect.ts';
import { presentError } from '../../errors.ts';
import { isForm } from '../../multipart.ts';
import { objectRoutes } from '../../objects.ts';
import { createRoutes } from '../../openapi.ts';
import { uploadRoutes } from '../../uploads.ts';
import { workflowRoutes } from '../../workflows.ts';
import { dialect } from './parse.ts';
import { tmlsrRoutes } from './routes.ts';

/** Requests are small JSON; it may be held in memory. A workflow comes with what is said of it. */
const maxRequestBytes = 1024 * 1024;
const maxDraftBytes = maxWorkflowBytes + maxRequestBytes;

const openPaths = new Set(['/', '/health']);

/** TMLSR's own API, and what its operators need. */
export const tmlsr: Dialect = {
  name: dialect,
  prefix: '/tmlsr',
  title: 'TMLSR',
  description: 'Tasks, uploads, workflows and the pool of ComfyUI servers.',
  documentsAt: '',
  isOpen: (context) => openPaths.has(context.req.path) || isSecretAddress(context),
  routes: (parts) => {
    const app = createRoutes();
    app.route('/', tmlsrRoutes(parts));
    app.route('/', uploadRoutes(parts.uploads, parts.baseUrl, parts.tempo));
    app.route('/', backendRoutes(parts.pool));
    app.route('/', workflowRoutes(parts.workflows));
    if (parts.objects) app.route('/', objectRoutes(parts.objects));
    return app;
  },
  bringsFile: (context) =>
    fillsUpload(context) || (context.req.path === '/tasks' && isForm(context.req.raw)),
  maxBodyBytes: ({ req }) => (req.path.startsWith('/workflows/') ? maxDraftBytes : maxRequestBytes),
  presentError,
};

/** Whoever was given the address of a result, or of an upload, may open it. */
function isSecretAddress(context: Context): boolean {
  return context.req.path.startsWith('/objects/') || fillsUpload(context);
}

function fillsUpload({ req }: Context): boolean {
  return req.method === 'PUT' && req.path.startsWith('/uploads/');
}
