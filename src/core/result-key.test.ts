import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  guessableIdOf,
  resultKey,
  secretOfResult,
  taskOfResult,
  thumbnailKey,
  withoutSecret,
} from './result-key.ts';

const id = 'a1b2c3d4-e5f6-4890-a1b2-c3d4e5f67890';
const hex = 'a1b2c3d4e5f64890a1b2c3d4e5f67890';
const secret = '0123456789abcdef0123456789abcdef';
const task = { id, sources: [{ input: 'image', url: 'https://a.test/x/my%20dog.jpeg?s=1' }] };
const main = { output: 'result', index: 0, isMain: true, extension: 'png' };

describe('the key of a result', () => {
  it('holds its task, the secret of its run, and what it was made from', () => {
    const owner = { task, secret, attempt: 1 };
    assert.equal(resultKey(owner, main), `${hex}/${secret}/my_dog.png`);
    assert.equal(resultKey({ ...owner, attempt: 3 }, main), `${hex}/${secret}/my_dog-3.png`);
    const second = { ...main, isMain: false, index: 1 };
    assert.equal(resultKey(owner, second), `${hex}/${secret}/my_dog-result-2.png`);
  });

  it('is what it was for runs without a secret', () => {
    assert.equal(resultKey({ task, secret: null, attempt: 1 }, main), `${hex}/my_dog.png`);
  });

  it('tells the task and the secret again', () => {
    const key = resultKey({ task, secret, attempt: 1 }, main);
    for (const each of [key, thumbnailKey(key)]) {
      assert.equal(taskOfResult(each), id);
      assert.equal(secretOfResult(each), secret);
    }
    assert.equal(taskOfResult(`${hex}/a.png`), id);
    for (const each of [`${hex}/a.png`, `${hex}/${secret}`, `x/${hex}/${secret}/a.png`]) {
      assert.equal(secretOfResult(each), null, each);
    }
    for (const each of [hex, `${hex}0`, `${hex}0/a.png`, `uploads/${id}`, 'notes.txt', '']) {
      assert.equal(taskOfResult(each), null, each);
    }
  });
});

describe('guessableIdOf', () => {
  const named = {
    [`${hex}/a.png`]: id,
    [`outputs/${hex}/a.png`]: id,
    [`${hex.toUpperCase()}/a.png.thumb.webp`]: id,
    [`uploads/${id}`]: id,
    [`outputs/Uploads/${id.toUpperCase()}`]: id,
    // The secret has the form of an id, and is none.
    [`outputs/${hex}/${secret}/a.png`]: '01234567-89ab-cdef-0123-456789abcdef',
    [`${hex}/holiday/a.png`]: null,
    'uploads/a.png': null,
    'photos/a.png': null,
    [hex]: null,
  };
  for (const [name, expected] of Object.entries(named)) {
    it(name, () => assert.equal(guessableIdOf(name), expected));
  }
});

describe('withoutSecret', () => {
  it('leaves the secret of a result out, and any other address as it is', () => {
    const address = `https://a.test/objects/${hex}`;
    assert.equal(withoutSecret(`${address}/${secret}/a.png`), `${address}/…/a.png`);
    for (const each of [`${address}/a.png`, `https://a.test/${secret}/a.png`]) {
      assert.equal(withoutSecret(each), each);
    }
  });
});
