import { z } from 'zod';
import { isLoopback, isRange } from '../ip-address.ts';

// Formats of the values of environment variables. Each error continues a sentence that begins with the variable's name.

/** `true` or `false`. */
export const booleanText = z
  .enum(['true', 'false'], { error: 'must be true or false' })
  .transform((value) => value === 'true');
/** Entries separated by commas. */
export const list = z.string().transform((value) =>
  value
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== ''),
);
/** A whole number from `least` to `most`. */
export const integer = (least: number, most: number) =>
  z
    .string()
    .regex(/^[0-9]+$/, 'must be a whole number')
    .transform(Number)
    .refine((value) => value >= least && value <= most, `must be ${least} to ${most}`);

/** Exact origins, separated by commas. */
export const origins = list.refine((entries) => entries.every((entry) => URL.parse(entry)?.origin === entry), {
  error: 'must be exact origins, such as https://console.example.com, separated by commas',
});

/** Host names or IP addresses, each with an optional port, separated by commas. */
export const hosts = list.refine(
  (entries) => entries.every((entry) => /^(?:[\w.-]+|\[[\w:.]+\])(?::[0-9]{1,5})?$/.test(entry)),
  {
    error: 'must be host names, such as console.example.com, separated by commas, without a scheme or path',
  },
);

/** Accepts https URLs, and http URLs on loopback, because tokens are sent to them. */
export const trustedUrl = (rule: (url: URL) => boolean, example: string) =>
  z.string().refine(
    (text) => {
      const url = URL.parse(text);
      if (!url || url.username + url.password + url.search + url.hash !== '') return false;
      const isTrusted = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopbackHost(url.hostname));
      return isTrusted && rule(url);
    },
    { error: `must be an https URL (http only on loopback) such as ${example}` },
  );

/** `group=role` pairs. The last `=` separates group and role, because names of groups may contain `=`. */
export const groupRoles = list
  .refine((entries) => entries.every((entry) => /^.+=[a-z][a-z0-9-]*$/.test(entry)), {
    error: 'must be group=role, separated by commas',
  })
  .transform((entries) =>
    entries.map((entry): [group: string, role: string] => {
      const at = entry.lastIndexOf('=');
      return [entry.slice(0, at).trim(), entry.slice(at + 1)];
    }),
  );

/** IP addresses or ranges, separated by commas. */
export const ranges = list.refine((entries) => entries.every(isRange), {
  error: 'must be IP addresses or ranges such as 10.0.0.0/8, separated by commas',
});

/** Whether the host of a URL is this machine. */
export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || isLoopback(host.replace(/^\[(.*)\]$/, '$1'));
}
