import { timingSafeEqual } from 'node:crypto';
import type { Database } from '../../storage/database.ts';
import { identityOf } from '../../storage/database-identity.ts';
import type { Seal } from '../../storage/seal.ts';
import type { Caller } from '../access/caller.ts';
import { holdsEverything } from '../access/coverage.ts';
import { Throttle } from '../access/throttle.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { DomainError } from '../errors.ts';
import type { CreateUser, User, Users } from './users.ts';

type FirstUser = Omit<CreateUser, 'roles'> & { readonly code?: string | undefined };

/** Progress of the initial setup. Step 0: no user exists. Step 1: a user exists, but no cluster. Step 2: both exist. */
export interface SetUpProgress {
  readonly initialized: boolean;
  readonly step: 0 | 1 | 2;
}

/** The setup is done once, by hand. These limits only stop attackers who guess the code or flood password hashing. */
const LIMITS = { atOnce: { network: 20, all: 100 }, perMinute: 120 };

/** Creates the first user, an admin, once. An anonymous remote caller cannot take over the setup. */
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

  /** Activates and returns the setup code: 128 bits, valid until a user exists. Undefined if a user already exists. */
  async createCode(): Promise<string | undefined> {
    if ((await this.#users.count()) > 0) return undefined;
    // Derive it from the seal key and the database identity: it is the same on all replicas, and different for another
    // database under the same key.
    const code = this.#seal.derive('kitestring set-up code', await identityOf(this.#database), 16).toString('hex');
    this.#code = Buffer.from(code);
    return code;
  }

  /**
   * Creates the first user. Throws FORBIDDEN unless the request certainly came from this machine (`local`), its API key
   * grants everything that an admin may do, or it contains the setup code. Throws ALREADY_SET_UP once a user exists.
   */
  createFirst(caller: Caller, input: FirstUser, origin: { local: boolean }): Promise<User> {
    return this.#throttle.run(caller, () => this.#createFirst(caller, input, origin));
  }

  async #createFirst(caller: Caller, input: FirstUser, { local }: { local: boolean }): Promise<User> {
    const { code, ...user } = input;
    const isAdmin = caller.viewer !== null && holdsEverything(caller.viewer);
    if (!local && !isAdmin && !this.#isCode(code)) {
      await this.#audit.recordRefusal(caller, { action: 'user.create', outcome: 'FORBIDDEN' });
      throw new DomainError(
        'FORBIDDEN',
        'the first user cannot be created without proof: send the setup code or an admin key, or run: npm run kitestring -- users create --admin',
      );
    }
    const created = await this.#users.createFirst(caller, user);
    this.#code = undefined;
    return created;
  }

  #isCode(code: string | undefined): boolean {
    const candidate = Buffer.from(code ?? '');
    return this.#code !== undefined && candidate.length === this.#code.length && timingSafeEqual(candidate, this.#code);
  }
}
