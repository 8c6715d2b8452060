import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { Emulator } from '../src/emulator/emulator.ts';
import { dialects } from '../src/http/dialects/index.ts';
import { sampleMp4, samplePng } from './support/media-samples.ts';
import { patienceMs } from './support/patience.ts';
import { TestGateway } from './support/test-gateway.ts';
import { createTestWorkflows } from './support/test-workflows.ts';

interface Schema {
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly example?: unknown;
}

type Content = Readonly<Record<string, { readonly schema?: Schema; readonly example?: unknown }>>;

interface Operation {
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly schema: Schema;
  }[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const key = 'operator-secret-0123456789';

/** Every operation of every document is asked as its examples say, and has to answer as it says. */
describe('the examples of the API reference', () => {
  const cleanup = new AsyncDisposableStack();
  const documents = new Map<string, Document>();
  let gateway: TestGateway;
  let picture: Buffer;
  let clip: Buffer;

  before(async () => {
    const emulator = cleanup.use(await Emulator.start());
    // Operators' examples write and remove workflows.
    const workflows = cleanup.use(await createTestWorkflows());
    picture = await samplePng({ width: 16, height: 16, seed: 1 });
    clip = await sampleMp4({ width: 16, height: 16, frames: 2, fps: 8, seed: 1 });
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'pglite',
        backends: [emulator.url],
        env: { OPERATOR_KEYS: `ops:${key}`, WORKFLOWS_DIR: workflows.folder },
      }),
    );
    for (const { name, prefix, documentsAt } of dialects) {
      const answer = await fetch(`${gateway.url}${prefix}${documentsAt}/openapi.json`);
      documents.set(name, (await answer.json()) as Document);
    }
  });
  after(() => cleanup.disposeAsync());

  for (const { name, prefix } of dialects) {
    it(`of ${name} are answered as it says`, async () => {
      const document = documents.get(name) as Document;
      const ajv = new Ajv2020({ strict: false, validateFormats: false }).addSchema(document, 'api');
      let count = 0;
      for (const [path, operations] of Object.entries(document.paths)) {
        // What one example removes, another may need.
        const asked = Object.entries(operations).filter(([method]) => method !== 'delete');
        for (const [method, operation] of asked) {
          const where = `${method.toUpperCase()} ${path}`;
          const answer = await ask(`${gateway.url}${prefix}`, path, method, operation, document);
          const declared = operation.responses[String(answer.status)];
          const text = await answer.text();
          // Those of single tasks and results name some that are in the document only.
          const isOfOne = path.includes('{') || path === '/api/confirm_download';
          if (!isOfOne) assert.ok(answer.ok, `${where} answers ${answer.status}: ${text}`);
          assert.ok(
            declared,
            `${where} answers ${answer.status}, of which it says nothing: ${text}`,
          );
          const schema = declared.content?.['application/json']?.schema;
          if (schema) {
            const isValid = ajv.compile(absolute(schema));
            assert.ok(
              isValid(JSON.parse(text)),
              `${where}: ${text} ${ajv.errorsText(isValid.errors)}`,
            );
          }
          count += 1;
        }
      }
      assert.ok(count > 3);
    });
  }

  async function ask(
    base: string,
    path: string,
    method: string,
    { parameters = [], requestBody }: Operation,
    document: Document,
  ): Promise<Response> {
    const query = new URLSearchParams();
    let address = path;
    for (const { name, in: place, schema } of parameters) {
      const value = String(exampleOf(schema, document) ?? 'unknown');
      if (place === 'path') address = address.replace(`{${name}}`, encodeURIComponent(value));
      if (place === 'query' && schema.example !== undefined) query.set(name, value);
    }
    const form = requestBody?.content['multipart/form-data']?.schema;
    const json = requestBody?.content['application/json'];
    return await fetch(`${base}${address}?${query}`, {
      method: method.toUpperCase(),
      signal: AbortSignal.timeout(patienceMs),
      headers: {
        authorization: `Bearer ${key}`,
        ...(json ? { 'content-type': 'application/json' } : {}),
      },
      ...(json
        ? { body: JSON.stringify(json.example ?? exampleOf(json.schema ?? {}, document)) }
        : {}),
      ...(form && !json ? { body: formOf(form, document) } : {}),
    });
  }

  function formOf(schema: Schema, document: Document): FormData {
    const form = new FormData();
    for (const [name, property] of Object.entries(resolve(schema, document).properties ?? {})) {
      const field = resolve(property, document);
      if (field.format === 'binary') {
        const bytes = name === 'video_file' ? clip : picture;
        form.set(name, new Blob([new Uint8Array(bytes)]), 'a file');
      }
      if (field.example !== undefined) form.set(name, String(field.example));
    }
    return form;
  }
});

/** The schema's own example, or one put together from those of its fields. */
function exampleOf(schema: Schema, document: Document): unknown {
  const { example, enum: values, properties, required = [] } = resolve(schema, document);
  if (example !== undefined) return example;
  if (values) return values[0];
  if (!properties) return undefined;
  const fields = Object.entries(properties).flatMap(([name, property]) => {
    const value = exampleOf(property, document);
    const isNeeded = required.includes(name) || resolve(property, document).example !== undefined;
    return value === undefined || !isNeeded ? [] : [[name, value]];
  });
  return Object.fromEntries(fields);
}

function resolve(schema: Schema, document: Document): Schema {
  const name = schema.$ref?.split('/').at(-1);
  return name ? (document.components.schemas[name] as Schema) : schema;
}

/** Its references lead into the document. */
function absolute(schema: Schema): object {
  return JSON.parse(JSON.stringify(schema).replaceAll('"$ref":"#/', '"$ref":"api#/'));
}
