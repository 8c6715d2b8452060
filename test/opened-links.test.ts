import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import type { Browser, Page } from 'playwright-core';
import sharp from 'sharp';
import { disposition, sendFile } from '../src/http/stored-file.ts';
import { openBrowser } from './support/browser.ts';
import { sampleMp4, samplePng } from './support/media-samples.ts';

/** A tone of 0.2 s. */
function sampleWav(): Buffer {
  const samples = Buffer.from(
    Int16Array.from({ length: 1_600 }, (_, i) => 9_000 * Math.sin(i / 3)).buffer,
  );
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + samples.length, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(8_000, 24);
  head.writeUInt32LE(16_000, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36);
  head.writeUInt32LE(samples.length, 40);
  return Buffer.concat([head, samples]);
}

describe('a stored file whose link is opened in a browser', () => {
  const cleanup = new AsyncDisposableStack();
  const files = new Map<string, { bytes: Buffer; contentType: string }>();
  let browser: Browser;
  let page: Page;
  let base: string;

  before(async () => {
    const png = await samplePng({ width: 48, height: 32, seed: 1 });
    const gif = await sharp(png).gif().toBuffer();
    const avif = await sharp(png).avif().toBuffer();
    const mp4 = await sampleMp4({ width: 48, height: 32, frames: 8, fps: 8, seed: 1 });
    files.set('a.png', { bytes: png, contentType: 'image/png' });
    files.set('a.gif', { bytes: gif, contentType: 'image/gif' });
    files.set('a.avif', { bytes: avif, contentType: 'image/avif' });
    files.set('a.mp4', { bytes: mp4, contentType: 'video/mp4' });
    files.set('a.wav', { bytes: sampleWav(), contentType: 'audio/wav' });
    const script =
      '<svg xmlns="http://www.w3.org/2000/svg"><script>document.title="ran"</script></svg>';
    files.set('a.svg', { bytes: Buffer.from(script), contentType: 'image/svg+xml' });

    const app = new Hono();
    app.get('/:name', async (context) => {
      const name = context.req.param('name');
      const { bytes, contentType } = files.get(name) ?? {};
      if (!bytes || !contentType) return await context.notFound();
      const stat = { size: bytes.length, contentType, modifiedAt: new Date(0), etag: '"1"' };
      const sent = await sendFile(context, {
        stat,
        open: async (range) => ({
          body: Readable.from([range ? bytes.subarray(range.start, range.end + 1) : bytes]),
        }),
        headers: { 'content-disposition': disposition(name, contentType) },
      });
      return sent ?? (await context.notFound());
    });
    const server = createServer(getRequestListener(app.fetch)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanup.defer(() => {
      server.close();
      server.closeAllConnections();
    });
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    browser = await openBrowser();
    cleanup.defer(() => browser.close());
    page = await browser.newPage();
  });
  after(() => cleanup.disposeAsync());

  for (const name of ['a.png', 'a.gif', 'a.avif']) {
    it(`is shown: ${name}`, async () => {
      await page.goto(`${base}/${name}`);
      assert.equal(await page.evaluate("document.querySelector('img').naturalWidth"), 48);
    });
  }

  it('plays: a.mp4', async () => {
    await page.goto(`${base}/a.mp4`);
    await page.evaluate("document.querySelector('video').play()");
    assert.equal(await page.evaluate("document.querySelector('video').videoWidth"), 48);
  });

  it('plays: a.wav', async () => {
    await page.goto(`${base}/a.wav`);
    // Chromium plays a sound in a video element.
    await page.evaluate("document.querySelector('video').play()");
    assert.equal(await page.evaluate("document.querySelector('video').duration"), 0.2);
  });

  it('is not opened, as it may hold a script: a.svg', async () => {
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.goto(`${base}/a.svg`).catch(() => {}),
    ]);
    assert.equal(download.suggestedFilename(), 'a.svg');
  });
});
