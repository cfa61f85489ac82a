import type { Caller } from './caller.ts';
import { builtInGrant } from './permissions.ts';

/** The caller for work that Kitestring does itself, or for its operator on this machine. It holds the admin role. */
export function systemCaller(name: 'command line' | 'configuration' | 'prober'): Caller {
  const admin = builtInGrant('admin');
  return {
    viewer: { kind: 'SYSTEM', id: `system:${name}`, name, roles: ['admin'], grants: admin ? [admin] : [] },
  };
}
