import type { ClientConfig } from 'pg';
import { StartupError } from '../startup-error.ts';

/** How a database is reached, and the schema in it that is Kitestring's. */
export interface PostgresPlace {
  readonly client: ClientConfig;
  readonly schema: string;
}

/** What every connection is opened with: none waits longer for the other side, which would wait for it in turn. */
const OPTIONS = {
  application_name: 'kitestring',
  connectionTimeoutMillis: 5_000,
  keepAlive: true,
  // A replica that stands still in the middle of a change would keep every other from changing anything.
  idle_in_transaction_session_timeout: 5_000,
} as const;

/** Reads `postgresql://user:password@host:port/database?schema=name`; the schema is `public` unless it says another. */
export function readPostgresUrl(text: string): PostgresPlace {
  const url = URL.parse(text);
  if (!url || !/^postgres(?:ql)?:$/.test(url.protocol) || (url.hostname === '' && !url.searchParams.has('host')))
    throw new StartupError(
      'DATABASE_URL is no URL of a PostgreSQL database: write postgresql://user:password@host:5432/database, special characters percent-encoded.',
    );
  const schema = url.searchParams.get('schema') ?? 'public';
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(schema))
    throw new StartupError('DATABASE_URL names a schema that is none: letters, digits and _, at most 63 of them.');
  url.searchParams.delete('schema');
  const options = schema === 'public' ? {} : { options: `-c search_path="${schema}"` };
  return { client: { ...OPTIONS, ...options, connectionString: url.href }, schema };
}
