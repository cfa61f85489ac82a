import type { Configuration, CustomFetchOptions, IDToken } from 'openid-client';
import { DomainError } from '../errors.ts';

type Library = typeof import('openid-client');

/** A provider of OpenID Connect, as the configuration has it. */
export interface OpenIdProvider {
  /** What people and the API call it. */
  readonly name: string;
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string | undefined;
  /** The public URL of our callback. */
  readonly redirectUrl: string;
  readonly scopes: string;
  readonly groupsClaim: string;
  /** The roles that each group gives. */
  readonly roles: readonly (readonly [group: string, role: string])[];
  readonly defaultRole: string | undefined;
}

/** What the browser takes to the provider and must bring back. */
export interface Challenge {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

/** What a provider says of a person. */
export type Claims = Readonly<Record<string, unknown>> & Pick<IDToken, 'sub' | 'iss'>;

/** Each call to the provider ends within this, its body included. */
const TIMEOUT_S = 5;
/** A provider's metadata is asked for again after this long. */
const METADATA_MS = 60 * 60_000;
const MAX_ANSWER = 1024 * 1024;
/** OpenID Connect Core, section 2. */
const SUBJECT = /^[\x20-\x7e]{1,255}$/;

/** A client of one provider. Nothing is loaded and nobody is asked before the first sign-in. */
export class OpenIdClient {
  readonly #provider: OpenIdProvider;
  #known:
    | { readonly until: number; readonly ready: Promise<{ library: Library; configuration: Configuration }> }
    | undefined;

  constructor(provider: OpenIdProvider) {
    this.#provider = provider;
  }

  /** Where the browser signs in, and what it must bring back from there. */
  async begin(): Promise<{ url: string; challenge: Challenge }> {
    const { library, configuration } = await this.#ready();
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

  /** Redeems what the provider sent the browser back with: the claims of its ID token, and of its userinfo where they lack something. */
  async finish(query: URLSearchParams, { state, nonce, verifier }: Challenge): Promise<Claims> {
    const { library, configuration } = await this.#ready();
    // Never by the request's own host: the provider compares it with the one it was asked for.
    const url = new URL(this.#provider.redirectUrl);
    url.search = query.toString();
    const tokens = await library.authorizationCodeGrant(configuration, url, {
      expectedState: state,
      expectedNonce: nonce,
      pkceCodeVerifier: verifier,
      idTokenExpected: true,
    });
    const claims = tokens.claims();
    if (!claims || !SUBJECT.test(claims.sub)) throw new Error('there is no ID token, or none of a person');
    const isWhole = claims[this.#provider.groupsClaim] !== undefined && claims.preferred_username !== undefined;
    if (isWhole || !configuration.serverMetadata().userinfo_endpoint) return claims;
    return { ...(await library.fetchUserInfo(configuration, tokens.access_token, claims.sub)), ...claims };
  }

  /** The provider's metadata. Those who ask at once share one question; a failure is forgotten. */
  #ready() {
    const now = performance.now();
    if (!this.#known || this.#known.until <= now) {
      const ready = this.#discover();
      const known = { until: now + METADATA_MS, ready };
      this.#known = known;
      ready.catch(() => {
        if (this.#known === known) this.#known = undefined;
      });
    }
    return this.#known.ready;
  }

  async #discover() {
    // At the first need: loading it costs time that a start does not have.
    const library = await import('openid-client');
    const { issuer, clientId, clientSecret } = this.#provider;
    const configuration = await library.discovery(
      new URL(issuer),
      clientId,
      {},
      clientSecret === undefined ? library.None() : bySecret(library, clientSecret),
      {
        timeout: TIMEOUT_S,
        [library.customFetch]: fetchGuarded,
        execute: [
          // The signature of the ID token is checked too, though TLS brings it.
          library.enableNonRepudiationChecks,
          ...(issuer.startsWith('http:') ? [library.allowInsecureRequests] : []),
        ],
      },
    );
    return { library, configuration };
  }
}

/** HTTP Basic is what a provider takes that does not say otherwise (RFC 8414, section 2). */
function bySecret(library: Library, secret: string): ReturnType<Library['None']> {
  const basic = library.ClientSecretBasic(secret);
  const post = library.ClientSecretPost(secret);
  return (server, ...rest) => {
    const methods = server.token_endpoint_auth_methods_supported;
    const authenticate = methods && !methods.includes('client_secret_basic') ? post : basic;
    return authenticate(server, ...rest);
  };
}

/** Whether something secret may be sent to a URL: over TLS, or within this machine. */
export function isTrusted(url: string): boolean {
  const { protocol, hostname } = URL.parse(url) ?? {};
  if (protocol === 'https:') return true;
  return protocol === 'http:' && /^(?:localhost|127\.[0-9]+\.[0-9]+\.[0-9]+|\[::1\])$/.test(hostname ?? '');
}

// The metadata names the other endpoints, so each of them is judged as the issuer was.
async function fetchGuarded(url: string, options: CustomFetchOptions): Promise<Response> {
  if (!isTrusted(url)) throw new Error('an endpoint is not https');
  // The library's own idea of a body is a little wider than that of Node's types.
  const response = await fetch(url, options as RequestInit);
  let left = MAX_ANSWER;
  const limit = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      left -= chunk.byteLength;
      if (left < 0) controller.error(new Error('the answer is too large'));
      else controller.enqueue(chunk);
    },
  });
  const { status, statusText, headers } = response;
  return new Response(response.body?.pipeThrough(limit) ?? null, { status, statusText, headers });
}

/** What went wrong with a provider, in one sentence of ours: nothing that it said is passed on. */
export function providerFault(error: unknown): DomainError {
  if (error instanceof DomainError) return error;
  const { code, error: reason } = (error ?? {}) as { code?: unknown; error?: unknown };
  const options = { cause: error };
  if (code === 'OAUTH_AUTHORIZATION_RESPONSE_ERROR')
    return new DomainError('CREDENTIALS_WRONG', 'the provider did not sign you in: begin again', {}, options);
  if (reason === 'invalid_grant')
    return new DomainError(
      'CREDENTIALS_WRONG',
      'this sign-in has expired, or was used already: begin again',
      {},
      options,
    );
  return isDown(error)
    ? new DomainError('UNAVAILABLE', 'the provider cannot be reached right now: try again later', {}, options)
    : new DomainError(
        'CONNECTION_FAILED',
        'the provider gave an answer that cannot be used: the log says why',
        {},
        options,
      );
}

/** Whether there was no connection, none any more, no answer in time, or one that says so. */
function isDown(error: unknown): boolean {
  for (let at: unknown = error; at !== undefined && at !== null; at = (at as { cause?: unknown }).cause) {
    if (at instanceof DOMException && at.name === 'TimeoutError') return true;
    if (at instanceof TypeError && at.cause instanceof Error) return true;
    if (Number((at as { status?: unknown }).status) >= 500) return true;
  }
  return false;
}

/** Why a provider refused, by the codes that the standard has, in the body or the challenge; undefined when it is none. */
export function oauthCode(error: unknown): string | undefined {
  const { error: inBody, cause } = (error ?? {}) as { error?: unknown; cause?: unknown };
  const [challenge] = Array.isArray(cause) ? cause : [];
  const reason = inBody ?? challenge?.parameters?.error;
  return typeof reason === 'string' && /^[a-z_]{1,40}$/.test(reason) ? reason : undefined;
}
