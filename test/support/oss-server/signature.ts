import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { encode, hmac, isSame, parseTimestamp } from '../bucket-server/signing.ts';

/**
 * Signatures of version 4, from Aliyun's documentation ("Include a V4 signature in the Authorization
 * header"), on purpose not from the client's code: two readings of one text have to agree.
 */

export interface SignedRequest {
  readonly method: string;
  /** `/bucket/object`, not encoded. */
  readonly resource: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
}

export interface Credentials {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  /** `cn-hangzhou`. */
  readonly region: string;
  readonly stsToken?: string | undefined;
}

export interface Refusal {
  readonly code: string;
  readonly message: string;
}

const maxSkewMs = 15 * 60_000;
const scheme =
  /^OSS4-HMAC-SHA256 Credential=([^,]+)(?:, ?AdditionalHeaders=([^,]+))?, ?Signature=(\w+)$/;

/** Why the request is not let in, or `null`. */
export function refuse(request: SignedRequest, owner: Credentials, now: number): Refusal | null {
  const claim = request.query.has('x-oss-signature') ? inQuery(request) : inHeader(request);
  if (!claim) {
    return { code: 'AccessDenied', message: 'The request carries no signature of version 4.' };
  }
  const { credential, additional, signature, timestamp, token, signed } = claim;
  const [accessKeyId, ...scopeParts] = credential.split('/');
  const scope = scopeParts.join('/');

  if (accessKeyId !== owner.accessKeyId) {
    return { code: 'InvalidAccessKeyId', message: 'The OSS Access Key Id does not exist.' };
  }
  if (token !== (owner.stsToken ?? '')) {
    return { code: 'InvalidSecurityToken', message: 'The security token is invalid.' };
  }
  const signedAt = parseTimestamp(timestamp);
  if (Number.isNaN(signedAt)) {
    return { code: 'InvalidArgument', message: 'x-oss-date is not a timestamp of ISO 8601.' };
  }
  if (claim.expiresMs === null && Math.abs(now - signedAt) > maxSkewMs) {
    return {
      code: 'RequestTimeTooSkewed',
      message: 'The difference between the request time and the current time is too large.',
    };
  }
  if (claim.expiresMs !== null && now > signedAt + claim.expiresMs) {
    return { code: 'AccessDenied', message: 'Request has expired.' };
  }
  const expectedScope = `${timestamp.slice(0, 8)}/${owner.region}/oss/aliyun_v4_request`;
  const expected = sign(signed, additional, timestamp, expectedScope, owner);
  if (scope !== expectedScope || !isSame(signature, expected)) {
    return {
      code: 'SignatureDoesNotMatch',
      message: 'The request signature we calculated does not match the signature you provided.',
    };
  }
  return null;
}

/** What a request says of its signature, wherever it says so. */
interface Claim {
  readonly credential: string;
  readonly additional: string;
  readonly signature: string;
  readonly timestamp: string;
  readonly token: string;
  /** `null`: it holds only about now. */
  readonly expiresMs: number | null;
  readonly signed: SignedRequest;
}

function inHeader(request: SignedRequest): Claim | null {
  const { headers } = request;
  const authorization = scheme.exec(headers.authorization ?? '');
  if (!authorization) return null;
  const [, credential = '', additional = '', signature = ''] = authorization;
  return {
    credential,
    additional,
    signature,
    timestamp: text(headers['x-oss-date']),
    token: text(headers['x-oss-security-token']),
    expiresMs: null,
    signed: request,
  };
}

/** A signed URL; its payload is never signed. */
function inQuery({ query, headers, ...request }: SignedRequest): Claim {
  const of = (name: string) => query.get(`x-oss-${name}`) ?? '';
  const unsigned = new URLSearchParams([...query].filter(([name]) => name !== 'x-oss-signature'));
  return {
    credential: of('credential'),
    additional: of('additional-headers'),
    signature: of('signature'),
    timestamp: of('date'),
    token: of('security-token'),
    expiresMs: Number(of('expires')) * 1000,
    signed: {
      ...request,
      query: unsigned,
      headers: { ...headers, 'x-oss-content-sha256': undefined },
    },
  };
}

function sign(
  request: SignedRequest,
  additional: string,
  timestamp: string,
  scope: string,
  { accessKeySecret }: Credentials,
): string {
  const hash = createHash('sha256').update(canonical(request, additional)).digest('hex');
  const stringToSign = ['OSS4-HMAC-SHA256', timestamp, scope, hash].join('\n');
  const key = scope
    .split('/')
    .reduce<string | Buffer>((key, part) => hmac(key, part), `aliyun_v4${accessKeySecret}`);
  return hmac(key, stringToSign).toString('hex');
}

function canonical(
  { method, resource, query, headers }: SignedRequest,
  additional: string,
): string {
  const alsoSigned = additional.split(';');
  const canonicalHeaders = Object.keys(headers)
    .filter((name) => headers[name] !== undefined)
    .filter(
      (name) =>
        name === 'content-type' ||
        name === 'content-md5' ||
        name.startsWith('x-oss-') ||
        alsoSigned.includes(name),
    )
    .sort()
    .map((name) => `${name}:${text(headers[name]).trim()}\n`)
    .join('');
  const canonicalQuery = [...query]
    .map(([name, value]) => (value === '' ? encode(name) : `${encode(name)}=${encode(value)}`))
    .sort()
    .join('&');
  return [
    method,
    resource.split('/').map(encode).join('/'),
    canonicalQuery,
    canonicalHeaders,
    additional,
    text(headers['x-oss-content-sha256']) || 'UNSIGNED-PAYLOAD',
  ].join('\n');
}

/** Node reads header bytes as Latin-1, and OSS signs them as UTF-8. */
function text(header: string | string[] | undefined): string {
  return Buffer.from(String(header ?? ''), 'latin1').toString('utf8');
}
