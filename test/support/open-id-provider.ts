import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Provider } from 'oidc-provider';

/** The public URL of the callback. No server listens there: the tests act as the proxy in front of the product. */
export const REDIRECT_URL = 'http://127.0.0.1:9/api/auth/callback';
export const CLIENT_SECRET = 'between-the-provider-and-kitestring';

/** The claims that the provider returns for the next sign-in. */
export interface ProviderUser {
  readonly sub: string;
  readonly [claim: string]: unknown;
}

export interface OpenIdProvider {
  readonly issuer: string;
  /** The environment that configures the product to use this provider. */
  readonly environment: Record<string, string>;
  /** The user of the next sign-in. */
  user: ProviderUser;
  /** Changes the response of the token endpoint. */
  answer: ((tokens: Record<string, unknown>) => Record<string, unknown>) | undefined;
  /** Returns how often a path was requested. */
  readonly requestCount: (path: string) => number;
  /** Stops listening. */
  readonly stop: () => Promise<void>;
  /** Listens again on the same port. */
  readonly start: () => Promise<void>;
}

/** Starts a real provider on loopback, which signs users in without interaction. */
export async function startOpenIdProvider(): Promise<OpenIdProvider> {
  const counts = new Map<string, number>();
  let handle: (request: IncomingMessage, response: ServerResponse) => void = () => {};
  const server = createServer((request, response) => {
    const [path = ''] = (request.url ?? '').split('?');
    counts.set(path, (counts.get(path) ?? 0) + 1);
    handle(request, response);
  });
  const listen = (port: number) =>
    new Promise<void>((resolve) => {
      server.listen(port, '127.0.0.1', resolve);
    });
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const issuer = `http://127.0.0.1:${port}`;

  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'kitestring',
        client_secret: CLIENT_SECRET,
        redirect_uris: [REDIRECT_URL],
        grant_types: ['authorization_code'],
        response_types: ['code'],
      },
    ],
    claims: {
      openid: ['sub'],
      profile: ['name', 'preferred_username', 'groups'],
      email: ['email', 'email_verified'],
    },
    cookies: { keys: ['cookies of a provider in a test'] },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, { uid }) => `/interaction/${uid}` },
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ ...result.user }) }),
    ttl: { AccessToken: 60, AuthorizationCode: 60, Grant: 60, IdToken: 60, Interaction: 60, Session: 60 },
  });
  provider.use(async (context, next) => {
    await next();
    if (context.path === '/token' && result.answer && context.status === 200)
      context.body = result.answer(context.body as Record<string, unknown>);
  });
  const answer = provider.callback();
  handle = (request, response) => {
    if (!request.url?.startsWith('/interaction/')) return answer(request, response);
    interact(provider, request, response, result.user.sub).catch((error: unknown) => response.destroy(error as Error));
  };

  const result: OpenIdProvider = {
    issuer,
    environment: {
      OIDC_ISSUER: issuer,
      OIDC_CLIENT_ID: 'kitestring',
      OIDC_CLIENT_SECRET: CLIENT_SECRET,
      OIDC_REDIRECT_URL: REDIRECT_URL,
      OIDC_ROLES: 'platform=admin,developers=viewer',
    },
    user: { sub: 'unset' },
    answer: undefined,
    requestCount: (path) => counts.get(path) ?? 0,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    start: () => listen(port),
  };
  return result;
}

/** Signs the user in, and consents to everything that is requested. */
async function interact(provider: Provider, request: IncomingMessage, response: ServerResponse, accountId: string) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') return provider.interactionFinished(request, response, { login: { accountId } });
  const grant = new provider.Grant({ accountId: session?.accountId, clientId: String(params.client_id) });
  grant.addOIDCScope(String(params.scope));
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
}

/** A minimal browser for sign-ins: it stores cookies per origin. */
export class Browser {
  readonly #cookies = new Map<string, Map<string, string>>();

  async get(url: string): Promise<{ status: number; location: string | undefined; text: string; headers: Headers }> {
    const { origin } = new URL(url);
    const cookies = this.cookies(origin);
    const Cookie = Array.from(cookies, ([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, { redirect: 'manual', headers: { ...(Cookie ? { Cookie } : {}) } });
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      const expires = /; expires=([^;]+)/i.exec(line)?.[1];
      if (expires && Date.parse(expires) <= Date.now()) cookies.delete(name);
      else cookies.set(name, value);
    }
    const location = response.headers.get('location');
    return {
      status: response.status,
      location: location === null ? undefined : new URL(location, url).href,
      text: await response.text(),
      headers: response.headers,
    };
  }

  cookies(origin: string): Map<string, string> {
    const cookies = this.#cookies.get(origin) ?? new Map<string, string>();
    this.#cookies.set(origin, cookies);
    return cookies;
  }

  /** Follows the provider's redirects up to the callback, and returns the query of the callback. */
  async signInAtProvider(url: string): Promise<string> {
    let next: string | undefined = url;
    for (let hops = 0; next !== undefined && hops < 10; hops++) {
      if (next.startsWith(REDIRECT_URL)) return new URL(next).search;
      next = (await this.get(next)).location;
    }
    throw new Error(`the provider did not redirect to the callback: ${next}`);
  }
}
