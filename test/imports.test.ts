import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, it } from 'node:test';

/** Files of `src`, by what each imports of `src`, types included. */
type Imports = ReadonlyMap<string, readonly string[]>;

/** A row of the table: who may import what. */
interface Rule {
  /** A folder, a file, or `folder/*` for each folder in it by itself. */
  readonly names: readonly string[];
  /** The same; `null` for everything. */
  readonly allowed: readonly string[] | null;
}

const root = new URL('../', import.meta.url);
const source = new URL('src/', root);
const heading = '## Who imports whom';
const imports = readImports();
const rules = readRules();

describe('the imports of src', () => {
  it('are those of the table in ARCHITECTURE.md', () => {
    const wrong = [...imports].flatMap(([file, targets]) =>
      targets.flatMap((target) => violation(file, target) ?? []),
    );
    assert.equal([...new Set(wrong)].join('\n'), '');
  });

  it('go round in no circle, types included', () => {
    const circles = findCircles(imports).map((files) => files.toSorted().join(' '));
    assert.deepEqual(circles, []);
  });

  it('bring no package into core, and of Node only what does no I/O', () => {
    const foreign = [...imports.keys()]
      .filter((file) => file.startsWith('core/'))
      .flatMap((file) => specifiersIn(read(file)).map((specifier) => `${file} ${specifier}`))
      .filter((found) => !/ (\.|node:crypto$)/.test(found));
    assert.deepEqual(foreign, []);
  });

  it('are found, and the rules too', () => {
    assert.ok(imports.size > 300);
    assert.ok([...imports.values()].flat().length > 1_000);
    for (const name of rules.flatMap(({ names, allowed }) => [...names, ...(allowed ?? [])])) {
      const pattern = name.endsWith('.ts') ? name : `${name}/**/*.ts`;
      assert.ok(globSync(pattern, { cwd: source }).length > 0, `no ${name} in src`);
    }
  });
});

/** What is wrong with the import, for people; `null` where nothing is. */
function violation(file: string, target: string): string | null {
  const importer = unitOf(file);
  const imported = unitOf(target);
  if (!importer || !imported)
    return `src/${importer ? target : file} stands in no row of the table`;
  const { rule, unit } = importer;
  if (unit === imported.unit || rule.allowed === null) return null;
  const isAllowed = [target, imported.unit, imported.name].some((name) =>
    rule.allowed?.includes(name),
  );
  if (isAllowed) return null;
  const list = rule.allowed.join(', ') || 'nothing of ours';
  return `src/${file} imports src/${target}, but ${unit} may import only: ${list} (ARCHITECTURE.md, "Who imports whom")`;
}

/** The row that a file stands in, by the longest name there that fits. */
function unitOf(file: string): { rule: Rule; name: string; unit: string } | null {
  const fits = rules.flatMap((rule) =>
    rule.names.flatMap((name) => {
      const unit = unitIn(name, file);
      return unit === null ? [] : { rule, name, unit };
    }),
  );
  return fits.toSorted((a, b) => b.unit.length - a.unit.length)[0] ?? null;
}

/** What of a name the file belongs to: `a/*` is another unit for each folder in `a`. */
function unitIn(name: string, file: string): string | null {
  if (name === file) return file;
  if (!name.endsWith('/*')) return file.startsWith(`${name}/`) ? name : null;
  const folder = name.slice(0, -1);
  const [child, ...rest] = file.slice(folder.length).split('/');
  return file.startsWith(folder) && rest.length > 0 ? `${folder}${child}` : null;
}

function readRules(): Rule[] {
  const text = readFileSync(new URL('ARCHITECTURE.md', root), 'utf8');
  const section = text.slice(text.indexOf(heading)).split(/^## /m, 2)[1] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  return rows.map((row) => {
    const [names = '', allowed = ''] = row.slice(2).split(' | ');
    return {
      names: namesIn(names),
      allowed: allowed.startsWith('everything') ? null : namesIn(allowed),
    };
  });
}

/** What stands in backticks, outside of brackets. */
function namesIn(cell: string): string[] {
  const plain = cell.replace(/\(.*?\)/g, '');
  return [...plain.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
}

/** Tests may import whatever they test. */
function readImports(): Imports {
  const files = globSync('**/*.ts', { cwd: source })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => !path.endsWith('.test.ts'));
  return new Map(
    files.toSorted().map((file) => {
      const paths = specifiersIn(read(file))
        .filter((specifier) => specifier.startsWith('.'))
        .map((specifier) => posix.join(posix.dirname(file), specifier))
        .filter((path) => path.endsWith('.ts'));
      return [file, [...new Set(paths)]];
    }),
  );
}

function read(file: string): string {
  return readFileSync(new URL(file, source), 'utf8');
}

/** Of statements, which begin a line as Biome formats them, and of `import()` of modules and types. */
function specifiersIn(text: string): string[] {
  const statement = /^(?:import|export)\s(?:[^;'"`]*?\sfrom\s)?'([^']+)'/gm;
  const call = /\bimport\(\s*'([^']+)'/g;
  return [...text.matchAll(statement), ...text.matchAll(call)].map(([, path = '']) => path);
}

/** Groups of files each of which reaches the others (Tarjan). */
function findCircles(graph: Imports): string[][] {
  const circles: string[][] = [];
  const order = new Map<string, number>();
  const lowest = new Map<string, number>();
  const open: string[] = [];
  const visit = (file: string): number => {
    const index = order.size;
    order.set(file, index);
    lowest.set(file, index);
    open.push(file);
    for (const target of graph.get(file) ?? []) {
      const isNew = !order.has(target);
      const reached = isNew ? visit(target) : (order.get(target) as number);
      const counts = isNew || open.includes(target);
      if (counts && reached < (lowest.get(file) as number)) lowest.set(file, reached);
    }
    if (lowest.get(file) === index) {
      const circle = open.splice(open.indexOf(file));
      if (circle.length > 1) circles.push(circle);
    }
    return lowest.get(file) as number;
  };
  for (const file of graph.keys()) if (!order.has(file)) visit(file);
  return circles;
}
