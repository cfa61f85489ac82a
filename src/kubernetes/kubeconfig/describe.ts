import { readCertificates } from './pem.ts';
import type { Target } from './target.ts';

/** How a target authenticates to the API server. */
type CredentialKind = 'TOKEN' | 'CLIENT_CERTIFICATE' | 'TOKEN_AND_CERTIFICATE' | 'NONE';

/**
 * `expiresAt`: when the first of token and client certificates expires.
 * `caExpiresAt`: when the last CA expires. Absent if unknown.
 */
export interface DescribedCredential {
  kind: CredentialKind;
  expiresAt?: Date;
  caExpiresAt?: Date;
}

export function describeCredential(target: Target): DescribedCredential {
  const { token, clientCertificate, caData } = target;
  const expiryTimes = clientCertificate ? expiryTimesOf(clientCertificate.certificate) : [];
  const tokenExpiresAt = token === undefined ? undefined : tokenExpiry(token);
  if (tokenExpiresAt !== undefined) expiryTimes.push(tokenExpiresAt);
  const caExpiryTimes = caData === undefined ? [] : expiryTimesOf(caData);
  return {
    kind: kindOf(target),
    ...(expiryTimes.length === 0 ? {} : { expiresAt: new Date(Math.min(...expiryTimes)) }),
    // During a CA rotation the bundle contains both the old and the new CA, so the last expiry counts.
    ...(caExpiryTimes.length === 0 ? {} : { caExpiresAt: new Date(Math.max(...caExpiryTimes)) }),
  };
}

/** Says which part of a credential has expired, and when; undefined if none has. */
export function describeExpired({ token, clientCertificate }: Target, now: number): string | undefined {
  const certificate = clientCertificate && readCertificates(clientCertificate.certificate).certificates[0];
  const times: [string, number | undefined][] = [
    ['token', token === undefined ? undefined : tokenExpiry(token)],
    ['client certificate', certificate?.validToDate.getTime()],
  ];
  const [what, at] = times.find(([, at]) => at !== undefined && at <= now) ?? [];
  return at === undefined ? undefined : `the ${what} expired on ${new Date(at).toISOString().slice(0, 10)}`;
}

function expiryTimesOf(pem: string): number[] {
  return readCertificates(pem).certificates.map((certificate) => certificate.validToDate.getTime());
}

function kindOf({ token, clientCertificate }: Target): CredentialKind {
  if (clientCertificate) return token === undefined ? 'CLIENT_CERTIFICATE' : 'TOKEN_AND_CERTIFICATE';
  return token === undefined ? 'NONE' : 'TOKEN';
}

function tokenExpiry(token: string): number | undefined {
  const parts = token.split('.');
  if (parts.length !== 3) return undefined;
  try {
    const { exp } = JSON.parse(Buffer.from(parts[1] ?? '', 'base64url').toString()) as { exp?: unknown };
    const end = typeof exp === 'number' ? exp * 1000 : Number.NaN;
    return Number.isNaN(new Date(end).getTime()) ? undefined : end;
  } catch {
    return undefined;
  }
}
