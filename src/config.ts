import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { StartupError } from './storage/startup-error.ts';

// If either variable is set, the yaml library prints every token that it reads, and kubeconfigs contain secrets.
delete process.env.LOG_TOKENS;
delete process.env.LOG_STREAM;
// Name resolution uses up to half of libuv's threads, and a silent resolver blocks each for 10 s or more. Up to 96
// probes run concurrently and must not wait for each other. libuv reads the variable when it first needs a thread.
process.env.UV_THREADPOOL_SIZE ??= '192';

const booleanText = z
  .enum(['true', 'false'], { error: 'must be true or false' })
  .transform((value) => value === 'true');
const list = z.string().transform((value) =>
  value
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== ''),
);
const integer = (least: number, most: number) =>
  z
    .string()
    .regex(/^[0-9]+$/, 'must be a whole number')
    .transform(Number)
    .refine((value) => value >= least && value <= most, `must be ${least} to ${most}`);

const origins = list.refine((entries) => entries.every((entry) => URL.parse(entry)?.origin === entry), {
  error: 'must be exact origins, such as https://console.example.com, separated by commas',
});

/** Accepts https URLs, and http URLs on loopback, because tokens are sent to them. */
const trustedUrl = (rule: (url: URL) => boolean, example: string) =>
  z.string().refine(
    (text) => {
      const url = URL.parse(text);
      if (!url || url.username + url.password + url.search + url.hash !== '') return false;
      const isTrusted = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
      return isTrusted && rule(url);
    },
    { error: `must be an https URL (http only on loopback) such as ${example}` },
  );

/** `group=role` pairs. The last `=` separates group and role, because names of groups may contain `=`. */
const groupRoles = list
  .refine((entries) => entries.every((entry) => /^.+=[a-z][a-z0-9-]*$/.test(entry)), {
    error: 'must be group=role, separated by commas',
  })
  .transform((entries) =>
    entries.map((entry): [group: string, role: string] => {
      const at = entry.lastIndexOf('=');
      return [entry.slice(0, at).trim(), entry.slice(at + 1)];
    }),
  );

const ranges = list.refine((entries) => entries.every(isRange), {
  error: 'must be IP addresses or ranges such as 10.0.0.0/8, separated by commas',
});

interface Variable {
  /** The value of an unset variable, as text. Undefined means that the variable is optional. */
  readonly default?: string;
  readonly schema: z.ZodType;
  readonly about: string;
  /** Whether the value can also come from a file, named by NAME_FILE. */
  readonly secret?: true;
}

