import type { Device } from '../core/backend.ts';
import { shortcomings } from '../core/capabilities.ts';
import { isSameCatalogue, type NodeCatalogue } from '../core/node-catalogue.ts';
import type { Workflow } from '../core/workflow.ts';

/** What a server tells of itself. */
export interface ServerFacts {
  readonly version: string | null;
  readonly devices: readonly Device[];
  /** Whether prompts are known to it as jobs, which it can cancel in one step. */
  readonly hasJobs: boolean;
  readonly catalogue: NodeCatalogue;
}

/** What a server is and can run, as it told or as trying has shown. */
export class Identity {
  #version: string | null = null;
  #devices: readonly Device[] = [];
  #hasJobs = false;
  #catalogue: NodeCatalogue | null = null;
  #isCurrent = false;
  /** By hash of a workflow, why it cannot run here: found out beforehand, or by trying. */
  readonly #shortcomings = new Map<string, readonly string[]>();

  get version(): string | null {
    return this.#version;
  }

  get devices(): readonly Device[] {
    return this.#devices;
  }

  get hasJobs(): boolean {
    return this.#hasJobs;
  }

  /** The nodes that it has; `null` while it was never reached. */
  get catalogue(): NodeCatalogue | null {
    return this.#catalogue;
  }

  /** Whether it has told what it can run, over whichever connection. */
  get isKnown(): boolean {
    return this.#catalogue !== null;
  }

  /** Whether all this was told over the present connection: behind the next may be another server. */
  get isCurrent(): boolean {
    return this.#isCurrent;
  }

  /** It told everything; returns whether it has other nodes than before. */
  learn({ version, devices, hasJobs, catalogue }: ServerFacts): boolean {
    this.#version = version;
    this.#devices = devices;
    this.#hasJobs = hasJobs;
    return this.learnNodes(catalogue);
  }

  learnDevices(devices: readonly Device[]): void {
    this.#devices = devices;
  }

  /** Returns whether they are others than before. */
  learnNodes(catalogue: NodeCatalogue): boolean {
    const isNew = this.#catalogue === null || !isSameCatalogue(this.#catalogue, catalogue);
    this.#catalogue = catalogue;
    // What it refused may work by now, and is tried again.
    this.#shortcomings.clear();
    return isNew;
  }

  /** The connection over which it told is the present one. */
  confirm(): void {
    this.#isCurrent = true;
  }

  /** The connection is lost. */
  doubt(): void {
    this.#isCurrent = false;
  }

  /** Why it cannot run the workflow; nothing when it can, or while nothing is known. */
  whyNot(workflow: Workflow): readonly string[] {
    let reasons = this.#shortcomings.get(workflow.hash);
    if (!reasons) {
      reasons = this.#catalogue ? shortcomings(workflow, this.#catalogue) : [];
      this.#shortcomings.set(workflow.hash, reasons);
    }
    return reasons;
  }

  /** It refused the workflow, for this reason. */
  markUnable(workflow: Workflow, reason: string): void {
    this.#shortcomings.set(workflow.hash, [reason]);
  }

  /** By name, why it cannot run those of the workflows that it cannot. */
  cannotRun(workflows: Iterable<Workflow>): Record<string, readonly string[]> {
    const reasons: Record<string, readonly string[]> = {};
    if (!this.isKnown) return reasons;
    for (const workflow of workflows) {
      const why = this.whyNot(workflow);
      if (why.length > 0) reasons[workflow.name] = why;
    }
    return reasons;
  }
}
