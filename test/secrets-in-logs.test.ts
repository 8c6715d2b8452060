import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { S3Client } from '@aws-sdk/client-s3';
import OSS from 'ali-oss';
import fc from 'fast-check';
import postgres from 'postgres';
import { request } from 'undici';
import { z } from 'zod';
import { sql } from '../src/db/drizzle.ts';
import { createLogger } from '../src/telemetry/logger.ts';
import {
  connectTestDatabase,
  createTestDatabase,
  engines,
  type TestDatabase,
  urlOf,
} from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';

const secret = 'MARKER0123456789';
const signed = `https://bucket.example.com/a.png?Expires=1&Signature=${secret}`;

/** A log in memory. */
function memoryLog() {
  const lines: string[] = [];
  const logger = createLogger('trace', { write: (line) => void lines.push(line) });
  return { logger, lines };
}

/** What the log says of an error, as it was thrown and wrapped in others. */
function logged(error: unknown): string {
  const { logger, lines } = memoryLog();
  const wrapped = new Error('it failed', { cause: error });
  logger.error({ err: error, detail: { deep: [{ error }] } }, 'thing.failed');
  logger.error({ err: new AggregateError([wrapped, error], 'all failed') }, 'thing.failed');
  return lines.join('');
}

async function thrownBy(work: () => unknown): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw assert.fail('It was to fail');
}

