import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sleepGraph } from '../../test/support/test-workflows.ts';
import { parseWorkflow } from '../workflows/parse.ts';
import { Identity, type ServerFacts } from './identity.ts';
import { nodeCatalogue } from './messages.ts';

const described = {
  LoadImage: { input: { required: { image: [[]] } }, output: ['IMAGE'] },
  SaveImage: { input: { required: { images: ['IMAGE'] } }, output: [], output_node: true },
};
const withoutSleep = nodeCatalogue(described);
const withSleep = nodeCatalogue({
  ...described,
  EmulatorSleep: { input: { required: { image: ['IMAGE'] } }, output: ['IMAGE'] },
});
const device = { name: 'cuda:0', memoryTotal: 100, memoryFree: 60 };

const sleep = parseWorkflow(
  { name: 'sleep', text: JSON.stringify(sleepGraph(1)), meta: null },
  null,
);

function facts(changes: Partial<ServerFacts> = {}): ServerFacts {
  return {
    version: '0.3.60',
    devices: [device],
    hasJobs: true,
    catalogue: withoutSleep,
    ...changes,
  };
}

describe('Identity', () => {
  it('knows nothing of a server that was never reached, and rules nothing out', () => {
    const identity = new Identity();
    assert.ok(!identity.isKnown && !identity.isCurrent && !identity.hasJobs);
    assert.deepEqual([identity.version, identity.devices, identity.catalogue], [null, [], null]);
    assert.deepEqual(identity.whyNot(sleep), []);
    assert.deepEqual(identity.cannotRun([sleep]), {});
  });

  it('keeps what it was told', () => {
    const identity = new Identity();
    identity.learn(facts());
    assert.ok(identity.isKnown && identity.hasJobs);
    assert.equal(identity.version, '0.3.60');
    assert.equal(identity.catalogue, withoutSleep);
    const devices = [{ ...device, memoryFree: 10 }];
    identity.learnDevices(devices);
    assert.deepEqual(identity.devices, devices);
  });

  it('is current from its confirmation to the loss of the connection, and known beyond', () => {
    const identity = new Identity();
    identity.learn(facts());
    assert.ok(!identity.isCurrent);
    identity.confirm();
    assert.ok(identity.isCurrent);
    identity.doubt();
    assert.ok(!identity.isCurrent && identity.isKnown);
  });

  it('tells whether the nodes are others than before', () => {
    const identity = new Identity();
    assert.equal(identity.learn(facts()), true);
    assert.equal(identity.learn(facts({ version: '0.3.61' })), false);
    assert.equal(identity.learnNodes(withSleep), true);
    assert.equal(identity.learnNodes(withSleep), false);
  });

  it('says why a workflow cannot run, until a node is added', () => {
    const identity = new Identity();
    identity.learn(facts());
    const reasons = ['It has no node class EmulatorSleep'];
    assert.deepEqual(identity.whyNot(sleep), reasons);
    assert.deepEqual(identity.cannotRun([sleep]), { sleep: reasons });
    identity.learnNodes(withSleep);
    assert.deepEqual(identity.whyNot(sleep), []);
    assert.deepEqual(identity.cannotRun([sleep]), {});
  });

  it('remembers a refusal until the server tells of its nodes again', () => {
    const identity = new Identity();
    identity.learn(facts({ catalogue: withSleep }));
    identity.markUnable(sleep, 'a model file is broken');
    assert.deepEqual(identity.cannotRun([sleep]), { sleep: ['a model file is broken'] });
    identity.learnNodes(withSleep);
    assert.deepEqual(identity.whyNot(sleep), []);
  });
});
