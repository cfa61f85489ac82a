import { Client, type ClientConfig } from 'pg';
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
  idle_in_transaction_session_timeout: 8_000,
} as const;

/** Reads `postgresql://user:password@host:port/database?schema=name`; the schema is `public` unless it says another. */
export function readPostgresUrl(text: string): PostgresPlace {
  const url = URL.parse(text);
  if (!url || !/^postgres(?:ql)?:$/.test(url.protocol) || (url.hostname === '' && !url.searchParams.has('host')))
    throw unreadable();
  // The rest of a password whose special characters stand as they are: its beginning would be asked for as a host.
  if (/[/@]/.test(url.pathname.slice(1))) throw unreadable();
  const schema = url.searchParams.get('schema') ?? 'public';
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(schema))
    throw new StartupError('DATABASE_URL names a schema that is none: letters, digits and _, at most 63 of them.');
  // What the URL says itself comes before what stands beside it.
  const given = url.searchParams.get('options') ?? '';
  const options = schema === 'public' ? given : `${given} -c search_path="${schema}"`.trim();
  for (const name of ['schema', 'options']) url.searchParams.delete(name);
  const mode = url.searchParams.get('sslmode') ?? '';
  // As pg reads these three anyway, with a warning for each.
  if (['prefer', 'require', 'verify-ca'].includes(mode)) url.searchParams.set('sslmode', 'verify-full');
  const client = { ...OPTIONS, ...(options && { options }), connectionString: url.href };
  refuseUnreadable(client);
  return { client, schema };
}

/** pg reads a URL when a client is made; its own errors may hold what was given. */
function refuseUnreadable(client: ClientConfig): void {
  try {
    new Client(client);
  } catch (error) {
    if (error instanceof Error && 'path' in error)
      throw new StartupError(`DATABASE_URL names the file ${error.path}, which cannot be read.`);
    throw unreadable();
  }
}

function unreadable(): StartupError {
  return new StartupError(
    'DATABASE_URL is no URL of a PostgreSQL database: write postgresql://user:password@host:5432/database, special characters percent-encoded.',
  );
}
