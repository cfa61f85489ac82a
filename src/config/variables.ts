import { z } from 'zod';
import { booleanText, groupRoles, hosts, integer, list, origins, ranges, trustedUrl } from './formats.ts';

export interface Variable {
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
      'Key that encrypts kubeconfigs: 32 bytes as base64 or hex. Of several keys, separated by commas, the first encrypts; all of them decrypt. A start warns if the first one is not random.',
  },
  LOST_SEAL_KEYS: {
    schema: list.refine((ids) => ids.every((id) => /^[\w-]{8}$/.test(id)), {
      error: 'must be ids of seal keys, separated by commas, as the error about a missing key names them',
    }),
    about:
      'Ids of seal keys that are lost, separated by commas. Kitestring starts without them; the clusters whose kubeconfigs they encrypt are UNUSABLE until they get a new kubeconfig.',
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
    schema: hosts,
    about:
      'Allowed host names in the `Host` header, separated by commas. localhost and IP addresses are always allowed.',
  },
  TRUSTED_PROXIES: {
    default: '',
    schema: ranges,
    about:
      'IP addresses or ranges of proxies, such as 10.0.0.0/8, separated by commas. Their `X-Forwarded-*` and `Forwarded` headers are trusted. A start warns if every address is trusted.',
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
      'Idle timeout of a connection, in seconds. It must be longer than the idle timeout of a proxy in front of Kitestring.',
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
    about: 'Minimum level of the logged lines: debug, info, warn, error or silent.',
  },
} as const satisfies Record<string, Variable>;
