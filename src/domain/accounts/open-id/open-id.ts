import { hash } from 'node:crypto';
import { networkOf } from '../../../ip-address.ts';
import type { Logger } from '../../../log.ts';
import type { Database } from '../../../storage/database.ts';
import { type Seal, SealError } from '../../../storage/seal.ts';
import type { Caller } from '../../access/caller.ts';
import { isThrottled, Throttle } from '../../access/throttle.ts';
import type { AuditLog } from '../../audit/audit-log.ts';
import type { Changes } from '../../audit/record.ts';
import { DomainError } from '../../errors.ts';
import type { Roles } from '../roles.ts';
import type { NewSession, Sessions } from '../sessions.ts';
import { type Challenge, OpenIdClient, type OpenIdProvider, oauthCode, providerErrorOf } from './open-id-client.ts';
import { readOpenIdUser } from './open-id-user.ts';
import { OpenIdUsers } from './open-id-users.ts';

export interface OpenIdOptions {
  readonly providers: readonly OpenIdProvider[];
  readonly database: Database;
  readonly seal: Seal;
  readonly roles: Roles;
  readonly sessions: Sessions;
  readonly audit: AuditLog;
  readonly log: Logger;
  readonly now: () => Date;
}

/** A started sign-in, sealed for a cookie of the browser, so that any replica can finish it. */
export interface PendingSignIn {
  readonly text: string;
  readonly expiresAt: Date;
}

interface PendingState extends Challenge {
  readonly provider: string;
  readonly expiresAt: number;
}

/** How long the user may take at the provider. */
const PENDING_MS = 10 * 60_000;
/**
 * Each sign-in takes the write lock and calls the provider, which may take 5 s, so limit concurrent sign-ins. An office
 * may share one IP address: two sign-ins per second are enough for it, and bound the cost of an attack.
 */
const LIMITS = { atOnce: { network: 8, all: 32 }, perMinute: 120 };
const SEAL_CONTEXT = { table: 'UsedSignIn', column: 'pending', uid: 'browser' };

/** Sign-in by OpenID Connect: authorization code flow with PKCE, state and nonce. */
export class OpenId {
  readonly names: readonly string[];
  readonly #providers: ReadonlyMap<string, { provider: OpenIdProvider; client: OpenIdClient }>;
  readonly #options: OpenIdOptions;
  readonly #users: OpenIdUsers;
  // Separate throttles, so that a flood of started sign-ins does not block users who return from the provider.
  readonly #beginThrottle = new Throttle(LIMITS);
  readonly #finishThrottle = new Throttle(LIMITS);

  constructor(options: OpenIdOptions) {
    const { providers } = options;
    this.#options = options;
    this.#users = new OpenIdUsers(options);
    this.#providers = new Map(
      providers.map((provider) => [provider.name, { provider, client: new OpenIdClient(provider) }]),
    );
    this.names = [...this.#providers.keys()];
  }

  /**
   * Starts a sign-in at the named provider, or at the first provider if `name` is null. Throws NOT_FOUND for an unknown
   * provider, and TOO_MANY_ATTEMPTS.
   */
  begin(caller: Caller, name: string | null): Promise<{ provider: string; url: string; pending: PendingSignIn }> {
    const provider = name ?? this.names[0] ?? '';
    return this.#throttled(caller, this.#beginThrottle, () => this.#begin(caller, provider));
  }

