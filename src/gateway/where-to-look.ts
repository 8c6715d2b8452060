import type { Config } from '../config/config.ts';

/** The last line on a terminal, for whoever started it there. */
export function whereToLook(
  url: string,
  { publicUrl, dataDir }: Pick<Config, 'publicUrl' | 'dataDir'>,
): string {
  const base = publicUrl ?? url.replace(/\/\/(0\.0\.0\.0|\[::\])/, '//localhost');
  return `Ready. The dashboard: ${base}/dashboard, the API: ${base}/docs, the data: ${dataDir}. Ctrl-C stops it.`;
}
