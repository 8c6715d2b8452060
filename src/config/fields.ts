import { z } from 'zod';

/** Settings that somebody else declares, for the config to read with its own. */
export interface DeclaredSettings<Schemas extends z.ZodRawShape = z.ZodRawShape> {
  /** By the names of the variables. */
  readonly schemas: Schemas;
  /** Only these settings have a reason to begin so: another that does is misspelt. */
  readonly prefix: string;
}

/** As they were read, by the names of the variables. */
export type SettingValues = Readonly<Record<string, unknown>>;

/** An `http(s)://` URL, without slashes at its end. */
export const httpUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' })
  .transform((url) => url.replace(/\/+$/, ''));

export function wholeNumber(least: number, most: number) {
  const error = `must be a whole number from ${least} to ${most}`;
  return z.coerce.number({ error }).int({ error }).min(least, { error }).max(most, { error });
}

export const yesOrNo = z.stringbool({ error: 'must be true or false' });

export function oneOf<const Words extends readonly string[]>(words: Words) {
  return z.enum(words, { error: `must be ${words.slice(0, -1).join(', ')} or ${words.at(-1)}` });
}

/** Whole seconds or parts of them. */
export function seconds() {
  const error = 'must be a number of seconds, at least 0';
  return z.coerce.number({ error }).min(0, { error }).max(10_000_000, { error });
}

/** 0 stands for no limit. */
export function orNone(value: number): number | null {
  return value === 0 ? null : value;
}

export function entries(text: string): string[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
}

/** A parser that throws, as a step of a schema. */
export function parsed<T>(parse: (text: string) => T) {
  return (text: string, context: z.RefinementCtx): T => {
    try {
      return parse(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
      return z.NEVER;
    }
  };
}
