import type { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { type Part, textOf } from './part.ts';
import { readCertificates, readPrivateKey } from './pem.ts';
import { UnusableKubeconfig } from './yaml.ts';

/** Caches checked certificates and keys by their base64 text, because thousands of contexts may share one CA. */
export interface CertificateCache {
  readonly authorities: Map<string, Checked<string>>;
  readonly keyPairs: Map<string, Checked<KeyPair>>;
}

/** A client certificate, or a chain of certificates, and the private key of the first certificate, all in PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/** A value, and warnings about ignored parts of the input. Each warning is a sentence that begins with the path of the field. */
interface Checked<T> {
  readonly value: T;
  readonly warnings: readonly string[];
}

export function emptyCertificateCache(): CertificateCache {
  return { authorities: new Map(), keyPairs: new Map() };
}

/** The smallest RSA key, in bits, that OpenSSL accepts at its default security level 2. */
const MIN_RSA_BITS = 2_048;

/** The CA bundle of a cluster in PEM; undefined if it has none. Certificates that cannot be used are ignored. */
export function readAuthority(cluster: Part, cache: CertificateCache): string | undefined {
  const data = textOf(cluster, 'certificate-authority-data');
  if (data === undefined) return undefined;
  const path = `${cluster.path}.certificate-authority-data`;
  let checked = cache.authorities.get(data);
  if (!checked) {
    const { certificates, warnings } = certificatesOf(path, data);
    const strong = certificates.filter((certificate) => !isWeak(certificate));
    if (strong.length === 0)
      throw new UnusableKubeconfig(`${path} has only RSA keys below ${MIN_RSA_BITS} bits, which TLS refuses`);
    if (strong.length < certificates.length)
      warnings.push(`has RSA keys below ${MIN_RSA_BITS} bits, which TLS refuses: these certificates were ignored`);
    checked = { value: strong.join(''), warnings };
    cache.authorities.set(data, checked);
  }
  cluster.warnings.push(...checked.warnings.map((warning) => `${path} ${warning}`));
  return checked.value;
}

function isWeak({ publicKey: { asymmetricKeyType, asymmetricKeyDetails } }: X509Certificate): boolean {
  return asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) < MIN_RSA_BITS;
}

/**
 * The client certificate of a user with its key. A certificate without its key, or the reverse, is ignored if
 * `isIdentified` is true, that is, if a token identifies the user.
 */
export function readClientCertificate(
  user: Part,
  cache: CertificateCache,
  { isIdentified }: { isIdentified: boolean },
): KeyPair | undefined {
  const certificateData = textOf(user, 'client-certificate-data');
  const keyData = textOf(user, 'client-key-data');
  if (certificateData === undefined || keyData === undefined) {
    if (certificateData === keyData) return undefined;
    const [has, lacks] = ['client-certificate-data', 'client-key-data'].sort((key) => (textOf(user, key) ? -1 : 1));
    const problem = `${user.path}.${has} is set without ${lacks}`;
    if (!isIdentified) throw new UnusableKubeconfig(problem);
    user.warnings.push(`${problem} and was ignored`);
    return undefined;
  }
  const both = `${certificateData}\n${keyData}`;
  let checked = cache.keyPairs.get(both);
  if (!checked) {
    checked = checkKeyPair(user.path, certificateData, keyData);
    cache.keyPairs.set(both, checked);
  }
  user.warnings.push(...checked.warnings.map((warning) => `${user.path}.client-certificate-data ${warning}`));
  return checked.value;
}

function checkKeyPair(path: string, certificateData: string, keyData: string): Checked<KeyPair> {
  const certificatePath = `${path}.client-certificate-data`;
  const { certificates, unreadable, warnings } = certificatesOf(certificatePath, certificateData);
  const [leaf] = certificates;
  if (!leaf || unreadable.includes(1))
    throw new UnusableKubeconfig(`${certificatePath} begins with a certificate that cannot be read`);
  const key = readPrivateKey(decode(`${path}.client-key-data`, keyData));
  if (key === undefined) {
    throw new UnusableKubeconfig(`${path}.client-key-data is not a PEM private key that opens without a passphrase`);
  }
  if (!leaf.checkPrivateKey(key.key)) {
    throw new UnusableKubeconfig(
      `${path}.client-key-data does not belong to the first certificate of client-certificate-data`,
    );
  }
  const value = { certificate: certificates.join(''), key: key.block };
  const refusal = tlsRefusalOf(value);
  if (refusal) throw new UnusableKubeconfig(`${certificatePath} cannot be used for TLS: ${refusal}`);
  return { value, warnings };
}

/** Why OpenSSL refuses to use a key pair, such as `ee key too small`; undefined if it does not. */
function tlsRefusalOf({ certificate, key }: KeyPair): string | undefined {
  try {
    createSecureContext({ cert: certificate, key });
    return undefined;
  } catch (error) {
    // OpenSSL's reason is one of a fixed list of phrases. The message may contain more.
    const reason = error instanceof Error && 'reason' in error ? String(error.reason) : 'OpenSSL does not accept it';
    return reason.replace(/^ee key too small$/, 'its key is too small').slice(0, 100);
  }
}

function certificatesOf(path: string, data: string) {
  const { certificates, unreadable } = readCertificates(decode(path, data));
  if (certificates.length === 0)
    throw new UnusableKubeconfig(
      unreadable.length === 0
        ? `${path} is base64, but contains no PEM certificate`
        : `${path} contains no certificate that can be read`,
    );
  const list = unreadable.slice(0, 5).join(', ');
  const warnings =
    unreadable.length === 0 ? [] : [`has certificates that cannot be read, which were ignored: number ${list}`];
  return { certificates, unreadable, warnings };
}

function decode(path: string, data: string): string {
  const compact = data.replace(/\s+/g, '');
  if (compact.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(compact))
    return Buffer.from(compact, 'base64').toString('latin1');
  const isPem = compact.startsWith('-----BEGIN');
  throw new UnusableKubeconfig(`${path} is not base64${isPem ? ': it is PEM text, encode it as base64' : ''}`);
}
