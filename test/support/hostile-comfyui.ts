import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { posix } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type WebSocket, WebSocketServer } from 'ws';
import { samplePng } from './media-samples.ts';

const answered = [
  'system_stats',
  'object_info',
  'features',
  'upload',
  'prompt',
  'queue',
  'history',
  'view',
] as const;
type Route = (typeof answered)[number] | 'jobs' | 'command';

/** An answer as the double would give it. */
interface Reply {
  readonly status: number;
  readonly headers: Record<string, string | number>;
  readonly body: Buffer;
}

/** What is wrong with a server, beside which it is a ComfyUI. */
export interface Misdeed {
  readonly name: string;
  /** How a prompt ends there: `made` where nothing is said. `unused`: it gets none. `no use`: its answers are. */
  readonly ends?: string;
  /** In place of the usual ones. */
  readonly answers?: Readonly<Partial<Record<Route, Answer>>>;
  /** Does what it likes with who wants a WebSocket. */
  readonly upgrade?: Raw;
  /** What it says over WebSocket when a prompt has run, in place of the usual. */
  readonly say?: Say;
  /** What it does with a WebSocket that has opened. */
  readonly greet?: (socket: WebSocket) => void;
}

type Answer = (usual: Reply, asked: Asked) => Reply | Raw;

type Say = (socket: WebSocket, promptId: string) => void;

/** Writes to the connection what it likes. */
type Raw = (socket: Socket) => void;

interface Asked {
  /** The prompt that was posted last, and the folder of its output. */
  readonly promptId: string;
  readonly folder: string;
  /** How often it has misbehaved before. */
  readonly before: number;
}

/** A server on the wire of ComfyUI that makes a picture of any prompt at once, but for its misdeed. */
export class ComfyDouble implements AsyncDisposable {
  readonly url: string;
  readonly misdeed: Misdeed;
  /** When it has misbehaved (`performance.now()`). */
  readonly misdeeds: number[] = [];
  readonly #parts: AsyncDisposableStack;
  readonly #picture: Buffer;
  readonly #sockets = new WebSocketServer({ noServer: true });
  /** The folder of its outputs, by the prompt. */
  readonly #folders = new Map<string, string>();
  #latest = '';

  private constructor(url: string, misdeed: Misdeed, picture: Buffer, parts: AsyncDisposableStack) {
    this.url = url;
    this.misdeed = misdeed;
    this.#picture = picture;
    this.#parts = parts;
  }

