import type { Dialect } from '../../dialect.ts';
import { isForm } from '../../multipart.ts';
import { presentError } from './errors.ts';
import { dialect } from './parse.ts';
import { upscaleRoutes } from './routes.ts';

/** No other request has a body worth mentioning. */
const maxRequestBytes = 64 * 1024;

/** The Image Upscale Service. */
export const upscale: Dialect = {
  name: dialect,
  prefix: '/upscale-service',
  title: 'Image Upscale Service',
  description: 'Pictures are made two, three or four times as large.',
  documentsAt: '/api/v1',
  isOpen: (context) => context.req.path === '/api/v1/health',
  routes: upscaleRoutes,
  bringsFile: ({ req }) =>
    req.method === 'POST' && req.path === '/api/v1/upscale' && isForm(req.raw),
  maxBodyBytes: () => maxRequestBytes,
  presentError,
};
