import { request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FuzzRequest } from './requests.ts';

/**
 * A response as far as it was read; status 0 if the connection closed without a response or the response did not arrive
 * in time.
 */
export interface FuzzAnswer {
  readonly status: number;
  readonly bytes: number;
  readonly text: string;
  readonly isLate: boolean;
}

/** The time within which every request must be answered. */
export const DEADLINE_MS = 30_000;
/** After this number of bytes the rest of a response is not read: it is far too large already. */
const MAX_READ = 64 * 1024 * 1024;
const STREAM_MS = 200;
const UNREAD_MS = 500;

/** The parts of a request that are sent. */
export type Sent = Pick<FuzzRequest, 'method' | 'path'> &
  Partial<Pick<FuzzRequest, 'headers' | 'body' | 'pipelined' | 'isStream'>>;

/**
 * Sends one request over its own connection and reads the response to its end, or until it is certainly too large or
 * too late.
 */
export function send(url: string, sent: Sent): Promise<FuzzAnswer> {
  if ((sent.pipelined ?? 1) > 1) return sendUnread(url, sent);
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let [bytes, status, isLate] = [0, 0, false];
    const asking = request(`${url}${sent.path}`, {
      method: sent.method,
      agent: false,
      headers: { ...sent.headers, ...lengthOf(sent) },
    });
    const finish = () => {
      clearTimeout(deadline);
      asking.destroy();
      resolve({ status, bytes, text: Buffer.concat(chunks).toString(), isLate });
    };
    const deadline = setTimeout(() => {
      isLate = true;
      finish();
    }, DEADLINE_MS);
    asking.on('error', finish).once('response', (response) => {
      status = response.statusCode ?? 0;
      if (sent.isStream && status === 200) setTimeout(finish, STREAM_MS);
      chunks.push(Buffer.from(`${JSON.stringify(response.headers)}\n`));
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes > MAX_READ) finish();
      });
      response.once('end', finish).on('error', finish);
    });
    asking.end(sent.body);
  });
}

/** Sends a request many times over one connection and reads nothing, to test whether the server survives it. */
async function sendUnread(url: string, sent: Sent): Promise<FuzzAnswer> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).pause();
  socket.on('error', () => {});
  const fields = Object.entries({ Host: hostname, ...sent.headers, ...lengthOf(sent) });
  const head = [`${sent.method} ${sent.path} HTTP/1.1`, ...fields.map(([name, value]) => `${name}: ${value}`)].join(
    '\r\n',
  );
  const one = Buffer.concat([Buffer.from(`${head}\r\n\r\n`), Buffer.from(sent.body ?? '')]);
  const times = Math.min(sent.pipelined ?? 1, Math.ceil(MAX_READ / one.length));
  for (let time = 0; time < times; time++) socket.write(one);
  await sleep(UNREAD_MS);
  socket.destroy();
  return { status: 0, bytes: 0, text: '', isLate: false };
}

const lengthOf = ({ method, body = '' }: Sent): Record<string, string> =>
  method === 'GET' ? {} : { 'Content-Length': String(Buffer.byteLength(body)) };
