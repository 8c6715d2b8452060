import { readFileSync } from 'node:fs';
import { systemCodeOf } from '../core/system-code.ts';

type Variables = Readonly<Record<string, string>>;

/** Settings with entries between commas, which a file may have one in a line. */
const lists = ['API_KEYS', 'OPERATOR_KEYS', 'COMFYUI_BACKENDS'] as const;

/** Settings that hold secrets: each may come from the file that `NAME_FILE` names. */
const secretSettings = [
  ...lists,
  'DATABASE_URL',
  'OSS_ACCESS_KEY_ID',
  'OSS_ACCESS_KEY_SECRET',
  'OSS_STS_TOKEN',
  'S3_ACCESS_KEY_ID',
  'S3_SECRET_ACCESS_KEY',
  'S3_SESSION_TOKEN',
] as const;

/** Their names, as those of the settings are. */
export const secretFileNames: readonly string[] = secretSettings.map(fileNameOf);

/** The variables with what stands in the files that they name, and what is wrong with those, a sentence each. */
export function withSecretFiles(variables: Variables): {
  readonly variables: Variables;
  readonly problems: readonly string[];
} {
  const found: Record<string, string> = {};
  const problems: string[] = [];
  for (const name of secretSettings) {
    const path = variables[fileNameOf(name)];
    if (path === undefined) continue;
    if (variables[name] !== undefined) {
      problems.push(`${name} and ${fileNameOf(name)} are both set: keep one of them`);
      continue;
    }
    try {
      const text = readFileSync(path, 'utf8').trim();
      // As if there were no key: the gateway would ask nobody for one.
      if (!/[^\s,]/.test(text)) problems.push(`${fileNameOf(name)}: ${path} is empty`);
      else found[name] = isList(name) ? text.replace(/\s*[\r\n]+\s*/g, ',') : text;
    } catch (error) {
      problems.push(`${fileNameOf(name)}: ${path} cannot be read (${systemCodeOf(error)})`);
    }
  }
  return { variables: { ...variables, ...found }, problems };
}

function fileNameOf(name: string): string {
  return `${name}_FILE`;
}

function isList(name: string): boolean {
  return (lists as readonly string[]).includes(name);
}
