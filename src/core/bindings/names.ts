import { lettersOf } from '../node-label.ts';
import type { ResultKind } from '../result-format.ts';
import { invalid } from '../workflow.ts';
import { namePattern } from './titles.ts';

/** A node that reads a file or writes one, before it has a name. */
export interface Candidate {
  readonly id: string;
  /** As its operator named it in the title. */
  readonly name: string | null;
  readonly title: string;
  /** The title that the editor gives to nodes of its class; `null` where that is not known. */
  readonly usualTitle: string | null;
  /** Whether its title says what it is for. */
  readonly isTitled: boolean;
  readonly kind: ResultKind;
}

export interface Named<Each> {
  readonly name: string;
  readonly candidate: Each;
}

/**
 * Gives each a name: its operator's; the usual one where there is only one; else its title where an
 * operator wrote one; else its kind and id. A name stays the same when other nodes come or go, as far
 * as that can be, and none has one of `others`.
 *
 * @throws GatewayError `workflow_invalid` where an operator gave a name twice.
 */
export function nameAll<Each extends Candidate>(
  candidates: readonly Each[],
  usualName: (only: Each) => string,
  duty: 'input' | 'output',
  others: readonly string[] = [],
): Named<Each>[] {
  const given = candidates.flatMap(({ name }) => name ?? []);
  const twice = given.find((name, index) => given.indexOf(name) !== index);
  if (twice !== undefined) throw invalid(`Several nodes are titled @${duty}:${twice}`);
  const taken = new Set([...given, ...others]);
  return candidates.map((candidate, index) => {
    if (candidate.name !== null) return { name: candidate.name, candidate };
    const isMain = index === 0 && (candidates.length === 1 || candidate.isTitled);
    const slug = slugOf(candidate);
    const isSlugUsable =
      slug !== null && candidates.filter((each) => slugOf(each) === slug).length === 1;
    const wanted = isMain ? usualName(candidate) : isSlugUsable ? slug : null;
    const isFree = wanted !== null && !taken.has(wanted);
    let name = isFree ? wanted : `${wordOf(candidate.kind)}_${candidate.id.replace(/\W/g, '_')}`;
    while (taken.has(name)) name += '_';
    taken.add(name);
    return { name, candidate };
  });
}

/** A kind as a part of a name, which begins with no digit. */
export function wordOf(kind: ResultKind): string {
  return kind === '3d' ? 'mesh' : kind;
}

/** The title as a name, where its operator wrote it. */
function slugOf({ title, usualTitle }: Candidate): string | null {
  // Old editors wrote the class's name.
  if (usualTitle === null || lettersOf(title) === lettersOf(usualTitle)) return null;
  const slug = title
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '');
  return namePattern.test(slug) ? slug : null;
}
