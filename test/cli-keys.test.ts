import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { bareEnv } from './support/bare-env.ts';
import { eventually } from './support/eventually.ts';
import { GatewayClient } from './support/gateway-client.ts';
import { patienceMs, scenesAtOnce } from './support/patience.ts';
import { createTestDatabase, gatewayDatabase, urlOf } from './support/test-database.ts';
import { TestGateway } from './support/test-gateway.ts';

const program = fileURLToPath(new URL('../bin/tmlsr.js', import.meta.url));
const aKey = /^tmlsr_([0-9a-f]{16})_[0-9a-f]{72}\n$/;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `tmlsr keys …`, with these settings. */
async function keys(env: Readonly<Record<string, string>>, ...args: string[]): Promise<Ended> {
  const options = { cwd: tmpdir(), env: { ...bareEnv, ...env }, timeout: patienceMs };
  return await new Promise((resolve) => {
    execFile(process.execPath, [program, 'keys', ...args], options, (error, stdout, stderr) => {
      const code = error ? error.code : 0;
      resolve({ code: typeof code === 'number' ? code : null, stdout, stderr });
    });
  });
}

/** The key that a command has printed, and its id. */
function printed({ code, stdout, stderr }: Ended): { key: string; id: string } {
  assert.equal(code, 0, stderr);
  const [, id] = aKey.exec(stdout) ?? [];
  assert.ok(id, stdout);
  assert.ok(!stderr.includes(stdout.trim()), 'the key goes to standard output alone');
  return { key: stdout.trim(), id };
}

describe('tmlsr keys', { concurrency: scenesAtOnce }, () => {
  it('makes the first key of a machine, and goes through the gateway once that runs', async () => {
    await using parts = new AsyncDisposableStack();
    const dataDir = await mkdtemp(join(tmpdir(), 'tmlsr-keys-'));
    parts.defer(() => rm(dataDir, { recursive: true, force: true }));
    await gatewayDatabase({ engine: 'pglite' }, dataDir, parts);
    const env = { DATA_DIR: dataDir };
    const first = await keys(env, 'create', '--name', 'boss', '--scopes', 'admin');
    const { key } = printed(first);
    assert.match(first.stderr, /^boss \(\w+\), of the tenant boss, without an end, may admin\.$/m);

    await using gateway = await TestGateway.start({ engine: 'pglite', backends: [], dataDir });
    assert.equal((await gateway.call('GET', '/workflows')).status, 401);
    const locked = await keys(env, 'list');
    assert.equal(locked.code, 1);
    assert.match(locked.stderr, /is in use by another gateway.*\n.*--url URL/);

    const via = { TMLSR_KEY: key };
    const at = ['--url', `${gateway.url}/`];
    const options = ['--tenant', 'studio', '--scopes', 'tasks:read, graphs', '--expires', '90d'];
    const made = printed(await keys(via, 'create', '--name', 'ci', ...options, ...at));
    const ci = (key: string) => new GatewayClient(gateway.url, key).call('GET', '/workflows');
    assert.equal((await ci(made.key)).status, 200);
    const listed = await keys(via, 'list', ...at);
    assert.equal(listed.code, 0, listed.stderr);
    const [head, ...rows] = listed.stdout.trimEnd().split('\n');
    assert.match(head ?? '', /^ID +NAME +TENANT +ENDS +LAST USED +SCOPES$/);
    assert.match(rows[0] ?? '', /^\w{16} +boss +boss +never +.+ +admin$/);
    assert.match(
      rows[1] ?? '',
      /^\w{16} +ci +studio +20\d\d-\d\d-\d\d \d\d:\d\d +.*tasks:read,graphs$/,
    );
    assert.ok(!listed.stdout.includes(made.key.slice(24)));
    const json = await keys(via, 'list', '--json', ...at);
    assert.equal(JSON.parse(json.stdout)[1].tenant, 'studio');

    const turned = printed(await keys(via, 'rotate', made.id, '--grace', '1h', ...at));
    assert.equal(turned.id, made.id);
    for (const each of [made, turned]) assert.equal((await ci(each.key)).status, 200);
    const revoked = await keys(via, 'revoke', made.id, ...at);
    assert.deepEqual([revoked.code, revoked.stdout], [0, '']);
    for (const each of [made, turned]) assert.equal((await ci(each.key)).status, 401);

    const again = await keys(via, 'revoke', made.id, ...at);
    assert.deepEqual(
      [again.code, again.stderr],
      [1, `The gateway at ${gateway.url} refuses: There is no such key\n`],
    );
    const stranger = await keys({}, 'list', ...at);
    assert.match(stranger.stderr, /refuses: A key is needed/);
  });

  it('changes a Postgres beside the gateways that run on it, which hear of it', async () => {
    await using scratch = await createTestDatabase('postgres');
    await using gateway = await TestGateway.start({
      ...{ engine: 'postgres', database: scratch, backends: [] },
    });
    assert.equal((await gateway.call('GET', '/workflows')).status, 200);
    const env = { DATABASE_URL: urlOf(scratch) };
    const made = printed(await keys(env, 'create', '--name', 'boss', '--scopes', 'admin'));
    const boss = (key: string) => new GatewayClient(gateway.url, key);
    const hears = (key: string, expected: number) =>
      eventually(async () => {
        assert.equal((await boss(key).call('GET', '/workflows')).status, expected);
      });
    await hears('', 401);
    await hears(made.key, 200);
    const turned = printed(await keys(env, 'rotate', made.id));
    await hears(made.key, 401);
    const { body } = await boss(turned.key).call('GET', '/monitor/operators');
    assert.deepEqual(
      body.events.map(({ actor, gateway, kind }: Record<string, string>) => [actor, gateway, kind]),
      ['key_rotated', 'key_created'].map((kind) => [
        '',
        '00000000-0000-0000-0000-000000000000',
        kind,
      ]),
    );
    const taken = await keys(env, 'create', '--name', 'boss');
    assert.deepEqual([taken.code, taken.stderr], [1, 'There is a key of the name boss\n']);
    assert.equal((await keys(env, 'revoke', made.id)).code, 0);
    await hears(turned.key, 401);
    assert.equal((await keys(env, 'list')).stdout, 'There is no key.\n');
  });

  it('says what is wrong with a call, and exits with 2', async () => {
    const wrong: [args: string[], says: RegExp][] = [
      [[], /a command is missing: create, list, rotate, revoke/],
      [['create'], /--name is missing/],
      [['create', '--name', 'a', '--scopes', 'task:read'], /"task:read".*tasks:read/],
      [['create', '--name', 'a', '--expires', 'soon'], /--expires must be such as 90d/],
      [['rotate'], /it takes one ID, not 0/],
      [['rotate', 'a', '--grace', 'long'], /--grace must be such as 1h/],
      [['revoke', 'a', 'b'], /it takes one ID, not 2/],
    ];
    for (const [args, says] of wrong) {
      const { code, stderr } = await keys({}, ...args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, says);
    }
    const help = await keys({}, 'create', '--help');
    assert.match(help.stdout, /tasks:write, tasks:read, graphs/);
  });
});
