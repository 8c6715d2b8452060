import type { Graph, GraphNode } from '../graph.ts';
import { labelOf } from '../node-label.ts';
import { invalid } from '../workflow.ts';

/** What an operator says in the title of a node: `@input:mask the mask`, `@param:strength=denoise`. */
export interface NodeTitle {
  /** The title without its tokens; empty where it has nothing else. */
  readonly text: string;
  readonly tokens: readonly TitleToken[];
}

export interface TitleToken {
  readonly duty: 'input' | 'output' | 'param';
  readonly name: string | null;
  /** The input of the node that is meant, where the title says it. */
  readonly field: string | null;
}

/** By node id, the titles that hold a token or a text. */
export type NodeTitles = ReadonlyMap<string, NodeTitle>;

/** A name that clients write. */
export const namePattern = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** An Asian keyboard writes a wide colon. */
const token = /(?<![A-Za-z0-9_])@(input|output|param)(?![A-Za-z0-9_])(?:[:：]([^\s,;，；]*))?/gi;

/** @throws GatewayError `workflow_invalid` for a token that is misspelt. */
export function readTitles(graph: Graph): NodeTitles {
  return new Map(Object.entries(graph).map(([id, node]) => [id, readTitle(id, node)]));
}

function readTitle(id: string, node: GraphNode): NodeTitle {
  const title = node._meta?.title ?? '';
  return {
    text: title.replace(token, ' ').replace(/\s+/g, ' ').trim(),
    tokens: [...title.matchAll(token)].map(([text, duty, rest]) =>
      readToken(`${labelOf(id, node)}: ${text}`, duty?.toLowerCase(), rest),
    ),
  };
}

function readToken(where: string, duty: string | undefined, rest: string | undefined): TitleToken {
  if (duty !== 'param') {
    if (rest !== undefined) checkName(rest, where);
    return { duty: duty === 'input' ? 'input' : 'output', name: rest ?? null, field: null };
  }
  if (rest === undefined) throw invalid(`${where} lacks the name: @param:NAME`);
  const [name = '', ...field] = rest.split('=');
  checkName(name, where);
  return { duty, name, field: field.length === 0 ? null : field.join('=') };
}

/** @throws GatewayError `workflow_invalid` for a name that clients could not write in a request. */
export function checkName(name: string, where: string): void {
  // In an object of the language, it is no key like others.
  if (namePattern.test(name) && name !== '__proto__') return;
  const rule = 'a name has letters, digits and underscores and begins with no digit';
  throw invalid(`${where}: ${JSON.stringify(name)} is no name; ${rule}`);
}