  static async start(misdeed: Misdeed): Promise<ComfyDouble> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const parts = new AsyncDisposableStack();
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const double = new ComfyDouble(url, misdeed, await samplePng({ width: 8, height: 8 }), parts);
    const connections = new Set<Socket>();
    server.on('connection', (connection) => {
      connections.add(connection);
      connection.on('close', () => connections.delete(connection));
    });
    server.on('request', (request, response) => void double.#answer(request, response));
    server.on('upgrade', (request, socket: Socket, head) => {
      if (misdeed.upgrade) return double.#write(socket, misdeed.upgrade);
      double.#sockets.handleUpgrade(request, socket, head, (client) => {
        client.on('error', () => {});
        if (!misdeed.greet) return;
        double.misdeeds.push(performance.now());
        misdeed.greet(client);
      });
    });
    parts.defer(async () => {
      const closed = once(server, 'close');
      server.close();
      for (const connection of connections) connection.destroy();
      await closed;
    });
    return double;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '' } = request;
    const pieces: Buffer[] = [];
    try {
      for await (const piece of request) pieces.push(piece);
    } catch {
      return;
    }
    const body = Buffer.concat(pieces).toString('latin1');
    const route = routeOf(method, url);
    const usual = this.#usual(route, method, url, body);
    const answer = this.misdeed.answers?.[route];
    if (!answer) return this.#reply(response, usual, method);
    const promptId = this.#latest;
    const folder = this.#folders.get(promptId) ?? '';
    const reply = answer(usual, { promptId, folder, before: this.misdeeds.length });
    if (typeof reply === 'function') return this.#write(response.socket, reply);
    this.misdeeds.push(performance.now());
    this.#reply(response, reply, method);
  }

  #reply(response: ServerResponse, { status, headers, body }: Reply, method: string): void {
    response.on('error', () => {});
    response.writeHead(status, { 'content-length': body.length, ...headers });
    response.end(method === 'HEAD' ? undefined : body);
  }

  #write(socket: Socket | null, write: Raw): void {
    if (!socket) return;
    this.misdeeds.push(performance.now());
    socket.on('error', () => {});
    write(socket);
  }

  #usual(route: Route, method: string, url: string, body: string): Reply {
    switch (route) {
      case 'system_stats':
        return ok({ system: { comfyui_version: '0.3.64' }, devices: [device] });
      case 'object_info':
        return ok(nodeClasses);
      case 'features':
        return ok({ max_upload_size: 100_000_000 });
      case 'upload': {
        const name = /filename="([^"]+)"/.exec(body)?.[1];
        const subfolder = /name="subfolder"\r\n\r\n([^\r]*)/.exec(body)?.[1];
        return ok({ name, subfolder, type: 'input' });
      }
      case 'prompt':
        return this.#posted(JSON.parse(body));
      case 'queue':
        return ok({ queue_running: [], queue_pending: [] });
      case 'history':
        return ok({ [this.#latest]: historyOf(this.#folders.get(this.#latest) ?? '') });
      case 'view':
        return { status: 200, headers: { 'content-type': 'image/png' }, body: this.#picture };
      case 'jobs':
        return { ...ok({}), status: 404 };
      case 'command':
        return { ...ok({}), body: Buffer.alloc(0) };
      default:
        throw new Error(`${method} ${url} is not for a double`);
    }
  }

  #posted(asked: { prompt_id: string; prompt: Record<string, PostedNode> }): Reply {
    const { prompt_id, prompt } = asked;
    const prefix = Object.values(prompt).find(({ class_type }) => class_type === 'SaveImage');
    this.#latest = prompt_id;
    this.#folders.set(prompt_id, posix.dirname(String(prefix?.inputs.filename_prefix)));
    setImmediate(() => {
      const { say = tellOf } = this.misdeed;
      if (say !== tellOf) this.misdeeds.push(performance.now());
      for (const client of this.#sockets.clients) say(client, prompt_id);
    });
    return ok({ prompt_id, number: this.#folders.size, node_errors: {} });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync();
  }
}

interface PostedNode {
  readonly class_type: string;
  readonly inputs: Record<string, unknown>;
}

const device = { name: 'GPU', vram_total: 1, vram_free: 1 };

const nodeClasses = {
  LoadImage: {
    input: { required: { image: [['a.png'], { image_upload: true }] } },
    output: ['IMAGE', 'MASK'],
    output_name: ['IMAGE', 'MASK'],
  },
  SaveImage: {
    input: { required: { images: ['IMAGE'], filename_prefix: ['STRING', { default: 'out' }] } },
    output: [],
    output_node: true,
  },
};

/** What the doubles and the emulator can run alike. */
export const passGraph = {
  '1': { class_type: 'LoadImage', inputs: { image: 'input.png' } },
  '3': { class_type: 'SaveImage', inputs: { images: ['1', 0], filename_prefix: 'out' } },
};

function routeOf(method: string, url: string): Route {
  const first = /^\/(?:api\/)?(\w+)/.exec(url)?.[1] ?? '';
  if (method === 'POST' && ['queue', 'history', 'interrupt', 'free'].includes(first)) {
    return 'command';
  }
  return answered.find((route) => route === first) ?? 'jobs';
}

function ok(json: unknown): Reply {
  return { status: 200, headers: {}, body: Buffer.from(JSON.stringify(json)) };
}

function historyOf(subfolder: string, more: object = {}) {
  const images = [{ filename: 'out_00001_.png', subfolder, type: 'output', ...more }];
  const status = { status_str: 'success', completed: true, messages: [] };
  return { outputs: { '3': { images } }, status };
}

const endOfPrompt = (
  [
    ['execution_start', {}],
    ['execution_success', {}],
    ['executing', { node: null }],
  ] as const
).map(
  ([type, data]) =>
    (prompt_id: string) =>
      JSON.stringify({ type, data: { ...data, prompt_id } }),
);

function tellOf(socket: WebSocket, promptId: string): void {
  for (const event of endOfPrompt) socket.send(event(promptId));
}

/** What a server may do wrong with any answer. */
const anyAnswer: Readonly<Record<string, Answer>> = {
  'fails with 500': () => ({ ...ok({ error: 'x' }), status: 500 }),
  'leads elsewhere': () => ({ ...ok({}), status: 302, headers: { location: 'http://[::1]:1/' } }),
  'says null': () => ok(null),
  'breaks its JSON off': ({ body }) => ({
    ...ok({}),
    body: body.subarray(0, body.length / 2),
  }),
  'says something of another type in each field': ({ body }) => ok(twisted(body)),
  'compresses what nobody asked to be': ({ body }) => ({
    ...ok({}),
    headers: { 'content-encoding': 'gzip' },
    body: gzipSync(body),
  }),
  'hangs up': () => (socket) => void socket.resetAndDestroy(),
  drips: () => (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n{');
    const timer = setInterval(() => socket.write(' '), 50);
    socket.on('close', () => clearInterval(timer));
  },
};

function endOf(route: Route, name: string): string {
  const isSilent = name === 'hangs up' || name === 'drips';
  if (route === 'features') return isSilent ? 'unused' : 'made';
  if (route === 'view' && !isSilent && !/fails|leads/.test(name)) return 'made';
  // What cannot be read of a class is left out.
  if (route === 'object_info' && name.includes('another type')) return 'made';
  if (route === 'system_stats' || route === 'object_info') return 'unused';
  return 'no use';
}

/** Every field is of another type than it should be. */
function twisted(body: Buffer): unknown {
  const twist = (value: unknown): unknown => {
    if (Array.isArray(value)) return { list: value.map(twist) };
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, twist(each)]));
    }
    return typeof value === 'string' ? 7 : 'seven';
  };
  try {
    return twist(JSON.parse(body.toString()));
  } catch {
    return ['no JSON'];
  }
}

