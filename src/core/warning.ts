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
  /** More than 8 bits of a sample were read as 8. */
  'depth_lost',
  /** The frames of a clip of such a width are not read the same each time. */
  'uneven_width',
  /** A clip of such a height may fail. */
  'odd_height',
  /** The clip has sound, and its result has not. */
  'sound_left_out',
  /** The sound goes through the graph, and the server spoils it. */
  'sound_garbled',
] as const;
export type WarningCode = (typeof warningCodes)[number];

/** The warnings with this one: each code stands there once, as it was said last. */
export function withWarning(warnings: readonly Warning[], warning: Warning): readonly Warning[] {
  return [...warnings.filter(({ code }) => code !== warning.code), warning];
}

export function withoutWarnings(
  warnings: readonly Warning[],
  codes: ReadonlySet<WarningCode>,
): readonly Warning[] {
  return warnings.filter(({ code }) => !codes.has(code));
}
