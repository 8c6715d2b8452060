/**
 * Runs prompts, one after the other, and tells the world about it in ComfyUI's order:
 * `execution_start`, `execution_cached`, then for each node `progress_state`, `executing`, its ticks,
 * `executed` where it has something to show, `progress_state`; then `execution_success` or
 * `execution_error` or `execution_interrupted`, then the history is written, then `status`, then
 * `executing` with no node.
 */
import type { Engine } from './engine.ts';
import { ExecutionOrder } from './execution-order.ts';
import type { Faults } from './faults.ts';
import type { Folders } from './folders.ts';
import { Frames } from './frames.ts';
import { Gpu } from './gpu.ts';
import { type Ledger, type PromptRun, preciseNow } from './ledger.ts';
import type { Loaders } from './loaders/loaders.ts';
import { type CachedNode, NodeCache, nodeKeys } from './node-cache.ts';
import { nodeClasses } from './nodes/index.ts';
import type { NodeContext } from './nodes/node.ts';
import { modelsOf } from './nodes/sleep.ts';
import type { Catalog } from './object-info.ts';
import { Progress } from './progress.ts';
import type { PromptQueue } from './prompt-queue.ts';
import { PythonError } from './python.ts';
import type { Sockets } from './sockets.ts';
import {
  isLink,
  type NodeMeta,
  type PromptNode,
  type QueueItem,
  type StatusMessage,
} from './wire.ts';

export interface ExecutorOptions {
  readonly queue: PromptQueue;
  readonly sockets: Sockets;
  readonly folders: Folders;
  readonly engine: Engine;
  readonly loaders: Loaders;
  readonly faults: Faults;
  readonly catalog: Catalog;
  readonly ledger: Ledger;
  /** How many times EmulatorSleep's seconds it takes. */
  readonly slowdown: number;
}

/** What `POST /free` lets go of: cached nodes, and the model that the GPU holds. */
export interface Freeing {
  readonly cache: boolean;
  readonly models: boolean;
}

class Interrupted extends Error {}

type Outcome = 'success' | 'error' | 'interrupted';

export class Executor {
  readonly #options: ExecutorOptions;
  readonly #cache = new NodeCache();
  readonly #gpu: Gpu;
  readonly #memory = new Map<string, unknown>();
  #isInterrupted = false;
  #freeing: Freeing = { cache: false, models: false };

  constructor(options: ExecutorOptions) {
    this.#options = options;
    this.#gpu = new Gpu(options.slowdown);
  }

  /** Takes effect at the next node or tick of the running prompt, and not at all without one. */
  interrupt(): void {
    this.#isInterrupted = true;
  }

