/** What a ComfyUI server says of its node classes (`/object_info`). */

/** The node classes that a server has, by name. */
export type NodeCatalogue = ReadonlyMap<string, NodeClass>;

export interface NodeClass {
  readonly name: string;
  /** As the editor calls it where the file does not. */
  readonly displayName: string;
  /** In the order in which the editor shows them: required before optional, each in its own order. */
  readonly inputs: readonly NodeInput[];
  readonly outputs: readonly NodeOutput[];
  /** A prompt runs what such nodes need, and nothing else. */
  readonly isOutput: boolean;
}

export interface NodeInput {
  readonly name: string;
  /**
   * `INT`, `FLOAT`, `STRING`, `BOOLEAN`, `COMBO`, or what flows through a link: `IMAGE`. Several that
   * are taken alike stand with commas between them; `*` takes anything.
   */
  readonly type: string;
  readonly isRequired: boolean;
  /** The only values that it takes; `null` where that is not known beforehand. */
  readonly choices: readonly Choice[] | null;
  /** What else the server says, in ComfyUI's words: `default`, `min`, `max`, `forceInput` and so on. */
  readonly settings: Readonly<Record<string, unknown>>;
}

export type Choice = string | number | boolean;

export interface NodeOutput {
  readonly name: string;
  readonly type: string;
}

/** Whether they are of the same classes: equal ones are one object, see `comfyui/messages.ts`. */
export function isSameCatalogue(one: NodeCatalogue, other: NodeCatalogue): boolean {
  return one.size === other.size && one.entries().every(([name, it]) => other.get(name) === it);
}

/**
 * What several servers have between them. Where they differ in a class, it is as the first describes it,
 * but an input takes the choices of all.
 */
export function mergeCatalogues(catalogues: readonly NodeCatalogue[]): NodeCatalogue {
  const merged = new Map<string, NodeClass>();
  for (const catalogue of catalogues) {
    for (const [name, described] of catalogue) {
      const known = merged.get(name);
      const isNew = known === undefined || known === described;
      merged.set(name, isNew ? described : withChoicesOf(known, described));
    }
  }
  return merged;
}

function withChoicesOf(known: NodeClass, other: NodeClass): NodeClass {
  const inputs = known.inputs.map((input) => {
    const more = other.inputs.find(({ name }) => name === input.name)?.choices;
    if (!input.choices || !more) return input;
    return { ...input, choices: [...new Set([...input.choices, ...more])] };
  });
  return { ...known, inputs };
}

/** Whether an input stands for others (`images` for `images.image0`), by what is chosen and linked. */
export function isExpanded({ type }: NodeInput): boolean {
  return /^COMFY_(AUTOGROW|DYNAMIC)/.test(type);
}
