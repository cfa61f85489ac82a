import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

// [^-] makes matching linear even for hostile text, because the body of a block cannot contain the start of another
// block.
const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const keyBlock = /-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----[^-]*-----END \1-----/;

/**
 * The certificates of PEM text in order, ignoring other text between them;
 * undefined if there is none or any is invalid.
 */
export function readCertificates(pem: string): X509Certificate[] | undefined {
  try {
    const certificates = pem.match(certificateBlock)?.map((block) => new X509Certificate(block));
    return certificates?.some((certificate) => Number.isNaN(certificate.validToDate.getTime()))
      ? undefined
      : certificates;
  } catch {
    return undefined;
  }
}

/** The first private key of PEM text and its PEM block; undefined if there is none or it needs a passphrase. */
export function readPrivateKey(pem: string): { key: KeyObject; block: string } | undefined {
  const block = pem.match(keyBlock)?.[0];
  if (block === undefined) return undefined;
  try {
    return { key: createPrivateKey(block), block: `${block}\n` };
  } catch {
    return undefined;
  }
}
