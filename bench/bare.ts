// A bare server in its own process: `node bench/bare.ts <file>` prints its port and sends the file's responses in
// rotation.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readRecording } from './recording.ts';

const responses = readRecording(readFileSync(process.argv[2] ?? '', 'utf8'));
let next = 0;

const server = createServer((request, response) => {
  const { status, headers, body } = responses[next] as (typeof responses)[number];
  next = (next + 1) % responses.length;
  if (request.method === 'GET') {
    response.writeHead(status, headers).end(body);
    return;
  }
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.once('end', () => response.writeHead(status, headers).end(body));
});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