/** All environment variables of Kitestring. A test compares them with the table in the README. */
export const VARIABLES = {
  HOST: {
    default: '127.0.0.1',
    schema: z.string().min(1),
    about: 'Address to listen on. An address other than loopback requires SEAL_KEY.',
  },
  PORT: { default: '8080', schema: integer(0, 65_535), about: 'Port to listen on; 0 selects a free port.' },
  DATA_DIR: {
    default: './data',
    schema: z.string().min(1),
    about: 'Directory for the SQLite file, the key file and the first admin key.',
  },
  DATABASE_URL: {
    schema: z.string(),
    secret: true,
    about:
      'URL of the PostgreSQL database that the replicas share: `postgresql://user:password@host:5432/database`, optionally with `?schema=`. If unset, a SQLite file is used. Requires SEAL_KEY.',
  },
  SEAL_KEY: {
    schema: z.string(),
    secret: true,
    about:
      'Key that encrypts kubeconfigs: 32 bytes as base64 or hex. Of several keys, separated by commas, the first encrypts; all of them decrypt.',
  },
  ADMIN_API_KEY: {
    schema: z.string(),
    secret: true,
    about: 'An admin API key, `kite<id>-<secret>`. A start without this variable disables the key.',
  },
  IMPORT_KUBECONFIG: {
    schema: z.string().min(1),
    about: 'Kubeconfig file to import at start if no cluster is registered.',
  },
  ALLOWED_ORIGINS: {
    default: '',
    schema: origins,
    about: 'Origins of other sites that may call the APIs from a browser (CORS), separated by commas.',
  },
  ALLOWED_HOSTS: {
    default: '',
    schema: list,
    about:
      'Allowed host names in the `Host` header, separated by commas. localhost and IP addresses are always allowed.',
  },
  TRUSTED_PROXIES: {
    default: '',
    schema: ranges,
    about:
      'IP addresses or ranges of proxies, such as 10.0.0.0/8, separated by commas. Their `X-Forwarded-*` and `Forwarded` headers are trusted.',
  },
  MAX_BODY: {
    default: String(4 * 1024 * 1024),
    schema: integer(1_024, 256 * 1024 * 1024),
    about: 'Maximum size of a request body, in bytes.',
  },
  KEEP_ALIVE_SECONDS: {
    default: '75',
    schema: integer(1, 3_600),
    about:
      'Idle time-out of a connection, in seconds. It must be longer than the idle time-out of a proxy in front of Kitestring.',
  },
  GRAPHQL_COST_PER_MINUTE: {
    default: '10000000',
    schema: integer(0, 1_000_000_000),
    about:
      'Maximum cost per caller and minute of GraphQL documents and request bodies (a page of 100 clusters: 4,000; 1 KiB of a body, or of a variable at each use: 10). 0 means no limit.',
  },
  KITE_UI_DIR: {
    schema: z.string().min(1),
    about: "Directory of Kite's built web UI. It is read at start and served at `/`.",
  },
  ALLOW_LOOPBACK_TARGETS: {
    schema: booleanText,
    about: 'Whether API servers may have loopback addresses. The default is true if Kitestring listens on loopback.',
  },
  DENIED_TARGETS: {
    schema: ranges,
    about:
      'IP addresses or ranges such as 10.0.0.0/8, separated by commas, that API servers must not have. Link-local addresses and the metadata addresses of public clouds are always denied.',
  },
  ALLOW_HTTP_TARGETS: {
    default: 'false',
    schema: booleanText,
    about: 'Whether the URL of an API server may use plain http.',
  },
  ALLOW_INSECURE_TLS: {
    default: 'false',
    schema: booleanText,
    about: 'Whether a kubeconfig may set insecure-skip-tls-verify.',
  },
  ALLOW_TARGET_PROXY: { default: 'false', schema: booleanText, about: 'Whether a kubeconfig may set a proxy-url.' },
  AUDIT_RETENTION_DAYS: {
    default: '365',
    schema: integer(1, 36_500),
    about: 'Days after which audit records are deleted.',
  },
  METRICS_HOST: {
    default: '127.0.0.1',
    schema: z.string().min(1),
    about: 'Address of the metrics endpoint for Prometheus.',
  },
  METRICS_PORT: {
    default: '9464',
    schema: integer(0, 65_535),
    about:
      'Port of the metrics endpoint; 0 disables it. `/metrics` on the main port stays available with an admin key.',
  },
  OIDC_ISSUER: {
    schema: trustedUrl(() => true, 'https://login.example.com/realms/people'),
    about: 'Issuer URL of the OpenID Connect provider. Its discovery document is loaded from there.',
  },
  OIDC_CLIENT_ID: { schema: z.string().min(1), about: 'Client id of Kitestring at the provider.' },
  OIDC_CLIENT_SECRET: {
    schema: z.string(),
    secret: true,
    about: 'Client secret. Unset for a public client, which PKCE protects.',
  },
  OIDC_REDIRECT_URL: {
    schema: trustedUrl(
      ({ pathname }) => pathname.endsWith('/api/auth/callback'),
      'https://kitestring.example.com/api/auth/callback',
    ),
    about: 'Public URL of `/api/auth/callback`, as registered at the provider.',
  },
  OIDC_NAME: {
    default: 'oidc',
    schema: z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,31}$/, 'must be 1 to 32 lower-case letters, digits or "-", beginning with a letter')
      .refine((name) => name !== 'password', 'must not be password'),
    about: 'Name of the provider in `/api/auth/providers`.',
  },
  OIDC_SCOPES: {
    default: 'openid profile email',
    schema: z.string().refine((text) => text.split(' ').includes('openid'), 'must contain openid'),
    about: 'Scopes to request, separated by spaces. Some providers require `groups`.',
  },
  OIDC_GROUPS_CLAIM: {
    default: 'groups',
    schema: z.string().min(1),
    about: 'Claim of the ID token, or of the userinfo response, that contains the groups of the user.',
  },
  OIDC_ROLES: {
    default: '',
    schema: groupRoles,
    about: 'Roles that groups grant, `group=role,group2=role2`. They are evaluated at each sign-in.',
  },
  OIDC_DEFAULT_ROLE: {
    schema: z.string().regex(/^[a-z][a-z0-9-]*$/, 'must be the name of a role'),
    about: 'Role for every user of the provider. If unset, users without a group in OIDC_ROLES cannot sign in.',
  },
  LOG_LEVEL: {
    default: 'info',
    schema: z.enum(['debug', 'info', 'warn', 'error', 'silent'], {
      error: 'must be debug, info, warn, error or silent',
    }),
    about: 'Minimum level of the logged lines.',
  },
} as const satisfies Record<string, Variable>;

type Name = keyof typeof VARIABLES;
type Value<Key extends Name> =
  | z.output<(typeof VARIABLES)[Key]['schema']>
  | ((typeof VARIABLES)[Key] extends { default: string } ? never : undefined);

/** The validated and frozen configuration. */
export type Config = ReturnType<typeof readConfig>;

