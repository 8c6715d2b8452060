import type { Dialect } from '../../dialect.ts';
import { presentError } from './errors.ts';
import { dialect } from './parse.ts';
import { uformerRoutes } from './routes.ts';

/** The API of the Uformer hub: pictures and clips are denoised and deblurred. */
export const uformer: Dialect = {
  name: dialect,
  prefix: '/uformer',
  title: 'Uformer hub',
  description:
    'Denoising and deblurring of pictures and clips: start a task, then poll its status.',
  documentsAt: '',
  // What is no form is small JSON.
  maxBodyBytes: 1024 * 1024,
  presentError,
  create: (parts) => ({ routes: uformerRoutes(parts) }),
};
