import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

// [^-] keeps these linear in hostile text: no part of a block can hold the beginning of another.
const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const keyBlock = /-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----[^-]*-----END \1-----/;

/** The certificates of PEM text in their order, whatever stands between them; undefined when there is none or one is broken. */
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

/** The first private key of PEM text with the block it stands in; undefined when there is none that opens without a passphrase. */
export function readPrivateKey(pem: string): { key: KeyObject; block: string } | undefined {
  const block = pem.match(keyBlock)?.[0];
  if (block === undefined) return undefined;
  try {
    return { key: createPrivateKey(block), block: `${block}\n` };
  } catch {
    return undefined;
  }
}
