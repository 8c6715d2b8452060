import type { MiddlewareHandler } from 'hono';
import { GatewayError } from '../core/errors.ts';
import type { OwnHosts } from '../core/own-hosts.ts';
import { policyOf } from './route-policy.ts';

export interface OwnPagesOptions {
  readonly hosts: Pick<OwnHosts, 'has'>;
  /** The base of links; `null` where nobody said it. Pages from there are ours. */
  readonly publicUrl: string | null;
  /** Origins whose web pages may ask; `*` for all. */
  readonly corsOrigins: readonly string[];
  /** Where a key is asked for, no page has one that was not given to it. */
  readonly asksForKeys: () => boolean;
}

/** Where a request went and which page sent it, as its headers say. */
export interface Sender {
  /** `Host`; with a port where it is not that of the scheme. */
  readonly host: string;
  /** `Origin`: browsers send it with all that is more than a look. */
  readonly origin: string | undefined;
}

/** What is wrong with a request that may come from a strange web page; `null`: nothing. */
export type RefusePage = (sender: Sender) => GatewayError | null;

/**
 * Every web page may have the browser of whoever opens it ask a gateway on loopback, or at a name that it leads
 * there meanwhile (DNS rebinding). A gateway that asks for no key would do as it says.
 */
export function pageGuard(options: OwnPagesOptions): RefusePage {
  const { hosts, publicUrl, corsOrigins, asksForKeys } = options;
  const ownOrigin = publicUrl === null ? null : new URL(publicUrl).origin;
  const welcome = new Set(ownOrigin === null ? corsOrigins : [...corsOrigins, ownOrigin]);
  return ({ host, origin }) => {
    if (asksForKeys()) return null;
    const hostname = URL.parse(`http://${host}`)?.hostname;
    if (hostname === undefined || !hosts.has(hostname)) return strangeHost();
    if (origin === undefined || welcome.has('*') || welcome.has(origin)) return null;
    return isAt(origin, host) ? null : strangeOrigin();
  };
}

/** @throws GatewayError `host_refused`, `origin_refused`. */
export function ownPagesOnly(refuse: RefusePage): MiddlewareHandler {
  return async (context, next) => {
    if (!policyOf(context)?.anyHost) {
      const { host } = new URL(context.req.url);
      const refusal = refuse({ host, origin: context.req.header('origin') });
      if (refusal) throw refusal;
    }
    await next();
  };
}

/** Whether the page is of the host that was asked. A proxy may have taken TLS off: the scheme is the page's. */
function isAt(origin: string, host: string): boolean {
  const page = URL.parse(origin);
  return (
    page !== null && page.host !== '' && URL.parse(`${page.protocol}//${host}`)?.host === page.host
  );
}

function strangeHost(): GatewayError {
  return new GatewayError(
    'host_refused',
    'The gateway asks for no key, so it answers only to hosts that are its own: ' +
      'name this one in ALLOWED_HOSTS or PUBLIC_URL, or set API_KEYS',
  );
}

function strangeOrigin(): GatewayError {
  return new GatewayError(
    'origin_refused',
    'The gateway asks for no key, so it takes nothing from web pages of other origins: ' +
      'name this one in CORS_ORIGINS, or set API_KEYS',
  );
}
