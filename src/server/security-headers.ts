/** What every answer carries, names and values in turn; a page puts a Content-Security-Policy of its own in the place of this one. */
export const SECURITY_HEADERS: readonly string[] = [
  ...['X-Content-Type-Options', 'nosniff'],
  ...['Referrer-Policy', 'no-referrer'],
  ...['Cross-Origin-Resource-Policy', 'same-origin'],
  ...['Cross-Origin-Opener-Policy', 'same-origin'],
  ...['Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'"],
];

/** Only where the request came over TLS: told over plain http it would lock people out of a host that has no TLS. */
export const OVER_TLS: readonly string[] = ['Strict-Transport-Security', 'max-age=31536000'];
