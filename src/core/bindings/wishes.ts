import type { Graph, GraphNode, Slot } from '../graph.ts';
import type { JsonSchema } from '../json-schema.ts';
import type { MediaKind } from '../media.ts';
import { didYouMean } from '../nearest.ts';
import { labelsOf } from '../node-label.ts';
import type { ResultKind } from '../result-format.ts';
import { invalid } from '../workflow.ts';
import type { NodeTitles } from './titles.ts';

/** What the graph's titles cannot say: what the editor's file exposes and the sidecar asks for. */
export interface BindingWishes {
  /** What the workflow works on; `null`: what its main input is. */
  readonly kind: ResultKind | null;
  /** The only inputs there are; `null`: those that are found. */
  readonly inputs: readonly InputWish[] | null;
  /** The only results that count, the main one first; `null`: those that are found. */
  readonly outputs: readonly OutputWish[] | null;
  /** Parameters beside those that are found, or what is said of these. */
  readonly parameters: readonly ParameterWish[];
  /** Widgets that the editor's file names `@param:NAME`. */
  readonly exposures: readonly Exposure[];
}

export interface InputWish {
  readonly name: string;
  /** A node's id, or its title; `null` for an input that is found under this name. */
  readonly node: string | null;
  readonly field: string | null;
  readonly kind: MediaKind | null;
  readonly isRequired: boolean;
  readonly description: string | null;
}

export interface OutputWish {
  /** `null`: to be named as if it was found. */
  readonly name: string | null;
  /** A node's id, or its title; `null` for an output that is found under this name. */
  readonly node: string | null;
  readonly kind: ResultKind | null;
}

export interface ParameterWish {
  readonly name: string;
  /** One that is found is not to be offered. */
  readonly isHidden: boolean;
  /** Where it goes, each node by id or title; empty for one that is found under this name. */
  readonly slots: readonly Slot[];
  readonly schema: JsonSchema | null;
  readonly description: string | null;
  /** Instead of what the graph has; `undefined`: what the graph has. */
  readonly default: unknown;
}

/** A field of the graph that tasks may set by a name, as the editor's file says. */
export interface Exposure {
  readonly name: string;
  readonly slot: Slot;
}

export const noWishes: BindingWishes = {
  kind: null,
  inputs: null,
  outputs: null,
  parameters: [],
  exposures: [],
};

/**
 * The id of the node that an operator names by id or by title.
 *
 * @throws GatewayError `workflow_invalid` where no node or several have the title.
 */
export function findNode(graph: Graph, titles: NodeTitles, name: string, where: string): string {
  if (Object.hasOwn(graph, name)) return name;
  const wanted = name.trim();
  const ids = Object.keys(graph).filter((id) => {
    const whole = (graph[id] as GraphNode)._meta?.title?.trim();
    return whole === wanted || titles.get(id)?.text === wanted;
  });
  const [only, second] = ids;
  if (only === undefined) {
    const known = Object.values(graph).flatMap((node) => node._meta?.title ?? []);
    const hint = didYouMean(name, [...known, ...Object.keys(graph)]);
    throw invalid(`${where}: no node has the id or the title ${JSON.stringify(name)}${hint}`);
  }
  if (second === undefined) return only;
  const nodes = labelsOf(graph, ids);
  throw invalid(
    `${where}: several nodes have the title ${JSON.stringify(name)}: ${nodes}; use an id`,
  );
}
