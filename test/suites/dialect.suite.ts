import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { Emulator } from '../../src/emulator/emulator.ts';
import { eventually } from '../support/eventually.ts';
import { samplePng } from '../support/media-samples.ts';
import { patienceMs } from '../support/patience.ts';
import { SourceServer } from '../support/source-server.ts';
import { TestGateway } from '../support/test-gateway.ts';

/** A picture that a client works with, as a file and at an address. */
export interface SamplePicture {
  readonly bytes: Buffer;
  readonly name: string;
  readonly url: string;
}

/** Asks the dialect under test, at one of the places where it is, with one key. */
export interface Caller {
  send(method: string, path: string, init?: { json?: unknown; form?: FormData }): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
  /** Parsed where it is JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: read by tests as JSON is.
  readonly body: any;
}

export type Phase = 'waiting' | 'running' | 'completed' | 'failed' | 'canceled';

/** What the suite has to know of a dialect; paths are those of its document, without any prefix. */
export interface DialectSubject {
  readonly name: string;
  readonly prefix: string;
  /** Settings that its tests need. */
  readonly env?: Readonly<Record<string, string>>;
  submit(caller: Caller, picture: SamplePicture): Promise<Answer>;
  readonly acceptedStatus: number;
  idOf(accepted: Answer): string;
  status(caller: Caller, id: string): Promise<Answer>;
  /** Where a dialect tells two phases by one word, either will do. */
  phasesOf(status: Answer): readonly Phase[];
  /** `null` where clients cannot. */
  readonly cancel: ((caller: Caller, id: string) => Promise<Answer>) | null;
  /** The bytes of the result. */
  result(caller: Caller, status: Answer): Promise<Buffer>;
  /** How many times the picture's sides the result's have. */
  readonly scale: number;
  /** Requests that must be refused, by what is wrong with them, and the word that the message must hold. */
  readonly refused: Readonly<
    Record<
      string,
      { send(caller: Caller, picture: SamplePicture): Promise<Answer>; says: string | RegExp }
    >
  >;
  /** Ids that no task can have. */
  readonly oddIds: readonly string[];
  /** The sentence of an answer that is an error; throws where its shape is not the dialect's. */
  errorOf(answer: Answer): string;
}

const keys = { alice: 'alice-secret-0123456789', bob: 'bob-secret-0123456789' };
const side = 24;

/** What every dialect does, whatever its shapes: at the root, under its prefix, and at a port of its own. */
export function describeDialect(subject: DialectSubject): void {
  describe(`the dialect ${subject.name}`, () => {
    const cleanup = new AsyncDisposableStack();
    let emulator: Emulator;
    let gateway: TestGateway;
    let picture: SamplePicture;
    let corrupt: SamplePicture;
    let own: Caller;
    let alice: Caller;
    let bob: Caller;

    before(async () => {
      emulator = cleanup.use(await Emulator.start());
      const sources = cleanup.use(await SourceServer.start());
      const serve = (name: string, bytes: Buffer): SamplePicture => ({
        name,
        bytes,
        url: sources.file(name, bytes),
      });
      const bytes = await samplePng({ width: side, height: side, seed: 1 });
      picture = serve('a picture.png', bytes);
      corrupt = serve('corrupt.png', Buffer.concat([bytes.subarray(0, 60), Buffer.alloc(300, 7)]));
      gateway = cleanup.use(
        await TestGateway.start({
          engine: 'postgres',
          backends: [emulator.url],
          env: {
            SOURCE_ALLOW: sources.host,
            TARGET_ALLOW: sources.host,
            API_KEYS: `alice:${keys.alice},bob:${keys.bob}`,
            DIALECT_PORTS: `${subject.name}:0`,
            ...subject.env,
          },
        }),
      );
      const port = gateway.dialectUrls.get(subject.name) as string;
      own = callerAt(port, keys.alice);
      alice = callerAt(gateway.url, keys.alice);
      bob = callerAt(gateway.url, keys.bob);
    });
    after(() => cleanup.disposeAsync());

    async function submitted(caller: Caller, source = picture): Promise<string> {
      const answer = await subject.submit(caller, source);
      assert.equal(answer.status, subject.acceptedStatus, answer.bytes.toString());
      return subject.idOf(answer);
    }

    async function reaching(caller: Caller, id: string, phase: Phase): Promise<Answer> {
      return await eventually(async () => {
        const answer = await subject.status(caller, id);
        assert.equal(answer.status, 200, answer.bytes.toString());
        assert.ok(subject.phasesOf(answer).includes(phase), answer.bytes.toString());
        return answer;
      });
    }

    for (const place of ['at the root', 'under its prefix', 'at its own port'] as const) {
      it(`takes a task, tells how it goes, and gives the result ${place}`, async () => {
        const caller = {
          'at the root': alice,
          'under its prefix': callerAt(gateway.url + subject.prefix, keys.alice),
          'at its own port': own,
        }[place];
        const id = await submitted(caller);
        const status = await reaching(caller, id, 'completed');
        const { width, height } = await sharp(await subject.result(caller, status)).metadata();
        assert.deepEqual([width, height], [side * subject.scale, side * subject.scale]);
      });
    }

    for (const [what, { send, says }] of Object.entries(subject.refused)) {
      it(`refuses ${what}, and says why`, async () => {
        const answer = await send(alice, picture);
        assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} ${answer.bytes}`);
        assert.match(subject.errorOf(answer), says instanceof RegExp ? says : new RegExp(says));
        await eventually(async () => assert.deepEqual(await gateway.spooled(), []));
      });
    }

    it('asks for a key', async () => {
      const nobody = callerAt(gateway.url, null);
      const answer = await subject.submit(nobody, picture);
      assert.equal(answer.status, 401);
      subject.errorOf(answer);
    });

    it('knows no task by an id that it never gave', async () => {
      for (const id of subject.oddIds) {
        const answer = await subject.status(alice, id);
        assert.equal(answer.status, 404, `${id}: ${answer.bytes}`);
        subject.errorOf(answer);
      }
    });

    it("knows no task of another key's or of another dialect", async () => {
      const id = await submitted(alice);
      assert.equal((await subject.status(bob, id)).status, 404);
      if (subject.cancel) assert.equal((await subject.cancel(bob, id)).status, 404);
      await reaching(alice, id, 'completed');
      if (subject.name === 'tmlsr') return;
      // TMLSR's own tasks have ids that could be those of others.
      const task = { url: picture.url, type: 'image' };
      const foreign = (await alice.send('POST', '/tasks', { json: task })).body.task_id as string;
      const dashed = foreign.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
      for (const each of [foreign, dashed]) {
        assert.equal((await subject.status(alice, each)).status, 404);
      }
      assert.equal((await alice.send('GET', `/tasks/${id}`)).status, 404);
    });

    it('tells of a task that failed why it did', async () => {
      const answer = await subject.submit(alice, corrupt);
      // Whoever sends the file along may hear of it at once.
      if (answer.status !== subject.acceptedStatus) {
        assert.equal(answer.status, 400);
        return assert.ok(subject.errorOf(answer).length > 0);
      }
      const status = await reaching(alice, subject.idOf(answer), 'failed');
      assert.match(JSON.stringify(status.body), /PNG|picture|image|file|damaged|corrupt/i);
      assert.doesNotMatch(JSON.stringify(status.body), /\/tmp|\/work|node_modules|at .*\.ts/);
    });

    const { cancel } = subject;
    if (cancel) {
      it('cancels a task that waits, one that runs, and none that has ended', async () => {
        const ended = await submitted(alice);
        await reaching(alice, ended, 'completed');
        const late = await cancel(alice, ended);
        assert.ok([200, 409].includes(late.status), `${late.status} ${late.bytes}`);

        emulator.faults.stall(true);
        try {
          const running = await submitted(alice);
          await reaching(alice, running, 'running');
          const [next, waiting] = [await submitted(alice), await submitted(alice)];
          for (const id of [waiting, next, running]) {
            assert.equal((await cancel(alice, id)).status, 200);
            await reaching(alice, id, 'canceled');
          }
        } finally {
          emulator.faults.stall(false);
        }
        // The pool is none the worse for it.
        await reaching(alice, await submitted(alice), 'completed');
      });
    }

    it('answers what is at no address in its own shape', async () => {
      const answer = await own.send('GET', '/there/is/nothing');
      assert.equal(answer.status, 404);
      subject.errorOf(answer);
    });
  });
}

function callerAt(base: string, key: string | null): Caller {
  return {
    async send(method, path, { json, form } = {}) {
      const response = await fetch(`${base}${path}`, {
        method,
        signal: AbortSignal.timeout(patienceMs),
        headers: {
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
          ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(json === undefined ? {} : { body: JSON.stringify(json) }),
        ...(form === undefined ? {} : { body: form }),
      });
      const bytes = Buffer.from(await response.arrayBuffer());
      const isJson = response.headers.get('content-type')?.includes('json');
      const body = isJson ? JSON.parse(bytes.toString()) : null;
      return { status: response.status, headers: response.headers, bytes, body };
    },
  };
}

/** A form as browsers send it. */
export function formOf(
  fields: Readonly<Record<string, string | { readonly bytes: Buffer; readonly name: string }>>,
): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (typeof value === 'string') form.append(name, value);
    else form.append(name, new Blob([new Uint8Array(value.bytes)]), value.name);
  }
  return form;
}
