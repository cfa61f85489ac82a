import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { StartupError } from './storage/startup-error.ts';

// With either of these the yaml library prints every token that it reads, and kubeconfigs hold secrets.
delete process.env.LOG_TOKENS;
delete process.env.LOG_STREAM;
// Half of libuv's threads look up names, and a resolver that is silent keeps each for 10 s and more: 96 attempts to reach
// clusters may run at once, and must not wait for one another. libuv reads it when it first needs a thread.
process.env.UV_THREADPOOL_SIZE ??= '192';

const flag = z.enum(['true', 'false'], { error: 'must be true or false' }).transform((value) => value === 'true');
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

/** Https, or http within this machine: tokens travel there. */
const trustedUrl = (rule: (url: URL) => boolean, example: string) =>
  z.string().refine(
    (text) => {
      const url = URL.parse(text);
      if (!url || url.username + url.password + url.search + url.hash !== '') return false;
      const isTrusted = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
      return isTrusted && rule(url);
    },
    { error: `must be an https URL (http on loopback alone) such as ${example}` },
  );

/** `group=role` pairs; the last = divides, since names of groups may hold one. */
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
  /** The text that stands for an unset variable; undefined: unset. */
  readonly default?: string;
  readonly schema: z.ZodType;
  readonly about: string;
  /** A secret can also be given as NAME_FILE, a file that holds it. */
  readonly secret?: true;
}

/** Every variable that Kitestring reads; the README's table is checked against it. */
export const VARIABLES = {
  HOST: {
    default: '127.0.0.1',
    schema: z.string().min(1),
    about: 'Address to listen on. Anything but loopback needs SEAL_KEY.',
  },
  PORT: { default: '8080', schema: integer(0, 65_535), about: 'Port to listen on; 0 takes a free one.' },
  DATA_DIR: {
    default: './data',
    schema: z.string().min(1),
    about: 'Directory of the SQLite file, the key file and the first admin key.',
  },
  DATABASE_URL: {
    schema: z.string(),
    secret: true,
    about:
      'The PostgreSQL database that replicas share, `postgresql://user:password@host:5432/database`, with `?schema=` for a schema of its own; without it the registry is a SQLite file. Needs SEAL_KEY.',
  },
  SEAL_KEY: {
    schema: z.string(),
    secret: true,
    about:
      'Key that seals kubeconfigs: 32 bytes as base64 or hex; several, separated by commas, open what older ones sealed.',
  },
  ADMIN_API_KEY: {
    schema: z.string(),
    secret: true,
    about: 'An admin API key by configuration, `kite<id>-<secret>`; disabled at the next start without it.',
  },
  IMPORT_KUBECONFIG: {
    schema: z.string().min(1),
    about: 'A kubeconfig file to import at start while the registry is empty.',
  },
  ALLOWED_ORIGINS: {
    default: '',
    schema: origins,
    about: 'Origins of other sites whose pages may call the APIs, separated by commas.',
  },
  ALLOWED_HOSTS: {
    default: '',
    schema: list,
    about: 'Host names that a request may be for, besides localhost and IP addresses.',
  },
  TRUSTED_PROXIES: {
    default: '',
    schema: ranges,
    about: 'Addresses of proxies, or ranges such as 10.0.0.0/8, whose word on where a request came from is taken.',
  },
  MAX_BODY: {
    default: String(4 * 1024 * 1024),
    schema: integer(1_024, 256 * 1024 * 1024),
    about: 'Bytes of the largest request body.',
  },
  KEEP_ALIVE_SECONDS: {
    default: '75',
    schema: integer(1, 3_600),
    about: 'Seconds that an idle connection is kept open for the next request; more than the idle time-out of a proxy.',
  },
  GRAPHQL_COST_PER_MINUTE: {
    default: '10000000',
    schema: integer(0, 1_000_000_000),
    about:
      'Cost that one caller may spend per minute on GraphQL documents and request bodies (a page of 100 clusters: 4,000; 1 KiB of a body: 10); 0 means no limit.',
  },
  KITE_UI_DIR: {
    schema: z.string().min(1),
    about: "Directory of Kite's built web UI, which is then served at `/`; read at the start.",
  },
  ALLOW_LOOPBACK_TARGETS: {
    schema: flag,
    about: 'Whether clusters may be on loopback; true when Kitestring itself listens on loopback.',
  },
  DENIED_TARGETS: {
    schema: ranges,
    about:
      'IP addresses or ranges such as 10.0.0.0/8, separated by commas, that clusters may not be on; link-local addresses and the metadata addresses of public clouds are always refused.',
  },
  ALLOW_HTTP_TARGETS: { default: 'false', schema: flag, about: 'Whether an API server may be plain http.' },
  ALLOW_INSECURE_TLS: {
    default: 'false',
    schema: flag,
    about: 'Whether a kubeconfig may say insecure-skip-tls-verify.',
  },
  ALLOW_TARGET_PROXY: { default: 'false', schema: flag, about: 'Whether a kubeconfig may name a proxy-url.' },
  AUDIT_RETENTION_DAYS: {
    default: '365',
    schema: integer(1, 36_500),
    about: 'Days that audit records are kept.',
  },
  METRICS_HOST: { default: '127.0.0.1', schema: z.string().min(1), about: 'Address of the metrics for Prometheus.' },
  METRICS_PORT: {
    default: '9464',
    schema: integer(0, 65_535),
    about: 'Port of the metrics; 0 turns it off, and leaves `/metrics` on the main port for an admin key.',
  },
  OIDC_ISSUER: {
    schema: trustedUrl(() => true, 'https://login.example.com/realms/people'),
    about: 'The OpenID Connect provider that people sign in by: its issuer, where its discovery document is found.',
  },
  OIDC_CLIENT_ID: { schema: z.string().min(1), about: 'What the provider knows Kitestring as.' },
  OIDC_CLIENT_SECRET: {
    schema: z.string(),
    secret: true,
    about: 'The secret the provider gave to that client; none for a public client, which PKCE protects.',
  },
  OIDC_REDIRECT_URL: {
    schema: trustedUrl(
      ({ pathname }) => pathname.endsWith('/api/auth/callback'),
      'https://kitestring.example.com/api/auth/callback',
    ),
    about: 'The public URL of `/api/auth/callback`, as the provider has it on its list.',
  },
  OIDC_NAME: {
    default: 'oidc',
    schema: z
      .string()
      .regex(/^[a-z][a-z0-9-]{0,31}$/, 'must be 1 to 32 lower-case letters, digits or "-", beginning with a letter')
      .refine((name) => name !== 'password', 'must be another name than password'),
    about: 'What the provider is called in `/api/auth/providers`.',
  },
  OIDC_SCOPES: {
    default: 'openid profile email',
    schema: z.string().refine((text) => text.split(' ').includes('openid'), 'must hold openid'),
    about: 'The scopes to ask for, separated by spaces; some providers want `groups` among them.',
  },
  OIDC_GROUPS_CLAIM: {
    default: 'groups',
    schema: z.string().min(1),
    about: "The claim of the ID token, or of userinfo, that holds a person's groups.",
  },
  OIDC_ROLES: {
    default: '',
    schema: groupRoles,
    about: 'The roles that groups give, `group=role,group2=role2`, taken anew at each sign-in.',
  },
  OIDC_DEFAULT_ROLE: {
    schema: z.string().regex(/^[a-z][a-z0-9-]*$/, 'must be the name of a role'),
    about: 'A role for everybody who can sign in at the provider; without it, those in none of the groups stay out.',
  },
  LOG_LEVEL: {
    default: 'info',
    schema: z.enum(['debug', 'info', 'warn', 'error', 'silent'], {
      error: 'must be debug, info, warn, error or silent',
    }),
    about: 'The least level that is logged.',
  },
} as const satisfies Record<string, Variable>;

