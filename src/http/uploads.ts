import { type OpenAPIHono, z } from '@hono/zod-openapi';
import { accountOf } from '../core/caller.ts';
import { GatewayError } from '../core/errors.ts';
import type { Tempo } from '../core/tempo.ts';
import { uploadIdOf, uploadUrl } from '../core/upload.ts';
import type { UploadService } from '../tasks/upload-service.ts';
import { callerIfAny } from './auth.ts';
import { errorSchema } from './errors.ts';
import { ignoredField, namesWritten, unknownFields } from './ignored-fields.ts';
import type { LinkBase } from './link-base.ts';
import { createRoutes, defineRoute, json, jsonBody } from './openapi.ts';
import { paceOf, requestBody, whileThere } from './request-body.ts';

/** Large files first, their tasks later. */
export function uploadRoutes(
  uploads: Pick<UploadService, 'offer' | 'fill'>,
  base: LinkBase,
  refusesUnknownFields: boolean,
  tempo: Tempo['http'],
): OpenAPIHono {
  const app = createRoutes();

  app.openapi(offerRoute, async (context) => {
    const { name, content_type: contentType } = context.req.valid('json');
    const written = namesWritten(await context.req.json().catch(() => ({})));
    const ignored = unknownFields(written, openUpload.keyof().options, refusesUnknownFields);
    const { id, secret, target, openUntil } = await uploads.offer(context.var.caller.tenant, {
      name: name ?? null,
      contentType: contentType ?? 'application/octet-stream',
    });
    return context.json(
      {
        upload_id: id,
        source: uploadUrl(id),
        method: 'PUT' as const,
        url: target?.url ?? addressOf(base(context), id, secret),
        headers: { ...target?.headers },
        expires_at: openUntil.toISOString(),
        ignored,
      },
      201,
    );
  });

  app.openapi(fillRoute, async (context) => {
    const id = uploadIdOf(uploadUrl(context.req.valid('param').upload_id));
    if (!id) throw new GatewayError('upload_not_found', 'There is no such upload');
    const { token = null } = context.req.valid('query');
    const caller = callerIfAny(context);
    const isLimited = caller === null || accountOf(caller).isLimited;
    const sender = { secret: token, tenant: caller?.tenant ?? null, isLimited };
    const { raw } = context.req;
    const bytes = await whileThere(
      raw,
      uploads.fill(id, sender, requestBody(raw, paceOf(tempo)), raw.signal),
    );
    return context.json({ upload_id: id, size_bytes: bytes }, 200);
  });

  return app;
}

function addressOf(baseUrl: string, id: string, secret: string | null): string {
  const address = `${baseUrl.replace(/\/+$/, '')}/uploads/${id}`;
  return secret === null ? address : `${address}?token=${secret}`;
}

const openUpload = z
  .object({
    name: z.string().max(255).nullish(),
    content_type: z
      .string()
      .regex(/^[\w.+-]{1,100}\/[\w.+-]{1,100}$/, 'must be a media type')
      .nullish(),
  })
  .openapi('OpenUpload');

const offerRoute = defineRoute({
  method: 'post',
  path: '/uploads',
  operationId: 'openUpload',
  tag: 'Uploads',
  policy: { scope: 'tasks:write', adds: 'file' },
  summary: 'Open an upload for a file that a task is to work on',
  request: {
    body: {
      ...jsonBody(openUpload, 'What the client calls the file, and what it is.', {
        name: 'holiday.jpg',
        content_type: 'image/jpeg',
      }),
      required: false,
    },
  },
  responses: {
    201: json(
      z
        .object({
          upload_id: z.string(),
          source: z.string().openapi({ description: 'To be given as `url` or in `inputs`.' }),
          method: z.literal('PUT'),
          url: z.string(),
          headers: z.record(z.string(), z.string()).openapi({
            description: 'To be sent with the file.',
          }),
          expires_at: z.iso.datetime(),
          ignored: z.array(ignoredField),
        })
        .openapi('Upload'),
      'Where the file is to be put.',
    ),
    400: json(errorSchema, 'The request is wrong; `field` says where.'),
    401: json(errorSchema, 'A key is needed.'),
    403: json(errorSchema, 'The key lacks the scope.'),
  },
});

const fillRoute = defineRoute({
  method: 'put',
  path: '/uploads/{upload_id}',
  operationId: 'sendUpload',
  tag: 'Uploads',
  // A token in the address shows that its sender was given it.
  policy: { scope: 'tasks:write', takesSecret: true, file: 'body' },
  summary: 'Send the file of an upload',
  description:
    'The body is the file. Where the gateway stores in a bucket, files go there instead.',
  request: {
    params: z.object({ upload_id: z.string() }),
    query: z.object({
      token: z.string().optional().openapi({
        description:
          'Where keys are asked for: the secret that `url` was given out with, in place of a key.',
      }),
    }),
  },
  responses: {
    200: json(
      z.object({ upload_id: z.string(), size_bytes: z.int() }).openapi('Uploaded'),
      'The file is kept.',
    ),
    400: json(errorSchema, 'No workflow could work on the file.'),
    404: json(errorSchema, 'There is no such upload, or its time is over.'),
    507: json(errorSchema, 'There is no room for the file at the moment.'),
  },
});
