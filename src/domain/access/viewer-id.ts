/**
 * The ids of viewers: `user:7`, `api-key:3`, `system:prober`. Audit records store them, so the format must not change.
 * Only this file writes and parses them.
 */

/** The actor of an audit record of an anonymous caller. */
export const ANONYMOUS_ACTOR = 'stranger';

export function userViewerId(id: number): string {
  return `user:${id}`;
}

export function apiKeyViewerId(id: number): string {
  return `api-key:${id}`;
}

export function systemViewerId(name: string): string {
  return `system:${name}`;
}

/** The id of the user or API key that a viewer id names; undefined for any other text. */
export function parseViewerId(text: string): { readonly kind: 'USER' | 'API_KEY'; readonly id: number } | undefined {
  const [, kind, digits] = /^(user|api-key):([1-9][0-9]{0,9})$/.exec(text) ?? [];
  if (kind === undefined) return undefined;
  return { kind: kind === 'user' ? 'USER' : 'API_KEY', id: Number(digits) };
}
