import { once } from 'node:events';
import type { Server } from 'node:http';
import { StartupError } from '../storage/startup-error.ts';

/** How long requests and streams that are open may take to end: half of what orchestrators usually allow. */
const GRACE_MS = 8_000;

/** Listens; an address that cannot be had is a StartupError that says what to do. */
export async function listen(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  const bare = host.replace(/^\[|\]$/g, '');
  try {
    server.listen({ host: bare, port });
    await once(server, 'listening');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EADDRINUSE')
      throw new StartupError(`Port ${port} on ${host} is taken: stop what listens there, or set PORT.`);
    if (code === 'EACCES')
      throw new StartupError(`Port ${port} may not be used by this user: set PORT to one above 1023.`);
    throw new StartupError(`Cannot listen on ${host} port ${port} (${code}): set HOST to an address of this machine.`);
  }
}

/** Stops listening, lets open requests end, and cuts what is left after the grace. */
export async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), GRACE_MS);
  await closed;
  clearTimeout(cut);
}
