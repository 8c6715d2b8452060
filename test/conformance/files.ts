import assert from 'node:assert/strict';
import { fetch } from 'undici';
import { ask } from './client.ts';
import { picture, upload } from './fixtures.ts';
import { isNewer, type Subject, situation } from './subject.ts';
import { recording } from './transcript.ts';

interface RecordedUpload {
  readonly note: string;
  readonly name?: string;
  readonly fields: Record<string, string>;
  readonly size?: number;
  readonly status: number;
  readonly response: string | { name: string; subfolder: string; type: string };
}

/** What ComfyUI 0.33.0 does another way. */
const newerUploads: Record<string, number> = {
  '../ twice with subfolder': 400,
  '../ that stays inside input': 400,
};
const newerViews: Record<string, Record<string, string>> = {
  html: { 'Content-Disposition': 'attachment; filename="evil.html"' },
};

interface RecordedView {
  readonly note: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly headers: Record<string, string>;
}

export function testFiles(subject: () => Subject): void {
  situation(
    'get a free name, or keep theirs where the bytes are the same',
    {},
    subject,
    async () => {
      const { url } = subject();
      const contents = await Promise.all([0, 1, 2, 3].map((seed) => picture(32, 32, seed)));
      const subfolder = crypto.randomUUID();
      const recorded: RecordedUpload[] = recording('uploads-percent-encoded');
      const byNote = new Map([
        ['first', 0],
        ['same name same content', 0],
        ['same name other content', 1],
        ['same other content again', 1],
        ['original content again', 0],
        ['third content', 2],
        ['overwrite=true', 2],
        ['overwrite=1', 3],
        ['overwrite=True (capital)', 1],
        ['overwrite=false', 2],
      ]);
      for (const { note, fields, status, response } of recorded) {
        const content = contents[byNote.get(note) ?? -1];
        if (content === undefined) continue;
        const answer = await upload(url, {
          name: 'dup.png',
          content,
          fields: { ...fields, subfolder },
        });
        assert.equal(answer.status, status, note);
        assert.deepEqual(JSON.parse(answer.text), { ...(response as object), subfolder }, note);
      }
    },
  );

  situation('go to their folder, or nowhere', {}, subject, async () => {
    const { url } = subject();
    const content = await picture(16, 16);
    const recorded: RecordedUpload[] = recording('uploads-percent-encoded');
    const notes = [
      'subfolder=s/t',
      'subfolder ../x',
      'subfolder /etc',
      'subfolder s/../../x',
      'filename ..',
      'empty filename',
      'type=temp',
      'type=output',
      'type=bogus',
      'html',
      'zero bytes',
      '300 char name',
    ];
    for (const { note, fields, status, response, size } of recorded) {
      if (!notes.includes(note)) continue;
      const names: Record<string, string> = {
        'filename ..': '..',
        'empty filename': '',
        '300 char name': `${'L'.repeat(300)}.png`,
      };
      const fallback = typeof response === 'object' ? response.name : 'a.png';
      const name = names[note] ?? fallback;
      const sent = { ...fields, ...(status === 200 ? { overwrite: 'true' } : {}) };
      const answer = await upload(url, {
        name,
        content: size === 0 ? Buffer.alloc(0) : content,
        fields: sent,
      });
      assert.equal(answer.status, status, note);
      if (typeof response === 'object') assert.deepEqual(JSON.parse(answer.text), response, note);
      else assert.equal(answer.text, response, note);
    }
    const nothing = new FormDataOf({ type: 'input' });
    assert.equal((await fetch(`${url}/upload/image`, { method: 'POST', ...nothing })).status, 400);
  });

  situation(
    'keep the name that was sent, and may climb inside the folder',
    {},
    subject,
    async () => {
      const { url } = subject();
      const content = await picture(16, 16);
      const recorded: RecordedUpload[] = recording('uploads-raw-names');
      for (const { note, name = '', fields, status, response } of recorded) {
        // Another content would get another name, and these depend on what was there before.
        if (['quote', 'same in job1 other content', 'empty', 'CRLF'].includes(note)) continue;
        const sent = { ...fields, overwrite: 'true' };
        const raw = note.startsWith('200+') ? 'é'.repeat(130) : name;
        const answer = await upload(url, { name: raw, content, fields: sent });
        if (isNewer(subject, answer.status, status, newerUploads[note])) continue;
        assert.equal(answer.status, status, note);
        if (status === 200)
          assert.deepEqual(JSON.parse(answer.text), JSON.parse(response as string), note);
        else assert.equal(answer.text, response, note);
      }
    },
  );

  situation('are served whole, in part, or not at all, as recorded', {}, subject, async () => {
    const { url } = subject();
    const content = await picture(64, 64);
    const fields = { overwrite: 'true' };
    const output = { ...fields, type: 'output', subfolder: 'gw' };
    await upload(url, { name: 't_00001_.png', content, fields: output });
    await upload(url, { name: 'evil.html', content: Buffer.from('<p>hi'), fields });
    await upload(url, { name: 'v12a.mp4', content: Buffer.from('not really'), fields });
    await upload(url, { name: 'dup (1).png', content, fields });
    await upload(url, { name: 'quo%22te.png', content, fields });
    const { headers } = await ask(`${url}/view?filename=t_00001_.png&subfolder=gw`);
    const { etag = '', 'last-modified': modified = '' } = headers;
    const conditions: Record<string, Record<string, string>> = {
      'Range 0-99': { Range: 'bytes=0-99' },
      'Range suffix': { Range: 'bytes=-10' },
      'Range past the end': { Range: 'bytes=999999999-' },
      'multi range': { Range: 'bytes=0-1,4-5' },
      'If-Range etag': { Range: 'bytes=0-9', 'If-Range': etag },
      'If-None-Match': { 'If-None-Match': etag },
      'If-Modified-Since': { 'If-Modified-Since': modified },
    };
    // Transcoding takes pictures apart by channel, which no client of ours asks for.
    const left = ['channel rgb', 'channel a', 'DELETE /view', 'no type for an input', 'unicode'];
    for (const { note, method, path, status, headers: recorded } of recording(
      'views',
    ) as RecordedView[]) {
      if (left.includes(note)) continue;
      const answer = await ask(`${url}${path}`, {
        method: method as 'GET',
        headers: conditions[note] ?? {},
      });
      assert.equal(answer.status, status, note);
      const changing = [
        'Etag',
        'Last-Modified',
        'Content-Length',
        'Content-Range',
        'Transfer-Encoding',
        'Connection',
      ];
      for (const [name, value] of Object.entries(recorded)) {
        const now = answer.headers[name.toLowerCase()];
        if (changing.includes(name)) continue;
        if (isNewer(subject, now, value, newerViews[note]?.[name])) continue;
        assert.equal(now, value, `${note}: ${name}`);
      }
      const range = answer.headers['content-range'];
      if (note === 'Range 0-99') assert.equal(range, `bytes 0-99/${content.length}`);
      if (note === 'Range suffix')
        assert.equal(range, `bytes ${content.length - 10}-${content.length - 1}/${content.length}`);
      if (status === 416) assert.equal(range, `bytes */${content.length}`, note);
      if (status === 206) assert.equal(answer.headers['accept-ranges'], 'bytes', note);
    }
    const whole = await fetch(`${url}/view?filename=t_00001_.png&subfolder=gw`);
    assert.deepEqual(Buffer.from(await whole.arrayBuffer()), content);
    const tail = await fetch(`${url}/view?filename=t_00001_.png&subfolder=gw`, {
      headers: { Range: 'bytes=-10' },
    });
    assert.deepEqual(Buffer.from(await tail.arrayBuffer()), content.subarray(-10));
  });

  situation('past the limit are refused with 413', {}, subject, async (t) => {
    const { url } = subject();
    const { json } = await ask(`${url}/features`);
    const limit = json.max_upload_size;
    if (limit > 200 * 1024 * 1024) return t.skip(`${limit} bytes are too many to send`);
    const fields = { overwrite: 'true' };
    const fits = await upload(url, { name: 'edge.bin', content: Buffer.alloc(limit - 1000) });
    assert.equal(fits.status, 200);
    const refused = await upload(url, {
      name: 'big.bin',
      content: Buffer.alloc(limit + 200_000),
      fields,
    });
    assert.equal(refused.status, 413);
    assert.match(refused.text, /^Maximum request body size \d+ exceeded/);
  });
}

/** A form of fields alone. */
class FormDataOf {
  readonly headers = { 'Content-Type': 'multipart/form-data; boundary=b' };
  readonly body: string;

  constructor(fields: Record<string, string>) {
    const parts = Object.entries(fields).map(
      ([key, value]) => `--b\r\nContent-Disposition: form-data; name="${key}"\r\n\r\n${value}\r\n`,
    );
    this.body = `${parts.join('')}--b--\r\n`;
  }
}
