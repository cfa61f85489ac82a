/**
 * Explains the alerts that a server sends if it does not complete the TLS handshake (RFC 8446, section 6.2), by their
 * names in OpenSSL.
 */
const alerts: Readonly<Record<string, string>> = {
  UNKNOWN_CA: 'does not accept the client certificate: no CA that the server trusts has signed it',
  BAD_CERTIFICATE: 'does not accept the client certificate',
  CERTIFICATE_UNKNOWN: 'does not accept the client certificate',
  UNSUPPORTED_CERTIFICATE: 'does not accept client certificates of this type',
  CERTIFICATE_EXPIRED: 'does not accept the client certificate, because it has expired',
  CERTIFICATE_REVOKED: 'does not accept the client certificate, because it was revoked',
  CERTIFICATE_REQUIRED: 'requires a client certificate, which the kubeconfig does not have',
  NO_CERTIFICATE: 'requires a client certificate, which the kubeconfig does not have',
  ACCESS_DENIED: 'denies access to the client certificate',
  HANDSHAKE_FAILURE: 'supports no cipher or certificate type that Kitestring supports',
  INSUFFICIENT_SECURITY: 'requires stronger ciphers than Kitestring supports',
  PROTOCOL_VERSION: 'supports neither TLS 1.2 nor TLS 1.3',
  UNRECOGNIZED_NAME: 'does not know the host name in the TLS handshake: set tls-server-name to a name that it knows',
  NO_APPLICATION_PROTOCOL: 'supports neither HTTP/1.1 nor HTTP/2',
  INTERNAL_ERROR: 'reports an internal error in the TLS handshake',
  DECRYPT_ERROR: 'could not verify the TLS handshake: does the key belong to the client certificate?',
};

/**
 * Explains the results of certificate verification that cluster-error.ts does not describe, by their names in Node
 * (OpenSSL's X509_V_ERR codes).
 */
const verifications: Readonly<Record<string, string>> = {
  CERT_CHAIN_TOO_LONG: 'is signed through too many intermediate CAs',
  PATH_LENGTH_EXCEEDED: 'is signed through more intermediate CAs than its CA allows',
  INVALID_PURPOSE: 'is not a server certificate',
  CERT_REVOKED: 'was revoked',
  UNABLE_TO_GET_CRL: 'cannot be checked for revocation',
  UNABLE_TO_DECRYPT_CERT_SIGNATURE: 'has a signature that cannot be read',
  UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY: 'is signed by a CA with a key that cannot be read',
  ERROR_IN_CERT_NOT_BEFORE_FIELD: 'has an invalid start time',
  ERROR_IN_CERT_NOT_AFTER_FIELD: 'has an invalid end time',
};

/**
 * Describes an error of a TLS handshake by its code, as a sentence about `server`; undefined if the code belongs to
 * another kind of error.
 */
export function describeTlsError(code: string, message: string, server: string): string | undefined {
  const [, alert] = /^ERR_SSL_(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?([A-Z_]+)$/.exec(code) ?? [];
  if (alert !== undefined) {
    const meaning = Object.hasOwn(alerts, alert) ? alerts[alert] : `aborted the TLS handshake (${wordsOf(alert)})`;
    return `${server} ${meaning}`;
  }
  const verification = Object.hasOwn(verifications, code) ? verifications[code] : undefined;
  if (verification) return `the certificate of ${server} ${verification}`;
  // Node has no code for the other results. Their message is a constant of OpenSSL, such as `EE certificate key too
  // weak` (https://github.com/openssl/openssl/blob/master/crypto/x509/x509_txt.c).
  if (code === 'UNSPECIFIED' && /^[A-Za-z ,'()-]{1,80}$/.test(message)) {
    const reason = message.replace(/^EE certificate/, 'its').replace(/^CA certificate/, "its CA's");
    return `the certificate of ${server} cannot be verified: ${reason}`;
  }
  if (code === 'ERR_SSL_UNSUPPORTED_PROTOCOL') return `${server} ${alerts.PROTOCOL_VERSION}`;
  if (/^(ERR_SSL_|ERR_TLS_|ERR_OSSL_|EPROTO$)|CERT|CRL/.test(code))
    return `the TLS handshake with ${server} failed (${wordsOf(code)})`;
  return undefined;
}

function wordsOf(code: string): string {
  return code
    .replace(/^ERR_(SSL|TLS|OSSL)_/, '')
    .toLowerCase()
    .replaceAll('_', ' ');
}