  async #begin(caller: Caller, provider: string) {
    const client = this.#providers.get(provider)?.client;
    if (!client) throw new DomainError('NOT_FOUND', 'no such sign-in provider');
    const { url, challenge } = await this.#call(caller, provider, () => client.begin());
    const expiresAt = new Date(this.#options.now().getTime() + PENDING_MS);
    const begun: PendingState = { ...challenge, provider, expiresAt: expiresAt.getTime() };
    return {
      provider,
      url,
      pending: { text: this.#options.seal.seal(JSON.stringify(begun), SEAL_CONTEXT), expiresAt },
    };
  }

  /**
   * Finishes a sign-in when the browser returns from the provider. It must be the browser that started it, before it
   * expires, and only once. After TOO_MANY_ATTEMPTS the browser may retry: nothing has been changed.
   */
  finish(caller: Caller, query: URLSearchParams, pending: string | undefined): Promise<NewSession> {
    return this.#throttled(caller, this.#finishThrottle, () => this.#finish(caller, query, pending));
  }

  /**
   * Runs the work within the limits of the throttle. Rejections are recorded at most once per minute for each address.
   */
  async #throttled<T>(caller: Caller, throttle: Throttle, work: () => Promise<T>): Promise<T> {
    try {
      return await throttle.run(caller, work);
    } catch (error) {
      if (isThrottled(error)) {
        const once = [`address:${networkOf(caller.address ?? '')}`];
        // Do not wait: rejecting a request must not wait for the write lock.
        void this.#options.audit.recordRefusal(caller, { action: 'session.begin', outcome: error.code, once });
      }
      throw error;
    }
  }

  async #finish(caller: Caller, query: URLSearchParams, pending: string | undefined): Promise<NewSession> {
    const { begun, provider, client } = await this.#recordRefusal(caller, {}, () =>
      this.#redeemPending(query, pending),
    );
    const from = { provider: { to: provider.name } };
    const user = await this.#recordRefusal(caller, from, async () =>
      readOpenIdUser(await this.#call(caller, provider.name, () => client.finish(query, begun)), provider),
    );
    const identity = { subject: { to: user.subject }, ...from };
    const userId = await this.#recordRefusal(caller, identity, () => this.#users.admit(caller, user, provider.name));
    return this.#options.sessions.begin(caller, userId);
  }

  /** Validates a returning sign-in and marks it as used. */
  async #redeemPending(query: URLSearchParams, pending: string | undefined) {
    const begun = pending === undefined ? undefined : this.#openPending(pending);
    const registered = begun && this.#providers.get(begun.provider);
    const states = query.getAll('state');
    if (!begun || !registered || states.length !== 1 || states[0] !== begun.state || !(await this.#markUsed(begun)))
      throw new DomainError(
        'INVALID_INPUT',
        'this sign-in has expired, was used already, or was begun in another browser: begin again',
      );
    return { begun, ...registered };
  }

  /** Runs a step of a sign-in and records its refusal, if any. */
  async #recordRefusal<T>(caller: Caller, changes: Changes, step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      if (error instanceof DomainError)
        await this.#options.audit.recordRefusal(caller, { action: 'session.begin', outcome: error.code, changes });
      throw error;
    }
  }

  #openPending(pending: string): PendingState | undefined {
    const { seal, now } = this.#options;
    try {
      const begun: PendingState = JSON.parse(seal.open(pending, SEAL_CONTEXT));
      const left = begun.expiresAt - now().getTime();
      // Reject an expiry too far ahead: it was set under a clock that ran ahead. The factor allows for clock
      // differences between replicas.
      return left > 0 && left <= 2 * PENDING_MS ? begun : undefined;
    } catch (error) {
      if (error instanceof SealError) return undefined;
      throw error;
    }
  }

  /**
   * Marks a sign-in as used; false if it was used before. A browser can keep the cookie, so the cookie does not prove
   * first use.
   */
  #markUsed({ state, expiresAt }: PendingState): Promise<boolean> {
    // Remember it beyond its expiry: the clock of another replica may run behind.
    const used = { hash: hash('sha256', state, 'base64url'), expiresAt: new Date(expiresAt + PENDING_MS) };
    // Hold the write lock: of two concurrent attempts, only one succeeds.
    return this.#options.database.write([], async (tx) => {
      await tx.usedSignIn.deleteMany({ where: { expiresAt: { lte: this.#options.now() } } });
      if (await tx.usedSignIn.findUnique({ where: { hash: used.hash } })) return false;
      await tx.usedSignIn.create({ data: used });
      return true;
    });
  }

  async #call<T>({ requestId }: Caller, provider: string, request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      const line = { requestId, provider, err: error, reason: oauthCode(error) };
      this.#options.log.warn(line, 'a sign-in by OpenID Connect failed');
      throw providerErrorOf(error);
    }
  }
}
