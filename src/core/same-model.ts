import type { Choice } from './node-catalogue.ts';

/** The name in which a model file's weights are, without what says how they are packed. */
const modelFile = /^(.+)\.(safetensors|sft|pth|pt|ckpt|bin)$/i;

/**
 * The choice that is the same model under another ending (`X.safetensors` for `X.pth`): one that cannot
 * hold code where there is one. `undefined` where none is, or where the name itself is a choice.
 */
export function sameModel(name: unknown, choices: readonly Choice[]): string | undefined {
  const stem = stemOf(name);
  if (stem === null || choices.includes(name as string)) return undefined;
  const alike = choices.filter((choice) => stemOf(choice) === stem) as string[];
  return alike.find((choice) => /\.(safetensors|sft)$/i.test(choice)) ?? alike[0];
}

function stemOf(name: unknown): string | null {
  return typeof name === 'string' ? (modelFile.exec(name)?.[1] ?? null) : null;
}
