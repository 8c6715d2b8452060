/** What operators may pause: all, a workflow, or a tenant. */
export const pauseKinds = ['pool', 'workflow', 'tenant'] as const;
export type PauseKind = (typeof pauseKinds)[number];

/** Something that is paused: nothing new of it is begun. */
export interface Paused {
  readonly kind: PauseKind;
  /** Of the workflow or the tenant; empty for the pool. */
  readonly name: string;
}

export interface Pause extends Paused {
  /** For those whose tasks wait. */
  readonly reason: string | null;
  readonly since: Date;
  /** When it ends by itself. */
  readonly until: Date | null;
}

/** The pause that a run of this workflow and tenant waits for, the widest first; `null`: for none. */
export function pauseOf(
  pauses: readonly Pause[],
  { workflow, tenant }: { readonly workflow: string; readonly tenant: string },
): Pause | null {
  const names: Readonly<Record<PauseKind, string>> = { pool: '', workflow, tenant };
  const holding = pauses.filter(({ kind, name }) => names[kind] === name);
  return (
    pauseKinds.flatMap((kind) => holding.find((pause) => pause.kind === kind) ?? [])[0] ?? null
  );
}
