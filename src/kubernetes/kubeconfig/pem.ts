import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

// [^-] makes matching linear even for hostile text, because the body of a block cannot contain the start of another
// block.
const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const keyBlock = /-----BEGIN ((?:[A-Z0-9]{1,20} )?PRIVATE KEY)-----([^-]*)-----END \1-----/;

/**
 * The certificates of PEM text in order, ignoring other text between them. `unreadable` has the positions, from 1, of
 * the blocks that are not certificates.
 */
export function readCertificates(pem: string): { certificates: X509Certificate[]; unreadable: number[] } {
  const certificates: X509Certificate[] = [];
  const unreadable: number[] = [];
  for (const [index, block] of (pem.match(certificateBlock) ?? []).entries()) {
    const certificate = readCertificate(block);
    if (certificate) certificates.push(certificate);
    else unreadable.push(index + 1);
  }
  return { certificates, unreadable };
}

function readCertificate(block: string): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(block);
    return Number.isNaN(certificate.validToDate.getTime()) ? undefined : certificate;
  } catch {
    return undefined;
  }
}

/**
 * The first private key of PEM text, and a PEM block of it that OpenSSL reads; undefined if there is none or it needs a
 * passphrase. Like Go's crypto/tls, tries every encoding: some tools write a wrong label, such as PRIVATE KEY over
 * PKCS #1 or ED25519 PRIVATE KEY over PKCS #8.
 */
export function readPrivateKey(pem: string): { key: KeyObject; block: string } | undefined {
  const [block, , body = ''] = pem.match(keyBlock) ?? [];
  if (block === undefined) return undefined;
  const key = readKey(block);
  if (key) return { key, block: `${block}\n` };
  const der = Buffer.from(body, 'base64');
  for (const type of ['pkcs8', 'pkcs1', 'sec1'] as const) {
    const found = readKey({ key: der, format: 'der', type });
    if (found) return { key: found, block: found.export({ format: 'pem', type: 'pkcs8' }).toString() };
  }
  return undefined;
}

function readKey(input: Parameters<typeof createPrivateKey>[0]): KeyObject | undefined {
  try {
    return createPrivateKey(input);
  } catch {
    return undefined;
  }
}
