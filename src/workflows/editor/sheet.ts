import { labelOf } from '../../core/node-label.ts';
import type { EditorLink, EditorSubgraphSlot } from './read.ts';
import type { Widget } from './widgets.ts';

/** The nodes of the file's own canvas or of one subgraph, with the widgets that the editor would show. */
export interface Sheet {
  readonly nodes: Map<string, SheetNode>;
  readonly links: Map<string, EditorLink>;
  /** Whether links that nobody sees in the editor are among these. */
  readonly showsAll: boolean;
  readonly inputs: SubgraphInput[];
  readonly outputs: readonly EditorSubgraphSlot[];
  /** The nodes that are instances of it. */
  readonly hosts: SheetNode[];
  /** Where each link ends. */
  readonly ends: Map<string, InputEnd>;
  /** By primitive node: the index of the input that stands in its place. */
  readonly adopted: Map<string, number>;
}

export interface SheetNode {
  readonly id: string;
  readonly type: string;
  readonly title: string;
  readonly mode: number;
  readonly kind: NodeKind;
  readonly inputs: Input[];
  readonly outputs: readonly { readonly type: string }[];
  readonly widgets: readonly Widget[];
  readonly values: readonly unknown[] | Readonly<Record<string, unknown>>;
  readonly properties: Readonly<Record<string, unknown>>;
  /** What an instance of a subgraph is one of; else `null`. */
  readonly subgraph: Sheet | null;
}

/**
 * `class`: the server runs it. `subgraph`: its inner nodes stand for it. `virtual`: only the editor
 * knows it, and looks through it. `unknown`: neither does.
 */
export type NodeKind = 'class' | 'subgraph' | 'virtual' | 'unknown';

export interface Input {
  readonly name: string;
  readonly type: string;
  link: string | null;
  label: string | null;
  /** The name of the widget that it overrides when linked. */
  readonly widget: string | null;
  /** What an instance of a subgraph shows of a widget inside. */
  promoted: PromotedWidget | null;
}

export interface PromotedWidget {
  value: unknown;
  readonly source: Widget;
}

export interface InputEnd {
  readonly node: SheetNode;
  readonly input: Input;
}

export interface SubgraphInput {
  readonly name: string;
  readonly type: string;
  readonly label: string | null;
  readonly links: string[];
}

/** How many inputs a subgraph may have. */
export const maxSlots = 500;

/** What the editor calls never and bypass. */
export const muted = 2;
export const bypassed = 4;

/** A node as its operator finds it in the editor. */
export function describe({ type, title, kind }: SheetNode, id: string): string {
  const className = kind === 'subgraph' ? 'Subgraph' : type;
  return labelOf(id, { class_type: className, inputs: {}, _meta: { title } });
}
