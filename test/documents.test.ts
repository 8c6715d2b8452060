import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Browser } from 'playwright-core';
import { request } from 'undici';
import { parse } from 'yaml';
import { dialects } from '../src/http/dialects/index.ts';
import { openBrowser } from './support/browser.ts';
import { patienceMs } from './support/patience.ts';
import { TestGateway } from './support/test-gateway.ts';

interface Operation {
  readonly summary?: string;
  readonly operationId?: string;
  readonly tags?: readonly string[];
}

interface Document {
  readonly openapi: string;
  readonly info: { readonly title: string };
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

describe('the API reference', () => {
  const cleanup = new AsyncDisposableStack();
  let gateway: TestGateway;
  let browser: Browser;

  before(async () => {
    gateway = cleanup.use(
      await TestGateway.start({
        engine: 'pglite',
        backends: [],
        env: { API_KEYS: 'alice:alice-secret-0123456789' },
      }),
    );
    browser = cleanup.use(await openBrowser());
  });
  after(() => cleanup.disposeAsync());

  async function read(path: string): Promise<string> {
    const { statusCode, body } = await request(`${gateway.url}${path}`);
    assert.equal(statusCode, 200, path);
    return await body.text();
  }

  /** Opens a page, which must load from the gateway alone and without a complaint. */
  async function open(path: string, isReady: string): Promise<string> {
    await using page = await browser.newPage();
    const complaints: string[] = [];
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('console', (line) => {
      if (line.type() === 'error') complaints.push(line.text());
    });
    page.on('request', (sent) => {
      const url = sent.url();
      if (!/^(blob|data):/.test(url) && !url.startsWith(gateway.url)) complaints.push(url);
    });
    await page.goto(`${gateway.url}${path}`);
    await page.waitForSelector(isReady, { timeout: patienceMs });
    assert.deepEqual(complaints, []);
    return await page.innerText('body');
  }

  const documents = [
    ['', ''],
    ...dialects.map(({ prefix, documentsAt }) => [`${prefix}${documentsAt}`, prefix] as const),
  ] as const;

  for (const [at, prefix] of documents) {
    describe(at || 'of all', () => {
      it('is the same in JSON and in YAML, and says where the paths begin', async () => {
        const document: Document = JSON.parse(await read(`${at}/openapi.json`));
        assert.equal(document.openapi, '3.1.0');
        assert.deepEqual(document.servers, [{ url: prefix || '/' }]);
        assert.deepEqual(parse(await read(`${at}/openapi.yaml`)), document);
        assert.ok(Object.keys(document.paths).length > 3);
        for (const [path, operations] of Object.entries(document.paths)) {
          for (const { summary } of Object.values(operations)) assert.ok(summary, path);
        }
      });

      it('asks of no value to be two types at once', async () => {
        const document: Document = JSON.parse(await read(`${at}/openapi.json`));
        for (const [name, schema] of Object.entries(document.components.schemas)) {
          assert.doesNotMatch(JSON.stringify(schema), /"allOf":\[[^\]]*"null"/, name);
          // Whoever uses the name would have to take null.
          const { type } = schema as { type?: unknown };
          assert.ok(![type].flat().includes('null'), `${name} may be null wherever it stands`);
        }
      });

      it('demands nothing of a request that may be left out', async () => {
        // openapi-typescript makes a field with a default one that has to be there.
        const document: Document = JSON.parse(await read(`${at}/openapi.json`));
        for (const [name, schema] of Object.entries(document.components.schemas)) {
          assert.doesNotMatch(JSON.stringify(schema), /"default":/, name);
        }
      });

      it('is shown by Swagger UI', async () => {
        const text = await open(`${at}/docs`, '.opblock-summary-path');
        const document: Document = JSON.parse(await read(`${at}/openapi.json`));
        assert.ok(text.includes(document.info.title));
      });

      it('is shown by ReDoc', async () => {
        const text = await open(`${at}/redoc`, '[id^="operation/"] h2');
        const document: Document = JSON.parse(await read(`${at}/openapi.json`));
        assert.ok(text.includes(document.info.title));
      });
    });
  }

  it('of all holds every operation and every schema of each', async () => {
    const whole: Document = JSON.parse(await read('/openapi.json'));
    for (const { prefix, documentsAt } of dialects) {
      const part: Document = JSON.parse(await read(`${prefix}${documentsAt}/openapi.json`));
      const before = prefix === '/tmlsr' ? '' : prefix;
      for (const [path, operations] of Object.entries(part.paths)) {
        assert.deepEqual(whole.paths[`${before}${path}`], operations, path);
      }
      for (const [name, schema] of Object.entries(part.components.schemas)) {
        assert.deepEqual(whole.components.schemas[name], schema, `${name} means two things`);
      }
    }
  });

  it('of all names each operation as no other, and tells where it belongs', async () => {
    const { paths }: Document = JSON.parse(await read('/openapi.json'));
    const operations = Object.values(paths).flatMap((each) => Object.values(each));
    const ids = operations.map(({ operationId }) => operationId);
    assert.ok(
      ids.every((id) => /^[a-z][A-Za-z]+$/.test(id ?? '')),
      ids.join(),
    );
    assert.equal(new Set(ids).size, ids.length);
    assert.ok(operations.every(({ tags }) => tags?.length === 1));
  });

  it('gives out no other files', async () => {
    for (const name of ['package.json', '..%2f..%2fpackage.json', 'README.md', 'constructor']) {
      const { statusCode } = await request(`${gateway.url}/docs/${name}`);
      assert.notEqual(statusCode, 200, name);
    }
  });
});