function flood(socket: Socket, first: string, piece: Buffer, onPoured = () => {}): void {
  socket.write(first);
  const pour = () => {
    onPoured();
    while (socket.writable && socket.write(piece));
  };
  socket.on('drain', pour);
  pour();
}

const megabyte = Buffer.alloc(1024 * 1024, '"A":{},'.repeat(149_797));
const head = 'HTTP/1.1 200 OK\r\n';

/** An answer without an end. */
const endless: Answer = () => (socket) => flood(socket, `${head}\r\n{`, megabyte);

/** Servers whose lists of nodes have no end, with how much of these is under way. */
export class EndlessLists {
  /** The most that was taken of all lists at a time, bytes. */
  peakBytes = 0;
  readonly #underWay = new Set<Socket>();

  readonly misdeed: Misdeed = {
    name: 'nodes without an end',
    answers: { object_info: () => (socket) => this.#pour(socket) },
  };

  #pour(socket: Socket): void {
    this.#underWay.add(socket);
    socket.on('close', () => this.#underWay.delete(socket));
    flood(socket, `${head}\r\n{`, megabyte, () => {
      const taken = [...this.#underWay].map((each) => each.bytesWritten - each.writableLength);
      this.peakBytes = Math.max(
        this.peakBytes,
        taken.reduce((sum, bytes) => sum + bytes, 0),
      );
    });
  }
}

const events = (list: readonly unknown[]): Say => {
  return (socket, promptId) => {
    for (const event of list) {
      const text = typeof event === 'string' ? event : JSON.stringify(event);
      socket.send(text.replaceAll('PROMPT', promptId));
    }
    tellOf(socket, promptId);
  };
};

const running = (type: string, data: object = {}) => ({
  type,
  data: { prompt_id: 'PROMPT', ...data },
});

const outputs = (more: object): Answer => {
  return (_, { promptId, folder }) => ok({ [promptId]: historyOf(folder, more) });
};

const entry = (of: (promptId: string, folder: string) => object): Answer => {
  return (_, { promptId, folder }) => ok(of(promptId, folder));
};

const queueOf = (running: readonly string[], pending: readonly string[] = []) => {
  const listed = (ids: readonly string[]) => ids.map((id, i) => [i, id, {}, {}, []]);
  return ok({ queue_running: listed(running), queue_pending: listed(pending) });
};

const runs: Answer = (_, { promptId }) => queueOf([promptId]);

const queues: Readonly<Record<string, { ends: string; queue: Answer }>> = {
  'runs it for ever': { ends: 'run_timeout', queue: runs },
  'lets it wait for ever': {
    ends: 'backend_wedged',
    queue: (_, { promptId }) => queueOf([], [promptId]),
  },
  'has forgotten it': { ends: 'prompt_lost', queue: () => queueOf(['another'], ['others']) },
};

export const misdeeds: readonly Misdeed[] = [
  ...answered.flatMap((route) =>
    Object.entries(anyAnswer).map(([name, answer]) => ({
      name: `${route}: ${name}`,
      ends: endOf(route, name),
      // The queue is asked when the history knows of nothing.
      answers: { ...(route === 'queue' ? { history: () => ok({}) } : {}), [route]: answer },
    })),
  ),
  // Whatever it answers to commands and about jobs.
  { name: 'commands: 500', answers: { command: () => ({ ...ok({}), status: 500 }) } },
  { name: 'jobs: a list of all', answers: { jobs: () => ok({ jobs: 'all' }) } },
  // Texts.
  { name: 'nodes without an end', ends: 'unused', answers: { object_info: endless } },
  { name: 'a history without an end', ends: 'no use', answers: { history: endless } },
  {
    name: 'a depth of a million',
    ends: 'unused',
    answers: { object_info: () => ({ ...ok({}), body: Buffer.from('['.repeat(1_000_000)) }) },
  },
  {
    name: 'a string that never ends',
    ends: 'unused',
    answers: {
      object_info: () => ({ ...ok({}), body: Buffer.from(`{"${'\\"'.repeat(400_000)}`) }),
    },
  },
  {
    name: 'chunks of one byte',
    ends: 'unused',
    answers: {
      system_stats: () => (socket) =>
        flood(
          socket,
          `${head}transfer-encoding: chunked\r\n\r\n`,
          Buffer.from('1\r\n1\r\n'.repeat(1_000)),
        ),
    },
  },
  {
    name: 'headers without an end',
    ends: 'unused',
    answers: {
      system_stats: () => (socket) => flood(socket, head, Buffer.from('x-a: b\r\n'.repeat(512))),
    },
  },
  {
    name: 'HTTP/1.0',
    answers: {
      queue:
        ({ body }) =>
        (socket) =>
          void socket.end(`HTTP/1.0 200 OK\r\n\r\n${body}`),
    },
  },
  { name: 'no nodes', ends: 'unused', answers: { object_info: () => ok({}) } },
  { name: 'other nodes', answers: { object_info: () => ok({ Other: {} }) } },
  // Prompts.
  {
    name: 'takes it under another id',
    answers: { prompt: () => ok({ prompt_id: 'another', number: 1, node_errors: {} }) },
  },
  {
    name: 'counts backwards',
    answers: {
      prompt: (_, { promptId }) => ok({ prompt_id: promptId, number: -5, node_errors: [] }),
    },
  },
  {
    name: 'refuses it at length',
    ends: 'prompt_rejected',
    answers: {
      prompt: () => ({
        ...ok({
          error: { type: 'x', message: 'x'.repeat(100_000) },
          node_errors: Object.fromEntries(
            Array.from({ length: 100 }, (_, i) => [
              `${i}`,
              { errors: [{ type: 'x', message: 'x'.repeat(1_000) }] },
            ]),
          ),
        }),
        status: 400,
      }),
    },
  },
  {
    name: 'takes a part of it',
    ends: 'prompt_rejected',
    answers: {
      prompt: (_, { promptId }) =>
        ok({
          prompt_id: promptId,
          number: 1,
          node_errors: { '3': { errors: [], dependent_outputs: ['3'] } },
        }),
    },
  },
  // The queue, while the history knows of nothing.
  ...Object.entries(queues).map(([name, { ends, queue }]) => ({
    name,
    ends,
    answers: { history: () => ok({}), queue },
  })),
  {
    name: 'says that it is done long before it is',
    ends: 'made',
    answers: {
      history: (usual, { before }) => (before < 4 ? ok({}) : usual),
      queue: runs,
    },
  },
  // Histories.
  {
    name: 'that of another prompt',
    ends: 'prompt_lost',
    answers: { history: () => ok({ another: historyOf('') }) },
  },
  {
    name: 'no status',
    answers: { history: entry((id, folder) => ({ [id]: { outputs: historyOf(folder).outputs } })) },
  },
  {
    name: 'success without outputs',
    ends: 'nothing',
    answers: { history: entry((id) => ({ [id]: { ...historyOf(''), outputs: {} } })) },
  },
  {
    name: 'an error of spaces',
    ends: 'execution_failed',
    answers: {
      history: entry((id) => ({
        [id]: {
          status: {
            status_str: 'error',
            completed: false,
            messages: [
              [
                'execution_error',
                { exception_message: `x${' '.repeat(400_000)}x`, node_type: 'n'.repeat(100_000) },
              ],
            ],
          },
        },
      })),
    },
  },
  {
    name: 'messages of another shape',
    ends: 'no use',
    answers: { history: entry((id) => ({ [id]: { status: { status_str: 1, messages: {} } } })) },
  },
  { name: 'a name that climbs', answers: { history: outputs({ filename: '../../etc/passwd' }) } },
  { name: 'an absolute name', answers: { history: outputs({ filename: '/etc/passwd' }) } },
  { name: 'a folder that climbs', answers: { history: outputs({ subfolder: '../..' }) } },
  {
    name: 'a name that is a number',
    ends: 'nothing',
    answers: { history: outputs({ filename: 5 }) },
  },
  { name: 'a type of its own', answers: { history: outputs({ type: '../x' }) } },
  // Files.
  {
    name: 'less than it says',
    ends: 'no use',
    answers: {
      view:
        ({ body }) =>
        (socket) =>
          void socket.end(`${head}content-length: ${body.length}\r\n\r\nshort`),
    },
  },
  {
    name: 'more than it says',
    answers: {
      view:
        ({ body }) =>
        (socket) =>
          void socket.end(`${head}content-length: ${body.length}\r\n\r\n${'x'.repeat(10_000)}`),
    },
  },
  {
    name: 'no bytes',
    ends: 'nothing',
    answers: { view: () => ({ ...ok({}), body: Buffer.alloc(0) }) },
  },
  {
    name: 'no length',
    ends: 'no use',
    answers: { view: () => (socket) => void socket.end(`${head}\r\nx`) },
  },
  { name: 'no file', ends: 'nothing', answers: { view: () => ({ ...ok({}), status: 404 }) } },
  {
    name: 'takes the input under another name',
    answers: { upload: () => ok({ name: 'other (1).png', subfolder: 'elsewhere' }) },
  },
  {
    name: 'takes the input under a name that climbs',
    answers: { upload: () => ok({ name: '../../x', subfolder: '/' }) },
  },
  {
    name: 'takes no input',
    ends: 'backend_upload_refused',
    answers: { upload: () => ({ ...ok({}), status: 413 }) },
  },
  // Messages.
  {
    name: 'no WebSocket',
    ends: 'unused',
    upgrade: (socket) => void socket.end('HTTP/1.1 404 X\r\n\r\n'),
  },
  { name: 'SMTP', ends: 'unused', upgrade: (socket) => void socket.end('220 smtp\r\n') },
  { name: 'no answer to who wants a WebSocket', ends: 'unused', upgrade: () => {} },
  { name: 'ends each WebSocket', ends: 'unused', greet: (socket) => socket.close(1011) },
  { name: 'ends each WebSocket late', greet: (s) => setTimeout(() => s.terminate(), 100) },
  {
    name: 'a message of 9 MB',
    ends: 'unused',
    greet: (socket) => socket.send(Buffer.alloc(9 * 1024 * 1024)),
  },
  {
    name: 'thousands of messages',
    greet: (socket) => {
      for (let i = 0; i < 20_000; i += 1) socket.send('{"type":"status","data":{"status":{}}}');
    },
  },
  {
    name: 'thousands of pings',
    ends: 'unused',
    greet: (socket) => {
      for (let i = 0; i < 20_000; i += 1) socket.ping();
    },
  },
  { name: 'says nothing', say: () => {} },
  {
    name: 'says everything twice and the wrong way round',
    say: (socket, promptId) => {
      for (const event of [...endOfPrompt.toReversed(), ...endOfPrompt, ...endOfPrompt]) {
        socket.send(event(promptId));
      }
    },
  },
  {
    name: 'speaks of other prompts',
    say: events([
      running('execution_success', { prompt_id: 'another' }),
      running('executing', { prompt_id: 'another', node: null }),
      running('execution_error', { prompt_id: 7 }),
    ]),
  },
  {
    name: 'counts progress without sense',
    say: events([
      running('progress', { value: 1, max: 0 }),
      running('progress', { value: -5, max: 1e308 }),
      running('progress', { value: 1e308, max: 1e-308 }),
      '{"type":"progress","data":{"prompt_id":"PROMPT","value":NaN,"max":-Infinity}}',
      running('progress', { value: 'half', max: [] }),
    ]),
  },
  {
    name: 'says what is no message',
    say: events([
      'null',
      '[]',
      '{',
      `{"${'\\"'.repeat(50_000)}`,
      '['.repeat(50_000),
      { type: 'status', data: { status: { exec_info: { queue_remaining: -7 } } } },
      { type: 'executing', data: null },
      running('executing', { node: 5 }),
      running('execution_cached', { nodes: 'all' }),
      running('execution_cached', { nodes: Array.from({ length: 10_000 }, (_, i) => `n${i}`) }),
    ]),
  },
];
