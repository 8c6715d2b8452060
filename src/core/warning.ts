/** What went otherwise than a client may expect, though the task completes. */
export interface Warning {
  readonly code: WarningCode;
  readonly message: string;
}

export const warningCodes = [
  /** Its values are those of PQ or HLG, and nothing maps them. */
  'hdr_source',
  /** Its frames do not come at one rate, and those of the result do. */
  'variable_rate',
  /** The picture has one colour throughout, and its source has not. */
  'flat_result',
] as const;
export type WarningCode = (typeof warningCodes)[number];

/** The warnings with this one: each code stands there once, as it was said last. */
export function withWarning(warnings: readonly Warning[], warning: Warning): readonly Warning[] {
  return [...warnings.filter(({ code }) => code !== warning.code), warning];
}
