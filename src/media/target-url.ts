import { GatewayError } from '../core/errors.ts';
import type { SourceAllow } from './source-policy.ts';
import { validateSourceUrl } from './source-url.ts';

/**
 * Judges an address that a client gives for its result as sources are judged, at the door.
 *
 * @throws GatewayError `target_refused`, for the field that it stood in.
 */
export function validateTargetUrl(text: string, allow: SourceAllow, field = 'target_url'): URL {
  try {
    return validateSourceUrl(text, allow, field);
  } catch {
    throw new GatewayError(
      'target_refused',
      'The address for the result must be an http:// or https:// URL on the public internet, or among those that this gateway allows, without a user name or a password',
      { field },
    );
  }
}
