import { Client, type ClientConfig } from 'pg';
import { StartupError } from '../startup-error.ts';

/** How a database is reached, and the schema in it that is Kitestring's: `setUp` lets a connection look there. */
export interface PostgresLocation {
  readonly client: ClientConfig;
  readonly schema: string;
}

/** What every connection is opened with; a pooler refuses to be given settings that it does not know. */
const OPTIONS = { application_name: 'kitestring', connectionTimeoutMillis: 5_000, keepAlive: true } as const;

const SAME_AS_VERIFY_FULL = ['prefer', 'require', 'verify-ca'];
const SSL_MODES = ['disable', 'no-verify', ...SAME_AS_VERIFY_FULL, 'verify-full'];

/** Reads `postgresql://user:password@host:port/database?schema=name`; the schema is `public` unless it says another. */
export function readPostgresUrl(text: string): PostgresLocation {
  const url = URL.parse(text);
  if (!url || !/^postgres(?:ql)?:$/.test(url.protocol) || (url.hostname === '' && !url.searchParams.has('host')))
    throw unreadable();
  // The rest of a password whose special characters stand as they are: its beginning would be asked for as a host.
  if (/[/@]/.test(url.pathname.slice(1))) throw unreadable();
  if (url.pathname.length < 2)
    throw new StartupError('DATABASE_URL names no database: write postgresql://user:password@host:5432/database.');
  const schema = url.searchParams.get('schema') ?? 'public';
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(schema))
    throw new StartupError('DATABASE_URL names a schema that is none: letters, digits and _, at most 63 of them.');
  url.searchParams.delete('schema');
  const mode = url.searchParams.get('sslmode');
  if (mode !== null && !SSL_MODES.includes(mode))
    throw new StartupError(`DATABASE_URL has an sslmode that is none: use ${SSL_MODES.join(', ')}.`);
  // As pg reads these three anyway, with a warning for each.
  if (mode !== null && SAME_AS_VERIFY_FULL.includes(mode)) url.searchParams.set('sslmode', 'verify-full');
  const client = { ...OPTIONS, connectionString: url.href };
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
