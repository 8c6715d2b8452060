import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { samplePng } from '../../test/support/media-samples.ts';
import { sniffBuffer, sniffBytes } from './sniff.ts';

const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');
const box = (brand: string, others = 'isomiso2'): Buffer =>
  ascii(`\0\0\0\x18ftyp${brand}\0\0\0\0${others}`);

test('knows a format by its first bytes', async () => {
  const heads: [string, Buffer][] = [
    ['jpg', ascii('\xff\xd8\xff\xe0\0\x10JFIF\0')],
    ['gif', ascii('GIF89a\x01\0\x01\0')],
    ['webp', ascii('RIFF\x24\0\0\0WEBPVP8 ')],
    ['tiff', ascii('II*\0\x08\0\0\0\0\0\0\0\0\0\0\0')],
    ['tiff', ascii('MM\0*\0\0\0\x08\0\0\0\0\0\0\0\0')],
    ['tiff', ascii('II*\0\xff\xff\0\0 and pixels first')],
    ['avif', box('avif')],
    ['avif', box('mif1', 'mif1avif')],
    ['avif', box('avis')],
    ['heic', box('heic')],
    ['heic', box('mif1', 'mif1heic')],
    ['mp4', box('isom')],
    ['mp4', box('mp42')],
    ['mp4', box('iso5')],
    ['mp4', box('M4V ')],
    ['mov', box('qt  ')],
    ['mov', ascii('\0\0\0\x08wide\0\0\0\0mdat')],
    ['mov', ascii('\0\0\0\x08moov\0\0\0\0mvhd')],
    ['wav', ascii('RIFF\x24\0\0\0WAVEfmt ')],
    ['m4a', box('M4A ')],
    ['flac', ascii('fLaC\0\0\0\x22')],
    ['mp3', ascii(`ID3\x04\0\0\0\0\x7f\x7f${'\0'.repeat(4_090)}`)],
    ['opus', ascii(`OggS\0\x02${'\0'.repeat(20)}\x01\x13OpusHead`)],
    ['ogg', ascii(`OggS\0\x02${'\0'.repeat(20)}\x01\x1e\x01vorbis\0\0`)],
  ];
  for (const [format, head] of heads) assert.equal(await sniffBuffer(head), format, `${head}`);
});

test('knows a PNG behind a long text, as ComfyUI writes one', async () => {
  const png = await samplePng({ width: 20, height: 10 });
  const text = Buffer.alloc(20_000, 'workflow');
  text.writeUInt32BE(text.length - 12);
  text.write('tEXt', 4);
  const head = Buffer.concat([png.subarray(0, 33), text, png.subarray(33)]);
  assert.equal(await sniffBuffer(head.subarray(0, sniffBytes)), 'png');
  const animated = Buffer.from('\0\0\0\x08acTL\0\0\0\x01\0\0\0\0\0\0\0\0');
  const apng = Buffer.concat([png.subarray(0, 33), animated, png.subarray(33)]);
  assert.equal(await sniffBuffer(apng), 'png');
});

test('takes no other', async () => {
  const heads = [
    ascii(''),
    ascii('\x89'),
    ascii('<svg xmlns="http://www.w3.org/2000/svg"/>'),
    ascii('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>'),
    ascii('<!doctype html><script>alert(1)</script>'),
    ascii('#EXTM3U\nhttp://127.0.0.1/'),
    ascii('%PDF-1.7\n'),
    ascii('%!PS-Adobe-3.0\n'),
    ascii('PK\x03\x04\x14\0\0\0\0\0'),
    ascii('\x1f\x8b\x08\0\0\0\0\0\0\0'),
    ascii('BM\x36\0\0\0\0\0\0\0'),
    ascii('ID3\x04\0\0\0\0\0\0'),
    ascii('OggS\0\x02'),
    ascii('FLV\x01\x05'),
    ascii('push graphic-context\n'),
    ascii('id=ImageMagick version=1.0\n'),
    box('crx '),
    Buffer.alloc(4_100),
  ];
  for (const head of heads) assert.equal(await sniffBuffer(head), null, `${head.subarray(0, 20)}`);
});

test('survives any bytes behind any signature', async () => {
  const signatures = [
    '\x89PNG\r\n\x1a\n',
    '\xff\xd8\xff',
    'RIFF',
    'II*\0',
    '\0\0\0\x18ftyp',
    '\x1a\x45\xdf\xa3',
    'PK\x03\x04',
    'ID3',
    'OggS',
    '\x1f\x8b',
    '0&\xb2u\x8ef\xcf\x11\xa6\xd9',
  ];
  for (const signature of signatures) {
    for (let i = 0; i < 40; i += 1) {
      await sniffBuffer(Buffer.concat([ascii(signature), randomBytes(i * 100)]));
    }
  }
});
