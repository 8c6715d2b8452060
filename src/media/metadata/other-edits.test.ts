import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ALL_FORMATS, BufferSource, EncodedPacketSink, Input } from 'mediabunny';
import type { ResultFormat } from '../../core/result-format.ts';
import { encodeSound, type SoundFormat } from '../../emulator/sound.ts';
import { sniffResult } from '../sniff-result.ts';
import { findEdits, scan } from './find-edits.ts';

const { signal } = new AbortController();
const silent = { keepsMetadata: false, colour: null };
const graph = { 1: { class_type: 'LoadAudio', inputs: { audio: 'the secret.mp3' } } };
const prompt = JSON.stringify(graph);
const silence = { seconds: 1, sampleRate: 48_000, channels: 1 };
const sounds = ['flac', 'mp3', 'opus'] satisfies SoundFormat[];

async function stripped(bytes: Buffer, format: ResultFormat): Promise<Buffer> {
  const read = async (start: number, end: number) => bytes.subarray(start, end);
  const edits = await findEdits(scan({ size: bytes.length, read }, signal), format, silent);
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const { start, end, bytes: put } of edits) {
    parts.push(bytes.subarray(at, start), put === 'zeros' ? Buffer.alloc(end - start) : put);
    at = end;
  }
  return Buffer.concat([...parts, bytes.subarray(at)]);
}

async function packetsOf(bytes: Buffer): Promise<string[]> {
  using input = new Input({ source: new BufferSource(bytes), formats: ALL_FORMATS });
  const track = await input.getPrimaryAudioTrack();
  assert.ok(track);
  const packets: string[] = [];
  for await (const { timestamp, data } of new EncodedPacketSink(track).packets()) {
    packets.push(`${timestamp} ${Buffer.from(data).toString('base64')}`);
  }
  return packets;
}

function exrOf(attributes: readonly (readonly [string, string, Buffer])[]): Buffer {
  const parts = attributes.map(([name, type, value]) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(value.length);
    return Buffer.concat([Buffer.from(`${name}\0${type}\0`), length, value]);
  });
  const head = Buffer.from([0x76, 0x2f, 0x31, 0x01, 2, 0, 0, 0]);
  return Buffer.concat([head, ...parts, Buffer.alloc(1), Buffer.from('table and pixels')]);
}

