import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BucketSources } from './bucket-sources.ts';

const sources = new BucketSources(
  { open: () => assert.fail('nothing is opened here') },
  {
    scheme: 'oss',
    bucket: 'my-media',
    urls: ['https://my-media.oss-cn-hangzhou.aliyuncs.com', 'https://cdn.example.com/media'],
  },
);

const names: [url: string, name: string | null][] = [
  ['oss://my-media/a/b.png', 'a/b.png'],
  ['oss://my-media/a%20b/%E5%9B%BE.png', 'a b/图.png'],
  ['OSS://my-media/a.png', 'a.png'],
  ['https://my-media.oss-cn-hangzhou.aliyuncs.com/a/b.png', 'a/b.png'],
  ['http://MY-MEDIA.oss-cn-hangzhou.aliyuncs.com:80/a/b.png#x', 'a/b.png'],
  ['https://cdn.example.com/media/a.png', 'a.png'],
  ['oss://other/a.png', null],
  ['oss://my-media', null],
  ['oss://my-media/', null],
  ['oss://my-media/a//b.png', null],
  ['oss://my-media/..%2fa.png', null],
  ['oss://my-media/a%00.png', null],
  ['oss://my-media/%ff', null],
  ['oss://my-media.evil.example/a.png', null],
  ['s3://my-media/a.png', null],
  ['https://cdn.example.com/mediaa.png', null],
  ['https://cdn.example.com/a.png', null],
  ['https://cdn.example.com:8443/media/a.png', null],
  ['https://my-media.oss-cn-beijing.aliyuncs.com/a.png', null],
  ['https://my-media.oss-cn-hangzhou.aliyuncs.com/a.png?x-oss-process=image/resize,w_9', null],
  ['ftp://cdn.example.com/media/a.png', null],
  ['a.png', null],
];
for (const [url, name] of names) {
  test(`${url} means ${name === null ? 'no object of the bucket' : name}`, () => {
    assert.equal(sources.keyOf(url), name);
  });
}
