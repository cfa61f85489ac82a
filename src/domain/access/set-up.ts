import { timingSafeEqual } from 'node:crypto';
import type { Database } from '../../storage/database.ts';
import { identityOf } from '../../storage/database-identity.ts';
import type { Seal } from '../../storage/seal.ts';
import type { AuditLog } from '../audit-log.ts';
import { DomainError } from '../errors.ts';
import { holdsEverything } from './coverage.ts';
import { Throttle } from './throttle.ts';
import type { CreateUser, User, Users } from './users.ts';
import type { Caller } from './viewer.ts';

type FirstUser = Omit<CreateUser, 'roles'> & { readonly code?: string | undefined };

/** How far the first set-up is: nobody, a person, and a cluster too. */
export interface SetUpProgress {
  readonly initialized: boolean;
  readonly step: 0 | 1 | 2;
}

/** A set-up is done once, by hand: these stop only who guesses at the code, or has passwords hashed. */
const LIMITS = { atOnce: { network: 20, all: 100 }, perMinute: 120 };

/** The first set-up, which nobody can hijack: the first person is an admin, and is made once. */
export class SetUp {
  readonly #database: Database;
  readonly #users: Users;
  readonly #audit: AuditLog;
  readonly #seal: Seal;
  readonly #throttle = new Throttle(LIMITS);
  #code: Buffer | undefined;

  constructor({ database, users, audit, seal }: { database: Database; users: Users; audit: AuditLog; seal: Seal }) {
    this.#database = database;
    this.#users = users;
    this.#audit = audit;
    this.#seal = seal;
  }

  async progress(): Promise<SetUpProgress> {
    if ((await this.#users.count()) === 0) return { initialized: false, step: 0 };
    const clusters = await this.#database.prisma.cluster.count();
    return clusters === 0 ? { initialized: false, step: 1 } : { initialized: true, step: 2 };
  }

  /** The set-up code, which counts from now on: 128 bits, good until somebody exists; undefined when somebody does already. */
  async makeCode(): Promise<string | undefined> {
    if ((await this.#users.count()) > 0) return undefined;
    // Derived, so that it is the same on all replicas, and of no use for another database under the same key.
    const code = this.#seal.derive('kitestring set-up code', await identityOf(this.#database), 16).toString('hex');
    this.#code = Buffer.from(code);
    return code;
  }

  /**
   * Makes the first person. Whoever asks must be on this machine beyond doubt (`local`), hold all that an admin holds by a
   * key, or know the set-up code; else FORBIDDEN. ALREADY_SET_UP once somebody exists.
   */
  createFirst(caller: Caller, input: FirstUser, given: { local: boolean }): Promise<User> {
    return this.#throttle.run(caller, () => this.#createFirst(caller, input, given));
  }

  async #createFirst(caller: Caller, input: FirstUser, { local }: { local: boolean }): Promise<User> {
    const { code, ...person } = input;
    const isAdmin = caller.viewer !== null && holdsEverything(caller.viewer);
    if (!local && !isAdmin && !this.#isCode(code)) {
      await this.#audit.refused(caller, { action: 'user.create', outcome: 'FORBIDDEN' });
      throw new DomainError(
        'FORBIDDEN',
        'the first user is made with the set-up code, with an admin key, or by: npm run kitestring -- users create --admin',
      );
    }
    const user = await this.#users.createFirst(caller, person);
    this.#code = undefined;
    return user;
  }

  #isCode(code: string | undefined): boolean {
    const given = Buffer.from(code ?? '');
    return this.#code !== undefined && given.length === this.#code.length && timingSafeEqual(given, this.#code);
  }
}
