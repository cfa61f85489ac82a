import { createServer, type Server } from 'node:http';
import type { Logger } from '../log.ts';
import { REST } from './api.ts';
import { sendMetrics } from './json-response.ts';
import type { Metrics } from './metrics.ts';
import { HOST_NOT_SERVED, hostCheck } from './origin.ts';
import { SECURITY_HEADERS } from './security-headers.ts';

/** Serves the metrics without authentication on a separate address, for a Prometheus that has no API key. */
export function createMetricsServer(
  metrics: Metrics,
  { log, ...hosts }: { log: Logger; loopback: boolean; allowedHosts: readonly string[] },
): Server {
  const isServedHost = hostCheck(hosts);
  return createServer((request, response) => {
    for (let at = 0; at < SECURITY_HEADERS.length; at += 2)
      response.setHeader(SECURITY_HEADERS[at] as string, SECURITY_HEADERS[at + 1] as string);
    if (!isServedHost(request)) return REST.refuse(response, 421, HOST_NOT_SERVED);
    if (request.method !== 'GET' || request.url !== '/metrics') return REST.refuse(response, 404, 'not found');
    sendMetrics(metrics, response).catch((error: unknown) => {
      log.error({ err: error }, 'the metrics cannot be read');
      REST.refuse(response, 503, 'the metrics cannot be read now');
    });
  });
}
