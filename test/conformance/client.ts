/** A small ComfyUI client that keeps everything it sees. */
import { setTimeout as sleep } from 'node:timers/promises';
import { fetch, type RequestInit } from 'undici';
import { WebSocket } from 'ws';

export interface Message {
  readonly type: string;
  // biome-ignore lint/suspicious/noExplicitAny: what a server sends is what the tests are about
  readonly data: any;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what a server sends is what the tests are about
  readonly json: any;
}

export async function ask(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, { signal: AbortSignal.timeout(60_000), ...init });
  const text = Buffer.from(await response.arrayBuffer()).toString('utf8');
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    text,
    json: isJson ? JSON.parse(text) : undefined,
  };
}

export function post(url: string, body: unknown): Promise<Answer> {
  return ask(url, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) });
}

export class Client implements AsyncDisposable {
  readonly messages: Message[] = [];
  readonly id: string;
  readonly #socket: WebSocket;
  isOpen = true;

  private constructor(socket: WebSocket, id: string) {
    this.#socket = socket;
    this.id = id;
    socket.on('message', (data, isBinary) => {
      if (!isBinary) this.messages.push(JSON.parse(data.toString()));
    });
    socket.on('close', () => {
      this.isOpen = false;
    });
    socket.on('error', () => {});
  }

  static async open(
    server: string,
    id: string = crypto.randomUUID().replaceAll('-', ''),
    path = '/ws',
  ): Promise<Client> {
    const url = `${server.replace('http', 'ws')}${path}?clientId=${encodeURIComponent(id)}`;
    const client = new Client(new WebSocket(url), id);
    await client.until(({ type }) => type === 'status');
    return client;
  }

  send(message: unknown): void {
    this.#socket.send(JSON.stringify(message));
  }

  /** The first message, from `start` on, that fits. */
  async until(fits: (message: Message) => boolean, start = 0, ms = 60_000): Promise<Message> {
    const deadline = Date.now() + ms;
    for (;;) {
      const found = this.messages.slice(start).find(fits);
      if (found !== undefined) return found;
      if (Date.now() > deadline) {
        const seen = this.messages.slice(start).map(({ type }) => type);
        throw new Error(`no such message within ${ms} ms; seen: ${seen.join(', ')}`);
      }
      await sleep(5);
    }
  }

  /** Waits for the last message of a prompt. */
  untilEnd(promptId: string, start = 0): Promise<Message> {
    return this.until(
      ({ type, data }) => type === 'executing' && data.node === null && data.prompt_id === promptId,
      start,
    );
  }

  terminate(): void {
    this.#socket.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    this.#socket.terminate();
  }
}

/** Until `/queue` is empty. */
export async function untilIdle(server: string, ms = 60_000): Promise<void> {
  const deadline = Date.now() + ms;
  while (Date.now() < deadline) {
    const { json } = await ask(`${server}/prompt`);
    if (json.exec_info.queue_remaining === 0) return;
    await sleep(20);
  }
  throw new Error(`the queue was not empty after ${ms} ms`);
}
