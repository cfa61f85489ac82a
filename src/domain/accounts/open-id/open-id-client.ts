import type { CustomFetchOptions, IDToken } from 'openid-client';
import { lazy } from '../../../lazy.ts';
import { DomainError } from '../../errors.ts';

type Library = typeof import('openid-client');

/** The configuration of an OpenID Connect provider. */
export interface OpenIdProvider {
  /** The name of the provider in the API and in the UI. */
  readonly name: string;
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string | undefined;
  /** The public URL of the callback route. */
  readonly redirectUrl: string;
  readonly scopes: string;
  readonly groupsClaim: string;
  /** The role that each group grants. */
  readonly roles: readonly (readonly [group: string, role: string])[];
  readonly defaultRole: string | undefined;
}

/** The values that tie the authorization response to the browser that started the sign-in. */
export interface Challenge {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

/** The claims of a provider about a user. */
export type Claims = Readonly<Record<string, unknown>> & Pick<IDToken, 'sub' | 'iss'>;

/** Time limit of each call to the provider, response body included. */
const TIMEOUT_S = 5;
/** How long the metadata of a provider is cached. */
const METADATA_MS = 60 * 60_000;
const MAX_RESPONSE = 1024 * 1024;
/** The claim `sub`: at most 255 ASCII characters (OpenID Connect Core, section 2). */
const SUBJECT = /^[\x20-\x7e]{1,255}$/;

/** A client of one provider. It loads its library and calls the provider only at the first sign-in. */
export class OpenIdClient {
  readonly #provider: OpenIdProvider;
  /** The library and the metadata of the provider. */
  readonly #discovered = lazy(() => this.#discover(), { reuseMs: METADATA_MS });

  constructor(provider: OpenIdProvider) {
    this.#provider = provider;
  }

  /** Starts a sign-in: returns the authorization URL for the browser, and the challenge that `finish` needs. */
  async begin(): Promise<{ url: string; challenge: Challenge }> {
    const { library, configuration } = await this.#discovered();
    const challenge = {
      state: library.randomState(),
      nonce: library.randomNonce(),
      verifier: library.randomPKCECodeVerifier(),
    };
    const url = library.buildAuthorizationUrl(configuration, {
      redirect_uri: this.#provider.redirectUrl,
      scope: this.#provider.scopes,
      state: challenge.state,
      nonce: challenge.nonce,
      code_challenge: await library.calculatePKCECodeChallenge(challenge.verifier),
      code_challenge_method: 'S256',
    });
    if (!isTrusted(url.href)) throw new Error('the authorization endpoint is not https');
    return { url: url.href, challenge };
  }

