import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { type BackendAddress, type DnsName, parseBackendEntry } from './address.ts';
import { DnsDiscovery } from './discovery.ts';

function named(entry: string): DnsName {
  const parsed = parseBackendEntry(entry);
  assert.ok(parsed.kind === 'dns');
  return parsed;
}

const name = named('dns+http://comfy.internal:8188');

/** Looks the name up as the script says, answer by answer; the last one is given again and again. */
function discovery(...answers: (string[] | Error | Promise<string[]>)[]) {
  return patientDiscovery(60_000, ...answers);
}

function patientDiscovery(
  emptyAfterMs: number,
  ...answers: (string[] | Error | Promise<string[]>)[]
) {
  const asked: string[] = [];
  const resolve = async (hostname: string) => {
    const answer = answers[Math.min(asked.push(hostname), answers.length) - 1] ?? [];
    if (answer instanceof Error) throw answer;
    return answer;
  };
  return {
    found: new DnsDiscovery(name, { resolve, lookEveryMs: 1, answerDeadlineMs: 20, emptyAfterMs }),
    asked,
  };
}

async function untilAsked(asked: readonly string[], times: number): Promise<void> {
  while (asked.length < times) await new Promise(setImmediate);
}

async function nextChange(found: DnsDiscovery): Promise<string[]> {
  const signal = AbortSignal.timeout(10_000);
  const [addresses] = (await once(found, 'changed', { signal })) as [BackendAddress[]];
  assert.deepEqual(addresses, found.addresses);
  return addresses.map(({ label }) => label);
}

describe('DnsDiscovery', () => {
  it('finds a server at each address of the name, and tells when they change', async () => {
    const { found, asked } = discovery(['10.0.0.2', '10.0.0.1'], ['10.0.0.1', '10.0.0.3']);
    await using _found = found;
    assert.deepEqual(found.addresses, []);
    found.start();
    assert.deepEqual(await nextChange(found), ['http://10.0.0.1:8188', 'http://10.0.0.2:8188']);
    assert.deepEqual(await nextChange(found), ['http://10.0.0.1:8188', 'http://10.0.0.3:8188']);
    assert.equal(asked[0], 'comfy.internal');
  });

  it('says nothing when only the order changed', async () => {
    const { found, asked } = discovery(
      ['10.0.0.1', '10.0.0.2'],
      ['10.0.0.2', '10.0.0.1', '10.0.0.1'],
    );
    await using _found = found;
    let changes = 0;
    found.on('changed', () => {
      changes += 1;
    });
    found.start();
    await untilAsked(asked, 4);
    assert.equal(changes, 1);
  });

  it('keeps what it knows when the name has no answer, or an empty one', async () => {
    const { found, asked } = discovery(['10.0.0.1'], new Error('ENOTFOUND'), [], ['10.0.0.2']);
    await using _found = found;
    const told: unknown[] = [];
    found.on('changed', ([address]) => told.push(address?.label));
    found.on('failed', ({ message }) => told.push(message));
    found.start();
    await untilAsked(asked, 5);
    assert.deepEqual(told, [
      'http://10.0.0.1:8188',
      'ENOTFOUND',
      'comfy.internal has no addresses',
      'http://10.0.0.2:8188',
    ]);
  });

  it('tells whether a failure is another than before', async () => {
    const [gone, late] = [new Error('gone'), new Error('late')];
    const { found, asked } = discovery(gone, gone, late, ['10.0.0.1'], late, ['10.0.0.1']);
    await using _found = found;
    const told: unknown[] = [];
    found.on('failed', ({ message }, isNews) => told.push([message, isNews]));
    found.start();
    await untilAsked(asked, 6);
    assert.deepEqual(told, [
      ['gone', true],
      ['gone', false],
      ['late', true],
      ['late', true],
    ]);
  });

  it('has no servers once the name stays empty, and says so once', async () => {
    const { found } = patientDiscovery(5, ['10.0.0.1'], [], [], [], [], [], [], [], []);
    await using _found = found;
    let failures = 0;
    found.on('failed', () => {
      failures += 1;
    });
    found.start();
    assert.deepEqual(await nextChange(found), ['http://10.0.0.1:8188']);
    assert.deepEqual(await nextChange(found), []);
    assert.equal(failures, 1);
  });

  it('gives up waiting for a look-up that hangs, and takes its answer when it comes', async () => {
    const slow = Promise.withResolvers<string[]>();
    const { found, asked } = discovery(slow.promise);
    await using _found = found;
    const failures: Error[] = [];
    found.on('failed', (error) => failures.push(error));
    found.start();
    const signal = AbortSignal.timeout(10_000);
    await once(found, 'failed', { signal });
    await once(found, 'failed', { signal });
    assert.equal(failures[0]?.name, 'TimeoutError');
    assert.equal(asked.length, 1, 'another look-up was begun beside the one that hangs');
    slow.resolve(['10.0.0.1']);
    assert.deepEqual(await nextChange(found), ['http://10.0.0.1:8188']);
  });

  it('stops in the middle of a look-up', async () => {
    const { found, asked } = discovery(new Promise<string[]>(() => {}));
    found.start();
    await untilAsked(asked, 1);
    await found[Symbol.asyncDispose]();
    assert.equal(asked.length, 1);
  });

  it('takes the IPv4 addresses of a name that has both kinds, and IPv6 where there is no other', async () => {
    const { found } = discovery(['::1', '127.0.0.1'], ['fd00::1', 'fd00::2']);
    await using _found = found;
    found.start();
    assert.deepEqual(await nextChange(found), ['http://127.0.0.1:8188']);
    assert.deepEqual(await nextChange(found), ['http://[fd00::1]:8188', 'http://[fd00::2]:8188']);
  });

  it('takes a name that is not there for one without servers', async () => {
    await using found = new DnsDiscovery(named('dns+http://comfyui.invalid:8188'));
    const signal = AbortSignal.timeout(10_000);
    found.start();
    const [error] = await once(found, 'failed', { signal });
    // Without a resolver, as where there is no network, the system tells no more than that.
    assert.match(error.message, /has no addresses|EAI_AGAIN/);
    assert.deepEqual(found.addresses, []);
  });

  it('asks the system, and with it /etc/hosts', async () => {
    await using found = new DnsDiscovery(named('dns+http://localhost:8188'));
    found.start();
    const [label] = await nextChange(found);
    assert.match(label ?? '', /^http:\/\/(127\.0\.0\.1|\[::1\]):8188$/);
  });
});