describe('the log', () => {
  const cleanup = new AsyncDisposableStack();
  let answer: RequestListener;
  let serverUrl: string;

  before(async () => {
    const server = createServer((incoming, response) => answer(incoming, response));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanup.defer(() => void server.close());
    cleanup.defer(() => server.closeAllConnections());
    serverUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => cleanup.disposeAsync());

  const statements = [
    ['a value that is no number', () => sql`select ${secret}::int`],
    ['a signed address that is no number', () => sql`select ${signed}::int`],
    ['a value that is no JSON', () => sql`select ${`{"a": ${secret}`}::json`],
    ['a table that is not there', () => sql`select * from nowhere where url = ${signed}`],
    ['a value that is there already', () => sql`insert into known values (${signed}), (${signed})`],
  ] as const;
  for (const engine of engines) {
    it(`holds no parameter of a statement that failed in ${engine}`, async () => {
      await using scratch = await createTestDatabase(engine);
      await using database = await connectTestDatabase(scratch.options);
      await database.orm.execute(sql`create table known (url text primary key)`);
      for (const [name, statement] of statements) {
        const text = logged(await thrownBy(() => database.orm.execute(statement())));
        assert.doesNotMatch(text, /MARKER/, name);
        assert.doesNotMatch(text, /select \*|insert into/, name);
        assert.match(text, /"code":"(22P02|42P01|23505)"/, name);
        assert.match(text, /secrets-in-logs\.test\.ts:\d+/, 'the stack is there');
      }
    });
  }

  it('holds no parameter of a statement that the driver was given by itself', async () => {
    await using scratch: TestDatabase = await createTestDatabase('postgres');
    const client = postgres(urlOf(scratch), { max: 1, debug: true });
    try {
      const text = logged(await thrownBy(() => client.unsafe('select $1::int as n', [signed])));
      assert.doesNotMatch(text, /MARKER/);
      assert.match(text, /"code":"22P02"/);
    } finally {
      await client.end();
    }
  });

  const refusals: [name: string, RequestListener][] = [
    [
      'refuses',
      (_request, response) =>
        response
          .writeHead(403, { 'content-type': 'application/xml' })
          .end('<Error><Code>AccessDenied</Code><Message>No</Message></Error>'),
    ],
    ['cuts the connection', (incoming) => incoming.socket.destroy()],
  ];
  for (const [name, refuse] of refusals) {
    it(`holds nothing of a request to a store that ${name}`, async () => {
      answer = refuse;
      const oss = new OSS({
        region: 'oss-cn-hangzhou',
        accessKeyId: 'id',
        accessKeySecret: secret,
        stsToken: secret,
        bucket: 'bucket',
        endpoint: serverUrl,
        cname: true,
      });
      const s3 = new S3Client({
        region: 'eu-central-1',
        credentials: { accessKeyId: 'id', secretAccessKey: secret, sessionToken: secret },
        endpoint: serverUrl,
        forcePathStyle: true,
        maxAttempts: 1,
      });
      const { GetObjectCommand } = await import('@aws-sdk/client-s3');
      const failures = [
        await thrownBy(() =>
          oss.put('a', Buffer.from(secret), { headers: { 'x-oss-meta-note': secret } }),
        ),
        await thrownBy(() => oss.get('a', undefined, { headers: { 'x-oss-meta-note': secret } })),
        await thrownBy(() =>
          s3.send(new GetObjectCommand({ Bucket: 'bucket', Key: 'a', VersionId: secret })),
        ),
      ];
      s3.destroy();
      for (const failure of failures) {
        const text = logged(failure);
        assert.ok(!text.includes('MARKER'), String(failure));
        assert.match(text, /"type":"/);
      }
    });
  }

  it('holds nothing of a request that came to nothing', async () => {
    answer = (incoming) => incoming.socket.destroy();
    const failures = [
      await thrownBy(() => request(`${serverUrl}/?Signature=${secret}`)),
      await thrownBy(() => request(`http://user:${secret}@127.0.0.1:1/?token=${secret}`)),
      await thrownBy(() => request(`http://[${secret}`)),
      await thrownBy(() =>
        request(serverUrl, { headers: { authorization: `${secret}\n${secret}` } }),
      ),
      await thrownBy(() => new Headers({ authorization: `Bearer ${secret}\n${secret}` })),
      await thrownBy(() => JSON.parse(`{"url": ${secret}}`)),
      await thrownBy(() => z.strictObject({}).parse({ [secret]: secret })),
      await thrownBy(() => fetch(`${serverUrl}/a#token=${secret}`)),
    ];
    for (const failure of failures) assert.doesNotMatch(logged(failure), /MARKER/);
  });

  it('holds no secret of any error', () => {
    // An error as a library may make it: a signed address in its message, anything in its fields.
    const texts = fc.constantFrom(
      signed,
      `GET ${signed} failed`,
      `"${secret}" is not valid`,
      `first\n    at ${secret} (file:///a.ts:1:1)`,
      `/objects/a?sig=${secret}`,
      `postgres://me:${secret}@db/x`,
    );
    const { error } = fc.letrec<{ error: Error; value: unknown }>((tie) => ({
      error: fc
        .record({
          message: texts,
          name: fc.constantFrom('Error', 'PostgresError', 'TypeError'),
          code: fc.option(fc.constantFrom('ECONNRESET', '22P02', -1, `${secret} `)),
          fields: fc.dictionary(
            fc.constantFrom('query', 'params', 'parameters', 'detail', 'where', 'headers', 'input'),
            fc.constantFrom<unknown>(secret, [secret], { deep: { secret } }),
          ),
          cause: tie('value'),
          errors: fc.option(fc.array(tie('value'), { maxLength: 3 })),
        })
        .map(({ message, name, code, fields, cause, errors }) => {
          const made = errors
            ? new AggregateError(errors, message, { cause })
            : new Error(message, { cause });
          return Object.assign(made, fields, { name }, code === null ? {} : { code });
        }),
      value: fc.oneof({ maxDepth: 4 }, fc.constant(undefined), tie('error')),
    }));
    fc.assert(
      fc.property(error, (thrown) => {
        assert.doesNotMatch(logged(thrown), /MARKER/);
      }),
    );
  });

  it('holds no signed address of a task when the database fails', async () => {
    await using scratch = await createTestDatabase('postgres');
    const { logger, lines } = memoryLog();
    await using gateway = await TestGateway.start({
      engine: 'postgres',
      backends: [],
      database: scratch,
      logger,
      env: { QUEUE_WHEN_UNAVAILABLE: 'true' },
    });
    const client = postgres(urlOf(scratch), { max: 1, onnotice: () => {} });
    await client.unsafe('alter table task_events rename to gone').finally(() => client.end());
    const { status } = await gateway.call('POST', '/tasks', { url: signed, type: 'image' });
    assert.equal(status, 500);
    const line = lines.find((each) => each.includes('"request.failed"')) ?? '';
    assert.match(line, /"code":"42P01"/);
    assert.doesNotMatch(lines.join(''), /MARKER/);
  });
});