  /**
   * Redeems the authorization response. Returns the claims of the ID token. If they lack groups or a username, claims
   * from the userinfo endpoint are added.
   */
  async finish(query: URLSearchParams, { state, nonce, verifier }: Challenge): Promise<Claims> {
    const { library, configuration } = await this.#discovered();
    // Use the configured URL, not the Host of the request: the provider compares it with the redirect_uri of the
    // authorization request.
    const url = new URL(this.#provider.redirectUrl);
    url.search = query.toString();
    const tokens = await library.authorizationCodeGrant(configuration, url, {
      expectedState: state,
      expectedNonce: nonce,
      pkceCodeVerifier: verifier,
      idTokenExpected: true,
    });
    const claims = tokens.claims();
    if (!claims || !SUBJECT.test(claims.sub)) throw new Error('the ID token is missing or has an invalid subject');
    const isComplete = claims[this.#provider.groupsClaim] !== undefined && claims.preferred_username !== undefined;
    if (isComplete || !configuration.serverMetadata().userinfo_endpoint) return claims;
    return { ...(await library.fetchUserInfo(configuration, tokens.access_token, claims.sub)), ...claims };
  }

  async #discover() {
    // Load the library at the first sign-in, to keep the start fast.
    const library = await import('openid-client');
    const { issuer, clientId, clientSecret } = this.#provider;
    const configuration = await library.discovery(
      new URL(issuer),
      clientId,
      {},
      clientSecret === undefined ? library.None() : secretAuthentication(library, clientSecret),
      {
        timeout: TIMEOUT_S,
        [library.customFetch]: fetchGuarded,
        execute: [
          // Verify the signature of the ID token, although it arrives over TLS.
          library.enableNonRepudiationChecks,
          ...(issuer.startsWith('http:') ? [library.allowInsecureRequests] : []),
        ],
      },
    );
    return { library, configuration };
  }
}

/**
 * Authenticates the client by secret. Uses HTTP Basic unless the metadata lists methods without it: Basic is the
 * default (RFC 8414, section 2).
 */
function secretAuthentication(library: Library, secret: string): ReturnType<Library['None']> {
  const basic = library.ClientSecretBasic(secret);
  const post = library.ClientSecretPost(secret);
  return (server, ...rest) => {
    const methods = server.token_endpoint_auth_methods_supported;
    const authenticate = methods && !methods.includes('client_secret_basic') ? post : basic;
    return authenticate(server, ...rest);
  };
}

/** Whether secrets may be sent to a URL: only over TLS or to loopback. */
function isTrusted(url: string): boolean {
  const { protocol, hostname } = URL.parse(url) ?? {};
  if (protocol === 'https:') return true;
  return protocol === 'http:' && /^(?:localhost|127\.[0-9]+\.[0-9]+\.[0-9]+|\[::1\])$/.test(hostname ?? '');
}

// The metadata contains the URLs of the other endpoints, so check each of them like the issuer.
async function fetchGuarded(url: string, options: CustomFetchOptions): Promise<Response> {
  if (!isTrusted(url)) throw new Error('an endpoint is not https');
  // The body type of the library is slightly wider than that of Node.
  const response = await fetch(url, options as RequestInit);
  let remaining = MAX_RESPONSE;
  const limit = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      remaining -= chunk.byteLength;
      if (remaining < 0) controller.error(new Error('the response is too large'));
      else controller.enqueue(chunk);
    },
  });
  const { status, statusText, headers } = response;
  return new Response(response.body?.pipeThrough(limit) ?? null, { status, statusText, headers });
}

/**
 * Converts a failure of the provider to a DomainError with a fixed message. Nothing that the provider sent is passed
 * on.
 */
export function providerErrorOf(error: unknown): DomainError {
  if (error instanceof DomainError) return error;
  const { code, error: oauthError } = (error ?? {}) as { code?: unknown; error?: unknown };
  const options = { cause: error };
  if (code === 'OAUTH_AUTHORIZATION_RESPONSE_ERROR')
    return new DomainError('CREDENTIALS_WRONG', 'the provider did not sign you in: begin again', {}, options);
  if (oauthError === 'invalid_grant')
    return new DomainError(
      'CREDENTIALS_WRONG',
      'this sign-in has expired, or was used already: begin again',
      {},
      options,
    );
  return isUnavailable(error)
    ? new DomainError('UNAVAILABLE', 'the provider cannot be reached right now: try again later', {}, options)
    : new DomainError(
        'CONNECTION_FAILED',
        'the response of the provider is invalid: see the log for the reason',
        {},
        options,
      );
}

/** Whether the connection failed or broke, the response timed out, or the provider answered with a 5xx status. */
function isUnavailable(error: unknown): boolean {
  for (let at: unknown = error; at !== undefined && at !== null; at = (at as { cause?: unknown }).cause) {
    if (at instanceof DOMException && at.name === 'TimeoutError') return true;
    if (at instanceof TypeError && at.cause instanceof Error) return true;
    if (Number((at as { status?: unknown }).status) >= 500) return true;
  }
  return false;
}

/** The OAuth error code of the response body or of the WWW-Authenticate challenge; undefined if there is none. */
export function oauthCode(error: unknown): string | undefined {
  const { error: inBody, cause } = (error ?? {}) as { error?: unknown; cause?: unknown };
  const [challenge] = Array.isArray(cause) ? cause : [];
  const reason = inBody ?? challenge?.parameters?.error;
  return typeof reason === 'string' && /^[a-z_]{1,40}$/.test(reason) ? reason : undefined;
}
