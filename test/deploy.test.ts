import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { readConfig, settingNames } from '../src/config/config.ts';
import { secretFileNames } from '../src/config/secret-files.ts';
import { createDialectApp } from '../src/http/dialect-app.ts';
import { dialectSettings } from '../src/http/dialects/index.ts';
import { TaskMetrics } from '../src/http/dialects/task-manager/task-metrics.ts';
import { tmlsr } from '../src/http/dialects/tmlsr/index.ts';
import { declaredPolicy } from '../src/http/route-policy.ts';
import { createLogger } from '../src/telemetry/logger.ts';
import { anybody, openDoors } from './support/callers.ts';
import { absentParts } from './support/dialect-parts.ts';

const root = new URL('../', import.meta.url);
const folder = new URL('deploy/kubernetes/', root);
const manifests = (await readdir(folder)).filter((name) => name.endsWith('.yaml'));
const compositions = ['compose.yaml', 'deploy/two-gateways/compose.yaml'];

/** Everything in a file, whatever it is nested in. */
function* nodesOf(value: unknown): Generator<Record<string, unknown>> {
  if (Array.isArray(value)) for (const each of value) yield* nodesOf(each);
  else if (typeof value === 'object' && value !== null) {
    yield { ...value };
    yield* nodesOf(Object.values(value));
  }
}

async function read(file: URL): Promise<Record<string, unknown>[]> {
  const documents = parseAllDocuments(await readFile(file, 'utf8'), { merge: true });
  for (const { errors } of documents) assert.deepEqual(errors, []);
  return [...nodesOf(documents.map((document) => document.toJS()))];
}

const known = settingNames(dialectSettings);

describe('what the gateway is deployed with', () => {
  for (const composition of compositions) {
    it(`gives it settings that it has: ${composition}`, async () => {
      const gateways = (await read(new URL(composition, root))).filter(
        ({ build, environment }) => build && environment,
      );
      assert.ok(gateways.length > 0);
      for (const { environment, read_only, cap_drop } of gateways) {
        const names = Object.keys(Object(environment));
        assert.ok(names.includes('DATABASE_URL'));
        assert.deepEqual(
          names.filter((name) => !known.includes(name)),
          [],
        );
        assert.deepEqual([read_only, cap_drop], [true, ['ALL']]);
      }
    });
  }

  it('asks it at addresses that need no key', async () => {
    const { routes } = createDialectApp(tmlsr, absentParts(), {
      callers: anybody,
      corsOrigins: [],
      refusePage: () => null,
      doors: openDoors,
      settings: readConfig({}, dialectSettings).dialectSettings,
      logger: createLogger('silent'),
    });
    const nodes = await read(new URL('gateway.yaml', folder));
    const probes = nodes.flatMap(({ path, port }) => (path && port ? [String(path)] : []));
    assert.deepEqual(probes.sort(), ['/health', '/health', '/ready']);
    for (const path of probes) assert.equal(declaredPolicy(routes, 'GET', path)?.isOpen, true);
    assert.match(
      await readFile(new URL('deploy/two-gateways/Caddyfile', root), 'utf8'),
      /health_uri \/ready\n/,
    );
  });

  it('is whole: every file is applied, or is an example', async () => {
    const [kustomization] = await read(new URL('kustomization.yaml', folder));
    const { resources } = kustomization ?? {};
    const others = manifests.filter((name) => !/^kustomization|\.example\./.test(name));
    assert.deepEqual([...(resources as string[])].sort(), others.sort());
    const settings = (await read(new URL('secret.example.yaml', folder))).flatMap(
      ({ stringData }) => Object.keys(Object(stringData)),
    );
    assert.deepEqual(
      settings.filter((name) => !known.includes(name)),
      // Of the scaler.
      ['key'],
    );
  });

  it('alerts by metrics that the gateway has', async () => {
    const exposed = await new TaskMetrics(['some']).expose({
      activeWorkers: 1,
      queueDepths: new Map([['some', 1]]),
      gpuUtilization: new Map([['some', 1]]),
    });
    const metrics = new Set(
      [...exposed.matchAll(/^# TYPE (\w+) (\w+)/gm)].flatMap(([, name = '', type]) =>
        type === 'histogram' ? [`${name}_bucket`] : [name],
      ),
    );
    const rules = await read(new URL('deploy/prometheus/tmlsr.rules.yaml', root));
    const expressions = rules.flatMap(({ expr }) => (expr === undefined ? [] : [String(expr)]));
    assert.ok(expressions.length > 0);
    for (const expression of expressions) {
      for (const [, name = ''] of expression.matchAll(/(\w+)\{job="tmlsr"/g)) {
        assert.ok(name === 'up' || metrics.has(name), name);
      }
    }
  });

  it('starts under systemd with settings that it has', async () => {
    const unit = await readFile(new URL('deploy/systemd/tmlsr.service', root), 'utf8');
    const given = [...unit.matchAll(/^Environment=(.*)$/gm)].flatMap(([, line = '']) =>
      line.split(' ').map((entry) => entry.split('=')[0] ?? ''),
    );
    assert.ok(given.length > 0);
    for (const name of given) assert.ok([...known, ...secretFileNames].includes(name), name);
    assert.match(unit, /^ExecStart=\S+node --max-semi-space-size=4 src\/main\.ts$/m);
  });

  it('scales by what the gateway tells', async () => {
    const metadata = (await read(new URL('keda.yaml', folder))).find(({ url }) => url);
    const url = new URL(String(metadata?.url));
    assert.ok(declaredDemand(url.pathname));
    assert.equal(metadata?.valueLocation, 'servers_wanted');
  });
});

function declaredDemand(path: string): boolean {
  return tmlsr
    .create(absentParts(), readConfig({}, dialectSettings).dialectSettings)
    .routes.routes.some((route) => route.path === path);
}
