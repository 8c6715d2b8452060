import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { printable } from '../../../src/cli/printable.ts';
import { canonicalJson } from '../../../src/core/canonical-json.ts';
import { cutText } from '../../../src/core/cut-text.ts';
import { GatewayError } from '../../../src/core/errors.ts';
import { fileStem } from '../../../src/core/file-stem.ts';
import {
  resultKey,
  secretOfResult,
  taskOfResult,
  withoutSecret,
} from '../../../src/core/result-key.ts';
import { isStorable, storableJson, storableText } from '../../../src/core/storable-text.ts';
import { parseUuid, uuidOfHex } from '../../../src/core/uuid.ts';
import { withoutSecrets } from '../../../src/core/without-secrets.ts';
import { toCsv } from '../../../src/http/csv.ts';
import { jobIdOf, taskIdOf } from '../../../src/http/dialects/upscale/job-id.ts';
import { idIn, makeKey } from '../../../src/keys/key-text.ts';
import { checkObjectKey, encodeObjectKey, keyOfUrl } from '../../../src/storage/object-key.ts';
import { mutatedText, oddText, oddValue } from '../mutate.ts';
import { type FuzzTarget, target } from '../target.ts';

const secret = 'Zk7Qx9Wv2Rt5';

/** An address with the secret wherever one may stand. */
const secretAddress = fc
  .record({
    scheme: fc.constantFrom('http', 'https', 'postgres', 'HTTPS', 'wss'),
    user: fc.constantFrom('', `u:${secret}@`, `${secret}@`, `:${secret}@`, `a@b:${secret}@`),
    path: fc.constantFrom('', '/', '/a/b.png', '/a:b@c', '//', `/https://u:${secret}@x/`, '/%3f'),
    query: fc.constantFrom('', `?sig=${secret}`, `?a=1&b=${secret}`, `?${secret}`, `#${secret}`),
    more: fc.constantFrom('', '&c=d', '/e', '?f=://g', ',', ')', '\\', '%00', '#h'),
  })
  .map(({ scheme, user, path, query, more }) => `${scheme}://${user}host${path}${query}${more}`);

const secretText = fc
  .record({
    pieces: fc.array(fc.oneof(secretAddress, fc.constant(`/view?sig=${secret}`), oddText), {
      maxLength: 5,
    }),
    // Whoever writes an address into a sentence puts something between.
    by: fc.constantFrom(' ', '\n', '"', '<', ' at ', '", "'),
    // Long texts are cut somewhere.
    before: fc.oneof(
      { weight: 4, arbitrary: fc.constant(0) },
      fc.integer({ min: 3_950, max: 4_000 }),
    ),
  })
  .map(({ pieces, by, before }) => [' '.repeat(before), ...pieces].join(by));

const uuidText = fc.oneof(
  oddText,
  fc.uuid(),
  fc.uuid().map((id) => id.replaceAll('-', '')),
);

const cellText = fc.oneof(oddText, fc.integer(), fc.constant(null));

