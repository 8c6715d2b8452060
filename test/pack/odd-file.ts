/** A file of an unusual kind, and what a person expects of it. */
import { readFile } from 'node:fs/promises';

export type Colour = readonly [red: number, green: number, blue: number];

/** Where in a picture, from 0 to 1, across and down. */
export type Place = readonly [across: number, down: number];

export interface Expectation {
  /** As a viewer or a player shows it. The workflows of the pack double it. */
  readonly size: readonly [width: number, height: number];
  readonly colours?: readonly (readonly [Place, Colour])[];
  readonly alphas?: readonly (readonly [Place, number])[];
  /** Of clips. */
  readonly frames?: number;
  readonly seconds?: number;
  /** Whether the result has sound. */
  readonly sound?: boolean;
  /** What the gateway tells of the source, in part. */
  readonly told?: Readonly<Record<string, unknown>>;
}

export interface OddFile {
  readonly name: string;
  readonly kind: 'image' | 'video';
  make(): Promise<Buffer>;
  /** Or the code of the error with which it is refused; several where each is a true answer. */
  readonly expected: Expectation | { readonly refusedAs: readonly string[] };
}

const folder = new URL('../media/cases/', import.meta.url);

/** One that was made once, by other programs than ours. */
export const stored = (name: string) => () => readFile(new URL(name, folder));

export const red: Colour = [255, 0, 0];
export const green: Colour = [0, 255, 0];
export const blue: Colour = [0, 0, 255];
export const white: Colour = [255, 255, 255];

export const corners = (...colours: readonly [Colour, Colour, Colour, Colour]) => {
  const [a, b, c, d] = colours;
  return [
    [[0.2, 0.2], a],
    [[0.8, 0.2], b],
    [[0.2, 0.8], c],
    [[0.8, 0.8], d],
  ] as const;
};

/** Red and green above, blue and white below. */
export const quarters = corners(red, green, blue, white);