type Name = keyof typeof VARIABLES;
type Value<Key extends Name> =
  | z.output<(typeof VARIABLES)[Key]['schema']>
  | ((typeof VARIABLES)[Key] extends { default: string } ? never : undefined);

/** Everything the environment decides, checked and frozen. */
export type Config = ReturnType<typeof readConfig>;

/** Reads the configuration; a wrong variable is a StartupError that names it and never shows a secret. */
export function readConfig(environment: NodeJS.ProcessEnv = process.env) {
  const read = <Key extends Name>(name: Key): Value<Key> => {
    const { schema, default: fallback } = VARIABLES[name] as Variable;
    const text = given(environment, name) ?? fallback;
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
  const why = url === undefined ? `HOST ${host} is not loopback` : 'DATABASE_URL is given';
  if (sealKey === undefined && (!loopback || url !== undefined))
    throw new StartupError(
      `${why}, so the key that seals kubeconfigs must be given: set SEAL_KEY (openssl rand -base64 32) or SEAL_KEY_FILE.`,
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
      asked: given(environment, 'METRICS_PORT') !== undefined,
    }),
    openId: readOpenId(environment, read),
    logLevel: read('LOG_LEVEL'),
    // Set by the kubelet in every pod; not ours to document.
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

/** The OpenID Connect providers: none, or the one that the variables describe. */
function readOpenId(environment: NodeJS.ProcessEnv, read: <Key extends Name>(name: Key) => Value<Key>) {
  const names = Object.keys(VARIABLES).filter((name): name is Name => name.startsWith('OIDC_'));
  const set = names.find((name) => given(environment, name) !== undefined);
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
    throw new StartupError('Nobody could sign in by OIDC_ISSUER: set OIDC_ROLES or OIDC_DEFAULT_ROLE.');
  return Object.freeze([provider]);
}

/** The variable itself, or for a secret what the file named by NAME_FILE holds; an empty one counts as unset. */
function given(environment: NodeJS.ProcessEnv, name: Name): string | undefined {
  const own = environment[name] || undefined;
  const file = (VARIABLES[name] as Variable).secret ? environment[`${name}_FILE`] : undefined;
  if (!file) return own;
  if (own !== undefined) throw new StartupError(`${name} and ${name}_FILE are both set: unset one of them.`);
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
