import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refuse } from './signature.ts';

/** The request, and what it signs to, that Aliyun's own SDKs share in their tests. */
const query = new URLSearchParams([
  ['param1', 'value1'],
  ['+param1', 'value3'],
  ['|param1', 'value4'],
  ['+param2', ''],
  ['|param2', ''],
  ['param2', ''],
]);
const headers = {
  'x-oss-head1': 'value',
  abc: 'value',
  zabc: 'value',
  xyz: 'value',
  'content-type': 'text/plain',
  'x-oss-content-sha256': 'UNSIGNED-PAYLOAD',
};
const request = { method: 'PUT', resource: '/bucket/1234+-/123/1.txt', query };
const owner = { accessKeyId: 'ak', accessKeySecret: 'sk', region: 'cn-hangzhou' };
const scheme = 'OSS4-HMAC-SHA256 Credential=ak';

test("lets in what Aliyun's SDKs sign", () => {
  const authorization = `${scheme}/20231216/cn-hangzhou/oss/aliyun_v4_request,Signature=e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe`;
  const signed = { ...headers, 'x-oss-date': '20231216T162057Z', authorization };
  assert.equal(refuse({ ...request, headers: signed }, owner, 1_702_743_657_000), null);
});

test("lets in what Aliyun's SDKs sign with a token", () => {
  const authorization = `${scheme}/20231217/cn-hangzhou/oss/aliyun_v4_request,Signature=b94a3f999cf85bcdc00d332fbd3734ba03e48382c36fa4d5af5df817395bd9ea`;
  const signed = {
    ...headers,
    'x-oss-date': '20231217T034736Z',
    'x-oss-security-token': 'token',
    authorization,
  };
  const holder = { ...owner, stsToken: 'token' };
  assert.equal(refuse({ ...request, headers: signed }, holder, 1_702_784_856_000), null);
});

test('refuses another object, another header, another time and another key', () => {
  const authorization = `${scheme}/20231216/cn-hangzhou/oss/aliyun_v4_request,Signature=e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe`;
  const signed = { ...headers, 'x-oss-date': '20231216T162057Z', authorization };
  const now = 1_702_743_657_000;
  const codeOf = (change: object, at = now, who = owner) =>
    refuse({ ...request, headers: signed, ...change }, who, at)?.code;
  assert.equal(codeOf({ resource: '/bucket/other' }), 'SignatureDoesNotMatch');
  assert.equal(codeOf({ headers: { ...signed, 'x-oss-head1': 'other' } }), 'SignatureDoesNotMatch');
  assert.equal(codeOf({}, now + 16 * 60_000), 'RequestTimeTooSkewed');
  assert.equal(codeOf({}, now, { ...owner, accessKeySecret: 'x' }), 'SignatureDoesNotMatch');
  assert.equal(codeOf({}, now, { ...owner, accessKeyId: 'x' }), 'InvalidAccessKeyId');
  assert.equal(codeOf({ headers: {} }), 'AccessDenied');
});