  /** Before the next prompt, or now if none is running. */
  async free({ cache, models }: Freeing): Promise<void> {
    this.#freeing = { cache: this.#freeing.cache || cache, models: this.#freeing.models || models };
    if (this.#options.queue.running.length === 0) await this.#freeNow();
  }

  /** Runs until the signal, which leaves a running prompt without an end. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        const item = await this.#options.queue.take(signal);
        await this.#runPrompt(item, signal);
        await this.#freeNow();
      }
    } finally {
      await this.#cache.keepOnly([]);
    }
  }

  async #freeNow(): Promise<void> {
    const { cache, models } = this.#freeing;
    this.#freeing = { cache: false, models: false };
    if (models) this.#gpu.unload();
    if (cache) await this.#cache.keepOnly([]);
  }

  async #runPrompt(item: QueueItem, signal: AbortSignal): Promise<void> {
    const { queue, sockets, ledger } = this.#options;
    const [number, id, graph, extraData, outputs] = item;
    const note = ledger.begin(id, modelsOf(graph)[0] ?? '');
    const finish = (status: PromptRun['status']) => note({ endedAt: preciseNow(), status });
    const clientId = extraData.client_id;
    sockets.clientId = typeof clientId === 'string' ? clientId : null;
    this.#isInterrupted = false;
    const messages: StatusMessage[] = [];
    const run = new Run({
      ...this.#options,
      cache: this.#cache,
      gpu: this.#gpu,
      memory: this.#memory,
      item,
      messages,
      signal,
      throwIfInterrupted: () => {
        if (this.#isInterrupted) {
          this.#isInterrupted = false;
          throw new Interrupted();
        }
      },
      onModelLoad: () => note({ loadedModel: true }),
    });
    let outcome: Outcome;
    try {
      outcome = await run.execute();
    } catch (error) {
      finish('lost');
      throw error;
    }
    sockets.lastNodeId = null;
    finish(outcome);
    queue.done(item, {
      prompt: [number, id, graph, withoutKeys(extraData), outputs],
      ...run.collectOutputs(),
      status: {
        status_str: outcome === 'success' ? 'success' : 'error',
        completed: outcome === 'success',
        messages,
      },
    });
    sockets.toOwner('executing', { node: null, prompt_id: id });
  }
}

/** What ComfyUI strips from the history. */
function withoutKeys(extraData: Record<string, unknown>): Record<string, unknown> {
  const { auth_token_comfy_org: _, api_key_comfy_org: __, ...rest } = extraData;
  return rest;
}

interface RunOptions extends ExecutorOptions {
  readonly cache: NodeCache;
  readonly gpu: Gpu;
  readonly memory: Map<string, unknown>;
  readonly item: QueueItem;
  /** Filled with what the history keeps. */
  readonly messages: StatusMessage[];
  readonly signal: AbortSignal;
  readonly throwIfInterrupted: () => void;
  readonly onModelLoad: () => void;
}

/** One prompt. */
class Run {
  readonly #options: RunOptions;
  readonly #cache: NodeCache;
  readonly #item: QueueItem;
  readonly #signal: AbortSignal;
  readonly #progress: Progress;
  readonly #executed: string[] = [];
  #keys = new Map<string, string>();

  constructor(options: RunOptions) {
    this.#options = options;
    this.#cache = options.cache;
    this.#item = options.item;
    this.#signal = options.signal;
    this.#progress = new Progress(options.item[1]);
  }

  async execute(): Promise<Outcome> {
    const [, , graph, , outputs] = this.#item;
    this.#report('execution_start', {});
    this.#keys = nodeKeys(graph, await this.#fingerprints());
    await this.#cache.keepOnly(this.#keys.values());
    this.#options.gpu.keepOnly(modelsOf(graph));
    const isCached = (id: string) => this.#cached(id) !== undefined;
    this.#report('execution_cached', { nodes: Object.keys(graph).filter(isCached) });

    const { classes } = this.#options.catalog;
    const isOutput = (id: string) => classes.get(this.#node(id).class_type)?.output_node ?? false;
    const order = new ExecutionOrder(graph, outputs, isCached, isOutput);
    const victim = this.#chooseVictim(order.pending.filter((id) => !isCached(id)));
    for (let id = order.next(); id !== null; id = order.next()) {
      const failure = await this.#executeNode(id, id === victim);
      if (failure !== null) return failure;
      order.complete(id);
    }
    this.#report('execution_success', {});
    return 'success';
  }

  /** `outputs` and `meta` of the history: of every node with something to show, run or cached. */
  collectOutputs(): { outputs: Record<string, unknown>; meta: Record<string, NodeMeta> } {
    const shown = Object.keys(this.#item[2]).flatMap((id) => {
      const ui = this.#cached(id)?.ui;
      return ui ? [[id, ui] as const] : [];
    });
    return {
      outputs: Object.fromEntries(shown.map(([id, ui]) => [id, ui.output])),
      meta: Object.fromEntries(shown.map(([id, ui]) => [id, ui.meta])),
    };
  }

  async #executeNode(id: string, runsOutOfMemory: boolean): Promise<Outcome | null> {
    const { sockets } = this.#options;
    const promptId = this.#item[1];
    const shown = { node: id, display_node: id };
    const cached = this.#cached(id);
    if (cached !== undefined) {
      const output = cached.ui?.output ?? null;
      sockets.toOwner('executed', { ...shown, output, prompt_id: promptId });
      this.#finish(id);
      return null;
    }

    sockets.lastNodeId = id;
    this.#progress.start(id);
    this.#sendProgress();
    sockets.toOwner('executing', { ...shown, prompt_id: promptId });
    const node = this.#node(id);
    const inputs = this.#resolve(node);
    try {
      await this.#options.faults.whileStalled(this.#signal);
      this.#options.throwIfInterrupted();
      const result = await this.#runNode(id, node, inputs, runsOutOfMemory);
      this.#signal.throwIfAborted();
      const ui = result.ui === undefined ? null : { output: result.ui, meta: metaOf(id) };
      if (ui !== null)
        sockets.toOwner('executed', { ...shown, output: ui.output, prompt_id: promptId });
      this.#cache.set(this.#keys.get(id) as string, { outputs: result.outputs, ui });
    } catch (error) {
      this.#signal.throwIfAborted();
      return this.#fail(id, node, inputs, error);
    }
    this.#executed.push(id);
    this.#finish(id);
    return null;
  }

  async #runNode(
    id: string,
    node: PromptNode,
    inputs: Record<string, unknown>,
    runsOutOfMemory: boolean,
  ) {
    const { faults, folders, catalog, engine, gpu, loaders, memory, sockets } = this.#options;
    await faults.dieOrGoOn(node.class_type, this.#signal);
    const failure = faults.takeNodeFailure(node.class_type);
    if (failure !== null) throw new PythonError('RuntimeError', failure);
    if (runsOutOfMemory) throw outOfMemory();
    const checkpoint = async () => {
      this.#signal.throwIfAborted();
      await faults.whileStalled(this.#signal);
      this.#options.throwIfInterrupted();
    };
    const context: NodeContext = {
      id,
      memory,
      requeue: () => this.#requeue(),
      inputs,
      prompt: this.#item[2],
      extraData: this.#item[3],
      folders,
      catalog,
      engine,
      loaders,
      gpu,
      signal: this.#signal,
      checkpoint,
      loadModel: async (model, ms) => {
        if (gpu.holds(model)) return;
        this.#options.onModelLoad();
        await gpu.load(model, ms, this.#signal);
      },
      tick: async (value, max) => {
        await checkpoint();
        this.#progress.update(id, value, max);
        this.#sendProgress();
        sockets.toOwnerOrAll('progress', { value, max, prompt_id: this.#item[1], node: id });
      },
    };
    const nodeClass = nodeClasses[node.class_type];
    if (nodeClass === undefined) throw new Error(`no implementation of ${node.class_type}`);
    return nodeClass.run(context);
  }

  /** As VideoHelperSuite does it: the graph is the same object, whose batch managers count. */
  #requeue(): void {
    const [, , graph, extraData, outputs] = this.#item;
    for (const { class_type, inputs } of Object.values(graph)) {
      if (class_type === 'VHS_BatchManager') inputs.requeue = Number(inputs.requeue ?? 0) + 1;
    }
    const { queue } = this.#options;
    queue.put([-queue.nextNumber(), crypto.randomUUID(), graph, extraData, outputs]);
  }

  #fail(
    id: string,
    node: PromptNode,
    inputs: Record<string, unknown>,
    error: unknown,
  ): Exclude<Outcome, 'success'> {
    const where = { node_id: id, node_type: node.class_type, executed: [...this.#executed] };
    if (error instanceof Interrupted) {
      this.#report('execution_interrupted', where, true);
      return 'interrupted';
    }
    this.#report('execution_error', {
      ...where,
      exception_message: messageOf(error),
      exception_type: error instanceof PythonError ? error.type : 'RuntimeError',
      traceback: [`  File "emulator/executor.ts", in execute ${node.class_type}\n`],
      current_inputs: describeInputs(inputs),
      current_outputs: Object.keys(this.#item[2]),
    });
    return 'error';
  }

  #finish(id: string): void {
    this.#progress.finish(id);
    this.#sendProgress();
  }

  #sendProgress(): void {
    this.#options.sockets.toOwnerOrAll('progress_state', this.#progress.toMessage());
  }

  /** A message that is also kept in the history. */
  #report(event: string, data: Record<string, unknown>, toAll = false): void {
    const { sockets } = this.#options;
    const full = { prompt_id: this.#item[1], ...data, timestamp: Date.now() };
    this.#options.messages.push([event, full]);
    if (toAll) sockets.toOwnerOrAll(event, full);
    else sockets.toOwner(event, full);
  }

  #node(id: string): PromptNode {
    return this.#item[2][id] as PromptNode;
  }

  #cached(id: string): CachedNode | undefined {
    return this.#cache.get(this.#keys.get(id));
  }

