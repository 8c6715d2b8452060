import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import postgres from 'postgres';
import { sql } from '../src/db/drizzle.ts';
import { bareEnv } from './support/bare-env.ts';
import { createCrashScene } from './support/crash-scene.ts';
import { eventually } from './support/eventually.ts';
import { GatewayProcess } from './support/gateway-process.ts';
import { connectTestDatabase, createTestDatabase } from './support/test-database.ts';

const program = fileURLToPath(new URL('../src/main.ts', import.meta.url));

describe('a gateway that meets a newer one', () => {
  it('ends its work and stops; its prompt goes on, and none of its version starts again', async () => {
    await using scene = await createCrashScene({ engine: 'postgres', seconds: 3 });
    await using old = await GatewayProcess.start(scene.env);
    const id = await old.client.submit(scene.task);
    await eventually(() => assert.equal(scene.runs()[0]?.status, 'running'));

    await using database = await migrateFurther(scene.databaseUrl);
    assert.equal(await old.exited, 0);
    const stopped = old.log.find(({ msg }) => msg === 'gateway.stopping');
    assert.match(String(stopped?.reason), /newer version of TMLSR/);

    const again = spawn(process.execPath, [program], {
      env: { ...bareEnv, PORT: '0', ...scene.env },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const [said, [code]] = await Promise.all([text(again.stderr), once(again, 'exit')]);
    assert.equal(code, 1);
    assert.match(said, /^A newer version of TMLSR has changed the database: .+\n$/);

    await database.migrateBack();
    await using heir = await GatewayProcess.start(scene.env);
    assert.equal((await heir.client.until(id)).status, 'completed');
    assert.equal(scene.runs().length, 1);
  });

  it('does not open a newer embedded database, and leaves it as it is', async () => {
    await using scratch = await createTestDatabase('pglite');
    {
      await using newer = await connectTestDatabase(scratch.options);
      await newer.orm.execute(sql`
        insert into drizzle.__drizzle_migrations (hash, created_at)
        select 'of tomorrow', max(created_at) + 1 from drizzle.__drizzle_migrations`);
    }
    for (let i = 0; i < 2; i += 1) {
      await assert.rejects(
        () => connectTestDatabase(scratch.options),
        /^GatewayError: A newer version of TMLSR has changed the database/,
      );
    }
  });
});

/** As if a newer gateway had brought its migrations. */
async function migrateFurther(
  url: string,
): Promise<AsyncDisposable & { migrateBack(): Promise<void> }> {
  const client = postgres(url, { max: 1, onnotice: () => {} });
  const record = client`drizzle.__drizzle_migrations`;
  await client`insert into ${record} (hash, created_at) select 'of tomorrow', max(created_at) + 1 from ${record}`;
  return {
    migrateBack: async () => {
      await client`delete from ${record} where hash = 'of tomorrow'`;
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}
