import assert from 'node:assert/strict';
import { access, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

describe('the pages of the checkout', () => {
  const pages = new Map<string, string>();

  before(async () => {
    const folders = ['.', 'docs', 'docs/dialects', 'docs/images', 'examples'];
    for (const folder of folders) {
      for (const name of await readdir(join(root, folder))) {
        const page = join(folder, name);
        if (name.endsWith('.md')) pages.set(page, await readFile(join(root, page), 'utf8'));
      }
    }
  });

  it('link to files and headings that there are', async () => {
    const wrong: string[] = [];
    for (const [page, text] of pages) {
      for (const [, link = ''] of withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(link)) continue;
        const [path = '', heading] = link.split('#');
        const target = path ? join(dirname(page), path) : page;
        const there = await exists(target);
        const isHeaded = !heading || headings(pages.get(target) ?? '').has(heading);
        if (!there || !isHeaded) wrong.push(`${page}: ${link}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('name files of the checkout where a newcomer sends one', async () => {
    const wrong: string[] = [];
    for (const page of ['README.md', 'docs/api.md']) {
      const blocks = [...(pages.get(page) ?? '').matchAll(/```sh\n([\s\S]*?)```/g)];
      const sent = blocks.flatMap(([, block = '']) => [
        ...block.matchAll(/(?:=@|-T |--input |tmlsr workflows check )([\w./-]+)/g),
      ]);
      assert.ok(sent.length > 0, page);
      for (const [, path = ''] of sent) if (!(await exists(path))) wrong.push(`${page}: ${path}`);
    }
    assert.deepEqual(wrong, []);
  });
});

async function exists(path: string): Promise<boolean> {
  return await access(join(root, path)).then(
    () => true,
    () => false,
  );
}

function withoutCode(text: string): string {
  return text.replace(/```[\s\S]*?```/g, '').replace(/`[^`\n]*`/g, '');
}

/** As GitHub makes the anchors of a page. */
function headings(text: string): Set<string> {
  const titles = [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) => title);
  return new Set(
    titles.map((title) =>
      title
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}