export const textTargets: readonly FuzzTarget[] = [
  target('cut-text', 3, {
    cases: fc.tuple(oddText, fc.nat({ max: 20 })),
    check([text, most]) {
      const cut = cutText(text, most);
      assert.ok(text.startsWith(cut) && [...cut].length <= most);
      assert.ok(cut.isWellFormed() || !text.isWellFormed());
      assert.equal(cutText(cut, most), cut);
    },
  }),
  target('without-secrets', 6, {
    cases: secretText,
    check(text) {
      const shown = withoutSecrets(text);
      assert.ok(!shown.includes(secret.slice(0, 6)), shown);
      assert.equal(withoutSecrets(shown), shown);
    },
  }),
  target('uuid', 3, {
    cases: uuidText,
    check(text) {
      const id = parseUuid(text) ?? uuidOfHex(text);
      if (id !== null) assert.equal(id.replaceAll('-', ''), text.replaceAll('-', '').toLowerCase());
      const job = taskIdOf(text);
      if (job !== null) assert.equal(jobIdOf(job), text);
    },
  }),
  target('job-id', 2, {
    cases: fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n }).map(String), oddText),
    check(text) {
      const id = taskIdOf(text);
      if (id === null) return;
      assert.equal(jobIdOf(id), text);
      assert.equal(parseUuid(id), id);
    },
  }),
  target('result-key', 4, {
    cases: fc.record({
      id: fc.uuid(),
      secret: fc.option(fc.uuid().map((id) => id.replaceAll('-', ''))),
      attempt: fc.integer({ min: 1, max: 100 }),
      source: fc.oneof(
        fc.webUrl(),
        oddText.map((path) => `https://host/${path}`),
      ),
      name: fc.option(oddText, { nil: undefined }),
      output: fc.stringMatching(/^[a-z][a-z0-9_-]{0,30}$/),
      index: fc.nat({ max: 2_000 }),
      isMain: fc.boolean(),
    }),
    check({ id, secret: bits, attempt, source, name, output, index, isMain }) {
      const sources = [{ input: 'image', url: source, ...(name === undefined ? {} : { name }) }];
      const key = resultKey(
        { task: { id, sources }, secret: bits, attempt },
        { output, index, isMain, extension: 'png' },
      );
      checkObjectKey(key);
      assert.equal(taskOfResult(key), id);
      assert.equal(secretOfResult(key), bits);
      if (bits) assert.ok(!withoutSecret(`https://host/files/${key}`).includes(bits));
      assert.equal(keyOfUrl(`https://host/b/${encodeObjectKey(key)}`, 'https://host/b/'), key);
    },
  }),
  target('object-key', 3, {
    cases: fc.oneof(oddText, mutatedText(['uploads/a.png', 'a/b/c.png'])),
    check(text) {
      const key = keyOfUrl(`https://host/b/${text}`, 'https://host/b/');
      if (key !== null) {
        checkObjectKey(key);
        assert.equal(keyOfUrl(`https://host/b/${encodeObjectKey(key)}`, 'https://host/b/'), key);
      }
      try {
        checkObjectKey(text);
        assert.ok(encodeObjectKey(text));
      } catch (error) {
        assert.ok(error instanceof GatewayError && error.code === 'invalid_request');
      }
    },
  }),
  target('file-stem', 3, {
    cases: oddText,
    check(name) {
      const stem = fileStem(name);
      assert.match(stem, /^(?!\.)[\p{L}\p{N}._-]{1,160}$/u);
      assert.ok([...stem].length <= 80);
    },
  }),
  target('storable-text', 4, {
    cases: fc.tuple(oddText, oddValue, fc.array(oddText)),
    check([text, value, keys]) {
      const stored = storableText(text);
      assert.ok(stored.isWellFormed() && !stored.includes('\0'));
      assert.equal(storableText(stored), stored);
      const whole = { value, ...Object.fromEntries(keys.map((key) => [key, text])) };
      const json = storableJson(whole);
      assert.ok(isStorable(JSON.parse(json)));
      if (isStorable(whole)) assert.equal(json, JSON.stringify(whole));
    },
  }),
  target('canonical-json', 3, {
    cases: fc.dictionary(oddText, oddValue),
    check(value) {
      const turned = Object.fromEntries(Object.entries(value).reverse());
      assert.equal(canonicalJson(turned), canonicalJson(value));
    },
  }),
  target('csv', 3, {
    cases: fc.array(fc.tuple(cellText, cellText, cellText), { minLength: 1, maxLength: 4 }),
    check(rows) {
      const read = readCsv(toCsv(['a', 'b', 'c'], rows));
      const safe = (cell: string | number | null) =>
        typeof cell === 'string' && /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : String(cell ?? '');
      assert.deepEqual(
        read.slice(1),
        rows.map((row) => row.map(safe)),
      );
    },
  }),
  target('key-text', 2, {
    cases: fc.oneof(
      fc.constantFrom('0', 'f').chain((digit) => mutatedText([keyOf(digit)])),
      oddText,
    ),
    check(text) {
      const id = idIn(text);
      if (id !== null) assert.equal(text, keyOf(id.charAt(0)));
      const made = makeKey();
      assert.equal(idIn(made.key), made.id);
    },
  }),
  target('printable', 2, {
    cases: oddText,
    check(text) {
      const shown = printable(text);
      assert.doesNotMatch(shown, /[\p{Cc}\u202a-\u202e]/u);
      assert.equal(printable(shown), shown);
    },
  }),
];

/** A key that is always the same, unlike those that are made. */
function keyOf(digit: string): string {
  const body = `tmlsr_${digit.repeat(16)}_${digit.repeat(64)}`;
  return body + crc32(body).toString(16).padStart(8, '0');
}

/** RFC 4180, as a spreadsheet reads it. */
function readCsv(text: string): string[][] {
  const rows: string[][] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
  for (let row: string[] = []; cell.lastIndex < text.length; ) {
    const [, quoted, plain = '', by] = cell.exec(text) ?? assert.fail('A cell cannot be read');
    row.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (by === ',') continue;
    rows.push(row);
    row = [];
  }
  return rows;
}
