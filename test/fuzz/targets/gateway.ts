import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import fc from 'fast-check';
import { GatewayClient } from '../../support/gateway-client.ts';
import { TestGateway } from '../../support/test-gateway.ts';
import { createTestWorkflows } from '../../support/test-workflows.ts';
import { oddText, oddValue } from '../mutate.ts';
import { type FuzzTarget, type Property, target } from '../target.ts';

/** Nobody listens at this port of loopback, and nothing else is let through as a source. */
const nowhere = '127.0.0.1:9';
const clientKey = 'client-key-of-the-tests';
const operatorKey = 'operator-key-of-the-tests';

/** What of an OpenAPI document is read here. */
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { readonly schema: Schema }>>;
  };
}

interface Schema {
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly enum?: readonly unknown[];
  readonly example?: unknown;
}

/** As long without a byte, and the client goes. */
const quietMs = 1_000;

interface Route {
  readonly method: string;
  readonly path: string;
  /** Names of what may stand in the query. */
  readonly query: readonly string[];
  readonly contentTypes: readonly string[];
  readonly fields: readonly Field[];
}

/** Of a body. */
interface Field {
  readonly name: string;
  readonly isRequired: boolean;
  readonly goodValues: readonly unknown[];
}

const source = `http://${nowhere}/a.png`;
const goodValues: readonly unknown[] = [
  ...[source, 'esrgan_image_4x', 'image', 'video', 2, 1, 0, true, false, 'png', 'a', null],
  ...[['read'], ['admin'], '2026-01-01T00:00:00Z', { image: source }, [640, 480], 'workflow'],
];

/** Beside those of the document. */
const otherRoutes: readonly Route[] = [
  ['GET', '/objects/{a}/{b}/{c}'],
  ['HEAD', '/objects/{a}/{b}'],
  ['GET', '/docs/{a}'],
  ['GET', '/redoc'],
  ['GET', '/openapi.yaml'],
  ['PUT', '/uploads/{a}?token={b}'],
].map(([method = '', path = '']) => ({ method, path, query: [], contentTypes: [], fields: [] }));

const headerNames = [
  ...['accept', 'accept-encoding', 'authorization', 'x-api-key', 'content-type', 'origin', 'range'],
  ...['if-none-match', 'x-forwarded-for', 'x-forwarded-host', 'forwarded', 'expect', 'upgrade'],
  ...['cookie', 'te', 'trailer', 'x-request-id', 'idempotency-key', 'host'],
  ...['access-control-request-method', 'content-disposition', 'upload-offset', 'x-file-name'],
];
const headerValue = fc.oneof(
  fc.constantFrom('*/*', 'application/json', 'bytes=0-1', 'null', '0', '-1', 'chunked', 'gzip'),
  fc.constantFrom('websocket', '100-continue', 'multipart/form-data; boundary=x', 'text/html'),
  oddText.map((odd) => odd.replace(/[\r\n]/g, ' ')),
);

function routesIn({ paths, components }: Document): Route[] {
  const schemaOf = ({ $ref, ...schema }: Schema): Schema =>
    components.schemas[$ref?.split('/').at(-1) ?? ''] ?? schema;
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, { parameters = [], requestBody }]) => ({
      method: method.toUpperCase(),
      path,
      query: parameters.filter((each) => each.in === 'query').map(({ name }) => name),
      contentTypes: Object.keys(requestBody?.content ?? {}),
      fields: Object.values(requestBody?.content ?? {}).flatMap(({ schema }) =>
        fieldsOf(schemaOf(schema)),
      ),
    })),
  );
}

function fieldsOf({ properties = {}, required = [] }: Schema): Field[] {
  return Object.entries(properties).map(([name, { enum: choices = [], example }]) => {
    // Nobody beyond this machine is to be asked.
    const isLink = typeof example === 'string' && /^https?:/.test(example);
    const good = isLink ? source : (example ?? (name === 'url' ? source : 'a'));
    return { name, isRequired: required.includes(name), goodValues: [good, ...choices] };
  });
}

/** Mostly as the document wants it. */
function bodyFor(fields: readonly Field[]): fc.Arbitrary<unknown> {
  const odd = fc.oneof(fc.constantFrom(...goodValues), oddValue);
  const parts = fields.map(({ name, isRequired, goodValues: good }) =>
    fc.tuple(
      fc.constant(name),
      fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...good) }, odd),
      fc.nat({ max: 99 }).map((chance) => chance < (isRequired ? 95 : 25)),
    ),
  );
  return fc
    .tuple(...parts)
    .map((all) =>
      Object.fromEntries(
        all.filter(([, , isThere]) => isThere).map(([name, value]) => [name, value]),
      ),
    );
}

