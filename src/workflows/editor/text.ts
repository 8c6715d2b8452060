import type { SheetNode } from './sheet.ts';

/**
 * What the editor makes of a text that may have choices: `{a|b}` becomes one of them, comments go. Which
 * one it takes is left to chance there; here it is the first, so that a file always means the same.
 */
export function withoutChoices(text: string): string {
  const plain = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
  const kept: string[] = [];
  /** For each open brace, whether its first choice is over. */
  const open: boolean[] = [];
  /** How many of them are over: anything inside one is not taken. */
  let over = 0;
  for (let at = 0; at < plain.length; at++) {
    const char = plain[at] as string;
    if (char === '\\') {
      at += 1;
      if (over === 0) kept.push(char, plain[at] ?? '');
    } else if (char === '{') {
      open.push(false);
    } else if (char === '}' && open.length > 0) {
      if (open.pop()) over -= 1;
    } else if (char === '|' && open.length > 0) {
      if (!open.at(-1)) over += 1;
      open[open.length - 1] = true;
    } else if (over === 0) {
      kept.push(char);
    }
  }
  return kept.join('').replace(/\\([{}|])/g, '$1');
}

/** By the names that texts may use; the first node of those with the same name. */
export interface NamedNodes {
  readonly bySearchName: ReadonlyMap<unknown, SheetNode>;
  readonly byTitle: ReadonlyMap<unknown, SheetNode>;
}

export function namedNodes(nodes: readonly SheetNode[]): NamedNodes {
  const last = nodes.toReversed();
  return {
    bySearchName: new Map(last.map((node) => [node.properties['Node name for S&R'], node])),
    byTitle: new Map(last.map((node) => [node.title, node])),
  };
}

/**
 * Puts in the values of widgets for `%Node.widget%`, where the node is named by its `Node name for S&R`
 * or else by its title. Dates (`%date:…%`) stay: a file is not converted when it runs.
 */
export function withValues(text: string, nodes: NamedNodes): string {
  return text.replace(/%([^%]+)%/g, (whole, inner: string) => {
    const [name, widgetName, ...rest] = inner.split('.');
    if (widgetName === undefined || rest.length > 0) return whole;
    const node = nodes.bySearchName.get(name) ?? nodes.byTitle.get(name);
    const widget = node?.widgets.find((known) => known.name === widgetName);
    return widget ? `${widget.value ?? ''}`.replace(unfitForFiles, '_') : whole;
  });
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they may not be in a file's name
const unfitForFiles = /[/?<>\\:*|"\x00-\x1f\x7f]/g;
