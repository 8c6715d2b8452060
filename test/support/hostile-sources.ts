import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { crc32, deflateSync, gzipSync } from 'node:zlib';
import type { ErrorCode } from '../../src/core/errors.ts';
import type { Deadlines } from '../../src/media/fetch-source.ts';
import { sampleMp4, samplePng } from './media-samples.ts';

/** Short, so that nobody waits long for an attack that lasts until one of them. */
export const shortDeadlines: Deadlines = {
  connectDeadlineMs: 1_000,
  headersDeadlineMs: 500,
  idleDeadlineMs: 500,
  totalDeadlineMs: 5_000,
  floorDeadlineMs: 1_000,
  busyPauseMs: 100,
  longestBusyPauseMs: 1_000,
  minBytesPerSecond: 10 * 1024,
};

export const maxSourceBytes = 8 * 1024 * 1024;

/** What somebody may put behind a URL to hurt whoever fetches it. */
export interface HostileSource {
  readonly name: string;
  readonly kind: 'image' | 'video';
  /** As which it may end; `null`: it may be taken, if what is told of it is sane. */
  readonly codes: readonly (ErrorCode | null)[];
  /** Answers, byte for byte; `request` is what the client sent. */
  readonly serve: (socket: Socket, request: string) => void;
}

/** A server that says what it likes, HTTP or not. */
export class HostileServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #serve: HostileSource['serve'] = (socket) => void socket.destroy();

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
      socket.once('data', (request) => this.#serve(socket, request.toString('latin1')));
    });
  }

  static async start(): Promise<HostileServer> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new HostileServer(server);
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** From now on it does this, and the URL leads there. */
  show({ serve }: HostileSource): string {
    this.#serve = serve;
    return `http://${this.host}/source`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

export async function hostileSources(): Promise<HostileSource[]> {
  const png = await samplePng({ width: 64, height: 64, seed: 1 });
  const large = Buffer.concat([png, randomBytes(1024 * 1024)]);
  const mp4 = await sampleMp4({ width: 64, height: 48, frames: 30, fps: 10 });
  return [...transfers(png, large), ...pictures(), ...clips(mp4)];
}

function transfers(png: Buffer, large: Buffer): HostileSource[] {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
  const image = 'image' as const;
  const most = Math.floor(large.length * 0.99);
  return [
    {
      name: 'a server that drips its headers',
      kind: image,
      codes: ['source_timeout'],
      serve: (socket) => drip(socket, 'HTTP/1.1 200 OK\r\nx-a: b\r\n', () => 'x-a: b\r\n'),
    },
    {
      name: 'headers without an end',
      kind: image,
      codes: ['source_failed', 'source_unreachable', 'source_timeout'],
      serve: (socket) =>
        flood(socket, 'HTTP/1.1 200 OK\r\n', Buffer.from('x-a: b\r\n'.repeat(512))),
    },
    {
      name: 'a server that drips its body',
      kind: image,
      codes: ['source_timeout'],
      serve: (socket) => drip(socket, 'HTTP/1.1 200 OK\r\n\r\n', () => png.subarray(0, 16)),
    },
    {
      name: 'a body that stops and stays open',
      kind: image,
      codes: ['source_timeout'],
      serve: (socket) => void socket.write(Buffer.concat([head(png.length), png.subarray(0, 900)])),
    },
    {
      name: 'a body without an end',
      kind: image,
      codes: ['source_too_large'],
      serve: (socket) => flood(socket, 'HTTP/1.1 200 OK\r\n\r\n', Buffer.alloc(64 * 1024, png)),
    },
    {
      name: 'chunks without an end, of one byte each',
      kind: image,
      codes: ['source_timeout', 'source_too_large'],
      serve: (socket) =>
        flood(
          socket,
          'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n',
          Buffer.from('1\r\na\r\n'.repeat(1_000)),
        ),
    },
    {
      name: 'a length that is more than comes',
      kind: image,
      codes: ['source_interrupted'],
      serve: (socket) => void socket.end(Buffer.concat([head(png.length + 1_000), png])),
    },
    {
      name: 'a length that is less than comes',
      kind: image,
      codes: ['media_corrupt', 'source_interrupted', 'source_unreachable', 'source_failed'],
      serve: (socket) => void socket.end(Buffer.concat([head(1_000), png])),
    },
    {
      name: 'a length that is no number',
      kind: image,
      codes: ['source_failed', 'source_unreachable'],
      serve: (socket) =>
        void socket.end(
          Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n'), png]),
        ),
    },
    {
      name: 'a length beyond everything',
      kind: image,
      codes: ['source_too_large', 'source_failed', 'source_unreachable'],
      serve: (socket) => void socket.write(Buffer.concat([head('99999999999999999999'), png])),
    },
    {
      name: 'a gzip bomb, although nothing compressed was asked for',
      kind: image,
      codes: ['source_failed'],
      serve: (socket) =>
        void socket.end(Buffer.concat([head(bomb.length, 'content-encoding: gzip\r\n'), bomb])),
    },
    {
      name: 'an end at 99 %, without Range',
      kind: image,
      codes: ['source_interrupted'],
      serve: (socket) => cut(socket, Buffer.concat([head(large.length), large.subarray(0, most)])),
    },
    {
      name: 'an end at 99 %, with Range, again and again',
      kind: image,
      codes: ['source_interrupted'],
      serve: (socket, request) => {
        const from = Number(/range: bytes=(\d+)-/i.exec(request)?.[1] ?? 0);
        const tag = 'etag: "1"\r\n';
        if (from === 0) {
          return cut(socket, Buffer.concat([head(large.length, tag), large.subarray(0, most)]));
        }
        const range = `content-range: bytes ${from}-${large.length - 1}/${large.length}\r\n`;
        const answer = head(large.length - from, tag + range, '206 Partial Content');
        cut(socket, Buffer.concat([answer, large.subarray(from, from + 10)]));
      },
    },
    {
      name: 'something that is not HTTP',
      kind: image,
      codes: ['source_failed', 'source_unreachable'],
      serve: (socket) => void socket.end(randomBytes(4_096)),
    },
  ];
}

function pictures(): HostileSource[] {
  const gif = Buffer.from('47494638396101000100800000ff0000000000', 'hex');
  const frame = Buffer.from('21f90400000000002c0000000001000100000202440100', 'hex');
  const frames = Buffer.concat(Array.from({ length: 100_000 }, () => frame));
  return [
    {
      name: 'a PNG that claims 10^9 pixels',
      kind: 'image',
      codes: ['media_too_large'],
      serve: whole(pngOf(31_623, 31_623)),
    },
    {
      name: 'a PNG that claims as much as a PNG can',
      kind: 'image',
      codes: ['media_too_large', 'media_corrupt'],
      serve: whole(pngOf(0x7fff_ffff, 0x7fff_ffff)),
    },
    {
      name: 'a GIF of 100,000 frames',
      kind: 'image',
      codes: ['media_too_large'],
      serve: whole(Buffer.concat([gif, frames, Buffer.from([0x3b])])),
    },
  ];
}

function clips(mp4: Buffer): HostileSource[] {
  const forged: [name: string, bytes: Buffer, codes: HostileSource['codes']][] = [
    ['an MP4 whose boxes are of no size', sized(mp4, 'moov', 0), ['media_corrupt', null]],
    ['an MP4 whose boxes are smaller than their head', sized(mp4, 'moov', 4), ['media_corrupt']],
    [
      'an MP4 whose box ends beyond the file',
      sized(mp4, 'moov', 0x7fff_ffff),
      ['media_corrupt', null],
    ],
    ['an MP4 of a thousand boxes, each in another', nested(mp4, 1_000), ['media_corrupt', null]],
    ['an MP4 of 50,000 boxes, each in another', nested(mp4, 50_000), ['media_corrupt', null]],
    ...['stsz', 'stco', 'stsc', 'stts', 'ctts', 'stss'].flatMap((table) =>
      mp4.includes(table)
        ? ([
            [
              `an MP4 whose ${table} claims 4,294,967,295 samples`,
              counted(mp4, table),
              ['media_corrupt', 'media_too_large', null],
            ],
          ] as const)
        : [],
    ),
  ].map(([name, bytes, codes]) => [name, bytes, codes] as [string, Buffer, HostileSource['codes']]);
  return forged.map(([name, bytes, codes]) => ({
    name,
    kind: 'video',
    codes,
    serve: whole(bytes),
  }));
}

function head(length: number | string, more = '', status = '200 OK'): Buffer {
  return Buffer.from(`HTTP/1.1 ${status}\r\ncontent-length: ${length}\r\n${more}\r\n`);
}

function whole(bytes: Buffer): HostileSource['serve'] {
  return (socket) => void socket.end(Buffer.concat([head(bytes.length), bytes]));
}

function cut(socket: Socket, bytes: Buffer): void {
  socket.write(bytes, () => socket.destroy());
}

function drip(socket: Socket, first: string, next: () => string | Buffer): void {
  socket.write(first);
  const timer = setInterval(() => socket.write(next()), 50);
  socket.on('close', () => clearInterval(timer));
}

function flood(socket: Socket, first: string, piece: Buffer): void {
  socket.write(first);
  const pour = () => {
    while (socket.writable && socket.write(piece));
  };
  socket.on('drain', pour);
  pour();
}

/** A header that claims a size, and a row or so of pixels. */
function pngOf(width: number, height: number): Buffer {
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const signature = Buffer.from('89504e470d0a1a0a', 'hex');
  const pixels = deflateSync(Buffer.alloc(40_000));
  return Buffer.concat([
    signature,
    ...[
      ['IHDR', header],
      ['IDAT', pixels],
      ['IEND', Buffer.alloc(0)],
    ].map(([type, data]) => chunk(type as string, data as Buffer)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const typed = Buffer.concat([Buffer.from(type), data]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeUInt32BE(crc32(typed), 4);
  return Buffer.concat([ends.subarray(0, 4), typed, ends.subarray(4)]);
}

/** The box says that it is of another size. */
function sized(mp4: Buffer, type: string, bytes: number): Buffer {
  const forged = Buffer.from(mp4);
  forged.writeUInt32BE(bytes, forged.indexOf(type) - 4);
  return forged;
}

/** Claims as many entries of a sample table as a count can. */
function counted(mp4: Buffer, table: string): Buffer {
  const forged = Buffer.from(mp4);
  // The size of a sample, one for all, stands before their count.
  forged.writeUInt32BE(0xffff_ffff, forged.indexOf(table) + 8 + (table === 'stsz' ? 4 : 0));
  return forged;
}

/** `moov` in `moov` in `moov`, in front of the clip's own. */
function nested(mp4: Buffer, depth: number): Buffer {
  const boxes = Buffer.alloc(depth * 8);
  for (let i = 0; i < depth; i += 1) {
    boxes.writeUInt32BE((depth - i) * 8, i * 8);
    boxes.write('moov', i * 8 + 4, 'latin1');
  }
  const [ftypBytes] = [mp4.readUInt32BE(0)];
  return Buffer.concat([mp4.subarray(0, ftypBytes), boxes, mp4.subarray(ftypBytes)]);
}
