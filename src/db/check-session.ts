import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import postgres from 'postgres';
import { GatewayError } from '../core/errors.ts';
import type { Tempo } from '../core/tempo.ts';
import type { DriverOptions } from './driver-options.ts';

/**
 * Makes sure that a connection keeps its session: prepared statements, locks, LISTEN. A server process
 * other than the announced one reveals a pooler. A notice then shows the pooler's mode: it arrives only
 * where the listening session still belongs to the listening connection.
 *
 * @throws GatewayError `unavailable` behind a pooler that gives connections away between transactions.
 */
export async function checkSession(
  driver: DriverOptions,
  where: string,
  { noticeDeadlineMs, closeDeadlineMs }: Tempo['database'],
): Promise<void> {
  const arrived = Promise.withResolvers<true>();
  // Without the settings of a session, which a pooler would give away with it.
  const options = { ...driver, setup: null, max: 1 };
  const client = postgres({ ...options, onnotify: () => arrived.resolve(true) });
  const other = postgres(options);
  try {
    // Without parameters, nothing is prepared.
    const answer = await client.unsafe('select pg_backend_pid() as pid');
    if (answer[0]?.pid === answer.state.pid) return;
    const channel = `tmlsr_${randomUUID()}`;
    await client.unsafe(`listen "${channel}"`);
    await other.unsafe(`notify "${channel}"`);
    if (await Promise.race([arrived.promise, delay(noticeDeadlineMs, false, { ref: false })]))
      return;
    await client.unsafe(`unlisten "${channel}"`);
    throw new GatewayError(
      'unavailable',
      `At ${where} is a pooler that gives connections away between transactions. The gateway needs ` +
        'sessions: set pool_mode=session there, or name the database itself in DATABASE_URL.',
    );
  } finally {
    const timeout = closeDeadlineMs / 1_000;
    await Promise.all([client.end({ timeout }), other.end({ timeout })]);
  }
}
