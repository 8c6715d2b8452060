import { existsSync } from 'node:fs';

export type Env = Readonly<Record<string, string | undefined>>;

/** The process's environment, with `.env` of the working directory for what it does not set. */
export function readEnv(): Env {
  if (existsSync('.env')) process.loadEnvFile('.env');
  return process.env;
}
