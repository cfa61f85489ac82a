import { hash } from 'node:crypto';
import type { Logger } from '../../log.ts';
import type { Database } from '../../storage/database.ts';
import { type Seal, SealError } from '../../storage/seal.ts';
import type { Changes } from '../audit.ts';
import type { AuditLog } from '../audit-log.ts';
import { DomainError } from '../errors.ts';
import { networkOf } from './network.ts';
import { type Challenge, OpenIdClient, type OpenIdProvider, oauthCode, providerFault } from './open-id-client.ts';
import { readOpenIdUser } from './open-id-user.ts';
import { OpenIdUsers } from './open-id-users.ts';
import type { Roles } from './roles.ts';
import type { NewSession, Sessions } from './sessions.ts';
import { isThrottled, Throttle } from './throttle.ts';
import type { Caller } from './viewer.ts';

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

/** A sign-in that has begun: what the browser keeps until it comes back, sealed, so that any replica can go on. */
export interface PendingSignIn {
  readonly text: string;
  readonly expiresAt: Date;
}

interface Begun extends Challenge {
  readonly provider: string;
  readonly expiresAt: number;
}

/** How long somebody may take at the provider. */
const PENDING_MS = 10 * 60_000;
/**
 * One sign-in takes turns of the writers and calls the provider, which may need 5 s; so few at once. A network may be an office
 * behind one address: two a second are enough for it, and bound what an attacker costs.
 */
const LIMITS = { atOnce: { network: 8, all: 32 }, perMinute: 120 };
const PLACE = { table: 'UsedSignIn', column: 'pending', uid: 'browser' };

/** Sign-in by OpenID Connect: authorization code flow with PKCE, state and nonce. */
export class OpenId {
  readonly names: readonly string[];
  readonly #providers: ReadonlyMap<string, { provider: OpenIdProvider; client: OpenIdClient }>;
  readonly #options: OpenIdOptions;
  readonly #people: OpenIdUsers;
  // Apart, so that sign-ins which only begin keep out none that come back.
  readonly #beginning = new Throttle(LIMITS);
  readonly #finishing = new Throttle(LIMITS);

  constructor(options: OpenIdOptions) {
    const { providers } = options;
    this.#options = options;
    this.#people = new OpenIdUsers(options);
    this.#providers = new Map(
      providers.map((provider) => [provider.name, { provider, client: new OpenIdClient(provider) }]),
    );
    this.names = [...this.#providers.keys()];
  }

  /** Begins a sign-in; NOT_FOUND for a provider that is none, TOO_MANY_ATTEMPTS. Without a name it is the first provider. */
  begin(caller: Caller, name: string | null): Promise<{ provider: string; url: string; pending: PendingSignIn }> {
    const provider = name ?? this.names[0] ?? '';
    return this.#throttled(caller, this.#beginning, () => this.#begin(caller, provider));
  }

  async #begin(caller: Caller, provider: string) {
    const client = this.#providers.get(provider)?.client;
    if (!client) throw new DomainError('NOT_FOUND', 'no such sign-in provider');
    const { url, challenge } = await this.#ask(caller, provider, () => client.begin());
    const expiresAt = new Date(this.#options.now().getTime() + PENDING_MS);
    const begun: Begun = { ...challenge, provider, expiresAt: expiresAt.getTime() };
    return { provider, url, pending: { text: this.#options.seal.seal(JSON.stringify(begun), PLACE), expiresAt } };
  }

  /**
   * Ends a sign-in that came back from the provider, in the browser that began it, within its time, and once. After
   * TOO_MANY_ATTEMPTS it may come back again: nothing was done.
   */
  finish(caller: Caller, query: URLSearchParams, pending: string | undefined): Promise<NewSession> {
    return this.#throttled(caller, this.#finishing, () => this.#finish(caller, query, pending));
  }

  /** Runs one of few; a refusal leaves one record a minute for its address. */
  async #throttled<T>(caller: Caller, throttle: Throttle, work: () => Promise<T>): Promise<T> {
    try {
      return await throttle.run(caller, work);
    } catch (error) {
      if (isThrottled(error)) {
        const once = [`address:${networkOf(caller.address ?? '')}`];
        // Not waited for: a refusal takes no turn of the writers.
        void this.#options.audit.refused(caller, { action: 'session.begin', outcome: error.code, once });
      }
      throw error;
    }
  }

  async #finish(caller: Caller, query: URLSearchParams, pending: string | undefined): Promise<NewSession> {
    const { begun, provider, client } = await this.#recorded(caller, {}, () => this.#back(query, pending));
    const from = { provider: { to: provider.name } };
    const person = await this.#recorded(caller, from, async () =>
      readOpenIdUser(await this.#ask(caller, provider.name, () => client.finish(query, begun)), provider),
    );
    const who = { subject: { to: person.subject }, ...from };
    const userId = await this.#recorded(caller, who, () => this.#people.admit(caller, person, provider.name));
    return this.#options.sessions.begin(caller, userId);
  }

  /** The sign-in that came back, which from now on is used. */
  async #back(query: URLSearchParams, pending: string | undefined) {
    const begun = pending === undefined ? undefined : this.#open(pending);
    const known = begun && this.#providers.get(begun.provider);
    const states = query.getAll('state');
    if (!begun || !known || states.length !== 1 || states[0] !== begun.state || !(await this.#use(begun)))
      throw new DomainError(
        'INVALID_INPUT',
        'this sign-in has expired, was used already, or was begun in another browser: begin again',
      );
    return { begun, ...known };
  }

  /** Runs a step of a sign-in; being refused leaves a record. */
  async #recorded<T>(caller: Caller, changes: Changes, step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      if (error instanceof DomainError)
        await this.#options.audit.refused(caller, { action: 'session.begin', outcome: error.code, changes });
      throw error;
    }
  }

  #open(pending: string): Begun | undefined {
    const { seal, now } = this.#options;
    try {
      const begun: Begun = JSON.parse(seal.open(pending, PLACE));
      const left = begun.expiresAt - now().getTime();
      // Longer than any may last, also where another replica's clock is ahead: it began under a clock that ran ahead.
      return left > 0 && left <= 2 * PENDING_MS ? begun : undefined;
    } catch (error) {
      if (error instanceof SealError) return undefined;
      throw error;
    }
  }

  /** Whether a sign-in had not come back before. A cookie can be kept, so it does not tell. */
  #use({ state, expiresAt }: Begun): Promise<boolean> {
    // Remembered for longer than it may come back: another replica's clock may be behind.
    const used = { hash: hash('sha256', state, 'base64url'), expiresAt: new Date(expiresAt + PENDING_MS) };
    // Alone with the writers: of two that come back at once one is the first.
    return this.#options.database.write([], async (tx) => {
      await tx.usedSignIn.deleteMany({ where: { expiresAt: { lte: this.#options.now() } } });
      if (await tx.usedSignIn.findUnique({ where: { hash: used.hash } })) return false;
      await tx.usedSignIn.create({ data: used });
      return true;
    });
  }

  async #ask<T>({ requestId }: Caller, provider: string, question: () => Promise<T>): Promise<T> {
    try {
      return await question();
    } catch (error) {
      const line = { requestId, provider, err: error, reason: oauthCode(error) };
      this.#options.log.warn(line, 'a sign-in by OpenID Connect failed');
      throw providerFault(error);
    }
  }
}
