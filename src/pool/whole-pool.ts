import type { Backend } from '../comfyui/backend.ts';
import { type Fitness, isInService } from '../core/backend.ts';
import type { Misreading } from '../core/misreading.ts';
import type { Workflow } from '../core/workflow.ts';
import type { BackendRecord } from './backend-store.ts';
import type { Membership } from './membership.ts';
import type { Pool } from './pool.ts';

export interface WholePoolParts {
  readonly pool: Pick<Pool, 'get'>;
  readonly membership: Pick<Membership, 'records' | 'emptyNames'>;
}

/** A backend that has a workflow's models in memory. */
export interface WarmBackend {
  readonly workflow: string;
  /** `null`: another gateway drives it. */
  readonly backend: Backend | null;
}

interface Member extends BackendRecord {
  /** `null`: another gateway drives it, or none. */
  readonly backend: Backend | null;
}

/**
 * What is known of the backends of all gateways, without asking the database: of this gateway's at this
 * moment, of others' as they reported within the last few seconds.
 */
export class WholePool {
  readonly #parts: WholePoolParts;

  constructor(parts: WholePoolParts) {
    this.#parts = parts;
  }

  /**
   * The backends that could run the workflow, and why the others cannot. One that nobody has reached yet
   * is in neither, nor is one that a DNS name without addresses may bring. `but` are left out of account.
   */
  fitness(workflow: Workflow, but: readonly string[] = []): Fitness {
    const members = this.#members.filter(
      ({ label, wanted }) => wanted !== 'removed' && !but.includes(label),
    );
    const unable = new Map<string, readonly string[]>();
    let able = 0;
    let inService = 0;
    for (const { label, backend, report } of members) {
      const reasons = backend?.whyNot(workflow) ?? report?.cannotRun[workflow.name] ?? [];
      if (reasons.length > 0) {
        unable.set(label, reasons);
      } else if (backend?.isKnown ?? report?.isKnown) {
        able += 1;
        if (isInService(backend?.state ?? report?.state)) inService += 1;
      }
    }
    return { able, inService, unable, total: members.length + this.#parts.membership.emptyNames };
  }

  /** Whether a backend that is none of these takes tasks at present, and can run the workflow. */
  canRunElsewhere(workflow: Workflow, than: readonly string[]): boolean {
    return this.#members.some(
      (member) => !than.includes(member.label) && isServed(member) && canRun(member, workflow),
    );
  }

  /**
   * How wrong the best gets a task's sources of those in service that other gateways drive; infinite where none of
   * them could run it. `than` are left out of account, and those that take no input of so many bytes.
   */
  leastMisread(
    workflow: Workflow,
    misreading: Misreading,
    { than, bytes }: { readonly than: readonly string[]; readonly bytes: number },
  ): number {
    const others = this.#members.filter(
      (member) =>
        member.backend === null &&
        !than.includes(member.label) &&
        isServed(member) &&
        canRun(member, workflow) &&
        !isTooSmall(member, bytes),
    );
    return Math.min(...others.map(({ report }) => misreading(report?.version ?? null)));
  }

  /** Whether any backend takes tasks, now or when it has done what it does. */
  get isInService(): boolean {
    return this.#members.some(isServed);
  }

  /** The backends that are known to take no input so large. */
  tooSmallFor(bytes: number): string[] {
    return this.#members.filter((member) => isTooSmall(member, bytes)).map(({ label }) => label);
  }

  /** The backends that have models of these workflows in memory. */
  warmFor(workflows: readonly string[]): WarmBackend[] {
    return this.#members.flatMap(({ backend, report }) => {
      const warm = backend ? backend.warm : (report?.warm ?? null);
      return warm !== null && workflows.includes(warm) ? [{ workflow: warm, backend }] : [];
    });
  }

  get #members(): Member[] {
    const { pool, membership } = this.#parts;
    return membership.records.map((record) => ({ ...record, backend: pool.get(record.label) }));
  }
}

/** What was said of one that nobody drives any more is not true any more. */
function isServed({ owner, backend, report }: Member): boolean {
  return backend ? backend.isInService : owner !== null && isInService(report?.state);
}

function canRun({ backend, report }: Member, workflow: Workflow): boolean {
  return backend ? backend.canRun(workflow) : !report?.cannotRun[workflow.name];
}

function isTooSmall({ backend, report }: Member, bytes: number): boolean {
  const most = backend ? backend.inputs.maxBytes : report?.maxInputBytes;
  return typeof most === 'number' && bytes > most;
}
