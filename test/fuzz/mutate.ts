import fc from 'fast-check';

/** What is in no file of anybody who means well. */
const oddValues: readonly unknown[] = [
  ...[null, true, false, 0, -0, -1, 1, 0.5, 1e308, -1e308, 5e-324, 2 ** 53, 2 ** 31, 16_385],
  ...['', ' ', '0', '1', '-1', '1e999', 'NaN', 'null', 'random', '*', '-10', '-20', '%d', '../a'],
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'length', '\0', '\ud83d', '\u2028'],
  ...['a'.repeat(300), '_'.repeat(9_000), '😀'.repeat(50), 'İ'.repeat(20)],
  ...[[], {}, [[]], [null], ['1', 0], ['1', -1], [1, 0], ['__proto__', 0], { __value__: ['1', 0] }],
  ...[{ a: 1 }, { $ref: '#' }, { type: 'integer' }, { name: 'a', type: 'INT', link: 1 }],
];

/** A value of JSON, odd more often than not. */
export const oddValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...oddValues) },
  fc.jsonValue({ maxDepth: 2 }),
);

const oddCharacters = [
  ...[
    '\0',
    '\t',
    '\n',
    '\r',
    ' ',
    '"',
    "'",
    '\\',
    '/',
    '?',
    '#',
    '@',
    ':',
    '.',
    ',',
    ';',
    '=',
    '&',
  ],
  ...['%', '%00', '%2f', '+', '-', '_', '*', '[', ']', '{', '}', '<', '>', '`', '$', '0', '9', 'a'],
  ...['é', 'İ', 'ﬀ', '٣', '１', '\ud83d', '\ude00', '😀', '\u202e', '\ufeff', '\ufffd', '\u0130'],
  ...['://', '..', '\r\n', '\\u0000', '\\ud800', '__proto__', '0x7f', '1e9', '::', 'xn--'],
];

/** Any text, half of it of what means something somewhere. */
export const oddText: fc.Arbitrary<string> = fc.string({
  unit: fc.oneof(
    fc.constantFrom(...oddCharacters),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
  ),
});

/** A text of those with a few pieces taken out, doubled, moved and put in. */
export function mutatedText(seeds: readonly string[]): fc.Arbitrary<string> {
  const change = fc.record({ at: fc.nat(), length: fc.nat({ max: 12 }), by: pieces(oddText, '') });
  return fc
    .tuple(fc.constantFrom(...seeds), fc.array(change, { maxLength: 4 }))
    .map(([seed, changes]) =>
      changes.reduce((text, { at, length, by: [kind, odd, from] }) => {
        const start = at % (text.length + 1);
        const other = from % (text.length + 1);
        const piece = { odd, nothing: '', other: text.slice(other, other + length) }[kind];
        const cut = kind === 'nothing' || from % 2 === 0 ? length : 0;
        return text.slice(0, start) + piece + text.slice(start + cut);
      }, seed),
    );
}

/** As a text: bytes of those, changed here and there. */
export function mutatedBytes(seeds: readonly Buffer[]): fc.Arbitrary<Buffer> {
  const change = fc.record({
    at: fc.nat(),
    length: fc.nat({ max: 32 }),
    by: pieces(fc.uint8Array({ maxLength: 9 }), new Uint8Array()),
  });
  return fc
    .tuple(fc.nat({ max: seeds.length - 1 }), fc.array(change, { maxLength: 6 }))
    .map(([index, changes]) =>
      changes.reduce<Buffer>((bytes, { at, length, by: [kind, odd, from] }) => {
        // The headers are in front: half of all changes are there.
        const start = (from % 2 === 0 ? at : at % 256) % (bytes.length + 1);
        const other = from % (bytes.length + 1);
        const piece = {
          odd,
          nothing: new Uint8Array(),
          other: bytes.subarray(other, other + length),
        }[kind];
        const cut = kind === 'nothing' ? length * (from % 64) : piece.length;
        return Buffer.concat([bytes.subarray(0, start), piece, bytes.subarray(start + cut)]);
      }, seeds[index] ?? Buffer.alloc(0)),
    );
}

function pieces<T>(odd: fc.Arbitrary<T>, none: T) {
  return fc.oneof(
    fc.tuple(fc.constant('odd' as const), odd, fc.nat()),
    fc.tuple(fc.constantFrom('nothing' as const, 'other' as const), fc.constant(none), fc.nat()),
  );
}

const acts = ['remove', 'replace', 'double', 'copy', 'rename', 'nest', 'swap'] as const;

interface Change {
  readonly act: (typeof acts)[number];
  readonly at: number;
  readonly other: number;
  readonly value: unknown;
}

const change: fc.Arbitrary<Change> = fc.record({
  act: fc.constantFrom(...acts),
  at: fc.nat(),
  other: fc.nat(),
  value: oddValue,
});

/** A value of those with parts removed, replaced, doubled, copied to other places, renamed and nested. */
export function mutatedJson(seeds: readonly unknown[]): fc.Arbitrary<unknown> {
  return fc
    .tuple(fc.nat({ max: seeds.length - 1 }), fc.array(change, { maxLength: 5 }))
    .map(([index, changes]) => {
      const root = { value: structuredClone(seeds[index]) };
      for (const each of changes) apply(root, each);
      return root.value ?? null;
    });
}

type Parent = object;

function apply(root: object, { act, at, other, value }: Change): void {
  const places = placesIn(root);
  const [parent, key] = places[at % places.length] ?? [root, 'value'];
  const [from, fromKey] = places[other % places.length] ?? [root, 'value'];
  const present = Reflect.get(parent, key);
  if (act === 'remove') remove(parent, key);
  else if (act === 'replace') put(parent, key, structuredClone(value));
  else if (act === 'double' && Array.isArray(parent)) {
    parent.splice(Number(key), 0, structuredClone(present));
  } else if (act === 'double') put(parent, `${key}${other % 3}`, structuredClone(present));
  else if (act === 'copy') put(parent, key, structuredClone(Reflect.get(from, fromKey)));
  else if (act === 'nest') put(parent, key, other % 2 === 0 ? [present] : { [fromKey]: present });
  else if (act === 'rename' && !Array.isArray(parent)) {
    remove(parent, key);
    put(parent, typeof value === 'string' ? value : fromKey, present);
  } else if (act === 'swap') {
    const there = structuredClone(Reflect.get(from, fromKey));
    put(from, fromKey, structuredClone(present));
    put(parent, key, there);
  }
}

function put(parent: Parent, key: string, value: unknown): void {
  // A setter of the language, which JSON.parse does not use either.
  if (key === '__proto__') {
    Object.defineProperty(parent, key, { value, enumerable: true, configurable: true });
  } else Reflect.set(parent, key, value);
}

function remove(parent: Parent, key: string): void {
  if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else Reflect.deleteProperty(parent, key);
}

type Place = readonly [parent: Parent, key: string];

function placesIn(root: object): Place[] {
  const places: Place[] = [];
  const open: unknown[] = [root];
  for (const parent of open) {
    if (typeof parent !== 'object' || parent === null) continue;
    for (const [key, value] of Object.entries(parent)) {
      places.push([parent, key]);
      open.push(value);
    }
  }
  return places;
}
