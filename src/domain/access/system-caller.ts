import { Caller } from './caller.ts';
import { builtInGrant } from './permissions.ts';
import { systemViewerId } from './viewer-id.ts';

/** The caller for work that Kitestring does itself, or for its operator on this machine. It holds the admin role. */
export function systemCaller(name: 'command line' | 'configuration' | 'prober'): Caller {
  const admin = builtInGrant('admin');
  const grants = admin ? [admin] : [];
  return new Caller({ viewer: { kind: 'SYSTEM', id: systemViewerId(name), name, roles: ['admin'], grants } });
}