/** Reads the configuration. Throws a StartupError that names an invalid variable but never contains a secret. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env) {
  const read = <Key extends Name>(name: Key): Value<Key> => {
    const { schema, default: fallback } = VARIABLES[name] as Variable;
    const text = readVariable(environment, name) ?? fallback;
    if (text === undefined) return undefined as Value<Key>;
    const result = schema.safeParse(text);
    if (!result.success) throw new StartupError(`${name} ${result.error.issues[0]?.message}.`);
    return result.data as Value<Key>;
  };
  const host = read('HOST');
  const loopback = isLoopback(host);
  const dataDir = resolve(read('DATA_DIR'));
  const sealKey = read('SEAL_KEY');
  const url = read('DATABASE_URL');
  const reason = url === undefined ? `HOST ${host} is not loopback` : 'DATABASE_URL is set';
  if (sealKey === undefined && (!loopback || url !== undefined))
    throw new StartupError(
      `${reason}, so a key that encrypts kubeconfigs is required: set SEAL_KEY (openssl rand -base64 32) or SEAL_KEY_FILE.`,
    );
  return Object.freeze({
    host,
    loopback,
    port: read('PORT'),
    dataDir,
    database: Object.freeze(url === undefined ? { file: join(dataDir, 'kitestring.db') } : { url }),
    sealKey,
    adminApiKey: read('ADMIN_API_KEY'),
    importKubeconfig: read('IMPORT_KUBECONFIG'),
    allowedOrigins: read('ALLOWED_ORIGINS'),
    allowedHosts: read('ALLOWED_HOSTS'),
    trustedProxies: read('TRUSTED_PROXIES'),
    maxBody: read('MAX_BODY'),
    keepAliveMs: read('KEEP_ALIVE_SECONDS') * 1_000,
    graphqlCostPerMinute: read('GRAPHQL_COST_PER_MINUTE'),
    kiteUiDir: read('KITE_UI_DIR'),
    auditRetentionDays: read('AUDIT_RETENTION_DAYS'),
    metrics: Object.freeze({
      host: read('METRICS_HOST'),
      port: read('METRICS_PORT'),
      loopback: isLoopback(read('METRICS_HOST')),
      isConfigured: readVariable(environment, 'METRICS_PORT') !== undefined,
    }),
    openId: readOpenId(environment, read),
    logLevel: read('LOG_LEVEL'),
    // The kubelet sets these variables in every pod, so they are not documented.
    inCluster: { host: environment.KUBERNETES_SERVICE_HOST, port: environment.KUBERNETES_SERVICE_PORT },
    policy: Object.freeze({
      allowLoopback: read('ALLOW_LOOPBACK_TARGETS') ?? loopback,
      deniedTargets: read('DENIED_TARGETS'),
      allowHttp: read('ALLOW_HTTP_TARGETS'),
      allowInsecureTls: read('ALLOW_INSECURE_TLS'),
      allowProxy: read('ALLOW_TARGET_PROXY'),
    }),
  });
}

/** Reads the OpenID Connect provider. Returns an empty list if no OIDC variable is set. */
function readOpenId(environment: NodeJS.ProcessEnv, read: <Key extends Name>(name: Key) => Value<Key>) {
  const names = Object.keys(VARIABLES).filter((name): name is Name => name.startsWith('OIDC_'));
  const set = names.find((name) => readVariable(environment, name) !== undefined);
  if (set === undefined) return Object.freeze([]);
  const need = <T>(name: Name, value: T | undefined): T => {
    if (value === undefined) throw new StartupError(`${set} is set, so ${name} must be set too.`);
    return value;
  };
  const roles = read('OIDC_ROLES');
  const defaultRole = read('OIDC_DEFAULT_ROLE');
  const provider = Object.freeze({
    name: read('OIDC_NAME'),
    issuer: need('OIDC_ISSUER', read('OIDC_ISSUER')),
    clientId: need('OIDC_CLIENT_ID', read('OIDC_CLIENT_ID')),
    clientSecret: read('OIDC_CLIENT_SECRET'),
    redirectUrl: need('OIDC_REDIRECT_URL', read('OIDC_REDIRECT_URL')),
    scopes: read('OIDC_SCOPES'),
    groupsClaim: read('OIDC_GROUPS_CLAIM'),
    roles,
    defaultRole,
  });
  if (roles.length === 0 && defaultRole === undefined)
    throw new StartupError('OIDC_ISSUER is set, but no user could sign in: set OIDC_ROLES or OIDC_DEFAULT_ROLE.');
  return Object.freeze([provider]);
}

/**
 * Returns the value of a variable, or for a secret the content of the file named by NAME_FILE. An empty value counts as
 * unset.
 */
function readVariable(environment: NodeJS.ProcessEnv, name: Name): string | undefined {
  const value = environment[name] || undefined;
  const file = (VARIABLES[name] as Variable).secret ? environment[`${name}_FILE`] : undefined;
  if (!file) return value;
  if (value !== undefined) throw new StartupError(`${name} and ${name}_FILE are both set: unset one of them.`);
  const text = readSecret(name, file);
  if (text === '') throw new StartupError(`${name}_FILE names ${file}, which is empty: put the secret in it.`);
  return text;
}

function readSecret(name: Name, file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'unknown';
    throw new StartupError(`${name}_FILE names ${file}, which cannot be read (${code}): make it readable or unset it.`);
  }
}

function isRange(text: string): boolean {
  const [ip = '', bits = '0', more] = text.split('/');
  return (
    more === undefined && isIP(ip) !== 0 && /^[0-9]{1,3}$/.test(bits) && Number(bits) <= (isIP(ip) === 4 ? 32 : 128)
  );
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127\.[0-9]+\.[0-9]+\.[0-9]+$/.test(host);
}
