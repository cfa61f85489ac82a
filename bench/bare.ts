// A bare server of its own: `node bench/bare.ts <file>` sends the answers of the file in turn, and prints its port.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { bareAnswers } from './recording.ts';

const answers = bareAnswers(readFileSync(process.argv[2] ?? '', 'utf8'));
let next = 0;

const server = createServer((request, response) => {
  const { status, headers, body } = answers[next] as (typeof answers)[number];
  next = (next + 1) % answers.length;
  if (request.method === 'GET') {
    response.writeHead(status, headers).end(body);
    return;
  }
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.once('end', () => response.writeHead(status, headers).end(body));
});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
