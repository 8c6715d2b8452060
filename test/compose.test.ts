import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { before, describe, it } from 'node:test';
import { parseEnv } from 'node:util';
import { parse } from 'yaml';
import { readConfig, settingNames } from '../src/config/config.ts';
import { dialectSettings } from '../src/http/dialects/index.ts';

type Env = Readonly<Record<string, string>>;

interface Service {
  readonly env_file: readonly { readonly path: string; readonly required: boolean }[];
  readonly environment: Env;
  readonly volumes: readonly string[];
  readonly extra_hosts: readonly string[];
}

const root = new URL('../', import.meta.url);
/** Those of the container, which a file for a gateway outside of it may not change. */
const ofContainer = [
  ...['HOST', 'PORT', 'DATA_DIR', 'WORKFLOWS_DIR', 'DATABASE_URL', 'ALLOW_ANONYMOUS'],
];

/** `${NAME:-otherwise}` and `${NAME:?complaint}`, as Docker Compose reads them. */
function filled(text: string, env: Env): string {
  return text.replace(/\$\{(\w+):([-?])([^}]*)\}/g, (_, name, sign, rest) => {
    const value = env[name];
    if (value) return value;
    if (sign === '?') throw new Error(`${name}: ${rest}`);
    return rest;
  });
}

describe('compose.yaml', () => {
  let gateway: Service;
  before(async () => {
    gateway = parse(await readFile(new URL('compose.yaml', root), 'utf8')).services.gateway;
  });

  /** What the gateway has of a file `.env`, beside which the shell says nothing. */
  function given(dotEnv: Env): Env {
    const own = Object.entries(gateway.environment).map(([name, text]) => [
      name,
      filled(text, dotEnv),
    ]);
    return { ...dotEnv, ...Object.fromEntries(own) };
  }

  it('passes every setting of .env on, but for those of the container', () => {
    assert.deepEqual(gateway.env_file, [{ path: '.env', required: false }]);
    const names = settingNames(dialectSettings);
    const env = given(Object.fromEntries(names.map((name) => [name, `MARKER-${name}`])));
    const kept = names.filter((name) => env[name] !== `MARKER-${name}`);
    assert.deepEqual(kept.sort(), ofContainer.sort());
  });

  it('starts with .env.example as it is, and with no file at all', async () => {
    const example = parseEnv(await readFile(new URL('.env.example', root), 'utf8')) as Env;
    const COMFYUI_BACKENDS = 'http://host.docker.internal:8188';
    for (const dotEnv of [{ ...example, COMFYUI_BACKENDS }, { COMFYUI_BACKENDS }]) {
      const config = readConfig(given(dotEnv), dialectSettings);
      const { host, port, dataDir, workflowsDir } = config;
      assert.deepEqual(
        [host, port, dataDir, workflowsDir],
        ['0.0.0.0', 6008, '/data', '/app/workflows'],
      );
    }
    assert.throws(() => given({}), /COMFYUI_BACKENDS: set it/);
  });

  it('mounts the workflows, and knows the machine that it runs on', () => {
    assert.ok(gateway.volumes.includes('./workflows:/app/workflows'));
    assert.deepEqual(gateway.extra_hosts, ['host.docker.internal:host-gateway']);
  });
});
