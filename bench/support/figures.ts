/** A number that was measured, and the bar that it has to clear where it has one. */
export interface Figure {
  readonly what: string;
  readonly is: number;
  readonly unit?: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}

export interface Scenario {
  readonly title: string;
  measure(): Promise<Figure[]>;
}

export type Scenarios = Readonly<Record<string, Scenario>>;

/** Runs the named scenarios, or all; prints a table for each. Returns whether every bar is cleared. */
export async function judge(scenarios: Scenarios, names: readonly string[]): Promise<boolean> {
  const unknown = names.filter((name) => !scenarios[name]);
  if (unknown.length > 0) {
    throw new Error(`No scenario ${unknown.join(', ')}: ${Object.keys(scenarios).join(', ')}`);
  }
  const chosen = Object.entries(scenarios).filter(
    ([name]) => names.length === 0 || names.includes(name),
  );
  let isGood = true;
  for (const [name, { title, measure }] of chosen) {
    console.log(`\n${name}: ${title}`);
    const figures = await measure();
    for (const figure of figures) console.log(row(figure));
    isGood &&= figures.every(isCleared);
  }
  return isGood;
}

/** The value that the share of the others is not above: 0.5 for the median. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function isCleared({ is, atMost, atLeast }: Figure): boolean {
  // Nothing is known of what is not a number.
  return !(atMost !== undefined && !(is <= atMost)) && !(atLeast !== undefined && !(is >= atLeast));
}

function row(figure: Figure): string {
  const { what, is, unit = '', atMost, atLeast } = figure;
  const measured = `${rounded(is)} ${unit}`.trimEnd();
  const bars = [
    ...(atMost === undefined ? [] : [`<= ${rounded(atMost)}`]),
    ...(atLeast === undefined ? [] : [`>= ${rounded(atLeast)}`]),
  ];
  const verdict = bars.length === 0 ? '' : isCleared(figure) ? 'ok' : 'MISSED';
  const columns = [what.padEnd(58), measured.padStart(12), bars.join(' ').padStart(12), verdict];
  return `  ${columns.join('  ')}`.trimEnd();
}

function rounded(value: number): string {
  return value.toFixed(Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : 2);
}
