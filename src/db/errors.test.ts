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

  it('leaves alone what tells of a backend or a store that refused a connection', () => {
    const error = new GatewayError('backend_unreachable', '', { cause: refused });
    assert.equal(translateDatabaseError(error), error);
  });
});
