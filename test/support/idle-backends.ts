import { once } from 'node:events';
import { parseBackendAddress } from '../../src/comfyui/address.ts';
import { Backend } from '../../src/comfyui/backend.ts';
import { Emulator } from '../../src/emulator/emulator.ts';
import type { GpuRequest } from '../../src/pool/waiting-room.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { parseWorkflow } from '../../src/workflows/parse.ts';
import { sleepGraph } from './test-workflows.ts';

/** Backends that are idle, each in front of an emulator; `parts` takes them down. */
export async function idleBackends(count: number, parts: AsyncDisposableStack): Promise<Backend[]> {
  const backends: Backend[] = [];
  for (let i = 0; i < count; i += 1) {
    const emulator = parts.use(await Emulator.start());
    const address = parseBackendAddress(emulator.url);
    const backend = parts.use(new Backend(address, createLogger('silent')));
    backend.start();
    if (backend.state !== 'idle') await once(backend, 'idle');
    backends.push(backend);
  }
  return backends;
}

/** What a task asks for that any of them could run. */
export function gpuRequest(taskId: string, workflow = 'sleep', tenant = 'alice'): GpuRequest {
  const text = JSON.stringify(sleepGraph(1));
  const graph = parseWorkflow({ name: workflow, text, meta: null }, null);
  return { taskId, workflow, tenant, graph, avoid: [] };
}
