const unitsInMs: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 24 * 3_600_000,
};

/** `90d`, `12h`, `30m` or `45s` in milliseconds; `0` is none at all. `null` for any other text. */
export function parseDuration(text: string): number | null {
  if (text === '0') return 0;
  const [, digits = '', unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const ms = unitsInMs[unit];
  return ms === undefined ? null : Number(digits) * ms;
}
