import type { Dialect } from '../../dialect.ts';
import { isForm } from '../../multipart.ts';
import { presentError } from './errors.ts';
import { dialect } from './parse.ts';
import { bringsSecret } from './result-routes.ts';
import { uformerRoutes } from './routes.ts';

/** What is no form is small JSON. */
const maxRequestBytes = 1024 * 1024;

const formPaths = new Set(['/api/process_image', '/api/process_video', '/api/generate_preview']);

/** The API of the Uformer hub: pictures and clips are denoised and deblurred. */
export const uformer: Dialect = {
  name: dialect,
  prefix: '/uformer',
  title: 'Uformer hub',
  description:
    'Denoising and deblurring of pictures and clips: start a task, then poll its status.',
  documentsAt: '',
  isOpen: (context) => context.req.path === '/health' || bringsSecret(context),
  routes: uformerRoutes,
  bringsFile: ({ req }) => formPaths.has(req.path) && isForm(req.raw),
  maxBodyBytes: () => maxRequestBytes,
  presentError,
};