  #resolve(node: PromptNode): Record<string, unknown> {
    const inputs = Object.entries(node.inputs).map(([name, value]) => [
      name,
      isLink(value) ? this.#cached(value[0])?.outputs[value[1]] : value,
    ]);
    return Object.fromEntries(inputs);
  }

  /** What a loader's file contains; `null`, which matches nothing, where it cannot be read. */
  async #fingerprints(): Promise<Map<string, string | null>> {
    const fingerprints = new Map<string, string | null>();
    for (const [id, node] of Object.entries(this.#item[2])) {
      const read = nodeClasses[node.class_type]?.fingerprint;
      if (read === undefined || node.inputs === undefined) continue;
      const print = await read(node.inputs, this.#options.folders).catch(() => null);
      fingerprints.set(id, print);
    }
    return fingerprints;
  }

  /** The node that an announced out-of-memory error will hit: the first that works on the GPU. */
  #chooseVictim(pending: readonly string[]): string | null {
    if (pending.length === 0 || !this.#options.faults.takeOutOfMemory(this.#item[2])) return null;
    const usesGpu = (id: string) => nodeClasses[this.#node(id).class_type]?.usesGpu === true;
    return pending.find(usesGpu) ?? pending[0] ?? null;
  }
}

function metaOf(id: string): NodeMeta {
  return { node_id: id, display_node: id, parent_node: null, real_node_id: id };
}

function outOfMemory(): PythonError {
  return new PythonError(
    'torch.OutOfMemoryError',
    'CUDA out of memory. Tried to allocate 20.00 GiB.',
  );
}

const outOfMemoryTips =
  'This error means you ran out of memory on your GPU.\n\nTIPS: If the workflow worked before you might have accidentally set the batch_size to a large number.';

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const isOutOfMemory = error instanceof PythonError && error.type === 'torch.OutOfMemoryError';
  return `${message}\n${isOutOfMemory ? outOfMemoryTips : ''}`;
}

function describeInputs(inputs: Record<string, unknown>): Record<string, unknown[]> {
  const described = Object.entries(inputs).map(([name, value]) => {
    if (value instanceof Frames) {
      return [name, [`tensor(shape=[${value.count}, ${value.height}, ${value.width}, 3])`]];
    }
    return [name, [typeof value === 'object' && value !== null ? String(value) : value]];
  });
  return Object.fromEntries(described);
}
