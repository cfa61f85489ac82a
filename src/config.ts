import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { z } from 'zod';
import { isLoopbackHost } from './config/formats.ts';
import { VARIABLES, type Variable } from './config/variables.ts';
import { StartupError } from './storage/startup-error.ts';

// If either variable is set, the yaml library prints every token that it reads, and kubeconfigs contain secrets.
delete process.env.LOG_TOKENS;
delete process.env.LOG_STREAM;
// Name resolution uses up to half of libuv's threads, and a silent resolver blocks each for 10 s or more. Up to 96
// probes run concurrently and must not wait for each other. libuv reads the variable when it first needs a thread.
process.env.UV_THREADPOOL_SIZE ??= '192';

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
  const loopback = isLoopbackHost(host);
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
    lostSealKeys: read('LOST_SEAL_KEYS'),
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
      loopback: isLoopbackHost(read('METRICS_HOST')),
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
