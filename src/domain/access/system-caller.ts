import { builtInGrant } from './permissions.ts';
import type { Caller } from './viewer.ts';

/** Kitestring acting for whoever runs it on this machine: the command line, the configuration, or the prober. */
export function systemCaller(name: 'command line' | 'configuration' | 'prober'): Caller {
  const admin = builtInGrant('admin');
  return {
    viewer: { kind: 'SYSTEM', id: `system:${name}`, name, roles: ['admin'], grants: admin ? [admin] : [] },
  };
}
