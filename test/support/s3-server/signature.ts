import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { encode, hmac, isSame, parseTimestamp } from '../bucket-server/signing.ts';

/**
 * AWS's signatures of version 4, from its documentation ("Authenticating Requests: Using the
 * Authorization Header" and "Using Query Parameters"), on purpose not from the client's code.
 */

export interface SignedRequest {
  readonly method: string;
  /** As it was sent, encoded. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
}

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
  readonly sessionToken?: string | undefined;
}

interface Claim {
  readonly credential: string;
  readonly signedHeaders: string;
  readonly signature: string;
  readonly timestamp: string;
  readonly token: string;
  readonly payloadHash: string;
  /** `null`: it holds only about now. */
  readonly expiresMs: number | null;
}

const maxSkewMs = 15 * 60_000;
const scheme =
  /^AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/;

/** Why the request is not let in, or `null`. */
export function refuse(
  request: SignedRequest,
  owner: Credentials,
  now: number,
): { code: string; message: string } | null {
  const claim = request.query.has('X-Amz-Signature') ? inQuery(request) : inHeader(request);
  if (!claim) return { code: 'AccessDenied', message: 'The request carries no signature.' };
  const [accessKeyId, ...scopeParts] = claim.credential.split('/');
  if (accessKeyId !== owner.accessKeyId) {
    return { code: 'InvalidAccessKeyId', message: 'The access key does not exist.' };
  }
  if (claim.token !== (owner.sessionToken ?? '')) {
    return { code: 'InvalidToken', message: 'The provided token is malformed or invalid.' };
  }
  const signedAt = parseTimestamp(claim.timestamp);
  if (!(claim.expiresMs === null ? Math.abs(now - signedAt) <= maxSkewMs : true)) {
    return { code: 'RequestTimeTooSkewed', message: 'The clocks differ too much.' };
  }
  if (claim.expiresMs !== null && !(now <= signedAt + claim.expiresMs)) {
    return { code: 'AccessDenied', message: 'Request has expired.' };
  }
  const scope = `${claim.timestamp.slice(0, 8)}/${owner.region}/s3/aws4_request`;
  const names = claim.signedHeaders.split(';');
  const mustBeSigned = Object.keys(request.headers).filter(
    (name) => name === 'host' || name.startsWith('x-amz-') || name === 'content-md5',
  );
  const expected = sign(request, claim, scope, owner);
  if (
    scopeParts.join('/') !== scope ||
    !mustBeSigned.every((name) => names.includes(name)) ||
    !isSame(claim.signature, expected)
  ) {
    return { code: 'SignatureDoesNotMatch', message: 'The signature does not match.' };
  }
  return null;
}

function inHeader({ headers }: SignedRequest): Claim | null {
  const authorization = scheme.exec(headers.authorization ?? '');
  if (!authorization) return null;
  const [, credential = '', signedHeaders = '', signature = ''] = authorization;
  return {
    credential,
    signedHeaders,
    signature,
    timestamp: String(headers['x-amz-date'] ?? ''),
    token: String(headers['x-amz-security-token'] ?? ''),
    payloadHash: String(headers['x-amz-content-sha256'] ?? ''),
    expiresMs: null,
  };
}

function inQuery({ query }: SignedRequest): Claim {
  const of = (name: string) => query.get(`X-Amz-${name}`) ?? '';
  return {
    credential: of('Credential'),
    signedHeaders: of('SignedHeaders'),
    signature: of('Signature'),
    timestamp: of('Date'),
    token: of('Security-Token'),
    payloadHash: 'UNSIGNED-PAYLOAD',
    expiresMs: Number(of('Expires')) * 1000,
  };
}

function sign(
  { method, path, query, headers }: SignedRequest,
  { signedHeaders, timestamp, payloadHash }: Claim,
  scope: string,
  { secretAccessKey }: Credentials,
): string {
  const canonicalQuery = [...query]
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&');
  const canonicalHeaders = signedHeaders
    .split(';')
    .map((name) => `${name}:${String(headers[name] ?? '').trim()}\n`)
    .join('');
  const canonical = [
    method,
    path.split('/').map(decodeURIComponent).map(encode).join('/'),
    canonicalQuery,
    canonicalHeaders,
    signedHeaders,
    payloadHash,
  ].join('\n');
  const hash = createHash('sha256').update(canonical).digest('hex');
  const key = scope
    .split('/')
    .reduce<string | Buffer>((key, part) => hmac(key, part), `AWS4${secretAccessKey}`);
  return hmac(key, ['AWS4-HMAC-SHA256', timestamp, scope, hash].join('\n')).toString('hex');
}
