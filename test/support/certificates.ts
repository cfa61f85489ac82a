import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

/** A certificate and its private key, both PEM. */
export interface Issued {
  certificate: string;
  key: string;
}

interface CertificateRequest {
  commonName: string;
  /** The group that Kubernetes reads from a client certificate. */
  organization?: string;
  /** DNS names and IP addresses. */
  altNames?: string[];
  notBefore?: Date;
  notAfter?: Date;
  /** True for a client certificate; otherwise a server certificate. */
  client?: boolean;
  /** Default: P-256. */
  keyType?: KeyType | undefined;
}

export type KeyType = 'P-256' | 'Ed25519' | 'RSA-1024' | 'RSA-2048';

export interface Authority extends Issued {
  issue(request: CertificateRequest): Issued;
}

const day = 24 * 60 * 60 * 1000;

/**
 * A new certificate authority. Node reads certificates but cannot create them, so this function encodes them (RFC
 * 5280), with SHA-256.
 */
export function createAuthority(
  commonName = `authority ${randomBytes(4).toString('hex')}`,
  { notAfter, keyType }: { notAfter?: Date; keyType?: KeyType } = {},
): Authority {
  const keys = newKeys(keyType);
  const subject = name({ commonName });
  const certificate = write({
    subject,
    publicKey: keys.publicKey,
    issuer: subject,
    issuerKey: keys.privateKey,
    ...(notAfter ? { notAfter } : {}),
    extensions: [
      extension('2.5.29.19', true, sequence(der(0x01, [0xff]))),
      extension('2.5.29.15', true, der(0x03, [1, 0b0000_0110])),
    ],
  });
  return {
    certificate,
    key: pem(keys.privateKey),
    issue(request) {
      const certificateKeys = newKeys(request.keyType);
      const usage = request.client ? '1.3.6.1.5.5.7.3.2' : '1.3.6.1.5.5.7.3.1';
      const extensions = [extension('2.5.29.37', false, sequence(oid(usage)))];
      if (request.altNames?.length) {
        extensions.push(extension('2.5.29.17', false, sequence(...request.altNames.map(altName))));
      }
      return {
        certificate: write({
          ...request,
          subject: name(request),
          publicKey: certificateKeys.publicKey,
          issuer: subject,
          issuerKey: keys.privateKey,
          extensions,
        }),
        key: pem(certificateKeys.privateKey),
      };
    },
  };
}

function newKeys(type: KeyType = 'P-256'): { publicKey: KeyObject; privateKey: KeyObject } {
  if (type === 'P-256') return generateKeyPairSync('ec', { namedCurve: type });
  if (type === 'Ed25519') return generateKeyPairSync('ed25519');
  return generateKeyPairSync('rsa', { modulusLength: Number(type.slice(4)) });
}

function pem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

interface Certificate {
  subject: Buffer;
  publicKey: KeyObject;
  issuer: Buffer;
  issuerKey: KeyObject;
  extensions: Buffer[];
  notBefore?: Date;
  notAfter?: Date;
}

function write(certificate: Certificate): string {
  const {
    subject,
    publicKey,
    issuer,
    issuerKey,
    extensions,
    notBefore = new Date(Date.now() - day),
    notAfter = new Date(Date.now() + day),
  } = certificate;
  const isRsa = issuerKey.asymmetricKeyType === 'rsa';
  const algorithm = isRsa
    ? sequence(oid('1.2.840.113549.1.1.11'), der(0x05, []))
    : sequence(oid('1.2.840.10045.4.3.2'));
  const body = sequence(
    der(0xa0, der(0x02, [2])),
    der(0x02, [0x40, ...randomBytes(8)]),
    algorithm,
    issuer,
    sequence(time(notBefore), time(notAfter)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  );
  const signature = sign('sha256', body, issuerKey);
  const whole = sequence(body, algorithm, der(0x03, [0], signature));
  const lines = whole.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

function name({ commonName, organization }: { commonName: string; organization?: string }): Buffer {
  const parts = [attribute('2.5.4.3', commonName)];
  if (organization !== undefined) parts.unshift(attribute('2.5.4.10', organization));
  return sequence(...parts);
}

function attribute(type: string, value: string): Buffer {
  return der(0x31, sequence(oid(type), der(0x0c, Buffer.from(value))));
}

function altName(value: string): Buffer {
  if (isIP(value) === 4) return der(0x87, value.split('.').map(Number));
  if (isIP(value) === 0) return der(0x82, Buffer.from(value));
  const [front = [], back = []] = value.split('::').map((half) => half.split(':').filter(Boolean));
  const groups = [...front, ...Array<string>(8 - front.length - back.length).fill('0'), ...back];
  return der(0x87, Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex'));
}

function extension(type: string, critical: boolean, value: Buffer): Buffer {
  return sequence(oid(type), ...(critical ? [der(0x01, [0xff])] : []), der(0x04, value));
}

function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/\.\d+|\D/g, '');
  const year = date.getUTCFullYear();
  return year < 2050 ? der(0x17, Buffer.from(`${digits.slice(2)}Z`)) : der(0x18, Buffer.from(`${digits}Z`));
}

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return der(0x06, [first * 40 + second], rest.flatMap(base128));
}

function base128(value: number): number[] {
  const bytes = [value & 127];
  for (let left = value >> 7; left > 0; left >>= 7) bytes.unshift((left & 127) | 128);
  return bytes;
}

function sequence(...parts: Buffer[]): Buffer {
  return der(0x30, ...parts);
}

function der(tag: number, ...parts: (Uint8Array | number[])[]): Buffer {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const size = content.length;
  const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}
