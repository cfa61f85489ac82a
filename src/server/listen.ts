import { once } from 'node:events';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { StartupError } from '../storage/startup-error.ts';

/** How long open requests may take to end; orchestrators kill after ten seconds, and the database has to be closed too. */
const GRACE_MS = 8_000;
const SWEEP_MS = 50;

/**
 * Listens; an address that cannot be had is a StartupError that says what to do. What it gives stops listening, lets
 * open requests end, and cuts what is left after the grace.
 */
export async function listen(
  server: Server,
  { host, port }: { host: string; port: number },
  hostVariable = 'HOST',
  portVariable = 'PORT',
): Promise<() => Promise<void>> {
  const bare = host.replace(/^\[|\]$/g, '');
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  try {
    server.listen({ host: bare, port });
    await once(server, 'listening');
  } catch (error) {
    throw new StartupError(listenFault(error, { host, port, hostVariable, portVariable }));
  }
  return () => close(server, sockets);
}

async function close(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  // A connection whose request has ended would otherwise be kept for the next one, and one that a browser opened ahead
  // is none of those that Node calls idle.
  const sweep = setInterval(() => {
    server.closeIdleConnections();
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
  }, SWEEP_MS);
  const cut = setTimeout(() => server.closeAllConnections(), GRACE_MS);
  await closed;
  clearInterval(sweep);
  clearTimeout(cut);
}

function listenFault(
  error: unknown,
  {
    host,
    port,
    hostVariable,
    portVariable,
  }: { host: string; port: number; hostVariable: string; portVariable: string },
): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE')
    return `Port ${port} on ${host} is taken: stop what listens there, or set ${portVariable}.`;
  if (code === 'EACCES') return `Port ${port} may not be used by this user: set ${portVariable} to one above 1023.`;
  return `Cannot listen on ${host} port ${port} (${code}): set ${hostVariable} to an address of this machine.`;
}
