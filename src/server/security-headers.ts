/**
 * The security headers of every response, as alternating names and values. Pages override the Content-Security-Policy.
 */
export const SECURITY_HEADERS: readonly string[] = [
  ...['X-Content-Type-Options', 'nosniff'],
  ...['Referrer-Policy', 'no-referrer'],
  ...['Cross-Origin-Resource-Policy', 'same-origin'],
  ...['Cross-Origin-Opener-Policy', 'same-origin'],
  ...['Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'"],
];

/** Only for requests over TLS, so that users are not locked out of a host that has no TLS. */
export const TLS_HEADERS: readonly string[] = ['Strict-Transport-Security', 'max-age=31536000'];
