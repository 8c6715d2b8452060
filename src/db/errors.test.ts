import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../core/errors.ts';
import { translateDatabaseError } from './errors.ts';

describe('translateDatabaseError', () => {
  const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });

  it('finds the loss of the database behind what the driver says', () => {
    const error = translateDatabaseError(new Error('Failed query', { cause: refused }));
    assert.ok(error instanceof GatewayError);
    assert.equal(error.code, 'unavailable');
  });

  for (const code of [
    ...['25006', '25P03', '28P01', '3D000', '40001', '40P01', '55000', '55P03', '57014', '57P01'],
    ...['53300', '08006', '58030', 'QUERY_TIMEOUT', 'EHOSTUNREACH', 'CERT_HAS_EXPIRED'],
  ]) {
    it(`takes ${code} for a database that cannot be used now`, () => {
      const error = translateDatabaseError(Object.assign(new Error(), { code }));
      assert.ok(error instanceof GatewayError);
      assert.equal(error.code, 'unavailable');
    });
  }

  for (const code of ['22012', '23505', '42601', '42P01', 'ERR_INVALID_ARG_TYPE']) {
    it(`leaves ${code} alone, which says that a statement is wrong`, () => {
      const error = Object.assign(new Error(), { code });
      assert.equal(translateDatabaseError(error), error);
    });
  }

  it('leaves alone what tells of a backend or a store that refused a connection', () => {
    const error = new GatewayError('backend_unreachable', '', { cause: refused });
    assert.equal(translateDatabaseError(error), error);
  });
});
