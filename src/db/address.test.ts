import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type DatabaseAddress, describeAddress, parseDatabaseAddress } from './address.ts';

const noTls = { mode: 'disable', isDirect: false, root: null, certificate: null, key: null };

describe('parseDatabaseAddress', () => {
  it('reads a plain address, for sessions that may write', () => {
    assert.deepEqual(parseDatabaseAddress('postgres://u:p@db.example.com/tmlsr'), {
      hosts: [{ host: 'db.example.com', port: 5432 }],
      database: 'tmlsr',
      user: 'u',
      password: 'p',
      tls: noTls,
      sessionKind: 'read-write',
      connectSeconds: null,
      keepAliveSeconds: null,
      schema: null,
      searchPath: null,
      startup: { application_name: 'tmlsr' },
    });
  });

  const full = { ...noTls, mode: 'verify-full' };
  for (const [url, expected] of [
    ['postgresql://u:p%40%2F:x@h:1/d%20b', { user: 'u', password: 'p@/:x', database: 'd b' }],
    ['postgres://u@v:p@h/d', { user: 'u@v', password: 'p', hosts: [at('h')] }],
    ['postgres:///d', { hosts: [at('localhost')], user: null, password: null }],
    ['postgres://h', { hosts: [at('h')], database: null }],
    ['postgres://a:1,b,[::1]:3/d', { hosts: [at('a', 1), at('b'), at('::1', 3)] }],
    ['postgres://[]:1/d', { hosts: [at('localhost', 1)] }],
    ['postgres:///d?host=/cloudsql/p:r:i', { hosts: [at('/cloudsql/p:r:i')] }],
    ['postgres://%2Fvar%2Frun/d', { hosts: [at('/var/run')] }],
    ['postgres://h/d?host=a,b&port=6432', { hosts: [at('a', 6432), at('b', 6432)] }],
    ['postgres://h/d?user=u&password=p&dbname=e', { user: 'u', password: 'p', database: 'e' }],
    ['postgres://h/d?sslmode=prefer', { tls: { ...noTls, mode: 'prefer' } }],
    ['postgres://h/d?ssl=true', { tls: { ...noTls, mode: 'require' } }],
    ['postgres://h/d?ssl=verify-full', { tls: full }],
    ['postgres://h/d?sslmode=no-verify', { tls: { ...noTls, mode: 'require' } }],
    [
      'postgres://h/d?sslmode=require&sslrootcert=/ca.pem',
      { tls: { ...noTls, mode: 'verify-ca', root: '/ca.pem' } },
    ],
    ['postgres://h/d?sslmode=verify-full&sslrootcert=system', { tls: full }],
    [
      'postgres://h/d?sslmode=verify-full&sslcert=/c&sslkey=/k&sslnegotiation=direct',
      { tls: { ...full, isDirect: true, certificate: '/c', key: '/k' } },
    ],
    ['postgres://h/d?sslmode=require&channel_binding=require', { tls: full }],
    ['postgres://h/d?channel_binding=prefer&gssencmode=disable', { tls: noTls }],
    ['postgres://h/d?connect_timeout=3&keepalives_idle=30', secondsOf(3, 30)],
    ['postgres://h/d?connect_timeout=0&keepalives=0', secondsOf(null, 0)],
    ['postgres://h/d?keepalives=1&keepalives_interval=5&keepalives_count=3', secondsOf(null, null)],
    ['postgres://h/d?schema=my%20own&pgbouncer=true', { schema: 'my own' }],
    ['postgres://h/d?search_path=a,public', { searchPath: 'a,public' }],
    ['postgres://h/d?target_session_attrs=any', { sessionKind: 'any' }],
    [
      'postgres://h/d?application_name=n&options=endpoint%3Dx',
      { startup: { application_name: 'n', options: 'endpoint=x' } },
    ],
  ] as [string, Partial<DatabaseAddress>][]) {
    it(`reads ${url}`, () => {
      const address = parseDatabaseAddress(url);
      for (const [name, value] of Object.entries(expected)) {
        assert.deepEqual(address[name as keyof DatabaseAddress], value, name);
      }
    });
  }

  for (const [url, reason] of [
    ['mysql://u:secret@h/d', /must be a postgres:\/\/ URL/],
    ['postgres://u:sec#ret@h/d', /percent-encoded/],
    ['postgres://u:sec%ret@h/d', /percent-encoded/],
    ['postgres://u:secret@h:99999/d', /port/],
    ['postgres://u:secret@h/d?port=1.5', /port/],
    ['postgres://u:secret@h/d?port=1e3', /port/],
    ['postgres://u:secret@h/d?sslmode=on', /sslmode other than disable, allow/],
    ['postgres://u:secret@h/d?sslmode=disable&channel_binding=require', /without TLS/],
    ['postgres://u:secret@h/d?gssencmode=require', /gssencmode=require/],
    ['postgres://u:secret@h/d?target_session_attrs=best', /target_session_attrs other than any/],
    ['postgres://u:secret@h/d?connect_timeout=soon', /connect_timeout/],
    ['postgres://u:secret@h/d?client_encoding=LATIN1', /client_encoding/],
    ['postgres://u:secret@h/d?connection_limit=1&foo=2', /not know: connection_limit, foo\./],
    ['postgres://h/d?password=a&secret7&sslmode=require', /without a name; & and = in a value/],
  ] as const) {
    it(`refuses ${url} in a sentence without the password`, () => {
      assert.throws(
        () => parseDatabaseAddress(url),
        ({ message }: Error) => reason.test(message) && !/sec/.test(message.replace(/seconds/, '')),
      );
    });
  }

  it('is described without the password', () => {
    const address = parseDatabaseAddress('postgres://u:secret@a:1,[::1]/d?sslmode=require');
    assert.equal(describeAddress(address), 'a:1,[::1]:5432/d');
  });
});

function at(host: string, port = 5432) {
  return { host, port };
}

function secondsOf(connectSeconds: number | null, keepAliveSeconds: number | null) {
  return { connectSeconds, keepAliveSeconds };
}
