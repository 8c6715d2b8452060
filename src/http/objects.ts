import type { Readable } from 'node:stream';
import { Hono } from 'hono';
import { GatewayError } from '../core/errors.ts';
import { isUploadKey } from '../core/upload.ts';
import { declare } from './route-policy.ts';
import { disposition, type FileRange, type FileStat, sendFile } from './stored-file.ts';

/** What these routes need of a store. */
export interface ObjectReader {
  stat(key: string, signal: AbortSignal): Promise<FileStat | null>;
  open(
    key: string,
    range: FileRange | null,
    signal: AbortSignal,
  ): Promise<{ readonly body: Readable } | null>;
}

const objectPath = '/objects/:key{.+}';

/** Serves stored objects; `null`: the store has its own address for them. */
export function objectRoutes(store: ObjectReader | null): Hono {
  const app = new Hono();
  // Whoever was given the address of a result may open it. Those of uploads are given to nobody.
  const open = declare({ isOpen: true });
  app.use(objectPath, open);
  if (!store) return app;
  app.get(objectPath, open, async (context) => {
    const { signal } = context.req.raw;
    const key = context.req.param('key');
    const stat = isUploadKey(key) ? null : await store.stat(key, signal).catch(() => null);
    const name = key.slice(key.lastIndexOf('/') + 1);
    const sent =
      stat &&
      (await sendFile(context, {
        stat,
        open: (range) => store.open(key, range, signal),
        headers: { 'content-disposition': disposition(name, stat.contentType) },
      }));
    if (!sent) throw new GatewayError('object_not_found', 'There is no such object');
    return sent;
  });
  return app;
}
