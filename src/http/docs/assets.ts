import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pageScripts } from './pages.ts';

export interface Asset {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
}

const swaggerUi = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
const redoc = fileURLToPath(new URL('../../../vendor/redoc', import.meta.url));

/** The only files that are given out, and where they lie. */
const files: Readonly<Record<string, { readonly folder: string; readonly contentType: string }>> = {
  'swagger-ui.css': { folder: swaggerUi, contentType: 'text/css; charset=utf-8' },
  'swagger-ui-bundle.js': { folder: swaggerUi, contentType: 'text/javascript; charset=utf-8' },
  'favicon-32x32.png': { folder: swaggerUi, contentType: 'image/png' },
  'redoc.standalone.js': { folder: redoc, contentType: 'text/javascript; charset=utf-8' },
};

/** What the pages load; `null` for any other name. */
export async function readAsset(name: string): Promise<Asset | null> {
  if (Object.hasOwn(pageScripts, name)) {
    const bytes = new TextEncoder().encode(pageScripts[name]);
    return { bytes, contentType: 'text/javascript; charset=utf-8' };
  }
  const file = Object.hasOwn(files, name) ? files[name] : undefined;
  if (!file) return null;
  const bytes = new Uint8Array(await readFile(join(file.folder, name)));
  return { bytes, contentType: file.contentType };
}
