import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ExecutionOrder } from './execution-order.ts';
import type { Prompt } from './wire.ts';

function orderOf(prompt: Prompt, outputs: string[], cached: string[] = []): string[] {
  const isOutput = (id: string) => prompt[id]?.class_type === 'Out';
  const order = new ExecutionOrder(prompt, outputs, (id) => cached.includes(id), isOutput);
  const ran: string[] = [];
  for (let id = order.next(); id !== null; id = order.next()) {
    ran.push(id);
    order.complete(id);
  }
  return ran;
}

const node = (...from: string[]) => ({
  class_type: 'Node',
  inputs: Object.fromEntries(from.map((id, index) => [`input${index}`, [id, 0]])),
});
const out = (from: string) => ({ class_type: 'Out', inputs: { images: [from, 0] } });

test('takes the inputs of a node from the last one named, as recorded with SeedVR2', () => {
  const prompt = { 16: node(), 14: node(), 13: node(), 10: node('16', '14', '13'), 15: out('10') };
  assert.deepEqual(orderOf(prompt, ['15']), ['13', '14', '16', '10', '15']);
});

test('takes an output that is ready before anything else, as recorded with two outputs', () => {
  const prompt = { 1: node(), 2: node('1'), 3: out('2'), 9: out('1') };
  assert.deepEqual(orderOf(prompt, ['3', '9'], ['1']), ['9', '2', '3']);
});

test('leaves out what is cached, and what no output needs', () => {
  const prompt = { 1: node(), 2: node('1'), 3: out('2'), 4: node() };
  assert.deepEqual(orderOf(prompt, ['3'], ['1', '2']), ['3']);
});

test('runs a shared ancestor once', () => {
  const prompt = { 1: node(), 2: node('1'), 3: node('1', '2'), 4: out('3'), 5: out('2') };
  assert.deepEqual(orderOf(prompt, ['4', '5']), ['1', '2', '5', '3', '4']);
});