describe('findEdits', () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tmlsr-edits-'));
  });
  after(() => rm(folder, { recursive: true }));

  async function encoded(format: SoundFormat, tags: Record<string, string>): Promise<Buffer> {
    const path = join(folder, format);
    await encodeSound(silence, format, tags, path);
    return await readFile(path);
  }

  it('takes the graph out of sounds, and leaves every packet', async () => {
    for (const format of sounds) {
      for (const text of [prompt, `${prompt}${'#'.repeat(300_000)}`]) {
        const bytes = await encoded(format, { prompt: text });
        assert.ok(bytes.includes('secret'), format);
        const plain = await stripped(bytes, format);
        assert.equal(plain.includes('secret'), false, format);
        assert.equal(plain.includes('####'), false, format);
        const packets = await packetsOf(plain);
        assert.ok(packets.length > 5, format);
        assert.deepEqual(packets, await packetsOf(bytes), format);
        assert.ok((await stripped(plain, format)).equals(plain), format);
      }
    }
  });

  it('counts checksums as Ogg does: a page that says nothing stays the same', async () => {
    const bytes = await encoded('opus', {});
    assert.ok((await stripped(bytes, 'opus')).equals(bytes));
  });

  it('leaves an Opus alone whose comments share a page with its sound', async () => {
    const bytes = await encoded('opus', { prompt: prompt.repeat(9) });
    const tags = bytes.indexOf('OggS', 4);
    assert.equal(bytes.readUInt8(tags + 27), 255);
    bytes.writeUInt8(254, tags + 27);
    await assert.rejects(stripped(bytes, 'opus'), /share a page/);
  });

  it('takes an old tag off the end of an MP3', async () => {
    const bytes = await encoded('mp3', {});
    const tag = Buffer.alloc(128);
    tag.write('TAGthe secret');
    const plain = await stripped(Buffer.concat([bytes, tag]), 'mp3');
    assert.ok(plain.equals(await stripped(bytes, 'mp3')));
  });

  it('takes elements out of a drawing, whatever stands in them', async () => {
    const around = (inside: string) => `<svg a="1">${inside}<g/>猫</svg>`;
    const plain = await stripped(
      Buffer.from(
        around(
          `<metadata/><metadata id="a">\n<![CDATA[ ${prompt} </metadata> ]]>\n</metadata><metadata>b</metadata>`,
        ),
      ),
      'svg',
    );
    assert.equal(plain.toString(), around('<metadata/>'));
    for (const broken of ['<metadata>', '<metadata><![CDATA[ </metadata>']) {
      await assert.rejects(stripped(Buffer.from(around(broken)), 'svg'), /not whole/);
    }
  });

  it('blanks the texts of an EXR where they are', async () => {
    const size = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0]);
    const attributes = (text: Buffer) =>
      [
        ['dataWindow', 'box2i', size],
        ['prompt', 'string', text],
        ['name', 'string', Buffer.from('left')],
      ] as const;
    const plain = await stripped(exrOf(attributes(Buffer.from(prompt))), 'exr');
    assert.ok(plain.equals(exrOf(attributes(Buffer.alloc(prompt.length, ' ')))));
  });

  it('keeps what a latent and a model are', async () => {
    const text = JSON.stringify({ __metadata__: { prompt }, latent_tensor: { dtype: 'F32' } });
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const latent = Buffer.concat([length, Buffer.from(text), Buffer.from('numbers')]);
    const plain = await stripped(latent, 'latent');
    assert.equal(plain.length, latent.length);
    assert.ok(plain.toString().endsWith(' numbers'));
    assert.deepEqual(JSON.parse(plain.toString('utf8', 8, 8 + text.length)), {
      latent_tensor: { dtype: 'F32' },
    });
    await assert.rejects(stripped(latent.subarray(0, 40), 'latent'), /not whole/);
  });

  it('ends on any bytes behind any signature', async () => {
    const samples: [ResultFormat, Buffer][] = [
      ['exr', exrOf([['prompt', 'string', Buffer.from(prompt)]])],
      ['svg', Buffer.from(`<svg><metadata><![CDATA[${prompt}]]></metadata></svg>`)],
    ];
    for (const format of sounds) samples.push([format, await encoded(format, { prompt })]);
    for (const [format, sample] of samples) {
      for (let i = 0; i < 200; i += 1) {
        const bytes = Buffer.from(sample);
        for (let j = 0; j < 6; j += 1) {
          bytes[Math.floor(Math.random() * Math.min(400, bytes.length))] = Math.random() * 256;
        }
        await stripped(bytes, format).catch(() => {});
      }
    }
  });
});

describe('sniffResult', () => {
  const told = (text: string, name = 'a.bin') => sniffResult(Buffer.from(text, 'latin1'), name);

  it('tells a drawing, a model and an EXR by their bytes', async () => {
    assert.equal(await told('<svg xmlns="">'), 'svg');
    assert.equal(
      await told('\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a --><!-- b -->\n<svg\n>'),
      'svg',
    );
    assert.equal(await told('glTF\x02\0\0\0'), 'glb');
    assert.equal(await told('v/1\x01\x02\0\0\0'), 'exr');
    assert.equal(await told('<html><svg></svg></html>', 'a.svg'), null);
    assert.equal(await told(`${'<!-- -->'.repeat(500)}<html>`), null);
  });

  it('believes the name where bytes do not tell', async () => {
    assert.equal(await told('solid a', 'a.STL'), 'stl');
    assert.equal(await told('anything', 'a.txt'), 'txt');
    assert.equal(await told('anything', 'a.html'), null);
    assert.equal(await told('anything', 'a.png'), null);
  });
});