/** The bytes of a request to any route, or to nearly one. */
function requestTo(routes: readonly Route[], ids: readonly string[]): fc.Arbitrary<Buffer> {
  const id = fc.oneof(fc.constantFrom(...ids), oddText);
  const value = fc.oneof(fc.constantFrom(...goodValues), oddValue);
  const key = fc.constantFrom(clientKey, operatorKey, operatorKey, operatorKey, 'none');
  return fc.constantFrom(...routes).chain(({ method, path, query, contentTypes, fields }) =>
    fc
      .record({
        method: fc.oneof(
          { weight: 12, arbitrary: fc.constant(method) },
          fc.constantFrom('GET', 'HEAD', 'OPTIONS', 'DELETE', 'POST', 'PATCH', 'TRACE', 'QUERY'),
        ),
        ids: fc.array(fc.tuple(id, fc.boolean()), { minLength: 3, maxLength: 3 }),
        query: fc.dictionary(fc.constantFrom(...query, 'q'), fc.oneof(value.map(String), oddText), {
          maxKeys: 4,
        }),
        key,
        contentType: fc.constantFrom(...contentTypes, 'application/json'),
        headers: fc.dictionary(fc.constantFrom(...headerNames), headerValue, { maxKeys: 2 }),
        body: fc.oneof({ weight: 12, arbitrary: bodyFor(fields) }, value),
        raw: fc.oneof({ weight: 12, arbitrary: fc.constant(null) }, oddText),
        // One that lies about its length is waited for.
        length: fc.oneof({ weight: 200, arbitrary: fc.constant(null) }, fc.nat({ max: 99 })),
        rest: fc.oneof({ weight: 20, arbitrary: fc.constant('') }, oddText),
      })
      .map((parts) => {
        let at = 0;
        const filled = path.replace(/\{[^}]*\}/g, () => {
          const [name, isEncoded] = parts.ids[at++ % 3] ?? ['', true];
          return isEncoded ? encodeURIComponent(name.toWellFormed()) : name.replace(/\s/g, '');
        });
        const search = new URLSearchParams(parts.query).toString();
        const where = `${filled}${search === '' ? '' : `?${search}`}${parts.rest.replace(/\s/g, '')}`;
        const hasBody = !['GET', 'HEAD'].includes(parts.method);
        const body = Buffer.from(parts.raw ?? bodyOf(parts.contentType, parts.body));
        const headers = {
          host: '127.0.0.1',
          authorization: `Bearer ${parts.key}`,
          ...(hasBody
            ? { 'content-type': parts.contentType, 'content-length': parts.length ?? body.length }
            : {}),
          ...parts.headers,
          connection: 'close',
        };
        const lines = Object.entries(headers).map(([name, each]) => `${name}: ${each}\r\n`);
        const head = `${parts.method} ${where} HTTP/1.1\r\n${lines.join('')}\r\n`;
        return Buffer.concat([Buffer.from(head), hasBody ? body : Buffer.alloc(0)]);
      }),
  );
}

function bodyOf(contentType: string, value: unknown): string {
  if (!contentType.startsWith('multipart/')) return JSON.stringify(value);
  const parts = Object.entries(value ?? {}).map(([name, each]) => {
    const isFile = /file|image|video/.test(name) ? '; filename="a.png"' : '';
    return `--x\r\ncontent-disposition: form-data; name="${name}"${isFile}\r\n\r\n${each}\r\n`;
  });
  return `${parts.join('')}--x--\r\n`;
}

async function openGateway(parts: AsyncDisposableStack): Promise<Property<Buffer>> {
  const workflows = parts.use(await createTestWorkflows());
  const gateway = parts.use(
    await TestGateway.start({
      engine: 'pglite',
      backends: [`http://${nowhere}`],
      env: {
        API_KEYS: `client:${clientKey}`,
        OPERATOR_KEYS: `operator:${operatorKey}`,
        SOURCE_ALLOW: nowhere,
        TARGET_ALLOW: nowhere,
        WORKFLOWS_DIR: workflows.folder,
        QUEUE_WHEN_UNAVAILABLE: 'on',
      },
    }),
  );
  const document = await fetch(`${gateway.url}/openapi.json`);
  const routes = [...routesIn((await document.json()) as Document), ...otherRoutes];
  assert.ok(routes.length > 20);
  const { port } = new URL(gateway.url);
  return {
    cases: requestTo(routes, [
      'esrgan_image_4x',
      'a',
      '0',
      await new GatewayClient(gateway.url, clientKey).submit({ url: source }),
    ]),
    async check(request) {
      const answer = await answerTo(Number(port), request);
      if (answer === '') return;
      const [, status = ''] = /^HTTP\/1\.1 (\d{3})/.exec(answer) ?? assert.fail(answer);
      assert.ok(Number(status) < 500 || ['501', '503', '507'].includes(status), answer);
      assert.doesNotMatch(answer, /node_modules|\/src\/|\n +at /);
      assert.doesNotMatch(
        answer,
        /"(Invalid (input|option)|Too (big|small):|Unrecognized|Malformed)/,
      );
    },
  };
}

/** Whatever comes until the connection ends; empty where the rest of the request is waited for. */
async function answerTo(port: number, request: Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1').setTimeout(quietMs);
  socket.on('timeout', () => socket.destroy());
  await once(socket, 'connect');
  socket.write(request);
  const pieces: Buffer[] = [];
  socket.on('data', (piece) => pieces.push(piece));
  // Who answers before the end of a request may cut it off.
  socket.on('error', () => {});
  await once(socket, 'close');
  return Buffer.concat(pieces).toString();
}

export const gatewayTargets: readonly FuzzTarget[] = [target('gateway', 2, openGateway)];
