import { isIP } from 'node:net';
import { GatewayError } from '../core/errors.ts';
import { refused } from './guarded-agent.ts';
import { permitsAddress, permitsHost, type SourceAllow } from './source-policy.ts';

/**
 * Judges what a URL says by itself, at the door and at every redirect: its scheme, and its host
 * where that is an address. Where a name leads is found out when the connection is made.
 *
 * The URL parser turns every odd form of an address (`2130706433`, `0x7f.1`, `127.1`, full-width
 * digits) into the plain one, so only what it returns is judged.
 *
 * @throws GatewayError `source_invalid` or `source_refused`, for the field that it stood in.
 */
export function validateSourceUrl(text: string, allow: SourceAllow, field = 'url'): URL {
  const url = URL.parse(text);
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw invalid('The source must be an http:// or https:// URL', field);
  }
  if (url.username !== '' || url.password !== '') {
    throw invalid('The source must not carry a user name or a password', field);
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
  const isTrusted = permitsHost(allow, host, port);
  const addresses = isLoopbackName(host) ? loopback : isIP(host) !== 0 ? [host] : [];
  const isPermitted = addresses.some((address) => permitsAddress(allow, address, port));
  if (addresses.length > 0 && !isTrusted && !isPermitted) throw refused(host, field);
  return url;
}

const loopback = ['127.0.0.1', '::1'];

/** Names that lead to this machine by their meaning (RFC 6761 §6.3). */
function isLoopbackName(host: string): boolean {
  return /(^|\.)localhost\.?$/.test(host);
}

function invalid(message: string, field: string): GatewayError {
  return new GatewayError('source_invalid', message, { field });
}
