import { Client, type ClientConfig } from 'pg';
import { StartupError } from '../startup-error.ts';

/** How to connect to a database, and the schema that contains Kitestring's tables. `setUp` selects the schema. */
export interface PostgresLocation {
  readonly client: ClientConfig;
  readonly schema: string;
}

/**
 * Options of every connection. Session settings are not among them, because a pooler rejects settings it does not know.
 */
const OPTIONS = { application_name: 'kitestring', connectionTimeoutMillis: 5_000, keepAlive: true } as const;

const SAME_AS_VERIFY_FULL = ['prefer', 'require', 'verify-ca'];
const SSL_MODES = ['disable', 'no-verify', ...SAME_AS_VERIFY_FULL, 'verify-full'];

/** Parses `postgresql://user:password@host:port/database?schema=name`. The schema defaults to `public`. */
export function readPostgresUrl(text: string): PostgresLocation {
  const url = URL.parse(text);
  if (!url || !/^postgres(?:ql)?:$/.test(url.protocol) || (url.hostname === '' && !url.searchParams.has('host')))
    throw invalidUrl();
  // A / or @ in the database name is the rest of a password that was not percent-encoded. Rejecting it prevents a DNS
  // lookup of the first part of the password.
  if (/[/@]/.test(url.pathname.slice(1))) throw invalidUrl();
  if (url.pathname.length < 2)
    throw new StartupError('DATABASE_URL names no database: write postgresql://user:password@host:5432/database.');
  const schema = url.searchParams.get('schema') ?? 'public';
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(schema))
    throw new StartupError(
      'DATABASE_URL names an invalid schema: use at most 63 letters, digits and _, and do not start with a digit.',
    );
  url.searchParams.delete('schema');
  const mode = url.searchParams.get('sslmode');
  if (mode !== null && !SSL_MODES.includes(mode))
    throw new StartupError(`DATABASE_URL has an invalid sslmode: use ${SSL_MODES.join(', ')}.`);
  // pg treats these three modes as verify-full anyway, but prints a warning.
  if (mode !== null && SAME_AS_VERIFY_FULL.includes(mode)) url.searchParams.set('sslmode', 'verify-full');
  const client = { ...OPTIONS, connectionString: url.href };
  requireReadableByPg(client);
  return { client, schema };
}

/**
 * Throws a StartupError if pg cannot parse the URL. pg's own errors are not shown, because they may contain the
 * password.
 */
function requireReadableByPg(client: ClientConfig): void {
  try {
    new Client(client);
  } catch (error) {
    if (error instanceof Error && 'path' in error)
      throw new StartupError(`DATABASE_URL names the file ${error.path}, which cannot be read.`);
    throw invalidUrl();
  }
}

function invalidUrl(): StartupError {
  return new StartupError(
    'DATABASE_URL is not a URL of a PostgreSQL database: write postgresql://user:password@host:5432/database and percent-encode special characters.',
  );
}
