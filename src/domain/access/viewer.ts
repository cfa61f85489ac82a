/** Who asks: an API key, or Kitestring itself (the command line, the configuration at start). */
export interface Viewer {
  readonly kind: 'API_KEY' | 'SYSTEM';
  /** Stable across renames; what audit records name. */
  readonly id: string;
  readonly name: string;
  readonly roles: readonly string[];
}

/** The one who asks, and through which request. A stranger has no viewer. */
export interface Caller {
  readonly viewer: Viewer | null;
  readonly requestId?: string;
}

/** Kitestring acting for whoever runs it on this machine: the command line, the configuration, or the prober. */
export function systemCaller(name: 'command line' | 'configuration' | 'prober'): Caller {
  return { viewer: { kind: 'SYSTEM', id: `system:${name}`, name, roles: ['admin'] } };
}
