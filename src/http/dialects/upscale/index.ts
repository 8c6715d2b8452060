import type { Dialect } from '../../dialect.ts';
import { presentError } from './errors.ts';
import { jobIdOf } from './job-id.ts';
import { dialect } from './parse.ts';
import { upscaleRoutes } from './routes.ts';

/** The Image Upscale Service. */
export const upscale: Dialect = {
  name: dialect,
  prefix: '/upscale-service',
  title: 'Image Upscale Service',
  description: 'Pictures are made two, three or four times as large.',
  documentsAt: '/api/v1',
  // But for forms, no request has a body worth mentioning.
  maxBodyBytes: 64 * 1024,
  presentError,
  clientId: jobIdOf,
  create: (parts) => ({ routes: upscaleRoutes(parts) }),
};
