import { OpenAPIHono, type z } from '@hono/zod-openapi';
import { invalidRequest } from './errors.ts';

/** An app for routes with schemas: a request that does not fit one is answered with the field. */
export function createRoutes(): OpenAPIHono {
  return new OpenAPIHono({
    defaultHook: (result) => {
      if (!result.success) throw invalidRequest(result.error);
    },
  });
}

/** A body in JSON, as a request's or a response's description. */
export function json<T extends z.ZodType>(schema: T, description: string) {
  return { description, content: { 'application/json': { schema } } };
}
