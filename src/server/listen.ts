import { once } from 'node:events';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { StartupError } from '../storage/startup-error.ts';

/**
 * How long open requests may take at shutdown. Orchestrators kill the process after 10 s, and closing the database
 * takes time too.
 */
const GRACE_MS = 8_000;
const SWEEP_MS = 50;

/**
 * Listens on an address. Throws a StartupError that says what to do if that fails. Returns a function that stops
 * listening, waits for open requests, and closes the remaining connections after 8 s. `hostVariable` and `portVariable`
 * are the environment variables that the error names.
 */
export async function listen(
  server: Server,
  { host, port }: { host: string; port: number },
  hostVariable = 'HOST',
  portVariable = 'PORT',
): Promise<() => Promise<void>> {
  const hostname = host.replace(/^\[|\]$/g, '');
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  try {
    server.listen({ host: hostname, port });
    await once(server, 'listening');
  } catch (error) {
    throw new StartupError(describeListenError(error, { host, port, hostVariable, portVariable }));
  }
  return () => close(server, sockets);
}

async function close(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  // Idle keep-alive connections would delay the shutdown. Browsers also open connections in advance; Node does not count
  // those as idle before their first request, so close them too.
  const sweep = setInterval(() => {
    server.closeIdleConnections();
    for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy();
  }, SWEEP_MS);
  const forcedClose = setTimeout(() => server.closeAllConnections(), GRACE_MS);
  await closed;
  clearInterval(sweep);
  clearTimeout(forcedClose);
}

function describeListenError(
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
    return `Port ${port} on ${host} is in use: stop the process that listens there, or set ${portVariable}.`;
  if (code === 'EACCES')
    return `Port ${port} requires privileges that this process does not have: set ${portVariable} to a port above 1023.`;
  return `Cannot listen on ${host} port ${port} (${code}): set ${hostVariable} to an address of this machine.`;
}
