import type { RouteConfig } from '@hono/zod-openapi';
import { pino } from 'pino';
import { readConfig } from '../../src/config/config.ts';
import { realTempo } from '../../src/core/tempo.ts';
import type { Dialect, DialectParts } from '../../src/http/dialect.ts';
import { createDialectApp } from '../../src/http/dialect-app.ts';
import { dialectSettings } from '../../src/http/dialects/index.ts';
import { anybody, openDoors } from './callers.ts';

/** For routes that are looked at and not asked: none of the services is there, no backend and no task. */
export function absentParts(): DialectParts {
  const pool: Partial<DialectParts['pool']> = { list: async () => [] };
  const tasks: Partial<DialectParts['tasks']> = { ownAmong: async () => new Set() };
  const parts: Partial<DialectParts> = {
    pool: pool as DialectParts['pool'],
    tasks: tasks as DialectParts['tasks'],
    version: '0.0.0',
    stopping: new AbortController().signal,
    tempo: realTempo.http,
  };
  return parts as DialectParts;
}

export interface DocumentedRoute {
  readonly method: string;
  /** As the reference writes it: `/tasks/{task_id}`. */
  readonly path: string;
  readonly route: RouteConfig;
}

/** Every request that a dialect documents. */
export function documentedIn(dialect: Dialect): DocumentedRoute[] {
  const { routes } = createDialectApp(dialect, absentParts(), {
    ...{ callers: anybody, corsOrigins: [], refusePage: () => null, doors: openDoors },
    settings: readConfig({}, dialectSettings).dialectSettings,
    logger: pino({ level: 'silent' }),
  });
  return routes.openAPIRegistry.definitions.flatMap((definition) => {
    if (definition.type !== 'route') return [];
    const { route } = definition;
    return [{ method: route.method.toUpperCase(), path: route.path, route }];
  });
}
